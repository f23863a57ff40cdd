"""The sum of cross-entropies of a linear head, and its gradients, without holding all logits in memory.

Logits, loss and gradients are computed chunk by chunk. The idea is by Hsu et al. 2024, arXiv:2410.10989.
"""

from __future__ import annotations

from math import ceil
from typing import Any

import torch
from torch import Tensor

from bpe_lm import _core
from bpe_lm.kernels.amx import multiply
from bpe_lm.kernels.cpu import as_array, as_output, is_recording, supports
from bpe_lm.kernels.forms import form_of
from bpe_lm.kernels.gpu import supports_triton
from bpe_lm.kernels.gpu_cross_entropy import gpu_cross_entropy, gpu_workspace
from bpe_lm.kernels.linear import linear_of_rows
from bpe_lm.kernels.operator import operator, shapes_of

_CPU_CHUNK, _AMX_CHUNK, _GPU_CHUNK = 1 << 25, 1 << 26, 1 << 26
"""The largest number of logits in memory at a time: on a CPU, there in bfloat16 with AMX, and on a GPU.

With AMX, a vocabulary of 32,000 takes 1.37 times as long in chunks of 2^25 (8,192 rows of 512, 2 cores).
"""

_CACHED = 1 << 20
"""The number of values that a CPU's cache holds, so that several of torch's operations in a row find them there."""


def mean_of_cross_entropies(hidden: Tensor, weight: Tensor, targets: Tensor, cap: float = 0.0) -> Tensor:
    """Return the mean over rows of cross_entropy(hidden W^T, targets). Arguments as in `sum_of_cross_entropies`.

    On a GPU the gradients are those of the mean from the start, so that the backward pass has nothing to multiply.
    """
    if _uses_triton(hidden):
        return gpu_cross_entropy(hidden, weight, targets, 1 / max(len(targets), 1), cap)
    return sum_of_cross_entropies(hidden, weight, targets, cap) / len(targets)


def sum_of_cross_entropies(hidden: Tensor, weight: Tensor, targets: Tensor, cap: float = 0.0) -> Tensor:
    """Return the sum over rows of cross_entropy(hidden W^T, targets). Shapes: (rows, d), (vocab, d), (rows,) -> ().

    With a cap above 0, each logit z is replaced by cap tanh(z / cap).
    """
    if _uses_triton(hidden):
        return gpu_cross_entropy(hidden, weight, targets, 1.0, cap)
    total: Tensor = _LinearCrossEntropy.apply(hidden, weight, targets, cap, torch.is_grad_enabled())
    return total


def _uses_triton(hidden: Tensor) -> bool:
    return supports_triton(hidden) and form_of("loss", "cuda") == "triton"


_SCHEMA = (
    "(Tensor hidden, Tensor weight, Tensor targets, float cap, ScalarType narrow, bool needs_gradient) "
    "-> (Tensor, Tensor, Tensor)"
)


def _run(
    hidden: Tensor, weight: Tensor, targets: Tensor, cap: float, narrow: torch.dtype, needs_gradient: bool
) -> tuple[Tensor, Tensor, Tensor]:
    """Return the sum of the losses of all rows, and its gradients with respect to hidden and weight."""
    device, wide = hidden.device.type, torch.promote_types(hidden.dtype, torch.float32)
    w, total = weight.to(narrow), torch.zeros((), dtype=wide, device=hidden.device)
    hidden_gradient = torch.empty_like(hidden if needs_gradient else hidden[:0])
    is_mixed = narrow == torch.bfloat16 and weight.dtype == torch.float32
    is_amx = device == "cpu" and is_mixed and form_of("products", "cpu") == "amx"
    # The kernel writes the first chunk's product, and adds the others. Without a row there is none.
    new = torch.empty_like if is_amx and len(hidden) else torch.zeros_like
    weight_gradient = new(weight if needs_gradient else weight[:0])
    chunk = _rows_of_a_chunk(len(hidden), len(weight), "amx" if is_amx else device)
    # New memory costs a page fault for each 4 KiB, so all chunks share the memory of one.
    memory = w.new_empty(chunk, len(weight)) if is_amx else None
    with torch.autocast(device, enabled=False):
        for start in range(0, len(hidden), chunk):
            h = hidden[start : start + chunk].to(narrow)
            if memory is None:
                logits = linear_of_rows(h, w)
            else:
                logits = memory[: len(h)]
                torch.mm(h, w.T, out=logits)
            total += _loss_and_gradient(logits, targets[start : start + chunk], cap, needs_gradient)
            if needs_gradient:
                hidden_gradient[start : start + chunk] = linear_of_rows(logits, w.T)
                if is_amx:
                    multiply(logits.T, h.T, weight_gradient, adds=start > 0)
                else:
                    _add(linear_of_rows(logits.T, h.T), weight_gradient)
    return total, hidden_gradient, weight_gradient


@operator("linear_cross_entropy", _SCHEMA)
def _sum_and_gradients(
    hidden: Tensor, weight: Tensor, targets: Tensor, cap: float, narrow: torch.dtype, needs_gradient: bool
) -> tuple[Tensor, Tensor, Tensor]:
    """Hide the chunks from a compiler, which would keep all of them to join them."""
    return _run(hidden, weight, targets, cap, narrow, needs_gradient)


def _add(part: Tensor, to: Tensor) -> None:
    """Add a part to a sum, a few rows at a time, because torch first copies added rows into the sum's wider type."""
    rows = max(_CACHED // to.shape[-1], 1) if to.device.type == "cpu" else len(to)
    for narrow, wide in zip(torch.split(part, rows), torch.split(to, rows), strict=True):
        wide += narrow


def _rows_of_a_chunk(rows: int, vocab_size: int, device: str) -> int:
    """Return the number of rows of a chunk that fits the limit; all chunks are about equally long."""
    limit = {"cpu": _CPU_CHUNK, "amx": _AMX_CHUNK}.get(device, _GPU_CHUNK)
    most = max(limit // vocab_size, 1)
    return ceil(rows / ceil(rows / most)) if rows else 1


def _loss_and_gradient(logits: Tensor, targets: Tensor, cap: float, needs_gradient: bool) -> Tensor:
    """Return the sum of the losses of all rows. With `needs_gradient`, overwrite the logits with their gradient."""
    if supports(logits) and form_of("loss", "cpu") == "avx512":
        losses = logits.new_empty(len(logits), dtype=torch.float32)
        arrays = as_output(logits), as_array(targets.long())
        _core.cross_entropy(*arrays, cap or None, torch.get_num_threads(), needs_gradient, as_output(losses))
        return losses.sum()
    total = logits.new_zeros((), dtype=torch.promote_types(logits.dtype, torch.float32))
    rows = max(_CACHED // logits.shape[-1], 1) if logits.device.type == "cpu" else len(logits)
    for part, at in zip(torch.split(logits, rows), torch.split(targets.unsqueeze(-1), rows), strict=True):
        tangents = torch.tanh_(part.to(total.dtype) / cap) if cap else None
        logarithms = torch.log_softmax(part if tangents is None else tangents * cap, -1, dtype=total.dtype)
        total -= logarithms.gather(-1, at).sum()
        if needs_gradient:
            gradient = logarithms.exp_()
            gradient.scatter_add_(-1, at, gradient.new_full(at.shape, -1.0))
            if tangents is not None:
                gradient.mul_(tangents.square_().neg_().add_(1))
            part.copy_(gradient)
    return total


@shapes_of(_sum_and_gradients)
def _(
    hidden: Tensor, weight: Tensor, targets: Tensor, cap: float, narrow: torch.dtype, needs_gradient: bool
) -> tuple[Tensor, Tensor, Tensor]:
    total = hidden.new_empty((), dtype=torch.promote_types(hidden.dtype, torch.float32))
    if needs_gradient:
        return total, torch.empty_like(hidden), torch.empty_like(weight)
    return total, torch.empty_like(hidden[:0]), torch.empty_like(weight[:0])


class _LinearCrossEntropy(torch.autograd.Function):
    """The sum of the losses of all rows, with its gradient computed in the forward pass.

    d sum / d logits is softmax(logits) - onehot(target). The backward pass only multiplies by the gradient of the sum.
    """

    @staticmethod
    def forward(ctx: Any, hidden: Tensor, weight: Tensor, targets: Tensor, cap: float, has_gradients: bool) -> Tensor:
        device = hidden.device.type
        narrow = torch.get_autocast_dtype(device) if torch.is_autocast_enabled(device) else hidden.dtype
        needs_gradient = has_gradients and any(ctx.needs_input_grad)
        function = _sum_and_gradients if has_gradients or is_recording() else _run
        total, *gradients = function(hidden, weight, targets, cap, narrow, needs_gradient)
        ctx.save_for_backward(*gradients)
        return total

    @staticmethod
    def backward(ctx: Any, *outer: Tensor) -> tuple[Tensor, Tensor, None, None, None]:
        hidden_gradient, weight_gradient = ctx.saved_tensors
        # In place, because the weight's gradient is as large as the head. autograd refuses a second backward pass.
        return hidden_gradient.mul_(outer[0]), weight_gradient.mul_(outer[0]), None, None, None


def workspace(
    rows: int,
    d_model: int,
    vocab_size: int,
    itemsize: int,
    device: str = "cpu",
    form: str = "",
    *,
    is_capped: bool = False,
) -> int:
    """Return the bytes of the largest temporaries of a form, without the gradients that the loss returns.

    They are the narrow head, a chunk's logits, and the larger of a product of the head's size and what log_softmax
    takes: nothing of note on a CPU, and on a GPU its result and a wide copy of narrow logits. With a cap these are its
    result, the capped logits and their tangents. `itemsize` is the size of a number of the matrix products, in bytes.
    """
    if form == "triton":
        return gpu_workspace(rows, d_model, vocab_size, itemsize)
    if form == "amx":
        # The gradient is summed in place, and the product lays out the chunk's hidden states.
        chunk = _rows_of_a_chunk(rows, vocab_size, "amx")
        return itemsize * (vocab_size * (chunk + d_model) + chunk * d_model)
    chunk, is_narrow = _rows_of_a_chunk(rows, vocab_size, device), itemsize == 2
    product = itemsize * vocab_size * d_model
    logarithms = 0 if device == "cpu" else (12 if is_capped else 8 if is_narrow else 4) * vocab_size * chunk
    return itemsize * vocab_size * chunk + (product if is_narrow else 0) + max(product, logarithms)
