"""The learning rate of each step."""

from __future__ import annotations

from math import cos, pi
from typing import TYPE_CHECKING

from bpe_lm.errors import OptionError

if TYPE_CHECKING:
    from bpe_lm.training.config import ScheduleConfig


def learning_rate(schedule: ScheduleConfig, steps: int, step: int, time_over: float = 0.0) -> float:
    """Return the rate of a step, counted from 0, in a run of `steps` steps. The first step has a rate above 0.

    The rate rises linearly over the warm-up, is constant, and falls over the decay, which ends with the last step.

    Args:
        schedule: The schedule.
        steps: The steps of the run.
        step: The steps before this one.
        time_over: The part of the run's time that is over after this step, of a run whose clock is its time. The rate
            falls as if that part of the steps were done, if it is more than are.

    Raises:
        ConfigError: The run is too short for the warm-up and the decay.
    """
    warmup, decay = schedule.lengths(steps)
    it = step + 1
    rate = _after_warmup(schedule, max(it, min(time_over, 1) * steps), steps - decay, steps)
    return min(it / warmup * schedule.max_learning_rate, rate) if it < warmup else rate


def _after_warmup(schedule: ScheduleConfig, it: float, constant_until: int, steps: int) -> float:
    highest = schedule.max_learning_rate
    if it <= constant_until or schedule.shape == "constant":
        return highest
    lowest = highest * schedule.min_ratio
    if schedule.shape == "cosine":
        return cosine_schedule(it, highest, lowest, constant_until, steps)
    left = max(steps - it, 0) / (steps - constant_until)
    return lowest + left * (highest - lowest)


def cosine_schedule(
    it: float, max_learning_rate: float, min_learning_rate: float, warmup_iters: int, cosine_cycle_iters: int
) -> float:
    """Return the rate of the course's schedule, which has these arguments.

    The rate rises linearly to the maximum at `warmup_iters`, and falls by half a cosine to the minimum at
    `cosine_cycle_iters` (Loshchilov & Hutter 2016, arXiv:1608.03983).

    Raises:
        OptionError: The cycle ends before the warm-up, or the minimum is above the maximum.
    """
    if cosine_cycle_iters < warmup_iters:
        raise OptionError(
            f"cosine_cycle_iters is {cosine_cycle_iters}, and must be at least warmup_iters, which is {warmup_iters}"
        )
    if min_learning_rate > max_learning_rate:
        raise OptionError(
            f"min_learning_rate is {min_learning_rate}, and must be at most max_learning_rate, {max_learning_rate}"
        )
    if it < warmup_iters:
        return it / warmup_iters * max_learning_rate
    if it > cosine_cycle_iters:
        return min_learning_rate
    progress = (it - warmup_iters) / max(cosine_cycle_iters - warmup_iters, 1)
    return min_learning_rate + (1 + cos(pi * progress)) / 2 * (max_learning_rate - min_learning_rate)
