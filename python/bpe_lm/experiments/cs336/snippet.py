"""Run examples as Python's prompt does, and show what they print.

Each example is one statement. All statements of a transcript share a fresh namespace, and nothing reaches the names of
the program that writes the report.
"""

from __future__ import annotations

import io
import sys
import traceback
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, redirect_stdout
from typing import Any

_PICTURES = {code: chr(0x2400 + code) for code in range(32) if chr(code) not in "\n\t"}
"""The symbol of each control character, such as U+2400 for NUL. A report with the character itself is not a text."""


def outputs(statements: Sequence[str]) -> list[str]:
    """Return what Python's prompt prints after each statement: printed text, values, and the line of an error."""
    namespace: dict[str, Any] = {"__name__": "__main__"}
    return [_output(statement, namespace) for statement in statements]


def transcript(statements: Sequence[str]) -> str:
    """Return the statements with their prompts and outputs. Control characters become symbols."""
    parts = zip(statements, outputs(statements), strict=True)
    return "".join(prompted(statement) + output for statement, output in parts).translate(_PICTURES).rstrip("\n")


def prompted(statement: str) -> str:
    """Return a statement as it stands behind the prompts of Python."""
    first, *rest = statement.split("\n")
    return "\n".join([f">>> {first}", *(f"... {line}".rstrip() for line in rest)]) + "\n"


def _output(statement: str, namespace: dict[str, Any]) -> str:
    printed = io.StringIO()
    with redirect_stdout(printed), _values_written_to(printed):
        try:
            exec(compile(statement + "\n", "<stdin>", "single"), namespace)
        except Exception as error:
            lines = ["Traceback (most recent call last):", "    ...", *traceback.format_exception_only(error)]
            printed.write("\n".join(lines))
    return printed.getvalue()


@contextmanager
def _values_written_to(printed: io.StringIO) -> Iterator[None]:
    """Write the values of expressions, as a prompt does, but do not keep the last one in `builtins._`."""

    def write(value: object) -> None:
        if value is not None:
            printed.write(f"{value!r}\n")

    before = sys.displayhook
    sys.displayhook = write
    try:
        yield
    finally:
        sys.displayhook = before
