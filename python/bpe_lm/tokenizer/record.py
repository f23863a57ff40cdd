"""The record of a tokenizer's training: the content of training.json."""

import json
from pathlib import Path
from typing import NotRequired, TypedDict, cast

from bpe_lm import _core, checks
from bpe_lm.files import StrPath


class Seconds(TypedDict):
    """Wall seconds of each stage of training."""

    count: float
    merge: float


class LongPretoken(TypedDict):
    """A pretoken among the longest of a corpus: its length in bytes, its count, and its first 100 bytes.

    The bytes are written in GPT-2's alphabet, as tokens are in vocab.json.
    """

    length: int
    count: int
    start: str


class Init(TypedDict):
    """The tokenizer that was extended: its hash, and the numbers of its merges and of its ids."""

    sha256: str
    num_merges: int
    num_ids: int


class Training(TypedDict):
    """The record of a training: its options, the size of its corpus, and the count of each merge and each token.

    version: The version of this package that trained.
    pattern, tie_break, min_frequency, max_token_length: The options of training.
    num_bytes: The size of the corpus in bytes, special tokens included.
    skipped_lines: The number of JSON lines without a text, which were skipped.
    num_pretokens, num_distinct_pretokens: The number of pretokens in the corpus, and of different ones among them.
    longest_pretokens: The 20 longest pretokens.
    merge_counts: The count of each merge's pair at the moment when it was merged. Overlapping pairs all count:
        `aaa` has `aa` twice.
    token_uses: How often each token occurs in the corpus after all merges, by id: the 256 bytes, then the merges.
        Special tokens have later ids and are not counted.
    init: Only in the record of a tokenizer that was extended. Then `merge_counts` has the new merges, and `token_uses`
        all ids from 0 to the last new merge; the special tokens among them have 0.
    """

    version: str
    pattern: str
    tie_break: str
    min_frequency: int
    max_token_length: int | None
    num_bytes: int
    skipped_lines: int
    num_pretokens: int
    num_distinct_pretokens: int
    seconds: Seconds
    longest_pretokens: list[LongPretoken]
    merge_counts: list[int]
    token_uses: list[int]
    init: NotRequired[Init]


def load_training(path: StrPath) -> Training:
    """Read a training.json, or the training.json in a folder.

    Raises:
        FormatError: The file is not a training.json; the message says where.
        FileError: The file could not be read.
    """
    path = Path(checks.path("path", path))
    return cast(Training, json.loads(_core.load_training(path / "training.json" if path.is_dir() else path)))


def bytes_per_token(vocab: dict[int, bytes], training: Training) -> float:
    """Return the mean number of bytes per token of the training corpus. Special tokens are not counted."""
    uses = training["token_uses"]
    return sum(len(vocab[i]) * n for i, n in enumerate(uses) if n) / max(sum(uses), 1)
