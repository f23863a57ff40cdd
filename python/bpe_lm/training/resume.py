"""The state that a resumed run takes from its folder, and the changes that its config may make."""

from __future__ import annotations

import warnings
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

from bpe_lm.errors import ConfigError, ResumeMismatch
from bpe_lm.fields import keys
from bpe_lm.training.config import TrainConfig
from bpe_lm.training.identity import joined_identity
from bpe_lm.training.schedules import learning_rate

FREE_TO_CHANGE = frozenset(
    {
        "steps",
        "tokens",
        "device",
        "kernels.linear",
        "kernels.products",
        "kernels.attention",
        "kernels.layers",
        "kernels.loss",
        "compile",
        "parallel",
        "micro_batch_size",
        "activation_checkpointing",
        "max_time",
        "log_every",
        "validate_every",
        "validation_tokens",
        "checkpoint_every",
        "checkpoints_kept",
        "max_skipped_steps",
        "max_loss",
        "max_loss_steps",
        "stop_when_worse",
        "wandb_project",
        "trackio_project",
        "tensorboard",
        "data.train",
        "data.mixture",
        "data.valid",
        "data.tokenizer",
    }
)
"""Config keys that may change between a run and its resumption."""


@dataclass
class RunState:
    """The state of a run that a checkpoint has besides weights and optimizer.

    `seconds` is the time of the run, with saving and without validation. `skipped` counts the latest steps in a row
    that were not finite, `above_max_loss` those whose loss was above `max_loss`, and `worse` the latest validations in
    a row that were no better than `best_loss`. `loss` (of the step `loss_step`) and `best_loss` are validation losses,
    on the tokens `validated_on`. `pace`, the least seconds of a step, and `time_over` are those of
    `bpe_lm.training.time_budget`. `train_loss` is the last finite training loss. `identity` is that of the steps so far
    (`bpe_lm.training.identity`).
    """

    seconds: float = 0.0
    skipped: int = 0
    above_max_loss: int = 0
    best_loss: float | None = None
    worse: int = 0
    loss: float | None = None
    loss_step: int | None = None
    train_loss: float | None = None
    validated_on: str | None = None
    identity: dict[str, str] | None = None
    pace: float | None = None
    time_over: float = 0.0

    @classmethod
    def of(cls, saved: dict[str, Any]) -> RunState:
        """Take the known fields from a checkpoint; another version may have more or fewer."""
        return cls(**{f.name: saved[f.name] for f in fields(cls) if f.name in saved})


def resumed_config(old: TrainConfig, new: TrainConfig, folder: Path) -> TrainConfig:
    """Return the config with which a run goes on. A warm-up that is a fraction of the run keeps its length in steps.

    Raises:
        ResumeMismatch: A key differs that may not change.
    """
    schedule = new.schedule
    if 0 < schedule.warmup < 1 and (old.steps != new.steps or old.schedule.warmup >= 1):
        warmup = old.schedule.lengths(old.steps)[0]
        if old.schedule.warmup >= 1 and schedule.lengths(new.steps)[0] != warmup:
            warnings.warn(f"schedule.warmup stays {warmup:,} steps, with which the run in {folder} began", stacklevel=5)
        new = replace(new, schedule=replace(schedule, warmup=warmup))
        old = replace(old, schedule=replace(old.schedule, warmup=warmup))
    old_values = dict(keys(old))
    changed = [
        f"{name} was {old_values[name]!r} and is {value!r}"
        for name, value in keys(new)
        if value != old_values[name] and name not in FREE_TO_CHANGE
    ]
    if changed:
        raise ResumeMismatch(f"the run in {folder} has another config: {'; '.join(changed)}")
    return new


def check_enough_steps(config: TrainConfig, step: int, folder: Path) -> None:
    """Refuse a config with fewer steps than the run has done.

    Raises:
        ConfigError: The config has fewer steps.
    """
    if config.steps < step:
        raise ConfigError(f"steps is {config.steps:,}, and the run in {folder} has done {step:,}; set at least as many")


def warn_of_another_schedule(old: TrainConfig, new: TrainConfig, step: int) -> None:
    """Warn if a new number of steps would have changed the rate of the last step, unless the time decides it."""
    if step == 0 or new.schedule.clock == "time":
        return
    old_rate, new_rate = (learning_rate(config.schedule, config.steps, step - 1) for config in (old, new))
    if old_rate != new_rate:
        warnings.warn(
            f"steps was {old.steps:,} and is {new.steps:,}, on which a schedule of shape {new.schedule.shape} depends: "
            f"step {step:,} had the learning rate {old_rate:.3g}, and the next has "
            f"{learning_rate(new.schedule, new.steps, step):.3g}; a run that begins with {new.steps:,} steps has "
            "other learning rates",
            stacklevel=5,
        )


def allows_more(old: TrainConfig, new: TrainConfig) -> bool:
    """Return whether a config lets a run go on that had diverged by the bounds of its old config."""
    has_higher_loss = old.max_loss > 0 and (new.max_loss == 0 or new.max_loss > old.max_loss)
    has_more_steps = old.max_loss > 0 and new.max_loss_steps > old.max_loss_steps
    return new.max_skipped_steps > old.max_skipped_steps or has_higher_loss or has_more_steps


def go_on_with_identity(progress: RunState, now: dict[str, str], step: int, folder: Path, *, warns: bool) -> None:
    """Set the identity of a run that has done `step` steps and goes on. Warn if this package's code has changed."""
    began = progress.identity
    progress.identity = joined_identity(began, now) if step else dict(now)
    if warns and step and began is not None and began.get("sources") != now["sources"]:
        warnings.warn(
            f"the code of bpe_lm's model/, kernels/ or training/ has changed since the run in {folder} did its first "
            f"{step:,} steps: its result will be of neither code alone; to begin anew, give --force",
            stacklevel=5,
        )


def compare_validation(progress: RunState, now: str | None, step: int, *, warns: bool) -> None:
    """Forget the best loss if validation reads other tokens now: losses on different tokens do not compare."""
    if now is None:
        return
    if progress.best_loss is not None and progress.validated_on not in (None, now):
        if warns:
            warnings.warn(
                f"validation is on {now} from step {step:,} on, and was on {progress.validated_on}: losses do not "
                f"compare, and the best is chosen anew",
                stacklevel=5,
            )
        progress.best_loss, progress.worse = None, 0
    progress.validated_on = now
