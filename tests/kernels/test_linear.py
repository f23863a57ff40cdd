"""The products of `linear`, whichever form computes them."""

import pytest
import torch
from bpe_lm import _core
from bpe_lm.kernels.linear import linear
from bpe_lm.model.layers import Linear
from tensors import randn


@pytest.mark.filterwarnings("ignore:The .grad attribute")  # opcheck's own.
@pytest.mark.parametrize("shape", [(300, 256), (2, 150, 256)])
def test_large_products_are_products_whatever_lies_how_in_memory(monkeypatch, shape):
    """Above 2^24 multiplications oneDNN makes them in float32."""
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
    assert len(calls) == (6 * (1 + 2) if _core.kernels_are_available() else 0)
    vector = randn(4, 5000)
    assert torch.allclose(linear(vector, vector.expand(4000, -1)), (vector @ vector).expand(4000), rtol=1e-4)


def test_one_row_is_multiplied_as_many_are():
    for out_features in (7, 8):
        layer, x = Linear(12, out_features), randn(1, 1, 1, 12)
        with torch.no_grad():
            assert torch.allclose(layer(x), x @ layer.weight.T, atol=1e-6)
            assert torch.allclose(layer(x[0, 0]), (x @ layer.weight.T)[0, 0], atol=1e-6)
