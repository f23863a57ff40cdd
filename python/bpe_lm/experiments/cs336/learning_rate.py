"""Problem learning_rate: which learning rate is best, and how does the edge of stability relate to it?

(a) Sweep the learning rate, and reach a validation loss of at most 1.45. (b) Raise it until a run diverges. The best
rate is said to be at the edge of stability: is it?

Answer: not yet known on the course's text. On 5.7 MB of it (2026-11-27, commit b356817, 2 cores of an Intel Xeon with
AVX512-BF16): the best rate of a small model is 1e-2, with 3.58 nats (3 seeds, standard error 0.02). The edge of
stability is between 1.3 and 1.8, a factor of 150 above: training becomes worse long before it diverges.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from statistics import mean
from typing import Any

from bpe_lm.experiments.blocks import Block, Missing, Picture, Table, Text
from bpe_lm.experiments.charts import Line, final_losses
from bpe_lm.experiments.cs336.base_run import BASE_LIMIT, verdict
from bpe_lm.experiments.cs336.question import Question
from bpe_lm.experiments.cs336.results import Results
from bpe_lm.experiments.cs336.setting import Scale
from bpe_lm.experiments.cs336.shown import (
    RUN_HEADER,
    missing_runs,
    model_in_words,
    overlay,
    run_cells,
    seeds_in_words,
    standing,
)
from bpe_lm.experiments.cs336.wording import digits
from bpe_lm.experiments.edge import Bracket, name_of, next_rate
from bpe_lm.experiments.runs import RunRecord
from bpe_lm.experiments.seeds import chance, standard_error
from bpe_lm.experiments.work import Training, Work
from bpe_lm.training.config import TrainConfig

RATES: Mapping[Scale, tuple[float, ...]] = {
    "smoke": (3e-3, 1e-2, 1e2),
    "cpu": (3e-4, 1e-3, 3e-3, 1e-2, 3e-2, 1e-1),
    "gpu": (1e-4, 3e-4, 1e-3, 3e-3, 1e-2, 3e-2),
}
"""The rates of the sweep."""

RATIO: Mapping[Scale, float] = {"smoke": 100.0, "cpu": 1.5, "gpu": 1.3}
"""The bisection ends when the rate that diverges is at most this multiple of the one that converges."""

SEEDS: Mapping[Scale, int] = {"smoke": 2, "cpu": 3, "gpu": 3}
"""The seeds with which the best rate of the sweep is run."""

REPORTED = {
    1e-4: "slow",
    5e-4: "worse than 1e-3",
    1e-3: "below 1.33, the best",
    9e-3: "still fine",
    1e-2: "diverges",
}
"""What write-up 1 says of its rates, on TinyStories with the course's model."""

BLOWN_UP = 0.5
"""A run counts as diverged, too, if it ends this many nats above its own best validation loss."""

AT_EDGE = 3.0
"""The best rate counts as at the edge of stability if it is less than this factor below it: half a decade."""

RATE = "schedule.max_learning_rate"


def with_rate(config: TrainConfig, rate: float) -> TrainConfig:
    """Return a config with another greatest learning rate."""
    return replace(config, schedule=replace(config.schedule, max_learning_rate=rate))


def at_rate(results: Results, rate: float) -> Training:
    """Return the run of the small config at a rate."""
    return Training(f"learning_rate/{name_of(rate)}", with_rate(results.setting.small, rate), {RATE: rate})


def sweep(results: Results) -> list[Training]:
    """Return the runs of the sweep."""
    return [at_rate(results, rate) for rate in RATES[results.setting.scale]]


def best_run(results: Results) -> Training | None:
    """Return the run of the sweep with the least loss, or None while one of them is not over, or if all diverged."""
    found = [(training, results.finished(training)) for training in sweep(results)]
    if any(record is None for _, record in found):
        return None
    losses = [(record.loss, training) for training, record in found if record is not None and record.loss is not None]
    return min(losses, key=lambda pair: pair[0])[1] if losses else None


def runs_of_seeds(results: Results) -> list[Training]:
    """Return the best run of the sweep and those that differ from it in their seeds; none while it is not known."""
    best = best_run(results)
    if best is None:
        return []
    seeds = [best.config.seed + number for number in range(1, SEEDS[results.setting.scale])]
    return [best, *(_with_seed(best, seed) for seed in seeds)]


def _with_seed(training: Training, seed: int) -> Training:
    changes = {**training.changes, "seed": seed}
    return Training(f"{training.name},seed={seed}", replace(training.config, seed=seed), changes)


def losses_of_seeds(results: Results) -> list[float]:
    """Return the final losses of the runs that differ in their seeds only, as far as they are over."""
    records = [results.finished(training) for training in runs_of_seeds(results)]
    return [record.loss for record in records if record is not None and record.loss is not None]


def has_diverged(record: RunRecord) -> bool:
    """Return whether a run diverged, or ended far above its own best validation loss."""
    best = (record.result or {}).get("best_loss")
    return record.diverged or record.loss is None or (best is not None and record.loss > best + BLOWN_UP)


def has_failed(results: Results, record: RunRecord) -> bool:
    """Return whether a rate is above the edge of stability.

    Its run diverged; or the rate is greater than the best, and the run learned no more than how frequent tokens are.
    """
    best = best_run(results)
    if best is None:
        return has_diverged(record)
    if record.config.schedule.max_learning_rate <= best.config.schedule.max_learning_rate:
        return False  # A low rate may be so slow that its run does no better than guessing for long.
    floor = results.entropy_of_tokens("tinystories")
    return has_diverged(record) or (floor is not None and record.loss is not None and record.loss >= floor)


def search(results: Results) -> tuple[list[Training], Bracket | None]:
    """Search the edge of stability as far as there are results.

    Returns:
        The runs after those of the sweep, of which the last may not be over; and the bracket, once the search is over.
    """
    diverged: dict[float, bool] = {}
    for training in sweep(results):
        record = results.finished(training)
        if record is None:
            return [], None
        diverged[training.config.schedule.max_learning_rate] = has_failed(results, record)
    more: list[Training] = []
    while not isinstance(rate := next_rate(diverged, ratio=RATIO[results.setting.scale]), Bracket):
        training = at_rate(results, rate)
        more.append(training)
        record = results.finished(training)
        if record is None:
            return more, None
        diverged[rate] = has_failed(results, record)
    return more, rate


def _answer(results: Results) -> Iterable[Block]:
    more, edge = search(results)
    runs = sorted([*sweep(results), *more], key=lambda training: training.config.schedule.max_learning_rate)
    found = [(training, results.finished(training)) for training in runs]
    yield Text(f"The runs: {model_in_words(results.setting.small)}.")
    yield from standing(results, "tinystories")
    yield Table(
        ("learning rate", *RUN_HEADER, "write-up 1"),
        [
            (name_of(rate), *_cells(results, record), REPORTED.get(rate, ""))
            for training, record in found
            for rate in [training.config.schedule.max_learning_rate]
        ],
        "Final losses in nats per token, by the greatest learning rate of the schedule. The last column is what "
        f"write-up 1 says of its rates: {_reported()}.",
    )
    done = [(training, record) for training, record in found if record is not None]
    yield Text(_strategy(results))
    yield from _least(results, done)
    yield from _seeds(results)
    if edge is not None:
        losses = {
            training.config.schedule.max_learning_rate: record.loss
            for training, record in done
            if record.loss is not None and not has_failed(results, record)
        }
        best = best_run(results)
        rate = None if best is None else best.config.schedule.max_learning_rate
        yield Text(f"**(b)** {_edge_in_words(edge, losses, rate)}")
    else:
        yield Missing("the edge of stability")
    if done:
        line = Line(
            "final loss",
            [training.config.schedule.max_learning_rate for training, _ in done],
            [None if has_failed(results, record) else record.loss for _, record in done],
        )
        title = "Final loss by learning rate"
        yield Picture(
            "learning_rate",
            lambda: final_losses([line], title=title),
            "Crosses are runs that diverged, by the rule above.",
        )
    labelled = [(name_of(training.config.schedule.max_learning_rate), record) for training, record in done]
    yield from overlay(
        "learning_rate_curves", labelled, "Losses by learning rate", "The losses of the sweep and the search."
    )
    records = [record for training in runs_of_seeds(results) if (record := results.finished(training)) is not None]
    yield from seeds_in_words([*(record for _, record in done), *records])
    yield from missing_runs(results, [(name_of(t.config.schedule.max_learning_rate), t) for t in runs])
    yield from missing_runs(results, [(f"with seed {t.config.seed}", t) for t in runs_of_seeds(results)[1:]])


def _cells(results: Results, record: RunRecord | None) -> list[Any]:
    """Return the cells of a run. The state says if it counts as diverged although it went on to its end."""
    *cells, state = run_cells(results, record)
    counts = record is not None and not record.diverged and has_failed(results, record)
    return [*cells, f"{state}, counts as diverged" if counts else state]


def _seeds(results: Results) -> Iterable[Block]:
    """Yield the loss of the best rate as a mean over seeds, with its standard error."""
    losses = losses_of_seeds(results)
    error, bound = standard_error(losses), chance(losses)
    if error is None or bound is None:
        return
    best = best_run(results)
    assert best is not None, "there are runs of further seeds"
    yield Text(
        f"The best rate of the sweep, {name_of(best.config.schedule.max_learning_rate)}, with {len(losses)} seeds: "
        f"{mean(losses):.4f} ± {error:.4f} nats (mean and standard error). If all runs vary as these do, two of them "
        f"differ by less than {bound:.4f} nats by chance in 95 of 100 cases (Student's t distribution)."
    )


def _reported() -> str:
    return "; ".join(f"{name_of(rate)}: {words}" for rate, words in REPORTED.items())


def _least(results: Results, done: Sequence[tuple[Training, RunRecord]]) -> Iterable[Block]:
    """Say which rate has the least loss, and whether it meets the handout's limit, once the sweep is over."""
    known = [(record.loss, training, record) for training, record in done if record.loss is not None]
    if best_run(results) is None or not known:
        return
    loss, training, record = min(known, key=lambda each: each[0])
    rate = name_of(training.config.schedule.max_learning_rate)
    words = verdict(results, training, record)
    is_lowest = training == sweep(results)[0]
    hint = " It is the lowest rate that was tried, and a lower one may be better." if is_lowest else ""
    yield Text(
        f"The least loss is {loss:.4f} nats, at {rate}; the handout's limit is {BASE_LIMIT:.2f} ({words}).{hint}"
    )


def _strategy(results: Results) -> str:
    scale = results.setting.scale
    rates = ", ".join(map(name_of, RATES[scale]))
    bound = results.setting.small.max_loss
    stuck = f", if its loss stays above {bound:.2f} nats for a quarter of its steps," if bound else ""
    floor = results.entropy_of_tokens("tinystories")
    frequencies = f" ({floor:.2f} nats)" if floor is not None else ""
    return (
        f"**(a)** The strategy: rates spread over a log scale ({rates}), then a bisection on the log scale "
        "between the greatest rate that converges and the least that diverges, until they differ by at most a factor "
        f"of {RATIO[scale]:g}. A run has diverged if its loss is not finite{stuck} or if it ends {BLOWN_UP} nats above "
        "its own best validation loss. A rate greater than the best counts as diverged, too, if its run learns nothing "
        f"but how frequent each token is{frequencies}."
    )


def _edge_in_words(edge: Bracket, losses: Mapping[float, float], best: float | None) -> str:
    """Say where the edge of stability is, and how the best rate of the sweep relates to it.

    Args:
        edge: Where the search ended.
        losses: The final losses of the rates that converge.
        best: The best rate of the sweep; None if all its rates diverge.
    """
    if edge.converges is None:
        return f"Every rate down to {name_of(edge.diverges or 0.0)} diverges."
    if edge.diverges is None:
        found = "" if best is None else f" The best rate of the sweep is {name_of(best)}."
        return f"No rate up to {name_of(edge.converges)} diverges.{found}"
    said = (
        f"The edge of stability is between {name_of(edge.converges)}, which converges, and {name_of(edge.diverges)}, "
        "which does not."
    )
    if best is None:
        return f"{said} Every rate of the sweep diverges."
    factor = (edge.middle or edge.converges) / best
    said += (
        f" The best rate of the sweep, {name_of(best)}, is {'at' if factor < AT_EDGE else 'below'} the edge, a factor "
        f"of {digits(factor, 2)} from it."
    )
    if edge.converges == best:
        return said
    more = losses[edge.converges] - losses[best]
    ending = ": training becomes worse long before it diverges." if more > 0 and factor >= AT_EDGE else "."
    return (
        f"{said} At {name_of(edge.converges)} the loss is {abs(more):.3f} nats {'above' if more >= 0 else 'below'} "
        f"that of the best rate{ending}"
    )


def _work(results: Results) -> Iterable[Work]:
    yield from sweep(results)
    yield from search(results)[0]
    yield from runs_of_seeds(results)[1:]


QUESTION = Question(
    row=32,
    name="learning_rate",
    points=3,
    kind="measured",
    asked="(a) Sweep the learning rate, say with which strategy, and reach the limit of the loss. (b) Raise it until a "
    "run diverges: how does the edge of stability relate to the best rate?",
    answer=_answer,
    work=_work,
)
