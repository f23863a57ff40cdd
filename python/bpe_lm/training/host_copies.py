"""Copies of a run's tensors in the host's memory, from which a checkpoint is written while training goes on."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from bpe_lm.training.checkpoint import copied


class HostCopies:
    """Copies tensors to the host. The memory for tensors of a GPU is pinned, and used again by the next call.

    So the copies of a call are valid until the next call. Pinned memory is copied at the full speed of the bus.
    """

    def __init__(self) -> None:
        self._buffers: dict[str, Tensor] = {}

    def __call__(self, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Copy tensors, and wait until all copies are complete."""
        copies = {name: self._copied(name, tensor.detach()) for name, tensor in tensors.items()}
        for device in {tensor.device for tensor in tensors.values() if tensor.is_cuda}:
            torch.cuda.current_stream(device).synchronize()
        return copies

    def _copied(self, name: str, tensor: Tensor) -> Tensor:
        if not tensor.is_cuda:
            return copied(tensor)
        buffer = self._buffers.get(name)
        if buffer is None or (buffer.shape, buffer.dtype) != (tensor.shape, tensor.dtype):
            buffer = self._buffers[name] = _pinned(tensor)
        return buffer.copy_(tensor, non_blocking=True)


def _pinned(like: Tensor) -> Tensor:
    """Create a tensor in pinned memory, or in ordinary memory if the system pins no more."""
    try:
        return torch.empty(like.shape, dtype=like.dtype, pin_memory=True)
    except RuntimeError:
        return torch.empty(like.shape, dtype=like.dtype)
