"""Texts at addresses: fsspec's memory, a local HTTP server, and what goes wrong there."""

import gzip
import http.server
import json
import os
import signal
import subprocess
import sys
import threading
import time

import bpe_lm
import fsspec
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from bpe_lm import errors
from bpe_lm.cli.main import main
from bpe_lm.tokenizer import remote, tables
from fsspec.implementations.memory import MemoryFileSystem

END_OF_TEXT = "<|endoftext|>"
pytest.importorskip("aiohttp")


@pytest.fixture(scope="module")
def texts(sample):
    return sample.read_text()[:300_000].split(END_OF_TEXT)


@pytest.fixture(scope="module")
def folder(texts, tmp_path_factory):
    """The same texts in every format."""
    folder = tmp_path_factory.mktemp("texts")
    lines = "".join(json.dumps({"text": text}) + "\n" for text in texts).encode()
    (folder / "a.jsonl").write_bytes(lines)
    (folder / "a.jsonl.gz").write_bytes(gzip.compress(lines))
    pq.write_table(pa.table({"text": texts}), folder / "a.parquet", row_group_size=40)
    (folder / "a.txt").write_text(END_OF_TEXT.join(texts))
    (folder / "a.txt.gz").write_bytes(gzip.compress(END_OF_TEXT.join(texts).encode()))
    return folder


@pytest.fixture(scope="module")
def memory(folder):
    files = fsspec.filesystem("memory")
    for path in folder.iterdir():
        files.pipe(f"/texts/{path.name}", path.read_bytes())
    yield "memory://texts"
    files.rm("/texts", recursive=True)


class Handler(http.server.SimpleHTTPRequestHandler):
    """Sends whole files and parts of them. What happens otherwise is in the path."""

    protocol_version = "HTTP/1.1"

    def log_message(self, *arguments):
        pass

    def send_head(self):
        if "broken" in self.path and self.command == "GET":
            self.send_response(200)
            self.send_header("Content-Length", "1000000")
            self.end_headers()
            self.wfile.write(b"some words " * 1000)
            self.close_connection = True
            return None
        if "slow" in self.path and self.command == "GET":
            self.send_response(200)
            self.send_header("Content-Length", "1000000")
            self.end_headers()
            self.wfile.write(b"some words " * 1000)
            self.wfile.flush()
            time.sleep(20)
            return None
        if "slow" in self.path or "broken" in self.path:
            self.send_response(200)
            self.send_header("Content-Length", "1000000")
            self.end_headers()
            return None
        path = self.translate_path(self.path)
        if not os.path.isfile(path) or "Range" not in self.headers:
            return super().send_head()
        file = open(path, "rb")  # noqa: SIM115
        size = os.fstat(file.fileno()).st_size
        first, _, last = self.headers["Range"].removeprefix("bytes=").partition("-")
        start, end = int(first), min(int(last or size - 1), size - 1)
        file.seek(start)
        data = file.read(end - start + 1)
        file.close()
        self.send_response(206)
        self.send_header("Content-Range", f"bytes {start}-{end}/{size}")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(data)
        return None

    def end_headers(self):
        self.send_header("Accept-Ranges", "bytes")
        super().end_headers()


@pytest.fixture(scope="module")
def server(folder):
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), lambda *a: Handler(*a, directory=folder)) as found:
        found.daemon_threads = True
        thread = threading.Thread(target=found.serve_forever, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{found.server_port}"
        found.shutdown()
        thread.join()


@pytest.fixture(params=["memory", "server"])
def address(request):
    return request.getfixturevalue(request.param)


@pytest.mark.parametrize("name", ["a.jsonl", "a.jsonl.gz", "a.parquet", "a.txt", "a.txt.gz"])
def test_an_address_counts_and_encodes_as_the_file(folder, address, tmp_path, name):
    bpe_lm.count_pretokens(folder / name, tmp_path / "expected", [END_OF_TEXT])
    bpe_lm.count_pretokens(f"{address}/{name}", tmp_path / "found", [END_OF_TEXT])
    assert (tmp_path / "found").read_bytes() == (tmp_path / "expected").read_bytes()
    vocab, merges = bpe_lm.train_bpe([f"{address}/{name}"], 300, [END_OF_TEXT])
    assert (vocab, merges) == bpe_lm.train_bpe(folder / name, 300, [END_OF_TEXT])
    tokenizer = bpe_lm.Tokenizer(vocab, merges, [END_OF_TEXT])
    tokenizer.encode_file([folder / name, folder / "a.txt"], tmp_path / "expected.bin")
    tokenizer.encode_file([f"{address}/{name}", folder / "a.txt"], tmp_path / "found.bin")
    for ending in (".bin", ".bin.idx"):
        assert (tmp_path / f"found{ending}").read_bytes() == (tmp_path / f"expected{ending}").read_bytes()
    source = json.loads((tmp_path / "found.bin.json").read_text())["sources"][0]
    assert (source["name"], source["bytes"]) == (f"{address}/{name}", (folder / name).stat().st_size)


def test_shards_of_addresses_add_up(folder, memory, tmp_path):
    paths = [f"{memory}/{name}" for name in ("a.txt", "a.parquet", "a.jsonl.gz", "a.txt.gz")]
    bpe_lm.count_pretokens(paths, tmp_path / "whole", [END_OF_TEXT])
    for i in range(3):
        bpe_lm.count_pretokens(paths, tmp_path / f"{i}", [END_OF_TEXT], shard=(i, 3))
    bpe_lm.merge_counts([tmp_path / f"{i}" for i in range(3)], tmp_path / "sum")
    assert (tmp_path / "sum").read_bytes() == (tmp_path / "whole").read_bytes()


class Boastful(MemoryFileSystem):
    """A file system that states the size of each file as its name does."""

    protocol = "boastful"

    def info(self, path, **options):
        return {"name": path, "type": "file", "size": int(path.strip("/").rpartition("/")[2])}


def test_sizes_that_servers_state_are_checked_before_they_are_added(tmp_path):
    fsspec.register_implementation("boastful", Boastful, clobber=True)
    huge = [f"boastful://{name}/{1 << 62}" for name in "ab"]
    with pytest.raises(errors.BpeLmError, match="the size of all files exceeds"):
        bpe_lm.count_pretokens(huge, tmp_path / "counts", shard=(0, 2))
    assert remote.look(huge[0])[0] == 1 << 62
    for size in (-1, 1 << 63, 1 << 70):
        assert remote.look(f"boastful://a/{size}")[0] is None


def test_readers_of_one_file_in_memory_do_not_move_each_other():
    fsspec.filesystem("memory").pipe("/shared/a.txt", b"some words")
    first, second = (remote.open_seekable("memory://shared/a.txt") for _ in range(2))
    assert first.read(4) == b"some"
    assert second.read() == b"some words"
    assert first.read() == b" words"


@pytest.mark.parametrize("key", ["ETag", "generation", "blob_id"])
def test_a_time_that_a_list_states_less_exactly_is_no_change_of_a_file(monkeypatch, key):
    def look(**stated):
        monkeypatch.setattr(MemoryFileSystem, "info", lambda *_: {"size": 9, "type": "file"} | stated)
        return remote.look("memory://texts/a.txt")

    listed = look(**{key: "abc", "LastModified": "12:00:00.123"})
    assert look(**{key: "abc", "LastModified": "12:00:00"}) == listed
    assert look(**{key: "abd", "LastModified": "12:00:00.123"}) != listed
    assert look(LastModified="12:00:00") != look(LastModified="12:00:01")


@pytest.mark.parametrize("name", ["big.jsonl.gz", "big.parquet"])
def test_an_interrupted_encoding_goes_on_unless_the_file_has_changed(texts, memory, tmp_path, name, monkeypatch):
    """Reading takes its time, and the journal has a line each second."""
    files, more = fsspec.filesystem("memory"), texts * 8
    content = gzip.compress("".join(json.dumps({"text": text}) + "\n" for text in more).encode())
    if name.endswith("parquet"):
        pq.write_table(pa.table({"text": more}), tmp_path / name)
        content = (tmp_path / name).read_bytes()
    files.pipe(f"/texts/{name}", content)
    vocab, merges = bpe_lm.train_bpe(iter(texts[:50]), 300, [END_OF_TEXT])
    tokenizer, out = bpe_lm.Tokenizer(vocab, merges, [END_OF_TEXT]), tmp_path / "out.bin"
    tokenizer.encode_file(f"{memory}/{name}", tmp_path / "whole.bin")
    pieces, read, pause = tables._pieces, remote._read, 0.01

    def slow_pieces(*arguments):
        for found in pieces(*arguments):
            time.sleep(pause)
            yield found

    def slow_read(file):
        time.sleep(pause)
        return read(file)

    monkeypatch.setattr(tables, "_pieces", slow_pieces)
    monkeypatch.setattr(tables, "PIECE_BYTES", 10_000)
    monkeypatch.setattr(remote, "_read", slow_read)
    monkeypatch.setattr(remote, "LEAST_BYTES", 1)
    monkeypatch.setattr(remote, "BLOCK_BYTES", 4000)

    class Stop(Exception):
        pass

    def stop(stage, done, total):
        journal = tmp_path / "out.bin.partial.journal"
        if journal.exists() and journal.read_bytes().count(b"\n") > 1:
            raise Stop

    with pytest.raises(Stop):
        tokenizer.encode_file(f"{memory}/{name}", out, threads=1, progress=stop)
    partial = {path.name: path.read_bytes() for path in tmp_path.glob("out.bin.*")}
    assert "out.bin.partial.journal" in partial
    pause = 0
    tokenizer.encode_file(f"{memory}/{name}", out, resume=True)
    assert out.read_bytes() == (tmp_path / "whole.bin").read_bytes()
    for path in tmp_path.glob("out.bin*"):
        path.unlink()
    for path, data in partial.items():
        (tmp_path / path).write_bytes(data)
    files.pipe(f"/texts/{name}", content)
    with pytest.raises(errors.ResumeMismatch):
        tokenizer.encode_file(f"{memory}/{name}", out, resume=True)


def test_a_file_that_changes_while_it_is_encoded_is_an_error(texts, tmp_path, monkeypatch):
    files, tokenizer = fsspec.filesystem("memory"), bpe_lm.Tokenizer(*bpe_lm.train_bpe(iter(texts), 300, []))
    files.pipe("/changing/a.txt", b"some words " * 1000)
    read = remote._read

    def change(file):
        block = read(file)
        if not block:
            files.pipe("/changing/a.txt", b"other ones " * 1000)
        return block

    monkeypatch.setattr(remote, "_read", change)
    with pytest.raises(errors.CorpusError, match=r"a\.txt was changed while it was being encoded"):
        tokenizer.encode_file("memory://changing/a.txt", tmp_path / "out.bin")
    assert not (tmp_path / "out.bin").exists()


def test_the_last_look_at_a_file_may_take_its_time_and_be_stopped(folder, memory, tmp_path, monkeypatch):
    tokenizer = bpe_lm.Tokenizer(*bpe_lm.train_bpe(folder / "a.jsonl", 300, []), [])
    is_asked, answers = threading.Event(), threading.Event()

    def silent(path):
        is_asked.set()
        answers.wait(20)

    def stop(stage, done, total):
        if is_asked.is_set():
            raise KeyboardInterrupt

    monkeypatch.setattr(remote, "forget", silent)
    with pytest.raises(KeyboardInterrupt):
        tokenizer.encode_file(f"{memory}/a.txt", tmp_path / "out.bin", progress=stop)
    answers.set()
    tokenizer.encode_file(f"{memory}/a.txt", tmp_path / "out.bin", resume=True)


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("{memory}/none.txt", "could not read the corpus memory://texts/none.txt: no such file; check the path"),
        ("memory://texts", "memory://texts is a directory"),
        ("{server}/none.jsonl", "none.jsonl: no such file; check the path"),
        ("{server}/broken.txt", "could not read the corpus http://"),
        ("nobody://a/b.txt", "a scheme that fsspec does not know"),
        ("{memory}/wrong.gz", "wrong.gz: is named as gzip but is not gzip data"),
        ("{memory}/wrong.parquet", "wrong.parquet cannot be read as Parquet"),
        ("{memory}/zip", "is a zip archive"),
        ("{memory}/cut.gz", "cut.gz: the gzip data is damaged or cut off"),
        ("{memory}/empty.txt", "empty.txt is empty"),
    ],
)
def test_what_goes_wrong_is_one_error_with_the_address(folder, memory, server, tmp_path, path, message):
    files = fsspec.filesystem("memory")
    files.pipe("/texts/wrong.gz", b"some words")
    files.pipe("/texts/wrong.parquet", b"some words")
    files.pipe("/texts/zip", b"PK\x03\x04 and more")
    files.pipe("/texts/cut.gz", (folder / "a.txt.gz").read_bytes()[:-100])
    files.pipe("/texts/empty.txt", b"")
    with pytest.raises((errors.CorpusError, errors.FormatError)) as raised:
        bpe_lm.count_pretokens(path.format(memory=memory, server=server), tmp_path / "out")
    assert message in str(raised.value)
    assert not (tmp_path / "out").exists()


def test_the_commands_read_addresses_and_write_only_files(server, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(["count", f"{server}/a.jsonl.gz", "-o", "a.counts", "--quiet"]) == 0
    assert main(["count", f"{server}/a.txt", "-o", "memory://x/a.counts", "--quiet"]) == 1
    assert "only local files are written" in capsys.readouterr().err
    assert main(["count", f"{server}/a.txt", "-o", "memory://x/a.parquet", "--quiet"]) == 1
    assert "only local files are written" in capsys.readouterr().err


def test_ctrl_c_while_a_server_is_silent(server, tmp_path):
    program = f"""
import time, bpe_lm
try:
    bpe_lm.train_bpe('{server}/slow.txt', 300, [])
except KeyboardInterrupt:
    print(time.time(), flush=True)
    raise
"""
    command = [sys.executable, "-c", program]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd=tmp_path) as child:
        time.sleep(3)
        assert child.poll() is None
        sent = time.time()
        child.send_signal(signal.SIGINT)
        assert float(child.stdout.read()) - sent < 1
        child.wait(timeout=20)
        assert time.time() - sent < 3
        assert b"KeyboardInterrupt" in child.stderr.read()


@pytest.mark.parametrize(
    ("absent", "path", "message"),
    [
        ("fsspec", "s3://bucket/a.txt", "'.[remote]'"),
        ("s3fs", "s3://bucket/a.txt", "'.[s3]'"),
        ("gcsfs", "gs://bucket/a.txt", "'.[gcs]'"),
        ("aiohttp", "https://localhost/a.txt", "'.[http]'"),
        ("huggingface_hub", "hf://datasets/a/b/c.txt", "'.[hf]'"),
    ],
)
def test_without_a_package_the_error_names_the_extra(tmp_path, absent, path, message):
    program = (
        f"import sys; sys.modules['{absent}'] = None\n"
        "import bpe_lm\n"
        f"try: bpe_lm.train_bpe('{path}', 300, [])\n"
        "except bpe_lm.errors.MissingExtra as error: print(error)"
    )
    done = subprocess.run([sys.executable, "-c", program], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert message in done.stdout, done.stderr
