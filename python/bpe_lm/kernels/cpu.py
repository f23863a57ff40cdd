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


def needs_operator() -> bool:
    """Whether torch has to know what is called, for a gradient or a graph.

    If not, the function behind an operator is called itself: the first call of an operator imports torch's compiler,
    0.85 s that a generated text should not wait for.
    """
    return torch.is_grad_enabled() or torch.compiler.is_compiling()


def as_array(tensor: Tensor) -> Any:
    """The same numbers in order. numpy knows no bfloat16, and gets the bits."""
    tensor = tensor.detach().contiguous()
    return (tensor.view(torch.uint16) if tensor.dtype == torch.bfloat16 else tensor).numpy()


def as_output(tensor: Tensor) -> Any:
    """The tensor itself, to be written into.

    Raises:
        ValueError: Its numbers are not in order, so that only a copy's would be.
    """
    if not tensor.is_contiguous():
        raise ValueError(f"a kernel cannot write into strides of {tensor.stride()}; make the tensor contiguous")
    return as_array(tensor)
