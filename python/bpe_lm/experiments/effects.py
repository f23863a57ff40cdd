"""The effect of each variant of a study: its losses and its speed beside those of the base config, seed by seed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import mean, median

from bpe_lm.experiments.seeds import standard_error


@dataclass(frozen=True)
class Effect:
    """What a variant changes. `differences` are its losses less the base's, in nats per token, one for each seed."""

    differences: Sequence[float]
    speed: float | None
    """Tokens per second, as a multiple of the base's; None if it is not known."""

    @property
    def mean(self) -> float:
        """The mean of the differences, in nats per token."""
        return mean(self.differences)

    @property
    def standard_error(self) -> float | None:
        """The standard error of the mean; None for one seed."""
        return standard_error(self.differences)


@dataclass(frozen=True)
class Ended:
    """How a run ended: its final validation loss in nats per token, and its tokens per second, if that is known."""

    loss: float
    tokens_per_second: float | None


def effect(base: Mapping[int, Ended], variant: Mapping[int, Ended]) -> Effect | None:
    """Compare a variant with the base by the seeds that both have. Returns None if there are none.

    Two runs of one seed see the same batches, so their difference varies less than that of two seeds.
    """
    seeds = sorted(base.keys() & variant.keys())
    if not seeds:
        return None
    ratios = [
        new / old
        for seed in seeds
        if (new := variant[seed].tokens_per_second) is not None and (old := base[seed].tokens_per_second)
    ]
    return Effect([variant[seed].loss - base[seed].loss for seed in seeds], median(ratios) if ratios else None)
