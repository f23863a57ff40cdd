"""A report as one HTML page that needs no other file."""

from __future__ import annotations

import base64
from collections import Counter
from collections.abc import Sequence
from html import escape

from bpe_lm.experiments.blocks import Block, Check, Code, Drawn, Missing, Picture, Section, Table, Text
from bpe_lm.experiments.prose import (
    NOT_RUN,
    Heading,
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

SHORT = 24
"""The greatest number of characters of a cell that stays in one line."""

STYLE = """
:root {
  color-scheme: light dark;
  --back: #ffffff; --fore: #1c2024; --faint: #5b6570; --line: #d9dee3; --shade: #f4f6f8;
  --accent: #00598c; --good: #0a6b3d; --good-back: #e3f5ea; --bad: #a8201a; --bad-back: #fdeae8;
  --wait: #6b5900; --wait-back: #fbf3d0;
}
@media (prefers-color-scheme: dark) {
  :root {
    --back: #14171a; --fore: #e4e8ec; --faint: #9aa5b0; --line: #343b42; --shade: #1e2327;
    --accent: #7cc4f2; --good: #7fdca6; --good-back: #12301f; --bad: #ff9d94; --bad-back: #3d1512;
    --wait: #ecd67a; --wait-back: #332c0c;
  }
}
* { box-sizing: border-box; }
body { margin: 0; background: var(--back); color: var(--fore); font: 16px/1.55 system-ui, sans-serif; }
a { color: var(--accent); }
.page { display: grid; grid-template: auto 1fr / 18rem minmax(0, 56rem); gap: 0 3rem; max-width: 81rem; margin: 0 auto;
  padding: 0 1.5rem 4rem; }
header, main { grid-column: 2; }
nav { grid-column: 1; grid-row: 1 / span 2; align-self: start;
  position: sticky; top: 0; max-height: 100vh; overflow-y: auto; padding: 2rem 0; font-size: 0.84rem; }
nav ol { list-style: none; margin: 0; padding: 0; }
nav li { display: flex; gap: 0.4rem; justify-content: space-between; padding: 0.1rem 0; }
nav a { flex: 1; color: inherit; text-decoration: none; overflow-wrap: anywhere; }
nav a:hover { text-decoration: underline; }
nav .state { white-space: nowrap; }
.single { display: block; max-width: 60rem; }
h1 { font-size: 1.8rem; line-height: 1.25; margin: 2rem 0 1rem; }
h2 { font-size: 1.25rem; margin: 0; overflow-wrap: anywhere; }
section { border-top: 1px solid var(--line); margin-top: 2.2rem; padding-top: 1.4rem; scroll-margin-top: 0.5rem; }
.head { display: flex; flex-wrap: wrap; align-items: center; gap: 0.5rem; }
.asked { color: var(--faint); margin: 0.4rem 0 1rem; }
.badge { font-size: 0.75rem; border: 1px solid var(--line); border-radius: 1rem; padding: 0.05rem 0.6rem;
  background: var(--shade); white-space: nowrap; }
.state { color: var(--faint); }
.state.passed, .state.answered { color: var(--good); }
.state.failed { color: var(--bad); font-weight: 600; }
.state.waiting { color: var(--wait); }
.scroll { overflow-x: auto; margin: 0.8rem 0 1.2rem; }
table { border-collapse: collapse; font-size: 0.9rem; font-variant-numeric: tabular-nums; }
.caption { color: var(--faint); font-size: 0.9rem; margin: 0.8rem 0 -0.4rem; }
th, td { padding: 0.25rem 0.9rem 0.25rem 0; text-align: left; vertical-align: top;
  border-bottom: 1px solid var(--line); }
th { border-bottom: 2px solid var(--line); }
.number { text-align: right; }
td.number { white-space: nowrap; }
td.long { min-width: 11rem; }
th { vertical-align: bottom; }
.short { white-space: nowrap; }
td code { overflow-wrap: normal; white-space: nowrap; }
.absent { color: var(--wait); }
code, pre { font-family: ui-monospace, Menlo, Consolas, monospace; font-size: 0.88em; }
code { background: var(--shade); padding: 0.05rem 0.25rem; border-radius: 3px; overflow-wrap: anywhere; }
pre { background: var(--shade); padding: 0.8rem 1rem; border-radius: 6px; overflow-x: auto; line-height: 1.4; }
pre code { background: none; padding: 0; overflow-wrap: normal; }
.check { border-left: 4px solid; border-radius: 3px; padding: 0.35rem 0.8rem; margin: 0.35rem 0; font-size: 0.93rem; }
.check.passed { border-color: var(--good); background: var(--good-back); }
.check.failed { border-color: var(--bad); background: var(--bad-back); }
.checks td { padding-top: 0.15rem; padding-bottom: 0.15rem; }
.checks td:first-child { font-weight: 600; padding-left: 0.6rem; border-left: 4px solid; }
.checks .passed td:first-child { color: var(--good); }
.checks .failed td { background: var(--bad-back); }
.checks .failed td:first-child { color: var(--bad); }
.check strong { font-weight: inherit; white-space: nowrap; }
.check.passed b { color: var(--good); }
.check.failed b { color: var(--bad); }
.missing { border-left: 4px solid var(--wait); background: var(--wait-back); border-radius: 3px;
  padding: 0.35rem 0.8rem; font-size: 0.93rem; }
figure { margin: 1.2rem 0; }
img { max-width: 100%; height: auto; background: #ffffff; padding: 0.4rem; border-radius: 4px; }
figcaption { color: var(--faint); font-size: 0.9rem; }
@media (max-width: 60rem) {
  .page { display: block; }
  nav { position: static; max-height: none; padding-bottom: 0; }
}
@media print {
  :root { --back: #ffffff; --fore: #000000; --faint: #444444; --line: #bbbbbb; --shade: #f4f4f4; --accent: #000000;
    --good: #0a6b3d; --good-back: #ffffff; --bad: #a8201a; --bad-back: #ffffff; --wait: #6b5900;
    --wait-back: #ffffff; }
  body { font-size: 10pt; }
  .page { display: block; padding: 0; max-width: none; }
  nav { position: static; max-height: none; columns: 2; break-after: page; }
  h2, .head, .asked, .caption { break-after: avoid; }
  figure, pre, .check, tr { break-inside: avoid; }
  pre { white-space: pre-wrap; }
  .scroll { overflow: visible; }
}
"""


def to_html(title: str, preface: Sequence[Block], sections: Sequence[Section]) -> str:
    """Write a report as an HTML page. Each picture must have been drawn; the page holds them all."""
    named = list(zip(sections, headings(sections), strict=True))
    contents = _contents(named) if len(sections) > 1 else ""
    above = _blocks(preface)
    body = "\n".join(_section(*each) for each in named)
    page = f"""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{_plain(title)}</title>
<style>{STYLE}</style>
</head>
<body>
<div class="page{"" if contents else " single"}">
<header>
<h1>{_inline(title)}</h1>
{above}
</header>
{contents}
<main>
{body}
</main>
</div>
</body>
</html>
"""
    return clean(page)


def _contents(named: Sequence[tuple[Section, Heading]]) -> str:
    """Return the table of contents, which says how much of each section is answered."""
    counts = Counter(state(section) for section, _ in named)
    summary = ", ".join(f"{count:,} {word}" for word, count in counts.items())
    items = [
        f'<li><a href="#{heading.anchor}">{_inline(heading.text)}</a> {_state(section)}</li>'
        for section, heading in named
    ]
    return f"<nav>\n<p>{len(named):,} sections: {summary}</p>\n<ol>\n" + "\n".join(items) + "\n</ol>\n</nav>"


def _state(section: Section) -> str:
    word = state(section)
    look = "waiting" if word in ("in part", "not run") else word
    return f'<span class="state {look}">{word}</span>'


def _section(section: Section, heading: Heading) -> str:
    badges: list[str] = [section.kind]
    if section.points:
        badges.append(f"{section.points} point{'s' * (section.points != 1)}")
    shown = "".join(f'<span class="badge">{_plain(badge)}</span>' for badge in badges)
    asked = f'<p class="asked">{_inline(section.asked)}</p>\n' if section.asked else ""
    blocks = _blocks(section.blocks)
    return (
        f'<section id="{heading.anchor}">\n<div class="head"><h2>{_inline(heading.text)}</h2>{shown}{_state(section)}'
        f"</div>\n{asked}{blocks}\n</section>"
    )


def _blocks(blocks: Sequence[Block]) -> str:
    return "\n".join(_checks(block) if isinstance(block, list) else _block(block) for block in grouped(blocks))


def _checks(checks: Sequence[Check]) -> str:
    looks = [f' class="{"passed" if check.passes else "failed"}"' for check in checks]
    return _table(check_table(checks), ' class="checks"', looks)


def _block(block: Block) -> str:
    if isinstance(block, Text):
        return "\n".join(
            "<ul>" + "".join(f"<li>{_inline(item)}</li>" for item in part) + "</ul>"
            if isinstance(part, list)
            else f"<p>{_inline(part)}</p>"
            for part in paragraphs(block.text)
        )
    if isinstance(block, Code):
        return f"<pre><code>{_plain(block.text.rstrip())}</code></pre>"
    if isinstance(block, Table):
        return _table(block)
    if isinstance(block, Check):
        look = "passed" if block.passes else "failed"
        return f'<p class="check {look}"><b>{verdict(block)}</b>: {_inline(check_text(block))}</p>'
    if isinstance(block, Missing):
        return f'<p class="missing"><b>{NOT_RUN}</b>: {_inline(block.what)}</p>'
    if isinstance(block, Drawn):
        return _figure(block)
    assert not isinstance(block, Picture), "pictures are drawn before the report is written"
    return ""


def _figure(drawn: Drawn) -> str:
    data = base64.b64encode(drawn.png).decode("ascii")
    return (
        f'<figure><img src="data:image/png;base64,{data}" alt="{_plain(_without_marks(drawn.caption))}">'
        f"<figcaption>{_inline(drawn.caption)}</figcaption></figure>"
    )


def _table(table: Table, look_of_table: str = "", looks_of_rows: Sequence[str] = ()) -> str:
    looks = [' class="number"' if is_numeric(table, column) else "" for column in range(len(table.header))]
    caption = f'<p class="caption">{_inline(table.caption)}</p>\n' if table.caption else ""
    head = "".join(f"<th{look}>{_inline(name)}</th>" for look, name in zip(looks, table.header, strict=True))
    rows = "\n".join(
        f"<tr{look_of_row}>" + "".join(_cell(cell, look) for cell, look in zip(row, looks, strict=True)) + "</tr>"
        for row, look_of_row in zip(cells(table), looks_of_rows or [""] * len(table.rows), strict=True)
    )
    content = f"<thead><tr>{head}</tr></thead>\n<tbody>\n{rows}\n</tbody>"
    return f'{caption}<div class="scroll"><table{look_of_table}>{content}</table></div>'


def _cell(text: str, look: str) -> str:
    look = look or f' class="{"short" if len(text) <= SHORT else "long"}"'
    content = f'<span class="absent">{text}</span>' if text == NOT_RUN else _inline(text)
    return f"<td{look}>{content}</td>"


def _without_marks(text: str) -> str:
    return "".join(part for _, part in spans(" ".join(text.split())))


def _inline(text: str) -> str:
    """Write a line in which only `code` and **bold** have a meaning."""
    tags = {"plain": ("", ""), "code": ("<code>", "</code>"), "bold": ("<strong>", "</strong>")}
    return "".join(f"{tags[kind][0]}{_plain(part)}{tags[kind][1]}" for kind, part in spans(" ".join(text.split())))


def _plain(text: str) -> str:
    return escape(text, quote=True)
