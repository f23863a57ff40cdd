"""perplexity: is it e^(mean cross-entropy), and what are bits per byte?

Answer (2026-11-27, commit b356817, 2 cores of an Intel Xeon with AVX512-BF16): yes. Bits per byte are nats / log 2 /
bytes.
"""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from math import inf, log, prod

import numpy as np

from bpe_lm.experiments.blocks import Block, Check, Table, Text
from bpe_lm.experiments.cs336 import oracles
from bpe_lm.experiments.cs336.checks import normal, tensor
from bpe_lm.experiments.cs336.question import Question, guarded
from bpe_lm.experiments.cs336.results import Results

LIMIT = 1e-5
PROBABILITIES = (Fraction(1, 2), Fraction(1, 4), Fraction(1, 8), Fraction(1, 4))
"""The probabilities of four tokens of 1 byte each: 1 + 2 + 3 + 2 = 8 bits, so 2 bits per byte and perplexity 4."""


def answer(results: Results) -> Iterator[Block]:
    """Compare perplexity with the geometric mean of 1 / p, and bits per byte with bits that can be counted."""
    yield Text(
        "Perplexity is `e^loss` for the mean cross-entropy `loss` in nats: the geometric mean of `1 / p` over the "
        "tokens, and the number of equally likely tokens that would be as hard to guess. It depends on the tokenizer. "
        "Bits per byte, `nats of the text / log 2 / bytes of the text`, does not, so it compares models with different "
        "tokenizers. Differences are relative."
    )
    yield from _checks()
    yield _examples()


def _checks() -> Iterator[Check]:
    import torch

    from bpe_lm.model.loss import bits_per_byte, cross_entropy, perplexity

    nats = [-log(p) for p in PROBABILITIES]
    geometric = float(1 / prod(PROBABILITIES)) ** (1 / len(PROBABILITIES))
    loss = sum(nats) / len(nats)
    yield _relative(
        "tokens of probability 1/2, 1/4, 1/8, 1/4", perplexity(loss), geometric, "(1 / (p1 p2 p3 p4))^(1/4)"
    )
    yield _relative("the same as bits per byte", bits_per_byte(sum(nats), len(nats)), 2.0, "8 bits in 4 bytes")
    for size in (5, 10_000):
        found = perplexity(float(cross_entropy(torch.zeros(8, size), torch.zeros(8, dtype=torch.long))))
        yield _relative(f"{size:,} equally likely tokens", found, float(size), "their number")
    logits, targets = normal(1, 8, 5), np.random.default_rng(2).integers(0, 5, 8)
    found = perplexity(float(cross_entropy(tensor(logits), torch.from_numpy(targets))))
    p = oracles.softmax(logits)[np.arange(8), targets]
    yield _relative("drawn logits", found, float(np.prod(1 / p) ** (1 / 8)), "the geometric mean of 1 / p")
    yield Check("a loss whose exponential overflows", float(perplexity(1000.0) != inf), 0.0, "infinity")


def _relative(what: str, found: float, expected: float, oracle: str) -> Check:
    return Check(what, abs(found - expected) / expected, LIMIT, oracle)


def _examples() -> Table:
    from bpe_lm.model.loss import perplexity

    losses = (
        ("the course's limit", 1.45),
        ("the course's limit with few resources", 2.0),
        ("no knowledge of 10,000 tokens", log(10_000)),
    )
    rows = [(what, loss, perplexity(loss)) for what, loss in losses]
    return Table(("loss of", "nats per token", "perplexity"), rows)


QUESTION = Question(
    row=20,
    name="perplexity",
    points=0,
    kind="check",
    asked="What are the perplexity of a loss and, to compare between tokenizers, its bits per byte?",
    answer=guarded(answer),
)
