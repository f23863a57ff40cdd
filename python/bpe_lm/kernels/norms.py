"""The norm of many tensors together, and their product with or quotient by one number.

`torch._foreach_norm`, `torch._foreach_mul_` and `torch._foreach_div_` start few kernels for all tensors on a GPU. torch
promises no name that begins with an underscore, so a test looks for them.
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from bpe_lm import _core
from bpe_lm.kernels.cpu import as_array, supports


def norm_of_all(tensors: list[Tensor]) -> Float[Tensor, ""]:
    """Return the square root of the sum of squares of all numbers in the tensors, of which at least one is needed."""
    if tensors[0].is_cuda:
        return torch.linalg.vector_norm(torch.stack(torch._foreach_norm(tensors)))
    return torch.linalg.vector_norm(torch.stack([torch.linalg.vector_norm(tensor) for tensor in tensors]))


def fast_norm_of_all(tensors: list[Tensor]) -> Float[Tensor, ""]:
    """Return `norm_of_all` of float32 on a CPU by a kernel, which sums in another order: src/kernels/squares.rs."""
    if not all(supports(tensor) and tensor.dtype == torch.float32 for tensor in tensors):
        return norm_of_all(tensors)
    total = _core.sum_of_squares([as_array(tensor).reshape(-1) for tensor in tensors], torch.get_num_threads())
    return torch.tensor(total, dtype=torch.float64).sqrt().float()


def scale_all(tensors: list[Tensor], factor: Float[Tensor, ""]) -> None:
    """Multiply tensors by one number in place."""
    torch._foreach_mul_(tensors, factor)


def divide_all(tensors: list[Tensor], divisor: Float[Tensor, ""]) -> None:
    """Divide tensors by one number in place."""
    torch._foreach_div_(tensors, divisor)
