"""What "auto" stands for in a run's config on a device, and why: the number formats, the compiler and the kernels.

"auto" is resolved once. config.json keeps the results, because another number format, compiler or kernel rounds
otherwise, and a run that goes on takes them from there. With `deterministic`, no choice depends on a measurement now.
"""

from __future__ import annotations

import importlib.util
import os
import shutil
import time
from collections.abc import Collection
from dataclasses import dataclass, replace
from typing import Any

import torch

from bpe_lm import _core
from bpe_lm.errors import ConfigError, OptionError
from bpe_lm.fields import keys
from bpe_lm.kernels.attention_times import measure_attention
from bpe_lm.kernels.choices import OPERATIONS, Kernels, check_is_here, forms_here
from bpe_lm.kernels.gpu import AMPERE
from bpe_lm.kernels.gpu_attention import deterministic_attention
from bpe_lm.kernels.implementation import Dtype
from bpe_lm.kernels.linear import faster_float32_library
from bpe_lm.model.flops import training_flops_per_token
from bpe_lm.training.config import TrainConfig

AUTO = "auto"

_CPU_FLOPS, _CUDA_FLOPS, _CUDA_STEPS = 2e15, 1e16, 3_000
"""The length of a run from which compiling pays for itself, in floating-point operations or in steps.

On 2 cores of a Zen 5 compiling takes a minute and saves 6 to 9 % of a step, so it pays from 8e14 to 1.1e15 operations
on. On an H200 it takes 35 to 50 s, and saves 15 of 29 ms of a step of 3.7e12 operations; small steps save as much,
because they wait for launches."""

_MOST_TOKENS = 1 << 15
"""The tokens of a measurement of attention: which kernel is the fastest does not depend on more."""

_FASTER = 1.2
"""A product in bfloat16 counts as faster if it is faster by this factor."""


@dataclass(frozen=True)
class Resolved:
    """A config without "auto", and for each key that had it, by its dotted name, why it has its value."""

    config: TrainConfig
    reasons: dict[str, str]


def resolve_auto(config: TrainConfig, device: torch.device) -> Resolved:
    """Replace each "auto" of a config, except that of `device`, by what is fast on a device."""
    reasons: dict[str, str] = {}
    if config.dtype == AUTO:
        dtype, reasons["dtype"] = _dtype(config, device)
        config = replace(config, dtype=dtype)
    if config.residual == AUTO:
        residual, reasons["residual"] = _residual(config, device)
        config = replace(config, residual=residual)
    if config.compile == AUTO:
        compiles, reasons["compile"] = _compile(config, device)
        config = replace(config, compile=compiles)
    kernels: dict[str, Any] = {}
    for operation in OPERATIONS:
        name = getattr(config.kernels, operation)
        if name == AUTO:
            kernels[operation], reasons[f"kernels.{operation}"] = _kernel(operation, config, device)
    return Resolved(replace(config, kernels=replace(config.kernels, **kernels)), reasons)


def check_can_run(config: TrainConfig, device: torch.device) -> None:
    """Check that this machine has the number format, the compiler and the kernels that a config names.

    Raises:
        ConfigError: It lacks one; the message names the key.
    """
    if config.products_in == "bfloat16" and device.type == "cuda":
        major, minor = torch.cuda.get_device_capability(device)
        if (major, minor) < AMPERE:
            raise ConfigError(
                f"dtype is bfloat16, which this GPU lacks: its compute capability is {major}.{minor}, and must be at "
                "least 8.0; set dtype float32"
            )
    if config.implementation == "fast":
        for operation in OPERATIONS:
            check_is_here(operation, getattr(config.kernels, operation), device.type)


def taken_from(new: TrainConfig, old: TrainConfig, device: torch.device, *, on_same_device: bool) -> TrainConfig:
    """Replace each "auto" of a config by the value with which a run began. On another kind of device, kernels stay.

    Raises:
        ConfigError: The run began compiled, and this machine has no compiler.
    """
    if new.compile == AUTO and old.compile is True and not has_compiler(device):
        raise ConfigError(
            "compile is true since the run began, and this machine lacks a C++ compiler (on a GPU: a C compiler or "
            "Triton); install it, or give --compile false, which rounds otherwise"
        )
    changes: dict[str, Any] = {
        name: getattr(old, name) for name in ("dtype", "residual", "compile") if getattr(new, name) == AUTO
    }
    if on_same_device:
        changes["kernels"] = Kernels(
            **{
                name: getattr(old.kernels if getattr(new.kernels, name) == AUTO else new.kernels, name)
                for name in OPERATIONS
            }
        )
    return replace(new, **changes)


def has_compiler(device: torch.device) -> bool:
    """Return whether this machine has what torch.compile calls: a C++ compiler, or Triton and a C compiler."""
    if device.type == "cuda":
        names = (os.environ.get("CC"), "cc", "gcc", "clang")
        return importlib.util.find_spec("triton") is not None and any(map(shutil.which, filter(None, names)))
    return any(map(shutil.which, filter(None, (os.environ.get("CXX"), "g++", "clang++"))))


def automatic_keys(config: TrainConfig) -> list[str]:
    """Return the dotted names of the keys that are "auto" and will be replaced."""
    return [name for name, value in keys(config) if value == AUTO and name != "device"]


def as_asked(config: TrainConfig, names: Collection[str]) -> TrainConfig:
    """Return a config with "auto" at these keys, as it was before they were chosen."""
    changes: dict[str, Any] = {name: AUTO for name in names if not name.startswith("kernels.")}
    kernels: dict[str, Any] = {n.removeprefix("kernels."): AUTO for n in names if n.startswith("kernels.")}
    return replace(config, **changes, kernels=replace(config.kernels, **kernels))


def _dtype(config: TrainConfig, device: torch.device) -> tuple[Dtype, str]:
    if config.implementation == "reference":
        return "float32", "the formulas are computed in it"
    if device.type == "cuda":
        major, minor = torch.cuda.get_device_capability(device)
        if (major, minor) >= AMPERE:
            return "bfloat16", f"this GPU, of compute capability {major}.{minor}, multiplies it on its tensor cores"
        return "float32", f"this GPU, of compute capability {major}.{minor}, has no bfloat16"
    if device.type != "cpu":
        return "float32", f"reduced precision is never chosen on {device.type}"
    if config.deterministic:
        if _core.kernels_are_available():
            return "bfloat16", "this CPU has instructions for its products"
        return "float32", "this CPU has no instructions for products of bfloat16"
    times = {dtype: _seconds_of_product(dtype) for dtype in (torch.float32, torch.bfloat16)}
    ratio = times[torch.float32] / times[torch.bfloat16]
    if ratio >= _FASTER:
        return "bfloat16", f"a matrix product in it takes 1/{ratio:.1f} of the time of float32's here"
    return "float32", "matrix products in bfloat16 are no faster here"


def _residual(config: TrainConfig, device: torch.device) -> tuple[Dtype, str]:
    if config.products_in == "float32":
        return "float32", "matrix products are in float32"
    if device.type == "cuda":
        return "bfloat16", "norms and additions move half the bytes, and losses agree within what a seed changes"
    if device.type == "cpu":
        return "float32", "the kernels of norms on a CPU take streams in float32 only"
    return "float32", f"another format is untested on {device.type}"


def _compile(config: TrainConfig, device: torch.device) -> tuple[bool, str]:
    flops = config.steps * config.tokens_per_step * training_flops_per_token(config.model)
    if config.implementation == "reference":
        return False, "the formulas are computed as they are written"
    if device.type == "cpu":
        pays = flops >= _CPU_FLOPS
    elif device.type == "cuda":
        pays = flops >= _CUDA_FLOPS or config.steps >= _CUDA_STEPS
    else:
        return False, f"it is untested on {device.type}"
    if pays and not has_compiler(device):
        return False, "it would pay, and this machine has no compiler"
    if pays:
        return True, "the run is long enough to pay for it"
    return False, "the run is too short to pay for it"


def _kernel(operation: Any, config: TrainConfig, device: torch.device) -> tuple[Any, str]:
    if config.implementation == "reference":
        return "torch", "the formulas are computed by torch"
    here = forms_here(operation, device.type)
    if operation == "linear" and device.type == "cpu" and len(here) > 1 and not config.deterministic:
        return faster_float32_library(here[0].name), "it was not slower in three products now"
    if operation == "attention" and device.type == "cuda":
        return _attention_on_a_gpu(config, device)
    return here[0].name, here[0].because


def _attention_on_a_gpu(config: TrainConfig, device: torch.device) -> tuple[str, str]:
    """Return the fastest kernel for the shape of a step, or with `deterministic` the one that a rule names."""
    model = config.model
    dtype = torch.bfloat16 if config.products_in == "bfloat16" else torch.float32
    if config.deterministic:
        return deterministic_attention(dtype, device), "it gives equal bits, with torch's deterministic algorithms"
    rows = min(config.micro_batch_size or config.batch_size, max(_MOST_TOKENS // model.context_length, 1))
    sizes = rows, model.num_heads, model.context_length, model.d_model // model.num_heads
    try:
        found = measure_attention(*sizes, dtype, device, rotates=model.position == "rope")
    except (OptionError, torch.OutOfMemoryError):
        return "torch", "none could be measured for this shape"
    times = ", ".join(f"{name} {1e6 * seconds:,.0f}" for name, seconds in found.seconds.items())
    return found.fastest, f"it was the fastest now, in us a layer: {times}"


def _seconds_of_product(dtype: torch.dtype) -> float:
    a = torch.ones(512, 512, dtype=dtype)

    def seconds() -> float:
        start = time.perf_counter()
        _ = a @ a
        return time.perf_counter() - start

    return min(seconds() for _ in range(5))
