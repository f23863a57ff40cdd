"""Clipping of gradients to a norm, in place or within an optimizer's step."""

from __future__ import annotations

from collections.abc import Iterable
from math import isfinite

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import Parameter

from bpe_lm.kernels.norms import norm_of_all, scale_all
from bpe_lm.training.optimizers.base import GuardedOptimizer


@torch.no_grad()
def clip_gradients(parameters: Iterable[Parameter], max_l2_norm: float, eps: float = 1e-6) -> Float[Tensor, ""]:
    """g <- g * min(1, max_l2_norm / (|g| + eps)), with |g| the norm of all gradients together. Returns |g|."""
    gradients = [parameter.grad for parameter in parameters if parameter.grad is not None]
    if not gradients:
        return torch.zeros(())
    norm = norm_of_all(gradients)
    scale_to_norm(gradients, norm, max_l2_norm, eps)
    return norm


def scale_to_norm(gradients: list[Tensor], norm: Float[Tensor, ""], max_l2_norm: float, eps: float = 1e-6) -> None:
    """Multiply gradients in place by min(1, max_l2_norm / (norm + eps)), or by 1 if the norm is not finite.

    A factor that is not finite would spread to every gradient, and hide the parameter where it began.
    """
    factor = torch.clamp(max_l2_norm / (norm + eps), max=1.0)
    scale_all(gradients, torch.where(norm.isfinite(), factor, torch.ones_like(factor)))


def divisor_to_norm(norm: Float[Tensor, ""], max_l2_norm: float, eps: float = 1e-6) -> Float[Tensor, ""]:
    """Return max(1, (norm + eps) / max_l2_norm): gradients divided by it are clipped as by `clip_gradients`."""
    return torch.clamp((norm + eps) / max_l2_norm, min=1.0).float()


def clip_within_step(optimizer: GuardedOptimizer, norm: Float[Tensor, ""], max_l2_norm: float) -> None:
    """Let the next step divide the gradients to a norm, in its own pass.

    On a CPU, where the host may read the norm at any time, gradients that need no clipping are not divided.
    """
    if not isfinite(max_l2_norm):
        optimizer.grad_scale = None
        return
    divisor = divisor_to_norm(norm, max_l2_norm)
    is_one = divisor.device.type == "cpu" and float(divisor) == 1
    optimizer.grad_scale = None if is_one else divisor
