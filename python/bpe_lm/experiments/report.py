"""Write a report: report.md with its figures, and report.html, which holds all of itself."""

from __future__ import annotations

import io
import re
import warnings
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from bpe_lm.errors import BpeLmError, FileError
from bpe_lm.experiments.blocks import Block, Drawn, Missing, Picture, Section
from bpe_lm.experiments.html import to_html
from bpe_lm.experiments.markdown import to_markdown
from bpe_lm.files import StrPath, check_folder_target, write_whole

MARKDOWN, HTML, FIGURES = "report.md", "report.html", "figures"

DPI = 110
COLOURS_OF_PICTURE = 128
"""A chart has few colours, and with a palette its file is a third of the size."""


def write_report(sections: Sequence[Section], title: str, preface: Sequence[Block], folder: StrPath) -> None:
    """Write report.md, its figures and report.html into a folder. Each file is replaced whole.

    The same sections give the same bytes. A figure that cannot be drawn, such as without matplotlib, is named as
    missing.

    Args:
        sections: The sections in their order.
        title: The title of the report.
        preface: The blocks above the first section. The first says which corpora were used.
        folder: The folder to write, which is made if it does not exist.

    Raises:
        OutputExists: Something other than a folder or a regular file has the name of one that is to be written.
        FileError: A file could not be written.
    """
    folder = Path(folder)
    names: set[str] = set()
    drawn_preface = [_drawn(block, names) for block in preface]
    drawn = [replace(section, blocks=[_drawn(block, names) for block in section.blocks]) for section in sections]
    pictures = [b for blocks in (drawn_preface, *(s.blocks for s in drawn)) for b in blocks if isinstance(b, Drawn)]
    _make(folder / FIGURES if pictures else folder)
    for picture in pictures:
        _write(folder / picture.path, picture.png)
    _write(folder / HTML, to_html(title, drawn_preface, drawn).encode())
    _write(folder / MARKDOWN, to_markdown(title, drawn_preface, drawn).encode())


def _make(folder: Path) -> None:
    check_folder_target(folder)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise FileError(f"could not make the folder {folder}: {error.strerror}") from error


def _write(path: Path, data: bytes) -> None:
    """Write a file, unless it has this content already."""
    try:
        if path.is_file() and path.read_bytes() == data:
            return
    except OSError:
        pass
    write_whole(path, data)


def _drawn(block: Block, names: set[str]) -> Block:
    """Draw a picture. Other blocks are returned as they are. What cannot be drawn spoils no report."""
    if not isinstance(block, Picture):
        return block
    try:
        png = to_png(block.draw())
    except BpeLmError as error:
        return Missing(f"the figure {block.name}: {error}")
    except Exception as error:
        return Missing(f"the figure {block.name}: {type(error).__name__}: {error}")
    return Drawn(f"{FIGURES}/{_file_name(block.name, names)}.png", png, block.caption)


def _file_name(name: str, names: set[str]) -> str:
    """Return a safe name of a file that no other picture has, and remember it."""
    safe = re.sub(r"[^A-Za-z0-9_-]+", "-", name).strip("-")[:80] or "figure"
    chosen, number = safe, 2
    while chosen.lower() in names:
        chosen, number = f"{safe}-{number}", number + 1
    names.add(chosen.lower())
    return chosen


def to_png(figure: Any) -> bytes:
    """Return a figure of matplotlib as a small PNG. The same figure gives the same bytes."""
    from PIL import Image

    picture, small = io.BytesIO(), io.BytesIO()
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph .* missing from", UserWarning)
        figure.savefig(picture, format="png", dpi=DPI, metadata={"Software": None})
    image = Image.open(picture).convert("RGB")
    image.quantize(COLOURS_OF_PICTURE, dither=Image.Dither.NONE).save(small, format="png", optimize=True)
    return small.getvalue()
