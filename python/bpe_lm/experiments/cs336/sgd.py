"""learning_rate_tuning: what do the rates 1e1, 1e2 and 1e3 do to the toy SGD in ten steps?

Answer: 1e1 lowers the loss slowly and 1e2 to nearly 0 at once. With 1e3 it diverges. The reason is the formula: step t
multiplies every weight by 1 - lr / sqrt(t + 1) * 2 / 100. That is 0.8 at first for 1e1. For 1e2 it is -1 at first, and
0 at the fourth step. For 1e3 it is -19.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Mapping
from math import isfinite, sqrt

import numpy as np

from bpe_lm.experiments.blocks import Block, Check, Code, Table, Text
from bpe_lm.experiments.cs336 import oracles
from bpe_lm.experiments.cs336.checks import normal, source, tensor
from bpe_lm.experiments.cs336.question import Question, guarded
from bpe_lm.experiments.cs336.results import Results

RATES = (1e1, 1e2, 1e3)
STEPS = 10
LIMIT = 1e-4

WRITE_UP_1 = {1e1: "falls slowly", 1e2: "falls to about 1e-23", 1e3: "grows to about 1e18"}
WRITE_UP_2 = {1e1: "the same ordering", 1e2: "the same ordering", 1e3: "the same ordering"}


def answer(results: Results) -> Iterator[Block]:
    """Run the handout's example at each rate, and say what the losses do."""
    yield Text(
        "The handout's example minimises the mean square of 10 x 10 weights, which start from N(0, 5^2), by `SGD` with "
        "the rate `lr / sqrt(t + 1)`. This code ran:"
    )
    yield Code(inspect.getsource(losses_at).rstrip(), "python")
    weights = normal(336, 10, 10, std=5.0)
    losses = {rate: losses_at(rate, weights) for rate in RATES}
    yield Table(
        ("step", *(f"loss at {_name(rate)}" for rate in RATES)),
        [(step, *(losses[rate][step] for rate in RATES)) for step in range(STEPS)],
        "The loss before each step.",
    )
    yield Table(
        ("rate", "first factor of the weights", "what the loss does", "write-up 1", "write-up 2"),
        [
            (_name(rate), 1 - rate * 2 / 100, described(losses[rate]), WRITE_UP_1[rate], WRITE_UP_2[rate])
            for rate in RATES
        ],
    )
    yield Text(explained(losses))
    yield Text("The gradient of the mean square is `2 w / 100`, so that the losses can be computed without SGD:")
    yield source(oracles.toy_sgd_losses)
    yield from _checks(losses, weights)


def losses_at(rate: float, weights: oracles.Array) -> list[float]:
    """Return the loss before each step."""
    import torch

    from bpe_lm.training.optimizers.sgd import SGD

    parameter = torch.nn.Parameter(tensor(weights))
    optimizer, losses = SGD([parameter], lr=rate), []
    for _ in range(STEPS):
        optimizer.zero_grad()
        loss = (parameter**2).mean()
        losses.append(loss.item())
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
    return losses


def described(losses: list[float]) -> str:
    """Say in words what losses do, by the last in parts of the first."""
    ratio = losses[-1] / losses[0]
    if not isfinite(ratio):
        return "diverges: it is no longer finite"
    if ratio > 1:
        return f"diverges: it grows {ratio:.1e} times"
    if ratio < 1e-6:
        return f"falls to almost 0: {losses[-1]:.1e}"
    return f"falls{' slowly' if ratio > 0.01 else ''}, to {ratio:.1%} of the first".replace("%", " %")


def explained(losses: Mapping[float, list[float]]) -> str:
    """Explain the losses of each rate by the factors with which its steps multiply the weights."""
    sentences = []
    for rate, found in losses.items():
        factors = [1 - rate / sqrt(t + 1) * 2 / 100 for t in range(STEPS - 1)]
        growing = sum(abs(factor) > 1 for factor in factors)
        share = {0: "none", len(factors): "each"}.get(growing, f"{growing} of {len(factors)}")
        smallest = min(range(len(factors)), key=lambda t: abs(factors[t]))
        sentences.append(
            f"At {_name(rate)} the loss {described(found).replace(': ', ', ')}. Its factors go from {factors[0]:.3g} "
            f"to {factors[-1]:.3g}, and {share} of them enlarges the weights. The smallest in size is "
            f"{factors[smallest]:.2g}, at step {smallest}."
        )
    return "Step `t` multiplies every weight by `1 - lr / sqrt(t + 1) * 2 / 100`. " + " ".join(sentences)


def _checks(losses: Mapping[float, list[float]], weights: oracles.Array) -> Iterator[Check]:
    for rate, found in losses.items():
        expected = np.array(oracles.toy_sgd_losses(rate, weights, STEPS))
        # A loss of almost 0 is what rounding left of the first.
        differences = np.abs(np.array(found) - expected) / np.maximum(expected, expected[0])
        yield Check(f"ten losses at {_name(rate)}", float(differences.max()), LIMIT, "the product of the factors")


def _name(rate: float) -> str:
    return f"{rate:.0e}".replace("e+0", "e")


QUESTION = Question(
    row=21,
    name="learning_rate_tuning",
    points=1,
    kind="example",
    asked="Run the toy SGD for ten steps with the learning rates 1e1, 1e2 and 1e3. What happens to the loss?",
    answer=guarded(answer),
)
