"""What a training run looks like to the person who started it."""

import codecs
import os
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from bpe_lm import _core
from bpe_lm.errors import OutputExists
from bpe_lm.files import check_file_target, check_folder_target
from bpe_lm.machine import peak_memory
from bpe_lm.progress import megabytes
from bpe_lm.tables import print_rows
from bpe_lm.tokenizer.tokenizer import Tokenizer
from bpe_lm.tokenizer.train import Training, train_and_record


@dataclass(frozen=True)
class TrainingReport:
    """The figures of one training run. Times in seconds, memory and sizes in bytes.

    `why_smaller` says why there are fewer tokens than `asked_vocab_size`; None if there are not.
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

    def as_dict(self) -> dict[str, object]:
        """For JSON."""
        return asdict(self)

    def print(self) -> None:
        """Print a table on stdout."""
        speed = self.corpus_bytes / max(self.count_seconds, 1e-9) / 1e6
        rows = [
            ("corpus", f"{', '.join(self.corpus)} ({megabytes(self.corpus_bytes)})"),
            *([("bad lines skipped", f"{self.skipped_lines:,}")] if self.skipped_lines else []),
            ("distinct pretokens", f"{self.distinct_pretokens:,}"),
            ("vocabulary", f"{self.vocab_size:,} tokens, {self.merges:,} merges"),
            *([("fewer than asked for", self.why_smaller)] if self.why_smaller else []),
            ("pretokenize and count", f"{self.count_seconds:.2f} s ({speed:,.0f} MB/s)"),
            ("merge", f"{self.merge_seconds:.2f} s"),
            ("in all", f"{self.total_seconds:.2f} s"),
            ("peak memory", megabytes(self.peak_memory)),
            ("bytes per token", f"{self.bytes_per_token:.2f}"),
            ("longest tokens", "\n".join(self.longest_tokens)),
            ("written to", self.folder),
        ]
        print_rows(rows)


def why_smaller(asked: int, vocab_size: int, min_frequency: int, max_token_length: int | None) -> str | None:
    """Why training made fewer tokens than it was asked for; None if it did not."""
    if vocab_size >= asked:
        return None
    often = "" if min_frequency == 1 else f" that occurs at least {min_frequency:,} times"
    short = "" if max_token_length is None else f" and makes at most {max_token_length:,} bytes"
    pair = f"no pair of tokens is left{often}{short}" if often or not short else f"no pair is left that{short[4:]}"
    return f"{asked:,} were asked for, but {pair}"


def longest_tokens(tokenizer: Tokenizer, number: int) -> list[str]:
    """The longest tokens that were learned, as `quoted` writes them."""
    return [f"{quoted(token)}, {len(token)} bytes" for token in longest_learned(tokenizer, number)]


def longest_learned(tokenizer: Tokenizer, number: int) -> list[bytes]:
    """The longest tokens that are not special, of equal length in the order of their bytes."""
    return sorted(learned_tokens(tokenizer), key=lambda t: (-len(t), t))[:number]


def learned_tokens(tokenizer: Tokenizer) -> list[bytes]:
    """The tokens that are not special, in the order of their ids."""
    special = set(tokenizer.special_ids.values())
    return [token for id, token in tokenizer.vocab.items() if id not in special]


def quoted(token: bytes) -> str:
    """Text as Python writes a str, what is no text as it writes bytes."""
    return repr(as_text(token))


def as_text(token: bytes, *, is_cut: bool = False) -> str | bytes:
    """Bytes as text, if they are UTF-8. Of what was cut off, half a character at the end is left out."""
    try:
        return codecs.getincrementaldecoder("utf-8")().decode(token, final=not is_cut)
    except UnicodeDecodeError:
        return token


def training_bytes_per_token(vocab: dict[int, bytes], training: Training) -> float:
    """Bytes per token on the whole corpus, special tokens left out."""
    uses = training["token_uses"]
    return sum(len(vocab[i]) * n for i, n in enumerate(uses)) / max(sum(uses), 1)


def train_and_report(
    corpus: Sequence[str],
    vocab_size: int,
    special_tokens: Sequence[str],
    folder: str | Path,
    *,
    progress: bool = True,
    force: bool = False,
    num_longest: int = 5,
    pattern: str = "gpt2",
    tie_break: str = "bytes",
    threads: int | None = None,
    min_frequency: int = 1,
    max_token_length: int | None = None,
    input_format: str = "auto",
    json_field: str = "text",
    bad_lines: str = "error",
) -> TrainingReport:
    """Train on files, save the tokenizer in a folder, and measure.

    Raises:
        OutputExists: Before any work, when the folder has one of a tokenizer's files and `force` is False, or when
            something else has the name of the folder or of such a file.
        SpecialTokenError: Before any work, when the tokenizer could not be saved with a special token.
    """
    check_folder_target(folder)
    folder = Path(folder)
    for path in (folder / name for name in _core.FILE_NAMES):
        check_file_target(path)
        if not force and os.path.lexists(path):
            raise OutputExists(f"{path} exists already; name another folder, or give --force")
    start = time.perf_counter()
    vocab, merges, training = train_and_record(
        list(corpus),
        vocab_size,
        special_tokens,
        progress=progress,
        pattern=pattern,
        tie_break=tie_break,
        threads=threads,
        min_frequency=min_frequency,
        max_token_length=max_token_length,
        input_format=input_format,
        json_field=json_field,
        bad_lines=bad_lines,
    )
    tokenizer = Tokenizer(vocab, merges, special_tokens, pattern=pattern)
    tokenizer.save(folder, training=training, force=force)
    seconds = time.perf_counter() - start
    return TrainingReport(
        corpus=[str(path) for path in corpus],
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
        bytes_per_token=training_bytes_per_token(vocab, training),
        longest_tokens=longest_tokens(tokenizer, num_longest),
        folder=str(folder),
    )
