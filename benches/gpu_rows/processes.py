"""The parent's side of the process of a variant."""

from __future__ import annotations

import json
import os
import queue
import signal
import subprocess
import sys
import threading
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

Event = dict[str, Any]


class Process:
    """A process of its own group, its messages, and a file with whatever else it prints."""

    def __init__(self, script: Path, task: str, log: Path, environment: dict[str, str]):
        self._log, self._events = log, queue.Queue[Event]()
        with log.open("w") as stderr:
            self._process = subprocess.Popen(
                [sys.executable, str(script), "--worker", task],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=stderr,
                text=True,
                start_new_session=True,
                env=os.environ | environment,
            )
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            with suppress(ValueError):
                self._events.put(json.loads(line))
        self._process.wait()
        self._events.put({"event": "failed", "error": self._last_words()})

    def _last_words(self) -> str:
        """Return why the process ended: its last line, or its status."""
        with suppress(OSError):
            lines = self._log.read_text(errors="replace").strip().splitlines()
            if lines:
                return lines[-1]
        return f"ended with status {self._process.returncode}"

    def ask(self, seconds: float) -> None:
        """Ask for a turn that takes about so long."""
        assert self._process.stdin is not None
        with suppress(OSError):  # It has ended, and its last event says so.
            self._process.stdin.write(json.dumps({"turn": seconds}) + "\n")
            self._process.stdin.flush()

    def event(self, until: float) -> Event | None:
        """Return the next message, or None if there is none until then (`time.monotonic`)."""
        try:
            return self._events.get(timeout=max(until - time.monotonic(), 0.001))
        except queue.Empty:
            return None

    def end(self) -> None:
        """End the process, and those that it started."""
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        self._thread.join(timeout=1)
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                with suppress(OSError):
                    pipe.close()
