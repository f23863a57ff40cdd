"""embedding: does `Embedding` look up the row of each id, and do its weights start as the handout says?

Answer (2026-11-27, commit b356817, 2 cores of an Intel Xeon with AVX512-BF16): yes. The rows are equal to the bit, and
gradients within 6e-7.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from bpe_lm.experiments.blocks import Block, Check, Text
from bpe_lm.experiments.cs336 import oracles
from bpe_lm.experiments.cs336.checks import (
    BATCH,
    D_MODEL,
    SEQ,
    VOCAB_SIZE,
    compared,
    initial_weights,
    largest,
    normal,
    source,
    tensor,
)
from bpe_lm.experiments.cs336.question import Question, guarded
from bpe_lm.experiments.cs336.results import Results


def answer(results: Results) -> Iterator[Block]:
    """Compare rows, gradients and initial weights."""
    yield Text(
        "`Embedding` returns the row `W[id]` of a table of shape (vocab_size, d_model), for ids of any shape. The "
        "table starts from N(0, 1), truncated at 3. The formula in torch is `W[ids]`; the fast form, which is used "
        "when gradients are recorded, is an operator that a compiler leaves whole. Rows are copied, so no difference "
        "is allowed. The oracle copies row by row:"
    )
    yield source(oracles.embedding)
    yield from _rows()
    yield _gradient()
    yield from _initial()


def _rows() -> Iterator[Check]:
    import torch

    from bpe_lm.model.layers import Embedding

    weight = normal(1, VOCAB_SIZE, D_MODEL)
    layer = Embedding(VOCAB_SIZE, D_MODEL)
    layer.load_state_dict({"weight": tensor(weight)})
    for form, is_recorded in (("fast", True), ("reference", False)):
        checks = []
        for shape in ((BATCH, SEQ), (3,), (2, 3, 4)):
            ids = np.random.default_rng(2).integers(0, VOCAB_SIZE, shape)
            with torch.set_grad_enabled(is_recorded):
                found = layer(torch.from_numpy(ids))
            expected = oracles.embedding(weight, ids)
            checks.append(compared(f"{form}: rows of ids of any shape", found, expected, 0.0, "the table's rows"))
        yield largest(*checks)


def _gradient() -> Check:
    """The gradient of a row is the sum of the gradients of the places that hold its id, here with many repetitions."""
    import torch

    from bpe_lm.model.layers import Embedding

    layer = Embedding(10, D_MODEL)
    ids, g = np.random.default_rng(3).integers(0, 10, (BATCH, SEQ)), normal(4, BATCH, SEQ, D_MODEL)
    (layer(torch.from_numpy(ids)) * tensor(g)).sum().backward()
    expected = np.zeros((10, D_MODEL))
    for place in np.ndindex(ids.shape):
        expected[ids[place]] += g[place]
    assert layer.weight.grad is not None
    return compared("fast: the gradient of the table", layer.weight.grad, expected, 1e-5, "the sums over equal ids")


def _initial() -> Iterator[Check]:
    import torch

    from bpe_lm.model.layers import Embedding

    with torch.random.fork_rng(devices=()):
        torch.manual_seed(9)
        yield from initial_weights(Embedding(VOCAB_SIZE, D_MODEL).weight, 1.0)


QUESTION = Question(
    row=9,
    name="embedding",
    points=1,
    kind="check",
    asked="Write an `Embedding` module: the row of a table for each token id, with truncated normal initial weights.",
    answer=guarded(answer),
)
