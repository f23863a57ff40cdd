"""The tables that `bpe-lm account` prints."""

from __future__ import annotations

from dataclasses import asdict

from bpe_lm.cli.tables import duration, print_table
from bpe_lm.model.config import ModelConfig
from bpe_lm.model.flops import Flops, count_parameters, forward_flops, matrix_multiplies
from bpe_lm.training.account import (
    COURSE_MEMORY,
    COURSE_MFU,
    LONGER,
    Account,
    conventions,
    course_memory,
    longer_context,
)
from bpe_lm.training.devices import device_of_run

_PARTS = {
    "projections": ("proj.", "the projections of attention"),
    "scores": ("scores", "the scores of attention and their sums"),
    "ffn": ("ffn", "the feed-forward network"),
    "head": ("head", "the head"),
}
"""Parts of the model, with their headings and what a sentence calls them."""

_HEADINGS = [heading for heading, _ in _PARTS.values()]


_DEVICES = {"cpu": "a CPU", "cuda": "a GPU"}

_METHODS = {"adamw": "AdamW", "muon": "Muon", "sgd": "SGD"}

_GPU_PARTS = {"libraries": "cuBLAS", "unused": ""}
"""The parts that have another name for a GPU, or do not exist there."""


def print_account(account: Account) -> None:
    """Print an account as tables and sentences on stdout."""
    _print_parameters(account)
    _print_multiplies(account.model)
    _print_contexts(account)
    _print_conventions(account)
    _print_run(account)
    _print_memory(account)


def _print_parameters(account: Account) -> None:
    parameters = count_parameters(account.model)
    print("\n".join(account.tree), end="\n\n")
    print(f"{parameters:,} parameters: {gigabytes(4 * parameters)} GB in float32\n")


def _print_multiplies(model: ModelConfig) -> None:
    flops = forward_flops(model)
    print(f"Products of (m, k) and (k, n) matrices in a forward pass over one text of {model.context_length:,} tokens:")
    rows = []
    for product in matrix_multiplies(model):
        sizes = (f"{size:,}" for size in (product.count, product.m, product.k, product.n))
        share = f"{product.flops / flops.total:.2%}"
        rows.append((_PARTS[product.part][0], product.name, *sizes, _power(product.flops), share))
    total = ("all", *5 * ("",), _power(flops.total), "")
    print_table(("part", "product", "times", "m", "k", "n", "FLOPs", "share"), [*rows, total])
    print(f"Most is taken by {_most(flops)}.\n")


def _print_contexts(account: Account) -> None:
    models = [account.model, longer_context(account.model)]
    now, longer = map(forward_flops, models)
    print(f"A context of {LONGER} times the length takes {longer.total / now.total:.2f} times the FLOPs:")
    rows = [(f"{model.context_length:,}", *_total_and_shares(forward_flops(model))) for model in models]
    print_table(("context", "FLOPs", *_HEADINGS), rows)
    print(f"Then most is taken by {_most(longer)}.\n")


def _print_conventions(account: Account) -> None:
    models = conventions(account.model)
    print("This model, and the same with the feed-forward networks of the course's handouts, of m matrices:")
    rows = [
        (*_ffn_sizes(model), f"{count_parameters(model):,}", *_total_and_shares(forward_flops(model)))
        for model in models
    ]
    print_table(("m", "d_ff", "parameters", "FLOPs", *_HEADINGS), rows)
    print(f"\nThe same with a context of {LONGER} times the length, and how many times the FLOPs that takes:")
    print_table(("m", "d_ff", "times", "FLOPs", *_HEADINGS), map(_longer_and_ratio, models))
    print()


def _longer_and_ratio(model: ModelConfig) -> tuple[str, ...]:
    flops, longer = forward_flops(model), forward_flops(longer_context(model))
    return (*_ffn_sizes(model), f"{longer.total / flops.total:.2f}", *_total_and_shares(longer))


def _ffn_sizes(model: ModelConfig) -> tuple[str, str]:
    return str(model.ffn_matrices), f"{model.d_ff:,}"


def _total_and_shares(flops: Flops) -> tuple[str, ...]:
    return (_power(flops.total), *(f"{flops.shares()[part]:.2%}" for part in _PARTS))


def _most(flops: Flops) -> str:
    return f"{_PARTS[flops.largest][1]}: {flops.shares()[flops.largest]:.2%}"


def _power(number: float) -> str:
    return f"{number:.3e}"


def _name_of_ffn(model: ModelConfig) -> str:
    return f"{model.ffn_matrices} matrices, d_ff {model.d_ff:,}"


def _print_run(account: Account) -> None:
    config = account.config
    print(f"A step of {config.batch_size:,} texts: {account.step_flops:.3e} FLOPs", end="")
    if config.optimizer.name == "adamw":
        print(f", and {account.optimizer_flops:.3e} of AdamW", end="")
    elif config.optimizer.name == "muon":
        share = account.muon_flops / account.step_flops
        print(f", and {account.muon_flops:.3e} of Muon's products ({share:.1%})", end="")
    print(f"\nThe run: {config.steps:,} steps, {account.run_flops:.3e} FLOPs{_least_time(account)}\n")
    print(f"Hours of the run at {COURSE_MFU:.0%} of each device's peak for matrix products in these formats:")
    formats = ("float32", "tf32", "bfloat16")
    rows = [
        (device, *(hours_in_words(hours[name]) if name in hours else "" for name in formats))
        for device, hours in account.hours().items()
    ]
    print_table(("device", *formats), rows)
    print()


def _least_time(account: Account) -> str:
    if account.least_seconds is None or account.flops_per_second is None:
        return ""
    config = account.config
    rate = f"{account.flops_per_second / 1e9:,.0f} GFLOP/s in {config.dtype}"
    if device_of_run(config.device).type == "cpu":
        source = f"its matrix products reach {rate} now, with the number of threads that torch has"
    else:
        source = f"its data sheet says {rate}"
    return f"\nAt least {duration(account.least_seconds)} on this machine: {source}; a step reaches a part of that"


def _print_memory(account: Account) -> None:
    config, memory = account.config, account.device_memory
    rows_at_once = config.micro_batch_size or config.batch_size
    print(
        f"Memory of a step on {_DEVICES[account.memory_is_of]}, {rows_at_once} texts at a time, {config.dtype}", end=""
    )
    print(", not compiled:")
    names = _GPU_PARTS if account.memory_is_of == "cuda" else {}
    parts = {name: value for name, value in asdict(account.memory).items() if names.get(name, name)}
    rows = [(names.get(name, name), gigabytes(value)) for name, value in parts.items()]
    print_table(("part", "GB"), [*rows, ("peak", gigabytes(account.memory.peak))])
    print("Optimizer, by group of parameters:")
    print_table(
        ("group", "updated by", "weights", "bytes of state for each"),
        [
            (group.name, _METHODS[group.method], f"{group.weights:,}", str(group.state_bytes // group.weights))
            for group in account.groups
        ],
    )
    print(f"\nTexts at a time that fit into {gigabytes(memory)} GB: {account.largest_batch:,}", end="")
    if account.memory_is_of == "cuda":
        print(", by the bytes that torch allocates (the CUDA context, some half a GB, is not counted)")
    else:
        print(", by these figures of a CPU (--device cuda predicts those of a GPU)")
    print("By the course's formula for AdamW in float32:")
    for model in conventions(account.model):
        course = course_memory(model)
        limits = dict.fromkeys((memory, COURSE_MEMORY))
        batches = (f"{course.largest_batch(limit):,} in {gigabytes(limit)} GB" for limit in limits)
        print(
            f"{_name_of_ffn(model)}: {gigabytes(course.per_text)} GB x batch + {gigabytes(course.fixed)} GB, so "
            + ", ".join(batches)
        )


def hours_in_words(hours: float) -> str:
    """Format hours without a fraction from 10 on, and with three digits below."""
    return f"{hours:,.0f}" if hours >= 10 else f"{hours:.3g}"


def gigabytes(number: float) -> str:
    """Format bytes as gigabytes with two decimals."""
    return f"{number / 1e9:,.2f}"
