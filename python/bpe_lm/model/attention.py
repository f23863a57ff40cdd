"""Attention: softmax(Q K^T / sqrt(d_k)) V. Vaswani et al. 2017, arXiv:1706.03762."""

from __future__ import annotations

from dataclasses import dataclass
from math import inf

import torch
from einops import einsum, rearrange
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from torch.nn import functional

from bpe_lm.kernels.attention import attend, can_attend
from bpe_lm.kernels.implementation import Implementation
from bpe_lm.kernels.linear import product
from bpe_lm.model.layers import Device, Linear, RotaryPositionalEmbedding


def softmax(x: Float[Tensor, "*shape"], dim: int) -> Float[Tensor, "*shape"]:
    """exp(x_i - max x) / sum_j exp(x_j - max x) along `dim`."""
    exponentials = torch.exp(x - x.amax(dim, keepdim=True))
    return exponentials / exponentials.sum(dim, keepdim=True)


def scaled_dot_product_attention(
    Q: Float[Tensor, "... queries d_k"],
    K: Float[Tensor, "... keys d_k"],
    V: Float[Tensor, "... keys d_v"],
    mask: Bool[Tensor, "... queries keys"] | None = None,
) -> Float[Tensor, "... queries d_v"]:
    """softmax(Q K^T / sqrt(d_k)) V, where `mask` is True at the keys that a query sees. One that sees none gets 0."""
    scores = einsum(Q, K, "... q d, ... k d -> ... q k") / Q.shape[-1] ** 0.5
    if mask is None:
        return einsum(softmax(scores, -1), V, "... q k, ... k d -> ... q d")
    sees_any = mask.any(-1, keepdim=True)
    # A row of -inf alone has no softmax; its scores do not matter.
    weights = softmax(scores.masked_fill(~mask & sees_any, -inf), -1).masked_fill(~sees_any, 0)
    return einsum(weights, V, "... q k, ... k d -> ... q d")


def causal_attention(
    Q: Float[Tensor, "... queries d_k"],
    K: Float[Tensor, "... keys d_k"],
    V: Float[Tensor, "... keys d_v"],
    *,
    implementation: Implementation = "fast",
) -> Float[Tensor, "... queries d_v"]:
    """Attention of the last tokens to all: query i of n sees the keys up to number i + (keys - queries)."""
    queries, keys = Q.shape[-2], K.shape[-2]
    if implementation == "fast" and queries in (1, keys):
        return functional.scaled_dot_product_attention(Q, K, V, is_causal=queries > 1)
    mask = torch.ones(queries, keys, dtype=torch.bool, device=Q.device).tril(keys - queries)
    if implementation == "fast":
        return functional.scaled_dot_product_attention(Q, K, V, attn_mask=mask)
    return scaled_dot_product_attention(Q, K, V, mask)


@dataclass
class KeyValueCache:
    """A layer's keys and values so far: (batch, head, context_length, d_k), of which `length` are there."""

    keys: Tensor
    values: Tensor
    length: int = 0

    def append(self, keys: Tensor, values: Tensor) -> tuple[Tensor, Tensor]:
        """Add those of new tokens; all that are there now."""
        end = self.length + keys.shape[-2]
        self.keys[..., self.length : end, :] = keys
        self.values[..., self.length : end, :] = values
        self.length = end
        return self.keys[..., :end, :], self.values[..., :end, :]


class MultiheadSelfAttention(nn.Module):
    """Causal: concat(head_1 .. head_h) W_O, where head_i = Attention(W_Q^i x, W_K^i x, W_V^i x)."""

    def __init__(
        self,
        d_model: int,
        num_heads: int,
        rope: RotaryPositionalEmbedding | None = None,
        *,
        implementation: Implementation = "fast",
        device: Device = None,
        dtype: torch.dtype | None = None,
    ):
        super().__init__()
        if d_model % num_heads:
            raise ValueError(f"d_model is {d_model}, which {num_heads} heads cannot share; make it a multiple")
        self.num_heads, self.rope, self.implementation = num_heads, rope, implementation
        self.q_proj = Linear(d_model, d_model, device, dtype)
        self.k_proj = Linear(d_model, d_model, device, dtype)
        self.v_proj = Linear(d_model, d_model, device, dtype)
        self.output_proj = Linear(d_model, d_model, device, dtype)

    def forward(
        self,
        x: Float[Tensor, "... seq d_model"],
        token_positions: Int[Tensor, "... seq"] | None = None,
        cache: KeyValueCache | None = None,
    ) -> Float[Tensor, "... seq d_model"]:
        """Shapes: (..., seq, d_model) -> (..., seq, d_model). Positions are 0, 1, ... if they are not given."""
        if token_positions is None:
            token_positions = torch.arange(x.shape[-2], device=x.device)
        if cache is None:
            heads = self._attend_to_itself(x, token_positions)
        else:
            heads = self._attend_to_cache(x, token_positions, cache)
        return self.output_proj(rearrange(heads, "... seq h d -> ... seq (h d)"))

    def _attend_to_itself(self, x: Tensor, token_positions: Tensor) -> Float[Tensor, "... seq h d_k"]:
        """Queries, keys and values by one product."""
        weights = torch.cat([self.q_proj.weight, self.k_proj.weight, self.v_proj.weight])
        qkv = rearrange(product(x, weights), "... seq (three h d) -> ... seq three h d", three=3, h=self.num_heads)
        if self.implementation == "fast" and token_positions.shape == x.shape[-2:-1] and can_attend(qkv):
            return attend(qkv, *(self.rope.angles(token_positions) if self.rope else (None, None)))
        q, k, v = rearrange(qkv, "... seq three h d -> three ... h seq d")
        return self._attend(*self._turn(q, k, token_positions), v)

    def _attend_to_cache(
        self, x: Tensor, token_positions: Tensor, cache: KeyValueCache
    ) -> Float[Tensor, "... seq h d_k"]:
        """Three products, which for one token are faster."""
        parts = (proj(x).unflatten(-1, (self.num_heads, -1)) for proj in (self.q_proj, self.k_proj, self.v_proj))
        q, k, v = (part.transpose(-2, -3) for part in parts)
        q, k = self._turn(q, k, token_positions)
        return self._attend(q, *cache.append(k, v))

    def _turn(self, q: Tensor, k: Tensor, token_positions: Tensor) -> tuple[Tensor, Tensor]:
        if self.rope is None:
            return q, k
        return self.rope(q, token_positions), self.rope(k, token_positions)

    def _attend(self, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        return causal_attention(q, k, v, implementation=self.implementation).transpose(-2, -3)
