"""Draw the losses of runs against steps, tokens and time."""

from __future__ import annotations

import json
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil, floor, inf, isfinite, log, log10
from pathlib import Path
from typing import Any, Literal, get_args

from bpe_lm.errors import FileError
from bpe_lm.experiments.labels import Label, height_for, label_ends, shortened
from bpe_lm.experiments.runs import RunRecord
from bpe_lm.files import StrPath
from bpe_lm.picture import COLOURS, check_picture, new_figure, printable, write_picture

DASHES = ["-", (0, (5, 2)), (0, (1, 1.5)), (0, (6, 2, 1, 2))]
MARKERS = "os^Dv<>ph*X"
"""Colours, dashes and markers tell the lines of runs apart. Their numbers (7, 4, 11) have no common divisor, so the
combinations repeat late."""

Drawn = tuple[Any, tuple[float, float] | None]
"""The line that stands for a run, and the place of the cross of a run that diverged."""

Against = Literal["step", "tokens", "seconds"]
AGAINST: tuple[Against, ...] = get_args(Against)
"""What losses are drawn against."""

LOSS_LABEL = "loss (nats per token, log scale)"

FEW = 4
"""The greatest number of runs whose losses are drawn as they are too, pale behind the smoothed ones."""

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
    def shown(self) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
        """The records of training and of validation, as far as the step from which the run diverged."""
        end = inf if self.diverged_at is None else self.diverged_at
        return [r for r in self.train if r["step"] <= end], [r for r in self.valid if r["step"] <= end]

    @property
    def _seen(self) -> list[float]:
        return [r["loss"] for records in self.shown for r in records if _is_loss(r["loss"])]

    @property
    def greatest(self) -> float:
        """The greatest loss that the picture shows, which is at most `limit`."""
        return min(max(self._seen, default=self.limit), self.limit)

    @property
    def least(self) -> float:
        """The least loss."""
        return min(self._seen, default=self.limit)

    def record_at(self, step: int) -> dict[str, Any]:
        """Return the first training record that is not before a step, or else the last record."""
        return next((record for record in self.train if record["step"] >= step), self.train[-1])


def read_losses(folder: StrPath, name: str | None = None) -> Losses | None:
    """Read the records of a run. The result is None if the folder is not a run, or has no records yet.

    Raises:
        FileError: A file could not be read.
    """
    # A report draws the losses of runs that were read already, and imports no torch.
    from bpe_lm.training.run_log import METRICS, read_records

    folder = Path(folder)
    if not folder.is_dir():
        return None
    everything = list(read_records(folder / METRICS))
    records = [r for r in everything if {"kind", "step", "tokens", "seconds", "loss"} <= r.keys()]
    train, valid = ([record for record in records if record["kind"] == kind] for kind in ("train", "valid"))
    if not train:
        return None
    skipped = _skipped_last([r["step"] for r in everything if r.get("kind") == "skip"], train[-1]["step"])
    has_skipped = len(skipped) > (_read(folder / "config.json", "max_skipped_steps") or 0)
    return _losses(
        name or folder.resolve().name,
        train,
        valid,
        vocab_size=_read(folder / "config.json", "model", "vocab_size"),
        diverged=_read(folder / "result.json", "reason") == "diverged",
        skipped_from=skipped[0] if has_skipped else None,
    )


def losses_of(run: RunRecord, name: str | None = None) -> Losses | None:
    """Return the records of a run that was read already. The result is None if it has no records yet."""
    needed = {"step", "tokens", "seconds", "loss"}
    train, valid = ([dict(r) for r in records if needed <= r.keys()] for records in (run.train, run.valid))
    if not train:
        return None
    return _losses(name or run.name, train, valid, vocab_size=run.config.model.vocab_size, diverged=run.diverged)


def _losses(
    name: str,
    train: list[dict[str, Any]],
    valid: list[dict[str, Any]],
    *,
    vocab_size: object,
    diverged: bool,
    skipped_from: int | None = None,
) -> Losses:
    """Return the records of a run, and the first step of its end that is worse than guessing, skipped or diverged."""
    limit = _limit(train, vocab_size)
    ends = [record["step"] for record in _behind(train, limit)[:1]]
    ends += [skipped_from] if skipped_from is not None else []
    ends += [train[-1]["step"]] if diverged else []
    return Losses(printable(name), train, valid, limit, min(ends, default=None))


def _limit(train: Sequence[dict[str, Any]], vocab_size: object) -> float:
    """Return a loss that is clearly worse than guessing."""
    first = next((record["loss"] for record in train if _is_loss(record["loss"])), 1.0)
    return WORSE_THAN_GUESSING * (log(vocab_size) if isinstance(vocab_size, int) and vocab_size > 2 else first)


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
    panels = figure.subplots(1, 3, sharey=True)
    handles: dict[int, Any] = {}
    for axes, against in zip(panels, AGAINST, strict=True):
        found = _draw_runs(axes, runs, against)
        handles = {id(run): line for run, (line, _) in zip(runs, found, strict=True)}
    panels[0].set_ylabel(LOSS_LABEL)
    title = f"Loss of {runs[0].name}" if len(runs) == 1 else f"Losses of {len(runs)} runs"
    lines = "thick: validation; thin: training" if any(run.valid for run in runs) else "training only"
    figure.suptitle(f"{title} ({lines})", parse_math=False)
    order = sorted(runs, key=_by_final_loss)
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


def labelled_figure(runs: Sequence[Losses], against: Sequence[Against], title: str = "") -> Any:
    """Return a figure with a panel for each of `against`, and a label at the end of each line of the last panel."""
    panels = len(against)
    figure = new_figure(7.2 if panels == 1 else 10.5, height_for(len(runs), 4.2 if panels == 1 else 3.6))
    set_title(figure, title)
    axes = figure.subplots(1, panels, sharey=True, squeeze=False)[0]
    figure.get_layout_engine().set(wspace=0.06)
    drawn: list[Drawn] = []
    for panel, place in zip(axes, against, strict=True):
        drawn = _draw_runs(panel, runs, place)
    axes[0].set_ylabel(LOSS_LABEL)
    label_ends(axes[-1], [_label(run, line) for run, line in zip(runs, drawn, strict=True)])
    return figure


def set_title(figure: Any, title: str) -> None:
    """Write a title at the left of a figure, shortened to the width of the figure."""
    if title:
        longest = int(figure.get_figwidth() * 10.5)
        figure.suptitle(
            shortened(printable(title), longest),
            x=0.01,
            horizontalalignment="left",
            fontsize=10.5,
            parse_math=False,
        )


def _by_final_loss(run: Losses) -> tuple[bool, float]:
    return run.diverged_at is not None, run.final if run.final is not None else inf


def _draw_runs(axes: Any, runs: Sequence[Losses], against: Against) -> list[Drawn]:
    """Draw runs in one panel."""
    from matplotlib.ticker import EngFormatter, FixedLocator, MaxNLocator, NullLocator, StrMethodFormatter

    longest = max((record["seconds"] for run in runs for record in run.train), default=0.0)
    unit, scale = next((time for time in reversed(TIMES) if longest >= LEAST_TIME * time[1]), TIMES[0])
    is_time = against == "seconds"
    top, bottom = max((run.greatest for run in runs), default=2.0), min((run.least for run in runs), default=1.0)
    axes.set_yscale("log")
    drawn = [
        _draw_run(axes, run, against, scale if is_time else 1.0, top * 1.03, line_style(place), len(runs) <= FEW)
        for place, run in enumerate(runs)
    ]
    axes.set_xlim(left=0)
    axes.set_ylim(min(bottom, top) * 0.97, top * 1.03)
    axes.set_xlabel(f"{unit} of training" if is_time else against)
    axes.xaxis.set_major_locator(MaxNLocator(6, integer=not is_time, steps=[1, 2, 5, 10]))
    if axes.get_xlim()[1] >= 1000:
        axes.xaxis.set_major_formatter(EngFormatter(sep=""))
    axes.yaxis.set_major_locator(FixedLocator(_loss_ticks(*axes.get_ylim())))
    axes.yaxis.set_minor_locator(NullLocator())
    axes.yaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(color="0.9")
    return drawn


def _loss_ticks(low: float, high: float) -> list[float]:
    """Return round losses for a logarithmic axis, closer together the less the axis spans."""
    from matplotlib.ticker import MaxNLocator

    if high / low < 2.5:
        return [float(tick) for tick in MaxNLocator(8, steps=[1, 2, 5, 10]).tick_values(low, high)]
    powers = range(floor(log10(low)), ceil(log10(high)) + 1)
    steps = (1, 1.5, 2, 3, 4, 5, 6, 8) if high / low < 30 else (1, 2, 5)
    return [float(f"{step * 10.0**power:.3g}") for power in powers for step in steps]


def _label(run: Losses, drawn: Drawn) -> Label:
    """Return the label of a run, at the end of its line, or at the cross of a run that diverged."""
    line, cross = drawn
    name = shortened(run.name)
    if cross is not None:
        return Label(f"diverged  {name}", line.get_color(), *cross)
    x, y = line.get_xdata(), line.get_ydata()
    return Label(f"{y[-1]:.3f}  {name}" if len(y) else name, line.get_color(), *((x[-1], y[-1]) if len(y) else (0, 1)))


def line_style(number: int) -> dict[str, Any]:
    """Return the colour, the dashes and the marker of a line."""
    return {
        "color": COLOURS[number % len(COLOURS)],
        "linestyle": DASHES[number // len(COLOURS) % len(DASHES)],
        "marker": MARKERS[number % len(MARKERS)],
    }


def _draw_run(
    axes: Any, run: Losses, key: str, scale: float, top: float, style: dict[str, Any], has_raw: bool
) -> Drawn:
    """Draw the lines of a run in one panel."""
    train, valid = run.shown
    steps, losses = _points(train, key, scale)
    if not run.valid:
        handle = axes.plot(steps, _smoothed(losses), linewidth=1.2, markersize=4, markevery=_some(losses), **style)[0]
    else:
        axes.plot(steps, _smoothed(losses), linewidth=0.8, alpha=0.5, color=style["color"])
        places, of_valid = _points(valid, key, scale)
        handle = axes.plot(places, of_valid, linewidth=1.8, markersize=4, markevery=_some(of_valid), **style)[0]
    if has_raw:
        axes.plot(steps, losses, linewidth=0.5, alpha=0.22, color=style["color"], zorder=1)
    if run.diverged_at is None:
        return handle, None
    place = run.record_at(run.diverged_at)[key] / scale
    axes.plot([place], [top], "X", color=style["color"], markersize=10, clip_on=False, zorder=5)
    return handle, (place, top)


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
