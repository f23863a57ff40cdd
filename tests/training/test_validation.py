"""A validation with other rows, and with another module for full batches, has the same loss."""

import numpy as np
import pytest
import torch
from bpe_lm.model.config import ModelConfig
from bpe_lm.model.loss import LanguageModelLoss
from bpe_lm.model.transformer import TransformerLM
from bpe_lm.training.evaluate import evaluate
from bpe_lm.training.parallel import World

CONFIG = ModelConfig(vocab_size=50, context_length=8, d_model=16, num_layers=1, num_heads=2, d_ff=32)


@pytest.fixture(scope="module")
def model() -> TransformerLM:
    torch.manual_seed(1)
    return TransformerLM.from_config(CONFIG)


@pytest.fixture(scope="module")
def tokens() -> np.ndarray:
    return np.random.default_rng(1).integers(0, 50, 8 * 21 + 4).astype(np.uint16)


class Noted(torch.nn.Module):
    """A loss that notes the shapes of its inputs."""

    def __init__(self, loss: torch.nn.Module):
        super().__init__()
        self.loss, self.shapes = loss, []

    def forward(self, x, y):
        self.shapes.append(tuple(x.shape))
        return self.loss(x, y)


@pytest.mark.parametrize("rows", [1, 2, 5, 21, 100])
def test_any_number_of_rows_has_the_same_loss_and_full_batches_have_their_module(model, tokens, rows):
    expected = evaluate(model, tokens)
    full, other = Noted(LanguageModelLoss(model)), Noted(LanguageModelLoss(model))
    found = evaluate(model, tokens, rows=rows, loss=other, loss_of_full_batch=full)
    assert found.loss == pytest.approx(expected.loss, rel=1e-6)
    assert found.tokens == expected.tokens == 8 * 21 + 3
    assert full.shapes == [(rows, 8)] * (21 // rows)
    assert other.shapes == [(21 % rows, 8)] * (21 % rows > 0) + [(1, 3)]


def test_progress_changes_no_bit(model, tokens):
    seen = []
    shown = evaluate(model, tokens, rows=4, progress=lambda *given: seen.append(given))
    assert shown.loss == evaluate(model, tokens, rows=4).loss
    assert seen[-1] == ("evaluate", 171, 171)
    assert len(seen) == 7


@pytest.mark.parametrize("size", [1, 2, 3, 9])
def test_each_process_adds_its_own_batches(model, tokens, monkeypatch, size):
    """The sum over processes is that of one; a process without work adds nothing."""
    expected, parts = evaluate(model, tokens, rows=4).loss, []
    monkeypatch.setattr(World, "all_reduce_sum", lambda world, *values: parts.append(values[0]) or list(values))
    for rank in range(size):
        evaluate(model, tokens, rows=4, world=World(rank, size))
    assert sum(parts) / 171 == pytest.approx(expected, rel=1e-12)
    assert len(parts) == size
    assert (parts[-1] == 0) == (size > 7)
