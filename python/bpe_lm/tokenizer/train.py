"""Train byte-level BPE tokenizers."""

import json
import os
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, TypeAlias, TypedDict, cast

from bpe_lm import _core, checks
from bpe_lm.errors import ArgumentTypeError, CorpusError, OptionError, VocabTooLarge, VocabTooSmall
from bpe_lm.progress import shown

StrPath: TypeAlias = str | os.PathLike[str]
Corpus: TypeAlias = StrPath | Sequence[StrPath] | Iterable[str | bytes]
Vocab: TypeAlias = dict[int, bytes]
Merges: TypeAlias = list[tuple[bytes, bytes]]
Progress: TypeAlias = bool | Callable[[str, int, int | None], object]


_GREATEST = 2**63 - 1


class Seconds(TypedDict):
    """Wall seconds of each stage."""

    count: float
    merge: float


class LongPretoken(TypedDict):
    """One of the longest pretokens of a corpus: its length in bytes, its count, and its first 100 bytes.

    The bytes are written in GPT-2's alphabet, as tokens are in vocab.json.
    """

    length: int
    count: int
    start: str


class Training(TypedDict):
    """What training saw on its way: the content of training.json.

    `merge_counts` has the count of each merge's pair when it was merged; pairs may overlap, `aaa` has `aa` twice.
    `token_uses` says how often each byte and each merge occurs, by id, in the corpus when all merges are applied;
    special tokens are not counted and have the ids behind these. `num_bytes` is the corpus with its special tokens,
    `skipped_lines` the lines of JSON without a text, `longest_pretokens` has the 20 longest.
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


def train_bpe(
    input_path: Corpus,
    vocab_size: int,
    special_tokens: Sequence[str],
    *,
    tie_break: str = "bytes",
    threads: int | None = None,
    progress: Progress = False,
    pattern: str = "gpt2",
    min_frequency: int = 1,
    max_token_length: int | None = None,
    input_format: str = "auto",
    json_field: str = "text",
    bad_lines: str = "error",
) -> tuple[Vocab, Merges]:
    """Learn a vocabulary: repeatedly merge the most frequent pair of adjacent tokens inside pretokens.

    The result depends on the texts alone, not on threads, the order of files, or how they are read. Ids 0 to 255 are
    the byte values, merges follow in order, special tokens come last. When pairs run out, the vocabulary is smaller.

    Args:
        input_path: A path, a list or tuple of paths, or any other iterable of texts (str or bytes; use `iter(texts)`
            for a list of them). Each file and each item is one text of its own; of JSON lines, each line's. Files may
            be compressed (gzip, zstd) or pipes, and `"-"` is standard input.
        vocab_size: The number of tokens in the end, with the 256 bytes and the special tokens.
        special_tokens: They stand for themselves, never take part in merges and never join their neighbours. Where
            several match, the leftmost wins, then the longest.
        tie_break: Of pairs with the same count, `"bytes"` merges the greater pair of byte strings (the course's rule),
            `"hf"` the smaller pair of ids with bytes in the order of GPT-2's alphabet (Hugging Face's).
        threads: Worker threads; one a core by default.
        progress: True shows a bar (in a terminal or a notebook) or a line now and then (in a pipe) on stderr; a
            callable gets the stage ("count" in bytes, then "merge" in merges), what is done, and the total where it is
            known, at most ten times a second and once at the end of each stage.
        pattern: `"gpt2"`, `"cl100k"` (GPT-4's), `"o200k"` (GPT-4o's), or a regular expression for `fancy-regex`,
            matched on bytes. A stretch that it leaves unmatched is one pretoken. A regular expression other than those
            three sees each text whole, so memory grows with the longest. Where its engine gives up (a million steps
            back, as Llama 3's takes on as many spaces), the text is cut after 64 KiB or less, always in the same place.
        min_frequency: Learning stops at the first pair that occurs less often.
        max_token_length: In bytes; a pair that would make a longer token is never merged. Two merges never make the
            same bytes, with or without it.
        input_format: `"text"`, `"jsonl"`, or `"auto"`: files named .jsonl, .ndjson or .json, perhaps with .gz, .zst or
            .zstd behind it, are JSON lines, all others text. With `"auto"` first bytes that do not fit are an error:
            JSON under another name than .txt, one JSON array, Parquet, xz, UTF-16, ...; many NUL bytes are a warning.
            A byte order mark in text is text; before a line of JSON it is nothing.
        json_field: The field of a JSON line's object that has the text. `"meta.text"` is the field of that name, or
            else the field `text` of the object in `meta`.
        bad_lines: What becomes of a line that is not such an object: an `"error"` with the file and the line, or
            `"skip"`; skipped lines are counted (see `train_and_record`). Empty lines are no lines.

    Returns:
        The vocabulary, id to bytes, and the merges in order.

    Raises:
        CorpusError: A file is missing, empty, damaged, no text or not a file; a bad line; a str with a lone surrogate.
        OptionError: VocabTooSmall, SpecialTokenError, PatternError, ... tell which.
        ArgumentTypeError: An argument is of another type.
        LimitExceeded: Beyond 2**63 bytes or 2**32 places to merge at.
    """
    vocab, merges, _ = _train(
        input_path,
        vocab_size,
        special_tokens,
        tie_break=tie_break,
        threads=threads,
        progress=progress,
        pattern=pattern,
        min_frequency=min_frequency,
        max_token_length=max_token_length,
        input_format=input_format,
        json_field=json_field,
        bad_lines=bad_lines,
    )
    return vocab, merges


def train_and_record(
    input_path: Corpus,
    vocab_size: int,
    special_tokens: Sequence[str],
    *,
    tie_break: str = "bytes",
    threads: int | None = None,
    progress: Progress = False,
    pattern: str = "gpt2",
    min_frequency: int = 1,
    max_token_length: int | None = None,
    input_format: str = "auto",
    json_field: str = "text",
    bad_lines: str = "error",
) -> tuple[Vocab, Merges, Training]:
    """As `train_bpe`, and what training saw on its way, for `Tokenizer.save`.

    Raises:
        SpecialTokenError: Before any work: a special token is spelled as the files of `Tokenizer.save` spell another
            token of UTF-8 text, so that it could not be saved.
    """
    _core.check_special_tokens(checks.strings("special_tokens", special_tokens))
    return _train(
        input_path,
        vocab_size,
        special_tokens,
        tie_break=tie_break,
        threads=threads,
        progress=progress,
        pattern=pattern,
        min_frequency=min_frequency,
        max_token_length=max_token_length,
        input_format=input_format,
        json_field=json_field,
        bad_lines=bad_lines,
    )


def _train(
    input_path: Corpus,
    vocab_size: int,
    special_tokens: Sequence[str],
    *,
    tie_break: str,
    threads: int | None,
    progress: Progress,
    pattern: str,
    min_frequency: int,
    max_token_length: int | None,
    input_format: str,
    json_field: str,
    bad_lines: str,
) -> tuple[Vocab, Merges, Training]:
    special_tokens = checks.strings("special_tokens", special_tokens)
    vocab_size = checks.integer("vocab_size", vocab_size)
    if vocab_size < 0:
        raise VocabTooSmall(f"vocab size {vocab_size} is negative; it counts 256 bytes, merges and special tokens")
    if vocab_size > _GREATEST:
        raise VocabTooLarge(f"vocab size {vocab_size} is greater than any vocabulary can be")
    _check_limit("min_frequency", min_frequency)
    for name, limit in (("threads", threads), ("max_token_length", max_token_length)):
        if limit is not None:
            _check_limit(name, limit)
    for name, text in (
        ("tie_break", tie_break),
        ("pattern", pattern),
        ("input_format", input_format),
        ("json_field", json_field),
        ("bad_lines", bad_lines),
    ):
        checks.string(name, text)
    source = _source(input_path)
    if not isinstance(source, list) and (input_format, json_field, bad_lines) != ("auto", "text", "error"):
        raise OptionError("input_format, json_field and bad_lines are for files; an iterable's items are texts already")
    with shown(progress) as callback:
        vocab, merges, training = _core.train(
            source,
            vocab_size,
            special_tokens,
            tie_break=tie_break,
            threads=threads,
            progress=callback,
            pattern=pattern,
            min_frequency=min_frequency,
            max_token_length=max_token_length,
            input_format=input_format,
            json_field=json_field,
            bad_lines=bad_lines,
        )
    return vocab, merges, cast(Training, json.loads(training))


def _check_limit(name: str, limit: int) -> None:
    if not 1 <= checks.integer(name, limit) <= _GREATEST:
        raise OptionError(f"{name} = {limit} is not possible: it must be at least 1, and at most {_GREATEST}")


def _source(corpus: Any) -> Any:
    if isinstance(corpus, bytes | bytearray):
        raise ArgumentTypeError("the corpus is bytes; give a path, or iter([text]) for a text")
    if isinstance(corpus, str | os.PathLike):
        return [checks.path("the corpus", corpus)]
    if not isinstance(corpus, list | tuple):
        if not isinstance(corpus, Iterable):
            raise checks.wrong_type("the corpus", corpus, "a path, a list of paths, or an iterable of texts")
        return iter(corpus)
    for path in corpus:
        if not isinstance(path, str | os.PathLike):
            raise ArgumentTypeError(f"a list is of paths, but has a {type(path).__name__}; give iter(texts) for texts")
        if " " in str(path) and not os.path.lexists(path):
            raise CorpusError(f"{str(path)[:200]!r} does not exist; a list is of paths, give iter(texts) for texts")
    return list(corpus)


def load_training(path: StrPath) -> Training:
    """Read a training.json, or the one in a folder.

    Raises:
        FormatError: Not such a file; the message says where.
        FileError: It could not be read.
    """
    path = Path(checks.path("path", path))
    return cast(Training, json.loads(_core.load_training(path / "training.json" if path.is_dir() else path)))
