"""The folder of a run: its state, its lock, and how the run ended.

A folder is a run if it has the config.json of a run or a checkpoint, and `--force` replaces nothing else. A marker file
exists from before the first change until config.json is written. It marks a run that was killed in between, which
begins anew. A run without the marker and without config.json is refused, because somebody has removed that file.
"""

from __future__ import annotations

import fcntl
import json
import re
import secrets
import shutil
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import IO, Any

from bpe_lm.errors import ConfigError, FileError, OutputBusy, OutputExists
from bpe_lm.files import check_file_target, check_folder_target, finite, read_json, write_whole
from bpe_lm.training.config import BEST, CHECKPOINTS, CHOSEN, CONFIG, CONFIG_FORMAT, DATA, TENSORBOARD, TrainConfig
from bpe_lm.training.run_checkpoint import find_checkpoints, forget_after
from bpe_lm.training.run_log import METRICS, read_records

RESULT, LOCK, BEGINNING, TRACKERS = "result.json", "lock", ".beginning", "trackers.json"

WANDB = "wandb.json"
"""The name of trackers.json in earlier versions."""


def is_our_config(path: Path) -> bool:
    """Return whether a file is the config.json of a run, of any version.

    Raises:
        FileError: The file could not be read.
    """
    if not path.exists():
        return False
    try:
        return {"model", "data", "optimizer", "schedule"} <= read_json(path).keys()
    except ConfigError:
        return False


@dataclass(frozen=True)
class TrainResult:
    """How a run ended: the content of `result.json`.

    `reason` is "finished", "time", "worse", "diverged" or "signal"; `signal` is that signal's name, and
    `message` says how the run diverged. `train_loss` is the last finite training loss, and `loss` and `best_loss` are
    validation losses. `config_sha256` is also in the first line of `metrics.jsonl`. `identity` has hashes of what the
    result depends on (`bpe_lm.training.identity`).
    """

    reason: str
    step: int
    tokens: int
    seconds: float
    train_loss: float | None
    loss: float | None
    best_loss: float | None
    config_sha256: str
    identity: Mapping[str, str]
    folder: Path
    signal: str | None = None
    message: str | None = None

    def as_dict(self) -> dict[str, Any]:
        """The result as JSON values."""
        return asdict(self) | {"folder": str(self.folder)}

    @classmethod
    def of(cls, content: Mapping[str, Any], folder: Path) -> TrainResult:
        """Build a result from the values that `as_dict` returned. The run is in `folder` now.

        Raises:
            KeyError: A field is missing.
        """
        return cls(folder=folder, **{f.name: content[f.name] for f in fields(cls) if f.name != "folder"})


@dataclass(frozen=True)
class Chosen:
    """What was chosen when a run began: the kind of device, and the keys that were "auto" and were replaced."""

    device: str
    keys: list[str]

    @classmethod
    def read(cls, path: Path) -> Chosen | None:
        """Read what was chosen from a run's config.json; None if an older version wrote it.

        Raises:
            FileError: The file could not be read.
            ConfigError: The file is damaged.
        """
        content = read_json(path).get(CHOSEN)
        try:
            return None if content is None else cls(str(content["device"]), [str(name) for name in content["keys"]])
        except (KeyError, TypeError) as error:
            raise ConfigError(f"{path}: {CHOSEN} is damaged: {error}") from None


class RunFolder:
    """The folder of a run that exists or will begin."""

    def __init__(self, path: Path):
        self.path = path
        self._lock: IO[bytes] | None = None

    def enter(self, *, resume: bool, force: bool) -> bool:
        """Lock the folder. Returns whether it has a run to go on with. Nothing but a run is ever replaced.

        Raises:
            OutputExists: As in `check`.
            OutputBusy: Another process trains in the folder.
            FileError: The folder could not be read or written.
        """
        self.check(resume=resume, force=force)
        self.lock()
        return self.check(resume=resume, force=force)

    def check(self, *, resume: bool, force: bool) -> bool:
        """Return whether the folder has a run to go on with.

        Raises:
            OutputExists: The folder has a run that is neither resumed nor replaced, a run without config.json, or
                something else, which is never replaced.
            FileError: The folder could not be read.
        """
        check_folder_target(self.path)
        has_config = (self.path / CONFIG).exists()
        if (self.path / BEGINNING).exists() and not has_config:
            return False
        if not self._is_run():
            self._check_has_nothing_else()
            return False
        if force:
            return False
        if not has_config:
            raise OutputExists(
                f"{self.path} has checkpoints and no {CONFIG}; put that file back to go on, name another folder, or "
                "delete the checkpoints with --force"
            )
        if not resume:
            raise OutputExists(f"{self.path} has a run already; name another folder, or give --resume or --force")
        return True

    def check_lost_none(self, checkpoint_every: int) -> None:
        """Check that a run without a checkpoint never had one, so that beginning anew loses nothing.

        Raises:
            OutputExists: The run has done steps after which it had a checkpoint.
            FileError: A file could not be read.
        """
        result = self.result()
        if result is not None and result.reason != "diverged":
            step = result.step
        else:
            # A step's record comes before its checkpoint. Weights that are not finite are not saved.
            steps = (r.get("step") for r in read_records(self.path / METRICS) if r.get("loss") is not None)
            step = max((step for step in steps if isinstance(step, int)), default=0)
            step = step if step > checkpoint_every else 0
        if step:
            raise OutputExists(
                f"the run in {self.path} has done {step:,} steps, but its {CHECKPOINTS} are gone; put them back to go "
                "on, or begin anew with --force or in another folder"
            )

    def _is_run(self) -> bool:
        return bool(self._checkpoints()) or is_our_config(self.path / CONFIG)

    def _checkpoints(self) -> list[Path]:
        return [path for name in (CHECKPOINTS, BEST) for path in find_checkpoints(self.path / name)]

    def _check_has_nothing_else(self) -> None:
        try:
            names = sorted(path.name for path in self.path.iterdir()) if self.path.exists() else []
        except OSError as error:
            raise FileError(f"could not read {self.path}: {error.strerror}") from error
        other = [name for name in names if name != LOCK and not re.fullmatch(r"\.beginning\.\d+\.partial", name)]
        if other:
            raise OutputExists(
                f"{self.path} has {other[0]} and is not a run; only a run is ever replaced; name another folder"
            )

    def lock(self) -> None:
        """Keep other processes from training in the folder until `close`.

        Raises:
            OutputBusy: Another process trains in the folder.
            FileError: The folder cannot be written.
        """
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            check_file_target(self.path / LOCK)
            lock = (self.path / LOCK).open("ab")
        except OSError as error:
            if isinstance(error, OutputExists | FileError):
                raise
            raise FileError(f"could not write into {self.path}: {error.strerror}") from error
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            lock.close()
            raise OutputBusy(f"another process trains in {self.path}; wait for it, or name another folder") from error
        self._lock = lock

    def close(self) -> None:
        """Release the lock."""
        if self._lock is not None:
            self._lock.close()
            self._lock = None

    def begin(self, config: TrainConfig, chosen: Chosen, data: Mapping[str, Any]) -> None:
        """Begin a new run. config.json marks a folder as a run: it is deleted first and written last.

        Raises:
            FileError: A file could not be written.
        """
        try:
            write_whole(self.path / BEGINNING, b"")
            for name in (CONFIG, RESULT, METRICS, TRACKERS, WANDB):
                (self.path / name).unlink(missing_ok=True)
            shutil.rmtree(self.path / TENSORBOARD, ignore_errors=True)
            for name in (CHECKPOINTS, BEST):
                forget_after(self.path / name, -1)
            self._write(DATA, data)
            self._finish_beginning(config, chosen)
        except OSError as error:
            raise self._failed(error) from error

    def go_on(self, config: TrainConfig, chosen: Chosen, step: int) -> None:
        """Prepare a run to go on from a step. The best checkpoint stays, even if it is of a later step.

        Raises:
            FileError: A file could not be written.
        """
        try:
            (self.path / RESULT).unlink(missing_ok=True)
            forget_after(self.path / CHECKPOINTS, step)
            self._finish_beginning(config, chosen)
        except OSError as error:
            raise self._failed(error) from error

    def _finish_beginning(self, config: TrainConfig, chosen: Chosen) -> None:
        self._write(CONFIG, {"format": CONFIG_FORMAT} | config.as_dict() | {CHOSEN: asdict(chosen)})
        (self.path / BEGINNING).unlink(missing_ok=True)

    def _failed(self, error: OSError) -> OSError:
        if isinstance(error, OutputExists | FileError):
            return error
        return FileError(f"could not write into {self.path}: {error.strerror}")

    def _write(self, name: str, content: Mapping[str, Any]) -> None:
        write_whole(self.path / name, (json.dumps(finite(content), indent=2, allow_nan=False) + "\n").encode())

    def write_result(self, result: TrainResult) -> None:
        """Write `result.json`, the last file of a run.

        Raises:
            FileError: The file could not be written.
        """
        content = result.as_dict()
        del content["folder"]  # The folder may be moved.
        self._write(RESULT, content)

    def result(self) -> TrainResult | None:
        """Read how the run ended. Returns None if it has not ended, or if an older version wrote the file.

        Raises:
            FileError: The file could not be read.
        """
        if not (self.path / RESULT).exists():
            return None
        try:
            return TrainResult.of(read_json(self.path / RESULT), self.path)
        except (ConfigError, KeyError):
            return None

    def result_as_dict(self) -> dict[str, Any] | None:
        """Return `result` as JSON values."""
        result = self.result()
        return None if result is None else result.as_dict()

    def tracker_id(self) -> str:
        """Return the run's id at trackers such as Weights & Biases, which stays the same after a resume."""
        for path in (self.path / TRACKERS, self.path / WANDB):
            if path.exists() and "id" in (content := read_json(path)):
                return str(content["id"])
        found = secrets.token_hex(8)
        self._write(TRACKERS, {"id": found})
        return found
