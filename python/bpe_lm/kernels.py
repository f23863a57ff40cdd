"""Tensors for the kernels of src/kernels, which want arrays, and a chip with AVX512-BF16."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from bpe_lm import _core

_ARE_AVAILABLE = _core.kernels_are_available()


def take(tensor: Tensor) -> bool:
    """Whether the kernels are for such a tensor, on this machine."""
    return _ARE_AVAILABLE and tensor.device.type == "cpu" and tensor.dtype in (torch.float32, torch.bfloat16)


def as_array(tensor: Tensor) -> Any:
    """The same numbers, not a copy of them, if they lie in order. numpy knows no bfloat16, and gets the bits."""
    tensor = tensor.detach().contiguous()
    return (tensor.view(torch.uint16) if tensor.dtype == torch.bfloat16 else tensor).numpy()
