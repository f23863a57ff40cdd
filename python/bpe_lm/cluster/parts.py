"""The parts of a job: files in a folder that all machines see, and job.json, which says what they are parts of."""

from __future__ import annotations

import json
import os
import shutil
import stat
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bpe_lm import checks
from bpe_lm.errors import CorpusError, FileError, OptionError, OutputExists, ResumeMismatch
from bpe_lm.files import StrPath, check_folder_target, check_is_local, held, read_json, write_whole

JOB, LOCK = "job.json", "job.lock"

_SHARD_BYTES = 256 << 20
_MOST_SHARDS = 4096


@dataclass(frozen=True)
class Texts:
    """Files of a corpus by their absolute paths, as each machine sees them, with their sizes and times."""

    files: list[dict[str, Any]]

    @property
    def paths(self) -> list[str]:
        """The paths, in the order of the corpus."""
        return [file["name"] for file in self.files]

    @property
    def num_bytes(self) -> int:
        """The bytes that the files take."""
        return sum(file["bytes"] for file in self.files)

    def shards(self, asked: int | None) -> int:
        """Return the number of shards: what was asked for, or one for 256 MiB, whatever the cluster, and 4,096 at most.

        Raises:
            OptionError: The number is not possible.
        """
        if asked is None:
            return min(_MOST_SHARDS, max(1, -(-self.num_bytes // _SHARD_BYTES)))
        if not 1 <= checks.integer("shards", asked) <= 1 << 20:
            raise OptionError(f"shards = {asked} is not possible: it must be a number from 1 to 1048576")
        return asked

    def check_unchanged(self) -> None:
        """Look at the files again.

        Raises:
            CorpusError: A file has changed.
        """
        for was, now in zip(self.files, texts_of(self.paths).files, strict=True):
            if was != now:
                raise CorpusError(f"{was['name']} has changed while it was read; begin again with force")


def texts_of(corpus: StrPath | Sequence[StrPath]) -> Texts:
    """Return the files of a corpus.

    Raises:
        CorpusError: One is missing, or is not a file: streams have no shards.
        ArgumentTypeError: The corpus is not a path or a list of paths.
    """
    return Texts([_file(os.fspath(path)) for path in checks.paths("corpus", corpus)])


def _file(path: str) -> dict[str, Any]:
    name = os.path.abspath(path)
    try:
        found = os.stat(name)
    except OSError as error:
        more = "; standard input has no shards" if path == "-" else ""
        raise CorpusError(f"could not read the corpus {path}: {error.strerror}{more}") from error
    if not stat.S_ISREG(found.st_mode):
        raise CorpusError(f"{path} is not a file; a cluster reads shards of files, so name files of text")
    return {"name": name, "bytes": found.st_size, "modified_ns": found.st_mtime_ns}


def folder_of(out: StrPath) -> Path:
    """Return the folder of the parts of an output, `OUT.parts`, by its absolute path."""
    check_is_local(out)
    return Path(f"{os.path.abspath(out)}.parts")


@contextmanager
def parts_of(job: dict[str, Any], folder: Path, *, resume: bool, force: bool) -> Iterator[None]:
    """Hold the folder for a job, so that no other process works there.

    Args:
        job: What the parts depend on, as JSON values.
        folder: The folder, which is made.
        resume: Keep the parts that are there.
        force: Delete what is there. `resume` goes before.

    Raises:
        OutputExists: The folder exists, and neither is given; or it is not a folder of parts.
        ResumeMismatch: The parts are those of another job.
        OutputBusy: Another process works there.
        FileError: The folder could not be written.
    """
    check_folder_target(folder)
    is_there = folder.exists()
    if is_there and not (resume or force):
        raise OutputExists(
            f"{folder} has the parts of an earlier call; give --resume (resume=True) to go on, or --force (force=True)"
        )
    if is_there and not (folder / JOB).exists() and not all(_is_beginning(path) for path in folder.iterdir()):
        raise OutputExists(f"{folder} has no {JOB}, so it is not a folder of parts; move it away")
    with held(folder, LOCK, "output"):
        if is_there and not resume:
            _empty(folder)
        _begin(job, folder / JOB)
        yield


def _begin(job: dict[str, Any], record: Path) -> None:
    if not record.exists():
        write_whole(record, (json.dumps(job, indent=1) + "\n").encode())
        return
    was = read_json(record)
    for name in job:
        if was.get(name) != job[name]:
            raise ResumeMismatch(
                f"{record} is of another job: its {name} is not that of this call; give the same files and options, or "
                "--force (force=True) to begin again"
            )


def _is_beginning(path: Path) -> bool:
    """Return whether a call that was killed before it wrote job.json can have left the file."""
    return path.name == LOCK or path.name.startswith(f".{JOB}.")


def _empty(folder: Path) -> None:
    """Delete the parts, and job.json last, without which they would be nobody's."""
    try:
        for path in sorted(folder.iterdir(), key=lambda path: path.name == JOB):
            if path.name != LOCK:
                path.unlink()
    except OSError as error:
        raise FileError(f"could not delete what is in {folder}: {error.strerror}") from error


def delete_parts(folder: Path) -> None:
    """Delete the folder, once nobody needs its parts."""
    shutil.rmtree(folder, ignore_errors=True)
