"""Ablations: runs that differ from the best run of the sweep in one part of the model."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from statistics import mean
from typing import Any

from bpe_lm.experiments.blocks import Block, Missing, Table, Text
from bpe_lm.experiments.cs336.learning_rate import RATE, best_run, losses_of_seeds, sweep
from bpe_lm.experiments.cs336.results import Results
from bpe_lm.experiments.cs336.shown import (
    RUN_HEADER,
    missing_runs,
    model_in_words,
    overlay,
    provenance,
    run_cells,
    standing,
)
from bpe_lm.experiments.edge import name_of, rounded
from bpe_lm.experiments.runs import RunRecord
from bpe_lm.experiments.seeds import error_of_difference
from bpe_lm.experiments.study import changed
from bpe_lm.experiments.work import Training, Work

BASELINE = "the best run of the sweep"


def ablation(results: Results, name: str, changes: Mapping[str, Any], *, rate_by: float = 1.0) -> Training | None:
    """Return the run with changes to the model, at the best rate of the sweep or a part of it.

    Args:
        results: The results so far.
        name: The name of the run below the folder of the ablations.
        changes: Keys of the config and their values.
        rate_by: The factor of the learning rate.

    Returns:
        None while the best rate is not known.
    """
    best = best_run(results)
    if best is None:
        return None
    rate = best.config.schedule.max_learning_rate
    rate = rate if rate_by == 1.0 else rounded(rate * rate_by)
    all_changes = {**changes, RATE: rate}
    return Training(f"ablation/{name}", changed(results.setting.small, all_changes), all_changes)


def ablation_work(results: Results, runs: Iterable[Training | None]) -> Iterable[Work]:
    """Yield the sweep, which an ablation needs, and its runs as far as they are known."""
    yield from sweep(results)
    yield from (training for training in runs if training is not None)


def ablation_blocks(
    results: Results, name: str, runs: Mapping[str, Training | None], reported: str, title: str
) -> Iterable[Block]:
    """Yield the answer of an ablation: its runs beside the best run of the sweep.

    Args:
        results: The results so far.
        name: The name of the figure.
        runs: The runs by their labels; None while they are not known.
        reported: What the write-ups report.
        title: The title of the figure.
    """
    yield from standing(results, "tinystories")
    baseline = best_run(results)
    known = {BASELINE: baseline, **runs}
    found = {label: None if training is None else results.finished(training) for label, training in known.items()}
    rows = []
    for label, training in known.items():
        rate = None if training is None else name_of(training.config.schedule.max_learning_rate)
        more = "" if label == BASELINE else _difference(found[label], found[BASELINE])
        rows.append((label, rate, more, *run_cells(results, found[label])))
    yield Table(("run", "learning rate", "loss above the baseline", *RUN_HEADER), rows, f"Reported: {reported}")
    if baseline is not None:
        yield Text(f"The baseline: {model_in_words(baseline.config)}.")
    yield from _chance(results)
    yield from overlay(name, list(found.items()), title, "Losses against tokens of training.")
    yield from provenance(record for record in found.values() if record is not None)
    yield from missing_runs(results, [(label, t) for label, t in known.items() if t is not None])
    for label, training in known.items():
        if training is None:
            yield Missing(f"{label}, which needs the sweep of learning rates")


def _chance(results: Results) -> Iterable[Block]:
    """Yield how much of a difference to the baseline is chance, if the baseline was run with several seeds."""
    losses = losses_of_seeds(results)
    error = error_of_difference(losses)
    if error is not None:
        yield Text(
            f"The baseline with {len(losses)} seeds: {mean(losses):.4f} nats on average; two of its runs differ by "
            f"{error:.4f} nats (standard error). A difference to the baseline of less than {2 * error:.4f} nats may "
            "be chance."
        )


def _difference(record: RunRecord | None, baseline: RunRecord | None) -> float | str | None:
    """Return how much more a run loses than the baseline; a text or None if one of them has no loss."""
    if record is None or baseline is None:
        return None
    return record.loss - baseline.loss if record.loss is not None and baseline.loss is not None else ""
