"""Files that are written whole or not at all, and only where nothing else is in the way."""

from __future__ import annotations

import json
import os
import re
import shutil
import stat
from collections.abc import Mapping
from contextlib import suppress
from math import isfinite
from pathlib import Path
from typing import Any

from bpe_lm.errors import ConfigError, FileError, OutputExists

_KINDS = (
    (stat.S_ISDIR, "a folder"),
    (stat.S_ISCHR, "a device"),
    (stat.S_ISBLK, "a device"),
    (stat.S_ISFIFO, "a named pipe"),
    (stat.S_ISSOCK, "a socket"),
)

_ADDRESS = re.compile(r"[A-Za-z][\w+.-]+:/")
"""With one slash, as pathlib leaves it."""


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


def check_is_local(path: str | os.PathLike[str]) -> None:
    """Refuse an address, which would be taken for a path of folders.

    Raises:
        FileError: The path is an address on another machine.
    """
    if _ADDRESS.match(os.fspath(path)):
        raise FileError(f"{os.fspath(path)} is an address, and only local files are written; name another path")


def _mode(path: str | os.PathLike[str]) -> int | None:
    check_is_local(path)
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


def replace_folder(new: Path, target: Path) -> None:
    """Give a finished folder its name. The folder that has the name is deleted after that, or keeps it.

    An exception at any moment leaves one of the two under the name. A kill between the two renames leaves neither, and
    `restore_folder` brings the old one back.

    Raises:
        OSError: A rename failed.
    """
    replaced = _replaced(target)
    restore_folder(target)
    shutil.rmtree(replaced, ignore_errors=True)
    sync_folder(new)
    try:
        if target.exists():
            target.rename(replaced)
        new.rename(target)
        sync_folder(target.parent)
    finally:
        restore_folder(target)
        if target.exists():
            shutil.rmtree(replaced, ignore_errors=True)


def restore_folder(target: Path) -> None:
    """Bring back the folder that a killed `replace_folder` had put aside."""
    replaced = _replaced(target)
    if replaced.exists() and not target.exists():
        with suppress(OSError):  # Another process was faster.
            replaced.rename(target)


def _replaced(target: Path) -> Path:
    return target.with_name(f".{target.name}.replaced")


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


def read_json(path: Path) -> dict[str, Any]:
    """The object in a file.

    Raises:
        FileError: It could not be read.
        ConfigError: It is no object, or has a key twice.
    """
    try:
        # Editors of Windows begin a file with a mark, which utf-8-sig skips.
        found = json.loads(path.read_text(encoding="utf-8-sig"), object_pairs_hook=_once_each)
    except OSError as error:
        raise FileError(f"could not read {path}: {error.strerror}") from error
    except (ValueError, RecursionError) as error:
        raise ConfigError(f"{path} is not JSON: {error}") from error
    if not isinstance(found, dict):
        raise ConfigError(f"{path} is not an object of JSON")
    return found


def _once_each(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [name for name, _ in pairs]
        raise ValueError(f"the key {next(name for name in names if names.count(name) > 1)} is there twice")
    return found


def finite(value: Any) -> Any:
    """Replace each infinity and NaN, which JSON has not, by null."""
    if isinstance(value, float):
        return value if isfinite(value) else None
    if isinstance(value, Mapping):
        return {name: finite(item) for name, item in value.items()}
    return [finite(item) for item in value] if isinstance(value, list | tuple) else value
