"""Attention for a GPU, on a CPU: Triton's interpreter runs its kernels."""

import pytest
import torch
from bpe_lm.kernels.attention import fused_attention
from bpe_lm.kernels.choices import Kernels, using
from bpe_lm.kernels.triton_attention import Blocks, attend_into, attention_gradients_into
from kernel_checks import check_attention
from tensors import randn

SHAPES = [(1, 1, 1, 2), (2, 3, 3, 6), (1, 70, 2, 32), (1, 130, 1, 64), (1, 33, 2, 24)]


@pytest.mark.parametrize("rotates", [True, False])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("shape", SHAPES)
def test_heads_have_the_values_and_gradients_of_the_formula(shape, dtype, rotates):
    check_attention("cpu", shape, dtype, rotates=rotates)


@pytest.mark.parametrize("reach", [1, 2, 15, 16, 17, 64, 69, 70, 200])
def test_heads_with_a_window_are_the_formula(reach):
    check_attention("cpu", (1, 70, 2, 16), torch.float32, reach=reach)


def test_compiled_attention_is_the_formula():
    check_attention("cpu", (2, 5, 3, 6), torch.bfloat16, compiled=True)


@pytest.mark.parametrize("blocks", [Blocks(16, 16, 4, 1), Blocks(32, 16, 4, 1), Blocks(64, 32, 4, 1)])
def test_all_sizes_of_blocks_compute_the_same(blocks):
    """Texts that end within a block, at its end, and after it."""
    for length, reach in ((15, 0), (16, 0), (17, 0), (64, 0), (97, 0), (97, 1), (97, 16), (97, 40), (200, 33)):
        qkv, outer = randn(length, 1, length, 3, 2, 16), randn(2, 1, length, 2, 16)
        cos, sin = randn(3, length, 8), randn(4, length, 8)
        found = []
        for used in (blocks, Blocks(128, 128, 4, 1)):
            outputs = torch.full((1, length, 2, 16), torch.nan)
            log_sums, gradient = torch.full((1, 2, length), torch.nan), torch.full_like(qkv, torch.nan)
            attend_into(qkv, cos, sin, outputs, log_sums, reach, used)
            attention_gradients_into(outer, qkv, cos, sin, outputs, log_sums, gradient, reach, used)
            found.append((outputs, log_sums, gradient))
        for one, other in zip(*found, strict=True):
            assert (one - other).norm() <= 1e-6 * other.norm()


@pytest.mark.filterwarnings("ignore:overflow encountered")  # The interpreter's.
def test_large_scores_have_finite_heads():
    with torch.no_grad(), using(Kernels(attention="triton")):
        assert fused_attention(randn(1, 1, 40, 3, 1, 16) * 100, None, None).isfinite().all()


def test_no_texts_have_no_heads():
    with using(Kernels(attention="triton")):
        assert fused_attention(torch.empty(0, 5, 3, 2, 16), None, None).shape == (0, 5, 2, 16)
