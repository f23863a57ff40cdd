"""Problem pre_norm_ablation: RMSNorm after each sub-layer's sum, as in the first Transformer, instead of before it.

Answer: not yet known on the course's text. On 5.7 MB of it (2026-11-27, commit b356817, 2 cores of an Intel Xeon with
AVX512-BF16): 1.70 nats worse at the best rate of pre-norm.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from bpe_lm.experiments.blocks import Block
from bpe_lm.experiments.cs336.ablation import ablation, ablation_blocks, ablation_work
from bpe_lm.experiments.cs336.question import Question
from bpe_lm.experiments.cs336.results import Results
from bpe_lm.experiments.work import Training, Work


def runs(results: Results) -> Mapping[str, Training | None]:
    """Return the run of this ablation by its label."""
    return {"post-norm": ablation(results, "post_norm", {"model.norm": "post"})}


def _answer(results: Results) -> Iterable[Block]:
    reported = "write-up 1: post-norm is less stable. The handout allows 1 hour of an H100."
    yield from ablation_blocks(results, "pre_norm_ablation", runs(results), reported, "Pre-norm and post-norm")


def _work(results: Results) -> Iterable[Work]:
    yield from ablation_work(results, runs(results).values())


QUESTION = Question(
    row=36,
    name="pre_norm_ablation",
    points=1,
    kind="measured",
    asked="Put RMSNorm after the sum, z = Norm(x + MHA(x)), in place of before the sub-layer. How does the loss "
    "compare?",
    answer=_answer,
    work=_work,
)
