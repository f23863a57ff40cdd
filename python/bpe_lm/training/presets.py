"""Named training runs, and the config that a preset, a file or a run's folder describes together with flags."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from bpe_lm.errors import ConfigError, FileError
from bpe_lm.fields import nearest, parse_flags
from bpe_lm.model.config import ModelConfig
from bpe_lm.training.config import (
    CONFIG,
    RENAMED,
    Clock,
    ScheduleConfig,
    TrainConfig,
    merge_over,
    override,
    read_config,
)
from bpe_lm.training.optimizers.config import GroupConfig, MuonConfig, OptimizerConfig

_MUON_RATE, _ADAMW_RATE = 4e-2, 4e-3
"""The rates of matrices, and of everything else, in the speedruns: tuned at width 256 only (docs/experiment_log.md)."""


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
    """A small model that two cores train in a few minutes. The warm-up is 50 steps of 600."""
    model = ModelConfig(vocab_size=4_000, context_length=128, d_model=192, num_layers=4, num_heads=3, d_ff=512)
    schedule = ScheduleConfig(max_learning_rate=3e-3, warmup=0.083)
    return TrainConfig(
        model=model, schedule=schedule, steps=600, batch_size=32, validate_every=100, checkpoint_every=200
    )


def debug() -> TrainConfig:
    """A model whose step takes milliseconds, exact on a CPU: float32, eager. The warm-up is 5 steps of 20."""
    model = ModelConfig(vocab_size=300, context_length=16, d_model=32, num_layers=2, num_heads=4, d_ff=64)
    schedule = ScheduleConfig(warmup=0.25)
    return TrainConfig(
        model=model,
        schedule=schedule,
        steps=20,
        batch_size=8,
        dtype="float32",
        compile=False,
        log_every=1,
        validate_every=10,
        checkpoint_every=10,
    )


def gpt2_small() -> TrainConfig:
    """GPT-2 small, 12 layers."""
    return _gpt2(12, 768, 12, 6e-4)


def gpt2_medium() -> TrainConfig:
    """GPT-2 medium, 24 layers."""
    return _gpt2(24, 1024, 16, 3e-4)


def gpt2_large() -> TrainConfig:
    """GPT-2 large, 36 layers."""
    return _gpt2(36, 1280, 20, 2.5e-4)


def gpt2_xl() -> TrainConfig:
    """GPT-2 XL, 48 layers."""
    return _gpt2(48, 1600, 25, 2e-4)


def _gpt2(num_layers: int, d_model: int, num_heads: int, max_learning_rate: float) -> TrainConfig:
    """A shape of Radford et al. 2019 with SwiGLU, and the run whose cost the course asks for: 4.2e11 tokens.

    The learning rates are those of Brown et al. 2020, table 2.1 (arXiv:2005.14165), for models of these sizes.
    """
    model = ModelConfig(50_257, 1024, d_model, num_layers, num_heads, swiglu_width(d_model))
    schedule = ScheduleConfig(max_learning_rate=max_learning_rate)
    return TrainConfig(model=model, schedule=schedule, steps=400_000, batch_size=1024, micro_batch_size=8)


def speedrun_owt() -> TrainConfig:
    """The course's leaderboard: OpenWebText, 90 minutes of an H100, validation with 512 tokens.

    The matrices of the blocks and the head have 184 M weights. 2 billion tokens are the most: 15,259 steps of 2^17.
    """
    model = ModelConfig(32_000, 512, d_model=1024, num_layers=12, num_heads=8)
    config = TrainConfig(model=model, steps=15_259, batch_size=256, validation_tokens=500_000)
    return _with_parts_of_records(speedrun(config, 5_400))


def speedrun_tinystories() -> TrainConfig:
    """A validation loss of 1.45 on TinyStories as early as possible, by a model of the size of the course's.

    131 M tokens are the most: 4,000 steps.
    """
    model = ModelConfig(10_000, 256, d_model=512, num_layers=4, num_heads=8)
    config = TrainConfig(model=model, steps=4_000, batch_size=128, validation_tokens=500_000, validate_every=250)
    return _with_parts_of_records(speedrun(config, 600))


def speedrun_cpu() -> TrainConfig:
    """The recipe for two cores in 20 minutes, with the parts that pay at this size."""
    model = ModelConfig(10_000, 256, d_model=256, num_layers=6, num_heads=4, d_ff=swiglu_width(256))
    return speedrun(TrainConfig(model=model, steps=20_000, batch_size=16, validation_tokens=500_000), 1_200)


def speedrun(config: TrainConfig, seconds: float) -> TrainConfig:
    """Return a run of the sizes of a config by the recipe of the speedruns.

    Muon trains a model with value embeddings, skips, and outputs that begin as zeros. The rate rises for 40 steps, or a
    fifth of a shorter run, and falls over the last 70 %. docs/experiment_log.md has the rates and the parts' effects.

    Args:
        config: The sizes of the model, and everything that is not the recipe's.
        seconds: The time of training, with which the fall ends. 0: the run and the fall end with the steps.
    """
    model = replace(config.model, value_embeddings=min(2, config.model.pairs), u_net_skips=True, zero_init=True)
    adamw = GroupConfig(rate=_ADAMW_RATE / _MUON_RATE)
    optimizer = OptimizerConfig(name="muon", embeddings=adamw, head=adamw, norms=adamw)
    clock: Clock = "time" if seconds else "steps"
    warmup = min(40, config.steps // 5)
    schedule = ScheduleConfig("linear", _MUON_RATE, min_ratio=0.0, warmup=warmup, decay=0.7, clock=clock)
    return replace(config, model=model, optimizer=optimizer, schedule=schedule, max_time=seconds)


def _with_parts_of_records(config: TrainConfig) -> TrainConfig:
    """Add the parts of the records of modded-nanogpt (Jordan et al. 2024) that gave nothing on two cores.

    There they were tried on 1 M tokens at width 256, and the records are of larger models and more tokens. The momentum
    rises from 0.85 to 0.95 in 300 steps, as there; that was not tried on two cores.
    """
    model = replace(config.model, d_ff=4 * config.model.d_model, ffn="relu2", qk_norm=True, logit_softcap=15.0)
    muon = MuonConfig(first_momentum=0.85, momentum=0.95, momentum_rise=300)
    return replace(config, model=model, optimizer=replace(config.optimizer, muon=muon))


def swiglu_width(d_model: int) -> int:
    """The d_ff of the course's handout of 2026: 8/3 d_model, to the nearest multiple of 64."""
    return max(64 * round(8 * d_model / 3 / 64), 64)


_FUNCTIONS = (
    tinystories,
    tinystories_low_resource,
    owt,
    demo,
    debug,
    gpt2_small,
    gpt2_medium,
    gpt2_large,
    gpt2_xl,
    speedrun_owt,
    speedrun_tinystories,
    speedrun_cpu,
)
PRESETS = {function.__name__.replace("_", "-"): function for function in _FUNCTIONS}
"""The function of each preset, by the preset's name on the command line, such as `gpt2-small`."""


def resolve(source: str, flags: Sequence[str] = ()) -> TrainConfig:
    """Return the config that a source and flags describe. Flags are merged first, and the whole is checked once.

    Args:
        source: A preset's name, a TOML or JSON file (whose key `preset` may name the preset that it changes), or a
            run's folder.
        flags: Words of a command line: `--model.num-layers 6`, `--steps=1e4`, `--compile`. A value is parsed as the
            type of its key. `--steps` replaces a `tokens` of the source, and `--tokens` its `steps`.

    Raises:
        ConfigError: A key is unknown (the message names the nearest known key), or a value makes no sense.
        FileError: The file could not be read.
    """
    # Flags are parsed first, because the value of an unknown flag may have become the source.
    changes = parse_flags(flags, TrainConfig, RENAMED)
    if source in PRESETS:
        return override(PRESETS[source](), changes)
    path = _config_file(source)
    values = read_config(path)
    preset = values.pop("preset", None)
    if preset is not None and not (isinstance(preset, str) and preset in PRESETS):
        raise ConfigError(f"{path}: there is no preset {preset!r}; the presets are {', '.join(PRESETS)}")
    try:
        return override(PRESETS[preset]() if preset else TrainConfig(), merge_over(values, changes))
    except ConfigError as error:
        raise (error if changes else ConfigError(f"{path}: {error}")) from None


def _config_file(source: str) -> Path:
    path = Path(source)
    if path.is_dir():
        if not (path / CONFIG).is_file():
            raise FileError(f"{path} is a folder without {CONFIG}; name the folder of a run, a file, or a preset")
        return path / CONFIG
    if not path.exists():
        close = nearest(source, PRESETS)
        hint = f"did you mean the preset {close}?" if close else f"the presets are {', '.join(PRESETS)}"
        raise FileError(f"there is no file {path}; {hint}")
    return path
