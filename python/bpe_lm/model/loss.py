"""The loss of a language model, and the measures derived from it: perplexity and bits per byte."""

from __future__ import annotations

from math import exp, log

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from bpe_lm.kernels.cross_entropy import mean_of_cross_entropies
from bpe_lm.kernels.implementation import Dtype, Implementation
from bpe_lm.model.layers import soft_capped
from bpe_lm.model.transformer import TransformerLM

_LOG_MAX = 709.78
"""The natural logarithm of the largest float: `exp` of a greater number overflows."""


def cross_entropy(logits: Float[Tensor, "... vocab_size"], targets: Int[Tensor, "*shape"]) -> Float[Tensor, ""]:
    """The mean of log sum_j exp(logits_j) - logits_target, in nats. Finite logits of any size give a finite loss."""
    shifted = logits - logits.amax(-1, keepdim=True)
    at_targets = shifted.gather(-1, targets.unsqueeze(-1)).squeeze(-1)
    return (shifted.exp().sum(-1).log() - at_targets).mean()


def linear_cross_entropy(
    hidden: Float[Tensor, "... d_model"],
    weight: Float[Tensor, "vocab_size d_model"],
    targets: Int[Tensor, "*shape"],
    *,
    cap: float = 0.0,
    implementation: Implementation = "fast",
) -> Float[Tensor, ""]:
    """cross_entropy(soft_capped(hidden W^T, cap), targets). The fast form holds one chunk of logits in memory."""
    if implementation == "reference":
        logits = hidden @ weight.T
        return cross_entropy(soft_capped(logits.to(torch.promote_types(logits.dtype, torch.float32)), cap), targets)
    return mean_of_cross_entropies(hidden.flatten(0, -2), weight, targets.flatten(), cap)


class LanguageModelLoss(nn.Module):
    """The mean cross-entropy of a model on a batch, for training and evaluation.

    `dtype="bfloat16"` is mixed precision by autocast.
    """

    def __init__(self, model: TransformerLM, *, implementation: Implementation = "fast", dtype: Dtype = "float32"):
        super().__init__()
        self.model, self.implementation, self.dtype = model, implementation, dtype

    def forward(self, inputs: Int[Tensor, "batch seq"], targets: Int[Tensor, "batch seq"]) -> Float[Tensor, ""]:
        """Return the mean over all targets, in nats."""
        with torch.autocast(inputs.device.type, dtype=torch.bfloat16, enabled=self.dtype == "bfloat16"):
            hidden = self.model.hidden(inputs)
            return linear_cross_entropy(
                hidden,
                self.model.lm_head.weight,
                targets,
                cap=self.model.config.logit_softcap,
                implementation=self.implementation,
            )


def perplexity(loss: float) -> float:
    """exp(mean cross-entropy): the number of equally likely tokens that would be as hard to guess."""
    return exp(loss) if loss < _LOG_MAX else float("inf")


def bits_per_byte(total_nats: float, num_bytes: int) -> float:
    """nats / log 2 / bytes: a loss that compares between tokenizers, unlike nats per token."""
    return total_nats / log(2) / num_bytes
