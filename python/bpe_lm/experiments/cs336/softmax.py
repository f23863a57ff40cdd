"""softmax: is it e^x_i / sum_j e^x_j along any dimension, for numbers of any size?

Answer (2026-11-27, commit b356817, 2 cores of an Intel Xeon with AVX512-BF16): yes, within 6e-8, of 1e-6.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from bpe_lm.experiments.blocks import Block, Check, Text
from bpe_lm.experiments.cs336 import oracles
from bpe_lm.experiments.cs336.checks import compared, normal, source, tensor
from bpe_lm.experiments.cs336.question import Question, guarded
from bpe_lm.experiments.cs336.results import Results

LIMIT = 1e-6


def answer(results: Results) -> Iterator[Block]:
    """Compare along each dimension, and with numbers whose exponentials overflow."""
    yield Text(
        "`softmax(x, dim)` is `e^x_i / sum_j e^x_j` along a dimension. The largest number is taken from each first, "
        "which changes nothing except that no exponential overflows. It has one form. The course's limit is 1e-6, also "
        "for `x + 100`. The oracle does the same in float64:"
    )
    yield source(oracles.softmax)
    yield from _checks()


def _checks() -> Iterator[Check]:
    from bpe_lm.model.attention import softmax

    # Multiples of 1/256, so that x + 1000 is exact in float32.
    x = np.round(256 * normal(1, 3, 5, 7)) / 256
    for what, given, dim in (
        ("along the last dimension", x, -1),
        ("along the first dimension", x, 0),
        ("along the second dimension", x, 1),
        ("of x + 100", x + 100, -1),
        ("of x + 1000, whose exponentials overflow", x + 1000, -1),
        ("of 100 x", 100 * x, -1),
    ):
        found = softmax(tensor(given), dim)
        expected = np.moveaxis(oracles.softmax(np.moveaxis(given, dim, -1)), -1, dim)
        yield compared(what, found, expected, LIMIT, "the formula in float64")


QUESTION = Question(
    row=13,
    name="softmax",
    points=1,
    kind="check",
    asked="Write softmax along a given dimension, stable for large numbers.",
    answer=guarded(answer),
)
