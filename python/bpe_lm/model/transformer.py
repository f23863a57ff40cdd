"""The Transformer from top to bottom: `TransformerLM`, and its blocks. `attention` and `layers` hold their parts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from bpe_lm.errors import OptionError
from bpe_lm.kernels.implementation import Implementation
from bpe_lm.model.attention import KeyValueCache, MultiheadSelfAttention
from bpe_lm.model.config import COURSE, ModelConfig, Switches
from bpe_lm.model.layers import (
    Device,
    Embedding,
    FeedForward,
    Linear,
    RMSNorm,
    RotaryPositionalEmbedding,
    Stream,
    SwiGLU,
)


class TransformerLM(nn.Module):
    """logits = head(norm(block_L(... block_1(embedding(ids))))). Radford et al. 2019, with the parts of Llama.

    The first arguments are the course's; any other field of `ModelConfig` is a keyword.
    """

    def __init__(
        self,
        vocab_size: int,
        context_length: int,
        d_model: int,
        num_layers: int,
        num_heads: int,
        d_ff: int,
        rope_theta: float = 10_000.0,
        *,
        implementation: Implementation = "fast",
        device: Device = None,
        dtype: torch.dtype | None = None,
        **switches: Any,
    ):
        super().__init__()
        self.config = config = ModelConfig(
            vocab_size, context_length, d_model, num_layers, num_heads, d_ff, rope_theta, **switches
        )
        self.checkpoints_activations = False
        self.narrows_residual = False
        rope = None
        if config.position == "rope":
            rope = RotaryPositionalEmbedding(rope_theta, d_model // num_heads, context_length, device)
        self.token_embeddings = Embedding(vocab_size, d_model, device, dtype)
        self.layers = nn.ModuleList(
            TransformerBlock(
                d_model,
                num_heads,
                d_ff,
                rope,
                switches=config,
                implementation=implementation,
                device=device,
                dtype=dtype,
            )
            for _ in range(num_layers)
        )
        self.ln_final: Any = _norm(d_model, config, device, dtype)
        self.lm_head = Linear(d_model, vocab_size, device, dtype)
        if config.tied_head:
            self.token_embeddings.weight = self.lm_head.weight

    @classmethod
    def from_config(
        cls,
        config: ModelConfig,
        *,
        implementation: Implementation = "fast",
        device: Device = None,
        dtype: torch.dtype | None = None,
    ) -> TransformerLM:
        """Create the model that a config describes, with new weights."""
        return cls(**config.as_dict(), implementation=implementation, device=device, dtype=dtype)

    def forward(
        self,
        token_ids: Int[Tensor, "batch seq"],
        token_positions: Int[Tensor, "... seq"] | None = None,
        caches: Sequence[KeyValueCache] | None = None,
    ) -> Float[Tensor, "batch seq vocab_size"]:
        """Return the logits of each token's successor. With `caches`, the ids follow those that the caches hold."""
        return self.lm_head(self.hidden(token_ids, token_positions, caches))

    def hidden(
        self,
        token_ids: Int[Tensor, "batch seq"],
        token_positions: Int[Tensor, "... seq"] | None = None,
        caches: Sequence[KeyValueCache] | None = None,
    ) -> Float[Tensor, "batch seq d_model"]:
        """Return the final hidden states, from which the head computes logits.

        Raises:
            OptionError: The text is longer than the context. Or caches are given, and they do not fit the batch or the
                model, or activation checkpointing is on.
        """
        start = caches[0].length if caches else 0
        end = start + token_ids.shape[-1]
        if end > self.config.context_length:
            raise OptionError(
                f"{end} tokens are more than the context_length of {self.config.context_length}; shorten the text"
            )
        is_checkpointed = self.checkpoints_activations and torch.is_grad_enabled()
        if caches:
            _check_caches(caches, token_ids, len(self.layers), is_checkpointed)
        if token_positions is None:
            token_positions = torch.arange(start, end, device=token_ids.device)
        x = self.token_embeddings(token_ids)
        if self.narrows_residual and torch.is_autocast_enabled(x.device.type):
            x = x.to(torch.get_autocast_dtype(x.device.type))
        if caches is None and not is_checkpointed and self._takes_streams(x):
            stream = Stream(x)
            for layer in self.layers:
                stream = layer(stream, token_positions)
            return self.ln_final(stream)[1]
        for number, layer in enumerate(self.layers):
            if is_checkpointed:
                # The activations of a block are not stored: they are computed again for its gradient.
                x = checkpoint(layer, x, token_positions, use_reentrant=False)
            else:
                x = layer(x, token_positions, caches[number] if caches else None)
        return self.ln_final(x)

    def _takes_streams(self, x: Tensor) -> bool:
        """Return whether the norms add the branches before them, by a kernel."""
        return self.config.norm == "pre" and self.ln_final.takes_streams(x)

    def new_caches(self, batch: int = 1) -> list[KeyValueCache]:
        """Create empty caches for `batch` texts of up to `context_length` tokens, one per layer."""
        weight = self.lm_head.weight
        heads = self.config.num_heads
        shape = (batch, heads, self.config.context_length, self.config.d_model // heads)

        def empty() -> Tensor:
            return torch.zeros(shape, device=weight.device, dtype=weight.dtype)

        return [KeyValueCache(empty(), empty()) for _ in self.layers]

    def num_parameters(self) -> int:
        """Return the number of weights; a tied head counts once."""
        return sum(parameter.numel() for parameter in self.parameters())


class TransformerBlock(nn.Module):
    """Pre-norm: z = x + attn(ln1(x)), y = z + ffn(ln2(z)). Post-norm: z = ln1(x + attn(x)), y = ln2(z + ffn(z))."""

    def __init__(
        self,
        d_model: int,
        num_heads: int,
        d_ff: int,
        rope: RotaryPositionalEmbedding | None = None,
        *,
        switches: Switches = COURSE,
        implementation: Implementation = "fast",
        device: Device = None,
        dtype: torch.dtype | None = None,
    ):
        super().__init__()
        self.is_post_norm = switches.norm == "post"
        self.ln1: Any = _norm(d_model, switches, device, dtype)
        self.attn = MultiheadSelfAttention(
            d_model, num_heads, rope, switches=switches, implementation=implementation, device=device, dtype=dtype
        )
        self.ln2: Any = _norm(d_model, switches, device, dtype)
        self.ffn = _feed_forward(d_model, d_ff, switches, device, dtype)

    def forward(
        self,
        x: Float[Tensor, "... seq d_model"] | Stream,
        token_positions: Int[Tensor, "... seq"] | None = None,
        cache: KeyValueCache | None = None,
    ) -> Float[Tensor, "... seq d_model"] | Stream:
        """Shapes: (..., seq, d_model) -> (..., seq, d_model). From a `Stream` it computes a `Stream`, by a kernel."""
        if isinstance(x, Stream):
            total, normed = self.ln1(x)
            total, normed = self.ln2(Stream(total, self.attn(normed, token_positions, cache)))
            return Stream(total, self.ffn(normed))
        if self.is_post_norm:
            x = self.ln1(x + self.attn(x, token_positions, cache))
            return self.ln2(x + self.ffn(x))
        x = x + self.attn(self.ln1(x), token_positions, cache)
        return x + self.ffn(self.ln2(x))


class Identity(nn.Module):
    """y = x, in place of a norm that is switched off."""

    def forward(self, x: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
        """Return `x`."""
        return x


def _norm(d_model: int, switches: Switches, device: Device, dtype: torch.dtype | None) -> nn.Module:
    return Identity() if switches.norm == "none" else RMSNorm(d_model, device=device, dtype=dtype)


def _feed_forward(
    d_model: int, d_ff: int, switches: Switches, device: Device, dtype: torch.dtype | None
) -> SwiGLU | FeedForward:
    if switches.ffn == "swiglu":
        return SwiGLU(d_model, d_ff, device, dtype)
    return FeedForward(d_model, d_ff, switches.ffn, device, dtype)


def _check_caches(caches: Sequence[KeyValueCache], token_ids: Tensor, num_layers: int, is_checkpointed: bool) -> None:
    if is_checkpointed:
        # A block that is computed again for its gradient would append its keys to the cache twice.
        raise OptionError(
            "activation checkpointing takes no caches; call the model under torch.no_grad(), or set "
            "checkpoints_activations to False"
        )
    if len(caches) != num_layers:
        raise OptionError(f"{len(caches)} caches were given for {num_layers} layers; make them with new_caches")
    if len(caches[0].keys) != len(token_ids):
        # Without this check, a single text would silently be copied into all rows of the cache.
        raise OptionError(
            f"the caches are for {len(caches[0].keys)} texts, and {len(token_ids)} were given; use new_caches"
        )
