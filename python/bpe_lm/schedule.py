"""Learning rates by step."""

from __future__ import annotations

from math import cos, pi


def cosine_schedule(
    it: int, max_learning_rate: float, min_learning_rate: float, warmup_iters: int, cosine_cycle_iters: int
) -> float:
    """Up in a line to the maximum at `warmup_iters`, down half a cosine to the minimum at `cosine_cycle_iters`.

    Loshchilov & Hutter 2016, arXiv:1608.03983.
    """
    if it < warmup_iters:
        return it / warmup_iters * max_learning_rate
    if it > cosine_cycle_iters:
        return min_learning_rate
    progress = (it - warmup_iters) / max(cosine_cycle_iters - warmup_iters, 1)
    return min_learning_rate + (1 + cos(pi * progress)) / 2 * (max_learning_rate - min_learning_rate)


def constant_schedule(it: int, max_learning_rate: float, warmup_iters: int) -> float:
    """Up in a line to the maximum at `warmup_iters`; then that."""
    return max_learning_rate * min(1.0, it / warmup_iters) if warmup_iters else max_learning_rate
