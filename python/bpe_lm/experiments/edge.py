"""The edge of stability: the learning rate above which training diverges, found by bisection on a log scale.

The search is a pure function of the results so far. So it has no state of its own, and goes on after any interruption.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import sqrt

STEP = 10.0
"""The factor between two rates while every rate so far has converged, or every one has diverged."""

DIGITS = 2
"""The significant digits of a rate that the search chooses."""


@dataclass(frozen=True)
class Bracket:
    """The edge lies between a rate that converges and a rate that diverges.

    `converges` is None if the least rate that may be tried diverges, and `diverges` is None if the greatest converges.
    """

    converges: float | None
    diverges: float | None

    @property
    def middle(self) -> float | None:
        """The geometric mean of both rates, or None if one is missing."""
        return None if self.converges is None or self.diverges is None else sqrt(self.converges * self.diverges)


def bracket(diverged: Mapping[float, bool]) -> Bracket:
    """Return the least rate that diverged, and the greatest rate below it that converged."""
    top = min((rate for rate, has in diverged.items() if has), default=None)
    below = [rate for rate, has in diverged.items() if not has and (top is None or rate < top)]
    return Bracket(max(below, default=None), top)


def next_rate(
    diverged: Mapping[float, bool], *, ratio: float = 1.5, least: float = 1e-6, greatest: float = 1e4
) -> float | Bracket:
    """Return the rate to try next, or the bracket if the search is over.

    Args:
        diverged: Each rate that was tried, and whether it diverged. At least one.
        ratio: The search ends when the bracket's rates differ by at most this factor.
        least: No rate below it is tried.
        greatest: No rate above it is tried.
    """
    found = bracket(diverged)
    if found.diverges is None:
        assert found.converges is not None, "next_rate needs the result of at least one rate"
        return found if found.converges >= greatest else min(rounded(found.converges * STEP), greatest)
    if found.converges is None:
        return found if found.diverges <= least else max(rounded(found.diverges / STEP), least)
    if found.diverges <= found.converges * ratio:
        return found
    middle = rounded(sqrt(found.converges * found.diverges))
    return middle if found.converges < middle < found.diverges else found


def rounded(rate: float, digits: int = DIGITS) -> float:
    """Round a rate to a few significant digits, so that its name is short: 0.0031623 is 0.0032."""
    return float(f"{rate:.{digits - 1}e}")


def name_of(rate: float) -> str:
    """Return the name of a rate, such as 3e-4. Different rates have different names."""
    texts = (f"{rate:.{precision}e}" for precision in range(17))
    digits, exponent = next(text for text in texts if float(text) == rate).split("e")
    return f"{digits}e{int(exponent)}"
