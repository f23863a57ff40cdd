"""Generation on a GPU: by CUDA graphs, and what a CPU generates."""

import pytest
import torch
from bpe_lm.model.config import ModelConfig
from bpe_lm.model.decoder import Decoder
from bpe_lm.model.generate import generate_batch, generate_ids
from bpe_lm.model.sampling import Sampling
from bpe_lm.model.transformer import TransformerLM

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="no NVIDIA GPU"),
]

CONFIG = ModelConfig(vocab_size=300, context_length=48, d_model=64, num_layers=2, num_heads=4, d_ff=128)
PROMPTS = [[5], list(range(3, 40)), [1, 2, 3], list(range(48)), list(range(100))]
WAYS = [{"temperature": 0}, {"seed": 3}, {"seed": 4, "top_k": 5}, {"seed": 5, "top_p": 0.7, "temperature": 0.8}]


def models(**change):
    torch.manual_seed(1)
    model = TransformerLM.from_config(ModelConfig(**CONFIG.as_dict() | change))
    model.lm_head.weight.data *= 5  # Sure enough of itself for draws to differ by more than rounding.
    on_gpu = TransformerLM.from_config(model.config).cuda()
    on_gpu.load_state_dict(model.state_dict())
    return model, on_gpu


@pytest.mark.parametrize("options", WAYS, ids=str)
def test_a_gpu_generates_what_a_cpu_does(options):
    model, on_gpu = models()
    assert generate_batch(on_gpu, PROMPTS, 100, **options) == generate_batch(model, PROMPTS, 100, **options)
    one = list(generate_ids(on_gpu, PROMPTS[2], 100, **options))
    assert one == list(generate_ids(model, PROMPTS[2], 100, **options))
    assert one == list(generate_ids(on_gpu, PROMPTS[2], 100, is_cached=False, **options))


RECORD = {
    "qk_norm": True,
    "logit_softcap": 15.0,
    "value_embeddings": 1,
    "u_net_skips": True,
    "embedding_scale": 2.0,
    "window": 6,
    "global_every": 2,
}


@pytest.mark.parametrize(
    "change", [{"position": "none"}, {"norm": "post"}, {"ffn": "relu2"}, {"tied_head": True}, RECORD], ids=str
)
def test_each_architecture_is_captured(change):
    model, on_gpu = models(**change)
    assert generate_batch(on_gpu, PROMPTS, 60, seed=1) == generate_batch(model, PROMPTS, 60, seed=1)


def test_texts_that_end_leave_the_others_as_they_are():
    model, on_gpu = models()
    whole = generate_batch(model, PROMPTS, 80, seed=2)
    stop_id = whole[0][9]
    expected = [ids[: ids.index(stop_id)] if stop_id in ids else ids for ids in whole]
    assert generate_batch(on_gpu, PROMPTS, 80, seed=2, stop_id=stop_id) == expected


def test_a_step_is_a_graph_that_changes_nothing_else():
    """The replay of a graph gives what a call of the step gives, and the capture leaves the texts as they were."""
    _, on_gpu = models()
    called, captured = (Decoder(on_gpu, 3, Sampling(0), is_static=flag) for flag in (False, True))
    windows = [[1, 2, 3], [4], [5] * 20]
    for decoder in (called, captured):
        decoder.fill(range(3), windows)
    steps = [called.advance(3, 1, None) for _ in range(12)]
    assert captured.advance(3, 12, None) == [[row[0] for row in rows] for rows in zip(*steps, strict=True)]
    assert list(captured.graphs) == [3]
    assert not called.graphs


def test_bfloat16_generates():
    _, on_gpu = models()
    assert [len(ids) for ids in generate_batch(on_gpu, PROMPTS, 60, seed=1, dtype="bfloat16")] == [60] * 5


def test_logits_that_are_not_numbers_are_an_error():
    from bpe_lm.errors import OptionError

    _, on_gpu = models()
    on_gpu.ln_final.weight.data[3] = torch.nan
    with pytest.raises(OptionError, match="logits are not numbers"):
        generate_batch(on_gpu, PROMPTS, 3, seed=1)
    assert torch.ones(1, device="cuda").item() == 1  # The device still works.
