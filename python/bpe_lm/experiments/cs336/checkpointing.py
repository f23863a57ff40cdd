"""checkpointing: is a model with its optimizer the same after it was saved and loaded?

Answer (2026-11-27, commit b356817, 2 cores of an Intel Xeon with AVX512-BF16): yes, to the bit, and so is the step
after it.
"""

from __future__ import annotations

import io
import tempfile
from collections.abc import Iterator, Mapping
from itertools import pairwise
from math import inf
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bpe_lm.experiments.blocks import Block, Check, Text
from bpe_lm.experiments.cs336.checks import IMPLEMENTATIONS, compared, counted, in_one_thread, largest, normal, tensor
from bpe_lm.experiments.cs336.question import Question, guarded
from bpe_lm.experiments.cs336.results import Results

if TYPE_CHECKING:
    from torch import nn
    from torch.optim import Optimizer

    from bpe_lm.kernels.implementation import Implementation

SIZES, STEPS = (100, 200, 100, 10), 10
"""The course's test: a network of three layers, saved after ten steps."""


def answer(results: Results) -> Iterator[Block]:
    """Save and load through a file and a file-like object, and train on."""
    yield Text(
        "`save_checkpoint(model, optimizer, iteration, out)` writes one file of safetensors, and `load_checkpoint(src, "
        "model, optimizer)` reads it and returns the iteration. As in the course's test, a network of three layers is "
        "saved after ten steps of AdamW. Here no difference at all is allowed, in weights, in the optimizer's state, "
        "and after one more step; the course allows 1e-5. The oracle is the network that was saved."
    )
    for implementation in IMPLEMENTATIONS:
        yield from in_one_thread(_round_trips(implementation))


def _round_trips(implementation: Implementation) -> Iterator[Check]:
    with tempfile.TemporaryDirectory() as folder:
        for what, target in (("a file", Path(folder) / "checkpoint"), ("a file-like object", io.BytesIO())):
            yield from _round_trip(f"{implementation}, through {what}", target, implementation)


def _round_trip(what: str, target: Path | io.BytesIO, implementation: Implementation) -> Iterator[Check]:
    from bpe_lm.training.checkpoint import load_checkpoint, save_checkpoint

    model, optimizer = _new(0, implementation)
    for step in range(STEPS):
        _train(model, optimizer, step)
    save_checkpoint(model, optimizer, STEPS, target)
    if isinstance(target, io.BytesIO):
        target.seek(0)
    other, others_optimizer = _new(1, implementation)
    found = load_checkpoint(target, other, others_optimizer)
    yield Check(f"{what}: the iteration", abs(found - STEPS), 0.0, str(STEPS))
    differences = [_difference(other.state_dict(), model.state_dict())]
    was, now = optimizer.state_dict(), others_optimizer.state_dict()
    yield counted(f"optimizer options that differ, {what}", int(was["param_groups"] != now["param_groups"]))
    differences.append(_difference(_flat(now["state"]), _flat(was["state"])))
    for each in ((model, optimizer), (other, others_optimizer)):
        _train(*each, STEPS)
    differences.append(_difference(other.state_dict(), model.state_dict()))
    parts = "weights, the optimizer's state, and weights after one more step"
    yield largest(*(Check(f"{what}: {parts}", each, 0.0, "what was saved") for each in differences))


def _new(seed: int, implementation: Implementation) -> tuple[nn.Module, Optimizer]:
    import torch
    from torch import nn

    from bpe_lm.training.optimizers.adamw import AdamW

    with torch.random.fork_rng(devices=()):
        torch.manual_seed(seed)
        model = nn.Sequential(*(nn.Linear(d_in, d_out) for d_in, d_out in pairwise(SIZES)))
    return model, AdamW(model.parameters(), lr=1e-3, implementation=implementation)


def _train(model: nn.Module, optimizer: Optimizer, step: int) -> None:
    x, y = tensor(normal(2 * step, SIZES[0])), tensor(normal(2 * step + 1, SIZES[-1]))
    optimizer.zero_grad()
    ((model(x) - y) ** 2).sum().backward()
    optimizer.step()


def _flat(state: Mapping[int, Mapping[str, Any]]) -> dict[str, Any]:
    """Return the tensors of an optimizer's state by name."""
    return {f"{number}.{name}": value for number, values in state.items() for name, value in values.items()}


def _difference(found: Mapping[str, Any], expected: Mapping[str, Any]) -> float:
    """Return the largest difference of two dictionaries of tensors; infinity if they have other names."""
    if found.keys() != expected.keys():
        return inf
    pairs = ((found[name], expected[name].double().numpy()) for name in expected)
    return largest(*(compared("", one, other, 0.0, "") for one, other in pairs)).difference


QUESTION = Question(
    row=27,
    name="checkpointing",
    points=1,
    kind="check",
    asked="Write functions that save and load a model, its optimizer and the iteration, by path or file-like object.",
    answer=guarded(answer),
)
