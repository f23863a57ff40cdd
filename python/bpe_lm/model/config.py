"""The architecture of a model: a frozen dataclass, so that an ablation is a difference in one field."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any, Literal

from bpe_lm.errors import ConfigError
from bpe_lm.fields import at_least, check_types, key

Norm = Literal["pre", "post", "none"]
Position = Literal["rope", "none"]
FeedForwardKind = Literal["swiglu", "silu", "relu2"]

MOST_WEIGHTS = 2**50
"""The largest number of weights whose size in bytes torch can still compute."""


@dataclass(frozen=True)
class Sizes:
    """The course's arguments of `TransformerLM`, in the course's order."""

    vocab_size: int = key(10_000, "tokens of the vocabulary")
    context_length: int = key(256, "the most tokens that the model sees at once")
    d_model: int = key(512, "width of the residual stream")
    num_layers: int = key(4, "number of Transformer blocks")
    num_heads: int = key(16, "number of attention heads of a block")
    d_ff: int = key(1344, "inner width of the feed-forward network")
    rope_theta: float = key(10_000.0, "base of the angles of rotary embeddings")


@dataclass(frozen=True, kw_only=True)
class Switches:
    """The choices of an architecture other than its sizes. The defaults are the course's architecture.

    Every block, attention layer and feed-forward network receives all of them. A new switch is a field here, and a
    line in the layer that reads it. `llama` is the value that Llama has: a model with another value, or with a switch
    that does not state it, is not exported.
    """

    norm: Norm = key("pre", "RMSNorm before each sub-layer (pre), after its sum (post), or none", llama="pre")
    position: Position = key("rope", "rotary embeddings (rope), or none", llama="rope")
    ffn: FeedForwardKind = key("swiglu", "feed-forward network: gated (swiglu) or not (silu, relu2)", llama="swiglu")
    tied_head: bool = key(False, "the head shares the weights of the embedding")

    def __post_init__(self) -> None:
        check_types(self, "model")


COURSE = Switches()
"""The architecture of the course's handout."""


@dataclass(frozen=True)
class ModelConfig(Switches, Sizes):
    """The sizes and the switches of a `TransformerLM`."""

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("vocab_size", "context_length", "d_model", "num_layers", "num_heads", "d_ff"):
            at_least(self, "model", name, 1)
        if self.rope_theta <= 0:
            raise ConfigError(f"model.rope_theta is {self.rope_theta}, and must be above 0")
        if self._matrix_weights > MOST_WEIGHTS:
            raise ConfigError(
                f"the model would have {self._matrix_weights:.1e} weights, more than any memory holds (2^50); make "
                "model.d_model, d_ff, num_layers or vocab_size smaller"
            )
        if self.d_model % self.num_heads:
            raise ConfigError(
                f"model.d_model is {self.d_model}, which {self.num_heads} heads cannot share; make it a multiple"
            )
        if self.position == "rope" and self.d_model // self.num_heads % 2:
            raise ConfigError(
                f"model.d_model / model.num_heads is {self.d_model // self.num_heads}, and must be even: rotary "
                "embeddings rotate pairs; change one of them, or set model.position none"
            )

    def as_dict(self) -> dict[str, Any]:
        """The arguments of `TransformerLM` by name."""
        return dataclasses.asdict(self)

    @property
    def ffn_matrices(self) -> int:
        """The number of matrices in a feed-forward network: 3 with a gate, else 2."""
        return 3 if self.ffn == "swiglu" else 2

    @property
    def _matrix_weights(self) -> int:
        ffn = self.ffn_matrices * self.d_model * self.d_ff
        return self.num_layers * (4 * self.d_model**2 + ffn) + self.vocab_size * self.d_model
