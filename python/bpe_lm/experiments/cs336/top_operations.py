"""The operations and the functions that take most of the time of training steps."""

from __future__ import annotations

import cProfile
import pstats
import tempfile
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from torch.profiler import ProfilerActivity, profile

from bpe_lm.training.config import TrainConfig
from bpe_lm.training.devices import device_of
from bpe_lm.training.trainer import Trainer

TOP = 20
WARM_UP = 3


def measure(config: Mapping[str, Any], steps: int = 10) -> dict[str, Any]:
    """Train for a few steps, first under torch's profiler and then under cProfile.

    Returns:
        `operations` and `functions`: the first by their own time, each with its name, calls, seconds and share; and the
        seconds of a step without a profiler.
    """
    run = replace(TrainConfig.from_dict(config), steps=WARM_UP + steps, max_time=0.0, validate_every=10**9)
    run = replace(run, log_every=1, checkpoint_every=10**9, data=replace(run.data, valid=""))
    is_gpu = device_of(run.device).type == "cuda"
    with tempfile.TemporaryDirectory() as folder:
        plain = _train(run, Path(folder) / "plain")
        activities = [ProfilerActivity.CPU, *([ProfilerActivity.CUDA] if is_gpu else [])]
        with profile(activities=activities) as recorded:
            _train(run, Path(folder) / "operations")
        functions = cProfile.Profile()
        functions.enable()
        _train(run, Path(folder) / "functions")
        functions.disable()
    return {
        "steps": run.steps,
        "seconds_per_step": plain / run.steps,
        "operations": _operations(recorded, is_gpu),
        "functions": _functions(functions),
    }


def _train(config: TrainConfig, folder: Path) -> float:
    with Trainer(config, folder) as trainer:
        return trainer.run().seconds


def _operations(recorded: Any, is_gpu: bool) -> list[dict[str, Any]]:
    """Return the operations with the most time of their own, on the GPU if there is one."""
    attribute = "self_device_time_total" if is_gpu else "self_cpu_time_total"
    found = [
        (event.key, event.count, getattr(event, attribute) / 1e6)
        for event in recorded.key_averages()
        if not event.key.startswith(("ProfilerStep", "phase: "))
    ]
    return _ranked(found)


def _functions(recorded: cProfile.Profile) -> list[dict[str, Any]]:
    """Return Python's functions with the most time of their own. A file is named without its folders."""
    stats: Mapping[Any, Any] = pstats.Stats(recorded).stats  # type: ignore[attr-defined]
    found = [
        (f"{Path(file).name}:{line} {name}" if line else name, calls, own)
        for (file, line, name), (_, calls, own, _, _) in stats.items()
    ]
    return _ranked(found)


def _ranked(found: list[tuple[str, int, float]]) -> list[dict[str, Any]]:
    total = sum(seconds for _, _, seconds in found) or 1.0
    first = sorted(found, key=lambda entry: -entry[2])[:TOP]
    return [{"name": name, "calls": calls, "seconds": s, "share": s / total} for name, calls, s in first]
