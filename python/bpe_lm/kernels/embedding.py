"""Rows of a table by their ids, with a gradient that a compiler neither slows down nor makes another in each run."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from bpe_lm.kernels.cpu import is_recording
from bpe_lm.kernels.operator import operator, shapes_of
from bpe_lm.kernels.simulated import kind_of


def embedding(weight: Tensor, ids: Tensor) -> Tensor:
    """Return weight[ids]. Shapes: (number, d) and (...) -> (..., d)."""
    if is_recording() and _hides_gradient(kind_of(weight)):
        rows: Tensor = _embedding(weight, ids)
        return rows
    return _rows(weight, ids)


def _hides_gradient(device: str) -> bool:
    """Return whether the gradient is an operator of its own, which adds in a fixed order.

    A compiler adds rows of equal ids by atomic additions. On a CPU these take 6 ms for 4,096 of 10,000 rows, and the
    operator 1 ms. On a GPU the operator needs a launch and a sort of the ids, 0.16 ms for 32,768 rows of 512 and 0.52
    for 32,768 of 768 (H200), where the compiler adds in the kernel that makes the rows. But the order of atomic
    additions, and so the last bits of the sums, is another in each run.
    """
    return device == "cpu" or (device == "cuda" and torch.are_deterministic_algorithms_enabled())


def _rows(weight: Tensor, ids: Tensor) -> Tensor:
    return weight[ids] if kind_of(weight) == "cpu" else functional.embedding(ids, weight)


_SCHEMA = "(Tensor weight, Tensor ids) -> Tensor"
_GRADIENT_SCHEMA = "(Tensor gradient, Tensor ids, SymInt number) -> Tensor"


@operator("embedding", _SCHEMA)
def _embedding(weight: Tensor, ids: Tensor) -> Tensor:
    return _rows(weight, ids)


@shapes_of(_embedding)
def _(weight: Tensor, ids: Tensor) -> Tensor:
    return weight.new_empty(*ids.shape, weight.shape[-1])


@operator("embedding_gradient", _GRADIENT_SCHEMA)
def _embedding_gradient(gradient: Tensor, ids: Tensor, number: int) -> Tensor:
    if gradient.device.type == "cuda":
        # The sums of embedding_dense_backward differ in their last bits from call to call (torch 2.11, H200). Those of
        # index_put_ do not, with torch's deterministic algorithms.
        rows = gradient.reshape(-1, gradient.shape[-1])
        return gradient.new_zeros(number, rows.shape[-1]).index_put_((ids.flatten(),), rows, accumulate=True)
    return torch.ops.aten.embedding_dense_backward(gradient, ids, number, -1, False)


@shapes_of(_embedding_gradient)
def _(gradient: Tensor, ids: Tensor, number: int) -> Tensor:
    return gradient.new_empty(number, gradient.shape[-1])


def _save(ctx: Any, inputs: tuple[Tensor, Tensor], output: Tensor) -> None:
    ctx.save_for_backward(inputs[1])
    ctx.number = len(inputs[0])


def _gradients(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
    return _embedding_gradient(gradient, *ctx.saved_tensors, ctx.number), None


torch.library.register_autograd(_embedding, _gradients, setup_context=_save)
