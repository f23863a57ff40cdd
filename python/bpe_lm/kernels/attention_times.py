"""A measurement of all kernels that can compute attention on a device, in a run's shape.

A kernel's time is that of all that lies between two products: the split of queries, keys and values, the rotation,
attention itself, and their gradients. Some kernels compute more of it than others.

On a GPU the calls are captured as a CUDA graph, and a replay is measured. Why not the calls? The host launches a small
step more slowly than a GPU computes it, so that their time is the host's, and the kernel with the fewest launches would
win.

A kernel counts only if its results are those of the others within the rounding of the number format: a compiler for
another GPU, or a library of another version, may be wrong.
"""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from bpe_lm.errors import OptionError
from bpe_lm.kernels.attention import fused_attention
from bpe_lm.kernels.choices import AttentionForm, Kernels, using
from bpe_lm.kernels.gpu import supports_triton
from bpe_lm.kernels.gpu_attention import attention_by, is_attention_kernel, use_attention
from bpe_lm.kernels.rotation import split_and_rotate

_LARGEST_ERROR = 0.02
"""The largest norm of the difference of two kernels' results, as a part of their norm. Of bfloat16 it is some 0.004."""

_GROUPS, _CALLS = 3, 4
"""The time of a kernel is the shortest of 3 groups of 4 calls, of both passes: a few milliseconds."""


@dataclass(frozen=True)
class AttentionTimes:
    """A measurement of all kernels on one shape."""

    fastest: AttentionForm
    seconds: dict[AttentionForm, float]
    """The time of both passes of one layer, of each kernel that works."""
    refused: dict[AttentionForm, str]
    """Why each other kernel does not work for this shape, format and device: the first line of the error."""


def measure_attention(
    batch: int, heads: int, length: int, d_k: int, dtype: torch.dtype, device: torch.device, *, rotates: bool = True
) -> AttentionTimes:
    """Measure causal self-attention, forward and backward, by each kernel.

    The processes of a distributed run may find different kernels fastest, so one of them decides.

    Args:
        batch: The texts.
        heads: The heads of a layer.
        length: The tokens of a text.
        d_k: The width of a head.
        dtype: The number format of queries, keys and values.
        device: Where they are.
        rotates: Whether queries and keys are rotated, which needs Triton here.

    Raises:
        OptionError: No kernel works.
    """
    shape, seconds, refused = (batch, length, 3, heads, d_k), {}, {}
    # Its own generator, so that a run draws the same numbers with and without a measurement.
    draws = torch.Generator(device).manual_seed(0)
    qkv = torch.randn(shape, generator=draws, dtype=dtype, device=device).requires_grad_()
    outer = torch.randn(batch, length, heads, d_k, generator=draws, dtype=dtype, device=device)
    angles = torch.randn(2, length, d_k // 2, generator=draws, device=device).unbind()
    tables = angles if rotates and supports_triton(qkv) else (None, None)
    first: list[Tensor] = []
    for kernel in _candidates(device):
        try:
            results = _results_of(kernel, qkv, outer, *tables)
            first = first or results
            _check_agreement(results, first)
            seconds[kernel] = _seconds_of(kernel, qkv, outer, *tables)
        except (RuntimeError, OptionError) as error:
            refused[kernel] = str(error).partition("\n")[0]
    if not seconds:
        raise OptionError(f"no kernel computes attention of shape {shape}, {dtype}, on {device}: {refused}")
    return AttentionTimes(min(seconds, key=lambda kernel: seconds[kernel]), seconds, refused)


def _candidates(device: torch.device) -> tuple[AttentionForm, ...]:
    """Return the kernels that can be the fastest. On a GPU, math is not: it reads and writes all scores."""
    return ("efficient", "flash", "flash3", "cudnn", "triton") if device.type == "cuda" else ("flash", "math")


def self_attention_by(kernel: AttentionForm, qkv: Tensor, cos: Tensor | None, sin: Tensor | None) -> Tensor:
    """Return softmax(Q K^T / sqrt(d_k)) V of rotated queries and keys. Shapes: as `fused_attention`.

    Raises:
        RuntimeError: The kernel does not take this shape, number format or device.
        OptionError: It is flash3, and torch or its package lacks it; or it is triton, which this GPU does not run.
    """
    if is_attention_kernel(kernel):
        use_attention(kernel)
        return attention_by(kernel, *split_and_rotate(qkv, cos, sin), is_causal=True).transpose(1, 2)
    if not supports_triton(qkv):
        raise OptionError("this machine does not run Triton")
    return fused_attention(qkv, cos, sin)


def _results_of(
    kernel: AttentionForm, qkv: Tensor, outer: Tensor, cos: Tensor | None, sin: Tensor | None
) -> list[Tensor]:
    """Return the heads and the gradient of queries, keys and values."""
    with warnings.catch_warnings(), using(Kernels(attention=kernel)):
        warnings.simplefilter("ignore")  # torch warns of each reason for which a kernel does not work.
        heads = self_attention_by(kernel, qkv, cos, sin)
        return [heads.detach(), *torch.autograd.grad(heads, qkv, outer)]


def _check_agreement(results: list[Tensor], others: list[Tensor]) -> None:
    for result, other in zip(results, others, strict=True):
        error = float((result.float() - other.float()).norm() / other.float().norm())
        if not error <= _LARGEST_ERROR:
            raise OptionError(f"its results differ from those of other kernels by a part of {error:.2g}")


def _seconds_of(kernel: AttentionForm, qkv: Tensor, outer: Tensor, cos: Tensor | None, sin: Tensor | None) -> float:
    """Return the seconds of one forward and backward pass. The first calls, which load the kernel, do not count."""

    def both_passes() -> None:
        torch.autograd.grad(self_attention_by(kernel, qkv, cos, sin), qkv, outer)

    with warnings.catch_warnings(), using(Kernels(attention=kernel)):
        warnings.simplefilter("ignore")  # torch warns of each reason for which a kernel does not work.
        for _ in range(_CALLS):
            both_passes()
        calls = _captured(both_passes, qkv.device) if qkv.device.type == "cuda" else _repeated(both_passes)
        return min(calls() for _ in range(_GROUPS)) / _CALLS


def _repeated(function: Callable[[], None]) -> Callable[[], float]:
    """Return a function that measures the seconds of some calls."""

    def seconds() -> float:
        start = time.perf_counter()
        for _ in range(_CALLS):
            function()
        return time.perf_counter() - start

    return seconds


def _captured(function: Callable[[], None], device: torch.device) -> Callable[[], float]:
    """Return a function that measures the seconds of some calls by the clock of a GPU."""
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.device(device):
        begin, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))  # type: ignore[no-untyped-call]
        with torch.cuda.graph(graph, capture_error_mode="thread_local"):
            for _ in range(_CALLS):
                function()

    def seconds() -> float:
        with torch.cuda.device(device):
            begin.record()
            graph.replay()
            end.record()
        end.synchronize()
        return begin.elapsed_time(end) / 1000

    return seconds
