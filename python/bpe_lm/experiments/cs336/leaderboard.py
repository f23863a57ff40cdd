"""Problem leaderboard: the least validation loss on OpenWebText within a stated time.

The recipe of the speedruns trains a model for the time, with three seeds. At the scale gpu that is the preset
speedrun-owt: 90 minutes for each seed. The course's leaderboard is only a yardstick here: nothing is submitted.

Answer: not yet known on the course's text.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import fields, replace
from statistics import mean
from typing import Any

from bpe_lm.experiments.blocks import Block, Picture, Table, Text
from bpe_lm.experiments.charts import loss_overlay
from bpe_lm.experiments.cs336.evaluation import evaluated, evaluation
from bpe_lm.experiments.cs336.question import Question
from bpe_lm.experiments.cs336.results import Results
from bpe_lm.experiments.cs336.scales import SPEEDRUN_SHARE, changes_of, with_bound, with_data, with_vocab
from bpe_lm.experiments.cs336.shown import losses, missing_runs, model_in_words, runs_table, standing
from bpe_lm.experiments.cs336.wording import listed
from bpe_lm.experiments.seeds import standard_error
from bpe_lm.experiments.study import written
from bpe_lm.experiments.work import Training, Work
from bpe_lm.model.config import COURSE, Switches
from bpe_lm.model.flops import count_parameters
from bpe_lm.training.config import TrainConfig
from bpe_lm.training.presets import speedrun, speedrun_owt

SEEDS = 3

REPORTED = (
    ("handout: a naive model", "below 5.0", "1.5 hours of an H100"),
    ("the course's best of 2025, verified", "3.0781", "1.5 hours of an H100"),
    ("the same, not verified", "3.0117", "1.5 hours of an H100"),
    ("the course's best of 2026, not verified", "3.0354", "45 minutes of a B200"),
)


def config_of(results: Results) -> TrainConfig:
    """Return the config of the speedrun at the scale of the results.

    At the scale smoke its steps limit it in place of the time, so that it is the same on every machine.
    """
    setting = results.setting
    if setting.scale == "gpu":
        return with_data(replace(speedrun_owt(), device="cuda"), setting, "owt")
    base = setting.base if setting.scale == "cpu" else setting.small
    config = with_bound(with_vocab(with_data(base, setting, "owt"), setting.vocab_sizes["owt"]))
    if setting.scale == "smoke":
        return speedrun(config, 0)
    seconds = 3600 * setting.hours * SPEEDRUN_SHARE / SEEDS
    return speedrun(replace(config, steps=10 * config.steps, dtype="auto", compile="auto"), seconds)


def runs(results: Results) -> list[tuple[str, Training]]:
    """Return the run of each seed, with its label."""
    config, found = config_of(results), []
    for seed in range(config.seed, config.seed + SEEDS):
        of_seed = replace(config, seed=seed)
        found.append((f"seed {seed}", Training(f"leaderboard/{seed}", of_seed, changes_of(of_seed, results.setting))))
    return found


def _answer(results: Results) -> Iterable[Block]:
    config, labelled = config_of(results), runs(results)
    minutes = f"{config.max_time / 60:.3g} minutes of training" if config.max_time else f"{config.steps:,} steps"
    yield Text(
        f"The recipe of the speedruns for {minutes}, validations not counted, with {SEEDS} seeds: "
        f"{model_in_words(config)} at most. Muon trains the matrices. The model differs from the course's in "
        f"{_parts_in_words(config)}."
    )
    yield from standing(results, "owt")
    yield runs_table(results, labelled, "seed")
    yield _figures(config, [evaluated(results, training) for _, training in labelled])
    yield Table(("entry", "validation loss", "time"), REPORTED, "What others reached, with a vocabulary of 32,000.")
    shown = losses([(label, results.finished(training)) for label, training in labelled])
    if shown:
        yield Picture(
            "leaderboard",
            lambda: loss_overlay(shown, "seconds", "The speedrun"),
            "Validation loss against the seconds of training.",
        )
    yield from missing_runs(results, labelled)


def _parts_in_words(config: TrainConfig) -> str:
    """Name the switches of a model that are not the course's, with their values."""
    switches = [field.name for field in fields(Switches)]
    own = [
        (name, getattr(config.model, name)) for name in switches if getattr(config.model, name) != getattr(COURSE, name)
    ]
    return listed(f"`{name}` {written(value)}" for name, value in own)


def _figures(config: TrainConfig, found: Sequence[Mapping[str, Any]]) -> Table:
    """Return the figures of a leaderboard's entry, from the evaluations of all seeds, or "not run"."""
    is_whole = all(found)
    model = config.model
    rows = [
        (f"validation loss at a context of {model.context_length}", _mean_and_error(found, "loss")),
        ("bits per byte", _mean_and_error(found, "bits_per_byte")),
        ("validation tokens", f"{found[0]['tokens']:,}" if is_whole else None),
        ("parameters", f"{count_parameters(model):,}"),
        ("vocabulary", f"{model.vocab_size:,}"),
    ]
    return Table(
        ("figure", "value"), rows, "On the whole validation text: mean and standard error of the seeds, nats per token."
    )


def _mean_and_error(found: Sequence[Mapping[str, Any]], name: str) -> str | None:
    if not all(found):
        return None
    values = [each[name] for each in found]
    return f"{mean(values):.4f} ± {standard_error(values):.4f}"


def _work(results: Results) -> Iterable[Work]:
    for _, training in runs(results):
        yield training
        job = evaluation(results, training)
        if job is not None:
            yield job


QUESTION = Question(
    row=40,
    name="leaderboard",
    points=6,
    kind="measured",
    asked="Reach the least validation loss on OpenWebText in 1.5 hours of an H100 (in 2026: 45 minutes of a B200), "
    "evaluated at a context of 512.",
    answer=_answer,
    work=_work,
)
