"""The reason why a run has diverged: the first value that is not finite, or a loss that stays above a bound."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from math import isfinite
from typing import Any

import torch
from torch import Tensor, nn

from bpe_lm.errors import TrainingDiverged
from bpe_lm.model.loss import LanguageModelLoss
from bpe_lm.training.config import TrainConfig
from bpe_lm.training.sharded import local_shard

MicroBatch = tuple[Tensor, Tensor]

BEGIN_ANEW = "begin anew with a lower schedule.max_learning_rate or another seed"
"""What a user can do about a run that has diverged."""


def diverged_by_loss(config: TrainConfig, step: int, loss: float, number: int) -> TrainingDiverged:
    """Return the error of a step with which the loss was above `max_loss` in `number` steps in a row."""
    return TrainingDiverged(
        f"step {step}: loss {loss:.4g}, and the loss was above max_loss, {config.max_loss:g}, in the last {number:,} "
        f"steps (max_loss_steps is {config.max_loss_steps:,}); {BEGIN_ANEW}, or set a higher max_loss"
    )


def weights_are_finite(model: nn.Module) -> bool:
    """Return whether each weight of this process is finite. The device is read once."""
    return bool(torch.stack([local_shard(parameter).isfinite().all() for parameter in model.parameters()]).all())


def first_bad_value(loss: LanguageModelLoss, micro_batches: Iterable[MicroBatch], step_loss: float) -> str:
    """Name the value that is not finite: a tensor, only the loss of the step, or only the norm of its gradients.

    The model must have the gradients of the step. `micro_batches` are its inputs and targets, for a second forward
    pass; in a distributed run they are empty, because a forward pass needs every process.
    """
    name = _bad_weight(loss.model) or _bad_output(loss, micro_batches) or _bad_gradient(loss.model)
    if name is not None:
        return f"the first tensor that is not finite is {name}"
    if not isfinite(step_loss):
        return "the loss was not finite, but each weight, output and gradient is finite when the step is done again"
    return "each gradient is finite, but the norm of all together is not: their squares are beyond float32"


def _bad_weight(model: nn.Module) -> str | None:
    for name, parameter in model.named_parameters():
        if not local_shard(parameter).isfinite().all():
            return f"the weight {name}"
    return None


def _bad_output(loss: LanguageModelLoss, micro_batches: Iterable[MicroBatch]) -> str | None:
    """Name the first module whose output is not finite in a forward pass, or else the loss."""
    bad: list[str] = []

    def check(name: str) -> Callable[[nn.Module, Any, Any], None]:
        def hook(module: nn.Module, inputs: Any, output: Tensor | tuple[Tensor | None, ...]) -> None:
            tensors = output if isinstance(output, tuple) else (output,)
            if not all(tensor.isfinite().all() for tensor in tensors if tensor is not None):
                bad.append(name)

        return hook

    hooks = [module.register_forward_hook(check(name)) for name, module in loss.model.named_modules() if name]
    try:
        with torch.no_grad():
            losses = [loss(*micro_batch) for micro_batch in micro_batches]
    finally:
        for hook in hooks:
            hook.remove()
    if bad:
        return f"the output of {bad[0]}"
    return None if all(value.isfinite() for value in losses) else "the loss"


def _bad_gradient(model: nn.Module) -> str | None:
    """Name the last parameter whose gradient is not finite, because a backward pass begins at the last parameter."""
    for name, parameter in reversed(list(model.named_parameters())):
        if parameter.grad is not None and not local_shard(parameter.grad).isfinite().all():
            return f"the gradient of {name}"
    return None
