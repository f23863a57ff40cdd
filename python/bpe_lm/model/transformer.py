"""The Transformer, read from top to bottom: TransformerLM, its blocks, and in other files their parts."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from bpe_lm.errors import OptionError
from bpe_lm.kernels.implementation import Implementation
from bpe_lm.model.attention import KeyValueCache, MultiheadSelfAttention
from bpe_lm.model.config import FeedForwardKind, ModelConfig, Norm, Position
from bpe_lm.model.layers import Device, Embedding, FeedForward, Linear, RMSNorm, RotaryPositionalEmbedding, SwiGLU


class TransformerLM(nn.Module):
    """logits = head(norm(block_L(... block_1(embedding(ids))))). Radford et al. 2019, with Llama's parts."""

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
        norm: Norm = "pre",
        position: Position = "rope",
        ffn: FeedForwardKind = "swiglu",
        tied_head: bool = False,
        implementation: Implementation = "fast",
        device: Device = None,
        dtype: torch.dtype | None = None,
    ):
        super().__init__()
        self.config = ModelConfig(
            vocab_size=vocab_size,
            context_length=context_length,
            d_model=d_model,
            num_layers=num_layers,
            num_heads=num_heads,
            d_ff=d_ff,
            rope_theta=rope_theta,
            norm=norm,
            position=position,
            ffn=ffn,
            tied_head=tied_head,
        )
        self.checkpoints_activations = False
        rope = None
        if position == "rope":
            rope = RotaryPositionalEmbedding(rope_theta, d_model // num_heads, context_length, device)
        self.token_embeddings = Embedding(vocab_size, d_model, device, dtype)
        self.layers = nn.ModuleList(
            TransformerBlock(
                d_model,
                num_heads,
                d_ff,
                rope,
                norm=norm,
                ffn=ffn,
                implementation=implementation,
                device=device,
                dtype=dtype,
            )
            for _ in range(num_layers)
        )
        self.ln_final = _norm(d_model, norm != "none", device, dtype)
        self.lm_head = Linear(d_model, vocab_size, device, dtype)
        if tied_head:
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
        """The model that a config describes, with new weights."""
        return cls(**config.as_dict(), implementation=implementation, device=device, dtype=dtype)

    def forward(
        self,
        token_ids: Int[Tensor, "batch seq"],
        token_positions: Int[Tensor, "... seq"] | None = None,
        caches: Sequence[KeyValueCache] | None = None,
    ) -> Float[Tensor, "batch seq vocab_size"]:
        """Logits of the token after each. With `caches`, the ids are those after the ones that are there."""
        return self.lm_head(self.hidden(token_ids, token_positions, caches))

    def hidden(
        self,
        token_ids: Int[Tensor, "batch seq"],
        token_positions: Int[Tensor, "... seq"] | None = None,
        caches: Sequence[KeyValueCache] | None = None,
    ) -> Float[Tensor, "batch seq d_model"]:
        """What the head makes logits of.

        Raises:
            OptionError: The caches are of another batch, or activation checkpointing is on; the text is too long.
        """
        start = caches[0].length if caches else 0
        end = start + token_ids.shape[-1]
        if end > self.config.context_length:
            raise OptionError(
                f"{end} tokens are more than the context_length of {self.config.context_length}; cut them"
            )
        is_checkpointed = self.checkpoints_activations and torch.is_grad_enabled()
        if caches:
            _check_caches(caches, token_ids, len(self.layers), is_checkpointed)
        if token_positions is None:
            token_positions = torch.arange(start, end, device=token_ids.device)
        x = self.token_embeddings(token_ids)
        for number, layer in enumerate(self.layers):
            if is_checkpointed:
                # A block's activations are computed again for its gradient, and not kept.
                x = checkpoint(layer, x, token_positions, use_reentrant=False)
            else:
                x = layer(x, token_positions, caches[number] if caches else None)
        return self.ln_final(x)

    def new_caches(self, batch: int = 1) -> list[KeyValueCache]:
        """Empty caches for a text of up to `context_length` tokens."""
        weight = self.lm_head.weight
        heads = self.config.num_heads
        shape = (batch, heads, self.config.context_length, self.config.d_model // heads)

        def empty() -> Tensor:
            return torch.zeros(shape, device=weight.device, dtype=weight.dtype)

        return [KeyValueCache(empty(), empty()) for _ in self.layers]

    def num_parameters(self) -> int:
        """The number of weights; a tied head counts once."""
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
        norm: Norm = "pre",
        ffn: FeedForwardKind = "swiglu",
        implementation: Implementation = "fast",
        device: Device = None,
        dtype: torch.dtype | None = None,
    ):
        super().__init__()
        self.is_post_norm = norm == "post"
        self.ln1 = _norm(d_model, norm != "none", device, dtype)
        self.attn = MultiheadSelfAttention(
            d_model, num_heads, rope, implementation=implementation, device=device, dtype=dtype
        )
        self.ln2 = _norm(d_model, norm != "none", device, dtype)
        self.ffn: nn.Module
        if ffn == "swiglu":
            self.ffn = SwiGLU(d_model, d_ff, device, dtype)
        else:
            self.ffn = FeedForward(d_model, d_ff, ffn, device, dtype)

    def forward(
        self,
        x: Float[Tensor, "... seq d_model"],
        token_positions: Int[Tensor, "... seq"] | None = None,
        cache: KeyValueCache | None = None,
    ) -> Float[Tensor, "... seq d_model"]:
        """Shapes: (..., seq, d_model) -> (..., seq, d_model)."""
        if self.is_post_norm:
            x = self.ln1(x + self.attn(x, token_positions, cache))
            return self.ln2(x + self.ffn(x))
        x = x + self.attn(self.ln1(x), token_positions, cache)
        return x + self.ffn(self.ln2(x))


class Identity(nn.Module):
    """y = x, where a norm was left out."""

    def forward(self, x: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
        """Returns `x`."""
        return x


def _check_caches(caches: Sequence[KeyValueCache], token_ids: Tensor, num_layers: int, is_checkpointed: bool) -> None:
    if is_checkpointed:
        # A block that is computed again for its gradient would append its keys twice.
        raise OptionError(
            "activation checkpointing takes no caches; call the model under torch.no_grad(), or set "
            "checkpoints_activations to False"
        )
    if len(caches) != num_layers:
        raise OptionError(f"{len(caches)} caches were given for {num_layers} layers; make them with new_caches")
    if len(caches[0].keys) != len(token_ids):
        # A batch of one would be copied into all rows without a word.
        raise OptionError(f"the caches are of {len(caches[0].keys)} texts, and {len(token_ids)} were given")


def _norm(d_model: int, is_there: bool, device: Device, dtype: torch.dtype | None) -> nn.Module:
    return RMSNorm(d_model, device=device, dtype=dtype) if is_there else Identity()
