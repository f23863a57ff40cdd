"""`bpe-lm config show`: a run's config as TOML, which is the same config when it is read."""

import json
import tomllib
from dataclasses import replace
from functools import reduce
from operator import getitem

import pytest
from bpe_lm.cli.main import main
from bpe_lm.fields import keys, meanings
from bpe_lm.training.config import CONFIG_FORMAT, TrainConfig, override
from bpe_lm.training.config_file import config_toml
from bpe_lm.training.presets import PRESETS, resolve


def shown(capsys, *arguments: str) -> str:
    assert main(["config", "show", *arguments]) == 0
    captured = capsys.readouterr()
    assert captured.err == ""
    return captured.out


@pytest.mark.parametrize("preset", PRESETS)
def test_what_is_shown_is_the_preset(preset, tmp_path, capsys):
    file = tmp_path / "run.toml"
    file.write_text(shown(capsys, preset))
    assert resolve(str(file)) == resolve(preset)
    file.write_text(shown(capsys, str(file)))
    assert resolve(str(file)) == resolve(preset)


def test_flags_change_what_is_shown(tmp_path, capsys):
    flags = ["--steps", "100", "--schedule.warmup", "5", "--compile", "--data.train", 'a "path" \\ \x7f é.bin']
    file = tmp_path / "run.toml"
    file.write_text(shown(capsys, "tinystories", *flags), encoding="utf-8")
    config = resolve(str(file))
    assert config == resolve("tinystories", flags)
    assert (config.steps, config.compile, config.data.train) == (100, True, flags[-1])


def test_a_run_of_tokens_is_shown_with_its_steps_as_a_comment(tmp_path, capsys):
    file = tmp_path / "run.toml"
    file.write_text(shown(capsys, "debug", "--tokens", "1280"))
    assert "\n# steps = 10  # optimizer steps" in file.read_text()
    assert resolve(str(file)) == resolve("debug", ["--tokens", "1280"])
    assert resolve(str(file), ["--batch-size", "16"]).steps == 5
    assert shown(capsys, str(file)) == file.read_text()


def test_a_runs_folder_is_shown(tmp_path, capsys):
    config = override(resolve("debug"), {"steps": 30, "data": {"train": "x.bin"}})
    (tmp_path / "config.json").write_text(json.dumps({"format": CONFIG_FORMAT} | config.as_dict()))
    file = tmp_path / "again.toml"
    file.write_text(shown(capsys, str(tmp_path)))
    assert resolve(str(file)) == config


def test_every_key_has_its_meaning_as_a_comment():
    config = replace(TrainConfig(), wandb_project="tiny\nstories")
    text = config_toml(config)
    values = tomllib.loads(text)
    head, *tables = text.split("\n[")
    sections = {"": head} | dict(table.split("]\n", 1) for table in tables)
    for key, value in keys(config):
        table, _, name = key.rpartition(".")
        assert reduce(getitem, key.split("."), values) == value
        [line] = [line for line in sections[table].splitlines() if line.startswith(f"{name} = ")]
        assert dict(meanings(config))[key] in line
        assert "  # " in line
    assert "; one of cosine, constant, linear, wsd\n" in text


def test_an_unknown_preset_or_flag_gets_a_suggestion(capsys):
    assert main(["config", "show", "tinystory"]) == 1
    assert "did you mean the preset tinystories?" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        main(["config", "show", "debug", "--step", "5"])
    assert "did you mean --steps?" in capsys.readouterr().err
