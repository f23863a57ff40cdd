"""Training in several processes that torchrun started: each computes its rows of a batch, and all take the same step.

Why are only rows divided? A batch is a function of (seed, step), so each process can cut its rows out of it, and a run
learns the same with any number of processes. "ddp" keeps all weights in each process and averages gradients. "fsdp"
(torch's FSDP2) keeps a shard of weights, gradients and optimizer state in each, and gathers a block for its passes.
"""

from __future__ import annotations

import atexit
import os
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar, cast

import torch
import torch.distributed as dist
from torch import nn

from bpe_lm.errors import BpeLmError, ConfigError
from bpe_lm.kernels.compiler import uncompiled
from bpe_lm.kernels.rendezvous import torchrun_store
from bpe_lm.training.messages import (
    Json,
    attempt,
    broadcast,
    device_of_messages,
    error_as_json,
    error_of_json,
    gather,
)

if TYPE_CHECKING:
    from bpe_lm.model.loss import LanguageModelLoss

T = TypeVar("T")

_BACKENDS = {"cpu": "gloo", "cuda": "nccl"}


@dataclass(frozen=True)
class World:
    """The processes that train together: their number, and the rank of this one."""

    rank: int = 0
    size: int = 1
    local_rank: int = 0

    @property
    def is_first(self) -> bool:
        """Whether this is the process that writes files and messages."""
        return self.rank == 0

    def rows(self, batch_size: int) -> slice:
        """Return this process's rows of a batch."""
        number = batch_size // self.size
        return slice(self.rank * number, (self.rank + 1) * number)

    def all_reduce_sum(self, *values: float) -> list[float]:
        """Sum each value over all processes."""
        if self.size == 1:
            return list(values)
        sums = torch.tensor(values, dtype=torch.float64, device=device_of_messages())
        dist.all_reduce(sums)
        return sums.tolist()

    def broadcast_from_first(self, function: Callable[[], Json]) -> Json:
        """Call a function in the first process. Returns its result, a value of JSON, or raises its error, in all."""
        if self.size == 1:
            return function()
        value, error = attempt(function) if self.is_first else (None, None)
        value, described = broadcast([value, error_as_json(error)], 0)
        if error := error or error_of_json(described):
            raise error
        return value

    def on_each(self, function: Callable[[], T]) -> T:
        """Call a function in each process. If it fails in one, all raise an error, and none waits for that process."""
        if self.size == 1:
            return function()
        value, error = attempt(function)
        errors = gather(error_as_json(error))
        if error is not None:
            raise error
        for rank, content in enumerate(errors):
            other = error_of_json(content)
            if other is not None:
                raise type(other)(f"process {rank}: {other}") if isinstance(other, BpeLmError) else other
        return cast("T", value)

    def barrier(self) -> None:
        """Wait until all processes call this."""
        if self.size > 1:
            dist.barrier()

    def leave(self) -> None:
        """Wait for all processes at the end of a run. The group stays for the next run until Python exits."""
        if self.size > 1 and dist.is_initialized():
            dist.barrier()
            atexit.register(_leave_group)


def _leave_group() -> None:
    if dist.is_initialized():
        dist.destroy_process_group()


def _has_others() -> bool:
    return "RANK" in os.environ and int(os.environ.get("WORLD_SIZE", "1")) > 1


def local_device(device: torch.device) -> torch.device:
    """Return the device itself, or this process's own GPU if several processes train on GPUs.

    The GPU becomes the current one before torch uses any.
    """
    if device.type != "cuda" or not _has_others():
        return device
    device = torch.device("cuda", int(os.environ["LOCAL_RANK"]))
    torch.cuda.set_device(device)
    return device


def join_world(device: torch.device) -> World:
    """Join the processes that torchrun started; without torchrun, return this process alone.

    A process joins once, and keeps its group for later runs, because torch cannot create a group again.

    Raises:
        ConfigError: The device cannot exchange tensors between processes, or is of another kind than in earlier runs.
    """
    if not _has_others():
        return World()
    if device.type not in _BACKENDS:
        raise ConfigError(f"device is {device.type}, on which only one process can train; use cpu or cuda")
    # A run that fails must not wait for others in the exit handler.
    atexit.unregister(_leave_group)
    if not dist.is_initialized():
        # torch 2.15 leaves messages from before a restart in torchrun's store, for which the restarted processes wait
        # for ever. A prefix for each restart avoids them. Each machine counts its own restarts, so a prefix cannot
        # help between several machines.
        restarts = os.environ.get("TORCHELASTIC_RESTART_COUNT", "0")
        prefix = f"attempt {restarts}" if os.environ.get("GROUP_WORLD_SIZE") == "1" else "all attempts"
        store, rank, size = torchrun_store(prefix)
        own = device if device.type == "cuda" else None
        dist.init_process_group(_BACKENDS[device.type], store=store, rank=rank, world_size=size, device_id=own)
    elif f"{device.type}:" not in dist.get_backend_config():
        raise ConfigError(
            f"device is {device.type}, and an earlier run of this process joined the others on another kind; start a "
            "new process"
        )
    return World(int(os.environ["RANK"]), int(os.environ["WORLD_SIZE"]), int(os.environ["LOCAL_RANK"]))


def check_rows(batch_size: int, micro_batch_size: int, world: World) -> None:
    """Refuse a batch that the processes cannot share equally, in whole micro-batches.

    Raises:
        ConfigError: They cannot.
    """
    rows = batch_size // world.size
    if batch_size % world.size or rows % (micro_batch_size or rows or 1):
        raise ConfigError(
            f"batch_size is {batch_size}, which {world.size} processes cannot share"
            + (f" in micro-batches of {micro_batch_size}" if micro_batch_size else "")
            + "; make it a multiple"
        )


def replicate(loss: nn.Module) -> nn.Module:
    """Wrap a loss so that its gradients become the mean over all processes, in the memory that is exchanged."""
    with warnings.catch_warnings():
        # torch 2.15 has another name for this argument, which earlier versions do not know.
        warnings.filterwarnings("ignore", "`broadcast_buffers` is deprecated", FutureWarning)
        return nn.parallel.DistributedDataParallel(loss, broadcast_buffers=False, gradient_as_bucket_view=True)


def shard(loss: LanguageModelLoss, world: World, device_type: str) -> None:
    """Divide weights between all processes in place. Gradients become the mean, in the same shards.

    In bfloat16 the weights of a block are gathered in bfloat16, which halves the traffic, and gradients are added up in
    float32. Embedding, final norm and head stay in float32, and inputs are not cast: so the sum that the blocks add to
    stays in float32, as in one process.
    """
    # These imports take half a second.
    from torch.distributed.device_mesh import init_device_mesh
    from torch.distributed.fsdp import MixedPrecisionPolicy, fully_shard

    whole = MixedPrecisionPolicy(cast_forward_inputs=False)
    of_block = whole
    if loss.dtype == "bfloat16":
        of_block = MixedPrecisionPolicy(torch.bfloat16, torch.float32, cast_forward_inputs=False)
    mesh = init_device_mesh(device_type, (world.size,))
    for block in loss.model.layers:
        fully_shard(block, mesh=mesh, mp_policy=of_block)
    fully_shard(loss, mesh=mesh, mp_policy=whole)


@contextmanager
def synchronized(module: Any, is_last: bool) -> Iterator[None]:
    """Add up gradients of micro-batches in each process, and between processes once, with the last micro-batch."""
    replica = uncompiled(module)
    if isinstance(replica, nn.parallel.DistributedDataParallel) and not is_last:
        with replica.no_sync():
            yield
        return
    if hasattr(module, "set_requires_gradient_sync"):
        module.set_requires_gradient_sync(is_last)
    yield
