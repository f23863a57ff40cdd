"""The cost of a run, predicted before it starts: parameters, floating-point operations, memory and time.

It answers the course's questions on accounting: which matrix multiplies a forward pass has and which part takes most,
what a longer context changes, what AdamW needs in memory, and how long the training takes. FLOPs come
from `bpe_lm.model.flops`, and memory from `bpe_lm.training.step_memory` and from the course's formula.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from typing import Any

import torch

from bpe_lm.model.config import ModelConfig
from bpe_lm.model.flops import count_parameters, forward_flops, matrix_multiplies, training_flops
from bpe_lm.model.transformer import TransformerLM
from bpe_lm.training.automatic import resolve_auto
from bpe_lm.training.config import TrainConfig
from bpe_lm.training.devices import (
    PEAK_TF32,
    accounted_device,
    device_memory,
    device_of_run,
    peak_flops,
    peak_of,
)
from bpe_lm.training.optimizers.cost import GroupCost, group_costs
from bpe_lm.training.presets import swiglu_width
from bpe_lm.training.step_memory import StepMemory, as_accounted, largest_batch, step_memory

COURSE_MEMORY = 80 * 10**9
"""Bytes of the GPU for which the course asks the largest batch."""

COURSE_MFU = 0.5
"""The fraction of a device's peak FLOP/s at which the course's training runs."""

LONGER = 16
"""The factor of the longer context that the course asks about: 16,384 tokens in place of 1,024."""


@dataclass(frozen=True)
class CourseMemory:
    """Bytes of training with AdamW in float32 by the course's formula: `fixed` + batch x `per_text`."""

    fixed: int
    per_text: int

    def largest_batch(self, memory: float) -> int:
        """Return the largest number of texts whose step fits into `memory` bytes."""
        return max(int((memory - self.fixed) // self.per_text), 0)


def course_memory(config: ModelConfig) -> CourseMemory:
    """Compute 16 bytes a parameter (weight, gradient, m and v) and 4 bytes for each result of an operation.

    A text has L (8 T d + 2 (m - 1) T d_ff + 2 h T^2) + T d + 2 T V results, with m matrices in the feed-forward
    network. The course assumes that nothing is fused or overwritten; a real step differs.
    """
    layers, tokens, d = config.num_layers, config.context_length, config.d_model
    hidden = 2 * (config.ffn_matrices - 1) * tokens * config.d_ff
    block = 8 * tokens * d + hidden + 2 * config.num_heads * tokens**2
    values = layers * block + tokens * d + 2 * tokens * config.vocab_size
    return CourseMemory(16 * count_parameters(config), 4 * values)


def training_seconds(flops: float, peak: float, mfu: float) -> float:
    """Return the seconds of `flops` operations at the fraction `mfu` of a device's peak FLOP/s."""
    return flops / (peak * mfu)


def conventions(config: ModelConfig) -> list[ModelConfig]:
    """Return the model, and a variant for each feed-forward network in the course's handouts and write-ups.

    They have SwiGLU with d_ff = 8/3 d_model (2026), SwiGLU with 4 d_model (2025), and two matrices with 4 d_model.
    """
    d = config.d_model
    variants = [
        config,
        replace(config, ffn="swiglu", d_ff=swiglu_width(d)),
        replace(config, ffn="swiglu", d_ff=4 * d),
        replace(config, ffn="silu", d_ff=4 * d),
    ]
    distinct: dict[tuple[int, int], ModelConfig] = {}
    for variant in variants:
        distinct.setdefault((variant.ffn_matrices, variant.d_ff), variant)
    return list(distinct.values())


def longer_context(config: ModelConfig) -> ModelConfig:
    """The model with a context of 16 times the length."""
    return replace(config, context_length=LONGER * config.context_length)


def parameter_tree(model: TransformerLM) -> Iterator[str]:
    """Yield the lines of a tree: each module with the number of its weights. Equal layers share a line."""
    yield f"TransformerLM ({model.num_parameters():,} params)"
    children = [(name, child) for name, child in model.named_children() if name != "layers"]
    yield from _branches([*children[:1], *_equal_blocks(model), *children[1:]], "")


def _equal_blocks(model: TransformerLM) -> list[tuple[str, Any]]:
    """Return one block of each kind, with a name that counts the kind. Blocks differ by their place alone."""
    kinds: dict[tuple[str, ...], list[int]] = {}
    for number, block in enumerate(model.layers):
        kinds.setdefault(tuple(name for name, _ in block.named_parameters()), []).append(number)
    return [
        (
            f"layers{'' if len(kinds) == 1 else ' ' + ', '.join(map(str, numbers))}: {len(numbers)} x TransformerBlock",
            model.layers[numbers[0]],
        )
        for numbers in kinds.values()
    ]


def _branches(children: list[tuple[str, Any]], indent: str) -> Iterator[str]:
    with_weights = [(name, child) for name, child in children if any(True for _ in child.parameters())]
    for number, (name, child) in enumerate(with_weights):
        is_last = number == len(with_weights) - 1
        count = sum(parameter.numel() for parameter in child.parameters())
        shapes = " x ".join(map(str, child.weight.shape)) if hasattr(child, "weight") else ""
        yield f"{indent}{'└── ' if is_last else '├── '}{name} ({count:,} params{', ' if shapes else ''}{shapes})"
        yield from _branches(list(child.named_children()), indent + ("    " if is_last else "│   "))


@dataclass(frozen=True)
class Account:
    """The predicted cost of a run. Memory is in bytes, of one process, or of one GPU."""

    config: TrainConfig
    tree: list[str]
    memory: StepMemory
    device_memory: int
    largest_batch: int
    flops_per_second: float | None
    """FLOP/s of matrix products here: measured on a CPU, from the data sheet of a known GPU, otherwise None."""

    @classmethod
    def of(cls, config: TrainConfig, memory_size: int | None = None) -> Account:
        """Account for a config on a device with `memory_size` bytes.

        The default is the memory of this machine, of its GPU, or 80 GB for a GPU that is not here.
        """
        device = accounted_device(config.device)
        config = resolve_auto(as_accounted(config), device).config
        memory_size = memory_size or device_memory(device) or COURSE_MEMORY
        with torch.device("meta"):
            tree = list(parameter_tree(TransformerLM.from_config(config.model)))
        memory, batch = step_memory(config), largest_batch(config, memory_size)
        rate = peak_flops(device_of_run(config.device), config.products_in)
        return cls(config, tree, memory, memory_size, batch, rate)

    @property
    def memory_is_of(self) -> str:
        """The kind of device of which the memory is: "cpu" or "cuda"."""
        return accounted_device(self.config.device).type

    @property
    def model(self) -> ModelConfig:
        """The shape of the model."""
        return self.config.model

    @property
    def step_flops(self) -> int:
        """FLOPs of a step on the whole batch, without the optimizer's."""
        return training_flops(self.model) * self.config.batch_size

    @property
    def optimizer_flops(self) -> int:
        """Operations of the optimizer in a step, without the products of Muon."""
        return sum(group.flops for group in self.groups)

    @property
    def muon_flops(self) -> int:
        """FLOPs of the products by which Muon makes matrices orthogonal in a step."""
        return sum(group.product_flops for group in self.groups)

    @property
    def groups(self) -> list[GroupCost]:
        """What the optimizer costs, by group of parameters."""
        return group_costs(self.config)

    @property
    def run_flops(self) -> int:
        """FLOPs of all steps."""
        return self.step_flops * self.config.steps

    @property
    def least_seconds(self) -> float | None:
        """Seconds of all steps if they did only matrix products, at this machine's full rate."""
        return training_seconds(self.run_flops, self.flops_per_second, 1) if self.flops_per_second else None

    def hours(self) -> dict[str, dict[str, float]]:
        """Return the hours of the run at half the peak of this machine, where that is known, and of three GPUs.

        The first key is the device, the second the number format of matrix products.
        """
        peaks: dict[str, dict[str, float]] = {}
        if self.flops_per_second is not None:
            peaks["this machine"] = {self.config.dtype: self.flops_per_second}
        for gpu, tf32 in PEAK_TF32.items():
            float32, bfloat16 = peak_of(gpu, "float32"), peak_of(gpu, "bfloat16")
            assert float32 is not None
            assert bfloat16 is not None
            peaks[gpu] = {"float32": float32, "tf32": tf32, "bfloat16": bfloat16}
        return {
            device: {
                dtype: training_seconds(self.run_flops, peak, COURSE_MFU) / 3600 for dtype, peak in by_dtype.items()
            }
            for device, by_dtype in peaks.items()
        }

    def as_dict(self) -> dict[str, Any]:
        """The account as JSON values."""
        model = self.model
        return {
            "config": self.config.as_dict(),
            "parameters": count_parameters(model),
            "parameter_bytes": 4 * count_parameters(model),
            "matrix_multiplies": [asdict(each) | {"flops": each.flops} for each in matrix_multiplies(model)],
            "forward": _flops_as_dict(model),
            "longer_context": _longer_as_dict(model),
            "conventions": [
                _flops_as_dict(other) | {"longer_context": _longer_as_dict(other)} | _course_as_dict(other)
                for other in conventions(model)
            ],
            "flops_per_step": self.step_flops,
            "optimizer_flops_per_step": self.optimizer_flops,
            "muon_flops_per_step": self.muon_flops,
            "optimizer_groups": [asdict(group) for group in self.groups],
            "flops_of_run": self.run_flops,
            "flops_per_second": self.flops_per_second,
            "least_seconds": self.least_seconds,
            "mfu": COURSE_MFU,
            "hours": self.hours(),
            "memory_is_of": self.memory_is_of,
            "memory": asdict(self.memory) | {"peak": self.memory.peak},
            "device_memory": self.device_memory,
            "largest_batch": self.largest_batch,
        }


def _flops_as_dict(config: ModelConfig) -> dict[str, Any]:
    flops = forward_flops(config)
    return {
        "context_length": config.context_length,
        "parameters": count_parameters(config),
        "flops": asdict(flops) | {"total": flops.total},
        "shares": flops.shares(),
        "largest_part": flops.largest,
    }


def _longer_as_dict(config: ModelConfig) -> dict[str, Any]:
    longer = longer_context(config)
    return _flops_as_dict(longer) | {"ratio": forward_flops(longer).total / forward_flops(config).total}


def _course_as_dict(config: ModelConfig) -> dict[str, Any]:
    memory = course_memory(config)
    return {
        "ffn_matrices": config.ffn_matrices,
        "d_ff": config.d_ff,
        "course_memory": asdict(memory),
        "largest_batch_in_80_gb": memory.largest_batch(COURSE_MEMORY),
    }
