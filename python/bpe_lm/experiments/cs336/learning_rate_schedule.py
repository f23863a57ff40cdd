"""learning_rate_schedule: are the 25 rates of the course's test right, and does a run end at the minimum?

Answer (2026-11-27, commit b356817, 2 cores of an Intel Xeon with AVX512-BF16): yes, within 4e-16 of each rate, of 1e-7.
"""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal

from bpe_lm.experiments.blocks import Block, Check, Table, Text
from bpe_lm.experiments.cs336 import oracles
from bpe_lm.experiments.cs336.checks import source
from bpe_lm.experiments.cs336.question import Question, guarded
from bpe_lm.experiments.cs336.results import Results
from bpe_lm.training.config import ScheduleConfig
from bpe_lm.training.schedules import cosine_schedule, learning_rate

LIMIT = 1e-7
HIGHEST, LOWEST, WARMUP, END, NUMBER = Decimal("1"), Decimal("0.1"), 7, 21, 25
"""The arguments of the course's test."""


def answer(results: Results) -> Iterator[Block]:
    """Compare the course's function, and the rates of a run."""
    yield Text(
        "The rate rises linearly, `it / warmup * max`, to step 7; falls by half a cosine, `min + (1 + cos(pi (it - "
        "warmup) / (end - warmup))) / 2 (max - min)`, to step 21; and stays at the minimum. A run of 21 steps uses the "
        "rates 1 to 21, so that its first step has a rate above 0, and its last the minimum. The course's limit is "
        "1e-7 of the rate. The oracle computes in decimal numbers, with the cosine's Taylor series:"
    )
    yield source(oracles.cosine_schedule)
    found = [course_rate(it) for it in range(NUMBER)]
    yield _check("the course's 25 rates, `cosine_schedule`", found, range(NUMBER))
    yield _check("the rates of a run of 21 steps", [run_rate(step) for step in range(END)], range(1, END + 1))
    last = run_rate(END - 1)
    yield Check("the last step of a run", abs(last - float(LOWEST)) / float(LOWEST), LIMIT, "the minimum, 0.1")
    yield Table(("it", *map(str, range(0, NUMBER, 4))), [("rate", *found[::4])])


def course_rate(it: int) -> float:
    """Return the rate of the course's function."""
    return cosine_schedule(it, float(HIGHEST), float(LOWEST), WARMUP, END)


def run_rate(step: int) -> float:
    """Return the rate of a step of a run, from 0."""
    schedule = ScheduleConfig(max_learning_rate=float(HIGHEST), min_ratio=float(LOWEST / HIGHEST), warmup=WARMUP)
    return learning_rate(schedule, END, step)


def _check(what: str, found: list[float], its: range) -> Check:
    expected = [oracles.cosine_schedule(it, HIGHEST, LOWEST, WARMUP, END) for it in its]
    differences = [abs(one - other) / (other or 1) for one, other in zip(found, expected, strict=True)]
    worst = max(differences, key=lambda difference: (difference != difference, difference))
    return Check(what, worst, LIMIT, "the formula in 40 digits")


QUESTION = Question(
    row=24,
    name="learning_rate_schedule",
    points=0,
    kind="check",
    asked="Write the cosine learning-rate schedule with a linear warm-up.",
    answer=guarded(answer),
)
