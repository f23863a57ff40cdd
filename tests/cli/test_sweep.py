"""The commands sweep and runs: what they refuse before anything runs, and what they print."""

import json

import pytest
from bpe_lm.cli import sweep
from bpe_lm.cli.main import main, new_parser
from bpe_lm.cli.options import gpus
from bpe_lm.errors import OptionError
from bpe_lm.training.presets import resolve


def study(*words: str):
    return sweep._study(
        new_parser().parse_args(["sweep", "debug", "--data.train", "train.bin", "--out", "folder", *words])
    )


def test_a_sweep_is_the_study_that_its_options_say():
    found = study("--grid", "batch_size=4,8", "--grid=model.norm=pre,none", "--seeds", "2", "--steps", "30")
    assert found.base == resolve("debug", ["--data.train", "train.bin", "--steps", "30"])
    names = [run.name for run in found.trainings()]
    assert names[:4] == [f"batch_size={size},norm={norm}" for size in (4, 8) for norm in ("pre", "none")]
    assert names[4] == "batch_size=4,norm=pre,seed=337"
    assert len(names) == 8
    assert found.name == "folder"


def test_a_variant_may_change_several_keys():
    found = study("--variant", "model.ffn=relu2,model.d-ff=96", "--variant", "model.qk_norm=true", "--seeds", "2")
    assert [run.name for run in found.trainings()][:4] == ["base", "ffn=relu2,d_ff=96", "qk_norm=true", "seed=337"]


def test_keys_and_values_are_those_of_the_config():
    found = study("--grid", "schedule.max-learning-rate=1e-4, 3", "--grid", "compile=true,off", "--grid", "steps=1e2")
    flags = ["--data.train", "train.bin", "--schedule.max-learning-rate", "1e-4", "--compile", "--steps", "100"]
    assert found.trainings()[0].config == resolve("debug", flags)


def test_a_random_sweep_draws_the_same_runs_each_time():
    words = ("--random", "5", "--grid", "batch_size=4,8", "--log", "schedule.max_learning_rate=1e-4:1e-2")
    runs = study(*words).trainings()
    assert len(runs) == 5
    assert study(*words).trainings() == runs
    assert study(*words, "--seed", "7").trainings()[0].changes != runs[0].changes


@pytest.mark.parametrize(
    ("words", "error"),
    [
        (["--grid", "lr=1,2"], "there is no key lr; did you mean schedule.max_learning_rate?"),
        (["--grid", "batch_size"], "'batch_size' is not KEY=V,V"),
        (["--grid", "batch_size=1,,2"], "is not KEY=V,V"),
        (["--grid", "batch_size=1,x"], "--batch-size is 'x', and must be a whole number"),
        (["--grid", "batch_size=1,2", "--grid", "batch-size=4"], "batch_size is given twice"),
        (["--grid", "batch_size=4"], "there is one run only"),
        (["--grid", "batch_size=4,8"], "data.train is not set; name with --data.train a token file"),
        ([], "there is one run only"),
        (["--log", "batch_size=1:8"], "say how many runs with --random"),
        (["--random", "3", "--log", "batch_size=8"], "is not KEY=LOW:HIGH"),
        (["--random", "3", "--log", "batch_size=8:1"], "0 < low < high"),
        (["--random", "3", "--grid", "batch_size=1,2"], "only 2 different runs"),
        (["--grid", "seed=1,2", "--seeds", "2"], "--grid has seed, and --seeds also"),
        (["--grid", "model.num_heads=4,5", "--data.train", "x"], "the run num_heads=5: model.d_model is 32"),
        (["--variant", "batch_size"], "'batch_size' is not KEY=V,KEY=V"),
        (["--variant", "batch_size=4,batch-size=5"], "has a key twice"),
        (["--variant", "batch_size=4", "--grid", "steps=1,2"], "--variant says what each run changes"),
        (["--variant", "batch_size=4", "--random", "2"], "--variant says what each run changes"),
        (["--variant", "batch_size=8"], "the variant batch_size=8 is the config as it is"),
        (["--grid", "batch_size=1,2", "--devices", "gpu0"], "is not a GPU"),
        (["--grid", "batch_size=1,2", "--devices", "cuda:0,cuda:0"], "has a GPU twice"),
        (["--grid", "batch_size=1,2", "--devices", "cuda,cuda:0"], "has a GPU twice"),
        (["--grid", "batch_size=1,2", "--devices", "cuda:x"], "is not a GPU"),
        (["--grid", "batch_size=1,2", "--jobs", "0"], "is not a whole number from 1 on"),
    ],
)
def test_what_makes_no_sense_is_refused_before_anything_runs(words, error, tmp_path, capsys):
    try:
        status = main(["sweep", "debug", "--out", str(tmp_path / "out"), *words])
    except SystemExit as ended:
        status = ended.code
    assert status in (1, 2)
    assert error in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_more_processes_than_gpus_are_refused(monkeypatch):
    import torch

    config, on_cpu = resolve("debug"), resolve("debug", ["--device", "cpu"])
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    assert sweep._devices((), config, 1) == ()
    assert sweep._devices((), config, 2) == ["cuda:0", "cuda:1"]
    assert sweep._devices((), on_cpu, 3) == ()
    with pytest.raises(OptionError, match="this machine has 2 GPUs"):
        sweep._devices((), config, 3)
    assert sweep._devices(gpus("cuda,cuda:1"), config, 1) == ["cuda:0", "cuda:1"]
    with pytest.raises(OptionError, match="--devices has cuda:2, and this machine has 2 GPUs"):
        sweep._devices(gpus("cuda:0, cuda:2"), config, 1)
    with pytest.raises(OptionError, match="device is 'cpu'"):
        sweep._devices(gpus("cuda:0"), on_cpu, 1)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)
    assert sweep._devices((), config, 3) == []
    assert main(["sweep", "debug", "--grid", "steps=1,2", "--out", "nowhere", "--devices", "cuda:0"]) == 1
    assert main(["reproduce", "--out", "nowhere", "--devices", "cuda:0"]) == 1


def test_runs_that_cannot_begin_are_listed_with_their_reason(tmp_path, capsys):
    out = str(tmp_path / "out")
    absent = ["--data.train", str(tmp_path / "absent.bin"), "--device", "cpu"]
    sweep_of_two = ["sweep", "debug", "--out", out, "--grid", "batch_size=4,8", *absent]
    assert main([*sweep_of_two, "--dry-run"]) == 0
    printed = capsys.readouterr()
    assert "absent.bin" in printed.out
    assert not (tmp_path / "out").exists()
    assert main(sweep_of_two) == 1
    printed = capsys.readouterr()
    assert "batch_size=8: failed: " in printed.err
    assert "0 of 2 runs are over" in printed.out
    assert main(["runs", out, "--json"]) == 0
    listed = json.loads(capsys.readouterr().out)
    assert [(run["name"], run["state"], run["changes"]) for run in listed] == [
        ("batch_size=4", "failed", {"batch_size": 4}),
        ("batch_size=8", "failed", {"batch_size": 8}),
    ]
    assert "absent.bin" in listed[0]["message"]
    assert main(["runs", out]) == 0
    assert "differs in" not in capsys.readouterr().out, "the names say it"


@pytest.mark.parametrize(
    ("names", "error"),
    [
        (["mine.txt"], "out has mine.txt and no study.json; name a new folder"),
        (["study.json", "setting.json"], "out has a reproduction"),
        (["config.json", "metrics.jsonl"], "out is a run itself"),
    ],
)
def test_a_folder_with_something_else_is_left_alone(tmp_path, monkeypatch, capsys, names, error):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "out").mkdir()
    for name in names:
        (tmp_path / "out" / name).write_text("{}")
    assert main(["sweep", "debug", "--data.train", "x", "--grid", "batch_size=4,8", "--out", "out"]) == 1
    assert error in capsys.readouterr().err
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == sorted(names)


def test_runs_of_no_study_are_refused(tmp_path, capsys):
    assert main(["runs", str(tmp_path)]) == 1
    assert "has no study.json and no run" in capsys.readouterr().err
