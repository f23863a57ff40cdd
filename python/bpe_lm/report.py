"""What a training run looks like to the person who started it."""

import json
import resource
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from math import isfinite
from pathlib import Path
from typing import Any

from bpe_lm.progress import megabytes
from bpe_lm.tokenizer import Tokenizer
from bpe_lm.training import Training


@dataclass(frozen=True)
class TrainingReport:
    """The figures of one training run. Times in seconds, memory and sizes in bytes."""

    corpus: list[str]
    corpus_bytes: int
    skipped_lines: int
    distinct_pretokens: int
    vocab_size: int
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
    from rich.console import Console
    from rich.table import Table

    table = Table(*headings, show_header=bool(headings))
    for row in rows:
        table.add_row(*(cell.replace("[", r"\[") for cell in row))
    for column in table.columns:
        column.overflow = "fold"  # A path is worth nothing without its end.
    Console().print(table)


def peak_memory() -> int:
    """The process's greatest resident memory so far, in bytes."""
    status = Path("/proc/self/status")
    if status.exists():
        # Not from `getrusage`: there a process begins with the peak of the one that started it.
        lines = (line.split() for line in status.read_text().splitlines())
        return next(1024 * int(words[1]) for words in lines if words[0] == "VmHWM:")
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else 1024 * peak


def longest_tokens(tokenizer: Tokenizer, number: int) -> list[str]:
    """The longest tokens that were learned, as Python writes bytes."""
    return [f"{token!r}, {len(token)} bytes" for token in longest_learned(tokenizer, number)]


def longest_learned(tokenizer: Tokenizer, number: int) -> list[bytes]:
    """The longest tokens that are not special, of equal length in the order of their bytes."""
    special = {token.encode() for token in tokenizer.special_tokens}
    learned = (token for token in tokenizer.vocab.values() if token not in special)
    return sorted(learned, key=lambda t: (-len(t), t))[:number]


def training_bytes_per_token(vocab: dict[int, bytes], training: Training) -> float:
    """Bytes per token on the whole corpus, special tokens left out."""
    uses = training["token_uses"]
    return sum(len(vocab[i]) * n for i, n in enumerate(uses)) / max(sum(uses), 1)
