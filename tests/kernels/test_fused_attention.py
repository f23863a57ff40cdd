"""The operator of causal self-attention, as torch wants operators."""

import pytest
import torch
from bpe_lm.kernels.attention import fused_attention
from bpe_lm.kernels.choices import Kernels, forms_here, using
from bpe_lm.model.attention import MultiheadSelfAttention
from bpe_lm.model.layers import RotaryPositionalEmbedding
from tensors import randn


@pytest.mark.usefixtures("needs_kernels")
@pytest.mark.filterwarnings("ignore:The .grad attribute")  # opcheck's own.
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_attention_is_an_operator_as_torch_wants_it(dtype):
    qkv = randn(1, 2, 5, 3, 2, 32).to(dtype).detach().requires_grad_()
    rope = RotaryPositionalEmbedding(1e4, 32, 5)
    for angles, reach in (((rope.cos, rope.sin), 0), ((None, None), 2)):
        torch.library.opcheck(torch.ops.bpe_lm.causal_attention, (qkv, *angles, reach))
    for strided in (qkv[:, :4], qkv.transpose(0, 1)):
        found, expected = ([fused_attention(x, None, None)] for x in (strided, strided.contiguous()))
        for values in (found, expected):
            values += torch.autograd.grad(values[0].square().sum(), qkv)
        assert all(map(torch.equal, found, expected))


@pytest.mark.parametrize("form", ["amx", "avx512", "torch"])
def test_each_form_of_attention_is_near_the_formula(form):
    if form not in [one.name for one in forms_here("attention", "cpu")]:
        pytest.skip(f"no {form} here")
    with using(Kernels(attention=form)):
        for d_k in (32, 64, 20):
            layer = MultiheadSelfAttention(2 * d_k, 2, RotaryPositionalEmbedding(1e4, d_k, 70))
            exact = MultiheadSelfAttention(2 * d_k, 2, layer.rope, implementation="reference")
            exact.load_state_dict(layer.state_dict())
            x = randn(1, 2, 70, 2 * d_k)
            with torch.autocast("cpu", dtype=torch.bfloat16):
                found = layer(x)
            expected = exact(x)
            assert (found - expected).abs().max() < 3e-2 * expected.abs().max()
            gradients = [
                torch.autograd.grad(y.float().square().sum(), m.qkv_proj.weight)[0]
                for y, m in ((found, layer), (expected, exact))
            ]
            assert (gradients[0] - gradients[1]).abs().max() < 5e-2 * gradients[1].abs().max()
