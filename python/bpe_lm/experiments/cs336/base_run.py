"""The base run: the course's model on TinyStories, and its run for a laptop. Does the loss meet the course's limits?

The handout asks for a validation loss of at most 1.45 after 327.68 M tokens, and of at most 2.00 after 40.96 M. The
cosine of the learning rate has to end exactly at the last step.

Answer: not yet known on the course's text. On 5.7 MB of it (2026-11-27, commit b356817, 2 cores of an Intel Xeon with
AVX512-BF16): a model of 3.3 M parameters ends at 2.659 nats after 3.76 M tokens, three epochs. The cosine ends exactly
at the last step.
"""

from __future__ import annotations

from collections.abc import Iterable

from bpe_lm.experiments.blocks import Block, Check, Picture, Table, Text
from bpe_lm.experiments.charts import loss_curves
from bpe_lm.experiments.cs336.evaluation import evaluated, evaluation
from bpe_lm.experiments.cs336.question import Question
from bpe_lm.experiments.cs336.results import Results
from bpe_lm.experiments.cs336.scales import changes_of
from bpe_lm.experiments.cs336.shown import (
    losses,
    missing_runs,
    model_in_words,
    runs_table,
    seeds_in_words,
    standing,
)
from bpe_lm.experiments.runs import RunRecord
from bpe_lm.experiments.work import Training, Work
from bpe_lm.training.presets import tinystories, tinystories_low_resource

BASE_LIMIT, LOW_RESOURCE_LIMIT = 1.45, 2.00
"""The handout's greatest validation losses, in nats per token of a vocabulary of 10,000."""

RATE_ERROR = 1e-9
"""The greatest relative difference of a learning rate in the records from that of the formula."""


BASE = "base"
"""The name of the base run."""


def base(results: Results) -> Training:
    """Return the base run."""
    config = results.setting.base
    return Training(BASE, config, changes_of(config, results.setting))


def low_resource(results: Results) -> Training | None:
    """Return the course's run for a laptop, or None if the budget does not hold it."""
    config = results.setting.low_resource
    return None if config is None else Training("low-resource", config, changes_of(config, results.setting))


def base_runs(results: Results) -> list[tuple[str, Training]]:
    """Return the labels and the runs of this question."""
    low = low_resource(results)
    return [("base", base(results)), *([("low-resource", low)] if low is not None else [])]


def verdict(results: Results, training: Training, record: RunRecord | None) -> str | None:
    """Say whether a run meets the handout's limit on the whole validation text, or why that cannot be said."""
    limits = ((tinystories(), BASE_LIMIT), (tinystories_low_resource(), LOW_RESOURCE_LIMIT))
    config = training.config
    limit = next(
        (
            limit
            for course, limit in limits
            if config.model == course.model
            and config.steps * config.tokens_per_step == course.steps * course.tokens_per_step
        ),
        None,
    )
    if record is None:
        return None
    if record.diverged:
        return "fails: it diverged"
    if limit is None:
        return "no verdict: the limits are for the course's model and tokens"
    if not results.setting.corpora["tinystories"].is_official:
        return f"no verdict: {limit:.2f} is the limit on TinyStories"
    loss = evaluated(results, training).get("loss")
    if loss is None:
        return "no verdict: the run is not evaluated on the whole validation text"
    return f"{'meets' if loss <= limit else 'misses'} the limit of {limit:.2f}"


def schedule_checks(label: str, record: RunRecord) -> Iterable[Check]:
    """Compare the learning rates in the records of a finished run with the formula's, at the last step and the top."""
    schedule, last = record.config.schedule, record.train[-1]
    lowest = schedule.max_learning_rate * schedule.min_ratio
    yield Check(
        f"{label}: steps between the last record of a learning rate and the last step",
        float(abs(record.config.steps - last["step"])),
        0.0,
        "the steps of the config",
    )
    yield Check(
        f"{label}: learning rate of the last step, relative difference",
        abs(last["learning_rate"] - lowest) / (lowest or 1.0),
        RATE_ERROR,
        f"min_ratio x max_learning_rate = {lowest:.3g}",
    )
    too_high = max(record_["learning_rate"] for record_ in record.train) / schedule.max_learning_rate - 1
    yield Check(f"{label}: greatest learning rate above the maximum", max(too_high, 0.0), RATE_ERROR, "0")


def _answer(results: Results) -> Iterable[Block]:
    runs = base_runs(results)
    found = [(label, training, results.finished(training)) for label, training in runs]
    yield Text(f"The base run: {model_in_words(results.setting.base)}.")
    yield from _left_out(results)
    yield from standing(results, "tinystories")
    yield runs_table(results, runs)
    verdicts = [
        (
            label,
            evaluated(results, training).get("loss", "diverged" if record and record.diverged else None),
            None if record is None else results.epochs(record),
            verdict(results, training, record),
        )
        for label, training, record in found
    ]
    reported = [
        ("handout: limit of the base run", f"{BASE_LIMIT:.2f}", "", "327.68 M tokens, 30 to 40 minutes on an H100"),
        ("handout: limit of the low-resource run", f"{LOW_RESOURCE_LIMIT:.2f}", "", "40.96 M tokens, 32 x 5,000 x 256"),
        (
            "handout: the staff's low-resource run",
            "1.80",
            "",
            "the same tokens; 36 minutes on an M3 Max's GPU, 82 on its CPU",
        ),
        ("write-up 1: best run", "below 1.33", "", "learning rate 1e-3"),
    ]
    yield Table(
        ("run", "validation loss", "epochs", "verdict, or conditions"),
        [*verdicts, *reported],
        "Losses of the whole validation text, beside the handout's.",
    )
    done = [(label, record) for label, _, record in found if record is not None]
    for label, record in done:
        if record.state == "finished" and record.train:
            yield from schedule_checks(label, record)
    shown = losses(done)
    if shown:
        yield Picture("base_run", lambda: loss_curves(shown), "Losses against steps, tokens and time.")
    yield from seeds_in_words(record for _, record in done)
    yield from missing_runs(results, runs)


def _left_out(results: Results) -> Iterable[Block]:
    """Say which of the course's two runs this scale leaves out."""
    if results.setting.scale != "gpu":
        yield Text("The course's run of 327.68 M tokens is that of the scale `gpu`.")
    if results.setting.scale == "cpu" and results.setting.low_resource is None:
        yield Text("The course's run of 40.96 M tokens does not fit into a third of the budget, and is left out.")


def _work(results: Results) -> Iterable[Work]:
    for _, training in base_runs(results):
        yield training
        if (job := evaluation(results, training)) is not None:
            yield job


QUESTION = Question(
    row=31,
    name="base_run",
    points=0,
    kind="measured",
    asked="Train the course's model on TinyStories. Is the validation loss at most 1.45, and that of the low-resource "
    "run at most 2.00? Does the cosine end exactly at the last step?",
    answer=_answer,
    work=_work,
)
