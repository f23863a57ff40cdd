"""Download the course's corpora from Hugging Face. A download can be resumed, and is checked before it gets its name.

`huggingface_hub` transfers the bytes. Until NAME is complete, its bytes are in the hidden file `.NAME.part` beside it.
The .gz files stay packed, because training and encoding read them as they are.

`hf_hub_download` deletes the bytes that have arrived when it is stopped. So this module calls `http_get`, the function
beneath it, which can append to a file.
"""

import errno
import fcntl
import hashlib
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from bpe_lm.errors import BpeLmError, DownloadError, MissingExtra, OptionError
from bpe_lm.files import StrPath, check_file_target, check_is_local, sync
from bpe_lm.progress import Callback, Progress, shown

CORPORA = {
    "tinystories": ("roneneldan/TinyStories", ("TinyStoriesV2-GPT4-train.txt", "TinyStoriesV2-GPT4-valid.txt")),
    "openwebtext": ("stanford-cs336/owt-sample", ("owt_train.txt.gz", "owt_valid.txt.gz")),
}
"""Each corpus with its dataset repository on Hugging Face and its files there."""

_REMEDIES = {
    **dict.fromkeys((errno.ENOSPC, errno.EDQUOT, errno.EFBIG), "make room there, or name another folder"),
    **dict.fromkeys((errno.EACCES, errno.EPERM, errno.EROFS), "name a folder that you may write to"),
    **dict.fromkeys((errno.EEXIST, errno.ENOTDIR), "move it away, or name another folder"),
}


@dataclass(frozen=True)
class Downloaded:
    """A file of a corpus, and whether this call fetched it or kept the file that existed."""

    path: Path
    is_new: bool


def download_corpus(
    corpus: str, folder: StrPath, *, progress: Progress = False, force: bool = False
) -> list[Downloaded]:
    """Download the files of a key of `CORPORA` into a folder, which is created if it is missing.

    Each file appears under its name after its SHA-256 matches the one that the hub states. If anything stops the
    download, the next call goes on from the bytes that have arrived. The environment variable HF_ENDPOINT replaces
    https://huggingface.co. Files that exist are kept as they are, unless `force` is true. The stages of `progress` are
    NAME and "check NAME", in bytes.

    Raises:
        OptionError: The corpus is unknown.
        OutputExists: A folder, a device, a pipe or a socket has the name of a file that would be written.
        FileError: The folder is an address on another machine.
        MissingExtra: `huggingface_hub` is not installed.
        DownloadError: The hub cannot be reached or refuses, another process downloads the same file, the file cannot
            be written here, or its SHA-256 is wrong.
    """
    if corpus not in CORPORA:
        raise OptionError(f"the corpus {corpus!r} is unknown; name one of {', '.join(CORPORA)}")
    check_is_local(folder)
    repo, names = CORPORA[corpus]
    paths = [Path(folder, name) for name in names]
    with _explained(folder):
        for path in paths if Path(folder).is_dir() else ():
            check_file_target(path)
            check_file_target(_part_path(path))
    with shown(progress) as report:
        return [Downloaded(path, _download(repo, path, force, report)) for path in paths]


def _part_path(path: Path) -> Path:
    return path.with_name(f".{path.name}.part")


def _download(repo: str, path: Path, force: bool, report: Callback | None) -> bool:
    """Download one file; return False if it exists and is kept."""
    part_path = _part_path(path)
    with _explained(path):
        if path.exists() and not force:
            return False
        hub = _Hub(repo, path.name)
        path.parent.mkdir(parents=True, exist_ok=True)
        with part_path.open("a+b") as part:
            _lock(part, part_path)
            hub.append_rest(part, report)
            _check(hub, part, part_path, report)
            os.fsync(part.fileno())
            part_path.replace(path)
            sync(path.parent)
    return True


def _lock(part: BinaryIO, part_path: Path) -> None:
    """Keep other processes from appending to the same file."""
    try:
        fcntl.flock(part, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if os.path.samestat(os.fstat(part.fileno()), part_path.stat()):
            return
    except (BlockingIOError, FileNotFoundError):
        pass
    raise DownloadError(f"{part_path}: another process downloads this file; run the same command when it is done")


class _Hub:
    """A file on the hub: its `url`, and the `size` in bytes and the `sha256` that the hub states."""

    def __init__(self, repo: str, name: str) -> None:
        try:
            from huggingface_hub import get_hf_file_metadata, hf_hub_url
            from huggingface_hub.errors import HfHubHTTPError
        except ImportError as error:
            raise MissingExtra(f"downloading needs huggingface_hub ({error}): pip install '.[data]'") from error
        self.name, self.url = name, hf_hub_url(repo, name, repo_type="dataset")
        self.network_error = HfHubHTTPError.__bases__[0]  # The HTTPError of the library that huggingface_hub uses.
        with _explained(self.url, self.network_error):
            stated = get_hf_file_metadata(self.url, token=False)
        if not stated.size or not re.fullmatch("[0-9a-f]{64}", stated.etag or ""):
            raise DownloadError(f"{self.url}: the host states no size or no SHA-256; check HF_ENDPOINT and the proxy")
        self.size, self.sha256 = stated.size, str(stated.etag)

    def append_rest(self, part: BinaryIO, report: Callback | None) -> None:
        """Append the missing bytes to a partial file."""
        from huggingface_hub.file_download import http_get

        position = part.seek(0, os.SEEK_END)
        if position > self.size:
            position = part.truncate(0)
        headers = {"Accept-Encoding": "identity"}  # A compressed answer could not be resumed.
        bar: Any = _bar(self.name, self.size, report)
        with _explained(self.url, self.network_error):
            http_get(self.url, part, resume_size=position, headers=headers, expected_size=self.size, tqdm_class=bar)
        part.flush()


def _bar(name: str, size: int, report: Callback | None) -> type:
    """Make the class that `huggingface_hub` uses in place of tqdm's progress bar."""

    class Bar:
        def __init__(self, initial: int = 0, **_: object) -> None:
            self.done = initial

        def __enter__(self) -> "Bar":
            return self

        def __exit__(self, *_: object) -> None: ...

        def update(self, num_bytes: int) -> None:
            self.done += num_bytes
            if report:
                report(name, self.done, size)

    return Bar


def _check(hub: _Hub, part: BinaryIO, part_path: Path, report: Callback | None) -> None:
    """Compare the SHA-256 of the bytes that have arrived with the hub's. If they differ, delete the bytes."""
    digest = hashlib.sha256()
    part.seek(0)
    while chunk := part.read(16 << 20):
        digest.update(chunk)
        if report:
            report(f"check {hub.name}", part.tell(), hub.size)
    if digest.hexdigest() != hub.sha256:
        part_path.unlink()
        problem = f"the SHA-256 of what has arrived is {digest.hexdigest()}, and must be {hub.sha256}"
        raise DownloadError(f"{hub.url}: {problem}. What has arrived was deleted: run the same command again")


@contextmanager
def _explained(where: StrPath, kind: type[Exception] = OSError) -> Iterator[None]:
    """Turn an error of this machine's files or of the network into a DownloadError with the place and the remedy."""
    try:
        yield
    except (BpeLmError, BrokenPipeError):  # A broken pipe is the progress display's stderr.
        raise
    except kind as error:
        place = getattr(error, "filename", None) or os.fspath(where)
        reason = getattr(error, "strerror", None) or str(error).partition("\n")[0] or type(error).__name__
        number = getattr(error, "errno", None) or 0
        remedy = _REMEDIES.get(number, "check the disk" if number else "check the network and HF_ENDPOINT")
        kept = "What has arrived is kept: the same command goes on from there"
        raise DownloadError(f"{place}: {reason}; {remedy}. {kept}") from error
