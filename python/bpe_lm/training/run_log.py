"""The records of a run: one JSON object per line of metrics.jsonl, and Weights & Biases if the config asks for it."""

from __future__ import annotations

import hashlib
import json
import platform
import time
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import torch

from bpe_lm import _core
from bpe_lm.errors import FileError
from bpe_lm.files import finite, write_whole
from bpe_lm.training.config import TrainConfig

METRICS = "metrics.jsonl"
Record = Mapping[str, Any]


class RunLog:
    """The file `metrics.jsonl`, open to add records after a step. The first line identifies the run; the kinds of the
    others are "train", "valid" and "skip".
    """

    def __init__(self, folder: Path, config: TrainConfig, step: int, wandb_id: str | None = None):
        self._path = folder / METRICS
        old = [record for record in read_records(self._path) if record.get("step", 0) <= step] if step else []
        # A resumed run may have another config, such as more steps.
        began_at = old[0].get("time") if old and old[0].get("kind") == "run" else None
        first = {"kind": "run", **_identity(config), "time": began_at or time.time()}
        records = [first, *(record for record in old if record.get("kind") != "run")]
        # The file is replaced whole, because a kill while it is rewritten would lose earlier records.
        write_whole(self._path, "".join(json.dumps(record) + "\n" for record in records).encode())
        try:
            self._file = self._path.open("a", encoding="utf-8")
        except OSError as error:
            raise self._failed(error) from error
        self._wandb = _start_wandb(config, folder, wandb_id) if config.wandb_project else None

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
        if self._wandb is not None:
            try:
                self._wandb(record)
            except Exception as error:
                self._wandb = None
                warnings.warn(f"Weights & Biases failed ({error}); training goes on without it", stacklevel=2)

    def close(self) -> None:
        """Close the file. Errors are ignored here, because `write` has raised them."""
        with suppress(OSError):
            self._file.close()
        if self._wandb is not None:
            with suppress(Exception):
                import wandb

                wandb.finish()

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


def _start_wandb(config: TrainConfig, folder: Path, run_id: str | None) -> Callable[[Record], None] | None:
    try:
        import wandb

        name = folder.resolve().name
        run = wandb.init(project=config.wandb_project, name=name, id=run_id, resume="allow", config=config.as_dict())
    except Exception as error:
        warnings.warn(f"Weights & Biases did not start ({error}); training goes on without it", stacklevel=3)
        return None

    def log(record: Record) -> None:
        kind = record["kind"]
        run.log({f"{kind}/{name}": value for name, value in record.items() if name != "kind"}, step=record["step"])

    return log
