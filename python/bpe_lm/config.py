"""What a model and a training run are: frozen dataclasses, so that an ablation is a one-field difference.

A run is described by a preset, then a TOML file, then flags (`--model.num-layers 6`), each over the one before.
"""

from __future__ import annotations

import dataclasses
import difflib
import json
import tomllib
import typing
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields, is_dataclass, replace
from fractions import Fraction
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

from bpe_lm.errors import ConfigError, FileError

Norm = Literal["pre", "post", "none"]
Position = Literal["rope", "none"]
FeedForwardKind = Literal["swiglu", "silu", "relu2"]
Implementation = Literal["fast", "reference"]
Dtype = Literal["float32", "bfloat16"]
Parallel = Literal["ddp", "fsdp"]
Shape = Literal["cosine", "constant", "linear", "wsd"]

CONFIG_FORMAT = 2
"""The version of a run's config.json, under its key `format`. The first one had no such key."""

WSD_DECAY = 0.2
"""The part of a run over which wsd falls by default."""

CONFIG, DATA, CHECKPOINTS, BEST, PROFILE = "config.json", "data.json", "checkpoints", "best", "profile"
"""What is in the folder of a run."""


@dataclass(frozen=True)
class ModelConfig:
    """The shape of a `TransformerLM`."""

    vocab_size: int = 10_000
    context_length: int = 256
    d_model: int = 512
    num_layers: int = 4
    num_heads: int = 16
    d_ff: int = 1344
    rope_theta: float = 10_000.0
    norm: Norm = "pre"
    position: Position = "rope"
    ffn: FeedForwardKind = "swiglu"
    tied_head: bool = False

    def __post_init__(self) -> None:
        _check_types(self, "model")
        for name in ("vocab_size", "context_length", "d_model", "num_layers", "num_heads", "d_ff"):
            _at_least(self, "model", name, 1)
        if self.rope_theta <= 0:
            raise ConfigError(f"model.rope_theta is {self.rope_theta}, and must be above 0")
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
        ffn = self.ffn_matrices * self.d_model * self.d_ff
        weights = self.num_layers * (4 * self.d_model**2 + ffn) + self.vocab_size * self.d_model
        return 6.0 * weights + 12.0 * self.num_layers * self.d_model * self.context_length


@dataclass(frozen=True)
class DataConfig:
    """Token files that `bpe-lm encode` wrote, and the tokenizer that made them."""

    train: str = ""
    valid: str = ""
    tokenizer: str = ""

    def __post_init__(self) -> None:
        _check_types(self, "data")


@dataclass(frozen=True)
class OptimizerConfig:
    """AdamW, or the course's SGD; `max_l2_norm` 0 clips nothing."""

    name: Literal["adamw", "sgd"] = "adamw"
    beta1: float = 0.9
    beta2: float = 0.95
    eps: float = 1e-8
    weight_decay: float = 0.1
    max_l2_norm: float = 1.0

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

    shape: Shape = "cosine"
    max_learning_rate: float = 1e-3
    min_ratio: float = 0.1
    warmup: int | float = 0.04
    decay: int | float = 0

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
    """A training run. Times in seconds; `max_time` 0 sets no limit; so many
    `max_skipped_steps` in a row are borne; `micro_batch_size` 0 is a process's whole batch."""

    model: ModelConfig = field(default_factory=ModelConfig)
    data: DataConfig = field(default_factory=DataConfig)
    optimizer: OptimizerConfig = field(default_factory=OptimizerConfig)
    schedule: ScheduleConfig = field(default_factory=ScheduleConfig)
    steps: int = 5_000
    batch_size: int = 32
    micro_batch_size: int = 0
    seed: int = 336
    device: str = "auto"
    dtype: Dtype = "float32"
    implementation: Implementation = "fast"
    compile: bool = False
    parallel: Parallel = "ddp"
    activation_checkpointing: bool = False
    max_time: float = 0.0
    log_every: int = 10
    validate_every: int = 500
    validation_tokens: int = 100_000
    checkpoint_every: int = 500
    checkpoints_kept: int = 2
    max_skipped_steps: int = 10
    stop_when_worse: int = 0
    wandb_project: str = ""

    def __post_init__(self) -> None:
        _check_types(self, "")
        for name in ("steps", "batch_size", "log_every", "validate_every", "checkpoint_every", "checkpoints_kept"):
            _at_least(self, "", name, 1)
        for name in ("micro_batch_size", "max_skipped_steps", "stop_when_worse", "validation_tokens", "max_time"):
            _at_least(self, "", name, 0)
        if not 0 <= self.seed < 2**63:
            raise ConfigError(f"seed is {self.seed}, and must be from 0 to 2^63 - 1")
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
        return over(cls(), read_config(Path(path)))


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
    """A preset's name or a TOML file (whose key `preset` may name what it changes), and flags over it.

    Raises:
        ConfigError: A key is unknown, with the one that is meant, or a value makes no sense.
        FileError: The file could not be read.
    """
    values = _parse_flags(flags)
    # First, because a flag that is unknown may have made its value the source.
    _check_keys(TrainConfig(), values)
    config = PRESETS[source]() if source in PRESETS else _from_toml(Path(source))
    return over(config, values)


RENAMED = {
    "schedule.name": "schedule.shape",
    "schedule.min_learning_rate": "schedule.min_ratio, a share of schedule.max_learning_rate",
    "schedule.warmup_iters": "schedule.warmup, in steps or as a fraction of the run",
    "schedule.cosine_cycle_iters": "schedule.decay, the fall at the end, in steps or as a fraction of the run",
}
"""Keys of format 1, and what says the same now."""


def _check_keys(config: Any, values: Mapping[str, Any], prefix: str = "") -> None:
    names = {f.name for f in fields(config)}
    for key, value in values.items():
        name = key.replace("-", "_")
        if name not in names:
            if new := RENAMED.get(f"{prefix}{name}"):
                raise ConfigError(f"{prefix}{name} is a key no more; use {new}")
            raise ConfigError(f"unknown key {prefix}{key}{_suggestion(f'{prefix}{name}', config)}")
        if is_dataclass(getattr(config, name)) and isinstance(value, Mapping):
            _check_keys(getattr(config, name), value, f"{prefix}{name}.")


def over(config: Any, values: Mapping[str, Any], prefix: str = "") -> Any:
    """The config with other values, which may be nested."""
    _check_keys(config, values, prefix)
    changed: dict[str, Any] = {}
    for key, value in values.items():
        name = key.replace("-", "_")
        old = getattr(config, name)
        if is_dataclass(old):
            if not isinstance(value, Mapping):
                raise ConfigError(f"{prefix}{name} is a table with keys of its own, not {value!r}")
            changed[name] = over(old, value, f"{prefix}{name}.")
        else:
            changed[name] = value
    return replace(config, **changed)


def keys(config: Any, prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Every key with dots, and its value."""
    for f in fields(config):
        value = getattr(config, f.name)
        if is_dataclass(value):
            yield from keys(value, f"{prefix}{f.name}.")
        else:
            yield f"{prefix}{f.name}", value


def read_config(path: Path) -> dict[str, Any]:
    """The values in a `config.json`, of which each key is known.

    Raises:
        ConfigError: It is of another version, or damaged.
        FileError: It could not be read.
    """
    values = read_json(path)
    number = values.pop("format", 1)
    if type(number) is not int or number > CONFIG_FORMAT:
        raise ConfigError(
            f"{path} has format {number!r}, and this version of bpe-lm reads formats up to {CONFIG_FORMAT}; "
            "use the version that wrote it, or a newer one"
        )
    try:
        over(TrainConfig(), values)
    except ConfigError as error:
        if number == CONFIG_FORMAT:
            raise ConfigError(f"{path}: {error}") from None
        raise ConfigError(
            f"{path} is of an older version of bpe-lm ({error}); evaluate, generate and export open such a run, "
            "and pretrain cannot go on with it"
        ) from None
    return values


def read_json(path: Path) -> dict[str, Any]:
    """The object in a file.

    Raises:
        FileError: It could not be read.
        ConfigError: It is no object.
    """
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise FileError(f"could not read {path}: {error.strerror}") from error
    except ValueError as error:
        raise ConfigError(f"{path} is not JSON: {error}") from error
    if not isinstance(found, dict):
        raise ConfigError(f"{path} is not an object of JSON")
    return found


def _from_toml(path: Path) -> TrainConfig:
    try:
        values = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        close = difflib.get_close_matches(str(path), PRESETS, 1)
        hint = f"; did you mean the preset {close[0]}?" if close else f"; the presets are {', '.join(PRESETS)}"
        raise FileError(f"there is no file {path}{hint}") from None
    except OSError as error:
        raise FileError(f"could not read {path}: {error.strerror}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path} is not TOML: {error}") from error
    preset = values.pop("preset", None)
    if preset is not None and not (isinstance(preset, str) and preset in PRESETS):
        raise ConfigError(f"{path}: there is no preset {preset!r}; the presets are {', '.join(PRESETS)}")
    try:
        return over(PRESETS[preset]() if preset else TrainConfig(), values)
    except ConfigError as error:
        raise ConfigError(f"{path}: {error}") from None


def _parse_flags(flags: Sequence[str]) -> dict[str, Any]:
    values: dict[str, Any] = {}
    rest = list(flags)
    while rest:
        flag = rest.pop(0)
        if not flag.startswith("--"):
            raise ConfigError(f"{flag!r} is no flag; write --key value, as in --model.num-layers 6")
        key, has_value, text = flag[2:].partition("=")
        if not has_value:
            if not rest:
                raise ConfigError(f"--{key} lacks its value")
            text = rest.pop(0)
        *tables, name = key.replace("-", "_").split(".")
        place = values
        for table in tables:
            place = place.setdefault(table, {})
            if not isinstance(place, dict):
                raise ConfigError(f"--{table} has a value, and --{key} means that it is a table")
        place[name] = _parse_value(text)
    return values


def _parse_value(text: str) -> Any:
    """As TOML has it; what is not TOML is a string."""
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        pass
    try:
        return float(text)
    except ValueError:
        return text


def _suggestion(key: str, config: Any) -> str:
    known = [name for name, _ in keys(TrainConfig())]
    close = difflib.get_close_matches(key, known, 1, 0.5)
    if not close:
        last = key.rpartition(".")[2]
        close = [name for name in known if name.rpartition(".")[2] == last][:1]
    return f"; did you mean {close[0]}?" if close else f"; there are {', '.join(f.name for f in fields(config))}"


def _check_types(config: Any, table: str) -> None:
    """A whole number is also a float, and a float that is whole (1e4, as TOML and JSON have it) a whole number."""
    hints = typing.get_type_hints(type(config))
    for f in fields(config):
        value, kind = getattr(config, f.name), hints[f.name]
        name = f"{table}.{f.name}".lstrip(".")
        if get_origin(kind) is Literal:
            if value not in get_args(kind):
                close = difflib.get_close_matches(str(value), get_args(kind), 1)
                hint = f"; did you mean {close[0]}?" if close else ""
                raise ConfigError(f"{name} is {value!r}, and must be one of {', '.join(get_args(kind))}{hint}")
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


_WORDS = {int: "a whole number", str: "a text", bool: "true or false"}


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
