"""The loss for a GPU, on a CPU: Triton's interpreter runs its kernels."""

import math

import pytest
import torch
from bpe_lm.kernels import cross_entropy, gpu_cross_entropy, triton_cross_entropy
from bpe_lm.kernels.triton_cross_entropy import losses_of_rows, scale_unless_one
from kernel_checks import check_loss, check_rows, padded_logits, width
from tensors import randn

DTYPES = [torch.float32, torch.bfloat16]

# The interpreter's: it computes e^x of numbers below all float32, which is 0.
pytestmark = pytest.mark.filterwarnings("ignore:overflow encountered")


@pytest.fixture(params=["held if short", "read twice"])
def form(request, monkeypatch):
    """A short row is held in registers, or is read twice as a long one."""
    if request.param == "read twice":
        monkeypatch.setattr(triton_cross_entropy, "_HELD", 0)


@pytest.mark.usefixtures("form")
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(
    ("rows", "vocab_size"), [(1, 1), (5, 7), (3, 50), (4, 64), (3, 1000), (2, 4097), (2, 8192), (2, 50_257)]
)
def test_rows_have_the_losses_and_gradients_of_the_formula(rows, vocab_size, dtype):
    check_rows((randn(1, rows, vocab_size) * 3).to(dtype), scale=0.125)


@pytest.mark.usefixtures("form")
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("cap", [2.0, 15.0])
def test_capped_rows_have_the_losses_and_gradients_of_the_formula(cap, dtype):
    for rows, vocab_size in ((3, 50), (2, 4097)):
        check_rows((randn(1, rows, vocab_size) * 5).to(dtype), scale=0.125, cap=cap)


@pytest.mark.usefixtures("form")
@pytest.mark.parametrize("dtype", DTYPES)
def test_extreme_logits_have_finite_losses_and_gradients(dtype):
    logits = randn(1, 9, 4100)
    logits[0] *= 1e4
    logits[1] = 1e4
    logits[2] = -1e4
    logits[3, 3], logits[4, 4099] = 1e4, -1e4
    logits[5, ::2], logits[6, 1::2], logits[7] = 3e38, -3e38, -3e38
    check_rows(logits.to(dtype), scale=1.0)


@pytest.mark.usefixtures("form")
@pytest.mark.filterwarnings("ignore:invalid value encountered", "ignore:divide by zero encountered")  # As above.
def test_a_row_with_a_target_that_is_no_id_or_with_a_logit_that_is_no_number_is_nan_and_no_other_row():
    logits = randn(1, 7, 50)
    logits[3, 7], logits[4, 49], logits[5] = float("nan"), float("inf"), float("-inf")
    padded, losses = padded_logits(logits), torch.empty(7)
    targets = torch.tensor([3, -1, 50, 4, 5, 7, 6])
    losses_of_rows(padded, targets, losses, vocab_size=50, scale=1.0, needs_gradient=True)
    expected = [False, True, True, True, True, True, False]
    assert losses.isnan().tolist() == expected
    assert padded[:, :50].isnan().all(1).tolist() == expected
    assert not padded[[0, 6], 50:].any()


@pytest.mark.usefixtures("form")
@pytest.mark.parametrize(("stride", "vocab_size"), [(1003, 1001), (51, 51), (9001, 10)])
def test_rows_may_have_any_length_and_any_number_of_other_columns(stride, vocab_size):
    logits, targets = randn(1, 4, stride), torch.arange(4)
    padded, losses, others = padded_logits(logits[:, :vocab_size]), torch.empty(4), torch.empty(4)
    logits[:, vocab_size:] = float("nan")
    losses_of_rows(padded, targets, losses, vocab_size=vocab_size, scale=0.5, needs_gradient=True)
    losses_of_rows(logits, targets, others, vocab_size=vocab_size, scale=0.5, needs_gradient=True)
    assert torch.allclose(others, losses, rtol=1e-6)
    assert torch.allclose(logits[:, :vocab_size], padded[:, :vocab_size], rtol=1e-5, atol=1e-7)
    assert not logits[:, vocab_size:].any()


def test_values_are_multiplied_unless_the_factor_is_one():
    for dtype in DTYPES:
        values = randn(1, 4099).to(dtype)
        found = values.clone()
        scale_unless_one(found, torch.tensor(1.0))
        assert torch.equal(found, values)
        scale_unless_one(found, torch.tensor(-0.3))
        expected = values.double() * -0.3
        assert ((found - expected).abs() <= (2 * width(dtype, "cpu")) * expected.abs()).all()
    scale_unless_one(torch.empty(0), torch.tensor(2.0))


@pytest.fixture
def small_chunks(monkeypatch):
    """Up to six chunks, each a multiple of eight rows; returns the list of their lengths."""
    lengths = []

    def counted(logits, *others, **options):
        lengths.append(len(logits))
        losses_of_rows(logits, *others, **options)

    monkeypatch.setattr(triton_cross_entropy, "losses_of_rows", counted)
    monkeypatch.setattr(gpu_cross_entropy, "_SMALLEST_CHUNK", 1)
    monkeypatch.setattr(gpu_cross_entropy, "_TILE", 8)
    return lengths


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(
    ("rows", "vocab_size", "chunks"),
    [(1, 1, [1]), (2, 7, [2]), (12, 48, [8, 4]), (33, 50, [8, 8, 8, 8, 1]), (64, 101, [16, 16, 16, 16])],
)
def test_the_loss_over_several_chunks_is_the_formula(small_chunks, rows, vocab_size, chunks, dtype):
    check_loss("cpu", (rows, 24, vocab_size), dtype)
    assert small_chunks == chunks * 2


def test_the_compiled_loss_is_the_formula(small_chunks):
    check_loss("cpu", (19, 16, 50), torch.bfloat16, compiled=True)
    assert small_chunks == [8, 8, 3] * 2


def test_one_chunk_and_several_have_the_same_gradients(monkeypatch):
    whole = check_loss("cpu", (40, 16, 50), torch.float32)
    monkeypatch.setattr(gpu_cross_entropy, "_SMALLEST_CHUNK", 1)
    monkeypatch.setattr(gpu_cross_entropy, "_TILE", 1)
    for one, several in zip(whole, check_loss("cpu", (40, 16, 50), torch.float32), strict=True):
        assert (one - several).norm() <= 1e-6 * one.norm()


def test_no_rows_have_no_loss_and_no_gradient():
    hidden, weight = torch.empty(0, 8, requires_grad=True), randn(1, 5, 8).requires_grad_()
    total = gpu_cross_entropy.gpu_cross_entropy(hidden, weight, torch.empty(0, dtype=torch.int64), 1.0)
    total.backward()
    assert total == 0
    assert hidden.grad.shape == (0, 8)
    assert torch.equal(weight.grad, torch.zeros(5, 8))


def test_narrow_parameters_get_narrow_gradients(small_chunks):
    hidden, weight, targets = randn(1, 40, 16), randn(2, 50, 16) / 4, torch.arange(40)
    gradients = []
    for dtype in (torch.float64, torch.bfloat16):
        h, w = (tensor.to(torch.bfloat16).to(dtype).requires_grad_() for tensor in (hidden, weight))
        if dtype == torch.bfloat16:
            gpu_cross_entropy.gpu_cross_entropy(h, w, targets, 1.0).backward()
        else:
            torch.nn.functional.cross_entropy(h @ w.T, targets, reduction="sum").backward()
        assert h.grad.dtype == w.grad.dtype == dtype
        gradients.append((h.grad.double(), w.grad.double()))
    for exact, found in zip(*gradients, strict=True):
        assert (found - exact).norm() <= 0.02 * exact.norm()


def test_only_a_first_backward_pass_is_possible():
    """The gradients are multiplied in place."""
    hidden, weight = randn(1, 3, 8).requires_grad_(), randn(2, 5, 8).requires_grad_()
    loss = gpu_cross_entropy.gpu_cross_entropy(hidden, weight, torch.arange(3), 1.0) * 2
    loss.backward(retain_graph=True)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        loss.backward()


@pytest.mark.parametrize("has", [{"mm"}, {"mm", "addmm"}])
def test_wide_products_are_used_where_torch_has_them(monkeypatch, small_chunks, has):
    """A CPU has none, so that this torch is given both, with the results that they have on a GPU."""
    assert gpu_cross_entropy._wide_products(torch.device("cpu")) == set()
    calls, mm, addmm = [], torch.mm, torch.addmm

    def wide_mm(a, b, *, out_dtype=None, out=None):
        if out_dtype is None:
            return mm(a, b, out=out)
        calls.append("mm")
        return mm(a.to(out_dtype), b.to(out_dtype), out=out)

    def wide_addmm(to, a, b, *, out_dtype=None, out=None):
        if out_dtype is None:
            return addmm(to, a, b, out=out)
        calls.append("addmm")
        return addmm(to, a.to(out_dtype), b.to(out_dtype), out=out)

    monkeypatch.setattr(torch, "mm", wide_mm)
    monkeypatch.setattr(torch, "addmm", wide_addmm)
    gpu_cross_entropy._wide_products.cache_clear()
    assert gpu_cross_entropy._wide_products(torch.device("cpu")) == {"mm", "addmm"}
    gpu_cross_entropy._wide_products.cache_clear()
    monkeypatch.setattr(gpu_cross_entropy, "_wide_products", lambda device: has)
    calls.clear()
    check_loss("cpu", (33, 16, 50), torch.bfloat16)
    assert calls == ["mm", "mm", *(["mm", "addmm"] if "addmm" in has else ["mm", "mm"]) * 4]


def test_a_product_that_torch_has_and_does_wrong_is_not_used(monkeypatch):
    monkeypatch.setattr(torch, "addmm", lambda to, a, b, *, out_dtype, out: out.fill_(4.0))
    gpu_cross_entropy._wide_products.cache_clear()
    assert gpu_cross_entropy._wide_products(torch.device("cpu")) == set()
    gpu_cross_entropy._wide_products.cache_clear()


def test_the_operator_has_the_shapes_that_a_compiler_is_told():
    operator, targets = torch.ops.bpe_lm.gpu_cross_entropy, torch.arange(3)
    for needs_gradient in (True, False):
        for dtype in DTYPES:
            arguments = (randn(1, 3, 8), randn(2, 50, 8), targets, dtype, 0.5, 0.0, needs_gradient)
            torch.library.opcheck(operator, arguments, test_utils=("test_schema", "test_faketensor"))


@pytest.mark.parametrize("cap", [0.0, 3.0])
def test_mean_and_sum_of_a_gpu_are_those_of_a_cpu(monkeypatch, cap):
    hidden, weight, targets = randn(1, 30, 16), randn(2, 50, 16), torch.arange(30)
    for function in (cross_entropy.mean_of_cross_entropies, cross_entropy.sum_of_cross_entropies):
        found = []
        for is_gpu in (False, True):
            monkeypatch.setattr(cross_entropy, "supports_triton", lambda tensor, is_gpu=is_gpu: is_gpu)
            h, w = hidden.clone().requires_grad_(), weight.clone().requires_grad_()
            loss = function(h, w, targets, cap)
            found.append([loss.detach(), *torch.autograd.grad(loss, (h, w))])
        for one, other in zip(*found, strict=True):
            assert torch.allclose(one, other, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    ("rows", "vocab_size"), [(1, 1), (16_384, 32_000), (32_768, 50_257), (8192, 10_000), (1 << 20, 128_256)]
)
def test_a_chunk_has_about_a_sixth_of_the_rows_and_few_logits(rows, vocab_size):
    chunk = gpu_cross_entropy._rows_of_a_chunk(rows, vocab_size)
    assert chunk % 128 == 0
    assert math.ceil(rows / chunk) <= 6
    assert chunk <= max(rows / 6 + 128, 2**26 / vocab_size + 128)
    bytes_of_all = 2 * rows * vocab_size
    workspace = gpu_cross_entropy.gpu_workspace(rows, 768, vocab_size, 2)
    assert workspace <= max(0.17 * bytes_of_all, 2**27) * 1.1 + 2 * 768 * (vocab_size + chunk + 64) + 4 * rows + 2**18
