"""The part of a run's config that describes its optimizer."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

from bpe_lm.errors import ConfigError
from bpe_lm.fields import at_least, check_types, key
from bpe_lm.kernels.implementation import Dtype

if TYPE_CHECKING:
    from bpe_lm.model.transformer import ParameterGroup


@dataclass(frozen=True)
class GroupConfig:
    """What an optimizer does with one group of parameters. Both numbers are factors of what it does with all."""

    rate: float = key(1.0, "learning rate of this group, as a factor of the schedule's")
    decay: float = key(1.0, "weight decay of this group, as a factor of optimizer.weight_decay")


@dataclass(frozen=True)
class MuonConfig:
    """Muon, which updates the matrices of the blocks by a step of about equal size in all directions."""

    momentum: float = key(0.95, "weight of the old value in the mean of gradients")
    first_momentum: float = key(0.85, "that weight in the first step")
    momentum_rise: int = key(0, "steps in which it rises from there; 0: it does not", unit="steps")
    iterations: int = key(5, "iterations that make a matrix orthogonal")
    coefficients: Literal["quintic", "polar_express"] = key("quintic", "their polynomials: Jordan's, or Amsel's")
    dtype: Dtype = key("bfloat16", "number format of their products")
    scale: Literal["original", "match_rms_adamw"] = key(
        "original",
        "size of an update, in learning rates: max(1, rows / columns)^0.5, or about that of AdamW: "
        "0.2 max(rows, columns)^0.5",
    )
    cautious: bool = key(False, "decay a weight only where its update makes it smaller, too")

    def __post_init__(self) -> None:
        check_types(self, "optimizer.muon")
        for name in ("momentum", "first_momentum", "momentum_rise"):
            at_least(self, "optimizer.muon", name, 0)
        at_least(self, "optimizer.muon", "iterations", 1)
        if not max(self.momentum, self.first_momentum) < 1:
            raise ConfigError(
                f"optimizer.muon.momentum and first_momentum are {self.momentum} and {self.first_momentum}, and must "
                "be below 1"
            )


@dataclass(frozen=True)
class OptimizerConfig:
    """The optimizer: how gradients change weights."""

    name: Literal["adamw", "sgd", "muon"] = key(
        "adamw", "AdamW, the course's SGD, or Muon for matrices of the blocks with AdamW for the rest"
    )
    beta1: float = key(0.9, "decay of the mean of gradients")
    beta2: float = key(0.95, "decay of the mean of their squares")
    eps: float = key(1e-8, "added to the root in the denominator")
    weight_decay: float = key(0.1, "decoupled weight decay")
    max_l2_norm: float = key(1.0, "clip gradients to this norm; 0 clips nothing")
    matrices: GroupConfig = field(default_factory=GroupConfig)
    embeddings: GroupConfig = field(default_factory=GroupConfig)
    head: GroupConfig = field(default_factory=GroupConfig)
    norms: GroupConfig = field(default_factory=GroupConfig)
    muon: MuonConfig = field(default_factory=MuonConfig)

    def __post_init__(self) -> None:
        check_types(self, "optimizer")
        for name in ("eps", "weight_decay", "max_l2_norm", "beta1", "beta2"):
            at_least(self, "optimizer", name, 0)
        if not max(self.beta1, self.beta2) < 1:
            raise ConfigError(f"optimizer.beta1 and beta2 are {self.beta1} and {self.beta2}, and must be below 1")
        for group, options in self.groups().items():
            check_types(options, f"optimizer.{group}")
            for name in ("rate", "decay"):
                at_least(options, f"optimizer.{group}", name, 0)

    def groups(self) -> dict[ParameterGroup, GroupConfig]:
        """Return the options of each group of a model's parameters."""
        return {"matrices": self.matrices, "embeddings": self.embeddings, "head": self.head, "norms": self.norms}
