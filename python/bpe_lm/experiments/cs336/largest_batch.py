"""The largest batch whose step fits into memory: tried on a GPU, and predicted on a CPU."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from bpe_lm.errors import OutOfMemory
from bpe_lm.experiments.cs336 import speed
from bpe_lm.machine import total_memory
from bpe_lm.training.config import TrainConfig
from bpe_lm.training.devices import device_of
from bpe_lm.training.step_memory import largest_batch

MOST = 1 << 20
"""The largest batch that is tried."""


def measure(config: Mapping[str, Any]) -> dict[str, Any]:
    """Return the largest number of texts of a step, and by which method it was found.

    On a GPU powers of two are tried until memory runs out. On a CPU the step's memory is simulated, because a step that
    does not fit would slow down the whole machine, or end its processes.
    """
    run = replace(TrainConfig.from_dict(config), micro_batch_size=0)
    if device_of(run.device).type != "cuda":
        memory = total_memory()
        return {"largest": largest_batch(run, memory), "method": "predicted", "memory": memory, "speeds": {}}
    rows, speeds, peak = 1, {}, 0
    while rows <= MOST:
        try:
            found = speed.measure(replace(run, batch_size=rows).as_dict(), steps=3)
        except OutOfMemory:
            break
        speeds[str(rows)] = rows * run.model.context_length / found["seconds"]
        peak = found["peak_memory"]
        rows *= 2
    return {"largest": rows // 2, "method": "tried", "memory": peak, "speeds": speeds}
