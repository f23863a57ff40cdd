"""torch's fused operators against the formulas of the layers, on a CPU, where they have the same rules of formats."""

import pytest
import torch
from bpe_lm.kernels.layers import fused_rms_norm, fused_silu
from bpe_lm.model.layers import RMSNorm, silu
from tensors import randn

FORMATS = [(torch.float32, 1e-6), (torch.bfloat16, 2.0**-8), (torch.float64, 1e-14)]


@pytest.mark.parametrize("autocast", [False, True])
@pytest.mark.parametrize(("dtype", "error"), FORMATS)
def test_the_norm_of_each_format_is_computed_in_float32_at_least_with_a_float32_weight(dtype, error, autocast):
    norm = RMSNorm(48)
    norm.weight.data = randn(1, 48) + 1
    x = (randn(2, 5, 48) * 3).to(dtype).requires_grad_()
    exact = RMSNorm(48).double()
    exact.load_state_dict(norm.state_dict())
    wide = x.detach().double().requires_grad_()
    outer = randn(3, 5, 48).to(dtype)
    expected = exact(wide)
    expected = [expected, *torch.autograd.grad(expected, (wide, exact.weight), outer.double())]
    with torch.autocast("cpu", torch.bfloat16, enabled=autocast):
        found = fused_rms_norm(x, norm.weight, norm.eps)
    assert found.dtype == dtype
    gradients = torch.autograd.grad(found, (x, norm.weight), outer)
    assert gradients[1].dtype == torch.float32
    for value, other in zip([found, gradients[0]], expected, strict=False):
        assert ((value - other).abs() <= error * (other.abs() + 1)).all()
    # A weight that was rounded to bfloat16, or a gradient of it, has an error of 2^-9.
    assert (gradients[1] - expected[2]).abs().max() <= 1e-5
    with torch.no_grad():
        assert torch.equal(found, norm(x)) or torch.allclose(found, norm(x), rtol=2 * error)


@pytest.mark.parametrize(("dtype", "error"), FORMATS)
def test_silu_of_each_format_is_the_formula(dtype, error):
    x = (randn(1, 200) * 5).to(dtype).requires_grad_()
    wide = x.detach().double().requires_grad_()
    found, exact = fused_silu(x), silu(wide)
    assert found.dtype == dtype
    (gradient,) = torch.autograd.grad(found.sum(), x)
    (expected,) = torch.autograd.grad(exact.sum(), wide)
    assert ((found - exact).abs() <= error * (exact.abs() + 1e-6)).all()
    assert ((gradient - expected).abs() <= error * (expected.abs() + 1)).all()
