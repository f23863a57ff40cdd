"""Several processes, as torchrun starts them: each has its rows of a batch, and all take the same step.

Why is nothing else divided? A batch is a function of (seed, step), so each process can cut its rows out of it, and the
number of processes changes nothing of what is learned. "ddp" keeps all weights in each process and adds up gradients;
"fsdp" (torch's FSDP2) keeps a part of weights, gradients and optimizer in each, and gathers a block when it is needed.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.distributed.distributed_c10d import PrefixStore
from torch.distributed.rendezvous import rendezvous

from bpe_lm.errors import ConfigError

if TYPE_CHECKING:
    from bpe_lm.loss import LanguageModelLoss


@dataclass(frozen=True)
class World:
    """How many processes train, and which this is."""

    rank: int = 0
    size: int = 1
    local_rank: int = 0

    @property
    def is_first(self) -> bool:
        """Whether this process writes what only one should."""
        return self.rank == 0

    def rows(self, batch_size: int) -> slice:
        """This process's of a batch."""
        number = batch_size // self.size
        return slice(self.rank * number, (self.rank + 1) * number)

    def sum(self, *values: float) -> list[float]:
        """Each of all processes."""
        if self.size == 1:
            return list(values)
        device = "cuda" if dist.get_backend() == "nccl" else "cpu"
        together = torch.tensor(values, dtype=torch.float64, device=device)
        dist.all_reduce(together)
        return together.tolist()

    def wait(self) -> None:
        """For all to come here."""
        if self.size > 1:
            dist.barrier()

    def leave(self) -> None:
        """The end."""
        if self.size > 1 and dist.is_initialized():
            dist.barrier()
            dist.destroy_process_group()


def join_world(device_type: str) -> World:
    """The processes of torchrun; without it, this one.

    Raises:
        ConfigError: They train on a device that cannot speak to others.
    """
    size = int(os.environ.get("WORLD_SIZE", "1"))
    if size == 1 or "RANK" not in os.environ:
        return World()
    backends = {"cpu": "gloo", "cuda": "nccl"}
    if device_type not in backends:
        raise ConfigError(f"device is {device_type}, which has no several processes; use cpu or cuda")
    world = World(int(os.environ["RANK"]), size, int(os.environ["LOCAL_RANK"]))
    if device_type == "cuda":
        torch.cuda.set_device(world.local_rank)
    if not dist.is_initialized():
        # torch 2.15 leaves in torchrun's store what processes said before a restart, and those after it wait for ever.
        # Between machines the number of restarts is not the same, so there this cannot help.
        store, rank, size = next(rendezvous("env://"))
        if os.environ.get("GROUP_WORLD_SIZE") == "1":
            store = PrefixStore(f"attempt {os.environ.get('TORCHELASTIC_RESTART_COUNT', '0')}", store)
        dist.init_process_group(backends[device_type], store=store, rank=rank, world_size=size)
    return world


def replicate(loss: nn.Module) -> nn.Module:
    """The same loss; its gradients become the mean of all processes'."""
    return nn.parallel.DistributedDataParallel(loss, broadcast_buffers=False)


def shard(loss: LanguageModelLoss, world: World, device_type: str) -> None:
    """Divide weights between all processes, in place; gradients become the mean, and are divided as well."""
    # Half a second to import.
    from torch.distributed.device_mesh import init_device_mesh
    from torch.distributed.fsdp import fully_shard

    mesh = init_device_mesh(device_type, (world.size,))
    for block in loss.model.layers:
        fully_shard(block, mesh=mesh)
    fully_shard(loss, mesh=mesh)


@contextmanager
def synchronized(module: Any, is_last: bool) -> Iterator[None]:
    """Gradients of micro-batches are added up in each process, and between them once, with the last."""
    if isinstance(module, nn.parallel.DistributedDataParallel) and not is_last:
        with module.no_sync():
            yield
        return
    if hasattr(module, "set_requires_gradient_sync"):
        module.set_requires_gradient_sync(is_last)
    yield


def is_divided(tensor: Tensor) -> bool:
    """Whether this process has a part of it: a DTensor."""
    return hasattr(tensor, "device_mesh")


def local(tensor: Tensor) -> Tensor:
    """What this process has of it."""
    return tensor.to_local() if is_divided(tensor) else tensor  # type: ignore[attr-defined]


def placed_as(tensor: Tensor, other: Tensor) -> Tensor:
    """A whole tensor, which each process has, divided as another one is."""
    if not is_divided(other) or is_divided(tensor):
        return tensor
    from torch.distributed.tensor import DTensor, distribute_tensor

    assert isinstance(other, DTensor)
    return distribute_tensor(tensor.to(other.device), other.device_mesh, other.placements, src_data_rank=None)
