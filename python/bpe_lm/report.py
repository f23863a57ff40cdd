"""What a training run looks like to the person who started it."""

import codecs
import io
import json
import resource
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from math import isfinite
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bpe_lm.progress import megabytes
from bpe_lm.tokenizer import Tokenizer
from bpe_lm.training import Training

if TYPE_CHECKING:
    from rich.console import Console


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


def print_json(value: Any) -> None:
    """Print a value as JSON on stdout."""
    print(json.dumps(finite(value), indent=2, allow_nan=False))


def finite(value: Any) -> Any:
    """Replace each infinity and NaN, which JSON has not, by null."""
    if isinstance(value, float):
        return value if isfinite(value) else None
    if isinstance(value, Mapping):
        return {name: finite(item) for name, item in value.items()}
    return [finite(item) for item in value] if isinstance(value, list | tuple) else value


def print_rows(rows: Sequence[tuple[str, str]]) -> None:
    """Print names and values as a table on stdout."""
    print_table((), rows)


def print_table(headings: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """Print a table on stdout."""
    from rich.table import Table

    table = Table(*headings, show_header=bool(headings))
    for row in rows:
        table.add_row(*row)
    for column in table.columns:
        column.overflow = "fold"  # A path is worth nothing without its end.
    console().print(table)


def console() -> "Console":
    """A console on stdout. Characters that its encoding lacks are written as escapes."""
    from rich.console import Console

    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")
    return Console(highlight=False, markup=False, emoji=False)


def peak_memory() -> int:
    """The process's greatest resident memory so far, in bytes."""
    status = Path("/proc/self/status")
    if status.exists():
        # Not from `getrusage`: there a process begins with the peak of the one that started it.
        lines = (line.split() for line in status.read_text().splitlines())
        return next(1024 * int(words[1]) for words in lines if words[0] == "VmHWM:")
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else 1024 * peak


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
