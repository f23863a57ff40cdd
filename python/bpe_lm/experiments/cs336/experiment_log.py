"""Problem experiment_log: a log of every run, with its losses against steps and against time.

Answer: each run's folder has its config, and a record of each few steps: step, tokens, seconds, loss, learning rate and
the norm of the gradients. The table lists all runs.
"""

from __future__ import annotations

from collections.abc import Iterable

from bpe_lm.experiments.blocks import Block, Missing, Picture, Table, Text
from bpe_lm.experiments.charts import loss_curves
from bpe_lm.experiments.cs336.base_run import base
from bpe_lm.experiments.cs336.main_experiment import main_run
from bpe_lm.experiments.cs336.question import Question
from bpe_lm.experiments.cs336.results import Results
from bpe_lm.experiments.cs336.shown import LOSSES, RUN_HEADER, losses, origins, run_cells, seeds_in_words
from bpe_lm.experiments.edge import name_of
from bpe_lm.experiments.work import Work


def _answer(results: Results) -> Iterable[Block]:
    yield Text(
        "Each run writes `metrics.jsonl`, one record a line: step, tokens, seconds of training without validations, "
        "loss, learning rate, norm of the gradients, tokens per second. `bpe-lm runs` lists the runs of this folder, "
        "and `results.tsv` has a line for each. What was learned is in docs/experiment_log.md."
    )
    records = list(results.runs())
    if not records:
        yield Missing("every run")
        return
    rows = [
        (
            results.name_of(record),
            name_of(record.config.schedule.max_learning_rate),
            record.config.batch_size,
            *run_cells(results, record),
        )
        for record in records
    ]
    header = ("run", "learning rate", "batch size", *RUN_HEADER)
    yield Table(header, rows, f"All runs of this folder, {len(records)} in number. {LOSSES}")
    shown = losses((training.name, results.finished(training)) for training in (base(results), main_run(results)))
    if shown:
        caption = "Losses of the two main runs against steps, tokens and time."
        yield Picture("experiment_log", lambda: loss_curves(shown), caption)
    else:
        yield Missing("the base run and the main run")
    yield from origins(results)
    yield from seeds_in_words(records)


def _work(results: Results) -> Iterable[Work]:
    yield base(results)
    yield main_run(results)


QUESTION = Question(
    row=30,
    name="experiment_log",
    points=3,
    kind="measured",
    asked="Keep a log of all experiments, with curves of the loss against steps and against the time of the wall "
    "clock.",
    answer=_answer,
    work=_work,
)
