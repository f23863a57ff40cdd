"""x W^T: this matrix product takes most of a step.

Why not `x @ W.T` alone? In float32 torch calls MKL, which does not use AVX-512 on AMD processors. On 2 cores of a Zen 5
it reaches 220 GFLOP/s, and oneDNN, which torch also contains, 500. Intel processors with AVX512-BF16 get oneDNN too;
its speed there was not measured. In bfloat16 torch calls oneDNN itself.
"""

from __future__ import annotations

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from bpe_lm.kernels.cpu import is_recording, supports

_MIN_MULTIPLICATIONS = 1 << 24
"""The number of multiplications from which oneDNN is faster, although its call takes longer."""

_HAS_ONE_DNN = torch.backends.mkldnn.is_available() and hasattr(torch.ops.mkldnn, "_linear_pointwise")  # type: ignore[no-untyped-call]


def linear(x: Float[Tensor, "... d_in"], weight: Float[Tensor, "d_out d_in"]) -> Float[Tensor, "... d_out"]:
    """Return x W^T. Shapes: (..., d_in) and (d_out, d_in) -> (..., d_out)."""
    is_one_row = x.device.type == "cpu" and x.numel() == x.shape[-1] and not torch.is_grad_enabled()
    return _one_row(x, weight) if is_one_row else linear_of_rows(x, weight)


def linear_of_rows(x: Float[Tensor, "... d_in"], weight: Float[Tensor, "d_out d_in"]) -> Float[Tensor, "... d_out"]:
    """Return x W^T for an x of many rows. Shapes as in `linear`."""
    is_wide = supports(x) and x.dtype == weight.dtype == torch.float32 and not torch.is_autocast_enabled("cpu")
    if is_wide and _HAS_ONE_DNN and x.numel() * len(weight) >= _MIN_MULTIPLICATIONS:
        function = _linear if is_recording() else _one_dnn
        return function(x.reshape(-1, x.shape[-1]), weight).view(*x.shape[:-1], len(weight))
    return x @ weight.T


def _one_row(x: Tensor, weight: Tensor) -> Tensor:
    """Return x W^T for a single row, computed by all threads.

    torch multiplies one row with one thread, at a quarter of the speed. The row is passed as a transposed view, because
    torch 2.15 multiplies a column with stride 1 in a loop that is eleven times as slow.
    """
    threads = torch.get_num_threads()
    parts = weight.view(threads if len(weight) % threads == 0 else 1, -1, x.shape[-1])
    return torch.bmm(parts, x.reshape(1, 1, -1).expand(len(parts), -1, -1).mT).view(*x.shape[:-1], len(weight))


def _one_dnn(x: Tensor, weight: Tensor) -> Tensor:
    """Return x W^T by oneDNN. Shapes: (rows, d_in) and (d_out, d_in) -> (rows, d_out).

    If x is not contiguous, the smaller matrix goes first, because oneDNN copies its first argument.
    """
    if not x.is_contiguous() and len(weight) < len(x):
        return torch.ops.mkldnn._linear_pointwise(weight, x, None, "none", [], "").T.contiguous()
    return torch.ops.mkldnn._linear_pointwise(x, weight, None, "none", [], "")


@torch.library.custom_op("bpe_lm::linear", mutates_args=())
def _linear(x: Tensor, weight: Tensor) -> Tensor:
    return _one_dnn(x, weight)


@_linear.register_fake
def _(x: Tensor, weight: Tensor) -> Tensor:
    return x.new_empty(len(x), len(weight))


def _save(ctx: Any, inputs: tuple[Tensor, Tensor], output: Tensor) -> None:
    ctx.save_for_backward(*inputs)


def _gradients(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, Tensor | None]:
    x, weight = ctx.saved_tensors
    needs_x, needs_weight = ctx.needs_input_grad
    return (
        _linear(gradient, weight.T) if needs_x else None,
        _linear(gradient.T, x.T) if needs_weight else None,
    )


_linear.register_autograd(_gradients, setup_context=_save)
