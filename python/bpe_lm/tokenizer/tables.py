"""Texts in a column of a table: Parquet, Arrow files and streams, and objects that hand out an Arrow stream.

An Arrow array of texts is a buffer of their bytes and a buffer of offsets. Both go to the core as they are, and no text
becomes an object of Python.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import IO, TYPE_CHECKING, Any

import numpy as np

from bpe_lm.errors import BpeLmError, CorpusError, MissingExtra

if TYPE_CHECKING:
    import pyarrow

PIECE_BYTES = 512 << 10
"""The size of the texts that are put at once, as of a chunk of the core."""
BATCH_BYTES = 4 << 20
"""The size of a batch of rows of Parquet."""
BATCH_ROWS = 1024
"""The most rows of a batch. The size of texts that a dictionary holds is not known before they are read."""
BUFFER_BYTES = 1 << 20
"""The size of a read of Parquet. A column of a row group, which may be large, is never held whole."""


@dataclass(frozen=True)
class Column:
    """The column that has the texts.

    format: parquet or arrow.
    name: The column; `meta.text` is the column of that name, or else the field `text` of the column `meta`.
    skips_nulls: Whether rows without a text are skipped. If not, they are an error.
    """

    format: str
    name: str
    skips_nulls: bool


@dataclass(frozen=True)
class Part:
    """Some rows.

    array: Their column.
    first_row: The number of the first row, from 0.
    input_bytes: Their share of the file, in bytes.
    place: The name of their row group in errors, or nothing.
    """

    array: pyarrow.Array
    first_row: int
    input_bytes: int
    place: str = ""


def check_packages() -> None:
    """Import pyarrow.

    Raises:
        MissingExtra: It is not installed.
    """
    try:
        import pyarrow.parquet  # noqa: F401
    except ImportError as error:
        raise MissingExtra(f"tables need pyarrow ({error}): pip install '.[parquet]' in a clone of bpe_lm") from error


def check_column(file: IO[bytes], column: Column, name: str) -> None:
    """Check that a file is a table with a column of texts.

    Raises:
        CorpusError: It is not.
    """
    if column.format == "parquet":
        _field_path(_open_parquet(file, name).schema_arrow, column, name)
    else:
        _field_path(_open_arrow(file, name)[0].schema, column, name)


def put_rows(sink: Any, file: IO[bytes], column: Column, name: str, first_row: int) -> bool:
    """Put the texts of a file's rows into a sink. Returns False if nobody reads any more.

    Raises:
        CorpusError: The file is damaged, has no such column, or a row has no text.
    """
    read = _of_parquet if column.format == "parquet" else _of_arrow
    return put_arrays(sink, read(file, column, name, first_row), column, name)


def put_arrays(sink: Any, parts: Iterator[Part], column: Column, name: str) -> bool:
    """Put the texts of arrays into a sink. Returns False if nobody reads any more.

    Raises:
        CorpusError: An array is damaged, or a row has no text.
    """
    import pyarrow

    row, place = 0, ""
    try:
        for part in parts:
            row, place = part.first_row, part.place
            for arguments in _pieces(part, column, name):
                if not sink.put_rows(*arguments):
                    return False
            row += len(part.array)
    except (pyarrow.ArrowException, ValueError, OSError) as error:
        raise _damaged(name, row, place, error) from error
    return True


def _damaged(name: str, row: int, place: str, error: Exception) -> Exception:
    """Return the error for a table that is damaged, or the error itself if it says more."""
    if isinstance(error, BpeLmError):
        return error
    return CorpusError(f"{name} is damaged at row {row}{place} or after it: {error}; fetch or make the file again")


def arrays_of(table: Any, column: Column, name: str) -> Iterator[Part]:
    """Return the column of an object with an Arrow stream, or the object itself if it is one column.

    Raises:
        CorpusError: It has no such column.
    """
    import pyarrow

    try:
        reader = pyarrow.RecordBatchReader.from_stream(table)
    except pyarrow.ArrowInvalid:
        array = pyarrow.chunked_array(table)
        _check_type(array.type, "it", name, [])
        return _numbered(iter(array.chunks))
    path = _field_path(reader.schema, column, name)
    return _numbered(_texts(batch, path) for batch in reader)


def _numbered(arrays: Iterator[pyarrow.Array]) -> Iterator[Part]:
    row = 0
    for array in arrays:
        yield Part(array, row, array.nbytes)
        row += len(array)


def _open_parquet(file: IO[bytes], name: str) -> Any:
    import pyarrow
    from pyarrow.parquet import ParquetFile

    try:
        return ParquetFile(file, buffer_size=BUFFER_BYTES, pre_buffer=False, page_checksum_verification=True)
    except (pyarrow.ArrowException, OSError) as error:
        raise CorpusError(f"{name} cannot be read as Parquet: {error}; rename it, or fetch or make it again") from error


def _of_parquet(file: IO[bytes], column: Column, name: str, first_row: int) -> Iterator[Part]:
    import pyarrow

    table = _open_parquet(file, name)
    path = _field_path(table.schema_arrow, column, name)
    file.seek(0, 2)
    size, end = file.tell(), 0
    for number in range(table.metadata.num_row_groups):
        group = table.metadata.row_group(number)
        row, end = end, end + group.num_rows
        if end <= first_row:
            continue
        leaves = [group.column(i) for i in range(group.num_columns)]
        texts = sum(leaf.total_uncompressed_size for leaf in leaves if leaf.path_in_schema == ".".join(path))
        rows = min(BATCH_ROWS, max(1, group.num_rows * BATCH_BYTES // max(texts, 1)))
        place = f" (row group {number})"
        try:
            for batch in table.iter_batches(rows, row_groups=[number], columns=[".".join(path)], use_threads=False):
                skipped = min(max(first_row - row, 0), batch.num_rows)
                array, start = _texts(batch, path).slice(skipped), row + skipped
                row += batch.num_rows
                share = [size * i // max(table.metadata.num_rows, 1) for i in (start, row)]
                yield Part(array, start, share[1] - share[0], place)
        except (pyarrow.ArrowException, OSError) as error:
            raise _damaged(name, row, place, error) from error


def _open_arrow(file: IO[bytes], name: str, options: Any = None) -> tuple[Any, bool]:
    """Return a reader, and whether the file has Arrow's file format."""
    import pyarrow
    from pyarrow import ipc

    file.seek(0)
    is_file = file.read(6) == b"ARROW1"
    file.seek(0)
    try:
        return (ipc.open_file if is_file else ipc.open_stream)(file, options=options), is_file
    except (pyarrow.ArrowException, OSError) as error:
        raise CorpusError(f"{name} cannot be read as Arrow: {error}; rename it, or fetch or make it again") from error


def _of_arrow(file: IO[bytes], column: Column, name: str, first_row: int) -> Iterator[Part]:
    from pyarrow import ipc

    schema = _open_arrow(file, name)[0].schema
    path = _field_path(schema, column, name)
    options = ipc.IpcReadOptions(included_fields=[schema.get_all_field_indices(path[0])[-1]])
    reader, is_file = _open_arrow(file, name, options)
    file_size, row, before = file.seek(0, 2), 0, 0
    file.seek(0)
    if not is_file:
        reader, _ = _open_arrow(file, name, options)
    batches = (reader.get_batch(i) for i in range(reader.num_record_batches)) if is_file else iter(reader)
    for number, batch in enumerate(batches, 1):
        skipped = min(max(first_row - row, 0), batch.num_rows)
        done = file_size * number // reader.num_record_batches if is_file else file.tell()
        if skipped < batch.num_rows:
            yield Part(_texts(batch, path).slice(skipped), row + skipped, done - before)
        row, before = row + batch.num_rows, done


def _field_path(schema: pyarrow.Schema, column: Column, name: str) -> list[str]:
    """Return the names of the column, and of the fields in it, that lead to the texts."""
    import pyarrow

    path = _find({field.name: field.type for field in schema}, column.name)
    described = [f"{field.name} ({field.type})" for field in schema]
    if path is None:
        raise CorpusError(
            f"{name} has no column {column.name!r} (--json-field, json_field); its columns: {', '.join(described)}"
        )
    kind: Any = schema.field(schema.get_all_field_indices(path[0])[-1]).type
    for part in path[1:]:
        kind = kind.field(part).type
    texts = [field.name for field in schema if _is_text(field.type) and not pyarrow.types.is_null(field.type)]
    _check_type(kind, f"column {column.name!r}", name, texts)
    return path


def _find(fields: dict[str, Any], name: str) -> list[str] | None:
    import pyarrow

    if name in fields:
        return [name]
    for at in reversed([i for i, character in enumerate(name) if character == "."]):
        kind = fields.get(name[:at])
        if kind is not None and pyarrow.types.is_struct(kind):
            rest = _find({kind.field(i).name: kind.field(i).type for i in range(kind.num_fields)}, name[at + 1 :])
            if rest is not None:
                return [name[:at], *rest]
    return None


def _check_type(kind: Any, what: str, name: str, texts: list[str]) -> None:
    if not _is_text(kind):
        remedy = f"name a column of texts (--json-field, json_field): {', '.join(texts) or 'there is none'}"
        raise CorpusError(f"{name}: {what} is of type {kind}, and texts are string or binary; {remedy}")


def _is_text(kind: Any) -> bool:
    from pyarrow import types

    if types.is_dictionary(kind):
        return _is_text(kind.value_type)
    are_texts = (
        types.is_string,
        types.is_large_string,
        types.is_string_view,
        types.is_binary,
        types.is_large_binary,
        types.is_binary_view,
        types.is_fixed_size_binary,
        types.is_null,
    )
    return any(is_it(kind) for is_it in are_texts)


def _texts(batch: pyarrow.RecordBatch, path: list[str]) -> pyarrow.Array:
    from pyarrow import compute

    array = batch.column(batch.schema.get_all_field_indices(path[0])[-1])
    if path[1:]:
        array.validate(full=True)
        array = compute.struct_field(array, path[1:])
    return array


def _pieces(part: Part, column: Column, name: str) -> Iterator[tuple[Any, Any, int, int, list[int], int]]:
    """Yield the arguments of `Sink.put_rows` for stretches of an array."""
    array = part.array
    if not len(array):
        return
    array.validate()
    is_null = array.is_null().to_numpy(zero_copy_only=False) if array.null_count else None
    if is_null is not None and not column.skips_nulls:
        row = part.first_row + int(is_null.argmax())
        raise CorpusError(
            f"{name}, row {row}{part.place}: the text is null; fill it in, or skip and count such rows "
            '(--bad-lines skip, bad_lines="skip")'
        )
    offsets, data = _buffers(array)
    begin, last = 0, len(array)
    while begin < last:
        # At least one row, and no more than fit.
        fitting = int(np.searchsorted(offsets, int(offsets[begin]) + PIECE_BYTES, "right")) - 1
        end = min(max(begin + 1, fitting), last)
        first, stop = int(offsets[begin]), int(offsets[end])
        if not 0 <= first <= stop <= len(data):
            raise ValueError("the offsets of the texts are not in order")
        nulls = [] if is_null is None else np.flatnonzero(is_null[begin:end]).tolist()
        share = part.input_bytes if end == last else 0
        borders = offsets[begin : end + 1]
        yield data[first:stop], borders.view(np.uint8), borders.itemsize, part.first_row + begin, nulls, share
        begin = end


def _buffers(array: pyarrow.Array) -> tuple[Any, Any]:
    """Return the offsets of texts and the bytes that they divide."""
    import pyarrow
    from pyarrow import types

    kind = array.type
    if types.is_null(kind):
        return np.zeros(len(array) + 1, np.int32), memoryview(b"")
    plain = (types.is_string, types.is_large_string, types.is_binary, types.is_large_binary)
    if not any(is_it(kind) for is_it in plain):
        array.validate(full=True)  # What is damaged must not reach a function that believes it.
        if types.is_dictionary(kind):
            return _buffers(array.dictionary_decode())
        array = array.cast(pyarrow.large_string() if types.is_string_view(kind) else pyarrow.large_binary())
    width = np.int64 if types.is_large_string(array.type) or types.is_large_binary(array.type) else np.int32
    _, offsets, data = array.buffers()
    found = np.frombuffer(offsets, width)[array.offset : array.offset + len(array) + 1]
    if len(found) != len(array) + 1:
        raise ValueError("the offsets of the texts are cut off")
    return found, memoryview(b"" if data is None else data).cast("B")
