"""Downloads: whole and checked under their names, or an error and what has arrived for the next call."""

import errno
import fcntl
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
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import SimpleNamespace

import pytest
from bpe_lm.data.download import CORPORA, Downloaded, download_corpus
from bpe_lm.errors import DownloadError, FileError, MissingExtra, OptionError, OutputExists

huggingface_hub = pytest.importorskip("huggingface_hub")
NAMES = {corpus: names for corpus, (_, names) in CORPORA.items()}
TRAIN, VALID = NAMES["tinystories"]
TEXT = random.Random(1).randbytes(300_000)
SHA256 = hashlib.sha256(TEXT).hexdigest()


# With functions in place of the hub's.


class FakeHub:
    """What `get_hf_file_metadata` and `http_get` do here. Each test changes what it needs."""

    def __init__(self):
        self.content, self.etag, self.size = TEXT, SHA256, len(TEXT)
        self.stops = []  # For each transfer, the number of bytes after which it fails, and the error.
        self.asked, self.transfers = [], []

    def metadata(self, url, **options):
        self.asked.append(url)
        if isinstance(self.etag, Exception):
            raise self.etag
        return SimpleNamespace(etag=self.etag, size=self.size)

    def get(self, url, file, *, resume_size, headers, expected_size, tqdm_class):
        self.transfers.append((url.rsplit("/", 1)[1], resume_size))
        stop, error = self.stops.pop(0) if self.stops else (None, None)
        with tqdm_class(unit="B", unit_scale=True, total=expected_size, initial=resume_size, desc="name") as bar:
            file.write(self.content[resume_size:stop])
            bar.update(len(self.content[resume_size:stop]))
        if error:
            raise error


@pytest.fixture
def hub(monkeypatch):
    fake = FakeHub()
    monkeypatch.setattr(huggingface_hub, "get_hf_file_metadata", fake.metadata)
    monkeypatch.setattr("huggingface_hub.file_download.http_get", fake.get)
    return fake


def network_error(reason):
    from huggingface_hub.errors import HfHubHTTPError

    return HfHubHTTPError.__bases__[0](reason)


def contents(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def part(folder):
    return folder / f".{TRAIN}.part"


def test_a_corpus_is_its_files(hub, tmp_path):
    folder = tmp_path / "new" / "folder"
    assert download_corpus("tinystories", folder) == [Downloaded(folder / name, True) for name in (TRAIN, VALID)]
    assert contents(folder) == {TRAIN: TEXT, VALID: TEXT}
    where = "https://huggingface.co/datasets/roneneldan/TinyStories/resolve/main/"
    assert hub.asked == [where + TRAIN, where + VALID]


def test_packed_files_stay_packed(hub, tmp_path):
    files = download_corpus("openwebtext", str(tmp_path))
    assert [file.path.name for file in files] == ["owt_train.txt.gz", "owt_valid.txt.gz"]
    assert contents(tmp_path) == {"owt_train.txt.gz": TEXT, "owt_valid.txt.gz": TEXT}
    assert all("/datasets/stanford-cs336/owt-sample/resolve/" in url for url in hub.asked)


@pytest.mark.parametrize(
    ("error", "problem"),
    [
        (network_error("the line is cut"), rf"https://.*/{TRAIN}: the line is cut; check the network and HF_ENDPOINT"),
        (OSError("Consistency check failed\nmore"), rf"{TRAIN}: Consistency check failed; check the network"),
        (OSError(errno.ENOSPC, "No space left on device"), rf"{TRAIN}: No space left on device; make room there"),
        (OSError(errno.EIO, "Input/output error"), rf"{TRAIN}: Input/output error; check the disk"),
    ],
)
def test_what_has_arrived_is_kept_and_the_next_call_goes_on(hub, tmp_path, error, problem):
    hub.stops = [(1000, error)]
    with pytest.raises(DownloadError, match=problem + r".*the same command goes on from there$") as caught:
        download_corpus("tinystories", tmp_path)
    assert caught.value.__cause__ is error
    assert contents(tmp_path) == {f".{TRAIN}.part": TEXT[:1000]}
    download_corpus("tinystories", tmp_path)
    assert hub.transfers == [(TRAIN, 0), (TRAIN, 1000), (VALID, 0)]
    assert contents(tmp_path) == {TRAIN: TEXT, VALID: TEXT}


@pytest.mark.parametrize("error", [KeyboardInterrupt(), SystemExit(1), BrokenPipeError()])
def test_a_stop_is_passed_on_and_what_has_arrived_is_kept(hub, tmp_path, error):
    hub.stops = [(1000, error)]
    with pytest.raises(type(error)):
        download_corpus("tinystories", tmp_path)
    assert contents(tmp_path) == {f".{TRAIN}.part": TEXT[:1000]}


def test_a_part_of_another_version_fails_the_check_and_is_deleted(hub, tmp_path):
    part(tmp_path).write_bytes(bytes(1000))
    with pytest.raises(DownloadError, match=rf"/{TRAIN}: the SHA-256 .* must be {SHA256}.*run the same command again"):
        download_corpus("tinystories", tmp_path)
    assert contents(tmp_path) == {}
    download_corpus("tinystories", tmp_path)
    assert contents(tmp_path) == {TRAIN: TEXT, VALID: TEXT}


def test_a_part_that_is_too_long_starts_again(hub, tmp_path):
    part(tmp_path).write_bytes(bytes(len(TEXT) + 1))
    download_corpus("tinystories", tmp_path)
    assert hub.transfers == [(TRAIN, 0), (VALID, 0)]
    assert contents(tmp_path) == {TRAIN: TEXT, VALID: TEXT}


@pytest.mark.parametrize(("etag", "size"), [(None, 9), ("a" * 40, 9), (SHA256, None), (SHA256.upper(), 9)])
def test_a_host_that_states_no_checksum_or_size_is_refused(hub, tmp_path, etag, size):
    hub.etag, hub.size = etag, size
    with pytest.raises(DownloadError, match="states no size or no SHA-256; check HF_ENDPOINT"):
        download_corpus("tinystories", tmp_path / "new")
    assert hub.transfers == []
    assert contents(tmp_path) == {}


def test_an_unknown_host_is_named_and_nothing_is_left(hub, tmp_path):
    hub.etag = network_error("Name or service not known")
    with pytest.raises(
        DownloadError, match=r"^https://huggingface.co/.*: Name or service not known; check the network"
    ):
        download_corpus("tinystories", tmp_path / "new")
    assert contents(tmp_path) == {}


def test_without_the_package_the_extra_is_named(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    with pytest.raises(MissingExtra, match=r"pip install '\.\[data\]'"):
        download_corpus("tinystories", tmp_path / "new")
    assert contents(tmp_path) == {}


def test_a_file_that_exists_is_kept_unless_forced(hub, tmp_path):
    (tmp_path / TRAIN).write_bytes(b"mine")
    assert [file.is_new for file in download_corpus("tinystories", tmp_path)] == [False, True]
    assert hub.transfers == [(VALID, 0)]
    assert (tmp_path / TRAIN).read_bytes() == b"mine"
    assert [file.is_new for file in download_corpus("tinystories", tmp_path, force=True)] == [True, True]
    assert contents(tmp_path) == {TRAIN: TEXT, VALID: TEXT}


def test_a_file_that_exists_is_there_until_the_new_one_is_checked(hub, tmp_path):
    (tmp_path / TRAIN).write_bytes(b"mine")
    hub.content = TEXT[::-1]
    with pytest.raises(DownloadError, match="SHA-256"):
        download_corpus("tinystories", tmp_path, force=True)
    assert contents(tmp_path) == {TRAIN: b"mine"}


@pytest.mark.parametrize("name", [TRAIN, VALID, f".{TRAIN}.part", f".{VALID}.part"])
@pytest.mark.parametrize("force", [False, True])
@pytest.mark.parametrize("kind", ["folder", "pipe"])
def test_what_is_no_file_is_refused_before_the_hub_is_asked(hub, tmp_path, name, kind, force):
    path = tmp_path / name
    path.mkdir() if kind == "folder" else os.mkfifo(path)
    with pytest.raises(OutputExists, match=rf"{name} is a (folder|named pipe), and is never replaced by a file"):
        download_corpus("tinystories", tmp_path, force=force)
    assert [found.name for found in tmp_path.iterdir()] == [name]
    assert not hub.asked


def test_an_address_is_no_folder(hub):
    with pytest.raises(FileError, match="only local files are written"):
        download_corpus("tinystories", "s3://bucket/x")
    assert not hub.asked


def test_an_unknown_corpus_is_refused_with_the_known_ones(hub, tmp_path):
    with pytest.raises(OptionError, match="'nope' is unknown; name one of tinystories, openwebtext"):
        download_corpus("nope", tmp_path)


@pytest.mark.parametrize("folder", ["file", "file/folder", "/proc/nope"])
def test_a_folder_that_cannot_be_made_is_named(hub, tmp_path, folder):
    (tmp_path / "file").touch()
    with pytest.raises(DownloadError, match=folder):
        download_corpus("tinystories", tmp_path / folder)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_folder_that_may_not_be_written(hub, tmp_path):
    tmp_path.chmod(0o500)
    with pytest.raises(DownloadError, match="may write"):
        download_corpus("tinystories", tmp_path)


def test_a_file_is_as_readable_as_any(hub, tmp_path):
    download_corpus("tinystories", tmp_path)
    (tmp_path / "other").touch()
    assert (tmp_path / TRAIN).stat().st_mode == (tmp_path / "other").stat().st_mode


def test_two_at_a_time(hub, tmp_path):
    with part(tmp_path).open("ab") as other:
        fcntl.flock(other, fcntl.LOCK_EX)
        with pytest.raises(DownloadError, match=rf"\.{TRAIN}\.part: another process downloads this file"):
            download_corpus("tinystories", tmp_path)
    assert hub.transfers == []
    download_corpus("tinystories", tmp_path)
    assert contents(tmp_path) == {TRAIN: TEXT, VALID: TEXT}


def test_a_part_that_another_process_completes_just_before_the_lock(hub, tmp_path, monkeypatch):
    part(tmp_path).write_bytes(TEXT)
    monkeypatch.setattr("bpe_lm.data.download.fcntl.flock", lambda *_: os.replace(part(tmp_path), tmp_path / TRAIN))
    with pytest.raises(DownloadError, match="another process"):
        download_corpus("tinystories", tmp_path)
    assert contents(tmp_path) == {TRAIN: TEXT}


def test_progress_is_in_bytes_from_where_the_call_goes_on(hub, tmp_path):
    part(tmp_path).write_bytes(TEXT[:1000])
    calls = []
    download_corpus("tinystories", tmp_path, progress=lambda *call: calls.append(call))
    stages = [TRAIN, f"check {TRAIN}", VALID, f"check {VALID}"]
    assert calls == [(stage, len(TEXT), len(TEXT)) for stage in stages]


# With huggingface_hub itself, against a server on this machine that HF_ENDPOINT names.


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *arguments):
        pass

    def do_HEAD(self):
        self.server.seen.append(("HEAD", self.path, None))
        self.answer(200, {"Content-Length": str(len(self.server.content))}, b"")

    def do_GET(self):
        if not self.path.startswith("/datasets/"):  # huggingface_hub looks whether an agent runs it.
            return self.send_error(404)
        wanted = self.headers.get("Range")
        self.server.seen.append(("GET", self.path, wanted))
        content = self.server.content
        start = int(wanted.removeprefix("bytes=").removesuffix("-")) if wanted else 0
        headers = {"Content-Length": str(len(content) - start)}
        if wanted:
            headers["Content-Range"] = f"bytes {start}-{len(content) - 1}/{len(content)}"
        cut = self.server.cuts.pop(0) if self.server.cuts else None
        self.answer(206 if wanted else 200, headers, content[start:cut])
        if cut:
            self.server.released.wait(20)

    def answer(self, status, headers, body):
        server = self.server
        if server.status:
            status, headers, body = server.status, {"Content-Length": "0"}, b""
        self.send_response(status)
        self.send_header("Connection", "close")  # Else the client may use the connection again just before it closes.
        stated = {"X-Linked-ETag": f'"{server.sha256}"', "X-Linked-Size": str(len(server.content))}
        for name, value in ({"X-Repo-Commit": "a" * 40, "ETag": '"1"'} | stated | headers).items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)


class Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request, client_address):
        pass  # The client has gone.


@pytest.fixture
def server(monkeypatch):
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with Server(("127.0.0.1", 0), Handler) as server:
        server.content, server.sha256, server.status = TEXT, SHA256, None
        server.cuts, server.seen, server.released = [], [], threading.Event()
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server
        server.released.set()
        server.shutdown()
        thread.join()


def command(port, *arguments, corpus="tinystories"):
    return {
        "args": [sys.executable, "-m", "bpe_lm", "data", "download", corpus, *arguments],
        "env": os.environ | {"HF_ENDPOINT": f"http://127.0.0.1:{port}/", "HF_HOME": os.devnull},
        "text": True,
        "stdout": subprocess.PIPE,
        "stderr": subprocess.PIPE,
    }


def test_the_command_names_its_files(server, tmp_path):
    call = command(server.server_port, corpus="openwebtext")
    done = subprocess.run(**call, cwd=tmp_path, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == ["data/owt_train.txt.gz (300.0 kB)", "data/owt_valid.txt.gz (300.0 kB)"]
    assert "owt_train.txt.gz: 300.0 of 300.0 kB, 100 %" in done.stderr
    assert "check owt_valid.txt.gz: 300.0 of 300.0 kB, 100 %" in done.stderr
    where = "/datasets/stanford-cs336/owt-sample/resolve/main/owt_{}.txt.gz"
    assert [seen[:2] for seen in server.seen] == [
        (method, where.format(split)) for split in ("train", "valid") for method in ("HEAD", "GET")
    ]
    assert contents(tmp_path / "data") == {"owt_train.txt.gz": TEXT, "owt_valid.txt.gz": TEXT}
    call = command(server.server_port, "--quiet", corpus="openwebtext")
    done = subprocess.run(**call, cwd=tmp_path, timeout=60, check=False)
    assert done.stdout.count("kept as it was: --force replaces it") == 2
    assert done.stderr == ""
    assert len(server.seen) == 4


@pytest.mark.parametrize("trouble", ["404", "no server", "wrong bytes"])
def test_the_command_says_what_went_wrong_in_one_line(server, tmp_path, trouble):
    port, problem = server.server_port, {"404": "404", "no server": "refused", "wrong bytes": "SHA-256"}[trouble]
    if trouble == "404":
        server.status = 404
    elif trouble == "wrong bytes":
        server.sha256 = "0" * 64
    else:
        with socket.socket() as unused:
            unused.bind(("127.0.0.1", 0))
            port = unused.getsockname()[1]
    done = subprocess.run(**command(port, "--out", "out", "--quiet"), cwd=tmp_path, timeout=60, check=False)
    assert done.returncode == 1
    assert done.stderr.startswith(
        f"error: http://127.0.0.1:{port}/datasets/roneneldan/TinyStories/resolve/main/{TRAIN}"
    )
    assert problem in done.stderr
    assert done.stderr.count("\n") == 1
    assert not list((tmp_path / "out").glob("*")) + list((tmp_path / "out").glob(".*"))


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_a_stopped_command_goes_on_where_it_stopped(server, tmp_path, number):
    """huggingface_hub writes 10 MiB at a time."""
    block = 10 << 20
    server.content = random.Random(3).randbytes(block + 1000)
    server.sha256 = hashlib.sha256(server.content).hexdigest()
    server.cuts = [block + 500]
    arriving = part(tmp_path / "data")
    with subprocess.Popen(**command(server.server_port), cwd=tmp_path) as process:
        deadline = time.monotonic() + 30
        while not (arriving.exists() and arriving.stat().st_size == block) and time.monotonic() < deadline:
            time.sleep(0.01)
        process.send_signal(number)
        stderr = process.communicate(timeout=10)[1]
    assert process.returncode == {signal.SIGINT: 130, signal.SIGTERM: 143, signal.SIGKILL: -9}[number]
    assert "Traceback" not in stderr
    assert ("the same command goes on from there" in stderr) == (number != signal.SIGKILL)
    assert arriving.stat().st_size == block
    done = subprocess.run(**command(server.server_port), cwd=tmp_path, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    assert [wanted for method, _, wanted in server.seen if method == "GET"] == [None, f"bytes={block}-", None]
    assert contents(tmp_path / "data") == {TRAIN: server.content, VALID: server.content}


def test_a_full_disk_loses_nothing(server, tmp_path):
    """A limit on the size of files stands for the full disk."""

    def limit():
        resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, resource.RLIM_INFINITY))

    call = command(server.server_port, "--quiet")
    done = subprocess.run(**call, cwd=tmp_path, timeout=60, check=False, preexec_fn=limit)
    assert done.returncode == 1
    assert f"{TRAIN}: File too large; make room there" in done.stderr
    assert contents(tmp_path / "data") == {f".{TRAIN}.part": TEXT[:100_000]}
    done = subprocess.run(**call, cwd=tmp_path, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    assert [wanted for method, _, wanted in server.seen if method == "GET"] == [None, "bytes=100000-", None]
    assert contents(tmp_path / "data") == {TRAIN: TEXT, VALID: TEXT}


def test_help_imports_nothing_of_the_hub(tmp_path):
    code = "import sys, bpe_lm.cli.main as m; m.main(['--help'])"
    code = f"import sys, atexit; atexit.register(lambda: print('huggingface_hub' in sys.modules)); {code}"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False)
    assert done.stdout.splitlines()[-1] == "False"
