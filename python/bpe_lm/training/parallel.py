"""Several processes, as torchrun starts them: each has its rows of a batch, and all take the same step.

Why is nothing else divided? A batch is a function of (seed, step), so each process can cut its rows out of it, and the
number of processes changes nothing of what is learned. "ddp" keeps all weights in each process and adds up gradients;
"fsdp" (torch's FSDP2) keeps a part of weights, gradients and optimizer in each, and gathers a block when it is needed.
"""

from __future__ import annotations

import atexit
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar, cast

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.distributed.distributed_c10d import PrefixStore
from torch.distributed.rendezvous import rendezvous

from bpe_lm.errors import BpeLmError, ConfigError, InternalError

if TYPE_CHECKING:
    from bpe_lm.model.loss import LanguageModelLoss

T = TypeVar("T")

_BACKENDS = {"cpu": "gloo", "cuda": "nccl"}


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

    def from_first(self, function: Callable[[], T]) -> T:
        """Call a function in the first process, and return its result in all, or raise its error."""
        if self.size == 1:
            return function()
        outcome: list[Any] = [*_attempt(function)] if self.is_first else [None, None]
        dist.broadcast_object_list(outcome)
        value, error = outcome
        if error is not None:
            raise error
        return cast("T", value)

    def in_each(self, function: Callable[[], T]) -> T:
        """Call a function in each process; where it fails in one, all raise an error, and none waits for that one."""
        if self.size == 1:
            return function()
        value, error = _attempt(function)
        errors: list[Exception | None] = [None] * self.size
        dist.all_gather_object(errors, error)
        if error is not None:
            raise error
        for rank, other in enumerate(errors):
            if other is not None:
                raise type(other)(f"process {rank}: {other}") if isinstance(other, BpeLmError) else other
        return cast("T", value)

    def wait(self) -> None:
        """For all to come here."""
        if self.size > 1:
            dist.barrier()

    def leave(self) -> None:
        """Wait for all at the end of a run. The group stays for the next run, and is left when Python exits."""
        if self.size > 1 and dist.is_initialized():
            dist.barrier()
            atexit.register(_leave_group)


def _attempt(function: Callable[[], T]) -> tuple[T | None, Exception | None]:
    """A function's result or its error, as one that other processes can be told."""
    try:
        return function(), None
    except (BpeLmError, OSError) as error:
        return None, error
    except Exception as error:
        told = InternalError(f"{type(error).__name__}: {error}")
        told.__cause__ = error
        return None, told


def _leave_group() -> None:
    if dist.is_initialized():
        dist.destroy_process_group()


def _has_others() -> bool:
    return "RANK" in os.environ and int(os.environ.get("WORLD_SIZE", "1")) > 1


def local_device(device: torch.device) -> torch.device:
    """Where several processes train, the GPU of this one, which becomes the current one before any is touched."""
    if device.type != "cuda" or not _has_others():
        return device
    device = torch.device("cuda", int(os.environ["LOCAL_RANK"]))
    torch.cuda.set_device(device)
    return device


def join_world(device: torch.device) -> World:
    """The processes of torchrun; without it, this one. A process joins once: torch cannot found a group again.

    Raises:
        ConfigError: They train on a device that cannot speak to others, or on another kind than before.
    """
    if not _has_others():
        return World()
    if device.type not in _BACKENDS:
        raise ConfigError(f"device is {device.type}, which has no several processes; use cpu or cuda")
    # A run that fails leaves no group: others might be waited for.
    atexit.unregister(_leave_group)
    if not dist.is_initialized():
        # torch 2.15 leaves in torchrun's store what processes said before a restart, and those after it wait for ever.
        # Between machines the number of restarts is not the same, so there this cannot help.
        store, rank, size = next(rendezvous("env://"))
        if os.environ.get("GROUP_WORLD_SIZE") == "1":
            store = PrefixStore(f"attempt {os.environ.get('TORCHELASTIC_RESTART_COUNT', '0')}", store)
        own = device if device.type == "cuda" else None
        dist.init_process_group(_BACKENDS[device.type], store=store, rank=rank, world_size=size, device_id=own)
    elif f"{device.type}:" not in dist.get_backend_config():
        raise ConfigError(f"device is {device.type}, and the processes of this run have joined on another kind before")
    return World(int(os.environ["RANK"]), int(os.environ["WORLD_SIZE"]), int(os.environ["LOCAL_RANK"]))


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
