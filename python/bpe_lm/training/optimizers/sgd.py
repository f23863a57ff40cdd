"""The course's first optimizer."""

from __future__ import annotations

import torch

from bpe_lm.training.optimizers.base import Closure, GuardedOptimizer, Parameters, check_not_negative, evaluated


class SGD(GuardedOptimizer):
    """theta <- theta - lr / sqrt(t + 1) * gradient, for t = 0, 1, ...: the course's first example."""

    def __init__(self, params: Parameters, lr: float = 1e-3):
        check_not_negative(lr=lr)
        super().__init__(params, {"lr": lr})

    @torch.no_grad()
    def step(self, closure: Closure | None = None) -> float | None:  # type: ignore[override]
        """Update each parameter that has a gradient. Returns the result of `closure`."""
        loss = evaluated(closure)
        if not self.may_step():
            return loss
        for group in self.param_groups:
            for parameter in group["params"]:
                if parameter.grad is None:
                    continue
                state = self.state[parameter]
                t = state.get("t", 0)
                parameter.sub_(group["lr"] / (t + 1) ** 0.5 * parameter.grad)
                state["t"] = t + 1
        return loss
