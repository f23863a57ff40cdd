"""Batches that a thread fetches while the step before them runs.

The thread gathers tokens as int64 into one of two buffers, and copies them to the device on a stream of its own. There
ids beyond the vocabulary are replaced and reported: the host cannot wait for a check. Each call of the device in the
thread delays the thread that launches the step, so there are few of them.
"""

from __future__ import annotations

from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import AbstractContextManager, nullcontext
from typing import Any, NamedTuple

import torch
from torch import Tensor

from bpe_lm.training.batches import Batches, rows_of


class Batch(NamedTuple):
    """Inputs and targets of a step, of shape (rows, seq), and whether the device found an id beyond the vocabulary.

    If so, all such ids are replaced by 0, and the step may change nothing.
    """

    inputs: Tensor
    targets: Tensor
    has_bad_ids: Tensor | None = None


class Prefetch:
    """The batches of consecutive steps, one of which is fetched ahead. Any other step is fetched when it is asked for.

    On a GPU the buffers are in pinned memory. On a CPU this class does the same without a stream, for tests.
    """

    def __init__(self, batches: Batches, rows: slice, device: torch.device):
        self._batches, self._rows, self._device = batches, rows, device
        self._thread = ThreadPoolExecutor(1, "batches")
        self._ahead: tuple[int, Future[_Fetched]] | None = None
        self._fetch = _Fetch(batches, rows, device)

    def __call__(self, step: int) -> Batch:
        """Return the batch of a step, and begin to fetch the next.

        Raises:
            Exception: Whatever the thread could not do.
        """
        ahead, self._ahead = self._ahead, None
        # The thread fetches one batch after another, so a wrong guess costs no more than its time.
        fetched = ahead[1] if ahead is not None and ahead[0] == step else self._thread.submit(self._fetch, step)
        self._ahead = step + 1, self._thread.submit(self._fetch, step + 1)
        return fetched.result().arrived()

    def close(self) -> None:
        """End the thread."""
        self._thread.shutdown(cancel_futures=True)


class _Fetched(NamedTuple):
    """A batch, and the event on the device after which it has arrived."""

    batch: Batch
    event: Any

    def arrived(self) -> Batch:
        """Return the batch for the current stream, which waits for it. The host does not wait."""
        if self.event is not None:
            stream = torch.cuda.current_stream(self.batch.inputs.device)
            stream.wait_event(self.event)
            for tensor in self.batch:
                if tensor is not None:
                    tensor.record_stream(stream)  # Its memory is not used again before the step is over.
        return self.batch


class _Fetch:
    """Fetches a batch into the two buffers in turns. Called by one thread."""

    def __init__(self, batches: Batches, rows: slice, device: torch.device):
        self._batches, self._rows, self._device = batches, rows, device
        shape = len(range(*rows.indices(batches.batch_size))), batches.context_length + 1
        self._stream = torch.cuda.Stream(device) if device.type == "cuda" else None  # type: ignore[no-untyped-call]
        self._buffers = [torch.empty(shape, dtype=torch.int64, pin_memory=self._stream is not None) for _ in range(2)]
        self._copied: list[Any] = [None, None]
        kind = batches.dataset.dtype
        self._may_be_negative = kind.kind == "i" or kind.itemsize == 8
        self._turn = 0

    def __call__(self, step: int) -> _Fetched:
        turn, self._turn = self._turn, 1 - self._turn
        buffer = self._buffers[turn]
        if self._copied[turn] is not None:
            self._copied[turn].synchronize()  # The copy before the last one has left this buffer.
        starts = self._batches.starts(step)[self._rows]
        buffer.numpy()[...] = rows_of(self._batches.dataset, starts, self._batches.context_length + 1)
        with self._on_stream():
            batch = self._on_device(buffer)
            if self._stream is not None:
                self._copied[turn] = self._stream.record_event()
        return _Fetched(batch, self._copied[turn])

    def _on_stream(self) -> AbstractContextManager[Any]:
        return nullcontext() if self._stream is None else torch.cuda.stream(self._stream)

    def _on_device(self, buffer: Tensor) -> Batch:
        ids = buffer.to(self._device, non_blocking=self._stream is not None, copy=True)
        is_bad = ids >= self._batches.vocab_size
        if self._may_be_negative:
            is_bad |= ids < 0
        ids.masked_fill_(is_bad, 0)
        return Batch(ids[:, :-1], ids[:, 1:], is_bad.any())
