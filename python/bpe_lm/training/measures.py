"""What a step measures, as numbers on the device: the host reads those of many steps at once.

In a distributed run one all-reduce of a few numbers carries all that the processes must agree on in a step.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
import torch.distributed as dist
from torch import Tensor

from bpe_lm.kernels.norms import fast_norm_of_all, norm_of_all
from bpe_lm.training.parallel import World
from bpe_lm.training.sharded import is_sharded, local_shard


class Wishes(NamedTuple):
    """The reasons of a process to end a run, or the number of processes that have each."""

    signal: float = 0
    time: float = 0
    failed_write: float = 0


class Measures(NamedTuple):
    """Numbers of one step, each without dimensions, on the device: the mean loss and the norm of all gradients.

    `has_bad_ids` says whether an id of the batch is beyond the vocabulary; None if the host has checked that. `wishes`
    are the reasons of all processes to end, in the order of `Wishes`; None if there is one process.
    """

    loss: Tensor
    norm: Tensor
    has_bad_ids: Tensor | None = None
    wishes: Tensor | None = None


def measured(
    loss: Tensor,
    gradients: Sequence[Tensor],
    world: World,
    *,
    has_bad_ids: Tensor | None = None,
    wishes: Wishes | None = None,
    is_fast: bool = False,
) -> Measures:
    """Measure a step. All processes call this together, and get the same numbers.

    Args:
        loss: The mean loss of this process's rows.
        gradients: The mean gradients over all processes, or this process's shards of them.
        world: The processes.
        has_bad_ids: Whether this process's rows have an id beyond the vocabulary.
        wishes: This process's reasons to end.
        is_fast: Whether the norm may be summed in another order than torch's.
    """
    norm_of = fast_norm_of_all if is_fast else norm_of_all
    norm = norm_of([local_shard(gradient) for gradient in gradients]) if gradients else torch.zeros_like(loss)
    if world.size == 1:
        return Measures(loss, norm, has_bad_ids)
    are_shards = any(map(is_sharded, gradients))
    sums = loss.new_zeros(3 + len(Wishes()), dtype=torch.float64)
    sums[0] = loss
    sums[1] = norm.double().square()
    if has_bad_ids is not None:
        sums[2] = has_bad_ids
    for number, value in enumerate(wishes or (), 3):
        if value:
            sums[number] = value
    dist.all_reduce(sums)
    shared_norm = sums[1].sqrt().to(norm.dtype) if are_shards else norm
    return Measures(sums[0] / world.size, shared_norm, sums[2] > 0 if has_bad_ids is not None else None, sums[3:])


@dataclass(frozen=True)
class Reading:
    """The measures of a step as the host reads them. `step` is the step's number from 1 on."""

    step: int
    loss: float
    norm: float
    learning_rate: float
    has_bad_ids: bool
    wishes: Wishes


class Launched(NamedTuple):
    """A step that was launched: its measures, which the device may still compute, and its learning rate."""

    loss: Tensor | float
    norm: Tensor | float
    learning_rate: float
    has_bad_ids: Tensor | None = None
    wishes: Tensor | None = None


def read(launched: Sequence[tuple[int, Launched]]) -> list[Reading]:
    """Wait for steps, and read their measures from the device in one transfer. Steps come with their numbers."""
    tensors = [value for _, step in launched for value in step if isinstance(value, Tensor)]
    values = iter(torch.cat([tensor.reshape(-1) for tensor in tensors]).tolist() if tensors else [])

    def next_of(value: Tensor | float | None) -> float:
        if isinstance(value, Tensor):
            return float(next(values))
        return 0.0 if value is None else value

    readings = []
    for number, step in launched:
        loss, norm, has_bad_ids = next_of(step.loss), next_of(step.norm), bool(next_of(step.has_bad_ids))
        wishes = Wishes() if step.wishes is None else Wishes(*(next(values) for _ in Wishes()))
        readings.append(Reading(number, loss, norm, step.learning_rate, has_bad_ids, wishes))
    return readings
