"""The picture of a vocabulary: how many tokens have each length."""

from __future__ import annotations

from pathlib import Path

from bpe_lm.files import StrPath
from bpe_lm.picture import BLUE, ORANGE, check_picture, new_figure, printable, write_picture
from bpe_lm.tokenizer.inspection import Inspection

MOST_BARS = 100
"""The greatest token length, in bytes, for a picture with bars. Beyond it, points on a logarithmic axis show them."""


def draw_lengths(inspection: Inspection, path: StrPath) -> None:
    """Draw how many tokens have each length, and how many of them are never used, as PNG or SVG.

    Raises:
        MissingExtra: matplotlib is not installed.
        OptionError: The path ends neither with .png nor with .svg.
        OutputExists: The path is a folder, a device, a pipe or a socket.
        FileError: The file could not be written.
    """
    check_picture(path)
    figure = new_figure(8, 4.5)
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
    title = f"Lengths of the {sum(lengths.values()):,} tokens in {printable(Path(inspection.path).resolve().name)}"
    axes.set_title(title, loc="left", parse_math=False)
    axes.set_xlabel(f"length of the token (bytes{', log scale' if max(lengths) > MOST_BARS else ''})")
    axes.set_ylabel("number of tokens (log scale)")
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(axis="y", color="0.9")
    axes.set_axisbelow(True)
    axes.minorticks_off()
    if unused:
        axes.legend(edgecolor="none", framealpha=1)
    write_picture(figure, path)
