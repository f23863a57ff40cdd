"""Pictures drawn by matplotlib, which the extra `plots` installs."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

from bpe_lm.errors import MissingExtra, OptionError
from bpe_lm.files import StrPath, check_file_target, write_whole

COLOURS = ["#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00", "#000000"]
BLUE, ORANGE = COLOURS[:2]
"""Two colours of the palette by Okabe and Ito, which colour-blind people can tell apart too."""


def check_picture(path: StrPath) -> None:
    """Refuse a path to which no picture can be written.

    Raises:
        OptionError: The path ends neither with .png nor with .svg.
        OutputExists: The path names a folder, a device, a pipe or a socket.
    """
    if Path(path).suffix.lower() not in (".png", ".svg"):
        raise OptionError(f"{path} names no picture; end the name with .png or .svg")
    check_file_target(path)


def new_figure(width: float, height: float) -> Any:
    """Return an empty figure. Width and height are in inches.

    Raises:
        MissingExtra: matplotlib is not installed.
    """
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise MissingExtra(f"drawing needs matplotlib ({error}): pip install matplotlib") from error
    return Figure(figsize=(width, height), dpi=150, layout="constrained")


def write_picture(figure: Any, path: StrPath) -> None:
    """Write a figure as PNG or SVG, as the ending of the path says.

    Raises:
        FileError: The file could not be written.
    """
    picture = io.BytesIO()
    figure.savefig(picture, format=Path(path).suffix.lower()[1:])
    write_whole(Path(path), picture.getvalue())


def printable(name: str) -> str:
    """Replace characters of a name that UTF-8 cannot encode by `?`, because matplotlib refuses them."""
    return name.encode(errors="replace").decode()
