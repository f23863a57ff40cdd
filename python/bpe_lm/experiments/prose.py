"""The texts and numbers of a report, before they are written as Markdown or HTML."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import groupby
from math import floor, isfinite, log10
from typing import Any, Literal

from bpe_lm.experiments.blocks import Block, Check, Code, Missing, Section, Table, Text

NOT_RUN = "not run"

_NO_NUMBER = re.compile(r"$|(diverged|failed|killed|waiting|running|interrupted|ended|one run|not )")
"""Words that stand in place of a number in a column of numbers."""

SpanKind = Literal["plain", "code", "bold"]
Span = tuple[SpanKind, str]

_SPAN = re.compile(
    r"(?P<fence>`+)(?!`)(?P<code>.+?)(?<!`)(?P=fence)(?!`)|\*\*(?P<bold>(?=\S).+?(?<=\S))\*\*", re.DOTALL
)

_NUMBER = re.compile(r"[-+]?[\d,]*\.?\d+(e[-+]?\d+)?( ?%)?")


_CONTROL = {code: 0x2400 + code for code in range(32) if chr(code) not in "\n\t"} | {127: 0x2421}
"""Control characters, which a browser would not show, with their symbols."""


def clean(text: str) -> str:
    """Replace control characters by their symbols, and what UTF-8 cannot encode by `?`."""
    return text.encode(errors="replace").decode().translate(_CONTROL)


def spans(text: str) -> list[Span]:
    """Divide a paragraph into plain text, code and bold text."""
    found: list[Span] = []
    end = 0
    for match in _SPAN.finditer(text):
        if match.start() > end:
            found.append(("plain", text[end : match.start()]))
        code, bold = match["code"], match["bold"]
        if bold is not None:
            found.append(("bold", bold))
        else:
            is_padded = code[0] == code[-1] == " " and code.strip() != ""
            found.append(("code", code[1:-1] if is_padded else code))
        end = match.end()
    if end < len(text):
        found.append(("plain", text[end:]))
    return found


def paragraphs(text: str) -> list[str | list[str]]:
    """Divide a text at its empty lines. A paragraph each of whose lines begins with "- " becomes a list of them."""
    result: list[str | list[str]] = []
    for part in re.split(r"\n\s*\n", text.strip()):
        lines = part.splitlines()
        if lines and all(line.startswith("- ") for line in lines):
            result.append([line[2:] for line in lines])
        elif part:
            result.append(part)
    return result


def cell_text(value: Any) -> str:
    """Write the value of a cell."""
    if value is None:
        return NOT_RUN
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}"
    return float_text(value) if isinstance(value, float) else str(value)


def float_text(value: float) -> str:
    """Write a number with four significant digits."""
    if not isfinite(value):
        return "not finite"
    if value == 0:
        return "0"
    size = abs(value)
    if not 1e-3 <= size < 1e9:
        digits, power = f"{value:.3e}".split("e")
        return f"{digits}e{int(power)}"
    rounded = round(value, 3 - floor(log10(size)))
    return f"{rounded:,.{max(3 - floor(log10(abs(rounded))), 0)}f}"


def is_numeric(table: Table, column: int) -> bool:
    """Return whether a column has numbers, or words in their place. They are aligned at the right."""
    values = [row[column] for row in table.rows if column < len(row) and row[column] is not None]
    numbers = [isinstance(value, int | float) or bool(_NUMBER.fullmatch(str(value))) for value in values]
    words = [number or _NO_NUMBER.match(str(value)) for number, value in zip(numbers, values, strict=True)]
    return any(numbers) and all(words)


def cells(table: Table) -> list[list[str]]:
    """Return the texts of a table's cells. A row that is too short is filled with empty cells."""
    width = len(table.header)
    rows = [[cell_text(value) for value in row] for row in table.rows]
    return [row[:width] + [""] * (width - len(row)) for row in rows]


def listed_in_words(parts: Iterable[str]) -> str:
    """Join parts by commas, and the last by "and"."""
    found = list(parts)
    return " and ".join([", ".join(found[:-1]), found[-1]]) if len(found) > 1 else "".join(found)


def grouped(blocks: Sequence[Block]) -> list[Block | list[Check]]:
    """Put two or more checks in a row together, which become a table."""
    result: list[Block | list[Check]] = []
    for is_check, group in groupby(blocks, lambda block: isinstance(block, Check)):
        found = list(group)
        if is_check and len(found) > 1:
            result.append([block for block in found if isinstance(block, Check)])
        else:
            result += found
    return result


def check_table(checks: Sequence[Check]) -> Table:
    """Return checks as a table. Their oracle is in the caption if all have the same one, and else in a column."""
    oracles = list(dict.fromkeys(check.oracle.rstrip(" ,") for check in checks))
    rows = [
        (
            verdict(check),
            check.what,
            *(() if len(oracles) == 1 else (check.oracle.rstrip(" ,"),)),
            *map(_short, _numbers(check)),
        )
        for check in checks
    ]
    if len(oracles) == 1:
        header, caption = ("", "check", "difference", "limit"), f"The largest differences from {oracles[0]}:"
        return Table(header, rows, caption)
    return Table(("", "check", "compared with", "difference", "limit"), rows, "The largest differences:")


def verdict(check: Check) -> str:
    """Say in a word whether a check passes."""
    return "passes" if check.passes else "FAILS"


def _numbers(check: Check) -> tuple[float, float]:
    return check.difference, check.limit


def check_text(check: Check) -> str:
    """Say in Markdown what was compared, and how far the results differ."""
    return (
        f"{check.what}: the largest difference from {check.oracle} is **{_short(check.difference)}**, "
        f"and the limit is **{_short(check.limit)}**."
    )


def _short(value: float) -> str:
    if not isfinite(value):
        return "not finite"
    return f"{value:.3g}".replace("e-0", "e-").replace("e+0", "e").replace("e+", "e")


State = Literal["answered", "passed", "failed", "in part", "not run"]
"""How much of a section is answered. "passed" and "failed" are those of sections with checks."""


def state(section: Section) -> State:
    """Say how much of a section is answered."""
    checks = [block for block in section.blocks if isinstance(block, Check)]
    if not all(check.passes for check in checks):
        return "failed"
    shares = [share for block in section.blocks if (share := _answered(block)) is not None]
    if any(share < 1 for share in shares):
        return "in part" if any(shares) else "not run"
    return "passed" if checks else "answered"


def _answered(block: Block) -> float | None:
    """Return which share of a block is there, from 0 to 1, or None for a text, which answers nothing by itself."""
    if isinstance(block, Missing):
        return 0.0
    if isinstance(block, Table):
        return sum(None not in row for row in block.rows) / len(block.rows) if block.rows else None
    return None if isinstance(block, Text | Code) else 1.0


@dataclass(frozen=True)
class Heading:
    """The heading of a section, and the name by which links find it."""

    text: str
    anchor: str
    kind: str


def headings(sections: Sequence[Section]) -> list[Heading]:
    """Return the headings of sections, each with a name of its own."""
    anchors: list[str] = []
    for section in sections:
        anchor, number = f"row-{section.row}", 2
        while anchor in anchors:
            anchor, number = f"row-{section.row}-{number}", number + 1
        anchors.append(anchor)
    return [
        Heading(f"{section.row}. {section.name}", anchor, section.kind)
        for section, anchor in zip(sections, anchors, strict=True)
    ]
