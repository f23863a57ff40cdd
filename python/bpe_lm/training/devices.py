"""The device of a run, and the device's peak rate of floating-point operations."""

from __future__ import annotations

import re
import textwrap
import time

import torch

from bpe_lm.errors import ConfigError
from bpe_lm.kernels.gpu import AMPERE
from bpe_lm.kernels.implementation import Dtype
from bpe_lm.kernels.linear import linear
from bpe_lm.machine import total_memory
from bpe_lm.training.parallel import local_device

PEAK_FLOPS = {
    "B200": (2250e12, 75e12),
    "H200 NVL": (835e12, 60e12),
    "H200": (989e12, 67e12),
    "H100 NVL": (835e12, 60e12),
    "H100 PCIe": (756e12, 51e12),
    "H100": (989e12, 67e12),
    "A100": (312e12, 19.5e12),
    "L40S": (362e12, 91.6e12),
    "L4": (121e12, 30.3e12),
    "T4": (65e12, 8.1e12),
    "4090": (165e12, 82.6e12),
    "3090": (71e12, 35.6e12),
}
"""Peak FLOP/s of each GPU: in dense bfloat16 (T4: float16), and in float32 without TF32.

A key is a part of the GPU's name. The sources are NVIDIA's data sheets of HGX B200 (an eighth of it), H200 (SXM, NVL),
H100 (SXM, NVL; PCIe in the edition of 2022), A100, L40S, L4 and T4, and the white papers of Ada and GA102. Figures for
tensor cores "with sparsity" are twice as high.
"""

PEAK_TF32 = {"A100": 156e12, "H100": 495e12, "B200": 1125e12}
"""Peak FLOP/s in dense TF32, from the same data sheets. The course's handouts use the figures of A100 and H100.

That of any GPU with TF32 is half of its peak in bfloat16."""


def device_of(name: str) -> torch.device:
    """Open the device of this name, or for "auto" the fastest of this machine. mps is untested.

    Raises:
        ConfigError: This machine has no such device.
    """
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "mps" if torch.backends.mps.is_available() else "cpu"
    try:
        device = local_device(torch.device(name))
        torch.empty(0, device=device)
        if device.type not in ("cpu", "cuda", "mps"):
            raise RuntimeError("one of cpu, cuda, mps")
        return device
    except (RuntimeError, AssertionError) as error:
        reason = textwrap.shorten(str(error).partition(". ")[0], 120, placeholder=" ...")
        raise ConfigError(f"device is {name!r}, which this machine lacks ({reason}); try cpu") from error


def device_of_run(name: str) -> torch.device:
    """Return the kind of device on which a run with this `device` trains here: a CPU if there is no CUDA GPU."""
    asks_for_gpu = name == "auto" or name.startswith("cuda")
    return torch.device("cuda" if asks_for_gpu and torch.cuda.is_available() else "cpu")


def accounted_device(name: str) -> torch.device:
    """Return the kind of device whose cost is predicted for a run with this `device`: a GPU need not be here."""
    return torch.device("cuda") if name.startswith("cuda") else device_of_run(name)


def device_memory(device: torch.device) -> int | None:
    """Return the bytes of a device's memory: of this machine for a CPU, and None for a GPU that is not here."""
    if device.type != "cuda":
        return total_memory()
    return torch.cuda.get_device_properties(device).total_memory if torch.cuda.is_available() else None


def gpu_name(device: torch.device) -> str | None:
    """Return the name of a GPU, or None for a CPU."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    return None if device.type == "cpu" else device.type


def peak_of(gpu: str, dtype: Dtype) -> float | None:
    """Return the peak FLOP/s of a GPU by its name, or None for an unknown GPU and for a part of a GPU (MIG)."""
    known = (peaks for part, peaks in PEAK_FLOPS.items() if re.search(rf"\b{part}\b", gpu) and "MIG" not in gpu)
    bfloat16, float32 = next(known, (None, None))
    return bfloat16 if dtype == "bfloat16" else float32


def peak_flops(device: torch.device, dtype: Dtype) -> float | None:
    """Return the peak FLOP/s for MFU: from the data sheet of a known GPU, or of a CPU by a matrix product now."""
    if device.type == "cuda":
        name = torch.cuda.get_device_name(device)
        if dtype == "float32" and torch.cuda.get_device_capability(device) >= AMPERE:
            bfloat16 = peak_of(name, "bfloat16")
            return None if bfloat16 is None else bfloat16 / 2  # Trainings multiply float32 in TF32.
        return peak_of(name, dtype)
    if device.type != "cpu":
        return None
    a = torch.ones(1024, 1024, dtype=torch.bfloat16 if dtype == "bfloat16" else torch.float32)
    best = float("inf")
    for _ in range(5):
        start = time.perf_counter()
        _ = linear(a, a)
        best = min(best, time.perf_counter() - start)
    return 2 * 1024**3 / best
