"""Open the token files of a run, check them against its config, and identify them."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from bpe_lm.errors import ConfigError, FileError, ResumeMismatch, TokenFileError
from bpe_lm.files import read_json
from bpe_lm.tokenizer.joined import is_joined, manifest_of
from bpe_lm.tokenizer.manifest import Manifest
from bpe_lm.tokenizer.token_array import Joined
from bpe_lm.tokenizer.token_file import open_tokens
from bpe_lm.tokenizer.tokenizer import Tokenizer
from bpe_lm.training.batches import Tokens
from bpe_lm.training.config import DATA, TrainConfig
from bpe_lm.training.mixture import Mixture


@dataclass(frozen=True)
class RunData:
    """Training and validation tokens.

    `train` has the tokens of all training files, one after another, and `mixture` says from which of them rows come; it
    is None for a single file. `identity` identifies the training tokens, and is the content of data.json.
    `train_manifests` and `valid_manifest` describe the files. `validated_on` names the tokens that each validation of
    the run reads, and is None for a run without validation.
    """

    train: Tokens
    mixture: Mixture | None
    valid: Tokens | None
    identity: dict[str, Any]
    train_manifests: tuple[Manifest, ...]
    valid_manifest: Manifest | None
    validated_on: str | None


def open_data(config: TrainConfig) -> RunData:
    """Open the token files of a run.

    Raises:
        ConfigError: No training file is named.
        FileError: A file does not exist, or could not be read.
        TokenFileError: A file is of another tokenizer or a larger vocabulary, or too short for the context.
    """
    data = config.data
    if not data.training:
        raise ConfigError("data.train is not set; name a token file that bpe-lm encode wrote")
    for name, path in [*data.files(), ("data.tokenizer", data.tokenizer)]:
        if path and not os.path.exists(path) and not is_joined(path):
            raise FileError(f"{name} is {path}, which does not exist; name the file with --{name}")
    tokenizer = Tokenizer.load(data.tokenizer) if data.tokenizer else None
    opened = [_open_tokens(path, tokenizer, config) for path, _ in data.training]
    manifests = tuple(manifest for _, manifest in opened)
    train, mixture = _joined(opened, config)
    identity = _identity(manifests, config)
    if not data.valid:
        return RunData(train, mixture, None, identity, manifests, None, None)
    valid, valid_manifest = _open_tokens(data.valid, tokenizer, config)
    if valid_manifest.tokenizer != manifests[0].tokenizer:
        first = data.training[0][0]
        raise TokenFileError(f"{first} and {data.valid} are of different tokenizers; encode both with the same")
    _check_length(data.valid, valid, config)
    return RunData(train, mixture, valid, identity, manifests, valid_manifest, _validated_on(valid_manifest, config))


def _open_tokens(path: str, tokenizer: Tokenizer | None, config: TrainConfig) -> tuple[Tokens, Manifest]:
    tokens, manifest = open_tokens(path, tokenizer=tokenizer), manifest_of(path)
    if manifest.vocab_size > config.model.vocab_size:
        raise TokenFileError(
            f"{path} has ids of a vocabulary of {manifest.vocab_size:,}, and model.vocab_size is "
            f"{config.model.vocab_size:,}; make it at least as large"
        )
    return tokens, manifest


def _check_length(path: str, tokens: Tokens, config: TrainConfig) -> None:
    if len(tokens) < config.model.context_length + 1:
        raise TokenFileError(
            f"{path} has {len(tokens):,} tokens, fewer than a context of {config.model.context_length} and the "
            "token after it; encode more text, or make model.context_length smaller"
        )


def _joined(opened: Sequence[tuple[Tokens, Manifest]], config: TrainConfig) -> tuple[Tokens, Mixture | None]:
    """Return the tokens of all training files, and how they are mixed."""
    if len(opened) == 1:
        return opened[0][0], None
    paths = [path for path, _ in config.data.training]
    first = opened[0][1]
    for path, (tokens, manifest) in zip(paths, opened, strict=True):
        for noun, of_first, of_this in (
            ("tokenizer", first.tokenizer, manifest.tokenizer),
            ("type of ids", first.dtype, manifest.dtype),
        ):
            if of_first != of_this:
                raise TokenFileError(f"{paths[0]} and {path} have another {noun}; encode both with the same")
        _check_length(path, tokens, config)
    arrays = [part for tokens, _ in opened for part in (tokens.parts if isinstance(tokens, Joined) else [tokens])]
    weights = [weight for _, weight in config.data.training]
    return Joined(arrays), Mixture([len(tokens) for tokens, _ in opened], weights)


def _identity(manifests: Sequence[Manifest], config: TrainConfig) -> dict[str, Any]:
    identity: dict[str, Any] = {
        "tokenizer": manifests[0].tokenizer,
        "count": sum(manifest.count for manifest in manifests),
        "crc32": [sum_ for manifest in manifests for sum_ in manifest.crc32],
    }
    if len(manifests) > 1:
        counts = [manifest.count for manifest in manifests]
        weights = [str(weight) for _, weight in config.data.training]
        identity["mixture"] = [[count, weight] for count, weight in zip(counts, weights, strict=True)]
    return identity


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
    for name, noun in (
        ("tokenizer", "tokenizer"),
        ("count", "number of tokens"),
        ("crc32", "tokens"),
        ("mixture", "mixture"),
    ):
        if began_with.get(name) != identity.get(name):
            raise ResumeMismatch(f"the run in {folder} began with a training file of another {noun}; give that file")


def with_absolute_paths(config: TrainConfig) -> TrainConfig:
    """Make the data paths of a config absolute, so that the run can be used from any folder."""
    return replace(config, data=config.data.with_paths(os.path.abspath))
