"""Calls of the system that go wrong, by faults.c, and what tests of them share."""

import ctypes
import errno
import gzip
import json
import shutil
import subprocess
import sys
from pathlib import Path

import bpe_lm
from bpe_lm import errors

END_OF_TEXT = "<|endoftext|>"
OTHER = "<|other|>"

# What faults.c can do to a call.
HALF, KILL, TEAR, STOP, FULL = -1, -2, -3, -4, -5
NAMES = {HALF: "half a write", KILL: "a kill", TEAR: "a kill in a write", STOP: "a stop", FULL: "a full disk"}


def write_corpus(folder: Path, text: bytes, more: bytes) -> list[Path]:
    """A corpus of every kind of file; all but the first have `more`."""
    folder.mkdir()
    lines = b"".join(json.dumps({"text": part}).encode() + b"\n" for part in more.decode().split(END_OF_TEXT))
    contents = {"a.txt": text, "b.jsonl": lines, "c.txt.gz": gzip.compress(more, 1), "d.txt.zst": zstd_frame(more)}
    for name, content in contents.items():
        (folder / name).write_bytes(content)
    return [folder / name for name in contents]


def zstd_frame(content: bytes) -> bytes:
    """Blocks that are stored as they are, behind a header that says nothing but how long they may be."""
    size = 1 << 17
    frame = bytearray(b"\x28\xb5\x2f\xfd\x00\x38")
    for at in range(0, len(content), size):
        block = content[at : at + size]
        is_last = at + size >= len(content)
        frame += (len(block) << 3 | is_last).to_bytes(3, "little") + block
    return bytes(frame)


def files(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def put(folder: Path, contents: dict[str, bytes]) -> None:
    """Makes a folder that has these files and no others."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    for name, content in contents.items():
        (folder / name).write_bytes(content)


def beginning(text: bytes, length: int) -> bytes:
    """So many bytes of a text and what is missing to the end of a document."""
    return text[: text.index(END_OF_TEXT.encode(), length) + len(END_OF_TEXT)]


def start(code: str, *arguments, **options) -> subprocess.Popen:
    """Runs some lines in another process, which can import this file."""
    command = [sys.executable, "-c", code, json.dumps(arguments, default=str)]
    return subprocess.Popen(command, cwd=Path(__file__).parent, stdout=subprocess.PIPE, text=True, **options)


def faults():
    library = ctypes.CDLL(None)
    library.faults_set.argtypes = library.faults_add.argtypes = [ctypes.c_long, ctypes.c_int, ctypes.c_int]
    library.faults_count.restype = ctypes.c_long
    library.faults_call.argtypes, library.faults_call.restype = [ctypes.c_long], ctypes.c_char_p
    return library


def name_of(action):
    return NAMES.get(action) or errno.errorcode[action]


def is_write(call):
    return call.startswith(("write", "pwrite"))


def is_refused(function, *arguments, **options) -> bool:
    try:
        function(*arguments, **options)
    except errors.InternalError:
        raise
    except bpe_lm.BpeLmError:
        return True
    return False
