"""Trackers: the records of a run go to each, a failing one never stops the run, and a resumed run continues there."""

import json
import sys
import types
import warnings
from collections.abc import Callable
from functools import partial
from math import nan
from pathlib import Path

import pytest
from bpe_lm.training import trainer as training
from bpe_lm.training.config import TENSORBOARD, TrainConfig, override
from bpe_lm.training.presets import resolve
from bpe_lm.training.run_log import read_records
from bpe_lm.training.trackers import TrackedRun, Trackers
from bpe_lm.training.trainer import Trainer

ALL = {"tensorboard": True, "wandb_project": "stories", "trackio_project": "stories"}


@pytest.fixture(autouse=True)
def no_measuring(monkeypatch):
    monkeypatch.setattr(training, "peak_flops", lambda device, dtype: None)


@pytest.fixture
def config(data) -> TrainConfig:
    files = {"train": str(data / "train.bin"), "valid": str(data / "valid.bin"), "tokenizer": str(data / "tokenizer")}
    changes = {"steps": 4, "checkpoint_every": 2, "validate_every": 2, "validation_tokens": 160, "device": "cpu"}
    return override(resolve("debug"), {"data": files, "schedule": {"shape": "constant", "warmup": 1}} | changes)


def run(config: TrainConfig, folder: Path, **options) -> training.TrainResult:
    with Trainer(config, folder, **options) as trainer:
        return trainer.run()


def recorded(folder: Path) -> dict[int, float]:
    return {r["step"]: r["loss"] for r in read_records(folder / "metrics.jsonl") if r["kind"] == "train"}


class Fakes:
    """The three packages, as far as they are called. Each records its runs and their numbers by step."""

    def __init__(self, fails_at: str = ""):
        self.fails_at = fails_at
        self.started: dict[str, list[dict]] = {"tensorboard": [], "wandb": [], "trackio": []}
        self.losses: dict[str, dict[int, float]] = {name: {} for name in self.started}
        self.closed: list[str] = []

    def _attempt(self, what: str) -> None:
        if what == self.fails_at:
            raise ConnectionError(f"no {what}")

    def start(self, name: str, /, **options) -> "Fakes.Run":
        self._attempt("start")
        self.started[name].append(options)
        print(f"{name} says hello")
        return Fakes.Run(self, name)

    class Run:
        def __init__(self, fakes: "Fakes", name: str):
            self.fakes, self.name = fakes, name

        def log(self, values, step):
            self.fakes._attempt("write")
            if "train/loss" in values:
                self.fakes.losses[self.name][step] = values["train/loss"]
            assert all(type(value) in (int, float) for value in values.values())

        def add_scalar(self, name, value, step):
            self.log({name: value}, step)

        def flush(self):
            pass

        def finish(self):
            self.fakes._attempt("close")
            self.fakes.closed.append(self.name)

        close = finish


@pytest.fixture
def fakes(monkeypatch) -> Callable[..., Fakes]:
    def install(fails_at: str = "") -> Fakes:
        found = Fakes(fails_at)

        def summary_writer(log_dir, purge_step):
            return found.start("tensorboard", log_dir=log_dir, purge_step=purge_step)

        def module(name, **content):
            made = types.ModuleType(name)
            vars(made).update(content)
            monkeypatch.setitem(sys.modules, name, None if fails_at == "import" else made)

        module("torch.utils.tensorboard", SummaryWriter=summary_writer)
        for name in ("wandb", "trackio"):
            module(name, init=partial(found.start, name), finish=Fakes.Run(found, name).finish)
        return found

    return install


def test_each_tracker_gets_the_records(config, tmp_path, fakes, capsys):
    found = fakes()
    run(override(config, ALL), tmp_path / "run")
    losses = recorded(tmp_path / "run")
    assert len(losses) == 4
    assert found.losses == dict.fromkeys(("tensorboard", "wandb", "trackio"), losses)
    assert sorted(found.closed) == ["tensorboard", "trackio", "wandb"]
    assert found.started["tensorboard"][0]["log_dir"] == str(tmp_path / "run" / TENSORBOARD)
    assert found.started["wandb"][0]["project"] == found.started["trackio"][0]["project"] == "stories"
    assert "trackio says hello" not in capsys.readouterr().out, "stdout belongs to the result of a command"


def test_no_tracker_is_started_without_a_key(config, tmp_path, fakes):
    found = fakes("start")
    run(config, tmp_path / "run")
    assert not any(found.started.values())
    assert not (tmp_path / "run" / "trackers.json").exists()


@pytest.mark.parametrize("fails_at", ["import", "start", "write", "close"])
def test_a_tracker_that_fails_gives_one_warning_and_stops_no_run(config, tmp_path, fakes, fails_at):
    found = fakes(fails_at)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        assert run(override(config, ALL), tmp_path / "run").reason == "finished"
    said = [str(warning.message) for warning in caught]
    assert len(said) == 3, said
    for name in ("TensorBoard", "Weights & Biases", "trackio"):
        assert sum(message.startswith(name) for message in said) == 1, said
    assert len(recorded(tmp_path / "run")) == 4
    if fails_at == "write":
        assert sorted(found.closed) == ["tensorboard", "trackio", "wandb"], "a tracker that failed is closed"


def test_the_others_go_on_when_one_tracker_fails(config, tmp_path, fakes, monkeypatch):
    found = fakes()
    monkeypatch.setitem(sys.modules, "wandb", None)
    with pytest.warns(UserWarning, match="Weights & Biases did not start"):
        run(override(config, ALL), tmp_path / "run")
    assert list(found.losses["trackio"]) == list(found.losses["tensorboard"]) == [1, 2, 3, 4]


def test_a_resumed_run_continues_the_runs_of_its_trackers_and_a_new_run_does_not(config, tmp_path, fakes):
    found = fakes()
    config = override(config, ALL)
    run(config, tmp_path / "run")
    run(override(config, {"steps": 6}), tmp_path / "run", resume=True)
    run(config, tmp_path / "run", force=True)
    first, resumed, forced = found.started["wandb"]
    assert first["id"] == resumed["id"] != forced["id"]
    assert resumed["resume"] == "allow"
    first, resumed, forced = found.started["trackio"]
    assert first["name"] == resumed["name"] != forced["name"]
    assert first["name"].startswith("run-")
    assert resumed["resume"] == "allow"
    assert [options["purge_step"] for options in found.started["tensorboard"]] == [1, 5, 1]
    assert list(found.losses["trackio"]) == [1, 2, 3, 4, 5, 6]


def test_a_run_of_an_earlier_version_continues_at_weights_and_biases(config, tmp_path, fakes):
    found = fakes()
    run(config, tmp_path / "run")
    (tmp_path / "run" / "wandb.json").write_text(json.dumps({"id": "of-old"}))
    run(override(config, {"steps": 6, "wandb_project": "stories"}), tmp_path / "run", resume=True)
    assert found.started["wandb"][0]["id"] == "of-old"


def test_a_number_that_is_not_finite_is_left_out(config, tmp_path, fakes):
    fakes()
    trackers = Trackers(TrackedRun(override(config, ALL), tmp_path, "id", 0))
    trackers.write({"kind": "skip", "step": 1, "loss": nan, "gradient_norm": None, "mfu": 0.5})
    trackers.close()


def test_tensorboard_itself_reads_the_losses_of_a_run_that_was_resumed(config, tmp_path):
    pytest.importorskip("tensorboard")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    folder = tmp_path / "run"
    config = override(config, {"tensorboard": True})

    with Trainer(config, folder) as trainer:
        step = trainer._train_step

        def killed(x, y):
            if trainer.step == 3:
                raise SystemExit
            return step(x, y)

        trainer._train_step = killed
        with pytest.raises(SystemExit):
            trainer.run()
    run(config, folder, resume=True)
    assert len(list((folder / TENSORBOARD).iterdir())) == 2
    shown = EventAccumulator(str(folder / TENSORBOARD)).Reload()
    losses = recorded(folder)
    events = shown.Scalars("train/loss")
    assert [event.step for event in events] == [1, 2, 3, 4], "step 3 was done twice, and is shown once"
    assert [event.value for event in events] == pytest.approx(list(losses.values()))
    assert [event.step for event in shown.Scalars("valid/loss")] == [2, 4]
    run(config, folder, force=True)
    assert len(list((folder / TENSORBOARD).iterdir())) == 1, "a run that replaces another has its own events only"


def test_trackio_itself_has_one_run_after_a_resume(config, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("TRACKIO_DIR", str(tmp_path / "trackio"))
    pytest.importorskip("trackio")
    config = override(config, {"trackio_project": "stories", "steps": 2})
    run(config, tmp_path / "run")
    run(override(config, {"steps": 4}), tmp_path / "run", resume=True)
    assert capsys.readouterr().out == ""
    from trackio import Api

    (found,) = Api().runs("stories")
    assert found.name.startswith("run-")
