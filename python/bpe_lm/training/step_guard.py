"""The decision, on the device, whether a step may change the weights.

The host learns of a loss that is not finite only when it reads the measures of many steps. Until then the guard refuses
each bad step, and all steps after one with which the run has diverged, so the weights are those of that moment.
"""

from __future__ import annotations

import torch
from torch import Tensor

from bpe_lm.training.config import TrainConfig
from bpe_lm.training.measures import Measures


class StepGuard:
    """Counts bad steps in a row, and steps in a row above `max_loss`, as the host does when it reads them.

    The counts stay in the same memory, so that a CUDA graph can hold them.
    """

    def __init__(self, config: TrainConfig, warmup: int, device: torch.device | str):
        self._config, self._warmup = config, warmup
        self._state = torch.zeros(3, dtype=torch.int64, device=device)
        self._skipped, self._above, self._has_diverged = self._state.unbind()

    def begin(self, skipped: int, above_max_loss: int) -> None:
        """Take the counts that the host has after all steps so far, with which the run has not diverged."""
        self._state.zero_()
        for count, value in ((self._skipped, skipped), (self._above, above_max_loss)):
            if value:
                count.fill_(value)

    def watches_loss(self, step: int) -> bool:
        """Return whether a loss above the bound counts in a step."""
        return bool(self._config.max_loss) and step > self._warmup

    def check(self, step: int, measures: Measures) -> Tensor:
        """Count a step. Returns one float32, which is 1 if the step may change nothing, and 0 otherwise.

        A step whose loss is above the bound changes the weights, also the one with which the run diverges by it.
        """
        config, loss = self._config, measures.loss
        is_bad = ~(loss.isfinite() & measures.norm.isfinite())
        if measures.has_bad_ids is not None:
            is_bad = is_bad | measures.has_bad_ids
        is_refused = is_bad | self._has_diverged.bool()
        self._skipped.add_(1).mul_(is_bad)
        has_diverged = self._skipped > config.max_skipped_steps
        if measures.has_bad_ids is not None:
            has_diverged = has_diverged | measures.has_bad_ids
        if self.watches_loss(step):
            self._above.add_(1).mul_(~(loss <= config.max_loss))
            has_diverged = has_diverged | (self._above >= config.max_loss_steps)
        self._has_diverged.add_(has_diverged)
        return is_refused.float()
