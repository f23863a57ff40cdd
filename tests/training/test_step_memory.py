"""The predicted memory of a step, against that of a real one."""

import json
import subprocess
import sys
from itertools import accumulate
from types import SimpleNamespace

import pytest
import torch
from bpe_lm.model.config import Switches
from bpe_lm.model.flops import count_parameters
from bpe_lm.training import step_memory as prediction
from bpe_lm.training.config import TrainConfig, override
from bpe_lm.training.optimizers.cost import group_costs
from bpe_lm.training.parallel import World
from bpe_lm.training.presets import resolve
from bpe_lm.training.step_memory import largest_batch, step_memory
from bpe_lm.training.train_step import TrainStep
from torch.profiler import ProfilerActivity, profile


def test_memory_is_of_the_parts_that_a_step_has():
    config = override(resolve("tinystories"), {"batch_size": 16, "dtype": "float32"})
    found = step_memory(config)
    weights = 4 * count_parameters(config.model)
    assert found.gradients == weights
    assert found.parameters == pytest.approx(weights, rel=1e-3)  # And tables of angles.
    assert found.optimizer == pytest.approx(2 * weights, rel=1e-3)
    muon = override(config, {"optimizer": {"name": "muon"}})
    state = sum(group.state_bytes for group in group_costs(muon))  # The rest is the numbers of steps.
    assert step_memory(muon).optimizer == pytest.approx(state, rel=1e-4)
    assert state < 0.75 * found.optimizer
    narrow = step_memory(override(config, {"dtype": "bfloat16"}))
    again = step_memory(override(config, {"activation_checkpointing": True}))
    assert 0.3 < narrow.activations / found.activations < 0.8  # Kernels of norms and SwiGLU keep less than torch.
    assert again.activations < 0.5 * found.activations
    rows = largest_batch(config, 8e9)
    assert step_memory(config, rows).peak <= 8e9 < step_memory(config, rows + 1).peak
    assert largest_batch(config, 4e8) == 0


@pytest.mark.parametrize("fixed", [0, 10**6])
@pytest.mark.parametrize("of_a_leap", [0, 10, 10**4])
@pytest.mark.parametrize("rows_of_a_leap", [1, 16, 50_000])
def test_the_largest_batch_is_found_in_few_steps(monkeypatch, fixed, of_a_leap, rows_of_a_leap):
    asked = []

    def peak(rows):
        return fixed + 77 * rows + of_a_leap * (rows // rows_of_a_leap)

    def simulated(config, rows):
        asked.append(rows)
        return SimpleNamespace(peak=peak(rows))

    monkeypatch.setattr(prediction, "step_memory", simulated)
    for memory in (50, 77, 1_000, 5e6, 3e8):
        asked.clear()
        rows = largest_batch(resolve("debug"), memory)
        assert memory < peak(rows + 1)
        assert rows == 0 or peak(rows) <= memory
        assert len(asked) <= 20
        assert min(asked) > 0


MEASURE = """
import sys, torch
from pathlib import Path

def resident(name):
    return next(1024 * int(line.split()[1]) for line in Path("/proc/self/status").open() if line.startswith(name))

before = resident("VmRSS")
from bpe_lm.training.config import override
from bpe_lm.training.presets import resolve
from bpe_lm.training.trainer import Trainer
changes = {"batch_size": 16, "steps": 3, "dtype": sys.argv[1], "device": "cpu", "data": {"train": sys.argv[2]}}
changes["activation_checkpointing"] = sys.argv[4] == "1"
with Trainer(override(resolve("tinystories"), changes), sys.argv[3]) as trainer:
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
    config = override(resolve("tinystories"), changes)
    assert step_memory(config).peak == pytest.approx(int(done.stdout), rel=0.1)


SWITCHES = {
    "qk_norm": True,
    "logit_softcap": 15.0,
    "value_embeddings": 1,
    "u_net_skips": True,
    "zero_init": True,
    "embedding_scale": 2.0,
    "window": 8,
    "global_every": 2,
    "ffn": "relu2",
    "tied_head": True,
    "norm": "none",
    "position": "none",
}


def lasting(steps: TrainStep) -> int:
    """The bytes of a model, with its tables, and of its optimizer's state."""
    tensors = [*steps.model.parameters(), *steps.model.buffers()]
    tensors += [value for state in steps.optimizer.state.values() for value in state.values()]
    return sum({t.untyped_storage().data_ptr(): t.untyped_storage().nbytes() for t in tensors}.values())


def allocated_in_a_second_step(config: TrainConfig, folder) -> tuple[int, int]:
    """The bytes that last, and the most beyond them that torch's allocator gave in a step, as its profiler saw them."""
    steps = TrainStep(config, torch.device("cpu"), World())
    steps.prepare()

    def step() -> None:
        ids = torch.randint(config.model.vocab_size, (config.batch_size, config.model.context_length))
        steps.gradients(ids, ids)
        steps.optimizer.step()
        steps.optimizer.zero_grad(set_to_none=True)

    step()
    before = lasting(steps)
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as seen:
        step()
    seen.export_chrome_trace(str(folder / "trace.json"))
    events = [e for e in json.loads((folder / "trace.json").read_text())["traceEvents"] if e["name"] == "[memory]"]
    return before, max(accumulate(e["args"]["Bytes"] for e in sorted(events, key=lambda e: e["ts"])))


@pytest.mark.parametrize("switch", ["none", *SWITCHES, "all", "all with muon in bfloat16"])
def test_each_switch_is_accounted_as_torch_allocates(switch, tmp_path):
    """The vocabulary is small, so that a residual stream of one layer too much or too little is not within bounds."""
    excluded = ("norm", "position")
    is_all = switch.startswith("all")
    model = {name: SWITCHES[name] for name in SWITCHES if name == switch or (is_all and name not in excluded)}
    sizes = {"vocab_size": 24, "context_length": 64, "d_model": 64, "num_layers": 2, "d_ff": 128}
    muon = {"dtype": "bfloat16", "optimizer": {"name": "muon"}} if "muon" in switch else {}
    config = override(
        resolve("debug"), {"residual": "float32", "device": "cpu", "batch_size": 16, "model": sizes | model} | muon
    )
    found = step_memory(config)
    lasts, most = allocated_in_a_second_step(config, tmp_path)
    assert lasts == found.parameters + found.optimizer
    assert 0 <= most - (found.gradients + found.activations) <= found.loss < 4 * 16 * 64 * 64


def test_every_switch_is_accounted():
    assert set(Switches.__dataclass_fields__) <= set(SWITCHES)


@pytest.mark.parametrize("changes", [{}, {"activation_checkpointing": True}, {"micro_batch_size": 2}])
def test_more_layers_are_predicted_from_a_few(changes, monkeypatch):
    config = override(resolve("debug"), changes | {"model": {"num_layers": 7, "tied_head": True}})
    found = step_memory(config)
    monkeypatch.setattr(prediction, "_FEW_LAYERS", 7)
    assert found == step_memory(config)


def test_the_formulas_are_simulated_as_well():
    config = override(resolve("debug"), {"implementation": "reference"})
    assert step_memory(config).loss == 0
    assert step_memory(config).activations > step_memory(resolve("debug")).activations


ON_AN_H200 = [(16, "float32", 1.569e9), (64, "bfloat16", 3.114e9), (128, "bfloat16", 5.450e9)]
"""Rows, number format, and torch.cuda.max_memory_allocated of a step of TinyStories' shape at commit 7927f54, whose
loss, norms and rotation were torch's operations."""


@pytest.mark.parametrize(("rows", "dtype", "measured"), ON_AN_H200)
def test_the_prediction_for_a_gpu_is_below_what_a_step_took_before_its_kernels(rows, dtype, measured):
    """tests/gpu compares predictions with the peak of the same code."""
    config = override(
        resolve("tinystories"), {"batch_size": rows, "dtype": dtype, "device": "cuda", "residual": "float32"}
    )
    assert 0.6 * measured < step_memory(config).peak < measured
    without = override(config, {"kernels": {"loss": "torch"}})
    assert step_memory(config).peak < step_memory(without).peak < 1.02 * measured


def test_a_residual_stream_is_accounted_as_a_run_chooses_it():
    config = override(resolve("tinystories"), {"batch_size": 16, "dtype": "bfloat16"})
    for device, expected in (("cuda", "bfloat16"), ("cpu", "float32")):
        chosen, narrow, wide = (
            step_memory(override(config, {"device": device, "residual": residual}))
            for residual in ("auto", "bfloat16", "float32")
        )
        assert chosen == {"bfloat16": narrow, "float32": wide}[expected]
        assert (narrow.activations < wide.activations) == (device == "cuda")  # A CPU's kernels need a wide stream.


def test_attention_on_a_gpu_keeps_no_scores():
    config = override(resolve("debug"), {"device": "cuda", "dtype": "bfloat16", "batch_size": 4})
    short, long = (step_memory(override(config, {"model": {"context_length": c}})) for c in (512, 4096))
    assert long.activations == pytest.approx(8 * short.activations, rel=0.05)


def test_the_loss_of_a_gpu_counts_only_where_it_is_the_peak(monkeypatch):
    config = override(resolve("debug"), {"device": "cuda", "dtype": "float32"})
    added = step_memory(config).loss
    monkeypatch.setattr(prediction, "workspace", lambda *arguments, **options: 0)
    none = step_memory(config)
    assert none.loss == 0
    monkeypatch.setattr(prediction, "workspace", lambda *arguments, **options: 10**9)
    assert 0 <= added < 0.9e9 < step_memory(config).loss <= 10**9
