"""A thread that writes checkpoints while training goes on.

Checkpoints are written one after another, in the order in which they were taken: a checkpoint names the best loss, so
the best weights must be on the disk before it. After a failed write nothing more is written.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Self

from bpe_lm.training.host_copies import HostCopies


class CheckpointWriter:
    """Writes the checkpoints of a run in a thread, and keeps the copies that it writes from."""

    def __init__(self) -> None:
        self._thread = ThreadPoolExecutor(1, "checkpoint")
        self._writes: dict[Path, Future[None]] = {}
        self._copies: dict[Path, HostCopies] = {}
        self._error: BaseException | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    @property
    def has_failed(self) -> bool:
        """Whether a write has failed."""
        return self._error is not None

    def check(self) -> None:
        """Raise the error of a failed write, without waiting.

        Raises:
            FileError: A checkpoint could not be written.
        """
        if self._error is not None:
            raise self._error

    def copies_for(self, folder: Path) -> HostCopies:
        """Wait until the last checkpoint in a folder is written. Returns what copies the tensors of the next.

        Raises:
            FileError: A checkpoint could not be written.
        """
        if folder in self._writes:
            self._writes[folder].result()
        self.check()
        return self._copies.setdefault(folder, HostCopies())

    def start(self, folder: Path, write: Callable[[], None]) -> None:
        """Call a function in the thread, after those before it. It writes a checkpoint into a folder."""
        self._writes[folder] = self._thread.submit(self._run, write)

    def _run(self, write: Callable[[], None]) -> None:
        if self._error is not None:
            return
        try:
            write()
        except BaseException as error:
            self._error = error

    def wait(self) -> None:
        """Wait until everything is written. Errors are left to `check`."""
        for write in self._writes.values():
            write.result()

    def finish(self) -> None:
        """Wait until everything is written.

        Raises:
            FileError: A checkpoint could not be written.
        """
        self.wait()
        self.check()

    def close(self) -> None:
        """Wait until everything is written, and end the thread. Errors are left to `check`."""
        self._thread.shutdown()
