"""transformer_block: is the block pre-norm, z = x + attention(norm(x)) and y = z + ffn(norm(z))?

Answer (2026-11-27, commit b356817, 2 cores of an Intel Xeon with AVX512-BF16): yes, within 3e-7, of 1e-6, in both
forms.
"""

from __future__ import annotations

from collections.abc import Iterator

from bpe_lm.experiments.blocks import Block, Check, Text
from bpe_lm.experiments.cs336 import oracles
from bpe_lm.experiments.cs336.checks import (
    BATCH,
    CONTEXT,
    D_FF,
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


def answer(results: Results) -> Iterator[Block]:
    """Compare both forms of a block."""
    yield Text(
        "A block adds two sub-layers to its input, each after a norm: `z = x + attention(norm(x))`, `y = z + "
        "ffn(norm(z))`. Its weights have the course's names; another name would be an error here. Each line is the "
        "larger difference of with and without gradients. The course's limit is 1e-6. The oracle:"
    )
    yield source(oracles.transformer_block)
    yield from _checks()


def _checks() -> Iterator[Check]:
    import torch

    from bpe_lm.model.layers import RotaryPositionalEmbedding
    from bpe_lm.model.transformer import TransformerBlock

    weights = dict(oracles.below("layers.0", model_weights(num_layers=1)))
    x = normal(4, BATCH, SEQ, D_MODEL)
    expected = oracles.transformer_block(weights, x, NUM_HEADS, THETA)
    for implementation in IMPLEMENTATIONS:
        rope = RotaryPositionalEmbedding(THETA, D_MODEL // NUM_HEADS, CONTEXT)
        block = TransformerBlock(D_MODEL, NUM_HEADS, D_FF, rope, implementation=implementation)
        block.load_state_dict(tensors(weights))
        checks = []
        for is_recorded in (True, False):
            with torch.set_grad_enabled(is_recorded):
                found = block(tensor(x))
            checks.append(compared(f"{implementation}: {x.shape}", found, expected, LIMIT, "the formula in float64"))
        yield largest(*checks)


QUESTION = Question(
    row=16,
    name="transformer_block",
    points=3,
    kind="check",
    asked="Write a pre-norm Transformer block of attention and a feed-forward network.",
    answer=guarded(answer),
)
