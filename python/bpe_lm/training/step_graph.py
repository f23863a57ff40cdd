"""A training step as one CUDA graph, for a GPU that computes a step faster than the host launches its kernels.

The graph holds the kernels of a step that was launched before, with the addresses of their tensors. A replay costs the
host a few launches instead of hundreds, and its results are those of a launched step, to the bit. So a run may decide
by its own speed, in the middle, and nothing of that is kept.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from bpe_lm.training.measures import Measures
from bpe_lm.training.prefetch import Batch

Replay = Callable[[], Any]
Capture = Callable[[Callable[[], None]], Replay]

_FEWEST_STEPS = 10
"""The measured steps that a decision needs."""

_HOST_SHARE = 0.25
"""A graph pays if the host needs more than this share of a step's time to launch it. On an H200 it took 0.4 ms off a
step of 62 ms that the host launched in 0.48 of its time."""


class StepGraph:
    """A step in memory of its own: inputs are copied there before a replay, and measures are copied out after it."""

    def __init__(self, step: Callable[[Batch], Measures], batch: Batch, capture: Capture):
        """Capture a step, which is not computed.

        Args:
            step: Launches a step. All that changes from step to step is in its batch, or in tensors on the device.
            batch: A batch of the shapes that all batches have.
            capture: Calls a function while it records the kernels, and returns a function that launches them.
        """
        self._batch = Batch(*(None if tensor is None else _copy(tensor) for tensor in batch))  # type: ignore[arg-type]
        self._measures: list[Tensor] = []

        def captured() -> None:
            measures = step(self._batch)
            values = [value for value in measures if value is not None]
            self._measures = [torch.stack([value.to(torch.float64) for value in values])]

        self._replay = capture(captured)

    def __call__(self, batch: Batch) -> Measures:
        """Launch the step with a batch."""
        for own, other in zip(self._batch, batch, strict=True):
            if own is not None and other is not None:
                own.copy_(other)
        self._replay()
        loss, norm, *bad = self._measures[0].clone()  # The next replay writes to the same place.
        return Measures(loss, norm, bad[0] if bad else None)


def _copy(tensor: Tensor) -> Tensor:
    """Copy a tensor with its strides, which `clone` gives up where they leave gaps: a compiled step depends on them."""
    own = torch.empty_strided(tensor.size(), tensor.stride(), dtype=tensor.dtype, device=tensor.device)
    return own.copy_(tensor)


def capture_cuda(function: Callable[[], None]) -> Replay:
    """Capture the kernels that a function launches. Other threads may use the device meanwhile.

    torch gives the device's unused memory back before, so the graph takes the place of what a launched step used.
    """
    graph = torch.cuda.CUDAGraph()
    # Outside, because torch 2.11 leaves the stream of a capture in use if the capture ends with an error.
    with torch.cuda.stream(torch.cuda.current_stream()), torch.cuda.graph(graph, capture_error_mode="thread_local"):
        function()
    return graph.replay


def warn_not_captured(error: Exception) -> None:
    """Warn that the host launches each kernel of each step."""
    reason = next(iter(str(error).strip().splitlines()), type(error).__name__)
    warnings.warn(f"CUDA could not capture a step ({reason}); steps are launched one by one", stacklevel=2)


class Pace:
    """Whether the host is what limits a run: its time to launch a step, beside the time of a step.

    A launch is measured where the device has nothing to do: a full queue of kernels would let the host wait.
    """

    def __init__(self) -> None:
        self._launch, self._was_read = 0.0, False
        self._steps, self._host, self._seconds = 0, 0.0, 0.0

    def launched(self, seconds: float) -> None:
        """Take the time that a launch took. Only the first after a read counts."""
        if self._was_read:
            self._launch, self._was_read = seconds, False

    def read(self, steps: int, seconds: float) -> bool:
        """Take the time of the steps until a read. Returns whether a graph pays.

        Steps of which no launch was measured do not count: those before the first read, the first of which compiles,
        and those of a graph. A run that reads each step is judged by the sum over some reads.
        """
        launch, self._launch, self._was_read = self._launch, 0.0, True
        if not launch:
            return False
        self._steps += steps
        self._host += launch * steps
        self._seconds += seconds
        if self._steps < _FEWEST_STEPS:
            return False
        pays = self._host > _HOST_SHARE * self._seconds
        self._steps, self._host, self._seconds = 0, 0.0, 0.0
        return pays
