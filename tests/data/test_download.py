"""Downloads from a server that drops, lies, hangs and changes its mind: the exact file in the end, or none and why."""

import gzip
import hashlib
import os
import random
import resource
import signal
import socket
import subprocess
import sys
import threading
import time
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from bpe_lm.data.download import RemoteFile, corpus_files, download
from bpe_lm.errors import DownloadError, OptionError, OutputExists
from hypothesis import given, settings
from hypothesis import strategies as st

TEXT = random.Random(1).randbytes(300_000)
OTHER = random.Random(2).randbytes(200_000)
ZIPPED = gzip.compress(TEXT[:100_000]) + gzip.compress(TEXT[100_000:])


@dataclass
class Reply:
    """How the server answers one request; by default, well."""

    becomes: bytes | None = None  # From now on the file has these bytes.
    status: int | None = None  # An error.
    redirect: bool = False
    headers: dict = field(default_factory=dict)  # More headers, or others (None: leave it out).
    ranges: bool = True
    if_range: bool = True
    cut: int | None = None  # Send so many bytes of the body, and close.
    reset: bool = False  # Close with an RST.
    hang: bool = False  # Do not close, but wait.
    surplus: bytes = b""
    start: int = 0  # Send another range, so much further on.
    chunked: bool = False


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *arguments):
        pass

    def do_GET(self):
        server, wanted = self.server, self.headers.get("Range")
        server.seen.append((self.path, wanted, self.headers.get("If-Range")))
        reply = server.script.pop(0) if server.script else Reply()
        if reply.becomes is not None:
            server.content = reply.becomes
        self.close_connection = True
        content, etag = server.content, f'"{hashlib.md5(server.content).hexdigest()}"'
        if reply.redirect:
            return self.answer(reply, 302, {"Location": "/cdn" + self.path, "Content-Length": "0"}, b"")
        if reply.status and (wanted or reply.status != 416):
            return self.answer(reply, reply.status, {"Content-Length": "4"}, b"oops")
        start = int(wanted.removeprefix("bytes=").removesuffix("-")) if wanted and reply.ranges else None
        if reply.if_range and self.headers.get("If-Range", etag) != etag:
            start = None
        headers = {"ETag": etag, "Content-Type": "text/plain"}
        if start is None:
            return self.answer(reply, 200, headers | {"Content-Length": str(len(content))}, content)
        if start >= len(content):
            return self.answer(reply, 416, {"Content-Range": f"bytes */{len(content)}", "Content-Length": "0"}, b"")
        body = content[start + reply.start :]
        place = f"bytes {start + reply.start}-{len(content) - 1}/{len(content)}"
        return self.answer(reply, 206, headers | {"Content-Length": str(len(body)), "Content-Range": place}, body)

    def answer(self, reply, status, headers, body):
        if reply.chunked:
            headers |= {"Transfer-Encoding": "chunked", "Content-Length": None}
        self.send_response(status)
        for name, value in (headers | reply.headers).items():
            if value is not None:
                self.send_header(name, value)
        self.end_headers()
        body = (body + reply.surplus)[: reply.cut]
        if reply.chunked:
            size = 10_000
            chunks = (body[i : i + size] for i in range(0, len(body), size))
            end = b"0\r\n\r\n" if reply.cut is None else b""
            body = b"".join(b"%x\r\n%b\r\n" % (len(chunk), chunk) for chunk in chunks) + end
        self.wfile.write(body)
        if reply.hang:
            self.server.released.wait(20)
        if reply.reset:
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
            self.connection.close()


class Server(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server_port}"
        self.restart(TEXT)

    def restart(self, content, *script):
        self.content, self.script, self.seen, self.released = content, list(script), [], threading.Event()

    @property
    def ranges(self):
        return [wanted for _, wanted, _ in self.seen]

    def handle_error(self, request, client_address):
        pass  # The client has gone.


@pytest.fixture(scope="module")
def running():
    with Server() as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.fixture
def server(running, monkeypatch):
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    running.restart(TEXT)
    yield running
    running.released.set()


def fetch(server, folder, *script, content=None, compressed=False, sha256=None, **options):
    if content is not None:
        server.content = content
    server.script[:] = script
    file = RemoteFile("text.txt", f"{server.url}/text", sha256, compressed)
    return download(file, folder, **{"timeout": 5.0, "pause": 0.001, "tries": 3} | options)


def is_whole(folder, expected=TEXT):
    """The file is exact, and there is nothing beside it."""
    return [path.name for path in folder.iterdir()] == ["text.txt"] and (folder / "text.txt").read_bytes() == expected


def linked(content, size=None):
    """Hugging Face's redirect for a file."""
    digest = hashlib.sha256(content).hexdigest()
    return Reply(
        redirect=True,
        headers={"X-Linked-ETag": f'"{digest}"', "X-Linked-Size": str(len(content) if size is None else size)},
    )


def etag(content):
    return f'"{hashlib.md5(content).hexdigest()}"'


# Drops and resumption.


def test_a_whole_file(server, tmp_path):
    assert fetch(server, tmp_path / "new" / "folder")
    assert is_whole(tmp_path / "new" / "folder")
    assert server.seen == [("/text", None, None)]


def test_an_empty_file(server, tmp_path):
    assert fetch(server, tmp_path, content=b"")
    assert is_whole(tmp_path, b"")


def test_dropped_connections_go_on_where_they_stopped(server, tmp_path):
    assert fetch(server, tmp_path, *(Reply(cut=cut) for cut in (1000, 1, 70_000, 0, 0, 500)))
    assert is_whole(tmp_path)
    positions = [1000, 1001, 71_001, 71_001, 71_001, 71_501]
    assert server.seen == [("/text", None, None)] + [("/text", f"bytes={n}-", etag(TEXT)) for n in positions]


def test_connections_that_are_reset(server, tmp_path):
    assert fetch(server, tmp_path, *(Reply(cut=cut, reset=True) for cut in (200_000, 50_000)))
    assert is_whole(tmp_path)


def test_a_server_that_hangs_counts_as_dropped(server, tmp_path):
    assert fetch(server, tmp_path, Reply(cut=1000, hang=True), timeout=0.2)
    assert is_whole(tmp_path)
    assert server.ranges == [None, "bytes=1000-"]


def test_tries_end_where_nothing_new_comes_and_another_call_goes_on(server, tmp_path):
    with pytest.raises(DownloadError, match=r"/text, byte 1,000: .*3 tries.*same command"):
        fetch(server, tmp_path, Reply(cut=1000), *[Reply(cut=0)] * 20)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["text.txt.part", "text.txt.part.json"]
    assert server.ranges == [None] + ["bytes=1000-"] * 3
    assert fetch(server, tmp_path)
    assert server.ranges[4:] == ["bytes=1000-"]
    assert is_whole(tmp_path)


def test_tries_end_where_a_server_without_ranges_always_drops(server, tmp_path):
    with pytest.raises(DownloadError, match="3 tries"):
        fetch(server, tmp_path, *[Reply(cut=1000, ranges=False)] * 20)
    assert len(server.seen) == 4


def test_a_server_that_ignores_ranges_starts_again(server, tmp_path):
    assert fetch(server, tmp_path, Reply(cut=1000), Reply(ranges=False, cut=500), Reply(ranges=False))
    assert is_whole(tmp_path)


def test_no_server(tmp_path, server):
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        server.url = f"http://127.0.0.1:{unused.getsockname()[1]}"
        try:
            with pytest.raises(DownloadError, match="refused"):
                fetch(server, tmp_path)
        finally:
            server.url = f"http://127.0.0.1:{server.server_port}"
    assert list(tmp_path.iterdir()) == []


# Versions.


@pytest.mark.parametrize("if_range", [True, False])
@pytest.mark.parametrize("other", [OTHER, TEXT[::-1]], ids=["shorter", "as long"])
def test_a_file_that_changed_is_fetched_anew(server, tmp_path, other, if_range):
    assert fetch(server, tmp_path, Reply(cut=1000), Reply(becomes=other, if_range=if_range))
    assert is_whole(tmp_path, other)


def test_a_file_that_became_shorter_than_what_has_arrived(server, tmp_path):
    assert fetch(server, tmp_path, Reply(cut=250_000), Reply(becomes=OTHER, if_range=False))
    assert is_whole(tmp_path, OTHER)
    assert server.ranges == [None, "bytes=250000-", None]


@pytest.mark.parametrize("tag", [None, 'W/"1"'])
def test_without_a_strong_etag_nothing_is_resumed(server, tmp_path, tag):
    assert fetch(server, tmp_path, Reply(cut=1000, headers={"ETag": tag}), Reply(headers={"ETag": tag}))
    assert server.seen == [("/text", None, None)] * 2
    assert is_whole(tmp_path)


def test_with_a_checksum_an_etag_is_not_needed(server, tmp_path):
    tag = {"ETag": None}
    assert fetch(server, tmp_path, linked(TEXT), Reply(cut=1000, headers=tag), linked(TEXT), Reply(headers=tag))
    assert server.ranges == [None, None, "bytes=1000-", "bytes=1000-"]
    assert is_whole(tmp_path)


def test_a_rest_without_an_etag_is_not_trusted(server, tmp_path):
    assert fetch(server, tmp_path, Reply(cut=1000), Reply(headers={"ETag": None}))
    assert server.ranges == [None, "bytes=1000-", None]
    assert is_whole(tmp_path)


def test_a_changed_checksum_starts_again(server, tmp_path):
    with pytest.raises(DownloadError):
        fetch(server, tmp_path, linked(TEXT), Reply(cut=1000), *[Reply(status=500)] * 3)
    assert fetch(server, tmp_path, linked(OTHER), Reply(becomes=OTHER, if_range=False), linked(OTHER), Reply())
    assert is_whole(tmp_path, OTHER)


@pytest.mark.parametrize("sidecar", [None, "", "{", "[]", '{"url": 1}'])
def test_a_part_of_an_unknown_version_is_discarded(server, tmp_path, sidecar):
    (tmp_path / "text.txt.part").write_bytes(OTHER)
    if sidecar is not None:
        (tmp_path / "text.txt.part.json").write_text(sidecar)
    assert fetch(server, tmp_path)
    assert server.ranges == [None]
    assert is_whole(tmp_path)


def test_a_part_from_another_address_is_discarded(server, tmp_path):
    with pytest.raises(DownloadError):
        fetch(server, tmp_path, Reply(cut=1000), *[Reply(status=500)] * 3)
    sidecar = tmp_path / "text.txt.part.json"
    sidecar.write_text(sidecar.read_text().replace("/text", "/other"))
    assert fetch(server, tmp_path)
    assert server.ranges[-1] is None
    assert is_whole(tmp_path)


# Lies.


def test_fewer_bytes_than_announced_are_no_file(server, tmp_path):
    long = str(len(TEXT) + 10)
    with pytest.raises(DownloadError, match="byte 300,000"):
        fetch(server, tmp_path, Reply(headers={"Content-Length": long}), *[Reply(status=500)] * 9)
    assert not (tmp_path / "text.txt").exists()
    with pytest.raises(DownloadError, match="closed at byte 300,000 of 300,010"):
        fetch(server, tmp_path, *[Reply(headers={"Content-Length": long}, ranges=False)] * 9)
    assert not (tmp_path / "text.txt").exists()
    assert fetch(server, tmp_path)
    assert is_whole(tmp_path)


def test_more_bytes_than_announced_are_no_file(server, tmp_path):
    with pytest.raises(DownloadError, match=r"more than the 299,990 bytes"):
        fetch(server, tmp_path, Reply(headers={"Content-Length": str(len(TEXT) - 10)}))
    assert list(tmp_path.iterdir()) == []


def test_more_bytes_than_announced_in_the_rest_are_no_file(server, tmp_path):
    with pytest.raises(DownloadError, match="more than"):
        fetch(server, tmp_path, Reply(cut=1000), Reply(surplus=b"x", headers={"Content-Length": str(len(TEXT) - 999)}))
    assert list(tmp_path.iterdir()) == []


def test_a_connection_that_stays_open_after_the_last_byte(server, tmp_path):
    assert fetch(server, tmp_path, Reply(hang=True), timeout=0.2)
    assert is_whole(tmp_path)
    assert len(server.seen) == 1


@pytest.mark.parametrize("start", [-1, 1, 1000])
def test_a_range_that_starts_elsewhere_is_not_taken(server, tmp_path, start):
    assert fetch(server, tmp_path, Reply(cut=1000), Reply(start=start))
    assert server.ranges == [None, "bytes=1000-", None]
    assert is_whole(tmp_path)


@pytest.mark.parametrize(
    "place",
    [
        "bytes 1000-299999/300001",
        "bytes 1000-300000/300000",
        "bytes 1000-999/300000",
        "bytes */300000",
        "octets 1000-299999/300000",
        f"bytes 1000-{'9' * 5000}/300000",
        None,
    ],
)
def test_a_content_range_that_lies_is_not_taken(server, tmp_path, place):
    assert fetch(server, tmp_path, Reply(cut=1000), Reply(headers={"Content-Range": place}))
    assert server.ranges == [None, "bytes=1000-", None]
    assert is_whole(tmp_path)


def test_a_part_of_the_rest_is_taken_and_the_remainder_asked_for(server, tmp_path):
    place = {"Content-Range": "bytes 1000-1999/300000", "Content-Length": "1000"}
    assert fetch(server, tmp_path, Reply(cut=1000), Reply(headers=place, cut=1000))
    assert server.ranges == [None, "bytes=1000-", "bytes=2000-"]
    assert is_whole(tmp_path)


def test_a_rest_whose_total_is_not_told_is_asked_for_until_416(server, tmp_path):
    place = {"Content-Range": "bytes 25000-299999/*"}
    assert fetch(server, tmp_path, Reply(chunked=True, cut=25_000), Reply(headers=place))
    assert server.ranges == [None, "bytes=25000-", "bytes=300000-"]
    assert is_whole(tmp_path)


def test_chunks_and_then_a_rest_that_breaks_off(server, tmp_path):
    assert fetch(server, tmp_path, Reply(chunked=True, cut=25_000), Reply(cut=1000))
    assert server.ranges == [None, "bytes=25000-", "bytes=26000-"]
    assert is_whole(tmp_path)


def test_416_starts_again(server, tmp_path):
    assert fetch(server, tmp_path, Reply(cut=1000), Reply(status=416))
    assert server.ranges == [None, "bytes=1000-", None]
    assert is_whole(tmp_path)


def test_without_any_length_a_drop_could_not_be_told(server, tmp_path):
    with pytest.raises(DownloadError, match="length"):
        fetch(server, tmp_path, Reply(headers={"Content-Length": None}))
    assert list(tmp_path.iterdir()) == []


def test_chunks_need_no_length(server, tmp_path):
    assert fetch(server, tmp_path, Reply(chunked=True))
    assert is_whole(tmp_path)


def test_chunks_that_break_off_go_on(server, tmp_path):
    assert fetch(server, tmp_path, Reply(chunked=True, cut=25_000), Reply())
    assert server.ranges == [None, "bytes=25000-"]
    assert is_whole(tmp_path)


def test_416_after_all_chunks_but_the_last_means_complete(server, tmp_path):
    assert fetch(server, tmp_path, Reply(chunked=True, cut=len(TEXT)))
    assert server.ranges == [None, "bytes=300000-"]
    assert is_whole(tmp_path)


@pytest.mark.parametrize(
    ("headers", "message"),
    [
        ({"Content-Type": "text/html; charset=utf-8"}, "web page"),
        ({"Content-Encoding": "gzip"}, "encoded"),
        ({"Content-Length": "9" * 5000}, "length"),
    ],
)
def test_what_is_not_the_file_is_refused(server, tmp_path, headers, message):
    with pytest.raises(DownloadError, match=message):
        fetch(server, tmp_path, Reply(headers=headers))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("status", [401, 403, 404, 410])
def test_a_refusal_is_not_tried_again(server, tmp_path, status):
    with pytest.raises(DownloadError, match=rf"/text, byte 0: HTTP status {status} .*HF_ENDPOINT"):
        fetch(server, tmp_path, Reply(status=status))
    assert len(server.seen) == 1
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("status", [408, 429, 500, 503])
def test_a_busy_server_is_tried_again(server, tmp_path, status):
    assert fetch(server, tmp_path, Reply(cut=1000), Reply(status=status), Reply(status=status))
    assert server.ranges == [None] + ["bytes=1000-"] * 3
    assert is_whole(tmp_path)


def test_a_busy_server_says_when_to_come_back(server, tmp_path):
    start = time.monotonic()
    assert fetch(server, tmp_path, Reply(status=429, headers={"Retry-After": "1"}))
    assert time.monotonic() - start >= 1


def test_a_server_that_stays_busy(server, tmp_path):
    with pytest.raises(DownloadError, match="503"):
        fetch(server, tmp_path, *[Reply(status=503)] * 9)
    assert len(server.seen) == 3
    assert list(tmp_path.iterdir()) == []


# Redirects and checksums.


def test_a_redirect_tells_checksum_and_length(server, tmp_path):
    assert fetch(server, tmp_path, linked(TEXT), Reply(cut=1000), linked(TEXT))
    assert [path for path, _, _ in server.seen] == ["/text", "/cdn/text"] * 2
    assert server.ranges == [None, None, "bytes=1000-", "bytes=1000-"]
    assert is_whole(tmp_path)


def test_a_wrong_checksum_is_no_file_and_starts_again(server, tmp_path):
    with pytest.raises(DownloadError, match=hashlib.sha256(TEXT).hexdigest()):
        fetch(server, tmp_path, linked(TEXT[::-1]))
    assert list(tmp_path.iterdir()) == []
    assert fetch(server, tmp_path, linked(TEXT))
    assert is_whole(tmp_path)


def test_a_wrong_length_in_the_redirect_is_no_file(server, tmp_path):
    with pytest.raises(DownloadError, match="300,000 and 300,001"):
        fetch(server, tmp_path, linked(TEXT, size=300_001))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("is_right", [True, False])
def test_a_checksum_that_was_known_before(server, tmp_path, is_right):
    sha256 = hashlib.sha256(TEXT if is_right else OTHER).hexdigest()
    if is_right:
        assert fetch(server, tmp_path, sha256=sha256)
        assert is_whole(tmp_path)
    else:
        with pytest.raises(DownloadError, match="sha256"):
            fetch(server, tmp_path, sha256=sha256)
        assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("place", ["file:///etc/hosts", "ftp://127.0.0.1/text"])
def test_a_redirect_leads_nowhere_but_to_http(server, tmp_path, place):
    with pytest.raises(DownloadError, match=r"not safe|HTTP status 302"):
        fetch(server, tmp_path, Reply(redirect=True, headers={"Location": place}))
    assert list(tmp_path.iterdir()) == []


def test_a_redirect_in_a_circle_ends(server, tmp_path):
    with pytest.raises(DownloadError, match="302"):
        fetch(server, tmp_path, *[Reply(redirect=True, headers={"Location": "/text"})] * 50)


# gzip.


@pytest.mark.parametrize("zipped", [gzip.compress(TEXT), ZIPPED, gzip.compress(TEXT) + bytes(512)])
def test_gzip_is_unpacked(server, tmp_path, zipped):
    assert fetch(server, tmp_path, Reply(cut=1000), content=zipped, compressed=True)
    assert server.ranges == [None, "bytes=1000-"]
    assert is_whole(tmp_path)


@pytest.mark.parametrize(
    "zipped",
    [
        b"",
        ZIPPED[:-1],
        ZIPPED[:-9],
        ZIPPED[:100_000],
        ZIPPED + b"x",
        ZIPPED + b"trailing garbage",
        ZIPPED[:-8] + bytes([ZIPPED[-8] ^ 1]) + ZIPPED[-7:],
        ZIPPED[:-4] + bytes([ZIPPED[-4] ^ 1]) + ZIPPED[-3:],
        ZIPPED[:50_000] + bytes([ZIPPED[50_000] ^ 255]) + ZIPPED[50_001:],
        TEXT,
    ],
    ids=["empty", "cut 1", "cut 9", "cut", "garbage 1", "garbage", "crc", "length", "inside", "no gzip"],
)
def test_gzip_that_is_not_right_is_no_file(server, tmp_path, zipped):
    with pytest.raises(DownloadError, match=r"does not unpack .*run the same command"):
        fetch(server, tmp_path, content=zipped, compressed=True)
    assert list(tmp_path.iterdir()) == []


def test_gzip_is_checked_before_it_is_unpacked(server, tmp_path):
    with pytest.raises(DownloadError, match="sha256"):
        fetch(server, tmp_path, linked(TEXT, size=len(ZIPPED)), content=ZIPPED, compressed=True)
    assert list(tmp_path.iterdir()) == []


# Files that are there already, disks that are full, processes that end.


def test_a_file_that_is_there_is_kept(server, tmp_path):
    (tmp_path / "text.txt").write_bytes(b"mine")
    assert not fetch(server, tmp_path)
    assert server.seen == []
    assert is_whole(tmp_path, b"mine")
    assert fetch(server, tmp_path, force=True)
    assert is_whole(tmp_path)


def test_a_file_that_is_there_is_kept_until_the_new_one_is_complete(server, tmp_path):
    (tmp_path / "text.txt").write_bytes(b"mine")
    with pytest.raises(DownloadError):
        fetch(server, tmp_path, *[Reply(cut=1000), Reply(status=404)], force=True)
    assert (tmp_path / "text.txt").read_bytes() == b"mine"


@pytest.mark.parametrize("compressed", [True, False])
def test_two_at_a_time(server, tmp_path, compressed):
    content = ZIPPED if compressed else TEXT
    errors = []
    first = threading.Thread(
        target=lambda: fetch(
            server, tmp_path, Reply(cut=1000, hang=True), content=content, compressed=compressed, timeout=20
        )
    )
    first.start()
    while not (part := next(tmp_path.glob("*.part"), None)) or part.stat().st_size < 1000:
        time.sleep(0.01)
    with pytest.raises(DownloadError, match="another process") as caught:
        fetch(server, tmp_path, compressed=compressed)
    errors.append(caught.value)
    assert part.stat().st_size == 1000
    server.released.set()
    first.join()
    assert is_whole(tmp_path)


def test_many_at_a_time(server, tmp_path):
    outcomes = []

    def one():
        try:
            outcomes.append(fetch(server, tmp_path))
        except DownloadError as error:
            outcomes.append("another process" in str(error) and None)

    threads = [threading.Thread(target=one) for _ in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert outcomes.count(True) == 1
    assert outcomes.count(None) + outcomes.count(False) == 15
    assert len(server.seen) == 1
    assert is_whole(tmp_path)


def test_a_part_that_another_process_completes_just_before_the_lock(server, tmp_path, monkeypatch):
    def lock(file, operation):
        os.replace(tmp_path / "text.txt.part", tmp_path / "text.txt")
        (tmp_path / "text.txt").write_bytes(TEXT)

    monkeypatch.setattr("bpe_lm.data.download.fcntl.flock", lock)
    with pytest.raises(DownloadError, match="another process"):
        fetch(server, tmp_path, force=True)
    assert server.seen == []
    assert is_whole(tmp_path)


@pytest.mark.parametrize("name", ["text.txt", "text.txt.part", "text.txt.part.json"])
@pytest.mark.parametrize("force", [False, True])
@pytest.mark.parametrize("kind", ["folder", "pipe"])
def test_what_is_no_file_is_refused_before_anything_is_fetched(server, tmp_path, name, kind, force):
    path = tmp_path / name
    path.mkdir() if kind == "folder" else os.mkfifo(path)
    with pytest.raises(OutputExists, match=rf"{name} is a (folder|named pipe), and is never replaced by a file"):
        fetch(server, tmp_path, force=force)
    assert [found.name for found in tmp_path.iterdir()] == [name]
    assert not path.is_file()
    assert not server.seen


@pytest.mark.parametrize("folder", ["file", "file/folder", "/proc/nope"])
def test_a_folder_that_cannot_be_made_is_named(server, tmp_path, folder):
    (tmp_path / "file").touch()
    with pytest.raises(DownloadError, match=folder):
        fetch(server, tmp_path / folder)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_folder_that_may_not_be_written(server, tmp_path):
    tmp_path.chmod(0o500)
    with pytest.raises(DownloadError, match="may write"):
        fetch(server, tmp_path)


def test_a_file_is_as_readable_as_any(server, tmp_path):
    fetch(server, tmp_path)
    (tmp_path / "other").touch()
    assert (tmp_path / "text.txt").stat().st_mode == (tmp_path / "other").stat().st_mode


def test_only_http_and_known_corpora():
    with pytest.raises(OptionError, match="file://"):
        corpus_files("tinystories", "file:///etc")
    with pytest.raises(OptionError, match="openwebtext"):
        corpus_files("nope")
    assert [(file.name, file.url) for file in corpus_files("openwebtext", "https://mirror.example/hub/")] == [
        (
            f"owt_{split}.txt",
            f"https://mirror.example/hub/datasets/stanford-cs336/owt-sample/resolve/main/owt_{split}.txt.gz",
        )
        for split in ("train", "valid")
    ]


def test_progress_is_in_bytes_at_most_ten_times_a_second(server, tmp_path):
    calls = []
    start = time.monotonic()
    fetch(
        server,
        tmp_path,
        Reply(cut=1000),
        content=ZIPPED,
        compressed=True,
        sha256=hashlib.sha256(ZIPPED).hexdigest(),
        progress=lambda *call: calls.append(call),
    )
    whole = len(ZIPPED)
    stages = ["text.txt", "check text.txt", "unpack text.txt"]
    assert [call for call in calls if call[1] == call[2]] == [(stage, whole, whole) for stage in stages]
    assert len(calls) <= 10 * (time.monotonic() - start) + 2 + len(stages)


def test_memory_does_not_grow_with_the_file(server, tmp_path):
    content = gzip.compress(bytes(150_000_000), compresslevel=1)
    code = f"""
from bpe_lm.data.download import RemoteFile, download
from bpe_lm.machine import peak_memory
download(RemoteFile("text.txt", "{server.url}/text", compressed=True), {str(tmp_path)!r})
print(peak_memory())
"""
    server.content = content
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert (tmp_path / "text.txt").stat().st_size == 150_000_000
    assert int(done.stdout) < 100e6


replies = st.builds(
    Reply,
    becomes=st.sampled_from([None, None, None, TEXT[:5000], OTHER[:5000], OTHER[:3000], b""]),
    status=st.sampled_from([None] * 8 + [416, 500, 503]),
    headers=st.sampled_from([{}] * 6 + [{"ETag": None}, {"Content-Range": "bytes 7-9/10"}, {"Content-Range": None}]),
    ranges=st.sampled_from([True, True, True, False]),
    if_range=st.booleans(),
    cut=st.integers(0, 5000),
    start=st.sampled_from([0, 0, 0, -1, 1]),
    chunked=st.sampled_from([False, False, True]),
)


@settings(max_examples=80, deadline=None)
@given(script=st.lists(replies, max_size=8))
def test_any_script_of_drops_changes_and_lies_ends_in_one_whole_version(running, tmp_path_factory, script):
    folder = tmp_path_factory.mktemp("any")
    running.restart(TEXT[:5000])
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("no_proxy", "127.0.0.1")
        patch.setenv("NO_PROXY", "127.0.0.1")
        fetch(running, folder, *script, tries=100, pause=0)
    versions = [TEXT[:5000]] + [reply.becomes for reply in script if reply.becomes is not None]
    got = (folder / "text.txt").read_bytes()
    assert is_whole(folder, got)
    assert got in versions


# The command.


def command(server, *arguments, corpus="tinystories"):
    return {
        "args": [sys.executable, "-m", "bpe_lm", "data", "download", corpus, *arguments],
        "env": os.environ | {"HF_ENDPOINT": server.url + "/"},
        "text": True,
        "stdout": subprocess.PIPE,
        "stderr": subprocess.PIPE,
    }


def test_the_command_names_its_files(server, tmp_path):
    server.content = ZIPPED
    done = subprocess.run(**command(server, corpus="openwebtext"), cwd=tmp_path, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == ["data/owt_train.txt (300.0 kB)", "data/owt_valid.txt (300.0 kB)"]
    assert "owt_train.txt: 300.1 of 300.1 kB, 100 %" in done.stderr
    assert "unpack owt_valid.txt: 300.1 of 300.1 kB, 100 %" in done.stderr
    assert [path for path, _, _ in server.seen] == [
        f"/datasets/stanford-cs336/owt-sample/resolve/main/owt_{split}.txt.gz" for split in ("train", "valid")
    ]
    assert {path.name: path.read_bytes() for path in (tmp_path / "data").iterdir()} == {
        "owt_train.txt": TEXT,
        "owt_valid.txt": TEXT,
    }
    done = subprocess.run(**command(server, "--quiet", corpus="openwebtext"), cwd=tmp_path, timeout=60, check=False)
    assert done.stdout.count("kept") == 2
    assert done.stderr == ""
    assert len(server.seen) == 2


def test_the_command_says_what_went_wrong_in_one_line(server, tmp_path):
    server.script = [Reply(status=404)]
    done = subprocess.run(**command(server, "--out", "out", "--quiet"), cwd=tmp_path, timeout=60, check=False)
    assert done.returncode == 1
    assert done.stderr.startswith(f"error: {server.url}/datasets/roneneldan/TinyStories/resolve/main/Tiny")
    assert done.stderr.count("\n") == 1
    assert list((tmp_path / "out").iterdir()) == []


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_a_stopped_command_goes_on_where_it_stopped(server, tmp_path, number):
    server.script = [Reply(cut=200_000, hang=True)]
    process = subprocess.Popen(**command(server), cwd=tmp_path)
    part = tmp_path / "data" / "TinyStoriesV2-GPT4-train.txt.part"
    deadline = time.monotonic() + 20
    while not (part.exists() and part.stat().st_size == 200_000):
        assert time.monotonic() < deadline
        time.sleep(0.01)
    process.send_signal(number)
    stderr = process.communicate(timeout=5)[1]
    assert process.returncode == {signal.SIGINT: 130, signal.SIGTERM: 143, signal.SIGKILL: -9}[number]
    assert "Traceback" not in stderr
    assert ("the same command goes on from there" in stderr) == (number != signal.SIGKILL)
    assert part.stat().st_size == 200_000
    done = subprocess.run(**command(server), cwd=tmp_path, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    assert server.ranges == [None, "bytes=200000-", None]
    assert sorted((path.name, path.read_bytes()) for path in (tmp_path / "data").iterdir()) == [
        ("TinyStoriesV2-GPT4-train.txt", TEXT),
        ("TinyStoriesV2-GPT4-valid.txt", TEXT),
    ]


@pytest.mark.parametrize("corpus", ["tinystories", "openwebtext"])
def test_a_full_disk_loses_nothing(server, tmp_path, corpus):
    """A limit on the size of files stands for the full disk; packed, it is the unpacked file that does not fit."""
    server.content = gzip.compress(bytes(300_000)) if corpus == "openwebtext" else TEXT

    def limit():
        resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, resource.RLIM_INFINITY))

    done = subprocess.run(
        **command(server, "--quiet", corpus=corpus), cwd=tmp_path, timeout=60, check=False, preexec_fn=limit
    )
    assert done.returncode == 1
    assert ".txt.part: File too large; make room there" in done.stderr
    kept = [path for path in (tmp_path / "data").iterdir() if path.suffix == ".part"]
    assert [path.stat().st_size for path in kept] == [len(server.content) if corpus == "openwebtext" else 100_000]
    done = subprocess.run(**command(server, corpus=corpus), cwd=tmp_path, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    assert server.ranges == ([None, None] if corpus == "openwebtext" else [None, "bytes=100000-", None])
    assert {path.stat().st_size for path in (tmp_path / "data").iterdir()} == {300_000}
