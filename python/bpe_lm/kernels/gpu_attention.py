"""Which of torch's attention kernels a run uses, by name, and a measurement of all of them.

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
is fastest depends on the shape of a head, the GPU and the versions of both libraries, so that it is measured. A run
keeps the name, because each kernel rounds otherwise.
"""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass
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

_GROUPS, _CALLS = 3, 4
"""The time of a kernel is the shortest of 3 groups of 4 calls, of both passes: a few milliseconds."""


@dataclass(frozen=True)
class AttentionTimes:
    """A measurement of all kernels on one shape."""

    fastest: AttentionKernel
    seconds: dict[AttentionKernel, float]
    """The time of both passes of one layer, of each kernel that works."""
    refused: dict[AttentionKernel, str]
    """Why each other kernel does not work for this shape, format and device: the first line of torch's error."""


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


def measure_attention(
    batch: int, heads: int, length: int, d_k: int, dtype: torch.dtype, device: torch.device
) -> AttentionTimes:
    """Measure causal self-attention, forward and backward, by each of torch's kernels, and leave the fastest in use.

    Inputs have the layout of the model: the heads of a token are adjacent. The processes of a distributed run may find
    different kernels fastest, so one of them decides.

    Raises:
        OptionError: No kernel works.
    """
    shape, seconds, refused = (batch, length, heads, d_k), {}, {}
    # Its own generator, so that a run draws the same numbers with and without a measurement.
    draws = torch.Generator(device).manual_seed(0)
    q, k, v, outer = (torch.randn(shape, generator=draws, dtype=dtype, device=device).transpose(1, 2) for _ in range(4))
    for tensor in (q, k, v):
        tensor.requires_grad_()
    for kernel in _candidates(device):
        try:
            use_attention(kernel)
            seconds[kernel] = _seconds_of(kernel, q, k, v, outer)
        except (RuntimeError, OptionError) as error:
            refused[kernel] = str(error).partition("\n")[0]
    if not seconds:
        raise OptionError(f"no kernel computes attention of shape {shape}, {dtype}, on {device}: {refused}")
    fastest = min(seconds, key=lambda kernel: seconds[kernel])
    use_attention(fastest)
    return AttentionTimes(fastest, seconds, refused)


def _candidates(device: torch.device) -> tuple[AttentionKernel, ...]:
    """Return the kernels that can be the fastest. On a GPU, math is not: it reads and writes all scores."""
    return ("flash", "flash3", "cudnn", "efficient") if device.type == "cuda" else ("flash", "math")


def _seconds_of(kernel: AttentionKernel, q: Tensor, k: Tensor, v: Tensor, outer: Tensor) -> float:
    """Return the seconds of one forward and backward pass. The first calls, which load the kernel, do not count."""

    def both_passes() -> None:
        torch.autograd.grad(attention_by(kernel, q, k, v, is_causal=True), (q, k, v), outer)

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch warns of each reason for which a kernel does not work.
        for _ in range(_CALLS):
            both_passes()
        return min(_seconds_of_calls(both_passes, q.device) for _ in range(_GROUPS)) / _CALLS


def _seconds_of_calls(function: Callable[[], None], device: torch.device) -> float:
    """Return the seconds of some calls, by the clock of the device.

    On a GPU the calls are queued, so that the host's time between them counts only where it is the longer.
    """
    if device.type != "cuda":
        start = time.perf_counter()
        for _ in range(_CALLS):
            function()
        return time.perf_counter() - start
    begin, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))  # type: ignore[no-untyped-call]
    torch.cuda.synchronize(device)
    with torch.cuda.device(device):
        begin.record()
        for _ in range(_CALLS):
            function()
        end.record()
    end.synchronize()
    return begin.elapsed_time(end) / 1000
