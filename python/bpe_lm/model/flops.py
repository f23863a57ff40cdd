"""The size of a model and the floating-point operations of its passes, by formula.

Only matrix multiplies are counted, as the course does: an (m, k) by (k, n) product takes 2 m k n FLOPs. A backward pass
takes as many FLOPs as two forward passes: one product for the gradient of each factor. A test compares these numbers
with those that `torch.utils.flop_counter` counts in a real pass.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict, dataclass
from typing import Literal

from bpe_lm.model.config import ModelConfig

Part = Literal["projections", "scores", "ffn", "head"]


@dataclass(frozen=True)
class MatrixMultiply:
    """`count` products of an (m, k) and a (k, n) matrix in a forward pass over one text."""

    part: Part
    name: str
    count: int
    m: int
    k: int
    n: int

    @property
    def flops(self) -> int:
        """FLOPs of all `count` products."""
        return 2 * self.count * self.m * self.k * self.n


@dataclass(frozen=True)
class Flops:
    """FLOPs of a forward pass over one text of `context_length` tokens, by part of the model."""

    projections: int
    scores: int
    ffn: int
    head: int

    @property
    def total(self) -> int:
        """FLOPs of all parts."""
        return sum(asdict(self).values())

    @property
    def largest(self) -> str:
        """The part with the most FLOPs."""
        return max(asdict(self), key=asdict(self).__getitem__)

    def shares(self) -> dict[str, float]:
        """Each part as a fraction of the total."""
        return {name: value / self.total for name, value in asdict(self).items()}


def matrix_multiplies(config: ModelConfig) -> list[MatrixMultiply]:
    """Every matrix multiply of a forward pass over one text of T = `context_length` tokens.

    An attention head multiplies whole T x T matrices, although a causal mask hides half of each. In a layer with a
    window of w keys it multiplies T x w matrices, as a kernel does that leaves out what the window hides.
    """
    tokens, d, layers, heads = config.context_length, config.d_model, config.num_layers, config.num_heads
    per_head = d // heads
    first = "w1, w3" if config.ffn_matrices == 3 else "w1"
    seen = Counter(min(place.reach or tokens, tokens) for place in config.places())
    scores = [
        multiply
        for keys, number in sorted(seen.items(), reverse=True)
        for multiply in (
            MatrixMultiply("scores", "q k^T", number * heads, tokens, per_head, keys),
            MatrixMultiply("scores", "weights v", number * heads, tokens, keys, per_head),
        )
    ]
    return [
        MatrixMultiply("projections", "q, k, v", 3 * layers, tokens, d, d),
        *scores,
        MatrixMultiply("projections", "output", layers, tokens, d, d),
        MatrixMultiply("ffn", first, (config.ffn_matrices - 1) * layers, tokens, d, config.d_ff),
        MatrixMultiply("ffn", "w2", layers, tokens, config.d_ff, d),
        MatrixMultiply("head", "logits", 1, tokens, d, config.vocab_size),
    ]


def forward_flops(config: ModelConfig) -> Flops:
    """Sum the matrix multiplies of a forward pass: 8 L T d^2, 4 L T^2 d, 2 m L T d d_ff and 2 T d V.

    L is `num_layers`, T `context_length`, m the number of matrices in the feed-forward network, V `vocab_size`. A layer
    with a window of w keys has 4 T w d in place of 4 T^2 d.
    """
    flops = dict.fromkeys(("projections", "scores", "ffn", "head"), 0)
    for multiply in matrix_multiplies(config):
        flops[multiply.part] += multiply.flops
    return Flops(**flops)


def training_flops(config: ModelConfig) -> int:
    """FLOPs of a training step on one text: a forward pass, and a backward pass of twice its FLOPs."""
    return 3 * forward_flops(config).total


def training_flops_per_token(config: ModelConfig) -> float:
    """FLOPs of a training step per token, from which MFU is computed."""
    return training_flops(config) / config.context_length


def count_parameters(config: ModelConfig) -> int:
    """The number of weights; a tied head counts once."""
    d, norms = config.d_model, config.norm != "none"
    block = 4 * d**2 + config.ffn_matrices * d * config.d_ff + 2 * d * norms
    embeddings = ((1 if config.tied_head else 2) + config.value_embeddings) * config.vocab_size * d
    scalars = sum(2 * (place.table is not None) + (place.mirror is not None) for place in config.places())
    return config.num_layers * block + embeddings + d * norms + scalars
