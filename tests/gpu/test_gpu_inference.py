"""Evaluation and generation on a device, against those on the CPU."""

import pytest
import torch
from bpe_lm.model.config import ModelConfig
from bpe_lm.model.generate import generate_ids
from bpe_lm.model.transformer import TransformerLM
from bpe_lm.tokenizer.token_file import open_tokens
from bpe_lm.training.evaluate import evaluate


@pytest.fixture(scope="module")
def model() -> TransformerLM:
    torch.manual_seed(4)
    return TransformerLM.from_config(ModelConfig(300, 64, 64, 3, 4, 128))


@pytest.fixture(scope="module")
def moved(model, device) -> TransformerLM:
    other = TransformerLM.from_config(model.config)
    other.load_state_dict(model.state_dict())
    return other.to(device)


@pytest.mark.parametrize(("dtype", "limit"), [("float32", 1e-5), ("bfloat16", 5e-3)])
def test_an_evaluation_is_that_of_the_cpu(data, model, moved, dtype, limit):
    tokens = open_tokens(data / "valid.bin")
    expected, found = evaluate(model, tokens), evaluate(moved, tokens, dtype=dtype)
    assert found.tokens == expected.tokens == len(tokens) - 1
    assert found.loss == pytest.approx(expected.loss, rel=limit)


@pytest.mark.parametrize("options", [{"temperature": 0}, {"temperature": 0.8, "top_k": 20, "seed": 5}])
def test_generation_with_a_cache_is_that_without(moved, options):
    """Over a context that is full, and drops its older half."""
    cached, uncached = (list(generate_ids(moved, [1, 2, 3], 90, is_cached=c, **options)) for c in (True, False))
    assert len(cached) == 90
    assert cached == uncached


def test_the_likeliest_ids_are_those_of_the_cpu(model, moved):
    expected, found = (list(generate_ids(m, [7, 8], 50, temperature=0)) for m in (model, moved))
    assert found == expected
