"""Optimizers, and the clipping of gradients. They work on the tensors of one process, whole or shards."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from math import isfinite
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import Parameter

from bpe_lm.kernels.adamw import fused_adamw, reads_flags
from bpe_lm.kernels.implementation import Implementation
from bpe_lm.kernels.norms import divide_all, norm_of_all, scale_all
from bpe_lm.model.transformer import TransformerLM
from bpe_lm.training.config import TrainConfig
from bpe_lm.training.sharded import local_shard

Closure = Callable[[], float]


class GuardedOptimizer(torch.optim.Optimizer):
    """An optimizer whose next steps can be scaled and refused by numbers that stay on the device.

    `grad_scale` is one float32 by which `step` divides the gradients, in place. `found_inf` is one float32: if it is 1,
    `step` changes no weight, no state and no counter. Both names are torch's. `learning_rate` is one float32 that takes
    the place of the groups' `lr` in AdamW's fused kernel. None switches them off.
    """

    grad_scale: Tensor | None = None
    found_inf: Tensor | None = None
    learning_rate: Tensor | None = None

    def _may_step(self) -> bool:
        """Read `found_inf`, and return whether the step may change anything. If so, divide the gradients."""
        if self.found_inf is not None and bool(self.found_inf):
            return False
        if self.grad_scale is not None:
            parameters = (parameter for group in self.param_groups for parameter in group["params"])
            divide_all([local_shard(p.grad) for p in parameters if p.grad is not None], self.grad_scale)
        return True


class SGD(GuardedOptimizer):
    """theta <- theta - lr / sqrt(t + 1) * gradient, for t = 0, 1, ...: the course's first example."""

    def __init__(self, params: Iterable[Parameter] | Iterable[dict[str, Any]], lr: float = 1e-3):
        _check_not_negative(lr=lr)
        super().__init__(params, {"lr": lr})

    @torch.no_grad()
    def step(self, closure: Closure | None = None) -> float | None:  # type: ignore[override]
        """Update each parameter that has a gradient. Returns the result of `closure`."""
        loss = _evaluate(closure)
        if not self._may_step():
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


class AdamW(GuardedOptimizer):
    """m <- b1 m + (1 - b1) g,  v <- b2 v + (1 - b2) g^2,  theta <- theta (1 - lr wd) - lr m^ / (sqrt(v^) + eps).

    m^ = m / (1 - b1^t) and v^ = v / (1 - b2^t). Loshchilov & Hutter 2017, arXiv:1711.05101. `implementation="fast"`
    passes over the parameters once instead of ten times, with torch's fused kernel, which also divides by `grad_scale`
    and looks at `found_inf`.
    """

    def __init__(
        self,
        params: Iterable[Parameter] | Iterable[dict[str, Any]],
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.01,
        *,
        implementation: Implementation = "fast",
    ):
        _check_not_negative(lr=lr, eps=eps, weight_decay=weight_decay)
        if not all(0 <= beta < 1 for beta in betas):
            raise ValueError(f"betas are {betas}, and must be at least 0 and below 1")
        super().__init__(params, {"lr": lr, "betas": betas, "eps": eps, "weight_decay": weight_decay})
        self.implementation = implementation

    @torch.no_grad()
    def step(self, closure: Closure | None = None) -> float | None:  # type: ignore[override]
        """Update each parameter that has a gradient. Returns the result of `closure`."""
        loss = _evaluate(closure)
        is_fast = self.implementation == "fast"
        if not (is_fast and self._kernel_reads_flags()) and not self._may_step():
            return loss
        for group in self.param_groups:
            parameters = [parameter for parameter in group["params"] if parameter.grad is not None]
            for parameter in parameters:
                self._begin_state(parameter)
            if parameters:
                (self._step_fast if is_fast else self._step_reference)(group, parameters)
        return loss

    def _kernel_reads_flags(self) -> bool:
        return reads_flags(self.param_groups[0]["params"][0].device)

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
        flags = (self.grad_scale, self.found_inf) if self._kernel_reads_flags() else (None, None)
        fused_adamw(
            [local_shard(parameter.data) for parameter in parameters],
            [local_shard(parameter.grad) for parameter in parameters if parameter.grad is not None],
            [local_shard(state["exp_avg"]) for state in states],
            [local_shard(state["exp_avg_sq"]) for state in states],
            [state["step"] for state in states],
            lr=group["lr"] if self.learning_rate is None else self.learning_rate,
            betas=group["betas"],
            eps=group["eps"],
            weight_decay=group["weight_decay"],
            grad_scale=flags[0],
            found_inf=flags[1],
        )


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


def _evaluate(closure: Closure | None) -> float | None:
    if closure is None:
        return None
    with torch.enable_grad():
        return closure()


def _check_not_negative(**values: float) -> None:
    for name, value in values.items():
        if not value >= 0:
            raise ValueError(f"{name} is {value}, and must not be negative")


def new_optimizer(config: TrainConfig, model: TransformerLM) -> GuardedOptimizer:
    """Create the optimizer that a config describes, without state."""
    options = config.optimizer
    if options.name == "sgd":
        return SGD(model.parameters(), config.schedule.max_learning_rate)
    return AdamW(
        model.parameters(),
        config.schedule.max_learning_rate,
        (options.beta1, options.beta2),
        options.eps,
        options.weight_decay,
        implementation=config.implementation,
    )
