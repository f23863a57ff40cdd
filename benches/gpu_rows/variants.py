"""What is measured: the shapes, and the variants of each, by name.

This file imports no torch, so that the parent starts at once.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from fnmatch import fnmatch

from bpe_lm.model.config import ModelConfig

TINYSTORIES_TOKENS = 327_680_000
"""The tokens of the course's TinyStories run."""

VALIDATIONS = 20
"""The validations of that run: every 500 of 10,000 steps."""


@dataclass(frozen=True)
class Shape:
    """A model and the texts of a step."""

    model: ModelConfig
    rows: int

    @property
    def tokens(self) -> int:
        """The tokens of a step."""
        return self.rows * self.model.context_length


SHAPES = {
    "gpt2": Shape(ModelConfig(50_304, 1024, 768, 12, 12, 3072, ffn="silu", tied_head=True), 32),
    "tinystories": Shape(ModelConfig(), 128),
    "large": Shape(ModelConfig(32_000, 1024, 1024, 12, 8, 4096, ffn="relu2"), 32),
    "loss": Shape(ModelConfig(32_000, 1024, 1024, 1, 8, 4096), 16),
}
TITLES = {
    "gpt2": "GPT-2 124 M, 32 x 1,024",
    "tinystories": "TinyStories 22.7 M, 128 x 256",
    "large": "12 x 1,024, V 32,000, 32 x 1,024",
    "loss": "the loss over 32,000 tokens, 16,384 x 1,024",
    "one": "generation, one text, TinyStories' model",
    "many": "generation, 32 texts, TinyStories' model",
    "attention": "attention, both passes of a layer",
}
TOY = ModelConfig(vocab_size=300, context_length=32, d_model=64, num_layers=2, num_heads=4, d_ff=128)

PROMPT, NEW_TOKENS, TEXTS = 4, 200, {"one": 1, "many": 32}
"""Of generation: the ids of a prompt, the tokens of a text, and the texts at a time."""


def shape_of(group: str, *, is_quick: bool) -> Shape:
    """Return the shape of a group; a toy with the same switches if it shall be quick."""
    shape = SHAPES["tinystories" if group in TEXTS else group]
    if not is_quick:
        return shape
    model = shape.model
    return Shape(replace(TOY, ffn=model.ffn, tied_head=model.tied_head), 4)


@dataclass(frozen=True)
class Variant:
    """A row of the table. `against` is the variant of the same group that its ratio divides by."""

    group: str
    name: str
    kind: str
    against: str = ""

    @property
    def key(self) -> str:
        """A name that no other variant has."""
        return f"{self.group}: {self.name}"


def all_variants(*, has_nanogpt: bool) -> list[Variant]:
    """Return all rows, in the order of the table."""
    nanogpt, gpt2 = "nanoGPT's model.py", "HF GPT-2"
    of_gpt2 = nanogpt if has_nanogpt else gpt2
    rows = [
        ("gpt2", "bare step", "ours", of_gpt2),
        ("gpt2", "the Trainer", "trainer", "bare step"),
        ("gpt2", "plain compiled loss", "plain loss", of_gpt2),
        ("gpt2", "as a CUDA graph", "graph", of_gpt2),
        ("gpt2", "float32 residual stream", "float32 residual", of_gpt2),
        ("gpt2", gpt2, "hf gpt2", ""),
        ("gpt2", nanogpt, "nanogpt", ""),
        ("tinystories", "bare step", "ours", "HF Llama"),
        ("tinystories", "the Trainer", "trainer", "bare step"),
        ("tinystories", "plain compiled loss", "plain loss", "HF Llama"),
        ("tinystories", "as a CUDA graph", "graph", "HF Llama"),
        ("tinystories", "float32 residual stream", "float32 residual", "HF Llama"),
        ("tinystories", "deterministic", "deterministic", "bare step"),
        ("tinystories", "HF Llama", "hf llama", ""),
        ("large", "bare step", "ours", "plain compiled loss"),
        ("large", "the Trainer", "trainer", "bare step"),
        ("large", "plain compiled loss", "plain loss", ""),
        ("loss", "ours, eager", "loss eager", "unfused, compiled"),
        ("loss", "ours, compiled", "loss compiled", "unfused, compiled"),
        ("loss", "unfused, compiled", "loss unfused", ""),
        *((group, "bpe_lm", "generation", "HF Llama") for group in TEXTS),
        *((group, "HF Llama", "hf generation", "") for group in TEXTS),
    ]
    variants = [Variant(*row) for row in rows]
    backends = (Variant("attention", shape, "attention") for shape in ("gpt2", "tinystories", "large"))
    return [v for v in (*variants, *backends) if has_nanogpt or v.kind != "nanogpt"]


def chosen(variants: list[Variant], patterns: list[str]) -> list[Variant]:
    """Return the variants whose key matches one of the patterns, or all if there is none."""
    return [v for v in variants if not patterns or any(fnmatch(v.key, pattern) for pattern in patterns)]
