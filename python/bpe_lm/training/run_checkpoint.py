"""The checkpoints of a training run: folders that are whole or absent.

Each has `model.safetensors`, `optimizer.safetensors` (not in `best/`, from which no run goes on) and, written last,
`checkpoint.json` with the checksums of the others and of itself. A folder is written under another name and renamed
after all of it is on the disk, so a folder with the final name is whole. If the newest checkpoint is damaged
nevertheless, the checkpoint before it is loaded.
"""

from __future__ import annotations

import errno
import hashlib
import json
import re
import shutil
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import torch
from safetensors.torch import load
from torch import Tensor, nn
from torch.optim import Optimizer

from bpe_lm.errors import CheckpointError, FileError
from bpe_lm.files import check_is_file, read_bytes, read_json, replace_folder, restore_folder, write_synced
from bpe_lm.model.attention import JOINED, join_projections
from bpe_lm.training.checkpoint import NOT_OURS, check_model, load_optimizer, pack, unpack
from bpe_lm.training.checkpoint_writer import CheckpointWriter
from bpe_lm.training.host_copies import HostCopies
from bpe_lm.training.parallel import World
from bpe_lm.training.sharded import is_sharded, shard_like
from bpe_lm.training.tensor_file import write_tensors

MARKER = "checkpoint.json"
MODEL, OPTIMIZER = "model.safetensors", "optimizer.safetensors"

Files: TypeAlias = dict[str, dict[str, Tensor]]
"""The tensors of each file of a checkpoint, by name."""


@dataclass(frozen=True)
class Saved:
    """A checkpoint folder of a run: its path, and the content of `checkpoint.json` without checksums."""

    path: Path
    step: int
    progress: dict[str, Any]


def save_run_checkpoint(
    folder: Path,
    model: nn.Module,
    optimizer: Optimizer | None,
    step: int,
    progress: Mapping[str, Any],
    world: World | None = None,
    *,
    after: Callable[[Path], None] | None = None,
    writer: CheckpointWriter | None = None,
) -> Path:
    """Write `folder/step-N`, whole or not at all. In a distributed run all processes call this.

    Args:
        folder: The folder of the checkpoints.
        model: The model.
        optimizer: Its optimizer. Without it, no run can go on from the checkpoint.
        step: The number of steps done.
        progress: JSON values that the checkpoint keeps.
        world: The processes.
        after: Called with the new folder when it has its name, in the process that writes.
        writer: Its thread writes, and this function returns once the tensors are copied. Shards are written at once.

    Raises:
        FileError: The disk is full, or the folder cannot be written. Older checkpoints stay. With a `writer`, this
            checkpoint's error is raised by the writer, and an earlier one's here.
    """
    world = world or World()
    checkpoint = _NewCheckpoint(folder, step, dict(progress), after)
    if any(map(is_sharded, model.parameters())):
        checkpoint.write_in_shards(model, optimizer, world)
    elif writer is None:
        world.broadcast_from_first(lambda: checkpoint.write(*_copies(model, optimizer, HostCopies())))
    else:
        world.broadcast_from_first(lambda: _start(writer, checkpoint, model, optimizer))
    return checkpoint.target


def _start(writer: CheckpointWriter, checkpoint: _NewCheckpoint, model: nn.Module, optimizer: Optimizer | None) -> None:
    """Copy the tensors of a checkpoint, and let a thread write them."""
    copies = _copies(model, optimizer, writer.copies_for(checkpoint.target.parent))
    writer.start(checkpoint.target.parent, lambda: checkpoint.write(*copies))


def _copies(model: nn.Module, optimizer: Optimizer | None, copy: HostCopies) -> tuple[Files, Any]:
    """Copy weights and state to the host. Returns the tensors of each file, and the rest of the optimizer's state."""
    tensors = {(MODEL, name): tensor for name, tensor in model.state_dict().items()}
    described = None
    if optimizer is not None:
        of_optimizer, described = pack(optimizer.state_dict(), copies=False)
        tensors |= {(OPTIMIZER, name): tensor for name, tensor in of_optimizer.items()}
    files: Files = {MODEL: {}} if optimizer is None else {MODEL: {}, OPTIMIZER: {}}
    copies = copy({f"{file} {name}": tensor for (file, name), tensor in tensors.items()})
    for file, name in tensors:
        files[file][name] = copies[f"{file} {name}"]
    return files, described


@dataclass(frozen=True)
class _NewCheckpoint:
    """A checkpoint that will be written: its folder, its step, the run's progress, and what is called afterwards."""

    folder: Path
    step: int
    progress: dict[str, Any]
    after: Callable[[Path], None] | None

    @property
    def target(self) -> Path:
        return self.folder / f"step-{self.step:08}"

    @property
    def _partial(self) -> Path:
        return self.folder / f".{self.target.name}.partial"

    def write(self, files: Files, optimizer: Any) -> None:
        """Write tensors from the host's memory. `optimizer` is the rest of its state, or None for weights alone."""
        with self._whole_or_not_at_all():
            self._begin()
            sums = {name: write_tensors(self._partial / name, tensors) for name, tensors in files.items()}
            self._finish(sums, optimizer)

    def write_in_shards(self, model: nn.Module, optimizer: Optimizer | None, world: World) -> None:
        """Write the shards of all processes, which call this together."""
        from bpe_lm.training.shards import write_shards

        with self._whole_or_not_at_all():
            world.broadcast_from_first(self._begin)
            rest = write_shards(self._partial, model, optimizer, world)
            described = None if rest is None else pack(rest)[1]
            world.broadcast_from_first(lambda: self._finish(self._sums(), described))

    def _begin(self) -> None:
        shutil.rmtree(self._partial, ignore_errors=True)
        self._partial.mkdir(parents=True)

    def _sums(self) -> dict[str, str]:
        return {path.name: _sha256_of(path) for path in sorted(self._partial.iterdir())}

    def _finish(self, sums: dict[str, str], optimizer: Any) -> None:
        """Write the marker, and give the folder its name."""
        content = {"step": self.step, "progress": self.progress, "optimizer": optimizer, "sha256": sums}
        marker = {"content": content, "sha256": _sha256(content)}
        write_synced(self._partial / MARKER, json.dumps(marker).encode())
        replace_folder(self._partial, self.target)
        if self.after is not None:
            self.after(self.target)

    @contextmanager
    def _whole_or_not_at_all(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            shutil.rmtree(self._partial, ignore_errors=True)
            reason = error.strerror or error
            raise FileError(
                f"could not write the checkpoint {self.target}: {reason}; older checkpoints are kept; make room, then "
                "--resume"
            ) from error


def find_checkpoints(folder: Path) -> list[Path]:
    """Return the checkpoint folders of a run, the newest first. Their content is not checked."""
    paths = [path for path in folder.glob("step-*") if path.is_dir() and re.fullmatch(r"step-\d{8,}", path.name)]
    return sorted(paths, key=step_of, reverse=True)


def step_of(path: Path) -> int:
    """Return the step of a checkpoint folder by its name."""
    return int(path.name.removeprefix("step-"))


def forget_after(folder: Path, step: int) -> None:
    """Remove the checkpoints of later steps. They are damaged, or the run does these steps again."""
    later = [path for path in find_checkpoints(folder) if step_of(path) > step]
    for path in [*later, *folder.glob(".step-*")]:
        shutil.rmtree(path, ignore_errors=True)


def keep_only(path: Path) -> None:
    """Remove every other checkpoint in the folder of this one."""
    for other in find_checkpoints(path.parent):
        if other != path:
            shutil.rmtree(other, ignore_errors=True)


def keep_newest(folder: Path, number: int) -> None:
    """Remove all checkpoints except the newest, and the partial checkpoints of an interrupted run."""
    for path in [*find_checkpoints(folder)[number:], *folder.glob(".step-*")]:
        shutil.rmtree(path, ignore_errors=True)


def load_newest(
    folder: Path, model: nn.Module, optimizer: Optimizer | None = None, world: World | None = None
) -> Saved | None:
    """Load the newest undamaged checkpoint, and warn of damaged ones. Returns None if the folder has no checkpoint.

    In a distributed run all processes call this: the first picks and verifies a checkpoint, and the others follow.

    Raises:
        CheckpointError: Every checkpoint is damaged, or the newest undamaged one is of another model.
        FileError: A file could not be read.
    """
    world, opened = world or World(), None

    def pick() -> str | None:
        nonlocal opened
        opened = _open_newest(folder, optimizer is not None)
        return None if opened is None else opened.saved.path.name

    name = world.broadcast_from_first(pick)
    if name is None:
        return None
    checkpoint = world.on_each(lambda: opened or _open(folder / name, optimizer is not None, is_verified=True))
    return _take(checkpoint, model, optimizer, world)


def _open_newest(folder: Path, has_optimizer: bool) -> _Opened | None:
    for replaced in folder.glob(".step-*.replaced"):
        restore_folder(folder / replaced.name.removeprefix(".").removesuffix(".replaced"))
    paths = find_checkpoints(folder)
    for path in paths:
        try:
            return _open(path, has_optimizer)
        except (CheckpointError, FileError) as error:
            reason = error.__cause__
            if isinstance(reason, OSError) and reason.errno not in (errno.ENOENT, errno.EIO):
                raise  # The file may be whole: too many files are open, or this process may not read it.
            if path == paths[-1]:
                raise CheckpointError(f"no checkpoint in {folder} is undamaged: {error}") from error
            warnings.warn(f"{error}; taking the checkpoint before it", stacklevel=2)
    return None


def load_run_checkpoint(path: Path, model: nn.Module, optimizer: Optimizer | None = None) -> Saved:
    """Load a checkpoint folder. Everything is checked before anything is changed.

    If `optimizer` is None, the optimizer's file is not read.

    Raises:
        CheckpointError: The checkpoint is damaged, incomplete, or of another model.
        FileError: A file could not be read.
    """
    return _take(_open(path, optimizer is not None), model, optimizer, World())


@dataclass(frozen=True)
class _Opened:
    """A verified checkpoint. If `weights` is None, the checkpoint is in shards, which are read later."""

    saved: Saved
    weights: dict[str, Tensor] | None
    optimizer: Any


def _open(path: Path, has_optimizer: bool, *, is_verified: bool = False) -> _Opened:
    try:
        marker = json.loads(read_bytes(path / MARKER))
        content = marker["content"]
        if _sha256(content) != marker["sha256"]:
            raise CheckpointError(f"{path / MARKER} is damaged: its checksum differs")
        saved, sums, state = Saved(path, content["step"], content["progress"]), content["sha256"], None
        if has_optimizer and not _names_optimizer(content):
            raise CheckpointError(f"{path} has weights and no optimizer, so no run can go on from it")
        if MODEL not in sums:
            for name in () if is_verified else sums:
                _check_is_inside(path, name)
                _check_sum(path / name, _sha256_of(path / name), sums)
            # Earlier versions saved only the tensors of a sharded optimizer.
            return _Opened(saved, None, unpack({}, content.get("optimizer")))
        data = {name: read_bytes(path / name) for name in (MODEL, OPTIMIZER) if has_optimizer or name == MODEL}
        for name, tensors in () if is_verified else data.items():
            _check_sum(path / name, hashlib.sha256(tensors).hexdigest(), sums)
        if has_optimizer:
            state = unpack(load(data[OPTIMIZER]), content["optimizer"])
        return _Opened(saved, load(data[MODEL]), state)
    except NOT_OURS as error:
        if isinstance(error, CheckpointError):
            raise
        raise CheckpointError(f"the checkpoint {path} is damaged: {error}") from error


def has_optimizer(path: Path) -> bool:
    """Return whether a checkpoint folder has an optimizer's state, so that a run can go on from it.

    Raises:
        ConfigError: Its `checkpoint.json` is damaged.
        FileError: The file could not be read.
    """
    return _names_optimizer(read_json(path / MARKER).get("content", {}))


def _names_optimizer(content: Mapping[str, Any]) -> bool:
    # Early versions wrote shards with a state, and did not name it.
    return content.get("optimizer", {}) is not None


def _check_is_inside(path: Path, name: str) -> None:
    if Path(name).name != name:
        raise CheckpointError(f"{path / MARKER} is damaged: it names a shard {name}, outside of its folder")


def _check_sum(path: Path, checksum: str, sums: Mapping[str, str]) -> None:
    if checksum != sums[path.name]:
        raise CheckpointError(f"{path} is damaged: its checksum differs")


def _take(opened: _Opened, model: nn.Module, optimizer: Optimizer | None, world: World) -> Saved:
    path, weights, state = opened.saved.path, opened.weights, opened.optimizer
    if weights is None:
        from bpe_lm.training.shards import read_shards

        state = read_shards(path, model, optimizer, state, world)

    def change() -> None:
        if weights is not None:
            check_model(model, weights, path)
        if optimizer is not None:
            load_optimizer(optimizer, state, path)
        if weights is not None:
            _set_weights(model, weights)

    world.on_each(change)
    return opened.saved


@torch.no_grad()
def _set_weights(model: nn.Module, weights: Mapping[str, Tensor]) -> None:
    parameters, state = dict(model.named_parameters()), dict(weights)
    for name in parameters:
        if name.endswith(JOINED):
            join_projections(state, name)
    for name, own in parameters.items():
        own.copy_(shard_like(state[name], own))


def _sha256(content: Any) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def _sha256_of(path: Path) -> str:
    """Return the SHA-256 of a file, which is read in pieces."""
    check_is_file(path)
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise FileError(f"could not read {path}: {error.strerror}") from error
