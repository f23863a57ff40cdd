"""scaled_dot_product_attention: is it softmax(Q K^T / sqrt(d_k)) V, with any mask and any leading dimensions?

Answer (2026-11-27, commit b356817, 2 cores of an Intel Xeon with AVX512-BF16): yes, within 4e-7, of 1e-6, in all forms.
A query that sees no key gets zeros.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from bpe_lm.experiments.blocks import Block, Check, Text
from bpe_lm.experiments.cs336 import oracles
from bpe_lm.experiments.cs336.checks import (
    BATCH,
    D_MODEL,
    IMPLEMENTATIONS,
    SEQ,
    compared,
    normal,
    source,
    tensor,
)
from bpe_lm.experiments.cs336.question import Question, guarded
from bpe_lm.experiments.cs336.results import Results

LIMIT = 1e-6
KEYS, NUM_HEADS = 16, 2
ORACLE = "the formula, computed query by query in float64,"


def answer(results: Results) -> Iterator[Block]:
    """Compare with masks, without, for queries that see nothing, and both forms of causal attention."""
    yield Text(
        "`scaled_dot_product_attention(Q, K, V, mask)` is `softmax(Q K^T / sqrt(d_k)) V`, where a query sees the keys "
        "at which its row of the mask is True. A query that sees no key gets zeros. The model calls "
        "`causal_attention`, whose fast form is torch's kernel and whose reference is the formula with a mask; there "
        "may be more keys than queries, as with a cache. Write-up 2 reports a fault of its mask, by `expand_as`. The "
        "course's limit is 1e-6. The oracle takes one query at a time:"
    )
    yield source(oracles.softmax, oracles.attention)
    q, k, v = normal(1, BATCH, SEQ, D_MODEL), normal(2, BATCH, KEYS, D_MODEL), normal(3, BATCH, KEYS, D_MODEL, std=0.5)
    yield from _with_masks(q, k, v)
    yield from _causal(q, k, v)
    yield from _kernel()


def _with_masks(q: oracles.Array, k: oracles.Array, v: oracles.Array) -> Iterator[Check]:
    import torch

    from bpe_lm.model.attention import scaled_dot_product_attention

    mask = normal(5, BATCH, SEQ, KEYS) > 0.5
    blind = mask.copy()
    blind[:, 3] = False
    heads = (-1, NUM_HEADS)
    qh, kh, vh = (array.reshape(*heads, *array.shape[1:]) for array in (q, k, v))
    for what, given, seen in (
        ("with a mask, (4, 12, 64) and (4, 16, 64)", (q, k, v), mask),
        ("with heads, (2, 2, 12, 64)", (qh, kh, vh), mask.reshape(*heads, SEQ, KEYS)),
        ("without a mask", (q, k, v), None),
        ("with queries that see no key", (q, k, v), blind),
    ):
        one, two, three = map(tensor, given)
        found = scaled_dot_product_attention(one, two, three, None if seen is None else torch.from_numpy(seen))
        expected = oracles.attention(*given, seen)
        yield compared(f"reference, {what}", found, expected, LIMIT, ORACLE)


def _causal(q: oracles.Array, k: oracles.Array, v: oracles.Array) -> Iterator[Check]:
    from bpe_lm.model.attention import causal_attention

    for implementation in IMPLEMENTATIONS:
        for queries in (q, normal(6, BATCH, KEYS, D_MODEL), q[:, :1]):
            given = (queries, k, v)
            found = causal_attention(*map(tensor, given), implementation=implementation)
            what = f"{implementation}, causal, queries: {queries.shape[1]}, keys: {KEYS}"
            yield compared(what, found, oracles.causal_attention(*given), LIMIT, ORACLE)


def _kernel() -> Iterator[Block]:
    import torch

    from bpe_lm.kernels.attention import fused_attention, supports_fused_attention

    qkv = normal(7, BATCH, SEQ, 3, NUM_HEADS, D_MODEL // NUM_HEADS)
    given = tensor(qkv)
    if not supports_fused_attention(given):
        yield Text("The fast kernel of self-attention is not compared: this CPU lacks AVX512-BF16.")
        return
    expected = oracles.causal_attention(*np.moveaxis(qkv, (2, 3), (0, 2)))
    for what, is_recorded in (("with gradients", True), ("without gradients", False)):
        with torch.set_grad_enabled(is_recorded):
            found = fused_attention(given, None, None).transpose(1, 2)
        yield compared(f"fast, the kernel of self-attention, {what}", found, expected, LIMIT, ORACLE)


QUESTION = Question(
    row=14,
    name="scaled_dot_product_attention",
    points=5,
    kind="check",
    asked="Write scaled dot-product attention with a Boolean mask, for inputs with any leading dimensions.",
    answer=guarded(answer),
)
