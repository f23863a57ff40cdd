"""The parts of a report: a report is a list of sections, and a section a list of blocks."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

Kind = Literal["example", "check", "calculated", "measured"]
"""How a section's answer comes about.

example: Its code runs while the report is written, and the printed answer is shown.
check: The largest difference from an oracle stands beside its limit.
calculated: A formula computes it from a config.
measured: Runs and jobs in the report's folder measured it.
"""


@dataclass(frozen=True)
class Text:
    """A paragraph in Markdown: plain sentences, `code` and **bold**."""

    text: str


@dataclass(frozen=True)
class Code:
    """Code or output, as it stands. `language` may be "python", "console", or "" for output."""

    text: str
    language: str = ""


@dataclass(frozen=True)
class Table:
    """Rows of texts and numbers. None is shown as "not run", and a float with four significant digits."""

    header: Sequence[str]
    rows: Sequence[Sequence[Any]]
    caption: str = ""


@dataclass(frozen=True)
class Check:
    """A comparison with an oracle. It passes if `difference` is at most `limit`."""

    what: str
    difference: float
    limit: float
    oracle: str

    @property
    def passes(self) -> bool:
        """Whether the difference is within the limit. A difference that is not a number fails."""
        return self.difference <= self.limit


@dataclass(frozen=True)
class Picture:
    """A figure of matplotlib, drawn when the report is written, and the sentence that says what it shows."""

    name: str
    draw: Callable[[], Any]
    caption: str


@dataclass(frozen=True)
class Missing:
    """What is not measured yet, such as a run: the report says "not run"."""

    what: str


@dataclass(frozen=True)
class Drawn:
    """A picture that was drawn: the path of its file below the report's folder, and the PNG."""

    path: str
    png: bytes
    caption: str


Block = Text | Code | Table | Check | Picture | Missing | Drawn


@dataclass(frozen=True)
class Section:
    """The answer to a question. `asked` is the question in a sentence or two."""

    row: int
    name: str
    points: int
    kind: Kind
    asked: str
    blocks: Sequence[Block] = field(default_factory=tuple)


def literal(text: str) -> str:
    """Return a text as code in Markdown, such as the name of a run. No character of it has a meaning of its own."""
    text = " ".join(text.split()) or " "
    fence = "`"
    while fence in text:
        fence += "`"
    pad = " " if "`" in (text[0], text[-1]) else ""
    return f"{fence}{pad}{text}{pad}{fence}"
