"""Learn the vocabulary and the merges of a byte-level BPE tokenizer.

A small corpus is learned in some hundredths of a second, and importing `typing`, `json` and `pathlib` takes one or two.
So only what every call needs is imported here.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from bpe_lm import _core, checks
from bpe_lm.errors import OptionError, VocabTooLarge, VocabTooSmall
from bpe_lm.tokenizer.corpus import OF_FILES, checked_source
from bpe_lm.tokenizer.counts import Counts

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from bpe_lm.progress import Progress
    from bpe_lm.tokenizer.corpus import Corpus
    from bpe_lm.tokenizer.record import Training
    from bpe_lm.tokenizer.tokenizer import Tokenizer

Vocab = dict[int, bytes]
Merges = list[tuple[bytes, bytes]]

_GREATEST = 2**63 - 1


def train_bpe(
    input_path: Corpus | Counts,
    vocab_size: int,
    special_tokens: Sequence[str],
    *,
    tie_break: str = "bytes",
    threads: int | None = None,
    progress: Progress = False,
    pattern: str | None = None,
    min_frequency: int = 1,
    max_token_length: int | None = None,
    memory_limit: int | None = None,
    init: Tokenizer | None = None,
    input_format: str = "auto",
    json_field: str = "text",
    bad_lines: str = "error",
) -> tuple[Vocab, Merges]:
    """Learn a vocabulary: repeatedly merge the most frequent pair of adjacent tokens inside pretokens.

    The result depends only on the texts. Threads, the order of files and the way they are read do not matter. Ids 0 to
    255 are the byte values, the merges follow in order, and special tokens come last. If no pair is left to merge, the
    vocabulary is smaller than asked for. `Tokenizer.truncate` gives the result for a smaller `vocab_size`.

    Args:
        input_path: A path, a list or tuple of paths, any other iterable of texts (str or bytes; write `iter(texts)` for
            a list of texts), or an object with an Arrow stream, such as a table of pyarrow. Each file, each item, each
            line of a JSON lines file, and each row of a table (Parquet, Arrow) is a text of its own. Files may be
            compressed (gzip, zstd), pipes or addresses (`"s3://..."`), and `"-"` is standard input. `Counts` stand for
            the texts that were counted.
        vocab_size: The number of tokens, including the 256 bytes and the special tokens.
        special_tokens: Texts that are one token each. They take no part in merges, and text on either side of them is
            not merged together. Where several match, the leftmost wins, then the longest.
        tie_break: The pair to merge among pairs of the same count. `"bytes"` takes the greater pair of byte strings
            (the course's rule). `"hf"` takes the smaller pair of ids, where bytes have the order of GPT-2's alphabet
            (Hugging Face's rule).
        threads: The number of worker threads; one for each core by default.
        progress: True shows progress on stderr: bars in a terminal, lines in a notebook or a pipe. A function is called
            with the stage ("count" in bytes, then "merge" in merges), the amount that is done, and the total (or
            None), at most ten times a second and once at the end of each stage.
        pattern: By default `"gpt2"`, or that of `Counts`. Others are `"cl100k"` (GPT-4's), `"llama3"`, `"qwen2"`,
            `"qwen3.5"`, `"o200k"` (GPT-4o's), `"tekken"`, `"kimi_k2"`, `"deepseek_v3"`, or a regular expression for
            `fancy-regex`, matched on bytes. A stretch of text that it does not match is one pretoken. A regular
            expression of your own needs each text whole, so memory grows with the longest text. Where its engine gives
            up, after a million steps of backtracking (`[\\p{L}_]+|\\s+(?!\\S)|\\s+` does on a million spaces), the text
            is cut after at most 64 KiB, always at the same place.
        min_frequency: Learning stops at the first pair whose count is less than this.
        max_token_length: The greatest length of a token in bytes. A pair that would make a longer token is not merged.
            With or without a limit, no two merges make the same bytes.
        memory_limit: The most memory in bytes that the process may hold, with what it holds when the call begins.
            Counts that do not fit are sorted on the disk, in the folder for temporary files (`TMPDIR`). The result is
            the same. A stretch of text that cannot be cut is held whole, whatever the limit (docs/memory.md).
        init: A tokenizer to extend. Its ids and merges stay, special tokens included, and new merges are learned after
            them. Pretokens begin as it encodes them, with its pattern. Ids continue after its last id: new merges in
            order, then those of `special_tokens` that it lacks. `vocab_size` counts all ids. `Tokenizer.extended` puts
            the result together. A pair with the bytes of a token that no merge makes is never merged.
        input_format: `"text"`, `"jsonl"`, `"parquet"`, `"arrow"`, or `"auto"`, which takes files named .jsonl, .ndjson
            or .json (and these with .gz, .zst or .zstd after them) as JSON lines, files named .parquet, .arrow or
            .feather as tables, and all others as text. With `"auto"`, first bytes that do not
            fit are an error: JSON under another name than .txt, one JSON array, Parquet, xz, UTF-16, ...; many NUL
            bytes give a warning. A byte order mark is part of a text, and is ignored before a line of JSON.
        json_field: The field of a JSON line's object, or the column of a table, that has the text. `"meta.text"` is the
            field of that name, or otherwise the field `text` of the object in `meta`.
        bad_lines: What to do with a line, or a row of a table, that has no such text: `"error"` raises an error with
            the file and the line, and `"skip"` skips and counts it (see `train_and_record`). Empty lines are always
            skipped, and not counted.

    Returns:
        The vocabulary, from id to bytes, and the merges in order. Those of `init` come first.

    Raises:
        CorpusError: A file is missing, empty, damaged, not text or not a file; a line is bad; or a str has a lone
            surrogate.
        OptionError: An option is not possible; the subclass (VocabTooSmall, SpecialTokenError, PatternError, ...) says
            which.
        ArgumentTypeError: An argument is of the wrong type.
        MissingExtra: A package that a table or an address needs is not installed. The message names the extra.
        CountFileError: A count file is damaged, or was counted with other special tokens or another pattern.
        MemoryLimitExceeded: The limit is below the least for counting, or below what learning needs from the counts.
            The message has both sizes.
        LimitExceeded: The corpus has more than 2**63 bytes, or more than 2**32 places to merge at.
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
        memory_limit=memory_limit,
        init=init,
        input_format=input_format,
        json_field=json_field,
        bad_lines=bad_lines,
    )
    return vocab, merges


def train_and_record(
    input_path: Corpus | Counts,
    vocab_size: int,
    special_tokens: Sequence[str],
    *,
    tie_break: str = "bytes",
    threads: int | None = None,
    progress: Progress = False,
    pattern: str | None = None,
    min_frequency: int = 1,
    max_token_length: int | None = None,
    memory_limit: int | None = None,
    init: Tokenizer | None = None,
    input_format: str = "auto",
    json_field: str = "text",
    bad_lines: str = "error",
) -> tuple[Vocab, Merges, Training]:
    """Learn a vocabulary as `train_bpe` does, and return the record of training too, for `Tokenizer.save`.

    Raises:
        SpecialTokenError: Before any work: a special token could not be saved, because the files of `Tokenizer.save`
            spell another token of UTF-8 text the same.
    """
    import json

    _core.check_special_tokens(checks.strings("special_tokens", special_tokens))
    vocab, merges, record = _train(
        input_path,
        vocab_size,
        special_tokens,
        tie_break=tie_break,
        threads=threads,
        progress=progress,
        pattern=pattern,
        min_frequency=min_frequency,
        max_token_length=max_token_length,
        memory_limit=memory_limit,
        init=init,
        input_format=input_format,
        json_field=json_field,
        bad_lines=bad_lines,
    )
    training: Training = json.loads(record)
    return vocab, merges, training


def _train(
    input_path: Corpus | Counts, vocab_size: int, special_tokens: Sequence[str], *, progress: Progress, **options: Any
) -> tuple[Vocab, Merges, str]:
    """Learn, and return the record as JSON."""
    special_tokens = checks.strings("special_tokens", special_tokens)
    vocab_size = checks.integer("vocab_size", vocab_size)
    if vocab_size < 0:
        raise VocabTooSmall(f"vocab size {vocab_size} is negative; it counts 256 bytes, merges and special tokens")
    if vocab_size > _GREATEST:
        raise VocabTooLarge(f"vocab size {vocab_size} is greater than any vocabulary can be")
    _check_limit("min_frequency", options["min_frequency"])
    for name in ("threads", "max_token_length", "memory_limit"):
        if options[name] is not None:
            _check_limit(name, options[name])
    checks.string("tie_break", options["tie_break"])
    if options["pattern"] is None:
        options["pattern"] = _usual_pattern(input_path, options["init"])
    checks.string("pattern", options["pattern"])
    if options["init"] is not None:
        options["init"] = _core_of(options["init"])
    source: Any
    train: Callable[..., tuple[Vocab, Merges, str]]
    if isinstance(input_path, Counts):
        if any(options.pop(name) != default for name, default in OF_FILES.items()):
            raise OptionError("input_format, json_field and bad_lines are for texts, and these are counted already")
        source, train = input_path.path, _core.train_from_count_file
    else:
        source, train = checked_source(input_path, options), _core.train
    if progress is False:
        return train(source, vocab_size, special_tokens, progress=None, **options)
    from bpe_lm.progress import shown

    with shown(progress) as callback:
        return train(source, vocab_size, special_tokens, progress=callback, **options)


def _usual_pattern(input_path: Corpus | Counts, init: Tokenizer | None) -> str:
    if isinstance(input_path, Counts):
        return input_path.pattern
    return "gpt2" if init is None else str(getattr(init, "pattern", ""))


def _core_of(init: Any) -> _core.Tokenizer:
    core = getattr(init, "_core", None)
    if not isinstance(core, _core.Tokenizer):
        raise checks.wrong_type("init", init, "a Tokenizer")
    return core


def _check_limit(name: str, limit: int) -> None:
    if not 1 <= checks.integer(name, limit) <= _GREATEST:
        raise OptionError(f"{name} = {limit} is not possible: it must be at least 1, and at most {_GREATEST}")
