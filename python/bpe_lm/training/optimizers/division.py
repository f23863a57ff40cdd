"""The work of orthogonalization, divided between processes: each does its share, and they exchange the results."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple, Protocol

import torch
import torch.distributed as dist
from torch import Tensor

from bpe_lm.training.parallel import World

Work = Callable[[list[int], list[Tensor]], list[Tensor]]
"""Computes the result of some whole matrices, whose numbers among all come first. A result has its matrix's shape."""


class Matrices(NamedTuple):
    """What each process knows of all matrices: their whole shapes, and the operations that each takes."""

    shapes: list[torch.Size]
    costs: list[int]

    def numels(self, numbers: list[int]) -> list[int]:
        """Return the numbers of weights of some matrices."""
        return [self.shapes[i].numel() for i in numbers]


class Division(Protocol):
    """Computes the results of all matrices, of which each process has a part."""

    def __call__(self, parts: list[Tensor], matrices: Matrices, work: Work) -> list[Tensor]:
        """Return this process's part of each result. All processes call this together.

        Args:
            parts: This process's part of each matrix, in the number format in which they are exchanged.
            matrices: What all processes know of the matrices.
            work: Computes the results of whole matrices.
        """


class Undivided:
    """One process, which has and does all."""

    def __call__(self, parts: list[Tensor], matrices: Matrices, work: Work) -> list[Tensor]:
        """Compute all results."""
        return work(list(range(len(parts))), parts)


class OfReplicas:
    """Each process has all matrices whole. It computes the results of a share, and gets those of the others."""

    def __init__(self, world: World):
        self._world = world

    def __call__(self, parts: list[Tensor], matrices: Matrices, work: Work) -> list[Tensor]:
        """Compute the results of a share, and gather all."""
        owned = shares(matrices.costs, self._world.size)
        own = owned[self._world.rank]
        results = _joined(work(own, [parts[i] for i in own]), parts[0])
        size = max(sum(matrices.numels(share)) for share in owned)  # Each process sends as much as the one with most.
        sent = parts[0].new_zeros(size)
        sent[: len(results)] = results
        gathered = sent.new_empty(len(owned) * size)
        dist.all_gather_into_tensor(gathered, sent)
        found: dict[int, Tensor] = {}
        for share, buffer in zip(owned, torch.split(gathered, size), strict=True):
            found |= dict(zip(share, _cut(buffer, matrices.numels(share)), strict=True))
        return [found[i].view(shape) for i, shape in enumerate(matrices.shapes)]


class OfShards:
    """Each process has some rows of each matrix, as FSDP divides them.

    The owner of a matrix gets its rows from all processes, and returns the rows of its result.
    """

    def __init__(self, world: World):
        self._world = world

    def __call__(self, parts: list[Tensor], matrices: Matrices, work: Work) -> list[Tensor]:
        """Gather the matrices of a share, compute its results, and exchange their rows."""
        rank, size = self._world.rank, self._world.size
        owned, processes = shares(matrices.costs, size), range(size)
        own, order = owned[rank], [i for share in owned for i in share]
        has = [[_part_of(shape, process, size) for shape in matrices.shapes] for process in processes]
        to_owners = [sum(has[rank][i] for i in share) for share in owned]
        of_own = [sum(has[process][i] for i in own) for process in processes]

        received = _exchanged([parts[i] for i in order], to_owners, of_own, parts[0])
        of_processes = [
            _cut(buffer, [has[process][i] for i in own]) for process, buffer in enumerate(_cut(received, of_own))
        ]
        wholes = [torch.cat([pieces[n] for pieces in of_processes]).view(matrices.shapes[i]) for n, i in enumerate(own)]
        pieces = [
            _cut(result.reshape(-1), [has[process][i] for process in processes])
            for i, result in zip(own, work(own, wholes), strict=True)
        ]
        back = [of_matrix[process] for process in processes for of_matrix in pieces]
        returned = _exchanged(back, of_own, to_owners, parts[0])
        found = dict(zip(order, _cut(returned, [has[rank][i] for i in order]), strict=True))
        return [found[i].view(part.shape) for i, part in enumerate(parts)]


def shares(costs: Sequence[int], number: int) -> list[list[int]]:
    """Divide pieces of work into shares of about equal cost: the largest piece first, to the share with the least."""
    result: list[list[int]] = [[] for _ in range(number)]
    totals = [0] * number
    for i in sorted(range(len(costs)), key=lambda i: (-costs[i], i)):
        least = totals.index(min(totals))
        result[least].append(i)
        totals[least] += costs[i]
    return [sorted(share) for share in result]


def _part_of(shape: torch.Size, process: int, number: int) -> int:
    """Return the numbers that a process has of a matrix. FSDP divides rows as torch.chunk does."""
    most = -(-shape[0] // number)
    return min(max(shape[0] - process * most, 0), most) * shape[1]


def _cut(buffer: Tensor, sizes: list[int]) -> list[Tensor]:
    """Cut pieces of these sizes from the beginning of a buffer, one after another."""
    return list(torch.split(buffer[: sum(sizes)], sizes)) if sizes else []


def _joined(tensors: list[Tensor], like: Tensor) -> Tensor:
    """Return the numbers of all tensors, one after another. There may be no tensor."""
    return torch.cat([like.new_empty(0), *(tensor.reshape(-1) for tensor in tensors)])


def _exchanged(tensors: list[Tensor], sent: list[int], received: list[int], like: Tensor) -> Tensor:
    """Send the numbers of all tensors, `sent` of them to each process, and return what all processes have sent here."""
    result = like.new_empty(sum(received))
    dist.all_to_all_single(result, _joined(tensors, like), received, sent)
    return result
