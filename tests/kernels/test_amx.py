"""Products of bfloat16 on AMX's tiles, and the choice between an operation's forms."""

import pytest
import torch
from bpe_lm import errors
from bpe_lm.kernels.amx import multiply
from bpe_lm.kernels.choices import Kernels, forms_here, using
from bpe_lm.kernels.linear import linear
from bpe_lm.model.loss import linear_cross_entropy
from tensors import randn

SIZES = [(1, 1, 1), (33, 65, 31), (100, 40, 257), (64, 32, 512), (300, 600, 700)]


def product(a, b, to, **options):
    multiply(a, b, to, **options)
    return to


@pytest.mark.usefixtures("needs_amx")
@pytest.mark.parametrize("size", SIZES)
def test_a_product_is_its_formula_whatever_lies_how_in_memory(size):
    rows, columns, terms = size
    for dtype in (torch.float32, torch.bfloat16):
        a, b = randn(1, rows, terms).to(dtype), randn(2, columns, terms).to(dtype)
        exact = a.bfloat16().double() @ b.bfloat16().double().T
        sums = []
        for x in (a, a.T.contiguous().T, a.repeat(1, 2)[:, :terms]):
            for y in (b, b.T.contiguous().T):
                sums.append(product(x, y, torch.full((rows, columns), torch.nan)))
                narrow = product(x, y, torch.full((rows, columns), torch.nan).bfloat16())
                assert torch.equal(narrow, sums[-1].bfloat16())
        assert all(torch.equal(sums[0], found) for found in sums)
        assert (sums[0].double() - exact).abs().max() < 2e-6 * terms**0.5 * exact.abs().max().clamp(min=1)
        added = product(a, b, torch.full((rows, columns), 3.0), adds=True)
        assert torch.equal(added, sums[0] + 3)


@pytest.mark.usefixtures("needs_amx")
def test_a_product_does_not_depend_on_threads():
    a, b, before = randn(1, 700, 900).T, randn(2, 700, 300).T, torch.get_num_threads()
    found = []
    for threads in (1, 2, 3):
        torch.set_num_threads(threads)
        found.append(product(a, b, torch.empty(900, 300)))
    torch.set_num_threads(before)
    assert all(torch.equal(found[0], other) for other in found)


@pytest.mark.usefixtures("needs_amx")
def test_a_product_that_is_not_one_is_refused():
    a, b = randn(1, 5, 6), randn(2, 7, 6)
    for wrong in ((a, randn(2, 7, 5), torch.empty(5, 7)), (a, b, torch.empty(7, 5)), (a, b, torch.empty(5, 8))):
        with pytest.raises(errors.OptionError, match="shape"):
            multiply(*wrong)
    with pytest.raises(errors.OptionError, match="shape"):
        multiply(a[:0], b, torch.empty(0, 7))
    with pytest.raises(errors.OptionError, match="added to float32"):
        multiply(a, b, torch.empty(5, 7).bfloat16(), adds=True)
    with pytest.raises(errors.OptionError, match="memory of its own"):
        multiply(a, a.view(6, 5).T, a.view(5, 6))


@pytest.fixture(params=["amx", "torch"])
def products(request):
    if request.param not in [form.name for form in forms_here("products", "cpu")]:
        pytest.skip("no AMX here")
    with using(Kernels(products=request.param)):
        yield request.param


@pytest.mark.filterwarnings("ignore:The .grad attribute")  # opcheck's own.
def test_mixed_products_and_their_gradients_are_near_the_formula_in_each_form(products):
    x, weight, outer = randn(1, 2, 50, 70), randn(2, 90, 70), randn(3, 2, 50, 90)
    for narrow in (False, True):
        a, b = (x.bfloat16() if narrow else x).detach().requires_grad_(), weight.detach().requires_grad_()
        with torch.autocast("cpu", dtype=torch.bfloat16):
            found = linear(a, b)
        assert found.dtype == torch.bfloat16
        da, db = torch.autograd.grad(found, (a, b), outer.bfloat16())
        assert (da.dtype, db.dtype) == (a.dtype, torch.float32)
        exact = x.double() @ weight.double().T, outer.double() @ weight.double()
        exact = *exact, outer.double().flatten(0, 1).T @ x.double().flatten(0, 1)
        for result, expected in zip((found, da, db), exact, strict=True):
            assert (result.double() - expected).abs().max() < 1e-2 * expected.abs().max()
    if products == "amx":
        narrow = randn(2, 6, 7).bfloat16()
        arguments = randn(1, 5, 7).bfloat16().requires_grad_(), narrow.float().requires_grad_(), narrow
        torch.library.opcheck(torch.ops.bpe_lm.mixed_linear, arguments)


def test_the_loss_in_bfloat16_has_the_same_gradients_in_each_form(monkeypatch, products):
    for limit in ("_CPU_CHUNK", "_AMX_CHUNK"):
        monkeypatch.setattr(f"bpe_lm.kernels.cross_entropy.{limit}", 2000)
    hidden, weight = randn(1, 50, 20).requires_grad_(), randn(2, 99, 20).requires_grad_()
    targets = torch.arange(50)
    expected = torch.autograd.grad(linear_cross_entropy(hidden, weight, targets, implementation="reference"), [weight])
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found = torch.autograd.grad(linear_cross_entropy(hidden, weight, targets), [weight])
    assert (found[0] - expected[0]).abs().max() < 2e-2 * expected[0].abs().max()
