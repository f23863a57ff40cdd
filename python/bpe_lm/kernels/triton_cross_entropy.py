"""Softmax, loss and gradient of rows of logits on a GPU, written for Triton.

One program computes one row. It reads the row twice: once for the largest logit and the sum of exponentials, and once
for the gradient, which it writes over the logits. The second reading finds the row in the GPU's cache, so that the
memory is read once and written once.

Why not torch's operations? Each of them reads and writes all logits, several in a float32 copy. Why no atomic
additions? Each number is the result of one program alone, so that equal inputs give equal bits.
"""

from __future__ import annotations

import torch
import triton
from torch import Tensor
from triton import language as tl

_LONGEST_BLOCK = 4096
"""The number of logits that a program holds at a time: two loads of 16 bytes a thread in bfloat16."""


@triton.jit
def _row_kernel(
    logits,
    targets,
    losses,
    scale,
    stride: tl.constexpr,
    vocab_size: tl.constexpr,
    needs_gradient: tl.constexpr,
    block: tl.constexpr,
):
    """Write the loss of row `program_id(0)`, and the gradient of scale * loss over its logits."""
    row = tl.program_id(0).to(tl.int64)
    row_logits = logits + row * stride
    columns = tl.arange(0, block)
    # The logit of the target is read before the first reduction, where all threads wait for each other, because another
    # thread may write the gradient over it below.
    target = tl.load(targets + row)
    is_valid = (target >= 0) & (target < vocab_size)
    at_target = tl.load(row_logits + tl.where(is_valid, target, 0)).to(tl.float32)

    largest = float("-inf")
    total = 0.0
    for start in range(0, vocab_size, block):
        at = start + columns
        x = tl.load(row_logits + at, mask=at < stride).to(tl.float32)
        x = tl.where(at < vocab_size, x, float("-inf"))
        new_largest = tl.maximum(largest, tl.max(x, 0))
        total = total * tl.exp(largest - new_largest) + tl.sum(tl.exp(x - new_largest), 0)
        largest = new_largest
    total = tl.where(is_valid, total, float("nan"))
    tl.store(losses + row, tl.log(total) + largest - at_target)

    if needs_gradient:
        factor = scale / total
        for start in range(0, stride, block):
            at = start + columns
            x = tl.load(row_logits + at, mask=at < stride).to(tl.float32)
            x = tl.where(at < vocab_size, x, float("-inf"))
            gradient = tl.exp(x - largest) * factor
            gradient = tl.where(at == target, gradient - scale, gradient)
            tl.store(row_logits + at, gradient.to(logits.dtype.element_ty), mask=at < stride)


def losses_of_rows(
    logits: Tensor, targets: Tensor, losses: Tensor, *, vocab_size: int, scale: float, needs_gradient: bool
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
    """
    if len(logits):
        block = min(triton.next_power_of_2(logits.shape[1]), _LONGEST_BLOCK)
        with torch.cuda.device_of(logits):
            _row_kernel[(len(logits),)](
                logits,
                targets,
                losses,
                scale,
                logits.stride(0),
                vocab_size,
                needs_gradient,
                block,
                num_warps=8 if block >= 2048 else 4,
                enable_fp_fusion=True,
            )


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
            grid = (triton.cdiv(values.numel(), _LONGEST_BLOCK),)
            _scale_kernel[grid](values, factor, values.numel(), _LONGEST_BLOCK, num_warps=8, enable_fp_fusion=True)
