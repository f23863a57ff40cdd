"""multihead_self_attention: do the heads attend causally, each with its rows of the weights, with and without RoPE?

Answer (2026-11-27, commit b356817, 2 cores of an Intel Xeon with AVX512-BF16): yes, within 2e-7, of 1e-6, in both
forms.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from bpe_lm.experiments.blocks import Block, Check, Text
from bpe_lm.experiments.cs336 import oracles
from bpe_lm.experiments.cs336.checks import (
    BATCH,
    CONTEXT,
    D_MODEL,
    IMPLEMENTATIONS,
    NUM_HEADS,
    SEQ,
    THETA,
    compared,
    largest,
    model_weights,
    normal,
    source,
    tensor,
    tensors,
)
from bpe_lm.experiments.cs336.question import Question, guarded
from bpe_lm.experiments.cs336.results import Results

LIMIT = 1e-6
ORACLE = "the formula, computed head by head in float64,"


def answer(results: Results) -> Iterator[Block]:
    """Compare both forms, with and without RoPE, at several positions."""
    yield Text(
        "`MultiheadSelfAttention` is `W_O` times the heads side by side. Head `h` takes the rows `h d_k` to `(h + 1) "
        "d_k` of `W_Q`, `W_K` and `W_V`, and attends causally; RoPE rotates its queries and keys. Both forms compute "
        "all three projections by one product. The reference attends by the formula; on a CPU with AVX512-BF16 the "
        "fast form is one kernel that also rotates. Each line is the larger difference of with and without gradients. "
        "Write-up 2 notes that RoPE must follow the split into heads. The course's limit is 1e-6. The oracle:"
    )
    yield source(oracles.self_attention)
    yield from _checks()


def _checks() -> Iterator[Check]:
    import torch

    from bpe_lm.model.attention import MultiheadSelfAttention
    from bpe_lm.model.layers import RotaryPositionalEmbedding

    weights = dict(oracles.below("layers.0.attn", model_weights(num_layers=1)))
    x = normal(4, BATCH, SEQ, D_MODEL)
    drawn = np.random.default_rng(6).integers(0, CONTEXT, (BATCH, SEQ))
    for implementation in IMPLEMENTATIONS:
        for what, has_rope, positions in (
            ("without RoPE", False, None),
            ("with RoPE, the default positions", True, None),
            ("with RoPE, positions with gaps", True, drawn[0]),
            ("with RoPE, other positions in each text", True, drawn),
        ):
            rope = RotaryPositionalEmbedding(THETA, D_MODEL // NUM_HEADS, CONTEXT) if has_rope else None
            layer = MultiheadSelfAttention(D_MODEL, NUM_HEADS, rope, implementation=implementation)
            layer.load_state_dict(tensors(weights))
            at = (np.arange(SEQ) if positions is None else positions) if has_rope else None
            expected = oracles.self_attention(weights, x, NUM_HEADS, at, THETA)
            checks = []
            for is_recorded in (True, False):
                with torch.set_grad_enabled(is_recorded):
                    found = layer(tensor(x), None if positions is None else torch.from_numpy(positions))
                checks.append(compared(f"{implementation}, {what}", found, expected, LIMIT, ORACLE))
            yield largest(*checks)


QUESTION = Question(
    row=15,
    name="multihead_self_attention",
    points=5,
    kind="check",
    asked="Write causal multi-head self-attention, with and without RoPE.",
    answer=guarded(answer),
)
