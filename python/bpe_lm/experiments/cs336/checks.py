"""The parts of a check: its inputs, the comparison with the oracle, and the oracle's source as the report shows it."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Iterator
from math import erf, exp, pi, sqrt
from typing import TYPE_CHECKING, Any

import numpy as np

from bpe_lm.experiments.blocks import Check, Code
from bpe_lm.experiments.cs336.oracles import Array, Weights

if TYPE_CHECKING:
    from torch import Tensor

    from bpe_lm.kernels.implementation import Implementation

BATCH, SEQ, D_MODEL, NUM_HEADS, D_FF = 4, 12, 64, 4, 128
VOCAB_SIZE, CONTEXT, NUM_LAYERS, THETA = 10_000, 16, 3, 10_000.0
"""The sizes of the snapshots in the course's test suite."""

IMPLEMENTATIONS: tuple[Implementation, Implementation] = ("fast", "reference")
"""The two forms of a layer that a check compares with the oracle."""


def normal(seed: int, *shape: int, mean: float = 0.0, std: float = 1.0) -> Array:
    """Draw numbers from N(mean, std^2) that float32 holds exactly, so that a layer and its oracle get the same."""
    drawn = mean + std * np.random.default_rng(seed).standard_normal(shape)
    return drawn.astype(np.float32).astype(np.float64)


def model_weights(vocab_size: int = VOCAB_SIZE, num_layers: int = NUM_LAYERS) -> dict[str, Array]:
    """Draw the weights of a model of the snapshots' sizes: norms near 1, and matrices from N(0, 1 / (4 d_in))."""
    norm, square, table = (D_MODEL,), (D_MODEL, D_MODEL), (vocab_size, D_MODEL)
    shapes: dict[str, tuple[int, ...]] = {"token_embeddings": table, "ln_final": norm, "lm_head": table}
    for layer in range(num_layers):
        block = {f"attn.{part}_proj": square for part in ("q", "k", "v", "output")}
        block |= {"ffn.w1": (D_FF, D_MODEL), "ffn.w2": (D_MODEL, D_FF), "ffn.w3": (D_FF, D_MODEL)}
        shapes |= {f"layers.{layer}.{name}": shape for name, shape in block.items()}
        shapes |= {f"layers.{layer}.{name}": norm for name in ("ln1", "ln2")}
    return {f"{name}.weight": _weight(seed, shape) for seed, (name, shape) in enumerate(shapes.items())}


def _weight(seed: int, shape: tuple[int, ...]) -> Array:
    if len(shape) == 1:
        return normal(seed, *shape, mean=1.0, std=0.1)
    return normal(seed, *shape, std=0.5 / sqrt(shape[-1]))


def tensor(array: Array) -> Tensor:
    """Return the numbers as a tensor of float32."""
    import torch

    return torch.from_numpy(array).float()


def tensors(weights: Weights) -> dict[str, Tensor]:
    """Return weights as a state dict of float32."""
    return {name: tensor(value) for name, value in weights.items()}


def in_one_thread(checks: Iterable[Check]) -> list[Check]:
    """Compute checks of many small operations, which several threads would slow down on a busy machine."""
    import torch

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        return list(checks)
    finally:
        torch.set_num_threads(threads)


def compared(what: str, found: Tensor, expected: Array | float, limit: float, oracle: str) -> Check:
    """Compare a layer's result with the oracle's: the largest absolute difference, which is NaN if any number is NaN.

    Raises:
        ValueError: The shapes differ.
    """
    array, wanted = found.detach().double().numpy(), np.asarray(expected)
    if array.shape != wanted.shape:
        raise ValueError(f"{what}: the shape is {array.shape}, and the oracle's is {wanted.shape}")
    with np.errstate(invalid="ignore"):  # The difference of two infinities is NaN, which fails.
        difference = float(np.abs(array - wanted).max())
    return Check(what, difference, limit, oracle)


def counted(faults: str, number: int) -> Check:
    """Return a check of a number of faults, of which none is allowed."""
    return Check(f"the number of {faults}", float(number), 0.0, "0")


def source(*functions: Callable[..., Any]) -> Code:
    """Show the source of oracles."""
    return Code("\n\n".join(inspect.getsource(function).rstrip() for function in functions), "python")


def largest(*checks: Check) -> Check:
    """Return the check that is worst against its limit; one whose difference is not a number is the worst of all."""
    return max(checks, key=lambda check: (check.difference != check.difference, _share(check)))


def _share(check: Check) -> float:
    if check.limit:
        return check.difference / check.limit
    return 0.0 if check.difference == 0 else float("inf")


def initial_weights(weight: Tensor, std: float) -> Iterator[Check]:
    """Compare new weights with N(0, std^2) truncated at 3 standard deviations: their largest, and their spread."""
    ratios = weight.detach().double().numpy() / std
    what = f"initial weights {ratios.shape}, in standard deviations of {std:.4g}"
    yield Check(what, float(np.abs(ratios).max()), 3 + 1e-6, "0")
    # The variance of a N(0, 1) truncated at a is 1 - 2 a phi(a) / (2 Phi(a) - 1), and a is 3.
    expected = sqrt(1 - 6 * exp(-4.5) / sqrt(2 * pi) / erf(3 / sqrt(2)))
    five_errors = 5 / sqrt(2 * ratios.size)
    spread = float((ratios**2).mean() ** 0.5)
    yield Check(f"the spread around 0 of {what}", abs(spread - expected), five_errors, f"the expected {expected:.4f}")
