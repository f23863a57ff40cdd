"""A report as Markdown, as GitHub shows it."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace

from bpe_lm.experiments.blocks import Block, Check, Code, Drawn, Missing, Picture, Section, Table, Text, literal
from bpe_lm.experiments.prose import (
    NOT_RUN,
    cells,
    check_table,
    check_text,
    clean,
    grouped,
    headings,
    is_numeric,
    paragraphs,
    spans,
    state,
    verdict,
)

_MEANS_SOMETHING = re.compile(r"([\\*\[\]`~])|(?<!\w)(_)|(_)(?!\w)")
_BEGINS_A_BLOCK = re.compile(r"(?m)^(\s*)([#>+=-])")
_BEGINS_A_LIST = re.compile(r"(?m)^(\s*\d+)([.)])(?=\s|$)")


def to_markdown(title: str, preface: Sequence[Block], sections: Sequence[Section]) -> str:
    """Write a report as Markdown. Each picture must have been drawn."""
    parts = [f"# {inline(title)}", *_blocks(preface)]
    if len(sections) > 1:
        parts.append(_contents(sections))
    for section, heading in zip(sections, headings(sections), strict=True):
        points = f"{section.points} point{'s' * (section.points != 1)}, " if section.points else ""
        parts.append(f'<a id="{heading.anchor}"></a>')
        parts.append(f"## {inline(heading.text)} ({points}{section.kind})")
        parts.append(f"*{state(section)}*" + (f" \u00b7 {_paragraph(section.asked)}" if section.asked else ""))
        parts += _blocks(section.blocks)
    return clean("\n\n".join(part for part in parts if part) + "\n")


def _contents(sections: Sequence[Section]) -> str:
    """Return the table of contents, which says how much of each section is answered."""
    rows = [
        (
            section.row,
            f"[{inline(section.name)}](#{heading.anchor})",
            section.points or "",
            section.kind,
            state(section),
        )
        for section, heading in zip(sections, headings(sections), strict=True)
    ]
    lines = ["| row | section | points | kind | state |", "| ---: | --- | ---: | --- | --- |"]
    lines += [f"| {row} | {_in_cell(link)} | {points} | {kind} | {word} |" for row, link, points, kind, word in rows]
    return "\n".join(lines)


def _blocks(blocks: Sequence[Block]) -> list[str]:
    return [_checks(block) if isinstance(block, list) else _block(block) for block in grouped(blocks)]


def _checks(checks: Sequence[Check]) -> str:
    """Write checks as a table, whose first column is bold."""
    table = check_table(checks)
    return _table(replace(table, rows=[(f"**{row[0]}**", *row[1:]) for row in table.rows]))


def _block(block: Block) -> str:
    if isinstance(block, Text):
        return "\n\n".join(
            "\n".join(f"- {_paragraph(item)}" for item in part) if isinstance(part, list) else _paragraph(part)
            for part in paragraphs(block.text)
        )
    if isinstance(block, Code):
        return _code(block)
    if isinstance(block, Table):
        return _table(block)
    if isinstance(block, Check):
        return f"- **{verdict(block)}**: {inline(check_text(block))}"
    if isinstance(block, Missing):
        return f"**{NOT_RUN}**: {inline(block.what)}"
    if isinstance(block, Drawn):
        alternative = " ".join(block.caption.split()).replace("`", "").replace("**", "")
        return f"![{_escaped(alternative)}]({block.path})\n\n{_paragraph(block.caption)}"
    assert not isinstance(block, Picture), "pictures are drawn before the report is written"
    return ""


def inline(text: str) -> str:
    """Write a line in which only `code` and **bold** have a meaning."""
    return "".join(_span(kind, part) for kind, part in spans(" ".join(text.split())))


def _span(kind: str, text: str) -> str:
    if kind == "code":
        return literal(text)
    return f"**{_escaped(text)}**" if kind == "bold" else _escaped(text)


def _paragraph(text: str) -> str:
    text = inline(text)
    return _BEGINS_A_LIST.sub(r"\1\\\2", _BEGINS_A_BLOCK.sub(r"\1\\\2", text))


def _escaped(text: str) -> str:
    """Take the meaning from characters that have one in Markdown or HTML. An _ inside a word has none."""
    text = _MEANS_SOMETHING.sub(lambda match: "\\" + match.group(0), text)
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def _code(block: Code) -> str:
    fence = "```"
    while fence in block.text:
        fence += "`"
    return f"{fence}{block.language}\n{block.text.rstrip()}\n{fence}"


def _table(table: Table) -> str:
    rules = ["---:" if is_numeric(table, column) else "---" for column in range(len(table.header))]
    rows = [[_in_cell(inline(name)) for name in table.header], rules]
    rows += [[_in_cell(inline(cell)) for cell in row] for row in cells(table)]
    caption = f"{_paragraph(table.caption)}\n\n" if table.caption else ""
    return caption + "\n".join(f"| {' | '.join(row)} |" for row in rows)


def _in_cell(text: str) -> str:
    """Escape the character that ends a cell, in code too."""
    return text.replace("|", "\\|")
