"""linear: is `Linear` y = W x without a bias, and do its weights start as the handout says?

Answer (2026-11-27, commit b356817, 2 cores of an Intel Xeon with AVX512-BF16): yes. Outputs and gradients of both forms
differ from the sums in float64 by at most 4e-6, of 1e-5.
"""

from __future__ import annotations

from collections.abc import Iterator

from bpe_lm.experiments.blocks import Block, Check, Text
from bpe_lm.experiments.cs336 import oracles
from bpe_lm.experiments.cs336.checks import BATCH, D_FF, D_MODEL, SEQ, compared, initial_weights, normal, source, tensor
from bpe_lm.experiments.cs336.question import Question, guarded
from bpe_lm.experiments.cs336.results import Results

LIMIT = 1e-5
ORACLE = "the sums in float64"

LARGE_ROWS = 2048
"""Rows from which the product is large enough for the fast form of a CPU with AVX512-BF16: 2^24 multiplications."""


def answer(results: Results) -> Iterator[Block]:
    """Compare outputs, gradients and initial weights."""
    yield Text(
        "`Linear` computes `y = W x` for each vector `x`, with `W` of shape (d_out, d_in) and no bias. `W` starts from "
        "N(0, 2 / (d_in + d_out)), truncated at 3 standard deviations. The formula in torch is `x @ W.T`. There are "
        "two fast forms: one for a single row without gradients, as in generation, and one for large products on a CPU "
        "with AVX512-BF16. The course compares the output with a snapshot. The oracle is the sum in float64:"
    )
    yield source(oracles.linear)
    weight = normal(1, D_FF, D_MODEL, std=0.125)
    yield from _outputs(weight)
    yield from _gradients(weight)
    yield from _initial()


def _outputs(weight: oracles.Array) -> Iterator[Check]:
    import torch

    from bpe_lm.model.layers import Linear

    layer = Linear(D_MODEL, D_FF)
    layer.load_state_dict({"weight": tensor(weight)})
    for what, shape in (("reference", (BATCH, SEQ)), ("fast, one row", (1,)), ("fast, large", (LARGE_ROWS,))):
        x = normal(2, *shape, D_MODEL)
        with torch.no_grad():
            found = layer(tensor(x))
        expected = oracles.linear(weight, x)
        yield compared(f"{what}: {x.shape} to {expected.shape}", found, expected, LIMIT, ORACLE)


def _gradients(weight: oracles.Array) -> Iterator[Check]:
    """The gradients of sum(G * y) are G W for x, and sum over rows of the outer products of G and x for W."""
    import torch

    from bpe_lm.model.layers import Linear

    layer = Linear(D_MODEL, D_FF)
    layer.load_state_dict({"weight": tensor(weight)})
    for what, rows in (("reference", SEQ), ("fast, large", LARGE_ROWS)):
        x, g = normal(3, rows, D_MODEL), normal(4, rows, D_FF, std=rows**-0.5)
        given = tensor(x).requires_grad_()
        found = torch.autograd.grad((layer(given) * tensor(g)).sum(), (given, layer.weight))
        wanted = oracles.linear(weight.T, g), oracles.linear(x.T, g.T)
        for name, one, other in zip(("x", "W"), found, wanted, strict=True):
            yield compared(f"{what}: the gradient of {name}", one, other, LIMIT, "the transposed sums in float64")


def _initial() -> Iterator[Check]:
    import torch

    from bpe_lm.model.layers import Linear

    with torch.random.fork_rng(devices=()):
        torch.manual_seed(8)
        yield from initial_weights(Linear(D_MODEL, D_FF).weight, (2 / (D_MODEL + D_FF)) ** 0.5)


QUESTION = Question(
    row=8,
    name="linear",
    points=1,
    kind="check",
    asked="Write a `Linear` module: a matrix product without a bias, with truncated normal initial weights.",
    answer=guarded(answer),
)
