"""What several answers share: tables of runs, the machine that trained them, and when figures may be compared."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from bpe_lm.experiments.blocks import Block, Missing, Picture, Table, Text
from bpe_lm.experiments.charts import loss_overlay
from bpe_lm.experiments.cs336.results import Results
from bpe_lm.experiments.cs336.setting import NAMES, CorpusKey
from bpe_lm.experiments.cs336.wording import listed
from bpe_lm.experiments.figures import Losses, losses_of
from bpe_lm.experiments.runs import RunRecord
from bpe_lm.experiments.work import Training
from bpe_lm.training.config import TrainConfig


def standing(results: Results, *keys: CorpusKey) -> Iterable[Block]:
    """Yield a sentence on whether figures of these corpora may be compared with the course's."""
    corpora = results.setting.corpora
    others = [key for key in keys if not corpora[key].is_official]
    if others:
        yield Text(
            f"**Not the course's {listed(NAMES[key] for key in others)}**: measured on "
            f"{listed(corpora[key].title for key in others)}. Reported figures stand here for orientation only."
        )
        return
    names = f"Measured on the course's {listed(NAMES[key] for key in keys)}"
    if results.setting.scale == "gpu":
        yield Text(f"{names}, so the figures may be compared with those of the write-ups.")
    else:
        yield Text(
            f"{names}, with the models and vocabularies of the scale `{results.setting.scale}`. Reported figures stand "
            "here for orientation only."
        )


def outcome(record: RunRecord | None) -> str | None:
    """Return how a run ended, in a word or two, or None if it has not begun."""
    if record is None:
        return None
    words = {"time": "ended by max_time", "worse": "ended, validation became worse", "signal": "interrupted"}
    text = words.get(record.state, record.state)
    if record.state == "diverged" and record.result is not None:
        return f"diverged at step {record.result['step']:,}"
    return text


def loss_of(record: RunRecord | None) -> float | str | None:
    """Return the final validation loss of a run, the word for a run without one, or None if it has not begun."""
    if record is None:
        return None
    return record.loss if record.loss is not None else record.state


LOSSES = "Losses are in nats per token; seconds are those of training, without validations."
RUN_HEADER = ("validation loss", "steps", "tokens", "epochs", "seconds", "state")


def run_cells(results: Results, record: RunRecord | None) -> list[Any]:
    """Return the cells of a run in a table under `RUN_HEADER`. A run that is not over has only a state."""
    if record is None or record.result is None:
        return [None] * (len(RUN_HEADER) - 1) + [outcome(record)]
    result = record.result
    return [
        loss_of(record),
        f"{result['step']:,}",
        f"{result['tokens']:,}",
        results.epochs(record),
        result["seconds"],
        outcome(record),
    ]


def runs_table(results: Results, runs: Sequence[tuple[str, Training]], of: str = "run", caption: str = LOSSES) -> Table:
    """Return a table with a line for each run; one that is not over is "not run"."""
    rows = [(label, *run_cells(results, results.finished(training))) for label, training in runs]
    return Table((of, *RUN_HEADER), rows, caption)


def origins(results: Results) -> Iterable[Block]:
    """Yield a sentence for each machine and commit of the runs and jobs of a folder."""
    names: dict[str, list[str]] = {}
    for record in results.runs():
        names.setdefault(_origin(record.first), []).append(results.name_of(record))
    for name, found in results.jobs():
        names.setdefault(_origin(found), []).append(name)
    most, *others = sorted(names, key=lambda origin: -len(names[origin])) or [""]
    if most:
        yield Text(f"**{'Most' if others else 'All'} runs and jobs.** {most}")
    for origin in others:
        yield Text(f"**Others:** {listed(names[origin])}. {origin}")


def _origin(values: Mapping[str, Any]) -> str:
    machine, commit = values.get("machine"), values.get("commit")
    if isinstance(machine, Mapping):
        memory = f"{machine['memory'] / 1e9:.0f} GB of memory" if machine.get("memory") else None
        parts = [machine.get("gpu"), machine.get("processor"), machine.get("cores") and f"{machine['cores']} cores"]
        machine = ", ".join(str(part) for part in (*parts, memory) if part)
    return f"Machine: {machine or 'unknown'}. Commit: {commit or 'unknown'}."


def seeds_in_words(records: Iterable[RunRecord]) -> Iterable[Block]:
    """Yield a sentence on the seeds of some runs, if there are any."""
    found = sorted({record.config.seed for record in records})
    if found:
        yield Text(f"{'Seed' if len(found) == 1 else 'Seeds'}: {listed(map(str, found))}.")


def model_in_words(config: TrainConfig) -> str:
    """Describe a run's model and batches in a sentence's words."""
    model = config.model
    return (
        f"{model.num_layers} layers of width {model.d_model} with {model.num_heads} heads and d_ff {model.d_ff:,}, "
        f"a vocabulary of {model.vocab_size:,}, a context of {model.context_length}, "
        f"batches of {config.batch_size} texts, {config.steps:,} steps ({config.steps * config.tokens_per_step:,} "
        "tokens)"
    )


def losses(runs: Iterable[tuple[str, RunRecord | None]]) -> list[Losses]:
    """Return the losses of the runs that have records, for a figure."""
    found = [losses_of(record, label) for label, record in runs if record is not None]
    return [run for run in found if run is not None]


def overlay(name: str, runs: Sequence[tuple[str, RunRecord | None]], title: str, caption: str) -> Iterable[Block]:
    """Yield a picture of the losses of runs against tokens, if one of them has records."""
    shown = losses(runs)
    if shown:
        yield Picture(name, lambda: loss_overlay(shown, "tokens", title), caption)


def missing_runs(results: Results, runs: Sequence[tuple[str, Training]]) -> Iterable[Block]:
    """Yield what is not measured yet, if anything is, with the reason where a run failed."""
    names = [
        f"{label} ({training.name}{results.failure(training)})"
        for label, training in runs
        if results.finished(training) is None
    ]
    if names:
        yield Missing(f"the run{'s' if len(names) > 1 else ''} {listed(names)}")
