"""Which tokenizer makes the fewest tokens of which text, and how fast? The course's experiments with tokenizers."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from bpe_lm import checks
from bpe_lm.tables import console
from bpe_lm.tokenizer.tokenizer import Progress, StrPath, Tokenizer

PILE_BYTES = 825e9
"""The Pile, arXiv:2101.00027."""


@dataclass(frozen=True)
class Compression:
    """A corpus through a tokenizer."""

    tokenizer: str
    corpus: str
    text_bytes: int
    tokens: int
    seconds: float

    @property
    def bytes_per_token(self) -> float:
        """Of the texts; separators that were added count as tokens."""
        return self.text_bytes / max(self.tokens, 1)

    @property
    def bytes_per_second(self) -> float:
        """Read, encoded and counted."""
        return self.text_bytes / max(self.seconds, 1e-9)

    def as_dict(self) -> dict[str, object]:
        """For JSON."""
        return asdict(self) | {
            "bytes_per_token": self.bytes_per_token,
            "bytes_per_second": self.bytes_per_second,
            "seconds_for_the_pile": PILE_BYTES / self.bytes_per_second,
        }


def compare(
    tokenizers: Mapping[str, Tokenizer],
    corpora: Sequence[StrPath],
    *,
    threads: int | None = None,
    progress: Progress = False,
) -> list[Compression]:
    """Encode each corpus with each tokenizer, and count.

    Raises:
        CorpusError: A file is missing, empty or damaged.
    """
    checks.instance("tokenizers", tokenizers, Mapping, "a dict of names and tokenizers")
    made = []
    for corpus in checks.paths("corpora", corpora):
        for name, tokenizer in tokenizers.items():
            start = time.perf_counter()
            tokens, text_bytes = tokenizer.count_tokens(corpus, threads=threads, progress=progress)
            made.append(Compression(name, str(corpus), text_bytes, tokens, time.perf_counter() - start))
    return made


def print_compressions(compressions: Sequence[Compression]) -> None:
    """Print a table of bytes per token, tokenizers by corpora, and of speeds."""
    from rich.table import Table

    corpora = list(dict.fromkeys(found.corpus for found in compressions))
    table = Table("tokenizer", *(f"bytes per token\n{Path(corpus).name}" for corpus in corpora), "MB/s", "the Pile in")
    for name in dict.fromkeys(found.tokenizer for found in compressions):
        rows = [found for found in compressions if found.tokenizer == name]
        speed = sum(row.text_bytes for row in rows) / max(sum(row.seconds for row in rows), 1e-9)
        by_corpus = {row.corpus: f"{row.bytes_per_token:.2f}" for row in rows}
        cells = [by_corpus[corpus] for corpus in corpora]
        table.add_row(name, *cells, f"{speed / 1e6:,.0f}", duration(PILE_BYTES / speed))
    console().print(table)


def duration(seconds: float) -> str:
    """Seconds for people."""
    for unit, length in (("days", 86_400), ("hours", 3_600), ("minutes", 60)):
        if seconds >= 2 * length:
            return f"{seconds / length:.1f} {unit}"
    return f"{seconds:.1f} s"
