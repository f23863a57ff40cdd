"""Two processes learn what one does, and their checkpoints are read by any number."""

import json
import math
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import pytest
import torch
from bpe_lm.cli.main import main
from bpe_lm.errors import ConfigError
from bpe_lm.export.load import load_model
from bpe_lm.training import parallel
from bpe_lm.training.config import TrainConfig, read_config
from bpe_lm.training.devices import device_of
from bpe_lm.training.run_checkpoint import find_checkpoints
from bpe_lm.training.run_log import read_records
from bpe_lm.training.trainer import Trainer

TRIPWIRE = Path(__file__).parents[1] / "faults" / "tripwire"
"""The folder of what writes a line for each class that the package unpickles."""


@pytest.fixture(scope="module")
def flags(data) -> list[str]:
    """Of a run of 12 steps on stories."""
    values = {
        **{
            "data.train": data / "train.bin",
            "data.valid": data / "valid.bin",
            "data.tokenizer": data / "tokenizer",
        },
        **{"steps": 12, "checkpoint-every": 4, "validate-every": 6, "validation-tokens": 0, "device": "cpu"},
    }
    return ["--quiet", *(str(part) for key, value in values.items() for part in (f"--{key}", value))]


@pytest.fixture(scope="module")
def alone(flags, tmp_path_factory) -> Path:
    """The run of one process."""
    folder = tmp_path_factory.mktemp("alone") / "run"
    assert main(["pretrain", "debug", "--out", str(folder), *flags]) == 0
    return folder


def torchrun(number: int, folder: Path, *more: str, restarts: int = 0) -> list[str]:
    launcher = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(number)]
    run = ["-m", "bpe_lm", "pretrain", "debug", "--out", str(folder)]
    return [sys.executable, *launcher, "--max-restarts", str(restarts), *run, *more]


def run(command: list[str], environment: dict[str, str] | None = None) -> None:
    done = subprocess.run(command, capture_output=True, text=True, timeout=200, env=environment)
    assert done.returncode == 0, done.stderr


def without_the_last_checkpoint(run: Path, to: Path) -> None:
    shutil.copytree(run, to)
    shutil.rmtree(find_checkpoints(to / "checkpoints")[0])
    (to / "result.json").unlink(missing_ok=True)


@pytest.fixture(scope="module")
def together(flags, alone, tmp_path_factory) -> Path:
    """What two processes did, one thing after another, in a group that they joined once."""
    folder = tmp_path_factory.mktemp("together")
    without_the_last_checkpoint(alone, folder / "back")
    launcher = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    script = str(Path(__file__).with_name("two_processes.py"))
    paths = [str(TRIPWIRE), *filter(None, [os.environ.get("PYTHONPATH")])]
    tripwire = {"PYTHONPATH": os.pathsep.join(paths), "BPE_LM_TRIPWIRE": str(folder / "unpickled")}
    run([sys.executable, *launcher, script, str(folder), *flags], os.environ | tripwire)
    return folder


@pytest.fixture(scope="module")
def found(together) -> list[dict]:
    """What each process said."""
    return [json.loads((together / f"found-{rank}.json").read_text()) for rank in range(2)]


def losses(folder: Path, kind: str = "train") -> dict[int, float]:
    return {r["step"]: r["loss"] for r in read_records(folder / "metrics.jsonl") if r["kind"] == kind}


def near(a: dict[int, float], b: dict[int, float]) -> bool:
    return a.keys() == b.keys() and all(abs(a[step] - b[step]) < 1e-5 for step in a)


def weights_near(a: Path, b: Path) -> bool:
    states = [load_model(folder, last=True).state_dict() for folder in (a, b)]
    return all(torch.allclose(weight, states[1][name], atol=1e-5) for name, weight in states[0].items())


@pytest.mark.parametrize("name", ["", "-micro", "-compiled"])
@pytest.mark.parametrize("kind", ["ddp", "fsdp"])
def test_two_processes_learn_what_one_does(together, alone, kind, name):
    name = kind + name
    for of in ("train", "valid"):
        assert near(losses(together / name, of), losses(alone, of))
    assert weights_near(together / name, alone)
    files = {path.name for path in find_checkpoints(together / name / "checkpoints")[0].iterdir()}
    assert all(file.endswith((".safetensors", ".json")) for file in files)
    assert len(files) == 3


def test_what_two_processes_exchange_and_keep_is_no_pickle(together):
    assert not (together / "unpickled").exists()


def test_two_processes_learn_an_architecture_with_all_switches_as_one_does(together, tmp_path):
    alone = tmp_path / "alone"
    with Trainer(TrainConfig.from_dict(read_config(together / "ddp-switches" / "config.json")), alone) as trainer:
        trainer.run()
    for kind in ("ddp", "fsdp"):
        assert near(losses(together / f"{kind}-switches"), losses(alone))
        assert weights_near(together / f"{kind}-switches", alone)
    names = load_model(alone).state_dict().keys()
    assert {"layers.1.skip_weight", "layers.0.attn.value_mix", "value_embeddings.0.weight"} <= names


@pytest.mark.parametrize("kind", ["ddp", "fsdp"])
def test_two_processes_that_read_at_log_steps_learn_what_one_does(together, alone, kind):
    found = losses(together / f"{kind}-deferred")
    assert near(found, {step: loss for step, loss in losses(alone).items() if step in (1, 5, 10, 12)})
    assert near(losses(together / f"{kind}-deferred", "valid"), losses(alone, "valid"))
    assert weights_near(together / f"{kind}-deferred", alone)


@pytest.mark.parametrize("kind", ["ddp", "fsdp"])
def test_a_loss_that_is_not_finite_in_one_process_stops_all_at_the_same_step(found, kind):
    first, second = (of["diverged"][kind] for of in found)
    assert first == second
    assert first["message"].startswith("TrainingDiverged: step 7: loss nan, gradient norm nan, after 1 skipped steps")
    assert "the gradient of" in first["message"]
    assert first["step"] == 6
    assert math.isfinite(first["weights"])


def test_a_checkpoint_that_one_process_cannot_write_ends_all(found):
    for of in found:
        assert re.match("FileError: (process 0: )?could not write the checkpoint .*No space", of["full"]["message"])
        assert of["full"]["is_early"]


def test_fsdp_in_bfloat16_keeps_float32_where_one_process_does(flags, together, tmp_path):
    """Blocks gather bfloat16. The differences are those of two orders of additions in bfloat16."""
    assert main(["pretrain", "debug", "--out", str(tmp_path / "run"), *flags, "--dtype", "bfloat16"]) == 0
    expected, found = losses(tmp_path / "run"), losses(together / "narrow")
    assert found.keys() == expected.keys()
    assert all(abs(found[step] - expected[step]) < 5e-3 for step in expected)
    assert all(weight.dtype == torch.float32 for weight in load_model(together / "narrow").state_dict().values())


def test_fsdp_learns_with_a_tied_head_in_bfloat16(flags, together, tmp_path):
    more = ["--model.tied-head", "true", "--dtype", "bfloat16"]
    assert main(["pretrain", "debug", "--out", str(tmp_path / "run"), *flags, *more]) == 0
    expected, found = losses(tmp_path / "run"), losses(together / "tied")
    assert found.keys() == expected.keys()
    assert all(abs(found[step] - expected[step]) < 2e-2 for step in expected)
    model = load_model(together / "tied")
    assert model.lm_head.weight is model.token_embeddings.weight


def test_checkpoints_are_read_by_another_number_of_processes(flags, alone, together, tmp_path):
    without_the_last_checkpoint(together / "fsdp", tmp_path / "run")
    assert main(["pretrain", "debug", "--out", str(tmp_path / "run"), *flags, "--resume"]) == 0
    for folder in (tmp_path / "run", together / "back"):
        assert near(losses(folder), losses(alone))
        assert weights_near(folder, alone)
    assert len(list((together / "back" / "checkpoints" / "step-00000012").glob("shard-*"))) == 2


MUON = ["--optimizer.name", "muon", "--optimizer.matrices.rate", "20", "--optimizer.muon.momentum-rise", "8"]


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_two_processes_learn_with_muon_what_one_does(flags, together, tmp_path, dtype):
    """In bfloat16 a mean of gradients between two numbers can round to either: 8e-5 was seen, and 7e-7 in float32."""
    more = [*MUON, "--optimizer.muon.dtype", dtype]
    assert main(["pretrain", "debug", "--out", str(tmp_path / "run"), *flags, *more]) == 0
    expected = losses(tmp_path / "run")
    for kind in ("ddp", "fsdp"):
        found = losses(together / f"{kind}-muon-{dtype}")
        assert found.keys() == expected.keys()
        bound = 1e-5 if dtype == "float32" else 3e-4
        assert all(abs(found[step] - expected[step]) < bound for step in expected)
        if dtype == "float32":
            assert weights_near(together / f"{kind}-muon-{dtype}", tmp_path / "run")


def test_the_courses_sgd_goes_on_with_fsdp(together):
    assert losses(together / "sgd-resumed") == losses(together / "sgd")


@pytest.mark.parametrize("name", ["AdamW", "SGD", "Muon", "torch.optim.AdamW", "torch.optim.SGD"])
def test_every_optimizers_state_is_kept_in_parts(found, name):
    assert [of["optimizers"][name] for of in found] == [True, True]


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        *((f"writing in {rank}", "could not write the checkpoint .*No space left on device") for rank in (0, 1)),
        *((f"reading in {rank}", "could not read .*No space left on device") for rank in (0, 1)),
        *((f"reading parts in {rank}", "could not read .*No space left on device") for rank in (0, 1)),
        ("renaming in 0", "could not write the checkpoint .*No space left on device"),
    ],
)
def test_an_error_in_one_process_is_raised_in_all(found, fault, message):
    for of in found:
        assert re.match(f"FileError: .*{message}", of["faults"][fault])
        assert of["faults"]["left"] == ["step-00000001", "step-00000002"]


def test_the_first_process_picks_and_verifies_and_the_others_follow(found):
    assert [of["faults"]["step"] for of in found] == [1, 1]
    assert found[0]["faults"]["hashed"] >= 2
    assert found[1]["faults"]["hashed"] == 0
    for of in found:
        assert re.match("CheckpointError: no checkpoint in .* is undamaged", of["faults"]["none whole"])


def test_a_process_joins_the_others_once_for_all_its_runs(found):
    assert [of["joined"] for of in found] == [1, 1]


def test_a_number_that_one_process_lacks_is_one_in_all(found):
    assert [of["sum"] for of in found] == [[True, False]] * 2


def test_a_batch_that_cannot_be_shared_is_refused(found):
    for of in found:
        assert "batch_size is 7, which 2 processes cannot share" in of["refused"]


def rank_of(process: int) -> str | None:
    """What torchrun said to a process that it started."""
    names = dict(pair.split("=", 1) for pair in Path(f"/proc/{process}/environ").read_text().split("\0") if "=" in pair)
    return names.get("RANK")


def children_of(process: int) -> dict[str | None, int]:
    children = map(int, Path(f"/proc/{process}/task/{process}/children").read_text().split())
    return {rank_of(child): child for child in children}


@pytest.mark.parametrize(("kind", "rank"), [("ddp", "1"), ("fsdp", "0")])
def test_a_killed_process_is_started_again_and_goes_on(flags, together, tmp_path, kind, rank):
    more = [*flags, "--parallel", kind, "--steps", "300", "--checkpoint-every", "10", "--validate-every", "300"]
    more.remove("--quiet")
    launcher = torchrun(2, tmp_path / "run", *more, "--resume", restarts=2)
    with (tmp_path / "said").open("w") as said:
        process = subprocess.Popen(launcher, stdout=subprocess.DEVNULL, stderr=said, start_new_session=True)
    try:
        while process.poll() is None and len(losses(tmp_path / "run")) < 40:
            time.sleep(0.01)
        os.kill(children_of(process.pid)[rank], signal.SIGKILL)
        assert process.wait(timeout=200) == 0
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    assert losses(tmp_path / "run") == losses(together / f"{kind}-long")
    steps = re.findall(r"going on from step (\d+)", (tmp_path / "said").read_text())
    assert len(steps) == 1
    assert {int(step) for step in steps} <= set(range(30, 300, 10))


def test_a_process_touches_no_gpu_but_its_own(monkeypatch):
    """As torch would be called where there are two."""
    calls, joined, empty = [], {}, torch.empty
    for name, value in {"RANK": "3", "WORLD_SIZE": "4", "LOCAL_RANK": "1", "GROUP_WORLD_SIZE": "2"}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "set_device", lambda device: calls.append(("set", str(device))))
    monkeypatch.setattr(torch, "empty", lambda *size, device: calls.append(("touch", str(device))) or empty(*size))
    monkeypatch.setattr(parallel, "torchrun_store", lambda prefix: (torch.distributed.HashStore(), 3, 4))
    monkeypatch.setattr(torch.distributed, "init_process_group", lambda backend, **options: joined.update(options))
    for name in ("auto", "cuda", "cuda:0"):
        calls.clear()
        device = device_of(name)
        assert device == torch.device("cuda", 1)
        assert calls == [("set", "cuda:1"), ("touch", "cuda:1")]
    assert parallel.join_world(device) == parallel.World(3, 4, 1)
    assert joined["device_id"] == device
    with pytest.raises(ConfigError, match="device is mps, on which only one process can train"):
        parallel.join_world(torch.device("mps"))
