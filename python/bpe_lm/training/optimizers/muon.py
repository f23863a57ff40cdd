"""Muon, for the matrices of a model, with AdamW for everything else."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor
from torch.nn import Parameter

from bpe_lm.kernels.adamw import count_step
from bpe_lm.kernels.implementation import Implementation
from bpe_lm.kernels.norms import divide_all
from bpe_lm.training.optimizers.adamw import AdamW
from bpe_lm.training.optimizers.base import Parameters
from bpe_lm.training.optimizers.config import MuonConfig
from bpe_lm.training.optimizers.division import Division, Matrices, Undivided
from bpe_lm.training.optimizers.newton_schulz import QUINTIC, Coefficients, newton_schulz_flops, orthogonal_factors
from bpe_lm.training.optimizers.polar_express import polar_express
from bpe_lm.training.sharded import local_shard

_DTYPES = {"bfloat16": torch.bfloat16, "float32": torch.float32}


class Muon(AdamW):
    """m <- mu m + (1 - mu) g,  U S V^T = mu m + (1 - mu) g,  theta <- theta (1 - lr wd) - lr scale(theta) U V^T.

    Jordan et al. 2024, https://kellerjordan.github.io/posts/muon/. U V^T comes from a Newton-Schulz iteration, in which
    matrices of one shape are computed together. `options` has mu, the iteration, and the scale by shape. A cautious
    decay is that of a weight theta with theta (U V^T) >= 0 (Chen et al. 2025, arXiv:2510.12402), and no other.

    A group with `method` "adamw" is AdamW's, with these betas and this eps. All other groups are of matrices alone. A
    refused step is one with the gradient 0, which enters the mean with weight 0, and the rate 0. So the host does not
    read `found_inf`, and nothing changes.
    """

    def __init__(
        self,
        params: Parameters,
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.1,
        *,
        options: MuonConfig | None = None,
        joined: Mapping[Parameter, int] | None = None,
        division: Division | None = None,
        implementation: Implementation = "fast",
    ):
        """Create the optimizer, without state.

        Args:
            params: The matrices, or groups of parameters.
            lr: The learning rate.
            betas: The weights of the old values in AdamW's means.
            eps: What AdamW adds to the root.
            weight_decay: The decay of the weights, in learning rates.
            options: What is Muon's own.
            joined: The number of matrices of each parameter that has several, one after another, as rows.
            division: How several processes share the work.
            implementation: That of AdamW.

        Raises:
            ValueError: A parameter that is not AdamW's is no matrix; an option is below 0.
        """
        super().__init__(params, lr, betas, eps, weight_decay, implementation=implementation)
        self._options, self._joined = options or MuonConfig(), dict(joined or {})
        self._division = division or Undivided()
        self._coefficients = coefficients_of(self._options)
        for group in self.param_groups:
            group.setdefault("method", "muon")
            for parameter in group["params"]:
                if group["method"] == "muon" and parameter.ndim != 2:
                    raise ValueError(f"Muon updates matrices, and a parameter has the shape {tuple(parameter.shape)}")

    def _update(self, group: dict[str, Any], parameters: list[Parameter]) -> None:
        if group["method"] == "adamw":
            super()._update(group, parameters)
        else:
            self._step_muon(group, parameters)

    def _step_muon(self, group: dict[str, Any], parameters: list[Parameter]) -> None:
        updates = self._orthogonal(parameters, self._means(parameters))
        rate = torch.as_tensor(self.rate_of(group), dtype=torch.float32)
        _, found_inf = self.flags()
        if found_inf is not None:
            rate = rate * (1 - found_inf)
        for parameter, update in zip(parameters, updates, strict=True):
            weight = local_shard(parameter.data)
            update = update.to(weight.dtype)
            if group["weight_decay"]:
                weight.mul_(1 - self._decaying(weight, update) * (rate * group["weight_decay"]))
            weight.sub_(update * (rate * scale_of(self._shape_of(parameter), self._options)))

    def _means(self, parameters: list[Parameter]) -> list[Tensor]:
        """Take the gradients into their means. Returns the means that the same gradients would lead to next."""
        grad_scale, found_inf = self.flags()
        gradients = [local_shard(parameter.grad) for parameter in parameters if parameter.grad is not None]
        states = [self._state_of(parameter) for parameter in parameters]
        steps = [state["step"] for state in states]
        weights = self._weights_of_gradients(torch.stack(steps))
        if grad_scale is not None:
            divide_all(gradients, grad_scale)
        if found_inf is not None:
            weights = weights * (1 - found_inf)
            for gradient in gradients:
                gradient.masked_fill_(found_inf.bool(), 0)  # It may be infinite, which a weight of 0 would make NaN.
        count_step(steps, found_inf)
        found = []
        for state, gradient, weight in zip(states, gradients, weights.unbind(), strict=True):
            mean = local_shard(state["momentum_buffer"]).lerp_(gradient, weight)
            found.append(torch.lerp(mean, gradient, weight))
        return found

    def _state_of(self, parameter: Parameter) -> dict[str, Any]:
        """Return the number of steps and the mean of a matrix, which are zeros before its first step."""
        state: dict[str, Any] = self.state[parameter]
        if not state:
            state["step"] = torch.zeros((), dtype=torch.float32, device=parameter.device)
            state["momentum_buffer"] = torch.zeros_like(parameter)
        return state

    def _weights_of_gradients(self, steps: Tensor) -> Tensor:
        """Return 1 - mu after these numbers of steps."""
        options = self._options
        last = 1 - options.momentum
        if not options.momentum_rise:
            return torch.full_like(steps, last)
        first = 1 - options.first_momentum
        return first + (last - first) * (steps / options.momentum_rise).clamp(max=1)

    def _orthogonal(self, parameters: list[Parameter], means: list[Tensor]) -> list[Tensor]:
        """Return U V^T of each mean, as far as this process has it."""
        numbers = [self._joined.get(parameter, 1) for parameter in parameters]
        iterations = len(self._coefficients)
        costs = [
            number * newton_schulz_flops(*self._shape_of(parameter), iterations)
            for parameter, number in zip(parameters, numbers, strict=True)
        ]
        return self._division(
            [mean.to(_DTYPES[self._options.dtype]) for mean in means],
            Matrices([parameter.shape for parameter in parameters], costs),
            lambda own, wholes: orthogonal_factors(wholes, [numbers[i] for i in own], self._coefficients),
        )

    def _shape_of(self, parameter: Parameter) -> tuple[int, int]:
        """Return the rows and columns of each matrix of a parameter."""
        rows, columns = parameter.shape
        return rows // self._joined.get(parameter, 1), columns

    def _decaying(self, weight: Tensor, update: Tensor) -> Tensor | float:
        """Return 1 for weights that decay, and 0 for others."""
        return (weight * update >= 0).to(weight.dtype) if self._options.cautious else 1.0


def coefficients_of(options: MuonConfig) -> tuple[Coefficients, ...]:
    """Return the polynomial of each iteration."""
    if options.coefficients == "polar_express":
        return polar_express(options.iterations)
    return (QUINTIC,) * options.iterations


def scale_of(shape: tuple[int, int], options: MuonConfig) -> float:
    """Return the factor of an update, by the rows and columns of its matrix.

    "original" is Jordan's. "match_rms_adamw" gives an update about the size of AdamW's: Liu et al. 2025,
    arXiv:2502.16982.
    """
    rows, columns = shape
    if options.scale == "original":
        return float(max(1, rows / columns) ** 0.5)
    return 0.2 * float(max(rows, columns) ** 0.5)
