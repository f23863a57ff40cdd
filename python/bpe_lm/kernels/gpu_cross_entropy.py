"""The cross-entropy of a linear head and its gradients on a GPU, without holding all logits in memory.

Large products of cuBLAS compute the logits of a chunk of rows, and both gradients from the logits' gradient. One kernel
between them, `bpe_lm.kernels.triton_cross_entropy`, turns logits into their gradient in place. The idea is by Hsu et
al. 2024, arXiv:2410.10989.
"""

from __future__ import annotations

from functools import cache
from math import ceil
from typing import Any

import torch
from torch import Tensor

from bpe_lm.kernels.cpu import is_recording
from bpe_lm.kernels.operator import operator, shapes_of
from bpe_lm.kernels.simulated import simulated

_CHUNKS = 6
"""The largest number of chunks. With more, the products become smaller, and the head's gradient is read and written
once a chunk: 0.3 GB for GPT-2's head. The loss over 16,384 tokens of 32,000 takes 0.38 of the memory of the compiled
unfused one and 0.96 of its time; with 4 chunks 0.45 and 0.94 (H200, benches/record/6-gpu-and-intel.md)."""

_SMALLEST_CHUNK = 1 << 26
"""The number of logits from which a batch is split: 0.13 GB in bfloat16, little beside the rest of a training step."""

_ALIGNED, _PADDED = 16, 64
"""The columns of the logits are a multiple of 16, else they are filled up to one of 64. Then each row begins at a
multiple of 32 bytes, so that the kernel and the products load and store 16 bytes at a time. 50,257 becomes 50,304."""


_TILE = 128
"""The rows of a chunk are a multiple of those of a tile of a product."""


def gpu_cross_entropy(hidden: Tensor, weight: Tensor, targets: Tensor, scale: float, cap: float = 0.0) -> Tensor:
    """Return scale times the sum over rows of cross_entropy(hidden W^T, targets), on a device with Triton.

    Shapes: (rows, d), (vocab, d), (rows,) -> (). A target that is no id makes the result NaN. With a cap above 0, each
    logit z is replaced by cap tanh(z / cap).
    """
    total: Tensor = _GpuCrossEntropy.apply(hidden, weight, targets, scale, cap, torch.is_grad_enabled())
    return total


def gpu_workspace(rows: int, d_model: int, vocab_size: int, itemsize: int) -> int:
    """Return the bytes of the largest temporaries: a chunk's logits, a narrow or padded head, and the chunk's rows.

    `itemsize` is the size of a number of the matrix products, in bytes. The gradients are not counted.
    """
    columns, chunk = _columns(vocab_size), min(_rows_of_a_chunk(rows, vocab_size), rows)
    head = columns * d_model if itemsize == 2 or columns != vocab_size else 0
    return itemsize * (chunk * columns + head + chunk * d_model) + 4 * rows


def _rows_of_a_chunk(rows: int, vocab_size: int) -> int:
    """Return the number of rows of a chunk. The last chunk is shorter."""
    chunks = min(max(ceil(rows * vocab_size / _SMALLEST_CHUNK), 1), _CHUNKS)
    return max(ceil(rows / chunks / _TILE), 1) * _TILE


def _columns(vocab_size: int) -> int:
    return vocab_size if vocab_size % _ALIGNED == 0 else ceil(vocab_size / _PADDED) * _PADDED


def _run(
    hidden: Tensor,
    weight: Tensor,
    targets: Tensor,
    narrow: torch.dtype,
    scale: float,
    cap: float,
    needs_gradient: bool,
) -> tuple[Tensor, Tensor, Tensor]:
    """Return scale times the sum of the losses of all rows, and its gradients with respect to hidden and weight."""
    # Triton is on Linux only, and its import takes a moment.
    from bpe_lm.kernels.triton_cross_entropy import losses_of_rows

    rows, vocab_size = len(hidden), len(weight)
    chunk, w, targets = _rows_of_a_chunk(rows, vocab_size), _padded(weight, narrow), targets.contiguous()
    logits = hidden.new_empty(min(chunk, rows), len(w), dtype=narrow)
    losses = hidden.new_empty(rows, dtype=torch.float32)
    hidden_gradient = torch.empty_like(hidden if needs_gradient else hidden[:0])
    weight_gradient = hidden.new_empty(len(w) if needs_gradient else 0, w.shape[1], dtype=torch.float32)
    with torch.autocast(hidden.device.type, enabled=False):
        for start in range(0, rows, chunk):
            part = slice(start, start + chunk)
            h = hidden[part].to(narrow)
            z = torch.mm(h, w.T, out=logits[: len(h)])
            losses_of_rows(
                z,
                targets[part],
                losses[part],
                vocab_size=vocab_size,
                scale=scale,
                cap=cap,
                needs_gradient=needs_gradient,
            )
            if needs_gradient:
                _multiply(z, w, hidden_gradient[part])
                _multiply(z.T, h, weight_gradient, adds=start > 0)
    if needs_gradient and not rows:
        weight_gradient.zero_()
    weight_gradient = weight_gradient[:vocab_size].to(weight.dtype)
    return losses.sum() * scale, hidden_gradient, weight_gradient


def _padded(weight: Tensor, dtype: torch.dtype) -> Tensor:
    """Return the head in another number format, with rows of zeros up to the number of columns of the logits."""
    vocab_size, columns = len(weight), _columns(len(weight))
    if columns == vocab_size:
        return weight.to(dtype).contiguous()
    padded = weight.new_empty(columns, weight.shape[1], dtype=dtype)
    padded[:vocab_size] = weight
    padded[vocab_size:] = 0
    return padded


def _multiply(a: Tensor, b: Tensor, out: Tensor, *, adds: bool = False) -> None:
    """Write a b into `out`, or add it; into a float32 `out` in float32 also for bfloat16 matrices, if torch can."""
    if out.dtype == a.dtype:
        torch.addmm(out, a, b, out=out) if adds else torch.mm(a, b, out=out)
    elif adds and "addmm" in _wide_products(out.device):
        torch.addmm(out, a, b, out_dtype=torch.float32, out=out)
    elif "mm" in _wide_products(out.device) and out.dtype == torch.float32:
        if adds:
            out += torch.mm(a, b, out_dtype=torch.float32)
        else:
            torch.mm(a, b, out_dtype=torch.float32, out=out)
    elif adds:
        out += a @ b
    else:
        out.copy_(a @ b)


@cache
def _wide_products(device: torch.device) -> frozenset[str]:
    """Return which functions multiply bfloat16 matrices into a float32 one on a device: "mm", "addmm", or both.

    torch has `out_dtype` since 2.8, and has it for CUDA only. Whether `addmm` takes a float32 matrix to add to depends
    on the version, and no document says which; so each is tried once on a product whose result is known.
    """
    found = set()
    a = torch.full((16, 16), 0.5, dtype=torch.bfloat16, device=device)
    for name, expected in (("mm", 4.0), ("addmm", 5.0)):
        out = torch.ones(16, 16, device=device)
        try:
            if name == "mm":
                torch.mm(a, a, out_dtype=torch.float32, out=out)
            else:
                torch.addmm(out, a, a, out_dtype=torch.float32, out=out)
        except (TypeError, RuntimeError):  # NotImplementedError, if only other devices have it, is a RuntimeError.
            continue
        if bool((out == expected).all()):
            found.add(name)
    return frozenset(found)


_SCHEMA = (
    "(Tensor hidden, Tensor weight, Tensor targets, ScalarType narrow, float scale, float cap, "
    "bool needs_gradient) "
    "-> (Tensor, Tensor, Tensor)"
)


@operator("gpu_cross_entropy", _SCHEMA)
def _sum_and_gradients(
    hidden: Tensor,
    weight: Tensor,
    targets: Tensor,
    narrow: torch.dtype,
    scale: float,
    cap: float,
    needs_gradient: bool,
) -> tuple[Tensor, Tensor, Tensor]:
    """Hide the chunks from a compiler, which would keep all of them to join them."""
    return _run(hidden, weight, targets, narrow, scale, cap, needs_gradient)


@shapes_of(_sum_and_gradients)
def _(
    hidden: Tensor,
    weight: Tensor,
    targets: Tensor,
    narrow: torch.dtype,
    scale: float,
    cap: float,
    needs_gradient: bool,
) -> tuple[Tensor, Tensor, Tensor]:
    total = hidden.new_empty((), dtype=torch.float32)
    if needs_gradient:
        return total, torch.empty_like(hidden), weight.new_empty(weight.shape)
    return total, torch.empty_like(hidden[:0]), weight.new_empty(0, weight.shape[1])


class _GpuCrossEntropy(torch.autograd.Function):
    """The scaled sum of the losses of all rows, with its gradient computed in the forward pass."""

    @staticmethod
    def forward(
        ctx: Any, hidden: Tensor, weight: Tensor, targets: Tensor, scale: float, cap: float, has_gradients: bool
    ) -> Tensor:
        device = hidden.device.type
        narrow = torch.get_autocast_dtype(device) if torch.is_autocast_enabled(device) else hidden.dtype
        needs_gradient = has_gradients and any(ctx.needs_input_grad)
        function = _sum_and_gradients if has_gradients or is_recording() else _run
        total, *gradients = function(hidden, weight, targets, narrow, scale, cap, needs_gradient)
        ctx.save_for_backward(*gradients)
        return total

    @staticmethod
    def backward(ctx: Any, *outer: Tensor) -> tuple[Tensor, Tensor, None, None, None, None]:
        hidden_gradient, weight_gradient = ctx.saved_tensors
        # In place, because the weight's gradient is as large as the head. autograd refuses a second backward pass.
        _scale_in_place(hidden_gradient, outer[0])
        _scale_in_place(weight_gradient, outer[0])
        return hidden_gradient, weight_gradient, None, None, None, None


def _scale_in_place(gradient: Tensor, outer: Tensor) -> None:
    """Multiply a gradient by the loss's own, which is 1 for a loss that is not scaled once more.

    A compiler gets the product, which it fuses with what follows. The version tells autograd of the change.
    """
    if torch.compiler.is_compiling() or simulated() or not gradient.is_contiguous():
        gradient.mul_(outer)
    else:
        from bpe_lm.kernels.triton_cross_entropy import scale_unless_one

        scale_unless_one(gradient, outer)
        torch.autograd.graph.increment_version(gradient)
