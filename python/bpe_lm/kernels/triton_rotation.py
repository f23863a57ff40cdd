"""The rotation of queries and keys, and the split of their product, on a GPU in one pass, written for Triton.

One program takes some heads of one token, so that all loads and stores are of adjacent numbers, although the pairs of a
rotation are interleaved: a block of a head is split into the two halves of its pairs in registers.
"""

from __future__ import annotations

from typing import Any

import torch
import triton
from torch import Tensor
from triton import language as tl

_BLOCK = 2048
"""The largest number of values of q, of k and of v in one program."""


@triton.jit
def _rotated(x, cos, sin, heads: tl.constexpr, width: tl.constexpr):
    """Return (a cos - b sin, a sin + b cos) for each pair (a, b) of x. Shapes: (heads, width), (width / 2) twice."""
    a, b = tl.split(tl.reshape(x, (heads, width // 2, 2)))
    c, s = cos[None, :], sin[None, :]
    return tl.reshape(tl.join(a * c - b * s, a * s + b * c), (heads, width))


@triton.jit
def _angles(table, position, d_k: tl.constexpr, width: tl.constexpr):
    """Return the cosines or sines of a position; width is the power of 2 from d_k on."""
    pair = tl.arange(0, width // 2)
    return tl.load(table + position * (d_k // 2) + pair, mask=pair < d_k // 2, other=0.0)


@triton.jit
def _split_kernel(
    qkv,
    cos,
    sin,
    q,
    k,
    v,
    length,
    num_heads: tl.constexpr,
    d_k: tl.constexpr,
    heads: tl.constexpr,
    width: tl.constexpr,
):
    """Write q, k and v of some heads of token `program_id(0)`."""
    token = tl.program_id(0).to(tl.int64)
    c, s = _angles(cos, token % length, d_k, width), _angles(sin, token % length, d_k, width)
    head, column = tl.program_id(1) * heads + tl.arange(0, heads)[:, None], tl.arange(0, width)[None, :]
    is_inside = (head < num_heads) & (column < d_k)
    at = head * d_k + column
    source = qkv + token * (3 * num_heads * d_k) + at
    target = token * (num_heads * d_k) + at
    kind = q.dtype.element_ty
    query = tl.load(source, mask=is_inside).to(tl.float32)
    key = tl.load(source + num_heads * d_k, mask=is_inside).to(tl.float32)
    value = tl.load(source + 2 * num_heads * d_k, mask=is_inside)
    tl.store(q + target, _rotated(query, c, s, heads, width).to(kind), mask=is_inside)
    tl.store(k + target, _rotated(key, c, s, heads, width).to(kind), mask=is_inside)
    tl.store(v + target, value, mask=is_inside)


@triton.jit
def _join_kernel(
    dq,
    dk,
    dv,
    cos,
    sin,
    dqkv,
    length,
    q_batch,
    q_token,
    q_head,
    k_batch,
    k_token,
    k_head,
    v_batch,
    v_token,
    v_head,
    num_heads: tl.constexpr,
    d_k: tl.constexpr,
    heads: tl.constexpr,
    width: tl.constexpr,
):
    """Write the gradient of qkv of some heads of token `program_id(0)`. The gradients of q, k and v have strides."""
    token = tl.program_id(0).to(tl.int64)
    batch, position = token // length, token % length
    c, s = _angles(cos, position, d_k, width), _angles(sin, position, d_k, width)
    head, column = tl.program_id(1) * heads + tl.arange(0, heads)[:, None], tl.arange(0, width)[None, :]
    is_inside = (head < num_heads) & (column < d_k)
    query = tl.load(dq + batch * q_batch + position * q_token + head * q_head + column, mask=is_inside).to(tl.float32)
    key = tl.load(dk + batch * k_batch + position * k_token + head * k_head + column, mask=is_inside).to(tl.float32)
    value = tl.load(dv + batch * v_batch + position * v_token + head * v_head + column, mask=is_inside)
    target = dqkv + token * (3 * num_heads * d_k) + head * d_k + column
    kind = dqkv.dtype.element_ty
    tl.store(target, _rotated(query, c, -s, heads, width).to(kind), mask=is_inside)
    tl.store(target + num_heads * d_k, _rotated(key, c, -s, heads, width).to(kind), mask=is_inside)
    tl.store(target + 2 * num_heads * d_k, value, mask=is_inside)


def split_and_rotate_into(qkv: Tensor, cos: Tensor, sin: Tensor, q: Tensor, k: Tensor, v: Tensor) -> None:
    """Write the rotated queries and keys, and the values, of contiguous tensors of one number format.

    Shapes: (batch, seq, 3, head, d_k) and (seq, d_k / 2) twice -> (batch, seq, head, d_k) three times.
    """
    batch, length, _, num_heads, d_k = qkv.shape
    if qkv.numel():
        grid, sizes, options = _grid(batch * length, num_heads, d_k)
        with torch.cuda.device_of(qkv):
            _split_kernel[grid](qkv, cos, sin, q, k, v, length, num_heads, d_k, *sizes, **options)


def join_rotated_into(dq: Tensor, dk: Tensor, dv: Tensor, cos: Tensor, sin: Tensor, dqkv: Tensor) -> None:
    """Write the gradient of qkv, of which the gradients of q, k and v may have any strides but the last, which is 1.

    Shapes: (batch, seq, head, d_k) three times and (seq, d_k / 2) twice -> (batch, seq, 3, head, d_k).
    """
    batch, length, num_heads, d_k = dq.shape
    if dq.numel():
        grid, sizes, options = _grid(batch * length, num_heads, d_k)
        strides = [stride for part in (dq, dk, dv) for stride in part.stride()[:3]]
        with torch.cuda.device_of(dq):
            _join_kernel[grid](dq, dk, dv, cos, sin, dqkv, length, *strides, num_heads, d_k, *sizes, **options)


def _grid(tokens: int, num_heads: int, d_k: int) -> tuple[tuple[int, int], tuple[int, int], dict[str, Any]]:
    """Return the numbers of programs, the heads and the width of a program's block, and the options of the launch.

    Heads and width are powers of 2. There are as many warps as give each thread 8 values: 16 bytes in bfloat16.
    """
    width = triton.next_power_of_2(d_k)
    heads = max(min(triton.next_power_of_2(num_heads), _BLOCK // width), 1)
    warps = max(min(heads * width // 256, 4), 1)
    return (tokens, triton.cdiv(num_heads, heads)), (heads, width), {"num_warps": warps, "enable_fp_fusion": True}
