"""The checks of the course's layers: each passes, and a layer that is broken in one place turns its check red."""

import importlib
import subprocess
import sys
from dataclasses import replace
from math import inf, nan

import numpy as np
import pytest
import torch
from bpe_lm.experiments.blocks import Check, Code, Table, Text
from bpe_lm.experiments.cs336 import checks, oracles, sgd, training_together
from bpe_lm.experiments.cs336.question import Question, guarded
from bpe_lm.experiments.runs import RunRecord
from bpe_lm.kernels import attention as attention_kernels
from bpe_lm.kernels import linear as linear_kernels
from bpe_lm.kernels.choices import Kernels, using
from bpe_lm.kernels.embedding import embedding
from bpe_lm.model import attention, generate, layers, loss, transformer
from bpe_lm.tokenizer import token_file
from bpe_lm.training import batches, checkpoint
from bpe_lm.training.optimizers import adamw, clipping
from bpe_lm.training.optimizers import sgd as course_sgd
from bpe_lm.training.presets import debug
from bpe_lm.training.schedules import cosine_schedule, learning_rate
from torch import Tensor
from torch.nn import functional

PACKAGE = "bpe_lm.experiments.cs336"
ROWS = {
    "linear": 8,
    "embedding": 9,
    "rmsnorm": 10,
    "feed_forward": 11,
    "rope": 12,
    "softmax": 13,
    "attention": 14,
    "multihead_attention": 15,
    "transformer_block": 16,
    "transformer_lm": 17,
    "cross_entropy": 19,
    "perplexity": 20,
    "sgd": 21,
    "adamw": 22,
    "learning_rate_schedule": 24,
    "gradient_clipping": 25,
    "data_loading": 26,
    "checkpointing": 27,
    "training_together": 28,
    "decoding": 29,
}
COMPUTED = [name for name in ROWS if name != "training_together"]


class NoRuns:
    """Results of which none is there yet."""

    def run(self, name):
        return None


@pytest.fixture(autouse=True)
def _one_thread():
    """Several threads slow down small operations, and more so on a busy machine."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def module(name: str):
    return importlib.import_module(f"{PACKAGE}.{name}")


def blocks_of(name: str) -> list:
    return list(module(name).QUESTION.answer(NoRuns()))


def checks_of(name: str) -> list[Check]:
    return [block for block in blocks_of(name) if isinstance(block, Check)]


@pytest.mark.parametrize("name", COMPUTED)
def test_the_layers_pass(name):
    question, blocks = module(name).QUESTION, blocks_of(name)
    assert isinstance(question, Question)
    assert question.row == ROWS[name]
    assert question.kind == ("example" if name == "sgd" else "check")
    assert isinstance(blocks[0], Text)
    found = [block for block in blocks if isinstance(block, Check)]
    assert found
    assert [check for check in found if not check.passes] == []
    assert len({(check.what, check.oracle) for check in found}) == len(found)


def test_the_questions_are_imported_without_torch():
    code = f"import importlib, sys\nfor n in {list(ROWS)!r}: importlib.import_module('{PACKAGE}.' + n)\n"
    done = subprocess.run([sys.executable, "-c", f"{code}assert 'torch' not in sys.modules"], capture_output=True)
    assert done.returncode == 0, done.stderr


# Layers that are broken in one place


def half_rotation(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """Rotates halves, as Llama does."""
    a, b = x.chunk(2, -1)
    return torch.cat((a * cos - b * sin, a * sin + b * cos), -1)


def narrow_rmsnorm(self, x):
    return x * torch.rsqrt(x.square().mean(-1, keepdim=True) + self.eps) * self.weight.to(x.dtype)


def inverted(q, k, v, mask=None):
    return UNBROKEN_ATTENTION(q, k, v, None if mask is None else ~mask)


def unscaled(q, k, v, mask=None):
    return UNBROKEN_ATTENTION(q * q.shape[-1] ** 0.5, k, v, mask)


def post_norm(self, x, token_positions=None, cache=None):
    x = self.ln1(x + self.attn(x, token_positions, cache))
    return self.ln2(x + self.ffn(x))


def without_second_residual(self, x, token_positions=None, cache=None):
    return self.ffn(self.ln2(x + self.attn(self.ln1(x), token_positions, cache)))


def half_gradient(function):
    def with_half(*arguments, **options):
        result = function(*arguments, **options)
        return result / 2 + result.detach() / 2

    return with_half


def adamw_step(decays_first=True, corrects=True, root_of=lambda v, correction, eps: (v / correction).sqrt() + eps):
    """A step of AdamW by the formula: the decay before or after, with or without correction for bias, eps anywhere."""

    def step(self, group, parameters):
        (beta1, beta2), lr = group["betas"], group["lr"]
        for p in parameters:
            state = self.state[p]
            state["step"] += 1
            t = int(state["step"]) if corrects else 10**9
            state["exp_avg"].lerp_(p.grad, 1 - beta1)
            state["exp_avg_sq"].mul_(beta2).add_((1 - beta2) * p.grad**2)
            m, v = state["exp_avg"] / (1 - beta1**t), state["exp_avg_sq"]
            decay = 1 - lr * group["weight_decay"]
            p.mul_(decay if decays_first else 1)
            p.sub_(lr * m / root_of(v, 1 - beta2**t, group["eps"]))
            p.mul_(1 if decays_first else decay)

    return step


def clip_each(parameters, max_l2_norm, eps=1e-6):
    for parameter in parameters:
        if parameter.grad is not None:
            torch.nn.utils.clip_grad_norm_([parameter], max_l2_norm)


def clip_always(parameters, max_l2_norm, eps=1e-6):
    gradients = [parameter.grad for parameter in parameters if parameter.grad is not None]
    factor = max_l2_norm / torch.cat([gradient.flatten() for gradient in gradients]).norm()
    for gradient in gradients:
        gradient.mul_(factor)


def clip_without_eps(parameters, max_l2_norm, eps=1e-6):
    gradients = [parameter.grad for parameter in parameters if parameter.grad is not None]
    norm = torch.cat([gradient.flatten() for gradient in gradients]).norm()
    for gradient in gradients:
        gradient.mul_((max_l2_norm / norm).clamp(max=1))


def untruncated(weight, std=1.0, a=0.0, b=0.0):
    torch.nn.init.normal_(weight, std=std)


def get_batch_of(starts, shift=1):
    """`get_batch` with other starts and another distance of the targets."""

    def get_batch(dataset, batch_size, context_length, device, generator=None):
        torch.zeros(0, device=device)
        first = starts(generator, len(dataset) - context_length, batch_size)[:, None]
        rows = [dataset[(first + np.arange(context_length) + way) % len(dataset)] for way in (0, shift)]
        return tuple(torch.from_numpy(row.astype(np.int64)) for row in rows)

    return get_batch


def uniform(generator, places, number):
    return generator.integers(0, places, number)


def load_weights_only(src, model, optimizer):
    other = adamw.AdamW(model.parameters(), lr=1e-3)
    return UNBROKEN_LOAD(src, model, other)


def draw_of(change):
    """`draw` with other arguments."""

    def draw(logits, temperature, top_k=None, top_p=1.0, generator=None):
        return UNBROKEN_DRAW(*change(logits, temperature, top_k, top_p), generator)

    return draw


def top_p_without_the_last(logits, temperature, top_k=None, top_p=1.0, generator=None):
    """Keeps the most ids whose probabilities stay below top-p, instead of the fewest that reach it."""
    if temperature < 1e-30:
        return int(logits.argmax())
    probabilities = torch.softmax(logits / temperature, -1)
    ordered, order = probabilities.sort(descending=True)
    is_kept = ordered.cumsum(0) <= max(top_p, float(ordered[0])) + 1e-6
    kept = torch.zeros_like(probabilities).index_copy(0, order[is_kept], ordered[is_kept])
    return int(torch.multinomial(kept, 1, generator=generator))


def with_stop(model, prompt, max_tokens, *, stop_id=None, **options):
    for token in UNBROKEN_GENERATE_IDS(model, prompt, max_tokens, **options):
        yield token
        if token == stop_id:
            return


UNBROKEN_ATTENTION = attention.scaled_dot_product_attention
UNBROKEN_CROSS_ENTROPY = loss.cross_entropy
UNBROKEN_DRAW = generate.draw
UNBROKEN_FAST_ATTENTION = attention.fast_causal_attention
UNBROKEN_GENERATE_IDS = generate.generate_ids
UNBROKEN_HIDDEN = transformer.TransformerLM.hidden
UNBROKEN_LINEAR = layers.linear
UNBROKEN_LOAD = checkpoint.load_checkpoint
UNBROKEN_STARTS = batches.Batches.starts
UNBROKEN_MEAN = loss.mean_of_cross_entropies

SCHEDULES = "learning_rate_schedule"
BROKEN = {
    "linear: a product of another scale": ("linear", layers, "linear", lambda x, w: UNBROKEN_LINEAR(x, w) * 1.0001),
    "linear: the gradient is half": ("linear", layers, "linear", half_gradient(layers.linear)),
    "linear: one row, the fast form": ("linear", linear_kernels, "_one_row", lambda x, w: x @ w.T + 1e-4),
    "linear: initial weights without an end": ("linear", torch.nn.init, "trunc_normal_", untruncated),
    "linear: initial weights with a mean": (
        "linear",
        torch.nn.init,
        "trunc_normal_",
        lambda w, std, a, b, draw=torch.nn.init.trunc_normal_: draw(w, 0.4 * std, std, a=a, b=b),
    ),
    "rope: positions from 1": (
        "rope",
        layers.RotaryPositionalEmbedding,
        "angles",
        lambda self, positions: (self.cos[(positions + 1) % len(self.cos)], self.sin[(positions + 1) % len(self.sin)]),
    ),
    "linear: initial weights of another distribution": (
        "linear",
        torch.nn.init,
        "trunc_normal_",
        lambda w, std, a, b: torch.nn.init.uniform_(w, -2 * std, 2 * std),
    ),
    "embedding: the next row": ("embedding", layers, "embedding", lambda w, ids: embedding(w, (ids + 1) % len(w))),
    "embedding: the gradient is half": ("embedding", layers, "embedding", half_gradient(embedding)),
    "embedding: initial weights without an end": (
        "embedding",
        torch.nn.init,
        "trunc_normal_",
        untruncated,
    ),
    "rmsnorm: without eps": (
        "rmsnorm",
        layers.RMSNorm,
        "forward",
        lambda self, x: x.float() * x.float().square().mean(-1, keepdim=True).rsqrt() * self.weight,
    ),
    "rmsnorm: in float16": ("rmsnorm", layers.RMSNorm, "forward", narrow_rmsnorm),
    "rmsnorm: the mean is taken": (
        "rmsnorm",
        layers.RMSNorm,
        "forward",
        lambda self, x: functional.layer_norm(x.float(), x.shape[-1:], self.weight.float(), None, self.eps).to(x.dtype),
    ),
    "feed_forward: no gate": (
        "feed_forward",
        layers.SwiGLU,
        "forward",
        lambda self, x: self.w2(layers.silu(self.w1(x))),
    ),
    "feed_forward: the gate is the other matrix": (
        "feed_forward",
        layers.SwiGLU,
        "forward",
        lambda self, x: self.w2(layers.silu(self.w3(x)) * self.w1(x)),
    ),
    "feed_forward: gelu for silu": ("feed_forward", layers, "silu", functional.gelu),
    "rope: halves": ("rope", layers, "rotate", half_rotation),
    "rope: backwards": (
        "rope",
        layers,
        "rotate",
        lambda x, cos, sin, rotate=layers.rotate: rotate(x, cos, -sin),
    ),
    "softmax: nothing is taken from the numbers": (
        "softmax",
        attention,
        "softmax",
        lambda x, dim: x.exp() / x.exp().sum(dim, keepdim=True),
    ),
    "softmax: another dimension": ("softmax", attention, "softmax", lambda x, dim: torch.softmax(x, -1)),
    "attention: the mask is inverted": ("attention", attention, "scaled_dot_product_attention", inverted),
    "attention: scores are not scaled": ("attention", attention, "scaled_dot_product_attention", unscaled),
    "attention: the reference sees the next token": (
        "attention",
        attention,
        "causal_mask",
        lambda queries, keys, device, reach=0: torch.ones(queries, keys, dtype=torch.bool).tril(keys - queries + 1),
    ),
    "attention: the fast form's mask is that of a square": (
        "attention",
        attention_kernels,
        "causal_mask",
        lambda queries, keys, device, reach=0: torch.ones(queries, keys, dtype=torch.bool).tril(),
    ),
    "attention: the fast form is not causal": (
        "attention",
        attention,
        "fast_causal_attention",
        lambda q, k, v, reach: functional.scaled_dot_product_attention(q, k, v),
    ),
    "multihead_attention: halves are rotated": ("multihead_attention", layers, "rotate", half_rotation),
    "multihead_attention: heads take every fourth row": (
        "multihead_attention",
        attention,
        "rearrange",
        lambda x, pattern, cut=attention.rearrange, **sizes: cut(
            x, pattern.replace("three h d)", "three d h)"), **sizes
        ),
    ),
    "multihead_attention: heads are mixed at the end": (
        "multihead_attention",
        attention,
        "rearrange",
        lambda x, pattern, cut=attention.rearrange, **sizes: cut(x, pattern.replace("(h d)", "(d h)"), **sizes),
    ),
    "multihead_attention: weights are transposed": (
        "multihead_attention",
        attention,
        "linear_of_rows",
        lambda x, weights: x @ torch.cat([part.T for part in weights.chunk(3)]).T,
    ),
    "multihead_attention: nothing is rotated": (
        "multihead_attention",
        attention.MultiheadSelfAttention,
        "_rotate",
        lambda self, q, k, positions: (q, k),
    ),
    "multihead_attention: positions are not used": (
        "multihead_attention",
        layers.RotaryPositionalEmbedding,
        "angles",
        lambda self, positions: (self.cos[: positions.shape[-1]], self.sin[: positions.shape[-1]]),
    ),
    "multihead_attention: the reference is not causal": (
        "multihead_attention",
        attention,
        "causal_mask",
        lambda queries, keys, device, reach=0: torch.ones(queries, keys, dtype=torch.bool),
    ),
    "transformer_block: post-norm": ("transformer_block", transformer.TransformerBlock, "forward", post_norm),
    "transformer_block: one residual is lost": (
        "transformer_block",
        transformer.TransformerBlock,
        "forward",
        without_second_residual,
    ),
    "transformer_lm: a stray softmax": (
        "transformer_lm",
        transformer.TransformerLM,
        "forward",
        lambda self, ids, positions=None, caches=None: torch.softmax(self.lm_head(self.hidden(ids)), -1),
    ),
    "transformer_lm: a gradient is cut off": (
        "transformer_lm",
        layers.SwiGLU,
        "forward",
        lambda self, x: self.w2(layers.silu(self.w1(x)) * self.w3(x).detach()),
    ),
    "transformer_lm: long texts are taken": (
        "transformer_lm",
        transformer.TransformerLM,
        "hidden",
        lambda self, ids, *more: (
            UNBROKEN_HIDDEN(self, ids, *more) if ids.shape[1] <= 16 else torch.zeros(1, ids.shape[1], 64)
        ),
    ),
    "cross_entropy: the targets are shifted": (
        "cross_entropy",
        loss,
        "cross_entropy",
        lambda logits, targets: UNBROKEN_CROSS_ENTROPY(logits, targets.roll(1, -1)),
    ),
    "cross_entropy: a sum": (
        "cross_entropy",
        loss,
        "cross_entropy",
        lambda logits, targets: UNBROKEN_CROSS_ENTROPY(logits, targets) * targets.numel(),
    ),
    "cross_entropy: exponentials overflow": (
        "cross_entropy",
        loss,
        "cross_entropy",
        lambda logits, targets: (
            -logits.exp().div(logits.exp().sum(-1, keepdim=True)).gather(-1, targets[..., None]).log().mean()
        ),
    ),
    "cross_entropy: the fast form's targets are shifted": (
        "cross_entropy",
        loss,
        "mean_of_cross_entropies",
        lambda hidden, weight, targets, cap: UNBROKEN_MEAN(hidden, weight, targets.roll(1), cap),
    ),
    "cross_entropy: the fast form's gradient is half": (
        "cross_entropy",
        loss,
        "mean_of_cross_entropies",
        half_gradient(loss.mean_of_cross_entropies),
    ),
    "perplexity: to the base 2": ("perplexity", loss, "perplexity", lambda nats: 2.0**nats if nats < 700 else inf),
    "perplexity: an overflow": (
        "perplexity",
        loss,
        "perplexity",
        lambda nats: float(np.exp(np.float64(min(nats, 700)))),
    ),
    "perplexity: nats per byte": ("perplexity", loss, "bits_per_byte", lambda nats, number: nats / number),
    "sgd: the rate does not fall": ("sgd", course_sgd, "SGD", torch.optim.SGD),
    "adamw: the reference decays last": ("adamw", adamw.AdamW, "_step_reference", adamw_step(decays_first=False)),
    "adamw: the fast form decays last": ("adamw", adamw.AdamW, "_step_fast", adamw_step(decays_first=False)),
    "adamw: no correction for bias": ("adamw", adamw.AdamW, "_step_fast", adamw_step(corrects=False)),
    "adamw: eps is under the root": (
        "adamw",
        adamw.AdamW,
        "_step_fast",
        adamw_step(root_of=lambda v, correction, eps: (v / correction + eps).sqrt()),
    ),
    "adamw: eps is corrected for bias, too": (
        "adamw",
        adamw.AdamW,
        "_step_reference",
        adamw_step(root_of=lambda v, correction, eps: (v.sqrt() + eps) / correction**0.5),
    ),
    "schedule: one step late": (
        SCHEDULES,
        module(SCHEDULES),
        "cosine_schedule",
        lambda it, *more: cosine_schedule(it - 1, *more),
    ),
    "schedule: a run counts from 0": (
        SCHEDULES,
        module(SCHEDULES),
        "learning_rate",
        lambda schedule, steps, step: learning_rate(schedule, steps, step - 1),
    ),
    "gradient_clipping: each tensor alone": ("gradient_clipping", clipping, "clip_gradients", clip_each),
    "gradient_clipping: small gradients too": ("gradient_clipping", clipping, "clip_gradients", clip_always),
    "gradient_clipping: without eps": ("gradient_clipping", clipping, "clip_gradients", clip_without_eps),
    "gradient_clipping: not in place": (
        "gradient_clipping",
        clipping,
        "clip_gradients",
        lambda given, most: list(given),
    ),
    "data_loading: the last place never starts": (
        "data_loading",
        batches,
        "get_batch",
        get_batch_of(lambda generator, places, number: uniform(generator, places - 1, number)),
    ),
    "data_loading: targets are not the next tokens": ("data_loading", batches, "get_batch", get_batch_of(uniform, 2)),
    "data_loading: some places are likelier": (
        "data_loading",
        batches,
        "get_batch",
        get_batch_of(lambda generator, places, number: (generator.random(number) ** 1.2 * places).astype(int)),
    ),
    "data_loading: the fast form's last place never starts": (
        "data_loading",
        batches.Batches,
        "starts",
        lambda self, step: UNBROKEN_STARTS(self, step).clip(max=len(self.dataset) - self.context_length - 2),
    ),
    "data_loading: another device is taken instead": (
        "data_loading",
        batches,
        "get_batch",
        lambda dataset, rows, length, device, generator=None, cut=batches.get_batch: cut(
            dataset, rows, length, "cpu", generator
        ),
    ),
    "checkpointing: the optimizer starts anew": ("checkpointing", checkpoint, "load_checkpoint", load_weights_only),
    "checkpointing: the iteration is lost": (
        "checkpointing",
        checkpoint,
        "load_checkpoint",
        lambda src, model, optimizer: UNBROKEN_LOAD(src, model, optimizer) * 0,
    ),
    "checkpointing: weights are narrowed": (
        "checkpointing",
        checkpoint,
        "copied",
        lambda value: value.detach().bfloat16().to(value.dtype).clone(),
    ),
    "decoding: top-p leaves out the id that reaches it": ("decoding", generate, "draw", top_p_without_the_last),
    "decoding: no top-p": ("decoding", generate, "draw", draw_of(lambda logits, t, k, p: (logits, t, k, 1.0))),
    "decoding: no temperature": ("decoding", generate, "draw", draw_of(lambda logits, t, k, p: (logits, 1.0, k, p))),
    "decoding: temperature multiplies": (
        "decoding",
        generate,
        "draw",
        draw_of(lambda logits, t, k, p: (logits, 1 / t if t > 0.01 else t, k, p)),
    ),
    "decoding: the end of text is part of the text": ("decoding", generate, "generate_ids", with_stop),
    "decoding: one id too many": (
        "decoding",
        generate,
        "generate_ids",
        lambda model, prompt, number, **options: UNBROKEN_GENERATE_IDS(model, prompt, number + 1, **options),
    ),
}


@pytest.mark.parametrize("what", BROKEN)
def test_a_broken_layer_turns_its_check_red(what, monkeypatch):
    name, owner, attribute, broken = BROKEN[what]
    assert what.startswith((name, "schedule"))
    monkeypatch.setattr(owner, attribute, broken)
    red = next(
        block for block in module(name).QUESTION.answer(NoRuns()) if isinstance(block, Check) and not block.passes
    )
    # The check is red because of its comparison, and not because the layer raised an exception.
    assert red.oracle != "a section without an error"


def test_every_computed_check_has_a_layer_that_is_broken_for_it():
    assert {name for name, *_ in BROKEN.values()} == set(COMPUTED)


@pytest.mark.parametrize(
    ("name", "owner", "attribute"),
    [
        ("linear", layers, "linear"),
        ("rmsnorm", layers.RMSNorm, "forward"),
        ("rope", layers, "rotate"),
        ("attention", attention, "scaled_dot_product_attention"),
        ("transformer_block", layers.SwiGLU, "forward"),
        ("transformer_lm", layers.SwiGLU, "forward"),
        ("cross_entropy", loss, "mean_of_cross_entropies"),
    ],
)
def test_results_that_are_not_numbers_fail(name, owner, attribute, monkeypatch):
    unbroken = getattr(owner, attribute)
    monkeypatch.setattr(owner, attribute, lambda *given, **options: unbroken(*given, **options) * nan)
    failed = [check for check in checks_of(name) if not check.passes]
    assert any(check.difference != check.difference for check in failed)


def test_the_kernel_of_attention_is_compared(needs_kernels, monkeypatch):
    unbroken = attention_kernels.fused_attention
    for owner in (attention_kernels, attention):
        monkeypatch.setattr(owner, "fused_attention", lambda *given: unbroken(*given) + 1e-5)
    for name in ("attention", "multihead_attention", "transformer_block"):
        failed = [check.what for check in checks_of(name) if not check.passes]
        assert failed
        assert all(what.startswith("fast") for what in failed)


def test_the_large_product_is_compared(needs_kernels, monkeypatch):
    monkeypatch.setattr(linear_kernels, "one_dnn", lambda x, weight: (x @ weight.T) * 1.001)
    with using(Kernels(linear="onednn")):
        failed = [check.what for check in checks_of("linear") if not check.passes]
    assert len(failed) == 3
    assert all(what.startswith("fast, large") for what in failed)


# Comparisons


def test_a_comparison_reports_the_largest_difference_and_refuses_other_shapes():
    expected = np.array([1.0, 2.0, 3.0])
    check = checks.compared("x", torch.tensor([1.0, 2.5, 2.9]), expected, 0.5, "by hand")
    assert check == Check("x", 0.5, 0.5, "by hand")
    assert check.passes
    assert not replace(check, limit=0.49).passes
    assert not checks.compared("x", torch.tensor([1.0, nan, 3.0]), expected, inf, "by hand").passes
    assert not checks.compared("x", torch.tensor([inf, 2.0, 3.0]), expected, 1e9, "by hand").passes
    assert not checks.compared("x", torch.tensor([inf]), np.array([inf]), 1e9, "by hand").passes
    with pytest.raises(ValueError, match=r"the shape is \(3,\), and the oracle's is \(1, 3\)"):
        checks.compared("x", torch.ones(3), expected[None], 1.0, "by hand")


def test_the_worst_check_is_the_one_nearest_to_its_limit_and_nan_is_worst():
    low, high, zero = Check("a", 1.0, 10.0, ""), Check("b", 0.5, 1.0, ""), Check("c", 0.0, 0.0, "")
    assert checks.largest(low, high, zero) is high
    assert checks.largest(low, high, fault := replace(zero, difference=1e-9)) is fault
    for order in (1, -1):
        assert checks.largest(*[low, replace(high, difference=nan), fault][::order]).what == "b"


def test_an_exception_in_an_answer_is_a_failed_check_with_its_text(monkeypatch):
    def failing(results):
        yield Text("before")
        raise ZeroDivisionError("no rows")

    before, check = guarded(failing)(NoRuns())
    assert before == Text("before")
    assert check.what == "ZeroDivisionError: no rows"
    assert not check.passes
    monkeypatch.setattr(layers.RMSNorm, "forward", lambda self, x: x[..., :3])
    [*_, last] = blocks_of("rmsnorm")
    assert last.what.startswith("ValueError: x near 1: the shape is (4, 12, 3)")
    assert not last.passes


def test_inputs_are_the_same_for_a_layer_and_its_oracle():
    drawn = checks.normal(1, 50, mean=3.0, std=0.1)
    assert torch.equal(checks.tensor(drawn).double(), torch.from_numpy(drawn))
    weights = checks.model_weights(20, 1)
    model = transformer.TransformerLM(20, 16, 64, 1, 4, 128)
    assert {name: value.shape for name, value in weights.items()} == {
        name: tuple(value.shape) for name, value in model.state_dict().items()
    }


# The oracles themselves, by numbers that can be computed by hand


def test_oracles_by_hand():
    assert oracles.rope(np.array([[1.0, 0.0]]), np.array([1]), 7.0)[0] == pytest.approx([np.cos(1), np.sin(1)])
    assert oracles.rope(np.array([[0.0, 0, 1, 0]]), np.array([2]), 100.0)[0] == pytest.approx(
        [0, 0, np.cos(0.2), np.sin(0.2)]
    )
    assert oracles.rmsnorm(np.array([2.0, 1.0]), np.array([3.0, 4.0]), 0.0) == pytest.approx(
        np.array([6.0, 4.0]) / 12.5**0.5
    )
    values = np.array([[1.0], [2.0], [4.0]])
    same = oracles.attention(np.zeros((3, 1)), np.zeros((3, 1)), values, np.tri(3, dtype=bool))
    assert same.ravel() == pytest.approx([1, 1.5, 7 / 3])
    assert oracles.causal_attention(np.zeros((2, 1)), np.zeros((3, 1)), values).ravel() == pytest.approx([1.5, 7 / 3])
    assert oracles.cross_entropy(np.log([[0.25, 0.75]]), np.array([1])) == pytest.approx(-np.log(0.75))
    p = np.array([0.5, 0.3, 0.15, 0.05])
    assert oracles.draw_probabilities(np.log(p), 1.0, 0.79) == pytest.approx([0.625, 0.375, 0, 0])
    assert oracles.draw_probabilities(np.log(p), 1.0, 0.81) == pytest.approx([50 / 95, 30 / 95, 15 / 95, 0])
    assert oracles.draw_probabilities(np.log(p), 0.5, 1.0) == pytest.approx(p**2 / (p**2).sum())
    assert oracles.clipped([np.array([3.0]), np.array([4.0])], 1.0, 0.0) == pytest.approx([0.6, 0.8])


# The toy SGD


def test_the_table_of_sgd_has_ten_losses_of_each_rate_beside_the_write_ups():
    losses, verdicts = (block for block in blocks_of("sgd") if isinstance(block, Table))
    assert [row[0] for row in losses.rows] == list(range(10))
    first, last = losses.rows[0], losses.rows[-1]
    assert first[1] == first[2] == first[3] > 20
    assert 1 < last[1] < first[1]
    assert last[2] < 1e-20
    assert last[3] > 1e17
    words = {row[0]: row[2] for row in verdicts.rows}
    assert words["1e1"].startswith("falls slowly, to 13.4 %")
    assert words["1e2"].startswith("falls to almost 0")
    assert words["1e3"].startswith("diverges: it grows")
    assert verdicts.header[-2:] == ("write-up 1", "write-up 2")


def test_the_words_about_sgd_follow_the_losses(monkeypatch):
    assert sgd.described([10.0, 5.0]) == "falls slowly, to 50.0 % of the first"
    assert sgd.described([10.0, 0.01]) == "falls, to 0.1 % of the first"
    assert sgd.described([10.0, 1e-20]) == "falls to almost 0: 1.0e-20"
    assert sgd.described([10.0, 100.0]) == "diverges: it grows 1.0e+01 times"
    assert sgd.described([10.0, inf]) == sgd.described([10.0, nan]) == "diverges: it is no longer finite"
    weights = checks.normal(1, 10, 10)
    assert "none of them enlarges" in sgd.explained({1e1: sgd.losses_at(1e1, weights)})
    assert "each of them enlarges" in sgd.explained({1e3: sgd.losses_at(1e3, weights)})
    assert "1 of 9 of them enlarges" in sgd.explained({1.2e2: sgd.losses_at(1.2e2, weights)})


# The training script


def test_a_run_that_has_not_begun_is_made_for_the_report():
    blocks = blocks_of("training_together")
    found = [block for block in blocks if isinstance(block, Check)]
    assert len(found) == 8
    assert [check for check in found if not check.passes] == []
    [command] = [block.text for block in blocks if isinstance(block, Code)]
    assert command.startswith("bpe-lm pretrain debug --out run --data.train train.bin")
    keys, *_ = (block for block in blocks if isinstance(block, Table))
    shown = dict(keys.rows)
    assert shown["schedule.max_learning_rate"] == "0.01"
    assert shown["data.train"] == "train.bin"


def test_a_command_that_fails_is_a_failed_check(monkeypatch):
    monkeypatch.setattr(training_together, "STEPS", 0)
    *_, check = blocks_of("training_together")
    assert not check.passes
    assert "error: steps is 0, and must be at least 1" in check.what


def a_record(tmp_path, **changes) -> RunRecord:
    """The base run, as its folder would say."""
    config = replace(debug(), checkpoint_every=100)
    rates = [
        oracles.cosine_schedule(step, *(training_together.Decimal(x) for x in ("1e-3", "1e-4")), 5, 20)
        for step in range(1, 21)
    ]
    train = [
        {
            "step": step,
            "tokens": step * 8 * 16,
            "seconds": float(step),
            "loss": 5.7 - step / 10,
            "learning_rate": rate,
            "gradient_norm": 1.0,
            "tokens_per_second": 128.0,
        }
        for step, rate in enumerate(rates, 1)
    ]
    for name, values in changes.items():
        for record, value in zip(train, values, strict=False):
            record[name] = value
    return RunRecord("base", tmp_path, "finished", config, {}, {}, train, [{"step": 20, "loss": 3.9}])


class OneRun(NoRuns):
    def __init__(self, record):
        self.record = record

    def run(self, name):
        return self.record if name == training_together.BASE else None


@pytest.mark.parametrize(
    ("changes", "failed"),
    [
        ({}, []),
        ({"learning_rate": [0.0]}, ["learning rates, relative"]),
        ({"learning_rate": [2e-4, 4e-4, nan]}, ["learning rates, relative"]),
        ({"tokens": [128, 255]}, ["the number of records whose tokens are not steps x rows x context"]),
        ({"loss": [3.0]}, ["the loss of the first step", "the last training loss"]),
        ({"loss": [5.6, *[5.5] * 18, nan]}, ["the last training loss"]),
    ],
    ids=str,
)
def test_the_base_runs_records_are_checked(changes, failed, tmp_path):
    results = OneRun(a_record(tmp_path, **changes))
    blocks = list(training_together.QUESTION.answer(results))
    assert [block.what for block in blocks if isinstance(block, Check) and not block.passes] == failed
    assert "bpe-lm pretrain configs/base.json --out base --resume" in [b.text for b in blocks if isinstance(b, Code)]


def test_a_record_without_a_field_and_a_run_without_its_checkpoint_fail(tmp_path):
    record = a_record(tmp_path)
    del record.train[3]["gradient_norm"]
    record = replace(record, config=replace(record.config, checkpoint_every=10))
    found = training_together.QUESTION.answer(OneRun(record))
    failed = [check.what for check in found if isinstance(check, Check) and not check.passes]
    assert failed == [
        "the number of fields that a record lacks",
        "the number of checkpoints missing in the run's folder",
    ]


def test_a_file_that_is_read_whole_fails(tmp_path, data, monkeypatch):
    record = a_record(tmp_path)
    config = replace(record.config, data=replace(record.config.data, train=str(data / "train.bin")))
    record = replace(record, config=config)
    for broken in (False, True):
        if broken:
            monkeypatch.setattr(training_together, "open_tokens", lambda path: np.array(token_file.open_tokens(path)))
        found = training_together.QUESTION.answer(OneRun(record))
        [check] = [check for check in found if isinstance(check, Check) and "memory map" in check.what]
        assert check.passes is not broken
