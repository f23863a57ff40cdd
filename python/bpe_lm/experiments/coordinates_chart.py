"""The chart of a coordinate check."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from bpe_lm.experiments.charts import number
from bpe_lm.experiments.figures import set_title
from bpe_lm.picture import new_figure

SHADES = ("#9ecae1", "#6baed6", "#4292c6", "#2171b5", "#08306b")
"""The colours of the steps, from the first to the last: blues that become darker."""


def coordinate_chart(
    sizes: Mapping[str, Sequence[Sequence[float | None]]], widths: Sequence[int], title: str = ""
) -> Any:
    """Draw the sizes of activations against the width, in a panel for each kind, with a line for each step.

    Args:
        sizes: By the kind of activation: for each width, the size at each step.
        widths: The widths.
        title: The title.
    """
    figure = new_figure(2.3 * max(len(sizes), 1) + 0.6, 3.4)
    set_title(figure, title)
    panels = figure.subplots(1, max(len(sizes), 1), sharey=True, squeeze=False)[0]
    for axes, (kind, by_width) in zip(panels, sizes.items(), strict=False):
        _draw(axes, by_width, widths)
        axes.set_title(kind, fontsize=10)
        axes.set_xlabel("width (log scale)")
    panels[0].set_ylabel("root mean square (log scale)")
    return figure


def _draw(axes: Any, by_width: Sequence[Sequence[float | None]], widths: Sequence[int]) -> None:
    from matplotlib.ticker import FixedLocator, FuncFormatter, LogLocator, NullLocator

    axes.set_xscale("log", base=2)
    axes.set_yscale("log")
    steps = max((len(values) for values in by_width), default=0)
    for step in range(steps):
        points = [(w, v[step]) for w, v in zip(widths, by_width, strict=True) if step < len(v) and v[step] is not None]
        shade = SHADES[round(step * (len(SHADES) - 1) / max(steps - 1, 1))]
        axes.plot([w for w, _ in points], [v for _, v in points], "o-", color=shade, linewidth=1.5, markersize=4)
        if points and step in (0, steps - 1):
            above = step > 0
            axes.annotate(
                f"step {step}",
                points[-1],
                (0, 7 if above else -7),
                textcoords="offset points",
                ha="right",
                va="bottom" if above else "top",
                fontsize=9,
                color=shade if above else "0.35",
            )
    axes.xaxis.set_major_locator(FixedLocator(list(widths)))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.yaxis.set_major_locator(LogLocator(10, subs=(1, 2, 5)))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: number(value)))
    axes.yaxis.set_minor_locator(NullLocator())
    axes.margins(x=0.12, y=0.15)
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(color="0.9")
