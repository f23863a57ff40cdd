"""Token files: the check when they are opened, and their checksums."""

import threading
from collections.abc import Iterable
from typing import TYPE_CHECKING

from bpe_lm import _core, checks
from bpe_lm.files import StrPath
from bpe_lm.progress import Progress, shown
from bpe_lm.tokenizer.joined import JoinedManifest, manifest_of
from bpe_lm.tokenizer.manifest import Identified, Manifest, sha256_of

if TYPE_CHECKING:
    from bpe_lm.tokenizer.token_array import JoinedTokens, TokenArray


def open_tokens(
    path: StrPath, *, tokenizer: "Identified | None" = None, dtype: str | None = None
) -> "TokenArray | JoinedTokens":
    """Map the ids of a token file into memory, read-only, after a check of `OUT.json` and of the file's length.

    `open_tokens(path).documents[i]` has the ids of a document, and `open_tokens(path).documents.starts` the places at
    which documents begin.

    Args:
        path: A file that `Tokenizer.encode_file` wrote, or the name of files that `join_tokens` has joined.
        tokenizer: The tokenizer that must have written it; None accepts any.
        dtype: The type that the ids must have, "uint16" or "uint32"; None accepts both.

    Returns:
        Shape (count,). A page of the file is read when it is used. Joined files are read like one array, and slices
        that lie in one of the files are views of it.

    Raises:
        TokenFileError: The file is incomplete, or has another type or another tokenizer; or a joined file was moved or
            changed.
        FileError: The file could not be read.
    """
    from bpe_lm.tokenizer.token_array import JoinedTokens, open_array

    path = checks.path("path", path)
    dtype = None if dtype is None else checks.string("dtype", dtype)
    manifest = manifest_of(path, tokenizer=tokenizer, dtype=dtype)
    if isinstance(manifest, JoinedManifest):
        parts = [(part.path, part.manifest) for part in manifest.parts]
        arrays = [open_array(file, part.dtype, part.data_offset, part.count) for file, part in parts]
        return JoinedTokens(path, arrays, [file for file, _ in parts])
    return open_array(path, manifest.dtype, manifest.data_offset, manifest.count)


def verify(path: StrPath, *, tokenizer: "Identified | None" = None, progress: Progress = False) -> Manifest:
    """Read a token file and its index of documents, and compare them with their checksums.

    Raises:
        TokenFileError: The file is damaged (the message says where), incomplete, or of another tokenizer.
        FileError: The file could not be read.
    """
    path = checks.path("path", path)
    manifest = manifest_of(path, tokenizer=tokenizer)
    paths = [part.path for part in manifest.parts] if isinstance(manifest, JoinedManifest) else [path]
    for file in paths:
        with shown(progress) as callback:
            _core.verify_token_file(file, sha256_of(tokenizer), callback)
    return manifest


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
