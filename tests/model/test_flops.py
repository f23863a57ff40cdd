"""The formulas of a model's size and FLOPs, against torch's counter and the model itself."""

import pytest
import torch
from bpe_lm.model.config import ModelConfig
from bpe_lm.model.flops import (
    count_parameters,
    forward_flops,
    matrix_multiplies,
    training_flops,
    training_flops_per_token,
)
from bpe_lm.model.loss import LanguageModelLoss
from bpe_lm.model.transformer import TransformerLM
from torch.utils.flop_counter import FlopCounterMode

CONFIGS = {
    "swiglu": {},
    "silu": {"ffn": "silu"},
    "relu2": {"ffn": "relu2", "d_ff": 40},
    "tied": {"tied_head": True},
    "long": {"context_length": 48},
    "one head": {"num_heads": 1, "num_layers": 1},
    "nope": {"position": "none"},
    "post-norm": {"norm": "post"},
    "no norm": {"norm": "none"},
    "qk-norm": {"qk_norm": True},
    "soft-capped": {"logit_softcap": 15.0},
    "value embeddings": {"value_embeddings": 2},
    "skips": {"u_net_skips": True},
    "skips around a middle": {"u_net_skips": True, "value_embeddings": 3, "num_layers": 5, "tied_head": True},
}


def config_of(changes: dict) -> ModelConfig:
    return ModelConfig(**{"vocab_size": 60, "context_length": 16, "d_model": 32, "num_heads": 4, "d_ff": 64} | changes)


@pytest.mark.parametrize("name", CONFIGS)
@pytest.mark.parametrize("rows", [1, 3])
def test_the_formula_counts_what_torch_counts(name, rows):
    config = config_of(CONFIGS[name])
    loss = LanguageModelLoss(TransformerLM.from_config(config, implementation="reference"), implementation="reference")
    ids = torch.zeros(rows, config.context_length, dtype=torch.int64)
    with FlopCounterMode(display=False) as forward, torch.no_grad():
        loss(ids, ids)
    assert forward.get_total_flops() == rows * forward_flops(config).total
    with FlopCounterMode(display=False) as step:
        loss(ids, ids).backward()
    assert step.get_total_flops() == rows * training_flops(config)
    assert training_flops_per_token(config) == training_flops(config) / config.context_length


@pytest.mark.parametrize("name", CONFIGS)
def test_the_formula_counts_the_models_parameters(name):
    config = config_of(CONFIGS[name])
    with torch.device("meta"):
        assert count_parameters(config) == TransformerLM.from_config(config).num_parameters()


def test_a_window_counts_the_keys_that_it_shows():
    whole, windowed = config_of({"num_layers": 4}), config_of({"num_layers": 4, "window": 5, "global_every": 2})
    assert forward_flops(windowed).scores == forward_flops(whole).scores // 2 * (16 + 5) // 16
    assert forward_flops(config_of({"num_layers": 4, "window": 99})) == forward_flops(whole)
    names = [each.name for each in matrix_multiplies(windowed) if each.part == "scores"]
    assert names == ["q k^T", "weights v"] * 2


def test_tinystories_takes_111_7_megaflops_a_token():
    assert training_flops_per_token(ModelConfig()) == pytest.approx(111.7e6, rel=1e-3)


def test_the_parts_are_the_sums_of_the_closed_formulas():
    config = ModelConfig(50_257, 1024, 1600, 48, 25, 4288)
    flops, tokens, d, layers = forward_flops(config), 1024, 1600, 48
    assert flops.projections == 8 * layers * tokens * d**2
    assert flops.scores == 4 * layers * tokens**2 * d
    assert flops.ffn == 6 * layers * tokens * d * 4288
    assert flops.head == 2 * tokens * d * 50_257
    assert flops.total == sum(multiply.flops for multiply in matrix_multiplies(config))
    assert sum(flops.shares().values()) == pytest.approx(1)
