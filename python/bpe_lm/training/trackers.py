"""Trackers show the records of a run elsewhere: TensorBoard, Weights & Biases, trackio.

Each is an extra of the package. A tracker that fails, when it is imported, started, written to or closed, is left out
from then on with one warning, and the run goes on: metrics.jsonl has every record.
"""

from __future__ import annotations

import sys
import warnings
from collections.abc import Callable, Mapping
from contextlib import redirect_stdout, suppress
from dataclasses import dataclass
from math import isfinite
from pathlib import Path
from typing import Any, Protocol

from bpe_lm.training.config import TENSORBOARD, TrainConfig

Record = Mapping[str, Any]


@dataclass(frozen=True)
class TrackedRun:
    """What a tracker is told about a run when it starts.

    `id` stays the same when the run in the folder is resumed, and is another when the run is replaced. `step` is the
    number of steps that are done: a resumed run repeats the steps after it.
    """

    config: TrainConfig
    folder: Path
    id: str
    step: int

    @property
    def name(self) -> str:
        """The name of the run's folder."""
        return self.folder.resolve().name

    @property
    def values(self) -> dict[str, Any]:
        """The config as JSON values, with `steps` also where `tokens` decides it."""
        return self.config.as_dict() | {"steps": self.config.steps}


class Tracker(Protocol):
    """A place to which the records of a run go. Each method may raise any exception."""

    def write(self, record: Record) -> None:
        """Add a record of the kind "train", "valid" or "skip"."""

    def close(self) -> None:
        """Finish the tracker's run."""


class TensorBoard:
    """Event files in the folder `tensorboard` of the run's folder."""

    def __init__(self, run: TrackedRun):
        from torch.utils.tensorboard import SummaryWriter

        # TensorBoard hides the events of earlier files from this step on: a resumed run repeats them.
        self._writer: Any = SummaryWriter(str(run.folder / TENSORBOARD), purge_step=run.step + 1)

    def write(self, record: Record) -> None:
        """Add the numbers of a record."""
        for name, value in _values(record).items():
            self._writer.add_scalar(name, value, record["step"])
        self._writer.flush()

    def close(self) -> None:
        """Close the event file."""
        self._writer.close()


class WeightsAndBiases:
    """A run of Weights & Biases, which a resumed run continues."""

    def __init__(self, run: TrackedRun):
        import wandb

        self._run: Any = wandb.init(
            project=run.config.wandb_project, name=run.name, id=run.id, resume="allow", config=run.values
        )

    def write(self, record: Record) -> None:
        """Add the numbers of a record. A step that the run has already is ignored there."""
        self._run.log(_values(record), step=record["step"])

    def close(self) -> None:
        """Finish the run."""
        import wandb

        wandb.finish()


class Trackio:
    """A run of trackio. Its name has the run's id, because trackio continues a run by its name."""

    def __init__(self, run: TrackedRun):
        # trackio prints on stdout, which belongs to the result of a command.
        with redirect_stdout(sys.stderr):
            import trackio

            self._run: Any = trackio.init(
                project=run.config.trackio_project,
                name=f"{run.name}-{run.id[:8]}",
                resume="allow",
                config=run.values,
                embed=False,
            )

    def write(self, record: Record) -> None:
        """Add the numbers of a record."""
        with redirect_stdout(sys.stderr):
            self._run.log(_values(record), step=record["step"])

    def close(self) -> None:
        """Finish the run."""
        with redirect_stdout(sys.stderr):
            import trackio

            trackio.finish()


def _values(record: Record) -> dict[str, float]:
    """Return the finite numbers of a record by the name that a tracker shows, such as train/loss."""
    return {
        f"{record['kind']}/{name}": value
        for name, value in record.items()
        if name != "step" and isinstance(value, int | float) and isfinite(value)
    }


def wanted(config: TrainConfig) -> dict[str, Callable[[TrackedRun], Tracker]]:
    """Return the trackers that a config asks for, by the name that warnings give them."""
    asked: list[tuple[object, str, Callable[[TrackedRun], Tracker]]] = [
        (config.tensorboard, "TensorBoard", TensorBoard),
        (config.wandb_project, "Weights & Biases", WeightsAndBiases),
        (config.trackio_project, "trackio", Trackio),
    ]
    return {name: start for is_asked, name, start in asked if is_asked}


class Trackers:
    """The trackers of a run. Nothing that they do raises an exception here."""

    def __init__(self, run: TrackedRun):
        self._open: dict[str, Tracker] = {}
        for name, start in wanted(run.config).items():
            try:
                self._open[name] = start(run)
            except Exception as error:
                _warn(f"{name} did not start ({error}); training goes on without it")

    def write(self, record: Record) -> None:
        """Add a record to each tracker. One that fails is closed, and gets no more records."""
        for name, tracker in list(self._open.items()):
            try:
                tracker.write(record)
            except Exception as error:
                del self._open[name]
                with suppress(Exception):
                    tracker.close()
                _warn(f"{name} failed ({error}); training goes on without it")

    def close(self) -> None:
        """Close each tracker."""
        while self._open:
            name, tracker = self._open.popitem()
            try:
                tracker.close()
            except Exception as error:
                _warn(f"{name} could not be closed ({error}); its last records may be missing there")


def _warn(message: str) -> None:
    warnings.warn(message, stacklevel=4)
