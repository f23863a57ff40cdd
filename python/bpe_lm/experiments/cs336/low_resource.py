"""The handout's rules for little hardware: what to check before a long run, and what differs on a CPU.

Overfit one batch, to loss near 0. Let the cosine end exactly at the last step. Name the device. Watch the norms.

Answer: the checks run in each reproduction.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

from bpe_lm.experiments.blocks import Block, Check, Missing, Picture, Table, Text
from bpe_lm.experiments.charts import Line, line_chart
from bpe_lm.experiments.cs336.base_run import base_runs, schedule_checks
from bpe_lm.experiments.cs336.question import Question
from bpe_lm.experiments.cs336.results import Results
from bpe_lm.experiments.work import Job, Work, measurement

OVERFIT_LIMIT = 0.05
"""The greatest loss in nats of a batch that was learned by heart."""

STEPS, RATE = 300, 3e-3
DEVICES = ("cpu", "cuda", "mps", "auto", "cuda:99")
FOLDER = "rules"


def overfit_job(results: Results) -> Job:
    """Return the job that overfits one batch."""
    config = replace(results.setting.small, compile=False)
    values = {"config": config.as_dict(), "steps": STEPS, "rate": RATE}
    return measurement(
        f"{FOLDER}/overfit",
        "bpe_lm.experiments.cs336.overfit",
        values,
        inputs=(Path(config.data.train),),
        sources=("model", "kernels", "training"),
    )


def devices_job() -> Job:
    """Return the job that opens devices by their names."""
    module = "bpe_lm.experiments.cs336.devices"
    return measurement(f"{FOLDER}/devices", module, {"names": list(DEVICES)}, sources=("training",))


def _answer(results: Results) -> Iterable[Block]:
    yield from _overfit_blocks(results.measured(overfit_job(results)))
    yield from _schedule_blocks(results)
    devices = results.measured(devices_job())
    if devices is None:
        yield Missing("the names of devices")
        return
    rows = [*devices["devices"].items(), ("get_batch on cuda:99", devices["get_batch on cuda:99"])]
    yield Table(("device", "on this machine"), rows, "Names of devices.")
    precision = "TF32" if devices["tf32"] else "full float32, and never TF32"
    yield Text(
        f"Products of float32 matrices are computed in {precision}. `compile` uses torch's default backend on a CPU. "
        'The handout recommends backend="aot_eager" for mps, and no TF32 there, whose kernels in torch 2.6 are '
        "silently broken; neither is tested here."
    )


def _overfit_blocks(found: dict[str, Any] | None) -> Iterable[Block]:
    if found is None:
        yield Missing("the batch that is overfitted")
        return
    what = f"loss of one batch of {found['rows']} texts after {found['steps']} steps at a rate of {found['rate']:g}"
    yield Check(what, found["final"], OVERFIT_LIMIT, "0")
    names = ("loss", "gradient_norm", "weight_norm", "rms_embedding", "rms_blocks", "rms_head")
    records = found["records"]
    header = ("step", *(name.replace("_", " ") for name in names))
    rows = [(record["step"], *(record[name] for name in names)) for record in records]
    yield Table(header, rows, "Norms while one batch is overfitted. rms: root mean square of the matrices' weights.")
    steps = [float(record["step"]) for record in records]
    lines = [Line(name.replace("_", " "), steps, [record[name] for record in records]) for name in names[:3]]
    yield Picture(
        "overfit",
        lambda: line_chart(lines, "step", "value", "One batch, learned by heart", log_y=True),
        "The loss of one batch, and the norms of gradients and weights.",
    )


def _schedule_blocks(results: Results) -> Iterable[Block]:
    for label, training in base_runs(results):
        record = results.finished(training)
        if record is not None and record.state == "finished" and record.train:
            yield from schedule_checks(label, record)
        else:
            yield Missing(f"the end of the cosine of the run {label}")


def _work(results: Results) -> Iterable[Work]:
    yield overfit_job(results)
    yield devices_job()
    for _, training in reversed(base_runs(results)):  # The shorter first.
        yield training


QUESTION = Question(
    row=41,
    name="low_resource",
    points=0,
    kind="measured",
    asked="The handout's rules for little hardware: overfit one batch, end the cosine at the last step, name the "
    "device, watch the norms.",
    answer=_answer,
    work=_work,
)
