"""Problem transformer_accounting: the parameters of GPT-2's shapes, and the FLOPs of a forward pass.

(a) How many parameters has GPT-2 XL, and how much memory do they take? (b) Which matrix multiplies has a forward pass,
and how many FLOPs? (c) Which part takes most? (d) How do the shares change from small to XL? (e) And with a context of
16,384 tokens?

Answer: XL has 1,640,452,800 parameters (6.56 GB) and takes 3.517e12 FLOPs with the width of the handout of 2026, where
d_ff is 8/3 d_model; 2,127,057,600 and 4.513e12 with that of 2025, 4 d_model. The feed-forward networks take most; the
larger the model, the less the head takes. With 16,384 tokens it is the scores of attention, which grow with the square.

Three conventions are in use, and the write-ups' figures belong to different ones. So each table has all three.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace

from bpe_lm.experiments.blocks import Block, Table, Text
from bpe_lm.experiments.cs336.question import Question
from bpe_lm.experiments.cs336.results import Results
from bpe_lm.experiments.cs336.wording import percent, power, size
from bpe_lm.model.config import ModelConfig
from bpe_lm.model.flops import count_parameters, forward_flops, matrix_multiplies
from bpe_lm.training.account import LONGER, conventions, longer_context
from bpe_lm.training.presets import PRESETS, swiglu_width

PARTS = {
    "projections": "projections of attention",
    "scores": "scores of attention",
    "ffn": "feed-forward networks",
    "head": "head",
}
"""The parts of a model, by their names in `bpe_lm.model.flops`."""

XL = "GPT-2 XL"

REPORTED_SHARES = {
    "GPT-2 small": "19.88, 13.25, 39.76, 27.10",
    "GPT-2 medium": "24.93, 12.46, 49.86, 12.75",
    "GPT-2 large": "27.23, 10.89, 54.46, 7.42",
    XL: "28.71, 9.19, 57.41, 4.70",
}
"""Shares of the FLOPs in write-up 1, in percent, in the order of `PARTS`."""

Case = tuple[str, ModelConfig]
"""A row of a table: the name of a model, and the model with a feed-forward network of some convention."""


def gpt2_models() -> dict[str, ModelConfig]:
    """Return GPT-2's four shapes, with the feed-forward network of the handout of 2026."""
    names = {"small": "GPT-2 small", "medium": "GPT-2 medium", "large": "GPT-2 large", "xl": XL}
    return {name: PRESETS[f"gpt2-{size}"]().model for size, name in names.items()}


def cases_of(results: Results) -> list[Case]:
    """Return GPT-2's four shapes by each convention, and the model of the base run as it is."""
    shapes = [(name, variant) for name, model in gpt2_models().items() for variant in conventions(model)]
    return [*shapes, ("the base run's model", results.setting.base.model)]


def convention_of(model: ModelConfig) -> str:
    """Name the feed-forward network of a model, and who counts with it."""
    d = model.d_model
    if model.ffn_matrices == 2:
        return "2 matrices, 4 d (write-up 1)" if model.d_ff == 4 * d else "2 matrices"
    widths = {swiglu_width(d): "3 matrices, 8/3 d (handout 2026)", 4 * d: "3 matrices, 4 d (handout 2025)"}
    return widths.get(model.d_ff, "3 matrices")


def parameters_table(cases: Iterable[Case]) -> Table:
    """Return the parameters of each model by convention, and their bytes in float32."""
    rows = [
        (name, convention_of(model), model.d_ff, count_parameters(model), size(4 * count_parameters(model)))
        for name, model in cases
    ]
    return Table(("model", "feed-forward network", "d_ff", "parameters", "in float32"), rows)


def multiplies_table(name: str, model: ModelConfig) -> Table:
    """Return every matrix multiply of a forward pass over one text."""
    total = forward_flops(model).total
    rows = [
        (
            PARTS[each.part],
            each.name,
            each.count,
            each.m,
            each.k,
            each.n,
            power(each.flops),
            percent(each.flops / total),
        )
        for each in matrix_multiplies(model)
    ]
    return Table(
        ("part", "product", "times", "m", "k", "n", "FLOPs", "share"),
        [*rows, ("all", *5 * ("",), power(total), percent(1))],
        f"{name}, {convention_of(model)}: the products of an (m, k) and a (k, n) matrix, 2 m k n FLOPs each, in a "
        f"forward pass over {model.context_length:,} tokens.",
    )


def flops_table(cases: Iterable[Case]) -> Table:
    """Return the FLOPs of a forward pass of each model by convention, and the share of each part."""
    rows = [(name, convention_of(model), power(forward_flops(model).total), *_shares(model)) for name, model in cases]
    return Table(("model", "feed-forward network", "FLOPs", *PARTS.values()), rows, "A forward pass over one text.")


def longer_table(cases: Iterable[Case]) -> Table:
    """Return the same with a context of 16 times the length, and how many times the FLOPs that is."""
    rows = []
    for name, model in cases:
        longer = longer_context(model)
        total = forward_flops(longer).total
        ratio = f"{total / forward_flops(model).total:.2f}"
        rows.append((name, convention_of(model), longer.context_length, power(total), ratio, *_shares(longer)))
    header = ("model", "feed-forward network", "tokens", "FLOPs", "times", *PARTS.values())
    return Table(header, rows, f"A context of {LONGER} times the length.")


def _shares(model: ModelConfig) -> list[str]:
    shares = forward_flops(model).shares()
    return [percent(shares[part]) for part in PARTS]


def largest_part(model: ModelConfig) -> str:
    """Say which part of a model takes most of the FLOPs, with its share."""
    flops = forward_flops(model)
    return f"the {PARTS[flops.largest]} ({percent(flops.shares()[flops.largest])})"


def reported_table(shapes: Mapping[str, ModelConfig]) -> Table:
    """Return the figures that others report, beside ours by the same convention."""
    xl = shapes[XL]
    three = replace(xl, ffn="swiglu", d_ff=4 * xl.d_model)
    two = replace(three, ffn="silu")
    longer = longer_context(two)
    times = forward_flops(longer).total / forward_flops(two).total
    rows = [
        ("parameters of XL", convention_of(three), f"{count_parameters(three):,}", "write-up 2", "2,127,057,600"),
        ("FLOPs of XL", convention_of(two), power(forward_flops(two).total), "write-up 1", "3.51e12"),
        ("FLOPs of XL, 16,384 tokens", convention_of(two), power(forward_flops(longer).total), "write-up 1", "1.33e14"),
        ("FLOPs of XL, 16,384 tokens by 1,024", convention_of(two), f"{times:.2f}", "write-up 1", "38.05"),
        (
            "scores of XL, 16,384 tokens",
            convention_of(two),
            percent(forward_flops(longer).shares()["scores"]),
            "write-up 1",
            "61.81 %",
        ),
    ]
    for name, reported in REPORTED_SHARES.items():
        own = replace(shapes[name], ffn="silu", d_ff=4 * shapes[name].d_model)
        shares = ", ".join(f"{100 * share:.2f}" for share in forward_flops(own).shares().values())
        rows.append((f"shares of {name} in %", convention_of(own), shares, "write-up 1", reported))
    return Table(("figure", "convention", "here", "source", "reported"), rows)


def _answer(results: Results) -> Iterable[Block]:
    cases, shapes = cases_of(results), gpt2_models()
    xl = shapes[XL]
    yield Text(
        "A forward pass over one text of T tokens takes 8 L T d^2 + 4 L T^2 d + 2 m L T d d_ff + 2 T d V FLOPs, with m "
        "matrices in the feed-forward network: the projections, the scores of attention and their sums, the "
        "feed-forward networks, and the head. The handout of 2026 has m = 3 and d_ff = 8/3 d, to the nearest multiple "
        "of 64, that of 2025 m = 3 and d_ff = 4 d. Write-up 1 counts two matrices, as GPT-2 has them."
    )
    yield Text("**(a)** Parameters, and their memory in single precision:")
    yield parameters_table(cases)
    yield Text("**(b)** The matrix multiplies:")
    yield multiplies_table(XL, xl)
    yield Text(f"**(c)** Most is taken by {largest_part(xl)}.")
    yield Text(_trend(shapes))
    yield flops_table(cases)
    longer = longer_context(xl)
    times = forward_flops(longer).total / forward_flops(xl).total
    yield Text(
        f"**(e)** With {longer.context_length:,} tokens XL takes {times:.2f} times the FLOPs, because the scores grow "
        f"with the square of the length. Then most is taken by {largest_part(longer)}."
    )
    yield longer_table(cases)
    yield reported_table(shapes)


def _trend(models: Mapping[str, ModelConfig]) -> str:
    first, last = (forward_flops(models[name]).shares() for name in ("GPT-2 small", XL))
    more = [
        f"{PARTS[part]} ({percent(first[part])} to {percent(last[part])})" for part in PARTS if last[part] > first[part]
    ]
    less = [
        f"{PARTS[part]} ({percent(first[part])} to {percent(last[part])})" for part in PARTS if last[part] < first[part]
    ]
    return (
        f"**(d)** From small to XL these shares grow: {', '.join(more)}. These fall: {', '.join(less)}. Projections "
        "and feed-forward networks grow with L d^2, scores with L d and the head with d only."
    )


QUESTION = Question(
    row=18,
    name="transformer_accounting",
    points=5,
    kind="calculated",
    asked="How many parameters have GPT-2's shapes, which matrix multiplies has a forward pass, which part takes most, "
    "and what changes with the size and with a context of 16,384 tokens?",
    answer=_answer,
)
