"""What neither write-up reports: speed and utilization, the least and the largest batch, exact resuming, OpenWebText.

Answer: the jobs and runs of the other questions measure it in each reproduction.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from statistics import median
from typing import Any

from bpe_lm.experiments.blocks import Block, Check, Missing, Table, Text
from bpe_lm.experiments.cs336 import batch_size
from bpe_lm.experiments.cs336.base_run import base
from bpe_lm.experiments.cs336.checks import counted
from bpe_lm.experiments.cs336.main_experiment import main_run
from bpe_lm.experiments.cs336.question import Question
from bpe_lm.experiments.cs336.results import Results
from bpe_lm.experiments.cs336.shown import loss_of, seeds_in_words, standing
from bpe_lm.experiments.cs336.wording import titles
from bpe_lm.experiments.runs import RunRecord
from bpe_lm.experiments.work import Job, Work, measurement


def resume_job(results: Results) -> Job:
    """Return the job that kills a run and goes on with it."""
    config = replace(results.setting.small, compile=False)
    module = "bpe_lm.experiments.cs336.exact_resume"
    inputs, sources = (Path(config.data.train), Path(config.data.valid)), ("model", "kernels", "training")
    return measurement("exact-resume", module, {"config": config.as_dict()}, inputs=inputs, sources=sources)


def _median(record: RunRecord | None, key: str) -> float | None:
    """Return the median of a figure in the records of training. The first record, which has the start, is left out."""
    values = [] if record is None else [r[key] for r in record.train[1:] if r.get(key) is not None]
    return median(values) if values else None


def _speed_row(results: Results, label: str, record: RunRecord | None) -> tuple[Any, ...]:
    mfu = _median(record, "mfu")
    share = None if mfu is None else f"{100 * mfu:.1f} %"
    wait = _median(record, "data_wait")
    waits = None if wait is None else f"{100 * wait:.2f} %"
    return (label, _median(record, "tokens_per_second"), share, waits)


def _answer(results: Results) -> Iterable[Block]:
    own, on_owt = results.finished(base(results)), results.finished(main_run(results))
    yield Text("Neither write-up reports a result of the leaderboard (row 40) or tests of decoding (row 29) either.")
    yield from standing(results, "owt")
    rows = [_speed_row(results, label, record) for label, record in (("base", own), ("main", on_owt))]
    yield Table(
        ("run", "tokens per second", "MFU", "waiting for data"),
        rows,
        "Medians over the records of a run. MFU: the model's FLOP/s as a share of the peak: that of the data sheet of "
        "a GPU, or that of a matrix product that is timed on a CPU.",
    )
    yield from _batches(results)
    yield from _resume_blocks(results.measured(resume_job(results)))
    title = titles(results.setting)["owt"]
    yield Table(
        ("run", "validation loss", "epochs"),
        [(f"the base config on {title}", loss_of(on_owt), None if on_owt is None else results.epochs(on_owt))],
        "The loss of the same model on the second corpus, in nats per token.",
    )
    yield from seeds_in_words(record for record in (own, on_owt) if record is not None)
    for name, record in (("base", own), ("main", on_owt)):
        if record is None:
            yield Missing(f"the run {name}")


def _batches(results: Results) -> Iterable[Block]:
    sizes = batch_size.sizes(results)
    wanted = dict.fromkeys([1, max(sizes, default=1)])
    rows = []
    for size in wanted:
        best = batch_size.best_of(results, size)
        rows.append((size, None, None, None) if best is None else (size, *_batch_cells(results, best[1])))
    header = ("batch size", "tokens per second", "validation loss", "epochs")
    yield Table(header, rows, "The least and the largest batch, each at its best rate; losses in nats per token.")
    if all(row[1] is None for row in rows):
        yield Missing("runs with the least and the largest batch")


def _batch_cells(results: Results, record: RunRecord) -> tuple[float | None, float | None, float | None]:
    return batch_size.record_speed(record), record.loss, results.epochs(record)


def _resume_blocks(found: dict[str, Any] | None) -> Iterable[Block]:
    if found is None:
        yield Missing("a run that is killed and goes on")
        return
    yield Text(
        f"A run of {found['steps']} steps was killed by SIGKILL after step {found['killed_at']}, and went on from its "
        f"checkpoint of step {found['resumed_from']}."
    )
    is_in_time = 0 < found["resumed_from"] <= found["killed_at"] < found["steps"]
    yield counted("kills before the first checkpoint or after the last step", int(not is_in_time))
    for key, what in (("same_weights", "weights"), ("same_optimizer", "optimizer"), ("same_losses", "losses")):
        oracle = "a run that was never killed"
        yield Check(f"{what} after the kill: 1 if any bit differs, 0 if none does", float(not found[key]), 0.0, oracle)


def _work(results: Results) -> Iterable[Work]:
    yield base(results)
    yield main_run(results)
    yield from batch_size.QUESTION.work(results)
    yield resume_job(results)


QUESTION = Question(
    row=44,
    name="open_ground",
    points=0,
    kind="measured",
    asked="What neither write-up reports: tokens per second and MFU, batches of 1 and of the largest size, resuming "
    "after a kill, and the loss on OpenWebText.",
    answer=_answer,
    work=_work,
)
