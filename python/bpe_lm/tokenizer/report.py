"""Whole jobs with their figures: train a tokenizer into a folder, and encode texts into a token file."""

import os
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from bpe_lm import _core, checks
from bpe_lm.errors import OutputExists
from bpe_lm.files import StrPath, check_file_target, check_folder_target
from bpe_lm.machine import peak_memory
from bpe_lm.progress import Progress
from bpe_lm.tokenizer.counts import Counts
from bpe_lm.tokenizer.manifest import Manifest
from bpe_lm.tokenizer.record import bytes_per_token
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
    if isinstance(corpus, Counts):
        names: list[StrPath] = [corpus.path]
        pattern = corpus.pattern if pattern is None else pattern
    else:
        names = checks.paths("corpus", corpus)
    _check_target(folder, force)
    start = time.perf_counter()
    vocab, merges, training = train_and_record(
        corpus if isinstance(corpus, Counts) else names,
        vocab_size,
        special_tokens,
        progress=progress,
        pattern=pattern,
        tie_break=tie_break,
        threads=threads,
        min_frequency=min_frequency,
        max_token_length=max_token_length,
        memory_limit=memory_limit,
        input_format=input_format,
        json_field=json_field,
        bad_lines=bad_lines,
    )
    tokenizer = Tokenizer(vocab, merges, special_tokens, pattern=pattern or "gpt2")
    tokenizer.save(folder, training=training, force=force)
    seconds = time.perf_counter() - start
    longest = longest_learned(tokenizer, num_longest)
    return TrainingReport(
        corpus=[str(path) for path in names],
        corpus_bytes=training["num_bytes"],
        skipped_lines=training["skipped_lines"],
        distinct_pretokens=training["num_distinct_pretokens"],
        vocab_size=len(vocab),
        asked_vocab_size=vocab_size,
        why_smaller=why_smaller(vocab_size, len(vocab), min_frequency, max_token_length),
        merges=len(merges),
        count_seconds=training["seconds"]["count"],
        merge_seconds=training["seconds"]["merge"],
        total_seconds=seconds,
        peak_memory=peak_memory(),
        bytes_per_token=bytes_per_token(vocab, training),
        longest_tokens=[f"{quoted(token)}, {len(token)} bytes" for token in longest],
        folder=str(folder),
    )


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
