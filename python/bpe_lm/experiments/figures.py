"""Draw the losses of runs against steps, tokens and time."""

from __future__ import annotations

import json
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from math import isfinite, log
from pathlib import Path
from typing import Any

from bpe_lm.errors import FileError
from bpe_lm.files import StrPath
from bpe_lm.picture import COLOURS, check_picture, new_figure, printable, write_picture
from bpe_lm.training.run_log import METRICS, read_records

DASHES = ["-", (0, (5, 2)), (0, (1, 1.5)), (0, (6, 2, 1, 2))]
MARKERS = "os^Dv<>ph*X"
"""Colours, dashes and markers tell the lines of runs apart. Their numbers (7, 4, 11) have no common divisor, so the
combinations repeat late."""

WORSE_THAN_GUESSING = 1.25
"""A run has diverged if its loss ends above this multiple of ln(vocabulary size), which is the loss of guessing."""

TIMES = [("seconds", 1.0), ("minutes", 60.0), ("hours", 3600.0)]
LEAST_TIME = 2.0
"""The number of units that the longest run must last: the axis of time has the greatest such unit."""


@dataclass(frozen=True)
class Losses:
    """The records of a run.

    `limit` is a loss that is clearly worse than guessing. `diverged_at` is the step from which the losses stay above it
    or were not finite; None for a run that did not diverge.
    """

    name: str
    train: list[dict[str, Any]]
    valid: list[dict[str, Any]]
    limit: float
    diverged_at: int | None

    @property
    def final(self) -> float | None:
        """The last validation loss, or the last training loss of a run without validation."""
        return _finite([record["loss"] for record in self.valid or self.train][-1:])

    @property
    def greatest(self) -> float:
        """The greatest loss that the picture shows, which is at most `limit`."""
        found = [r["loss"] for r in self.train + self.valid if _is_loss(r["loss"])]
        return min(max(found, default=self.limit), self.limit)

    @property
    def least(self) -> float:
        """The least loss."""
        return min((r["loss"] for r in self.train + self.valid if _is_loss(r["loss"])), default=self.limit)

    def record_at(self, step: int) -> dict[str, Any]:
        """Return the first training record that is not before a step, or else the last record."""
        return next((record for record in self.train if record["step"] >= step), self.train[-1])


def read_losses(folder: StrPath, name: str | None = None) -> Losses | None:
    """Read the records of a run. The result is None if the folder is not a run, or has no records yet.

    Raises:
        FileError: A file could not be read.
    """
    folder = Path(folder)
    if not folder.is_dir():
        return None
    everything = list(read_records(folder / METRICS))
    records = [r for r in everything if {"kind", "step", "tokens", "seconds", "loss"} <= r.keys()]
    train, valid = ([record for record in records if record["kind"] == kind] for kind in ("train", "valid"))
    if not train:
        return None
    first = next((record["loss"] for record in train if _is_loss(record["loss"])), 1.0)
    vocab_size = _read(folder / "config.json", "model", "vocab_size")
    guessing = log(vocab_size) if isinstance(vocab_size, int) and vocab_size > 2 else first
    limit = WORSE_THAN_GUESSING * guessing
    diverged_at = [record["step"] for record in _behind(train, limit)[:1]]
    skipped = _skipped_last([r["step"] for r in everything if r.get("kind") == "skip"], train[-1]["step"])
    if len(skipped) > (_read(folder / "config.json", "max_skipped_steps") or 0):
        diverged_at.append(skipped[0])
    if _read(folder / "result.json", "reason") == "diverged":
        diverged_at.append(train[-1]["step"])
    return Losses(printable(name or folder.resolve().name), train, valid, limit, min(diverged_at, default=None))


def _behind(train: Sequence[dict[str, Any]], limit: float) -> Sequence[dict[str, Any]]:
    """Return the records after the last one whose loss is within the limit."""
    is_within = [_is_loss(record["loss"]) and record["loss"] <= limit for record in train]
    return train[next((end for end in range(len(train), 0, -1) if is_within[end - 1]), 0) :]


def _skipped_last(steps: Sequence[int], last: int) -> list[int]:
    """Return the consecutive steps at the end of the run that were skipped, as loss or norm was not finite."""
    skipped: list[int] = []
    for step in sorted(set(steps), reverse=True):
        if step < (skipped[0] - 1 if skipped else last):
            break
        skipped.insert(0, step)
    return skipped


def draw_losses(folders: Sequence[StrPath], path: StrPath) -> None:
    """Draw the losses of runs against steps, tokens and time, as PNG or SVG.

    A folder that is not a run, or has no records yet, is left out with a warning.

    Raises:
        MissingExtra: matplotlib is not installed.
        OptionError: The path ends neither with .png nor with .svg.
        OutputExists: The path is a folder, a device, a pipe or a socket.
        FileError: No folder has records of a run, or the picture could not be written.
    """
    check_picture(path)
    new_figure(1, 1)
    names = [Path(folder).resolve().name for folder in folders]
    if len(set(names)) < len(names):
        names = [f"{Path(folder).resolve().parent.name}/{name}" for folder, name in zip(folders, names, strict=True)]
    found = [read_losses(folder, name) for folder, name in zip(folders, names, strict=True)]
    runs = [run for run in found if run is not None]
    if not runs:
        looked = ", ".join(map(str, folders))
        raise FileError(f"none of {looked} is a run with records; name folders that bpe-lm pretrain wrote")
    for folder, run in zip(folders, found, strict=True):
        if run is None:
            warnings.warn(f"{folder} is not a run, or has no records yet; it is left out", stacklevel=2)
    write_picture(losses_figure(runs), path)


def losses_figure(runs: Sequence[Losses]) -> Any:
    """Return the figure that `draw_losses` writes: three panels, and a legend with the final losses, best first."""
    figure = new_figure(15, 5)
    from matplotlib.ticker import EngFormatter, MaxNLocator, NullLocator, ScalarFormatter

    panels = figure.subplots(1, 3, sharey=True)
    longest = max(record["seconds"] for run in runs for record in run.train)
    unit, scale = next((time for time in reversed(TIMES) if longest >= LEAST_TIME * time[1]), TIMES[0])
    axes_of = zip(panels, (("step", 1.0, "step"), ("tokens", 1.0, "tokens"), ("seconds", scale, unit)), strict=True)
    top, bottom = max(run.greatest for run in runs), min(run.least for run in runs)
    order = sorted(runs, key=lambda run: (run.diverged_at is not None, run.final if run.final is not None else top))
    styles = {id(run): _style(number) for number, run in enumerate(runs)}
    handles: dict[int, Any] = {}
    for axes, (key, scale, label) in axes_of:
        for run in runs:
            handles[id(run)] = _draw_run(axes, run, key, scale, top * 1.03, styles[id(run)])
        axes.set_xlim(left=0)
        axes.set_yscale("log")
        axes.set_xlabel(label if key != "seconds" else f"{label} of training")
        axes.xaxis.set_major_locator(MaxNLocator(6, integer=key != "seconds"))
        if axes.get_xlim()[1] >= 1000:
            axes.xaxis.set_major_formatter(EngFormatter(sep=""))
        axes.spines[["top", "right"]].set_visible(False)
        axes.grid(color="0.9")
    panels[0].set_ylim(min(bottom, top) * 0.97, top * 1.03)
    panels[0].yaxis.set_major_locator(MaxNLocator(9))
    panels[0].yaxis.set_minor_locator(NullLocator())
    panels[0].yaxis.set_major_formatter(ScalarFormatter())
    panels[0].set_ylabel("loss (nats per token, log scale)")
    title = f"Loss of {runs[0].name}" if len(runs) == 1 else f"Losses of {len(runs)} runs"
    lines = "thick: validation; thin: training" if any(run.valid for run in runs) else "training only"
    figure.suptitle(f"{title} ({lines})", parse_math=False)
    legend = figure.legend(
        [handles[id(run)] for run in order],
        [_described(run) for run in order],
        title="final loss",
        loc="outside right upper",
        edgecolor="none",
    )
    for text in legend.get_texts():
        text.set_parse_math(False)
    return figure


def _style(number: int) -> dict[str, Any]:
    return {
        "color": COLOURS[number % len(COLOURS)],
        "linestyle": DASHES[number // len(COLOURS) % len(DASHES)],
        "marker": MARKERS[number % len(MARKERS)],
    }


def _draw_run(axes: Any, run: Losses, key: str, scale: float, top: float, style: dict[str, Any]) -> Any:
    """Draw the lines of a run in one panel. Return the line that stands for the run in the legend."""
    steps, losses = _points(run.train, key, scale)
    if not run.valid:
        handle = axes.plot(steps, _smoothed(losses), linewidth=1.2, markersize=4, markevery=_some(losses), **style)[0]
    else:
        axes.plot(steps, _smoothed(losses), linewidth=0.8, alpha=0.5, color=style["color"])
        places, valid = _points(run.valid, key, scale)
        handle = axes.plot(places, valid, linewidth=1.8, markersize=4, markevery=_some(valid), **style)[0]
    if run.diverged_at is not None:
        place = run.record_at(run.diverged_at)[key] / scale
        axes.plot([place], [top], "X", color=style["color"], markersize=10, clip_on=False, zorder=5)
    return handle


def _points(records: Sequence[dict[str, Any]], key: str, scale: float) -> tuple[list[float], list[float]]:
    points = [(record[key] / scale, record["loss"]) for record in records if _is_loss(record["loss"])]
    return [place for place, _ in points], [loss for _, loss in points]


def _smoothed(losses: Sequence[float]) -> list[float]:
    """Replace each loss by the mean of it and a few losses before. Later losses do not change earlier means."""
    width = max(len(losses) // 40, 1)
    return [sum(losses[max(end - width, 0) : end]) / min(width, end) for end in range(1, len(losses) + 1)]


def _some(losses: Sequence[float]) -> int:
    """Return the distance between two points that have a marker."""
    return max(len(losses) // 10, 1)


def _described(run: Losses) -> str:
    if run.diverged_at is not None:
        return f"diverged at step {run.diverged_at:,} (X)  {run.name}"
    loss = "not finite" if run.final is None else f"{run.final:.4f}"
    return f"{loss}{'' if run.valid else ' (training)'}  {run.name}"


def _is_loss(value: Any) -> bool:
    """Return whether a value is a finite number above 0, which a logarithmic axis can show."""
    return isinstance(value, int | float) and isfinite(value) and value > 0


def _finite(values: list[Any]) -> float | None:
    return values[0] if values and _is_loss(values[0]) else None


def _read(path: Path, *keys: str) -> Any:
    """Read a value of a JSON file. The result is None if the file or the value is missing, or the file is damaged."""
    try:
        found = json.loads(path.read_bytes())
    except (OSError, ValueError):
        return None
    for key in keys:
        found = found.get(key) if isinstance(found, dict) else None
    return found
