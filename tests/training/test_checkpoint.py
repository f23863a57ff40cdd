"""Checkpoints: everything comes back, damage is seen, nothing is lost, and pickle is never called."""

import io
import json
import os
import pickle
import random
import resource
import signal
from pathlib import Path

import pytest
import torch
from bpe_lm.errors import CheckpointError, FileError
from bpe_lm.model.config import ModelConfig
from bpe_lm.model.transformer import TransformerLM
from bpe_lm.training.checkpoint import load_checkpoint, save_checkpoint
from bpe_lm.training.optimizers.adamw import AdamW
from bpe_lm.training.run_checkpoint import (
    find_checkpoints,
    keep_newest,
    load_newest,
    load_run_checkpoint,
    save_run_checkpoint,
)

SMALL = ModelConfig(vocab_size=50, context_length=8, d_model=16, num_layers=1, num_heads=2, d_ff=32)


@pytest.fixture(autouse=True)
def no_pickle(monkeypatch):
    def refuse(*arguments, **options):
        raise AssertionError("pickle was called")

    for module, names in ((pickle, ["dumps", "loads", "dump", "load"]), (torch, ["save", "load"])):
        for name in names:
            monkeypatch.setattr(module, name, refuse)


def stepped(config: ModelConfig = SMALL, seed: int = 1):
    torch.manual_seed(seed)
    model = TransformerLM.from_config(config)
    optimizer = AdamW(model.parameters(), 0.01, (0.8, 0.9))
    for _ in range(3):
        optimizer.zero_grad()
        model(torch.randint(50, (2, 8))).logsumexp(-1).mean().backward()
        optimizer.step()
    return model, optimizer


def equal(a, b) -> bool:
    if isinstance(a, torch.Tensor):
        return torch.equal(a, b)
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(equal(a[key], b[key]) for key in a)
    if isinstance(a, tuple | list):
        return type(a) is type(b) and all(equal(x, y) for x, y in zip(a, b, strict=True))
    return a == b


@pytest.mark.parametrize("is_path", [True, False])
def test_the_courses_pair_brings_everything_back(tmp_path, is_path):
    model, optimizer = stepped()
    out = tmp_path / "checkpoint" if is_path else io.BytesIO()
    save_checkpoint(model, optimizer, 17, out)
    if not is_path:
        out.seek(0)
    other, its = stepped(seed=2)
    assert load_checkpoint(out, other, its) == 17
    assert equal(model.state_dict(), other.state_dict())
    assert equal(optimizer.state_dict(), its.state_dict())
    assert its.param_groups[0]["betas"] == (0.8, 0.9)


@pytest.mark.parametrize("make", [torch.optim.AdamW, lambda p: torch.optim.SGD(p, 0.1, momentum=0.9)])
def test_any_module_and_optimizer(tmp_path, make):
    model = torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.BatchNorm1d(4))
    optimizer = make(model.parameters())
    model(torch.randn(5, 3)).sum().backward()
    optimizer.step()
    save_checkpoint(model, optimizer, 3, str(tmp_path / "c"))
    other = torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.BatchNorm1d(4))
    its = make(other.parameters())
    load_checkpoint(str(tmp_path / "c"), other, its)
    assert equal(model.state_dict(), other.state_dict())
    assert equal(optimizer.state_dict(), its.state_dict())


def test_another_models_checkpoint_is_refused(tmp_path):
    save_checkpoint(*stepped(), 1, tmp_path / "c")
    other, its = stepped(ModelConfig(**SMALL.as_dict() | {"d_ff": 48}))
    with pytest.raises(CheckpointError, match=r"model: layers.0.ffn.w1.weight is \(32, 16\), and \(48, 16\) here"):
        load_checkpoint(tmp_path / "c", other, its)
    with pytest.raises(FileError, match="could not read"):
        load_checkpoint(tmp_path / "none", other, its)


@pytest.mark.row("R20", few=300, many=5000)
def test_prefixes_and_flipped_bits_of_a_folder_are_seen(tmp_path, cases):
    model, optimizer = stepped()
    path = save_run_checkpoint(tmp_path, model, optimizer, 5, {"seconds": 1.5, "best_loss": None})
    saved = load_run_checkpoint(path, *stepped(seed=2))
    assert (saved.step, saved.progress) == (5, {"seconds": 1.5, "best_loss": None})
    before = {key: value.clone() for key, value in model.state_dict().items()}
    choose = random.Random(1)
    for file in sorted(path.iterdir()):
        whole = file.read_bytes()
        cuts = [whole[: choose.randrange(len(whole))] for _ in range(40)] + [b""]
        for _ in range(cases.asked):
            flipped = bytearray(whole)
            flipped[choose.randrange(len(whole))] ^= 1 << choose.randrange(8)
            cuts.append(bytes(flipped))
        for damaged in cuts:
            file.write_bytes(damaged)
            try:
                found = load_run_checkpoint(path, model, optimizer)
            except CheckpointError:
                continue
            # JSON has bytes that mean the same, such as e and E.
            assert file.name == "checkpoint.json", damaged
            assert (found.step, found.progress) == (saved.step, saved.progress)
        file.write_bytes(whole)
    assert equal(model.state_dict(), before)
    number = cases.asked * len(list(path.iterdir()))
    cases.asked = cases.passed = number


def test_a_damaged_newest_falls_back_loudly(tmp_path):
    model, optimizer = stepped()
    for step in (1, 2, 3):
        save_run_checkpoint(tmp_path, model, optimizer, step, {})
    keep_newest(tmp_path, 2)
    assert [path.name for path in find_checkpoints(tmp_path)] == ["step-00000003", "step-00000002"]
    (find_checkpoints(tmp_path)[0] / "model.safetensors").write_bytes(b"damaged")
    with pytest.warns(UserWarning, match="step-00000003.*is damaged.*taking the checkpoint before it"):
        assert load_newest(tmp_path, model, optimizer).step == 2
    for path in find_checkpoints(tmp_path):
        os.remove(path / "checkpoint.json")
    with pytest.warns(UserWarning, match="could not read"), pytest.raises(CheckpointError, match="undamaged"):
        load_newest(tmp_path, model, optimizer)
    assert load_newest(tmp_path / "none", model) is None


def test_a_full_disk_keeps_what_was_there(tmp_path):
    model, optimizer = stepped()
    save_run_checkpoint(tmp_path, model, optimizer, 1, {})
    save_checkpoint(model, optimizer, 1, tmp_path / "c")
    kept = (tmp_path / "c").read_bytes()
    old = resource.getrlimit(resource.RLIMIT_FSIZE), signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, old[0][1]))
    try:
        with pytest.raises(FileError, match="step-00000002.*older checkpoints are kept"):
            save_run_checkpoint(tmp_path, model, optimizer, 2, {})
        with pytest.raises(FileError, match="could not write"):
            save_checkpoint(model, optimizer, 2, tmp_path / "c")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, old[0])
        signal.signal(signal.SIGXFSZ, old[1])
    assert sorted(path.name for path in tmp_path.iterdir()) == ["c", "step-00000001"]
    assert (tmp_path / "c").read_bytes() == kept
    assert load_newest(tmp_path, model, optimizer).step == 1


@pytest.mark.parametrize("name", ["fsync", "mkdir", "rename"])
def test_each_call_that_fails_leaves_nothing_behind(tmp_path, monkeypatch, name):
    model, optimizer = stepped()
    save_run_checkpoint(tmp_path, model, optimizer, 1, {})
    place = os if name == "fsync" else Path
    real, calls = getattr(place, name), [0]
    for failing in range(1, 10):
        calls[0] = 0

        def fail(*arguments, failing=failing, **options):
            calls[0] += 1
            if calls[0] == failing:
                raise OSError(5, "Input/output error")
            return real(*arguments, **options)

        monkeypatch.setattr(place, name, fail)
        try:
            save_run_checkpoint(tmp_path, model, optimizer, 2, {})
        except FileError:
            monkeypatch.setattr(place, name, real)
            assert load_newest(tmp_path, model, optimizer).step in (1, 2)
            assert not list(tmp_path.glob(".*"))
        else:
            break
    assert failing > 1
    monkeypatch.setattr(place, name, real)
    assert json.loads((find_checkpoints(tmp_path)[0] / "checkpoint.json").read_text())["content"]["step"] == 2


def test_states_that_are_no_tensors_and_kinds_of_tuples(tmp_path):
    class Counting(torch.nn.Linear):
        def get_extra_state(self):
            return {"n": 3, "size": torch.Size([2, 3])}

        def set_extra_state(self, state):
            self.found = state

    model = Counting(2, 2)
    optimizer = torch.optim.SGD(model.parameters(), 0.1)
    save_checkpoint(model, optimizer, 5, tmp_path / "c")
    assert load_checkpoint(tmp_path / "c", model, optimizer) == 5
    assert model.found == {"n": 3, "size": (2, 3)}


def test_what_a_user_puts_beside_checkpoints_is_not_one(tmp_path):
    (tmp_path / "step-00000008-mine").mkdir()
    (tmp_path / "step-00000008").mkdir()
    assert [path.name for path in find_checkpoints(tmp_path)] == ["step-00000008"]
