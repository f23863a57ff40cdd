"""Files that are written whole or not at all, and only where nothing else is in the way."""

from __future__ import annotations

import os
import stat
from pathlib import Path

from bpe_lm.errors import FileError, OutputExists

_KINDS = (
    (stat.S_ISDIR, "a folder"),
    (stat.S_ISCHR, "a device"),
    (stat.S_ISBLK, "a device"),
    (stat.S_ISFIFO, "a named pipe"),
    (stat.S_ISSOCK, "a socket"),
)


def check_file_target(path: str | os.PathLike[str]) -> None:
    """Refuse to write over what is not a regular file. A link counts as what it points to.

    Raises:
        OutputExists: The path names a folder, a device, a pipe or a socket.
        FileError: The path cannot be examined, or is an address on another machine.
    """
    mode = _mode(path)
    if mode is not None and not stat.S_ISREG(mode):
        kind = next((kind for matches, kind in _KINDS if matches(mode)), "not a regular file")
        raise OutputExists(f"{os.fspath(path)} is {kind}, and is never replaced by a file; name another path")


def check_folder_target(path: str | os.PathLike[str]) -> None:
    """Refuse to write a folder over what is not a folder. A link counts as what it points to.

    Raises:
        OutputExists: The path names something else.
        FileError: The path cannot be examined, or is an address on another machine.
    """
    mode = _mode(path)
    if mode is not None and not stat.S_ISDIR(mode):
        raise OutputExists(f"{os.fspath(path)} is not a folder, and is never replaced by one; name another path")


def _mode(path: str | os.PathLike[str]) -> int | None:
    if "://" in os.fspath(path):
        raise FileError(f"{os.fspath(path)} is an address, and only local files are written; name another path")
    try:
        return os.stat(path).st_mode
    except FileNotFoundError:
        return None
    except OSError as error:
        raise FileError(f"could not examine {os.fspath(path)}: {error.strerror}") from error


def write_whole(path: Path, data: bytes) -> None:
    """Replace a file by a rename, after its content is on the disk.

    Raises:
        OutputExists: The path names what is not a regular file.
        FileError: It could not be written; what was there before is still there.
    """
    check_file_target(path)
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    try:
        write_synced(partial, data)
        partial.replace(path)
        sync_folder(path.parent)
    except OSError as error:
        partial.unlink(missing_ok=True)
        raise FileError(f"could not write {path}: {error.strerror}") from error


def write_synced(path: Path, data: bytes) -> None:
    """Write a file, and wait until the disk has it."""
    with path.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def sync_folder(path: Path) -> None:
    """Wait until the disk has the names in a folder."""
    folder = os.open(path, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
