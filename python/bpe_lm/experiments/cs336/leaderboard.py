"""Problem leaderboard: the least validation loss on OpenWebText within a stated time.

The course's leaderboard is only a yardstick here: nothing is submitted.

Answer: pending. Nothing measures it yet.
"""

from __future__ import annotations

from collections.abc import Iterable

from bpe_lm.experiments.blocks import Block, Missing, Table, Text
from bpe_lm.experiments.cs336.question import Question
from bpe_lm.experiments.cs336.results import Results

FILLED = ("validation loss at a context of 512", "seconds", "device", "seeds", "parameters", "tokens", "bits per byte")
"""What a speedrun will fill in."""

REPORTED = (
    ("handout: a naive model", "below 5.0", "1.5 hours of an H100"),
    ("the course's best of 2025, verified", "3.0781", "1.5 hours of an H100"),
    ("the same, not verified", "3.0117", "1.5 hours of an H100"),
    ("the course's best of 2026, not verified", "3.0354", "45 minutes of a B200"),
)


def _answer(results: Results) -> Iterable[Block]:
    yield Text(
        "A speedrun on OpenWebText alone, with 32,000 tokens of vocabulary, will answer this. It is not part of this "
        "reproduction yet."
    )
    yield Table(("figure", "value"), [(name, None) for name in FILLED], "What the speedrun will fill in.")
    yield Table(("entry", "validation loss", "time"), REPORTED, "What others reached.")
    yield Missing("the speedrun")


QUESTION = Question(
    row=40,
    name="leaderboard",
    points=6,
    kind="pending",
    asked="Reach the least validation loss on OpenWebText in 1.5 hours of an H100 (in 2026: 45 minutes of a B200), "
    "evaluated at a context of 512.",
    answer=_answer,
)
