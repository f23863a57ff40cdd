"""Labels at the ends of lines, in place of a legend, moved apart where they would overlap."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

FONT_SIZE = 9.0
"""The size of labels in points."""

LINE_HEIGHT = 1.35 * FONT_SIZE
"""The least distance of two labels in points."""

MARGINS = 75.0
"""About how much of a figure's height its title and the lower axis take, in points."""

TALLEST = 9.0
"""The greatest height of a figure in inches."""

LONGEST = 38
"""The greatest number of characters of a label's name. The middle of a longer name is left out."""


@dataclass(frozen=True)
class Label:
    """A text, its colour, and the end of its line in the coordinates of the data."""

    text: str
    colour: str
    x: float
    y: float


def shortened(name: str, longest: int = LONGEST) -> str:
    """Replace the middle of a name by three dots, if the name is too long. Lines become spaces."""
    name = " ".join(name.split())
    if len(name) <= longest:
        return name
    half = (longest - 1) // 2
    return f"{name[: longest - 1 - half]}…{name[len(name) - half :]}"


def spread(wanted: Sequence[float], distance: float, low: float, high: float) -> list[float]:
    """Return places at least `distance` apart, as near to the wanted ones as the mean of each crowd allows.

    The order stays. If the places do not fit between `low` and `high`, they overlap as little as possible.
    """
    if not wanted:
        return []
    distance = min(distance, (high - low) / max(len(wanted) - 1, 1))
    order = sorted(range(len(wanted)), key=lambda number: wanted[number])
    crowds: list[list[float]] = []
    for rank, number in enumerate(order):
        crowds.append([wanted[number] - rank * distance])
        while len(crowds) > 1 and _mean(crowds[-2]) >= _mean(crowds[-1]):
            last_crowd = crowds.pop()
            crowds[-1] += last_crowd
    flat = [_mean(crowd) for crowd in crowds for _ in crowd]
    last = high - (len(wanted) - 1) * distance
    places = [0.0] * len(wanted)
    for rank, number in enumerate(order):
        places[number] = min(max(flat[rank], low), last) + rank * distance
    return places


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)


def height_for(labels: int, least: float) -> float:
    """Return the height in inches of a figure with one pair of axes beside which so many labels have room."""
    return min(max(least, (labels + 1) * LINE_HEIGHT / 72 + MARGINS / 72), TALLEST)


def label_ends(axes: Any, labels: Sequence[Label]) -> None:
    """Write the labels to the right of the axes, each with a thin line to the end of its own line.

    The limits of the axes must be final, because they decide where the ends are. If there are too many labels, the
    lines with the greatest values have none.
    """
    room = max(int(_height(axes) / LINE_HEIGHT), 1)
    if len(labels) > room:
        axes.text(1.035, 1.03, f"and {len(labels) - room:,} more", transform=axes.transAxes, fontsize=FONT_SIZE)
        labels = sorted(labels, key=lambda label: label.y)[:room]
    to_fraction = axes.transData + axes.transAxes.inverted()
    ends = [to_fraction.transform((float(label.x), float(label.y))) for label in labels]
    wanted = [min(max(end[1], 0.0), 1.0) for end in ends]
    places = spread(wanted, LINE_HEIGHT / _height(axes), 0.02, 0.98)
    for label, end, place in zip(labels, ends, places, strict=True):
        line = {"arrowstyle": "-", "color": label.colour, "linewidth": 0.7, "alpha": 0.7}
        text = axes.annotate(
            label.text,
            xy=end,
            xycoords="axes fraction",
            xytext=(1.035, place),
            textcoords="axes fraction",
            color=readable(label.colour),
            fontsize=FONT_SIZE,
            verticalalignment="center",
            annotation_clip=False,
            arrowprops={**line, "relpos": (0, 0.5), "shrinkA": 1, "shrinkB": 3},
        )
        text.set_parse_math(False)


def _height(axes: Any) -> float:
    """Return about how high the axes will be, in points: the figure without its title and the lower axis."""
    return max(axes.figure.get_figheight() * 72 - MARGINS, 40.0)


def readable(colour: str) -> str:
    """Return a darker shade, in which a text can be read on white."""
    red, green, blue = (int(colour[start : start + 2], 16) for start in (1, 3, 5))
    while (0.2126 * _linear(red) + 0.7152 * _linear(green) + 0.0722 * _linear(blue)) > 0.18:
        red, green, blue = int(red * 0.94), int(green * 0.94), int(blue * 0.94)
    return f"#{red:02x}{green:02x}{blue:02x}"


def _linear(channel: int) -> float:
    """Return the light of a channel of sRGB, from 0 to 1."""
    share = channel / 255
    return share / 12.92 if share <= 0.04045 else ((share + 0.055) / 1.055) ** 2.4
