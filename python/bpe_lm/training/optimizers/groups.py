"""The groups of a model's parameters, as an optimizer takes them."""

from __future__ import annotations

from typing import Any, Literal

from torch.nn import Parameter

from bpe_lm.model.attention import JoinedLinear
from bpe_lm.model.transformer import ParameterGroup, TransformerLM
from bpe_lm.training.config import TrainConfig

Method = Literal["adamw", "muon", "sgd"]
"""What updates a group of parameters."""


def method_of(group: ParameterGroup, optimizer: Method) -> Method:
    """Return what updates a group, with an optimizer by its name in a config: Muon leaves to AdamW all but matrices."""
    return "adamw" if optimizer == "muon" and group != "matrices" else optimizer


def parameter_groups(config: TrainConfig, model: TransformerLM) -> list[dict[str, Any]]:
    """Return a group for each kind of parameters that a model has, with its rate and its weight decay."""
    options, groups = config.optimizer.groups(), []
    for name, parameters in model.parameter_groups().items():
        if parameters:
            rate, decay = options[name].rate, options[name].decay
            groups.append(
                {
                    "name": name,
                    "params": parameters,
                    "rate": rate,
                    "lr": config.schedule.max_learning_rate * rate,
                    "weight_decay": config.optimizer.weight_decay * decay,
                }
            )
    return groups


def joined_matrices(model: TransformerLM) -> dict[Parameter, int]:
    """Return the parameters that are several square matrices, one after another, with the number of them."""
    weights = (module.weight for module in model.modules() if isinstance(module, JoinedLinear))
    return {weight: weight.shape[0] // weight.shape[1] for weight in weights}
