"""One AdamW step of many tensors in a few kernels.

`torch.optim.AdamW(fused=True)` calls the same `torch._fused_adamw_`. It passes over the parameters once, where the
formula needs ten passes. torch promises neither its name nor its arguments, so a test compares both.
"""

from __future__ import annotations

import torch
from torch import Tensor


def reads_flags(device: torch.device) -> bool:
    """Return whether the kernel of a device reads `grad_scale` and `found_inf`. Others may ignore both silently."""
    return device.type in ("cpu", "cuda")


def count_step(steps: list[Tensor], found_inf: Tensor | None) -> None:
    """Add 1 to the numbers of steps in place, or 0 if `found_inf` is 1."""
    # As a list: torch reads a tensor that stands for a number from the device (seen with 2.11 on CUDA).
    torch._foreach_add_(steps, 1 if found_inf is None else [1 - found_inf] * len(steps))


def fused_adamw(
    parameters: list[Tensor],
    gradients: list[Tensor],
    means: list[Tensor],
    mean_squares: list[Tensor],
    steps: list[Tensor],
    *,
    lr: float | Tensor,
    betas: tuple[float, float],
    eps: float,
    weight_decay: float,
    grad_scale: Tensor | None = None,
    found_inf: Tensor | None = None,
) -> None:
    """Update parameters, both means and the numbers of steps in place. Each of `steps` is one float32.

    Args:
        parameters: The weights.
        gradients: Their gradients, which are divided by `grad_scale` in place.
        means: The running means of gradients.
        mean_squares: The running means of squared gradients.
        steps: The number of steps of each parameter.
        lr: The learning rate; one float32 on the device lets a CUDA graph have another in each replay.
        betas: The weights of the old value in both running means.
        eps: The number that is added to the root of the mean square.
        weight_decay: The decay of the weights, in learning rates.
        grad_scale: One float32, by which the kernel divides gradients before it uses them.
        found_inf: One float32. If it is 1, nothing changes, not even `steps`; the host does not read it.
    """
    count_step(steps, found_inf)
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
        grad_scale=grad_scale,
        found_inf=found_inf,
    )
