"""Compressed files, JSON lines, several files and standard input, through Python and the command line."""

import bz2
import gzip
import json
import lzma
import os
import signal
import socket
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor

import bpe_lm
import pytest
from bpe_lm import _core
from bpe_lm.cli.main import main

END_OF_TEXT = "<|endoftext|>"
TEXTS = ["low low low lower", "the lowest of them all", "newest and widest — don't", "x" * 50, "\n\n low \n"] * 20
TRAIN = [sys.executable, "-m", "bpe_lm", "train-tokenizer"]
OPTIONS = ["--vocab-size", "320", "--out", "out", "--json", "--quiet"]


@pytest.fixture
def expected():
    return bpe_lm.train_bpe(iter(TEXTS), 320, [])


def lines(texts, field="text"):
    return "".join(json.dumps({"id": i, field: text}) + "\n" for i, text in enumerate(texts)).encode()


def run(*arguments, cwd, **options):
    return subprocess.run(
        [*TRAIN, *map(str, arguments)], cwd=cwd, capture_output=True, timeout=60, check=False, **options
    )


def test_json_lines_train_as_their_texts(tmp_path, expected):
    plain, packed = tmp_path / "a.jsonl", tmp_path / "b.jsonl.gz"
    plain.write_bytes(lines(TEXTS[:30]))
    packed.write_bytes(gzip.compress(lines(TEXTS[30:])))
    assert bpe_lm.train_bpe([plain, packed], 320, []) == expected
    plain.write_bytes(lines(TEXTS, "body"))
    assert bpe_lm.train_bpe(plain, 320, [], json_field="body") == expected
    odd = plain.rename(tmp_path / "texts")
    assert bpe_lm.train_bpe(odd, 320, [], json_field="body", input_format="jsonl") == expected


def test_several_files_and_their_order(tmp_path, expected):
    paths = []
    for i, text in enumerate(TEXTS):
        paths.append(tmp_path / f"{i}.txt")
        paths[-1].write_text(text)
    assert bpe_lm.train_bpe(paths[::-1], 320, [], threads=3) == expected


def test_bad_lines(tmp_path):
    path = tmp_path / "texts.jsonl"
    path.write_bytes(lines(TEXTS) + b'{"text": null}\n' + lines(TEXTS) + b"{}\n")
    with pytest.raises(bpe_lm.errors.CorpusError, match=r"texts\.jsonl, line 101: .*bad_lines"):
        bpe_lm.train_bpe(path, 320, [])
    _, merges, training = bpe_lm.train_and_record(path, 320, [], bad_lines="skip")
    assert training["skipped_lines"] == 2
    assert merges == bpe_lm.train_bpe(iter(TEXTS * 2), 320, [])[1]
    for options in ({"bad_lines": "ignore"}, {"input_format": "xml"}):
        with pytest.raises(bpe_lm.errors.OptionError, match="must be"):
            bpe_lm.train_bpe(path, 320, [], **options)


@pytest.mark.parametrize("pack", [bytes, gzip.compress], ids=["plain", "gzip"])
def test_standard_input(tmp_path, pack):
    text = " ".join(TEXTS).encode()
    done = run("-", *OPTIONS, cwd=tmp_path, input=pack(text))
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    assert (report["corpus"], report["corpus_bytes"]) == (["-"], len(text))
    saved = bpe_lm.Tokenizer.load(tmp_path / "out")
    assert (saved.vocab, saved.merges) == bpe_lm.train_bpe(iter([text]), 320, [])


def test_json_lines_from_standard_input_with_bad_ones(tmp_path):
    content = b"no JSON\n" + lines(TEXTS)
    done = run("-", "--input-format", "jsonl", *OPTIONS, cwd=tmp_path, input=content)
    assert done.returncode == 1
    assert b"standard input, line 1" in done.stderr
    done = run("-", "--input-format", "jsonl", "--bad-lines", "skip", *OPTIONS, cwd=tmp_path, input=content)
    assert json.loads(done.stdout)["skipped_lines"] == 1
    table = run(
        "-", "--input-format", "jsonl", "--bad-lines", "skip", *OPTIONS[:4], "--force", cwd=tmp_path, input=content
    )
    assert b"bad lines skipped" in table.stdout


def test_ctrl_c_while_standard_input_is_silent(tmp_path):
    with subprocess.Popen(
        [*TRAIN, "-", *OPTIONS], cwd=tmp_path, stdin=subprocess.PIPE, stderr=subprocess.PIPE
    ) as child:
        child.stdin.write(b"some words")
        child.stdin.flush()
        time.sleep(1)
        start = time.monotonic()
        child.send_signal(signal.SIGINT)
        assert child.wait(timeout=20) == 130
        assert time.monotonic() - start < 2
    assert not (tmp_path / "out").exists()


def test_a_damaged_file_is_named(tmp_path):
    path = tmp_path / "text.gz"
    path.write_bytes(gzip.compress(" ".join(TEXTS).encode())[:-20])
    with pytest.raises(bpe_lm.errors.CorpusError, match=r"text\.gz: the gzip data is damaged or cut off after"):
        bpe_lm.train_bpe(path, 320, [])


def in_process(*arguments):
    """Run the command line here; its exit status."""
    return main([str(argument) for argument in arguments])


def no_file(path, kind):
    """Make something that no file may replace."""
    if kind == "a named pipe":
        os.mkfifo(path)
    elif kind == "a socket":
        with socket.socket(socket.AF_UNIX) as made:
            made.bind(str(path))
    else:
        path.mkdir()


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """The current folder, with a tokenizer in `t` and texts."""
    monkeypatch.chdir(tmp_path)
    tokenizer = bpe_lm.Tokenizer(*bpe_lm.train_bpe(iter(TEXTS), 300, [END_OF_TEXT]), [END_OF_TEXT])
    tokenizer.save(tmp_path / "t")
    (tmp_path / "a.txt").write_text(" ".join(TEXTS))
    (tmp_path / "a.jsonl").write_bytes(lines(TEXTS))
    return tmp_path


@pytest.mark.parametrize("kind", ["a named pipe", "a socket"])
@pytest.mark.parametrize("force", [[], ["--force"]])
def test_encode_refuses_to_replace_what_is_no_file(folder, capsys, kind, force):
    no_file(folder / "out", kind)
    before = (folder / "out").lstat()
    assert in_process("encode", "a.txt", "--tokenizer", "t", "--out", "out", "--quiet", *force) == 1
    assert capsys.readouterr().err == f"error: out is {kind}; name another path to write to\n"
    assert os.path.samestat((folder / "out").lstat(), before)
    assert sorted(path.name for path in folder.iterdir()) == ["a.jsonl", "a.txt", "out", "t"]


@pytest.mark.parametrize("kind", ["a named pipe", "a socket", "a folder"])
@pytest.mark.parametrize("force", [[], ["--force"]])
def test_train_tokenizer_refuses_to_replace_what_is_no_file_before_it_reads(folder, capsys, kind, force):
    (folder / "new").mkdir()
    no_file(folder / "new" / "merges.txt", kind)
    arguments = ("train-tokenizer", "no-such-text", "--vocab-size", "300", "--out")
    assert in_process(*arguments, "new", *force) == 1
    assert f"new/merges.txt is {kind}" in capsys.readouterr().err
    assert in_process(*arguments, "new/merges.txt" if kind != "a folder" else "a.txt", *force) == 1
    assert "is not a folder" in capsys.readouterr().err
    with pytest.raises(bpe_lm.errors.OutputExists, match="merges.txt is"):
        bpe_lm.Tokenizer.load("t").save("new", force=True)
    assert [path.name for path in (folder / "new").iterdir()] == ["merges.txt"]


@pytest.mark.parametrize("name", ["sample-train.txt", "sample-valid.txt"])
def test_data_sample_refuses_to_replace_what_is_no_file(folder, capsys, name):
    (folder / "data").mkdir()
    no_file(folder / "data" / name, "a named pipe")
    assert in_process("data", "sample", "--megabytes", "0.1") == 1
    assert f"{name} is a named pipe" in capsys.readouterr().err
    assert [path.name for path in (folder / "data").iterdir()] == [name]
    with pytest.raises(bpe_lm.errors.OutputExists):
        _core.write_sample(folder / "data" / name, 1000, 1, False)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["encode", "nobody://a/b.txt", "--tokenizer", "t", "--out", "x"], "a scheme that fsspec does not know"),
        (["encode", "*.txt", "--tokenizer", "t", "--out", "x"], "the shell expands a pattern that is not in quotes"),
        (["encode", "a.txt", "--tokenizer", "gpt2", "--out", "x"], "hf download MODEL tokenizer.json"),
        (["encode", "a.txt", "--tokenizer", "t", "--out", "shards/"], "shards/ is the name of a directory"),
        (["encode", "a.txt", "--tokenizer", "t", "--out", "s3://bucket/x"], "only local files are written"),
        (["encode", "a.jsonl", "--json-field", "body", "--tokenizer", "t", "--out", "x"], 'no field "body"'),
        (["encode", "empty.txt", "--tokenizer", "t", "--out", "x"], "empty.txt is empty: it contains no text"),
        (["decode", "s3://bucket/x", "--tokenizer", "t"], "only local files are read"),
        (["train-tokenizer", "a.txt", "--vocab-size", "300", "--out", "s3://bucket/x"], "only local files are written"),
        (["data", "sample", "--out", "s3://bucket/x"], "only local files are written"),
    ],
)
def test_mistakes_with_names_are_one_line_that_says_what_to_do(folder, capsys, arguments, message):
    (folder / "empty.txt").touch()
    before = sorted(folder.rglob("*"))
    quiet = [] if arguments[0] in ("decode", "data") else ["--quiet"]
    assert in_process(*arguments, *quiet) == 1
    err = capsys.readouterr().err
    assert message in err
    assert err.count("\n") == 1
    assert sorted(folder.rglob("*")) == before


def test_the_right_json_field_needs_no_force_after_a_wrong_one(folder, capsys):
    encode = ("encode", "a.jsonl", "--tokenizer", "t", "--out", "x", "--quiet")
    assert in_process(*encode, "--json-field", "body") == 1
    assert in_process(*encode, "--json-field", "body", "--bad-lines", "skip") == 1
    assert "every line was skipped" in capsys.readouterr().err
    assert in_process(*encode) == 0


def test_decode_refuses_to_start_behind_the_end(folder, capsys):
    assert in_process("encode", "a.txt", "--tokenizer", "t", "--out", "x", "--quiet") == 0
    count = len(bpe_lm.open_tokens("x"))
    capsys.readouterr()
    for start in (count, 99_999_999):
        assert in_process("decode", "x", "--tokenizer", "t", "--start", start) == 1
        assert f"start {start} is beyond the end: x has {count:,} tokens" in capsys.readouterr().err


def test_json_lines_and_binary_files_are_never_silently_text(folder, capsys):
    content = lines(TEXTS)
    encode = ("encode", "--tokenizer", "t", "--force", "--quiet", "--json", "--out", "ids")
    for name, packed in {"x.json": content, "X.JSONL": content, "x.json.gz": gzip.compress(content)}.items():
        (folder / name).write_bytes(packed)
        assert in_process(*encode, name) == 0
        assert json.loads(capsys.readouterr().out)["text_bytes"] == sum(map(len, map(str.encode, TEXTS)))
    refused = {
        "part-00000": (content, "input-format jsonl"),
        "a.csv": (b"\xff\xfea\0,\0b\0", "UTF-16"),
        "a.xz": (lzma.compress(content), "xz -d"),
        "a.bz2": (bz2.compress(content), "bzip2 -d"),
        "a.parquet": (b"PAR1\x15\x00\x15", "Parquet"),
        "whole.json": (json.dumps([{"text": text} for text in TEXTS]).encode(), "jq -c"),
        "indented.json": (json.dumps({"text": TEXTS}, indent=1).encode(), "jq -c"),
    }
    for name, (packed, message) in refused.items():
        (folder / name).write_bytes(packed)
        assert in_process(*encode, name) == 1
        assert message in capsys.readouterr().err
        assert in_process(*encode, name, "--input-format", "text") == 0
        capsys.readouterr()


def test_json_on_standard_input_is_refused_until_it_is_said(tmp_path):
    done = run("-", *OPTIONS, cwd=tmp_path, input=lines(TEXTS))
    assert done.returncode == 1
    assert b"standard input is JSON by its first bytes" in done.stderr
    assert done.stderr.count(b"\n") == 1


def test_many_nul_bytes_are_a_warning_and_on_the_command_line_a_note(folder, capsys):
    (folder / "b.txt").write_bytes("text".encode("utf-16-le") * 50)
    with pytest.warns(UserWarning, match=r"b\.txt begins with many NUL bytes: is it text\?"):
        bpe_lm.train_bpe(folder / "b.txt", 260, [])
    assert in_process("encode", "b.txt", "--tokenizer", "t", "--out", "x", "--quiet") == 0
    assert capsys.readouterr().err == "note: b.txt begins with many NUL bytes: is it text?\n"
    assert in_process("train-tokenizer", "b.txt", "--vocab-size", 260, "--out", "new", "--quiet") == 0
    assert capsys.readouterr().err == "note: b.txt begins with many NUL bytes: is it text?\n"


def test_json_lines_as_other_programs_write_them(folder, expected):
    path = folder / "b.jsonl"
    path.write_bytes(b"\xef\xbb\xbf" + lines(TEXTS))
    assert bpe_lm.train_bpe(path, 320, []) == expected
    path.write_text("".join(json.dumps({"score": float("nan"), "text": text}) + "\n" for text in TEXTS))
    assert bpe_lm.train_bpe(path, 320, []) == expected
    path.write_text("".join(json.dumps({"meta": {"text": text, "n": float("-inf")}}) + "\n" for text in TEXTS))
    assert bpe_lm.train_bpe(path, 320, [], json_field="meta.text") == expected


def test_gzip_data_filled_up_with_zeros_is_whole(folder):
    text = (folder / "a.txt").read_bytes()
    (folder / "a.gz").write_bytes(gzip.compress(text) + bytes(1000))
    assert bpe_lm.train_bpe("a.gz", 320, []) == bpe_lm.train_bpe("a.txt", 320, [])


def test_a_zstd_window_that_is_too_large_is_named(folder):
    window = bytes([(29 - 10) << 3])
    block = (4 << 3 | 1).to_bytes(3, "little") + b"word"
    single_segment = b"\x28\xb5\x2f\xfd\xa0" + (300 << 20).to_bytes(4, "little") + block
    (folder / "b.zst").write_bytes(single_segment)
    with pytest.raises(
        bpe_lm.errors.CorpusError, match=r"300 MiB.* limit is 128 MiB; the file is not damaged.*long=29"
    ):
        bpe_lm.train_bpe("b.zst", 300, [])
    (folder / "b.zst").write_bytes(b"\x28\xb5\x2f\xfd\xe0" + b"\xff" * 8 + block)
    with pytest.raises(bpe_lm.errors.CorpusError, match=r"limit is 128 MiB.*--long=31"):
        bpe_lm.train_bpe("b.zst", 300, [])
    (folder / "a.zst").write_bytes(b"\x28\xb5\x2f\xfd\0" + window + block)
    with pytest.raises(
        bpe_lm.errors.CorpusError, match=r"512 MiB.* limit is 128 MiB; the file is not damaged.*long=29"
    ):
        bpe_lm.train_bpe("a.zst", 300, [])


def test_verify_runs_in_a_thread_and_stops_when_its_callback_raises(folder):
    """A trainer checks its files while it compiles, and gives up when it ends."""

    class Enough(Exception):
        pass

    def stop(stage, done, total):
        raise Enough

    bpe_lm.Tokenizer.load("t").encode_file("a.txt", "x")
    with ThreadPoolExecutor(1) as pool:
        assert pool.submit(bpe_lm.verify, "x").result().count == len(bpe_lm.open_tokens("x"))
        with pytest.raises(Enough):
            pool.submit(bpe_lm.verify, "x", progress=stop).result()
