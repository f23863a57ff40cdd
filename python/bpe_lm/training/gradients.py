"""The gradients of a batch, added up over micro-batches."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from torch import Tensor

from bpe_lm.training.parallel import synchronized
from bpe_lm.training.profiling import phase

MicroBatch = tuple[Tensor, Tensor]


def micro_batches(x: Tensor, y: Tensor, rows: int) -> list[MicroBatch]:
    """Split the inputs and targets of a batch into micro-batches of `rows` rows; 0 makes one micro-batch."""
    rows = rows or len(x)
    return list(zip(torch.split(x, rows), torch.split(y, rows), strict=True))


def add_up_gradients(loss: Any, batches: list[MicroBatch], *, casts_once: bool = False) -> Tensor:
    """Add the gradients of micro-batches to the weights' `grad`, each weighted by its share of the tokens.

    Args:
        loss: A function of inputs and targets: the mean loss. It may be a module that several processes train.
        batches: The micro-batches.
        casts_once: Cast each weight to bfloat16 once for all micro-batches. The loss must use autocast in bfloat16.

    Returns:
        The mean loss of all tokens, without a graph.
    """
    device = batches[0][0].device
    total, tokens = torch.zeros((), device=device), sum(targets.numel() for _, targets in batches)
    with _cast_weights(device, is_wanted=casts_once):
        for number, (inputs, targets) in enumerate(batches):
            with synchronized(loss, number == len(batches) - 1):
                with phase("forward"):
                    mean = loss(inputs, targets) * (targets.numel() / tokens)
                with phase("backward"), _no_autocast(device, is_wanted=casts_once):
                    mean.backward()
            total += mean.detach()
    return total


def _cast_weights(device: torch.device, *, is_wanted: bool) -> AbstractContextManager[Any]:
    """Keep autocast's copies of weights until the end of the context. Without it, each forward pass drops its own."""
    return torch.autocast(device.type, dtype=torch.bfloat16) if is_wanted else nullcontext()


def _no_autocast(device: torch.device, *, is_wanted: bool) -> AbstractContextManager[Any]:
    """Leave autocast for a backward pass, whose operations have their types already. The copies of weights stay."""
    return torch.autocast(device.type, enabled=False) if is_wanted else nullcontext()
