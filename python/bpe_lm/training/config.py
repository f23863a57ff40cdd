"""The config of a training run: frozen dataclasses, and the files that they are read from."""

from __future__ import annotations

import dataclasses
import shlex
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from typing import Any, Literal, TypeVar

from bpe_lm.errors import ConfigError, FileError, InternalError
from bpe_lm.fields import Switch, at_least, check_types, key, merge_nested, replace_nested, values_by_field
from bpe_lm.files import read_json
from bpe_lm.kernels.choices import Kernels
from bpe_lm.kernels.implementation import AutoDtype, Dtype, Implementation
from bpe_lm.model.config import ModelConfig
from bpe_lm.training.optimizers.config import OptimizerConfig

Parallel = Literal["ddp", "fsdp"]
Shape = Literal["cosine", "constant", "linear", "wsd"]
Clock = Literal["steps", "time"]

CONFIG_FORMAT = 2
"""The version of a run's config.json, under its key `format`. Format 1 had no such key."""

_WEIGHT_CHARACTERS = 12

WSD_DECAY = 0.2
"""The default length of the fall at the end of a wsd schedule, as a fraction of the run."""

RENAMED = {
    "schedule.name": "schedule.shape",
    "schedule.min_learning_rate": "schedule.min_ratio, a fraction of schedule.max_learning_rate",
    "schedule.warmup_iters": "schedule.warmup, in steps or as a fraction of the run",
    "schedule.cosine_cycle_iters": "schedule.decay, the fall at the end, in steps or as a fraction of the run",
}
"""Keys of format 1, and the keys that replaced them."""

CHOSEN = "chosen"
"""The key of a run's config.json that says on what device which keys were "auto" when the run began."""

CONFIG, DATA, CHECKPOINTS, BEST, PROFILE = "config.json", "data.json", "checkpoints", "best", "profile"
TENSORBOARD = "tensorboard"
"""Names of the files and folders in a run's folder."""


@dataclass(frozen=True)
class DataConfig:
    """Token files that `bpe-lm encode` wrote or `bpe-lm tokens join` joined, and the tokenizer that encoded them.

    In `mixture` a path with spaces has quotes. Only the ratios of the weights matter.
    """

    train: str = key("", "token file to train on")
    valid: str = key("", "token file to validate on")
    tokenizer: str = key("", "tokenizer that encoded them")
    mixture: str = key("", "in place of train several files, each after its weight: '0.7 web.bin 0.3 code.bin'")

    def __post_init__(self) -> None:
        check_types(self, "data")
        if self.train and self.mixture:
            raise ConfigError("data.train and data.mixture are both set; give one of them")
        for name, path in [*self.files(), ("data.tokenizer", self.tokenizer)]:
            if "://" in path:
                raise ConfigError(f"{name} is {path}, and only local files are read; download it first")

    @property
    def training(self) -> tuple[tuple[str, Fraction], ...]:
        """The token files to train on, each with its weight. The weights are 1 together.

        Raises:
            ConfigError: `mixture` is not weights and paths in turns, or a weight is not above 0.
        """
        if not self.mixture:
            return ((self.train, Fraction(1)),) if self.train else ()
        words = _words(self.mixture)
        files = [(path, _weight(text)) for text, path in zip(words[::2], words[1::2], strict=True)]
        total = sum(weight for _, weight in files)
        return tuple((path, weight / total) for path, weight in files)

    def files(self) -> list[tuple[str, str]]:
        """Return the token files, each with the name of its key, and first those to train on."""
        train = "data.mixture" if self.mixture else "data.train"
        files = [(train, path) for path, _ in self.training]
        return [*files, ("data.valid", self.valid)] if self.valid else files

    def with_paths(self, change: Callable[[str], str]) -> DataConfig:
        """Return a config of other paths."""
        words = _words(self.mixture) if self.mixture else []
        words[1::2] = map(change, words[1::2])
        paths = {
            name: change(path) if (path := getattr(self, name)) else "" for name in ("train", "valid", "tokenizer")
        }
        return replace(self, mixture=shlex.join(words), **paths)


@dataclass(frozen=True)
class ScheduleConfig:
    """The learning rate, which rises linearly over `warmup`, is constant, and falls over `decay` at the end of the run.

    `shape` is the shape of the fall to `min_ratio` x the maximum. A `warmup` or `decay` below 1 is a fraction of the
    run, and from 1 on a number of steps. `decay` 0 stands for everything after the warm-up (cosine, linear), for 0.2 of
    the run (wsd), or for no fall (constant).

    With `clock` time, `decay` is a part of `max_time` in place of the steps, and the fall ends with it.
    """

    shape: Shape = key("cosine", "how the learning rate falls")
    max_learning_rate: float = key(1e-3, "rate after the warm-up")
    min_ratio: float = key(0.1, "the last rate, as a fraction of the maximum")
    warmup: int | float = key(0.04, "fraction of the run (below 1) or steps (from 1 on)", unit="fraction or steps")
    decay: int | float = key(
        0,
        "the same for the fall at the end; 0: all after the warm-up, or 0.2 of the run (wsd)",
        unit="fraction or steps",
    )
    clock: Clock = key("steps", "what the fall ends with: the last of the steps, or the time that max_time gives")

    def __post_init__(self) -> None:
        check_types(self, "schedule")
        if self.max_learning_rate <= 0:
            raise ConfigError(f"schedule.max_learning_rate is {self.max_learning_rate}, and must be above 0")
        if not 0 <= self.min_ratio <= 1:
            raise ConfigError(
                f"schedule.min_ratio is {self.min_ratio}, and must be from 0 to 1: a fraction of max_learning_rate"
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
        """Return the schedule for a run of this many steps, with `warmup` and `decay` in steps.

        Raises:
            ConfigError: The run is too short, as for `lengths`.
        """
        warmup, decay = self.lengths(steps)
        return replace(self, warmup=warmup, decay=decay)

    def lengths(self, steps: int) -> tuple[int, int]:
        """Return the steps of warm-up and the steps of decay in a run of this many steps.

        A fraction becomes the nearest number of steps. A warm-up leaves at least one step, and a fall has at least one.

        Raises:
            ConfigError: The warm-up is as long as the run, or leaves no room for the decay.
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
        # Counted from the end, so that two fractions that add up to 1 also fill the run in steps.
        return max(steps - round((1 - _exactly(fraction)) * steps), 1) if fraction else steps - warmup


_FROM_1 = (
    "steps",
    "batch_size",
    "log_every",
    "validate_every",
    "checkpoint_every",
    "checkpoints_kept",
    "max_loss_steps",
)
_FROM_0 = (
    "tokens",
    "micro_batch_size",
    "max_skipped_steps",
    "max_loss",
    "stop_when_worse",
    "validation_tokens",
    "max_time",
)
"""The keys that must be at least 1, and those that must be at least 0."""


@dataclass(frozen=True)
class TrainConfig:
    """The config of a training run.

    With `tokens`, `steps` follows from it, whatever it was set to, so that a config with another `batch_size` has the
    same tokens. `override` sets `tokens` to 0 where `steps` is given.

    `watches=True` marks a key that only watches a run, and is no part of its identity (`bpe_lm.training.identity`).
    """

    model: ModelConfig = field(default_factory=ModelConfig)
    data: DataConfig = field(default_factory=DataConfig)
    optimizer: OptimizerConfig = field(default_factory=OptimizerConfig)
    schedule: ScheduleConfig = field(default_factory=ScheduleConfig)
    kernels: Kernels = field(default_factory=Kernels)
    steps: int = key(5_000, "optimizer steps of the run", unit="steps")
    tokens: int = key(
        0, "tokens of the run: steps is the number of batches that reaches them; 0: steps decides", unit="tokens"
    )
    batch_size: int = key(32, "rows of a step, over all processes", unit="rows")
    micro_batch_size: int = key(0, "rows of a process at once; 0: all of its rows of the batch", unit="rows")
    seed: int = key(336, "seed of the weights and the batches")
    device: str = key("auto", "cpu, cuda, mps, or auto: the fastest of this machine")
    dtype: AutoDtype = key(
        "auto",
        "number format of matrix products; weights stay float32; auto: bfloat16 on a GPU from Ampere on, and on a CPU "
        "where it is faster",
    )
    implementation: Implementation = key("fast", "the fast layers, or the formulas")
    compile: Switch = key("auto", "use torch.compile; auto: on a CPU or an NVIDIA GPU, if the run is long enough")
    deterministic: bool = key(
        False, "on a GPU too, the same run gives the same bits: slower kernels where others add in any order"
    )
    residual: AutoDtype = key(
        "auto",
        "number format of the residual stream of a run in bfloat16; auto: bfloat16 on an NVIDIA GPU, else float32",
    )
    parallel: Parallel = key("ddp", "how several processes share the model")
    activation_checkpointing: bool = key(False, "compute activations again in the backward pass, which saves memory")
    max_time: float = key(
        0.0, "seconds after which the run stops, not counting validations; 0: no limit", unit="seconds"
    )
    log_every: int = key(10, "steps between records", unit="steps", watches=True)
    validate_every: int = key(500, "steps between validations", unit="steps")
    validation_tokens: int = key(100_000, "tokens of a validation; 0: all", unit="tokens")
    checkpoint_every: int = key(500, "steps between checkpoints", unit="steps", watches=True)
    checkpoints_kept: int = key(2, "number of the newest checkpoints that are kept", unit="checkpoints", watches=True)
    max_skipped_steps: int = key(
        10, "stop after more than this many steps in a row with a loss or gradient that is not finite", unit="steps"
    )
    max_loss: float = key(
        0.0, "stop a run whose training loss stays above this after the warm-up: it has diverged; 0: never", unit="nats"
    )
    max_loss_steps: int = key(100, "number of steps in a row above max_loss that stop a run", unit="steps")
    stop_when_worse: int = key(
        0, "stop after this many validations without a better loss; 0: never", unit="validations"
    )
    wandb_project: str = key("", "project of Weights & Biases; empty: none", watches=True)
    trackio_project: str = key("", "project of trackio; empty: none", watches=True)
    tensorboard: bool = key(False, "write TensorBoard's event files into the run's folder", watches=True)

    def __post_init__(self) -> None:
        check_types(self, "")
        for name in _FROM_1:
            at_least(self, "", name, 1)
        for name in _FROM_0:
            at_least(self, "", name, 0)
        if not 0 <= self.seed < 2**63:
            raise ConfigError(f"seed is {self.seed}, and must be from 0 to 2^63 - 1")
        if self.tokens_per_step >= 2**63:
            raise ConfigError(
                f"batch_size x model.context_length is {self.tokens_per_step:.1e} tokens, and must be below 2^63"
            )
        if self.micro_batch_size and self.batch_size % self.micro_batch_size:
            raise ConfigError(
                f"batch_size is {self.batch_size}, and must be a multiple of micro_batch_size, {self.micro_batch_size}"
            )
        if self.tokens:
            object.__setattr__(self, "steps", -(-self.tokens // self.tokens_per_step))
        self.schedule.lengths(self.steps)
        if self.schedule.clock == "time" and not self.max_time:
            raise ConfigError("schedule.clock is time, and max_time is 0, which is no limit; set max_time in seconds")

    @property
    def products_in(self) -> Dtype:
        """The number format of matrix products, once `dtype` is not "auto" any more."""
        if self.dtype == "auto":
            raise InternalError("dtype is auto, which a run replaces when it begins")
        return self.dtype

    @property
    def narrows_residual(self) -> bool:
        """Whether the residual stream is in bfloat16, once `residual` is not "auto" any more."""
        if self.residual == "auto":
            raise InternalError("residual is auto, which a run replaces when it begins")
        return self.residual == "bfloat16"

    @property
    def is_compiled(self) -> bool:
        """Whether torch.compile is used, once `compile` is not "auto" any more."""
        if self.compile == "auto":
            raise InternalError("compile is auto, which a run replaces when it begins")
        return self.compile

    @property
    def tokens_per_step(self) -> int:
        """The tokens of a whole batch."""
        return self.batch_size * self.model.context_length

    def as_dict(self) -> dict[str, Any]:
        """The config as JSON values. With `tokens` it has no `steps`, which follows from it."""
        values = dataclasses.asdict(self)
        if self.tokens:
            del values["steps"]
        return values

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> TrainConfig:
        """Build a config from nested values. A missing value keeps its default.

        Raises:
            ConfigError: A key is unknown, or a value makes no sense.
        """
        return override(cls(), values)

    @classmethod
    def load(cls, path: str | Path) -> TrainConfig:
        """Read the `config.json` of a run. One without `residual` began when each residual stream was in float32.

        Raises:
            ConfigError: The file is of another version, or damaged.
            FileError: The file could not be read.
        """
        values = read_config(Path(path))
        try:
            return override(cls(), {"residual": "float32"} | values)
        except ConfigError as error:
            raise ConfigError(f"{path}: {error}") from None


_Config = TypeVar("_Config", bound="TrainConfig | ModelConfig | DataConfig | OptimizerConfig | ScheduleConfig")


def override(config: _Config, values: Mapping[str, Any]) -> _Config:
    """Return a config with some values replaced. The values may be nested. A run's `steps` replaces its `tokens`.

    Raises:
        ConfigError: A key is unknown, or a value makes no sense; `steps` and `tokens` are both given.
    """
    by_field = values_by_field(config, values, RENAMED)
    changed: _Config = replace_nested(config, _with_one_length(by_field) if "steps" in by_field else by_field)
    return changed


def merge_over(values: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """Return the values of a file with the values of flags over them. Either of `steps` and `tokens` replaces both."""
    length = "tokens" if changes.get("tokens") else "steps" if "steps" in changes else None
    kept = {name: value for name, value in values.items() if length is None or name not in ("steps", "tokens")}
    return merge_nested(kept, changes)


def _with_one_length(values: Mapping[str, Any]) -> dict[str, Any]:
    """Set `tokens` to 0, because `steps` is given."""
    if values.get("tokens"):
        raise ConfigError(
            f"steps is {values['steps']!r} and tokens is {values['tokens']!r}, and each is the length of the run; give "
            "tokens alone (steps follows from it and the size of a batch), or steps alone"
        )
    return {**values, "tokens": 0}


def read_config(path: Path) -> dict[str, Any]:
    """Read the values in a TOML or JSON file. Its keys are those of `TrainConfig`, and `preset`.

    Raises:
        ConfigError: The file is of another version, has an unknown key, or is damaged.
        FileError: The file could not be read.
    """
    values = read_json(path) if path.suffix == ".json" else _read_toml(path)
    number, preset = values.pop("format", None), values.pop("preset", None)
    values.pop(CHOSEN, None)
    if number is not None and (type(number) is not int or not 0 < number <= CONFIG_FORMAT):
        raise ConfigError(
            f"{path} has format {number!r}, and this version of bpe-lm reads formats up to {CONFIG_FORMAT}; "
            "use the version that wrote it, or a newer one"
        )
    if "architectures" in values:
        raise ConfigError(f"{path} is the config of an exported model, and not of a run")
    try:
        values = values_by_field(TrainConfig(), values, RENAMED)
    except ConfigError as error:
        if path.name != CONFIG or number == CONFIG_FORMAT:
            raise ConfigError(f"{path}: {error}") from None
        raise ConfigError(
            f"{path} is of an older version of bpe-lm ({error}); evaluate, generate and export open such a run, "
            "and pretrain cannot go on with it"
        ) from None
    return values if preset is None else values | {"preset": preset}


def _read_toml(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8-sig"))
    except OSError as error:
        raise FileError(f"could not read {path}: {error.strerror}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, RecursionError) as error:
        raise ConfigError(f"{path} is not TOML: {error}") from error


def _check_length(config: ScheduleConfig, name: str) -> None:
    """Check that a length is a fraction below 1 or whole steps, and convert whole steps to an int."""
    value = getattr(config, name)
    wanted = "a fraction of the run, below 1, or a whole number of steps, from 1 on"
    if value < 0 or (value > 1 and value != int(value)):
        raise ConfigError(f"schedule.{name} is {value}, and must be {wanted}")
    if type(value) is float and value == 1:
        raise ConfigError(f"schedule.{name} is 1.0, and could mean all of the run or one step; it must be {wanted}")
    if value == int(value):
        object.__setattr__(config, name, int(value))


def _words(mixture: str) -> list[str]:
    try:
        words = shlex.split(mixture)
    except ValueError as error:
        raise ConfigError(f"data.mixture is {mixture!r}: {error}") from None
    if len(words) % 2:
        raise ConfigError(
            f"data.mixture is {mixture!r}, and must be weights and token files in turns: 0.7 web.bin 0.3 code.bin"
        )
    return words


def _weight(text: str) -> Fraction:
    try:
        weight = Fraction(Decimal(text)) if len(text) <= _WEIGHT_CHARACTERS else None
    except (ArithmeticError, ValueError):
        weight = None
    if weight is None or weight <= 0 or weight.denominator > 10**_WEIGHT_CHARACTERS or weight > 10**_WEIGHT_CHARACTERS:
        raise ConfigError(f"data.mixture has the weight {text!r}, and a weight is a number above 0, such as 0.7")
    return weight


def _exactly(number: float) -> Fraction:
    """Return the decimal number as it is written: 0.1 is exactly a tenth, and 0.9 + 0.1 is exactly 1."""
    return Fraction(repr(number))
