"""The records of training steps and validations, and the time of the steps since the last record."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from bpe_lm.model.flops import training_flops_per_token
from bpe_lm.training.config import TrainConfig
from bpe_lm.training.evaluate import Evaluation
from bpe_lm.training.measures import Reading


@dataclass
class Window:
    """The number of steps since the last record, and the seconds of these steps: `waiting` for data, and `total`.

    A device computes steps while the host launches later ones. So `total` is right only after the host has waited for
    the device, as it does before each record.
    """

    steps: int = 0
    waiting: float = 0.0
    total: float = 0.0

    def add(self, waiting: float, total: float) -> None:
        """Count a step that was launched."""
        self.steps, self.waiting, self.total = self.steps + 1, self.waiting + waiting, self.total + total

    def wait(self, seconds: float) -> None:
        """Add the time in which the host waited for the device."""
        self.total += seconds

    def clear(self) -> None:
        """Begin again after a record."""
        self.steps, self.waiting, self.total = 0, 0.0, 0.0


def is_record_due(config: TrainConfig, step: int) -> bool:
    """Return whether a step has a record: the first, the last, and every `log_every`-th."""
    return step % config.log_every == 0 or step in (1, config.steps)


def train_record(
    config: TrainConfig, reading: Reading, seconds: float, window: Window, peak: float | None
) -> dict[str, Any]:
    """Return the record of a step.

    Args:
        config: The run's config.
        reading: The measures of the step.
        seconds: The time of the run.
        window: The time since the last record.
        peak: The floating-point operations that the device can do in a second, if they are known.
    """
    tokens, flops_per_token = reading.step * config.tokens_per_step, training_flops_per_token(config.model)
    speed = window.steps * config.tokens_per_step / window.total
    return {
        "kind": "train",
        "step": reading.step,
        "tokens": tokens,
        "seconds": seconds,
        "flops": tokens * flops_per_token,
        "loss": reading.loss,
        "learning_rate": reading.learning_rate,
        "gradient_norm": reading.norm,
        "tokens_per_second": speed,
        "mfu": speed * flops_per_token / peak if peak else None,
        "data_wait": window.waiting / window.total,
    }


def valid_record(config: TrainConfig, step: int, seconds: float, result: Evaluation) -> dict[str, Any]:
    """Return the record of a validation after a step. `seconds` is the time of the run."""
    return {
        "kind": "valid",
        "step": step,
        "tokens": step * config.tokens_per_step,
        "seconds": seconds,
        "loss": result.loss,
        "perplexity": result.perplexity,
    }
