"""The identity of a run: three hashes of everything that its result depends on, except the machine.

config: The config, without the keys that name files or only watch the run (`is_part_of_identity` has the reasons).
data: The checksums of all token files, their tokenizer, and the weights of a mixture.
sources: The code of this package's folders model/, kernels/ and training/, and of the kernels in Rust.

No file here imports torch, so that a plan of many runs can ask for identities without it.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

from bpe_lm import _core
from bpe_lm.errors import ConfigError
from bpe_lm.fields import keys
from bpe_lm.tokenizer.joined import manifest_of
from bpe_lm.tokenizer.manifest import Manifest
from bpe_lm.training.config import TrainConfig

PACKAGE = Path(__file__).parents[1]
FOLDERS = ("kernels", "model", "training")
"""The folders of the package whose code a run's result depends on."""

_WATCHING = {f.name for f in fields(TrainConfig) if f.metadata.get("watches")}


def planned_identity(config: TrainConfig) -> dict[str, str]:
    """Return the identity that a run of this config will have. Of the token files, only the manifests are read.

    Raises:
        ConfigError: No training file is named.
        FileError: A token file does not exist, or could not be read.
        TokenFileError: A token file is incomplete.
    """
    training = [manifest_of(path) for path, _ in config.data.training]
    if not training:
        raise ConfigError("data.train is not set; name a token file that bpe-lm encode wrote")
    return run_identity(config, training, manifest_of(config.data.valid) if config.data.valid else None)


def run_identity(config: TrainConfig, train: Sequence[Manifest], valid: Manifest | None = None) -> dict[str, str]:
    """Return the identity of a run with this config and these token files."""
    values = {name: value for name, value in keys(config) if is_part_of_identity(name)}
    tokens: list[Any] = [_tokens(file) for file in train]
    if len(tokens) > 1:
        weights = [str(weight) for _, weight in config.data.training]
        tokens = [[[weight, file] for weight, file in zip(weights, tokens, strict=True)]]
    if valid is not None:
        tokens.append(_tokens(valid))
    return {"config": _sha256(values), "data": _sha256(tokens), "sources": sources_sha256()}


def _tokens(file: Manifest) -> list[Any]:
    return [file.tokenizer, file.count, file.crc32]


def is_part_of_identity(name: str) -> bool:
    """Return whether the result of a run depends on a key of its config, given by its dotted name.

    It does not depend on where token files are: the identity has their checksums. It does not depend on `tokens`,
    because `steps` follows from it. Keys that are declared with `watches=True` decide what is recorded and kept on the
    way, and change no weight, no validation and no end: `log_every`, `checkpoint_every`, `checkpoints_kept` and the
    names of trackers. `validate_every` counts, because the best loss and `stop_when_worse` depend on it. `device`,
    `compile`, `parallel`, `micro_batch_size` and `activation_checkpointing` count, because speed, memory and the last
    digits of a loss depend on them.
    """
    return not (name.startswith("data.") or name == "tokens" or name in _WATCHING)


def sources_sha256() -> str:
    """Return the hash of the code that a run's result depends on, as it is on the disk now."""
    paths = [path for folder in FOLDERS for path in sorted((PACKAGE / folder).rglob("*.py"))]
    files = [[path.relative_to(PACKAGE).as_posix(), hashlib.sha256(path.read_bytes()).hexdigest()] for path in paths]
    return _sha256([files, _core.kernel_sources_sha256()])


def joined_identity(began: Mapping[str, str] | None, now: Mapping[str, str]) -> dict[str, str]:
    """Return the identity of a run that did its first steps with one identity, and does the others with another.

    A part that differs becomes a hash of both, which is the part of no plan. `began` is None where nothing is known
    about the first steps.
    """
    before = began or {}
    return {name: part if before.get(name) == part else _sha256([before.get(name), part]) for name, part in now.items()}


def _sha256(values: Any) -> str:
    return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()
