"""Softmax, loss and gradient of rows of logits on a GPU, written for Triton.

One program computes one row. A short row is held in registers: its logits are read once, and its exponentials are
computed once. A long row is read twice, once for the largest logit and the sum of exponentials, and once, backwards,
for the gradient. Either way the gradient is written over the logits, so that the memory is read once and written once:
few programs of many threads run at a time, and the second reading finds their rows in a cache.

A tile has shape (lanes, width): each thread is a lane, and loads 16 bytes, `width` logits, by one instruction. A thread
keeps the largest logit and the sum of exponentials of its own lane, and the threads wait for each other at the end of
the row only.

Why not torch's operations? Each of them reads and writes all logits, several in a float32 copy. Why no atomic
additions? Each number is the result of one program alone, so that equal inputs give equal bits.
"""

from __future__ import annotations

import torch
import triton
from torch import Tensor
from triton import language as tl

_BYTES_OF_A_LOAD = 16
"""The most that one instruction loads for a thread."""

_HELD = 40
"""The most logits of a row that a thread holds: a thread then needs 64 registers, so that a multiprocessor of 65,536
registers runs four programs of 8 warps, and one loads while another computes. On an H200, 6,656 rows of 10,000 take
71 us; by 16 warps 98, in two passes 72 to 94, and a copy 66."""

_WARPS, _MOST_LOADS = 16, 4
"""The warps of a longer row, and the most tiles that a thread loads at a time: 59 registers a thread, so that a
multiprocessor runs two programs. Their 132 x 2 rows of 100 KB are less than an H100's L2 cache of 50 MB, and those of
a multiprocessor less than its L1 cache of 256 KB. On an H200, 5,504 rows of 50,304 take 314 us, with 8 warps 394, with
2 tiles 362; a copy takes 261, and the form with one tile of 4,096 and 8 warps took 580. Of 32,000, where 4 tiles leave
a long end to be loaded one by one, 2 take 191 us and 4 take 218."""

_SCALED = 4096
"""The number of values that a program multiplies."""

_LOWEST = tl.constexpr(-3.4028234663852886e38)
"""The smallest float32: the largest logit of none. An infinity would make the difference of two of them NaN."""

_PER_BIT = tl.constexpr(1.4426950408889634)
"""log2(e): a GPU computes powers of 2."""


@triton.jit
def _power(x):
    """Return e^x. Of a result below 2^-126 it makes 0, which saves the instructions for such numbers.

    Here x is a difference of logits. A product less a product would be one instruction less, and the difference of two
    infinities for logits of 3e38.
    """
    return tl.exp2(x * _PER_BIT)


@triton.jit
def _capped(x, cap: tl.constexpr):
    """Return cap tanh(x / cap) = cap (1 - 2 / (1 + e^(2 x / cap))), or x for a cap of 0."""
    if cap > 0:
        x = cap - 2 * cap / (1 + _power(x * (2 / cap)))
    return x


@triton.jit
def _target_of(row, row_logits, targets, vocab_size, cap: tl.constexpr):
    """Return the target or 0, its logit, and whether the target is one.

    The target has 32 bits, because each place is compared with it. The logit is read before the first reduction over
    threads, where they wait for each other, because another thread writes the gradient over it later.
    """
    target = tl.load(targets + row)
    is_valid = (target >= 0) & (target < vocab_size)
    target = tl.where(is_valid, target, 0).to(tl.int32)
    return target, _capped(tl.load(row_logits + target).to(tl.float32), cap), is_valid


@triton.jit
def _load_tile(row_logits, at, vocab_size, stride, cap: tl.constexpr, is_whole: tl.constexpr):
    """Return the logits at some places of a row, and -inf at the places behind them."""
    if is_whole:
        return _capped(tl.load(row_logits + at).to(tl.float32), cap)
    # The columns that fill the row up are loaded, so that an instruction loads all of its 16 bytes or none.
    x = tl.load(row_logits + at, mask=at < stride).to(tl.float32)
    return tl.where(at < vocab_size, _capped(x, cap), float("-inf"))


@triton.jit
def _store_tile(
    row_logits, start, columns, gradient, x, target, scale, stride, cap: tl.constexpr, is_whole: tl.constexpr
):
    """Write the gradient of the logits x at the places start + columns.

    It is a given one, less the scale at the target, times the derivative 1 - (x / cap)^2.
    """
    at = start + columns
    # The target less the start, because a compiler makes a comparison of 64 bits of places that grow in a loop.
    gradient = tl.where(columns == target - start, gradient - scale, gradient)
    if cap > 0:
        # The columns that fill the row up are -inf, and their gradient is 0.
        tangent = tl.maximum(x, -cap) / cap
        gradient *= 1 - tangent * tangent
    gradient = gradient.to(row_logits.dtype.element_ty)
    if is_whole:
        tl.store(row_logits + at, gradient)
    else:
        tl.store(row_logits + at, gradient, mask=at < stride)


@triton.jit
def _with_tiles(xs, number: tl.constexpr, largest, total):
    """Return the largest logit and the sum of e^(x - largest) of each lane, with those of some tiles."""
    new_largest = largest
    for i in tl.static_range(number):
        new_largest = tl.maximum(new_largest, tl.max(xs[i], 1))
    total *= _power(largest - new_largest)
    for i in tl.static_range(number):
        total += tl.sum(_power(xs[i] - new_largest[:, None]), 1)
    return new_largest, total


@triton.jit
def _row_kernel(
    logits,
    targets,
    losses,
    scale,
    cap: tl.constexpr,
    stride: tl.constexpr,
    vocab_size: tl.constexpr,
    needs_gradient: tl.constexpr,
    loads: tl.constexpr,
    lanes: tl.constexpr,
    width: tl.constexpr,
):
    """Write the loss of row `program_id(0)`, and the gradient of scale * loss over its logits."""
    row = tl.program_id(0).to(tl.int64)
    row_logits = logits + row * stride
    target, at_target, is_valid = _target_of(row, row_logits, targets, vocab_size, cap)
    columns = tl.arange(0, lanes)[:, None] * width + tl.arange(0, width)[None, :]
    tile: tl.constexpr = lanes * width
    block: tl.constexpr = loads * tile
    end: tl.constexpr = vocab_size // block * block

    lane_largest = tl.full((lanes,), _LOWEST, tl.float32)
    lane_total = tl.zeros((lanes,), tl.float32)
    for start in range(0, end, block):
        xs = ()
        for i in tl.static_range(loads):
            xs = xs + (_load_tile(row_logits, start + i * tile + columns, vocab_size, stride, cap, True),)  # type: ignore[assignment]  # noqa: RUF005
        lane_largest, lane_total = _with_tiles(xs, loads, lane_largest, lane_total)
    for start in range(end, vocab_size, tile):
        x = _load_tile(row_logits, start + columns, vocab_size, stride, cap, False)
        lane_largest, lane_total = _with_tiles((x,), 1, lane_largest, lane_total)
    largest = tl.max(lane_largest, 0)
    total = tl.sum(lane_total * _power(lane_largest - largest), 0)
    total = tl.where(is_valid, total, float("nan"))
    tl.store(losses + row, tl.log(total) + (largest - at_target))

    if needs_gradient:
        factor = scale / total
        # Backwards, because what was read last is the likeliest to be in the nearest cache.
        for start in range(end, stride, tile):
            x = _load_tile(row_logits, start + columns, vocab_size, stride, cap, False)
            gradient = _power(x - largest) * factor
            _store_tile(row_logits, start, columns, gradient, x, target, scale, stride, cap, False)
        for blocks_behind in range(1, end // block + 1):
            start = end - blocks_behind * block
            xs = ()
            for i in tl.static_range(loads):
                xs = xs + (_load_tile(row_logits, start + i * tile + columns, vocab_size, stride, cap, True),)  # type: ignore[assignment]  # noqa: RUF005
            for i in tl.static_range(loads):
                gradient = _power(xs[i] - largest) * factor
                _store_tile(row_logits, start + i * tile, columns, gradient, xs[i], target, scale, stride, cap, True)


@triton.jit
def _held_row_kernel(
    logits,
    targets,
    losses,
    scale,
    cap: tl.constexpr,
    stride: tl.constexpr,
    vocab_size: tl.constexpr,
    needs_gradient: tl.constexpr,
    lanes: tl.constexpr,
    width: tl.constexpr,
):
    """The same, with the row and then its exponentials in registers."""
    row = tl.program_id(0).to(tl.int64)
    row_logits = logits + row * stride
    target, at_target, is_valid = _target_of(row, row_logits, targets, vocab_size, cap)
    columns = tl.arange(0, lanes)[:, None] * width + tl.arange(0, width)[None, :]
    tile: tl.constexpr = lanes * width
    tiles: tl.constexpr = (stride + tile - 1) // tile

    xs = ()
    lane_largest = tl.full((lanes,), _LOWEST, tl.float32)
    for i in tl.static_range(tiles):
        x = _load_tile(row_logits, i * tile + columns, vocab_size, stride, cap, (i + 1) * tile <= vocab_size)
        lane_largest = tl.maximum(lane_largest, tl.max(x, 1))
        xs = xs + (x,)  # type: ignore[assignment]  # noqa: RUF005
    largest = tl.max(lane_largest, 0)

    powers = ()
    lane_total = tl.zeros((lanes,), tl.float32)
    for i in tl.static_range(tiles):
        power = _power(xs[i] - largest)
        lane_total += tl.sum(power, 1)
        powers = powers + (power,)  # type: ignore[assignment]  # noqa: RUF005
    total = tl.where(is_valid, tl.sum(lane_total, 0), float("nan"))
    tl.store(losses + row, tl.log(total) + (largest - at_target))

    if needs_gradient:
        factor = scale / total
        for i in tl.static_range(tiles):
            is_whole = (i + 1) * tile <= vocab_size
            gradient = powers[i] * factor
            _store_tile(row_logits, i * tile, columns, gradient, xs[i], target, scale, stride, cap, is_whole)


def losses_of_rows(
    logits: Tensor,
    targets: Tensor,
    losses: Tensor,
    *,
    vocab_size: int,
    scale: float,
    needs_gradient: bool,
    cap: float = 0.0,
) -> None:
    """Write log sum_j exp(logits_j) - logits_target of each row into `losses`.

    Args:
        logits: A row-major matrix, of which the first `vocab_size` columns are logits. With `needs_gradient`, it is
            overwritten with the gradient of scale * loss, which is 0 in the other columns.
        targets: The target of each row. A target outside 0 .. vocab_size - 1 makes the loss and the gradient of its row
            NaN, because a GPU cannot raise an error without making the host wait.
        losses: A float32 of each row.
        vocab_size: The number of logits of a row.
        scale: The factor of the gradient.
        needs_gradient: Whether to compute the gradient.
        cap: The number between whose negative and itself cap tanh(logit / cap) takes the place of a logit; 0 for none.
    """
    if len(logits):
        is_held, options = _form(logits.stride(0), logits.element_size())
        kernel = _held_row_kernel if is_held else _row_kernel
        with torch.cuda.device_of(logits):
            kernel[(len(logits),)](
                logits,
                targets,
                losses,
                scale,
                float(cap),
                logits.stride(0),
                vocab_size,
                needs_gradient,
                **options,
                enable_fp_fusion=True,
            )


def _form(stride: int, itemsize: int) -> tuple[bool, dict[str, int]]:
    """Return whether a row is held in registers, and the other parameters of its kernel.

    `stride` is the number of columns of a row; `itemsize` the bytes of a logit.
    """
    width = _BYTES_OF_A_LOAD // itemsize
    for warps in (4, 8, 16):
        if stride <= _HELD * 32 * warps:
            return True, {"lanes": 32 * warps, "width": width, "num_warps": warps}
    tile = 32 * _WARPS * width
    loads = _MOST_LOADS if stride % (_MOST_LOADS * tile) <= _MOST_LOADS // 2 * tile else _MOST_LOADS // 2
    return False, {"loads": loads, "lanes": 32 * _WARPS, "width": width, "num_warps": _WARPS}


@triton.jit
def _scale_kernel(values, factor, number, block: tl.constexpr):
    """Multiply one block of values, unless the factor is 1."""
    by = tl.load(factor).to(tl.float32)
    if by != 1.0:
        at = tl.program_id(0).to(tl.int64) * block + tl.arange(0, block)
        x = tl.load(values + at, mask=at < number).to(tl.float32)
        tl.store(values + at, (x * by).to(values.dtype.element_ty), mask=at < number)


def scale_unless_one(values: Tensor, factor: Tensor) -> None:
    """Multiply contiguous values in place by a number on the same device, without reading them where it is 1."""
    if values.numel():
        with torch.cuda.device_of(values):
            grid = (triton.cdiv(values.numel(), _SCALED),)
            _scale_kernel[grid](values, factor, values.numel(), _SCALED, num_warps=8, enable_fp_fusion=True)
