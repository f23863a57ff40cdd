"""Token files for other programs: the ids by a hard link, and the index files that those programs read beside them.

The layouts are those of Megatron-LM (core/datasets/indexed_dataset.py), datatrove (pipeline/tokens/tokenizer.py) and
OLMo-core (data/utils.py). A document there ends with its separator, as here. Positions are handled a million at a time,
so memory does not grow with the file.
"""

import gzip
import os
import struct
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from bpe_lm import checks
from bpe_lm.errors import FileError, OptionError, OutputExists, TokenFileError
from bpe_lm.files import StrPath, check_file_target, sync
from bpe_lm.tokenizer.joined import JoinedManifest, manifest_of
from bpe_lm.tokenizer.manifest import Manifest
from bpe_lm.tokenizer.token_file import open_tokens

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

_BLOCK = 1 << 20


def export_tokens(path: StrPath, out: StrPath, to: str, *, copy: bool = False, force: bool = False) -> list[Path]:
    """Write the files of another program for a token file, and return their paths.

    Args:
        path: A token file with an index of its documents, or joined files.
        out: The beginning of the names: "megatron" is `OUT.bin` and `OUT.idx`, "datatrove" is `OUT.ds`, `OUT.ds.index`
            and `OUT.ds.metadata`, "olmo" is `OUT.npy` (without numpy's header) and `OUT.csv.gz`.
        to: "megatron", "datatrove" or "olmo".
        copy: Copy the ids. Without it the file of ids is a hard link to `path`, which takes no space.
        force: Replace files.

    Raises:
        OptionError: There is no such program, or it cannot read the ids.
        TokenFileError: The file has no ids or no index, begins within a document (a shard), or cannot be linked to
            because it has numpy's header or consists of several files; or a document is too long for the program.
        OutputExists: A file exists.
        FileError: A file could not be read, linked or written.
    """
    if checks.string("to", to) not in _FORMATS:
        raise OptionError(f"to is {to!r}, and must be one of {', '.join(_FORMATS)}")
    path = checks.path("path", path)
    ids_ending, index_endings, write = _FORMATS[to]
    stem = os.fspath(checks.path("out", out)).removesuffix(ids_ending)
    ids, others = Path(stem + ids_ending), [Path(stem + ending) for ending in index_endings]
    manifest = manifest_of(path)
    _check_can_be_read(path, manifest, copy)
    is_there = not copy and ids.exists() and os.path.samefile(ids, path)
    for file in ([] if is_there else [ids]) + others:
        check_file_target(file)
        if os.path.lexists(file) and not force:
            raise OutputExists(f"{file} exists already; name another path, or give --force (force=True)")
    ids.parent.mkdir(parents=True, exist_ok=True)
    with ExitStack() as stack:
        # They get their names in reverse: the ids first, and then what describes them.
        files = [stack.enter_context(_written(file)) for file in others]
        write(_Source(path, manifest), *files)
        if copy:
            copied = stack.enter_context(_written(ids))
            tokens = open_tokens(path)
            for start in range(0, len(tokens), 16 * _BLOCK):
                copied.write(tokens[start : start + 16 * _BLOCK].tobytes())
        elif not is_there:
            _link(path, ids)
    return [ids, *others]


class _Source:
    """A token file, and the ends of its documents in blocks."""

    def __init__(self, path: StrPath, manifest: Manifest):
        self.path, self.manifest = path, manifest
        self.starts = open_tokens(path).documents.starts
        self.documents = len(self.starts)
        if not self.documents or int(self.starts[0]) != 0:
            raise TokenFileError(f"{path} is a shard that begins within a document; export all shards joined")
        self.item = 2 if manifest.dtype == "uint16" else 4

    def bounds(self) -> Iterator[tuple["npt.NDArray[np.int64]", "npt.NDArray[np.int64]"]]:
        """Yield the starts and the ends of documents, in blocks."""
        import numpy as np

        for first in range(0, self.documents, _BLOCK):
            starts = np.asarray(self.starts[first : first + _BLOCK])
            last = first + len(starts)
            end = self.starts[last] if last < self.documents else self.manifest.count
            yield starts, np.append(starts[1:], end)


def _check_can_be_read(path: StrPath, manifest: Manifest, copy: bool) -> None:
    if manifest.index is None:
        raise TokenFileError(f"{path} has no index of its documents; encode it again without --no-index (index=True)")
    if not manifest.count:
        raise TokenFileError(f"{path} has no ids, and other programs cannot map an empty file; leave it out")
    if copy:
        return
    if isinstance(manifest, JoinedManifest):
        raise TokenFileError(f"{path} consists of several files, to which no link leads; give --copy (copy=True)")
    if manifest.data_offset:
        raise TokenFileError(
            f"{path} begins with numpy's header, which the other program takes for ids; give --copy (copy=True)"
        )


def _megatron(source: _Source, index: IO[bytes]) -> None:
    import numpy as np

    if source.item == 4 and source.manifest.vocab_size > 2**31:
        raise OptionError(f"{source.path} has ids beyond 31 bits, and Megatron reads them as int32")
    code = {2: 8, 4: 4}[source.item]
    index.write(b"MMIDIDX\0\0" + struct.pack("<QBQQ", 1, code, source.documents, source.documents + 1))
    for starts, ends in source.bounds():
        lengths = ends - starts
        if lengths.max() >= 2**31:
            raise TokenFileError(
                f"{source.path} has a document of {lengths.max():,} tokens, and Megatron counts to 2^31"
            )
        index.write(lengths.astype("<i4").tobytes())
    for starts, _ in source.bounds():
        index.write((starts * source.item).astype("<i8").tobytes())
    for first in range(0, source.documents + 1, _BLOCK):
        index.write(np.arange(first, min(first + _BLOCK, source.documents + 1), dtype="<i8").tobytes())


def _datatrove(source: _Source, index: IO[bytes], metadata: IO[bytes]) -> None:
    for _, ends in source.bounds():
        index.write(ends.astype("<u8").tobytes())
    metadata.write(f"bpe_lm-{source.manifest.tokenizer}|{source.item}\n{source.manifest.count}\n".encode())


def _olmo(source: _Source, index: IO[bytes]) -> None:
    # Without the time, the same documents make the same bytes.
    with gzip.GzipFile(fileobj=index, mode="wb", filename="", mtime=0) as file:
        for starts, ends in source.bounds():
            file.write("".join(f"{a},{b}\n" for a, b in zip(starts.tolist(), ends.tolist(), strict=True)).encode())


_FORMATS: dict[str, tuple[str, tuple[str, ...], Callable[..., Any]]] = {
    "megatron": (".bin", (".idx",), _megatron),
    "datatrove": (".ds", (".ds.index", ".ds.metadata"), _datatrove),
    "olmo": (".npy", (".csv.gz",), _olmo),
}

PROGRAMS = tuple(_FORMATS)
"""The programs for which token files can be exported."""


@contextmanager
def _written(path: Path) -> Iterator[IO[bytes]]:
    """Open a file under another name, and give it its own when it is written and on the disk."""
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    try:
        with partial.open("wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        partial.replace(path)
        sync(path.parent)
    except OSError as error:
        if isinstance(error, FileError):
            raise
        raise FileError(f"could not write {path}: {error.strerror}") from error
    finally:
        partial.unlink(missing_ok=True)


def _link(path: StrPath, ids: Path) -> None:
    partial = ids.with_name(f".{ids.name}.{os.getpid()}.partial")
    try:
        os.link(os.path.realpath(path), partial)
        partial.replace(ids)
    except OSError as error:
        raise FileError(
            f"could not make {ids} a hard link to {os.fspath(path)}: {error.strerror}; "
            "name a path on the same disk, or give --copy (copy=True)"
        ) from error
    finally:
        partial.unlink(missing_ok=True)
