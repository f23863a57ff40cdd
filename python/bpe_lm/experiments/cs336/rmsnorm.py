"""rmsnorm: is `RMSNorm` x / sqrt(mean(x^2) + eps) * weight, computed in float32 for narrower inputs?

Answer (2026-11-27, commit b356817, 2 cores of an Intel Xeon with AVX512-BF16): yes, within 4e-7, of 1e-6; float16
inputs within their rounding.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from bpe_lm.experiments.blocks import Block, Check, Text
from bpe_lm.experiments.cs336 import oracles
from bpe_lm.experiments.cs336.checks import BATCH, D_MODEL, SEQ, compared, counted, normal, source, tensor
from bpe_lm.experiments.cs336.question import Question, guarded
from bpe_lm.experiments.cs336.results import Results

LIMIT = 1e-6
ORACLE = "the formula in float64"


def answer(results: Results) -> Iterator[Block]:
    """Compare outputs of usual, small and float16 inputs, and initial weights."""
    yield Text(
        "`RMSNorm` divides each vector by the root of its mean square plus eps, and multiplies by a learned weight, "
        "which starts at 1: `y = x / sqrt(mean(x^2) + eps) * weight`. It has one form, which computes in float32 and "
        "returns the input's number format. Vectors of size 0.001 show whether eps is there, and float16 inputs, whose "
        "squares float16 cannot hold, show whether the format is widened. The course's limit is 1e-6. The oracle:"
    )
    yield source(oracles.rmsnorm)
    yield from _outputs()
    yield from _float16()


def _outputs() -> Iterator[Check]:
    from bpe_lm.model.layers import RMSNorm

    weight = normal(1, D_MODEL, mean=1.0, std=0.1)
    layer = RMSNorm(D_MODEL, eps=oracles.EPS)
    yield counted("initial weights that are not 1", int((layer.weight != 1).sum()))
    layer.load_state_dict({"weight": tensor(weight)})
    for what, size in (("x near 1", 1.0), ("x near 0.001, where eps matters", 1e-3), ("x = 0", 0.0)):
        x = normal(4, BATCH, SEQ, D_MODEL, std=size)
        expected = oracles.rmsnorm(weight, x)
        yield compared(what, layer(tensor(x)), expected, LIMIT, ORACLE)


def _float16() -> Iterator[Check]:
    from bpe_lm.model.layers import RMSNorm

    layer = RMSNorm(D_MODEL)
    x = tensor(normal(5, BATCH, SEQ, D_MODEL, std=1000.0)).half()
    found, expected = layer(x), oracles.rmsnorm(np.ones(D_MODEL), x.double().numpy())
    yield counted("results of float16 inputs in another format", int(found.dtype != x.dtype))
    # Half of the spacing of float16 numbers from 2 to 4, and a little for the rounding in float32.
    limit = 2.0**-10 * (1 + 1e-3)
    yield compared("x near 1000 in float16, whose rounding is the limit", found, expected, limit, ORACLE)


QUESTION = Question(
    row=10,
    name="rmsnorm",
    points=1,
    kind="check",
    asked="Write an `RMSNorm` module, which computes in float32 and returns the input's number format.",
    answer=guarded(answer),
)
