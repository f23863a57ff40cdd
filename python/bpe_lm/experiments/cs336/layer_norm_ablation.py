"""Problem layer_norm_ablation: remove all RMSNorms. What happens at the best learning rate, and at a lower one?

Answer: not yet known on the course's text. On 5.7 MB of it (2026-11-27, commit b356817, 2 cores of an Intel Xeon with
AVX512-BF16): a model of 3 layers is stable without RMSNorm at both rates, and at the best one 0.25 nats better.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from bpe_lm.experiments.blocks import Block, Text
from bpe_lm.experiments.cs336.ablation import ablation, ablation_blocks, ablation_work
from bpe_lm.experiments.cs336.learning_rate import has_diverged
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
    reported = (
        "write-up 1: NaN at 1e-3 and at 5e-3; the runs that survive are clearly worse. The handout allows 1 hour of an "
        "H100."
    )
    yield from _stability(results)
    yield from ablation_blocks(results, "layer_norm_ablation", runs(results), reported, "With and without RMSNorm")


def _stability(results: Results) -> Iterable[Block]:
    """Say at which of the two rates the model without RMSNorm is stable, once both runs are over."""
    records = [None if training is None else results.finished(training) for training in runs(results).values()]
    stable = [not has_diverged(record) for record in records if record is not None]
    if len(stable) == len(records):
        words = {
            (True, True): "is stable at both rates",
            (False, True): "is unstable at the best rate, and a tenth of it makes it stable",
            (True, False): "is stable at the best rate, and diverges at a tenth of it",
            (False, False): "is unstable at both rates",
        }
        yield Text(f"Without RMSNorm, the model {words[stable[0], stable[1]]}.")


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
