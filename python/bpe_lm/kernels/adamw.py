"""One AdamW step of many tensors in a few kernels.

`torch.optim.AdamW(fused=True)` calls the same `torch._fused_adamw_`. It passes over the parameters once, where the
formula needs ten passes. torch promises neither its name nor its arguments, so a test compares both.
"""

from __future__ import annotations

import torch
from torch import Tensor


def fused_adamw(
    parameters: list[Tensor],
    gradients: list[Tensor],
    means: list[Tensor],
    mean_squares: list[Tensor],
    steps: list[Tensor],
    *,
    lr: float,
    betas: tuple[float, float],
    eps: float,
    weight_decay: float,
) -> None:
    """Update parameters, both means and the numbers of steps in place. Each of `steps` is one float32."""
    torch._foreach_add_(steps, 1)
    torch._fused_adamw_(
        parameters,
        gradients,
        means,
        mean_squares,
        [],
        steps,
        lr=lr,
        beta1=betas[0],
        beta2=betas[1],
        weight_decay=weight_decay,
        eps=eps,
        amsgrad=False,
        maximize=False,
    )
