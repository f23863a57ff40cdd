"""Problem swiglu_ablation: SwiGLU against SiLU without a gate, at about the same number of weights.

Three matrices of width d_ff and two of width 4 d_model have as many weights if d_ff is 8/3 d_model.

Answer: not yet known on the course's text. On 5.7 MB of it (2026-11-27, commit b356817, 2 cores of an Intel Xeon with
AVX512-BF16): 0.06 nats worse, which may be chance.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from bpe_lm.experiments.blocks import Block, Table
from bpe_lm.experiments.cs336.ablation import ablation, ablation_blocks, ablation_work
from bpe_lm.experiments.cs336.question import Question
from bpe_lm.experiments.cs336.results import Results
from bpe_lm.experiments.study import changed
from bpe_lm.experiments.work import Training, Work
from bpe_lm.model.config import ModelConfig
from bpe_lm.model.flops import count_parameters


def changes(results: Results) -> dict[str, str | int]:
    """Return the keys of the model without a gate, and their values."""
    return {"model.ffn": "silu", "model.d_ff": 4 * results.setting.small.model.d_model}


def runs(results: Results) -> Mapping[str, Training | None]:
    """Return the run without a gate by its label."""
    change = changes(results)
    return {f"SiLU, d_ff {change['model.d_ff']:,}": ablation(results, "silu", change)}


def sizes(results: Results) -> Table:
    """Return a table of the weights of both models."""
    gated = results.setting.small.model
    plain = changed(results.setting.small, changes(results)).model
    rows = [
        (name, model.ffn_matrices, f"{model.d_ff:,}", f"{count_parameters(model):,}", f"{_share(model, gated):.4f}")
        for name, model in (("SwiGLU", gated), ("SiLU", plain))
    ]
    header = ("feed-forward network", "matrices", "d_ff", "parameters of the model", "as a multiple of SwiGLU's")
    return Table(header, rows, "The sizes that are compared.")


def _share(model: ModelConfig, gated: ModelConfig) -> float:
    return count_parameters(model) / count_parameters(gated)


def _answer(results: Results) -> Iterable[Block]:
    yield sizes(results)
    reported = "write-up 1: SiLU is slower than SwiGLU. The handout allows 1 hour of an H100."
    yield from ablation_blocks(results, "swiglu_ablation", runs(results), reported, "SwiGLU and SiLU")


def _work(results: Results) -> Iterable[Work]:
    yield from ablation_work(results, runs(results).values())


QUESTION = Question(
    row=38,
    name="swiglu_ablation",
    points=1,
    kind="measured",
    asked="Replace SwiGLU by SiLU without a gate, with d_ff = 4 d_model, so that both have about as many weights. "
    "How do the losses compare?",
    answer=_answer,
    work=_work,
)
