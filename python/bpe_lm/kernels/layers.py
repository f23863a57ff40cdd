"""Layers by torch's fused operators, for a GPU. On a CPU, `bpe_lm.model.layers` computes their formulas.

A compiler fuses the formulas by itself, and these operators too, so that they are for steps without a compiler.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from bpe_lm.kernels.simulated import kind_of


def has_fused_layers(x: Tensor) -> bool:
    """Return whether the fused operators are used for the tensor's device."""
    return kind_of(x) == "cuda"


def fused_rms_norm(x: Tensor, weight: Tensor | None, eps: float) -> Tensor:
    """Return x / sqrt(mean(x^2) + eps) * weight, computed in float32 at least, in the number format of `x`.

    Without a weight the quotient is the result.

    torch's operator is fused only for an input and a weight of one format. Of a bfloat16 input and a float32 weight it
    would round the quotient to bfloat16 before the multiplication, and return float32. So a narrow input is widened.
    """
    if weight is None:
        return functional.rms_norm(x, (x.shape[-1],), None, eps)
    wide = torch.promote_types(x.dtype, torch.float32)
    return functional.rms_norm(x.to(wide), (x.shape[-1],), weight.to(wide), eps).to(x.dtype)


def fused_silu(x: Tensor) -> Tensor:
    """Return x * sigmoid(x), computed in float32 at least, in the number format of `x`."""
    return functional.silu(x)
