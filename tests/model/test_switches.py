"""Every switch of the architecture against a naive formula in float64, and all of them through each way of a model."""

import dataclasses
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from bpe_lm.kernels.choices import Kernels, forms_here, using
from bpe_lm.model.config import ModelConfig, Switches
from bpe_lm.model.loss import LanguageModelLoss
from bpe_lm.model.transformer import TransformerLM
from torch import Tensor

SMALL = ModelConfig(vocab_size=70, context_length=24, d_model=32, num_layers=3, num_heads=2, d_ff=48)

EVERYTHING: dict[str, Any] = {
    "qk_norm": True,
    "logit_softcap": 15.0,
    "value_embeddings": 2,
    "u_net_skips": True,
    "zero_init": True,
    "embedding_scale": 2.0,
    "window": 7,
    "global_every": 3,
    "ffn": "relu2",
    "num_layers": 4,
}
"""The model of a record."""

CASES: list[dict[str, Any]] = [
    {"qk_norm": True},
    {"qk_norm": True, "position": "none", "norm": "post"},
    {"logit_softcap": 3.0},
    {"logit_softcap": 20.0, "tied_head": True},
    {"value_embeddings": 1},
    {"value_embeddings": 2, "qk_norm": True, "ffn": "relu2"},
    {"u_net_skips": True},
    {"u_net_skips": True, "num_layers": 4, "norm": "post"},
    {"zero_init": True},
    {"embedding_scale": 3.0, "tied_head": True},
    {"window": 5},
    {"window": 1, "global_every": 2},
    {"window": 24},
    EVERYTHING,
]
"""Each switch alone, at an edge or with a switch that meets it in the same line, and all together."""

Weights = dict[str, Tensor]


def naive_logits(weights: Weights, config: ModelConfig, ids: Tensor) -> Tensor:
    """The logits of one text, token by token and head by head."""
    x, outputs = weights["token_embeddings.weight"][ids] * config.embedding_scale, []
    for number in range(config.num_layers):
        layer = {name.removeprefix(f"layers.{number}."): w for name, w in weights.items()}
        other = config.num_layers - 1 - number
        if config.u_net_skips and number > other:
            x = x + layer["skip_weight"] * outputs[other]
        table = min(number, other)
        values = weights[f"value_embeddings.{table}.weight"][ids] if table < config.value_embeddings else None
        is_global = config.global_every and (number + 1) % config.global_every == 0
        reach = config.context_length if is_global or not config.window else config.window
        if config.norm == "post":
            x = naive_norm(x + naive_attention(layer, config, x, values, reach), layer.get("ln1.weight"))
            x = naive_norm(x + naive_ffn(layer, config, x), layer.get("ln2.weight"))
        else:
            x = x + naive_attention(layer, config, naive_norm(x, layer.get("ln1.weight")), values, reach)
            x = x + naive_ffn(layer, config, naive_norm(x, layer.get("ln2.weight")))
        outputs.append(x)
    z = naive_norm(x, weights.get("ln_final.weight")) @ weights["lm_head.weight"].T
    return config.logit_softcap * torch.tanh(z / config.logit_softcap) if config.logit_softcap else z


def naive_norm(x: Tensor, weight: Tensor | None) -> Tensor:
    return x if weight is None else unit(x) * weight


def unit(x: Tensor) -> Tensor:
    return x / (x.square().mean(-1, keepdim=True) + 1e-5).sqrt()


def naive_ffn(layer: Weights, config: ModelConfig, x: Tensor) -> Tensor:
    up = x @ layer["ffn.w1.weight"].T
    if config.ffn == "relu2":
        return up.clamp(min=0).square() @ layer["ffn.w2.weight"].T
    gated = up * torch.sigmoid(up)
    return (gated * (x @ layer["ffn.w3.weight"].T) if config.ffn == "swiglu" else gated) @ layer["ffn.w2.weight"].T


def naive_attention(layer: Weights, config: ModelConfig, x: Tensor, values: Tensor | None, reach: int) -> Tensor:
    q, k, v = (x @ layer[f"attn.{name}_proj.weight"].T for name in "qkv")
    if values is not None:
        v = layer["attn.value_mix"][0] * v + layer["attn.value_mix"][1] * values
    d = config.d_model // config.num_heads
    heads = []
    for part in range(0, config.d_model, d):
        query, key, value = (rows[:, part : part + d] for rows in (q, k, v))
        if config.qk_norm:
            query, key = unit(query), unit(key)
        if config.position == "rope":
            query, key = naive_rotation(query, config), naive_rotation(key, config)
        rows = []
        for i in range(len(x)):
            seen = range(max(i - reach + 1, 0), i + 1)
            scores = torch.stack([query[i] @ key[j] / d**0.5 for j in seen])
            rows.append(torch.softmax(scores, 0) @ value[seen])
        heads.append(torch.stack(rows))
    return torch.cat(heads, 1) @ layer["attn.output_proj.weight"].T


def naive_rotation(x: Tensor, config: ModelConfig) -> Tensor:
    d = x.shape[1]
    pairs = torch.view_as_complex(x.unflatten(1, (-1, 2)).contiguous())
    angles = torch.outer(torch.arange(len(x)).double(), config.rope_theta ** (-torch.arange(0, d, 2).double() / d))
    return torch.view_as_real(pairs * torch.polar(torch.ones_like(angles), angles)).flatten(1)


def batch(config: ModelConfig) -> tuple[Tensor, Tensor]:
    ids = torch.randint(config.vocab_size, (2, config.context_length + 1), generator=torch.Generator().manual_seed(2))
    return ids[:, :-1], ids[:, 1:]


def model_of(change: dict[str, Any], **options: Any) -> TransformerLM:
    """A model whose weights are all drawn, those too that begin at 0 or 1."""
    torch.manual_seed(1)
    model = TransformerLM.from_config(dataclasses.replace(SMALL, **change), **options)
    for parameter in model.parameters():
        if parameter.ndim == 1 or not parameter.any():
            parameter.data += 0.2 * torch.randn_like(parameter)
    model.lm_head.weight.data *= 4
    return model


def exact_gradients(change: dict[str, Any]) -> tuple[Tensor, Weights]:
    """The loss and its gradients by the naive formula in float64, by the names of a state dict."""
    model = model_of(change)
    names = dict(model.state_dict())
    weights = {name: tensor.double().requires_grad_() for name, tensor in names.items()}
    if model.config.tied_head:
        weights["token_embeddings.weight"] = weights["lm_head.weight"]
    logits = torch.stack([naive_logits(weights, model.config, ids) for ids in batch(model.config)[0]])
    loss = torch.nn.functional.cross_entropy(logits.flatten(0, 1), batch(model.config)[1].flatten())
    loss.backward()
    return loss.detach(), {name: w.grad for name, w in weights.items() if w.grad is not None}


def gradients_of(model: TransformerLM, loss: Tensor) -> Weights:
    """The gradients of a model by the names of its state dict."""
    loss.backward()
    for parameter in model.parameters():
        assert parameter.grad is not None
        parameter.data = parameter.grad
    return dict(model.state_dict())


def distance(found: Tensor, expected: Tensor, least: float) -> float:
    """The norm of the error, by that of the exact tensor; of a tensor whose terms cancel, by `least`."""
    return float((found.double() - expected).norm() / expected.norm().clamp(min=least))


@pytest.mark.parametrize("change", CASES, ids=str)
def test_each_switch_is_its_formula_in_both_implementations_and_number_formats(change):
    expected, expected_gradients = exact_gradients(change)
    least = 0.02 * float(torch.stack([gradient.norm() for gradient in expected_gradients.values()]).norm())
    forms = [form.name for form in forms_here("attention", "cpu") if form.name in ("torch", "avx512", "amx")]
    losses = {"torch": "torch", "amx": "avx512", "avx512": "avx512"}
    for implementation, dtype, form, limit in (
        ("reference", "float32", "torch", 1e-5),
        ("reference", "bfloat16", "torch", 0.05),
        *(("fast", "float32", form, 1e-5) for form in forms if form != "amx"),
        *(("fast", "bfloat16", form, 0.05) for form in forms),
    ):
        with using(Kernels(attention=form, loss=losses[form])):
            model = model_of(change, implementation=implementation)
            loss = LanguageModelLoss(model, implementation=implementation, dtype=dtype)(*batch(model.config))
            where = f"{implementation}, {dtype}, {form}"
            assert distance(loss.detach(), expected, 0) < limit, where
            for name, gradient in gradients_of(model, loss).items():
                assert distance(gradient, expected_gradients[name], least) < limit * 3, f"{where}, {name}"


@pytest.mark.parametrize("change", CASES, ids=str)
@pytest.mark.parametrize("implementation", ["fast", "reference"])
def test_each_switch_goes_through_the_caches_of_several_texts(change, implementation):
    model = model_of(change, implementation=implementation)
    ids, _ = batch(model.config)
    with torch.no_grad():
        expected, caches = model(ids), model.new_caches(len(ids))
        found = [model(ids[:, start:end], caches=caches) for start, end in ((0, 9), (9, 10), (10, 24))]
    assert torch.allclose(torch.cat(found, 1), expected, atol=1e-4)


def check_other_ways(dtype: str) -> None:
    """Compiled whole, and with activation checkpointing, the loss and its gradients are those of an eager model."""
    losses, gradients = [], []
    for kind in ("eager", "compiled", "checkpointed"):
        model = model_of(EVERYTHING)
        model.checkpoints_activations = kind == "checkpointed"
        function: Any = LanguageModelLoss(model, dtype=dtype)
        if kind == "compiled":
            function = torch.compile(function, fullgraph=True, backend="aot_eager")
        loss = function(*batch(model.config))
        losses.append(loss.detach())
        gradients.append(gradients_of(model, loss))
    limit = 1e-5 if dtype == "float32" else 0.05
    for loss, found in zip(losses[1:], gradients[1:], strict=True):
        assert distance(loss, losses[0].double(), 0) < limit
        for name, gradient in found.items():
            assert distance(gradient, gradients[0][name].double(), 1e-3) < limit, name


def test_all_switches_compile_without_a_graph_break_and_checkpoint_their_activations():
    """In a process of its own, because here the checks of shapes, which no compiler takes, surround each function."""
    here = Path(__file__)
    script = f"import sys; sys.path.insert(0, {str(here.parent)!r}); import {here.stem} as own; own.check_other_ways"
    calls = [sys.executable, "-c", f"{script}('float32'); own.check_other_ways('bfloat16')"]
    done = subprocess.run(calls, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_all_switches_come_back_from_a_state_dict():
    model, other = model_of(EVERYTHING), TransformerLM.from_config(dataclasses.replace(SMALL, **EVERYTHING))
    other.load_state_dict(model.state_dict())
    ids, _ = batch(model.config)
    assert torch.equal(model(ids), other(ids))


def test_every_switch_is_in_a_case_and_off_by_default():
    """A new switch needs a line in the oracle above, and a case."""
    changed = {name for case in CASES for name in case}
    assert set(Switches.__dataclass_fields__) <= changed
    course = {"norm": "pre", "position": "rope", "ffn": "swiglu", "embedding_scale": 1.0}
    assert {name: value for name, value in dataclasses.asdict(Switches()).items() if value} == course
