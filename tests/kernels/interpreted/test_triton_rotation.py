"""The rotation for a GPU, on a CPU: Triton's interpreter runs its kernels."""

import pytest
import torch
from bpe_lm.kernels.rotation import split_and_rotate
from kernel_checks import check_rotation
from tensors import randn

SHAPES = [(1, 1, 1, 2), (2, 3, 3, 6), (1, 5, 4, 64), (2, 2, 12, 80), (1, 2, 40, 64), (3, 1, 5, 128)]


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("shape", SHAPES)
def test_split_and_rotation_have_the_values_and_gradients_of_the_formula(shape, dtype):
    check_rotation("cpu", shape, dtype)


def test_the_compiled_rotation_is_the_formula():
    check_rotation("cpu", (2, 3, 3, 6), torch.bfloat16, compiled=True)


def test_any_number_of_leading_dimensions_is_possible():
    qkv, cos, sin = randn(1, 4, 5, 3, 2, 6), randn(2, 5, 3), randn(3, 5, 3)
    whole = split_and_rotate(qkv, cos, sin)
    for found, expected in zip(split_and_rotate(qkv.unflatten(0, (2, 2)), cos, sin), whole, strict=True):
        assert torch.equal(found.flatten(0, 1), expected)
    for found, expected in zip(split_and_rotate(qkv[0], cos, sin), whole, strict=True):
        assert torch.equal(found, expected[0])
    for found in split_and_rotate(qkv[:0], cos, sin):
        assert found.shape == (0, 2, 5, 6)


def test_without_angles_the_parts_are_views():
    qkv = randn(1, 2, 5, 3, 2, 6)
    for index, part in enumerate(split_and_rotate(qkv, None, None)):
        assert torch.equal(part, qkv[:, :, index].transpose(1, 2))
        assert part.untyped_storage().data_ptr() == qkv.untyped_storage().data_ptr()


@pytest.mark.filterwarnings("ignore:The .grad attribute")  # opcheck's own.
def test_both_operators_are_as_torch_wants_them():
    cos, sin = randn(2, 5, 3), randn(3, 5, 3)
    torch.library.opcheck(torch.ops.bpe_lm.split_and_rotate, (randn(1, 2, 5, 3, 2, 6).requires_grad_(), cos, sin))
    gradients = (randn(seed, 2, 5, 2, 6) for seed in (4, 5, 6))
    torch.library.opcheck(torch.ops.bpe_lm.join_rotated, (*gradients, cos, sin))
