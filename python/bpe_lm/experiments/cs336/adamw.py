"""adamw: does `AdamW` follow the formula for 1,000 steps, and torch's AdamW?

Answer (2026-11-27, commit b356817, 2 cores of an Intel Xeon with AVX512-BF16): yes, within 8e-6, of 1e-4. torch's AdamW
is as far from the formula: float32 is the reason. The decay comes before the update; another order, or eps at another
place, fails the check with strong options.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from bpe_lm.experiments.blocks import Block, Check, Text
from bpe_lm.experiments.cs336 import oracles
from bpe_lm.experiments.cs336.checks import IMPLEMENTATIONS, compared, counted, in_one_thread, normal, source, tensor
from bpe_lm.experiments.cs336.question import Question, guarded
from bpe_lm.experiments.cs336.results import Results

if TYPE_CHECKING:
    from torch import Tensor
    from torch.optim import Optimizer

LIMIT = 1e-4
STEPS, FEW = 1000, 20

COURSE: dict[str, Any] = {"lr": 1e-3, "betas": (0.9, 0.999), "eps": 1e-8, "weight_decay": 0.01}
"""The options of the course's test."""

STRONG: dict[str, Any] = {"lr": 0.1, "betas": (0.9, 0.95), "eps": 1e-2, "weight_decay": 0.5}
"""Options with which another order of decay and update, or eps at another place, changes weights beyond the limit."""


def answer(results: Results) -> Iterator[Block]:
    """Compare both forms and torch's optimizer with the formula, and a run that was loaded with one that was not."""
    yield Text(
        "`m <- b1 m + (1 - b1) g`, `v <- b2 v + (1 - b2) g^2`, `w <- w (1 - lr wd) - lr m^ / (sqrt(v^) + eps)`, with "
        "`m^ = m / (1 - b1^t)` and `v^ = v / (1 - b2^t)`. The reference is this formula, and the fast form torch's "
        f"fused kernel. The problem is the course's: {STEPS:,} steps on `y = (x1 + x2, -x3)` with a 2 x 3 matrix. Then "
        f"come {FEW} steps with a rate, a decay and an eps so large that their order and place show. The course's "
        "limit is 1e-4. The oracle has its own weights and gradients:"
    )
    yield source(oracles.adamw)
    yield from in_one_thread(_trajectories())
    yield from in_one_thread(_states())


def _trajectories() -> Iterator[Check]:
    import torch

    for options, steps in ((COURSE, STEPS), (STRONG, FEW)):
        expected = oracles.adamw(_start(), _gradient, steps, **options)
        what = "{:,} steps, lr {lr:g}, weight decay {weight_decay:g}, eps {eps:g}".format(steps, **options)
        for form, make in _makers().items():
            found = _fitted(partial(make, **options), steps)
            yield compared(f"{form}: {what}", found, expected, LIMIT, "the formula in float64")
        torchs = _fitted(partial(torch.optim.AdamW, **options), steps)
        yield compared(f"torch.optim.AdamW: {what}", torchs, expected, LIMIT, "the formula in float64")


def _states() -> Iterator[Check]:
    """A parameter without a gradient stays, and a run that is saved and loaded goes on as if it had not been."""
    import torch

    for form, make in _makers().items():
        idle = torch.nn.Parameter(torch.ones(2))
        make([idle], **COURSE).step()
        yield counted(f"weights without a gradient that the {form} form moves", int((idle != 1).sum()))
        whole, saved = _fitted(partial(make, **STRONG), FEW), _fitted(partial(make, **STRONG), FEW, saved_at=FEW // 2)
        what = f"{form}: state_dict, loaded after {FEW // 2} of {FEW} steps"
        yield compared(what, saved, whole.double().numpy(), 0.0, "the run without an interruption")


def _makers() -> dict[str, Callable[..., Optimizer]]:
    from bpe_lm.training.optimizers.adamw import AdamW

    return {form: partial(AdamW, implementation=form) for form in IMPLEMENTATIONS}


def _fitted(make: Callable[..., Optimizer], steps: int, saved_at: int = 0) -> Tensor:
    """Return the weights after some steps of an optimizer, whose state is saved and loaded once if that is asked."""
    import torch

    weight = torch.nn.Parameter(tensor(_start()))
    optimizer = make([weight])
    for step in range(steps):
        x = tensor(_INPUTS[step])
        weight.grad = torch.outer(2 * (weight.detach() @ x - torch.stack([x[0] + x[1], -x[2]])), x)
        if saved_at and step == saved_at:
            state, optimizer = optimizer.state_dict(), make([weight])
            optimizer.load_state_dict(state)
        optimizer.step()
    return weight.detach()


_INPUTS = np.random.default_rng(42).random((STEPS, 3))


def _start() -> oracles.Array:
    return normal(43, 2, 3, std=0.5)


def _gradient(step: int, weight: oracles.Array) -> oracles.Array:
    """The gradient of |W x - y|^2 is 2 (W x - y) x^T."""
    x = _INPUTS[step]
    return np.outer(2 * (weight @ x - np.array([x[0] + x[1], -x[2]])), x)


QUESTION = Question(
    row=22,
    name="adamw",
    points=2,
    kind="check",
    asked="Write AdamW as an optimizer of torch.",
    answer=guarded(answer),
)
