"""The configs of our variants, with the kernels that one process chose for all of them.

Attention is chosen by a measurement, which other work on the GPU would disturb. So the process that describes the
machine measures, while it has the GPU alone, and the processes of the variants read what it found.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import torch
from bpe_lm.kernels.choices import Kernels
from bpe_lm.training.automatic import resolve_auto
from bpe_lm.training.config import OptimizerConfig, TrainConfig

from gpu_rows.variants import Variant, shape_of

RATE = 1e-4
"""The learning rate of all programs."""

_OPTIMIZER = OptimizerConfig(beta1=0.9, beta2=0.999, eps=1e-8, weight_decay=0.01, max_l2_norm=1.0)
"""torch's defaults, which the other programs have, and clipping to 1.0."""

_SEED = 1


@dataclass(frozen=True)
class Options:
    """How all variants run."""

    device: str
    is_quick: bool
    nanogpt: str
    folder: str


def choose_kernels(variants: list[Variant], options: Options) -> None:
    """Choose the kernels of each shape that our variants have, and write them for `config_of`."""
    Path(options.folder).mkdir(parents=True, exist_ok=True)
    for variant in variants:
        if variant.kind == "attention":
            continue
        config = _unresolved(variant, options)
        path = _kept(config, options)
        if not path.exists():
            chosen = resolve_auto(config, torch.device(options.device)).config.kernels
            path.write_text(json.dumps(asdict(chosen)))


def config_of(variant: Variant, options: Options) -> TrainConfig:
    """Return the config of a run of a variant's shape, without "auto". `choose_kernels` comes first."""
    config = _unresolved(variant, options)
    kernels = Kernels(**json.loads(_kept(config, options).read_text()))
    return resolve_auto(replace(config, kernels=kernels), torch.device(options.device)).config


def _unresolved(variant: Variant, options: Options) -> TrainConfig:
    """Return the config before kernels and residual stream are chosen: in bfloat16, compiled unless it is a toy."""
    shape = shape_of(variant.group, is_quick=options.is_quick)
    return TrainConfig(
        model=shape.model,
        batch_size=shape.rows,
        optimizer=_OPTIMIZER,
        seed=_SEED,
        dtype="bfloat16",
        residual="float32" if variant.kind == "float32 residual" else "auto",
        compile=not (options.is_quick and options.device == "cpu"),
        deterministic=variant.kind == "deterministic",
        device=options.device,
    )


def _kept(config: TrainConfig, options: Options) -> Path:
    model = config.model
    shape = f"{model.d_model}-{model.num_heads}-{model.context_length}-{config.batch_size}"
    return Path(options.folder) / f"kernels-{shape}-{config.deterministic}.json"
