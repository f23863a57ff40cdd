"""The runner does each work once, whatever kills it, and a work that fails stops no other."""

import fcntl
import json
import os
import signal
import subprocess
import sys
import threading
import time
from dataclasses import replace
from pathlib import Path

import pytest
from bpe_lm.errors import ConfigError, OutputBusy, OutputExists
from bpe_lm.experiments import identities, runner
from bpe_lm.experiments.attempts import Attempt, is_locked, log_path, read_attempt, write_attempt
from bpe_lm.experiments.places import places
from bpe_lm.experiments.planning import plan_all
from bpe_lm.experiments.predict import Speed, _in_parallel, checkpoint_bytes, predict, run_seconds, shape_of
from bpe_lm.experiments.runner import printed_object, run_all
from bpe_lm.experiments.runs import last_record, list_runs, read_run
from bpe_lm.experiments.study import Study, grid
from bpe_lm.experiments.work import Job, Training, measurement
from bpe_lm.training.config import TrainConfig, override
from bpe_lm.training.presets import resolve
from bpe_lm.training.step_memory import LIBRARIES

MODULE = '''
"""A measurement that leaves a line for each time that it runs."""
import json, os, sys, time
name, behaviour = sys.argv[1:3]
with open("ran.txt", "a") as file:
    file.write(f"{name} {os.getpid()} {os.environ.get('OMP_NUM_THREADS')} {time.time()}\\n")
if behaviour == "fail":
    sys.exit("error: the reason")
if behaviour == "write":
    open("output", "w").write("a part")
    if os.path.exists("kill"):
        os.kill(os.getpid(), 9)
if behaviour == "silent":
    sys.exit()
if behaviour == "die":
    os.kill(os.getpid(), 9)
if behaviour == "odd":
    os.kill(os.getpid(), 40)
if behaviour == "wait":
    time.sleep(60)
if behaviour == "pair":
    while len(open("ran.txt").readlines()) < 2:
        time.sleep(0.01)
print("some words")
print(json.dumps({"name": name, "value": float("nan")}))
'''


@pytest.fixture
def work_folder(tmp_path, monkeypatch) -> Path:
    """The folder in which works run, with a module that they may be."""
    (tmp_path / "light_work.py").write_text(MODULE)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def light(name: str, behaviour: str = "", **more) -> Job:
    return Job(name, "light_work", (name, behaviour), **{"sources": ()} | more)


def ran() -> list[str]:
    """The names of the works that ran, in their order."""
    path = Path("ran.txt")
    return [line.split()[0] for line in path.read_text().splitlines()] if path.exists() else []


def result_of(folder: Path) -> dict:
    return json.loads((folder / "result.json").read_text())


def wait_until(is_so, seconds: float = 120) -> None:
    end = time.monotonic() + seconds
    while not is_so():
        assert time.monotonic() < end, "it took too long"
        time.sleep(0.01)


# Works of any kind


def test_each_work_runs_once(work_folder):
    works = [light("a"), light("b/c")]
    report = run_all(works, Path("out"))
    assert [(outcome.name, outcome.state) for outcome in report.outcomes] == [("a", "finished"), ("b/c", "finished")]
    result = result_of(Path("out/b/c"))
    assert result["result"] == {"name": "b/c", "value": None}, "JSON has no NaN"
    assert result.keys() >= {"identity", "seconds", "machine", "commit", "time"}
    again = run_all([*works, light("d")], Path("out"))
    assert [outcome.was_done for outcome in again.outcomes] == [True, True, False]
    assert ran() == ["a", "b/c", "d"]


def test_a_job_whose_output_was_deleted_runs_again(work_folder):
    output = work_folder / "ran.txt"  # Every light work writes it.
    run_all([light("a", outputs=(output,))], Path("out"))
    assert run_all([light("a", outputs=(output,))], Path("out")).outcomes[0].was_done
    output.unlink()
    assert not run_all([light("a", outputs=(output,))], Path("out")).outcomes[0].was_done
    assert ran() == ["a"]


def test_a_job_that_was_killed_while_it_wrote_its_output_again_is_not_done(work_folder):
    job = light("a", "write", outputs=(work_folder / "output",))
    run_all([job], Path("out"))
    Path("output").unlink()
    Path("kill").touch()
    assert run_all([job], Path("out")).failed
    assert Path("output").exists()
    assert plan_all([job], Path("out")) == ["begins"]
    Path("kill").unlink()
    assert run_all([job], Path("out")).done
    assert ran() == ["a", "a", "a"]


def test_a_failure_is_recorded_with_its_reason_and_stops_no_other(work_folder):
    said: list[str] = []
    works = [
        light("a", "fail"),
        light("b", "silent"),
        light("c", "die"),
        light("d"),
        Job("e", "no_such_module"),
        Job("f", "no.such.one"),
        light("g", "odd"),
    ]
    report = run_all(works, Path("out"), say=said.append)
    assert [outcome.name for outcome in report.done] == ["d"]
    messages = {outcome.name: outcome.message for outcome in report.failed}
    assert messages.keys() == {"a", "b", "c", "e", "f", "g"}
    assert messages["a"] == "the reason"
    assert "printed no JSON object" in messages["b"]
    assert "SIGKILL" in messages["c"]
    assert "no_such_module" in messages["e"]
    assert "no.such.one" in messages["f"]
    assert messages["g"] == "killed by signal 40", "a signal without a name"
    assert "a: failed: the reason" in said
    assert {one.name: one.message for one in list_runs(Path("out")) if one.message} == messages
    assert not Path("out/a/result.json").exists()
    run_all([light("a", "fail")], Path("out"))
    assert ran() == ["a", "b", "c", "d", "g", "a"], "a failed work is tried again"


def test_a_missing_input_fails_before_anything_runs(work_folder):
    job = light("a", inputs=(Path("text"),))
    report = run_all([job], Path("out"))
    assert "reads text, which cannot be read" in report.failed[0].message
    Path("text").write_text("here")
    assert run_all([job], Path("out")).done
    assert ran() == ["a"]


def test_what_is_in_a_folder_keeps_its_identity_when_it_cannot_go_on(work_folder):
    Path("text").write_text("here")
    job = light("a", inputs=(Path("text"),))
    run_all([job], Path("out"))
    Path("out/a/result.json").rename("out/a/config.json")  # As if it had been killed.
    Path("text").rename("elsewhere")
    assert run_all([job], Path("out")).failed
    Path("elsewhere").rename("text")
    assert plan_all([job], Path("out")) == ["goes on"]
    assert run_all([job], Path("out")).done
    assert not list(Path("out").glob("*.old-*"))


def test_no_study_is_put_into_a_run(work_folder):
    Path("out").mkdir()
    Path("out/config.json").touch()
    with pytest.raises(OutputExists, match="out is a run itself"):
        run_all([light("a")], Path("out"))
    assert os.listdir("out") == ["config.json"]


@pytest.mark.parametrize("changes", ["input", "command", "code"])
def test_a_work_of_another_identity_is_done_anew_and_the_old_folder_stays(work_folder, changes):
    Path("text").write_text("old")
    job = light("a", inputs=(Path("text"),))
    run_all([job], Path("out"))
    old = result_of(Path("out/a"))
    if changes == "input":
        Path("text").write_text("new")
    elif changes == "code":
        Path("light_work.py").write_text(MODULE + "\n")
    else:
        job = replace(job, arguments=("a", "other"))
    assert plan_all([job], Path("out")) == ["begins anew"]
    assert plan_all([job], Path("out"), keep_old_code=True) == ["done" if changes == "code" else "begins anew"]
    said: list[str] = []
    run_all([job], Path("out"), keep_old_code=True)
    assert len(ran()) == (1 if changes == "code" else 2)
    run_all([job], Path("out"), say=said.append)
    assert ran() == ["a", "a"]
    assert result_of(Path("out/a.old-1")) == old
    assert not Path("out/a.old-2").exists()
    assert changes != "code" or ("code" in said[0] and "a.old-1" in said[0])


@pytest.mark.parametrize("name", ["out", "é\"'\\ [a] $x", "\udcff"])
def test_a_study_that_is_moved_is_not_done_again(work_folder, name):
    def job(folder: str) -> Job:
        path = Path(folder).resolve() / "x"
        return Job("a", "light_work", ("a", "", str(path), json.dumps({"paths": [str(path), str(path)]})), sources=())

    run_all([job(name)], Path(name))
    Path(name).rename("moved")
    assert run_all([job("moved")], Path("moved")).outcomes[0].was_done


@pytest.mark.parametrize("folder", ["a", "out"])
def test_the_identity_of_a_command_has_what_only_resembles_the_folder(tmp_path, monkeypatch, folder):
    monkeypatch.chdir(tmp_path)

    def identity(argument: str) -> str:
        return identities.identity_of(Job("x", "json", (argument,), sources=()), Path(folder))["command"]

    inside = identity(".")
    assert identity(folder) == identity(str(tmp_path / folder)) == inside
    beside = [str(tmp_path / f"{folder}2"), f"{folder}2", f"x{folder}", f"x/{folder}", f"the {folder}", "data"]
    assert len({inside, *map(identity, beside)}) == len(beside) + 1
    assert identity("a, " + folder) != identity("a, .")


def test_two_works_run_at_once_with_half_of_the_threads(work_folder, monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "6")
    report = run_all([light("a", "pair"), light("b", "pair")], Path("out"), jobs=2)
    assert len(report.done) == 2, "each waits for the other"
    assert [line.split()[2] for line in Path("ran.txt").read_text().splitlines()] == ["3", "3"]


def test_each_process_sees_one_gpu_of_those_that_the_runner_sees(monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "4")
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    assert places(1, ()) == [{}]
    gpus = [place["CUDA_VISIBLE_DEVICES"] for place in places(3, ("cuda:0", "cuda:2"))]
    assert gpus == ["0", "2"]
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "5,GPU-7,9")
    gpus = [place["CUDA_VISIBLE_DEVICES"] for place in places(2, ("cuda:1", "cuda:2"))]
    assert gpus == ["GPU-7", "9"]
    assert {place["OMP_NUM_THREADS"] for place in places(2, ("cuda:1", "cuda:2"))} == {"2"}


def test_two_runners_do_not_share_a_folder(work_folder):
    Path("out").mkdir()
    with Path("out/.runner.lock").open("wb") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with pytest.raises(OutputBusy, match="another process works in out"):
            run_all([light("a")], Path("out"))
    assert not ran()


def test_works_of_the_same_name_are_refused(work_folder):
    with pytest.raises(ConfigError, match="two works have the name a"):
        run_all([light("a"), light("a", "other")], Path("out"))


@pytest.mark.parametrize("path", ["out/logs/a.log", "out/a/lock"])
def test_another_process_that_works_on_it_is_waited_for(work_folder, path):
    said: list[str] = []
    Path(path).parent.mkdir(parents=True)
    with Path(path).open("ab") as log:
        fcntl.flock(log, fcntl.LOCK_EX)

        def say(line: str) -> None:
            said.append(line)
            if line.startswith("b: measured"):
                assert ran() == ["b"]
                fcntl.flock(log, fcntl.LOCK_UN)

        report = run_all([light("a"), light("b")], Path("out"), say=say)
    assert len(report.done) == 2
    assert said[0] == "a: waiting for a process that still works on it"


def interrupted_by(*numbers: int) -> threading.Thread:
    """Send signals to this process after a work has begun."""

    def send() -> None:
        wait_until(ran)
        for number in numbers:
            os.kill(os.getpid(), number)
            time.sleep(0.2)

    thread = threading.Thread(target=send)
    thread.start()
    return thread


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_stops_what_runs_and_begins_no_more(work_folder, number):
    thread = interrupted_by(number)
    report = run_all([light("a", "wait"), light("b")], Path("out"))
    thread.join()
    assert report.signal == number
    assert [outcome.state for outcome in report.outcomes] == ["signal", "waiting"]
    assert ran() == ["a"]


def test_a_second_signal_kills(work_folder, monkeypatch):
    monkeypatch.setattr(runner, "_YOUNG", 0.0)  # The first signal lets even a new process save a checkpoint.
    stubborn = "import signal, time\nsignal.signal(2, signal.SIG_IGN)\nopen('ran.txt', 'w').write('a')\ntime.sleep(60)"
    Path("stubborn.py").write_text(stubborn)
    thread = interrupted_by(signal.SIGINT, signal.SIGINT)
    with pytest.raises(KeyboardInterrupt):
        run_all([Job("a", "stubborn", sources=())], Path("out"))
    thread.join()
    assert not is_locked(log_path(Path("out"), "a"))


def test_a_killed_runner_leaves_no_process_behind(work_folder):
    code = "import sys; from pathlib import Path; from bpe_lm.experiments.runner import run_all; "
    code += "from bpe_lm.experiments.work import Job; run_all([Job('a', 'light_work', ('a', 'wait'))], Path('out'))"
    process = subprocess.Popen([sys.executable, "-c", code])
    wait_until(ran)
    assert list_runs(Path("out"))[0].state == "running"
    process.kill()
    process.wait()
    wait_until(lambda: not is_locked(log_path(Path("out"), "a")), 20)
    assert list_runs(Path("out"))[0].state == "killed"


@pytest.mark.parametrize(
    ("printed", "found"),
    [
        (b'{"a": 1}', {"a": 1}),
        (b'{\n  "a": 1\n}\n', {"a": 1}),
        (b'words\n{"a": 1}\n', {"a": 1}),
        (b'words\n{\n  "a": {\n    "b": 1\n  }\n}\n', {"a": {"b": 1}}),
        (b"", None),
        (b"[1]", None),
        (b'{"a": 1}\nwords', None),
        (b"\xff", None),
    ],
)
def test_the_last_object_of_what_a_job_prints_is_its_result(printed, found):
    assert printed_object(printed) == found


def test_a_measurement_is_the_result_of_a_function(work_folder):
    Path("measures.py").write_text("def measure(**values):\n    return {'sum': sum(values.values())}\n")
    Path("refuses.py").write_text(
        "from bpe_lm.errors import FileError\ndef measure():\n    raise FileError('no room')\n"
    )
    sums = measurement("a", "measures", {"x": 1, "y": 2}, sources=())
    report = run_all([sums, measurement("b", "refuses", {}, sources=())], Path("out"))
    assert result_of(Path("out/a"))["result"] == {"sum": 3}
    assert report.failed[0].message == "no room"


# Training runs


@pytest.fixture
def base(data, monkeypatch) -> TrainConfig:
    """A run of few steps. Its process has one thread, as threads that wait for each other slow down a busy machine."""
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    files = {"train": str(data / "train.bin"), "valid": str(data / "valid.bin"), "tokenizer": str(data / "tokenizer")}
    return override(resolve("debug"), {"data": files, "device": "cpu", "validation_tokens": 160})


def test_a_sweep_goes_on_after_any_signal_and_repeats_no_run(base, tmp_path):
    """A short run and a long one by a command, stopped by Ctrl-C, then by a kill of the runner, then to the end."""
    folder, rare = tmp_path / "out", {"checkpoint_every": 1000, "validate_every": 1000, "log_every": 5}
    config = override(base, rare | {"model": {"d_model": 64}})
    (tmp_path / "base.json").write_text(json.dumps({"format": 2} | config.as_dict()))
    command = [sys.executable, "-m", "bpe_lm", "sweep", str(tmp_path / "base.json"), "--out", str(folder)]
    command += ["--grid", "steps=15,400", "--json"]
    short, long = folder / "steps=15", folder / "steps=400"

    def step(run: Path) -> int:
        return (last_record(run) or {"step": 0})["step"]

    def begun() -> subprocess.Popen[str]:
        """Start the command, and wait until the long run is under way."""
        before = step(long)
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        wait_until(lambda: step(long) > before + 5)
        return process

    process = begun()
    process.send_signal(signal.SIGINT)
    out, err = process.communicate()
    assert process.returncode == 130, err
    assert [run["state"] for run in json.loads(out)["runs"]] == ["finished", "signal"]
    assert "Traceback" not in err + log_path(folder, long.name).read_text()
    finished = {path: path.read_bytes() for path in short.rglob("*") if path.is_file()}

    process = begun()
    process.kill()
    process.communicate()
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    states = [(run["state"], run["step"]) for run in json.loads(done.stdout)["runs"]]
    assert states == [("finished", 15), ("finished", 400)]
    assert {path: path.read_bytes() for path in short.rglob("*") if path.is_file()} == finished
    log = log_path(folder, long.name).read_text()
    assert log.count("--- ") == 3
    steps = [record["step"] for record in read_run(long).train]
    assert steps == sorted(set(steps))
    assert not list(folder.glob("*.old-*"))
    assert (folder / "results.tsv").read_text().count("\tfinished\t") == 2


def test_a_run_that_diverges_or_fails_is_a_result_and_no_obstacle(base, tmp_path):
    rate = {"schedule": {"max_learning_rate": 1e30}, "optimizer": {"max_l2_norm": 0}}
    works = [
        Training("fails", override(base, {"data": {"train": str(tmp_path / "absent.bin")}})),
        Training("diverges", override(base, rate)),
        Training("other", override(base, {"steps": 5, "device": "cuda:77"})),
        Training("trains", override(base, {"checkpoint_every": 5, "validate_every": 10})),
    ]
    report = run_all(works, tmp_path / "out", jobs=2)
    assert [outcome.state for outcome in report.outcomes] == ["failed", "diverged", "failed", "finished"]
    assert "absent.bin" in report.outcomes[0].message
    assert "device is 'cuda:77'" in report.outcomes[2].message
    assert [one.state for one in list_runs(tmp_path / "out")] == ["failed", "diverged", "failed", "finished"]
    assert read_run(tmp_path / "out" / "diverges").loss is None
    assert run_all(works[1:2], tmp_path / "out").outcomes[0].was_done
    there = sum(path.stat().st_size for path in (tmp_path / "out" / "trains").rglob("*.safetensors"))
    # Three checkpoints of weights and two moments, one of them only while it is written; and the best weights.
    predicted = checkpoint_bytes(works[3].config) * 7 / 10
    assert 0.95 < there / predicted < 1.1


def test_a_run_that_goes_on_with_other_code_remembers_the_code_of_its_first_steps(base, tmp_path, monkeypatch):
    def ended_at_once(module, arguments, log, stdout, environment) -> subprocess.Popen[bytes]:
        """Start a process that ends before it changes anything."""
        return subprocess.Popen([sys.executable, "-c", "raise SystemExit(1)"])

    monkeypatch.setattr(runner, "start", ended_at_once)
    work = Training("a", base)
    began = identities.identity_of(work, tmp_path) | {"sources": "old"}
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "config.json").write_text(json.dumps({"format": 2} | work.config.as_dict()))
    write_attempt(tmp_path, "a", Attempt(began))
    assert plan_all([work], tmp_path, keep_old_code=True) == ["goes on"]
    assert run_all([work], tmp_path, keep_old_code=True).failed
    assert read_attempt(tmp_path, "a").identity == began
    assert plan_all([work], tmp_path) == ["begins anew"]


def test_the_identity_of_a_run_is_its_config_tokens_and_code(base, tmp_path, data, monkeypatch):
    plan = identities.identity_of(Training("a", base), tmp_path)

    def differences(config: TrainConfig) -> list[str]:
        return identities.differences(plan, identities.identity_of(Training("b", config), tmp_path))

    assert differences(override(base, {"log_every": 3, "checkpoint_every": 3})) == []
    assert differences(override(base, {"seed": 3})) == ["config"]
    assert differences(override(base, {"data": {"train": base.data.valid}})) == ["data"]
    for suffix in ("", ".json"):
        (tmp_path / f"moved.bin{suffix}").write_bytes(Path(f"{base.data.train}{suffix}").read_bytes())
    assert differences(override(base, {"data": {"train": str(tmp_path / "moved.bin")}})) == []
    assert identities.differences(None, plan) == list(plan)


def test_the_identity_of_a_job_has_the_code_that_it_names(monkeypatch, tmp_path):
    names = ("tokenizer", "kernels", "model")
    before = {name: identities.sources_sha256([name]) for name in names}
    assert len(set(before.values())) == len(names)
    copy = tmp_path / "library.so"
    copy.write_bytes(b"other code")
    monkeypatch.setattr(identities._core, "__file__", str(copy))
    changed = {name for name in names if identities.sources_sha256([name]) != before[name]}
    assert changed == {"tokenizer"}
    monkeypatch.setattr(identities._core, "kernel_sources_sha256", lambda: "other")
    changed = {name for name in names if identities.sources_sha256([name]) != before[name]}
    assert changed == {"tokenizer", "kernels"}


# Predictions


def test_a_prediction_is_measured_and_changes_nothing(base, tmp_path):
    works = Study(base, grid({"schedule.max_learning_rate": [1e-3, 1e-2], "steps": [1000, 2000]})).trainings()
    said: list[str] = []
    predicted = predict(works, tmp_path / "out", say=said.append)
    assert not (tmp_path / "out").exists()
    assert len(said) == 1, "a shape is measured once"
    times = [work.seconds for work in predicted.works]
    assert times[0] == times[2]
    assert 0 < times[0] < times[1] == times[3] < 2 * times[0]
    assert predicted.seconds == pytest.approx(sum(times))
    assert [work.standing for work in predicted.works] == ["begins"] * 4
    assert all(work.memory > LIBRARIES for work in predicted.works)


def test_a_shape_that_cannot_be_measured_has_no_time(base, tmp_path):
    works = [Training("a", override(base, {"data": {"train": str(tmp_path / "absent.bin")}}))]
    predicted = predict(works, tmp_path / "out")
    assert predicted.works[0].seconds is None
    assert "absent.bin" in predicted.works[0].message


def test_a_run_takes_its_steps_its_validations_and_its_start(base):
    config = override(base, {"steps": 100, "validate_every": 30, "validation_tokens": 3 * base.tokens_per_step})
    assert run_seconds(config, Speed(2.0, 5.0)) == pytest.approx(5 + 200 + 4 * 2)
    assert run_seconds(override(config, {"max_time": 50}), Speed(2.0, 5.0)) == pytest.approx(5 + 50 + 4 * 2)
    assert shape_of(config) == shape_of(override(config, {"seed": 4, "steps": 7, "schedule": {"warmup": 3}}))
    assert shape_of(override(config, {"residual": "bfloat16"})) != shape_of(override(config, {"residual": "float32"}))
    assert shape_of(config) != shape_of(override(config, {"batch_size": 4}))


def test_processes_take_the_next_work_when_they_have_ended_one():
    assert _in_parallel([3, 1, 1, 1], 2) == 3
    assert _in_parallel([1, 1, 3], 2) == 4
    assert _in_parallel([], 2) == 0
