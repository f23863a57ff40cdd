"""Files that someone made to do harm: bombs, JSON that is nested too deeply, pipes in place of files, names outside."""

import gzip
import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
from bpe_lm import Tokenizer, errors, open_tokens, verify
from injection import END_OF_TEXT

pytestmark = [pytest.mark.row("R22"), pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes")]

COUNT = """
import resource, sys
from bpe_lm import Tokenizer
tokenizer = Tokenizer.load(sys.argv[1])
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
found = tokenizer.count_tokens([sys.argv[2]], threads=1)
print(found.tokens if hasattr(found, "tokens") else found, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""


def zstd_of_runs(number: int) -> bytes:
    """Blocks of 128 KiB, each one letter that is repeated, and a word between them: 8,000 times as much inside."""
    size, word = 1 << 17, b" a word\n"
    frame = bytearray(b"\x28\xb5\x2f\xfd\x00\x38")
    for at in range(number):
        frame += (size << 3 | 1 << 1).to_bytes(3, "little") + b"x"
        frame += (len(word) << 3 | (at == number - 1)).to_bytes(3, "little") + word
    return bytes(frame)


@pytest.mark.parametrize("name", ["bomb.txt.gz", "bomb.txt.zst"])
def test_a_bomb_takes_time_and_no_memory(saved, tmp_path, name):
    size = 128 << 20
    path = tmp_path / name
    if name.endswith("gz"):
        line = gzip.compress(b"a b\n" * (1 << 18))
        path.write_bytes(line * (size >> 20))
    else:
        path.write_bytes(zstd_of_runs(size >> 17))
    assert path.stat().st_size * 200 < size
    done = subprocess.run([sys.executable, "-c", COUNT, saved, path], capture_output=True, text=True, check=True)
    assert int(done.stdout.split()[-1]) * 1024 < size // 2


DEEP = "[" * 200_000


def deep_tokenizer(folder, small):
    (folder / "tokenizer.json").write_text(f'{{"model": {DEEP}')
    Tokenizer.load(folder)


def deep_vocab(folder, small):
    (folder / "vocab.json").write_text(f'{{"a": {DEEP}')
    (folder / "merges.txt").write_text("")
    Tokenizer.from_files(folder / "vocab.json", folder / "merges.txt")


def deep_manifest(folder, small):
    (folder / "a.bin").write_bytes(b"")
    (folder / "a.bin.json").write_text(f'{{"count": {DEEP}')
    open_tokens(folder / "a.bin")


def deep_line(folder, small):
    (folder / "a.jsonl").write_text(f'{{"x": {DEEP}{DEEP.replace("[", "]")}, "text": "a"}}\n')
    small.encode_file(folder / "a.jsonl", folder / "a.bin")
    raise errors.FormatError("it is read")  # The other fields are skipped, however deep they are.


def deep_config(folder, small):
    from bpe_lm.files import read_json

    (folder / "config.json").write_text(f'{{"a": {DEEP}')
    read_json(folder / "config.json")


@pytest.mark.parametrize("make", [deep_tokenizer, deep_vocab, deep_manifest, deep_line, deep_config])
def test_json_that_is_nested_deeply_is_an_error_and_no_crash(tokenizer, tmp_path, make):
    with pytest.raises(errors.BpeLmError):
        make(tmp_path, tokenizer)


@pytest.mark.timeout(60)
@pytest.mark.parametrize(
    "name", ["tokenizer.json", "vocab.json", "tokenizer.tiktoken", "a.bin", "a.bin.json", "config.json"]
)
def test_a_pipe_in_place_of_a_file_is_refused_without_waiting(tmp_path, name):
    from bpe_lm.files import read_json

    (tmp_path / "merges.txt").write_text("")
    (tmp_path / "a.bin").write_bytes(b"")
    (tmp_path / name).unlink(missing_ok=True)
    os.mkfifo(tmp_path / name)
    read = {
        "tokenizer.json": lambda: Tokenizer.load(tmp_path),
        "vocab.json": lambda: Tokenizer.from_files(tmp_path / "vocab.json", tmp_path / "merges.txt"),
        "tokenizer.tiktoken": lambda: Tokenizer.from_tiktoken(tmp_path / name, "gpt2", {END_OF_TEXT: 256}),
        "config.json": lambda: read_json(tmp_path / name),
    }.get(name, lambda: verify(tmp_path / "a.bin"))
    began = time.monotonic()
    with pytest.raises(errors.BpeLmError, match="pipe"):
        read()
    assert time.monotonic() - began < 5


@pytest.mark.long
@pytest.mark.parametrize("name", ["../outside.safetensors", "/dev/zero", "sub/shard.safetensors"])
def test_a_checkpoint_names_no_shard_outside_of_its_folder(tmp_path, name):
    from bpe_lm.training import run_checkpoint
    from test_writer_faults import small_model

    path = run_checkpoint.save_run_checkpoint(tmp_path, *small_model("new"), 1, {})
    (tmp_path / "outside.safetensors").write_bytes(b"outside")
    marker = json.loads((path / run_checkpoint.MARKER).read_text())
    content = marker["content"] | {"sha256": {name: "0"}}
    marker = {"content": content, "sha256": run_checkpoint._sha256(content)}
    (path / run_checkpoint.MARKER).write_text(json.dumps(marker))
    with pytest.raises(errors.CheckpointError, match="outside of its folder"):
        run_checkpoint.load_run_checkpoint(path, *small_model("old"))


def test_nothing_in_a_corpus_or_a_tokenizer_names_where_something_is_written(tokenizer, tmp_path):
    """A special token and a text field that look like paths."""
    inside = tmp_path / "in"
    inside.mkdir()
    corpus = inside / "a.jsonl"
    corpus.write_text(json.dumps({"text": "../../outside", "out": "../outside", "file": "/tmp/outside"}) + "\n")
    named = Tokenizer(tokenizer.vocab, tokenizer.merges, ["../../outside"])
    named.save(inside / "tokenizer")
    Tokenizer.load(inside / "tokenizer").encode_file(corpus, inside / "out" / "a.bin")
    assert [path.name for path in tmp_path.iterdir()] == ["in"]
    assert sorted(path.name for path in inside.iterdir()) == ["a.jsonl", "out", "tokenizer"]
    assert not Path("/tmp/outside").exists()
