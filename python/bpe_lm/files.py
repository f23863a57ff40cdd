"""Write files whole or not at all, and never in place of anything but a regular file."""

from __future__ import annotations

import fcntl
import json
import os
import re
import shutil
import stat
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from math import isfinite
from pathlib import Path
from typing import Any, TypeAlias

from bpe_lm.errors import ConfigError, FileError, OutputBusy, OutputExists

StrPath: TypeAlias = str | os.PathLike[str]

_KINDS = (
    (stat.S_ISDIR, "a folder"),
    (stat.S_ISCHR, "a device"),
    (stat.S_ISBLK, "a device"),
    (stat.S_ISFIFO, "a named pipe"),
    (stat.S_ISSOCK, "a socket"),
)

_ADDRESS = re.compile(r"[A-Za-z][\w+.-]+:/")
"""The beginning of an address. It ends with one slash, because pathlib removes the second."""


def check_file_target(path: StrPath) -> None:
    """Refuse a path whose file may not be replaced, because it is not a regular file. Links are followed.

    Raises:
        OutputExists: The path names a folder, a device, a pipe or a socket.
        FileError: The path cannot be examined, or is an address on another machine.
    """
    mode = _mode(path)
    if mode is not None and not stat.S_ISREG(mode):
        kind = next((kind for matches, kind in _KINDS if matches(mode)), "not a regular file")
        raise OutputExists(f"{os.fspath(path)} is {kind}, and is never replaced by a file; name another path")


def check_folder_target(path: StrPath) -> None:
    """Refuse a path at which something other than a folder exists. Links are followed.

    Raises:
        OutputExists: The path names something other than a folder.
        FileError: The path cannot be examined, or is an address on another machine.
    """
    mode = _mode(path)
    if mode is not None and not stat.S_ISDIR(mode):
        raise OutputExists(f"{os.fspath(path)} is not a folder, and is never replaced by one; name another path")


def check_is_local(path: StrPath) -> None:
    """Refuse an address such as `s3://bucket/x`, which would otherwise become a path of local folders.

    Raises:
        FileError: The path is an address on another machine.
    """
    if _ADDRESS.match(os.fspath(path)):
        raise FileError(f"{os.fspath(path)} is an address, and only local files are written; name another path")


@contextmanager
def held(folder: Path, lock: str, other: str) -> Iterator[None]:
    """Make a folder, and keep other processes from working in it by a file named `lock`.

    Args:
        folder: The folder.
        lock: The name of the file.
        other: What somebody may name instead, for the error.

    Raises:
        OutputBusy: Another process holds it.
        FileError: The folder could not be written.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        file = (folder / lock).open("ab")
    except OSError as error:
        raise FileError(f"could not write into {folder}: {error.strerror}") from error
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise OutputBusy(f"another process works in {folder}; wait for it, or name another {other}") from error
        yield


def _mode(path: StrPath) -> int | None:
    check_is_local(path)
    try:
        return os.stat(path).st_mode
    except FileNotFoundError:
        return None
    except OSError as error:
        raise FileError(f"could not examine {os.fspath(path)}: {error.strerror}") from error


def write_whole(path: Path, data: bytes) -> None:
    """Write a file under another name, wait until the disk has it, and rename it.

    Raises:
        OutputExists: The path names something other than a regular file.
        FileError: The file could not be written. The old file is still there.
    """
    check_file_target(path)
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    try:
        write_synced(partial, data)
        partial.replace(path)
        sync(path.parent)
    except OSError as error:
        partial.unlink(missing_ok=True)
        raise FileError(f"could not write {path}: {error.strerror}") from error


def replace_folder(new: Path, target: Path) -> None:
    """Rename a finished folder to `target`, and delete the folder that had this name before.

    An exception at any moment leaves either the old or the new folder at `target`. A kill between the two renames
    leaves no folder there, and `restore_folder` brings the old folder back.

    Raises:
        OSError: A rename failed.
    """
    replaced = _replaced(target)
    restore_folder(target)
    shutil.rmtree(replaced, ignore_errors=True)
    sync(new)
    try:
        if target.exists():
            target.rename(replaced)
        new.rename(target)
        sync(target.parent)
    finally:
        restore_folder(target)
        if target.exists():
            shutil.rmtree(replaced, ignore_errors=True)


def restore_folder(target: Path) -> None:
    """Rename the old folder back to `target`, if a `replace_folder` was killed between its two renames."""
    replaced = _replaced(target)
    if replaced.exists() and not target.exists():
        with suppress(OSError):  # Another process was faster.
            replaced.rename(target)


def _replaced(target: Path) -> Path:
    return target.with_name(f".{target.name}.replaced")


def write_synced(path: Path, data: bytes) -> None:
    """Write a file, and wait until its content is on the disk."""
    with path.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def sync(path: Path) -> None:
    """Wait until a file's content, or the names in a folder, are on the disk."""
    file = os.open(path, os.O_RDONLY)
    try:
        os.fsync(file)
    finally:
        os.close(file)


def read_bytes(path: Path) -> bytes:
    """Read a whole file.

    Raises:
        FileError: The file could not be read, or is a pipe, a device or a socket, which might never end.
    """
    check_is_file(path)
    try:
        return path.read_bytes()
    except OSError as error:
        raise FileError(f"could not read {path}: {error.strerror}") from error


def check_is_file(path: Path) -> None:
    """Refuse a path of something that exists and is neither a file nor a folder, before it is opened.

    Raises:
        FileError: The path names a pipe, a device or a socket.
    """
    try:
        mode = path.stat().st_mode
    except OSError:
        return
    for matches, kind in _KINDS[1:]:
        if matches(mode):
            raise FileError(f"could not read {path}: it is {kind}, not a file")


def read_json(path: Path) -> dict[str, Any]:
    """Read the JSON object in a file.

    Raises:
        FileError: The file could not be read.
        ConfigError: The file is not a JSON object, or the object has a key twice.
    """
    try:
        # utf-8-sig skips the byte order mark with which editors on Windows begin a file.
        found = json.loads(read_bytes(path).decode("utf-8-sig"), object_pairs_hook=_once_each)
    except (ValueError, RecursionError) as error:
        raise ConfigError(f"{path} is not JSON: {error}") from error
    if not isinstance(found, dict):
        raise ConfigError(f"{path} is not a JSON object")
    return found


def _once_each(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [name for name, _ in pairs]
        raise ValueError(f"the key {next(name for name in names if names.count(name) > 1)} occurs twice")
    return found


def finite(value: Any) -> Any:
    """Replace each infinity and NaN, which JSON cannot express, by None."""
    if isinstance(value, float):
        return value if isfinite(value) else None
    if isinstance(value, Mapping):
        return {name: finite(item) for name, item in value.items()}
    return [finite(item) for item in value] if isinstance(value, list | tuple) else value
