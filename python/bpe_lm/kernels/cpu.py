"""Tensors for the kernels of src/kernels, which take numpy arrays and need a CPU with AVX512-BF16."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from bpe_lm import _core
from bpe_lm.kernels.forms import form_of
from bpe_lm.kernels.simulated import kind_of

_ARE_AVAILABLE = _core.kernels_are_available()


def supports(tensor: Tensor) -> bool:
    """Return whether the kernels run on this machine and take this tensor: on a CPU, in float32 or bfloat16."""
    return _ARE_AVAILABLE and kind_of(tensor) == "cpu" and tensor.dtype in (torch.float32, torch.bfloat16)


_COLUMNS = 32
"""The kernels between products take rows of multiples of this."""


def supports_layers(x: Tensor, width: int) -> bool:
    """Return whether the kernels between products compute rows of `width` numbers here: on a CPU, in bfloat16."""
    is_mixed = torch.is_autocast_enabled("cpu") and torch.get_autocast_dtype("cpu") == torch.bfloat16
    fits = supports(x) and x.numel() > 0 and width % _COLUMNS == 0
    return is_mixed and fits and form_of("layers", "cpu") == "avx512"


def is_recording() -> bool:
    """Return whether torch records operations, for gradients or for a compiled graph.

    Only then does a fast form need its operator. Otherwise the function behind the operator is called directly.
    """
    return torch.is_grad_enabled() or torch.compiler.is_compiling()


def as_array(tensor: Tensor) -> Any:
    """Return the numbers of a tensor as a contiguous array. numpy has no bfloat16, so it gets the bits as uint16."""
    tensor = tensor.detach().contiguous()
    return (tensor.view(torch.uint16) if tensor.dtype == torch.bfloat16 else tensor).numpy()


def as_output(tensor: Tensor) -> Any:
    """Return the memory of a tensor as an array for a kernel to write into.

    Raises:
        ValueError: The tensor is not contiguous, so that the kernel would write into a copy.
    """
    if not tensor.is_contiguous():
        raise ValueError(f"a kernel cannot write into strides of {tensor.stride()}; make the tensor contiguous")
    return as_array(tensor)
