"""The Trainer, stopped between turns: its own records say how fast it was.

The run waits where it asks for the batch after a record, so that other variants can use the GPU. The first record
after a wait covers the wait, and does not count.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from bpe_lm.training.config import TrainConfig, override
from bpe_lm.training.run_log import read_records
from bpe_lm.training.trainer import Trainer

from gpu_rows.configs import RATE, Options, config_of
from gpu_rows.token_files import write_token_file
from gpu_rows.variants import Variant

_TOKENS, _VALIDATION = 4_000_000, 100_000
_STEPS = 1_000_000
"""The steps of the run, which never ends by itself."""


def run_trainer(variant: Variant, options: Options, on_turn: Callable[[dict[str, Any]], None]) -> None:
    """Train until `on_turn`, which is called between turns with what was measured, raises an exception."""
    folder = Path(options.folder) / variant.group
    folder.mkdir(parents=True, exist_ok=True)
    config = _config(variant, options, folder)
    with Trainer(config, folder / "run", force=True) as trainer:
        starts, turns = trainer.batches.starts, _Turns(config, folder / "run" / "metrics.jsonl", on_turn)

        def starts_in_turn(step: int) -> npt.NDArray[np.int64]:
            turns.before(step)
            return starts(step)

        # Also where a thread fetches batches ahead, each batch begins with this call.
        trainer.batches.starts = starts_in_turn  # type: ignore[method-assign]
        trainer.run()


def _config(variant: Variant, options: Options, folder: Path) -> TrainConfig:
    config, is_small = config_of(variant, options), options.is_quick
    vocab_size = config.model.vocab_size
    tokens, validation = (4_000, 500) if is_small else (_TOKENS, _VALIDATION)
    train = write_token_file(folder / "train.bin", tokens, vocab_size, 1)
    log_every = 2 if is_small else 50
    changes = {
        "data": {"train": str(train)},
        "steps": _STEPS,
        "log_every": log_every,
        "validate_every": 2 * log_every,
        "validation_tokens": validation,
        "checkpoint_every": _STEPS,
        "schedule": {"max_learning_rate": RATE},
    }
    if variant.group == "tinystories":
        valid = write_token_file(folder / "valid.bin", validation + 1, vocab_size, 2)
        changes["data"] = {"train": str(train), "valid": str(valid)}
    return override(config, changes)


class _Turns:
    """The end of each turn: the first step, and then each second record."""

    def __init__(self, config: TrainConfig, records: Path, on_turn: Callable[[dict[str, Any]], None]):
        self._config, self._records, self._on_turn = config, records, on_turn
        self._done: set[int] = set()

    def before(self, step: int) -> None:
        """Wait, before the batch of a step, for the records of the steps until then, and end the turn."""
        length = 2 * self._config.log_every
        if (step == 1 or (step and step % length == 0)) and step not in self._done:
            self._done.add(step)
            self._on_turn(self._measured(step))

    def _measured(self, step: int) -> dict[str, Any]:
        record = self._wait_for("train", step)
        found: dict[str, Any] = {"step": step, "loss": record["loss"], "data_wait": record["data_wait"]}
        if step == 1:
            return found | {"seconds": record["seconds"]}
        found["seconds"] = self._config.tokens_per_step / record["tokens_per_second"]
        if self._config.data.valid:
            start = time.perf_counter()
            self._wait_for("valid", step)
            found["validation"] = time.perf_counter() - start
        return found

    def _wait_for(self, kind: str, step: int) -> dict[str, Any]:
        """Wait until the run has written a record. A thread may fetch this batch while the step before it runs."""
        while True:
            found = [r for r in read_records(self._records) if (r["kind"], r.get("step")) == (kind, step)]
            if found:
                return found[-1]
            time.sleep(0.002)
