"""The kind of device whose forms compute a tensor: that of the tensor, or of a GPU that is simulated.

`bpe_lm.kernels.allocation` simulates a step of a GPU with tensors that have no content and lie on the CPU, because
torch's gradients need a real GPU for tensors that only claim to be on one. So a kernel that is chosen by the kind of
device asks `kind_of`, and not the tensor.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from torch import Tensor


@dataclass(frozen=True)
class SimulatedDevice:
    """A device that has no tensors: its kind, and whether Triton's kernels run on it."""

    kind: str
    has_triton: bool


_simulated: SimulatedDevice | None = None


def simulated() -> SimulatedDevice | None:
    """Return the device that is simulated, if one is."""
    return _simulated


def kind_of(tensor: Tensor) -> str:
    """Return "cpu", "cuda" or another kind of device."""
    return tensor.device.type if _simulated is None else _simulated.kind


@contextmanager
def simulating(device: SimulatedDevice) -> Iterator[None]:
    """Let the whole process choose kernels as on a device while the context lasts."""
    global _simulated
    before, _simulated = _simulated, device
    try:
        yield
    finally:
        _simulated = before
