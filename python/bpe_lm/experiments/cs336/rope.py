"""rope: does `RotaryPositionalEmbedding` rotate the pair (x_2k, x_2k+1) by its position's angle?

Answer (2026-11-27, commit b356817, 2 cores of an Intel Xeon with AVX512-BF16): yes, within 3e-7, of 1e-6, at all kinds
of positions.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from bpe_lm.experiments.blocks import Block, Check, Text
from bpe_lm.experiments.cs336 import oracles
from bpe_lm.experiments.cs336.checks import BATCH, D_MODEL, SEQ, THETA, compared, counted, normal, source, tensor
from bpe_lm.experiments.cs336.question import Question, guarded
from bpe_lm.experiments.cs336.results import Results

LIMIT = 1e-6
MAX_SEQ_LEN, LONG = 64, 2048


def answer(results: Results) -> Iterator[Block]:
    """Compare rotations at all kinds of positions."""
    yield Text(
        "`RotaryPositionalEmbedding` rotates each pair of neighbours `(x_2k, x_2k+1)` at position `i` by the angle "
        "`i theta^(-2k / d_k)`. Positions may come in any order, and with or without leading dimensions. Cosines and "
        "sines are tables that no checkpoint holds. The fast attention kernel rotates by the same tables; see "
        "multihead_self_attention. The course's limit is 1e-6. The oracle multiplies complex numbers:"
    )
    yield source(oracles.rope)
    yield from _rotations()


def _rotations() -> Iterator[Check]:
    import torch

    from bpe_lm.model.layers import RotaryPositionalEmbedding

    layer, long = (RotaryPositionalEmbedding(THETA, D_MODEL, length) for length in (MAX_SEQ_LEN, LONG))
    yield counted("tables in the state dict", len(layer.state_dict()))
    x, heads = normal(4, BATCH, SEQ, D_MODEL), normal(5, BATCH, 2, SEQ, D_MODEL)
    drawn = np.random.default_rng(6).integers(0, MAX_SEQ_LEN, (BATCH, SEQ))
    in_order = np.arange(SEQ)
    for what, rope, given, positions in (
        ("positions 0 to 11", layer, x, in_order),
        ("the same with a leading dimension", layer, x, in_order[None]),
        ("positions with gaps, in any order", layer, x, drawn[0]),
        ("other positions in each text", layer, x, drawn),
        ("other positions in each text, with heads", layer, heads, drawn),
        ("positions to 2,047", long, x, LONG - 1 - in_order),
    ):
        found = rope(tensor(given), torch.from_numpy(positions))
        # A text's positions are those of all its heads.
        of_heads = positions[:, None] if given.ndim > positions.ndim + 1 > 2 else positions
        expected = oracles.rope(given, of_heads, THETA)
        yield compared(what, found, expected, LIMIT, "the complex product in float64")


QUESTION = Question(
    row=12,
    name="rope",
    points=2,
    kind="check",
    asked="Write rotary position embeddings, for positions in any order and inputs with any leading dimensions.",
    answer=guarded(answer),
)
