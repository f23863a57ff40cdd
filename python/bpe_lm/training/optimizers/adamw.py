"""AdamW, by its formula and by a fused kernel."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.nn import Parameter

from bpe_lm.kernels.adamw import fused_adamw, reads_flags
from bpe_lm.kernels.implementation import Implementation
from bpe_lm.training.optimizers.base import Closure, GuardedOptimizer, Parameters, check_not_negative, evaluated
from bpe_lm.training.sharded import local_shard


class AdamW(GuardedOptimizer):
    """m <- b1 m + (1 - b1) g,  v <- b2 v + (1 - b2) g^2,  theta <- theta (1 - lr wd) - lr m^ / (sqrt(v^) + eps).

    m^ = m / (1 - b1^t) and v^ = v / (1 - b2^t). Loshchilov & Hutter 2017, arXiv:1711.05101. `implementation="fast"`
    passes over the parameters once instead of ten times, with torch's fused kernel, which also divides by `grad_scale`
    and looks at `found_inf`.
    """

    def __init__(
        self,
        params: Parameters,
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.01,
        *,
        implementation: Implementation = "fast",
    ):
        check_not_negative(lr=lr, eps=eps, weight_decay=weight_decay)
        if not all(0 <= beta < 1 for beta in betas):
            raise ValueError(f"betas are {betas}, and must be at least 0 and below 1")
        super().__init__(params, {"lr": lr, "betas": betas, "eps": eps, "weight_decay": weight_decay})
        self.implementation = implementation

    @torch.no_grad()
    def step(self, closure: Closure | None = None) -> float | None:  # type: ignore[override]
        """Update each parameter that has a gradient. Returns the result of `closure`."""
        loss = evaluated(closure)
        if not self._kernel_reads_flags() and not self.may_step():
            return loss
        for group in self.param_groups:
            parameters = [parameter for parameter in group["params"] if parameter.grad is not None]
            if parameters:
                self._update(group, parameters)
        return loss

    def _update(self, group: dict[str, Any], parameters: list[Parameter]) -> None:
        """Update parameters of a group, each of which has a gradient."""
        for parameter in parameters:
            self._begin_state(parameter)
        (self._step_fast if self.implementation == "fast" else self._step_reference)(group, parameters)

    def _kernel_reads_flags(self) -> bool:
        return self.implementation == "fast" and reads_flags(self.param_groups[0]["params"][0].device)

    def flags(self) -> tuple[Tensor | None, Tensor | None]:
        """Return `grad_scale` and `found_inf`, as far as `may_step` has not done what they say."""
        return (self.grad_scale, self.found_inf) if self._kernel_reads_flags() else (None, None)

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Set the state, and move the numbers of steps to the parameters' device: it may have been saved on another."""
        super().load_state_dict(state_dict)
        for parameter, state in self.state.items():
            if "step" in state:
                state["step"] = torch.as_tensor(state["step"], dtype=torch.float32, device=parameter.device)

    def _begin_state(self, parameter: Parameter) -> None:
        """Create t, m and v of a parameter before its first step."""
        state = self.state[parameter]
        if not state:
            state["step"] = torch.zeros((), dtype=torch.float32, device=parameter.device)
            state["exp_avg"] = torch.zeros_like(parameter)
            state["exp_avg_sq"] = torch.zeros_like(parameter)

    def _step_reference(self, group: dict[str, Any], parameters: list[Parameter]) -> None:
        (beta1, beta2), lr = group["betas"], group["lr"]
        for parameter in parameters:
            g, state = parameter.grad, self.state[parameter]
            assert g is not None
            m, v = state["exp_avg"], state["exp_avg_sq"]
            state["step"] += 1
            t = int(state["step"])
            parameter.mul_(1 - lr * group["weight_decay"])
            m.copy_(beta1 * m + (1 - beta1) * g)
            v.copy_(beta2 * v + (1 - beta2) * g.square())
            m_hat, v_hat = m / (1 - beta1**t), v / (1 - beta2**t)
            parameter.sub_(lr * m_hat / (v_hat.sqrt() + group["eps"]))

    def _step_fast(self, group: dict[str, Any], parameters: list[Parameter]) -> None:
        states = [self.state[parameter] for parameter in parameters]
        grad_scale, found_inf = self.flags()
        fused_adamw(
            [local_shard(parameter.data) for parameter in parameters],
            [local_shard(parameter.grad) for parameter in parameters if parameter.grad is not None],
            [local_shard(state["exp_avg"]) for state in states],
            [local_shard(state["exp_avg_sq"]) for state in states],
            [state["step"] for state in states],
            lr=self.rate_of(group),
            betas=group["betas"],
            eps=group["eps"],
            weight_decay=group["weight_decay"],
            grad_scale=grad_scale,
            found_inf=found_inf,
        )
