"""The course's pair, `save_checkpoint` and `load_checkpoint`: a model and its optimizer in one file.

Tensors are stored as safetensors and everything else as JSON, because a pickle could run code.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import IO, Any

from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor, nn
from torch.optim import Optimizer

from bpe_lm.errors import CheckpointError
from bpe_lm.files import StrPath, read_bytes, write_whole
from bpe_lm.training.sharded import shard_like

Target = StrPath | IO[bytes]

NOT_OURS = (SafetensorError, ValueError, KeyError, TypeError, AttributeError, RecursionError)
"""The errors that reading a damaged file, or a file of another format, raises."""


def save_checkpoint(model: nn.Module, optimizer: Optimizer, iteration: int, out: Target) -> None:
    """Write model, optimizer and iteration into one safetensors file.

    Raises:
        FileError: The file could not be written; an older file of this name stays.
    """
    tensors, described = pack({"model": model.state_dict(), "optimizer": optimizer.state_dict()})
    data = save(tensors, {"bpe_lm": json.dumps({"iteration": iteration, "state": described})})
    if isinstance(out, str | os.PathLike):
        write_whole(Path(out), data)
    else:
        out.write(data)


def load_checkpoint(src: Target, model: nn.Module, optimizer: Optimizer) -> int:
    """Load model and optimizer from a file that `save_checkpoint` wrote. Returns the iteration.

    Raises:
        CheckpointError: The file is damaged, or of another model.
        FileError: The file could not be read.
    """
    data = read_bytes(Path(src)) if isinstance(src, str | os.PathLike) else src.read()
    try:
        header = json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])
        described = json.loads(header["__metadata__"]["bpe_lm"])
        state = unpack(load(data), described["state"])
        iteration, weights, optimizer_state = int(described["iteration"]), dict(state["model"]), state["optimizer"]
    except NOT_OURS as error:
        raise CheckpointError(f"{src} is not a checkpoint, or is damaged: {error}") from error
    check_model(model, weights, src)
    load_optimizer(optimizer, optimizer_state, src)
    model.load_state_dict(weights)
    return iteration


def check_model(model: nn.Module, state: Mapping[str, Tensor], source: object) -> None:
    """Compare the names and shapes of a state with those of a model.

    Raises:
        CheckpointError: They differ.
    """
    own, others = (
        {name: tuple(value.shape) if isinstance(value, Tensor) else () for name, value in values.items()}
        for values in (model.state_dict(), state)
    )
    for name in sorted(own.keys() | others.keys()):
        if own.get(name) != others.get(name):
            saved, expected = (f"{shapes.get(name, 'missing')}" for shapes in (others, own))
            raise CheckpointError(f"{source} is of another model: {name} is {saved}, and {expected} here")


def load_optimizer(optimizer: Optimizer, state: Any, source: object) -> None:
    """Set the state of an optimizer.

    Raises:
        CheckpointError: The state is of another kind of optimizer, or of other parameters.
    """
    try:
        own, others = optimizer.state_dict()["param_groups"], state["param_groups"]
        if len(own) != len(others):
            raise ValueError(f"its parameters are in {len(others)} and not {len(own)} groups, as in another version")
        if list(map(set, own)) != list(map(set, others)):
            raise ValueError("its groups have other options")
        optimizer.load_state_dict(state)
        for parameter, values in optimizer.state.items():
            whole = {key: value for key, value in values.items() if getattr(value, "shape", None) == parameter.shape}
            values.update({key: shard_like(value, parameter) for key, value in whole.items()})
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise CheckpointError(f"{source} is of another optimizer: {error}") from error


def pack(state: Any, *, copies: bool = True) -> tuple[dict[str, Tensor], Any]:
    """Separate nested dicts, lists and tuples into tensors by name, and a JSON description. Keys keep their types.

    The tensors are copies on the CPU, or with `copies=False` those of the state.
    """
    tensors: dict[str, Tensor] = {}

    def describe(value: Any) -> Any:
        if isinstance(value, Tensor):
            name = str(len(tensors))
            tensors[name] = copied(value) if copies else value
            return {"tensor": name}
        if isinstance(value, Mapping):
            return {"dict": [[describe(key), describe(item)] for key, item in value.items()]}
        if isinstance(value, tuple | list):
            return {"tuple" if isinstance(value, tuple) else "list": [describe(item) for item in value]}
        if value is None or isinstance(value, bool | int | float | str):
            return value
        raise CheckpointError(f"a state has a {type(value).__name__}, which is neither a tensor nor JSON")

    return tensors, describe(state)


def unpack(tensors: Mapping[str, Tensor], described: Any) -> Any:
    """Restore the state that `pack` separated."""
    if not isinstance(described, dict):
        return described
    [(kind, value)] = described.items()
    if kind == "tensor":
        return tensors[value]
    if kind == "dict":
        return {unpack(tensors, key): unpack(tensors, item) for key, item in value}
    items = [unpack(tensors, item) for item in value]
    return tuple(items) if kind == "tuple" else items


def copied(tensor: Tensor) -> Tensor:
    """Copy a tensor to the CPU, because safetensors refuses tensors that share memory, as those of a tied head do."""
    return tensor.detach().cpu().contiguous().clone()
