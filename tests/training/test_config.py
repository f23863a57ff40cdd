import dataclasses
import json

import pytest
from bpe_lm.cli.main import main
from bpe_lm.errors import ConfigError, FileError
from bpe_lm.fields import flag_of, keys, kinds, meanings, units
from bpe_lm.model.config import ModelConfig
from bpe_lm.training.config import CONFIG_FORMAT, TrainConfig, override
from bpe_lm.training.presets import PRESETS, resolve


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
        (["--model.num-layer", "3"], "there is no flag --model.num-layer; did you mean --model.num-layers?"),
        (["--num-layers", "3"], "there is no flag --num-layers; did you mean --model.num-layers?"),
        (["--schedule.num_layers", "3"], "no flag --schedule.num_layers; did you mean --model.num-layers?"),
        (["--stepz", "3"], "did you mean --steps?"),
        (["--lr=1"], "there is no flag --lr; did you mean --schedule.max-learning-rate?"),
        (["--heads=1"], "did you mean --model.num-heads?"),
        (["--d-mod=1"], "did you mean --model.d-model?"),
        (["--context", "3"], "did you mean --model.context-length?"),
        (["--qqq", "3"], "there is no flag --qqq"),
        (
            ["--schedule.warmup-iters", "3"],
            "--schedule.warmup-iters is no longer a flag; use schedule.warmup, in steps",
        ),
        (["--model.norm", "prenorm"], "model.norm is 'prenorm', and must be one of pre, post, none; did you mean pre?"),
        (["--steps", "many"], "--steps is 'many', and must be a whole number"),
        (["--steps", "1.5e0"], "--steps is '1.5e0', and must be a whole number"),
        (["--steps", "1e999999999"], "--steps is '1e999999999', and must be a whole number"),
        (["--steps", "0"], "steps is 0, and must be at least 1"),
        (["--batch-size", "6", "--micro-batch-size", "4"], "must be a multiple of micro_batch_size"),
        (["--compile=maybe"], "--compile is 'maybe', and must be true, false or auto"),
        (["--compile", "maybe"], "'maybe' is not a flag"),
        (["--model", "3"], "--model is a table; give one of its keys, such as --model.vocab-size"),
        (["--schedule.max-learning-rate", "nan"], "must be finite"),
        (["--schedule.max-learning-rate", "fast"], "--schedule.max-learning-rate is 'fast', and must be a number"),
        (["--schedule.warmup", "long"], "--schedule.warmup is 'long', and must be a fraction of the run"),
        (["--steps"], "--steps lacks its value"),
        (["--optimizer.beta1", "1.5"], "must be below 1"),
        (["--optimizer.max-l2-norm", "-1"], "optimizer.max_l2_norm is -1.0, and must be at least 0"),
        (["--max-time", "-5"], "max_time is -5.0, and must be at least 0"),
        (["--model.rope-theta", "0"], "must be above 0"),
        (["steps", "3"], "'steps' is not a flag"),
        (["--steps", "1e20"], "steps is 100000000000000000000, and must be below 2^63"),
        (["--batch-size", "9e18"], "batch_size x model.context_length is 2.3e+21 tokens, and must be below 2^63"),
        (["--model.d-model=1e15", "--model.num-heads=1"], "would have 1.6e+31 weights, more than any memory holds"),
        (["--model.d-model", "100", "--model.num-heads", "16"], "16 heads cannot share"),
    ],
)
def test_what_makes_no_sense_is_named(flags, message):
    with pytest.raises(ConfigError) as caught:
        resolve("tinystories", flags)
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("flags", "key", "value"),
    [
        (["--compile"], "compile", True),
        (["--compile", "--steps", "7"], "compile", True),
        (["--compile", "False"], "compile", False),
        (["--compile", "true"], "compile", True),
        (["--compile=no"], "compile", False),
        (["--compile", "auto"], "compile", "auto"),
        (["--compile=auto"], "compile", "auto"),
        (["--kernels.attention", "torch"], "kernels.attention", "torch"),
        (["--compile", "yes", "--no-such"][:2], "compile", True),
        (["--wandb-project", "336"], "wandb_project", "336"),
        (["--wandb-project=a=b"], "wandb_project", "a=b"),
        (["--wandb-project="], "wandb_project", ""),
        (["--data.train", "7"], "data.train", "7"),
        (["--data.train", "2024-01-01"], "data.train", "2024-01-01"),
        (["--data.train", "true"], "data.train", "true"),
        (["--data.train", "-x_y"], "data.train", "-x_y"),
        (["--steps", "1e4"], "steps", 10_000),
        (["--steps=5"], "steps", 5),
        (["--steps", "10_000"], "steps", 10_000),
        (["--schedule.max_learning-rate", "1"], "schedule.max_learning_rate", 1.0),
        (["--optimizer.eps", "1e-9"], "optimizer.eps", 1e-9),
        (["--schedule.warmup", "1e2"], "schedule.warmup", 100),
        (["--schedule.warmup", "1e-2"], "schedule.warmup", 0.01),
        (["--schedule.warmup", "1"], "schedule.warmup", 1),
        (["--model.norm", "none"], "model.norm", "none"),
        (["--steps", "5", "--steps", "6"], "steps", 6),
    ],
)
def test_a_flag_is_read_as_its_keys_type(flags, key, value):
    found = dict(keys(resolve("tinystories", flags)))[key]
    assert found == value
    assert type(found) is type(value)


def test_what_has_another_type_in_a_file_is_named(tmp_path):
    for text, message in (
        ("steps = 'many'", "steps is 'many', and must be a whole number"),
        ("steps = 1.5", "steps is 1.5, and must be a whole number"),
        ("compile = 1", "compile is 1, and must be true, false or auto"),
        ("steps = true", "steps is True, and must be a whole number"),
        ("model = 3", "model is a table with keys of its own, not 3"),
        ("[data]\ntrain = 7", "data.train is 7, and must be a text"),
        ("[model]\nnum-layers = 1\nnum_layers = 2", "model.num_layers is given twice"),
        ("[model]\nlayers = 3", "unknown key model.layers; did you mean model.num_layers?"),
        ("preset = 'demmo'", "there is no preset 'demmo'"),
        (
            "[schedule]\nmin_learning_rate = 1e-4",
            "schedule.min_learning_rate is no longer a key; use schedule.min_ratio",
        ),
    ):
        (tmp_path / "run.toml").write_text(text)
        with pytest.raises(ConfigError) as caught:
            resolve(str(tmp_path / "run.toml"))
        assert str(caught.value).startswith(f"{tmp_path / 'run.toml'}: ")
        assert message in str(caught.value)
    (tmp_path / "run.toml").write_text("steps = 1e4\n[schedule]\nmax_learning_rate = 1\n")
    config = resolve(str(tmp_path / "run.toml"))
    assert (config.steps, config.schedule.max_learning_rate) == (10_000, 1.0)
    assert type(config.steps) is int
    assert type(config.schedule.max_learning_rate) is float


def test_a_file_and_flags_are_merged_before_they_are_checked(tmp_path):
    """100 is no multiple of the preset's 16 heads, and is one of the flag's 10."""
    toml, other = tmp_path / "run.toml", tmp_path / "run.json"
    toml.write_text("[model]\nd_model = 100\n")
    other.write_text('{"model": {"d_model": 100}}')
    for path in (toml, other):
        config = resolve(str(path), ["--model.num-heads", "10"])
        assert (config.model.d_model, config.model.num_heads) == (100, 10)
        with pytest.raises(ConfigError, match="16 heads cannot share"):
            resolve(str(path))
    toml.write_text("steps = 100\n[schedule]\nwarmup = 200\n")
    assert resolve(str(toml), ["--schedule.warmup", "0.1"]).schedule.warmup == 0.1


def test_json_is_a_source_by_its_path_or_by_the_runs_folder(tmp_path):
    config = resolve("debug", ["--steps", "7", "--schedule.shape", "wsd", "--data.train", "a.bin"])
    path = tmp_path / "config.json"
    path.write_text(json.dumps({"format": CONFIG_FORMAT} | config.as_dict()))
    assert TrainConfig.load(path) == config
    assert resolve(str(path)) == config
    assert resolve(str(tmp_path)) == config
    assert resolve(str(tmp_path), ["--steps", "8"]) == dataclasses.replace(config, steps=8)
    (tmp_path / "other.json").write_text('{"preset": "debug", "model": {"num-layers": 3}}')
    assert resolve(str(tmp_path / "other.json")) == override(resolve("debug"), {"model": {"num_layers": 3}})


def test_a_config_of_another_version_says_so(tmp_path):
    path = tmp_path / "config.json"
    values = resolve("debug").as_dict()
    for number in (CONFIG_FORMAT + 1, 0, "2", True):
        path.write_text(json.dumps({"format": number} | values))
        for load in (TrainConfig.load, lambda path: resolve(str(path))):
            with pytest.raises(ConfigError, match=r"config.json has format .*, and this version of bpe-lm reads"):
                load(path)
    old = values | {"schedule": {"name": "cosine", "warmup_iters": 5}}
    path.write_text(json.dumps(old))
    for load in (TrainConfig.load, lambda path: resolve(str(path))):
        with pytest.raises(ConfigError) as caught:
            load(path)
        assert "is of an older version of bpe-lm (schedule.name is no longer a key; use schedule.shape)" in str(
            caught.value
        )
        assert "evaluate, generate and export open such a run" in str(caught.value)
    path.write_text(json.dumps({"format": CONFIG_FORMAT} | old))
    with pytest.raises(ConfigError, match=r"config.json: schedule.name is no longer a key"):
        TrainConfig.load(path)
    path.write_text(json.dumps({"architectures": ["LlamaForCausalLM"]}))
    with pytest.raises(ConfigError, match=r"is the config of an exported model, and not of a run"):
        resolve(str(tmp_path))


def test_files_that_are_not_there_or_not_what_they_are_named(tmp_path):
    with pytest.raises(FileError, match="did you mean the preset tinystories"):
        resolve("tinystorys")
    with pytest.raises(FileError, match="there is no file x.json; the presets are"):
        resolve("x.json")
    with pytest.raises(FileError, match="is a folder without config.json"):
        resolve(str(tmp_path))
    for name in ("bad.toml", "bad.json"):
        (tmp_path / name).write_text("steps = \n")
        with pytest.raises(ConfigError, match=f"{name} is not {name[4:].upper()}"):
            resolve(str(tmp_path / name))


def test_a_file_is_read_as_editors_write_it_and_says_nothing_twice(tmp_path):
    path = tmp_path / "own.json"
    path.write_text('{"steps": 7}', encoding="utf-8-sig")
    assert resolve(str(path)).steps == 7
    (tmp_path / "own.toml").write_text("steps = 7", encoding="utf-8-sig")
    assert resolve(str(tmp_path / "own.toml")).steps == 7
    path.write_text('{"steps": 7, "model": {"d_ff": 1, "d_ff": 2}}')
    with pytest.raises(ConfigError, match=r"own\.json.*the key d_ff occurs twice"):
        resolve(str(path))
    for name, text in (("own.json", '{"a":' * 100_000), ("own.toml", "a = " + "[" * 100_000)):
        (tmp_path / name).write_text(text)
        with pytest.raises(ConfigError, match=f"{name} is not"):
            resolve(str(tmp_path / name))


def test_data_of_another_machine_is_refused_by_its_address():
    with pytest.raises(ConfigError, match=r"data\.valid is s3://bucket/x, and only local files are read"):
        resolve("debug", ["--data.valid", "s3://bucket/x"])


def test_an_ablation_is_a_one_field_difference():
    base = ModelConfig()
    ablated = override(base, {"norm": "none"})
    assert dataclasses.replace(ablated, norm="pre") == base
    with pytest.raises(dataclasses.FrozenInstanceError):
        base.norm = "post"  # type: ignore[misc]


# The length of a run


@pytest.mark.parametrize(("tokens", "steps"), [(1, 1), (127, 1), (128, 1), (129, 2), (12_800, 100), (12_801, 101)])
def test_a_run_of_tokens_has_the_batches_that_reach_them(tokens, steps):
    """A batch of the preset is 8 x 16 tokens."""
    config = override(resolve("debug"), {"tokens": tokens, "schedule": {"warmup": 0}})
    assert (config.steps, config.tokens) == (steps, tokens)


def test_runs_with_other_batches_have_the_same_tokens():
    config = override(resolve("debug"), {"tokens": 12_800})
    for changes, steps in (({"batch_size": 16}, 50), ({"batch_size": 1}, 800), ({"model": {"context_length": 32}}, 50)):
        changed = override(config, changes)
        assert (changed.tokens, changed.steps) == (12_800, steps)
        assert changed.steps * changed.tokens_per_step == 12_800
    assert dataclasses.replace(config, batch_size=16).steps == 50
    # Fractions of the run keep their share of it.
    assert override(config, {"batch_size": 16}).schedule.lengths(50)[0] == 12


@pytest.mark.parametrize(
    ("preset", "text", "flags", "expected"),
    [
        ("", "tokens = 1280", [], (10, 1280)),
        ("", "steps = 30", [], (30, 0)),
        ("", "tokens = 1280", ["--steps", "30"], (30, 0)),
        ("", "steps = 30", ["--tokens", "1280"], (10, 1280)),
        ("", "tokens = 1280", ["--tokens", "2560"], (20, 2560)),
        ("", "tokens = 1280", ["--batch-size", "4"], (20, 1280)),
        ("", "steps = 30\ntokens = 0", [], (30, 0)),
        ("", "steps = 30\ntokens = 0", ["--tokens", "1280"], (10, 1280)),
        ("", "tokens = 1280", ["--steps", "30", "--tokens", "0"], (30, 0)),
        ("", "steps = 30\ntokens = 1280", ["--steps", "40"], (40, 0)),
        ("by_tokens", "steps = 30", [], (30, 0)),
        ("by_tokens", "tokens = 1280", [], (10, 1280)),
        ("by_tokens", "batch_size = 4", [], (40, 2560)),
        ("by_tokens", "tokens = 0", [], (20, 0)),
        ("by_tokens", "batch_size = 4", ["--steps", "30"], (30, 0)),
        ("by_tokens", "steps = 30", ["--tokens", "1280"], (10, 1280)),
    ],
)
def test_the_length_that_is_given_last_counts(tmp_path, monkeypatch, preset, text, flags, expected):
    monkeypatch.setitem(PRESETS, "by_tokens", lambda: override(PRESETS["debug"](), {"tokens": 2560}))
    (tmp_path / "run.toml").write_text(f'preset = "{preset or "debug"}"\n{text}\n')
    config = resolve(str(tmp_path / "run.toml"), flags)
    assert (config.steps, config.tokens) == expected


def test_steps_and_tokens_in_one_place_contradict_each_other(tmp_path):
    remedy = (
        "each is the length of the run; give tokens alone (steps follows from it and the size of a batch), or steps"
    )
    (tmp_path / "run.toml").write_text("steps = 30\ntokens = 1280")
    (tmp_path / "run.json").write_text('{"steps": 30, "tokens": 1280}')
    for source, flags in (
        (str(tmp_path / "run.toml"), []),
        (str(tmp_path / "run.json"), ["--batch-size", "4"]),
        ("debug", ["--tokens", "1280", "--steps", "30"]),
    ):
        with pytest.raises(ConfigError) as caught:
            resolve(source, flags)
        assert "steps is 30 and tokens is 1280" in str(caught.value)
        assert remedy in str(caught.value)


@pytest.mark.parametrize("tokens", [-1, 1.5, "many", True, 2**63])
def test_tokens_that_are_no_number_of_tokens_are_refused(tokens):
    with pytest.raises(ConfigError, match="tokens is"):
        override(resolve("debug"), {"tokens": tokens})


def test_a_run_of_tokens_is_itself_when_saved(tmp_path):
    config = override(resolve("debug"), {"tokens": 1280})
    assert "steps" not in config.as_dict()
    assert TrainConfig.from_dict(config.as_dict()) == config
    (tmp_path / "config.json").write_text(json.dumps({"format": CONFIG_FORMAT} | config.as_dict()))
    assert TrainConfig.load(tmp_path / "config.json") == config
    assert resolve(str(tmp_path), ["--batch-size", "4"]) == override(config, {"batch_size": 4})


def test_every_key_has_a_unit_or_none():
    found = dict(units(TrainConfig()))
    assert list(found) == list(kinds(TrainConfig))
    assert (found["max_time"], found["steps"], found["schedule.warmup"]) == ("seconds", "steps", "fraction or steps")
    assert found["device"] == ""


def test_every_key_has_a_meaning_and_pretrain_help_shows_it(capsys):
    assert list(dict(meanings(TrainConfig()))) == list(kinds(TrainConfig)) == [name for name, _ in keys(TrainConfig())]
    assert all(dict(meanings(TrainConfig())).values())
    with pytest.raises(SystemExit) as ended:
        main(["pretrain", "--help"])
    assert ended.value.code == 0
    shown = " ".join(capsys.readouterr().out.split())
    for key, meaning in meanings(TrainConfig()):
        assert f"{flag_of(key)} " in shown
        assert meaning in shown
    assert "--schedule.shape cosine|constant|linear|wsd how the learning rate falls (default: cosine)" in shown
