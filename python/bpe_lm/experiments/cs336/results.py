"""The results in a folder, as the questions read them. Nothing here changes the folder."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from bpe_lm.errors import BpeLmError
from bpe_lm.experiments.attempts import read_attempt
from bpe_lm.experiments.cs336.setting import CORPORA, SPLITS, CorpusKey, Setting, Split
from bpe_lm.experiments.runs import RunRecord, read_run
from bpe_lm.experiments.work import RESULT, Job, Training
from bpe_lm.files import read_json
from bpe_lm.tokenizer.token_file import open_tokens
from bpe_lm.training.config import CONFIG, TrainConfig

OVER = ("finished", "time", "worse", "diverged")
"""The states of a run that does not go on."""


@dataclass(frozen=True)
class Results:
    """The results so far of a setting."""

    setting: Setting

    def run(self, name: str) -> RunRecord | None:
        """Return the run of this name, or None if it has not begun."""
        return read_run(self.setting.folder / name)

    def finished(self, training: Training) -> RunRecord | None:
        """Return a run that is over and has this config, or None. The paths of its data may be others."""
        record = self.run(training.name)
        if record is None or record.state not in OVER or record.result is None:
            return None
        return record if _is_same(record.config, training.config) else None

    def measured(self, job: Job | str) -> dict[str, Any] | None:
        """Return the object that a job printed, or None if it is not done."""
        name = job if isinstance(job, str) else job.name
        try:
            found = read_json(self.setting.folder / name / RESULT)
        except BpeLmError:
            return None
        value = found.get("result")
        return value if isinstance(value, dict) else None

    def failure(self, work: Training | Job) -> str:
        """Return why the last attempt at a work failed, such as ", failed: no memory", or an empty text."""
        attempt = read_attempt(self.setting.folder, work.name)
        return f", failed: {attempt.message}" if attempt is not None and attempt.state == "failed" else ""

    def described(self, corpus: CorpusKey, split: Split) -> dict[str, Any] | None:
        """Return the description of a token file, with its `count` and `text_bytes`, or None if it is not there."""
        path = self.setting.tokens(corpus, split)
        try:
            return read_json(path.with_name(f"{path.name}.json"))
        except BpeLmError:
            return None

    @property
    def is_prepared(self) -> bool:
        """Whether every token file is there."""
        return all(self.described(corpus, split) is not None for corpus in CORPORA for split in SPLITS)

    def entropy_of_tokens(self, corpus: CorpusKey) -> float | None:
        """Return the entropy of a corpus's tokens in nats, or None if it is not encoded.

        It is the loss of a model that knows how frequent each token is, and nothing about the tokens before it.
        """
        path = self.setting.tokens(corpus, "valid")
        return _entropy(str(path)) if path.is_file() else None

    def epochs(self, record: RunRecord) -> float | None:
        """Return how many times a run has read its corpus, or None if that is not known."""
        name = Path(record.config.data.train).name
        corpus = next((key for key in CORPORA if self.setting.tokens(key, "train").name == name), None)
        described = None if corpus is None else self.described(corpus, "train")
        if described is None or record.result is None:
            return None
        return float(record.result["tokens"] / max(described["count"], 1))

    def runs(self) -> Iterator[RunRecord]:
        """Yield every run of the folder, by name."""
        folder = self.setting.folder
        for path in sorted(folder.glob(f"*/{CONFIG}")) + sorted(folder.glob(f"*/*/{CONFIG}")):
            record = read_run(path.parent)
            if record is not None and ".old-" not in record.folder.as_posix():
                yield record

    def name_of(self, record: RunRecord) -> str:
        """Return the name of a run: its folder below that of the reproduction."""
        return record.folder.relative_to(self.setting.folder).as_posix()

    def jobs(self) -> Iterator[tuple[str, dict[str, Any]]]:
        """Yield the name of every job that is done, and its result.json: the result, the machine and the commit."""
        folder = self.setting.folder
        for path in sorted(folder.glob(f"*/{RESULT}")) + sorted(folder.glob(f"*/*/{RESULT}")):
            try:
                found = read_json(path)
            except BpeLmError:
                continue
            name = path.parent.relative_to(folder).as_posix()
            if isinstance(found.get("result"), dict) and ".old-" not in name:
                yield name, found


@cache
def _entropy(path: str) -> float:
    counts = np.bincount(open_tokens(path))
    shares = counts[counts > 0] / counts.sum()
    return float(-(shares * np.log(shares)).sum())


def _is_same(found: TrainConfig, wanted: TrainConfig) -> bool:
    """Return whether two configs train alike."""
    trained_by = ("model", "optimizer", "schedule", "steps", "batch_size", "seed")
    return all(getattr(found, key) == getattr(wanted, key) for key in trained_by)
