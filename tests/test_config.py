import dataclasses

import pytest
from bpe_lm.cli import main
from bpe_lm.config import PRESETS, ModelConfig, TrainConfig, keys, over, resolve
from bpe_lm.errors import ConfigError, FileError


def test_preset_then_file_then_flags(tmp_path):
    path = tmp_path / "run.toml"
    path.write_text('preset = "debug"\nsteps = 7\n[model]\nnum-layers = 3\n[data]\ntrain = "a.bin"\n')
    config = resolve(
        str(path), ["--model.num-layers", "5", "--schedule.max-learning-rate=3e-3", "--data.valid", "b.bin"]
    )
    assert (config.steps, config.model.num_layers, config.data.train, config.data.valid) == (7, 5, "a.bin", "b.bin")
    assert config.schedule.max_learning_rate == 3e-3
    assert config.model.d_model == PRESETS["debug"]().model.d_model
    assert TrainConfig.from_dict(config.as_dict()) == config


@pytest.mark.parametrize("preset", PRESETS)
def test_presets_are_themselves_when_saved(preset):
    config = resolve(preset)
    assert TrainConfig.from_dict(config.as_dict()) == config
    assert dict(keys(config))["model.vocab_size"] == config.model.vocab_size


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--model.num-layer", "3"], "unknown key model.num_layer; did you mean model.num_layers?"),
        (["--num-layers", "3"], "unknown key num_layers; did you mean model.num_layers?"),
        (["--stepz", "3"], "did you mean steps?"),
        (["--model.norm", "prenorm"], "model.norm is 'prenorm', and must be one of pre, post, none; did you mean"),
        (["--steps", "many"], "steps is 'many', and must be a whole number"),
        (["--steps", "0"], "steps is 0, and must be at least 1"),
        (["--batch-size", "6", "--micro-batch-size", "4"], "no multiple of micro_batch_size"),
        (["--compile", "1"], "compile is 1, and must be true or false"),
        (["--model", "3"], "model is a table"),
        (["--schedule.max-learning-rate", "nan"], "must be finite"),
        (["--steps"], "--steps lacks its value"),
        (["--data.train", "7"], "data.train is 7, and must be a text"),
        (["--data", "x", "--data.valid", "y"], "--data has a value"),
        (["--optimizer.beta1", "1.5"], "must be below 1"),
        (["--optimizer.max-l2-norm", "-1"], "optimizer.max_l2_norm is -1.0, and must be at least 0"),
        (["--max-time", "-5"], "max_time is -5.0, and must be at least 0"),
        (["--model.rope-theta", "0"], "must be above 0"),
        (["steps", "3"], "'steps' is no flag"),
        (["--model.d-model", "100", "--model.num-heads", "16"], "16 heads cannot share"),
    ],
)
def test_what_makes_no_sense_is_named(flags, message):
    with pytest.raises(ConfigError) as caught:
        resolve("tinystories", flags)
    assert message in str(caught.value)


def test_files_that_are_not_there_or_not_toml(tmp_path):
    with pytest.raises(FileError, match="did you mean the preset tinystories"):
        resolve("tinystorys")
    (tmp_path / "bad.toml").write_text("steps = \n")
    with pytest.raises(ConfigError, match="is not TOML"):
        resolve(str(tmp_path / "bad.toml"))
    (tmp_path / "other.toml").write_text("[model]\nlayers = 3\n")
    with pytest.raises(ConfigError, match=r"other.toml: unknown key model.layers; did you mean model.num_layers"):
        resolve(str(tmp_path / "other.toml"))


def test_an_ablation_is_a_one_field_difference():
    base = ModelConfig()
    ablated = over(base, {"norm": "none"})
    assert dataclasses.replace(ablated, norm="pre") == base
    with pytest.raises(dataclasses.FrozenInstanceError):
        base.norm = "post"  # type: ignore[misc]
    assert base.flops_per_token == pytest.approx(111.7e6, rel=1e-3)


def test_flags_may_come_before_the_config(tmp_path, capsys):
    assert main(["pretrain", "--steps", "5", "nonsense", "--out", str(tmp_path)]) == 1
    assert "there is no file nonsense" in capsys.readouterr().err
    assert main(["pretrain", "--model.num-layer", "5", "debug", "--out", str(tmp_path)]) == 1
    assert "unknown key model.num_layer; did you mean model.num_layers?" in capsys.readouterr().err
    assert main(["pretrain", "--schedule.max_learning-rate", "1", "nonsense", "--out", str(tmp_path)]) == 1
    assert "there is no file nonsense" in capsys.readouterr().err
