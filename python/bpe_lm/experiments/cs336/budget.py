"""How many tokens each run of a study gets, so that all of them together fit into stated hours."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace

from bpe_lm.errors import ConfigError, OptionError
from bpe_lm.training.config import TrainConfig

LEAST_STEPS = 20
"""A run of fewer steps says nothing."""

START = 6.0
"""Seconds that a process takes before its first step."""

OVERHEAD = 1.15
"""The time of a run with validations and checkpoints, as a multiple of that of its steps."""

Measure = Callable[[TrainConfig], float]
"""A function that measures the seconds of a step of a config."""


@dataclass(frozen=True)
class Load:
    """A number of runs of one shape. A run that diverges early counts as a part of one."""

    config: TrainConfig
    runs: float


def shape_of(config: TrainConfig) -> str:
    """Name what the time of a step depends on, such as `V4000 T128 d192 L4 h6 ff512 B32 float32`."""
    model = config.model
    words = [
        f"V{model.vocab_size} T{model.context_length} d{model.d_model} L{model.num_layers} h{model.num_heads}",
        f"ff{model.d_ff} B{config.batch_size} {config.dtype}",
        *(["compiled"] if config.compile else []),
    ]
    return " ".join(words)


def measured_step(config: TrainConfig) -> float:
    """Measure the seconds of a step in a process of its own.

    Raises:
        ConfigError: The process failed; the message has the last line of its error.
    """
    module, values = "bpe_lm.experiments.cs336.speed", json.dumps({"config": config.as_dict()})
    command = [sys.executable, "-m", "bpe_lm.experiments.job", module, values]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        last = (done.stderr.strip().splitlines() or [f"exit status {done.returncode}"])[-1].removeprefix("error: ")
        raise ConfigError(f"the speed of a step of {shape_of(config)} could not be measured: {last}")
    return float(json.loads(done.stdout.splitlines()[-1])["seconds"])


def seconds_of(config: TrainConfig, speeds: Mapping[str, float]) -> float | None:
    """Predict the seconds of a run, or None if no step of its shape was measured."""
    step = speeds.get(shape_of(config))
    return None if step is None else START + OVERHEAD * step * config.steps


def with_tokens(config: TrainConfig, tokens: float, records: int = 50, validations: int = 5) -> TrainConfig:
    """Return a config whose run has this many tokens, in whole steps, with records and validations that suit it."""
    steps = max(int(tokens // config.tokens_per_step), 1)
    return replace(
        config,
        steps=steps,
        log_every=max(steps // records, 1),
        validate_every=max(steps // validations, 1),
        checkpoint_every=max(steps // 5, 20),
        max_loss_steps=steps_above(steps),
    )


def steps_above(steps: int) -> int:
    """Return the steps in a row with a loss above the bound after which a run of `steps` steps has diverged."""
    return max(steps // 4, 10)


def tokens_of(seconds: float, loads: Iterable[Load], speeds: Mapping[str, float]) -> float:
    """Return the tokens of each run, so that all runs together take `seconds`. Every run gets as many tokens."""
    loads = list(loads)
    per_token = sum(
        load.runs * OVERHEAD * speeds[shape_of(load.config)] / load.config.tokens_per_step for load in loads
    )
    return max(seconds - START * sum(load.runs for load in loads), 0.0) / per_token


def check_steps(config: TrainConfig, tokens: float, hours: float) -> None:
    """Refuse a budget that leaves a run of this config too few steps.

    Raises:
        OptionError: The run would have fewer than `LEAST_STEPS` steps.
    """
    steps = int(tokens // config.tokens_per_step)
    if steps < LEAST_STEPS:
        raise OptionError(
            f"{hours:g} hours leave {steps} steps of {config.tokens_per_step:,} tokens for a run, and it needs at "
            f"least {LEAST_STEPS}; give more --hours, or take --scale smoke"
        )
