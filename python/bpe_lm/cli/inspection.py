"""The tables of `bpe-lm inspect`.

Tokens are printed as Python literals, so that no control character reaches the terminal.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from bpe_lm.cli.tables import console
from bpe_lm.tokenizer.inspection import NUM_SHOWN, Inspection
from bpe_lm.tokenizer.record import Training
from bpe_lm.tokenizer.tokens import SHOWN_CHARACTERS, from_alphabet, longest_learned, shortened

if TYPE_CHECKING:
    from rich.table import Table

EXACT_LENGTHS = 16
"""The greatest token length, in bytes, with a bar of its own. Longer tokens share bars: 17 to 32, 33 to 64, ..."""

BAR_CHARACTERS = 40
"""The width of the longest bar, in characters."""

_NO_TRAINING = (
    "\nTokens never used, merge counts and the longest pretokens are in training.json, which train-tokenizer writes; "
    "it is not beside this tokenizer."
)


def print_inspection(inspection: Inspection) -> None:
    """Print everything about a tokenizer on stdout, a table for each subject."""
    printer = console()
    block = "#" if printer.options.ascii_only else "█"
    for title, table in _sections(inspection, block).items():
        if title:
            printer.print(f"\n{title}", style="bold")
        printer.print(table)
    if not inspection.training:
        printer.print(_NO_TRAINING)


def _sections(inspection: Inspection, block: str) -> dict[str, Table]:
    """The tables by title. The first has none."""
    sections = {"": _summary(inspection)}
    if inspection.num_longest:
        sections["Longest tokens"] = _longest_tokens(inspection)
    sections["Token lengths"] = bars(inspection.lengths, block)
    if inspection.training:
        sections["Never used when all merges are applied"] = _unused(inspection)
        sections["Most and least frequent merges"] = _merges(inspection)
        if inspection.num_longest:
            sections["Longest pretokens of the corpus"] = _longest_pretokens(inspection, inspection.training)
    return sections


def _summary(inspection: Inspection) -> Table:
    tokenizer, training = inspection.tokenizer, inspection.training
    special = [repr(token) for token in tokenizer.special_tokens]
    more = f" and {len(special) - NUM_SHOWN:,} more" if len(special) > NUM_SHOWN else ""
    table = _table()
    table.add_row("tokenizer", inspection.path)
    table.add_row("vocabulary", f"{len(tokenizer.vocab):,} tokens, {len(tokenizer.merges):,} merges")
    table.add_row("special tokens", ", ".join(special[:NUM_SHOWN]) + more or "none")
    table.add_row("pattern", tokenizer.pattern if tokenizer.pattern.isalnum() else repr(tokenizer.pattern))
    if training:
        total, distinct = training["num_pretokens"], training["num_distinct_pretokens"]
        table.add_row("pretokens", f"{total:,}, {distinct:,} of them distinct")
    return table


def _longest_tokens(inspection: Inspection) -> Table:
    table = _table("bytes", "token")
    for token in longest_learned(inspection.tokenizer, inspection.num_longest):
        table.add_row(f"{len(token):,}", shortened(token))
    return table


def bars(lengths: Mapping[int, int], block: str) -> Table:
    """Return a table with a bar for each length, then one for the lengths up to each power of two."""
    counts: dict[str, int] = {str(length): 0 for length in range(1, min(EXACT_LENGTHS, max(lengths)) + 1)}
    for length, count in lengths.items():
        end = 1 << (length - 1).bit_length()
        name = str(length) if length <= EXACT_LENGTHS else f"{end // 2 + 1:,} to {end:,}"
        counts[name] = counts.get(name, 0) + count
    table = _table("bytes", "tokens", "")
    for name, count in counts.items():
        width = -(-BAR_CHARACTERS * count // max(counts.values()))
        table.add_row(name, f"{count:,}", block * width)
    return table


def _unused(inspection: Inspection) -> Table:
    table = _table("of", "", "", "first of them")
    num_merges, unused = len(inspection.tokenizer.merges), inspection.unused
    groups = {"bytes": (256, [token for token in unused if len(token) == 1])}
    if num_merges:
        groups["merges"] = (num_merges, [token for token in unused if len(token) > 1])
    for name, (total, tokens) in groups.items():
        share = f"{100 * len(tokens) / total:.1f} %"
        first = " ".join(shortened(token, SHOWN_CHARACTERS // NUM_SHOWN) for token in tokens[:NUM_SHOWN])
        dots = " ..." if len(tokens) > NUM_SHOWN else ""
        table.add_row(f"{total:,} {name}", f"{len(tokens):,}", share, first + dots)
    return table


def _merges(inspection: Inspection) -> Table:
    table = _table("number", "count", "pair")
    merges = inspection.counted_merges
    hidden = range(NUM_SHOWN, len(merges) - NUM_SHOWN)
    for place, (number, (left, right), count) in enumerate(merges):
        if place not in hidden:
            pair = f"{shortened(left, SHOWN_CHARACTERS // 2)} + {shortened(right, SHOWN_CHARACTERS // 2)}"
            table.add_row(f"{number:,}", f"{count:,}", pair)
        elif place == hidden.start:
            table.add_row("...", "", "")
    return table


def _longest_pretokens(inspection: Inspection, training: Training) -> Table:
    table = _table("bytes", "count", "pretoken")
    for pretoken in training["longest_pretokens"][: inspection.num_longest]:
        start = shortened(from_alphabet(pretoken["start"]), length=pretoken["length"])
        table.add_row(f"{pretoken['length']:,}", f"{pretoken['count']:,}", start)
    return table


def _table(*headings: str) -> Table:
    """A table without lines. All columns except the last hold figures."""
    from rich.table import Table

    table = Table(box=None, show_header=bool(headings), header_style="dim", pad_edge=False, padding=(0, 2, 0, 0))
    for i, heading in enumerate(headings):
        last = i == len(headings) - 1
        table.add_column(heading, justify="left" if last else "right", no_wrap=not last, overflow="fold")
    return table
