"""Attention: softmax(Q K^T / sqrt(d_k)) V. Vaswani et al. 2017, arXiv:1706.03762.

Each function is written as its formula. With `implementation="fast"`, a faster form in `bpe_lm.kernels.attention`
computes the same.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import inf
from typing import Any

import torch
from einops import einsum, rearrange
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from bpe_lm.kernels.attention import causal_mask, fast_causal_attention, fused_attention, supports_fused_attention
from bpe_lm.kernels.implementation import Implementation
from bpe_lm.kernels.linear import linear, linear_of_rows
from bpe_lm.kernels.rotation import split_and_rotate, supports_split_and_rotate
from bpe_lm.model.config import COURSE, FIRST, Place, Switches
from bpe_lm.model.layers import Device, Linear, RotaryPositionalEmbedding, initialize_linear, unit_rms


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
    """softmax(Q K^T / sqrt(d_k)) V, where `mask` is True at the keys that a query sees.

    A query that sees no key gets zeros.
    """
    scores = einsum(Q, K, "... q d, ... k d -> ... q k") / Q.shape[-1] ** 0.5
    if mask is None:
        return einsum(softmax(scores, -1), V, "... q k, ... k d -> ... q d")
    sees_any = mask.any(-1, keepdim=True)
    # A row that is all -inf has no softmax. Such a row keeps its scores, and its weights become 0.
    weights = softmax(scores.masked_fill(~mask & sees_any, -inf), -1).masked_fill(~sees_any, 0)
    return einsum(weights, V, "... q k, ... k d -> ... q d")


def causal_attention(
    Q: Float[Tensor, "... queries d_k"],
    K: Float[Tensor, "... keys d_k"],
    V: Float[Tensor, "... keys d_v"],
    *,
    reach: int = 0,
    implementation: Implementation = "fast",
) -> Float[Tensor, "... queries d_v"]:
    """Compute attention where the queries are a text's last tokens: query i sees keys 0 .. i + (keys - queries).

    With a `reach` above 0, it sees the last `reach` of these.
    """
    if implementation == "fast":
        return fast_causal_attention(Q, K, V, reach)
    return scaled_dot_product_attention(Q, K, V, causal_mask(Q.shape[-2], K.shape[-2], Q.device, reach))


@dataclass
class KeyValueCache:
    """The keys and values of a layer. Shapes: (batch, head, context_length, d_k); the first `length` are in use."""

    keys: Tensor
    values: Tensor
    length: int = 0

    def append(self, keys: Tensor, values: Tensor) -> tuple[Tensor, Tensor]:
        """Append the keys and values of new tokens. Returns those of all tokens so far."""
        end = self.length + keys.shape[-2]
        self.keys[..., self.length : end, :] = keys
        self.values[..., self.length : end, :] = values
        self.length = end
        return self.keys[..., :end, :], self.values[..., :end, :]


PROJECTIONS = ("q_proj", "k_proj", "v_proj")
"""The names of the parts of `qkv_proj` in a state dict."""

JOINED = "qkv_proj.weight"


class JoinedLinear(nn.Module):
    """y = (W_1 x, ..., W_n x), one after another, for square matrices that begin as those of `Linear` do."""

    def __init__(self, d_model: int, number: int, device: Device = None, dtype: torch.dtype | None = None):
        super().__init__()
        self.weight = nn.Parameter(torch.empty(number * d_model, d_model, device=device, dtype=dtype))
        for part in self.weight.data.chunk(number):
            initialize_linear(part)

    def forward(self, x: Float[Tensor, "... d_model"]) -> Float[Tensor, "... d_out"]:
        """Shapes: (..., d_model) -> (..., number d_model)."""
        return linear(x, self.weight)


def _split_in_state(module: nn.Module, state: dict[str, Any], prefix: str, local_metadata: Any) -> None:
    """Replace the joined weight of a state dict by its parts, at its place."""
    output = [(name, state.pop(name)) for name in list(state) if name.startswith(f"{prefix}output_proj.")]
    state.update(zip(_part_names(prefix), state.pop(f"{prefix}{JOINED}").chunk(len(PROJECTIONS)), strict=True))
    state.update(output)


def _join_in_state(module: nn.Module, state: dict[str, Any], prefix: str, *_: Any) -> None:
    """Replace the parts by the joined weight. Parts that are missing or have other shapes are left, for the error."""
    join_projections(state, f"{prefix}{JOINED}")


def join_projections(state: dict[str, Any], name: str) -> None:
    """Replace the parts of a joined weight in a state by that weight, if they are there and have the same shape."""
    parts = _part_names(name.removesuffix(JOINED))
    tensors = [state[part] for part in parts if part in state]
    if len(tensors) == len(parts) and len({tensor.shape for tensor in tensors}) == 1:
        state[name] = torch.cat(tensors)
        for part in parts:
            del state[part]


def _part_names(prefix: str) -> list[str]:
    return [f"{prefix}{name}.weight" for name in PROJECTIONS]


class MultiheadSelfAttention(nn.Module):
    """Causal self-attention: W_O concat(head_1, ..., head_h), where head_i = Attention(W_Q^i x, W_K^i x, W_V^i x).

    With `qk_norm`, queries W_Q^i x and keys W_K^i x are divided by their root mean square. With `rope`, they are then
    rotated. In a layer with a table of value embeddings, the values become a W_V^i x + b e^i. There e is the table's
    row of the token, and a and b are learned and begin at 1/2, after Zhou et al. 2024, arXiv:2410.17897, whose e is the
    first layer's values. W_Q, W_K and W_V are one parameter, `qkv_proj`, so that one product computes all three; the
    state dict has `q_proj`, `k_proj` and `v_proj`.
    """

    def __init__(
        self,
        d_model: int,
        num_heads: int,
        rope: RotaryPositionalEmbedding | None = None,
        *,
        switches: Switches = COURSE,
        place: Place = FIRST,
        implementation: Implementation = "fast",
        device: Device = None,
        dtype: torch.dtype | None = None,
    ):
        super().__init__()
        if d_model % num_heads:
            raise ValueError(f"d_model is {d_model}, which {num_heads} heads cannot share; make it a multiple")
        self.num_heads, self.rope, self.switches, self.implementation = num_heads, rope, switches, implementation
        self.qkv_proj = JoinedLinear(d_model, len(PROJECTIONS), device, dtype)
        self.output_proj = Linear(d_model, d_model, device, dtype)
        if switches.zero_init:
            nn.init.zeros_(self.output_proj.weight)
        self.reach = place.reach
        has_table = place.table is not None
        self.value_mix = nn.Parameter(torch.full((2,), 0.5, device=device, dtype=dtype)) if has_table else None
        self.register_state_dict_post_hook(_split_in_state)  # type: ignore[no-untyped-call]
        self.register_load_state_dict_pre_hook(_join_in_state)  # type: ignore[no-untyped-call]

    def forward(
        self,
        x: Float[Tensor, "... seq d_model"],
        token_positions: Int[Tensor, "... seq"] | None = None,
        cache: KeyValueCache | None = None,
        values: Float[Tensor, "... seq d_model"] | None = None,
    ) -> Float[Tensor, "... seq d_model"]:
        """Shapes: (..., seq, d_model) -> (..., seq, d_model). The default positions are 0, 1, ..., seq - 1.

        A layer with a table gets the table's rows of the tokens as `values`.
        """
        if token_positions is None:
            token_positions = torch.arange(x.shape[-2], device=x.device)
        if cache is None:
            heads = self._heads(x, token_positions, values)
        else:
            heads = self._heads_with_cache(x, token_positions, values, cache)
        return self.output_proj(rearrange(heads, "... seq h d -> ... seq (h d)"))

    def _heads(self, x: Tensor, token_positions: Tensor, values: Tensor | None) -> Float[Tensor, "... seq h d_k"]:
        """Compute queries, keys and values by one product, and attend."""
        qkv = self._queries_keys_values(linear_of_rows(x, self.qkv_proj.weight), values)
        if self.implementation == "fast" and token_positions.shape == x.shape[-2:-1]:
            angles = self.rope.angles(token_positions) if self.rope else (None, None)
            if supports_fused_attention(qkv):
                return fused_attention(qkv, angles[0], angles[1], self.reach)
            if supports_split_and_rotate(qkv):
                return self._attend(*split_and_rotate(qkv, *angles))
        q, k, v = rearrange(qkv, "... seq three h d -> three ... h seq d")
        return self._attend(*self._rotate(q, k, token_positions), v)

    def _heads_with_cache(
        self, x: Tensor, token_positions: Tensor, values: Tensor | None, cache: KeyValueCache
    ) -> Float[Tensor, "... seq h d_k"]:
        """Compute queries, keys and values of the new tokens, and attend to those of all tokens."""
        qkv = self._queries_keys_values(self.qkv_proj(x), values)
        q, k, v = rearrange(qkv, "... seq three h d -> three ... h seq d")
        q, k = self._rotate(q, k, token_positions)
        return self._attend(q, *cache.append(k, v))

    def _queries_keys_values(self, products: Tensor, values: Tensor | None) -> Float[Tensor, "... seq three h d_k"]:
        """Split the product of `qkv_proj` into heads, as they are before the rotation."""
        qkv = rearrange(products, "... seq (three h d) -> ... seq three h d", three=3, h=self.num_heads)
        if not self.switches.qk_norm and values is None:
            return qkv
        q_and_k, v = qkv[..., :2, :, :], qkv[..., 2:, :, :]
        if self.switches.qk_norm:
            q_and_k = unit_rms(q_and_k)
        if values is not None:
            v = self._mixed(v, rearrange(values, "... seq (one h d) -> ... seq one h d", one=1, h=self.num_heads))
        return torch.cat((q_and_k, v), -3)

    def _mixed(self, v: Tensor, rows: Tensor) -> Tensor:
        """a v + b rows, with the learned a and b, in the number format of `v`."""
        assert self.value_mix is not None
        a, b = self.value_mix
        return (a * v + b * rows.to(v.dtype)).to(v.dtype)

    def _rotate(self, q: Tensor, k: Tensor, token_positions: Tensor) -> tuple[Tensor, Tensor]:
        if self.rope is None:
            return q, k
        return self.rope(q, token_positions), self.rope(k, token_positions)

    def _attend(self, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        return causal_attention(q, k, v, reach=self.reach, implementation=self.implementation).transpose(-2, -3)
