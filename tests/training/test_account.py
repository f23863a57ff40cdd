"""What a run costs, against the figures of two write-ups of the course and against what it really takes."""

import json
import subprocess
import sys

import pytest
from bpe_lm.cli.main import main
from bpe_lm.model.config import ModelConfig
from bpe_lm.model.transformer import TransformerLM
from bpe_lm.training.account import (
    Account,
    StepMemory,
    count_parameters,
    course_memory,
    duration,
    forward_flops,
    largest_batch,
    parameter_tree,
    step_memory,
    training_seconds,
)
from bpe_lm.training.config import over
from bpe_lm.training.presets import resolve


def gpt2(layers: int, d: int, heads: int, context: int = 1024) -> ModelConfig:
    return ModelConfig(50_257, context, d, layers, heads, 4 * d)


SMALL, MEDIUM, LARGE, XL = gpt2(12, 768, 12), gpt2(24, 1024, 16), gpt2(36, 1280, 20), gpt2(48, 1600, 25)


def test_parameters_are_the_write_ups_and_the_models():
    assert count_parameters(XL) == count_parameters(gpt2(48, 1600, 25, 16_384)) == 2_127_057_600
    assert count_parameters(XL, 2) == 1_635_537_600
    assert count_parameters(ModelConfig()) == 22_696_448
    for changes in ({}, {"ffn": "silu"}, {"norm": "none"}, {"tied_head": True}, {"position": "none", "norm": "post"}):
        config = ModelConfig(**resolve("debug").model.as_dict() | changes)
        assert count_parameters(config) == TransformerLM.from_config(config).num_parameters()


def test_flops_are_the_write_ups():
    two = [forward_flops(config, 2).total for config in (SMALL, MEDIUM, LARGE, XL)]
    assert two[3] == pytest.approx(3.507e12, rel=1e-3)
    shares = [list(forward_flops(config, 2).shares().values()) for config in (SMALL, MEDIUM, LARGE, XL)]
    expected = [[19.88, 13.25, 39.76, 27.10], [24.93, 12.46, 49.86, 12.75], [27.23, 10.89, 54.46, 7.42]]
    for found, percents in zip(shares, [*expected, [28.71, 9.19, 57.41, 4.70]], strict=True):
        assert [100 * share for share in found] == pytest.approx(percents, abs=0.01)
    long = gpt2(48, 1600, 25, 16_384)
    assert forward_flops(long, 2).total == pytest.approx(1.334e14, rel=1e-3)
    assert forward_flops(long, 2).total / two[3] == pytest.approx(38.05, abs=0.01)
    assert forward_flops(long, 2).shares()["scores"] == pytest.approx(0.6181, abs=1e-4)
    three = [forward_flops(config).total for config in (SMALL, MEDIUM, LARGE, XL)]
    assert three == pytest.approx([3.496e11, 1.033e12, 2.258e12, 4.513e12], rel=1e-3)
    shares = forward_flops(XL).shares()
    found = [shares[part] for part in ("projections", "scores", "ffn", "head")]
    assert found == pytest.approx([0.2230, 0.0714, 0.6691, 0.0365], abs=1e-4)
    assert forward_flops(long).total == pytest.approx(1.495e14, rel=1e-3)
    assert forward_flops(long).total / three[3] == pytest.approx(33.13, abs=0.01)
    assert forward_flops(long).shares()["scores"] == pytest.approx(0.5515, abs=1e-4)


@pytest.mark.parametrize(
    ("matrices", "per_text", "fixed", "batch", "days"), [(2, 15.52e9, 26.17e9, 3, 5115), (3, 18.04e9, 34.03e9, 2, 6584)]
)
def test_adamw_takes_what_the_write_ups_say(matrices, per_text, fixed, batch, days):
    memory = course_memory(XL, matrices)
    assert memory.per_text == pytest.approx(per_text, rel=1e-3)
    assert memory.fixed == pytest.approx(fixed, rel=1e-3)
    assert memory.largest_batch(80e9) == batch
    seconds = training_seconds(forward_flops(XL, matrices), 1024, 400_000, 19.5e12, 0.5)
    assert seconds / 86_400 == pytest.approx(days, abs=1)


def test_a_config_counts_what_a_training_step_does():
    config = resolve("tinystories").model
    assert 3 * forward_flops(config).total / config.context_length == pytest.approx(config.flops_per_token)


def test_the_tree_has_every_weight_once():
    lines = list(parameter_tree(TransformerLM.from_config(resolve("debug").model)))
    assert lines[0].startswith("TransformerLM (")
    assert any("layers: 2 x TransformerBlock" in line for line in lines)
    assert any(line.endswith("q_proj (1,024 params, 32 x 32)") for line in lines)


def test_memory_is_of_the_parts_that_a_step_has():
    config = over(resolve("tinystories"), {"batch_size": 16})
    found = step_memory(config)
    weights = 4 * count_parameters(config.model)
    assert found.gradients == weights
    assert found.parameters == pytest.approx(weights, rel=1e-3)  # And tables of angles.
    assert found.optimizer == pytest.approx(2 * weights, rel=1e-3)
    narrow = step_memory(over(config, {"dtype": "bfloat16"}))
    again = step_memory(over(config, {"activation_checkpointing": True}))
    assert 0.5 < narrow.activations / found.activations < 0.8
    assert again.activations < 0.5 * found.activations
    rows = largest_batch(config, 8e9)
    assert 0.98 * 8e9 < step_memory(config, rows).peak <= 8e9
    assert largest_batch(config, 4e8) == 0


MEASURE = """
import sys, torch
from pathlib import Path

def resident(name):
    return next(1024 * int(line.split()[1]) for line in Path("/proc/self/status").open() if line.startswith(name))

before = resident("VmRSS")
from bpe_lm.training.config import over
from bpe_lm.training.presets import resolve
from bpe_lm.training.trainer import Trainer
changes = {"batch_size": 16, "steps": 3, "dtype": sys.argv[1], "device": "cpu", "data": {"train": sys.argv[2]}}
changes["activation_checkpointing"] = sys.argv[4] == "1"
with Trainer(over(resolve("tinystories"), changes), sys.argv[3]) as trainer:
    trainer._save = lambda name: None
    trainer.run()
print(resident("VmHWM") - before)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
@pytest.mark.parametrize(("dtype", "is_checkpointed"), [("float32", False), ("bfloat16", False), ("bfloat16", True)])
def test_the_predicted_peak_is_the_measured_one(tmp_path, data, dtype, is_checkpointed):
    paths = str(data / "train.bin"), str(tmp_path / "run")
    command = [sys.executable, "-c", MEASURE, dtype, *paths, str(int(is_checkpointed))]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    changes = {"batch_size": 16, "dtype": dtype, "activation_checkpointing": is_checkpointed}
    config = over(resolve("tinystories"), changes)
    assert step_memory(config).peak == pytest.approx(int(done.stdout), rel=0.1)


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
    monkeypatch.setattr("bpe_lm.training.account.step_memory", lambda config: StepMemory(1, 2, 3, 4, 5, 6))
    monkeypatch.setattr("bpe_lm.training.account.largest_batch", lambda config, memory: 7)


def test_the_time_of_a_run_is_its_flops_by_the_rate_of_this_machine(capsys, monkeypatch, quick):
    rates = {"float32": 5e11, "bfloat16": 8e11, "cuda": None}
    asked = []

    def rate(device, dtype):
        asked.append((device.type, dtype))
        return rates[dtype] if device.type == "cpu" else rates["cuda"]

    monkeypatch.setattr("bpe_lm.training.account.peak_flops", rate)
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    flags = ["debug", "--model.num-layers", "3", "--steps", "200000", "--device", "cuda", "--memory", "24GB"]
    assert main(["account", *flags]) == 0
    text = " ".join(capsys.readouterr().out.split())
    config = over(resolve("debug"), {"model": {"num_layers": 3}})
    flops = config.model.flops_per_token * config.tokens_per_step * 200_000
    assert f"{flops:.3e} FLOPs At least {duration(flops / 5e11)} on this machine" in text
    assert "its matrix products reach 500 GFLOP/s in float32 now" in text
    assert "by these figures of a CPU (a GPU's kernels keep other tensors, which were not measured)" in text
    assert main(["account", *flags, "--dtype", "bfloat16", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["least_seconds"] == pytest.approx(flops / 8e11)
    assert (found["flops_of_run"], found["memory_is_of"]) == (pytest.approx(flops), "cpu")
    assert asked == [("cpu", "float32"), ("cpu", "bfloat16")]


def test_a_gpus_rate_is_its_data_sheets_or_unknown(capsys, monkeypatch, quick):
    monkeypatch.setattr("torch.cuda.is_available", lambda: True)
    config = resolve("debug")
    for rate, line in ((989e12, "its data sheet says 989,000 GFLOP/s in float32"), (None, "")):
        monkeypatch.setattr("bpe_lm.training.account.peak_flops", lambda device, dtype, rate=rate: rate)
        account = Account.of(config)
        account.print()
        text = capsys.readouterr().out
        assert line in text
        assert ("At least" in text) == (rate is not None)


def test_the_rate_is_measured_where_nothing_replaces_it(capsys, quick):
    assert main(["account", "debug", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["flops_per_second"] > 1e8


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
    assert (
        found["parameters"]
        == TransformerLM.from_config(over(resolve("debug").model, {"num_layers": 3})).num_parameters()
    )
    with pytest.raises(SystemExit):
        main(["account", "debug", "--memory", "many"])
