"""Several texts at a time: each is what it would be alone."""

import functools

import pytest
import torch
from bpe_lm.errors import OptionError
from bpe_lm.model.config import ModelConfig, Switches
from bpe_lm.model.decoder import BLOCK, Decoder
from bpe_lm.model.generate import generate_batch, generate_ids
from bpe_lm.model.sampling import Sampling
from bpe_lm.model.transformer import TransformerLM

CONFIG = ModelConfig(vocab_size=60, context_length=16, d_model=32, num_layers=2, num_heads=4, d_ff=64)
PROMPTS = [[5], list(range(3, 16)), [1, 2, 3], list(range(16)), list(range(20, 60))]
WAYS = [{"temperature": 0}, {"seed": 3}, {"seed": 4, "top_k": 5}, {"seed": 5, "top_p": 0.7, "temperature": 0.8}]

EVERYTHING = {
    "qk_norm": True,
    "logit_softcap": 15.0,
    "value_embeddings": 1,
    "u_net_skips": True,
    "zero_init": True,
    "embedding_scale": 2.0,
    "window": 6,
    "global_every": 2,
}


def model_of(**change) -> TransformerLM:
    torch.manual_seed(1)
    model = TransformerLM.from_config(ModelConfig(**CONFIG.as_dict() | change))
    for parameter in model.parameters():
        if parameter.ndim == 1 or not parameter.any():
            parameter.data += 0.2 * torch.randn_like(parameter)
    model.lm_head.weight.data *= 5  # Sure enough of itself for draws to differ by more than rounding.
    return model


@pytest.fixture(scope="module")
def model() -> TransformerLM:
    return model_of()


def alone(model, prompts, number, **options):
    """Generate each text by itself, without a cache: the model computes every text whole for each id."""
    seed = options.pop("seed", 0)
    return [one(model, tuple(prompt), number, seed + i, **options) for i, prompt in enumerate(prompts)]


@functools.cache
def one(model, prompt, number, seed, **options):
    return list(generate_ids(model, list(prompt), number, seed=seed, is_cached=False, **options))


@pytest.fixture
def is_static(monkeypatch, request):
    """Take the steps that a GPU captures: of fixed sizes, in blocks. Without a GPU they are called."""
    if request.param:
        monkeypatch.setattr("bpe_lm.model.generate.Decoder", lambda *arguments: Decoder(*arguments, is_static=True))
    return request.param


both_ways = pytest.mark.parametrize("is_static", [False, True], indirect=True, ids=["called", "static"])


@both_ways
@pytest.mark.parametrize("batch", range(1, 6))
@pytest.mark.parametrize("options", WAYS, ids=str)
def test_each_text_of_a_batch_is_what_it_is_alone(model, is_static, batch, options):
    """The contexts of 16 become full at different steps, and their older halves are dropped."""
    found = generate_batch(model, PROMPTS[:batch], 40, **options)
    assert [len(ids) for ids in found] == [40] * batch
    assert found == alone(model, PROMPTS[:batch], 40, **options)


@both_ways
@pytest.mark.parametrize("options", WAYS[:2], ids=str)
def test_texts_end_at_different_steps(model, is_static, options):
    """Each text ends before its first `stop_id`, and the others go on in its slot."""
    whole = alone(model, PROMPTS, 60, **options)
    stop_id = max(range(60), key=lambda token: len({ids.index(token) for ids in whole if token in ids}))
    expected = [ids[: ids.index(stop_id)] if stop_id in ids else ids for ids in whole]
    assert len({len(ids) for ids in expected}) > 2
    assert generate_batch(model, PROMPTS, 60, stop_id=stop_id, **options) == expected


@both_ways
@pytest.mark.parametrize(
    "change",
    [
        {"position": "none"},
        {"norm": "post"},
        {"norm": "none"},
        {"ffn": "silu"},
        {"ffn": "relu2"},
        {"tied_head": True},
        {"qk_norm": True},
        {"logit_softcap": 2.0},
        {"value_embeddings": 1},
        {"u_net_skips": True},
        {"zero_init": True},
        {"embedding_scale": 3.0},
        {"window": 5},
        {"window": 1, "global_every": 2},
        EVERYTHING,
        {"context_length": 1},
        {"context_length": 7, "num_heads": 1},
    ],
    ids=str,
)
def test_each_architecture_goes_through_the_decoder(is_static, change):
    model = model_of(**change)
    if change.get("norm") == "none":
        model.lm_head.weight.data *= 5
    prompts = [PROMPTS[0], PROMPTS[2], PROMPTS[4]]
    assert generate_batch(model, prompts, 24, seed=2) == alone(model, prompts, 24, seed=2)


def test_every_switch_of_the_architecture_is_known():
    """The decoder computes the model from its weights, so a new switch needs a line there, and a case above."""
    assert set(Switches.__dataclass_fields__) == {"norm", "position", "ffn", "tied_head", *EVERYTHING}


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
@pytest.mark.parametrize("is_static", [False, True])
def test_the_decoder_computes_the_models_logits(model, dtype, is_static):
    """The last hidden states of ragged texts, by prompt and by step, against the model's on each text."""
    texts = [torch.randint(60, (length,)).tolist() for length in (3, 9, 1)]
    decoder = Decoder(model, 3, Sampling(0), dtype, is_static=is_static)
    decoder.fill(range(3), [text[:1] for text in texts])
    decoder.fill([2, 0, 1], [texts[2], texts[0], texts[1]])
    seen = []
    decoder.sampling = type("Spy", (), {"ids": lambda self, x, _: seen.append(x) or x.argmax(-1), "is_greedy": True})()
    ids = decoder.advance(3, 1, None)
    expected = torch.cat([model(torch.tensor([text]))[:, -1] for text in texts]).detach()
    tolerance = 1e-4 if dtype == torch.float32 else 0.5
    assert torch.allclose(seen[0][:3].float(), expected, atol=tolerance)
    assert decoder.head.dtype == dtype
    if dtype == torch.float32:
        assert ids == expected.argmax(-1, keepdim=True).tolist()


@pytest.mark.parametrize("is_static", [False, True])
def test_nothing_of_an_earlier_text_or_of_padding_is_seen(model, is_static):
    """Other texts filled the slots before, and one slot was padded next to a long prompt."""
    decoder = Decoder(model, 4, Sampling(0), is_static=is_static)
    decoder.keys.normal_(std=100), decoder.values.normal_(std=100)
    decoder.fill(range(4), [[7, 8], list(range(16)), [9], [1] * 5])
    decoder.fill([1], [[3, 4, 5]])
    decoder.move(3, 0)
    found = decoder.advance(3, 10, None) if is_static else step_by_step(decoder, 3, 10)
    assert found == alone(model, [[1] * 5, [3, 4, 5], [9]], 10, temperature=0)


def step_by_step(decoder, texts, steps):
    return [
        [row[0] for row in rows] for rows in zip(*(decoder.advance(texts, 1, None) for _ in range(steps)), strict=True)
    ]


def test_a_static_step_has_few_sizes(model, monkeypatch):
    """Whatever the texts are, a graph is needed for each power of two of slots only, each over the whole context."""
    sizes, step = set(), Decoder._step
    monkeypatch.setattr(Decoder, "_step", lambda self, *size: sizes.add(size) or step(self, *size))
    decoder = Decoder(model, 5, Sampling(0), is_static=True)
    decoder.fill(range(5), [*PROMPTS[:4], [1]])
    for texts in (5, 4, 3, 2, 1):
        decoder.fill(range(texts), [[1, 2]] * texts)
        decoder.advance(texts, BLOCK - 2, None)
    assert sizes == {(5, 16), (4, 16), (2, 16), (1, 16)}


def test_bfloat16_is_used_where_it_is_asked_for_only(model):
    assert Decoder(model, 1, Sampling()).keys.dtype == torch.float32
    prompts = [[1, 2], [3]]
    narrow = generate_batch(model, prompts, 12, temperature=0, dtype="bfloat16")
    assert narrow == [list(generate_ids(model, ids, 12, temperature=0, dtype="bfloat16")) for ids in prompts]
    own = TransformerLM.from_config(CONFIG, dtype=torch.bfloat16)
    assert Decoder(own, 1, Sampling()).keys.dtype == torch.bfloat16
    assert len(list(generate_ids(own, [1], 20))) == 20


def test_the_reference_form_is_the_formula_for_each_text(model):
    reference = TransformerLM.from_config(CONFIG, implementation="reference")
    reference.load_state_dict(model.state_dict())
    assert generate_batch(reference, PROMPTS, 20, seed=1) == generate_batch(model, PROMPTS, 20, seed=1)
    with pytest.raises(OptionError, match="dtype is bfloat16, which needs the cache"):
        list(generate_ids(model, [1], 2, dtype="bfloat16", is_cached=False))


def test_logits_that_are_not_numbers_are_an_error():
    model = model_of()
    model.ln_final.weight.data[3] = torch.nan
    for options in ({"temperature": 0}, {"seed": 1}, {"seed": 1, "top_k": 2, "top_p": 0.5}):
        with pytest.raises(OptionError, match="logits are not numbers"):
            generate_batch(model, PROMPTS, 3, **options)


def test_no_prompt_is_no_text_and_a_bad_one_is_named(model):
    assert generate_batch(model, [], 5) == []
    assert generate_batch(model, PROMPTS, 0) == [[]] * 5
    with pytest.raises(OptionError, match="the id 60, and the model knows 60 tokens"):
        generate_batch(model, [[1], [60]], 5)
    with pytest.raises(OptionError, match="no token to continue"):
        generate_batch(model, [[1], []], 5)
    with pytest.raises(OptionError, match="seed is"):
        generate_batch(model, [[1], [2]], 5, seed=2**63 - 2)
