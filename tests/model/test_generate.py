"""Generation: the cache changes nothing, and draws are from what they should be from."""

import pytest
import torch
from bpe_lm import Tokenizer, train_bpe
from bpe_lm.errors import OptionError
from bpe_lm.model.config import ModelConfig
from bpe_lm.model.generate import draw, generate, generate_ids
from bpe_lm.model.transformer import TransformerLM

END_OF_TEXT = "<|endoftext|>"
CONFIG = ModelConfig(vocab_size=300, context_length=16, d_model=32, num_layers=2, num_heads=4, d_ff=64)


@pytest.fixture(scope="module")
def model() -> TransformerLM:
    torch.manual_seed(1)
    model = TransformerLM.from_config(CONFIG)
    model.lm_head.weight.data *= 5  # Sure enough of itself for draws to differ by more than rounding.
    return model


@pytest.mark.parametrize(
    "options", [{"temperature": 0}, {"seed": 3}, {"seed": 4, "top_k": 5}, {"seed": 5, "top_p": 0.7}]
)
@pytest.mark.parametrize("prompt", [[1], [5, 6, 7], list(range(16)), list(range(40))], ids=len)
@pytest.mark.parametrize("change", [{}, {"position": "none"}, {"norm": "post"}])
def test_the_cache_changes_nothing(options, prompt, change):
    torch.manual_seed(1)
    model = TransformerLM.from_config(ModelConfig(**CONFIG.as_dict() | change))
    found = list(generate_ids(model, prompt, 50, **options))
    assert len(found) == 50
    assert found == list(generate_ids(model, prompt, 50, is_cached=False, **options))


@pytest.mark.parametrize("implementation", ["fast", "reference"])
@pytest.mark.parametrize("change", [{}, {"position": "none"}, {"tied_head": True}], ids=str)
def test_several_texts_go_through_a_cache_as_each_alone(implementation, change):
    torch.manual_seed(2)
    model = TransformerLM.from_config(ModelConfig(**CONFIG.as_dict() | change), implementation=implementation)
    ids = torch.randint(300, (3, 16))
    with torch.no_grad():
        expected, caches = model(ids), model.new_caches(3)
        found = [model(ids[:, start:end], caches=caches) for start, end in ((0, 5), (5, 6), (6, 16))]
        assert torch.allclose(torch.cat(found, 1), expected, atol=1e-5)
        alone = model.new_caches()
        assert torch.allclose(model(ids[1:2], caches=alone), expected[1:2], atol=1e-5)
    assert [cache.length for cache in (*caches, *alone)] == [16] * 4


def test_caches_that_do_not_fit_are_refused():
    model = TransformerLM.from_config(CONFIG)
    ids = torch.zeros(3, 4, dtype=torch.long)
    for caches, message in (
        (model.new_caches(), "the caches are for 1 texts, and 3 were given"),
        (model.new_caches(3)[:1], "1 caches were given for 2 layers"),
    ):
        with pytest.raises(OptionError, match=message):
            model(ids, caches=caches)
    with pytest.raises(OptionError, match="17 tokens are more than the context_length of 16"):
        model(torch.zeros(3, 17, dtype=torch.long), caches=model.new_caches(3))


def test_activation_checkpointing_takes_no_caches():
    model = TransformerLM.from_config(CONFIG)
    model.checkpoints_activations = True
    ids = torch.randint(300, (2, 9))
    with pytest.raises(OptionError, match="activation checkpointing takes no caches"):
        model(ids, caches=model.new_caches(2))
    assert torch.equal(model(ids), model(ids).detach())
    with torch.no_grad():
        caches = model.new_caches(2)
        assert torch.allclose(model(ids, caches=caches), model(ids), atol=1e-5)
    assert caches[0].length == 9


def test_greedy_takes_the_likeliest(model):
    ids = [3, 4]
    for token in generate_ids(model, ids, 10, temperature=0):
        assert token == int(model(torch.tensor([ids]))[0, -1].argmax())
        ids = [*ids, token]


def test_draws_follow_the_probabilities():
    logits = torch.tensor([0.5, 0.3, 0.15, 0.05]).log()
    generator = torch.Generator().manual_seed(1)

    def shares(temperature: float = 1.0, **options) -> torch.Tensor:
        drawn = [draw(logits, temperature, generator=generator, **options) for _ in range(4000)]
        return torch.bincount(torch.tensor(drawn), minlength=4) / 4000

    def near(found: torch.Tensor, expected: list[float]) -> bool:
        zeros = torch.tensor(expected) == 0
        return bool(torch.allclose(found, torch.tensor(expected).float(), atol=0.03) and (found[zeros] == 0).all())

    assert near(shares(), [0.5, 0.3, 0.15, 0.05])
    assert near(shares(top_k=2), [0.625, 0.375, 0, 0])
    assert near(shares(top_p=0.79), [0.625, 0.375, 0, 0])
    assert near(shares(top_p=0.81), [0.526, 0.316, 0.158, 0])
    assert near(shares(top_p=0.01), [1, 0, 0, 0])
    assert draw(logits, 1e-40, generator=generator) == 0
    assert near(shares(2.0), torch.softmax(logits / 2, 0).tolist())


def test_the_same_seed_gives_the_same_text_and_the_end_ends_it(model):
    vocab, merges = train_bpe(iter(["the cat sat on the mat \u4e2d\U0001f600" * 3]), 270, [END_OF_TEXT])
    tokenizer = Tokenizer(vocab, merges, [END_OF_TEXT])
    small = TransformerLM.from_config(ModelConfig(**CONFIG.as_dict() | {"vocab_size": len(vocab)}))
    texts = ["".join(generate(small, tokenizer, "the", 40, seed=7)) for _ in range(2)]
    assert texts[0] == texts[1]
    assert texts[0] != "".join(generate(small, tokenizer, "the", 40, seed=8))
    stop = tokenizer.special_ids[END_OF_TEXT]
    small.lm_head.weight.data.zero_()
    hidden = small.hidden(torch.tensor([tokenizer.encode("the")]))[0, -1]
    small.lm_head.weight.data[stop] = hidden.detach()
    assert list(generate(small, tokenizer, "the", 40, temperature=0)) == []
    assert list(generate_ids(small, tokenizer.encode("the"), 3, temperature=0)) == [stop] * 3
    wider = TransformerLM.from_config(CONFIG)
    assert len(vocab) < CONFIG.vocab_size
    assert all("".join(generate(wider, tokenizer, "", 50, seed=seed)) for seed in range(5))


def test_text_comes_in_whole_characters(model):
    vocab, merges = train_bpe(iter(["a"]), 257, [END_OF_TEXT])
    tokenizer = Tokenizer(vocab, merges, [END_OF_TEXT])

    class Fixed(TransformerLM):
        """Says the bytes of a text, whatever it was asked."""

        said = "\u4e2d\U0001f600é".encode()

        def hidden(self, token_ids, token_positions=None, caches=None):
            place = max(0, token_ids.shape[1] - 1)
            rows = torch.zeros(1, token_ids.shape[1], 257)
            rows[0, -1, self.said[place]] = 1
            return rows

    fixed = Fixed(257, 64, 257, 1, 1, 8, position="none")
    fixed.lm_head.weight.data = torch.eye(257)
    pieces = list(generate(fixed, tokenizer, "a", len(Fixed.said), temperature=0, is_cached=False))
    assert pieces == ["\u4e2d", "\U0001f600", "é"]


@pytest.mark.parametrize(
    ("prompt", "options", "message"),
    [
        ([], {}, "no token to continue"),
        ([300], {}, "the id 300, and the model knows 300 tokens"),
        ([1], {"temperature": -1}, "temperature is -1"),
        ([1], {"top_k": 0}, "top_k is 0"),
        ([1], {"top_p": 0}, "top_p is 0"),
        ([1], {"max_tokens": -1}, "max_tokens is -1"),
        ([1], {"seed": 2**70}, "seed is"),
    ],
)
def test_options_that_make_no_sense(model, prompt, options, message):
    with pytest.raises(OptionError, match=message):
        list(generate_ids(model, prompt, **{"max_tokens": 5} | options))


def test_draws_at_the_edges():
    assert len({draw(torch.zeros(5), 1.0, top_k=1) for _ in range(20)}) == 1
    assert draw(torch.tensor([0.0, 1.0, 0.5]), 1e-50) == 1
