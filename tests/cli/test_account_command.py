"""The tables and the JSON of `bpe-lm account`."""

import json

import pytest
from bpe_lm.cli.account import print_account
from bpe_lm.cli.main import main
from bpe_lm.cli.tables import duration
from bpe_lm.model.flops import count_parameters, training_flops_per_token
from bpe_lm.training import account as accounting
from bpe_lm.training import step_memory
from bpe_lm.training.account import Account
from bpe_lm.training.config import override
from bpe_lm.training.presets import resolve
from bpe_lm.training.step_memory import StepMemory


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.0034, "0.0034 seconds"),
        (119, "119.0 seconds"),
        (7000, "116.7 minutes"),
        (16_000, "4.4 hours"),
        (1e9, "11,574.1 days"),
    ],
)
def test_durations_have_a_unit_that_fits(seconds, text):
    assert duration(seconds) == text


@pytest.fixture
def quick(monkeypatch):
    """No step is simulated."""
    monkeypatch.setattr(accounting, "step_memory", lambda config: StepMemory(1, 2, 3, 4, 5, 6))
    monkeypatch.setattr(accounting, "largest_batch", lambda config, memory: 7)


def test_the_time_of_a_run_is_its_flops_by_the_rate_of_this_machine(capsys, monkeypatch, quick):
    rates = {"float32": 5e11, "bfloat16": 8e11, "cuda": None}
    asked = []

    def rate(device, dtype):
        asked.append((device.type, dtype))
        return rates[dtype] if device.type == "cpu" else rates["cuda"]

    monkeypatch.setattr(accounting, "peak_flops", rate)
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    flags = ["debug", "--model.num-layers", "3", "--steps", "200000", "--device", "cuda", "--memory", "24GB"]
    assert main(["account", *flags]) == 0
    text = " ".join(capsys.readouterr().out.split())
    config = override(resolve("debug"), {"model": {"num_layers": 3}})
    flops = training_flops_per_token(config.model) * config.tokens_per_step * 200_000
    assert f"{flops:.3e} FLOPs At least {duration(flops / 5e11)} on this machine" in text
    assert "its matrix products reach 500 GFLOP/s in float32 now" in text
    assert "Memory of a step on a GPU, 8 texts at a time, float32, not compiled" in text
    assert main(["account", *flags, "--dtype", "bfloat16", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["least_seconds"] == pytest.approx(flops / 8e11)
    assert (found["flops_of_run"], found["memory_is_of"]) == (pytest.approx(flops), "cuda")
    assert asked == [("cpu", "float32"), ("cpu", "bfloat16")]


def test_a_gpus_rate_is_its_data_sheets_or_unknown(capsys, monkeypatch, quick):
    monkeypatch.setattr("torch.cuda.is_available", lambda: True)
    monkeypatch.setattr(accounting, "device_memory", lambda device: 143 * 10**9)
    monkeypatch.setattr(step_memory, "runs_triton", lambda index: True)
    config = resolve("debug")
    for rate, line in ((989e12, "its data sheet says 989,000 GFLOP/s in float32"), (None, "")):
        monkeypatch.setattr(accounting, "peak_flops", lambda device, dtype, rate=rate: rate)
        account = Account.of(config)
        print_account(account)
        text = capsys.readouterr().out
        assert line in text
        assert ("At least" in text) == (rate is not None)
        assert "fit into 143.00 GB: 7, by the bytes that torch allocates" in text


def test_the_rate_is_measured_where_nothing_replaces_it(capsys, quick):
    assert main(["account", "debug", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["flops_per_second"] > 1e8


def test_each_size_of_gpt2_has_the_courses_tables(capsys, quick):
    for size, figures in {
        "small": ("162,148,608 parameters", "2.916e+11", "39.76%"),
        "medium": ("406,539,264 parameters", "8.302e+11", "50.05%"),
        "large": ("833,591,040 parameters", "1.769e+12", "54.30%"),
        "xl": ("1,640,452,800 parameters: 6.56 GB", "2,127,057,600", "3.517e+12", "57.53%", "37.98 times", "4.513e+12"),
    }.items():
        assert main(["account", f"gpt2-{size}", "--memory", "80GB"]) == 0
        text = capsys.readouterr().out
        for figure in figures:
            assert figure in text
        assert "Most is taken by the feed-forward network" in text
        assert "Then most is taken by the scores of attention" in text
        assert all(gpu in text for gpu in ("A100", "H100", "B200"))
    rows = [line.replace("│", " ").split() for line in text.splitlines()]
    assert ["2", "6,400", "1,635,537,600", "3.507e+12", "28.71%", "9.19%", "57.41%", "4.70%"] in rows
    assert ["2", "6,400", "38.05", "1.334e+14", "12.07%", "61.81%", "24.14%", "1.97%"] in rows
    assert "3 matrices, d_ff 4,288: 16.37 GB x batch + 26.25 GB, so 3 in 80.00 GB" in text


def test_the_command_prints_and_gives_json(capsys):
    assert main(["account", "debug", "--memory", "80GB"]) == 0
    text = capsys.readouterr().out
    for part in (
        "TransformerLM (",
        "2 matrices",
        "activations",
        "peak",
        "that fit into 80.00 GB",
        "By the course's formula",
    ):
        assert part in text
    assert main(["account", "debug", "--model.num-layers", "3", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["parameters"] == count_parameters(override(resolve("debug").model, {"num_layers": 3}))
    with pytest.raises(SystemExit):
        main(["account", "debug", "--memory", "many"])


def test_the_table_says_of_which_device_it_speaks(capsys, monkeypatch, quick):
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    expected = {"cpu": ("a CPU", "libraries", "by these figures of a CPU"), "cuda": ("a GPU", "cuBLAS", "in 80.00 GB")}
    for device, words in expected.items():
        assert main(["account", "debug", "--device", device]) == 0
        text = capsys.readouterr().out
        assert f"Memory of a step on {words[0]}, 8 texts at a time, float32, not compiled:" in text
        assert all(word in text for word in words)
        assert ("unused" in text.partition("Memory of a step")[2].partition("By the course")[0]) == (device == "cpu")


def test_a_gpu_that_is_not_here_is_accounted_for_in_bfloat16(capsys, monkeypatch):
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    flags = ["account", "debug", "--dtype", "auto", "--json", "--memory", "1GB", "--device"]
    assert main([*flags, "cuda:0"]) == 0
    gpu = json.loads(capsys.readouterr().out)
    assert main([*flags, "cpu"]) == 0
    cpu = json.loads(capsys.readouterr().out)
    assert (gpu["memory_is_of"], gpu["config"]["dtype"], gpu["memory"]["unused"]) == ("cuda", "bfloat16", 0)
    assert cpu["memory_is_of"] == "cpu"
    assert min(gpu["largest_batch"], cpu["largest_batch"]) > 0
