"""The products of `linear`, whichever form computes them."""

import pytest
import torch
from bpe_lm import _core
from bpe_lm.kernels.choices import Kernels, using
from bpe_lm.kernels.linear import faster_float32_library, linear
from bpe_lm.model.layers import Linear
from tensors import randn


@pytest.fixture(params=["onednn", "torch"])
def library(request):
    with using(Kernels(linear=request.param)):
        yield request.param


def test_the_faster_library_is_one_of_both(library):
    assert faster_float32_library(library, 64) in ("onednn", "torch")


@pytest.mark.parametrize(("factor", "is_other_chosen"), [(0.97, False), (0.9, True)])
def test_another_library_is_chosen_only_if_it_is_clearly_faster(monkeypatch, library, factor, is_other_chosen):
    other = {"onednn": "torch", "torch": "onednn"}[library]
    seconds = {library: 1.0, other: factor}
    passed = []
    monkeypatch.setattr("bpe_lm.kernels.linear.time.perf_counter", lambda: sum(passed))
    monkeypatch.setattr("bpe_lm.kernels.linear.one_dnn", lambda x, weight: passed.append(seconds["onednn"]))
    monkeypatch.setattr("bpe_lm.kernels.linear._torch_linear", lambda x, weight: passed.append(seconds["torch"]))
    assert faster_float32_library(library, 8) == (other if is_other_chosen else library)


@pytest.mark.filterwarnings("ignore:The .grad attribute")  # opcheck's own.
@pytest.mark.parametrize("shape", [(300, 256), (2, 150, 256)])
def test_large_products_are_products_whatever_lies_how_in_memory(monkeypatch, library, shape):
    """Above 2^24 multiplications the chosen library makes them in float32."""
    calls, operator = [], torch.ops.bpe_lm.linear
    torch.library.opcheck(operator, (randn(5, 7, 5).requires_grad_(), randn(6, 3, 5).requires_grad_()))
    monkeypatch.setattr("bpe_lm.kernels.linear._linear", lambda x, w: calls.append(x.shape) or operator(x, w))
    weight, x = randn(1, 260, 256), randn(2, *shape)
    for w in (weight, randn(3, 256, 260).T):
        for rows in (x, x.transpose(0, -2).contiguous().transpose(0, -2), x[:1].expand(shape)):
            a, b = rows.detach().requires_grad_(), w.detach().requires_grad_()
            outer = torch.ones(()).expand(*shape[:-1], 260)
            found = linear(a, b)
            exact = a.detach().double() @ b.detach().double().T
            da, db = torch.autograd.grad(found, (a, b), outer)
            assert torch.allclose(found.double(), exact, atol=1e-4)
            assert torch.allclose(da.double(), outer.double() @ b.detach().double(), atol=1e-4)
            flat = (tensor.detach().double().flatten(0, -2) for tensor in (outer, a))
            assert torch.allclose(db.double(), next(flat).T @ next(flat), atol=1e-3)
    assert len(calls) == (6 * (1 + 2) if _core.kernels_are_available() and library == "onednn" else 0)
    vector = randn(4, 5000)
    assert torch.allclose(linear(vector, vector.expand(4000, -1)), (vector @ vector).expand(4000), rtol=1e-4)


def test_one_row_is_multiplied_as_many_are():
    for out_features in (7, 8):
        layer, x = Linear(12, out_features), randn(1, 1, 1, 12)
        with torch.no_grad():
            assert torch.allclose(layer(x), x @ layer.weight.T, atol=1e-6)
            assert torch.allclose(layer(x[0, 0]), (x @ layer.weight.T)[0, 0], atol=1e-6)
