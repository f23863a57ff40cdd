"""The operator of causal self-attention, as torch wants operators."""

import pytest
import torch
from bpe_lm.kernels.attention import fused_attention
from bpe_lm.model.layers import RotaryPositionalEmbedding
from tensors import randn


@pytest.mark.usefixtures("needs_kernels")
@pytest.mark.filterwarnings("ignore:The .grad attribute")  # opcheck's own.
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_attention_is_an_operator_as_torch_wants_it(dtype):
    qkv = randn(1, 2, 5, 3, 2, 32).to(dtype).detach().requires_grad_()
    rope = RotaryPositionalEmbedding(1e4, 32, 5)
    for angles in ((rope.cos, rope.sin), (None, None)):
        torch.library.opcheck(torch.ops.bpe_lm.causal_attention, (qkv, *angles))
    for strided in (qkv[:, :4], qkv.transpose(0, 1)):
        found, expected = ([fused_attention(x, None, None)] for x in (strided, strided.contiguous()))
        for values in (found, expected):
            values += torch.autograd.grad(values[0].square().sum(), qkv)
        assert all(map(torch.equal, found, expected))
