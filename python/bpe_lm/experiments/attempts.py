"""The attempts at works: for each work a log, a lock and a record, in the folder `logs` of the study.

logs/NAME.log has what the process wrote to stderr and stdout. The process inherits that file with a lock, which the
system releases when the process has ended, whoever ends it. logs/NAME.json says which identity the work was begun with,
and how its process ended.
"""

from __future__ import annotations

import fcntl
import json
import os
import shlex
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import IO

from bpe_lm.errors import BpeLmError, FileError
from bpe_lm.files import read_json, write_whole

LOGS, CONFIGS = "logs", "configs"

_HEADER = "--- "
"""The beginning of the line in a log at which an attempt begins."""


@dataclass(frozen=True)
class Attempt:
    """The content of logs/NAME.json. `state` is "" while the process runs, and if its runner was killed."""

    identity: Mapping[str, str] = field(default_factory=dict)
    started: float = 0.0
    ended: float = 0.0
    state: str = ""
    message: str = ""


def attempt_path(study: Path, name: str) -> Path:
    """Return the path of the record of the last attempt at a work."""
    return study / LOGS / f"{name}.json"


def log_path(study: Path, name: str) -> Path:
    """Return the path of the log of a work."""
    return study / LOGS / f"{name}.log"


def read_attempt(study: Path, name: str) -> Attempt | None:
    """Read the record of the last attempt at a work. Returns None if there is none, or if it is damaged."""
    try:
        found = read_json(attempt_path(study, name))
        return Attempt(**{f.name: found[f.name] for f in fields(Attempt) if f.name in found})
    except (BpeLmError, TypeError):
        return None


def write_attempt(study: Path, name: str, attempt: Attempt) -> None:
    """Write the record of an attempt.

    Raises:
        FileError: The file cannot be written.
    """
    path = attempt_path(study, name)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_whole(path, (json.dumps(asdict(attempt)) + "\n").encode())


def study_of(run: Path) -> tuple[Path, str] | None:
    """Return the folder of the study that an attempt at a run was recorded in, and the run's name there, or None.

    A run may be a link to a folder elsewhere, and a folder elsewhere a link to a run.
    """
    for path in (Path(os.path.abspath(run)), run.resolve()):
        for study in path.parents[:4]:
            name = str(path.relative_to(study))
            if attempt_path(study, name).is_file():
                return study, name
    return None


def open_log(study: Path, name: str) -> IO[bytes] | None:
    """Open the log of a work, locked. Returns None if a process still works on it.

    Raises:
        FileError: The file cannot be written.
    """
    path = log_path(study, name)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        log = path.open("ab")
    except OSError as error:
        raise FileError(f"could not write {path}: {error.strerror}") from error
    try:
        fcntl.flock(log, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        log.close()
        return None
    return log


def is_locked(path: Path) -> bool:
    """Return whether a process holds the lock of a file."""
    try:
        with path.open("rb") as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        pass
    return False


def start(
    module: str, arguments: Sequence[str], log: IO[bytes], stdout: IO[bytes] | None, environment: Mapping[str, str]
) -> subprocess.Popen[bytes]:
    """Start a module in a session of its own, so that a Ctrl-C in the terminal reaches its runner alone."""
    command = shlex.join(("python", "-m", module, *arguments))
    log.write(os.fsencode(f"{_HEADER}{time.strftime('%Y-%m-%d %H:%M:%S')}: {command}\n"))
    log.flush()
    supervised = ("-m", "bpe_lm.experiments.supervised", str(os.getpid()), module, *arguments)
    return subprocess.Popen(
        [sys.executable, *supervised],
        stdin=subprocess.DEVNULL,
        stdout=log if stdout is None else stdout,
        stderr=log,
        env={**os.environ, **environment},
        start_new_session=True,
    )


def last_words(path: Path) -> str:
    """Return the last error of the last attempt in a log, or else its last line."""
    with suppress(OSError), path.open("rb") as file:
        file.seek(max(path.stat().st_size - 8192, 0))
        lines = file.read().decode("utf-8", "replace").splitlines()
        begins = max((number for number, line in enumerate(lines) if line.startswith(_HEADER)), default=-1)
        written = [line.strip() for line in lines[begins + 1 :] if line.strip()]
        errors = [line.removeprefix("error: ") for line in written if line.startswith("error: ")]
        return (errors or written or [""])[-1]
    return ""
