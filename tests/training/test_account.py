"""What a run costs, against the figures of the course's handouts and of two write-ups."""

from dataclasses import replace

import pytest
import torch
from bpe_lm.model.config import ModelConfig
from bpe_lm.model.flops import count_parameters, forward_flops, training_flops
from bpe_lm.model.transformer import TransformerLM
from bpe_lm.training import account as accounting
from bpe_lm.training.account import Account, conventions, course_memory, parameter_tree, training_seconds
from bpe_lm.training.config import override
from bpe_lm.training.presets import PRESETS, resolve
from bpe_lm.training.step_memory import StepMemory


def gpt2(size: str, ffn: str = "swiglu", context: int = 1024) -> ModelConfig:
    """A shape of GPT-2 with d_ff = 4 d_model, as the handout of 2025 and the write-ups have it."""
    model = PRESETS[f"gpt2-{size}"]().model
    return replace(model, ffn=ffn, d_ff=4 * model.d_model, context_length=context)


SIZES = ("small", "medium", "large", "xl")


def test_the_presets_are_gpt2s_shapes_with_the_handouts_width():
    found = [PRESETS[f"gpt2-{size}"]().model for size in SIZES]
    assert [(c.num_layers, c.d_model, c.num_heads) for c in found] == [
        (12, 768, 12),
        (24, 1024, 16),
        (36, 1280, 20),
        (48, 1600, 25),
    ]
    assert [c.d_ff for c in found] == [2048, 2752, 3392, 4288]
    assert {(c.vocab_size, c.context_length, c.ffn) for c in found} == {(50_257, 1024, "swiglu")}


def test_parameters_are_the_write_ups():
    assert count_parameters(gpt2("xl")) == count_parameters(gpt2("xl", context=16_384)) == 2_127_057_600
    assert count_parameters(gpt2("xl", "silu")) == 1_635_537_600
    assert count_parameters(ModelConfig()) == 22_696_448


def test_flops_are_the_write_ups():
    two = [forward_flops(gpt2(size, "silu")) for size in SIZES]
    assert two[3].total == pytest.approx(3.507e12, rel=1e-3)
    expected = [
        [19.88, 13.25, 39.76, 27.10],
        [24.93, 12.46, 49.86, 12.75],
        [27.23, 10.89, 54.46, 7.42],
        [28.71, 9.19, 57.41, 4.70],
    ]
    for found, percents in zip(two, expected, strict=True):
        assert [100 * share for share in found.shares().values()] == pytest.approx(percents, abs=0.01)
    long = forward_flops(gpt2("xl", "silu", 16_384))
    assert long.total == pytest.approx(1.334e14, rel=1e-3)
    assert long.total / two[3].total == pytest.approx(38.05, abs=0.01)
    assert long.shares()["scores"] == pytest.approx(0.6181, abs=1e-4)


def test_flops_with_swiglu_are_those_of_2025():
    three = [forward_flops(gpt2(size)) for size in SIZES]
    assert [flops.total for flops in three] == pytest.approx([3.496e11, 1.033e12, 2.258e12, 4.513e12], rel=1e-3)
    assert list(three[3].shares().values()) == pytest.approx([0.2230, 0.0714, 0.6691, 0.0365], abs=1e-4)
    long = forward_flops(gpt2("xl", context=16_384))
    assert long.total == pytest.approx(1.495e14, rel=1e-3)
    assert long.total / three[3].total == pytest.approx(33.13, abs=0.01)
    assert long.shares()["scores"] == pytest.approx(0.5515, abs=1e-4)


@pytest.mark.parametrize(
    ("ffn", "per_text", "fixed", "batch", "days"),
    [("silu", 15.52e9, 26.17e9, 3, 5115), ("swiglu", 18.04e9, 34.03e9, 2, 6584)],
)
def test_adamw_takes_what_the_write_ups_say(ffn, per_text, fixed, batch, days):
    memory = course_memory(gpt2("xl", ffn))
    assert memory.per_text == pytest.approx(per_text, rel=1e-3)
    assert memory.fixed == pytest.approx(fixed, rel=1e-3)
    assert memory.largest_batch(80e9) == batch
    seconds = training_seconds(training_flops(gpt2("xl", ffn)) * 1024 * 400_000, 19.5e12, 0.5)
    assert seconds / 86_400 == pytest.approx(days, abs=1)


def test_the_conventions_are_the_model_and_the_handouts_networks():
    xl = PRESETS["gpt2-xl"]().model
    assert [(c.ffn_matrices, c.d_ff) for c in conventions(xl)] == [(3, 4288), (3, 6400), (2, 6400)]
    two = replace(xl, ffn="relu2", d_ff=6400)
    assert [(c.ffn_matrices, c.d_ff) for c in conventions(two)] == [(2, 6400), (3, 4288), (3, 6400)]
    assert conventions(two)[0] == two


@pytest.fixture
def quick(monkeypatch):
    """No step is simulated, and nothing is measured."""
    monkeypatch.setattr(accounting, "step_memory", lambda config: StepMemory(1, 2, 3, 4, 5, 6))
    monkeypatch.setattr(accounting, "largest_batch", lambda config, memory: 7)
    monkeypatch.setattr(accounting, "peak_flops", lambda device, dtype: 5e11)


def test_the_account_of_xl_answers_the_courses_questions(quick):
    found = Account.of(resolve("gpt2-xl"), 80 * 10**9).as_dict()
    assert (found["parameters"], found["parameter_bytes"]) == (1_640_452_800, 6_561_811_200)
    assert found["forward"]["flops"]["total"] == pytest.approx(3.517e12, rel=1e-3)
    assert found["forward"]["flops"]["total"] == sum(product["flops"] for product in found["matrix_multiplies"])
    assert found["forward"]["largest_part"] == "ffn"
    assert found["forward"]["shares"] == pytest.approx(
        {"projections": 0.2862, "scores": 0.0916, "ffn": 0.5753, "head": 0.0468}, abs=1e-4
    )
    longer = found["longer_context"]
    assert (longer["context_length"], longer["largest_part"]) == (16_384, "scores")
    assert longer["flops"]["total"] == pytest.approx(1.336e14, rel=1e-3)
    assert longer["shares"]["scores"] == pytest.approx(0.6173, abs=1e-4)
    assert longer["ratio"] == pytest.approx(37.98, abs=0.01)
    own, swiglu, two = found["conventions"]
    assert [c["parameters"] for c in (own, swiglu, two)] == [1_640_452_800, 2_127_057_600, 1_635_537_600]
    assert [c["flops"]["total"] for c in (swiglu, two)] == pytest.approx([4.513e12, 3.507e12], rel=1e-3)
    assert two["longer_context"]["flops"]["total"] == pytest.approx(1.334e14, rel=1e-3)
    assert [c["longer_context"]["ratio"] for c in (swiglu, two)] == pytest.approx([33.13, 38.05], abs=0.01)
    assert [c["longer_context"]["shares"]["scores"] for c in (swiglu, two)] == pytest.approx([0.5515, 0.6181], abs=1e-4)
    assert [c["largest_batch_in_80_gb"] for c in (own, swiglu, two)] == [3, 2, 3]
    assert own["course_memory"] == pytest.approx({"fixed": 26.25e9, "per_text": 16.37e9}, rel=1e-3)
    assert found["flops_per_step"] == 3 * 1024 * found["forward"]["flops"]["total"]
    assert found["optimizer_flops_per_step"] == 15 * 1_640_452_800
    assert found["flops_of_run"] == 400_000 * found["flops_per_step"]


def test_the_optimizer_costs_what_its_groups_do(quick):
    config = override(resolve("tinystories"), {"optimizer": {"name": "muon"}, "dtype": "float32"})
    account = Account.of(config, 80 * 10**9)
    assert [(group.name, group.method, group.state_bytes // group.weights) for group in account.groups] == [
        ("matrices", "muon", 4),
        ("embeddings", "adamw", 8),
        ("head", "adamw", 8),
        ("norms", "adamw", 8),
    ]
    assert sum(group.weights for group in account.groups) == count_parameters(config.model)
    # Sixteen squares of 512, and twelve matrices of 512 x 1344: X X^T, A A and B X, five times.
    assert account.muon_flops == 5 * (16 * 3 * 2 * 512**3 + 12 * (2 * 2 * 512**2 * 1344 + 2 * 512**3))
    assert account.muon_flops / account.step_flops == pytest.approx(0.045, abs=0.001)
    adamw = Account.of(override(config, {"optimizer": {"name": "adamw"}}), 80 * 10**9)
    assert (adamw.muon_flops, adamw.optimizer_flops) == (0, 15 * count_parameters(config.model))


def test_the_hours_are_at_half_of_each_peak(quick):
    account = Account.of(resolve("gpt2-xl", ["--dtype", "float32"]), 80 * 10**9)
    hours = account.hours()
    assert hours["H100"]["tf32"] == pytest.approx(4850, abs=1)
    assert hours["A100"]["float32"] == pytest.approx(account.run_flops / 9.75e12 / 3600)
    assert hours["B200"]["bfloat16"] == pytest.approx(account.run_flops / 1125e12 / 3600)
    assert hours["this machine"] == {"float32": pytest.approx(account.run_flops / 2.5e11 / 3600)}
    assert account.least_seconds == pytest.approx(account.run_flops / 5e11)


def test_the_tree_has_every_weight_once():
    with torch.device("meta"):
        lines = list(parameter_tree(TransformerLM.from_config(resolve("debug").model)))
    assert lines[0].startswith("TransformerLM (")
    assert any("layers: 2 x TransformerBlock" in line for line in lines)
    assert any(line.endswith("qkv_proj (3,072 params, 96 x 32)") for line in lines)
