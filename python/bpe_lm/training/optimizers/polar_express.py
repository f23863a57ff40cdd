"""The coefficients of Polar Express: for each iteration the polynomial that brings all singular values nearest to 1.

Amsel, Persson, Musco & Gower 2025, arXiv:2505.16932. If the singular values are in [l, u], the best polynomial
p(s) = a s + b s^3 + c s^5 is the one with the least E = max |1 - p(s)| there. By Chebyshev's theorem its error has the
same size E at four places, with signs in turn: l, two places q < r inside where p' is 0, and u. After it the values are
in [1 - E, 1 + E].
"""

from __future__ import annotations

from functools import cache

import numpy as np

from bpe_lm.training.optimizers.newton_schulz import Coefficients

LOWEST = 1e-3
"""The least singular value, after the division by the norm, that the iterations bring near 1."""

_LEAST_RATIO = 0.02407327424182761
"""The least l / u for which a polynomial is made. With a smaller ratio, p almost vanishes inside (l, u), and rounding
in bfloat16 could give values there another sign. The number is the paper's."""

LIMIT: Coefficients = (15 / 8, -5 / 4, 3 / 8)
"""The p that is nearest to 1 around 1: p(1) = 1, and both derivatives are 0 there."""

_NARROW = 1e-5
"""Below this width of [l, u] the limit is as near as numbers of float64 allow: its error is about (u - l)^3."""

_MARGIN = 1.01
"""Each polynomial except the last is that of s / 1.01, because rounding can lift the largest value above u."""


@cache
def polar_express(iterations: int) -> tuple[Coefficients, ...]:
    """Return the coefficients of a number of iterations, which bring singular values from [0.001, 1] near 1."""
    low, high, found = LOWEST, 1.0, []
    for _ in range(iterations):
        a, b, c = nearest_to_1(max(low, _LEAST_RATIO * high), high)
        ends = [a * s + b * s**3 + c * s**5 for s in (low, high)]
        # From `low` on, which may be below the ratio, the values are centred at 1.
        scale = 2 / sum(ends)
        found.append((a * scale, b * scale, c * scale))
        low = ends[0] * scale
        high = 2 - low
    return (*(_of_smaller(polynomial) for polynomial in found[:-1]), found[-1])


def nearest_to_1(low: float, high: float) -> Coefficients:
    """Return the p with the least maximum of |1 - p(s)| for s in [low, high], by Remez' exchange of places."""
    if high - low < _NARROW:
        return LIMIT
    places = np.array([low, 0.75 * low + 0.25 * high, 0.25 * low + 0.75 * high, high])
    signs = np.array([1.0, -1.0, 1.0, -1.0])
    while True:
        # p(s) + sign E = 1 at four places, for a, b, c and E.
        equations = np.stack([places, places**3, places**5, signs], axis=1)
        a, b, c, _ = np.linalg.solve(equations, np.ones(4))
        root = np.sqrt(max(9 * b * b - 20 * a * c, 0.0))
        inside = np.sqrt([(-3 * b - root) / (10 * c), (-3 * b + root) / (10 * c)])
        moved = np.array([low, *inside, high])
        if np.abs(moved - places).max() <= 1e-12 * high:
            return float(a), float(b), float(c)
        places = moved


def _of_smaller(polynomial: Coefficients) -> Coefficients:
    a, b, c = polynomial
    return a / _MARGIN, b / _MARGIN**3, c / _MARGIN**5
