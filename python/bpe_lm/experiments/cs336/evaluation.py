"""A run evaluated on its whole validation text. Validations during training see a part of it."""

from __future__ import annotations

from typing import Any

from bpe_lm.experiments.cs336.results import Results
from bpe_lm.experiments.work import RESULT, Job, Training


def evaluation(results: Results, training: Training) -> Job | None:
    """Return the job that evaluates a run on its whole validation text, or None if the run has no model."""
    record = results.finished(training)
    if record is None or record.loss is None:
        return None
    return Job(
        f"evaluate-{training.name}",
        "bpe_lm",
        ("evaluate", str(record.folder), "--json", "--quiet"),
        inputs=(record.folder / RESULT,),
        sources=("model", "kernels", "training"),
    )


def evaluated(results: Results, training: Training) -> dict[str, Any]:
    """Return what the evaluation of a run printed, with `loss` and `bits_per_byte`; empty if it is not done."""
    job = evaluation(results, training)
    return (None if job is None else results.measured(job)) or {}
