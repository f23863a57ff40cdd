"""Draws from logits by uniform numbers: which id a number selects, and which ids no number selects."""

import pytest
import torch
from bpe_lm.errors import OptionError
from bpe_lm.model.sampling import Sampling, draw

LARGEST = 1 - 2**-24
"""The largest number that torch.rand returns in float32."""


def test_a_number_selects_the_id_in_whose_interval_it_lies():
    logits = torch.tensor([[0.25, 0.0, 0.5, 0.25]]).log().expand(6, -1)
    uniforms = torch.tensor([0.0, 0.2, 0.3, 0.7, 0.8, LARGEST])
    assert Sampling().ids(logits, uniforms).tolist() == [0, 0, 2, 2, 3, 3]


@pytest.mark.parametrize("options", [{"top_k": 7}, {"top_p": 0.6}, {"top_k": 20, "top_p": 0.6, "temperature": 0.5}])
def test_no_number_selects_an_id_that_is_left_out(options):
    """Against plain loops: the likeliest k, and of these the fewest whose shares add up to p."""
    torch.manual_seed(1)
    logits = 3 * torch.randn(40, 1000)
    allowed = []
    for row in logits.double() / options.get("temperature", 1.0):
        order = row.argsort(descending=True)[: options.get("top_k", 1000)].tolist()
        shares, total, kept = torch.softmax(row[order], -1).tolist(), 0.0, []
        for token, share in zip(order, shares, strict=True):
            if total < options.get("top_p", 1.0):
                kept.append(token)
            total += share
        allowed.append(set(kept))
    for uniform in (0.0, 0.3, 0.9, LARGEST):
        ids = Sampling(**options).ids(logits, torch.full((40,), uniform)).tolist()
        assert all(token in some for token, some in zip(ids, allowed, strict=True))


@pytest.mark.parametrize("scale", [0.1, 8.0], ids=["flat", "peaked"])
def test_top_p_of_a_part_is_top_p_of_all(monkeypatch, scale):
    """With a peaked distribution, the likeliest few hold enough of it, and the others are not sorted."""
    torch.manual_seed(2)
    logits, uniforms = scale * torch.randn(50, 3000), torch.rand(50)
    sampling = Sampling(top_p=0.9)
    found = sampling.ids(logits, uniforms)
    monkeypatch.setattr("bpe_lm.model.sampling._CANDIDATES", 10**9)
    assert torch.equal(found, sampling.ids(logits, uniforms))


def test_ids_that_the_tokenizer_lacks_are_not_drawn():
    logits = torch.arange(10.0).expand(20, -1)
    for sampling in (Sampling(0, num_ids=4), Sampling(num_ids=4)):
        assert sampling.ids(logits, torch.full((20,), LARGEST)).tolist() == [3] * 20


def test_a_row_that_is_not_finite_has_no_id():
    logits = torch.tensor([[0.0, torch.nan], [0.0, torch.inf], [0.0, -torch.inf], [0.0, 1.0]])
    for sampling in (Sampling(0), Sampling(), Sampling(top_k=1), Sampling(top_p=0.5)):
        assert sampling.ids(logits, torch.full((4,), 0.1)).tolist()[:3] == [-1, -1, 0]


def test_a_draw_of_one_row_takes_a_generator_of_the_cpu():
    rows = [draw(torch.zeros(100), 1.0, generator=torch.Generator().manual_seed(seed)) for seed in (1, 1, 2)]
    assert rows[0] == rows[1] != rows[2]
    with pytest.raises(OptionError, match="top_k is 0"):
        draw(torch.zeros(3), 1.0, top_k=0)
    with pytest.raises(OptionError, match="logits are not numbers"):
        draw(torch.tensor([0.0, torch.nan]), 1.0)
