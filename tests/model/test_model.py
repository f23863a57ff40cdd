"""The model's parts against formulas that are too simple to be wrong, the course's arrays, and Hugging Face's Llama."""

import ast
import dataclasses
import math
from pathlib import Path

import numpy as np
import pytest
import torch
from bpe_lm import _core
from bpe_lm.errors import ConfigError
from bpe_lm.kernels.attention import fused_attention, supports_fused_attention
from bpe_lm.kernels.linear import linear
from bpe_lm.model import transformer
from bpe_lm.model.attention import MultiheadSelfAttention, causal_attention, scaled_dot_product_attention, softmax
from bpe_lm.model.config import ModelConfig, Switches
from bpe_lm.model.layers import Embedding, FeedForward, Linear, RMSNorm, RotaryPositionalEmbedding, SwiGLU, silu
from bpe_lm.model.transformer import TransformerBlock, TransformerLM

SMALL = ModelConfig(vocab_size=100, context_length=16, d_model=64, num_layers=3, num_heads=4, d_ff=128)


def randn(seed: int, *shape: int) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def course(seed: int, *shape: int) -> torch.Tensor:
    torch.manual_seed(seed)
    return torch.randn(*shape)


def double(model: torch.nn.Module) -> torch.nn.Module:
    return model.double()


def test_linear_is_a_product_and_begins_as_the_course_says():
    layer = Linear(1000, 600)
    x = randn(1, 3, 5, 1000)
    assert layer.weight.shape == (600, 1000)
    assert torch.allclose(layer(x), torch.nn.functional.linear(x, layer.weight))
    std = math.sqrt(2 / 1600)
    assert layer.weight.std().item() == pytest.approx(std * 0.9866, rel=0.01)  # A normal cut off at three.
    assert layer.weight.abs().max() <= 3 * std


def test_embedding_takes_rows():
    layer = Embedding(50, 8)
    ids = torch.randint(50, (2, 3, 4))
    assert torch.equal(layer(ids), torch.nn.functional.embedding(ids, layer.weight))
    assert layer.weight.abs().max() <= 3


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float64])
def test_rmsnorm_is_computed_in_float32_and_returned_as_it_came(dtype):
    layer = RMSNorm(64)
    layer.weight.data = randn(2, 64)
    x = (100 * randn(1, 4, 12, 64)).to(dtype)
    exact = x.double() / (x.double().square().mean(-1, keepdim=True) + 1e-5).sqrt() * layer.weight.double()
    assert layer(x).dtype == dtype
    assert torch.allclose(layer(x).double(), exact, rtol=1e-2 if dtype == torch.bfloat16 else 1e-5, atol=1e-6)


def test_feed_forward_layers_are_their_formulas():
    x = randn(1, 2, 12, 64)
    assert torch.allclose(silu(x), torch.nn.functional.silu(x), atol=1e-6)
    swiglu = SwiGLU(64, 128)
    w1, w2, w3 = (layer.weight for layer in (swiglu.w1, swiglu.w2, swiglu.w3))
    assert torch.allclose(swiglu(x), (torch.nn.functional.silu(x @ w1.T) * (x @ w3.T)) @ w2.T, atol=1e-5)
    for activation, f in (("silu", torch.nn.functional.silu), ("relu2", lambda h: torch.relu(h) ** 2)):
        layer = FeedForward(64, 256, activation)
        assert torch.allclose(layer(x), f(x @ layer.w1.weight.T) @ layer.w2.weight.T, atol=1e-5)


def turned(x: np.ndarray, positions: np.ndarray, theta: float) -> np.ndarray:
    """Pair by pair, as complex numbers."""
    d = x.shape[-1]
    out = np.empty_like(x)
    for k in range(d // 2):
        z = (x[..., 2 * k] + 1j * x[..., 2 * k + 1]) * np.exp(1j * positions * theta ** (-2 * k / d))
        out[..., 2 * k], out[..., 2 * k + 1] = z.real, z.imag
    return out


def test_rope_turns_pairs_at_any_positions():
    rope = RotaryPositionalEmbedding(1e4, 64, 100)
    x = randn(1, 2, 3, 12, 64)
    for positions in (torch.arange(12), torch.arange(12)[None], torch.tensor([5, 99, 0, 7, 7, 1, 2, 50, 3, 98, 4, 6])):
        expected = turned(x.double().numpy(), positions.numpy(), 1e4)
        assert np.allclose(rope(x, positions).numpy(), expected, atol=1e-5)
    batched = torch.stack([torch.arange(12), torch.arange(12) + 40])
    expected = turned(x.double().numpy(), batched[:, None].numpy(), 1e4)
    assert np.allclose(rope(x, batched).numpy(), expected, atol=1e-5)
    assert not rope.state_dict()


def courses_rope() -> torch.Tensor:
    return RotaryPositionalEmbedding(1e4, 64, 12)(course(4, 4, 12, 64), torch.arange(12))


def test_rope_turns_the_courses_input():
    x = course(4, 4, 12, 64)
    pairs = torch.view_as_complex(x.unflatten(-1, (32, 2)))
    angles = torch.outer(torch.arange(12), 1e4 ** (-torch.arange(32) / 32))
    expected = torch.view_as_real(pairs * torch.polar(torch.ones(12, 32), angles)).flatten(-2)
    assert torch.allclose(courses_rope(), expected, atol=1e-5)


def test_rope_equals_the_courses_array(shared):
    expected = np.load(shared("cs336/test_rope.npz"))
    assert np.allclose(courses_rope().numpy(), expected[expected.files[0]], atol=1e-6)


def courses_attention(heads: int | None) -> list[torch.Tensor]:
    """Queries, keys, values and the mask."""
    inputs = [course(1, 4, 12, 64), course(2, 4, 16, 64), course(3, 4, 16, 64), course(5, 4, 12, 16) > 0.5]
    return [x.unflatten(0, (2, heads)) for x in inputs] if heads else inputs


@pytest.mark.parametrize("heads", [None, 2])
def test_attention_of_the_courses_inputs_is_torchs(heads):
    q, k, v, mask = courses_attention(heads)
    expected = torch.nn.functional.scaled_dot_product_attention(q, k, v, attn_mask=mask)
    assert torch.allclose(scaled_dot_product_attention(q, k, v, mask), expected, atol=1e-6)


@pytest.mark.parametrize("heads", [None, 2])
def test_attention_equals_the_courses_arrays(shared, heads):
    name = "test_4d_scaled_dot_product_attention" if heads else "test_scaled_dot_product_attention"
    expected = np.load(shared(f"cs336/{name}.npz"))
    found = scaled_dot_product_attention(*courses_attention(heads))
    assert np.allclose(found.numpy(), expected[expected.files[0]], atol=1e-6)


def test_softmax_does_not_overflow():
    x = randn(1, 5, 7)
    assert torch.allclose(softmax(x + 1000, 1), torch.softmax(x, 1), atol=1e-5)
    assert torch.allclose(softmax(x, 0), torch.softmax(x, 0), atol=1e-6)


def test_a_query_that_sees_nothing_gets_zeros():
    q, k, v = randn(1, 3, 8), randn(2, 5, 8), randn(3, 5, 8)
    mask = torch.zeros(3, 5, dtype=torch.bool)
    mask[1, 2] = True
    found = scaled_dot_product_attention(q, k, v, mask)
    assert torch.equal(found[0], torch.zeros(8))
    assert torch.allclose(found[1], v[2])
    assert torch.allclose(scaled_dot_product_attention(q, k, v), torch.softmax(q @ k.T / 8**0.5, -1) @ v, atol=1e-6)


@pytest.mark.parametrize(("queries", "keys"), [(12, 12), (1, 12), (5, 12)])
def test_both_attentions_and_float64_are_equal(queries, keys):
    q, k, v = randn(1, 2, 4, queries, 16), randn(2, 2, 4, keys, 16), randn(3, 2, 4, keys, 16)
    exact = causal_attention(q.double(), k.double(), v.double(), implementation="reference")
    for implementation in ("fast", "reference"):
        found = causal_attention(q, k, v, implementation=implementation)
        assert torch.allclose(found.double(), exact, atol=1e-6)


def both_ways(layer, x):
    """The output, and the gradients of input and weights."""
    x = x.detach().requires_grad_()
    output = layer(x)
    outer = randn(9, *output.shape).to(output.dtype)
    return [output, *torch.autograd.grad(output, (x, *layer.parameters()), outer)]


@pytest.mark.parametrize("kernels", [True, False])
@pytest.mark.parametrize("has_rope", [True, False])
@pytest.mark.parametrize(("length", "heads"), [(1, 2), (5, 4), (64, 1), (130, 2)])
def test_fast_self_attention_has_the_references_values_and_gradients(monkeypatch, kernels, has_rope, length, heads):
    if not kernels:
        monkeypatch.setattr("bpe_lm.kernels.cpu._ARE_AVAILABLE", False)
    assert supports_fused_attention(torch.ones(1, length, 3, heads, 64 // heads)) == (
        kernels and _core.kernels_are_available()
    )
    rope = RotaryPositionalEmbedding(1e4, 64 // heads, 200) if has_rope else None
    fast, reference = (MultiheadSelfAttention(64, heads, rope, implementation=name) for name in ("fast", "reference"))
    reference.load_state_dict(fast.state_dict())
    reference.double()
    x = randn(1, 2, length, 64)
    expected = both_ways(reference, x.double())
    for found, exact in zip(both_ways(fast, x), expected, strict=True):
        assert torch.allclose(found.double(), exact, rtol=1e-4, atol=1e-5)
    with torch.autocast("cpu", torch.bfloat16):
        for found, exact in zip(both_ways(fast, x), expected, strict=True):
            assert (found.double() - exact).norm() <= 0.02 * exact.norm() + 1e-6
    with torch.no_grad():
        assert torch.allclose(fast(x[0]), fast(x)[0], atol=1e-6)
        assert fast(x[:0]).shape == (0, length, 64)


@pytest.mark.usefixtures("needs_kernels")
@pytest.mark.filterwarnings("ignore:The .grad attribute")  # opcheck's own.
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_attention_is_an_operator_as_torch_wants_it(dtype):
    qkv = randn(1, 2, 5, 3, 2, 32).to(dtype).detach().requires_grad_()
    rope = RotaryPositionalEmbedding(1e4, 32, 5)
    for angles in ((rope.cos, rope.sin), (None, None)):
        torch.library.opcheck(torch.ops.bpe_lm.causal_attention, (qkv, *angles))
    for strided in (qkv[:, :4], qkv.transpose(0, 1)):
        found, expected = ([fused_attention(x, None, None)] for x in (strided, strided.contiguous()))
        for values in (found, expected):
            values += torch.autograd.grad(values[0].square().sum(), qkv)
        assert all(map(torch.equal, found, expected))


def test_a_model_without_storage_gives_shapes():
    with torch.device("meta"):
        model = TransformerLM.from_config(ModelConfig())
        assert model(torch.zeros(16, 256, dtype=torch.int64)).shape == (16, 256, 10_000)


@pytest.mark.filterwarnings("ignore:The .grad attribute")  # opcheck's own.
@pytest.mark.parametrize("shape", [(300, 256), (2, 150, 256)])
def test_large_products_are_products_whatever_lies_how_in_memory(monkeypatch, shape):
    """Above 2^24 multiplications oneDNN makes them in float32."""
    calls, operator = [], torch.ops.bpe_lm.linear
    torch.library.opcheck(operator, (randn(5, 7, 5).requires_grad_(), randn(6, 3, 5).requires_grad_()))
    monkeypatch.setattr("bpe_lm.kernels.linear._linear", lambda x, w: calls.append(x.shape) or operator(x, w))
    weight, x = randn(1, 260, 256), randn(2, *shape)
    for w in (weight, randn(3, 256, 260).T):
        for rows in (x, x.transpose(0, -2).contiguous().transpose(0, -2), x[:1].expand(shape)):
            a, b = rows.detach().requires_grad_(), w.detach().requires_grad_()
            outer = torch.ones(()).expand(*shape[:-1], 260)
            found = linear(a, b)
            exact = a.detach().double() @ b.detach().double().T
            da, db = torch.autograd.grad(found, (a, b), outer)
            assert torch.allclose(found.double(), exact, atol=1e-4)
            assert torch.allclose(da.double(), outer.double() @ b.detach().double(), atol=1e-4)
            flat = (tensor.detach().double().flatten(0, -2) for tensor in (outer, a))
            assert torch.allclose(db.double(), next(flat).T @ next(flat), atol=1e-3)
    assert len(calls) == (6 * (1 + 2) if _core.kernels_are_available() else 0)
    vector = randn(4, 5000)
    assert torch.allclose(linear(vector, vector.expand(4000, -1)), (vector @ vector).expand(4000), rtol=1e-4)


def test_one_row_is_multiplied_as_many_are():
    for out_features in (7, 8):
        layer, x = Linear(12, out_features), randn(1, 1, 1, 12)
        with torch.no_grad():
            assert torch.allclose(layer(x), x @ layer.weight.T, atol=1e-6)
            assert torch.allclose(layer(x[0, 0]), (x @ layer.weight.T)[0, 0], atol=1e-6)


def test_self_attention_is_causal_and_heads_are_stacked_on_rows():
    attention = MultiheadSelfAttention(64, 4)
    x = randn(1, 2, 12, 64)
    changed = x.clone()
    changed[:, 7:] = 0
    assert torch.allclose(attention(x)[:, :7], attention(changed)[:, :7], atol=1e-6)
    heads = []
    for h in range(4):
        rows = slice(16 * h, 16 * (h + 1))
        q, k, v = (x @ p.weight[rows].T for p in (attention.q_proj, attention.k_proj, attention.v_proj))
        scores = (q @ k.transpose(-1, -2) / 4).masked_fill(~torch.ones(12, 12, dtype=torch.bool).tril(), -torch.inf)
        heads.append(torch.softmax(scores, -1) @ v)
    expected = torch.cat(heads, -1) @ attention.output_proj.weight.T
    assert torch.allclose(attention(x), expected, atol=1e-5)


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


@pytest.mark.parametrize("change", [{}, {"norm": "none"}, {"ffn": "relu2"}, {"tied_head": True}], ids=str)
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
    for name, weight in expected.items():
        assert torch.equal(found.pop(f"{name}.weight"), weight), name
    assert all(torch.equal(weight, torch.ones(64)) for weight in found.values())


def test_a_new_switch_reaches_every_layer_that_could_read_it(monkeypatch):
    extended = dataclasses.make_dataclass(
        "Extended", [("softcap", float, 0.0)], bases=(ModelConfig,), frozen=True, kw_only=True
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
    model = TransformerLM.from_config(extended(**SMALL.as_dict(), softcap=30.0))
    # Three blocks, each with attention, two norms and a feed-forward network; and the last norm.
    assert received == [model.config] * (3 * 5 + 1)
    assert model.config.softcap == 30
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
    exact = double(TransformerLM.from_config(config, implementation="reference"))
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
        mapped |= {
            at + "self_attn.q_proj.weight": halves(attn.q_proj.weight, 8),
            at + "self_attn.k_proj.weight": halves(attn.k_proj.weight, 8),
            at + "self_attn.v_proj.weight": attn.v_proj.weight,
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
    model = TransformerLM.from_config(SMALL)
    with pytest.raises(ValueError, match="17 tokens are more than the context_length of 16"):
        model(torch.zeros(1, 17, dtype=torch.long))
