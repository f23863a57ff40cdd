"""The charts of reports. Each function takes plain data, and returns a figure of matplotlib.

Colours, dashes and markers tell lines apart, so that a chart can be read in print and by the colour-blind. Lines are
labelled at their ends where the labels fit. A value that is None or not finite stands for a run that diverged in
`final_losses` and `batch_sizes`, and for one that is missing elsewhere.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from math import floor, isfinite, log10
from typing import Any, TypeGuard

from bpe_lm.experiments.figures import AGAINST, Against, Losses, labelled_figure, line_style, set_title
from bpe_lm.experiments.labels import FONT_SIZE, Label, height_for, label_ends, shortened
from bpe_lm.picture import BLUE, ORANGE, new_figure, printable

GREY = "0.45"
SIZE = (7.2, 4.2)
"""The width and height of a chart in inches."""

BLUE_RGB = tuple(int(BLUE[start : start + 2], 16) for start in (1, 3, 5))

MOST_TICKS = 12
"""The greatest number of different places of points for which each has a tick."""

EMPTY = 0.5
"""The height of a bar of 0 on a logarithmic axis, which is below the axis."""

LOSS = "validation loss (nats per token)"


@dataclass(frozen=True)
class Line:
    """A line of a chart: its name and its points."""

    name: str
    x: Sequence[float]
    y: Sequence[float | None]

    @property
    def points(self) -> list[tuple[float, float]]:
        """The points that have a value, from left to right."""
        return sorted((x, y) for x, y in zip(self.x, self.y, strict=True) if is_number(y))

    @property
    def missing(self) -> list[float]:
        """The places without a value."""
        return sorted(x for x, y in zip(self.x, self.y, strict=True) if not is_number(y))


def is_number(value: float | None) -> TypeGuard[float]:
    """Return whether a value is a finite number."""
    return value is not None and isfinite(value)


def loss_curves(runs: Sequence[Losses], title: str = "") -> Any:
    """Draw losses against steps, tokens and time: smoothed, with the raw losses behind. See `figures.losses_of`."""
    return labelled_figure(runs, AGAINST, title)


def loss_overlay(runs: Sequence[Losses], against: Against = "tokens", title: str = "") -> Any:
    """Draw the losses of runs in one panel, with a label at the end of each: for ablations."""
    return labelled_figure(runs, [against], title)


def final_losses(
    lines: Sequence[Line],
    x_label: str = "learning rate",
    title: str = "",
    *,
    y_label: str = LOSS,
    log_x: bool = True,
    errors: Mapping[float, float] | None = None,
) -> Any:
    """Draw final losses against a swept value. A run that diverged is a cross, and the least loss has a ring.

    Args:
        lines: One line, or one for each value of a second key, such as each width of the model.
        x_label: What was swept, with its unit.
        title: The title.
        y_label: What the values are.
        log_x: Whether the horizontal axis is logarithmic.
        errors: The standard error of a value of the only line, by its place.
    """
    figure, axes = _new(title, _scaled(x_label, log_x), y_label)
    axes.set_xscale("log" if log_x else "linear")
    places = [x for line in lines for x in line.x]
    labels = _draw_losses(axes, lines, errors)
    _pad_x(axes, places, log_x)
    _ticks_at(axes, places, log_x)
    if len(lines) == 1 and lines[0].points:
        _note_best(axes, lines[0])
    elif len(lines) > 1:
        label_ends(axes, labels)
    return figure


def line_chart(
    lines: Sequence[Line],
    x_label: str,
    y_label: str,
    title: str = "",
    *,
    log_x: bool = False,
    log_y: bool = False,
    markers: bool = True,
    y_limits: tuple[float, float] | None = None,
) -> Any:
    """Draw lines against a value, with a label at the end of each. Points without a value are left out."""
    figure, axes = _new(title, _scaled(x_label, log_x), _scaled(y_label, log_y), len(lines))
    axes.set_xscale("log" if log_x else "linear")
    axes.set_yscale("log" if log_y else "linear")
    shown = [(_drawable(line, log_x, log_y), line_style(number)) for number, line in enumerate(lines)]
    for line, style in shown:
        plain = {} if markers else {"marker": ""}
        axes.plot(line.x, line.y, linewidth=1.6, markersize=5, **(style | plain))
    places = [x for line, _ in shown for x in line.x]
    _pad_x(axes, places, log_x)
    if y_limits is not None:
        axes.set_ylim(*y_limits)
    axes.set_ylim(*axes.get_ylim())
    if len(set(places)) <= MOST_TICKS:
        _ticks_at(axes, places, log_x)
    else:
        _format(axes.xaxis, log_x)
    _format(axes.yaxis, log_y)
    if not places:
        _say_nothing(axes)
    if len(shown) > 1:
        label_ends(axes, [_at_end(line, style) for line, style in shown if line.points])
    return figure


def loss_by_tokens(lines: Sequence[Line], title: str = "") -> Any:
    """Draw the validation loss against the tokens of training."""
    return line_chart(lines, "tokens of training", LOSS, title, log_x=True)


def repetition(lines: Sequence[Line], title: str = "") -> Any:
    """Draw the share of repeated text, from 0 to 1, against the temperature: a line for each top-p."""
    figure = line_chart(lines, "temperature", "share of repeated text", title, y_limits=(-0.03, 1.03))
    from matplotlib.ticker import PercentFormatter

    figure.axes[0].yaxis.set_major_formatter(PercentFormatter(1.0, decimals=0))
    return figure


def compression_matrix(
    values: Mapping[str, Mapping[str, float | None]], title: str = "", unit: str = "bytes per token"
) -> Any:
    """Draw numbers in a grid of colours: a row for each tokenizer, and a column for each corpus."""
    columns = list(dict.fromkeys(name for row in values.values() for name in row))
    grid = [[row.get(column) for column in columns] for row in values.values()]
    figure = new_figure(max(4.2, 2.4 + 1.5 * len(columns)), 1.7 + 0.62 * len(grid))
    axes = figure.add_subplot()
    set_title(figure, f"{title} ({unit})" if title else unit)
    numbers = [value for row in grid for value in row if is_number(value)]
    low, high = min(numbers, default=0.0), max(numbers, default=1.0)
    for row, values_of_row in enumerate(grid):
        for column, value in enumerate(values_of_row):
            _draw_cell(axes, row, column, value, (value - low) / (high - low or 1.0) if is_number(value) else None)
    axes.set_xlim(-0.5, max(len(columns), 1) - 0.5)
    axes.set_ylim(max(len(grid), 1) - 0.5, -0.5)
    axes.set_xticks(range(len(columns)), [shortened(printable(name), 18) for name in columns], parse_math=False)
    axes.set_yticks(range(len(grid)), [shortened(printable(name), 26) for name in values], parse_math=False)
    axes.set_xlabel("corpus")
    axes.set_ylabel("tokenizer")
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
    return figure


def token_lengths(vocabularies: Mapping[str, Mapping[int, int]], title: str = "") -> Any:
    """Draw how many tokens of each vocabulary have each length, as steps. `vocabularies` has counts by length.

    The few longest tokens have one bar together, at the right.
    """
    figure, axes = _new(title, "length of the token (bytes)", "number of tokens (log scale)")
    axes.set_yscale("log")
    longest = max((max(counts, default=1) for counts in vocabularies.values()), default=1)
    last = min(max((_usual_length(counts) for counts in vocabularies.values()), default=1) + 2, longest)
    for place, (name, counts) in enumerate(vocabularies.items()):
        heights = [counts.get(length, 0) for length in range(1, last)]
        heights.append(sum(count for length, count in counts.items() if length >= last))
        edges = [length - 0.5 for length in range(1, last + 2)]
        style = {key: line_style(place)[key] for key in ("color", "linestyle")}
        tokens, most = sum(counts.values()), max(counts, default=0)
        text = f"{shortened(printable(name))}: {tokens:,} tokens, the longest {most:,} bytes"
        shown = [height or EMPTY for height in heights]
        axes.stairs(shown, edges, linewidth=1.6, label=text, baseline=EMPTY, **style)
        axes.stairs(shown, edges, alpha=0.12, fill=True, baseline=EMPTY, color=style["color"])
    axes.set_xlim(0.4, last + 0.6)
    axes.set_ylim(0.7, axes.get_ylim()[1] * (2 + 2 * len(vocabularies)))
    step = max(round(last / 12), 1)
    ticks = [length for length in range(step, last + 1, step) if length == last or last - length >= step]
    ticks += [last] * (ticks[-1:] != [last])
    axes.set_xticks(ticks, [f"{tick}+" if tick == last < longest else f"{tick}" for tick in ticks])
    axes.minorticks_off()
    from matplotlib.ticker import StrMethodFormatter

    axes.yaxis.set_major_formatter(StrMethodFormatter("{x:,.0f}"))
    if vocabularies:
        legend = axes.legend(loc="upper right", frameon=False, fontsize=FONT_SIZE)
        for label in legend.get_texts():
            label.set_parse_math(False)
    return figure


def _usual_length(counts: Mapping[int, int]) -> int:
    """Return the length that 99.8 % of the tokens do not exceed."""
    seen, total = 0, sum(counts.values())
    for length in sorted(counts):
        seen += counts[length]
        if seen >= 0.998 * total:
            return length
    return 1


def bars(
    values: Mapping[str, float | None],
    unit: str,
    title: str = "",
    reported: Mapping[str, float] | None = None,
) -> Any:
    """Draw numbers as horizontal bars, the number at the end of each.

    Args:
        values: What was measured, by name. None is shown as "not run".
        unit: What the numbers are, such as "MB/s".
        title: The title.
        reported: Numbers that others reported, drawn hatched below the measured ones.
    """
    rows = [(name, value, False) for name, value in values.items()]
    rows += [(name, value, True) for name, value in (reported or {}).items()]
    figure = new_figure(SIZE[0], 1.25 + 0.36 * len(rows))
    axes = figure.add_subplot()
    set_title(figure, title)
    for place, (name, value, is_reported) in enumerate(rows):
        del name
        if is_number(value):
            look = {"color": "white", "edgecolor": ORANGE, "hatch": "////"} if is_reported else {"color": BLUE}
            axes.barh([place], [value], 0.66, **look)
        text = f" {number(value)}" if is_number(value) else " not run"
        axes.text(value if is_number(value) else 0, place, text, va="center", fontsize=FONT_SIZE)
    greatest = max((value for _, value, _ in rows if is_number(value)), default=1.0)
    axes.set_xlim(0, greatest * 1.14 or 1.0)
    axes.set_ylim(max(len(rows), 1) - 0.4, -0.6)
    axes.set_yticks(range(len(rows)), [shortened(printable(name)) for name, _, _ in rows], parse_math=False)
    axes.tick_params(axis="y", length=0)
    axes.set_xlabel(unit)
    _format(axes.xaxis, False)
    axes.spines[["top", "right", "left"]].set_visible(False)
    axes.grid(axis="x", color="0.9")
    axes.set_axisbelow(True)
    return figure


def batch_sizes(
    sizes: Sequence[int],
    losses: Sequence[float | None],
    tokens_per_second: Sequence[float | None],
    title: str = "",
) -> Any:
    """Draw the final loss and the speed against the batch size, one below the other."""
    figure = new_figure(SIZE[0], 5.2)
    upper, lower = figure.subplots(2, 1, sharex=True, height_ratios=(3, 2))
    set_title(figure, title)
    for axes in (upper, lower):
        _plain(axes)
        axes.set_xscale("log", base=2)
    loss, speed = Line("loss", sizes, losses), Line("speed", sizes, tokens_per_second)
    _draw_losses(upper, [loss])
    upper.set_ylabel("loss (nats per token)")
    _draw_points(lower, speed, line_style(0) | {"color": ORANGE, "marker": "s"}, None)
    lower.set_ylim(0, max((y for _, y in speed.points), default=1.0) * 1.12 or 1.0)
    lower.set_ylabel("tokens per second")
    lower.set_xlabel("batch size (texts, log scale)")
    _format(lower.yaxis, False)
    _pad_x(lower, sizes, True)
    _ticks_at(lower, sizes, True)
    if loss.points:
        _note_best(upper, loss)
    figure.align_ylabels()
    return figure


# Parts


def number(value: float) -> str:
    """Format a number for a chart: three digits, with the letters of engineering from 10,000 on."""
    if value == 0:
        return "0"
    size = abs(value)
    if size >= 1e15 or size < 1e-2:
        digits, power = f"{value:.2e}".split("e")
        return f"{digits.rstrip('0').rstrip('.')}e{int(power)}"
    for limit, letter in ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e4, "k")):
        if size >= limit:
            return f"{value / (1e3 if letter == 'k' else limit):.3g}{letter}"
    return f"{value:,.0f}" if size >= 1000 else f"{value:.3g}"


def _scaled(label: str, log: bool) -> str:
    """Return a label that says that its axis is logarithmic, if it is."""
    if not log:
        return label
    return f"{label[:-1]}, log scale)" if label.endswith(")") else f"{label} (log scale)"


def _new(title: str, x_label: str, y_label: str, labels: int = 0) -> tuple[Any, Any]:
    figure = new_figure(SIZE[0], height_for(labels, SIZE[1]))
    axes = figure.add_subplot()
    set_title(figure, title)
    _plain(axes)
    axes.set_xlabel(x_label, parse_math=False)
    axes.set_ylabel(y_label, parse_math=False)
    return figure, axes


def _plain(axes: Any) -> None:
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(color="0.9")
    axes.set_axisbelow(True)


def _limits(values: Sequence[float]) -> tuple[float, float]:
    """Return the limits of an axis, with some room around the values."""
    low, high = min(values, default=0.0), max(values, default=1.0)
    room = (high - low) * 0.08 or abs(high) * 0.05 or 1.0
    return low - 2 * room, high + room


def _draw_losses(axes: Any, lines: Sequence[Line], errors: Mapping[float, float] | None = None) -> list[Label]:
    """Draw lines of losses, a ring around the least of each, and a cross above the axes for each run that diverged.

    Returns:
        The labels of the lines, at their ends or at their last crosses.
    """
    labels = []
    spread = [(errors or {}).get(x, 0.0) * sign + y for line in lines for x, y in line.points for sign in (-1, 1)]
    bottom, top = _limits(spread)
    with_crosses = [line for line in lines if line.missing]
    band = (top - bottom) * (0.08 + 0.04 * len(with_crosses)) if with_crosses else 0.0
    for place, line in enumerate(lines):
        style = line_style(place)
        _draw_points(axes, line, style, errors)
        height = (with_crosses.index(line) + 1) / (len(with_crosses) + 1) if line.missing else 0.0
        crosses = [top + band * height] * len(line.missing)
        axes.plot(line.missing, crosses, "X", color=style["color"], markersize=9, markeredgecolor="white", zorder=4)
        if line.points:
            best = min(line.points, key=lambda point: point[1])
            axes.plot(*best, "o", markersize=13, markerfacecolor="none", color=style["color"], markeredgewidth=1.3)
            labels.append(_at_end(line, style))
        elif crosses:
            labels.append(_at_end(Line(line.name, line.missing, crosses), style))
    _format(axes.yaxis, False, (bottom, top))
    ticks = [tick for tick in axes.get_yticks() if bottom <= tick <= top] if spread else []
    if with_crosses:
        axes.axhspan(top, top + band, color="0.95", zorder=0)
        axes.set_yticks([*ticks, top + band / 2], [*map(_decimals(ticks), ticks), "diverged"])
    elif not spread:
        _say_nothing(axes)
    axes.set_ylim(bottom, top + band)
    return labels


def _say_nothing(axes: Any) -> None:
    axes.set_yticks([])
    axes.set_xticks([])
    axes.minorticks_off()
    axes.text(0.5, 0.5, "not run", transform=axes.transAxes, color=GREY, ha="center", va="center")


def _decimals(ticks: Sequence[float]) -> Callable[[float], str]:
    """Return a format with as many decimals as the distance of the ticks needs."""
    least = min((abs(b - a) for a, b in pairwise(ticks)), default=1.0)
    decimals = max(-floor(log10(least) + 1e-9), 0) if least > 0 else 0
    return lambda value: f"{value:,.{decimals}f}"


def _draw_points(axes: Any, line: Line, style: dict[str, Any], errors: Mapping[float, float] | None) -> None:
    points = line.points
    x, y = [x for x, _ in points], [y for _, y in points]
    axes.plot(x, y, linewidth=1.6, markersize=6, **style)
    if errors:
        bars_of = [errors.get(place, 0.0) for place in x]
        axes.errorbar(x, y, bars_of, fmt="none", ecolor=style["color"], capsize=3, linewidth=1.2)


def _note_best(axes: Any, line: Line) -> None:
    """Write the least loss and its place below its point."""
    x, y = min(line.points, key=lambda point: point[1])
    places = sorted(line.x)
    side = "center" if len(places) == 1 else "left" if x == places[0] else "right" if x == places[-1] else "center"
    look = {"fontsize": FONT_SIZE, "horizontalalignment": side, "verticalalignment": "top"}
    axes.annotate(f"{y:.3f} at {number(x)}", (x, y), (0, -11), textcoords="offset points", **look)


def _draw_cell(axes: Any, row: int, column: int, value: float | None, share: float | None) -> None:
    """Draw a cell of a matrix: its number on a shade of blue, the darker the greater its share of the range."""
    from matplotlib.patches import Rectangle

    weight = 0.08 + 0.72 * (share or 0.0)
    shade = tuple(1 - weight * (1 - part / 255) for part in BLUE_RGB) if is_number(value) else (0.95, 0.95, 0.95)
    axes.add_patch(Rectangle((column - 0.48, row - 0.46), 0.96, 0.92, color=shade, linewidth=0))
    colour = "white" if is_number(value) and weight > 0.6 else "0.15" if is_number(value) else GREY
    shown = (f"{value:.2f}" if abs(value) < 100 else number(value)) if is_number(value) else "not run"
    axes.text(column, row, shown, ha="center", va="center", color=colour, fontsize=11 if is_number(value) else 9)


def _drawable(line: Line, log_x: bool, log_y: bool) -> Line:
    """Leave out the points that the axes cannot show."""
    points = [(x, y) for x, y in line.points if (x > 0 or not log_x) and (y > 0 or not log_y)]
    return Line(line.name, [x for x, _ in points], [y for _, y in points])


def _at_end(line: Line, style: Mapping[str, Any]) -> Label:
    return Label(shortened(printable(line.name)), style["color"], *line.points[-1])


def _pad_x(axes: Any, places: Sequence[float], log: bool) -> None:
    """Set the limits of the horizontal axis, with some room around the places."""
    if not places:
        return
    low, high = min(places), max(places)
    if log:
        room = max((high / low) ** 0.05, 1.12)
        axes.set_xlim(low / room, high * room)
    else:
        room = (high - low) * 0.04 or abs(high) * 0.1 or 1.0
        axes.set_xlim(low - room, high + room)


def _ticks_at(axes: Any, places: Sequence[float], log: bool) -> None:
    """Put the ticks at the values that were tried, as far as their labels leave room for each other."""
    from matplotlib.ticker import NullLocator

    wanted = sorted(set(places))
    if not wanted:
        return
    at = [log10(place) if log else place for place in wanted]
    least = (at[-1] - at[0]) / 11
    chosen: list[int] = []
    for place in range(len(wanted)):
        if not chosen or at[place] - at[chosen[-1]] >= least:
            chosen.append(place)
    axes.set_xticks([wanted[place] for place in chosen], [number(wanted[place]) for place in chosen])
    axes.xaxis.set_minor_locator(NullLocator())


def _power_of_ten(value: float) -> str:
    return f"1e{round(log10(value))}"


def _format(axis: Any, log: bool, limits: tuple[float, float] | None = None) -> None:
    """Put ticks at round numbers, and write them as `number` does, or those of a linear axis with equal decimals."""
    from matplotlib.ticker import FixedLocator, FuncFormatter, LogLocator, MaxNLocator, NullLocator

    low, high = limits or axis.get_view_interval()
    shown: Callable[[float], str] = number
    if log and low > 0:
        powers = log10(high / low)
        subs = (1.0,) if powers > 3 else (1.0, 3.0) if powers > 1.5 else (1.0, 2.0, 3.0, 5.0)
        axis.set_major_locator(LogLocator(subs=subs, numticks=9))
        axis.set_minor_locator(NullLocator())
        if powers > 6:
            shown = _power_of_ten
    elif not log:
        ticks = [float(tick) for tick in MaxNLocator(7, steps=[1, 2, 5, 10]).tick_values(low, high)]
        axis.set_major_locator(FixedLocator([tick for tick in ticks if low <= tick <= high]))
        shown = _decimals(ticks) if high < 1e4 else number
    axis.set_major_formatter(FuncFormatter(lambda value, _: shown(value)))
