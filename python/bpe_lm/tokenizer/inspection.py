"""Inspect a tokenizer: its longest tokens, the lengths of tokens and, where training.json is known, their use."""

from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from bpe_lm import checks
from bpe_lm.errors import FormatError
from bpe_lm.files import StrPath
from bpe_lm.tokenizer.record import Training, load_training
from bpe_lm.tokenizer.tokenizer import Tokenizer
from bpe_lm.tokenizer.tokens import learned_tokens, longest_learned, to_alphabet

NUM_SHOWN = 5
"""The number of first merges, of last merges and of never used tokens to show."""


@dataclass(frozen=True)
class Inspection:
    """The figures of a tokenizer. Lengths are in bytes. Special tokens count only in the vocabulary's size."""

    path: str
    tokenizer: Tokenizer
    training: Training | None
    num_longest: int

    @property
    def lengths(self) -> dict[int, int]:
        """The number of tokens of each length."""
        return _count_lengths(learned_tokens(self.tokenizer))

    @property
    def unused(self) -> list[bytes]:
        """The tokens that do not occur in the training corpus after all merges, in the order of their ids.

        Special tokens are left out.
        """
        uses = self.training["token_uses"] if self.training else []
        vocab, special = self.tokenizer.vocab, set(self.tokenizer.special_ids.values())
        return [vocab[id] for id, count in enumerate(uses) if count == 0 and id in vocab and id not in special]

    @property
    def counted_merges(self) -> list[tuple[int, tuple[bytes, bytes], int]]:
        """The number, from 1, the pair and the count of each merge that was learned in training."""
        counts = self.training["merge_counts"] if self.training else []
        merges = list(enumerate(self.tokenizer.merges, start=1))[-len(counts) :] if counts else []
        return [(number, pair, count) for (number, pair), count in zip(merges, counts, strict=True)]

    @property
    def unused_lengths(self) -> dict[int, int]:
        """The number of unused tokens of each length."""
        return _count_lengths(self.unused)

    def as_dict(self) -> dict[str, object]:
        """Return the figures as JSON values. Tokens are in GPT-2's alphabet; `training` may be None."""
        tokens = longest_learned(self.tokenizer, self.num_longest)
        return {
            "path": self.path,
            "vocab_size": len(self.tokenizer.vocab),
            "merges": len(self.tokenizer.merges),
            "special_tokens": self.tokenizer.special_tokens,
            "pattern": self.tokenizer.pattern,
            "longest_tokens": [{"token": to_alphabet(token), "length": len(token)} for token in tokens],
            "token_lengths": self.lengths,
            "training": self.training and self._training_as_dict(self.training),
        }

    def _training_as_dict(self, training: Training) -> dict[str, object]:
        merges = [
            {"left": to_alphabet(left), "right": to_alphabet(right), "count": count}
            for _, (left, right), count in self.counted_merges
        ]
        return {
            "num_bytes": training["num_bytes"],
            "num_pretokens": training["num_pretokens"],
            "num_distinct_pretokens": training["num_distinct_pretokens"],
            "unused_tokens": [to_alphabet(token) for token in self.unused],
            "first_merges": merges[:NUM_SHOWN],
            "last_merges": merges[-NUM_SHOWN:],
            "longest_pretokens": training["longest_pretokens"][: self.num_longest],
        }


def inspect(path: StrPath, num_longest: int = 10) -> Inspection:
    """Read a folder, a tokenizer.json or a .tiktoken file, and the training.json beside it.

    Args:
        path: The folder or file.
        num_longest: The number of longest tokens and pretokens to list.

    Raises:
        FormatError: A file does not follow its format, or training.json belongs to another tokenizer.
        FileError: A file could not be read.
    """
    given = checks.path("path", path)
    num_longest = checks.integer("num_longest", num_longest)
    path = Path(given)
    tokenizer = _load(path) if path.exists() else Tokenizer.load(given)
    record = (path if path.is_dir() else path.parent) / "training.json"
    if not record.exists():
        return Inspection(str(path), tokenizer, None, num_longest)
    training = load_training(record)
    num_merges = len(tokenizer.merges)
    num_old, num_ids = (init["num_merges"], init["num_ids"]) if (init := training.get("init")) else (0, 256)
    num_new = num_merges - num_old
    if (len(training["merge_counts"]), len(training["token_uses"])) != (num_new, num_ids + num_new):
        known = num_old + len(training["merge_counts"])
        raise FormatError(
            f"{record} belongs to another tokenizer: it has {known:,} merges, {path} {num_merges:,}; remove it"
        )
    return Inspection(str(path), tokenizer, training, num_longest)


def _load(path: Path) -> Tokenizer:
    if path.suffix == ".tiktoken" and not path.with_name(path.name + ".json").exists():
        return Tokenizer.from_tiktoken(path, "unknown", {})
    return Tokenizer.load(path)


def _count_lengths(tokens: list[bytes]) -> dict[int, int]:
    return dict(sorted(Counter(map(len, tokens)).items()))
