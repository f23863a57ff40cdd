"""The loss, and what it means."""

from __future__ import annotations

from math import exp, log
from typing import TYPE_CHECKING, Any

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from bpe_lm.config import Dtype, Implementation

if TYPE_CHECKING:
    from bpe_lm.model import TransformerLM

_LOG_MAX = 709.78
"""The logarithm of the greatest float."""

_CPU_ROWS, _GPU_LOGITS = 512, 1 << 26
"""What is in memory at a time: on a CPU so many rows, 20 MB of logits at 10,000 tokens; on a GPU so many logits."""


def cross_entropy(logits: Float[Tensor, "... vocab_size"], targets: Int[Tensor, ...]) -> Float[Tensor, ""]:
    """mean of log sum_j exp(logits_j) - logits_target, in nats; finite for logits of any size."""
    shifted = logits - logits.amax(-1, keepdim=True)
    at_targets = shifted.gather(-1, targets.unsqueeze(-1)).squeeze(-1)
    return (shifted.exp().sum(-1).log() - at_targets).mean()


def linear_cross_entropy(
    hidden: Float[Tensor, "... d_model"],
    weight: Float[Tensor, "vocab_size d_model"],
    targets: Int[Tensor, ...],
    *,
    implementation: Implementation = "fast",
) -> Float[Tensor, ""]:
    """cross_entropy(hidden W^T, targets). "fast" never holds all logits: gradients are made with them, chunk by chunk.

    Hsu et al. 2024, arXiv:2410.10989, have the idea.
    """
    if implementation == "reference":
        logits = hidden @ weight.T
        return cross_entropy(logits.to(torch.promote_types(logits.dtype, torch.float32)), targets)
    flat = hidden.flatten(0, -2)
    loss: Tensor = _LinearCrossEntropy.apply(flat, weight, targets.flatten(), torch.is_grad_enabled())
    return loss / targets.numel()


class _LinearCrossEntropy(torch.autograd.Function):
    """The sum over rows. d loss / d logits is softmax(logits) - onehot(target), whatever comes behind the sum."""

    @staticmethod
    def forward(ctx: Any, hidden: Tensor, weight: Tensor, targets: Tensor, is_recorded: bool) -> Tensor:
        device = hidden.device.type
        is_mixed = torch.is_autocast_enabled(device)
        narrow = torch.get_autocast_dtype(device) if is_mixed else hidden.dtype
        wide = torch.promote_types(hidden.dtype, torch.float32)
        w, needs_gradient = weight.to(narrow), is_recorded and any(ctx.needs_input_grad)
        total = torch.zeros((), dtype=wide, device=hidden.device)
        if needs_gradient:
            hidden_gradient = torch.empty_like(hidden)
            weight_gradient = torch.zeros_like(weight)
        chunk = _CPU_ROWS if device == "cpu" else max(_GPU_LOGITS // len(weight), _CPU_ROWS)
        for start in range(0, len(hidden), chunk):
            rows = slice(start, start + chunk)
            h, target = hidden[rows].to(narrow), targets[rows].unsqueeze(-1)
            logits = (h @ w.T).to(wide)
            normalizer = logits.logsumexp(-1, keepdim=True)
            total += (normalizer - logits.gather(-1, target)).sum()
            if needs_gradient:
                gradient = logits.sub_(normalizer).exp_()
                gradient.scatter_add_(-1, target, gradient.new_full(target.shape, -1.0))
                gradient = gradient.to(narrow)
                hidden_gradient[rows] = gradient @ w
                weight_gradient += gradient.T @ h
        if needs_gradient:
            ctx.save_for_backward(hidden_gradient, weight_gradient)
        return total

    @staticmethod
    def backward(ctx: Any, *outer: Tensor) -> tuple[Tensor, Tensor, None, None]:
        hidden_gradient, weight_gradient = ctx.saved_tensors
        return hidden_gradient * outer[0], weight_gradient * outer[0], None, None


class LanguageModelLoss(nn.Module):
    """The loss of a model: all that training and evaluation ask of it. "bfloat16" is mixed precision by autocast."""

    def __init__(self, model: TransformerLM, *, implementation: Implementation = "fast", dtype: Dtype = "float32"):
        super().__init__()
        self.model, self.implementation, self.dtype = model, implementation, dtype

    def forward(self, inputs: Int[Tensor, "batch seq"], targets: Int[Tensor, "batch seq"]) -> Float[Tensor, ""]:
        """The mean over all targets, in nats."""
        with torch.autocast(inputs.device.type, dtype=torch.bfloat16, enabled=self.dtype == "bfloat16"):
            hidden = self.model.hidden(inputs)
            return linear_cross_entropy(hidden, self.model.lm_head.weight, targets, implementation=self.implementation)


def perplexity(loss: float) -> float:
    """exp(mean cross-entropy): among how many equally likely tokens the model is as undecided."""
    return exp(loss) if loss < _LOG_MAX else float("inf")


def bits_per_byte(total_nats: float, num_bytes: int) -> float:
    """Comparable between tokenizers, which nats per token are not."""
    return total_nats / log(2) / num_bytes
