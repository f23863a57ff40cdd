"""docs/cs336.md: each body is taken from the page and run as an adapter of the course's suite.

Inputs are made as the suite makes them. Where its expected output is not public, plain torch in float64 gives it.
"""

import io
import json
import math
import re
import subprocess
import sys
from collections import Counter
from dataclasses import replace
from pathlib import Path
from types import FunctionType

import bpe_lm
import naive_bpe
import numpy as np
import pytest
import torch
from bpe_lm import _core
from bpe_lm.model.config import ModelConfig
from bpe_lm.model.flops import count_parameters, forward_flops, training_flops
from bpe_lm.tokenizer.tokens import from_alphabet
from bpe_lm.training.account import course_memory, training_seconds
from bpe_lm.training.presets import PRESETS
from torch import Tensor
from torch.nn import functional

PAGE = (Path(__file__).parents[1] / "docs" / "cs336.md").read_text(encoding="utf-8")
BODIES = dict(re.findall(r"^\| `(\w+)` \| `(.*)` \|$", PAGE, re.MULTILINE))
ARGUMENTS = {
    "run_linear": "d_in, d_out, weights, in_features",
    "run_embedding": "vocab_size, d_model, weights, token_ids",
    "run_swiglu": "d_model, d_ff, w1_weight, w2_weight, w3_weight, in_features",
    "run_scaled_dot_product_attention": "Q, K, V, mask=None",
    "run_multihead_self_attention": "d_model, num_heads, q_proj_weight, k_proj_weight, v_proj_weight, o_proj_weight, "
    "in_features",
    "run_multihead_self_attention_with_rope": "d_model, num_heads, max_seq_len, theta, q_proj_weight, k_proj_weight, "
    "v_proj_weight, o_proj_weight, in_features, token_positions=None",
    "run_rope": "d_k, theta, max_seq_len, in_query_or_key, token_positions",
    "run_transformer_block": "d_model, num_heads, d_ff, max_seq_len, theta, weights, in_features",
    "run_transformer_lm": "vocab_size, context_length, d_model, num_layers, num_heads, d_ff, rope_theta, weights, "
    "in_indices",
    "run_rmsnorm": "d_model, eps, weights, in_features",
    "run_silu": "in_features",
    "run_get_batch": "dataset, batch_size, context_length, device",
    "run_softmax": "in_features, dim",
    "run_cross_entropy": "inputs, targets",
    "run_gradient_clipping": "parameters, max_l2_norm",
    "get_adamw_cls": "",
    "run_get_lr_cosine_schedule": "it, max_learning_rate, min_learning_rate, warmup_iters, cosine_cycle_iters",
    "run_save_checkpoint": "model, optimizer, iteration, out",
    "run_load_checkpoint": "src, model, optimizer",
    "get_tokenizer": "vocab, merges, special_tokens=None",
    "run_train_bpe": "input_path, vocab_size, special_tokens, **kwargs",
}
CHECKS = {}
SIZES = {"d_model": 64, "num_heads": 4, "d_ff": 128}
VOCAB, LAYERS, CONTEXT, THETA = 1000, 3, 16, 10_000.0
SPECIAL = ["<|endoftext|>"]


def adapter(name: str) -> FunctionType:
    """The adapter with the page's body."""
    lines = [f"def {name}({ARGUMENTS[name]}):", *(f"    {part}" for part in BODIES[name].split("; "))]
    names = {"torch": torch, "bpe_lm": bpe_lm}
    exec("\n".join(lines), names)
    return names[name]


def check_of(*names: str):
    def register(function):
        CHECKS.update(dict.fromkeys(names, function))
        return function

    return register


@pytest.fixture
def course(shared):
    """An array of the course; None where it is not there."""

    def find(name: str) -> Tensor | None:
        try:
            arrays = np.load(shared(f"cs336/{name}.npz"))
        except pytest.skip.Exception:
            return None
        return torch.from_numpy(arrays[arrays.files[0]])

    return find


def test_the_page_has_a_body_for_each_adapter_and_each_is_run():
    assert len(ARGUMENTS) == 21
    assert list(BODIES) == list(ARGUMENTS)
    assert set(CHECKS) == set(BODIES)


@pytest.mark.parametrize("name", list(BODIES))
def test_the_body_does_what_the_suite_expects(name, course, shared, tmp_path):
    given = {"name": name, "course": course, "shared": shared, "folder": tmp_path}
    check = CHECKS[name]
    check(**{key: given[key] for key in check.__code__.co_varnames[: check.__code__.co_argcount]})


def seeded(seed: int, *shape: int) -> Tensor:
    torch.manual_seed(seed)
    return torch.randn(*shape)


def compare(found: Tensor, expected: Tensor, atol: float = 1e-5, rtol: float = 1e-4) -> None:
    assert found.shape == expected.shape
    assert found.dtype == torch.float32
    assert torch.allclose(found.double(), expected.double(), atol=atol, rtol=rtol)


# Layers


def weights(seed: int = 7) -> dict[str, Tensor]:
    """Of a whole model, by the course's names."""
    d, d_ff = SIZES["d_model"], SIZES["d_ff"]
    generator = torch.Generator().manual_seed(seed)
    shapes = {"token_embeddings": (VOCAB, d), "ln_final": (d,), "lm_head": (VOCAB, d)}
    for layer in range(LAYERS):
        block = {f"attn.{part}_proj": (d, d) for part in ("q", "k", "v", "output")}
        block |= {"ln1": (d,), "ln2": (d,), "ffn.w1": (d_ff, d), "ffn.w2": (d, d_ff), "ffn.w3": (d_ff, d)}
        shapes |= {f"layers.{layer}.{name}": shape for name, shape in block.items()}
    return {f"{n}.weight": torch.randn(*s, generator=generator) / s[-1] ** 0.5 for n, s in shapes.items()}


def block_weights() -> dict[str, Tensor]:
    start = "layers.0."
    return {name.removeprefix(start): tensor for name, tensor in weights().items() if name.startswith(start)}


def in_embeddings() -> Tensor:
    return seeded(4, 4, 12, SIZES["d_model"])


def in_indices() -> Tensor:
    torch.manual_seed(6)
    return torch.randint(0, VOCAB, (4, 12))


def plain_attention(q: Tensor, k: Tensor, v: Tensor, mask: Tensor) -> Tensor:
    scores = (q @ k.mT / math.sqrt(q.shape[-1])).masked_fill(~mask, -math.inf)
    return torch.softmax(scores, -1) @ v


def plain_rope(x: Tensor, positions: Tensor, theta: float = THETA) -> Tensor:
    """Pairs are complex numbers, and are turned."""
    half = x.shape[-1] // 2
    angles = positions.double()[..., None] * theta ** (-torch.arange(half, dtype=torch.float64) / half)
    pairs = torch.view_as_complex(x.double().unflatten(-1, (half, 2)).contiguous())
    return torch.view_as_real(pairs * torch.polar(torch.ones_like(angles), angles)).flatten(-2)


def plain_self_attention(x: Tensor, by_name: dict[str, Tensor], positions: Tensor | None) -> Tensor:
    q, k, v = (
        (x @ by_name[f"{part}_proj.weight"].double().T).unflatten(-1, (SIZES["num_heads"], -1)).transpose(-2, -3)
        for part in ("q", "k", "v")
    )
    if positions is not None:
        q, k = plain_rope(q, positions), plain_rope(k, positions)
    causal = torch.ones(x.shape[-2], x.shape[-2], dtype=torch.bool).tril()
    heads = plain_attention(q, k, v, causal).transpose(-2, -3).flatten(-2)
    return heads @ by_name["output_proj.weight"].double().T


def plain_rmsnorm(x: Tensor, weight: Tensor, eps: float = 1e-5) -> Tensor:
    return x / (x.square().mean(-1, keepdim=True) + eps).sqrt() * weight.double()


def plain_swiglu(x: Tensor, w1: Tensor, w2: Tensor, w3: Tensor) -> Tensor:
    gate = x @ w1.double().T
    return (gate * torch.sigmoid(gate) * (x @ w3.double().T)) @ w2.double().T


def plain_block(x: Tensor, by_name: dict[str, Tensor]) -> Tensor:
    attention = {n.removeprefix("attn."): w for n, w in by_name.items() if n.startswith("attn.")}
    positions = torch.arange(x.shape[-2])
    x = x + plain_self_attention(plain_rmsnorm(x, by_name["ln1.weight"]), attention, positions)
    ffn = [by_name[f"ffn.w{number}.weight"] for number in (1, 2, 3)]
    return x + plain_swiglu(plain_rmsnorm(x, by_name["ln2.weight"]), *ffn)


def plain_lm(ids: Tensor, by_name: dict[str, Tensor]) -> Tensor:
    x = by_name["token_embeddings.weight"].double()[ids]
    for layer in range(LAYERS):
        start = f"layers.{layer}."
        x = plain_block(x, {n.removeprefix(start): w for n, w in by_name.items() if n.startswith(start)})
    return plain_rmsnorm(x, by_name["ln_final.weight"]) @ by_name["lm_head.weight"].double().T


@check_of("run_linear")
def check_linear(name):
    weight, x = block_weights()["ffn.w1.weight"], in_embeddings()
    found = adapter(name)(d_in=SIZES["d_model"], d_out=SIZES["d_ff"], weights=weight, in_features=x)
    compare(found, x.double() @ weight.double().T)


@check_of("run_embedding")
def check_embedding(name):
    table, ids = weights()["token_embeddings.weight"], in_indices()
    found = adapter(name)(vocab_size=VOCAB, d_model=SIZES["d_model"], weights=table, token_ids=ids)
    compare(found, table[ids], atol=0)


@check_of("run_swiglu")
def check_swiglu(name):
    by_name, x = block_weights(), in_embeddings()
    w1, w2, w3 = (by_name[f"ffn.w{number}.weight"] for number in (1, 2, 3))
    sizes = {"d_model": SIZES["d_model"], "d_ff": SIZES["d_ff"]}
    found = adapter(name)(**sizes, w1_weight=w1, w2_weight=w2, w3_weight=w3, in_features=x)
    compare(found, plain_swiglu(x.double(), w1, w2, w3))


@check_of("run_scaled_dot_product_attention")
def check_attention(name, course):
    q, k, v = seeded(1, 4, 12, 64), seeded(2, 4, 16, 64), seeded(3, 4, 16, 64)
    mask = seeded(5, 4, 12, 16) > 0.5
    run = adapter(name)
    for array, heads in (("test_scaled_dot_product_attention", None), ("test_4d_scaled_dot_product_attention", 2)):
        inputs = [x if heads is None else x.unflatten(0, (-1, heads)) for x in (q, k, v, mask)]
        if heads:
            # The suite's pattern is "(batch head) ... -> batch head ..." with 2 heads.
            assert inputs[0].shape == (2, 2, 12, 64)
        found = run(Q=inputs[0], K=inputs[1], V=inputs[2], mask=inputs[3])
        compare(found, plain_attention(*(x.double() for x in inputs[:3]), inputs[3]), atol=1e-6)
        expected = course(array)
        if expected is not None:
            compare(found, expected, atol=1e-6)
    everywhere = torch.ones(12, 16, dtype=torch.bool)
    compare(run(q, k, v), plain_attention(q.double(), k.double(), v.double(), everywhere), atol=1e-6)


def projections() -> dict[str, Tensor]:
    names = {"q": "q_proj_weight", "k": "k_proj_weight", "v": "v_proj_weight", "output": "o_proj_weight"}
    return {argument: block_weights()[f"attn.{part}_proj.weight"] for part, argument in names.items()}


@check_of("run_multihead_self_attention", "run_multihead_self_attention_with_rope")
def check_self_attention(name):
    x = in_embeddings()
    by_name = {n.removeprefix("attn."): w for n, w in block_weights().items() if n.startswith("attn.")}
    sizes = {"d_model": SIZES["d_model"], "num_heads": SIZES["num_heads"]}
    run = adapter(name)
    if not name.endswith("with_rope"):
        compare(run(**sizes, **projections(), in_features=x), plain_self_attention(x.double(), by_name, None))
        return
    for positions in (torch.arange(12)[None], torch.arange(12), None):
        found = run(
            **sizes, max_seq_len=CONTEXT, theta=THETA, **projections(), in_features=x, token_positions=positions
        )
        compare(found, plain_self_attention(x.double(), by_name, torch.arange(12)))


@check_of("run_rope")
def check_rope(name, course):
    x, positions = in_embeddings(), torch.arange(12)
    found = adapter(name)(d_k=64, theta=THETA, max_seq_len=12, in_query_or_key=x, token_positions=positions)
    compare(found, plain_rope(x, positions), atol=1e-6)
    expected = course("test_rope")
    if expected is not None:
        compare(found, expected, atol=1e-6)


@check_of("run_transformer_block")
def check_block(name):
    by_name, x = block_weights(), in_embeddings()
    found = adapter(name)(**SIZES, max_seq_len=CONTEXT, theta=THETA, weights=by_name, in_features=x)
    compare(found, plain_block(x.double(), by_name))


@check_of("run_transformer_lm")
def check_lm(name):
    ids = in_indices()
    for given in (ids, ids[..., : ids.shape[-1] // 2]):
        found = adapter(name)(
            vocab_size=VOCAB,
            context_length=CONTEXT,
            num_layers=LAYERS,
            **SIZES,
            rope_theta=THETA,
            weights=weights(),
            in_indices=given,
        )
        compare(found, plain_lm(given, weights()), atol=1e-4, rtol=1e-2)


@check_of("run_rmsnorm")
def check_rmsnorm(name):
    weight, x = block_weights()["ln1.weight"], in_embeddings()
    found = adapter(name)(d_model=SIZES["d_model"], eps=1e-5, weights=weight, in_features=x)
    compare(found, plain_rmsnorm(x.double(), weight), atol=1e-6)


@check_of("run_silu")
def check_silu(name):
    x = seeded(1, 3, 5, 9)
    compare(adapter(name)(x), functional.silu(x), atol=1e-6)


# Training


@check_of("run_get_batch")
def check_batch(name):
    run, dataset = adapter(name), np.arange(100)
    batch, context = 32, 7
    first = Counter()
    for _ in range(1000):
        x, y = run(dataset=dataset, batch_size=batch, context_length=context, device="cpu")
        assert x.shape == y.shape == (batch, context)
        assert torch.equal(x + 1, y)
        first.update(x[:, 0].tolist())
    places = len(dataset) - context
    assert (min(first), max(first)) == (0, places - 1)
    expected = 1000 * batch / places
    spread = 5 * math.sqrt(1000 * batch * (1 / places) * (1 - 1 / places))
    assert all(abs(count - expected) <= spread for count in first.values())
    with pytest.raises((RuntimeError, AssertionError)):
        run(dataset=dataset, batch_size=batch, context_length=context, device="cuda:99")


@check_of("run_softmax")
def check_softmax(name):
    x, run = torch.rand(3, 5), adapter(name)
    compare(run(x, dim=-1), torch.softmax(x, -1), atol=1e-6)
    compare(run(x + 100, dim=-1), torch.softmax(x, -1), atol=1e-6)


@check_of("run_cross_entropy")
def check_cross_entropy(name):
    inputs, targets, run = torch.rand(8, 5), torch.randint(5, (8,)), adapter(name)
    compare(run(inputs, targets), functional.cross_entropy(inputs, targets), atol=1e-4)
    compare(run(1000.0 * inputs, targets), functional.cross_entropy(1000.0 * inputs, targets), atol=1e-4)


@check_of("run_gradient_clipping")
def check_clipping(name):
    tensors, run = [torch.randn(5, 5) for _ in range(6)], adapter(name)
    gradients = []
    for clip in (torch.nn.utils.clip_grad_norm_, run):
        parameters = [torch.nn.Parameter(tensor.clone()) for tensor in tensors]
        parameters[-1].requires_grad_(False)
        torch.cat(parameters).sum().backward()
        clip(parameters, 1e-2)
        gradients.append([parameter.grad for parameter in parameters if parameter.grad is not None])
    assert len(gradients[0]) == 5
    for found, expected in zip(gradients[1], gradients[0], strict=True):
        compare(found, expected, atol=1e-6)


class HandoutAdamW(torch.optim.Optimizer):
    """The handout's algorithm; `decay` first (2026) or last (2025). Epsilon is not corrected for bias there."""

    def __init__(self, params, lr, weight_decay, betas, eps, decay="first"):
        super().__init__(params, {"lr": lr, "weight_decay": weight_decay, "betas": betas, "eps": eps, "decay": decay})

    @torch.no_grad()
    def step(self):
        for group in self.param_groups:
            (beta1, beta2), lr = group["betas"], group["lr"]
            for p in group["params"]:
                state = self.state.setdefault(p, {}) or self.state[p]
                t = state["t"] = state.get("t", 0) + 1
                if group["decay"] == "first":
                    p.mul_(1 - lr * group["weight_decay"])
                m = state["m"] = beta1 * state.get("m", torch.zeros_like(p)) + (1 - beta1) * p.grad
                v = state["v"] = beta2 * state.get("v", torch.zeros_like(p)) + (1 - beta2) * p.grad**2
                rate = lr * math.sqrt(1 - beta2**t) / (1 - beta1**t)
                p.sub_(rate * m / (v.sqrt() + group["eps"]))
                if group["decay"] == "last":
                    p.mul_(1 - lr * group["weight_decay"])


def fitted(make) -> Tensor:
    torch.manual_seed(42)
    model = torch.nn.Linear(3, 2, bias=False)
    optimizer = make(model.parameters(), lr=1e-3, weight_decay=0.01, betas=(0.9, 0.999), eps=1e-8)
    for _ in range(1000):
        optimizer.zero_grad()
        x = torch.rand(3)
        y = torch.stack([x[0] + x[1], -x[2]])
        ((y - model(x)) ** 2).sum().backward()
        optimizer.step()
    return model.weight.detach()


@check_of("get_adamw_cls")
def check_adamw(name, course):
    found = fitted(adapter(name)())
    expected = course("test_adamw")
    others = [] if expected is None else [expected]
    others += [fitted(torch.optim.AdamW), fitted(HandoutAdamW)]
    others += [fitted(lambda params, **options: HandoutAdamW(params, decay="last", **options))]
    for other in others:
        compare(found, other, atol=1e-4, rtol=0)


@pytest.mark.parametrize("implementation", ["fast", "reference"])
def test_weight_decay_comes_before_the_update(implementation):
    found = {}
    options = {"lr": 0.5, "weight_decay": 0.5, "betas": (0.9, 0.999), "eps": 1e-8}
    for kind in ("first", "last", "ours"):
        weight = torch.nn.Parameter(torch.tensor([3.0, -2.0]))
        if kind == "ours":
            optimizer = bpe_lm.AdamW([weight], implementation=implementation, **options)
        else:
            optimizer = HandoutAdamW([weight], decay=kind, **options)
        weight.grad = torch.tensor([1.0, 4.0])
        optimizer.step()
        found[kind] = weight.detach()
    assert torch.allclose(found["ours"], found["first"])
    assert not torch.allclose(found["ours"], found["last"], atol=0.1)


@check_of("run_get_lr_cosine_schedule")
def check_schedule(name):
    warm = [step / 7 for step in range(7)]
    falling = [1.0, 0.9887175604818206, 0.9554359905560885, 0.9018241671106134, 0.8305704108364301]
    falling += [0.7452476826029011, 0.6501344202803414, 0.55, 0.44986557971965857, 0.3547523173970989]
    falling += [0.26942958916356996, 0.19817583288938662, 0.14456400944391146, 0.11128243951817937]
    run = adapter(name)
    found = [
        run(it=it, max_learning_rate=1, min_learning_rate=0.1, warmup_iters=7, cosine_cycle_iters=21)
        for it in range(25)
    ]
    assert found == pytest.approx([*warm, *falling, 0.1, 0.1, 0.1, 0.1])


@check_of("run_save_checkpoint", "run_load_checkpoint")
def check_checkpoint(folder):
    save, load = adapter("run_save_checkpoint"), adapter("run_load_checkpoint")

    def made():
        torch.manual_seed(42)
        model = torch.nn.Sequential(torch.nn.Linear(100, 200), torch.nn.Linear(200, 100), torch.nn.Linear(100, 10))
        options = {"lr": 1e-3, "weight_decay": 0.01, "betas": (0.9, 0.999), "eps": 1e-8}
        return model, bpe_lm.AdamW(model.parameters(), **options)

    model, optimizer = made()
    for _ in range(10):
        optimizer.zero_grad()
        ((model(torch.rand(100)) - torch.rand(10)) ** 2).sum().backward()
        optimizer.step()
    buffer = io.BytesIO()
    for target in (folder / "checkpoint.pt", str(folder / "another"), buffer):
        save(model, optimizer, iteration=10, out=target)
        buffer.seek(0)
        other, others_optimizer = made()
        assert load(src=target, model=other, optimizer=others_optimizer) == 10
        for key, tensor in model.state_dict().items():
            assert torch.equal(other.state_dict()[key], tensor)
        was, now = optimizer.state_dict(), others_optimizer.state_dict()
        assert was["param_groups"] == now["param_groups"]
        assert was["state"].keys() == now["state"].keys()
        for key, state in was["state"].items():
            assert state.keys() == now["state"][key].keys()
            assert all(torch.equal(value, now["state"][key][part]) for part, value in state.items())


# Tokenizers


def prose() -> str:
    return (
        "Once upon a time there was a little dog. It couldn't find its ball, and it's sad!\n\n"
        "<|endoftext|>\nDer Igel läuft über die Wiese; 北京的天气 is 😀 today.\t 1,234.5\n<|endoftext|><|endoftext|>"
    )


TEXTS = [
    "",
    "s",
    "🙃",
    "Hello, how are you?",
    "Héllò hôw are ü? 🙃",
    prose(),
    "\n\n<|endoftext|>\n\n",
    "<|endoftext|>\n\nx",
]


@check_of("get_tokenizer")
def check_tokenizer(name, folder, shared):
    run = adapter(name)
    merges = naive_bpe.train([(prose() * 3).encode()], 60, SPECIAL)
    tokens = [*(bytes([byte]) for byte in range(256)), *(left + right for left, right in merges)]
    vocab = dict(enumerate(tokens))
    with_special = vocab | {len(vocab): SPECIAL[0].encode()}
    tokenizer = run(with_special, merges, SPECIAL)
    for text in TEXTS:
        ids = tokenizer.encode(text)
        assert ids == naive_bpe.encode(text.encode(), with_special, merges, SPECIAL)
        assert tokenizer.decode(ids) == text
        assert list(tokenizer.encode_iterable(io.StringIO(text))) == ids
    none = run(vocab, merges)
    assert none.encode(prose()) == naive_bpe.encode(prose().encode(), vocab, merges, [])
    twice = [SPECIAL[0], SPECIAL[0] * 2]
    overlapping = run(with_special | {len(with_special): twice[1].encode()}, merges, twice)
    pieces = [overlapping.decode([id]) for id in overlapping.encode(f"Hi {twice[1]} you{twice[0]}")]
    assert (pieces.count(twice[0]), pieces.count(twice[1])) == (1, 1)
    try:
        fixtures = [shared(f"cs336/gpt2_{part}") for part in ("vocab.json", "merges.txt")]
    except pytest.skip.Exception:
        return
    gpt2 = run(*read_gpt2(*fixtures), SPECIAL)
    for fixture in ("address.txt", "german.txt", "tinystories_sample.txt"):
        path = shared(f"cs336/{fixture}")
        text = path.read_text(encoding="utf-8")
        assert gpt2.decode(gpt2.encode(text)) == text
        with path.open(encoding="utf-8", newline="") as file:
            assert list(gpt2.encode_iterable(file)) == gpt2.encode(path.read_bytes())


def read_gpt2(vocab: Path, merges: Path) -> tuple[dict[int, bytes], list[tuple[bytes, bytes]]]:
    ids = json.loads(vocab.read_text(encoding="utf-8"))
    return {id: from_alphabet(token) for token, id in ids.items()}, read_merges(merges)


def read_merges(path: Path) -> list[tuple[bytes, bytes]]:
    lines = path.read_text(encoding="utf-8").splitlines()
    pairs = [line.split(" ") for line in lines if line and not line.startswith("#version")]
    return [(from_alphabet(left), from_alphabet(right)) for left, right in pairs]


@check_of("run_train_bpe")
def check_train_bpe(name, folder, shared):
    run, path = adapter(name), folder / "corpus.txt"
    _core.write_sample(path, 20_000, 3, False)
    text = path.read_bytes() + prose().encode() * 3
    path.write_bytes(text)
    for given in (path, str(path)):
        vocab, merges = run(input_path=given, vocab_size=300, special_tokens=SPECIAL)
        assert merges == naive_bpe.train([text], 300 - 256 - 1, SPECIAL)
        expected = {*(bytes([byte]) for byte in range(256)), *(a + b for a, b in merges), SPECIAL[0].encode()}
        assert set(vocab.values()) == expected
        assert sorted(vocab) == list(range(300))
        assert not [token for token in vocab.values() if b"<|" in token and token != SPECIAL[0].encode()]
    try:
        corpus = shared("cs336/corpus.en")
    except pytest.skip.Exception:
        return
    vocab, merges = run(input_path=corpus, vocab_size=500, special_tokens=SPECIAL)
    assert merges == read_merges(shared("cs336/train-bpe-reference-merges.txt"))
    ids = json.loads(shared("cs336/train-bpe-reference-vocab.json").read_text(encoding="utf-8"))
    assert set(vocab.values()) == set(map(from_alphabet, ids))
    assert set(vocab) == set(ids.values())


LIMITED = """
import resource, sys
from bpe_lm import Tokenizer

def bytes_of(name):
    with open("/proc/self/status") as status:
        return 1024 * next(int(line.split()[1]) for line in status if line.startswith(name))

def limited(function, base="VmRSS:"):
    "The suite's limit: what is resident, and 1 MB. Where more than that is mapped already, nothing more can be."
    def wrapped(*arguments):
        before = resource.getrlimit(resource.RLIMIT_AS)
        resource.setrlimit(resource.RLIMIT_AS, (bytes_of(base) + 1_000_000, -1))
        try:
            return function(*arguments)
        finally:
            resource.setrlimit(resource.RLIMIT_AS, before)
    return wrapped

def stream(tokenizer, file):
    yield from tokenizer.encode_iterable(file)

def count(tokenizer, file):
    return sum(1 for _ in tokenizer.encode_iterable(file))

folder, path = sys.argv[1:]
tokenizer = Tokenizer.load(folder)
with open(path) as file:
    # The suite's own decorator lets go of the limit before the generator runs; this one does not.
    print(limited(count, "VmSize:")(tokenizer, file))
with open(path) as file:
    print(sum(1 for _ in limited(stream)(tokenizer, file)))
with open(path) as file:
    contents = file.read()
for base in ("VmRSS:", "VmSize:"):
    for text, encode in ((contents, tokenizer.encode), (contents.encode(), tokenizer.encode_to_numpy)):
        try:
            limited(encode, base)(text)
        except MemoryError as error:
            print("MemoryError", error)
print(len(tokenizer.encode(contents)))
"""


@pytest.mark.skipif(sys.platform != "linux", reason="limits on memory are Linux's")
def test_five_megabytes_of_lines_are_encoded_within_one_and_their_whole_is_refused(tmp_path, data):
    path = tmp_path / "5M.txt"
    _core.write_sample(path, 5_000_000, 4, False)
    done = subprocess.run(
        [sys.executable, "-c", LIMITED, str(data / "tokenizer"), str(path)], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    strict, as_the_suite, *refused, all_at_once = done.stdout.splitlines()
    assert int(strict) == int(as_the_suite) == int(all_at_once) > 1_000_000
    assert [line.split()[0] for line in refused] == 4 * ["MemoryError"]
    # Where the interpreter's copy of a str as UTF-8 fails first, the message is empty.
    assert all("give the text in pieces to encode_iterable" in line for line in refused[1::2])


# Accounting


def test_the_pages_figures_are_those_of_account():
    shapes = {"small": (12, 768, 12), "medium": (24, 1024, 16), "large": (36, 1280, 20), "XL": (48, 1600, 25)}
    rows = re.findall(r"^\| GPT-2 (\w+) \| (.*) \|$", PAGE, re.MULTILINE)
    assert [name for name, _ in rows] == list(shapes)
    for name, row in rows:
        layers, d, heads = shapes[name]
        d_ff = 64 * round(8 / 3 * d / 64)
        config = PRESETS[f"gpt2-{name.lower()}"]().model
        assert config == ModelConfig(50_257, 1024, d, layers, heads, d_ff)
        # By hand: 2 n of a product of n weights with a token; scores and their weighted sums are 4 T^2 d a layer.
        matrices = layers * (4 * d * d + 3 * d * d_ff) + 50_257 * d
        parameters = matrices + 50_257 * d + (2 * layers + 1) * d
        flops = forward_flops(config)
        assert count_parameters(config) == parameters
        assert flops.total == 1024 * 2 * matrices + layers * 4 * 1024**2 * d
        shares = [f"{flops.shares()[part]:.2%}".replace("%", " %") for part in ("projections", "scores", "ffn", "head")]
        assert row.split(" | ") == [f"{d_ff:,}", f"{parameters:,}", f"{flops.total:.3e}".replace("e+", "e"), *shares]


def test_the_pages_sentences_on_xl_are_those_of_account():
    run = PRESETS["gpt2-xl"]()
    assert (run.batch_size, run.steps) == (1024, 400_000)
    long = forward_flops(replace(run.model, context_length=16_384))
    memory = course_memory(run.model)
    hours = training_seconds(training_flops(run.model) * run.batch_size * run.steps, 495e12, 0.5) / 3600
    page = " ".join(PAGE.split())
    for sentence in (
        f"{long.total:.3e}".replace("e+", "e") + f", of which scores are {long.shares()['scores']:.2%}"[:-1] + " %",
        f"{memory.per_text / 1e9:.2f} GB x batch + {memory.fixed / 1e9:.2f} GB",
        f"a batch of {memory.largest_batch(80e9)} in 80 GB",
        f"{hours:,.0f} hours",
    ):
        assert sentence in page
