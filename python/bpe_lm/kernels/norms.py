"""The norm of many tensors together, and their product with one number.

`torch._foreach_mul_` starts one kernel for all tensors on a GPU. torch promises no name that begins with an underscore,
so a test looks for it.
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor


def norm_of_all(tensors: list[Tensor]) -> Float[Tensor, ""]:
    """Return the square root of the sum of squares of all numbers in the tensors, of which at least one is needed."""
    return torch.linalg.vector_norm(torch.stack([torch.linalg.vector_norm(tensor) for tensor in tensors]))


def scale_all(tensors: list[Tensor], factor: Float[Tensor, ""]) -> None:
    """Multiply tensors by one number in place."""
    torch._foreach_mul_(tensors, factor)
