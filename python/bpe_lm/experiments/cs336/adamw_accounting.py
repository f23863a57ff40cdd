"""Problem adamwAccounting: the memory and the FLOPs of training with AdamW.

(a) How much memory do parameters, activations, gradients and the optimizer take, in float32? (b) For GPT-2 XL, write it
as a x batch + b; what is the largest batch in 80 GB? (c) How many FLOPs does a step of AdamW take? (d) How many days do
400,000 steps with a batch of 1,024 take on one GPU at half of its peak?

Answer: XL takes 16.37 GB x batch + 26.25 GB with the width of the handout of 2026, so 3 texts fit. A step of AdamW has
15 operations a parameter. The training takes 4,850 hours on an H100 in TF32, and 5,130 days on an A100 in float32.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

from bpe_lm.experiments.blocks import Block, Table, Text
from bpe_lm.experiments.cs336.question import Question
from bpe_lm.experiments.cs336.results import Results
from bpe_lm.experiments.cs336.transformer_accounting import XL, Case, cases_of, convention_of, gpt2_models
from bpe_lm.experiments.cs336.wording import digits, percent, power, size
from bpe_lm.model.config import ModelConfig
from bpe_lm.model.flops import count_parameters, training_flops
from bpe_lm.training.account import (
    COURSE_MEMORY,
    COURSE_MFU,
    course_memory,
    longer_context,
    training_seconds,
)
from bpe_lm.training.devices import PEAK_FLOPS, PEAK_TF32
from bpe_lm.training.optimizers.cost import ADAMW_FLOPS

STEPS, BATCH = 400_000, 1_024
"""The training that the course asks about."""

DEVICES = {
    "A100, float32": PEAK_FLOPS["A100"][1],
    "A100, TF32": PEAK_TF32["A100"],
    "H100, TF32": PEAK_TF32["H100"],
    "H100, bfloat16": PEAK_FLOPS["H100"][0],
}
"""Peak FLOP/s by device and format. The handout of 2025 takes the first, that of 2026 the third."""

ADAMW = {
    "weight decay": ("p - rate x decay x p, with the factor computed once", 1),
    "m": ("b1 x m + (1 - b1) x g", 3),
    "v": ("b2 x v + (1 - b2) x g x g", 4),
    "corrections of bias": ("m / (1 - b1^t), v / (1 - b2^t)", 2),
    "update": ("p - rate x m / (sqrt(v) + eps)", 5),
}
"""The parts of a step of AdamW: their formula, and their operations for each parameter."""


@dataclass(frozen=True)
class Activation:
    """Results that a forward pass over one text keeps: how many values, and by what formula."""

    part: str
    formula: str
    values: int


def activations(model: ModelConfig) -> list[Activation]:
    """Return the results that the course counts, by part of the model. All are kept, and nothing is fused."""
    layers, tokens, d, heads = model.num_layers, model.context_length, model.d_model, model.num_heads
    has_gate = model.ffn_matrices == 3
    hidden = "w1, w3, SiLU and their product" if has_gate else "W1 and SiLU"
    number = 4 if has_gate else 2
    return [
        Activation("two RMSNorms", "L x 2 T d", layers * 2 * tokens * d),
        Activation("q, k, v", "L x 3 T d", layers * 3 * tokens * d),
        Activation("scores q k^T", "L x h T^2", layers * heads * tokens**2),
        Activation("softmax", "L x h T^2", layers * heads * tokens**2),
        Activation("weighted sum of values", "L x T d", layers * tokens * d),
        Activation("output projection", "L x T d", layers * tokens * d),
        Activation(hidden, f"L x {number} T d_ff", layers * number * tokens * model.d_ff),
        Activation("W2", "L x T d", layers * tokens * d),
        Activation("last RMSNorm", "T d", tokens * d),
        Activation("logits", "T V", tokens * model.vocab_size),
        Activation("cross-entropy", "T V", tokens * model.vocab_size),
    ]


def memory_parts(model: ModelConfig) -> Table:
    """Return the bytes of each part of the memory, for a batch of one text."""
    parameters = count_parameters(model)
    fixed = {"parameters": 4, "gradients": 4, "optimizer: m and v": 8}
    rows = [(name, f"{width} P", size(width * parameters)) for name, width in fixed.items()]
    found = activations(model)
    rows += [(f"activations: {each.part}", f"4 B x {each.formula}", size(4 * each.values)) for each in found]
    total = 16 * parameters + 4 * sum(each.values for each in found)
    caption = f"{XL}, {convention_of(model)}: bytes in float32, and their size for a batch of B = 1."
    return Table(("part", "bytes", "size"), [*rows, ("all", "", size(total))], caption)


def batch_table(cases: Iterable[Case]) -> Table:
    """Return memory as a x batch + b, and the largest batch in 80 GB, for two contexts."""
    rows = []
    for name, model in _in_two_contexts(cases):
        memory = course_memory(model)
        formula = f"{size(memory.per_text)} x batch + {size(memory.fixed)}"
        rows.append((name, convention_of(model), model.context_length, formula, memory.largest_batch(COURSE_MEMORY)))
    return Table(("model", "feed-forward network", "context", "memory", "largest batch in 80 GB"), rows)


def _in_two_contexts(cases: Iterable[Case]) -> Iterator[Case]:
    for name, model in cases:
        yield name, model
        yield name, longer_context(model)


def optimizer_table(cases: Iterable[Case]) -> Table:
    """Return the operations of AdamW in a step, and their share of the FLOPs of a step on 1,024 texts."""
    rows = []
    for name, model in cases:
        operations, step = ADAMW_FLOPS * count_parameters(model), BATCH * training_flops(model)
        rows.append((name, convention_of(model), power(operations), power(step), percent(operations / step, 4)))
    header = ("model", "feed-forward network", "AdamW", f"forward and backward, {BATCH:,} texts", "AdamW of it")
    return Table(header, rows, "Operations of a step.")


def days(model: ModelConfig, peak: float) -> float:
    """Return the days of the course's training at half of a device's peak FLOP/s."""
    return training_seconds(STEPS * BATCH * training_flops(model), peak, COURSE_MFU) / 86_400


def days_table(cases: Iterable[Case]) -> Table:
    """Return the days of the training on each device, for two contexts."""
    rows = [
        (name, convention_of(model), model.context_length, *(digits(days(model, peak), 4) for peak in DEVICES.values()))
        for name, model in _in_two_contexts(cases)
    ]
    caption = f"Days of {STEPS:,} steps of {BATCH:,} texts at {percent(COURSE_MFU, 0)} of the peak of one GPU."
    return Table(("model", "feed-forward network", "context", *DEVICES), rows, caption)


def reported_table(xl: ModelConfig) -> Table:
    """Return the figures of XL that others report, beside ours by the same convention."""
    two = replace(xl, ffn="silu", d_ff=4 * xl.d_model)
    memory = course_memory(two)
    seconds = 86_400 * days(two, DEVICES["A100, float32"])
    own = convention_of(two)
    rows = [
        ("largest batch in 80 GB", own, str(memory.largest_batch(COURSE_MEMORY)), "write-up 1", "3"),
        ("seconds on an A100", own, power(seconds), "write-up 1", "4.419e8 (14 years)"),
    ]
    return Table(("figure of XL", "convention", "here", "source", "reported"), rows)


def _answer(results: Results) -> Iterable[Block]:
    cases, xl = cases_of(results), gpt2_models()[XL]
    memory = course_memory(xl)
    yield Text(
        "**(a)** With batch B, L layers, T tokens, width d, h heads, m matrices in the feed-forward network and V "
        "tokens in the vocabulary, there are P = 2 V d + L (4 d^2 + m d d_ff + 2 d) + d parameters. In float32 "
        "they take 4 P bytes, their gradients 4 P, and the two states of AdamW 8 P. Each result of an operation takes "
        "4 bytes: with m = 3, A = B (L (8 T d + 2 h T^2 + 4 T d_ff) + T d + 2 T V) of them. In all, 16 P + 4 A bytes. "
        "The course counts as if nothing were fused, recomputed or overwritten; a real step takes less. "
        "Write-up 1 has the same formula for two matrices and d_ff = 4 d: 16 P + 4 A bytes, with "
        "A = L (16 B T d + 2 B h T^2) + B T d + 2 B T V."
    )
    yield memory_parts(xl)
    yield Text(
        f"**(b)** {XL} takes {size(memory.per_text)} x batch + {size(memory.fixed)}, so that a batch of "
        f"{memory.largest_batch(COURSE_MEMORY)} fits into 80 GB."
    )
    yield batch_table(cases)
    operations = [(name, formula, number) for name, (formula, number) in ADAMW.items()]
    yield Text(f"**(c)** A step of AdamW takes {ADAMW_FLOPS} operations for each parameter:")
    yield Table(("part", "formula", "operations"), [*operations, ("all", "", ADAMW_FLOPS)])
    yield optimizer_table(cases)
    hours = 24 * days(xl, DEVICES["H100, TF32"])
    yield Text(
        f"**(d)** A backward pass takes twice the FLOPs of a forward pass. {XL} takes {hours:,.0f} hours on an H100 in "
        f"TF32, and {days(xl, DEVICES['A100, float32']):,.0f} days on an A100 in float32."
    )
    yield days_table(cases)
    yield reported_table(xl)


QUESTION = Question(
    row=23,
    name="adamwAccounting",
    points=2,
    kind="calculated",
    asked="How much memory does training with AdamW take, which batch fits into 80 GB, how many FLOPs has a step of "
    "AdamW, and how long does the training of GPT-2 XL take on one GPU?",
    answer=_answer,
)
