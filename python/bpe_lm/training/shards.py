"""Checkpoint files of a sharded model: each process writes its shards, and any number of processes can read them.

torch.distributed.checkpoint splits and joins the tensors. Its own format is a pickle, so these files are written by its
writer for Hugging Face's safetensors, which puts the place of each shard into the header of a file.

Its `save` and `load` exchange the plans of several processes as pickles. So each process plans for itself: it writes
the shards that it has, the first process also what is not sharded, and each reads what it needs.
"""

from __future__ import annotations

import dataclasses
import warnings
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from torch import Tensor, nn
from torch.distributed.checkpoint.api import CheckpointException
from torch.distributed.checkpoint.default_planner import DefaultSavePlanner
from torch.distributed.checkpoint.hf_storage import HuggingFaceStorageReader, HuggingFaceStorageWriter
from torch.distributed.checkpoint.state_dict_loader import load
from torch.optim import Optimizer

from bpe_lm.errors import CheckpointError, FileError, InternalError
from bpe_lm.training.parallel import World
from bpe_lm.training.sharded import is_sharded

State = dict[str, Any]
"""The state of an optimizer: "state" has values by the name of a parameter, and "param_groups" is torch's."""


def write_shards(folder: Path, model: nn.Module, optimizer: Optimizer | None, world: World) -> State | None:
    """Write the shards of this process into a folder that exists. All processes call this together.

    Returns:
        The part of the optimizer's state that is not tensors, the same in each process; None without an optimizer.

    Raises:
        CheckpointError: An option of the optimizer is a tensor, which this format cannot hold.
        FileError: A file could not be written.
    """
    tensors, names = _weights(model)
    rest = None
    if optimizer is not None:
        of_optimizer, rest = _separated(optimizer, names)
        tensors |= of_optimizer
    own = {name: tensor for name, tensor in tensors.items() if is_sharded(tensor) or world.is_first}
    world.on_each(lambda: _write(folder, own, world))
    return rest


def _write(folder: Path, tensors: dict[str, Tensor], world: World) -> None:
    planner, writer = DefaultSavePlanner(), HuggingFaceStorageWriter(str(folder), save_distributed=True)
    planner.set_up_planner(tensors, is_coordinator=world.is_first)
    writer.set_up_storage_writer(is_coordinator=world.is_first)
    plan = dataclasses.replace(planner.create_local_plan(), storage_data={"shard_index": world.rank + 1})
    try:
        writer.write_data(planner.finish_plan(plan), planner).wait()
    except OSError as error:
        raise FileError(f"could not write {folder}: {error}") from error


def _separated(optimizer: Optimizer, names: dict[Tensor, str]) -> tuple[dict[str, Tensor], State]:
    """Return the tensors of an optimizer's state by name, and the rest of the state."""
    groups = optimizer.state_dict()["param_groups"]
    options = [key for group in groups for key, value in group.items() if isinstance(value, Tensor)]
    if options:
        raise CheckpointError(f"the optimizer's option {options[0]} is a tensor; with FSDP make it a number")
    tensors: dict[str, Tensor] = {}
    state: dict[str, dict[str, Any]] = {}
    for parameter, values in optimizer.state.items():
        name = names[parameter]
        with_tensor = {key: value for key, value in values.items() if isinstance(value, Tensor)}
        tensors |= {f"optimizer.{name}.{key}": value for key, value in with_tensor.items()}
        state[name] = {key: value for key, value in values.items() if key not in with_tensor}
    return tensors, {"state": state, "param_groups": groups}


def read_shards(folder: Path, model: nn.Module, optimizer: Optimizer | None, rest: State | None, world: World) -> Any:
    """Set weights from the shards that any number of processes wrote. All processes call this together.

    Args:
        folder: The folder of the shards.
        model: The model whose weights are set.
        optimizer: The optimizer whose state is read, if any.
        rest: The result of `write_shards`; None for shards of a version that did not save it.
        world: The processes.

    Returns:
        The optimizer's state as torch's `load_state_dict` takes it.

    Raises:
        CheckpointError: The shards are of another model, and nothing was changed.
        FileError: A file could not be read.
    """
    reader = HuggingFaceStorageReader(str(folder))
    tensors, names = _weights(model)
    # An error in one process must be raised before all of them enter the collective read.
    stored = world.on_each(lambda: _read_metadata(reader, folder, tensors))
    states: dict[Tensor, dict[str, Any]] = {}
    for parameter, name in names.items() if optimizer is not None else ():
        start = f"optimizer.{name}."
        empty = {
            key.removeprefix(start): _empty(like, parameter) for key, like in stored.items() if key.startswith(start)
        }
        tensors |= {f"{start}{key}": value for key, value in empty.items()}
        states[parameter] = empty | (rest["state"].get(name, {}) if rest else {})
    world.on_each(lambda: _read(reader, folder, tensors))
    if optimizer is None:
        return None
    parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
    groups = (rest or optimizer.state_dict())["param_groups"]
    return {"state": {number: states[p] for number, p in enumerate(parameters) if states[p]}, "param_groups": groups}


def _weights(model: nn.Module) -> tuple[dict[str, Tensor], dict[Tensor, str]]:
    """Return weights by name, and names by parameter. The parameters are those that the optimizer has."""
    # state_dict is called for its hooks, which shard again the parameters that a forward pass has gathered. Only then
    # are the model's parameters those of the optimizer.
    model.state_dict()
    names: dict[Tensor, str] = {parameter: name for name, parameter in model.named_parameters()}
    tensors: dict[str, Tensor] = {f"model.{name}": parameter for parameter, name in names.items()}
    if any(map(is_sharded, tensors.values())) and not all(map(is_sharded, names)):
        raise InternalError("FSDP left a parameter whole, and its optimizer state is sharded")
    return tensors, names


def _read_metadata(reader: HuggingFaceStorageReader, folder: Path, weights: dict[str, Tensor]) -> dict[str, Any]:
    try:
        stored: dict[str, Any] = reader.read_metadata().state_dict_metadata
    except (OSError, SafetensorError) as error:
        raise FileError(f"could not read {folder}: {error}") from error
    shapes = {name: tuple(getattr(tensor, "size", ())) for name, tensor in stored.items()}
    for name, tensor in weights.items():
        if shapes.get(name) != tuple(tensor.shape):
            shape = shapes.get(name, "missing")
            raise CheckpointError(f"{folder} is of another model: {name} is {shape}, and {tuple(tensor.shape)} here")
    return stored


def _read(reader: HuggingFaceStorageReader, folder: Path, tensors: dict[str, Tensor]) -> None:
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "torch.distributed is disabled")
            load(tensors, storage_reader=reader, no_dist=True)
    except CheckpointException as error:
        raise FileError(f"could not read {folder}: {next(iter(error.failures.values()))[0]}") from error


def _empty(like: Any, parameter: Tensor) -> Tensor:
    """Create a tensor of zeros for a stored one, sharded like the parameter if it has the parameter's shape."""
    if like.size == parameter.shape:
        return torch.zeros_like(parameter, dtype=like.properties.dtype)
    return torch.zeros(like.size, dtype=like.properties.dtype)
