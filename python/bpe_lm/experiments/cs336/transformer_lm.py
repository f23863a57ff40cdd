"""transformer_lm: are the model's logits those of the formula, and the gradients of its loss those of its slopes?

Answer (2026-11-27, commit b356817, 2 cores of an Intel Xeon with AVX512-BF16): yes. Logits are within 2e-6, of 1e-4,
and gradients of both forms within 2e-6 of the slopes.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from math import nan
from typing import TYPE_CHECKING

import numpy as np

from bpe_lm.errors import OptionError
from bpe_lm.experiments.blocks import Block, Check, Text
from bpe_lm.experiments.cs336 import oracles
from bpe_lm.experiments.cs336.checks import (
    BATCH,
    CONTEXT,
    D_FF,
    D_MODEL,
    IMPLEMENTATIONS,
    NUM_HEADS,
    NUM_LAYERS,
    SEQ,
    THETA,
    VOCAB_SIZE,
    compared,
    counted,
    in_one_thread,
    largest,
    model_weights,
    normal,
    source,
    tensors,
)
from bpe_lm.experiments.cs336.question import Question, guarded
from bpe_lm.experiments.cs336.results import Results

if TYPE_CHECKING:
    from bpe_lm.kernels.implementation import Implementation
    from bpe_lm.model.transformer import TransformerLM

LIMIT, SLOPE_LIMIT = 1e-4, 1e-4


def answer(results: Results) -> Iterator[Block]:
    """Compare logits and gradients of both forms."""
    yield Text(
        f"The model is `head(norm(block_L(... block_1(embedding(ids)))))`, here with a vocabulary of {VOCAB_SIZE:,}, "
        f"{NUM_LAYERS} blocks, {NUM_HEADS} heads and d_model {D_MODEL}, the sizes of the course's snapshot. It returns "
        "logits, not probabilities; write-up 2 reports a stray softmax. The weights have the course's names. The "
        "course's limit is 1e-4, plus 1e-2 of the number, which is not used here. The oracle:"
    )
    yield source(oracles.transformer_lm)
    weights = model_weights()
    ids = np.random.default_rng(6).integers(0, VOCAB_SIZE, (BATCH, SEQ))
    yield from in_one_thread(_logits(weights, ids))
    yield Text(
        "The backward passes are compared with slopes: the weights of one kind, such as all `q_proj`, move a little "
        "along a random direction and back, and the float64 loss changes by the slope times the way. Each line is the "
        "largest difference over the kinds, in parts of the gradient's norm."
    )
    yield from in_one_thread(_slopes(weights, ids[:1]))


def _logits(weights: oracles.Weights, ids: oracles.Ints) -> Iterator[Check]:
    import torch

    expected = oracles.transformer_lm(weights, ids, NUM_LAYERS, NUM_HEADS, THETA)
    for implementation in IMPLEMENTATIONS:
        model = _model(weights, implementation)
        for length in (SEQ, SEQ // 2):
            found = model(torch.from_numpy(ids[:, :length]))
            what = f"{implementation}: the logits of {length} tokens"
            yield compared(what, found, expected[:, :length], LIMIT, "the formula in float64")
        is_refused = False
        try:
            model(torch.zeros(1, CONTEXT + 1, dtype=torch.long))
        except OptionError:
            is_refused = True
        yield counted(f"texts beyond the context that the {implementation} form takes", int(not is_refused))


def _slopes(weights: oracles.Weights, ids: oracles.Ints) -> Iterator[Check]:
    """Compare <gradient, direction> with (loss(weights + h direction) - loss(weights - h direction)) / 2h."""
    targets = np.random.default_rng(7).integers(0, VOCAB_SIZE, ids.shape)
    directions = {name: normal(seed, *value.shape) for seed, (name, value) in enumerate(weights.items())}
    slopes = {kind: _slope(kind, weights, directions, ids, targets) for kind in sorted(set(map(_kind, weights)))}
    for implementation in IMPLEMENTATIONS:
        gradients = _gradients(_model(weights, implementation), implementation, ids, targets)
        yield largest(*(_slope_check(implementation, kind, slopes[kind], gradients, directions) for kind in slopes))


def _slope(
    kind: str, weights: oracles.Weights, directions: oracles.Weights, ids: oracles.Ints, targets: oracles.Ints
) -> float:
    way = 1e-3 / _norm(directions[name] for name in weights if _kind(name) == kind)

    def loss(factor: float) -> float:
        moved = {n: w + factor * directions[n] if _kind(n) == kind else w for n, w in weights.items()}
        return oracles.cross_entropy(oracles.transformer_lm(moved, ids, NUM_LAYERS, NUM_HEADS, THETA), targets)

    return (loss(way) - loss(-way)) / (2 * way)


def _slope_check(form: str, kind: str, slope: float, gradients: oracles.Weights, directions: oracles.Weights) -> Check:
    names = [name for name in gradients if _kind(name) == kind]
    found = sum(float((gradients[name] * directions[name]).sum()) for name in names)
    # Over random directions, the slope's standard deviation is the norm of the gradient.
    difference = abs(found - slope) / (_norm(gradients[name] for name in names) or nan)
    return Check(
        f"{form}: all gradients, of which that of {kind} differs most", difference, SLOPE_LIMIT, "the slope in float64"
    )


def _gradients(
    model: TransformerLM, implementation: Implementation, ids: oracles.Ints, targets: oracles.Ints
) -> oracles.Weights:
    import torch

    from bpe_lm.model.loss import LanguageModelLoss

    loss = LanguageModelLoss(model, implementation=implementation)
    loss(torch.from_numpy(ids), torch.from_numpy(targets)).backward()
    # The gradients take the places of the weights, so that they have the names of the state dict.
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.copy_(torch.full_like(parameter, nan) if parameter.grad is None else parameter.grad)
    return {name: gradient.double().numpy() for name, gradient in model.state_dict().items()}


def _model(weights: oracles.Weights, implementation: Implementation) -> TransformerLM:
    from bpe_lm.model.transformer import TransformerLM

    sizes = (VOCAB_SIZE, CONTEXT, D_MODEL, NUM_LAYERS, NUM_HEADS, D_FF, THETA)
    model = TransformerLM(*sizes, implementation=implementation)
    model.load_state_dict(tensors(weights))
    return model


def _kind(name: str) -> str:
    """Return the name of a weight without its layer: `attn.q_proj.weight` of `layers.0.attn.q_proj.weight`."""
    return re.sub(r"^layers\.\d+\.", "", name)


def _norm(arrays: Iterable[oracles.Array]) -> float:
    return sum(float((array**2).sum()) for array in arrays) ** 0.5


QUESTION = Question(
    row=17,
    name="transformer_lm",
    points=3,
    kind="check",
    asked="Write the whole Transformer language model, from token ids to logits.",
    answer=guarded(answer),
)
