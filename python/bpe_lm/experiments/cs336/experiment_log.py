"""Problem experiment_log: a log of every run, with its losses against steps and against time.

Answer: each run's folder has its config, and a record of each few steps: step, tokens, seconds, loss, learning rate and
the norm of the gradients. The table lists all runs.
"""

from __future__ import annotations

from collections.abc import Iterable

from bpe_lm.experiments.blocks import Block, Missing, Table, Text
from bpe_lm.experiments.charts import loss_curves
from bpe_lm.experiments.cs336.base_run import base
from bpe_lm.experiments.cs336.main_experiment import main_run
from bpe_lm.experiments.cs336.question import Question
from bpe_lm.experiments.cs336.results import Results
from bpe_lm.experiments.cs336.shown import RUN_HEADER, losses, picture, provenance, run_cells
from bpe_lm.experiments.runs import RunRecord
from bpe_lm.experiments.work import Work


def name_of_run(results: Results, record: RunRecord) -> str:
    """Return the name of a run: its folder below that of the reproduction."""
    return record.folder.relative_to(results.setting.folder).as_posix()


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
            name_of_run(results, record),
            f"{record.config.schedule.max_learning_rate:g}",
            record.config.batch_size,
            *run_cells(results, record),
        )
        for record in records
    ]
    header = ("run", "learning rate", "batch size", *RUN_HEADER)
    yield Table(header, rows, f"All {len(records)} runs of this folder.")
    shown = losses((training.name, results.finished(training)) for training in (base(results), main_run(results)))
    if shown:
        caption = "Losses of the two main runs against steps, tokens and time."
        yield picture("experiment_log", lambda: loss_curves(shown), caption)
    else:
        yield Missing("the base run and the main run")
    yield from provenance(records)


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
