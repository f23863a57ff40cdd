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
    qk_norm: bool = key(False, "RMSNorm without weights over each query and key, before the rotation", llama=False)
    logit_softcap: float = key(0.0, "c of logits c tanh(z / c), which stay between -c and c; 0: they stay z", llama=0.0)
    value_embeddings: int = key(
        0, "tables of rows for token ids; table i is mixed into the values of layer i and of its mirror", llama=0
    )
    u_net_skips: bool = key(
        False, "the input of each layer of the second half gains the output of its mirror", llama=False
    )
    zero_init: bool = key(False, "the matrices that write to the residual stream begin as zeros")
    embedding_scale: float = key(1.0, "the factor of the embedding's rows", llama=1.0)
    window: int = key(0, "the last keys that a query sees, with its own; 0: all", unit="tokens", llama=0)
    global_every: int = key(
        0, "with a window, each layer whose number is a multiple of this sees all keys; 0: none does", llama=0
    )

    def __post_init__(self) -> None:
        check_types(self, "model")
        for name in ("logit_softcap", "value_embeddings", "window", "global_every"):
            at_least(self, "model", name, 0)
        if self.embedding_scale <= 0:
            raise ConfigError(f"model.embedding_scale is {self.embedding_scale}, and must be above 0")

    def reach(self, layer: int) -> int:
        """Return how many of the last keys a query of a layer sees, with its own; 0 for all. Layers count from 0."""
        sees_all = self.global_every and (layer + 1) % self.global_every == 0
        return 0 if sees_all else self.window


@dataclass(frozen=True)
class Place:
    """What a layer has because of its place between the others."""

    reach: int = 0
    """How many of the last keys a query sees, with its own; 0 for all."""

    table: int | None = None
    """The table of value embeddings that its values gain."""

    mirror: int | None = None
    """The layer whose output its input gains."""


COURSE = Switches()
"""The architecture of the course's handout."""

FIRST = Place()
"""The place of every layer of the course's architecture."""


@dataclass(frozen=True)
class ModelConfig(Switches, Sizes):
    """The sizes and the switches of a `TransformerLM`."""

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("vocab_size", "context_length", "d_model", "num_layers", "num_heads", "d_ff"):
            at_least(self, "model", name, 1)
        if self.rope_theta <= 0:
            raise ConfigError(f"model.rope_theta is {self.rope_theta}, and must be above 0")
        if self.value_embeddings > self.pairs:
            raise ConfigError(
                f"model.value_embeddings is {self.value_embeddings}, and {self.num_layers} layers have {self.pairs} "
                "pairs of a layer and its mirror; make it at most that"
            )
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
    def pairs(self) -> int:
        """The number of pairs of layers i and `num_layers` - 1 - i. A layer in the middle is a pair by itself."""
        return (self.num_layers + 1) // 2

    def place(self, layer: int) -> Place:
        """Return what a layer has because of its place."""
        other = self.num_layers - 1 - layer
        pair = min(layer, other)
        return Place(
            reach=self.reach(layer),
            table=pair if pair < self.value_embeddings else None,
            mirror=other if self.u_net_skips and other < layer else None,
        )

    def places(self) -> list[Place]:
        """Return the place of each layer."""
        return [self.place(layer) for layer in range(self.num_layers)]

    @property
    def ffn_matrices(self) -> int:
        """The number of matrices in a feed-forward network: 3 with a gate, else 2."""
        return 3 if self.ffn == "swiglu" else 2

    @property
    def _matrix_weights(self) -> int:
        ffn = self.ffn_matrices * self.d_model * self.d_ff
        return (
            self.num_layers * (4 * self.d_model**2 + ffn) + (1 + self.value_embeddings) * self.vocab_size * self.d_model
        )
