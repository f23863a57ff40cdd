"""The optimizers that a config can name, and how a run makes each."""

from __future__ import annotations

from collections.abc import Callable

from bpe_lm.model.transformer import TransformerLM
from bpe_lm.training.config import TrainConfig
from bpe_lm.training.optimizers.adamw import AdamW
from bpe_lm.training.optimizers.base import GuardedOptimizer
from bpe_lm.training.optimizers.division import Division, OfReplicas, OfShards, Undivided
from bpe_lm.training.optimizers.groups import joined_matrices, method_of, parameter_groups
from bpe_lm.training.optimizers.muon import Muon
from bpe_lm.training.optimizers.sgd import SGD
from bpe_lm.training.parallel import World


def new_optimizer(config: TrainConfig, model: TransformerLM, world: World | None = None) -> GuardedOptimizer:
    """Create the optimizer that a config describes, without state. The weights may be sharded between processes."""
    return OPTIMIZERS[config.optimizer.name](config, model, world or World())


def _new_sgd(config: TrainConfig, model: TransformerLM, world: World) -> SGD:
    return SGD(parameter_groups(config, model))


def _new_adamw(config: TrainConfig, model: TransformerLM, world: World) -> AdamW:
    options = config.optimizer
    return AdamW(
        parameter_groups(config, model),
        betas=(options.beta1, options.beta2),
        eps=options.eps,
        implementation=config.implementation,
    )


def _new_muon(config: TrainConfig, model: TransformerLM, world: World) -> Muon:
    options, groups = config.optimizer, parameter_groups(config, model)
    for group in groups:
        group["method"] = method_of(group["name"], "muon")
    return Muon(
        groups,
        betas=(options.beta1, options.beta2),
        eps=options.eps,
        options=options.muon,
        joined=joined_matrices(model),
        division=_division(config, world),
        implementation=config.implementation,
    )


def _division(config: TrainConfig, world: World) -> Division:
    if world.size == 1:
        return Undivided()
    return OfShards(world) if config.parallel == "fsdp" else OfReplicas(world)


OPTIMIZERS: dict[str, Callable[[TrainConfig, TransformerLM, World], GuardedOptimizer]] = {
    "adamw": _new_adamw,
    "sgd": _new_sgd,
    "muon": _new_muon,
}
"""A function for each value of `optimizer.name`."""
