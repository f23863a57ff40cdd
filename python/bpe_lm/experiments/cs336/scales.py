"""The settings: which model at which scale is trained on how many tokens.

smoke: a toy model and toy vocabularies; a run takes a second or two, and all of it a few minutes on two cores.
cpu: every run is sized from stated hours. Sweeps and ablations have a small model.
gpu: the course's model and tokens.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from math import log
from pathlib import Path
from typing import Any

from bpe_lm import _core
from bpe_lm.errors import InternalError
from bpe_lm.experiments.cs336.budget import (
    OVERHEAD,
    START,
    Load,
    Measure,
    check_steps,
    measured_step,
    shape_of,
    steps_above,
    tokens_of,
    with_tokens,
)
from bpe_lm.experiments.cs336.corpora import MOST_VALID, Given, find_corpora
from bpe_lm.experiments.cs336.setting import Corpus, CorpusKey, Scale, Setting
from bpe_lm.experiments.study import differing
from bpe_lm.kernels.implementation import Dtype
from bpe_lm.model.config import ModelConfig
from bpe_lm.training.config import DataConfig, ScheduleConfig, TrainConfig
from bpe_lm.training.presets import tinystories, tinystories_low_resource

OFFICIAL_VOCAB: Mapping[CorpusKey, int] = {"tinystories": 10_000, "owt": 32_000}
SMALL_VOCAB: Mapping[CorpusKey, int] = {"tinystories": 4_000, "owt": 8_000}
SMOKE_VOCAB: Mapping[CorpusKey, int] = {"tinystories": 400, "owt": 500}

SAMPLE_BYTES: Mapping[Scale, Mapping[CorpusKey, int]] = {
    "smoke": {"tinystories": 600_000, "owt": 500_000},
    "cpu": {"tinystories": 20_000_000, "owt": 20_000_000},
    "gpu": {"tinystories": 200_000_000, "owt": 200_000_000},
}
"""The bytes of made-up stories in the place of a corpus that is not there."""

LOW_RESOURCE_SHARE = 1 / 3
"""The course's run for a laptop is done if it takes at most this share of the budget."""

MAIN_SHARE, SMALL_SHARE, SPEEDRUN_SHARE = 0.25, 0.45, 0.1
"""The shares of the rest for the two main runs and for the small runs, and that of all hours for the speedruns. The
remainder is for tokenizers and jobs."""

MODELS = (
    ModelConfig(context_length=128, d_model=192, num_layers=4, num_heads=6, d_ff=512),
    ModelConfig(context_length=128, d_model=96, num_layers=3, num_heads=3, d_ff=256),
)
"""The models of the scale cpu, the largest first."""

ENOUGH_STEPS = 200
"""A smaller model is taken if a run of the larger one would have fewer steps of 32 texts."""

SMALL_LOADS = ((1, 3.5), (8, 3.5), (32, 18.0), (64, 3.5), (128, 3.5), (512, 3.5))
"""The batch sizes of the small runs, and about how many whole runs each has: the sweep, the edge (whose diverging runs
are short) and the ablations have 32 rows, and every batch size has its own rates."""

_ON_A_CPU: Any = {"device": "cpu", "dtype": "float32", "compile": False}
"""What the runs of the scales smoke and cpu state, so that their results compare between machines."""

BOUND_OF_GUESSING = 0.99
"""A run has diverged if its loss stays above this fraction of ln V, as if it guessed. A run at a low rate soon learns
how frequent tokens are, which is better."""


def setting_of(
    scale: Scale,
    folder: Path,
    hours: float = 8.0,
    given: Mapping[CorpusKey, Given] | None = None,
    data: Path | None = None,
    measure: Measure = measured_step,
) -> Setting:
    """Return the setting of a scale. It writes the texts that have to be made, and measures speeds at the scale cpu.

    Args:
        scale: smoke, cpu or gpu.
        folder: The folder of the reproduction.
        hours: The budget at the scale cpu.
        given: Files in the place of the corpora.
        data: The folder with the course's corpora; the scale smoke does not look there.
        measure: The function that measures the seconds of a step.

    Raises:
        OptionError: The budget is too small, or a text cannot be split.
        CorpusError: A given file does not exist.
        ConfigError: A speed could not be measured.
    """
    folder = folder.resolve()
    corpora = find_corpora(
        folder,
        given or {},
        None if scale == "smoke" else data,
        SAMPLE_BYTES[scale],
        most_valid=None if scale == "gpu" else MOST_VALID,
    )
    if scale == "smoke":
        return _smoke(folder, corpora)
    return _cpu(folder, corpora, hours, measure) if scale == "cpu" else _gpu(folder, corpora, measure)


def _smoke(folder: Path, corpora: Mapping[CorpusKey, Corpus]) -> Setting:
    vocab = SMOKE_VOCAB["tinystories"]
    model = ModelConfig(vocab_size=vocab, context_length=32, d_model=48, num_layers=2, num_heads=4, d_ff=128)
    schedule = ScheduleConfig(max_learning_rate=1e-2, warmup=0.1)
    config = TrainConfig(
        model=model, schedule=schedule, batch_size=16, **_ON_A_CPU, validation_tokens=4_000, checkpoints_kept=1
    )
    base, small = with_tokens(config, 100 * 512), with_tokens(config, 50 * 512)
    return _setting("smoke", folder, corpora, SMOKE_VOCAB, base, small, hours=0.0)


def _cpu(folder: Path, corpora: Mapping[CorpusKey, Corpus], hours: float, measure: Measure) -> Setting:
    seconds = 3600 * hours
    low = replace(tinystories_low_resource(), **_ON_A_CPU | {"dtype": _dtype_of_cpu()})
    speeds = {shape_of(low): measure(low)}
    low_seconds = START + OVERHEAD * speeds[shape_of(low)] * low.steps
    fits = low_seconds <= LOW_RESOURCE_SHARE * seconds
    vocab = OFFICIAL_VOCAB if fits else SMALL_VOCAB
    rest = seconds - (low_seconds if fits else 0.0)
    base, base_tokens = _largest(
        vocab["tinystories"],
        speeds,
        measure,
        lambda config: ([Load(config, 1), Load(with_vocab(config, vocab["owt"]), 1)], MAIN_SHARE * rest),
    )
    small, small_tokens = _largest(
        vocab["tinystories"],
        speeds,
        measure,
        lambda config: ([Load(with_rows(config, rows), runs) for rows, runs in SMALL_LOADS], SMALL_SHARE * rest),
    )
    check_steps(base, base_tokens, hours)
    check_steps(small, small_tokens, hours)
    return _setting(
        "cpu",
        folder,
        corpora,
        vocab,
        with_tokens(base, base_tokens),
        with_tokens(small, small_tokens),
        hours=hours,
        low_resource=low if fits else None,
        speeds=speeds,
    )


def _largest(
    vocab_size: int,
    speeds: dict[str, float],
    measure: Measure,
    loads_of: Callable[[TrainConfig], tuple[list[Load], float]],
) -> tuple[TrainConfig, float]:
    """Return the largest of a few models whose runs have enough steps in a budget, and the tokens of a run.

    The smallest is returned if none has. A model is left out by the speed of one shape, before the others are measured.

    Args:
        vocab_size: The vocabulary of the model.
        speeds: The seconds of a step by shape; what is measured is added.
        measure: The function that measures the seconds of a step.
        loads_of: The runs of a config, and the seconds for them.
    """
    for model in MODELS:
        schedule = ScheduleConfig(max_learning_rate=3e-3, warmup=0.05)
        shape = replace(model, vocab_size=vocab_size)
        config = TrainConfig(model=shape, schedule=schedule, batch_size=32, **_ON_A_CPU, checkpoints_kept=1)
        loads, seconds = loads_of(config)
        is_last = model is MODELS[-1]
        alike = [Load(config, sum(load.runs for load in loads))]
        for wanted in (alike, loads):
            for load in wanted:
                if shape_of(load.config) not in speeds:
                    speeds[shape_of(load.config)] = measure(load.config)
            tokens = tokens_of(seconds, wanted, speeds)
            if tokens < ENOUGH_STEPS * config.tokens_per_step and not is_last:
                break
        else:
            return config, tokens
    raise InternalError("no model is left")


def _gpu(folder: Path, corpora: Mapping[CorpusKey, Corpus], measure: Measure) -> Setting:
    config = replace(tinystories(), device="cuda", dtype="bfloat16", compile=True)
    low = replace(tinystories_low_resource(), device="cuda", dtype="bfloat16", compile=True)
    shapes = (config, low, with_vocab(config, OFFICIAL_VOCAB["owt"]))
    speeds = {shape_of(shape): measure(shape) for shape in shapes}
    return _setting("gpu", folder, corpora, OFFICIAL_VOCAB, config, config, hours=0.0, low_resource=low, speeds=speeds)


def _setting(
    scale: Scale,
    folder: Path,
    corpora: Mapping[CorpusKey, Corpus],
    vocab_sizes: Mapping[CorpusKey, int],
    base: TrainConfig,
    small: TrainConfig,
    *,
    hours: float,
    low_resource: TrainConfig | None = None,
    speeds: Mapping[str, float] | None = None,
) -> Setting:
    """Return a setting whose configs name the token files of TinyStories, and the loss of a run that has diverged."""
    plain = Setting(scale, folder, corpora, vocab_sizes, base, small, hours, low_resource, speeds or {})

    def complete(config: TrainConfig) -> TrainConfig:
        return with_data(with_bound(config), plain, "tinystories")

    return replace(
        plain,
        base=complete(base),
        small=complete(small),
        low_resource=None if low_resource is None else complete(low_resource),
    )


def with_data(config: TrainConfig, setting: Setting, corpus: CorpusKey) -> TrainConfig:
    """Return a config that trains on a corpus of a setting."""
    train, valid = str(setting.tokens(corpus, "train")), str(setting.tokens(corpus, "valid"))
    return replace(config, data=DataConfig(train, valid, str(setting.tokenizer(corpus))))


def with_vocab(config: TrainConfig, vocab_size: int) -> TrainConfig:
    """Return a config whose model has another vocabulary."""
    return replace(config, model=replace(config.model, vocab_size=vocab_size))


def with_rows(config: TrainConfig, rows: int) -> TrainConfig:
    """Return a config with another batch size, and as many tokens."""
    return with_tokens(replace(config, batch_size=rows), config.steps * config.tokens_per_step)


FOLLOWING = ("validate_every", "max_loss", "max_loss_steps")
"""Keys that follow from the steps and the vocabulary of a run."""


def changes_of(config: TrainConfig, setting: Setting) -> dict[str, Any]:
    """Return the keys in which a config differs from that of the small runs."""
    return {key: value for key, value in differing(setting.small, config).items() if key not in FOLLOWING}


def with_bound(config: TrainConfig) -> TrainConfig:
    """Return a config whose run ends as diverged if its loss stays near that of guessing for a quarter of the run."""
    bound = BOUND_OF_GUESSING * log(config.model.vocab_size)
    return replace(config, max_loss=bound, max_loss_steps=steps_above(config.steps))


def _dtype_of_cpu() -> Dtype:
    return "bfloat16" if _core.kernels_are_available() else "float32"
