"""Pieces of work: each is a process of its own, whose folder says by its result.json whether it is done."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bpe_lm.training.config import TrainConfig

RESULT = "result.json"


@dataclass(frozen=True)
class Training:
    """A training run. `name` is its folder below the folder of the study, such as `learning_rate/3e-4`.

    `changes` are the keys that differ from the base config of its study, by dotted name.
    """

    name: str
    config: TrainConfig
    changes: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Job:
    """A measurement. `module` is run by `python -m`, and prints its result as a JSON object on stdout.

    The result.json of its folder has that object, and its identity: the command, the contents of `inputs`, and the
    sources of the folders `sources` of this package. A job without one of its `outputs` is not done.
    """

    name: str
    module: str
    arguments: tuple[str, ...] = ()
    inputs: tuple[Path, ...] = ()
    sources: tuple[str, ...] = ("tokenizer",)
    outputs: tuple[Path, ...] = ()


Work = Training | Job


def measurement(name: str, module: str, values: Mapping[str, Any], **more: Any) -> Job:
    """Return the job that calls `measure(**values)` of a module of this package."""
    return Job(name, "bpe_lm.experiments.job", (module, json.dumps(values, sort_keys=True)), **more)


_SAMPLE = 1 << 20


def input_sha256(path: Path) -> str:
    """Identify a file by its size and the bytes at its beginning and end. A corpus of 12 GB is not read whole."""
    size = path.stat().st_size
    digest = hashlib.sha256(str(size).encode())
    with path.open("rb") as file:
        digest.update(file.read(_SAMPLE))
        file.seek(max(size - _SAMPLE, 0))
        digest.update(file.read(_SAMPLE))
    return digest.hexdigest()
