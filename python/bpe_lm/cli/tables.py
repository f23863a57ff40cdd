"""Tables and JSON on stdout."""

from __future__ import annotations

import io
import json
import sys
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from bpe_lm.files import finite

if TYPE_CHECKING:
    from rich.console import Console


def print_json(value: Any) -> None:
    """Print a value as JSON on stdout."""
    print(json.dumps(finite(value), indent=2, allow_nan=False))


def print_rows(rows: Sequence[tuple[str, str]]) -> None:
    """Print names and values as a table on stdout."""
    print_table((), rows)


def print_table(headings: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """Print a table on stdout."""
    from rich.table import Table

    table = Table(*headings, show_header=bool(headings))
    for row in rows:
        table.add_row(*row)
    for column in table.columns:
        column.overflow = "fold"  # A path without its end would be of no use.
    console().print(table)


def duration(seconds: float) -> str:
    """Format seconds in the largest unit of which there are at least two."""
    units = (("days", 86_400), ("hours", 3600), ("minutes", 60))
    name, length = next(((name, length) for name, length in units if seconds >= 2 * length), ("seconds", 1))
    return f"{seconds / length:,.1f} {name}" if seconds >= 2 else f"{seconds:.2g} seconds"


def console() -> Console:
    """Return a console on stdout. Characters that its encoding lacks are printed as escapes."""
    from rich.console import Console

    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")
    return Console(highlight=False, markup=False, emoji=False)
