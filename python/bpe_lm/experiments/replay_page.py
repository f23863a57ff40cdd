"""A replay as one page of HTML, which needs no other file and runs no script."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from bpe_lm.experiments.replay import COLOURS, Replay, Row, ink_of, level_names, level_of

_STYLE = """
body { font: 16px/1.5 system-ui, sans-serif; margin: 2em auto; max-width: 60em; padding: 0 1em; color: #111;
       background: #fff; }
pre { white-space: pre-wrap; overflow-wrap: anywhere; font: 14px/1.7 ui-monospace, monospace; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; }
td, th { padding: .15em .8em; text-align: right; border-bottom: 1px solid #ddd; }
td:first-child, th:first-child, .figures td { text-align: left; }
h2 { margin-top: 2em; }
span { border-radius: 2px; padding: 0 1px; }
.first { border: 1px dotted #666; }
"""


def page(replay: Replay, title: str) -> str:
    """Return the page: the figures of the step, the norms of each module, and the batch coloured by loss."""
    levels = "\n".join(
        f".l{level} {{ background: {colour}; color: {ink_of(level)}; }}" for level, colour in enumerate(COLOURS)
    )
    name = escape(f"Step {replay.step:,} of {title}")
    parts = [
        f"<!DOCTYPE html>\n<html lang='en'>\n<head>\n<meta charset='utf-8'>\n<title>{name}</title>",
        f"<style>{_STYLE}{levels}\n</style>\n</head>\n<body>\n<h1>{name}</h1>",
        _table((), replay.figures(), "figures"),
        "<h2>Norms by module</h2>\n<p>Weights are those before the step, and gradients those before clipping.</p>",
        _table(("module", "weights", "weight norm", "gradient norm"), replay.norms()),
        f"<h2>The batch</h2>\n<p>{_legend()}</p>",
        *(_row(number, row) for number, row in enumerate(replay.rows, 1)),
        "</body>\n</html>\n",
    ]
    return "\n".join(parts)


def _table(header: Sequence[str], rows: Sequence[Sequence[str]], kind: str = "norms") -> str:
    head = ["<tr>" + "".join(f"<th>{escape(cell)}</th>" for cell in header) + "</tr>"] if header else []
    lines = ["<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in row) + "</tr>" for row in rows]
    return "\n".join([f"<table class='{kind}'>", *head, *lines, "</table>"])


def _legend() -> str:
    names = "\n".join(f"<span class='l{level}'>{escape(name)}</span>" for level, name in enumerate(level_names()))
    return f"Loss of each token in nats: {names}. The first token of a row has none. A token's title has its figures."


def _row(number: int, row: Row) -> str:
    first = f"<span class='first' title='token {row.start:,}, id {row.ids[0]}, no loss'>{_shown(row.texts[0])}</span>"
    tokens = [
        f"<span class='l{level_of(loss)}' title='token {row.start + place:,}, id {id}, loss {loss:.3f}'>"
        f"{_shown(text)}</span>"
        for place, (id, text, loss) in enumerate(zip(row.ids[1:], row.texts[1:], row.losses, strict=True), 1)
    ]
    heading = f"<h3>Row {number:,}, from token {row.start:,} of the file, mean loss {row.mean_loss:.4f}</h3>"
    return f"{heading}\n<pre>{first}{''.join(tokens)}</pre>"


def _shown(text: str) -> str:
    """Return a token's text for HTML. A sign before a line's end has the colour of the token."""
    return escape(text).replace("\n", "\u21b5\n")
