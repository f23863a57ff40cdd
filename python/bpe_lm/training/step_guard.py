"""The decision, on the device, whether a step may change the weights.

The host learns of a loss that is not finite only when it reads the measures of many steps. Until then the guard refuses
each bad step, and all steps after one with which the run has diverged, so the weights are those of that moment.
"""

from __future__ import annotations

from torch import Tensor

from bpe_lm.training.config import TrainConfig
from bpe_lm.training.measures import Measures


class StepGuard:
    """Counts bad steps in a row, and steps in a row above `max_loss`, as the host does when it reads them.

    The counts are tensors after a step, and ints after `begin`.
    """

    def __init__(self, config: TrainConfig, warmup: int):
        self._config, self._warmup = config, warmup
        self.begin(0, 0)

    def begin(self, skipped: int, above_max_loss: int) -> None:
        """Take the counts that the host has after all steps so far, with which the run has not diverged."""
        self._skipped: Tensor | int = skipped
        self._above: Tensor | int = above_max_loss
        self._has_diverged: Tensor | bool = False

    def check(self, step: int, measures: Measures) -> Tensor:
        """Count a step. Returns one float32, which is 1 if the step may change nothing, and 0 otherwise.

        A step whose loss is above the bound changes the weights, also the one with which the run diverges by it.
        """
        config, loss = self._config, measures.loss
        is_bad = ~(loss.isfinite() & measures.norm.isfinite())
        if measures.has_bad_ids is not None:
            is_bad = is_bad | measures.has_bad_ids
        is_refused = is_bad | self._has_diverged
        self._skipped = (self._skipped + 1) * is_bad
        has_diverged = self._has_diverged | (self._skipped > config.max_skipped_steps)
        if measures.has_bad_ids is not None:
            has_diverged = has_diverged | measures.has_bad_ids
        if config.max_loss and step > self._warmup:
            self._above = (self._above + 1) * ~(loss <= config.max_loss)
            has_diverged = has_diverged | (self._above >= config.max_loss_steps)
        self._has_diverged = has_diverged
        return is_refused.float()
