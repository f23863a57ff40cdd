"""Runs that differ in their seeds only: how much of a difference is chance."""

from __future__ import annotations

from collections.abc import Sequence
from math import sqrt
from statistics import stdev


def standard_error(losses: Sequence[float]) -> float | None:
    """Return the standard error of the mean of some losses; None for fewer than two."""
    return stdev(losses) / sqrt(len(losses)) if len(losses) > 1 else None


def error_of_difference(losses: Sequence[float]) -> float | None:
    """Return the standard error of the difference between one run and another, s √2; None for fewer than two losses.

    Args:
        losses: The losses of runs that differ in their seeds only; both runs are taken to vary as these do.
    """
    return stdev(losses) * sqrt(2) if len(losses) > 1 else None
