"""Ablations: runs that differ from the best run of the sweep in one part of the model."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from statistics import mean
from typing import Any

from bpe_lm.experiments.blocks import Block, Missing, Table, Text
from bpe_lm.experiments.cs336.learning_rate import BLOWN_UP, RATE, best_run, has_diverged, losses_of_seeds, sweep
from bpe_lm.experiments.cs336.results import Results
from bpe_lm.experiments.cs336.shown import (
    RUN_HEADER,
    missing_runs,
    overlay,
    run_cells,
    seeds_in_words,
    standing,
)
from bpe_lm.experiments.edge import name_of, rounded
from bpe_lm.experiments.runs import RunRecord
from bpe_lm.experiments.seeds import chance
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
    header = ("run", "learning rate", "loss above the baseline", *RUN_HEADER)
    yield Table(header, rows, f"Losses in nats per token. Reported: {reported}")
    if baseline is not None:
        yield Text("The baseline is the best run of row 32, which describes its model.")
    yield from _verdicts(
        results, {label: record for label, record in found.items() if label != BASELINE}, found[BASELINE]
    )
    yield from overlay(name, list(found.items()), title, "Losses against tokens of training.")
    yield from seeds_in_words(record for record in found.values() if record is not None)
    yield from missing_runs(results, [(label, t) for label, t in known.items() if t is not None])
    for label, training in known.items():
        if training is None:
            yield Missing(f"{label}, which needs the sweep of learning rates")


def _verdicts(results: Results, found: Mapping[str, RunRecord | None], baseline: RunRecord | None) -> Iterable[Block]:
    """Yield what the runs say: how far each ends from the baseline, and whether that may be chance."""
    losses = losses_of_seeds(results)
    bound = chance(losses)
    done = {label: record for label, record in found.items() if record is not None}
    if baseline is None or not done:
        return
    sentences = [verdict(label, record, baseline, bound) for label, record in done.items()]
    if bound is not None:
        sentences.append(
            f"The baseline with {len(losses)} seeds ends at {mean(losses):.4f} nats on average. By chance, two of its "
            f"runs differ by less than {bound:.4f} nats in 95 of 100 cases."
        )
    yield Text(" ".join(sentences))


def verdict(label: str, record: RunRecord, baseline: RunRecord, bound: float | None) -> str:
    """Say how a run compares with the baseline.

    Args:
        label: What the run is called.
        record: The run, which is over.
        baseline: The best run of the sweep, which is over.
        bound: The difference that two runs of the baseline stay below by chance; None if it is not known.
    """
    start = f"{label[0].upper()}{label[1:]}"
    if record.diverged or record.loss is None:
        return f"{start} diverges."
    if has_diverged(record):
        return f"{start} counts as diverged: it ends more than {BLOWN_UP} nats above its own best validation loss."
    if baseline.loss is None:
        return f"{start} ends at {record.loss:.3f} nats, and the baseline has no loss."
    more = record.loss - baseline.loss
    where = f"{abs(more):.3f} nats {'above' if more >= 0 else 'below'} the baseline"
    if bound is None:
        return f"{start} ends {where}; with one seed each, a small difference may be chance."
    return f"{start} ends {where}, {'which may be chance' if abs(more) < bound else 'more than chance explains'}."


def _difference(record: RunRecord | None, baseline: RunRecord | None) -> float | str | None:
    """Return how much more a run loses than the baseline; a text or None if one of them has no loss."""
    if record is None or baseline is None:
        return None
    return record.loss - baseline.loss if record.loss is not None and baseline.loss is not None else ""
