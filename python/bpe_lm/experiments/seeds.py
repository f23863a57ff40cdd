"""Runs that differ in their seeds only: how much of a difference is chance."""

from __future__ import annotations

from collections.abc import Sequence
from math import sqrt
from statistics import stdev

STUDENT = (12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262)
"""The 97.5 % quantile of Student's t distribution with 1, 2, ... degrees of freedom."""


def standard_error(losses: Sequence[float]) -> float | None:
    """Return the standard error of the mean of some losses; None for fewer than two."""
    return stdev(losses) / sqrt(len(losses)) if len(losses) > 1 else None


def error_of_difference(losses: Sequence[float]) -> float | None:
    """Return the standard error of the difference between one run and another, s √2; None for fewer than two losses.

    Args:
        losses: The losses of runs that differ in their seeds only; both runs are taken to vary as these do.
    """
    return stdev(losses) * sqrt(2) if len(losses) > 1 else None


def chance(losses: Sequence[float]) -> float | None:
    """Return the size that the difference of two such runs stays below in 95 of 100 cases; None for fewer than two.

    A few losses say little about how much runs vary. So the bound is that of Student's t distribution: with three
    losses it is 4.3 times the standard error of the difference. With more than ten it is that of ten.
    """
    error = error_of_difference(losses)
    return None if error is None else STUDENT[min(len(losses) - 1, len(STUDENT)) - 1] * error
