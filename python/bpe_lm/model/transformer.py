"""The Transformer from top to bottom: `TransformerLM`, and its blocks. `attention` and `layers` hold their parts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal, get_args

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from bpe_lm.errors import OptionError
from bpe_lm.kernels.implementation import Implementation
from bpe_lm.model.attention import KeyValueCache, MultiheadSelfAttention
from bpe_lm.model.config import COURSE, FIRST, ModelConfig, Place, Switches
from bpe_lm.model.layers import (
    Device,
    Embedding,
    FeedForward,
    Linear,
    RMSNorm,
    RotaryPositionalEmbedding,
    Stream,
    SwiGLU,
    soft_capped,
    total,
)

ParameterGroup = Literal["matrices", "embeddings", "head", "norms"]


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
                place=place,
                implementation=implementation,
                device=device,
                dtype=dtype,
            )
            for place in config.places()
        )
        self.ln_final: Any = _norm(d_model, config, device, dtype)
        self.lm_head = Linear(d_model, vocab_size, device, dtype)
        if config.tied_head:
            self.token_embeddings.weight = self.lm_head.weight
        # Last, so that the other weights are those of a model without tables.
        self.value_embeddings = nn.ModuleList(
            Embedding(vocab_size, d_model, device, dtype) for _ in range(config.value_embeddings)
        )

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
        return self.logits(self.hidden(token_ids, token_positions, caches))

    def logits(self, hidden: Float[Tensor, "... d_model"]) -> Float[Tensor, "... vocab_size"]:
        """Return the logits that follow from final hidden states: the head's products, soft-capped if the model is."""
        return soft_capped(self.lm_head(hidden), self.config.logit_softcap)

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
        if self.config.embedding_scale != 1:
            x = x * self.config.embedding_scale
        if self.narrows_residual:
            x = self._narrowed(x)
        takes_streams = caches is None and not is_checkpointed and self._takes_streams(x)
        x = self._through_blocks(Stream(x) if takes_streams else x, token_ids, token_positions, caches, is_checkpointed)
        return self.ln_final(x)[1] if takes_streams else self.ln_final(x)

    def _through_blocks(
        self,
        x: Tensor | Stream,
        token_ids: Tensor,
        token_positions: Tensor,
        caches: Sequence[KeyValueCache] | None,
        is_checkpointed: bool,
    ) -> Any:
        """Compute all blocks. `rows` are those of each table, and `outputs` those of the blocks so far."""
        rows = [self._narrowed(table(token_ids)) for table in self.value_embeddings]
        outputs: list[Tensor | Stream] = []
        for number, (layer, place) in enumerate(zip(self.layers, self.config.places(), strict=True)):
            values = None if place.table is None else rows[place.table]
            skip = None if place.mirror is None else total(outputs[place.mirror])
            if is_checkpointed:
                # The activations of a block are not stored: they are computed again for its gradient.
                x = checkpoint(layer, x, token_positions, None, values, skip, use_reentrant=False)
            else:
                x = layer(x, token_positions, caches[number] if caches else None, values, skip)
            if self.config.u_net_skips:
                outputs.append(x)
        return x

    def _narrowed(self, x: Tensor) -> Tensor:
        """Return x in the number format of autocast, if it is on."""
        kind = x.device.type
        return x.to(torch.get_autocast_dtype(kind)) if torch.is_autocast_enabled(kind) else x

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

    def parameter_groups(self) -> dict[ParameterGroup, list[nn.Parameter]]:
        """Return the parameters by the kind of optimizer that suits them. Each parameter is in one group.

        Matrices are those of the blocks, from hidden states to hidden states. A head that shares the weights of the
        embedding is a head. Norms are the weights of norms, and all other vectors and scalars.
        """
        groups: dict[ParameterGroup, list[nn.Parameter]] = {name: [] for name in get_args(ParameterGroup)}
        embeddings = {module.weight for module in self.modules() if isinstance(module, Embedding)}
        for parameter in self.parameters():
            if parameter is self.lm_head.weight:
                groups["head"].append(parameter)
            elif parameter in embeddings:
                groups["embeddings"].append(parameter)
            else:
                groups["matrices" if parameter.ndim == 2 else "norms"].append(parameter)
        return groups


class TransformerBlock(nn.Module):
    """Pre-norm: z = x + attn(ln1(x)), y = z + ffn(ln2(z)). Post-norm: z = ln1(x + attn(x)), y = ln2(z + ffn(z)).

    A block with a mirror adds s times the mirror's output to x before, as Ronneberger et al. 2015, arXiv:1505.04597.
    The learned s begins at 1.
    """

    def __init__(
        self,
        d_model: int,
        num_heads: int,
        d_ff: int,
        rope: RotaryPositionalEmbedding | None = None,
        *,
        switches: Switches = COURSE,
        place: Place = FIRST,
        implementation: Implementation = "fast",
        device: Device = None,
        dtype: torch.dtype | None = None,
    ):
        super().__init__()
        self.skip_weight = None if place.mirror is None else nn.Parameter(torch.ones(1, device=device, dtype=dtype))
        self.is_post_norm = switches.norm == "post"
        self.ln1: Any = _norm(d_model, switches, device, dtype)
        self.attn = MultiheadSelfAttention(
            d_model,
            num_heads,
            rope,
            switches=switches,
            place=place,
            implementation=implementation,
            device=device,
            dtype=dtype,
        )
        self.ln2: Any = _norm(d_model, switches, device, dtype)
        self.ffn = _feed_forward(d_model, d_ff, switches, device, dtype)

    def forward(
        self,
        x: Float[Tensor, "... seq d_model"] | Stream,
        token_positions: Int[Tensor, "... seq"] | None = None,
        cache: KeyValueCache | None = None,
        values: Float[Tensor, "... seq d_model"] | None = None,
        skip: Float[Tensor, "... seq d_model"] | None = None,
    ) -> Float[Tensor, "... seq d_model"] | Stream:
        """Shapes: (..., seq, d_model) -> (..., seq, d_model). From a `Stream` it computes a `Stream`, by a kernel.

        `values` are the rows of a table that the layer's values gain, and `skip` is the output of its mirror.
        """
        if skip is not None:
            x = self._with_skip(x, skip)
        if isinstance(x, Stream):
            added, normed = self.ln1(x)
            added, normed = self.ln2(Stream(added, self.attn(normed, token_positions, cache, values)))
            return Stream(added, self.ffn(normed))
        if self.is_post_norm:
            x = self.ln1(x + self.attn(x, token_positions, cache, values))
            return self.ln2(x + self.ffn(x))
        x = x + self.attn(self.ln1(x), token_positions, cache, values)
        return x + self.ffn(self.ln2(x))

    def _with_skip(self, x: Tensor | Stream, skip: Tensor) -> Tensor | Stream:
        """Return x + s skip, in the number format of x."""
        assert self.skip_weight is not None
        whole = total(x)
        whole = whole + (self.skip_weight * skip).to(whole.dtype)
        return Stream(whole) if isinstance(x, Stream) else whole


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
    is_gated = switches.ffn == "swiglu"
    ffn = SwiGLU(d_model, d_ff, device, dtype) if is_gated else FeedForward(d_model, d_ff, switches.ffn, device, dtype)
    if switches.zero_init:
        nn.init.zeros_(ffn.w2.weight)
    return ffn


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
