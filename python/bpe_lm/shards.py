"""Checkpoint files of a model that several processes have in parts: each writes its own, and any number read them.

torch.distributed.checkpoint divides and puts together. Its own files are pickles; these are safetensors, by its writer
for Hugging Face's format, which has the place of each part in a file's header.
"""

from __future__ import annotations

import warnings
from pathlib import Path

from torch import Tensor, nn
from torch.distributed.checkpoint.api import CheckpointException
from torch.distributed.checkpoint.hf_storage import HuggingFaceStorageReader, HuggingFaceStorageWriter
from torch.distributed.checkpoint.state_dict_loader import load
from torch.distributed.checkpoint.state_dict_saver import save
from torch.optim import Optimizer

from bpe_lm.errors import CheckpointError, FileError
from bpe_lm.optimizer import AdamW
from bpe_lm.parallel import is_divided


def write_shards(folder: Path, model: nn.Module, optimizer: Optimizer) -> None:
    """This process's parts. All processes call this together.

    Raises:
        FileError: They could not be written.
    """
    try:
        writer = HuggingFaceStorageWriter(str(folder), save_distributed=True)
        save(_tensors(model, optimizer), storage_writer=writer)
    except CheckpointException as error:
        raise FileError(f"could not write {folder}: {next(iter(error.failures.values()))[0]}") from error


def read_shards(folder: Path, model: nn.Module, optimizer: Optimizer | None) -> None:
    """Set weights, and an optimizer's state, from the parts that were written by any number of processes.

    Raises:
        CheckpointError: They are of another model. Nothing is changed then.
        FileError: They could not be read.
    """
    own, reader = _tensors(model, optimizer), HuggingFaceStorageReader(str(folder))
    there = {
        name: tuple(getattr(found, "size", ())) for name, found in reader.read_metadata().state_dict_metadata.items()
    }
    for name, tensor in own.items():
        if there.get(name) != tuple(tensor.shape):
            shape = there.get(name, "not there")
            raise CheckpointError(f"{folder} is of another model: {name} is {shape}, and here {tuple(tensor.shape)}")
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "torch.distributed is disabled")  # As it is meant.
            load(own, storage_reader=reader, no_dist=not any(map(is_divided, own.values())))
    except CheckpointException as error:
        raise FileError(f"could not read {folder}: {next(iter(error.failures.values()))[0]}") from error


def _tensors(model: nn.Module, optimizer: Optimizer | None) -> dict[str, Tensor]:
    tensors = {f"model.{name}": tensor for name, tensor in model.state_dict().items()}
    if isinstance(optimizer, AdamW):
        for name, parameter in model.named_parameters():
            tensors |= {f"optimizer.{name}.{key}": value for key, value in optimizer.state_of(parameter).items()}
    return tensors
