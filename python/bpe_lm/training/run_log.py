"""The records of a run: one JSON object per line of metrics.jsonl, and the trackers that the config asks for."""

from __future__ import annotations

import hashlib
import json
import platform
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import torch

from bpe_lm import _core
from bpe_lm.errors import FileError
from bpe_lm.files import finite, write_whole
from bpe_lm.training.config import TrainConfig
from bpe_lm.training.trackers import Record, TrackedRun, Trackers

METRICS = "metrics.jsonl"


class RunLog:
    """The file `metrics.jsonl`, open to add records after a step. The first line identifies the run; the kinds of the
    others are "train", "valid" and "skip".
    """

    def __init__(self, folder: Path, config: TrainConfig, step: int, about: Record | None = None, tracker_id: str = ""):
        """Open the file, and write its first line. It has `about` too: what else identifies the run."""
        self._path = folder / METRICS
        old = [record for record in read_records(self._path) if record.get("step", 0) <= step] if step else []
        # A resumed run may have another config, such as more steps.
        began_at = old[0].get("time") if old and old[0].get("kind") == "run" else None
        first = {"kind": "run", **_identity(config), **(about or {}), "time": began_at or time.time()}
        records = [first, *(record for record in old if record.get("kind") != "run")]
        # The file is replaced whole, because a kill while it is rewritten would lose earlier records.
        write_whole(self._path, "".join(json.dumps(record) + "\n" for record in records).encode())
        try:
            self._file = self._path.open("a", encoding="utf-8")
        except OSError as error:
            raise self._failed(error) from error
        self._trackers = Trackers(TrackedRun(config, folder, tracker_id, step))

    def write(self, record: Record) -> None:
        """Add a line.

        Raises:
            FileError: The disk is full.
        """
        try:
            self._file.write(json.dumps(finite(record), allow_nan=False) + "\n")
            self._file.flush()
        except OSError as error:
            raise self._failed(error) from error
        self._trackers.write(record)

    def close(self) -> None:
        """Close the file. Errors are ignored here, because `write` has raised them."""
        with suppress(OSError):
            self._file.close()
        self._trackers.close()

    def _failed(self, error: OSError) -> FileError:
        return FileError(f"could not write {self._path}: {error.strerror}; make room, then --resume")


def read_records(path: Path) -> Iterator[dict[str, Any]]:
    """Yield the records of a file. A line that is not JSON, such as a last line that a crash cut off, is left out."""
    try:
        text = path.read_text(encoding="utf-8", errors="replace")
    except FileNotFoundError:
        return
    except OSError as error:
        raise FileError(f"could not read {path}: {error.strerror}") from error
    for line in text.splitlines():
        try:
            record = json.loads(line)
        except ValueError:
            continue
        if isinstance(record, dict):
            yield record


def config_sha256(config: TrainConfig) -> str:
    """Return the SHA-256 of a config, which identifies it."""
    return hashlib.sha256(json.dumps(config.as_dict(), sort_keys=True).encode()).hexdigest()


def _identity(config: TrainConfig) -> dict[str, Any]:
    versions = {"bpe_lm": _core.__version__, "torch": torch.__version__, "python": platform.python_version()}
    return {"config_sha256": config_sha256(config), "versions": versions}
