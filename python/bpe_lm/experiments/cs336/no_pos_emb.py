"""Problem no_pos_emb: no position embedding (NoPE) instead of RoPE.

Answer: not yet known on the course's text. On 5.7 MB of it (2026-11-27, commit b356817, 2 cores of an Intel Xeon with
AVX512-BF16): 0.22 nats worse, which is about the limit of chance.
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
    return {"no position (NoPE)": ablation(results, "no_position", {"model.position": "none"})}


def _answer(results: Results) -> Iterable[Block]:
    reported = "write-up 1: slightly worse, and shaky at high rates. The handout allows 1 hour of an H100."
    yield from ablation_blocks(results, "no_pos_emb", runs(results), reported, "RoPE and NoPE")


def _work(results: Results) -> Iterable[Work]:
    yield from ablation_work(results, runs(results).values())


QUESTION = Question(
    row=37,
    name="no_pos_emb",
    points=1,
    kind="measured",
    asked="Remove the position embeddings. How does the loss compare with RoPE?",
    answer=_answer,
    work=_work,
)
