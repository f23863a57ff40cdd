"""A question of the course: its runs and jobs, and the answer that they give.

`work` is asked again after each round of work, with the results so far. So a question may wait for others: the
ablations take the best learning rate of the sweep, and the edge of stability is found by bisection.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import wraps
from math import nan

from bpe_lm.experiments.blocks import Block, Check, Kind
from bpe_lm.experiments.cs336.results import Results
from bpe_lm.experiments.work import Work


def _no_work(results: Results) -> Iterable[Work]:
    return ()


Answer = Callable[[Results], Iterable[Block]]


def guarded(answer: Answer) -> Answer:
    """Return an answer that ends with a failed check if it raises an exception, so that a report is always whole."""

    @wraps(answer)
    def blocks(results: Results) -> Iterator[Block]:
        try:
            yield from answer(results)
        except Exception as error:
            yield Check(f"{type(error).__name__}: {error}", nan, 0.0, "a section without an error")

    return blocks


@dataclass(frozen=True)
class Question:
    """A row of the course's deliverables, in the order of the report.

    Args:
        row: Its number.
        name: The course's name of the problem.
        points: The course's points; 0 for what is not a problem of its own.
        kind: How the answer comes about.
        asked: The question in a sentence or two.
        answer: Computes the blocks of the section from the results. It changes nothing, and needs no run to exist.
        work: Yields the runs and jobs that the question needs, as far as they are known from the results.
    """

    row: int
    name: str
    points: int
    kind: Kind
    asked: str
    answer: Answer
    work: Callable[[Results], Iterable[Work]] = _no_work

    @property
    def needs_work(self) -> bool:
        """Whether its answer depends on runs or jobs."""
        return self.work is not _no_work
