"""data_loading: are the starts of rows uniform over all places, and the targets the inputs' next tokens?

Answer (2026-11-27, commit b356817, 2 cores of an Intel Xeon with AVX512-BF16): yes, in both forms. Counts of starts are
within 2.5 standard deviations of uniform, of 5.
"""

from __future__ import annotations

import tempfile
from collections import Counter
from collections.abc import Callable, Iterator
from math import inf, sqrt
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from bpe_lm.experiments.blocks import Block, Check, Text
from bpe_lm.experiments.cs336.checks import counted, in_one_thread
from bpe_lm.experiments.cs336.question import Question, guarded
from bpe_lm.experiments.cs336.results import Results

if TYPE_CHECKING:
    from torch import Tensor

TOKENS, BATCH_SIZE, CONTEXT, BATCHES = 100, 32, 7, 1000
"""The sizes of the course's test. The tokens are 0 .. 99, so that a token is also its place."""

PLACES = TOKENS - CONTEXT
SIGMAS = 5.0

Draw = Callable[[int], "tuple[Tensor, Tensor]"]


def answer(results: Results) -> Iterator[Block]:
    """Draw 32,000 rows in both ways, and from a memory map; ask for a device that is not there."""
    yield Text(
        f"`get_batch` cuts rows of m + 1 tokens at uniformly random places of an array of n tokens. Inputs are the "
        f"first m, and targets the last m. A start is one of 0 .. n - m - 1, here 0 .. {PLACES - 1}. The fast form is "
        "that of runs, `Batches`, whose batch is a function of seed and step. The tokens are their own places, which "
        f"shows whether a row is right. As in the course's test, {BATCHES * BATCH_SIZE:,} starts are drawn, and the "
        "count of each place may differ from the uniform one by 5 standard deviations."
    )
    for form, draw in _forms().items():
        yield from in_one_thread(_draws(form, draw))
    yield _memory_map()
    yield _device()


def _forms() -> dict[str, Draw]:
    from bpe_lm.training.batches import Batches, get_batch

    tokens, generator = np.arange(TOKENS), np.random.default_rng(336)
    batches = Batches(tokens, BATCH_SIZE, CONTEXT, seed=336, vocab_size=TOKENS)
    return {
        "reference, get_batch": lambda step: get_batch(tokens, BATCH_SIZE, CONTEXT, "cpu", generator),
        "fast, Batches": lambda step: batches(step, "cpu"),
    }


def _draws(form: str, draw: Draw) -> Iterator[Check]:
    starts, wrong = Counter[int](), 0
    for step in range(BATCHES):
        x, y = (side.numpy() for side in draw(step))
        expected = x[:, :1] + np.arange(CONTEXT)
        is_right = x.shape == y.shape == (BATCH_SIZE, CONTEXT) and x.dtype == y.dtype == np.int64
        wrong += int((x != expected).sum() + (y != expected + 1).sum()) if is_right else 1
        starts.update(x[:, 0].tolist())
    yield counted(f"tokens that are not the next of their row, {form}", wrong)
    ends = (0 in starts) + (PLACES - 1 in starts)
    yield counted(f"ends, 0 and {PLACES - 1}, at which no row starts, {form}", 2 - ends)
    yield Check(f"counts of starts in standard deviations, {form}", _deviation(starts), SIGMAS, "the uniform count")


def _deviation(starts: Counter[int]) -> float:
    """Return the largest difference from the uniform count, in standard deviations; infinity for a wrong start."""
    if not all(0 <= start < PLACES for start in starts):
        return inf
    number, p = sum(starts.values()), 1 / PLACES
    return max(abs(starts[place] - number * p) for place in range(PLACES)) / sqrt(number * p * (1 - p))


def _memory_map() -> Check:
    from bpe_lm.training.batches import get_batch

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "tokens.bin"
        np.arange(60_000, dtype=np.uint16).tofile(path)
        tokens = np.memmap(path, np.uint16, "r")
        x, y = get_batch(tokens, BATCH_SIZE, CONTEXT, "cpu", np.random.default_rng(1))
        # Ids above 32,767 are negative if they are taken for int16.
        wrong = int((y != x + 1).sum()) + int((x < 0).sum()) + int(int(x.max()) <= 32_767)
        del tokens
    return counted("wrong tokens from a memory map of uint16", wrong)


def _device() -> Check:
    from bpe_lm.training.batches import get_batch

    missing = "devices that are not there, cuda:99, and taken without an error"
    try:
        get_batch(np.arange(TOKENS), BATCH_SIZE, CONTEXT, "cuda:99")
    except (RuntimeError, AssertionError):
        return counted(missing, 0)
    return counted(missing, 1)


QUESTION = Question(
    row=26,
    name="data_loading",
    points=2,
    kind="check",
    asked="Write the loading of batches: inputs and their next tokens, from random places of an array of ids.",
    answer=guarded(answer),
)
