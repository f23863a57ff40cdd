"""Causal self-attention on a GPU, with the rotation of queries and keys in it, written for Triton.

The kernels read queries, keys and values from the product that computes them, and write the gradient of that product.
So nothing passes over memory between the products before and after attention. Why not torch's kernels? They want
queries and keys that were rotated and split before, which takes two more passes over memory. Where heads are wide and
texts long, that is little, and torch's kernels are faster: a run measures all (attention_times.py).

One program computes a block of queries (forward), or the gradients of a block of keys and of a block of queries
(backward). Each number of a gradient is a sum by one program in one order, so that equal inputs give equal bits. That
costs two products more than additions of several programs to one gradient.

A window hides keys that are `reach` or more places before a query. Blocks that it hides are left out; blocks at its
border are masked.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import e, log2
from typing import Any

import torch
import triton
from torch import Tensor
from triton import language as tl

_LOWEST = tl.constexpr(-3.4028234663852886e38)
"""The smallest float32: the largest score of none. An infinity less another would be no number."""


@triton.jit
def _tile(base, rows, stride, length, kind: tl.constexpr, d_k: tl.constexpr, width: tl.constexpr):
    """Load rows of `d_k` numbers, which are `stride` apart, with zeros up to `width` and from row `length` on."""
    column = tl.arange(0, width)
    is_inside = rows[:, None] < length
    if d_k < width:
        is_inside = is_inside & (column[None, :] < d_k)
    return tl.load(base + rows[:, None] * stride + column[None, :], mask=is_inside, other=0.0).to(kind)


@triton.jit
def _store(base, rows, stride, length, values, d_k: tl.constexpr, width: tl.constexpr):
    column = tl.arange(0, width)
    is_inside = rows[:, None] < length
    if d_k < width:
        is_inside = is_inside & (column[None, :] < d_k)
    at = base + rows[:, None] * stride + column[None, :]
    tl.store(at, values.to(base.dtype.element_ty), mask=is_inside)


@triton.jit
def _rotated(x, cos, sin, rows, length, sign, d_k: tl.constexpr, width: tl.constexpr):
    """Return (a cos - b sin, a sin + b cos) for each pair (a, b) of each row in float32, with sin times `sign`."""
    pair = tl.arange(0, width // 2)
    at = rows[:, None] * (d_k // 2) + pair[None, :]
    is_inside = rows[:, None] < length
    if d_k < width:
        is_inside = is_inside & (pair[None, :] < d_k // 2)
    c = tl.load(cos + at, mask=is_inside, other=0.0)
    s = tl.load(sin + at, mask=is_inside, other=0.0) * sign
    a, b = tl.split(tl.reshape(x.to(tl.float32), (x.shape[0], width // 2, 2)))
    return tl.reshape(tl.join(a * c - b * s, a * s + b * c), (x.shape[0], width))


@triton.jit
def _rotated_tile(
    base, cos, sin, rows, stride, length,
    kind: tl.constexpr, rotates: tl.constexpr, d_k: tl.constexpr, width: tl.constexpr,
):  # fmt: skip
    x = _tile(base, rows, stride, length, kind, d_k, width)
    if rotates:
        x = _rotated(x, cos, sin, rows, length, 1.0, d_k, width).to(kind)
    return x


@triton.jit
def _is_seen(queries, keys, reach: tl.constexpr):
    """Return whether a query sees a key: none after it, and with a window none that is `reach` or more before it."""
    is_seen = queries >= keys
    if reach > 0:
        is_seen = is_seen & (queries < keys + reach)
    return is_seen


@triton.jit
def _attend(
    q,
    state,
    keys_of,
    values_of,
    cos,
    sin,
    queries,
    begin,
    end,
    length,
    scale,
    is_masked: tl.constexpr,
    reach: tl.constexpr,
    rotates: tl.constexpr,
    stride: tl.constexpr,
    d_k: tl.constexpr,
    width: tl.constexpr,
    block_k: tl.constexpr,
    kind: tl.constexpr,
):
    """Take the keys from `begin` to `end` into the state: weighted values, sums and largest scores of the queries."""
    mixed, total, largest = state
    for start in range(begin, end, block_k):
        keys = start + tl.arange(0, block_k)
        k = _rotated_tile(keys_of, cos, sin, keys, stride, length, kind, rotates, d_k, width)
        v = _tile(values_of, keys, stride, length, kind, d_k, width)
        scores = tl.dot(q, tl.trans(k), input_precision="ieee")
        if is_masked:
            scores = tl.where(_is_seen(queries[:, None], keys[None, :], reach), scores, float("-inf"))
        new_largest = tl.maximum(largest, tl.max(scores, 1) * scale)
        weights = tl.exp2(scores * scale - new_largest[:, None])
        shrink = tl.exp2(largest - new_largest)
        total = total * shrink + tl.sum(weights, 1)
        mixed = tl.dot(weights.to(kind), v, mixed * shrink[:, None], input_precision="ieee")
        largest = new_largest
    return mixed, total, largest


@triton.jit
def _forward_kernel(
    qkv,
    cos,
    sin,
    outputs,
    log_sums,
    length,
    blocks,
    scale,
    heads: tl.constexpr,
    d_k: tl.constexpr,
    width: tl.constexpr,
    reach: tl.constexpr,
    rotates: tl.constexpr,
    block_q: tl.constexpr,
    block_k: tl.constexpr,
    kind: tl.constexpr,
):
    """Write the outputs and the logarithms of sums of one block of queries of one head. `scale` is for powers of 2."""
    head = tl.program_id(0) // blocks
    begin = (blocks - 1 - tl.program_id(0) % blocks) * block_q
    stride: tl.constexpr = 3 * heads * d_k
    first_row = (head // heads).to(tl.int64) * length
    queries_of = qkv + first_row * stride + (head % heads) * d_k
    keys_of, values_of = queries_of + heads * d_k, queries_of + 2 * heads * d_k

    queries = begin + tl.arange(0, block_q)
    q = _rotated_tile(queries_of, cos, sin, queries, stride, length, kind, rotates, d_k, width)
    state = (
        tl.zeros((block_q, width), tl.float32),
        tl.zeros((block_q,), tl.float32),
        tl.full((block_q,), _LOWEST, tl.float32),
    )
    seen_by_all, end = begin // block_k * block_k, tl.minimum(begin + block_q, length)
    first = 0
    if reach > 0:
        # The keys that the first query sees begin before those that all queries see.
        first = tl.maximum(begin - reach + 1, 0) // block_k * block_k
        border = tl.cdiv(tl.maximum(begin + block_q - reach, 0), block_k) * block_k
        border = tl.minimum(border, seen_by_all)
        state = _attend(
            q, state, keys_of, values_of, cos, sin, queries, first, border, length, scale,
            True, reach, rotates, stride, d_k, width, block_k, kind,
        )  # fmt: skip
        first = tl.maximum(first, border)
    state = _attend(
        q, state, keys_of, values_of, cos, sin, queries, first, seen_by_all, length, scale,
        False, reach, rotates, stride, d_k, width, block_k, kind,
    )  # fmt: skip
    state = _attend(
        q, state, keys_of, values_of, cos, sin, queries, seen_by_all, end, length, scale,
        True, reach, rotates, stride, d_k, width, block_k, kind,
    )  # fmt: skip
    mixed, total, largest = state
    if reach > 0:
        # A row behind the end of the text may see no key.
        total = tl.where(queries < length, total, 1.0)
    to = outputs + first_row * (heads * d_k) + (head % heads) * d_k
    _store(to, queries, heads * d_k, length, mixed / total[:, None], d_k, width)
    tl.store(log_sums + head.to(tl.int64) * length + queries, largest + tl.log2(total), mask=queries < length)


@triton.jit
def _deltas_kernel(
    outputs, gradients, deltas, length, blocks, heads: tl.constexpr, d_k: tl.constexpr, width: tl.constexpr,
    block: tl.constexpr,
):  # fmt: skip
    """Write the product of output and its gradient of each query of one block of one head."""
    head, rows = tl.program_id(0) // blocks, tl.program_id(0) % blocks * block + tl.arange(0, block)
    offset = (head // heads).to(tl.int64) * length * (heads * d_k) + (head % heads) * d_k
    o = _tile(outputs + offset, rows, heads * d_k, length, tl.float32, d_k, width)
    g = _tile(gradients + offset, rows, heads * d_k, length, tl.float32, d_k, width)
    tl.store(deltas + head.to(tl.int64) * length + rows, tl.sum(o * g, 1), mask=rows < length)


@triton.jit
def _add_key_gradients(
    sums,
    k,
    v,
    queries_of,
    gradients_of,
    log_sums,
    deltas,
    cos,
    sin,
    keys,
    begin,
    end,
    length,
    scale,
    is_masked: tl.constexpr,
    reach: tl.constexpr,
    rotates: tl.constexpr,
    heads: tl.constexpr,
    d_k: tl.constexpr,
    width: tl.constexpr,
    block: tl.constexpr,
    kind: tl.constexpr,
):
    """Add what the queries from `begin` to `end` contribute to the gradients of keys (unscaled) and values."""
    dk, dv = sums
    for start in range(begin, end, block):
        queries = start + tl.arange(0, block)
        q = _rotated_tile(queries_of, cos, sin, queries, 3 * heads * d_k, length, kind, rotates, d_k, width)
        g = _tile(gradients_of, queries, heads * d_k, length, kind, d_k, width)
        log_sum = tl.load(log_sums + queries, mask=queries < length, other=0.0)
        delta = tl.load(deltas + queries, mask=queries < length, other=0.0)
        weights = tl.exp2(tl.dot(k, tl.trans(q), input_precision="ieee") * scale - log_sum[None, :])
        if is_masked:
            weights = tl.where(_is_seen(queries[None, :], keys[:, None], reach), weights, 0.0)
        dv = tl.dot(weights.to(kind), g, dv, input_precision="ieee")
        to_weights = tl.dot(v, tl.trans(g), input_precision="ieee")
        to_scores = weights * (to_weights - delta[None, :])
        dk = tl.dot(to_scores.to(kind), q, dk, input_precision="ieee")
    return dk, dv


@triton.jit
def _add_query_gradients(
    dq,
    q,
    g,
    log_sum,
    delta,
    keys_of,
    values_of,
    cos,
    sin,
    queries,
    begin,
    end,
    length,
    scale,
    is_masked: tl.constexpr,
    reach: tl.constexpr,
    rotates: tl.constexpr,
    stride: tl.constexpr,
    d_k: tl.constexpr,
    width: tl.constexpr,
    block: tl.constexpr,
    kind: tl.constexpr,
):
    """Add what the keys from `begin` to `end` contribute to the gradient of queries (unscaled)."""
    for start in range(begin, end, block):
        keys = start + tl.arange(0, block)
        k = _rotated_tile(keys_of, cos, sin, keys, stride, length, kind, rotates, d_k, width)
        v = _tile(values_of, keys, stride, length, kind, d_k, width)
        weights = tl.exp2(tl.dot(q, tl.trans(k), input_precision="ieee") * scale - log_sum[:, None])
        if is_masked:
            weights = tl.where(_is_seen(queries[:, None], keys[None, :], reach), weights, 0.0)
        to_scores = weights * (tl.dot(g, tl.trans(v), input_precision="ieee") - delta[:, None])
        dq = tl.dot(to_scores.to(kind), k, dq, input_precision="ieee")
    return dq


@triton.jit
def _backward_kernel(
    gradients,
    qkv,
    cos,
    sin,
    log_sums,
    deltas,
    to_qkv,
    length,
    blocks,
    scale,
    to_scores_scale,
    heads: tl.constexpr,
    d_k: tl.constexpr,
    width: tl.constexpr,
    reach: tl.constexpr,
    rotates: tl.constexpr,
    own: tl.constexpr,
    block: tl.constexpr,
    kind: tl.constexpr,
):
    """Write the gradients of `own` keys and values, and of the queries of the same places, of one head.

    The later the place, the fewer queries see its key, and the more keys its query sees: all programs do the same work.
    """
    head, begin = tl.program_id(0) // blocks, tl.program_id(0) % blocks * own
    stride: tl.constexpr = 3 * heads * d_k
    first_row, column = (head // heads).to(tl.int64) * length, (head % heads) * d_k
    queries_of = qkv + first_row * stride + column
    keys_of, values_of = queries_of + heads * d_k, queries_of + 2 * heads * d_k
    gradients_of = gradients + first_row * (heads * d_k) + column
    log_sums += head.to(tl.int64) * length
    deltas += head.to(tl.int64) * length
    to = to_qkv + first_row * stride + column
    places = begin + tl.arange(0, own)
    seen_by_all = tl.minimum(begin + own, length)

    k = _rotated_tile(keys_of, cos, sin, places, stride, length, kind, rotates, d_k, width)
    v = _tile(values_of, places, stride, length, kind, d_k, width)
    sums = (tl.zeros((own, width), tl.float32), tl.zeros((own, width), tl.float32))
    sums = _add_key_gradients(
        sums, k, v, queries_of, gradients_of, log_sums, deltas, cos, sin, places, begin, seen_by_all, length, scale,
        True, reach, rotates, heads, d_k, width, block, kind,
    )  # fmt: skip
    end = length
    if reach > 0:
        # The queries before the border see all of these keys, those up to the end some.
        end = tl.minimum(begin + own - 1 + reach, length)
        border = tl.maximum((begin + reach) // block * block, seen_by_all)
        sums = _add_key_gradients(
            sums, k, v, queries_of, gradients_of, log_sums, deltas, cos, sin, places, border, end, length, scale,
            True, reach, rotates, heads, d_k, width, block, kind,
        )  # fmt: skip
        end = tl.minimum(border, end)
    sums = _add_key_gradients(
        sums, k, v, queries_of, gradients_of, log_sums, deltas, cos, sin, places, seen_by_all, end, length, scale,
        False, reach, rotates, heads, d_k, width, block, kind,
    )  # fmt: skip
    dk, dv = sums
    dk *= to_scores_scale
    if rotates:
        dk = _rotated(dk, cos, sin, places, length, -1.0, d_k, width)
    _store(to + heads * d_k, places, stride, length, dk, d_k, width)
    _store(to + 2 * heads * d_k, places, stride, length, dv, d_k, width)

    q = _rotated_tile(queries_of, cos, sin, places, stride, length, kind, rotates, d_k, width)
    g = _tile(gradients_of, places, heads * d_k, length, kind, d_k, width)
    log_sum = tl.load(log_sums + places, mask=places < length, other=0.0)
    delta = tl.load(deltas + places, mask=places < length, other=0.0)
    dq = tl.zeros((own, width), tl.float32)
    first = 0
    if reach > 0:
        first = tl.maximum(begin - reach + 1, 0) // block * block
        border = tl.minimum(tl.cdiv(tl.maximum(begin + own - reach, 0), block) * block, begin)
        dq = _add_query_gradients(
            dq, q, g, log_sum, delta, keys_of, values_of, cos, sin, places, first, border, length, scale,
            True, reach, rotates, stride, d_k, width, block, kind,
        )  # fmt: skip
        first = tl.maximum(first, border)
    dq = _add_query_gradients(
        dq, q, g, log_sum, delta, keys_of, values_of, cos, sin, places, first, begin, length, scale,
        False, reach, rotates, stride, d_k, width, block, kind,
    )  # fmt: skip
    dq = _add_query_gradients(
        dq, q, g, log_sum, delta, keys_of, values_of, cos, sin, places, begin, seen_by_all, length, scale,
        True, reach, rotates, stride, d_k, width, block, kind,
    )  # fmt: skip
    dq *= to_scores_scale
    if rotates:
        dq = _rotated(dq, cos, sin, places, length, -1.0, d_k, width)
    _store(to, places, stride, length, dq, d_k, width)


@dataclass(frozen=True)
class Blocks:
    """The queries and keys of a program at a time, and its warps."""

    own: int
    other: int
    warps: int
    stages: int


def forward_blocks(length: int, d_k: int) -> Blocks:
    """Return the blocks of the forward pass: powers of 2 from 16 on.

    On an H200, 128 x 16 heads of 256 x 32 take 103 us; with two stages 106, with 128 queries 134.
    """
    most = _at_most(64, length)
    return Blocks(most, most, 4, 1 if d_k <= 64 else 2)


def backward_blocks(length: int, d_k: int) -> Blocks:
    """Return the blocks of the backward pass: powers of 2 from 16 on, of which the own is a multiple of the other.

    On an H200, the same heads take 260 us; with two stages 377, with 128 own places 412.
    """
    most = _at_most(64, length)
    return Blocks(most, most if d_k <= 64 else min(most, 32), 4, 1)


def _at_most(number: int, length: int) -> int:
    return max(min(triton.next_power_of_2(length), number), 16)


def attend_into(
    qkv: Tensor,
    cos: Tensor | None,
    sin: Tensor | None,
    outputs: Tensor,
    log_sums: Tensor,
    reach: int = 0,
    blocks: Blocks | None = None,
) -> None:
    """Write softmax(Q K^T / sqrt(d_k)) V, and the base-2 logarithm of each query's sum of exponentials.

    Shapes: (batch, seq, 3, head, d_k) and (seq, d_k / 2) twice -> (batch, seq, head, d_k) and (batch, head, seq). All
    are contiguous; angles and logarithms are float32. With a `reach` above 0, a query sees that many of the last keys.
    """
    batch, length, _, heads, d_k = qkv.shape
    if qkv.numel():
        b = blocks or forward_blocks(length, d_k)
        count = triton.cdiv(length, b.own)
        with torch.cuda.device_of(qkv):
            _forward_kernel[(batch * heads * count,)](
                qkv, cos, sin, outputs, log_sums, length, count, log2(e) / d_k**0.5,
                heads, d_k, _width(d_k), reach, cos is not None, b.own, b.other, _kind(qkv), **_options(b),
            )  # fmt: skip


def attention_gradients_into(
    gradients: Tensor,
    qkv: Tensor,
    cos: Tensor | None,
    sin: Tensor | None,
    outputs: Tensor,
    log_sums: Tensor,
    to_qkv: Tensor,
    reach: int = 0,
    blocks: Blocks | None = None,
) -> None:
    """Write the gradient of queries, keys and values from that of the outputs. Shapes are those of `attend_into`."""
    batch, length, _, heads, d_k = qkv.shape
    if qkv.numel():
        b = blocks or backward_blocks(length, d_k)
        count, width, deltas = triton.cdiv(length, b.own), _width(d_k), torch.empty_like(log_sums)
        with torch.cuda.device_of(qkv):
            _deltas_kernel[(batch * heads * count,)](
                outputs, gradients, deltas, length, count, heads, d_k, width, b.own, num_warps=4
            )
            _backward_kernel[(batch * heads * count,)](
                gradients, qkv, cos, sin, log_sums, deltas, to_qkv, length, count, log2(e) / d_k**0.5, d_k**-0.5,
                heads, d_k, width, reach, cos is not None, b.own, b.other, _kind(qkv), **_options(b),
            )  # fmt: skip


def _width(d_k: int) -> int:
    """Return the columns of a tile: a product needs 16 at least."""
    return max(triton.next_power_of_2(d_k), 16)


def _kind(tensor: Tensor) -> Any:
    """Return the number format of the products. Triton's interpreter, which takes CPU tensors, has float32 only."""
    return tl.bfloat16 if tensor.dtype == torch.bfloat16 and tensor.is_cuda else tl.float32


def _options(blocks: Blocks) -> dict[str, Any]:
    return {"num_warps": blocks.warps, "num_stages": blocks.stages, "enable_fp_fusion": True}
