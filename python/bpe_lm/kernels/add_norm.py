"""RMSNorm of a residual stream with the addition of a branch to it, for a run in bfloat16 on a CPU.

The kernel, src/kernels/norm.rs, passes once over the rows: it adds the branch, writes the sum in float32 and the
normalized row in bfloat16, as the next product reads it. Its gradient does the same in the other direction.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from bpe_lm import _core
from bpe_lm.kernels.cpu import as_array, as_output, is_recording, supports_layers
from bpe_lm.kernels.operator import operator, shapes_of


def supports_add_norm(x: Tensor, weight: Tensor) -> bool:
    """Return whether the kernel computes the norm of this stream here, in place of the formula."""
    fits = x.dtype == torch.float32 and weight.dtype in (torch.float32, torch.bfloat16)
    return fits and supports_layers(x, x.shape[-1])


def add_norm(x: Tensor, branch: Tensor | None, weight: Tensor, eps: float) -> tuple[Tensor, Tensor]:
    """Return s = x + branch, and s / sqrt(mean(s^2) + eps) * weight in bfloat16. Without a branch, s is x.

    Shapes: (..., d) twice and (d,) -> (..., d) twice. The branch is rounded to bfloat16. A weight in bfloat16, as
    sharded blocks gather it, is widened.
    """
    function = _forward if is_recording() else _run
    rows = x.reshape(-1, x.shape[-1])
    narrow = None if branch is None else branch.reshape(rows.shape).to(torch.bfloat16)
    sums, outputs, _ = function(rows, narrow, weight.float(), eps)
    return x if branch is None else sums.view(x.shape), outputs.view(x.shape)


def _empty(x: Tensor, branch: Tensor | None) -> tuple[Tensor, Tensor, Tensor]:
    sums = torch.empty_like(x if branch is not None else x[:0])
    return sums, torch.empty_like(x, dtype=torch.bfloat16), x.new_empty(len(x))


def _copy(weight: Tensor) -> Any:
    """Return a weight as an array of its own: numpy fixes the size of memory, and FSDP frees a weight by that size."""
    return as_array(weight.detach().clone())


def _run(x: Tensor, branch: Tensor | None, weight: Tensor, eps: float) -> tuple[Tensor, Tensor, Tensor]:
    """Return the sums (without a branch no rows), the outputs, and the scale of each row."""
    sums, outputs, scales = _empty(x, branch)
    _core.norm_forward(
        as_array(x),
        None if branch is None else as_array(branch),
        _copy(weight),
        eps,
        torch.get_num_threads(),
        None if branch is None else as_output(sums),
        as_output(outputs),
        as_output(scales),
    )
    return sums, outputs, scales


@operator("add_norm")
def _forward(x: Tensor, branch: Tensor | None, weight: Tensor, eps: float) -> tuple[Tensor, Tensor, Tensor]:
    return _run(x, branch, weight, eps)


@shapes_of(_forward)
def _(x: Tensor, branch: Tensor | None, weight: Tensor, eps: float) -> tuple[Tensor, Tensor, Tensor]:
    return _empty(x, branch)


@operator("add_norm_backward")
def _backward(
    gradient: Tensor, outer: Tensor | None, sums: Tensor, scales: Tensor, weight: Tensor, has_branch: bool
) -> tuple[Tensor, Tensor, Tensor]:
    """Return the gradients of x, of the branch (without one no rows), and of the weight."""
    to_x, to_branch, to_weight = _empty_gradients(sums, weight, has_branch)
    _core.norm_backward(
        as_array(gradient.to(torch.bfloat16)),
        None if outer is None else as_array(outer),
        as_array(sums),
        as_array(scales),
        _copy(weight),
        torch.get_num_threads(),
        as_output(to_x),
        as_output(to_branch) if has_branch else None,
        as_output(to_weight),
    )
    return to_x, to_branch, to_weight


def _empty_gradients(sums: Tensor, weight: Tensor, has_branch: bool) -> tuple[Tensor, Tensor, Tensor]:
    narrow = torch.empty_like(sums if has_branch else sums[:0], dtype=torch.bfloat16)
    return torch.empty_like(sums), narrow, torch.empty_like(weight)


@shapes_of(_backward)
def _(
    gradient: Tensor, outer: Tensor | None, sums: Tensor, scales: Tensor, weight: Tensor, has_branch: bool
) -> tuple[Tensor, Tensor, Tensor]:
    return _empty_gradients(sums, weight, has_branch)


def _save(ctx: Any, inputs: tuple[Tensor, Tensor | None, Tensor, float], output: tuple[Tensor, Tensor, Tensor]) -> None:
    x, branch, weight, _ = inputs
    sums, _, scales = output
    ctx.has_branch = branch is not None
    ctx.save_for_backward(sums if ctx.has_branch else x, scales, weight)
    ctx.set_materialize_grads(False)


def _gradients(
    ctx: Any, outer: Tensor | None, gradient: Tensor | None, _: None
) -> tuple[Tensor | None, Tensor | None, Tensor | None, None]:
    if gradient is None:
        narrow = outer.to(torch.bfloat16) if outer is not None and ctx.has_branch else None
        return outer, narrow, None, None
    outer = outer if ctx.has_branch else None
    to_x, to_branch, to_weight = _backward(gradient, outer, *ctx.saved_tensors, ctx.has_branch)
    return to_x, to_branch if ctx.has_branch else None, to_weight, None


torch.library.register_autograd(_forward, _gradients, setup_context=_save)
