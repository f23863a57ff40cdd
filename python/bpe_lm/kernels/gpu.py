"""Tensors for the kernels in Triton, which run on NVIDIA's GPUs from Ampere on."""

from __future__ import annotations

import os
import shutil
import sysconfig
from functools import cache
from importlib.util import find_spec
from pathlib import Path

import torch
from torch import Tensor

from bpe_lm.kernels.compiler import constant_when_compiled
from bpe_lm.kernels.simulated import simulated

AMPERE = (8, 0)
"""The compute capability of the first GPUs with bfloat16 and TF32, for which the kernels are compiled in the tests."""


def supports_triton(tensor: Tensor) -> bool:
    """Return whether the kernels run on the tensor's device and take its format: float32 or bfloat16."""
    is_narrow = tensor.dtype in (torch.float32, torch.bfloat16)
    if device := simulated():
        return is_narrow and device.has_triton
    return tensor.device.type == "cuda" and is_narrow and runs_triton(tensor.device.index)


@constant_when_compiled
def runs_triton(index: int | None) -> bool:
    """Return whether Triton is installed and works on this GPU. AMD's GPUs are untested."""
    return _has_triton() and _is_ampere_or_later(index)


@cache
def _has_triton() -> bool:
    """Return whether Triton is installed, and has the C compiler and Python's headers with which it builds a part."""
    has_compiler = bool(os.environ.get("CC") or shutil.which("gcc") or shutil.which("clang"))
    has_headers = Path(sysconfig.get_path("include"), "Python.h").exists()
    return torch.version.hip is None and find_spec("triton") is not None and has_compiler and has_headers


@cache
def _is_ampere_or_later(index: int | None) -> bool:
    return torch.cuda.is_available() and torch.cuda.get_device_capability(index) >= AMPERE
