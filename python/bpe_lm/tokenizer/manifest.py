"""The description of a token file."""

import json
from dataclasses import dataclass
from typing import Any, Protocol

from bpe_lm import _core, checks
from bpe_lm.files import StrPath


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
    shard: The `index` of the part that was encoded, from 0, and the number of all parts, `of`; None for all of them.
    index: The number of `documents` in `OUT.idx` and its checksum, or None if there is no index.
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
    shard: dict[str, int] | None
    index: dict[str, Any] | None
    block_bytes: int
    crc32: list[str]

    @classmethod
    def from_json(cls, text: str) -> "Manifest":
        """Read the text of an `OUT.json`."""
        fields = {"shard": None, "index": None} | json.loads(text)
        return cls(**{name: fields[name] for name in cls.__dataclass_fields__})

    @property
    def documents(self) -> int | None:
        """The number of documents, or None if there is no index."""
        return None if self.index is None else int(self.index["documents"])

    @property
    def bytes_per_token(self) -> float:
        """The mean number of bytes of text per token. Added separators count as tokens."""
        return self.text_bytes / max(self.count, 1)


def read_manifest(path: StrPath, *, tokenizer: "Identified | None" = None, dtype: str | None = None) -> Manifest:
    """Read `OUT.json` of a token file, and check the length of the file.

    Raises:
        TokenFileError: The file is incomplete, or has another type or another tokenizer.
        FileError: The file could not be read.
    """
    return Manifest.from_json(_core.open_token_file(path, dtype, sha256_of(tokenizer)))


def sha256_of(tokenizer: "Identified | None") -> str | None:
    """Return the hash of a tokenizer.

    Raises:
        ArgumentTypeError: It is not a tokenizer.
    """
    if tokenizer is None:
        return None
    sha256 = getattr(tokenizer, "sha256", None)
    if not isinstance(sha256, str):
        raise checks.wrong_type("tokenizer", tokenizer, "a Tokenizer, such as Tokenizer.load(path)")
    return sha256
