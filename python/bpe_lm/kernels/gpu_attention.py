"""torch's attention kernels, by name.

| name | kernel | equal bits in each run |
| --- | --- | --- |
| flash | FlashAttention 2 on a GPU, torch's own on a CPU | if torch's deterministic algorithms are on |
| flash3 | FlashAttention 3 by its package `flash_attn_interface`, on Hopper | if they are on |
| cudnn | cuDNN's | never: torch refuses it if they are on |
| efficient | memory-efficient attention of xFormers | if they are on |
| math | the formula by torch's operations | if they are on |

cuDNN's backward pass takes the gradient of its output in the output's layout, and a compiler may hand it another one,
with a wrong result (torch 2.11, H200). In the model a product follows attention, whose gradient has that layout; a test
on a GPU compares them.

On a GPU, flash, flash3 and cudnn take bfloat16 and no float32. torch picks one by fixed rules if it is not told; which
is fastest depends on the shape of a head, the GPU and the versions of both libraries, so that a run measures them
(attention_times.py). It keeps the name, because each kernel rounds otherwise.
"""

from __future__ import annotations

from importlib.util import find_spec
from typing import Literal, TypeGuard, get_args

import torch
from torch import Tensor
from torch.nn import attention, functional
from torch.nn.attention import SDPBackend, sdpa_kernel

from bpe_lm.errors import OptionError

AttentionKernel = Literal["flash", "flash3", "cudnn", "efficient", "math"]

ATTENTION_KERNELS: tuple[AttentionKernel, ...] = get_args(AttentionKernel)

_BACKENDS = {
    "flash": SDPBackend.FLASH_ATTENTION,
    "flash3": SDPBackend.FLASH_ATTENTION,
    "cudnn": SDPBackend.CUDNN_ATTENTION,
    "efficient": SDPBackend.EFFICIENT_ATTENTION,
    "math": SDPBackend.MATH,
}

_FLASH_3 = "FA3"
"""torch's name of FlashAttention 3."""


def attention_by(kernel: AttentionKernel, q: Tensor, k: Tensor, v: Tensor, *, is_causal: bool) -> Tensor:
    """Return softmax(Q K^T / sqrt(d_k)) V, computed by one of torch's kernels. `use_attention` comes first, once.

    Shapes: (batch, head, queries, d_k) and (batch, head, keys, d_k) twice -> (batch, head, queries, d_k).

    Raises:
        RuntimeError: The kernel does not take this shape, number format or device.
    """
    with sdpa_kernel(_BACKENDS[kernel]):
        return functional.scaled_dot_product_attention(q, k, v, is_causal=is_causal)


def is_attention_kernel(name: str) -> TypeGuard[AttentionKernel]:
    """Return whether this is the name of one of torch's kernels."""
    return name in ATTENTION_KERNELS


def use_attention(kernel: AttentionKernel) -> None:
    """Let torch find the kernel in the whole process. A function that was compiled before keeps the other kernel.

    Raises:
        OptionError: It is flash3, and torch or its package lacks it.
    """
    has_flash_3 = _can_activate() and attention.current_flash_attention_impl() == _FLASH_3
    if kernel == "flash3" and not has_flash_3:
        if why := why_no_flash_3():
            raise OptionError(f"the attention kernel flash3 is not possible here: {why}; use flash or cudnn")
        attention.activate_flash_attention_impl(_FLASH_3)
    elif kernel != "flash3" and has_flash_3:
        attention.restore_flash_attention_impl()


def _can_activate() -> bool:
    return hasattr(attention, "activate_flash_attention_impl")


def why_no_flash_3() -> str:
    """Return what FlashAttention 3 lacks in this process, or nothing."""
    if not _can_activate() or _FLASH_3 not in attention.list_flash_attention_impls():
        return f"torch {torch.__version__} does not know it"
    if find_spec("flash_attn_interface") is None:
        return "the package flash_attn_interface is not installed"
    if not torch.cuda.is_available() or torch.cuda.get_device_capability()[0] != 9:
        return "it needs a Hopper GPU (compute capability 9)"
    return ""


def deterministic_attention(dtype: torch.dtype, device: torch.device) -> AttentionKernel:
    """Return the kernel of a deterministic run, by a rule and without a measurement.

    It gives equal bits if `torch.use_deterministic_algorithms(True)` is on.
    """
    return "efficient" if device.type == "cuda" and dtype == torch.float32 else "flash"
