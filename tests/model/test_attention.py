"""Attention against its formula, torch's function, the course's arrays, and the same in float64."""

import numpy as np
import pytest
import torch
from bpe_lm import _core
from bpe_lm.kernels.attention import supports_fused_attention
from bpe_lm.model.attention import MultiheadSelfAttention, causal_attention, scaled_dot_product_attention, softmax
from bpe_lm.model.layers import RotaryPositionalEmbedding
from tensors import course, randn


def courses_attention(heads: int | None) -> list[torch.Tensor]:
    """Queries, keys, values and the mask."""
    inputs = [course(1, 4, 12, 64), course(2, 4, 16, 64), course(3, 4, 16, 64), course(5, 4, 12, 16) > 0.5]
    return [x.unflatten(0, (2, heads)) for x in inputs] if heads else inputs


@pytest.mark.parametrize("heads", [None, 2])
def test_attention_of_the_courses_inputs_is_torchs(heads):
    q, k, v, mask = courses_attention(heads)
    expected = torch.nn.functional.scaled_dot_product_attention(q, k, v, attn_mask=mask)
    assert torch.allclose(scaled_dot_product_attention(q, k, v, mask), expected, atol=1e-6)


@pytest.mark.parametrize("heads", [None, 2])
def test_attention_equals_the_courses_arrays(shared, heads):
    name = "test_4d_scaled_dot_product_attention" if heads else "test_scaled_dot_product_attention"
    expected = np.load(shared(f"cs336/{name}.npz"))
    found = scaled_dot_product_attention(*courses_attention(heads))
    assert np.allclose(found.numpy(), expected[expected.files[0]], atol=1e-6)


def test_softmax_does_not_overflow():
    x = randn(1, 5, 7)
    assert torch.allclose(softmax(x + 1000, 1), torch.softmax(x, 1), atol=1e-5)
    assert torch.allclose(softmax(x, 0), torch.softmax(x, 0), atol=1e-6)


def test_a_query_that_sees_nothing_gets_zeros():
    q, k, v = randn(1, 3, 8), randn(2, 5, 8), randn(3, 5, 8)
    mask = torch.zeros(3, 5, dtype=torch.bool)
    mask[1, 2] = True
    found = scaled_dot_product_attention(q, k, v, mask)
    assert torch.equal(found[0], torch.zeros(8))
    assert torch.allclose(found[1], v[2])
    assert torch.allclose(scaled_dot_product_attention(q, k, v), torch.softmax(q @ k.T / 8**0.5, -1) @ v, atol=1e-6)


@pytest.mark.parametrize(("queries", "keys"), [(12, 12), (1, 12), (5, 12)])
def test_both_attentions_and_float64_are_equal(queries, keys):
    q, k, v = randn(1, 2, 4, queries, 16), randn(2, 2, 4, keys, 16), randn(3, 2, 4, keys, 16)
    exact = causal_attention(q.double(), k.double(), v.double(), implementation="reference")
    for implementation in ("fast", "reference"):
        found = causal_attention(q, k, v, implementation=implementation)
        assert torch.allclose(found.double(), exact, atol=1e-6)


def both_ways(layer, x):
    """The output, and the gradients of input and weights."""
    x = x.detach().requires_grad_()
    output = layer(x)
    outer = randn(9, *output.shape).to(output.dtype)
    return [output, *torch.autograd.grad(output, (x, *layer.parameters()), outer)]


@pytest.mark.parametrize("kernels", [True, False])
@pytest.mark.parametrize("has_rope", [True, False])
@pytest.mark.parametrize(("length", "heads"), [(1, 2), (5, 4), (64, 1), (130, 2)])
def test_fast_self_attention_has_the_references_values_and_gradients(monkeypatch, kernels, has_rope, length, heads):
    if not kernels:
        monkeypatch.setattr("bpe_lm.kernels.cpu._ARE_AVAILABLE", False)
    assert supports_fused_attention(torch.ones(1, length, 3, heads, 64 // heads)) == (
        kernels and _core.kernels_are_available()
    )
    rope = RotaryPositionalEmbedding(1e4, 64 // heads, 200) if has_rope else None
    fast, reference = (MultiheadSelfAttention(64, heads, rope, implementation=name) for name in ("fast", "reference"))
    reference.load_state_dict(fast.state_dict())
    reference.double()
    x = randn(1, 2, length, 64)
    expected = both_ways(reference, x.double())
    for found, exact in zip(both_ways(fast, x), expected, strict=True):
        assert torch.allclose(found.double(), exact, rtol=1e-4, atol=1e-5)
    with torch.autocast("cpu", torch.bfloat16):
        for found, exact in zip(both_ways(fast, x), expected, strict=True):
            assert (found.double() - exact).norm() <= 0.02 * exact.norm() + 1e-6
    with torch.no_grad():
        assert torch.allclose(fast(x[0]), fast(x)[0], atol=1e-6)
        assert fast(x[:0]).shape == (0, length, 64)


def test_self_attention_is_causal_and_heads_are_stacked_on_rows():
    attention = MultiheadSelfAttention(64, 4)
    x = randn(1, 2, 12, 64)
    changed = x.clone()
    changed[:, 7:] = 0
    assert torch.allclose(attention(x)[:, :7], attention(changed)[:, :7], atol=1e-6)
    heads = []
    for h in range(4):
        rows = slice(16 * h, 16 * (h + 1))
        q, k, v = (x @ p[rows].T for p in attention.qkv_proj.weight.chunk(3))
        scores = (q @ k.transpose(-1, -2) / 4).masked_fill(~torch.ones(12, 12, dtype=torch.bool).tril(), -torch.inf)
        heads.append(torch.softmax(scores, -1) @ v)
    expected = torch.cat(heads, -1) @ attention.output_proj.weight.T
    assert torch.allclose(attention(x), expected, atol=1e-5)
