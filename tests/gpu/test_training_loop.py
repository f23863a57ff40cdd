"""The training loop on a GPU: nothing waits for the device between reads, and nothing is lost by that."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from bpe_lm.errors import TokenFileError, TrainingDiverged
from bpe_lm.training.batches import Batches
from bpe_lm.training.config import TrainConfig, override
from bpe_lm.training.optimizers.adamw import AdamW
from bpe_lm.training.optimizers.config import MuonConfig
from bpe_lm.training.optimizers.muon import Muon
from bpe_lm.training.prefetch import Prefetch
from bpe_lm.training.presets import resolve
from bpe_lm.training.run_checkpoint import find_checkpoints
from bpe_lm.training.run_log import read_records
from bpe_lm.training.step_records import Window
from bpe_lm.training.trainer import Trainer
from safetensors.torch import load_file

pytestmark = [pytest.mark.gpu, pytest.mark.skipif(not torch.cuda.is_available(), reason="needs an NVIDIA GPU")]


@pytest.fixture
def config(data) -> TrainConfig:
    files = {"train": str(data / "train.bin"), "valid": str(data / "valid.bin"), "tokenizer": str(data / "tokenizer")}
    changes = {"steps": 24, "log_every": 8, "checkpoint_every": 12, "validate_every": 12, "validation_tokens": 0}
    fixed = {"device": "cuda", "dtype": "float32", "compile": False}
    return override(resolve("debug"), {"data": files} | changes | fixed)


def records(folder: Path, kind: str = "train") -> dict[int, float]:
    return {r["step"]: r["loss"] for r in read_records(folder / "metrics.jsonl") if r["kind"] == kind}


def poison(trainer: Trainer, steps: set[int]) -> None:
    eager = trainer._steps.loss_of_step
    trainer._steps.capture = None  # A graph would not call the loss.
    trainer._steps.loss_of_step = lambda x, y: eager(x, y) * (float("nan") if trainer.step + 1 in steps else 1.0)


@pytest.mark.parametrize("dtype", ["u1", "<u2", "<u4", "i8"])
def test_batches_that_are_copied_on_a_stream_of_their_own_are_those_of_their_steps(dtype):
    tokens = np.random.default_rng(1).integers(0, 200, 50_000).astype(dtype)
    batches = Batches(tokens, 64, 256, 5, 200)
    ahead = Prefetch(batches, slice(None), torch.device("cuda"))
    busy = torch.randn(4096, 4096, device="cuda")
    try:
        found = []
        for step in range(12):
            x, y, has_bad_ids = ahead(step)
            busy = (busy @ busy).clamp(-1, 1)  # Keeps the current stream behind the copies.
            found.append((x.clone(), y.clone(), has_bad_ids))
    finally:
        ahead.close()
    for step, (x, y, has_bad_ids) in enumerate(found):
        expected = batches(step, "cpu")
        assert torch.equal(x.cpu(), expected[0])
        assert torch.equal(y.cpu(), expected[1])
        assert x.dtype == torch.int64
        assert not has_bad_ids


MUON = {"optimizer": {"name": "muon", "muon": {"momentum_rise": 12, "cautious": True}, "matrices": {"rate": 5.0}}}


@pytest.mark.parametrize("changes", [{}, {"dtype": "bfloat16"}, {"micro_batch_size": 4, "dtype": "bfloat16"}, MUON])
def test_no_step_waits_for_the_device(config, tmp_path, changes):
    with Trainer(override(config, changes), tmp_path / "run") as trainer:
        assert trainer.model.narrows_residual == (changes.get("dtype") == "bfloat16")
        for _ in range(3):
            trainer._launch_step(Window())
        torch.cuda.set_sync_debug_mode("error")
        try:
            for _ in range(5):
                trainer._launch_step(Window())
        finally:
            torch.cuda.set_sync_debug_mode("default")
        readings = trainer._read(Window())
    assert [reading.step for reading in readings] == list(range(1, 9))
    assert all(5 < reading.loss < 7 for reading in readings)


def test_deferred_reads_learn_what_reads_of_each_step_and_a_cpu_learn(config, tmp_path):
    for name, changes in (("later", {}), ("each", {}), ("cpu", {"device": "cpu"})):
        with Trainer(override(config, changes), tmp_path / name) as trainer:
            trainer._reads_each_step = name != "later"
            trainer.run()
    for kind in ("train", "valid"):
        later = records(tmp_path / "later", kind)
        assert later == pytest.approx(records(tmp_path / "each", kind), rel=1e-4)
        assert later == pytest.approx(records(tmp_path / "cpu", kind), rel=1e-3)
    wait = [r["data_wait"] for r in read_records(tmp_path / "later" / "metrics.jsonl") if r["kind"] == "train"]
    assert all(0 <= share <= 1 for share in wait)


def test_bad_steps_change_nothing_and_a_divergence_has_the_message_of_its_step(config, tmp_path):
    config = override(config, {"max_skipped_steps": 2, "data": {"valid": ""}})
    with Trainer(config, tmp_path / "run") as trainer:
        poison(trainer, {4, 5, 17, 18, 19, 20})
        with pytest.warns(UserWarning, match="is skipped: loss nan"), pytest.raises(TrainingDiverged) as caught:
            trainer.run()
        assert all(parameter.isfinite().all() for parameter in trainer.model.parameters())
        steps = {state["step"].item() for state in trainer.optimizer.state.values()}
    assert str(caught.value).startswith("step 19: loss nan, gradient norm nan, after 2 skipped steps; the first tensor")
    assert steps == {14}
    assert list(records(tmp_path / "run", "skip")) == [4, 5, 17, 18, 19]


def test_an_id_beyond_the_vocabulary_is_named(config, tmp_path):
    with Trainer(override(config, {"data": {"valid": ""}}), tmp_path / "run") as trainer:
        trainer._prefetch.close()
        dataset = np.array(trainer.batches.dataset)
        place = int(trainer.batches.starts(9)[0]) + 3
        dataset[place] = 9999
        trainer.batches.dataset = dataset
        trainer._prefetch = Prefetch(trainer.batches, slice(None), trainer.device)
        with pytest.raises(TokenFileError, match="of the training file is 9,999"):
            trainer.run()


def test_a_checkpoint_from_pinned_memory_is_the_state_and_goes_on_on_a_cpu_and_back(config, tmp_path):
    with Trainer(config, tmp_path / "run") as trainer:
        trainer.run()
        state = {name: tensor.cpu() for name, tensor in trainer.model.state_dict().items()}
        saved = load_file(find_checkpoints(tmp_path / "run" / "checkpoints")[0] / "model.safetensors")
        assert all(torch.equal(tensor, saved[name]) for name, tensor in state.items())
    for steps, device in ((30, "cpu"), (36, "cuda")):
        with Trainer(override(config, {"steps": steps, "device": device}), tmp_path / "run", resume=True) as trainer:
            assert trainer.step == steps - 6
            assert trainer.run().step == steps


def test_adamw_on_the_gpu_divides_and_refuses_as_on_the_cpu():
    found = {}
    for device in ("cpu", "cuda"):
        weights = [torch.nn.Parameter(torch.linspace(-1, 1, 5000, device=device)) for _ in range(3)]
        optimizer = AdamW(weights, 0.1, weight_decay=0.1)
        for number, flag in enumerate((0.0, 1.0, 0.0, 0.0)):
            for weight in weights:
                weight.grad = torch.full_like(weight, float("nan") if flag else number - 1.5)
            optimizer.found_inf = torch.tensor(flag, device=device)
            optimizer.grad_scale = torch.tensor(3.0, device=device)
            optimizer.step()
        found[device] = weights[2].detach().cpu(), optimizer.state[weights[2]]["step"].item()
    assert torch.allclose(found["cpu"][0], found["cuda"][0], atol=1e-6)
    assert found["cpu"][1] == found["cuda"][1] == 3


def test_muon_on_the_gpu_is_that_of_the_cpu():
    found = {}
    for device in ("cpu", "cuda"):
        generator = torch.Generator().manual_seed(2)
        shapes = [(64, 64), (64, 160), (160, 64)]
        weights = [torch.nn.Parameter(torch.randn(shape, generator=generator).to(device)) for shape in shapes]
        optimizer = Muon(weights, 0.1, options=MuonConfig(momentum_rise=3, cautious=True))
        for flag in (0.0, 1.0, 0.0, 0.0):
            for weight in weights:
                gradient = torch.randn(weight.shape, generator=generator)
                weight.grad = torch.full_like(weight, float("nan")) if flag else gradient.to(device)
            optimizer.found_inf = torch.tensor(flag, device=device)
            optimizer.grad_scale = torch.tensor(3.0, device=device)
            optimizer.learning_rate = torch.tensor(0.1, device=device)
            optimizer.step()
        found[device] = [weight.detach().cpu() for weight in weights], optimizer.state[weights[2]]["step"].item()
    for ours, theirs in zip(found["cpu"][0], found["cuda"][0], strict=True):
        assert (ours - theirs).norm() < 0.01 * theirs.norm()
    assert found["cpu"][1] == found["cuda"][1] == 3


def test_a_compiled_run_validates_with_its_compiled_loss(config, tmp_path):
    for name, compiles in (("eager", False), ("compiled", True)):
        with Trainer(override(config, {"compile": compiles}), tmp_path / name) as trainer:
            trainer.run()
            rows, loss = trainer._steps.validation_batch()
        assert rows == config.batch_size
        assert (loss is not None) == compiles
    for kind in ("train", "valid"):
        assert records(tmp_path / "compiled", kind) == pytest.approx(records(tmp_path / "eager", kind), rel=1e-3)


WITHOUT_VALIDATION = {"compile": True, "data": {"valid": ""}}
"""A validation would be compiled, too."""


@pytest.mark.parametrize("changes", [{}, {"dtype": "bfloat16", "micro_batch_size": 4}, WITHOUT_VALIDATION, MUON])
def test_a_run_whose_steps_are_a_graph_is_the_run_whose_steps_are_launched(config, tmp_path, changes):
    """Also over a validation and a checkpoint."""
    config, found = override(config, changes | {"steps": 60, "log_every": 12, "deterministic": True}), {}
    for name, captures in (("launched", False), ("graph", True)):
        with Trainer(config, tmp_path / name) as trainer:
            if not captures:
                trainer._steps.capture = None
            trainer._steps._pace.read = lambda steps, seconds: True
            trainer.run()
            assert trainer._steps.is_graph == captures
            found[name] = {key: tensor.cpu() for key, tensor in trainer.model.state_dict().items()}
    for kind in ("train", "valid"):
        assert records(tmp_path / "graph", kind) == records(tmp_path / "launched", kind)
    assert all(torch.equal(found["graph"][key], found["launched"][key]) for key in found["graph"])


FAILS = """
import json, sys, warnings
import torch
from bpe_lm.training.config import TrainConfig
from bpe_lm.training.trainer import Trainer

with Trainer(TrainConfig.from_dict(json.loads(sys.argv[1])), sys.argv[2]) as trainer:
    steps = trainer._steps
    steps._pace.read = lambda number, seconds: True
    check = steps.guard.check

    def reading(step, measures):
        if torch.cuda.is_current_stream_capturing():
            measures.loss.item()
        return check(step, measures)

    steps.guard.check = reading
    stream = torch.cuda.current_stream()
    with warnings.catch_warnings(record=True) as caught:
        trainer.run()
    assert any("CUDA could not capture a step" in str(warning.message) for warning in caught), caught
    assert not steps.is_graph
    assert torch.cuda.current_stream() == stream
"""
"""A run whose capture ends with an error of CUDA, in a process of its own, which may keep traces of that."""


def test_a_run_goes_on_after_a_capture_that_cuda_ends(config, tmp_path):
    config = override(config, {"deterministic": True})
    command = [sys.executable, "-c", FAILS, json.dumps(config.as_dict()), str(tmp_path / "failed")]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    with Trainer(config, tmp_path / "launched") as trainer:
        trainer._steps.capture = None
        trainer.run()
    for kind in ("train", "valid"):
        assert records(tmp_path / "failed", kind) == records(tmp_path / "launched", kind)
