"""positionwise_feedforward: is `SwiGLU` W2 (silu(W1 x) * W3 x), and are `silu` and the ablation's network right?

Answer (2026-11-27, commit b356817, 2 cores of an Intel Xeon with AVX512-BF16): yes, within 2e-6, of 1e-5.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from bpe_lm.experiments.blocks import Block, Check, Text
from bpe_lm.experiments.cs336 import oracles
from bpe_lm.experiments.cs336.checks import BATCH, D_FF, D_MODEL, SEQ, compared, model_weights, normal, source, tensor
from bpe_lm.experiments.cs336.question import Question, guarded
from bpe_lm.experiments.cs336.results import Results

LIMIT, SILU_LIMIT = 1e-5, 1e-6


def answer(results: Results) -> Iterator[Block]:
    """Compare the activation, the gated network, and the networks without a gate."""
    yield Text(
        "`SwiGLU` is `W2 (silu(W1 x) * W3 x)` with `silu(x) = x / (1 + e^-x)`; d_ff is 8/3 d_model, to the nearest "
        "multiple of 64. The networks without a gate, `W2 f(W1 x)`, serve the ablation. They have one form each, and "
        "their products are those of `linear`. The course's limits are 1e-5 and, for `silu`, 1e-6. The oracle:"
    )
    yield source(oracles.silu, oracles.swiglu, oracles.feed_forward)
    yield _silu()
    yield from _networks()


def _silu() -> Check:
    from bpe_lm.model.layers import silu

    x = np.append(normal(1, 135), [-100.0, -20.0, 0.0, 20.0, 100.0])
    expected = oracles.silu(x)
    return compared("silu, from -100 to 100", silu(tensor(x)), expected, SILU_LIMIT, "x / (1 + e^-x) in float64")


def _networks() -> Iterator[Check]:
    from bpe_lm.model.layers import FeedForward, SwiGLU

    weights = {name: 2 * value for name, value in oracles.below("layers.0.ffn", model_weights()).items()}
    w1, w2, w3 = (weights[f"w{number}.weight"] for number in (1, 2, 3))
    x = normal(4, BATCH, SEQ, D_MODEL)
    layers = {
        "SwiGLU": (SwiGLU(D_MODEL, D_FF), oracles.swiglu(w1, w2, w3, x)),
        "silu, no gate": (FeedForward(D_MODEL, D_FF, "silu"), oracles.feed_forward(w1, w2, oracles.silu, x)),
        "relu squared, no gate": (FeedForward(D_MODEL, D_FF, "relu2"), oracles.feed_forward(w1, w2, _relu2, x)),
    }
    for what, (layer, expected) in layers.items():
        names = layer.state_dict().keys()
        layer.load_state_dict({name: tensor(weights[name]) for name in names})
        yield compared(what, layer(tensor(x)), expected, LIMIT, "the formula in float64")


def _relu2(x: oracles.Array) -> oracles.Array:
    return np.where(x > 0, x * x, 0.0)


QUESTION = Question(
    row=11,
    name="positionwise_feedforward",
    points=2,
    kind="check",
    asked="Write the feed-forward network: SwiGLU, made of the activation SiLU and a gate.",
    answer=guarded(answer),
)
