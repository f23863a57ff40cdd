"""The split of the product of queries, keys and values into its parts, with the rotation of queries and keys.

On a GPU one kernel does both, which torch's operations do in six passes, in float32 copies. Why an operator, and not
`torch.library.triton_op`? The compiler takes such a kernel apart to find what it writes, and copies its arguments where
it cannot. It leaves an operator whole, in all versions of torch from 2.11 on. A launch costs the host some
microseconds more, which a GPU that is behind the host does not notice.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from bpe_lm.kernels.gpu import supports_triton
from bpe_lm.kernels.operator import operator, shapes_of


def supports_split_and_rotate(qkv: Tensor) -> bool:
    """Return whether the kernel runs on the device of these queries, keys and values."""
    return supports_triton(qkv)


def split_and_rotate(qkv: Tensor, cos: Tensor | None, sin: Tensor | None) -> tuple[Tensor, Tensor, Tensor]:
    """Return q, k and v for attention, q and k rotated by cos and sin, in the number format of `qkv`.

    (a, b) -> (a cos - b sin, a sin + b cos) for each pair of adjacent numbers, computed in float32.
    Shapes: (..., seq, 3, head, d_k) and (seq, d_k / 2) twice -> (..., head, seq, d_k) three times. In memory, the heads
    of a token are adjacent. Without cos and sin, the results are views of `qkv`.
    """
    if cos is None or sin is None:
        parts = qkv.unbind(-3)
        return parts[0].transpose(-2, -3), parts[1].transpose(-2, -3), parts[2].transpose(-2, -3)
    flat = qkv.reshape(-1, *qkv.shape[-4:])
    q, k, v = (part.view(*qkv.shape[:-3], *qkv.shape[-2:]).transpose(-2, -3) for part in _split(flat, cos, sin))
    return q, k, v


@operator("split_and_rotate")
def _split(qkv: Tensor, cos: Tensor, sin: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    # Triton is on Linux only, and its import takes a moment.
    from bpe_lm.kernels.triton_rotation import split_and_rotate_into

    q, k, v = _empty_parts(qkv)
    split_and_rotate_into(qkv.contiguous(), cos.float().contiguous(), sin.float().contiguous(), q, k, v)
    return q, k, v


def _empty_parts(qkv: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    batch, length, _, heads, d = qkv.shape
    shape = batch, length, heads, d
    return qkv.new_empty(shape), qkv.new_empty(shape), qkv.new_empty(shape)


@shapes_of(_split)
def _(qkv: Tensor, cos: Tensor, sin: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    return _empty_parts(qkv)


@operator("join_rotated")
def _join(dq: Tensor, dk: Tensor, dv: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """Return the gradient of queries, keys and values: the inverse rotation, and the inverse of the split."""
    from bpe_lm.kernels.triton_rotation import join_rotated_into

    dqkv = _empty_whole(dq)
    dq, dk, dv = (part if part.stride(-1) == 1 else part.contiguous() for part in (dq, dk, dv))
    join_rotated_into(dq, dk, dv, cos.float().contiguous(), sin.float().contiguous(), dqkv)
    return dqkv


def _empty_whole(dq: Tensor) -> Tensor:
    batch, length, heads, d = dq.shape
    return dq.new_empty(batch, length, 3, heads, d)


@shapes_of(_join)
def _(dq: Tensor, dk: Tensor, dv: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    return _empty_whole(dq)


def _save(ctx: Any, inputs: tuple[Tensor, Tensor, Tensor], output: tuple[Tensor, Tensor, Tensor]) -> None:
    ctx.save_for_backward(*inputs[1:])


def _gradients(ctx: Any, dq: Tensor, dk: Tensor, dv: Tensor) -> tuple[Tensor, None, None]:
    return _join(dq, dk, dv, *ctx.saved_tensors), None, None


torch.library.register_autograd(_split, _gradients, setup_context=_save)
