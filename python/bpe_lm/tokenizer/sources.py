"""What the Rust core does not open itself: tables and files at an address. The core calls these functions.

A thread reads, and puts what it reads into a sink of the core, which waits while the workers have enough. The thread
ends when the sink says that nobody reads any more: after an error or Ctrl-C that is after the batch that it is reading.

Why are daemons waited for when the interpreter ends? An interpreter that ends while pyarrow reads for a thread aborts
the process. Threads that are no daemons are waited for without a limit, also where a network does not answer.
"""

import atexit
import os
import threading
import time
from collections.abc import Callable
from typing import Any

from bpe_lm.errors import BpeLmError, CorpusError
from bpe_lm.tokenizer import remote, tables
from bpe_lm.tokenizer.tables import Column

Read = Callable[[Any], bool]
"""Puts everything into a sink. Returns False if nobody reads any more."""
PATIENCE = 0.5
"""The most seconds for which the end of the interpreter waits for threads that read what is no local file."""


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


def start_look(sink: Any, path: str) -> None:
    """Start a thread that looks at a file at an address again, and puts what it finds into a sink."""

    def look_again(sink: Any) -> bool:
        remote.forget(path)
        put: bool = sink.put_look(*look(path, None))
        return put

    _start(sink, path, look_again, may_be_silent=True)


def start(sink: Any, path: str, column: tuple[str, str, bool] | None, first_row: int) -> None:
    """Start a thread that puts a file's bytes, or the rows of a table from `first_row` on, into a sink."""

    def read(sink: Any) -> bool:
        if column is None:
            return remote.put_bytes(sink, path)
        with remote.open_seekable(path) if remote.is_address(path) else open(path, "rb") as file:
            return tables.put_rows(sink, file, Column(*column), path, first_row)

    _start(sink, path, read, may_be_silent=remote.is_address(path))


def start_given(sink: Any, table: Any, column: tuple[str, str, bool]) -> None:
    """Start a thread that puts the rows of an object with an Arrow stream into a sink.

    Raises:
        CorpusError: It has no such column.
        MissingExtra: pyarrow is not installed.
    """
    tables.check_packages()
    name = "the table"
    arrays = tables.arrays_of(table, Column(*column), name)
    _start(sink, name, lambda sink: tables.put_arrays(sink, arrays, Column(*column), name), may_be_silent=True)


class _Sink:
    """A sink of the core. When the interpreter ends, it says that nobody reads any more."""

    def __init__(self, sink: Any):
        self._sink = sink

    def put_look(self, *arguments: Any) -> bool:
        return not _is_ending.is_set() and self._sink.put_look(*arguments)

    def put_bytes(self, *arguments: Any) -> bool:
        return not _is_ending.is_set() and self._sink.put_bytes(*arguments)

    def put_rows(self, *arguments: Any) -> bool:
        return not _is_ending.is_set() and self._sink.put_rows(*arguments)


_readers: dict[threading.Thread, bool] = {}
"""The threads that read, and whether their end may be a long time off."""
_is_ending = threading.Event()


def _start(sink: Any, name: str, read: Read, *, may_be_silent: bool = False) -> None:
    def run() -> None:
        try:
            if read(_Sink(sink)):
                sink.end()
        except BaseException as error:
            sink.fail(as_corpus_error(name, error))
        finally:
            _readers.pop(threading.current_thread(), None)

    reader = threading.Thread(target=run, name=f"read {name}", daemon=True)
    _readers[reader] = may_be_silent
    try:
        reader.start()
    except RuntimeError:
        del _readers[reader]
        raise


@atexit.register
def _wait_for_readers() -> None:
    _is_ending.set()
    deadline = time.monotonic() + PATIENCE
    for reader, may_be_silent in list(_readers.items()):
        reader.join(max(deadline - time.monotonic(), 0) if may_be_silent else None)


def as_corpus_error(name: str, error: BaseException) -> BaseException:
    """Return an error of this package for any exception while a corpus is read."""
    if isinstance(error, BpeLmError) or not isinstance(error, Exception):
        return error
    reason = "no such file; check the path" if isinstance(error, FileNotFoundError) else str(error).strip()
    kind = "" if isinstance(error, OSError) else f"{type(error).__name__}: "
    return CorpusError(f"could not read the corpus {name}: {kind}{reason or type(error).__name__}")
