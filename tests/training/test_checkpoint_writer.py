"""Checkpoints that a thread writes: the same files, in order, and no error is lost."""

import errno
import hashlib
import json
import os
import threading
from pathlib import Path

import pytest
import torch
from bpe_lm.errors import CheckpointError, FileError
from bpe_lm.export.load import load_model
from bpe_lm.model.config import ModelConfig
from bpe_lm.model.transformer import TransformerLM
from bpe_lm.training import run_checkpoint as checkpoint
from bpe_lm.training.checkpoint_writer import CheckpointWriter
from bpe_lm.training.config import TrainConfig, override
from bpe_lm.training.host_copies import HostCopies
from bpe_lm.training.optimizers.adamw import AdamW
from bpe_lm.training.presets import resolve
from bpe_lm.training.run_checkpoint import find_checkpoints, has_optimizer, load_newest, save_run_checkpoint
from bpe_lm.training.tensor_file import write_tensors
from bpe_lm.training.trainer import Trainer
from safetensors.torch import load, load_file, save

DTYPES = [
    *(torch.float64, torch.float32, torch.bfloat16, torch.float16, torch.bool),
    *(torch.int64, torch.int32, torch.int16, torch.int8, torch.uint8),
]
SMALL = ModelConfig(vocab_size=50, context_length=8, d_model=16, num_layers=1, num_heads=2, d_ff=32, tied_head=True)


@pytest.fixture
def config(data) -> TrainConfig:
    files = {"train": str(data / "train.bin"), "valid": str(data / "valid.bin"), "tokenizer": str(data / "tokenizer")}
    changes = {"steps": 6, "checkpoint_every": 2, "validate_every": 2, "validation_tokens": 160, "device": "cpu"}
    return override(resolve("debug"), {"data": files} | changes)


def stepped() -> tuple[TransformerLM, AdamW]:
    torch.manual_seed(1)
    model = TransformerLM.from_config(SMALL)
    optimizer = AdamW(model.parameters(), 0.01)
    for _ in range(2):
        optimizer.zero_grad()
        model(torch.randint(50, (2, 8))).logsumexp(-1).mean().backward()
        optimizer.step()
    return model, optimizer


def files_of(path: Path) -> dict[str, bytes]:
    return {file.name: file.read_bytes() for file in path.iterdir()}


def test_a_file_of_tensors_is_what_safetensors_writes(tmp_path):
    tensors = {
        f"{name} {dtype}": torch.arange(7).to(dtype).reshape(shape)
        for name, shape in (("b", (7,)), ("a", (1, 7)), ("é", (7, 1)))
        for dtype in DTYPES
    }
    tensors |= {"scalar": torch.tensor(2.5), "empty": torch.empty(0, 3), "turned": torch.randn(5, 3).T}
    expected = save({name: tensor.contiguous() for name, tensor in tensors.items()})
    digest = write_tensors(tmp_path / "file", tensors)
    assert (tmp_path / "file").read_bytes() == expected
    assert digest == hashlib.sha256(expected).hexdigest()
    assert all(torch.equal(tensor, tensors[name]) for name, tensor in load_file(tmp_path / "file").items())
    write_tensors(tmp_path / "empty", {})
    assert load((tmp_path / "empty").read_bytes()) == {}


def test_a_large_tensor_is_written_in_pieces(tmp_path, monkeypatch):
    monkeypatch.setattr("bpe_lm.training.tensor_file._AT_ONCE", 100)
    tensors = {"a": torch.randn(77), "b": torch.randn(25)}
    write_tensors(tmp_path / "file", tensors)
    assert (tmp_path / "file").read_bytes() == save(tensors)


def test_a_thread_writes_the_same_checkpoint_of_the_moment_in_which_it_was_taken(tmp_path):
    model, optimizer = stepped()
    expected = files_of(save_run_checkpoint(tmp_path / "sync", model, optimizer, 2, {"seconds": 1.0}))
    may_write, done = threading.Event(), []
    with CheckpointWriter() as writer:
        writer.start(tmp_path / "before", lambda: may_write.wait(10) and None)
        path = save_run_checkpoint(
            tmp_path / "later", model, optimizer, 2, {"seconds": 1.0}, writer=writer, after=done.append
        )
        assert not path.exists()
        with torch.no_grad():
            for parameter in model.parameters():
                parameter.zero_()
            for state in optimizer.state.values():
                state["exp_avg"].zero_()
        may_write.set()
        writer.finish()
    assert files_of(path) == expected
    assert done == [path]


def test_weights_alone_are_no_beginning_of_a_run(tmp_path):
    model, optimizer = stepped()
    path = save_run_checkpoint(tmp_path, model, None, 2, {})
    assert sorted(files_of(path)) == ["checkpoint.json", "model.safetensors"]
    assert not has_optimizer(path)
    assert has_optimizer(save_run_checkpoint(tmp_path / "whole", model, optimizer, 2, {}))
    other = TransformerLM.from_config(SMALL)
    assert load_newest(tmp_path, other).step == 2
    assert torch.equal(other.lm_head.weight, model.lm_head.weight)
    with pytest.raises(CheckpointError, match="has weights and no optimizer, so no run can go on from it"):
        load_newest(tmp_path, other, optimizer)


def test_the_best_of_a_run_has_no_optimizer_and_opens(config, tmp_path):
    with Trainer(config, tmp_path / "run") as trainer:
        trainer.run()
    [best] = find_checkpoints(tmp_path / "run" / "best")
    assert sorted(files_of(best)) == ["checkpoint.json", "model.safetensors"]
    assert load_model(tmp_path / "run").num_parameters() > 0
    assert all(has_optimizer(path) for path in find_checkpoints(tmp_path / "run" / "checkpoints"))


def test_a_failed_write_surfaces_at_the_next_step(config, tmp_path, monkeypatch):
    write, failed = checkpoint.write_tensors, threading.Event()

    def full(path: Path, tensors) -> str:
        if "step-00000004" in str(path):
            failed.set()
            raise OSError(errno.ENOSPC, "No space left on device")
        return write(path, tensors)

    monkeypatch.setattr(checkpoint, "write_tensors", full)
    with Trainer(override(config, {"data": {"valid": ""}}), tmp_path / "run") as trainer:
        launch = trainer._launch_step

        def after_the_write(window):
            if trainer.step == 4:
                assert failed.wait(10)
                with pytest.raises(FileError):
                    trainer._writer.finish()
            launch(window)

        trainer._launch_step = after_the_write
        with pytest.raises(FileError, match="could not write the checkpoint .*step-00000004: No space left"):
            trainer.run()
        assert trainer.step == 4
    assert [path.name for path in find_checkpoints(tmp_path / "run" / "checkpoints")] == ["step-00000002"]
    assert [path.name for path in (tmp_path / "run" / "checkpoints").iterdir()] == ["step-00000002"]
    assert not (tmp_path / "run" / "result.json").exists()
    monkeypatch.setattr(checkpoint, "write_tensors", write)
    with Trainer(override(config, {"data": {"valid": ""}}), tmp_path / "run", resume=True) as trainer:
        assert trainer.step == 2
        assert trainer.run().step == 6


def test_a_write_that_fails_last_surfaces_at_the_end_of_the_run(config, tmp_path, monkeypatch):
    def full(path: Path, tensors) -> str:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(checkpoint, "write_tensors", full)
    changed = override(config, {"data": {"valid": ""}, "checkpoint_every": 100})
    with Trainer(changed, tmp_path / "run") as trainer, pytest.raises(FileError, match="step-00000006"):
        trainer.run()
    assert trainer.result is None
    assert not (tmp_path / "run" / "result.json").exists()


def test_after_a_failed_best_no_checkpoint_names_it(tmp_path):
    model, optimizer = stepped()
    with CheckpointWriter() as writer:

        def fail() -> None:
            raise FileError("the disk is full")

        may_write = threading.Event()
        writer.start(tmp_path / "before", lambda: may_write.wait(10) and None)
        writer.start(tmp_path / "best", fail)
        save_run_checkpoint(tmp_path / "checkpoints", model, optimizer, 2, {"best_loss": 1.0}, writer=writer)
        may_write.set()
        with pytest.raises(FileError, match="the disk is full"):
            writer.finish()
        assert writer.has_failed
        with pytest.raises(FileError, match="the disk is full"):
            save_run_checkpoint(tmp_path / "checkpoints", model, optimizer, 4, {}, writer=writer)
    assert not list(tmp_path.glob("checkpoints/step-*"))


def test_the_next_checkpoint_waits_for_the_one_before(tmp_path):
    model, optimizer = stepped()
    order, may_write = [], threading.Event()
    with CheckpointWriter() as writer:
        real = writer.copies_for

        def noted(folder: Path) -> HostCopies:
            order.append("waits")
            threading.Timer(0.2, lambda: order.append("may write") or may_write.set()).start()
            found = real(folder)
            order.append("copies")
            return found

        writer.start(tmp_path, lambda: may_write.wait(10) and None)
        writer.copies_for = noted
        save_run_checkpoint(tmp_path, model, optimizer, 2, {}, writer=writer)
    assert order == ["waits", "may write", "copies"]
    assert [path.name for path in find_checkpoints(tmp_path)] == ["step-00000002"]


def test_an_error_in_the_loop_loses_no_checkpoint_that_was_taken(config, tmp_path, monkeypatch):
    write = checkpoint.write_tensors
    monkeypatch.setattr(checkpoint, "write_tensors", lambda *given: threading.Event().wait(0.2) or write(*given))

    def stop(step) -> None:
        if step.step == 5:
            raise KeyboardInterrupt

    with Trainer(override(config, {"data": {"valid": ""}}), tmp_path / "run") as trainer:
        with pytest.raises(KeyboardInterrupt):
            trainer.run(on_step=stop)
        assert find_checkpoints(tmp_path / "run" / "checkpoints")[0].name == "step-00000004"
    content = json.loads((tmp_path / "run" / "checkpoints" / "step-00000004" / "checkpoint.json").read_text())
    assert content["content"]["step"] == 4


def test_everything_is_on_the_disk_before_a_checkpoint_has_its_name(tmp_path, monkeypatch):
    model, optimizer = stepped()
    synced, sync, rename = [], os.fsync, Path.rename

    def noted(file: int) -> None:
        synced.append(Path(os.readlink(f"/proc/self/fd/{file}")).name)
        sync(file)

    def renamed(path: Path, target: Path) -> Path:
        synced.append("renamed")
        return rename(path, target)

    monkeypatch.setattr(os, "fsync", noted)
    monkeypatch.setattr(Path, "rename", renamed)
    save_run_checkpoint(tmp_path, model, optimizer, 1, {})
    before = synced[: synced.index("renamed")]
    assert before == ["model.safetensors", "optimizer.safetensors", "checkpoint.json", ".step-00000001.partial"]
    assert synced[-1] == tmp_path.name


def test_the_weights_of_a_run_are_looked_at_with_one_read(tmp_path, monkeypatch):
    from bpe_lm.training.divergence import weights_are_finite

    model, _ = stepped()
    reads, real = [], torch.Tensor.__bool__
    monkeypatch.setattr(torch.Tensor, "__bool__", lambda tensor: reads.append(1) or real(tensor))
    assert weights_are_finite(model)
    assert len(reads) == 1
    model.layers[0].ln2.weight.data[3] = float("nan")
    assert not weights_are_finite(model)
