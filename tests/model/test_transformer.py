"""The blocks and the model: their formulas, switches, initial weights, and Hugging Face's Llama."""

import ast
import dataclasses
from pathlib import Path

import pytest
import torch
from bpe_lm.errors import ConfigError
from bpe_lm.model import transformer
from bpe_lm.model.attention import MultiheadSelfAttention
from bpe_lm.model.config import ModelConfig, Switches
from bpe_lm.model.layers import Linear, RotaryPositionalEmbedding
from bpe_lm.model.transformer import TransformerBlock, TransformerLM
from tensors import randn

SMALL = ModelConfig(vocab_size=100, context_length=16, d_model=64, num_layers=3, num_heads=4, d_ff=128)

NORMS_AND_SCALARS = ("ln1.weight", "ln2.weight", "ln_final.weight", "value_mix", "skip_weight")


@pytest.mark.parametrize("norm", ["pre", "post", "none"])
def test_blocks_are_their_formulas(norm):
    block = TransformerBlock(64, 4, 128, RotaryPositionalEmbedding(1e4, 16, 12), switches=Switches(norm=norm))
    x = randn(1, 2, 12, 64)
    if norm == "post":
        z = block.ln1(x + block.attn(x))
        expected = block.ln2(z + block.ffn(z))
    else:
        z = x + block.attn(block.ln1(x))
        expected = z + block.ffn(block.ln2(z))
    assert torch.equal(block(x), expected)
    assert (norm == "none") == ("ln1.weight" not in block.state_dict())


@pytest.mark.parametrize(
    "change",
    [{}, {"norm": "none"}, {"ffn": "relu2"}, {"tied_head": True}, {"zero_init": True}, {"value_embeddings": 1}],
    ids=str,
)
def test_initial_weights_are_drawn_in_a_fixed_order(change):
    """The same seed gives the same weights in every version: another order of draws would change published runs."""
    torch.manual_seed(7)
    found = TransformerLM(100, 16, 64, 2, 4, 128, **change).state_dict()
    torch.manual_seed(7)
    expected = {"token_embeddings": torch.nn.init.trunc_normal_(torch.empty(100, 64), a=-3, b=3)}
    attention = {f"attn.{name}_proj": (64, 64) for name in ("q", "k", "v", "output")}
    ffn = {"ffn.w1": (128, 64), "ffn.w2": (64, 128)} | ({} if "ffn" in change else {"ffn.w3": (128, 64)})
    shapes = {f"layers.{i}.{name}": shape for i in range(2) for name, shape in (attention | ffn).items()}
    for name, shape in (shapes | {"lm_head": (100, 64)}).items():
        std = (2 / sum(shape)) ** 0.5
        expected[name] = torch.nn.init.trunc_normal_(torch.empty(shape), std=std, a=-3 * std, b=3 * std)
    if "tied_head" in change:
        expected["token_embeddings"] = expected["lm_head"]
    if "value_embeddings" in change:
        expected["value_embeddings.0"] = torch.nn.init.trunc_normal_(torch.empty(100, 64), a=-3, b=3)
        assert all(torch.equal(found.pop(f"layers.{i}.attn.value_mix"), torch.full((2,), 0.5)) for i in range(2))
    if "zero_init" in change:
        expected |= {name: weight * 0 for name, weight in expected.items() if "output" in name or "w2" in name}
    for name, weight in expected.items():
        assert torch.equal(found.pop(f"{name}.weight"), weight), name
    assert all(torch.equal(weight, torch.ones(64)) for weight in found.values())


def test_a_new_switch_reaches_every_layer_that_could_read_it(monkeypatch):
    extended = dataclasses.make_dataclass(
        "Extended", [("invented", float, 0.0)], bases=(ModelConfig,), frozen=True, kw_only=True
    )
    received = []

    def recorded(original):
        def call(*args, **options):
            received.extend(value for value in (*args, *options.values()) if isinstance(value, Switches))
            return original(*args, **options)

        return call

    monkeypatch.setattr(transformer, "ModelConfig", extended)
    for name in ("TransformerBlock", "MultiheadSelfAttention", "_norm", "_feed_forward"):
        monkeypatch.setattr(transformer, name, recorded(getattr(transformer, name)))
    model = TransformerLM.from_config(extended(**SMALL.as_dict(), invented=30.0))
    # Three blocks, each with attention, two norms and a feed-forward network; and the last norm.
    assert received == [model.config] * (3 * 5 + 1)
    assert model.config.invented == 30
    assert model.layers[0].attn.switches is model.config


def test_no_layer_passes_a_switch_on_by_its_name():
    """So a new switch is a field of `Switches`, a line that reads it, and a test."""
    names = {field.name for field in dataclasses.fields(Switches)}
    for path in Path(transformer.__file__).parent.glob("*.py"):
        tree = ast.parse(path.read_text())
        passed = {node.arg for node in ast.walk(tree) if isinstance(node, ast.arg | ast.keyword)}
        assert not names & passed, f"{path.name} passes {names & passed}"


def test_the_model_has_the_courses_names_and_sizes():
    model = TransformerLM(100, 16, 64, 2, 4, 128, 1e4)
    names = set(model.state_dict())
    block = [
        "attn.q_proj",
        "attn.k_proj",
        "attn.v_proj",
        "attn.output_proj",
        "ln1",
        "ln2",
        "ffn.w1",
        "ffn.w2",
        "ffn.w3",
    ]
    expected = {f"layers.{i}.{name}.weight" for i in range(2) for name in block}
    assert names == expected | {"token_embeddings.weight", "ln_final.weight", "lm_head.weight"}
    with torch.device("meta"):
        assert TransformerLM(50257, 1024, 1600, 48, 25, 6400, 1e4).num_parameters() == 2_127_057_600
        assert TransformerLM(10000, 256, 512, 4, 16, 1344, 1e4).num_parameters() == 22_696_448


def test_queries_keys_and_values_are_one_parameter_and_three_tensors_of_the_state():
    model, other = (TransformerLM(100, 16, 64, 2, 4, 128) for _ in range(2))
    state = model.state_dict()
    assert torch.equal(
        torch.cat([state[f"layers.1.attn.{name}_proj.weight"] for name in "qkv"]), model.layers[1].attn.qkv_proj.weight
    )
    names = [name.split(".")[-2] for name in state if name.startswith("layers.0.attn.")]
    assert names == ["q_proj", "k_proj", "v_proj", "output_proj"]
    other.load_state_dict(state)
    assert all(map(torch.equal, model.parameters(), other.parameters()))
    missing = {name: tensor for name, tensor in state.items() if name != "layers.0.attn.k_proj.weight"}
    for broken in (missing, state | {"layers.0.attn.k_proj.weight": torch.zeros(64, 63)}):
        with pytest.raises(RuntimeError, match="layers.0.attn"):
            other.load_state_dict(broken)


def test_joined_weights_begin_as_three_layers_would():
    torch.manual_seed(3)
    joined = MultiheadSelfAttention(16, 4).qkv_proj.weight
    torch.manual_seed(3)
    assert torch.equal(joined, torch.cat([Linear(16, 16).weight for _ in range(3)]))


@pytest.mark.parametrize(
    "change",
    [
        {},
        {"norm": "post"},
        {"norm": "none"},
        {"position": "none"},
        {"ffn": "silu"},
        {"ffn": "relu2"},
        {"tied_head": True},
    ],
    ids=str,
)
def test_fast_and_reference_and_float64_are_equal_in_logits_and_gradients(change):
    config = ModelConfig(**SMALL.as_dict() | change)
    fast = TransformerLM.from_config(config)
    reference = TransformerLM.from_config(config, implementation="reference")
    exact = TransformerLM.from_config(config, implementation="reference").double()
    reference.load_state_dict(fast.state_dict())
    exact.load_state_dict(fast.state_dict())
    ids = torch.randint(100, (2, 16), generator=torch.Generator().manual_seed(1))
    logits = [model(ids) for model in (fast, reference, exact)]
    scale = logits[2].abs().max().item()
    for found in logits[:2]:
        assert torch.allclose(found.double(), logits[2], atol=1e-5 * scale)
    for found in logits:
        found.logsumexp(-1).mean().backward()
    for (name, a), b, c in zip(fast.named_parameters(), reference.parameters(), exact.parameters(), strict=True):
        for gradient in (a.grad, b.grad):
            assert torch.allclose(gradient.double(), c.grad, atol=1e-4 * c.grad.abs().max().item() + 1e-9), name


def test_a_tied_head_is_the_embedding():
    model = TransformerLM.from_config(ModelConfig(**SMALL.as_dict() | {"tied_head": True}))
    assert model.lm_head.weight is model.token_embeddings.weight
    assert model.num_parameters() == TransformerLM.from_config(SMALL).num_parameters() - 100 * 64


def test_a_model_without_storage_gives_shapes():
    with torch.device("meta"):
        model = TransformerLM.from_config(ModelConfig())
        assert model(torch.zeros(16, 256, dtype=torch.int64)).shape == (16, 256, 10_000)


def halves(weight: torch.Tensor, heads: int) -> torch.Tensor:
    """Hugging Face turns the halves of a head, we turn pairs: the rows in its order."""
    d = weight.shape[1]
    return weight.view(heads, d // heads // 2, 2, d).transpose(1, 2).reshape(d, d)


def test_the_model_is_hugging_faces_llama():
    transformers = pytest.importorskip("transformers")
    config = transformers.LlamaConfig(
        vocab_size=1000,
        hidden_size=128,
        intermediate_size=352,
        num_hidden_layers=4,
        num_attention_heads=8,
        max_position_embeddings=64,
        rms_norm_eps=1e-5,
        tie_word_embeddings=False,
        rope_parameters={"rope_type": "default", "rope_theta": 10_000.0},
    )
    llama = transformers.LlamaForCausalLM(config).eval()
    ours = TransformerLM(1000, 64, 128, 4, 8, 352, 10_000.0)
    mapped = {
        "model.embed_tokens.weight": ours.token_embeddings.weight,
        "model.norm.weight": ours.ln_final.weight,
        "lm_head.weight": ours.lm_head.weight,
    }
    for i, layer in enumerate(ours.layers):
        layer.ln1.weight.data = randn(i, 128)
        at = f"model.layers.{i}."
        attn, ffn = layer.attn, layer.ffn
        q, k, v = attn.qkv_proj.weight.chunk(3)
        mapped |= {
            at + "self_attn.q_proj.weight": halves(q, 8),
            at + "self_attn.k_proj.weight": halves(k, 8),
            at + "self_attn.v_proj.weight": v,
            at + "self_attn.o_proj.weight": attn.output_proj.weight,
            at + "mlp.gate_proj.weight": ffn.w1.weight,
            at + "mlp.up_proj.weight": ffn.w3.weight,
            at + "mlp.down_proj.weight": ffn.w2.weight,
            at + "input_layernorm.weight": layer.ln1.weight,
            at + "post_attention_layernorm.weight": layer.ln2.weight,
        }
    llama.load_state_dict(mapped)
    ids = torch.randint(1000, (3, 64))
    with torch.no_grad():
        theirs, found = llama(ids).logits, ours(ids)
    assert theirs.abs().max() > 1
    assert torch.allclose(found, theirs, atol=1e-4)


def test_what_makes_no_sense_is_refused():
    with pytest.raises(ConfigError, match="3 heads cannot share"):
        TransformerLM(100, 16, 64, 2, 3, 128)
    with pytest.raises(ConfigError, match="did you mean pre"):
        ModelConfig(norm="prae")
    with pytest.raises(ConfigError, match="must be even"):
        ModelConfig(d_model=12, num_heads=4)
    for change, message in (
        ({"value_embeddings": 3}, "value_embeddings is 3, and 3 layers have 2 pairs"),
        ({"embedding_scale": 0.0}, "embedding_scale is 0.0, and must be above 0"),
        ({"window": -1}, "window"),
        ({"logit_softcap": -1.0}, "logit_softcap"),
    ):
        with pytest.raises(ConfigError, match=message):
            dataclasses.replace(SMALL, **change)
    model = TransformerLM.from_config(SMALL)
    with pytest.raises(ValueError, match="17 tokens are more than the context_length of 16"):
        model(torch.zeros(1, 17, dtype=torch.long))


@pytest.mark.parametrize(
    "change",
    [{}, {"norm": "none"}, {"tied_head": True}, {"tied_head": True, "value_embeddings": 2, "u_net_skips": True}],
    ids=str,
)
def test_each_parameter_is_in_one_group_by_its_kind(change):
    model = TransformerLM.from_config(dataclasses.replace(SMALL, **change))
    names = {parameter: name for name, parameter in model.named_parameters(remove_duplicate=False)}
    groups = model.parameter_groups()
    grouped = [parameter for group in groups.values() for parameter in group]
    assert len(grouped) == len(set(grouped)) == len(set(model.parameters()))
    assert [names[parameter] for parameter in groups["head"]] == ["lm_head.weight"]
    tables = [f"value_embeddings.{number}.weight" for number in range(change.get("value_embeddings", 0))]
    own = [] if "tied_head" in change else ["token_embeddings.weight"]
    assert [names[parameter] for parameter in groups["embeddings"]] == own + tables
    assert all(".attn." in names[matrix] or ".ffn." in names[matrix] for matrix in groups["matrices"])
    assert all(names[other].endswith(NORMS_AND_SCALARS) for other in groups["norms"])
    assert len(groups["matrices"]) == 5 * SMALL.num_layers
