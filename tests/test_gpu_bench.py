"""benches/gpu.py: it ends with a table, whatever happens to the processes of its variants."""

import json
import signal
import subprocess
import sys
import time
from argparse import Namespace
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
BENCH = ROOT / "benches" / "gpu.py"
sys.path.insert(0, str(BENCH.parent))

from bpe_lm.training import automatic  # noqa: E402
from bpe_lm.training.automatic import automatic_keys  # noqa: E402
from gpu import Bench  # noqa: E402
from gpu_rows.configs import Options, choose_kernels, config_of  # noqa: E402
from gpu_rows.processes import Process  # noqa: E402
from gpu_rows.results import Result, Results  # noqa: E402
from gpu_rows.variants import Variant, all_variants, chosen, shape_of  # noqa: E402

WORKER = """
import json, os, signal, sys, time
name = json.loads(sys.argv[2])["variant"]["name"]
if name == "fails":
    sys.exit("no module named that")
if name == "never compiles":
    time.sleep(100)
print("a line that is no message")
print(json.dumps({"event": "ready", "compile": 2.0, "losses": [5.0], "tokens": 100}), flush=True)
turns = 0
while sys.stdin.readline():
    turns += 1
    if name == "hangs" and turns == 2:
        time.sleep(100)
    if name == "dies" and turns == 2:
        os.kill(os.getpid(), signal.SIGKILL)
    seconds = {"fast": 0.5}.get(name, 1.0)
    print(json.dumps({"event": "done", "seconds": seconds, "steps": 1, "peak": 10**9}), flush=True)
"""
"""A process that says what those of variants say, or fails to."""


def bench_of(names: dict[str, str], folder: Path, monkeypatch, seconds: float) -> Bench:
    """A bench whose variants, by the names of those that they are compared with, are processes as above."""
    script = folder / "worker.py"
    script.write_text(WORKER)
    monkeypatch.setattr("gpu.__file__", str(script))
    monkeypatch.setattr("gpu._PATIENCE", 0.5)
    values = {"device": "cpu", "quick": False, "nanogpt": "", "parallel": 4, "seconds": seconds}
    options = Namespace(**values, begin=time.monotonic())
    variants = [Variant("tinystories", name, "ours", against) for name, against in names.items()]
    return Bench(options, folder, variants, {"card": "none"})


def test_a_process_that_fails_dies_or_hangs_is_a_row_that_says_so(tmp_path, monkeypatch):
    names = {"fast": "slow", "slow": "", "fails": "", "dies": "fast", "hangs": "slow", "never compiles": ""}
    bench = bench_of(names, tmp_path, monkeypatch, 6)
    bench.run()
    rows = {line.split(" |")[0].removeprefix("| "): line for line in bench.results.lines()}
    assert rows["fast"] == "| fast | 500.00 | 200 | - | 2.00 of slow | 1.00 | 2 / 2 | 5.0000 |"
    assert rows["fails"].startswith("| fails | failed: no module named that |")
    assert rows["dies (failed: ended with status -9)"].split(" | ")[1:5] == ["1,000.00", "100", "-", "0.50 of fast"]
    assert "hangs (failed: no answer in 0 s, or before the time was over)" in rows
    assert rows["never compiles"].startswith("| never compiles | not measured: it was not compiled in time |")
    assert time.monotonic() < bench._begin + 7
    written = json.loads((tmp_path / "results.json").read_text())
    assert [len(row["rounds"]) for row in written["rows"]] == [7, 7, 0, 1, 1, 0]


def test_what_is_over_time_is_not_measured(tmp_path, monkeypatch):
    bench = bench_of({"slow": ""}, tmp_path, monkeypatch, 0.001)
    bench.run()
    assert any(line.startswith("| slow | not measured") for line in bench.results.lines())


def test_a_ratio_is_of_the_rounds_that_both_have():
    fast, slow = Variant("large", "fast", "ours", "slow"), Variant("large", "slow", "ours")
    results = Results([fast, slow], {"peak_flops": 1e15}, is_quick=False)
    results[fast].rounds = {0: 1.0, 2: 2.0, 3: 9.0}
    results[slow].rounds = {0: 3.0, 1: 100.0, 2: 2.0}
    assert results.ratio(results[fast]) == 2.0
    assert results.ratio(results[slow]) is None
    assert results.mfu(Result(fast)) is None
    assert results.mfu(results[slow]) == pytest.approx(0.0138, rel=0.05)


def test_the_courses_run_is_computed_from_the_trainers_row():
    variants = chosen(all_variants(has_nanogpt=False), ["tinystories: *"])
    results = Results(variants, {}, is_quick=False)
    assert "computed from the Trainer: not measured" in results.sentences()[0]
    trainer = results[variants[1]]
    trainer.rounds, trainer.cold, trainer.validations, trainer.waits = {0: 0.011}, 40.0, [9.0, 0.1, 0.3], [0.001]
    sentence = results.sentences()[0]
    assert "110 s, without compiling (40 s cold; the first validation took 9.0 s)" in sentence
    assert "20 validations of 100,000 tokens (4.0 s)" in sentence


def test_each_variant_is_compared_with_another_of_its_group():
    for has_nanogpt in (False, True):
        variants = all_variants(has_nanogpt=has_nanogpt)
        keys = {variant.key for variant in variants}
        assert len(keys) == len(variants)
        assert all(not v.against or f"{v.group}: {v.against}" in keys for v in variants)
        assert ("gpt2: nanoGPT's model.py" in keys) == has_nanogpt
    assert all(shape_of(v.group, is_quick=True).tokens == 128 for v in variants if v.group != "attention")


def bench(folder: Path, *more: str) -> subprocess.Popen:
    command = [sys.executable, str(BENCH), "--out", str(folder), "--parallel", "1", *more]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def test_without_a_gpu_each_row_reads_not_measured(tmp_path, monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    process = bench(tmp_path)
    table, progress = process.communicate()
    assert process.returncode == 0, progress
    assert "no NVIDIA GPU" in progress
    rows = json.loads((tmp_path / "results.json").read_text())["rows"]
    assert len(rows) == len(all_variants(has_nanogpt=False))
    assert {row["status"] for row in rows} == {"not measured"}
    assert table.count("| not measured |") == len(rows)
    assert (tmp_path / "results.md").read_text() == table


def test_an_interrupted_bench_prints_its_table(tmp_path):
    process = bench(tmp_path, "--device", "cpu", "--quick")
    time.sleep(1.0)
    process.send_signal(signal.SIGINT)
    table, progress = process.communicate()
    assert process.returncode == 0, progress
    assert "interrupted" in progress
    assert "| bare step | not measured |" in table


def test_toys_are_measured_on_a_cpu(tmp_path):
    """Also the Trainer by its records, and a program that is not what it should be."""
    (tmp_path / "model.py").write_text("raise ValueError('not nanoGPT')\n")
    rows = ("tinystories: bare step", "tinystories: the Trainer", "gpt2: nanoGPT*")
    only = [word for row in rows for word in ("--only", row)]
    process = bench(tmp_path, "--device", "cpu", "--quick", "--nanogpt", str(tmp_path / "model.py"), *only)
    table, progress = process.communicate()
    assert process.returncode == 0, progress
    assert "failed: ValueError: not nanoGPT" in table
    found = {row["variant"]: row for row in json.loads((tmp_path / "results.json").read_text())["rows"]}
    assert found["the Trainer"]["ratio"] > 0
    assert len(found["the Trainer"]["validations"]) == 2
    assert all(4.5 < loss < 7 for loss in found["bare step"]["losses"])
    assert len(found["bare step"]["losses"]) == 3


def test_a_process_is_ended_with_those_that_it_started(tmp_path):
    script = tmp_path / "parent.py"
    script.write_text(
        "import subprocess, sys, json, time\n"
        "child = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(100)'])\n"
        "print(json.dumps({'event': 'ready', 'child': child.pid}), flush=True)\n"
        "time.sleep(100)\n"
    )
    process = Process(script, "{}", tmp_path / "log", {})
    event = process.event(time.monotonic() + 20)
    assert event is not None
    process.end()
    deadline = time.monotonic() + 5
    status = Path(f"/proc/{event['child']}/status")
    while status.exists() and "State:\tZ" not in status.read_text() and time.monotonic() < deadline:
        time.sleep(0.01)
    assert not status.exists() or "State:\tZ" in status.read_text()


def test_kernels_are_chosen_before_all_variants_and_read_by_each(tmp_path, monkeypatch):
    variants = [variant for variant in all_variants(has_nanogpt=True) if variant.kind != "attention"]
    options = Options("cpu", is_quick=True, nanogpt="", folder=str(tmp_path / "runs"))
    choose_kernels(variants, options)
    monkeypatch.setattr(automatic, "_kernel", lambda *_: pytest.fail("a kernel was chosen beside other work"))
    configs = {variant.key: config_of(variant, options) for variant in variants}
    assert all(automatic_keys(config) == [] for config in configs.values())
    for group in ("gpt2", "tinystories"):
        bare = configs[f"{group}: bare step"]
        assert configs[f"{group}: the Trainer"] == configs[f"{group}: as a CUDA graph"] == bare
        assert configs[f"{group}: float32 residual stream"].residual == "float32"
    assert configs["tinystories: deterministic"].deterministic
