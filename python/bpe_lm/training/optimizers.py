"""Optimizers, and the clipping of gradients."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor
from torch.nn import Parameter

from bpe_lm.kernels.implementation import Implementation
from bpe_lm.model.transformer import TransformerLM
from bpe_lm.training.config import TrainConfig
from bpe_lm.training.parallel import is_divided, local

Closure = Callable[[], float]


class SGD(torch.optim.Optimizer):
    """theta <- theta - lr / sqrt(t + 1) * gradient, t = 0, 1, ...: the course's toy."""

    def __init__(self, params: Iterable[Parameter] | Iterable[dict[str, Any]], lr: float = 1e-3):
        _check(lr=lr)
        super().__init__(params, {"lr": lr})

    @torch.no_grad()
    def step(self, closure: Closure | None = None) -> float | None:  # type: ignore[override]
        """Parameters without a gradient stay. Returns what `closure` does."""
        loss = _evaluate(closure)
        for group in self.param_groups:
            for parameter in group["params"]:
                if parameter.grad is None:
                    continue
                state = self.state[parameter]
                t = state.get("t", 0)
                parameter.sub_(group["lr"] / (t + 1) ** 0.5 * parameter.grad)
                state["t"] = t + 1
        return loss


class AdamW(torch.optim.Optimizer):
    """m <- b1 m + (1 - b1) g,  v <- b2 v + (1 - b2) g^2,  theta <- theta (1 - lr wd) - lr m^ / (sqrt(v^) + eps).

    m^ = m / (1 - b1^t) and v^ = v / (1 - b2^t). Loshchilov & Hutter 2017, arXiv:1711.05101. `implementation="fast"`
    goes through the parameters once instead of ten times, by torch's fused kernel.
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
        _check(lr=lr, eps=eps, weight_decay=weight_decay)
        if not all(0 <= beta < 1 for beta in betas):
            raise ValueError(f"betas are {betas}, and must be at least 0 and below 1")
        super().__init__(params, {"lr": lr, "betas": betas, "eps": eps, "weight_decay": weight_decay})
        self.implementation = implementation

    @torch.no_grad()
    def step(self, closure: Closure | None = None) -> float | None:  # type: ignore[override]
        """Parameters without a gradient stay. Returns what `closure` does."""
        loss = _evaluate(closure)
        for group in self.param_groups:
            parameters = [parameter for parameter in group["params"] if parameter.grad is not None]
            for parameter in parameters:
                state = self.state_of(parameter)
                # A state that was loaded has it where it was saved from.
                state["step"] = state["step"].to(parameter.device)
            if parameters:
                (self._step_fast if self.implementation == "fast" else self._step_reference)(group, parameters)
        return loss

    def state_of(self, parameter: Parameter) -> dict[str, Any]:
        """Its t, m and v: zeros if it has had no step yet."""
        state = self.state[parameter]
        if not state:
            state["step"] = torch.zeros((), dtype=torch.float32, device=parameter.device)
            state["exp_avg"] = torch.zeros_like(parameter)
            state["exp_avg_sq"] = torch.zeros_like(parameter)
        return state

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
        steps = [state["step"] for state in states]
        torch._foreach_add_(steps, 1)
        torch._fused_adamw_(
            [parameter.data for parameter in parameters],
            [parameter.grad for parameter in parameters if parameter.grad is not None],
            [state["exp_avg"] for state in states],
            [state["exp_avg_sq"] for state in states],
            [],
            steps,
            lr=group["lr"],
            beta1=group["betas"][0],
            beta2=group["betas"][1],
            weight_decay=group["weight_decay"],
            eps=group["eps"],
            amsgrad=False,
            maximize=False,
        )


@torch.no_grad()
def clip_gradients(parameters: Iterable[Parameter], max_l2_norm: float, eps: float = 1e-6) -> Tensor:
    """g <- g * min(1, max_l2_norm / (|g| + eps)), with |g| the norm of all gradients together. Returns |g|."""
    found = [parameter.grad for parameter in parameters if parameter.grad is not None]
    if not found:
        return torch.zeros(())
    gradients = [local(gradient) for gradient in found]
    norm = torch.linalg.vector_norm(torch.stack([torch.linalg.vector_norm(gradient) for gradient in gradients]))
    if is_divided(found[0]):
        square = norm.square()
        torch.distributed.all_reduce(square)
        norm = square.sqrt()
    factor = torch.clamp(max_l2_norm / (norm + eps), max=1.0)
    # One that is not finite would make all of them so, and hide where it came from.
    torch._foreach_mul_(gradients, torch.where(norm.isfinite(), factor, torch.ones_like(factor)))
    return norm


def _evaluate(closure: Closure | None) -> float | None:
    if closure is None:
        return None
    with torch.enable_grad():
        return closure()


def _check(**values: float) -> None:
    for name, value in values.items():
        if not value >= 0:
            raise ValueError(f"{name} is {value}, and must not be negative")


def new_optimizer(config: TrainConfig, model: TransformerLM) -> torch.optim.Optimizer:
    """The optimizer that a config describes, with no state yet."""
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
