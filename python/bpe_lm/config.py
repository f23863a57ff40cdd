"""What a model and a training run are: frozen dataclasses, so that an ablation is a one-field difference.

A run is described by a preset, a file (TOML, JSON) or another run's folder, and flags over it (`--model.num-layers 6`).
"""

from __future__ import annotations

import dataclasses
import json
import tomllib
import typing
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields, is_dataclass, replace
from fractions import Fraction
from functools import cache
from pathlib import Path
from typing import Any, Literal, TypeVar, get_args, get_origin

from bpe_lm.errors import ConfigError, FileError
from bpe_lm.parsing import TRUTH, did_you_mean, nearest, parse_truth, parse_whole

Norm = Literal["pre", "post", "none"]
Position = Literal["rope", "none"]
FeedForwardKind = Literal["swiglu", "silu", "relu2"]
Implementation = Literal["fast", "reference"]
Dtype = Literal["float32", "bfloat16"]
Parallel = Literal["ddp", "fsdp"]
Shape = Literal["cosine", "constant", "linear", "wsd"]

CONFIG_FORMAT = 2
"""The version of a run's config.json, under its key `format`. The first one had no such key."""

MOST_WEIGHTS = 2**50
"""Beyond which torch could not even count a model's bytes."""

WSD_DECAY = 0.2
"""The part of a run over which wsd falls by default."""

CONFIG, DATA, CHECKPOINTS, BEST, PROFILE = "config.json", "data.json", "checkpoints", "best", "profile"
"""What is in the folder of a run."""


_T = TypeVar("_T")


def _key(default: _T, meaning: str) -> _T:
    """A field and what it means, for --help."""
    found: _T = field(default=default, metadata={"meaning": meaning})
    return found


@dataclass(frozen=True)
class ModelConfig:
    """The shape of a `TransformerLM`."""

    vocab_size: int = _key(10_000, "tokens that the model knows")
    context_length: int = _key(256, "tokens that it sees at once")
    d_model: int = _key(512, "width of the residual stream")
    num_layers: int = _key(4, "Transformer blocks")
    num_heads: int = _key(16, "attention heads of a block")
    d_ff: int = _key(1344, "width within the feed-forward network")
    rope_theta: float = _key(10_000.0, "base of the angles of rotary embeddings")
    norm: Norm = _key("pre", "RMSNorm before each sub-layer, behind it, or none")
    position: Position = _key("rope", "rotary embeddings, or none")
    ffn: FeedForwardKind = _key("swiglu", "feed-forward network: gated (swiglu) or not (silu, relu2)")
    tied_head: bool = _key(False, "the head has the weights of the embedding")

    def __post_init__(self) -> None:
        _check_types(self, "model")
        for name in ("vocab_size", "context_length", "d_model", "num_layers", "num_heads", "d_ff"):
            _at_least(self, "model", name, 1)
        if self.rope_theta <= 0:
            raise ConfigError(f"model.rope_theta is {self.rope_theta}, and must be above 0")
        if self._matrix_weights > MOST_WEIGHTS:
            raise ConfigError(
                f"the model would have {self._matrix_weights:.1e} weights, more than any memory holds (2^50); make "
                "model.d_model, d_ff, num_layers or vocab_size smaller"
            )
        if self.d_model % self.num_heads:
            raise ConfigError(
                f"model.d_model is {self.d_model}, which {self.num_heads} heads cannot share; make it a multiple"
            )
        if self.position == "rope" and self.d_model // self.num_heads % 2:
            raise ConfigError("rotary embeddings turn pairs: model.d_model / model.num_heads must be even")

    def as_dict(self) -> dict[str, Any]:
        """The arguments of `TransformerLM`."""
        return dataclasses.asdict(self)

    @property
    def ffn_matrices(self) -> int:
        """3 with a gate, else 2."""
        return 3 if self.ffn == "swiglu" else 2

    @property
    def flops_per_token(self) -> float:
        """Of a training step: 6 x the weights of matrix products + 12 x layers x d_model x context_length."""
        return 6.0 * self._matrix_weights + 12.0 * self.num_layers * self.d_model * self.context_length

    @property
    def _matrix_weights(self) -> int:
        ffn = self.ffn_matrices * self.d_model * self.d_ff
        return self.num_layers * (4 * self.d_model**2 + ffn) + self.vocab_size * self.d_model


@dataclass(frozen=True)
class DataConfig:
    """Token files that `bpe-lm encode` wrote, and the tokenizer that made them."""

    train: str = _key("", "token file to train on")
    valid: str = _key("", "token file to validate on")
    tokenizer: str = _key("", "tokenizer that made them")

    def __post_init__(self) -> None:
        _check_types(self, "data")
        for name, path in vars(self).items():
            if "://" in path:
                raise ConfigError(f"data.{name} is {path}, and only local files are read: download it first")


@dataclass(frozen=True)
class OptimizerConfig:
    """How gradients change weights."""

    name: Literal["adamw", "sgd"] = _key("adamw", "AdamW, or the course's SGD")
    beta1: float = _key(0.9, "decay of the mean of gradients")
    beta2: float = _key(0.95, "decay of the mean of their squares")
    eps: float = _key(1e-8, "added to the root in the denominator")
    weight_decay: float = _key(0.1, "decoupled weight decay")
    max_l2_norm: float = _key(1.0, "clip gradients to this norm; 0 clips nothing")

    def __post_init__(self) -> None:
        _check_types(self, "optimizer")
        for name in ("eps", "weight_decay", "max_l2_norm", "beta1", "beta2"):
            _at_least(self, "optimizer", name, 0)
        if not max(self.beta1, self.beta2) < 1:
            raise ConfigError(f"optimizer.beta1 and beta2 are {self.beta1} and {self.beta2}, and must be below 1")


@dataclass(frozen=True)
class ScheduleConfig:
    """The learning rate rises in a line over `warmup`, is constant, and falls over `decay`, the end of the run.

    `shape` is that of the fall to `min_ratio` x the maximum. `warmup` and `decay` are a fraction of the run, below 1,
    or steps, from 1 on. `decay` 0 means all that follows the warm-up (cosine, linear), 0.2 of the run (wsd), or that
    the rate never falls (constant).
    """

    shape: Shape = _key("cosine", "how the learning rate falls")
    max_learning_rate: float = _key(1e-3, "rate after the warm-up")
    min_ratio: float = _key(0.1, "the last rate, as a share of the maximum")
    warmup: int | float = _key(0.04, "fraction of the run (below 1) or steps (from 1 on)")
    decay: int | float = _key(0, "the same for the fall at the end; 0: all after the warm-up, or 0.2 of the run (wsd)")

    def __post_init__(self) -> None:
        _check_types(self, "schedule")
        if self.max_learning_rate <= 0:
            raise ConfigError(f"schedule.max_learning_rate is {self.max_learning_rate}, and must be above 0")
        if not 0 <= self.min_ratio <= 1:
            raise ConfigError(
                f"schedule.min_ratio is {self.min_ratio}, and must be from 0 to 1: a share of max_learning_rate"
            )
        for name in ("warmup", "decay"):
            _check_length(self, name)
        if self.shape == "constant" and self.decay:
            raise ConfigError(
                f"schedule.decay is {self.decay}, and schedule.shape is constant, which never falls; "
                "set decay 0, or another shape: cosine, linear, wsd"
            )
        if self.warmup < 1 and self.decay < 1 and _exactly(self.warmup) + _exactly(self.decay) > 1:
            raise ConfigError(
                f"schedule.warmup is {self.warmup} and schedule.decay is {self.decay} of the run, more than all of it"
            )

    def in_steps(self, steps: int) -> ScheduleConfig:
        """The same for a run of so many steps, with `warmup` and `decay` in steps.

        Raises:
            ConfigError: As `lengths`.
        """
        warmup, decay = self.lengths(steps)
        return replace(self, warmup=warmup, decay=decay)

    def lengths(self, steps: int) -> tuple[int, int]:
        """How many steps of a run of so many are the warm-up, and how many the decay.

        A fraction becomes the nearest number of steps; a warm-up leaves at least one step, and a fall has at least one.

        Raises:
            ConfigError: The warm-up is as long as the run, or there is no room for the decay after it.
        """
        warmup = int(self.warmup)
        if 0 < self.warmup < 1:
            warmup = min(round(_exactly(self.warmup) * steps), steps - 1)
        if warmup >= steps:
            raise ConfigError(
                f"schedule.warmup is {warmup:,} steps, and the run has {steps:,}; make the run longer, or the "
                "warm-up shorter (a number below 1 is a fraction of the run)"
            )
        decay = self._decay_steps(steps, warmup)
        if warmup + decay > steps:
            raise ConfigError(
                f"schedule.warmup is {warmup:,} steps and schedule.decay {decay:,}, more together than the "
                f"{steps:,} of the run; make one of them shorter, or the run longer"
            )
        return warmup, decay

    def _decay_steps(self, steps: int, warmup: int) -> int:
        if self.shape == "constant":
            return 0
        if self.decay >= 1:
            return int(self.decay)
        fraction = self.decay or (WSD_DECAY if self.shape == "wsd" else 0)
        # From the end, so that two fractions that fill the run fill it in steps as well.
        return max(steps - round((1 - _exactly(fraction)) * steps), 1) if fraction else steps - warmup


@dataclass(frozen=True)
class TrainConfig:
    """A training run."""

    model: ModelConfig = field(default_factory=ModelConfig)
    data: DataConfig = field(default_factory=DataConfig)
    optimizer: OptimizerConfig = field(default_factory=OptimizerConfig)
    schedule: ScheduleConfig = field(default_factory=ScheduleConfig)
    steps: int = _key(5_000, "optimizer steps of the run")
    batch_size: int = _key(32, "rows of a step, over all processes")
    micro_batch_size: int = _key(0, "rows of a process at once; 0: all of its part of the batch")
    seed: int = _key(336, "of the weights and the batches")
    device: str = _key("auto", "cpu, cuda, mps, or auto: the fastest that is here")
    dtype: Dtype = _key("float32", "of matrix products; weights stay float32")
    implementation: Implementation = _key("fast", "the fast layers, or the formulas")
    compile: bool = _key(False, "use torch.compile")
    parallel: Parallel = _key("ddp", "how several processes share the model")
    activation_checkpointing: bool = _key(False, "compute activations again in the backward pass, for less memory")
    max_time: float = _key(0.0, "seconds after which the run stops; 0: no limit")
    log_every: int = _key(10, "steps between records")
    validate_every: int = _key(500, "steps between validations")
    validation_tokens: int = _key(100_000, "tokens of a validation; 0: all")
    checkpoint_every: int = _key(500, "steps between checkpoints")
    checkpoints_kept: int = _key(2, "how many of the newest are kept")
    max_skipped_steps: int = _key(10, "stop after more steps in a row with a loss or gradient that is not finite")
    stop_when_worse: int = _key(0, "stop after so many validations without a better loss; 0: never")
    wandb_project: str = _key("", "project of Weights & Biases; empty: none")

    def __post_init__(self) -> None:
        _check_types(self, "")
        for name in ("steps", "batch_size", "log_every", "validate_every", "checkpoint_every", "checkpoints_kept"):
            _at_least(self, "", name, 1)
        for name in ("micro_batch_size", "max_skipped_steps", "stop_when_worse", "validation_tokens", "max_time"):
            _at_least(self, "", name, 0)
        if not 0 <= self.seed < 2**63:
            raise ConfigError(f"seed is {self.seed}, and must be from 0 to 2^63 - 1")
        if self.tokens_per_step >= 2**63:
            raise ConfigError(
                f"batch_size x model.context_length is {self.tokens_per_step:.1e} tokens, and must be below 2^63"
            )
        if self.micro_batch_size and self.batch_size % self.micro_batch_size:
            raise ConfigError(
                f"batch_size is {self.batch_size}, no multiple of micro_batch_size, {self.micro_batch_size}"
            )
        self.schedule.lengths(self.steps)

    @property
    def tokens_per_step(self) -> int:
        """Of a whole batch."""
        return self.batch_size * self.model.context_length

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return dataclasses.asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> TrainConfig:
        """Of nested values; those that are not there keep their defaults.

        Raises:
            ConfigError: A key is unknown, or a value makes no sense.
        """
        return over(cls(), values)

    @classmethod
    def load(cls, path: str | Path) -> TrainConfig:
        """Of the `config.json` of a run.

        Raises:
            ConfigError: It is of another version, or damaged.
            FileError: It could not be read.
        """
        values = read_config(Path(path))
        try:
            return over(cls(), values)
        except ConfigError as error:
            raise ConfigError(f"{path}: {error}") from None


Config = TrainConfig | ModelConfig | DataConfig | OptimizerConfig | ScheduleConfig


def tinystories() -> TrainConfig:
    """The course's base run: 327.68 M tokens. The warm-up is 200 steps of 10,000."""
    return TrainConfig(steps=10_000, batch_size=128, schedule=ScheduleConfig(warmup=0.02))


def tinystories_low_resource() -> TrainConfig:
    """The course's run for a laptop: 40.96 M tokens. The warm-up is 200 steps of 5,000."""
    return TrainConfig(steps=5_000, batch_size=32)


def owt() -> TrainConfig:
    """The base run on OpenWebText, with 32,000 tokens."""
    return replace(tinystories(), model=ModelConfig(vocab_size=32_000))


def demo() -> TrainConfig:
    """What two cores learn in a few minutes. The warm-up is 50 steps of 600."""
    model = ModelConfig(vocab_size=4_000, context_length=128, d_model=192, num_layers=4, num_heads=6, d_ff=512)
    schedule = ScheduleConfig(max_learning_rate=3e-3, warmup=0.083)
    return TrainConfig(
        model=model, schedule=schedule, steps=600, batch_size=32, validate_every=100, checkpoint_every=200
    )


def debug() -> TrainConfig:
    """A model that does a step in milliseconds. The warm-up is 5 steps of 20."""
    model = ModelConfig(vocab_size=300, context_length=16, d_model=32, num_layers=2, num_heads=4, d_ff=64)
    schedule = ScheduleConfig(warmup=0.25)
    return TrainConfig(
        model=model, schedule=schedule, steps=20, batch_size=8, log_every=1, validate_every=10, checkpoint_every=10
    )


PRESETS = {preset.__name__: preset for preset in (tinystories, tinystories_low_resource, owt, demo, debug)}


def resolve(source: str, flags: Sequence[str] = ()) -> TrainConfig:
    """The config that a source and flags over it describe; they are merged first, and the whole is checked once.

    Args:
        source: A preset's name, a TOML or JSON file (whose key `preset` may name what it changes), or a run's folder.
        flags: As a command line has them: `--model.num-layers 6`, `--steps=1e4`, `--compile`. A value is read as its
            key's type.

    Raises:
        ConfigError: A key is unknown, with the one that is meant, or a value makes no sense.
        FileError: The file could not be read.
    """
    # Flags first, because one that is unknown may have made its value the source.
    changes = parse_flags(flags)
    if source in PRESETS:
        return over(PRESETS[source](), changes)
    path = _config_file(source)
    values = read_config(path)
    preset = values.pop("preset", None)
    if preset is not None and not (isinstance(preset, str) and preset in PRESETS):
        raise ConfigError(f"{path}: there is no preset {preset!r}; the presets are {', '.join(PRESETS)}")
    try:
        return over(PRESETS[preset]() if preset else TrainConfig(), _merged(values, changes))
    except ConfigError as error:
        raise (error if changes else ConfigError(f"{path}: {error}")) from None


def _config_file(source: str) -> Path:
    path = Path(source)
    if path.is_dir():
        if not (path / CONFIG).is_file():
            raise FileError(f"{path} is a folder without {CONFIG}; name a run's, a file, or a preset")
        return path / CONFIG
    if not path.exists():
        close = nearest(source, PRESETS)
        hint = f"did you mean the preset {close}?" if close else f"the presets are {', '.join(PRESETS)}"
        raise FileError(f"there is no file {path}; {hint}")
    return path


def _merged(values: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    merged = dict(values)
    for name, change in changes.items():
        old = merged.get(name)
        if isinstance(old, Mapping) and isinstance(change, Mapping):
            merged[name] = _merged(old, change)
        else:
            merged[name] = change
    return merged


RENAMED = {
    "schedule.name": "schedule.shape",
    "schedule.min_learning_rate": "schedule.min_ratio, a share of schedule.max_learning_rate",
    "schedule.warmup_iters": "schedule.warmup, in steps or as a fraction of the run",
    "schedule.cosine_cycle_iters": "schedule.decay, the fall at the end, in steps or as a fraction of the run",
}
"""Keys of format 1, and what says the same now."""


def key_of(text: str) -> str:
    """The key that a flag or a key of a file names: - and _ are the same."""
    return text.removeprefix("--").replace("-", "_")


def flag_of(key: str) -> str:
    """The flag of a key."""
    return f"--{key.replace('_', '-')}"


def _spelled(config: Any, values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """The values under the names of the fields, each of which is known."""
    names = [f.name for f in fields(config)]
    found: dict[str, Any] = {}
    for key, value in values.items():
        name = key_of(key)
        if new := RENAMED.get(f"{prefix}{name}"):
            raise ConfigError(f"{prefix}{name} is a key no more; use {new}")
        if name not in names:
            meant = did_you_mean(f"{prefix}{name}", kinds())
            raise ConfigError(f"unknown key {prefix}{key}" + (meant or f"; there are {', '.join(names)}"))
        if name in found:
            raise ConfigError(f"{prefix}{name} is given twice, once with - and once with _")
        table = getattr(config, name)
        if is_dataclass(table):
            if not isinstance(value, Mapping):
                raise ConfigError(f"{prefix}{name} is a table with keys of its own, not {value!r}")
            found[name] = _spelled(table, value, f"{prefix}{name}.")
        else:
            found[name] = value
    return found


def over(config: Any, values: Mapping[str, Any]) -> Any:
    """The config with other values, which may be nested.

    Raises:
        ConfigError: A key is unknown, or a value makes no sense.
    """
    return _replaced(config, _spelled(config, values))


def _replaced(config: Any, values: Mapping[str, Any]) -> Any:
    changed = {
        name: _replaced(getattr(config, name), value) if is_dataclass(getattr(config, name)) else value
        for name, value in values.items()
    }
    return replace(config, **changed)


def keys(config: Any, prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Every key with dots, and its value."""
    for f in fields(config):
        value = getattr(config, f.name)
        if is_dataclass(value):
            yield from keys(value, f"{prefix}{f.name}.")
        else:
            yield f"{prefix}{f.name}", value


def meanings() -> dict[str, str]:
    """What every key with dots means."""
    return dict(_meanings(TrainConfig(), ""))


def _meanings(config: Any, prefix: str) -> Iterator[tuple[str, str]]:
    for f in fields(config):
        value = getattr(config, f.name)
        if is_dataclass(value):
            yield from _meanings(value, f"{prefix}{f.name}.")
        else:
            yield f"{prefix}{f.name}", f.metadata.get("meaning", "")


@cache
def kinds() -> dict[str, Any]:
    """The type of every key with dots."""
    return dict(_kinds(TrainConfig, ""))


def _kinds(table: Any, prefix: str) -> Iterator[tuple[str, Any]]:
    for name, kind in typing.get_type_hints(table).items():
        if is_dataclass(kind):
            yield from _kinds(kind, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", kind


def read_config(path: Path) -> dict[str, Any]:
    """The values in a TOML or JSON file, of which each key is known; there may be a `preset` too.

    Raises:
        ConfigError: It is of another version, or damaged.
        FileError: It could not be read.
    """
    values = read_json(path) if path.suffix == ".json" else _read_toml(path)
    number, preset = values.pop("format", None), values.pop("preset", None)
    if number is not None and (type(number) is not int or not 0 < number <= CONFIG_FORMAT):
        raise ConfigError(
            f"{path} has format {number!r}, and this version of bpe-lm reads formats up to {CONFIG_FORMAT}; "
            "use the version that wrote it, or a newer one"
        )
    if "architectures" in values:
        raise ConfigError(f"{path} is the config of an exported model, and not of a run")
    try:
        values = _spelled(TrainConfig(), values)
    except ConfigError as error:
        if path.name != CONFIG or number == CONFIG_FORMAT:
            raise ConfigError(f"{path}: {error}") from None
        raise ConfigError(
            f"{path} is of an older version of bpe-lm ({error}); evaluate, generate and export open such a run, "
            "and pretrain cannot go on with it"
        ) from None
    return values if preset is None else values | {"preset": preset}


def read_json(path: Path) -> dict[str, Any]:
    """The object in a file.

    Raises:
        FileError: It could not be read.
        ConfigError: It is no object, or has a key twice.
    """
    try:
        # Editors of Windows begin a file with a mark, which utf-8-sig skips.
        found = json.loads(path.read_text(encoding="utf-8-sig"), object_pairs_hook=_once_each)
    except OSError as error:
        raise FileError(f"could not read {path}: {error.strerror}") from error
    except (ValueError, RecursionError) as error:
        raise ConfigError(f"{path} is not JSON: {error}") from error
    if not isinstance(found, dict):
        raise ConfigError(f"{path} is not an object of JSON")
    return found


def _once_each(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [name for name, _ in pairs]
        raise ValueError(f"the key {next(name for name in names if names.count(name) > 1)} is there twice")
    return found


def _read_toml(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8-sig"))
    except OSError as error:
        raise FileError(f"could not read {path}: {error.strerror}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, RecursionError) as error:
        raise ConfigError(f"{path} is not TOML: {error}") from error


def parse_flags(flags: Sequence[str]) -> dict[str, Any]:
    """The nested values that flags give; `--key value` or `--key=value`, and a switch may stand alone.

    Raises:
        ConfigError: A flag is unknown, or its value is not of the key's type.
    """
    values: dict[str, Any] = {}
    rest = list(flags)
    while rest:
        flag, has_value, text = rest.pop(0).partition("=")
        key = key_of(flag)
        if not flag.startswith("--"):
            raise ConfigError(f"{flag!r} is no flag; write --key value, as in --model.num-layers 6")
        if key not in kinds():
            raise ConfigError(unknown_flag(flag, list(map(flag_of, kinds()))))
        kind = kinds()[key]
        if not has_value:
            text = "true" if kind is bool else ""
            if rest and (kind is not bool or rest[0].lower() in TRUTH):
                text = rest.pop(0)
            elif kind is not bool:
                raise ConfigError(f"{flag} lacks its value")
        *tables, name = key.split(".")
        place = values
        for table in tables:
            place = place.setdefault(table, {})
        place[name] = _parse_as(kind, text, flag_of(key))
    return values


def unknown_flag(flag: str, known: Sequence[str]) -> str:
    """An error with the flag that is meant, of those that are known."""
    key = key_of(flag)
    if new := RENAMED.get(key):
        return f"{flag_of(key)} is a flag no more; use {new}"
    if of_table := [name for name in kinds() if name.startswith(f"{key}.")]:
        return f"{flag} is a table; give one of its keys, such as {flag_of(of_table[0])}"
    return f"there is no flag {flag}{did_you_mean(flag, known)}"


def _parse_as(kind: Any, text: str, flag: str) -> Any:
    """The value of this type that a text is. What a `Literal` may be is checked with the whole config."""
    try:
        if kind is bool:
            return parse_truth(text)
        if kind is int:
            return parse_whole(text)
        if kind is float:
            return float(text)
        if kind == int | float:
            return float(text) if "." in text or "e-" in text.lower() else parse_whole(text)
    except ValueError:
        raise ConfigError(f"{flag} is {text!r}, and must be {_WORDS[kind]}") from None
    return text


def _check_types(config: Any, table: str) -> None:
    """A whole number is also a float, and a float that is whole (1e4, as TOML and JSON have it) a whole number."""
    hints = typing.get_type_hints(type(config))
    for f in fields(config):
        value, kind = getattr(config, f.name), hints[f.name]
        name = f"{table}.{f.name}".lstrip(".")
        if get_origin(kind) is Literal:
            if value not in get_args(kind):
                meant = did_you_mean(str(value), get_args(kind))
                raise ConfigError(f"{name} is {value!r}, and must be one of {', '.join(get_args(kind))}{meant}")
        elif kind in (float, int | float):
            if type(value) not in (int, float):
                raise ConfigError(f"{name} is {value!r}, and must be a number")
            if not abs(value) < float("inf"):
                raise ConfigError(f"{name} is {value}, and must be finite")
            if kind is float:
                object.__setattr__(config, f.name, float(value))
        elif kind is int and type(value) is float and value.is_integer():
            object.__setattr__(config, f.name, int(value))
        elif type(value) is not kind and not is_dataclass(value):
            raise ConfigError(f"{name} is {value!r}, and must be {_WORDS.get(kind, kind.__name__)}")
        if kind is int and abs(getattr(config, f.name)) >= 2**63:
            raise ConfigError(f"{name} is {value}, and must be below 2^63")


_WORDS = {
    int: "a whole number",
    float: "a number",
    int | float: "a fraction of the run, below 1, or a whole number of steps",
    str: "a text",
    bool: "true or false",
}


def _check_length(config: ScheduleConfig, name: str) -> None:
    """A fraction below 1, or whole steps, which become an int."""
    value = getattr(config, name)
    wanted = "a fraction of the run, below 1, or a whole number of steps, from 1 on"
    if value < 0 or (value > 1 and value != int(value)):
        raise ConfigError(f"schedule.{name} is {value}, and must be {wanted}")
    if type(value) is float and value == 1:
        raise ConfigError(f"schedule.{name} is 1.0, and could mean all of the run or one step; it must be {wanted}")
    if value == int(value):
        object.__setattr__(config, name, int(value))


def _exactly(number: float) -> Fraction:
    """What is written, so that 0.1 is a tenth and 0.9 + 0.1 are 1."""
    return Fraction(repr(number))


def _at_least(config: Any, table: str, name: str, least: float) -> None:
    value = getattr(config, name)
    if value < least:
        raise ConfigError(f"{f'{table}.{name}'.lstrip('.')} is {value}, and must be at least {least}")
