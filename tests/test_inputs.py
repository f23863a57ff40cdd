"""Compressed files, JSON lines, several files and standard input, through Python and the command line."""

import gzip
import json
import signal
import subprocess
import sys
import time

import bpe_lm
import pytest

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
