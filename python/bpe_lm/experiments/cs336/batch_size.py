"""Problem batch_size_experiment: batches from one text to what memory holds, with the learning rate tuned for each.

All runs have the same tokens, so that a larger batch has fewer steps.

Answer: not yet known on the course's text. On 5.7 MB of it (2026-11-27, commit b356817, 2 cores of an Intel Xeon with
AVX512-BF16): at 774,144 tokens each, batches of 8 end with the least loss, 3.36 nats; 32 with 3.61, 128 with 4.16. From
8 texts on the speed is about the same, and a batch of 1 has 0.4 of it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from math import log10, sqrt
from typing import Any

from bpe_lm.experiments.blocks import Block, Missing, Picture, Table, Text
from bpe_lm.experiments.charts import batch_sizes
from bpe_lm.experiments.cs336.budget import LEAST_STEPS, with_tokens
from bpe_lm.experiments.cs336.learning_rate import RATE, best_run, has_diverged, losses_of_seeds, sweep, with_rate
from bpe_lm.experiments.cs336.question import Question
from bpe_lm.experiments.cs336.results import Results
from bpe_lm.experiments.cs336.setting import Scale
from bpe_lm.experiments.cs336.shown import RUN_HEADER, overlay, run_cells, seeds_in_words, standing
from bpe_lm.experiments.cs336.wording import digits
from bpe_lm.experiments.edge import name_of, rounded
from bpe_lm.experiments.runs import RunRecord
from bpe_lm.experiments.seeds import chance
from bpe_lm.experiments.work import Job, Training, Work, measurement
from bpe_lm.training.presets import tinystories_low_resource

SIZES: Mapping[Scale, tuple[int, ...]] = {
    "smoke": (1, 64, 128),
    "cpu": (1, 8, 32, 64, 128, 512),
    "gpu": (1, 8, 32, 64, 128, 256, 512, 1024, 2048, 4096, 8192),
}
"""The batch sizes, as far as memory holds them and the tokens are enough for some steps."""

FEWEST: Mapping[Scale, int] = {"smoke": 5, "cpu": LEAST_STEPS, "gpu": LEAST_STEPS}
"""The fewest steps of a run, which bound its batch."""

EACH_DECADE = 2
"""The rates of a decade that are tried."""

ALIKE = (32, 128)
"""The batch sizes between which write-up 1 sees no difference in the loss."""

REPORTED = (
    "write-up 1: batches of 32 to 128 reach the same loss, and 32 is slower. The handout allows 2 hours of an H100"
)


def memory_job(results: Results) -> Job:
    """Return the job that finds the largest batch which memory holds."""
    config = results.setting.small
    module = "bpe_lm.experiments.cs336.largest_batch"
    return measurement(
        "largest-batch", module, {"config": _without_data(config.as_dict())}, sources=("model", "kernels", "training")
    )


def _without_data(values: dict[str, object]) -> dict[str, object]:
    return {key: value for key, value in values.items() if key != "data"}


def tokens(results: Results) -> int:
    """Return the tokens of each run: those of the small config, or at the scale gpu of the run for a laptop."""
    setting = results.setting
    config = tinystories_low_resource() if setting.scale == "gpu" else setting.small
    return config.steps * config.tokens_per_step


def sizes(results: Results) -> list[int]:
    """Return the batch sizes that fit into memory, and have a few steps at least."""
    largest = (results.measured(memory_job(results)) or {}).get("largest")
    most = tokens(results) // (results.setting.small.model.context_length * FEWEST[results.setting.scale])
    return [rows for rows in SIZES[results.setting.scale] if rows <= min(most, largest or most)]


def at(results: Results, rows: int, rate: float) -> Training:
    """Return the run of a batch size and a learning rate."""
    config = with_tokens(replace(results.setting.small, batch_size=rows), tokens(results))
    changes = {"batch_size": rows, "steps": config.steps, RATE: rate}
    return Training(f"batch_size/{rows}-{name_of(rate)}", with_rate(config, rate), changes)


def tried(results: Results, rows: int) -> list[Training]:
    """Return the runs of a batch size so far, of which the last may not be over.

    The first rate is the best one of the sweep times the root of the batch sizes' ratio. Then come its neighbours, and
    more of them while the best rate is at an end of those that were tried, and lower ones while all diverge. No more
    than seven are tried. The scale smoke tries two rates.
    """
    best = best_run(results)
    if best is None:
        return []
    guess = best.config.schedule.max_learning_rate * sqrt(rows / best.config.batch_size)
    start = round(log10(guess) * EACH_DECADE)
    numbers = [start, start - 1] if results.setting.scale == "smoke" else [start - 1, start, start + 1]
    runs = {number: at(results, rows, _rate(number)) for number in numbers}
    while results.setting.scale != "smoke" and len(runs) < 7:
        losses = {number: _loss(results.finished(training)) for number, training in runs.items()}
        if any(results.finished(training) is None for training in runs.values()):
            break
        least = min(sorted(losses), key=losses.__getitem__)  # The lowest rate, if all diverge.
        ends = {min(runs): min(runs) - 1, max(runs): max(runs) + 1}
        if least not in ends:
            break
        runs[ends[least]] = at(results, rows, _rate(ends[least]))
    return list(runs.values())


def best_of(results: Results, rows: int) -> tuple[Training, RunRecord] | None:
    """Return the run of a batch size with the least loss, or None while none is over, or if all diverged."""
    found = [(training, results.finished(training)) for training in tried(results, rows)]
    done = [(training, record) for training, record in found if record is not None and not has_diverged(record)]
    return min(done, key=lambda pair: _loss(pair[1])) if done else None


def _rate(number: int) -> float:
    return rounded(10 ** (number / EACH_DECADE))


def _loss(record: RunRecord | None) -> float:
    return float("inf") if record is None or has_diverged(record) or record.loss is None else record.loss


def _answer(results: Results) -> Iterable[Block]:
    yield from standing(results, "tinystories")
    yield _memory_in_words(results)
    yield Text(
        f"Each run has {tokens(results):,} tokens. The learning rate is tuned again for each batch size, on a grid of "
        f"{EACH_DECADE} rates a decade, from the best rate of the sweep times the root of the ratio of the batch sizes."
    )
    rows, records = [], []
    for size in sizes(results):
        runs = tried(results, size)
        found = best_of(results, size)
        done = [training for training in runs if results.finished(training) is not None]
        if len(done) < len(runs) or not runs:
            number = len(runs) - len(done)
            rates = f"at {number} learning rate{'s' * (number > 1)}" if runs else "whose rates follow from the sweep"
            yield Missing(f"batches of {size}, {rates}")
        training, record = found if found is not None else (None, None)
        rate = None if training is None else name_of(training.config.schedule.max_learning_rate)
        if training is None and done and len(done) == len(runs):
            rate = "all diverge"
        speed = None if record is None else record_speed(record)
        shown = ", ".join(map(name_of, sorted(t.config.schedule.max_learning_rate for t in done))) or None
        rows.append((size, rate, shown, speed, *_cells(results, done, record)))
        if record is not None:
            records.append((size, record))
    header = ("batch size", "best rate", "rates tried", "tokens per second", *RUN_HEADER)
    yield Table(header, rows, f"The best run of each batch size; losses in nats per token. Reported: {REPORTED}.")
    yield from _findings(results, records)
    if records:
        title = "Loss and speed by batch size"
        yield Picture(
            "batch_size",
            lambda: batch_sizes(
                [size for size, _ in records],
                [record.loss for _, record in records],
                [record_speed(record) for _, record in records],
                title,
            ),
            "The best loss and its speed, for each batch size.",
        )
    labelled = [(f"{size} text{'s' * (size > 1)}", record) for size, record in records]
    yield from overlay("batch_size_curves", labelled, "Losses by batch size", "The best run of each batch size.")
    yield from seeds_in_words(record for _, record in records)


def _cells(results: Results, done: Sequence[Training], best: RunRecord | None) -> list[Any]:
    """Return the cells of the best run; of a batch size at which every rate diverges, those of the last run."""
    diverged = results.finished(done[-1]) if done and best is None else None
    return run_cells(results, best or diverged)


def _findings(results: Results, records: Sequence[tuple[int, RunRecord]]) -> Iterable[Block]:
    """Say what the batch size changes: the loss, the speed and the best rate."""
    losses = {size: record.loss for size, record in records if record.loss is not None}
    if len(losses) < 2:
        return
    least, greatest = min(losses, key=losses.__getitem__), max(losses, key=losses.__getitem__)
    speeds = {size: speed for size, record in records if (speed := record_speed(record)) is not None}
    fastest, slowest = (choose(speeds, key=speeds.__getitem__, default=None) for choose in (max, min))
    rates = {size: name_of(record.config.schedule.max_learning_rate) for size, record in records}
    first, last = min(rates), max(rates)
    alike = [loss for size, loss in losses.items() if ALIKE[0] <= size <= ALIKE[1]]
    bound = chance(losses_of_seeds(results))
    said = [
        f"**Loss.** At equal tokens, batches of {least} end with the least loss, {losses[least]:.3f} nats, and batches "
        f"of {greatest} with the greatest, {losses[greatest]:.3f}.",
        "A large batch has few steps for these tokens; a small one has many, with noisier gradients.",
    ]
    if len(alike) > 1:
        said.append(f"From {ALIKE[0]} to {ALIKE[1]} texts, losses differ by {max(alike) - min(alike):.3f} nats.")
    if bound is not None:
        said.append(f"Differences below {bound:.3f} nats may be chance.")
    yield Text(" ".join(said))
    if fastest is not None and slowest is not None:
        times = digits(speeds[fastest] / speeds[slowest], 2)
        yield Text(
            f"**Speed.** Batches of {fastest} are the fastest, with {times} times the tokens per second of batches of "
            f"{slowest}."
        )
    yield Text(
        f"**Learning rate.** The best rate is {rates[first]} for batches of {first} and {rates[last]} for batches of "
        f"{last}."
    )


def record_speed(record: RunRecord) -> float | None:
    """Return the tokens per second of a run over all of its steps, or None if it has no time."""
    result = record.result or {}
    return result["tokens"] / result["seconds"] if result.get("seconds") else None


def _memory_in_words(results: Results) -> Block:
    found = results.measured(memory_job(results))
    if found is None:
        return Missing("the largest batch that memory holds")
    how = "tried in powers of two" if found["method"] == "tried" else "predicted by a simulation of a step"
    return Text(
        f"The largest batch that memory holds: {found['largest']:,} texts ({how}, {found['memory'] / 1e9:.1f} GB). "
        f"Here the largest is {max(sizes(results), default=1):,}, so that each run has at least "
        f"{FEWEST[results.setting.scale]} steps and the study ends in its time."
    )


def _work(results: Results) -> Iterable[Work]:
    yield from sweep(results)
    yield memory_job(results)
    if results.measured(memory_job(results)) is not None:
        for size in sizes(results):
            yield from tried(results, size)


QUESTION = Question(
    row=33,
    name="batch_size_experiment",
    points=1,
    kind="measured",
    asked="Vary the batch size from 1 to what memory holds, 64 and 128 among them, and tune the learning rate again. "
    "What do batch sizes change?",
    answer=_answer,
    work=_work,
)
