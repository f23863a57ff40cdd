"""The layers of the model, each with its formula. Initial weights are the course's; no layer has a bias.

`linear` and `embedding` compute their formula by the fastest form for a device: see `bpe_lm.kernels`.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from einops import einsum, rearrange
from jaxtyping import Float, Int
from torch import Tensor, nn

from bpe_lm.kernels.add_norm import add_norm, supports_add_norm
from bpe_lm.kernels.embedding import embedding
from bpe_lm.kernels.layers import fused_rms_norm, fused_silu, has_fused_layers
from bpe_lm.kernels.linear import linear
from bpe_lm.kernels.swiglu import fused_swiglu, supports_swiglu

Device = torch.device | str | None

EPS = 1e-5
"""The default `eps` of RMSNorm, which is added to the mean of squares."""


def silu(x: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
    """x * sigmoid(x). Elfwing et al. 2017, arXiv:1702.03118."""
    return fused_silu(x) if has_fused_layers(x) else x * torch.sigmoid(x)


def initialize_linear(weight: Float[Tensor, "d_out d_in"]) -> None:
    """Draw weights from N(0, 2 / (d_in + d_out)) truncated at 3 standard deviations."""
    std = (2 / sum(weight.shape)) ** 0.5
    nn.init.trunc_normal_(weight, std=std, a=-3 * std, b=3 * std)


class Linear(nn.Module):
    """y = W x, where W starts from N(0, 2 / (d_in + d_out)) truncated at 3 standard deviations."""

    def __init__(self, in_features: int, out_features: int, device: Device = None, dtype: torch.dtype | None = None):
        super().__init__()
        self.weight = nn.Parameter(torch.empty(out_features, in_features, device=device, dtype=dtype))
        initialize_linear(self.weight)

    def forward(self, x: Float[Tensor, "... d_in"]) -> Float[Tensor, "... d_out"]:
        """Shapes: (..., d_in) -> (..., d_out)."""
        return linear(x, self.weight)


class Embedding(nn.Module):
    """y = W[id], where W starts from N(0, 1) truncated at 3."""

    def __init__(
        self, num_embeddings: int, embedding_dim: int, device: Device = None, dtype: torch.dtype | None = None
    ):
        super().__init__()
        self.weight = nn.Parameter(torch.empty(num_embeddings, embedding_dim, device=device, dtype=dtype))
        nn.init.trunc_normal_(self.weight, a=-3, b=3)

    def forward(self, token_ids: Int[Tensor, "*shape"]) -> Float[Tensor, "... d_model"]:
        """Shapes: (...) -> (..., d_model)."""
        return embedding(self.weight, token_ids)


class Stream(NamedTuple):
    """A residual stream: `x` and a branch that is not yet added, because the next norm adds it in its own pass."""

    x: Tensor
    branch: Tensor | None = None


def total(x: Tensor | Stream) -> Tensor:
    """Return a residual stream with its branch added."""
    if not isinstance(x, Stream):
        return x
    return x.x if x.branch is None else x.x + x.branch


class RMSNorm(nn.Module):
    """y = x / sqrt(mean(x^2) + eps) * weight, computed in float32. Zhang & Sennrich 2019, arXiv:1910.07467."""

    def __init__(self, d_model: int, eps: float = EPS, device: Device = None, dtype: torch.dtype | None = None):
        super().__init__()
        self.eps = eps
        self.weight = nn.Parameter(torch.ones(d_model, device=device, dtype=dtype))

    def forward(
        self, x: Float[Tensor, "... d_model"] | Stream
    ) -> Float[Tensor, "... d_model"] | tuple[Float[Tensor, "... d_model"], Float[Tensor, "... d_model"]]:
        """Shapes: (..., d_model) -> (..., d_model). The result has the number format of `x`.

        From a `Stream`, a kernel computes the stream with its branch added, and the norm of that in bfloat16.
        """
        if isinstance(x, Stream):
            return add_norm(x.x, x.branch, self.weight, self.eps)
        if has_fused_layers(x):
            return fused_rms_norm(x, self.weight, self.eps)
        return (_quotient(x, self.eps) * self.weight).to(x.dtype)

    def takes_streams(self, x: Float[Tensor, "... d_model"]) -> bool:
        """Return whether a kernel takes `Stream(x)`: in a run in bfloat16 on a CPU, for a stream in float32."""
        return supports_add_norm(x, self.weight)


def _quotient(x: Tensor, eps: float) -> Tensor:
    """x / sqrt(mean(x^2) + eps) over the last dimension, in float32 at least."""
    wide = x.to(torch.promote_types(x.dtype, torch.float32))
    return wide * torch.rsqrt(wide.square().mean(-1, keepdim=True) + eps)


def unit_rms(x: Float[Tensor, "... d_k"], eps: float = EPS) -> Float[Tensor, "... d_k"]:
    """x / sqrt(mean(x^2) + eps): RMSNorm without weights. Of queries and keys: Henry et al. 2020, arXiv:2010.04245."""
    return fused_rms_norm(x, None, eps) if has_fused_layers(x) else _quotient(x, eps).to(x.dtype)


def soft_capped(logits: Float[Tensor, "*shape"], cap: float) -> Float[Tensor, "*shape"]:
    """cap tanh(logits / cap), between -cap and cap; with a cap of 0 the logits. Gemma Team 2024, arXiv:2408.00118."""
    return cap * torch.tanh(logits / cap) if cap else logits


class SwiGLU(nn.Module):
    """y = W2 (silu(W1 x) * W3 x), usually with d_ff near 8/3 d_model. Shazeer 2020, arXiv:2002.05202."""

    def __init__(self, d_model: int, d_ff: int, device: Device = None, dtype: torch.dtype | None = None):
        super().__init__()
        self.w1 = Linear(d_model, d_ff, device, dtype)
        self.w2 = Linear(d_ff, d_model, device, dtype)
        self.w3 = Linear(d_model, d_ff, device, dtype)

    def forward(self, x: Float[Tensor, "... d_model"]) -> Float[Tensor, "... d_model"]:
        """Shapes: (..., d_model) -> (..., d_model)."""
        if supports_swiglu(x, self.w1.weight, self.w3.weight):
            return self.w2(fused_swiglu(x, self.w1.weight, self.w3.weight))
        return self.w2(silu(self.w1(x)) * self.w3(x))


class FeedForward(nn.Module):
    """y = W2 f(W1 x), where f is silu, or relu squared ("relu2": So et al. 2021, arXiv:2109.08668)."""

    def __init__(
        self, d_model: int, d_ff: int, activation: str, device: Device = None, dtype: torch.dtype | None = None
    ):
        super().__init__()
        self.activation = activation
        self.w1 = Linear(d_model, d_ff, device, dtype)
        self.w2 = Linear(d_ff, d_model, device, dtype)

    def forward(self, x: Float[Tensor, "... d_model"]) -> Float[Tensor, "... d_model"]:
        """Shapes: (..., d_model) -> (..., d_model)."""
        hidden = self.w1(x)
        return self.w2(silu(hidden) if self.activation == "silu" else torch.relu(hidden).square())


class RotaryPositionalEmbedding(nn.Module):
    """Rotate the pair (x_2k, x_2k+1) at position i by i * theta^(-2k / d_k). Su et al. 2021, arXiv:2104.09864."""

    cos: Tensor
    sin: Tensor

    def __init__(self, theta: float, d_k: int, max_seq_len: int, device: Device = None):
        super().__init__()
        if d_k % 2:
            raise ValueError(f"rotary embeddings rotate pairs, and d_k is {d_k}; make d_model / num_heads even")
        frequencies = theta ** (-torch.arange(0, d_k, 2, dtype=torch.float64) / d_k)
        angles = einsum(torch.arange(max_seq_len, dtype=torch.float64), frequencies, "i, k -> i k")
        self.register_buffer("cos", angles.cos().float().to(device), persistent=False)
        self.register_buffer("sin", angles.sin().float().to(device), persistent=False)

    def forward(
        self, x: Float[Tensor, "... seq d_k"], token_positions: Int[Tensor, "... seq"]
    ) -> Float[Tensor, "... seq d_k"]:
        """Shapes: (..., seq, d_k) and (..., seq) -> (..., seq, d_k).

        Positions are below `max_seq_len`, in any order. Their leading dimensions broadcast against those of `x`.
        """
        cos, sin = self.angles(token_positions)
        if x.ndim > cos.ndim > 2:  # (batch, seq) against (batch, head, seq, d_k)
            cos, sin = (rearrange(table, "... seq k -> ... 1 seq k") for table in (cos, sin))
        return rotate(x, cos, sin)

    def angles(self, token_positions: Int[Tensor, "... seq"]) -> tuple[Tensor, Tensor]:
        """Return cos and sin of i * theta^(-2k / d_k). Shapes: (..., seq) -> (..., seq, d_k / 2) twice."""
        return self.cos[token_positions], self.sin[token_positions]


def rotate(
    x: Float[Tensor, "... seq d_k"], cos: Float[Tensor, "... seq half"], sin: Float[Tensor, "... seq half"]
) -> Float[Tensor, "... seq d_k"]:
    """(a, b) -> (a cos - b sin, a sin + b cos) for each pair, computed in float32.

    The result has the number format of `x`.
    """
    a, b = rearrange(x, "... (k two) -> ... k two", two=2).unbind(-1)
    rotated = torch.stack((a * cos - b * sin, a * sin + b * cos), dim=-1)
    return rearrange(rotated, "... k two -> ... (k two)").to(x.dtype)
