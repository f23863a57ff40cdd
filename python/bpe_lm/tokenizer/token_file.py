"""Token files: their description, the check when they are opened, and their checksums."""

import json
import threading
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from bpe_lm import _core, checks
from bpe_lm.files import StrPath
from bpe_lm.progress import Progress, shown

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt


class Identified(Protocol):
    """An object with the identity of a tokenizer, such as a `Tokenizer`."""

    @property
    def sha256(self) -> str:
        """The hash of everything that ids depend on."""


@dataclass(frozen=True)
class Manifest:
    """The description of a token file: the content of `OUT.json`.

    dtype, count: The type of the ids, "uint16" or "uint32", and their number.
    data_offset: The bytes in the file before the first id.
    tokenizer, vocab_size: `Tokenizer.sha256` and `Tokenizer.vocab_size` of the tokenizer that wrote the file.
    special, separator: The arguments of `Tokenizer.encode_file`.
    text_bytes: The size of the texts in bytes.
    skipped_lines: The number of JSON lines without a text, which were skipped.
    sources: The files that were encoded.
    block_bytes, crc32: A checksum for each `block_bytes` of ids, and for the rest, as `zlib.crc32` computes it, in
        hexadecimal.
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
        """Read the text of an `OUT.json`."""
        fields = json.loads(text)
        return cls(**{name: fields[name] for name in cls.__dataclass_fields__})

    @property
    def bytes_per_token(self) -> float:
        """The mean number of bytes of text per token. Added separators count as tokens."""
        return self.text_bytes / max(self.count, 1)


def open_tokens(
    path: StrPath, *, tokenizer: "Identified | None" = None, dtype: str | None = None
) -> "npt.NDArray[np.unsignedinteger[Any]]":
    """Map the ids of a token file into memory, read-only, after a check of `OUT.json` and of the file's length.

    Args:
        path: A file that `Tokenizer.encode_file` wrote.
        tokenizer: The tokenizer that must have written it; None accepts any.
        dtype: The type that the ids must have, "uint16" or "uint32"; None accepts both.

    Returns:
        Shape (count,). A page of the file is read when it is used.

    Raises:
        TokenFileError: The file is incomplete, or has another type or another tokenizer.
        FileError: The file could not be read.
    """
    import numpy as np

    path = checks.path("path", path)
    dtype = None if dtype is None else checks.string("dtype", dtype)
    manifest = Manifest.from_json(_core.open_token_file(path, dtype, _sha256(tokenizer)))
    if manifest.count == 0:
        return np.empty(0, dtype=manifest.dtype)
    kind = np.dtype(manifest.dtype).newbyteorder("<")
    return np.memmap(path, dtype=kind, mode="r", offset=manifest.data_offset, shape=(manifest.count,))


def verify(path: StrPath, *, tokenizer: "Identified | None" = None, progress: Progress = False) -> Manifest:
    """Read a token file and compare its ids with its checksums.

    Raises:
        TokenFileError: The file is damaged (the message says where), incomplete, or of another tokenizer.
        FileError: The file could not be read.
    """
    path = checks.path("path", path)
    with shown(progress) as callback:
        return Manifest.from_json(_core.verify_token_file(path, _sha256(tokenizer), callback))


class Verification:
    """A thread that compares the checksums of token files while other work goes on."""

    def __init__(self, paths: Iterable[StrPath]):
        self._paths, self._is_cancelled = list(paths), threading.Event()
        self._error: Exception | None = None
        self._thread = threading.Thread(target=self._run, name="verify token files")
        self._thread.start()

    def finish(self) -> None:
        """Wait until all files are compared.

        Raises:
            TokenFileError: A file is damaged; the message says where.
            FileError: A file could not be read.
        """
        self._thread.join()
        if self._error is not None:
            raise self._error

    def cancel(self) -> None:
        """Stop the thread within a tenth of a second, and ignore its result."""
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
