"""Pictures, drawn by matplotlib, which is the extra `plots`."""

from __future__ import annotations

import io
import os
from pathlib import Path
from typing import Any

from bpe_lm.errors import MissingExtra, OptionError
from bpe_lm.files import check_file_target, write_whole

StrPath = str | os.PathLike[str]

COLOURS = ["#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00", "#000000"]
BLUE, ORANGE = COLOURS[:2]
"""Of the palette by Okabe and Ito, whose colours are told apart by colour-blind people too."""


def check_picture(path: StrPath) -> None:
    """Refuse a name that no picture can be written to.

    Raises:
        OptionError: It ends neither with .png nor with .svg.
        OutputExists: It is a folder, a device, a pipe or a socket.
    """
    if Path(path).suffix.lower() not in (".png", ".svg"):
        raise OptionError(f"{path} is no name of a picture that is drawn here; end it with .png or .svg")
    check_file_target(path)


def new_figure(width: float, height: float) -> Any:
    """An empty figure; width and height are in inches.

    Raises:
        MissingExtra: matplotlib is not installed.
    """
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise MissingExtra(f"drawing needs matplotlib ({error}): pip install matplotlib") from error
    return Figure(figsize=(width, height), dpi=150, layout="constrained")


def write_picture(figure: Any, path: StrPath) -> None:
    """Write a figure as PNG or SVG, by the name of the file.

    Raises:
        FileError: The file could not be written.
    """
    picture = io.BytesIO()
    figure.savefig(picture, format=Path(path).suffix.lower()[1:])
    write_whole(Path(path), picture.getvalue())


def printable(name: str) -> str:
    """The name with ? for what is no UTF-8 in it, which matplotlib refuses."""
    return name.encode(errors="replace").decode()
