"""Two processes learn what one does, and their checkpoints are read by any number."""

import os
import re
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import pytest
import torch
from bpe_lm.checkpoint import find_checkpoints
from bpe_lm.cli import main
from bpe_lm.model import TransformerLM
from bpe_lm.run_log import read_records


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


def train(number: int, folder: Path, *more: str) -> None:
    done = subprocess.run(torchrun(number, folder, *more), capture_output=True, text=True, timeout=200)
    assert done.returncode == 0, done.stderr


def losses(folder: Path, kind: str = "train") -> dict[int, float]:
    return {r["step"]: r["loss"] for r in read_records(folder / "metrics.jsonl") if r["kind"] == kind}


def near(a: dict[int, float], b: dict[int, float]) -> bool:
    return a.keys() == b.keys() and all(abs(a[step] - b[step]) < 1e-5 for step in a)


def weights_near(a: Path, b: Path) -> bool:
    states = [TransformerLM.from_pretrained(folder, last=True).state_dict() for folder in (a, b)]
    return all(torch.allclose(weight, states[1][name], atol=1e-5) for name, weight in states[0].items())


@pytest.mark.parametrize("more", [(), ("--micro-batch-size", "2")], ids=str)
@pytest.mark.parametrize("kind", ["ddp", "fsdp"])
def test_two_processes_learn_what_one_does(flags, alone, tmp_path, kind, more):
    train(2, tmp_path / "run", *flags, "--parallel", kind, *more)
    for of in ("train", "valid"):
        assert near(losses(tmp_path / "run", of), losses(alone, of))
    assert weights_near(tmp_path / "run", alone)
    files = {path.name for path in find_checkpoints(tmp_path / "run" / "checkpoints")[0].iterdir()}
    assert all(name.endswith((".safetensors", ".json")) for name in files)
    assert len(files) == 3


def test_checkpoints_are_read_by_another_number_of_processes(flags, alone, tmp_path):
    folder = tmp_path / "run"
    train(2, folder, *flags, "--parallel", "fsdp", "--max-time", "1e-9")
    assert main(["pretrain", "debug", "--out", str(folder), *flags, "--resume", "--max-time", "1e-9"]) == 0
    assert list(losses(folder)) == [1, 2]
    train(2, folder, *flags, "--parallel", "fsdp", "--resume")
    assert near(losses(folder), losses(alone))
    assert weights_near(folder, alone)


def rank_of(process: int) -> str | None:
    """What torchrun said to a process that it started."""
    names = dict(pair.split("=", 1) for pair in Path(f"/proc/{process}/environ").read_text().split("\0") if "=" in pair)
    return names.get("RANK")


def children_of(process: int) -> dict[str | None, int]:
    children = map(int, Path(f"/proc/{process}/task/{process}/children").read_text().split())
    return {rank_of(child): child for child in children}


@pytest.mark.parametrize(("kind", "rank"), [("ddp", "1"), ("fsdp", "0")])
def test_a_killed_process_is_started_again_and_goes_on(flags, tmp_path, kind, rank):
    more = [*flags, "--parallel", kind, "--steps", "300", "--checkpoint-every", "10", "--validate-every", "300"]
    train(2, tmp_path / "whole", *more)
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
    assert losses(tmp_path / "run") == losses(tmp_path / "whole")
    steps = re.findall(r"going on from step (\d+)", (tmp_path / "said").read_text())
    assert len(steps) == 2
    assert {int(step) for step in steps} <= set(range(30, 300, 10))


def test_a_batch_that_cannot_be_shared_is_refused(flags, tmp_path):
    done = subprocess.run(
        torchrun(2, tmp_path / "run", *flags, "--batch-size", "7"), capture_output=True, text=True, timeout=200
    )
    assert done.returncode != 0
    assert "batch_size is 7, which 2 processes cannot share" in done.stderr
