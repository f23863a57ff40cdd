"""Files of token ids: read them only as what they are."""

import json
import os
import threading
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias

from bpe_lm import _core, checks
from bpe_lm.progress import Callback, shown

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

StrPath: TypeAlias = str | os.PathLike[str]


class Identified(Protocol):
    """Something with the identity of a tokenizer: a `Tokenizer`."""

    @property
    def sha256(self) -> str:
        """The tokenizer's identity."""


@dataclass(frozen=True)
class Manifest:
    """What a token file holds: the content of `OUT.json`.

    `tokenizer` is `Tokenizer.sha256`. Ids begin `data_offset` bytes into the file. `crc32` has a checksum for each
    `block_bytes` of ids, and of the rest, as `zlib.crc32` gives it, in hexadecimal. `separator` and `special` are what
    `Tokenizer.encode_file` was told.
    """

    dtype: str
    count: int
    data_offset: int
    tokenizer: str
    vocab_size: int
    special: str | None
    separator: str | None
    text_bytes: int
    skipped_lines: int
    sources: list[dict[str, Any]]
    block_bytes: int
    crc32: list[str]

    @classmethod
    def from_json(cls, text: str) -> "Manifest":
        """Read the text of `OUT.json`."""
        fields = json.loads(text)
        return cls(**{name: fields[name] for name in cls.__dataclass_fields__})

    @property
    def bytes_per_token(self) -> float:
        """Of the texts; separators that were added count as tokens."""
        return self.text_bytes / max(self.count, 1)


def open_tokens(
    path: StrPath, *, tokenizer: "Identified | None" = None, dtype: str | None = None
) -> "npt.NDArray[np.unsignedinteger[Any]]":
    """Map the ids of a token file, read-only, after a look at `OUT.json` and at the file's length.

    Args:
        path: What `Tokenizer.encode_file` wrote.
        tokenizer: The one that it must have been made by, if it matters.
        dtype: The one that it must have ("uint16", "uint32"), if it matters.

    Returns:
        Shape (count,). Pages are read when they are needed.

    Raises:
        TokenFileError: It is not whole, was cut off, or has another type or another tokenizer.
        FileError: It could not be read.
    """
    import numpy as np

    path = checks.path("path", path)
    dtype = None if dtype is None else checks.string("dtype", dtype)
    manifest = Manifest.from_json(_core.open_token_file(path, dtype, _sha256(tokenizer)))
    if manifest.count == 0:
        return np.empty(0, dtype=manifest.dtype)
    kind = np.dtype(manifest.dtype).newbyteorder("<")
    return np.memmap(path, dtype=kind, mode="r", offset=manifest.data_offset, shape=(manifest.count,))


def verify(path: StrPath, *, tokenizer: "Identified | None" = None, progress: bool | Callback = False) -> Manifest:
    """Read a token file and compare its checksums.

    Raises:
        TokenFileError: It is damaged (the message says where), not whole, or of another tokenizer.
        FileError: It could not be read.
    """
    path = checks.path("path", path)
    with shown(progress) as callback:
        return Manifest.from_json(_core.verify_token_file(path, _sha256(tokenizer), callback))


class Verification:
    """Compare the checksums of token files in a thread, beside other work; `finish` waits for it."""

    def __init__(self, paths: Iterable[StrPath]):
        self._paths, self._is_cancelled = list(paths), threading.Event()
        self._error: Exception | None = None
        self._thread = threading.Thread(target=self._run, name="verify token files")
        self._thread.start()

    def finish(self) -> None:
        """Wait for the end.

        Raises:
            TokenFileError: A file is damaged, and the message says where.
            FileError: One could not be read.
        """
        self._thread.join()
        if self._error is not None:
            raise self._error

    def cancel(self) -> None:
        """End it within a tenth of a second, whatever was found."""
        self._is_cancelled.set()
        self._thread.join()

    def _run(self) -> None:
        try:
            for path in self._paths:
                verify(path, progress=self._look)
        except Exception as error:
            self._error = error

    def _look(self, stage: str, done: int, total: int | None) -> None:
        if self._is_cancelled.is_set():
            raise InterruptedError


def _sha256(tokenizer: "Identified | None") -> str | None:
    if tokenizer is None:
        return None
    sha256 = getattr(tokenizer, "sha256", None)
    if not isinstance(sha256, str):
        raise checks.wrong_type("tokenizer", tokenizer, "a Tokenizer, such as Tokenizer.load(path)")
    return sha256
