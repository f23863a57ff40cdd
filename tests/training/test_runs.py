"""A run's folder: nothing in it is lost, it says how the run ended, and it opens anywhere, later."""

import json
import os
import re
import shutil
import signal
import warnings
from dataclasses import replace
from pathlib import Path

import bpe_lm
import pytest
import torch
from bpe_lm.cli.main import main
from bpe_lm.cli.tables import print_json
from bpe_lm.errors import CheckpointError, ConfigError, FileError, OutputExists, TokenFileError, TrainingDiverged
from bpe_lm.export.load import load_model
from bpe_lm.model.flops import training_flops_per_token
from bpe_lm.tokenizer import token_file
from bpe_lm.tokenizer.token_file import Verification
from bpe_lm.training import run_checkpoint as checkpoint
from bpe_lm.training import run_folder
from bpe_lm.training import trainer as training
from bpe_lm.training.config import TrainConfig, override
from bpe_lm.training.devices import peak_of
from bpe_lm.training.evaluate import Evaluation
from bpe_lm.training.presets import resolve
from bpe_lm.training.run_checkpoint import find_checkpoints
from bpe_lm.training.run_folder import Chosen, RunFolder, TrainResult
from bpe_lm.training.run_log import read_records
from bpe_lm.training.trainer import Trainer
from safetensors.torch import load_file

END_OF_TEXT = "<|endoftext|>"


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


def flags(config: TrainConfig) -> list[str]:
    values = {"steps": config.steps, "checkpoint-every": 2, "validate-every": 2, "validation-tokens": 160}
    values |= {f"data.{name}": getattr(config.data, name) for name in ("train", "valid", "tokenizer")}
    values |= {"schedule.shape": config.schedule.shape, "schedule.warmup": config.schedule.warmup, "device": "cpu"}
    return ["--quiet", *(str(part) for name, value in values.items() for part in (f"--{name}", value))]


def content(folder: Path) -> dict[Path, tuple[bytes, int]]:
    return {path: (path.read_bytes(), path.stat().st_mtime_ns) for path in folder.rglob("*") if path.is_file()}


def weights(folder: Path) -> dict[str, torch.Tensor]:
    return load_file(find_checkpoints(folder / "checkpoints")[0] / "model.safetensors")


def same(a: Path, b: Path) -> bool:
    return all(torch.equal(weight, weights(b)[name]) for name, weight in weights(a).items())


def losses(folder: Path) -> dict[int, float]:
    return {r["step"]: r["loss"] for r in read_records(folder / "metrics.jsonl") if r["kind"] == "train"}


def result_of(folder: Path) -> dict:
    return strict_json((folder / "result.json").read_text())


def strict_json(text: str):
    def refuse(constant: str):
        raise AssertionError(f"{constant} is not JSON")

    return json.loads(text, parse_constant=refuse)


def poisoned(trainer: Trainer, factor: float, step: int = 0) -> None:
    """Multiply the gradients of a weight, from a step on."""
    weight = trainer.model.layers[0].attn.qkv_proj.weight
    weight.register_hook(lambda gradient: gradient * factor if trainer.step >= step else gradient)


# What a folder is


@pytest.mark.parametrize("resume", [False, True])
def test_checkpoints_without_a_config_are_deleted_by_force_alone(config, tmp_path, resume):
    run(config, tmp_path / "run")
    (tmp_path / "run" / "config.json").unlink()
    before = content(tmp_path / "run")
    with pytest.raises(OutputExists, match=r"checkpoints and no config\.json.*--force"):
        Trainer(config, tmp_path / "run", resume=resume)
    assert content(tmp_path / "run") == before
    with Trainer(config, tmp_path / "run", force=True) as trainer:
        assert trainer.step == 0
    assert not find_checkpoints(tmp_path / "run" / "checkpoints")


@pytest.mark.parametrize("force", [False, True])
@pytest.mark.parametrize("kind", ["tokenizer", "export", "notes", "fifo", "folder of checkpoints of others"])
def test_a_folder_that_is_no_run_is_never_replaced(config, data, tmp_path, kind, force):
    target = tmp_path / "there"
    if kind == "tokenizer":
        shutil.copytree(data / "tokenizer", target)
    elif kind == "fifo":
        os.mkfifo(target)
    else:
        target.mkdir()
        name = {"export": "config.json", "notes": "notes.txt"}.get(kind, "checkpoints")
        (target / name).write_text('{"model_type": "llama"}')
    before = content(target)
    with pytest.raises(OutputExists, match="there"):
        Trainer(config, target, force=force)
    assert content(target) == before
    if kind != "fifo":
        assert "lock" not in os.listdir(target)


@pytest.mark.parametrize("force", [False, True])
def test_a_config_of_others_makes_no_run(config, tmp_path, force):
    (tmp_path / "config.json").write_text('{"model": {"layers": 3}, "train": {}}')
    (tmp_path / "data.json").write_text("mine")
    before = content(tmp_path)
    with pytest.raises(OutputExists, match="is not a run"):
        Trainer(config, tmp_path, force=force)
    assert content(tmp_path) == before


def test_resume_alone_says_that_the_config_is_gone(config, tmp_path, capsys):
    run(config, tmp_path / "run")
    (tmp_path / "run" / "config.json").unlink()
    assert main(["pretrain", "--resume", "--out", str(tmp_path / "run")]) == 1
    assert "has checkpoints and no config.json; put that file back" in capsys.readouterr().err


@pytest.mark.parametrize("gone", [["checkpoints"], ["checkpoints", "result.json"]])
def test_a_run_whose_checkpoints_are_gone_is_not_begun_anew(config, tmp_path, gone):
    run(config, tmp_path / "run")
    for name in gone:
        path = tmp_path / "run" / name
        path.unlink() if path.is_file() else shutil.rmtree(path)
    before = content(tmp_path / "run")
    with pytest.raises(OutputExists, match="has done 4 steps, but its checkpoints are gone"):
        Trainer(config, tmp_path / "run", resume=True)
    assert content(tmp_path / "run") == before


def test_an_address_is_no_place_of_this_machine(config, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for out in (Path("s3://bucket/run"), "s3://bucket/run"):
        with pytest.raises(FileError, match="is an address, and only local files are written"):
            Trainer(config, out)
    assert not list(tmp_path.iterdir())


def test_an_empty_folder_is_where_a_run_begins(config, tmp_path):
    with Trainer(config, tmp_path) as trainer:
        assert trainer.step == 0


class Killed(BaseException):
    """What no handler of errors catches."""


@pytest.mark.parametrize("was_there", [False, True])
def test_a_run_that_is_killed_at_any_moment_of_its_beginning_begins_again(config, tmp_path, monkeypatch, was_there):
    """Killed before each change to the folder: the old run is whole, or the new one begins."""
    changed = override(config, {"seed": 2})
    for moment in range(100):
        path = tmp_path / str(moment)
        folder = RunFolder(path)
        folder.lock()
        if was_there:
            folder.begin(config, Chosen("cpu", []), {"tokenizer": "old"})
            (path / "checkpoints" / "step-00000002").mkdir(parents=True)
        changes = [0]

        def at_moment(real, moment=moment, changes=changes):
            def change(*arguments, **options):
                changes[0] += 1
                if changes[0] > moment:
                    raise Killed
                return real(*arguments, **options)

            return change

        with monkeypatch.context() as patch:
            for place, name in ((run_folder, "write_whole"), (checkpoint.shutil, "rmtree"), (Path, "unlink")):
                patch.setattr(place, name, at_moment(getattr(place, name)))
            try:
                folder.begin(changed, Chosen("cpu", []), {"tokenizer": "new"})
                was_killed = False
            except Killed:
                was_killed = True
        old = json.loads((path / "config.json").read_text())["seed"] if (path / "config.json").exists() else None
        is_resumed = folder.check(resume=True, force=False)
        assert is_resumed == (old is not None)
        has_checkpoint = bool(find_checkpoints(path / "checkpoints"))
        assert old != config.seed or has_checkpoint == was_there
        assert old != changed.seed or not has_checkpoint
        folder.close()
        if not was_killed:
            break
    assert moment > 4
    assert sorted(os.listdir(path)) == sorted(["config.json", "data.json", "lock", *["checkpoints"] * was_there])


# Damaged token files


@pytest.mark.parametrize("name", ["train", "valid"])
def test_a_flipped_id_is_seen_before_the_first_step(config, data, tmp_path, name):
    run(config, tmp_path / "run")
    before = content(tmp_path / "run")
    for file in (f"{name}.bin", f"{name}.bin.json"):
        shutil.copy(data / file, tmp_path / file)
    damaged = bytearray((tmp_path / f"{name}.bin").read_bytes())
    damaged[-1000] ^= 1
    (tmp_path / f"{name}.bin").write_bytes(damaged)
    changed = override(config, {"data": {name: str(tmp_path / f"{name}.bin")}})
    for options in ({"force": True}, {"resume": True}):
        with pytest.raises(TokenFileError, match=rf"{name}\.bin.*bytes 0 to {len(damaged)}"):
            Trainer(override(changed, {"steps": 6}), tmp_path / "run", **options)
    assert content(tmp_path / "run") == before


def test_evaluation_sees_a_flipped_id(config, data, tmp_path, capsys):
    run(config, tmp_path / "run")
    for file in ("valid.bin", "valid.bin.json"):
        shutil.copy(data / file, tmp_path / file)
    damaged = bytearray((tmp_path / "valid.bin").read_bytes())
    damaged[-1000] ^= 1
    (tmp_path / "valid.bin").write_bytes(damaged)
    assert main(["evaluate", str(tmp_path / "run"), "--tokens", str(tmp_path / "valid.bin"), "--quiet"]) == 1
    assert "are not what was written" in capsys.readouterr().err


def test_the_comparison_of_checksums_can_be_cancelled(data, monkeypatch):
    def endless(path, *, progress):
        while True:
            progress("verify", 0, 1)

    monkeypatch.setattr(token_file, "verify", endless)
    verification = Verification([data / "train.bin"])
    verification.cancel()
    assert not verification._thread.is_alive()


# How a run ended


def test_a_result_says_how_a_run_ended(config, tmp_path):
    found = run(config, tmp_path / "run")
    result = result_of(tmp_path / "run")
    assert (result["reason"], result["step"], result["tokens"]) == ("finished", 4, 4 * 8 * 16)
    assert result["train_loss"] == losses(tmp_path / "run")[4]
    assert result["best_loss"] == found.best_loss <= result["loss"]
    assert result["seconds"] > 0
    first = next(iter(read_records(tmp_path / "run" / "metrics.jsonl")))
    assert result["config_sha256"] == first["config_sha256"]


ENDS = {
    "finished": {},
    "time": {"max_time": 1e-9},
    "worse": {"stop_when_worse": 1, "validate_every": 1, "schedule": {"max_learning_rate": 30.0}, "steps": 40},
    "diverged": {"max_skipped_steps": 0},
}


def end(reason: str, config: TrainConfig, folder: Path) -> TrainConfig:
    config = override(config, ENDS[reason])
    with Trainer(config, folder) as trainer:
        if reason == "diverged":
            poisoned(trainer, float("nan"), 3)
            with pytest.raises(TrainingDiverged):
                trainer.run()
        else:
            trainer.run()
    return config


@pytest.mark.parametrize("reason", ENDS)
def test_a_run_that_is_over_is_left_as_it_is(config, tmp_path, reason):
    config = end(reason, config, tmp_path / "run")
    result = result_of(tmp_path / "run")
    assert result["reason"] == reason
    before = content(tmp_path / "run")
    with Trainer(config, tmp_path / "run", resume=True) as trainer:
        assert trainer.result is not None
        found = trainer.run()
    assert content(tmp_path / "run") == before
    assert (found.reason, found.step) == (reason, result["step"])


@pytest.mark.parametrize(
    ("reason", "more"),
    [
        ("finished", {"steps": 6}),
        ("time", {"max_time": 0.0}),
        ("worse", {"stop_when_worse": 0, "steps": 8}),
        ("diverged", {"max_skipped_steps": 1}),
    ],
)
def test_a_run_that_is_asked_for_more_goes_on(config, tmp_path, reason, more):
    config = end(reason, config, tmp_path / "run")
    before = find_checkpoints(tmp_path / "run" / "checkpoints")[0].name
    more = override(config, {"schedule": {}} | more)
    if reason == "worse":
        more = override(more, {"steps": int(before.removeprefix("step-")) + 2})
    with Trainer(more, tmp_path / "run", resume=True) as trainer:
        assert not (tmp_path / "run" / "result.json").exists()
        assert f"step-{trainer.step:08}" == before
        assert trainer.run().reason == "finished"
    assert result_of(tmp_path / "run")["step"] == more.steps


def test_pretrain_says_that_a_run_is_over_and_names_what_makes_it_go_on(config, tmp_path, capsys):
    out = ["--out", str(tmp_path / "run")]
    assert main(["pretrain", "debug", *out, *flags(config)]) == 0
    before = content(tmp_path / "run")
    capsys.readouterr()
    assert main(["pretrain", "debug", *out, *flags(config), "--resume", "--json"]) == 0
    said = capsys.readouterr()
    assert "is over, and was left as it is; a larger --steps makes it go on" in said.err
    assert strict_json(said.out)["reason"] == "finished"
    assert content(tmp_path / "run") == before
    longer = flags(override(config, {"steps": 6}))
    assert main(["pretrain", "debug", *out, *longer, "--resume"]) == 0
    assert result_of(tmp_path / "run")["step"] == 6
    shorter = flags(override(config, {"steps": 5}))
    assert main(["pretrain", "debug", *out, *shorter, "--resume"]) == 1
    assert "steps is 5, and the run in" in capsys.readouterr().err
    assert result_of(tmp_path / "run")["step"] == 6


def test_a_longer_run_of_a_constant_rate_is_the_one_that_was_long_from_its_beginning(config, tmp_path):
    run(override(config, {"steps": 8}), tmp_path / "whole")
    run(config, tmp_path / "parts")
    run(override(config, {"steps": 8}), tmp_path / "parts", resume=True)
    assert losses(tmp_path / "parts") == losses(tmp_path / "whole")
    assert same(tmp_path / "parts", tmp_path / "whole")
    first = next(iter(read_records(tmp_path / "parts" / "metrics.jsonl")))
    assert result_of(tmp_path / "parts")["config_sha256"] == first["config_sha256"]


def test_a_longer_run_keeps_its_warm_up_and_a_cosine_says_what_it_means(config, tmp_path):
    config = override(config, {"steps": 8, "schedule": {"shape": "cosine", "warmup": 0.25}})
    run(config, tmp_path / "run")
    for steps in (16, 24):
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            trainer = Trainer(override(config, {"steps": steps}), tmp_path / "run", resume=True)
        notes = [str(warning.message) for warning in caught]
        assert re.match(f"steps was .* and is {steps}, on which a schedule of shape cosine depends: step", notes[-1])
        if steps == 24:
            assert re.match("schedule.warmup stays 2 steps, with which the run in .* began", notes[0])
        with trainer:
            assert trainer.config.schedule.warmup == 2
            trainer.run()
    assert TrainConfig.load(tmp_path / "run" / "config.json").schedule.warmup == 2


def test_losses_on_other_validation_tokens_do_not_compare(config, data, tmp_path):
    run(config, tmp_path / "run")
    longer = replace(config, steps=6)
    for changes, message in (
        ({"validation_tokens": 96}, "validation is on 96 tokens .* from step 4 on, and was on 160 tokens"),
        ({"data": {"valid": str(data / "train.bin")}}, "losses do not compare, and the best is chosen anew"),
    ):
        shutil.copytree(tmp_path / "run", tmp_path / "copy")
        with pytest.warns(UserWarning, match=message):
            result = run(override(longer, changes), tmp_path / "copy", resume=True)
        assert result.best_loss == result.loss
        assert find_checkpoints(tmp_path / "copy" / "best")[0].name == "step-00000006"
        shutil.rmtree(tmp_path / "copy")
    with warnings.catch_warnings(action="error"):
        run(override(longer, {"data": {"valid": ""}}), tmp_path / "run", resume=True)


def test_a_run_whose_time_is_over_takes_no_further_step(config, tmp_path):
    config = override(config, {"max_time": 1e-9})
    run(config, tmp_path / "run")
    (tmp_path / "run" / "result.json").unlink()  # As a kill before its last write leaves it.
    assert run(config, tmp_path / "run", resume=True).reason == "time"
    assert list(losses(tmp_path / "run")) == [1]
    assert [path.name for path in find_checkpoints(tmp_path / "run" / "checkpoints")] == ["step-00000001"]


@pytest.mark.parametrize("where", ["step", "validation"])
def test_a_signal_is_noted_wherever_it_comes_and_ends_no_run(config, tmp_path, monkeypatch, where):
    run(config, tmp_path / "whole")
    with Trainer(config, tmp_path / "run") as trainer:
        place, name = (trainer, "_train_step") if where == "step" else (training, "evaluate")
        real = getattr(place, name)

        def interrupted(*arguments, **options):
            found = real(*arguments, **options)
            if trainer.step in (1, 2):
                os.kill(os.getpid(), signal.SIGINT)
            return found

        with monkeypatch.context() as patch:
            patch.setattr(place, name, interrupted)
            result = trainer.run()
    assert (result.reason, result.signal, result.step) == ("signal", "SIGINT", 2)
    assert result_of(tmp_path / "run")["signal"] == "SIGINT"
    assert run(config, tmp_path / "run", resume=True).reason == "finished"
    assert losses(tmp_path / "run") == losses(tmp_path / "whole")
    assert same(tmp_path / "run", tmp_path / "whole")


def test_a_diverged_run_prints_json_and_fails(config, tmp_path, monkeypatch, capsys):
    begin = Trainer._begin

    def begin_poisoned(trainer, *arguments):
        begin(trainer, *arguments)
        poisoned(trainer, float("nan"), 3)

    monkeypatch.setattr(Trainer, "_begin", begin_poisoned)
    more = ["--max-skipped-steps", "0", "--json"]
    assert main(["pretrain", "debug", "--out", str(tmp_path / "run"), *flags(config), *more]) == 1
    said = capsys.readouterr()
    assert (strict_json(said.out)["reason"], strict_json(said.out)["step"]) == ("diverged", 3)
    assert said.err.startswith("error: step 4: loss")


def test_a_norm_beyond_float32_is_told_from_a_gradient_that_is_not_finite(config, tmp_path):
    with Trainer(override(config, {"max_skipped_steps": 0}), tmp_path / "run") as trainer:
        poisoned(trainer, 1e25)
        with pytest.raises(TrainingDiverged, match="each gradient is finite, but the norm of all together is not"):
            trainer.run()


def test_what_is_printed_as_json_is_json(config, tmp_path, monkeypatch, capsys):
    print_json({"a": float("nan"), "b": [float("inf"), 1.5, {"c": -float("inf")}], "d": (1, "NaN")})
    assert strict_json(capsys.readouterr().out) == {"a": None, "b": [None, 1.5, {"c": None}], "d": [1, "NaN"]}
    run(config, tmp_path / "run")
    found = Evaluation(800.0, float("inf"), float("inf"), 10)
    monkeypatch.setattr("bpe_lm.export.folder.evaluate", lambda *arguments, **options: found)
    assert main(["evaluate", str(tmp_path / "run"), "--json", "--quiet", "--device", "cpu"]) == 0
    assert strict_json(capsys.readouterr().out)["perplexity"] is None


def with_losses(trainer: Trainer, losses_of_steps: dict[int, float], otherwise: float = 9.0) -> None:
    """Have the steps find these losses, by the number of the step, and do nothing else."""
    trainer._train_step = lambda x, y: (losses_of_steps.get(trainer.step + 1, otherwise), 1.0, 1e-3)


BOUND = {
    "steps": 30,
    "max_loss": 6.0,
    "max_loss_steps": 5,
    "schedule": {"warmup": 10},
    "checkpoint_every": 14,
    "data": {"valid": ""},
}


@pytest.mark.parametrize(
    ("found", "last"),
    [
        ({}, 15),  # Steps 11 to 15 are the first five after the warm-up.
        ({12: 5.9}, 17),
        ({12: 6.0, 17: 6.0}, 22),
        ({12: float("nan"), 13: float("inf")}, 15),
        (dict.fromkeys(range(11, 26), 1.0), 30),
        (dict.fromkeys(range(11, 27), 1.0), None),
        ({15: 1.0, 20: 1.0, 25: 1.0, 30: 1.0}, None),
    ],
)
@pytest.mark.filterwarnings("ignore:step 1[23] is skipped")
def test_a_loss_that_stays_above_the_bound_after_the_warm_up_has_diverged(config, tmp_path, found, last):
    with Trainer(override(config, BOUND), tmp_path / "run") as trainer:
        with_losses(trainer, found)
        if last is None:
            assert trainer.run().reason == "finished"
            return
        with pytest.raises(TrainingDiverged) as caught:
            trainer.run()
    message = f"step {last}: loss 9, and the loss was above max_loss, 6, in the last 5 steps (max_loss_steps is 5); "
    assert str(caught.value).startswith(message)
    result = result_of(tmp_path / "run")
    assert (result["reason"], result["step"], result["message"]) == ("diverged", last, str(caught.value))


def test_a_run_without_a_bound_never_diverges_by_its_loss(config, tmp_path):
    with Trainer(override(config, BOUND | {"max_loss": 0.0}), tmp_path / "run") as trainer:
        with_losses(trainer, {})
        result = trainer.run()
    assert (result.reason, result.message) == ("finished", None)


def test_steps_above_the_bound_are_counted_across_a_resume(config, tmp_path):
    """The checkpoint of step 14 has four of five steps."""
    config = override(config, BOUND)
    with Trainer(config, tmp_path / "run") as trainer:
        with_losses(trainer, {})

        def stop(step):
            if step.step == 15:
                raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            trainer.run(on_step=stop)
    with Trainer(config, tmp_path / "run", resume=True) as trainer:
        assert (trainer.step, trainer.progress.above_max_loss) == (14, 4)
        with_losses(trainer, {})
        with pytest.raises(TrainingDiverged, match="step 15: loss 9"):
            trainer.run()


@pytest.mark.parametrize(
    ("more", "goes_on"),
    [
        ({"max_loss": 10.0}, True),
        ({"max_loss": 0.0}, True),
        ({"max_loss_steps": 6}, True),
        ({"max_skipped_steps": 99}, True),
        ({"max_loss": 5.0}, False),
        ({"max_loss_steps": 4}, False),
        ({"log_every": 3}, False),
    ],
)
def test_a_run_that_stayed_above_the_bound_goes_on_with_a_wider_one_alone(config, tmp_path, more, goes_on):
    config = override(config, BOUND)
    with Trainer(config, tmp_path / "run") as trainer:
        with_losses(trainer, {})
        with pytest.raises(TrainingDiverged):
            trainer.run()
    with Trainer(override(config, more), tmp_path / "run", resume=True) as trainer:
        assert (trainer.result is None) == goes_on
        assert trainer.step == 14


def test_a_run_above_the_bound_prints_json_and_fails(config, tmp_path, capsys):
    """The model of untrained weights has a loss of about ln 300, 5.7."""
    more = ["--max-loss", "1", "--max-loss-steps", "2", "--json"]
    assert main(["pretrain", "debug", "--out", str(tmp_path / "run"), *flags(config), *more]) == 1
    said = capsys.readouterr()
    assert (strict_json(said.out)["reason"], strict_json(said.out)["step"]) == ("diverged", 3)
    assert said.err.startswith("error: step 3: loss 5.")
    assert main(["pretrain", "debug", "--out", str(tmp_path / "run"), *flags(config), *more, "--resume"]) == 0
    assert "a larger --max-skipped-steps or --max-loss makes it go on" in capsys.readouterr().err


# The length of a run in tokens


def test_a_run_of_tokens_is_the_run_of_its_steps_and_resumes_to_the_bit(config, tmp_path):
    """4 steps of 8 x 16 tokens are 512."""
    by_tokens = override(config, {"tokens": 400})
    run(config, tmp_path / "steps")
    with Trainer(by_tokens, tmp_path / "tokens") as trainer, pytest.raises(KeyboardInterrupt):
        trainer.run(on_step=lambda step: signal.raise_signal(signal.SIGINT) or signal.raise_signal(signal.SIGINT))
    result = run(by_tokens, tmp_path / "tokens", resume=True)
    assert (result.step, result.tokens) == (4, 512)
    assert same(tmp_path / "steps", tmp_path / "tokens")
    assert result.identity == TrainResult.of(result_of(tmp_path / "steps"), tmp_path).identity
    assert TrainConfig.load(tmp_path / "tokens" / "config.json").tokens == 400


def test_a_run_of_tokens_is_made_longer_by_either(config, tmp_path):
    run(override(config, {"tokens": 512}), tmp_path / "run")
    out = ["pretrain", "--resume", "--out", str(tmp_path / "run"), "--quiet"]
    assert main([*out, "--steps", "5"]) == 0
    assert result_of(tmp_path / "run")["step"] == 5
    assert TrainConfig.load(tmp_path / "run" / "config.json").tokens == 0
    assert main([*out, "--tokens", "769"]) == 0
    assert (result_of(tmp_path / "run")["step"], result_of(tmp_path / "run")["tokens"]) == (7, 896)


# Opened elsewhere, later


def evaluation(capsys, *arguments: str) -> dict:
    assert main(["evaluate", *map(str, arguments), "--json", "--quiet", "--device", "cpu"]) == 0
    return strict_json(capsys.readouterr().out)


def refused(capsys, *arguments: str) -> str:
    assert main([*map(str, arguments), "--device", "cpu"]) == 1
    return capsys.readouterr().err


def written(capsys, *arguments: str) -> str:
    options = ["--prompt", "Once", "--max-tokens", "8", "--temperature", "0", "--device", "cpu"]
    assert main(["generate", *map(str, arguments), *options]) == 0
    return capsys.readouterr().out


def test_a_run_opens_from_any_folder_and_wherever_it_and_its_data_went(config, data, tmp_path, monkeypatch, capsys):
    shutil.copytree(data, tmp_path / "here" / "data")
    monkeypatch.chdir(tmp_path / "here")
    paths = {"train": "data/train.bin", "valid": "data/valid.bin", "tokenizer": "data/tokenizer"}
    run(override(config, {"data": paths}), Path("run"))
    (tmp_path / "there").mkdir()
    monkeypatch.chdir(tmp_path / "there")
    loss = evaluation(capsys, "../here/run")["loss"]
    text = written(capsys, "../here/run")
    shutil.move(tmp_path / "here" / "run", "moved")
    assert evaluation(capsys, "moved")["loss"] == loss
    shutil.move(tmp_path / "here" / "data", "data")
    assert "valid.bin, does not exist; name its path with --tokens" in refused(capsys, "evaluate", "moved")
    assert evaluation(capsys, "moved", "--data.valid", "data/valid.bin")["loss"] == loss
    assert "tokenizer, does not exist; name its path with --tokenizer" in refused(capsys, "generate", "moved")
    assert written(capsys, "moved", "--tokenizer", "data/tokenizer") == text
    assert main(["pretrain", "--resume", "--out", "moved", "--steps", "6"]) == 1
    assert "which does not exist; name the file with --data.train" in capsys.readouterr().err
    to = ["--to", "huggingface", "exported"]
    assert "name its path with --tokenizer" in refused(capsys, "export", "moved", *to)
    assert main(["export", "moved", "--tokenizer", "data/tokenizer", *to]) == 0


def test_an_exported_model_is_evaluated_and_writes(config, data, tmp_path, capsys):
    run(config, tmp_path / "run")
    exported = tmp_path / "exported"
    assert main(["export", str(tmp_path / "run"), "--to", "huggingface", str(exported)]) == 0
    capsys.readouterr()
    loss = evaluation(capsys, tmp_path / "run")["loss"]
    assert evaluation(capsys, exported, "--tokens", config.data.valid)["loss"] == pytest.approx(loss, rel=1e-6)
    assert written(capsys, exported) == written(capsys, tmp_path / "run")
    assert "name one with --tokens" in refused(capsys, "evaluate", exported)
    other = bpe_lm.Tokenizer(*bpe_lm.train_bpe(data / "valid.txt", 290, [END_OF_TEXT]), [END_OF_TEXT])
    other.encode_file(data / "valid.txt", tmp_path / "other.bin")
    other.save(tmp_path / "other")
    assert "another tokenizer" in refused(capsys, "evaluate", exported, "--tokens", tmp_path / "other.bin")
    assert "another tokenizer" in refused(capsys, "generate", exported, "--tokenizer", tmp_path / "other")
    (exported / "tokenizer.json").unlink()
    assert "name one with --tokenizer" in refused(capsys, "generate", exported)
    assert main(["evaluate", str(exported), "--tokens", config.data.valid, "--quiet", "--device", "cpu"]) == 0
    assert "does not say which tokenizer" in capsys.readouterr().err


def age(folder: Path) -> None:
    """Make a run one of another version: keys that this one has not, or has no more."""
    values = json.loads((folder / "config.json").read_text())
    values.pop("format", None)
    values["schedule"] = {"name": "cosine", "warmup_iters": 5, "forgotten": 1}
    (folder / "config.json").write_text(json.dumps(values | {"forgotten": True}))
    for path in folder.glob("*/step-*/checkpoint.json"):
        content = json.loads(path.read_text())["content"]
        content["progress"]["forgotten"] = 7
        path.write_text(json.dumps({"content": content, "sha256": checkpoint._sha256(content)}))


def test_a_run_of_an_older_version_opens_and_does_not_go_on(config, tmp_path, capsys):
    run(config, tmp_path / "run")
    loss, text = evaluation(capsys, tmp_path / "run")["loss"], written(capsys, tmp_path / "run")
    age(tmp_path / "run")
    before = content(tmp_path / "run")
    assert evaluation(capsys, tmp_path / "run")["loss"] == loss
    assert written(capsys, tmp_path / "run") == text
    assert main(["export", str(tmp_path / "run"), "--to", "huggingface", str(tmp_path / "exported")]) == 0
    assert main(["pretrain", "debug", "--out", str(tmp_path / "run"), *flags(config), "--resume"]) == 1
    assert re.search("error: .*config.json is of an older version", capsys.readouterr().err)
    assert content(tmp_path / "run") == before


def test_progress_of_another_version_is_read(config, tmp_path):
    run(config, tmp_path / "run")
    for path in (tmp_path / "run").glob("*/step-*/checkpoint.json"):
        found = json.loads(path.read_text())["content"]
        found["progress"] = {"seconds": 1.0, "forgotten": 7}
        path.write_text(json.dumps({"content": found, "sha256": checkpoint._sha256(found)}))
    with Trainer(override(config, {"steps": 6}), tmp_path / "run", resume=True) as trainer:
        assert (trainer.step, trainer.progress.seconds) == (4, 1.0)


def test_a_model_of_another_architecture_is_not_taken_for_ours(config, tmp_path):
    run(config, tmp_path / "run")
    values = json.loads((tmp_path / "run" / "config.json").read_text())
    values["model"]["softcap"] = 30.0
    (tmp_path / "run" / "config.json").write_text(json.dumps(values))
    with pytest.raises(ConfigError, match="a model that this version does not know: unknown key model.softcap"):
        load_model(tmp_path / "run")


def test_evaluation_is_in_the_runs_dtype_and_says_so(config, tmp_path, capsys):
    config = override(config, {"dtype": "bfloat16", "validation_tokens": 0})
    result = run(config, tmp_path / "run")
    found = evaluation(capsys, tmp_path / "run", "--last")
    assert found["dtype"] == "bfloat16"
    assert found["loss"] == result.loss
    assert evaluation(capsys, tmp_path / "run", "--last", "--dtype", "float32")["loss"] != result.loss
    assert main(["evaluate", str(tmp_path / "run"), "--quiet", "--device", "cpu"]) == 0
    assert "bfloat16" in capsys.readouterr().out


def test_a_damaged_best_points_to_the_newest(config, tmp_path, capsys):
    run(config, tmp_path / "run")
    [best] = find_checkpoints(tmp_path / "run" / "best")
    (best / "model.safetensors").write_bytes(b"damaged")
    said = refused(capsys, "evaluate", tmp_path / "run", "--quiet")
    assert re.match("error: no checkpoint in .*best is undamaged: .*; --last .*takes the newest checkpoint", said)
    assert said.count("\n") == 1
    assert evaluation(capsys, tmp_path / "run", "--last")["loss"] > 0


def test_a_model_is_opened_without_its_optimizer(config, tmp_path):
    run(config, tmp_path / "run")
    for path in (tmp_path / "run").glob("*/step-*/optimizer.safetensors"):
        path.write_bytes(b"damaged")
    assert load_model(tmp_path / "run").num_parameters() > 0
    with pytest.warns(UserWarning, match="damaged"), pytest.raises(CheckpointError, match="undamaged"):
        Trainer(override(config, {"steps": 6}), tmp_path / "run", resume=True)


# What is recorded on the way


class Clock:
    """Stands in for `time`: only what is told to takes time."""

    def __init__(self):
        self.now = 0.0

    def perf_counter(self) -> float:
        return self.now

    def taking(self, seconds: float, real):
        def call(*arguments, **options):
            self.now += seconds
            return real(*arguments, **options)

        return call


def test_validation_and_saving_are_no_part_of_the_speed(config, tmp_path, monkeypatch):
    clock = Clock()
    monkeypatch.setattr(training, "time", clock)
    monkeypatch.setattr(training, "evaluate", clock.taking(1000, training.evaluate))
    monkeypatch.setattr(training, "save_run_checkpoint", clock.taking(100, training.save_run_checkpoint))
    monkeypatch.setattr(training.Batches, "__call__", clock.taking(1, training.Batches.__call__))
    changed = override(config, {"steps": 12, "log_every": 4, "validate_every": 3, "checkpoint_every": 2})
    with Trainer(changed, tmp_path / "run") as trainer:
        trainer._train_step = clock.taking(3, trainer._train_step)
        trainer._peak = 1e6
        trainer.run()
    found = [r for r in read_records(tmp_path / "run" / "metrics.jsonl") if r["kind"] == "train"]
    assert [r["step"] for r in found] == [1, 4, 8, 12]
    assert {r["tokens_per_second"] for r in found} == {config.tokens_per_step / 4}
    assert {r["data_wait"] for r in found} == {0.25}
    assert {r["mfu"] for r in found} == {config.tokens_per_step / 4 * training_flops_per_token(config.model) / 1e6}
    # Checkpoints count, except the best, which a validation saves.
    assert found[-1]["seconds"] == 12 * 4 + 5 * 100
    assert trainer.result.seconds == found[-1]["seconds"]


def test_max_time_is_the_time_without_validations(config, tmp_path, monkeypatch):
    clock = Clock()
    monkeypatch.setattr(training, "time", clock)
    monkeypatch.setattr(training, "evaluate", clock.taking(1000, training.evaluate))
    changed = override(config, {"steps": 12, "max_time": 11.0, "validate_every": 1, "checkpoint_every": 2})
    for _ in range(2):  # The second time, the run goes on with the time that it has left.
        with Trainer(changed, tmp_path / "run", resume=True) as trainer:
            trainer._train_step = clock.taking(4, trainer._train_step)
            stop = [] if trainer.step else [signal.SIGINT]
            result = trainer.run(on_step=lambda step, stop=stop: [os.kill(os.getpid(), number) for number in stop])
    assert (result.reason, result.step, result.seconds) == ("time", 3, 12)
    valid = [r for r in read_records(tmp_path / "run" / "metrics.jsonl") if r["kind"] == "valid"]
    assert [(r["step"], r["seconds"]) for r in valid] == [(1, 4), (2, 8), (3, 12)]


def test_the_rate_falls_until_the_time_is_over_also_in_a_run_that_goes_on(config, tmp_path, monkeypatch):
    clock = Clock()
    monkeypatch.setattr(training, "time", clock)
    monkeypatch.setattr(training, "evaluate", clock.taking(1000, training.evaluate))
    schedule = {
        "shape": "linear",
        "max_learning_rate": 1.0,
        "min_ratio": 0.0,
        "warmup": 2,
        "decay": 0.8,
        "clock": "time",
    }
    often = {"log_every": 1, "validate_every": 1000}
    changed = override(config, {"steps": 1000, "max_time": 40.0, "schedule": schedule} | often)
    for last in (4, 1000):
        with Trainer(changed, tmp_path / "run", resume=True) as trainer:
            trainer._train_step = clock.taking(4, trainer._train_step)

            def end_at_last(step, last=last):
                if step.step == last:
                    os.kill(os.getpid(), signal.SIGINT)

            result = trainer.run(on_step=end_at_last)
    assert (result.reason, result.step, result.seconds) == ("time", 10, 40)
    records = list(read_records(tmp_path / "run" / "metrics.jsonl"))
    assert [(r["step"], r["seconds"], r["loss"]) for r in records if r["kind"] == "valid"] == [(10, 40, result.loss)]
    rates = [r["learning_rate"] for r in records if r["kind"] == "train"]
    assert rates == pytest.approx([0.5, 1, 0.875, 0.75, 0.625, 0.5, 0.375, 0.25, 0.125, 0])


def test_a_clock_of_time_needs_a_limit(config):
    with pytest.raises(ConfigError, match="schedule.clock is time, and max_time is 0.*; set max_time"):
        override(config, {"schedule": {"clock": "time"}})


def test_each_step_is_shown_with_its_figures_and_what_looks_at_it_takes_no_time_of_the_run(
    config, tmp_path, monkeypatch
):
    clock, seen = Clock(), []
    monkeypatch.setattr(training, "time", clock)
    monkeypatch.setattr(training.Batches, "__call__", clock.taking(1, training.Batches.__call__))
    with Trainer(override(config, {"log_every": 1}), tmp_path / "run") as trainer:
        trainer._train_step = clock.taking(3, trainer._train_step)
        result = trainer.run(on_step=clock.taking(1000, seen.append))
    assert [(step.step, step.seconds) for step in seen] == [(1, 4), (2, 8), (3, 12), (4, 16)]
    found = [r for r in read_records(tmp_path / "run" / "metrics.jsonl") if r["kind"] == "train"]
    for step, record in zip(seen, found, strict=True):
        shown = {name: getattr(step, name) for name in ("step", "loss", "gradient_norm", "learning_rate", "seconds")}
        assert shown == {name: record[name] for name in shown}
    assert result.seconds == 16


@pytest.mark.parametrize(
    ("gpu", "bfloat16", "float32"),
    [
        ("NVIDIA H100 80GB HBM3", 989e12, 67e12),
        ("NVIDIA H100 PCIe", 756e12, 51e12),
        ("NVIDIA H100 NVL", 835e12, 60e12),
        ("NVIDIA H200", 989e12, 67e12),
        ("NVIDIA H200 NVL", 835e12, 60e12),
        ("NVIDIA B200", 2250e12, 75e12),
        ("NVIDIA A100-SXM4-80GB", 312e12, 19.5e12),
        ("NVIDIA L4", 121e12, 30.3e12),
        ("NVIDIA L40S", 362e12, 91.6e12),
        ("Tesla T4", 65e12, 8.1e12),
        ("NVIDIA GeForce RTX 4090", 165e12, 82.6e12),
        ("NVIDIA A100-SXM4-40GB MIG 1g.5gb", None, None),
        ("NVIDIA GB200", None, None),
        ("Some GPU", None, None),
    ],
)
def test_the_peak_is_of_the_gpu_and_of_the_dtype(gpu, bfloat16, float32):
    assert (peak_of(gpu, "bfloat16"), peak_of(gpu, "float32")) == (bfloat16, float32)


def test_progress_says_of_which_step_a_validation_is_and_what_memory_it_takes(config, tmp_path, monkeypatch):
    lines = []
    monkeypatch.setattr(training.Display, "update", lambda self, stage, done, total, line: lines.append(line))
    result = run(override(config, {"log_every": 1, "validate_every": 2}), tmp_path / "run")
    assert "validation" not in lines[1]
    assert re.search(r"^step 4 of 4, loss [\d.]+, validation [\d.]+ at step 2, .*tokens/s, [\d.]+ [GM]B$", lines[3])
    assert result.loss is not None


@pytest.mark.parametrize("optimizer", ["sgd", "adamw"])
def test_either_optimizer_resumes_to_the_bit(config, tmp_path, optimizer):
    config = override(config, {"optimizer": {"name": optimizer}, "steps": 6})
    run(config, tmp_path / "whole")
    with Trainer(config, tmp_path / "parts") as trainer:
        step = trainer._train_step

        def stopped(x, y):
            if trainer.step == 3:
                raise KeyboardInterrupt
            return step(x, y)

        trainer._train_step = stopped
        with pytest.raises(KeyboardInterrupt):
            trainer.run()
    run(config, tmp_path / "parts", resume=True)
    assert losses(tmp_path / "parts") == losses(tmp_path / "whole")
    assert same(tmp_path / "parts", tmp_path / "whole")


def test_data_paths_are_absolute(config, data, tmp_path, monkeypatch):
    monkeypatch.chdir(data)
    run(replace(config, data=replace(config.data, train="train.bin")), tmp_path / "run")
    assert TrainConfig.load(tmp_path / "run" / "config.json").data.train == str(data / "train.bin")


def test_a_run_goes_on_with_its_own_config(config, tmp_path, monkeypatch):
    assert main(["pretrain", "debug", "--out", str(tmp_path / "run"), *flags(config)]) == 0
    monkeypatch.chdir(tmp_path)
    assert main(["pretrain", "--resume", "--out", "run", "--steps", "6", "--quiet"]) == 0
    assert result_of(tmp_path / "run")["step"] == 6
