"""Compare tokenizers on texts by bytes per token and speed, as the course's experiments do."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass

from bpe_lm import checks
from bpe_lm.files import StrPath
from bpe_lm.progress import Progress
from bpe_lm.tokenizer.tokenizer import Tokenizer

PILE_BYTES = 825e9
"""The size of the Pile in bytes, from arXiv:2101.00027."""


@dataclass(frozen=True)
class Compression:
    """The figures of a corpus that a tokenizer encoded."""

    tokenizer: str
    corpus: str
    text_bytes: int
    tokens: int
    seconds: float

    @property
    def bytes_per_token(self) -> float:
        """The mean number of bytes of text per token. Added separators count as tokens."""
        return self.text_bytes / max(self.tokens, 1)

    @property
    def bytes_per_second(self) -> float:
        """The speed of reading, encoding and counting."""
        return self.text_bytes / max(self.seconds, 1e-9)

    def as_dict(self) -> dict[str, object]:
        """Return the figures as JSON values."""
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
    """Encode each corpus with each tokenizer, and count the tokens.

    Args:
        tokenizers: Tokenizers by the name that the result gives them.
        corpora: Files, as for `Tokenizer.encode_file`.
        threads: The number of worker threads; one for each core by default.
        progress: As for `train_bpe`; the stage is "encode", in bytes.

    Raises:
        CorpusError: A file is missing, empty or damaged.
    """
    checks.instance("tokenizers", tokenizers, Mapping, "a dict of names and tokenizers")
    results = []
    for corpus in checks.paths("corpora", corpora):
        for name, tokenizer in tokenizers.items():
            start = time.perf_counter()
            tokens, text_bytes = tokenizer.count_tokens(corpus, threads=threads, progress=progress)
            results.append(Compression(name, str(corpus), text_bytes, tokens, time.perf_counter() - start))
    return results
