"""gradient_clipping: are all gradients scaled together, in place, if their norm is above the limit?

Answer (2026-11-27, commit b356817, 2 cores of an Intel Xeon with AVX512-BF16): yes, within 4e-8, of 1e-6, and equal to
torch's.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np

from bpe_lm.experiments.blocks import Block, Check, Text
from bpe_lm.experiments.cs336 import oracles
from bpe_lm.experiments.cs336.checks import compared, largest, normal, source, tensor
from bpe_lm.experiments.cs336.question import Question, guarded
from bpe_lm.experiments.cs336.results import Results

if TYPE_CHECKING:
    from torch import Tensor
    from torch.nn import Parameter

LIMIT = 1e-6


def answer(results: Results) -> Iterator[Block]:
    """Compare clipped gradients with the oracle's and torch's, and gradients that need no clipping."""
    yield Text(
        "`clip_gradients(parameters, max)` multiplies all gradients by `min(1, max / (norm + 1e-6))`, where the norm "
        "is that of all their numbers together. Parameters may lack a gradient, and may come from a generator. As in "
        "the course's test there are six tensors of 5 x 5, of which one has no gradient. The course's limit is 1e-6, "
        "from `torch.nn.utils.clip_grad_norm_`; where `max` is below 1, it is 1e-6 of `max` here. The oracle:"
    )
    yield source(oracles.clipped)
    gradients = [normal(seed, 5, 5, std=std) for seed, std in enumerate((0.01, 0.1, 1.0, 3.0, 10.0))]
    for what, given, max_l2_norm in (
        ("a norm far above the limit, 0.01", gradients, 1e-2),
        ("a norm above the limit, 1", gradients, 1.0),
        ("a norm below the limit, 1000", gradients, 1e3),
        ("small gradients, where 1e-6 matters", [1e-4 * gradient for gradient in gradients], 1e-4),
        ("equal gradients, as in the course's test", [np.ones((5, 5))] * 5, 1e-2),
    ):
        yield from _compared(what, given, max_l2_norm)


def _compared(what: str, gradients: list[oracles.Array], max_l2_norm: float) -> Iterator[Check]:
    import torch

    from bpe_lm.training.optimizers.clipping import clip_gradients

    wanted = oracles.clipped(gradients, max_l2_norm)
    parameters = _parameters(gradients)
    clip_gradients((parameter for parameter in parameters), max_l2_norm)
    found = _gradients_of(parameters)
    limit = LIMIT * min(max_l2_norm, 1.0)  # No number is greater than the norm.
    yield largest(*(compared(what, *pair, limit, "the formula in float64") for pair in zip(found, wanted, strict=True)))
    torchs = _parameters(gradients)
    torch.nn.utils.clip_grad_norm_(torchs, max_l2_norm)
    pairs = zip(found, _gradients_of(torchs), strict=True)
    oracle = "`torch.nn.utils.clip_grad_norm_`"
    yield largest(*(compared(what, one, other.double().numpy(), limit, oracle) for one, other in pairs))


def _parameters(gradients: list[oracles.Array]) -> list[Parameter]:
    import torch

    parameters = [torch.nn.Parameter(torch.zeros(5, 5)) for _ in range(len(gradients) + 1)]
    for parameter, gradient in zip(parameters[1:], gradients, strict=True):
        parameter.grad = tensor(gradient)
    parameters[0].requires_grad_(False)
    return parameters


def _gradients_of(parameters: list[Parameter]) -> list[Tensor]:
    return [parameter.grad for parameter in parameters if parameter.grad is not None]


QUESTION = Question(
    row=25,
    name="gradient_clipping",
    points=1,
    kind="check",
    asked="Write the clipping of all gradients together to a given norm.",
    answer=guarded(answer),
)
