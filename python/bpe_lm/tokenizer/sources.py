"""What the Rust core does not open itself: tables and files at an address. The core calls these functions.

A thread reads, and puts what it reads into a sink of the core, which waits while the workers have enough.
"""

import os
import threading
from collections.abc import Callable
from typing import Any

from bpe_lm.errors import BpeLmError, CorpusError
from bpe_lm.tokenizer import remote, tables
from bpe_lm.tokenizer.tables import Column

Read = Callable[[], bool]
"""Puts everything into a sink. Returns False if nobody reads any more."""


def look(path: str, column: tuple[str, str, bool] | None) -> tuple[int | None, int]:
    """Look at a file at an address, or check that a table has a column of texts.

    Returns:
        The size in bytes, if it is known, and a number that changes when the file at the address does.

    Raises:
        CorpusError: There is no such file, it is not a table, or it has no such column.
        MissingExtra: A package for reading it is not installed.
    """
    found = None if column is None else Column(*column)
    if found is not None:
        tables.check_packages()
    try:
        if remote.is_address(path):
            return remote.look(path)
        if found is not None:
            with open(path, "rb") as file:
                tables.check_column(file, found, path)
        return os.path.getsize(path), 0
    except Exception as error:
        raise as_corpus_error(path, error) from error


def start(sink: Any, path: str, column: tuple[str, str, bool] | None, first_row: int) -> None:
    """Start a thread that puts a file's bytes, or the rows of a table from `first_row` on, into a sink."""

    def read() -> bool:
        if column is None:
            return remote.put_bytes(sink, path)
        with remote.open_seekable(path) if remote.is_address(path) else open(path, "rb") as file:
            return tables.put_rows(sink, file, Column(*column), path, first_row)

    _start(sink, path, read)


def start_given(sink: Any, table: Any, column: tuple[str, str, bool]) -> None:
    """Start a thread that puts the rows of an object with an Arrow stream into a sink.

    Raises:
        CorpusError: It has no such column.
        MissingExtra: pyarrow is not installed.
    """
    tables.check_packages()
    name = "the table"
    arrays = tables.arrays_of(table, Column(*column), name)
    _start(sink, name, lambda: tables.put_arrays(sink, arrays, Column(*column), name))


def _start(sink: Any, name: str, read: Read) -> None:
    def run() -> None:
        try:
            if read():
                sink.end()
        except BaseException as error:
            sink.fail(as_corpus_error(name, error))

    # A daemon does not keep a process alive whose network does not answer.
    threading.Thread(target=run, name=f"read {name}", daemon=True).start()


def as_corpus_error(name: str, error: BaseException) -> BaseException:
    """Return an error of this package for any exception while a corpus is read."""
    if isinstance(error, BpeLmError) or not isinstance(error, Exception):
        return error
    reason = "no such file; check the path" if isinstance(error, FileNotFoundError) else str(error).strip()
    kind = "" if isinstance(error, OSError) else f"{type(error).__name__}: "
    return CorpusError(f"could not read the corpus {name}: {kind}{reason or type(error).__name__}")
