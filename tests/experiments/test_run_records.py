"""The folder of a run is read as it is at this moment: waiting, half written, killed, over, or of another version."""

import csv
import fcntl
import json
import math
import subprocess
import sys
from pathlib import Path

import pytest
from bpe_lm.errors import FileError
from bpe_lm.experiments import runs
from bpe_lm.experiments.attempts import Attempt, log_path, write_attempt
from bpe_lm.experiments.results_table import COLUMNS, write_results
from bpe_lm.experiments.runs import last_record, list_runs, read_run
from bpe_lm.experiments.study import Study, grid, record_works
from bpe_lm.experiments.work import Job
from bpe_lm.training.identity import sources_sha256
from bpe_lm.training.presets import resolve

BASE = resolve("debug")

FIRST = {"kind": "run", "config_sha256": "abc", "time": 0.0, "commit": "f00", "machine": {"processor": "a chip"}}


def train(step: int, loss: float | None = 3.0, **more) -> dict:
    speed = {"tokens_per_second": 100.0 * step}
    return {"kind": "train", "step": step, "tokens": 128 * step, "seconds": float(step), "loss": loss} | speed | more


def valid(step: int, loss: float | None) -> dict:
    return {"kind": "valid", "step": step, "tokens": 128 * step, "seconds": float(step), "loss": loss}


def write_run(folder: Path, *records: dict, result: dict | None = None, config=BASE, **values) -> Path:
    folder.mkdir(parents=True)
    (folder / "config.json").write_text(json.dumps({"format": 2} | config.as_dict() | values))
    (folder / "metrics.jsonl").write_text("".join(json.dumps(record) + "\n" for record in (FIRST, *records)))
    if result is not None:
        (folder / "result.json").write_text(json.dumps({"reason": "finished", "step": 20, "tokens": 2560} | result))
    return folder


def test_a_finished_run_is_what_its_files_say(tmp_path):
    records = [train(1), train(2), valid(2, 2.5), train(3)]
    run = read_run(write_run(tmp_path / "run", *records, result={"loss": 2.5, "step": 3}))
    assert run is not None
    assert (run.name, run.state, run.loss, run.step, run.config) == ("run", "finished", 2.5, 3, BASE)
    assert run.train == [records[0], records[1], records[3]]
    assert run.valid == [records[2]]
    assert run.first == FIRST
    assert run.tokens_per_second == 250.0, "the median without the first"


@pytest.mark.parametrize("reason", ["time", "worse", "diverged", "signal"])
def test_the_state_is_the_reason_of_the_end(tmp_path, reason):
    run = read_run(write_run(tmp_path / "run", train(1), result={"reason": reason, "loss": 2.0}))
    assert run.state == reason
    assert run.loss == (None if reason == "diverged" else 2.0)
    assert run.diverged == (reason == "diverged")


@pytest.mark.parametrize(("sources", "is_other"), [(sources_sha256(), False), ("0", True), (None, False)])
def test_a_run_knows_whether_other_code_trained_it(tmp_path, sources, is_other):
    run = read_run(write_run(tmp_path / "run", result={"identity": {"sources": sources} if sources else {}}))
    assert run.is_of_other_code(sources_sha256()) == is_other


def test_a_folder_without_a_run_is_none(tmp_path):
    assert read_run(tmp_path) is None
    assert read_run(tmp_path / "absent") is None
    (tmp_path / "config.json").write_text('{"architectures": ["Llama"]}')
    assert read_run(tmp_path) is None


@pytest.mark.parametrize("name", ["config.json", "metrics.jsonl", "result.json"])
def test_any_beginning_of_a_file_can_be_read(tmp_path, name):
    path = write_run(tmp_path / "run", train(1), valid(1, 2.5), result={"loss": 2.5}) / name
    whole = path.read_bytes()
    for length in range(0, len(whole), 7):
        path.write_bytes(whole[:length])
        run = read_run(tmp_path / "run")
        assert (run is None) == (name == "config.json"), whole[:length]
        assert name != "result.json" or run.state == "killed", whole[:length]


LINES = [b"\xff\xfe", b"3", b"null", b'{"kind": "train"}', b'{"kind": "train", "step": "x"}']


@pytest.mark.parametrize("line", [*LINES, b'{"kind": "train", "step": 9, "loss": "x"}'])
def test_a_line_that_is_no_record_is_left_out(tmp_path, line):
    folder = write_run(tmp_path / "run", train(1))
    with (folder / "metrics.jsonl").open("ab") as file:
        file.write(line + b"\n" + json.dumps(train(2)).encode())
    assert read_run(folder).step == 2
    assert last_record(folder) == train(2)


@pytest.mark.parametrize("result", [{"step": "x"}, {"loss": "x"}, {"step": None}, {"seconds": [1]}])
def test_a_result_of_other_types_is_left_out(tmp_path, result):
    assert read_run(write_run(tmp_path / "run", train(1), result=result)).state == "killed"


def test_the_last_record_is_found_in_a_long_file(tmp_path):
    folder = write_run(tmp_path / "run", *map(train, range(1, 300)), valid(299, 2.0))
    assert last_record(folder) == train(299)
    assert last_record(tmp_path) is None


def test_keys_that_this_version_does_not_know_are_left_out(tmp_path):
    config = BASE.as_dict()
    config["model"] |= {"later": 1, "num_layers": 7}
    run = read_run(write_run(tmp_path / "run", train(1), **{"model": config["model"], "also": {"later": 2}}))
    assert run.config.model.num_layers == 7


def test_the_config_of_format_1_is_read(tmp_path):
    folder = write_run(tmp_path / "run", train(1))
    content = BASE.as_dict() | {"schedule": {"name": "cosine", "max_learning_rate": 1e-3, "warmup_iters": 3}}
    (folder / "config.json").write_text(json.dumps(content))
    assert read_run(folder).config.batch_size == BASE.batch_size


def test_the_loss_of_null_is_a_record(tmp_path):
    assert read_run(write_run(tmp_path / "run", train(1), train(2, None))).step == 2


# States of runs that are not over


def test_a_run_whose_lock_is_held_is_running(tmp_path):
    folder = write_run(tmp_path / "run", train(1))
    assert read_run(folder).state == "killed"
    with (folder / "lock").open("wb") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        assert read_run(folder).state == "running"
    assert read_run(folder).state == "killed"


def test_a_run_that_is_a_link_has_its_state_from_its_study(tmp_path):
    folder = write_run(tmp_path / "elsewhere", train(1))
    write_attempt(tmp_path / "study", "run", Attempt(state="failed", message="no room"))
    (tmp_path / "study" / "run").symlink_to(folder)
    (tmp_path / "link").symlink_to(tmp_path / "study")
    for study in ("study", "link"):
        run = read_run(tmp_path / study / "run")
        assert (run.name, run.state) == ("run", "failed")


def test_a_run_that_failed_says_so_until_it_goes_on(tmp_path):
    folder = write_run(tmp_path / "a/run", train(1))
    write_attempt(tmp_path, "a/run", Attempt(state="failed", message="no room"))
    run = read_run(folder)
    assert (run.name, run.state) == ("a/run", "failed")
    log_path(tmp_path, "a/run").touch()
    with log_path(tmp_path, "a/run").open("rb") as log:
        fcntl.flock(log, fcntl.LOCK_EX)
        assert read_run(folder).state == "running"
    (folder / "result.json").write_text('{"reason": "finished", "step": 1}')
    assert read_run(folder).state == "finished"


def test_a_work_whose_folder_was_deleted_waits(tmp_path):
    works = Study(BASE, grid({"batch_size": [2, 4]})).trainings()
    record_works(tmp_path, [*works, Job("job", "json")], base=BASE)
    for name, state in ((works[0].name, "finished"), (works[1].name, "signal"), ("job", "finished")):
        write_attempt(tmp_path, name, Attempt(state=state))
    assert [one.state for one in list_runs(tmp_path)] == ["waiting", "signal", "waiting"]


def test_a_job_that_failed_after_an_earlier_result_has_failed(tmp_path):
    record_works(tmp_path, [Job("job", "json"), Job("damaged", "json")])
    for name, text in (("job", '{"result": {}}'), ("damaged", "{")):
        (tmp_path / name).mkdir()
        (tmp_path / name / "result.json").write_text(text)
    write_attempt(tmp_path, "job", Attempt(state="failed", message="no room"))
    assert [(one.state, one.message) for one in list_runs(tmp_path)] == [("failed", "no room"), ("waiting", "")]


def test_a_look_at_a_run_of_a_study_leaves_its_lock_alone_while_its_process_runs(tmp_path, monkeypatch):
    folder = write_run(tmp_path / "run", train(1))
    write_attempt(tmp_path, "run", Attempt())
    looked_at: list[Path] = []
    monkeypatch.setattr(runs, "is_locked", lambda path: looked_at.append(path) or True)
    assert read_run(folder).state == "running"
    assert looked_at == [log_path(tmp_path, "run")], "a process that begins could not have the lock meanwhile"


def test_a_study_lists_its_works_begun_or_not(tmp_path):
    works = Study(BASE, grid({"batch_size": [2, 4, 8]})).trainings()
    record_works(tmp_path, [*works, Job("job", "json"), Job("other", "json")], base=BASE)
    write_run(tmp_path / works[0].name, train(1), valid(1, 2.0))
    write_attempt(tmp_path, works[1].name, Attempt(state="failed", message="no tokens"))
    (tmp_path / "job").mkdir()
    (tmp_path / "job" / "result.json").write_text('{"result": {}}')
    listed = list_runs(tmp_path)
    assert [(one.name, one.state, one.message) for one in listed] == [
        ("batch_size=2", "killed", ""),
        ("batch_size=4", "failed", "no tokens"),
        ("batch_size=8", "waiting", ""),
        ("job", "finished", ""),
        ("other", "waiting", ""),
    ]
    assert listed[2].changes == {"batch_size": 8}


def test_a_folder_without_a_study_lists_its_runs_and_what_differs(tmp_path):
    for size in (2, 4):
        write_run(tmp_path / "some" / str(size), train(1), config=resolve("debug", ["--batch-size", str(size)]))
    assert [(one.name, one.changes) for one in list_runs(tmp_path)] == [
        ("some/2", {"batch_size": 2}),
        ("some/4", {"batch_size": 4}),
    ]
    assert [one.name for one in list_runs(tmp_path / "some" / "2")] == ["2"]


def test_a_folder_without_runs_is_an_error(tmp_path):
    with pytest.raises(FileError, match="no run"):
        list_runs(tmp_path)
    with pytest.raises(FileError, match="there is no folder"):
        list_runs(tmp_path / "absent")


def test_results_tsv_has_a_line_a_run(tmp_path):
    works = Study(BASE, grid({"batch_size": [2, 4, 8]})).trainings()
    record_works(tmp_path, [*works, Job("job", "json")], base=BASE)
    finished = {"loss": 2.0, "best_loss": 1.5, "seconds": 4.0, "step": 20}
    records = train(1), valid(10, 2.5), valid(15, None), valid(20, 2.0)
    write_run(tmp_path / works[0].name, *records, result=finished, config=works[0].config)
    write_run(tmp_path / works[1].name, train(1), result=finished | {"reason": "diverged"}, config=works[1].config)
    write_results(tmp_path)
    with (tmp_path / "results.tsv").open() as file:
        lines = list(csv.DictReader(file, delimiter="\t"))
    assert tuple(lines[0]) == COLUMNS
    assert [line["state"] for line in lines] == ["finished", "diverged", "waiting"]
    assert [line["loss"] for line in lines] == ["2", "", ""]
    assert float(lines[0]["perplexity"]) == pytest.approx(math.exp(2))
    first = {key: lines[0][key] for key in ("best_loss", "tokens", "seed", "commit", "processor", "started")}
    assert first == {
        "best_loss": "1.5",
        "tokens": "2560",
        "seed": "336",
        "commit": "f00",
        "processor": "a chip",
        "started": "1970-01-01T00:00:00Z",
    }
    assert lines[2]["changes"] == "batch_size=8"
    assert [line["losses"] for line in lines] == ["10:2.5 20:2", "", ""]


def test_runs_are_read_without_torch():
    code = "import sys, bpe_lm.experiments.results_table, bpe_lm.experiments.runner; sys.exit('torch' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)
