"""What all optimizers have in common. They work on the tensors of one process, whole or shards."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from inspect import unwrap
from typing import Any

import torch
from torch import Tensor
from torch.nn import Parameter

from bpe_lm.kernels.norms import divide_all
from bpe_lm.training.sharded import local_shard

Closure = Callable[[], float]

Parameters = Iterable[Parameter] | Iterable[dict[str, Any]]
"""The parameters of an optimizer, or groups of them with options of their own."""


class GuardedOptimizer(torch.optim.Optimizer):
    """An optimizer whose next steps can be scaled and refused by numbers that stay on the device.

    `grad_scale` is one float32 by which `step` divides the gradients, in place. `found_inf` is one float32: if it is 1,
    `step` changes no weight, no state and no counter. Both names are torch's. `learning_rate` is one float32, the rate
    of the schedule, which takes the place of the groups' `lr`, so that a CUDA graph can have another in each replay.
    None switches them off.

    A group may have `rate`, the factor of the schedule's rate that it takes; without it, the factor is 1.
    """

    grad_scale: Tensor | None = None
    found_inf: Tensor | None = None
    learning_rate: Tensor | None = None

    # Around these torch puts a function that keeps its compiler out, and imports it for that: two seconds.
    add_param_group = unwrap(torch.optim.Optimizer.add_param_group)
    zero_grad = unwrap(torch.optim.Optimizer.zero_grad)
    state_dict = unwrap(torch.optim.Optimizer.state_dict)
    load_state_dict = unwrap(torch.optim.Optimizer.load_state_dict)

    def set_learning_rate(self, learning_rate: float) -> None:
        """Set the rate of the schedule. Each group takes its factor of it."""
        for group in self.param_groups:
            group["lr"] = learning_rate * group.get("rate", 1.0)
        if self.learning_rate is not None:
            self.learning_rate.fill_(learning_rate)

    def rate_of(self, group: dict[str, Any]) -> float | Tensor:
        """Return the rate of a group, on the device where the schedule's is."""
        factor = group.get("rate", 1.0)
        if self.learning_rate is None:
            rate: float = group["lr"]
            return rate
        return self.learning_rate if factor == 1 else self.learning_rate * factor

    def may_step(self) -> bool:
        """Read `found_inf`, and return whether the step may change anything. If so, divide the gradients."""
        if self.found_inf is not None and bool(self.found_inf):
            return False
        if self.grad_scale is not None:
            parameters = (parameter for group in self.param_groups for parameter in group["params"])
            divide_all([local_shard(p.grad) for p in parameters if p.grad is not None], self.grad_scale)
        return True


def evaluated(closure: Closure | None) -> float | None:
    """Return the loss of a closure, which computes gradients."""
    if closure is None:
        return None
    with torch.enable_grad():
        return closure()


def check_not_negative(**values: float) -> None:
    """Refuse options below 0, or that are not numbers.

    Raises:
        ValueError: One is.
    """
    for name, value in values.items():
        if not value >= 0:
            raise ValueError(f"{name} is {value}, and must not be negative")
