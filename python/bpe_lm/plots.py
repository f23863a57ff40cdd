"""Pictures. They need the extra `plots`, which is matplotlib."""

import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from bpe_lm.errors import FileError, MissingExtra, OptionError
from bpe_lm.inspection import Inspection
from bpe_lm.tokenizer import StrPath

COLOURS = ["#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00", "#000000"]
BLUE, ORANGE = COLOURS[:2]
"""Of the palette by Okabe and Ito, whose colours are told apart by colour-blind people too."""

MOST_BARS = 100
"""When the longest token is longer, lengths are points on a logarithmic axis instead of bars."""


def draw_lengths(inspection: Inspection, path: StrPath) -> None:
    """Draw how many tokens have each length, and how many of those are never used, as a PNG file.

    Raises:
        MissingExtra: matplotlib is not installed.
        FileError: The file could not be written.
    """
    figure = _figure(8, 4.5)
    from matplotlib.ticker import MaxNLocator, StrMethodFormatter

    lengths, unused = inspection.lengths, inspection.unused_lengths
    axes = figure.add_subplot()
    axes.set_yscale("log")
    series = [(lengths, BLUE, 0.8, "all tokens")]
    if unused:
        series.append((unused, ORANGE, 0.45, "never used when all merges are applied"))
    for counts, colour, width, label in series:
        if max(lengths) <= MOST_BARS:
            axes.bar(list(counts), list(counts.values()), width, color=colour, label=label)
            axes.set_xlim(0.4, max(lengths) + 0.6)
            axes.xaxis.set_major_locator(MaxNLocator(15, integer=True))
        else:
            axes.plot(list(counts), list(counts.values()), "o", color=colour, markersize=8 * width, label=label)
            axes.set_xscale("log", base=2)
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_formatter(StrMethodFormatter("{x:,.0f}"))
    axes.set_ylim(bottom=0.7)
    title = f"Lengths of the {sum(lengths.values()):,} tokens in {Path(inspection.path).resolve().name}"
    axes.set_title(title, loc="left", parse_math=False)
    axes.set_xlabel(f"length of the token (bytes{', log scale' if max(lengths) > MOST_BARS else ''})")
    axes.set_ylabel("number of tokens (log scale)")
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(axis="y", color="0.9")
    axes.set_axisbelow(True)
    axes.minorticks_off()
    if unused:
        axes.legend(edgecolor="none", framealpha=1)
    _write(figure, path)


def draw_losses(folders: Sequence[StrPath], path: StrPath) -> None:
    """Draw the losses of runs against steps, tokens and time, as PNG or SVG.

    Raises:
        MissingExtra: matplotlib is not installed.
        FileError: A run has no records, or the picture could not be written.
    """
    figure = _figure(13, 4.5)
    from matplotlib.ticker import EngFormatter

    from bpe_lm.run_log import METRICS, read_records

    panels = figure.subplots(1, 3, sharey=True)
    units = [("step", "step", 1.0), ("tokens", "tokens", 1.0), ("seconds", "minutes of training", 60.0)]
    paths = [Path(folder).resolve() for folder in folders]
    names = [path.name for path in paths]
    if len(set(names)) < len(names):
        names = [f"{path.parent.name}/{path.name}" for path in paths]
    for number, (folder, name) in enumerate(zip(folders, names, strict=True)):
        colour = COLOURS[number % len(COLOURS)]
        records = list(read_records(Path(folder) / METRICS))
        series = {kind: [r for r in records if r.get("kind") == kind] for kind in ("train", "valid")}
        if not series["train"]:
            raise FileError(f"{folder} has no records in {METRICS}; is it a folder of bpe-lm pretrain?")
        for axes, (key, _, scale) in zip(panels, units, strict=True):
            for kind, style in (("train", {"alpha": 0.35, "linewidth": 1}), ("valid", {"linewidth": 2, "marker": "o"})):
                points = [(r[key] / scale, r["loss"]) for r in series[kind] if r["loss"] is not None]
                label = name if kind == "valid" or not series["valid"] else None
                axes.plot(
                    *zip(*points, strict=True), color=colour, label=label, markersize=3, **style
                ) if points else None
    for axes, (_, label, _) in zip(panels, units, strict=True):
        axes.set_xlabel(label)
        axes.xaxis.set_major_formatter(EngFormatter(sep=""))
        axes.spines[["top", "right"]].set_visible(False)
        axes.grid(color="0.9")
    panels[0].set_ylabel("loss (nats per token): thin training, thick validation")
    panels[-1].legend(edgecolor="none")
    _write(figure, path)


def _figure(width: float, height: float) -> Any:
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise MissingExtra(f"drawing needs matplotlib ({error}): pip install 'bpe_lm[plots]'") from error
    return Figure(figsize=(width, height), dpi=150, layout="constrained")


def _write(figure: Any, path: StrPath) -> None:
    picture, suffix = io.BytesIO(), Path(path).suffix.lower()
    if suffix not in (".png", ".svg"):
        raise OptionError(f"{path} is no name of a picture that is drawn here; end it with .png or .svg")
    figure.savefig(picture, format=suffix[1:])
    try:
        Path(path).write_bytes(picture.getbuffer())
    except OSError as error:
        raise FileError(f"could not write {path}: {error.strerror}") from error
