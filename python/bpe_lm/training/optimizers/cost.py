"""What an optimizer costs: the bytes of its state, and the operations of its step, by group of parameters."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from bpe_lm.model.transformer import TransformerLM
from bpe_lm.training.config import TrainConfig
from bpe_lm.training.optimizers.groups import Method, joined_matrices, method_of
from bpe_lm.training.optimizers.newton_schulz import newton_schulz_flops

ADAMW_FLOPS = 15
"""Operations of an AdamW step per parameter: 1 for decay, 3 for m, 4 for v, 2 for the corrections, 5 for the update."""

_FLOPS: dict[Method, int] = {"adamw": ADAMW_FLOPS, "muon": 9, "sgd": 2}
"""Operations per weight: Muon's are 3 for m, 3 for the mean one step ahead, 1 for decay, and 2 for the update."""

_STATES: dict[Method, int] = {"adamw": 2, "muon": 1, "sgd": 0}
"""The numbers in float32 that a state has for each weight."""


@dataclass(frozen=True)
class GroupCost:
    """The cost of a group: its weights, the bytes of their state, and the operations of a step.

    `product_flops` are those of the products by which Muon makes matrices orthogonal, and `flops` all others.
    """

    name: str
    method: Method
    weights: int
    state_bytes: int
    flops: int
    product_flops: int


def group_costs(config: TrainConfig) -> list[GroupCost]:
    """Compute the cost of each group that the model of a config has."""
    with torch.device("meta"):
        model = TransformerLM.from_config(config.model)
    joined, iterations = joined_matrices(model), config.optimizer.muon.iterations
    costs = []
    for name, parameters in model.parameter_groups().items():
        method = method_of(name, config.optimizer.name)
        weights = sum(parameter.numel() for parameter in parameters)
        products = 0
        for parameter in parameters if method == "muon" else ():
            rows, columns = parameter.shape
            number = joined.get(parameter, 1)
            products += number * newton_schulz_flops(rows // number, columns, iterations)
        if weights:
            costs.append(
                GroupCost(name, method, weights, 4 * _STATES[method] * weights, _FLOPS[method] * weights, products)
            )
    return costs
