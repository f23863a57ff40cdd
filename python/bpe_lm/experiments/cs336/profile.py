"""Where do training steps spend their time? The 20 operations and the 20 functions that take most of it.

Write-up 1 profiled with cProfile.

Answer: the job measures it in each reproduction.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from bpe_lm.experiments.blocks import Block, Missing, Picture, Table, Text
from bpe_lm.experiments.charts import bars
from bpe_lm.experiments.cs336.question import Question
from bpe_lm.experiments.cs336.results import Results
from bpe_lm.experiments.cs336.shown import model_in_words
from bpe_lm.experiments.work import Job, Work, measurement

STEPS = 10
LONGEST = 60
"""Characters of a name that are shown."""


def profile_job(results: Results) -> Job:
    """Return the job that profiles steps of the base config."""
    config = results.setting.base
    values, inputs = {"config": config.as_dict(), "steps": STEPS}, (Path(config.data.train),)
    module = "bpe_lm.experiments.cs336.top_operations"
    return measurement("profile", module, values, inputs=inputs, sources=("model", "kernels", "training"))


def _table(found: Sequence[Mapping[str, Any]], what: str, caption: str) -> Table:
    rows = [
        (place, entry["name"][:LONGEST], f"{entry['calls']:,}", entry["seconds"], f"{100 * entry['share']:.1f} %")
        for place, entry in enumerate(found, 1)
    ]
    return Table(("", what, "calls", "own seconds", "share"), rows, caption)


def _answer(results: Results) -> Iterable[Block]:
    found = results.measured(profile_job(results))
    if found is None:
        yield Missing("the profile of training steps")
        return
    yield Text(
        "Write-up 1 shows the first 20 entries of cProfile. Row 4 has the stages of the training of a tokenizer. Here: "
        f"{found['steps']} steps, and the start of the run: {model_in_words(results.setting.base)}. A step takes "
        f"{found['seconds_per_step'] * 1e3:,.1f} ms without a profiler."
    )
    yield _table(found["operations"], "operation", "The 20 operations of torch with the most time of their own.")
    yield _table(found["functions"], "function", "The 20 functions with the most time of their own, by cProfile.")
    shares = {entry["name"]: 100 * entry["share"] for entry in found["operations"][:10]}
    title = "Operations of training"
    yield Picture("profile", lambda: bars(shares, "share of the time (%)", title), "The first ten operations.")


def _work(results: Results) -> Iterable[Work]:
    yield profile_job(results)


QUESTION = Question(
    row=43,
    name="profile",
    points=0,
    kind="measured",
    asked="Where do training steps spend their time? Show the first 20 entries of a profile.",
    answer=_answer,
    work=_work,
)
