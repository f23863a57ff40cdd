"""The identity of a run: what its result depends on, and nothing else."""

import json
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import bpe_lm
import pytest
from bpe_lm import _core
from bpe_lm.errors import ConfigError, FileError, TokenFileError
from bpe_lm.fields import keys
from bpe_lm.training import identity
from bpe_lm.training.config import TrainConfig, override
from bpe_lm.training.identity import is_part_of_identity, joined_identity, planned_identity, sources_sha256
from bpe_lm.training.presets import resolve
from bpe_lm.training.resume import FREE_TO_CHANGE
from bpe_lm.training.run_folder import TrainResult
from bpe_lm.training.run_log import read_records
from bpe_lm.training.trainer import Trainer

WATCHING = {"log_every", "checkpoint_every", "checkpoints_kept", "wandb_project", "trackio_project", "tensorboard"}


@pytest.fixture
def config(data) -> TrainConfig:
    files = {"train": str(data / "train.bin"), "valid": str(data / "valid.bin"), "tokenizer": str(data / "tokenizer")}
    changes = {"steps": 4, "checkpoint_every": 2, "validate_every": 2, "validation_tokens": 160, "device": "cpu"}
    return override(resolve("debug"), {"data": files, "schedule": {"shape": "constant", "warmup": 1}} | changes)


@pytest.fixture
def copy_of_package(tmp_path, monkeypatch) -> Path:
    """Copy the sources of the package; the identity reads the copy."""
    package = tmp_path / "package"
    for folder in (*identity.FOLDERS, "cli"):
        shutil.copytree(identity.PACKAGE / folder, package / folder)
    monkeypatch.setattr(identity, "PACKAGE", package)
    return package


def run(config: TrainConfig, folder: Path, **options) -> TrainResult:
    with Trainer(config, folder, **options) as trainer:
        return trainer.run()


def test_a_run_has_the_identity_that_was_planned(config, tmp_path):
    planned = planned_identity(config)
    result = run(config, tmp_path / "run")
    assert planned.keys() == {"config", "data", "sources"}
    assert all(len(part) == 64 for part in planned.values())
    assert result.identity == planned
    assert json.loads((tmp_path / "run" / "result.json").read_text())["identity"] == planned
    assert next(iter(read_records(tmp_path / "run" / "metrics.jsonl")))["identity"] == planned


def test_an_identity_is_planned_without_torch(config, tmp_path):
    (tmp_path / "config.json").write_text(json.dumps(config.as_dict()))
    program = (
        "import json, sys; from bpe_lm.training.config import TrainConfig\n"
        "from bpe_lm.training.identity import planned_identity\n"
        "print(json.dumps(planned_identity(TrainConfig.load(sys.argv[1])))); assert 'torch' not in sys.modules"
    )
    command = [sys.executable, "-c", program, str(tmp_path / "config.json")]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == planned_identity(config)


def test_every_key_counts_except_paths_and_those_that_watch():
    names = {name for name, _ in keys(TrainConfig())}
    out = {name for name in names if not is_part_of_identity(name)}
    assert out == WATCHING | {"data.train", "data.mixture", "data.valid", "data.tokenizer", "tokens"}
    assert out <= FREE_TO_CHANGE


@pytest.mark.parametrize(
    "change",
    [{"log_every": 3}, {"checkpoint_every": 7}, {"checkpoints_kept": 9}, {"wandb_project": "x"}, {"seed": 336}],
)
def test_a_key_that_watches_a_run_changes_no_identity(config, change):
    assert planned_identity(override(config, change)) == planned_identity(config)


@pytest.mark.parametrize(
    "change",
    [
        {"seed": 1},
        {"steps": 5},
        {"batch_size": 16},
        {"validate_every": 4},
        {"micro_batch_size": 4},
        {"device": "auto"},
        {"model": {"norm": "post"}},
        {"schedule": {"max_learning_rate": 2e-3}},
        {"optimizer": {"beta2": 0.99}},
    ],
)
def test_a_key_that_changes_a_run_changes_the_hash_of_its_config(config, change):
    old, new = planned_identity(config), planned_identity(override(config, change))
    assert new["config"] != old["config"]
    assert (new["data"], new["sources"]) == (old["data"], old["sources"])


def test_the_same_length_in_steps_and_in_tokens_is_the_same_run(config):
    by_tokens = override(config, {"tokens": config.steps * config.tokens_per_step})
    assert planned_identity(by_tokens) == planned_identity(config)
    assert planned_identity(override(by_tokens, {"batch_size": 16})) == planned_identity(
        override(config, {"batch_size": 16, "steps": 2})
    )


def test_data_are_told_apart_by_their_content_and_not_by_their_place(config, data, tmp_path):
    for name in ("train.bin", "train.bin.json", "valid.bin", "valid.bin.json"):
        shutil.copy(data / name, tmp_path / name)
    moved = replace(config.data, train=str(tmp_path / "train.bin"), valid=str(tmp_path / "valid.bin"))
    planned = planned_identity(config)
    assert planned_identity(replace(config, data=moved)) == planned
    found = {planned["data"]}
    for changes in (
        {"train": config.data.valid},
        {"valid": config.data.train},
        {"valid": ""},
        {"train": config.data.valid, "valid": config.data.train},
    ):
        changed = planned_identity(override(config, {"data": changes}))
        assert (changed["config"], changed["sources"]) == (planned["config"], planned["sources"])
        found.add(changed["data"])
    assert len(found) == 5


def test_another_tokenizer_changes_the_hash_of_the_data(config, data, tmp_path):
    """The tokenizers differ by a special token that no text has, so all ids are the same."""
    own = bpe_lm.Tokenizer.load(data / "tokenizer")
    other = bpe_lm.Tokenizer(own.vocab, own.merges, [*own.special_tokens, "<|unused|>"])
    other.encode_file(data / "valid.txt", tmp_path / "valid.bin")
    changed = override(config, {"data": {"valid": str(tmp_path / "valid.bin")}})
    assert (tmp_path / "valid.bin").read_bytes() == (data / "valid.bin").read_bytes()
    assert planned_identity(changed)["data"] != planned_identity(config)["data"]


def test_data_that_are_not_there_have_no_identity(config, data, tmp_path):
    with pytest.raises(ConfigError, match=r"data\.train is not set"):
        planned_identity(override(config, {"data": {"train": ""}}))
    with pytest.raises(FileError, match=r"gone\.bin"):
        planned_identity(override(config, {"data": {"valid": str(tmp_path / "gone.bin")}}))
    shutil.copy(data / "train.bin", tmp_path / "train.bin")
    with pytest.raises(TokenFileError, match=r"train\.bin"):
        planned_identity(override(config, {"data": {"train": str(tmp_path / "train.bin")}}))


@pytest.mark.parametrize("change", ["edit", "new file", "new name", "gone"])
@pytest.mark.parametrize("folder", identity.FOLDERS)
def test_another_source_changes_the_hash_of_the_sources(copy_of_package, folder, change):
    before = sources_sha256()
    path = copy_of_package / folder / "added.py"
    path.write_text("x = 1\n")
    added = sources_sha256()
    if change == "edit":
        path.write_text("x = 2\n")
    elif change == "new name":
        path.rename(path.with_name("renamed.py"))
    elif change == "gone":
        path.unlink()
    assert added != before
    assert (sources_sha256() == added) == (change == "new file")
    assert (sources_sha256() == before) == (change == "gone")


def test_sources_of_other_folders_and_compiled_files_do_not_count(copy_of_package):
    before = sources_sha256()
    (copy_of_package / "cli" / "main.py").write_text("")
    (copy_of_package / "model" / "layers.pyc").write_bytes(b"x")
    assert sources_sha256() == before


def test_the_kernels_in_rust_are_sources(monkeypatch):
    before = sources_sha256()
    assert len(_core.kernel_sources_sha256()) in (0, 64)  # 0: a build for a CPU that has no kernels.
    monkeypatch.setattr(_core, "kernel_sources_sha256", lambda: "others")
    assert sources_sha256() != before


def stopped_at_2(config: TrainConfig, folder: Path) -> None:
    """Train to the checkpoint of step 2, and end as if killed."""

    def stop(step):
        if step.step == 3:
            raise KeyboardInterrupt

    with Trainer(config, folder) as trainer, pytest.raises(KeyboardInterrupt):
        trainer.run(on_step=stop)


def test_a_resumed_run_keeps_its_identity(config, tmp_path):
    stopped_at_2(config, tmp_path / "run")
    changed = override(config, {"log_every": 2, "checkpoints_kept": 1})
    assert run(changed, tmp_path / "run", resume=True).identity == planned_identity(config)


def test_a_run_that_goes_on_with_other_sources_is_of_no_plan(config, tmp_path, copy_of_package):
    old = planned_identity(config)
    stopped_at_2(config, tmp_path / "run")
    (copy_of_package / "model" / "layers.py").write_text("changed")
    new = planned_identity(config)
    with pytest.warns(UserWarning, match=r"training/ has changed since the run in .* did its first 2 steps.*--force"):
        result = run(config, tmp_path / "run", resume=True)
    assert (result.reason, result.step) == ("finished", 4)
    assert result.identity["sources"] not in (old["sources"], new["sources"])
    assert (result.identity["config"], result.identity["data"]) == (new["config"], new["data"])
    assert run(config, tmp_path / "run", force=True).identity == new


def test_a_run_that_goes_on_with_another_config_is_of_no_plan(config, tmp_path):
    stopped_at_2(config, tmp_path / "run")
    longer = override(config, {"steps": 6})
    result = run(longer, tmp_path / "run", resume=True)
    assert result.identity["config"] not in (planned_identity(config)["config"], planned_identity(longer)["config"])


def test_first_steps_of_which_nothing_is_known_are_of_no_plan():
    now = {"config": "a", "data": "b", "sources": "c"}
    assert joined_identity(now, now) == now
    assert not set(joined_identity(None, now).values()) & set(now.values())


def test_the_first_record_says_on_which_machine_and_commit_a_run_was(config, tmp_path):
    run(config, tmp_path / "run")
    first = next(iter(read_records(tmp_path / "run" / "metrics.jsonl")))
    assert first["machine"].keys() == {"processor", "cores", "memory", "gpu"}
    assert first["machine"]["gpu"] is None
    assert first["processes"] == 1
    assert "commit" in first
