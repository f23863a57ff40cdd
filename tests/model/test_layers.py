"""The layers against formulas that are too simple to be wrong, and the course's arrays."""

import math

import numpy as np
import pytest
import torch
from bpe_lm.model.layers import Embedding, FeedForward, Linear, RMSNorm, RotaryPositionalEmbedding, SwiGLU, silu
from tensors import course, randn


def test_linear_is_a_product_and_begins_as_the_course_says():
    layer = Linear(1000, 600)
    x = randn(1, 3, 5, 1000)
    assert layer.weight.shape == (600, 1000)
    assert torch.allclose(layer(x), torch.nn.functional.linear(x, layer.weight))
    std = math.sqrt(2 / 1600)
    assert layer.weight.std().item() == pytest.approx(std * 0.9866, rel=0.01)  # A normal cut off at three.
    assert layer.weight.abs().max() <= 3 * std


def test_embedding_takes_rows():
    layer = Embedding(50, 8)
    ids = torch.randint(50, (2, 3, 4))
    assert torch.equal(layer(ids), torch.nn.functional.embedding(ids, layer.weight))
    assert layer.weight.abs().max() <= 3


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float64])
def test_rmsnorm_is_computed_in_float32_and_returned_as_it_came(dtype):
    layer = RMSNorm(64)
    layer.weight.data = randn(2, 64)
    x = (100 * randn(1, 4, 12, 64)).to(dtype)
    exact = x.double() / (x.double().square().mean(-1, keepdim=True) + 1e-5).sqrt() * layer.weight.double()
    assert layer(x).dtype == dtype
    assert torch.allclose(layer(x).double(), exact, rtol=1e-2 if dtype == torch.bfloat16 else 1e-5, atol=1e-6)


def test_feed_forward_layers_are_their_formulas():
    x = randn(1, 2, 12, 64)
    assert torch.allclose(silu(x), torch.nn.functional.silu(x), atol=1e-6)
    swiglu = SwiGLU(64, 128)
    w1, w2, w3 = (layer.weight for layer in (swiglu.w1, swiglu.w2, swiglu.w3))
    assert torch.allclose(swiglu(x), (torch.nn.functional.silu(x @ w1.T) * (x @ w3.T)) @ w2.T, atol=1e-5)
    for activation, f in (("silu", torch.nn.functional.silu), ("relu2", lambda h: torch.relu(h) ** 2)):
        layer = FeedForward(64, 256, activation)
        assert torch.allclose(layer(x), f(x @ layer.w1.weight.T) @ layer.w2.weight.T, atol=1e-5)


def turned(x: np.ndarray, positions: np.ndarray, theta: float) -> np.ndarray:
    """Pair by pair, as complex numbers."""
    d = x.shape[-1]
    out = np.empty_like(x)
    for k in range(d // 2):
        z = (x[..., 2 * k] + 1j * x[..., 2 * k + 1]) * np.exp(1j * positions * theta ** (-2 * k / d))
        out[..., 2 * k], out[..., 2 * k + 1] = z.real, z.imag
    return out


def test_rope_turns_pairs_at_any_positions():
    rope = RotaryPositionalEmbedding(1e4, 64, 100)
    x = randn(1, 2, 3, 12, 64)
    for positions in (torch.arange(12), torch.arange(12)[None], torch.tensor([5, 99, 0, 7, 7, 1, 2, 50, 3, 98, 4, 6])):
        expected = turned(x.double().numpy(), positions.numpy(), 1e4)
        assert np.allclose(rope(x, positions).numpy(), expected, atol=1e-5)
    batched = torch.stack([torch.arange(12), torch.arange(12) + 40])
    expected = turned(x.double().numpy(), batched[:, None].numpy(), 1e4)
    assert np.allclose(rope(x, batched).numpy(), expected, atol=1e-5)
    assert not rope.state_dict()


def courses_rope() -> torch.Tensor:
    return RotaryPositionalEmbedding(1e4, 64, 12)(course(4, 4, 12, 64), torch.arange(12))


def test_rope_turns_the_courses_input():
    x = course(4, 4, 12, 64)
    pairs = torch.view_as_complex(x.unflatten(-1, (32, 2)))
    angles = torch.outer(torch.arange(12), 1e4 ** (-torch.arange(32) / 32))
    expected = torch.view_as_real(pairs * torch.polar(torch.ones(12, 32), angles)).flatten(-2)
    assert torch.allclose(courses_rope(), expected, atol=1e-5)


def test_rope_equals_the_courses_array(shared):
    expected = np.load(shared("cs336/test_rope.npz"))
    assert np.allclose(courses_rope().numpy(), expected[expected.files[0]], atol=1e-6)
