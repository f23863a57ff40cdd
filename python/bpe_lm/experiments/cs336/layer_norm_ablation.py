"""Problem layer_norm_ablation: remove all RMSNorms. What happens at the best learning rate, and at a lower one?

Answer: not yet known on the course's text.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from bpe_lm.experiments.blocks import Block
from bpe_lm.experiments.cs336.ablation import ablation, ablation_blocks, ablation_work
from bpe_lm.experiments.cs336.question import Question
from bpe_lm.experiments.cs336.results import Results
from bpe_lm.experiments.work import Training, Work

LOWER = 0.1
"""The lower rate, as a fraction of the best."""


def runs(results: Results) -> Mapping[str, Training | None]:
    """Return the runs without RMSNorm by their labels."""
    change = {"model.norm": "none"}
    return {
        "no RMSNorm at the best rate": ablation(results, "no_norm", change),
        "no RMSNorm at a tenth of it": ablation(results, "no_norm_lower_rate", change, rate_by=LOWER),
    }


def _answer(results: Results) -> Iterable[Block]:
    reported = "write-up 1: NaN at 1e-3 and at 5e-3; the runs that survive are clearly worse."
    yield from ablation_blocks(results, "layer_norm_ablation", runs(results), reported, "With and without RMSNorm")


def _work(results: Results) -> Iterable[Work]:
    yield from ablation_work(results, runs(results).values())


QUESTION = Question(
    row=35,
    name="layer_norm_ablation",
    points=1,
    kind="measured",
    asked="Remove all RMSNorms. What happens at the best learning rate? Does a lower rate make it stable?",
    answer=_answer,
    work=_work,
)
