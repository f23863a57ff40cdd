"""Open the token files of a run, check them against its config, and identify them."""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

from bpe_lm.errors import ConfigError, FileError, ResumeMismatch, TokenFileError
from bpe_lm.files import read_json
from bpe_lm.tokenizer.token_file import Manifest, open_tokens
from bpe_lm.tokenizer.tokenizer import Tokenizer
from bpe_lm.training.batches import Tokens
from bpe_lm.training.config import DATA, TrainConfig


@dataclass(frozen=True)
class RunData:
    """Training and validation tokens.

    `identity` identifies the training tokens, and is the content of data.json. `manifests` describe the training file
    and, in a run with validation, the other. `validated_on` names the tokens that each validation of the run reads,
    and is None for a run without validation.
    """

    train: Tokens
    valid: Tokens | None
    identity: dict[str, Any]
    manifests: tuple[Manifest, ...]
    validated_on: str | None


def open_data(config: TrainConfig) -> RunData:
    """Open the token files of a run.

    Raises:
        ConfigError: No training file is named.
        FileError: A file does not exist, or could not be read.
        TokenFileError: A file is of another tokenizer or a larger vocabulary, or too short for the context.
    """
    data = config.data
    if not data.train:
        raise ConfigError("data.train is not set; name a token file that bpe-lm encode wrote")
    for name, path in vars(data).items():
        if path and not os.path.exists(path):
            raise FileError(f"data.{name} is {path}, which does not exist; name the file with --data.{name}")
    tokenizer = Tokenizer.load(data.tokenizer) if data.tokenizer else None
    train, train_manifest = _open_tokens(data.train, tokenizer, config)
    identity = {"tokenizer": train_manifest.tokenizer, "count": train_manifest.count, "crc32": train_manifest.crc32}
    if not data.valid:
        return RunData(train, None, identity, (train_manifest,), None)
    valid, valid_manifest = _open_tokens(data.valid, tokenizer, config)
    if valid_manifest.tokenizer != train_manifest.tokenizer:
        raise TokenFileError(f"{data.train} and {data.valid} are of different tokenizers; encode both with the same")
    if len(valid) < config.model.context_length + 1:
        raise TokenFileError(
            f"{data.valid} has {len(valid):,} tokens, fewer than a context of {config.model.context_length} and the "
            "token after it; encode more text, or make model.context_length smaller"
        )
    manifests = (train_manifest, valid_manifest)
    return RunData(train, valid, identity, manifests, _validated_on(valid_manifest, config))


def _open_tokens(path: str, tokenizer: Tokenizer | None, config: TrainConfig) -> tuple[Tokens, Manifest]:
    tokens = open_tokens(path, tokenizer=tokenizer)
    manifest = Manifest.from_json(Path(f"{path}.json").read_text(encoding="utf-8"))
    if manifest.vocab_size > config.model.vocab_size:
        raise TokenFileError(
            f"{path} has ids of a vocabulary of {manifest.vocab_size:,}, and model.vocab_size is "
            f"{config.model.vocab_size:,}; make it at least as large"
        )
    return tokens, manifest


def _validated_on(manifest: Manifest, config: TrainConfig) -> str:
    count = min(config.validation_tokens or manifest.count, manifest.count)
    checksum = hashlib.sha256("".join(manifest.crc32).encode()).hexdigest()[:8]
    return f"{count:,} tokens of a file of checksum {checksum}"


def check_same_data(folder: Path, identity: dict[str, Any]) -> None:
    """Compare the training tokens of a run with those that it began with.

    Raises:
        ResumeMismatch: The run in `folder` began with other tokens.
    """
    began_with = read_json(folder / DATA)
    for name, noun in (("tokenizer", "tokenizer"), ("count", "number of tokens"), ("crc32", "tokens")):
        if began_with.get(name) != identity[name]:
            raise ResumeMismatch(f"the run in {folder} began with a training file of another {noun}; give that file")


def with_absolute_paths(config: TrainConfig) -> TrainConfig:
    """Make the data paths of a config absolute, so that the run can be used from any folder."""
    data = config.data
    paths = {f.name: os.path.abspath(path) if (path := getattr(data, f.name)) else "" for f in fields(data)}
    return replace(config, data=replace(data, **paths))
