"""x W^T, which is most of a step.

Why not `x @ W.T` alone? In float32 torch gives it to MKL, which does without AVX-512 on processors of AMD: 220 GFLOP/s
on 2 cores of a Zen 5, where oneDNN, which is in torch as well, reaches 500. (Intel's with AVX512-BF16 get it, too; that
was not measured.) In bfloat16 torch takes oneDNN itself.
"""

from __future__ import annotations

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from bpe_lm.kernels import cpu as kernels

_WORTH = 1 << 24
"""Multiplications, from which on a product by oneDNN pays for its longer way there."""

_HAS_ONE_DNN = torch.backends.mkldnn.is_available() and hasattr(torch.ops.mkldnn, "_linear_pointwise")  # type: ignore[no-untyped-call]


def product(x: Float[Tensor, "... d_in"], weight: Float[Tensor, "d_out d_in"]) -> Float[Tensor, "... d_out"]:
    """x W^T. Shapes: (..., d_in) and (d_out, d_in) -> (..., d_out)."""
    is_wide = kernels.take(x) and x.dtype == weight.dtype == torch.float32 and not torch.is_autocast_enabled("cpu")
    if is_wide and _HAS_ONE_DNN and x.numel() * len(weight) >= _WORTH:
        function = _product if kernels.needs_operator() else _one_dnn
        return function(x.reshape(-1, x.shape[-1]), weight).view(*x.shape[:-1], len(weight))
    return x @ weight.T


def _one_dnn(x: Tensor, weight: Tensor) -> Tensor:
    """(rows, d_in) and (d_out, d_in) -> (rows, d_out). oneDNN copies an `x` not in order; rather the smaller."""
    if not x.is_contiguous() and len(weight) < len(x):
        return torch.ops.mkldnn._linear_pointwise(weight, x, None, "none", [], "").T.contiguous()
    return torch.ops.mkldnn._linear_pointwise(x, weight, None, "none", [], "")


@torch.library.custom_op("bpe_lm::product", mutates_args=())
def _product(x: Tensor, weight: Tensor) -> Tensor:
    return _one_dnn(x, weight)


@_product.register_fake
def _(x: Tensor, weight: Tensor) -> Tensor:
    return x.new_empty(len(x), len(weight))


def _save(ctx: Any, inputs: tuple[Tensor, Tensor], output: Tensor) -> None:
    ctx.save_for_backward(*inputs)


def _gradients(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, Tensor | None]:
    x, weight = ctx.saved_tensors
    needs_x, needs_weight = ctx.needs_input_grad
    return (
        _product(gradient, weight.T) if needs_x else None,
        _product(gradient.T, x.T) if needs_weight else None,
    )


_product.register_autograd(_gradients, setup_context=_save)
