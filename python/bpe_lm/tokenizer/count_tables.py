"""Counts as Parquet files, which DuckDB, Polars and Spark can add: columns `pretoken` (binary) and `count` (uint64).

The description of the counts is the file's metadata `bpe_lm_counts`, a JSON object. Files that another program wrote
may lack it, and their rows may be in any order.
"""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from bpe_lm import _core
from bpe_lm.errors import BpeLmError, CountFileError, FileError, OptionError, OutputExists
from bpe_lm.files import check_file_target, sync
from bpe_lm.tokenizer.tables import BUFFER_BYTES, check_packages

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import pyarrow

    Show = Callable[[str, int, int | None], object] | None
    Described = tuple[str, list[str], int, int, int, int]

KEY = b"bpe_lm_counts"
VERSION = 1
COLUMNS = ("pretoken", "count")
GROUP_BYTES = 64 << 20
"""The size of the pretokens in a row group."""
CAST = 'write the counts as unsigned 64-bit integers, in DuckDB by "CAST(sum(count) AS UBIGINT) AS count"'


@dataclass(frozen=True)
class Metadata:
    """The description in a Parquet file of counts. What another program may not know is None.

    rules: The rules of counting, as JSON, as in a count file.
    pattern, special_tokens: What is in the rules.
    """

    rules: str
    pattern: str
    special_tokens: list[str]
    num_distinct_pretokens: int | None
    num_pretokens: int | None
    num_bytes: int | None
    skipped_lines: int


def is_table(path: str) -> bool:
    """Return whether a name is that of a Parquet file."""
    return path.lower().endswith(".parquet")


@contextmanager
def temporary(out: str) -> Iterator[str]:
    """Give a path for a file beside another one, and remove that file at the end.

    Raises:
        FileError: The folder could not be created.
    """
    folder = Path(out).parent
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=f".{Path(out).name}.", suffix=".partial", dir=folder) as own:
            yield os.path.join(own, "counts")
    except BpeLmError:
        raise
    except OSError as error:
        raise FileError(f"could not write {out}: {error.strerror or error}") from error


def check_target(out: str, force: bool) -> None:
    """Refuse a Parquet file that may not be written.

    Raises:
        OutputExists: It exists and `force` is False, or something other than a file has its name.
        FileError: The path is an address on another machine.
        MissingExtra: pyarrow is not installed.
    """
    check_packages()
    check_file_target(out)
    if not force and os.path.lexists(out):
        raise OutputExists(f"{out} exists already; name another file, or allow it to be replaced (--force, force=True)")


def export_counts(counts: str, out: str, described: Described, show: Show) -> None:
    """Write the counts of a count file as Parquet, sorted, in memory that does not depend on their number.

    Raises:
        CountFileError: The count file is damaged.
        FileError: The file could not be written.
    """
    import pyarrow
    from pyarrow.parquet import ParquetWriter

    pattern, special_tokens, num_distinct, num_pretokens, num_bytes, skipped_lines = described
    batches = _core.CountBatches(counts)
    found = Metadata(batches.rules, pattern, special_tokens, num_distinct, num_pretokens, num_bytes, skipped_lines)
    fields = [pyarrow.field(COLUMNS[0], pyarrow.binary(), False), pyarrow.field(COLUMNS[1], pyarrow.uint64(), False)]
    schema = pyarrow.schema(fields, {KEY: _to_json(found).encode()})
    partial, ticker, group, group_bytes = f"{counts}.parquet", _Ticker(show, num_distinct), [], 0
    with ParquetWriter(partial, schema, compression="zstd", use_dictionary=False, write_page_checksum=True) as writer:
        for data, borders, numbers in batches:
            length = len(numbers) // 8
            buffers = [None, pyarrow.py_buffer(borders), pyarrow.py_buffer(data)]
            pretokens = pyarrow.Array.from_buffers(pyarrow.binary(), length, buffers)
            column = pyarrow.Array.from_buffers(pyarrow.uint64(), length, [None, pyarrow.py_buffer(numbers)])
            group.append(pyarrow.record_batch([pretokens, column], schema=schema))
            group_bytes += len(data) + len(numbers)
            if group_bytes >= GROUP_BYTES:
                writer.write_table(pyarrow.Table.from_batches(group), length * len(group))
                group, group_bytes = [], 0
            ticker.add(length)
        writer.write_table(pyarrow.Table.from_batches(group, schema))
    sync(Path(partial))
    os.replace(partial, out)
    sync(Path(out).parent)


def read_metadata(path: str, pattern: str | None, special_tokens: Sequence[str] | None) -> Metadata:
    """Read the description of a Parquet file of counts. Without one, the pattern and the special tokens are as given.

    Raises:
        CountFileError: It is not such a file, or its description is damaged or differs from what is given.
        OptionError: It has no description, and none is given.
        MissingExtra: pyarrow is not installed.
    """
    check_packages()
    table = _open(path)
    text = (table.schema_arrow.metadata or {}).get(KEY) or (table.metadata.metadata or {}).get(KEY)
    if text is None:
        if pattern is None:
            raise OptionError(
                f"{path} does not say how it was counted, because another program wrote it: give the pattern and the "
                "special tokens (--pattern gpt2 --special-token TEXT, pattern=, special_tokens=)"
            )
        return Metadata("", pattern, sorted(special_tokens or [], key=str.encode), None, None, None, 0)
    found = _from_json(path, text)
    given = pattern or found.pattern, found.special_tokens if special_tokens is None else special_tokens
    if given[0] != found.pattern or sorted(given[1], key=str.encode) != found.special_tokens:
        raise CountFileError(
            f"{path}: it was counted with the pattern {found.pattern!r} and the special tokens {found.special_tokens}, "
            f"not {given[0]!r} and {list(given[1])}; leave them out, or count again"
        )
    return found


def import_counts(path: str, metadata: Metadata, out: str, show: Show) -> Described:
    """Write the counts of a Parquet file as a count file. Rows may be in any order, and have a pretoken twice.

    Raises:
        CountFileError: The file is damaged, its columns are others, or its rows are not those of its description.
        LimitExceeded: A count, or the sum of all counts, is 2**64 or more.
        FileError: The count file could not be written.
    """
    import pyarrow

    table = _open(path)
    _check_columns(path, table.schema_arrow)
    collector = _core.CountCollector(out, metadata.rules or None, metadata.pattern, metadata.special_tokens, True)
    ticker, row = _Ticker(show, table.metadata.num_rows), 0
    try:
        for batch in table.iter_batches(1 << 16, columns=list(COLUMNS), use_threads=False):
            collector.add(*_columns(path, batch, row))
            row += batch.num_rows
            ticker.add(batch.num_rows)
    except (pyarrow.ArrowException, OSError) as error:
        if isinstance(error, BpeLmError):
            raise
        raise CountFileError(f"{path} is damaged at row {row} or after it: {error}; make it again") from error
    described: Described = collector.finish(metadata.num_bytes, metadata.skipped_lines, show)
    for name, expected, number in (
        ("distinct pretokens", metadata.num_distinct_pretokens, described[2]),
        ("pretokens", metadata.num_pretokens, described[3]),
    ):
        if expected is not None and expected != number:
            raise CountFileError(
                f"{path}: its description says {expected} {name}, and its rows have {number}; make it again, or leave "
                "its totals out of its description"
            )
    return described


def _open(path: str) -> Any:
    import pyarrow
    from pyarrow.parquet import ParquetFile

    try:
        return ParquetFile(path, buffer_size=BUFFER_BYTES, pre_buffer=False, page_checksum_verification=True)
    except FileNotFoundError as error:
        raise FileError(f"could not open {path}: no such file; check the path") from error
    except (pyarrow.ArrowException, OSError) as error:
        raise CountFileError(f"{path} cannot be read as Parquet: {error}; make it again") from error


def _check_columns(path: str, schema: pyarrow.Schema) -> None:
    from pyarrow import types

    kinds: dict[str, Any] = {field.name: field.type for field in schema}
    described = ", ".join(f"{name} ({kind})" for name, kind in kinds.items())
    for name in COLUMNS:
        if name not in kinds:
            raise CountFileError(f"{path} has no column {name!r}; its columns: {described}")
    pretoken, count = (kinds[name] for name in COLUMNS)
    if not any(is_it(pretoken) for is_it in (types.is_binary, types.is_large_binary, types.is_string)):
        raise CountFileError(f"{path}: column 'pretoken' is of type {pretoken}, and must be binary")
    if not types.is_integer(count):
        raise CountFileError(f"{path}: column 'count' is of type {count}, and floating point loses counts; {CAST}")


def _columns(path: str, batch: pyarrow.RecordBatch, row: int) -> tuple[Any, Any, Any]:
    """Return the bytes of the pretokens, their borders, and their counts."""
    import pyarrow
    from pyarrow import compute

    batch.validate(full=True)
    pretokens, counts = (batch.column(name) for name in COLUMNS)
    for name, column in zip(COLUMNS, (pretokens, counts), strict=True):
        if column.null_count:
            number = row + int(column.is_null().to_numpy(zero_copy_only=False).argmax())
            raise CountFileError(f"{path}, row {number}: {name} is null; leave such rows out")
    if pyarrow.types.is_signed_integer(counts.type) and len(counts) and (least := compute.min(counts).as_py()) < 0:
        raise CountFileError(f"{path}, from row {row} on: a count is {least}, which is negative; {CAST}")
    pretokens = pretokens.cast(pyarrow.large_binary())
    _, borders, data = pretokens.buffers()
    found = np.frombuffer(borders, np.int64)[pretokens.offset : pretokens.offset + len(pretokens) + 1]
    numbers = counts.cast(pyarrow.uint64()).to_numpy(zero_copy_only=False)
    return memoryview(b"" if data is None else data).cast("B"), found, np.ascontiguousarray(numbers)


def _to_json(found: Metadata) -> str:
    return json.dumps(
        {
            "version": VERSION,
            "rules": json.loads(found.rules),
            "rules_sha256": hashlib.sha256(found.rules.encode()).hexdigest(),
            "num_distinct_pretokens": found.num_distinct_pretokens,
            "num_pretokens": found.num_pretokens,
            "num_bytes": found.num_bytes,
            "skipped_lines": found.skipped_lines,
        },
        ensure_ascii=False,
    )


def _from_json(path: str, text: bytes) -> Metadata:
    damaged = CountFileError(f"{path}: its description ({KEY.decode()}) is damaged; count again, or leave it out")
    try:
        value = json.loads(text)
        version = value["version"]
        rules = json.dumps(value["rules"], ensure_ascii=False, separators=(",", ":"))
        pattern, special_tokens = value["rules"]["pattern"], value["rules"]["special_tokens"]
        sha256 = value["rules_sha256"]
        numbers = [
            value.get(name) for name in ("num_distinct_pretokens", "num_pretokens", "num_bytes", "skipped_lines")
        ]
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise damaged from error
    if version != VERSION:
        raise CountFileError(f"{path}: its description has version {version}, and this program reads {VERSION}")
    if hashlib.sha256(rules.encode()).hexdigest() != sha256:
        raise damaged
    if any(number is not None and not (type(number) is int and 0 <= number < 2**64) for number in numbers):
        raise damaged
    num_distinct, num_pretokens, num_bytes, skipped_lines = numbers
    return Metadata(rules, pattern, special_tokens, num_distinct, num_pretokens, num_bytes, skipped_lines or 0)


class _Ticker:
    """Shows progress in pretokens, at most ten times a second."""

    def __init__(self, show: Show, total: int):
        self._show, self._total, self._done, self._last = show, total, 0, 0.0

    def add(self, number: int) -> None:
        self._done += number
        if self._show is not None and time.monotonic() - self._last >= 0.1:
            self._last = time.monotonic()
            self._show("sum", self._done, self._total)
