"""Fetch the course's corpora from Hugging Face: resumed where it stopped, checked, whole or not at all.

While NAME is on its way there is NAME.part, what has arrived of it, and NAME.part.json, of which version of the file.
A file that is packed arrives as NAME.gz.part, and NAME.part is what has been unpacked. HTTP is RFC 9110.
"""

import errno
import fcntl
import hashlib
import http.client
import json
import os
import re
import ssl
import time
import urllib.request
import zlib
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import asdict, dataclass, replace
from email.message import Message
from gzip import BadGzipFile, GzipFile
from io import FileIO
from pathlib import Path
from typing import IO, TypeAlias
from urllib.error import HTTPError, URLError
from urllib.parse import urlsplit

from bpe_lm._core import __version__
from bpe_lm.errors import BpeLmError, DownloadError, OptionError
from bpe_lm.files import check_file_target, check_is_local, sync_folder
from bpe_lm.progress import Callback, shown

_CHUNK = 1 << 20
_GREATEST_WAIT = 60.0
_REPORT_SECONDS = 0.1
_REMEDIES = {
    **dict.fromkeys((errno.ENOSPC, errno.EDQUOT, errno.EFBIG), "make room there, or name another folder"),
    **dict.fromkeys((errno.EACCES, errno.EPERM, errno.EROFS), "name a folder that you may write to"),
    **dict.fromkeys((errno.EEXIST, errno.ENOTDIR), "move it away, or name another folder"),
}

Report: TypeAlias = Callable[[str, int, int | None], None]


@dataclass(frozen=True)
class RemoteFile:
    """A file to fetch. When it comes packed, `url` and `sha256` (where known) are those of its .gz."""

    name: str
    url: str
    sha256: str | None = None
    compressed: bool = False


_CORPORA = {
    "tinystories": (
        RemoteFile("TinyStoriesV2-GPT4-train.txt", "roneneldan/TinyStories/resolve/main/TinyStoriesV2-GPT4-train.txt"),
        RemoteFile("TinyStoriesV2-GPT4-valid.txt", "roneneldan/TinyStories/resolve/main/TinyStoriesV2-GPT4-valid.txt"),
    ),
    "openwebtext": (
        RemoteFile("owt_train.txt", "stanford-cs336/owt-sample/resolve/main/owt_train.txt.gz", compressed=True),
        RemoteFile("owt_valid.txt", "stanford-cs336/owt-sample/resolve/main/owt_valid.txt.gz", compressed=True),
    ),
}


def corpus_files(corpus: str, endpoint: str | None = None) -> list[RemoteFile]:
    """The files of `tinystories` or `openwebtext` on Hugging Face, or at another endpoint (default: HF_ENDPOINT).

    Raises:
        OptionError: No such corpus, or the endpoint is no http or https URL.
    """
    endpoint = (endpoint or os.environ.get("HF_ENDPOINT") or "https://huggingface.co").rstrip("/")
    if not re.fullmatch(r"https?://[^\s/?#]+(/[^\s?#]*)?", endpoint):
        raise OptionError(f"the endpoint {endpoint!r} (HF_ENDPOINT) is no URL such as https://huggingface.co")
    if corpus not in _CORPORA:
        raise OptionError(f"there is no corpus {corpus!r}; there are {', '.join(_CORPORA)}")
    return [replace(file, url=f"{endpoint}/datasets/{file.url}") for file in _CORPORA[corpus]]


def download(
    file: RemoteFile,
    folder: str | os.PathLike[str],
    *,
    progress: bool | Callback = False,
    force: bool = False,
    timeout: float = 30.0,
    tries: int = 5,
    pause: float = 0.5,
) -> bool:
    """Fetch a file into a folder; return False where it is there already and is kept.

    Whatever stops this, the next call goes on where it stopped.

    Args:
        file: What to fetch.
        folder: Where it shall be; created when missing.
        progress: As for `train_bpe`; the stages are the file's name, "check ..." and "unpack ...", in bytes.
        force: Replace a file that is there already.
        timeout: Seconds without a byte after which a connection counts as dropped.
        tries: How many in a row may bring nothing new.
        pause: Seconds between two tries; each that brought nothing new doubles them.

    Raises:
        OutputExists: A folder, a device, a pipe or a socket has the name of a file that is written here.
        FileError: The folder is an address on another machine.
        DownloadError: The server refuses, lies or stays silent; another process fetches the same file; it cannot be
            written here; its checksum is wrong, or it does not unpack.
    """
    check_targets(file, folder)
    path, part_path = _paths(file, folder)
    with _local(path):
        path.parent.mkdir(parents=True, exist_ok=True)
    if _is_kept(path, force):
        return False
    with _locked(part_path) as part, shown(progress) as callback:
        if _is_kept(path, force):
            return False
        report = _throttled(callback)
        sha256 = _fetch(file, part, part_path, report, timeout, tries, pause)
        if sha256:
            _check(file, part, part_path, sha256, report)
        if file.compressed:
            _unpack(file, part, path, report)
            _discard(part, part_path)
        else:
            _publish(part, part_path, path)
        _sidecar(part_path).unlink(missing_ok=True)
    return True


def check_targets(file: RemoteFile, folder: str | os.PathLike[str]) -> None:
    """Refuse a folder where something else than a regular file is in the way.

    Raises:
        OutputExists: The file's name, or that of a part of it, is a folder's, a device's, a pipe's or a socket's.
        FileError: The folder is an address on another machine.
        DownloadError: The folder cannot be read.
    """
    check_is_local(folder)
    path, part_path = _paths(file, folder)
    with _local(path):
        if not path.parent.is_dir():
            return
        for target in (path, part_path, _sidecar(part_path), _unpacked_path(path)):
            check_file_target(target)


def _paths(file: RemoteFile, folder: str | os.PathLike[str]) -> tuple[Path, Path]:
    path = Path(folder, file.name)
    return path, path.with_name(path.name + (".gz.part" if file.compressed else ".part"))


def _unpacked_path(path: Path) -> Path:
    return path.with_name(path.name + ".part")


def _is_kept(path: Path, force: bool) -> bool:
    with _local(path):
        return path.exists() and not force


# What has arrived, and of which version of the file.


@dataclass(frozen=True)
class _Version:
    """Which version of which file a part is of; kept beside it as JSON."""

    url: str
    etag: str | None
    size: int | None
    sha256: str | None


def _sidecar(part_path: Path) -> Path:
    return part_path.with_name(part_path.name + ".json")


def _read_version(file: RemoteFile, part_path: Path) -> _Version | None:
    """The version that a part is of; None where that is not known, so that it cannot be continued."""
    try:
        version = _Version(**json.loads(_sidecar(part_path).read_bytes()))
    except FileNotFoundError:
        return None
    except (ValueError, TypeError):
        return None
    is_of_file = version.url == file.url and file.sha256 in (None, version.sha256)
    return version if is_of_file and (version.etag or version.sha256) else None


def _start(part: FileIO, part_path: Path, version: _Version) -> None:
    """Begin a part anew. It is emptied first: bytes of one version never stand beside the name of another."""
    _discard(part, part_path)
    with _local(part_path):
        _sidecar(part_path).write_text(json.dumps(asdict(version)))


def _discard(part: FileIO, part_path: Path) -> None:
    with _local(part_path):
        part.truncate(0)


@contextmanager
def _locked(path: Path) -> Iterator[FileIO]:
    """Open a part for this process alone; remove it in the end if it is empty."""
    with _local(path):
        part = open(path, "a+b", buffering=0)  # noqa: SIM115
    with part:
        try:
            with _local(path):
                fcntl.flock(part, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except DownloadError as error:
            if isinstance(error.__cause__, BlockingIOError):
                raise DownloadError(f"{path}: another process is fetching it; wait until it is done") from None
            raise
        if not _is_at(part, path):
            raise DownloadError(f"{path}: another process has just been at it; run the same command again")
        try:
            yield part
        finally:
            with suppress(OSError):
                if _is_at(part, path) and os.fstat(part.fileno()).st_size == 0:
                    path.unlink()
                    _sidecar(path).unlink(missing_ok=True)


def _is_at(part: FileIO, path: Path) -> bool:
    """Whether an open file still has its name."""
    try:
        return os.path.samestat(os.fstat(part.fileno()), path.stat())
    except FileNotFoundError:
        return False


def _write(file: FileIO, path: Path, chunk: bytes) -> None:
    rest = memoryview(chunk)
    with _local(path):
        while rest:
            rest = rest[file.write(rest) :]


@contextmanager
def _local(path: Path) -> Iterator[None]:
    """Have an error of this machine's files name the path and the remedy."""
    try:
        yield
    except (BpeLmError, BrokenPipeError):  # The latter is of stderr, where progress goes.
        raise
    except OSError as error:
        remedy = _REMEDIES.get(error.errno or 0, "see to it")
        raise DownloadError(
            f"{error.filename or path}: {error.strerror or error}; {remedy}. "
            "What has arrived is kept: the same command goes on from there"
        ) from error


# The transfer.


class _Dropped(Exception):
    """What may work at the next try; `wait` seconds from now, if the server asked for that."""

    def __init__(self, reason: str, wait: float = 0.0) -> None:
        super().__init__(reason)
        self.wait = wait


def _fetch(
    file: RemoteFile, part: FileIO, part_path: Path, report: Report, timeout: float, tries: int, pause: float
) -> str | None:
    """Complete a part, over as many connections as it takes; return its checksum where it is known."""
    failures = farthest = 0
    while True:
        try:
            return _attempt(file, part, part_path, report, timeout)
        except _Dropped as drop:
            position = os.fstat(part.fileno()).st_size
            failures = 0 if position > farthest else failures + 1
            farthest = max(position, farthest)
            if failures >= tries:
                remedy = "what has arrived is kept: look at the network, and run the same command to go on from there"
                raise _error(file, position, f"{drop}, and {tries} tries brought nothing new", remedy) from drop
            time.sleep(max(drop.wait, min(pause * 2**failures, _GREATEST_WAIT)))


def _attempt(file: RemoteFile, part: FileIO, part_path: Path, report: Report, timeout: float) -> str | None:
    """Ask once for what is missing; return the checksum when nothing is missing any more."""
    with _local(part_path):
        position = os.fstat(part.fileno()).st_size
        version = _read_version(file, part_path)
    if version and position == version.size:
        return version.sha256
    etag = version.etag if version else None
    answer = _ask(file, position if version else 0, etag, timeout)
    with closing(answer.response):
        if answer.status == 416 and version and version.size is None and answer.size == position:
            return version.sha256
        if answer.status == 200:
            position = 0
            version = _Version(file.url, answer.etag, answer.size, answer.sha256)
            _start(part, part_path, version)
        elif not (version and _continues(answer, version, position)):
            _discard(part, part_path)
            raise _Dropped("the server's answer is not the rest of what has arrived, which was discarded")
        end = _receive(file, answer, part, part_path, position, report)
    size = answer.size if version.size is None else version.size
    if end != size and not (answer.status == 200 and size is None):
        raise _Dropped(
            f"the connection closed at byte {end:,} of {'an unknown number' if size is None else f'{size:,}'}"
        )
    report(file.name, end, end)
    return version.sha256


@dataclass(frozen=True)
class _Answer:
    """A response, and what its headers and those of the redirects to it say."""

    response: http.client.HTTPResponse | HTTPError
    status: int
    start: int
    stop: int | None
    size: int | None
    etag: str | None
    sha256: str | None


def _ask(file: RemoteFile, position: int, etag: str | None, timeout: float) -> _Answer:
    """Send a request for a file from a position on.

    Raises:
        _Dropped: It may work at the next try.
        DownloadError: It will not.
    """
    headers = {"User-Agent": f"bpe_lm/{__version__}"}
    if position:
        headers["Range"] = f"bytes={position}-"
        if etag:
            headers["If-Range"] = etag
    redirects = _Redirects()
    try:
        opener = urllib.request.build_opener(redirects)
        response = opener.open(urllib.request.Request(file.url, headers=headers), timeout=timeout)
    except DownloadError:
        raise
    except HTTPError as error:
        if error.code == 416 and position:
            return _answer(file, error, redirects.linked)
        with closing(error):
            raise _refusal(file, position, error) from error
    except (OSError, http.client.HTTPException) as error:
        reason = error.reason if isinstance(error, URLError) else error
        if isinstance(reason, ssl.SSLCertVerificationError | http.client.InvalidURL):
            remedy = "look at this machine's certificates (SSL_CERT_FILE names others) and at HF_ENDPOINT"
            raise _error(file, position, str(reason), remedy) from error
        raise _Dropped(_describe(reason)) from error
    try:
        return _answer(file, response, redirects.linked)
    except BaseException:
        response.close()
        raise


def _answer(file: RemoteFile, response: http.client.HTTPResponse | HTTPError, linked: dict[str, str]) -> _Answer:
    """Read a response's headers. X-Linked-ETag and X-Linked-Size are Hugging Face's, of the file it redirects to."""
    headers = response.headers
    status = response.status or 0
    found = re.fullmatch(r"bytes (?:(\d{1,18})-(\d{1,18})|\*)/(\d+|\*)", headers.get("Content-Range", ""))
    start, last, size = found.groups() if found and status != 200 else (None, None, None)
    if status == 200 and not getattr(response, "chunked", False):
        size = headers.get("Content-Length")
    lengths = (size, linked.get("X-Linked-Size"))
    sizes = {int(number) for number in lengths if number and re.fullmatch(r"\d{1,18}", number)}
    sha256 = re.fullmatch(r'(?:W/)?"?([0-9a-f]{64})"?', linked.get("X-Linked-ETag", ""))
    etag = headers.get("ETag", "")
    answer = _Answer(
        response,
        status,
        start=int(start) if start else 0,
        stop=int(last) + 1 if last else next(iter(sizes), None),
        size=next(iter(sizes), None),
        etag=etag if etag.startswith('"') else None,  # A weak one (W/...) does not tell bytes apart.
        sha256=file.sha256 or (sha256.group(1) if sha256 else None),
    )
    if len(sizes) > 1:
        two = " and ".join(f"{size:,}" for size in sorted(sizes))
        raise _error(file, 0, f"the server gives two lengths, {two}", "try later, or set HF_ENDPOINT")
    if status in (200, 206):
        _check_body(file, answer)
    elif status != 416:
        raise _error(file, 0, f"HTTP status {status} was not expected", "try later, or set HF_ENDPOINT")
    return answer


def _check_body(file: RemoteFile, answer: _Answer) -> None:
    """Refuse a body that is not the file's bytes, or whose end could not be told from a dropped connection."""
    headers = answer.response.headers
    encoding = headers.get("Content-Encoding", "identity")
    if headers.get_content_type() == "text/html":
        problem = "the answer is a web page, not the file"
    elif encoding != "identity" and not file.compressed:
        problem = f"the answer is encoded ({encoding}), though that was not asked for"
    elif answer.status == 200 and answer.stop is None and not getattr(answer.response, "chunked", False):
        problem = "the server does not tell the file's length"
    else:
        return
    raise _error(file, answer.start, problem, "look at the proxy, if there is one, and at HF_ENDPOINT")


def _continues(answer: _Answer, version: _Version, position: int) -> bool:
    """Whether an answer is the rest of a part: of the same version, from where it ends."""
    if answer.sha256 and version.sha256:
        is_same = answer.sha256 == version.sha256
    else:
        is_same = answer.etag is not None and answer.etag == version.etag
    sizes = {size for size in (answer.size, version.size) if size is not None}
    fits = answer.stop is not None and position < answer.stop <= min(sizes, default=answer.stop)
    return answer.status == 206 and is_same and answer.start == position and len(sizes) <= 1 and fits


def _receive(file: RemoteFile, answer: _Answer, part: FileIO, part_path: Path, position: int, report: Report) -> int:
    """Append a body to a part; return where it ends. Without a checksum, one byte too many is looked for."""
    response = answer.response
    assert isinstance(response, http.client.HTTPResponse)
    if not response.chunked:
        response.length = None  # http.client would hide what comes after Content-Length.
    surplus = 0 if answer.sha256 else 1
    while True:
        room = _CHUNK if answer.stop is None else min(_CHUNK, answer.stop - position + surplus)
        try:
            chunk = response.read1(room) if room else b""
        except (OSError, http.client.HTTPException) as error:
            raise _Dropped(_describe(error)) from error
        if not chunk:
            return position
        if answer.stop is not None and position + len(chunk) > answer.stop:
            _discard(part, part_path)
            problem = f"the server sends more than the {answer.stop:,} bytes that it announced"
            raise _error(file, position, problem, "what has arrived was discarded; try later, or set HF_ENDPOINT")
        _write(part, part_path, chunk)
        position += len(chunk)
        report(file.name, position, answer.size)


class _Redirects(urllib.request.HTTPRedirectHandler):
    """Follow redirects, and note what Hugging Face's say of the file."""

    def __init__(self) -> None:
        self.linked: dict[str, str] = {}

    def redirect_request(
        self, req: urllib.request.Request, fp: IO[bytes], code: int, msg: str, headers: Message, newurl: str
    ) -> urllib.request.Request | None:
        """As the base class's, but never from https to anything else."""
        schemes = [urlsplit(url).scheme for url in (req.full_url, newurl)]
        if schemes[1] not in ("https", schemes[0]):
            fp.close()
            raise DownloadError(f"{req.full_url}: redirects to {newurl}, which is not safe; look at HF_ENDPOINT")
        self.linked |= {name: headers[name] for name in ("X-Linked-ETag", "X-Linked-Size") if name in headers}
        return super().redirect_request(req, fp, code, msg, headers, newurl)  # type: ignore[arg-type]


def _refusal(file: RemoteFile, position: int, error: HTTPError) -> Exception:
    """What a status of 400 or more means: try again, or give up."""
    reason = f"HTTP status {error.code} {error.reason}"
    if error.code in (408, 425, 429) or error.code >= 500:
        wait = error.headers.get("Retry-After", "")
        return _Dropped(reason, min(float(wait), _GREATEST_WAIT) if wait.isdecimal() else 0.0)
    return _error(file, position, reason, "look whether the file has moved, and at HF_ENDPOINT")


def _error(file: RemoteFile, position: int, problem: str, remedy: str) -> DownloadError:
    return DownloadError(f"{file.url}, byte {position:,}: {problem}; {remedy}")


def _describe(error: object) -> str:
    return str(error) or type(error).__name__


# What comes after the last byte.


def _check(file: RemoteFile, part: FileIO, part_path: Path, sha256: str, report: Report) -> None:
    digest = hashlib.sha256()
    with _local(part_path):
        size = part.seek(0, os.SEEK_END)
        part.seek(0)
        while chunk := part.read(_CHUNK):
            digest.update(chunk)
            report(f"check {file.name}", part.tell(), size)
    if digest.hexdigest() != sha256:
        _discard(part, part_path)
        problem = f"the sha256 is {digest.hexdigest()}, but has to be {sha256}"
        raise _error(file, size, problem, "what has arrived was discarded; run the same command to fetch it anew")


def _unpack(file: RemoteFile, part: FileIO, path: Path, report: Report) -> None:
    """Unpack a part to a path, by way of a temporary file."""
    temporary = _unpacked_path(path)
    try:
        with _local(temporary), open(temporary, "wb", buffering=0) as unpacked:
            for chunk in _unpacked(file, part, path, report):
                _write(unpacked, temporary, chunk)
            _publish(unpacked, temporary, path)
    except BaseException:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)
        raise


def _unpacked(file: RemoteFile, part: FileIO, path: Path, report: Report) -> Iterator[bytes]:
    size = part.seek(0, os.SEEK_END)
    part.seek(0)
    try:
        if size == 0:
            raise EOFError("it is empty")
        with GzipFile(fileobj=part, mode="rb") as unpacked:
            while chunk := unpacked.read(_CHUNK):
                yield chunk
                report(f"unpack {file.name}", part.tell(), size)
    except (BadGzipFile, EOFError, zlib.error) as error:
        position = part.tell()
        part.truncate(0)
        remedy = "what has arrived was discarded; run the same command to fetch it anew"
        raise _error(file, position, f"it does not unpack to {path}: {error}", remedy) from error


def _publish(file: FileIO, temporary: Path, path: Path) -> None:
    """Give a complete file its name."""
    with _local(temporary):
        os.fsync(file.fileno())
        os.replace(temporary, path)
        sync_folder(path.parent)


def _throttled(callback: Callback | None) -> Report:
    """Pass on at most ten calls a second, and the last of each stage."""
    last_time, last_call = 0.0, ("", 0)

    def report(stage: str, done: int, total: int | None) -> None:
        nonlocal last_time, last_call
        now = time.monotonic()
        if callback and (stage, done) != last_call and (done == total or now - last_time >= _REPORT_SECONDS):
            last_time, last_call = now, (stage, done)
            callback(stage, done, total)

    return report
