"""Where and at what scale the questions are answered."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, Self

from bpe_lm.errors import ConfigError
from bpe_lm.training.config import TrainConfig

Scale = Literal["smoke", "cpu", "gpu"]
CorpusKey = Literal["tinystories", "owt"]
Split = Literal["train", "valid"]

SETTING = "setting.json"
HERE = "{folder}"
"""Stands for the folder of the reproduction in its setting.json, so that it can be moved."""

CORPORA: tuple[CorpusKey, ...] = ("tinystories", "owt")
SPLITS: tuple[Split, ...] = ("train", "valid")
NAMES: Mapping[CorpusKey, str] = {"tinystories": "TinyStories", "owt": "OpenWebText"}


@dataclass(frozen=True)
class Corpus:
    """A text to train on and a text to validate on. `is_official` says whether they are the course's own corpus.

    `title` is what the report calls it, such as "TinyStories" or "made-up stories in TinyStories' place".
    """

    title: str
    train: Path
    valid: Path
    is_official: bool

    def path(self, split: Split) -> Path:
        """Return the file of a split."""
        return self.train if split == "train" else self.valid

    def as_dict(self) -> dict[str, Any]:
        """The corpus as JSON values."""
        return {
            "title": self.title,
            "train": str(self.train),
            "valid": str(self.valid),
            "is_official": self.is_official,
        }

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """Build a corpus from the values that `as_dict` returned."""
        return cls(values["title"], Path(values["train"]), Path(values["valid"]), values["is_official"])


@dataclass(frozen=True)
class Setting:
    """A scale, its corpora, and its configs. Everything that is made lies in `folder`.

    `base` is the config of the base run, and `small` that of sweeps and ablations; their data are those of
    TinyStories. At the scale "gpu" both are the course's. `low_resource` is the course's run for a laptop, or None if
    the budget does not hold it. `speeds` are the seconds of a step by `budget.shape_of`, as measured for the budget.
    """

    scale: Scale
    folder: Path
    corpora: Mapping[CorpusKey, Corpus]
    vocab_sizes: Mapping[CorpusKey, int]
    base: TrainConfig
    small: TrainConfig
    hours: float
    low_resource: TrainConfig | None = None
    speeds: Mapping[str, float] = field(default_factory=dict)

    def tokenizer(self, corpus: CorpusKey) -> Path:
        """Return the folder of the tokenizer of a corpus, which the job `tokenizer-CORPUS` writes."""
        return self.folder / "tokenizers" / corpus

    def tokens(self, corpus: CorpusKey, split: Split) -> Path:
        """Return the token file of a corpus, which the job `encode-CORPUS-SPLIT` writes."""
        return self.folder / "tokens" / f"{corpus}-{split}.bin"

    def as_dict(self) -> dict[str, Any]:
        """The setting as JSON values, without the folder."""
        return {
            "scale": self.scale,
            "hours": self.hours,
            "corpora": {key: corpus.as_dict() for key, corpus in self.corpora.items()},
            "vocab_sizes": dict(self.vocab_sizes),
            "base": self.base.as_dict(),
            "small": self.small.as_dict(),
            "low_resource": None if self.low_resource is None else self.low_resource.as_dict(),
            "speeds": dict(self.speeds),
        }

    @classmethod
    def from_dict(cls, values: Mapping[str, Any], folder: Path) -> Self:
        """Build a setting from the values that `as_dict` returned.

        Raises:
            ConfigError: A key is missing, or a config has one that this version does not know.
        """
        try:
            low = values["low_resource"]
            return cls(
                scale=values["scale"],
                folder=folder,
                corpora={key: Corpus.from_dict(values["corpora"][key]) for key in CORPORA},
                vocab_sizes={key: values["vocab_sizes"][key] for key in CORPORA},
                base=TrainConfig.from_dict(values["base"]),
                small=TrainConfig.from_dict(values["small"]),
                hours=values["hours"],
                low_resource=None if low is None else TrainConfig.from_dict(low),
                speeds=values["speeds"],
            )
        except (KeyError, TypeError) as error:
            raise ConfigError(f"{folder / SETTING} is not the setting of a reproduction: {error!r}") from error
