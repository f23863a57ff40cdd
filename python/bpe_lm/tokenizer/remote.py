"""Files at an address, such as s3://bucket/a.jsonl.gz, read through fsspec."""

import hashlib
import io
from typing import IO, Any

from bpe_lm.errors import CorpusError, MissingExtra

BLOCK_BYTES = 8 << 20
"""The size of a request. Its latency, some 50 ms, is less than its transfer at 100 MB/s."""
LEAST_BYTES = 1 << 20
"""The least number of bytes that are put at once, except at the end."""
EXTRAS = {"s3": "s3", "s3a": "s3", "gs": "gcs", "gcs": "gcs", "hf": "hf", "http": "http", "https": "http"}
"""The extra of this package that installs what an address of this scheme needs."""
CONTENT_KEYS = ("ETag", "etag", "generation", "blob_id")
"""What file systems call that which names the content of a file, as its server states it."""
TIME_KEYS = ("LastModified", "Last-Modified", "last_modified", "mtime", "updated", "created")
"""What they call the time of its last change. A list of files may state it less exactly than a look at one of them."""


def is_address(path: str) -> bool:
    """Return whether a path is an address, which has a scheme."""
    return "://" in path


def look(path: str) -> tuple[int | None, int]:
    """Return the size of a file in bytes, if a possible one is known, and a number that changes when the file does.

    Raises:
        CorpusError: It is a directory, or its scheme is unknown.
        MissingExtra: A package for its scheme is not installed.
        OSError: It cannot be read.
    """
    system, inner = _system(path)
    info = system.info(inner)
    if info.get("type") == "directory":
        raise CorpusError(f"{path} is a directory, not a text file; name files of text instead")
    size = info.get("size")
    if size == 0:
        raise CorpusError(f"{path} is empty: it contains no text; was it written to its end?")
    return (int(size) if size is not None and 0 < size < 2**63 else None), _version(info)


def _version(info: dict[str, Any]) -> int:
    for keys in CONTENT_KEYS, TIME_KEYS:
        known = [f"{key}={info[key]}" for key in keys if info.get(key) is not None]
        if known:
            return int.from_bytes(hashlib.sha256("\n".join(known).encode()).digest()[:8])
    return 0


def forget(path: str) -> None:
    """Forget what is known of a file, so that the next look asks the server."""
    system, inner = _system(path)
    system.invalidate_cache(inner)


def put_bytes(sink: Any, path: str) -> bool:
    """Put the bytes of a file into a sink. Returns False if nobody reads any more.

    Raises:
        CorpusError: The file ended too early.
        OSError: It cannot be read.
    """
    system, inner = _system(path)
    size, total = system.info(inner).get("size"), 0
    # Over HTTP, a size of 0 asks for one answer as a stream. Many servers know no parts.
    is_http = path.startswith(("http://", "https://"))
    with _open(system, inner, block_size=0 if is_http else BLOCK_BYTES, cache_type="none") as file:
        while block := _read(file):
            total += len(block)
            if not sink.put_bytes(block):
                return False
    if size is not None and total < size:
        raise CorpusError(f"{path} ended after {total} of {size} bytes; read it again")
    return True


def open_seekable(path: str) -> IO[bytes]:
    """Open a file that is not read from its beginning to its end.

    Raises:
        CorpusError: The server sends files as a whole only.
        OSError: It cannot be read.
    """
    system, inner = _system(path)
    file = _open(system, inner, block_size=BLOCK_BYTES // 2, cache_type="readahead")
    if not file.seekable():
        raise CorpusError(f"{path} is a table, and its server does not send parts of a file; download it first")
    return file


def _open(system: Any, inner: str, **options: Any) -> IO[bytes]:
    file: IO[bytes] = system.open(inner, "rb", **options)
    # memory:// gives all who open a file the same object, with one position. A call that was stopped may still read.
    return io.BytesIO(file.getvalue()) if isinstance(file, io.BytesIO) else file


def _read(file: IO[bytes]) -> bytes:
    blocks, num_bytes = [], 0
    while num_bytes < LEAST_BYTES and (block := file.read(BLOCK_BYTES)):
        blocks.append(bytes(block))
        num_bytes += len(block)
    return blocks[0] if len(blocks) == 1 else b"".join(blocks)


def _system(path: str) -> tuple[Any, str]:
    """Return the file system of an address, and the path in it."""
    try:
        from fsspec.core import url_to_fs
    except ImportError as error:
        raise MissingExtra(f"{path} needs fsspec ({error}): pip install '.[remote]' in a clone of bpe_lm") from error
    scheme = path.partition("://")[0].rpartition("::")[2]
    try:
        system, inner = url_to_fs(path)
    except ImportError as error:
        extra = EXTRAS.get(scheme)
        remedy = f"pip install '.[{extra}]' in a clone of bpe_lm" if extra else "install it with pip"
        raise MissingExtra(f"{path} needs a package for {scheme}:// ({error}): {remedy}") from error
    except ValueError as error:
        raise CorpusError(f"{path} has a scheme that fsspec does not know ({error}); check the address") from error
    return system, inner
