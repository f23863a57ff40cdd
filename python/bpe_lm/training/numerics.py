"""How a run computes, beside its formulas: its kernels, TF32 on a GPU, and deterministic algorithms.

These are settings of the whole process, in torch and in this package. They hold in a context, so that two trainers in
one process may take steps in turn.

Why is `deterministic` not always on? On a GPU it forbids additions in any order (atomic additions), and with them
kernels that torch has no other form of: the backward pass of cuDNN's attention, and the choice of a compiled kernel by
its time. On a CPU nothing here adds in any order.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import torch

from bpe_lm.kernels.choices import using
from bpe_lm.kernels.compiler import compiling_deterministically
from bpe_lm.kernels.gpu_attention import is_attention_kernel, use_attention
from bpe_lm.training.config import TrainConfig

_CUBLAS = "CUBLAS_WORKSPACE_CONFIG"
"""The variable that gives cuBLAS a workspace of fixed size, without which its results depend on other streams. cuBLAS
reads it when it is first used."""


def prepare(config: TrainConfig, device: torch.device) -> None:
    """Set what must be set before a GPU is first used."""
    if config.deterministic and device.type == "cuda":
        os.environ.setdefault(_CUBLAS, ":4096:8")


@contextmanager
def numerics(config: TrainConfig, device: torch.device) -> Iterator[None]:
    """Compute as a config asks while the context lasts. "auto" must have been replaced."""
    with ExitStack() as stack:
        stack.enter_context(using(config.kernels))
        stack.enter_context(_tensor_float_32(device))
        if device.type == "cuda" and is_attention_kernel(config.kernels.attention):
            use_attention(config.kernels.attention)
        if config.deterministic:
            stack.enter_context(_deterministic())
        if config.deterministic and config.is_compiled:
            stack.enter_context(compiling_deterministically())
        yield


@contextmanager
def _tensor_float_32(device: torch.device) -> Iterator[None]:
    """Multiply float32 matrices in TF32 on an NVIDIA GPU: 10 bits of fraction, sums in float32, 7 times as fast."""
    if device.type != "cuda":
        yield
        return
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("high")
    try:
        yield
    finally:
        torch.set_float32_matmul_precision(before)


@contextmanager
def _deterministic() -> Iterator[None]:
    settings: Any = torch.utils.deterministic
    before, fills = torch.are_deterministic_algorithms_enabled(), settings.fill_uninitialized_memory
    torch.use_deterministic_algorithms(True)
    # Memory that is not initialized is always written before it is read here, and filling it would take a pass.
    settings.fill_uninitialized_memory = False
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(before)
        settings.fill_uninitialized_memory = fills
