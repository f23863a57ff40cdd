"""Whole jobs with their figures: train a tokenizer into a folder, and encode texts into a token file."""

import os
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from bpe_lm import _core, checks
from bpe_lm.errors import OutputExists, VocabTooSmall
from bpe_lm.files import StrPath, check_file_target, check_folder_target
from bpe_lm.machine import peak_memory
from bpe_lm.progress import Progress
from bpe_lm.tokenizer.counts import Counts
from bpe_lm.tokenizer.manifest import Manifest
from bpe_lm.tokenizer.record import bytes_per_token, load_training
from bpe_lm.tokenizer.tokenizer import Dtype, Special, Tokenizer
from bpe_lm.tokenizer.tokens import longest_learned, quoted
from bpe_lm.tokenizer.train import train_and_record


@dataclass(frozen=True)
class TrainingReport:
    """The figures of a tokenizer's training. Times are in seconds, memory and sizes in bytes.

    `why_smaller` says why the vocabulary has fewer tokens than `asked_vocab_size`; None if it does not.
    """

    corpus: list[str]
    corpus_bytes: int
    skipped_lines: int
    distinct_pretokens: int
    vocab_size: int
    asked_vocab_size: int
    why_smaller: str | None
    merges: int
    count_seconds: float
    merge_seconds: float
    total_seconds: float
    peak_memory: int
    bytes_per_token: float
    longest_tokens: list[str]
    folder: str

    @property
    def bytes_per_second(self) -> float:
        """The speed of pretokenizing and counting."""
        return self.corpus_bytes / max(self.count_seconds, 1e-9)

    def as_dict(self) -> dict[str, object]:
        """Return the figures as JSON values."""
        return asdict(self)


def train_tokenizer(
    corpus: Sequence[StrPath] | Counts,
    vocab_size: int,
    special_tokens: Sequence[str],
    folder: StrPath,
    *,
    progress: Progress = False,
    force: bool = False,
    num_longest: int = 5,
    pattern: str | None = None,
    tie_break: str = "bytes",
    threads: int | None = None,
    min_frequency: int = 1,
    max_token_length: int | None = None,
    memory_limit: int | None = None,
    init: Tokenizer | None = None,
    input_format: str = "auto",
    json_field: str = "text",
    bad_lines: str = "error",
) -> TrainingReport:
    """Train a tokenizer on files and save it in a folder, in every format and with its training.json.

    Args:
        corpus: The files or `Counts`, as for `train_bpe`, which also explains the options that are not listed here.
        vocab_size: The number of tokens, including the 256 bytes and the special tokens.
        special_tokens: Tokens that are never divided or merged.
        folder: The folder to write, see `Tokenizer.save`.
        progress: As for `train_bpe`.
        force: Replace the files of a tokenizer that is in the folder.
        num_longest: The number of longest tokens in the report.

    Raises:
        OutputExists: Before any work: the folder has a file of a tokenizer and `force` is False, or something else has
            the name of the folder or of such a file.
        SpecialTokenError: Before any work: the tokenizer could not be saved with a special token.
        BpeLmError: As `train_bpe` and `Tokenizer.save`.
    """
    [report] = train_tokenizers(
        corpus,
        {folder: vocab_size},
        special_tokens,
        progress=progress,
        force=force,
        num_longest=num_longest,
        pattern=pattern,
        tie_break=tie_break,
        threads=threads,
        min_frequency=min_frequency,
        max_token_length=max_token_length,
        memory_limit=memory_limit,
        init=init,
        input_format=input_format,
        json_field=json_field,
        bad_lines=bad_lines,
    )
    return report


def train_tokenizers(
    corpus: Sequence[StrPath] | Counts,
    vocab_sizes: Mapping[StrPath, int],
    special_tokens: Sequence[str],
    *,
    progress: Progress = False,
    force: bool = False,
    num_longest: int = 5,
    pattern: str | None = None,
    tie_break: str = "bytes",
    threads: int | None = None,
    min_frequency: int = 1,
    max_token_length: int | None = None,
    memory_limit: int | None = None,
    init: Tokenizer | None = None,
    input_format: str = "auto",
    json_field: str = "text",
    bad_lines: str = "error",
) -> list[TrainingReport]:
    """Train tokenizers of several sizes at once, each saved in a folder of its own, as `train_tokenizer` does.

    The largest is trained, and the others are its first merges. Each folder has the files that a training of its own
    would write, except that the seconds in training.json are those of the one training.

    Args:
        corpus: As for `train_tokenizer`, like the options.
        vocab_sizes: The size of the vocabulary for each folder.
        special_tokens: As for `train_tokenizer`.

    Returns:
        A report for each folder, in the order of `vocab_sizes`. Times and memory are those of the one training.

    Raises:
        VocabTooSmall: Before any work: a size cannot hold 256 bytes and the special tokens, or extends nothing.
        BpeLmError: As `train_tokenizer`.
    """
    if isinstance(corpus, Counts):
        names: list[StrPath] = [corpus.path]
        pattern = corpus.pattern if pattern is None else pattern
    else:
        names = checks.paths("corpus", corpus)
    for folder in vocab_sizes:
        _check_target(folder, force)
    _check_sizes([checks.integer("vocab_size", size) for size in vocab_sizes.values()], special_tokens, init)
    start = time.perf_counter()
    vocab, merges, training = train_and_record(
        corpus if isinstance(corpus, Counts) else names,
        max(vocab_sizes.values()),
        special_tokens,
        progress=progress,
        pattern=pattern,
        tie_break=tie_break,
        threads=threads,
        min_frequency=min_frequency,
        max_token_length=max_token_length,
        memory_limit=memory_limit,
        init=init,
        input_format=input_format,
        json_field=json_field,
        bad_lines=bad_lines,
    )
    if init is None:
        largest = Tokenizer(vocab, merges, special_tokens, pattern=pattern or "gpt2")
    else:
        largest = init.extended(vocab, merges, special_tokens)
    reports = []
    for folder, vocab_size in vocab_sizes.items():
        tokenizer, record = largest, training
        if vocab_size < largest.vocab_size:
            tokenizer, record = largest.truncate(vocab_size), largest.truncated_training(vocab_size, training)
        tokenizer.save(folder, training=record, force=force)
        longest = longest_learned(tokenizer, num_longest)
        report = TrainingReport(
            corpus=[str(path) for path in names],
            corpus_bytes=record["num_bytes"],
            skipped_lines=record["skipped_lines"],
            distinct_pretokens=record["num_distinct_pretokens"],
            vocab_size=tokenizer.vocab_size,
            asked_vocab_size=vocab_size,
            why_smaller=why_smaller(vocab_size, tokenizer.vocab_size, min_frequency, max_token_length),
            merges=len(tokenizer.merges),
            count_seconds=record["seconds"]["count"],
            merge_seconds=record["seconds"]["merge"],
            total_seconds=time.perf_counter() - start,
            peak_memory=peak_memory(),
            bytes_per_token=bytes_per_token(tokenizer.vocab, record),
            longest_tokens=[f"{quoted(token)}, {len(token)} bytes" for token in longest],
            folder=str(folder),
        )
        reports.append(report)
    return reports


def truncate_folder(path: StrPath, vocab_size: int, folder: StrPath, *, force: bool = False) -> Tokenizer:
    """Read a tokenizer, truncate it, and save it in a folder, with its training.json if there is one beside it.

    Args:
        path: A folder, a tokenizer.json or a .tiktoken file.
        vocab_size: As for `Tokenizer.truncate`.
        folder: The folder to write.
        force: Replace the files of a tokenizer that is in the folder.

    Raises:
        OutputExists: Before any work: as for `train_tokenizer`.
        BpeLmError: As `Tokenizer.load`, `Tokenizer.truncate`, `load_training` and `Tokenizer.save`.
    """
    _check_target(folder, force)
    tokenizer = Tokenizer.load(path)
    record = Path(path) / "training.json" if Path(path).is_dir() else Path(path).with_name("training.json")
    training = load_training(record) if record.exists() else None
    init = training and training.get("init")
    smaller = tokenizer.truncate(vocab_size)
    if training and len(smaller.merges) >= (init["num_merges"] if init else 0):
        training = tokenizer.truncated_training(vocab_size, training)
    else:
        training = None
    smaller.save(folder, training=training, force=force)
    return smaller


def _check_sizes(sizes: Sequence[int], special_tokens: Sequence[str], init: Tokenizer | None) -> None:
    """Check sizes beside the greatest, which training checks itself."""
    least = 256 + len(special_tokens)
    if init is not None:
        least = init.vocab_size + max(1, len(set(special_tokens) - set(init.special_tokens)))
    if len(sizes) > 1 and min(sizes) < least:
        raise VocabTooSmall(f"vocab size {min(sizes)} is smaller than the minimum {least}; ask for at least {least}")


def _check_target(folder: StrPath, force: bool) -> None:
    check_folder_target(folder)
    for path in (Path(folder) / name for name in _core.FILE_NAMES):
        check_file_target(path)
        if not force and os.path.lexists(path):
            raise OutputExists(f"{path} exists already; name another folder, or give --force (force=True)")


def why_smaller(asked: int, vocab_size: int, min_frequency: int, max_token_length: int | None) -> str | None:
    """Say why training learned fewer tokens than it was asked for. Returns None if it learned them all."""
    if vocab_size >= asked:
        return None
    often = "" if min_frequency == 1 else f" that occurs at least {min_frequency:,} times"
    short = "" if max_token_length is None else f" and makes at most {max_token_length:,} bytes"
    pair = f"no pair of tokens is left{often}{short}" if often or not short else f"no pair is left that{short[4:]}"
    return f"{asked:,} were asked for, but {pair}"


@dataclass(frozen=True)
class EncodingReport:
    """The figures of texts that were encoded. `manifest` describes the token file.

    `peak_memory` is in bytes, and None if other machines have encoded.
    """

    corpus: list[str]
    manifest: Manifest
    seconds: float
    peak_memory: int | None
    out: str

    @property
    def bytes_per_second(self) -> float:
        """The speed of reading, encoding and writing."""
        return self.manifest.text_bytes / max(self.seconds, 1e-9)

    def as_dict(self) -> dict[str, object]:
        """Return the manifest and the seconds as JSON values."""
        return asdict(self.manifest) | {"seconds": self.seconds}


def encode_corpus(
    tokenizer: Tokenizer,
    corpus: StrPath | Sequence[StrPath],
    out: StrPath,
    *,
    special: Special | None = None,
    separator: str | None = None,
    dtype: Dtype | None = None,
    index: bool = True,
    shard: tuple[int, int] | None = None,
    resume: bool = False,
    force: bool = False,
    threads: int | None = None,
    progress: Progress = False,
    input_format: str = "auto",
    json_field: str = "text",
    bad_lines: str = "error",
) -> EncodingReport:
    """Encode files into a token file, as `Tokenizer.encode_file` does, and measure it.

    Raises:
        BpeLmError: As `Tokenizer.encode_file`.
    """
    start = time.perf_counter()
    manifest = tokenizer.encode_file(
        corpus,
        out,
        special=special,
        separator=separator,
        dtype=dtype,
        index=index,
        shard=shard,
        resume=resume,
        force=force,
        threads=threads,
        progress=progress,
        input_format=input_format,
        json_field=json_field,
        bad_lines=bad_lines,
    )
    seconds = time.perf_counter() - start
    return EncodingReport(
        [str(path) for path in checks.paths("corpus", corpus)], manifest, seconds, peak_memory(), str(out)
    )
