"""What is made of token files: their documents, joined shards, and the files of other programs."""

import gzip
import json
import os
import random
import struct
import subprocess
import sys
from pathlib import Path

import bpe_lm
import numpy as np
import pytest
from bpe_lm import Tokenizer, errors
from bpe_lm.tokenizer.token_array import Joined

END_OF_TEXT = "<|endoftext|>"


@pytest.fixture(scope="module")
def tokenizer(sample) -> Tokenizer:
    special_tokens = [END_OF_TEXT]
    return Tokenizer(*bpe_lm.train_bpe(sample, 500, special_tokens), special_tokens)


@pytest.fixture
def text(sample, tmp_path) -> Path:
    path = tmp_path / "text.txt"
    path.write_bytes(sample.read_bytes()[:60_000])
    return path


def run(*arguments, cwd):
    command = [sys.executable, "-m", "bpe_lm", *map(str, arguments)]
    return subprocess.run(command, cwd=cwd, capture_output=True, timeout=120, check=False, text=True)


def naive_documents(ids, end):
    """The ids, each document up to its separator."""
    documents = [[]]
    for id in ids:
        documents[-1].append(id)
        if id == end:
            documents.append([])
    return [document for document in documents if document]


# Documents.


@pytest.mark.parametrize("name", ["out.bin", "out.npy"])
def test_documents_are_texts_with_their_separators(tokenizer, tmp_path, name):
    end, texts = tokenizer.special_ids[END_OF_TEXT], ["a dog", "", "a cat"]
    (tmp_path / "a.jsonl").write_text("".join(json.dumps({"text": text}) + "\n" for text in texts))
    (tmp_path / "b.txt").write_text(f"one{END_OF_TEXT}two")
    (tmp_path / "c.txt").write_text(f"three{END_OF_TEXT}")
    out = tmp_path / name
    made = tokenizer.encode_file([tmp_path / name for name in ("a.jsonl", "b.txt", "c.txt")], out)
    tokens = bpe_lm.open_tokens(out)
    expected = [tokenizer.encode(text) for text in ("a dog", "", "a cat", "one", "two", "three")]
    documents = tokens.documents
    assert [document.tolist() for document in documents] == [[*ids, end] for ids in expected]
    assert made.documents == len(documents) == bpe_lm.verify(out).documents == 6
    assert documents[-1].tolist() == documents[5].tolist() == [*expected[5], end]
    assert [len(document) for document in documents[1:3]] == [1, len(expected[2]) + 1]
    assert np.shares_memory(documents[0], tokens)
    assert documents.starts[1] == len(expected[0]) + 1
    with pytest.raises(IndexError):
        documents[6]


def test_a_file_without_an_index_has_no_documents(tokenizer, text, tmp_path):
    out = tmp_path / "out" / "out.bin"
    tokenizer.encode_file(text, out)
    ids = out.read_bytes()
    made = tokenizer.encode_file(text, out, index=False, force=True)
    assert (made.documents, sorted(os.listdir(out.parent))) == (None, ["out.bin", "out.bin.json"])
    assert (out.read_bytes(), bpe_lm.verify(out).documents) == (ids, None)
    with pytest.raises(errors.TokenFileError, match="--no-index"):
        bpe_lm.open_tokens(out).documents  # noqa: B018
    with pytest.raises(errors.ResumeMismatch, match="an index"):
        tokenizer.encode_file(text, out, resume=True)
    values = json.loads((tmp_path / "out/out.bin.json").read_text())
    del values["index"], values["shard"]  # As older versions wrote it.
    (tmp_path / "out/out.bin.json").write_text(json.dumps(values))
    assert bpe_lm.verify(out).documents is None


def test_a_part_of_the_ids_is_a_plain_array(tokenizer, text, tmp_path):
    tokenizer.encode_file(text, tmp_path / "out.bin")
    tokens = bpe_lm.open_tokens(tmp_path / "out.bin")
    assert isinstance(tokens, np.memmap)
    for part in (tokens[2:5], tokens[[1, 2]], tokens == 3, tokens + 1):
        assert type(part) is np.ndarray
    assert int(tokens.max()) < 500
    with pytest.raises(ValueError, match="read-only"):
        tokens[2:5][0] = 1


# Shards and joined files.


@pytest.fixture
def shards(tokenizer, text, tmp_path):
    """The file of a text, and the files of its three shards."""
    tokenizer.encode_file(text, tmp_path / "whole.bin")
    paths = [tmp_path / "parts" / f"{index}.bin" for index in range(3)]
    for index, path in enumerate(paths):
        tokenizer.encode_file(text, path, shard=(index, 3))
    return tmp_path / "whole.bin", paths


def test_joined_shards_are_the_whole_file(tokenizer, shards, tmp_path):
    whole, paths = shards
    assert b"".join(path.read_bytes() for path in paths) == whole.read_bytes()
    tokens = bpe_lm.open_tokens(whole)
    made = bpe_lm.join_tokens(paths, tmp_path / "all.bin")
    assert sorted(path.name for path in tmp_path.glob("all*")) == ["all.bin.json"]
    joined = bpe_lm.open_tokens(tmp_path / "all.bin", tokenizer=tokenizer, dtype="uint16")
    assert (len(joined), joined.shape, joined.dtype) == (len(tokens), tokens.shape, tokens.dtype)
    assert np.array_equal(np.asarray(joined), tokens)
    assert (made.count, made.documents, made.text_bytes) == (len(tokens), len(tokens.documents), 60_000)
    assert bpe_lm.verify(tmp_path / "all.bin") == made
    assert np.array_equal(np.asarray(joined.documents.starts), tokens.documents.starts)
    for ours, theirs in zip(joined.documents, tokens.documents, strict=True):
        assert np.array_equal(ours, theirs)
    text = b"".join(tokenizer.decode_file(tmp_path / "all.bin"))
    assert text == b"".join(tokenizer.decode_file(whole))
    border = len(bpe_lm.open_tokens(paths[0]))
    assert np.shares_memory(joined[border : border + 9], joined.parts[1])
    with pytest.raises(errors.OutputExists):
        bpe_lm.join_tokens(paths, tmp_path / "all.bin")
    with pytest.raises(errors.OutputExists, match="another path"):
        bpe_lm.join_tokens(paths, whole, force=True)


def test_joined_arrays_answer_as_one_array():
    rng = random.Random(1)
    for _ in range(40):
        parts = [np.arange(rng.randrange(5), dtype=np.uint16) + 10 * i for i in range(rng.randrange(1, 6))]
        added = [rng.choice([0, 100]) for _ in parts]
        whole = np.concatenate([part + number for part, number in zip(parts, added, strict=True)])
        joined, number = Joined(parts, added), len(whole)
        assert (len(joined), joined.size, list(joined), joined.tolist()) == (number, number, *[whole.tolist()] * 2)
        bounds = [None, *range(-number - 2, number + 3)]
        for _ in range(60):
            part = slice(rng.choice(bounds), rng.choice(bounds), rng.choice([None, 1, 2, -1, -3]))
            assert joined[part].tolist() == whole[part].tolist(), part
        for shape in ((), (3,), (2, 4), (0,)):
            places = np.array([rng.randrange(-number, number) for _ in range(int(np.prod(shape)))] if number else [])
            if number or shape == (0,):
                places = places.reshape(shape).astype(np.int64)
                assert np.array_equal(joined[places], whole[places])
        assert joined[np.array([n % 3 == 0 for n in range(number)], dtype=bool)].tolist() == whole[::3].tolist()
        for place in (number, -number - 1):
            with pytest.raises(IndexError):
                joined[place]
        with pytest.raises(IndexError):
            joined[[0.5]]


def test_parts_that_do_not_fit_are_refused_by_name(tokenizer, sample, text, shards, tmp_path):
    whole, paths = shards
    out = tmp_path / "all.bin"
    another = Tokenizer(*bpe_lm.train_bpe(sample, 400, [END_OF_TEXT]), [END_OF_TEXT])
    another.encode_file(text, tmp_path / "another.bin")
    tokenizer.encode_file(text, tmp_path / "wide.bin", dtype="uint32")
    (tmp_path / "cut.bin").write_bytes(b"ab")
    (tmp_path / "changed.txt").write_bytes(text.read_bytes() + b"more")
    tokenizer.encode_file(tmp_path / "changed.txt", tmp_path / "1.bin", shard=(1, 3))
    for parts, message in [
        ([whole, tmp_path / "another.bin"], r"another\.bin was made by another tokenizer"),
        ([whole, tmp_path / "wide.bin"], r"ids of .*wide\.bin are uint32, and those of .*whole\.bin uint16"),
        ([whole, tmp_path / "cut.bin"], r"cut\.bin.*encoding did not end"),
        (paths[1:], r"shard 0/3 is missing before .*1\.bin"),
        ([paths[0], paths[2]], r"shard 1/3 is missing before .*2\.bin"),
        (paths[:2], r"shard 2/3 is missing after .*1\.bin"),
        ([paths[0], whole], r"shard 1/3 is missing before .*whole\.bin"),
        ([paths[0], tmp_path / "1.bin", paths[2]], r"shard 1/3 is missing before .*1\.bin"),
    ]:
        with pytest.raises(errors.TokenFileError, match=message):
            bpe_lm.join_tokens(parts, out)
        assert not (tmp_path / "all.bin.json").exists()
    with pytest.raises(errors.FileError, match=r"missing\.bin"):
        bpe_lm.join_tokens([whole, tmp_path / "missing.bin"], out)
    nested = bpe_lm.join_tokens([bpe_lm.join_tokens(paths, out) and out, whole], tmp_path / "more.bin")
    assert [Path(part.path).name for part in nested.parts] == ["0.bin", "1.bin", "2.bin", "whole.bin"]


def test_parts_that_were_moved_or_changed_are_refused_by_name(tokenizer, text, shards, tmp_path):
    _, paths = shards
    out = tmp_path / "all.bin"
    bpe_lm.join_tokens(paths, out)
    (tmp_path / "parts").rename(tmp_path / "elsewhere")
    for function in (bpe_lm.open_tokens, bpe_lm.verify):
        with pytest.raises(errors.TokenFileError, match=r"0\.bin, a part of .*all\.bin, does not exist"):
            function(out)
    (tmp_path / "elsewhere").rename(tmp_path / "parts")
    bpe_lm.verify(out)
    before = paths[1].read_bytes()
    paths[1].write_bytes(before[:-2])
    with pytest.raises(errors.TokenFileError, match=r"1\.bin: it has"):
        bpe_lm.open_tokens(out)
    paths[1].write_bytes(before[:-2] + b"xx")
    bpe_lm.open_tokens(out)
    with pytest.raises(errors.TokenFileError, match=r"1\.bin"):
        bpe_lm.verify(out)
    tokenizer.encode_file(text, paths[1], shard=(1, 4), force=True)
    with pytest.raises(errors.TokenFileError, match=r"1\.bin was changed since it became a part of .*all\.bin"):
        bpe_lm.open_tokens(out)
    content = (tmp_path / "all.bin.json").read_text()
    for damaged in ("", "[]", "{}", content[:-9], content.replace('"version": 1', '"version": 2'), '{"parts": []}'):
        (tmp_path / "all.bin.json").write_text(damaged)
        with pytest.raises(bpe_lm.BpeLmError, match=r"all\.bin\.json"):
            bpe_lm.open_tokens(out)


def test_shards_are_encoded_and_joined_from_the_command_line(tokenizer, text, tmp_path):
    tokenizer.save(tmp_path / "t")
    for shard in ("0/2", "1/2"):
        out = f"{shard[0]}.bin"
        done = run("encode", "text.txt", "--tokenizer", "t", "--out", out, "--shard", shard, "--quiet", cwd=tmp_path)
        assert done.returncode == 0, done.stderr
    done = run("tokens", "join", "0.bin", "1.bin", "--out", "all.bin", cwd=tmp_path)
    count = len(tokenizer.encode(text.read_bytes()))
    assert (done.returncode, done.stdout.split(" tokens")[0]) == (0, f"all.bin: {count:,}"), done.stderr
    assert run("decode", "all.bin", "--tokenizer", "t", cwd=tmp_path).stdout.encode() == text.read_bytes()
    for arguments, status, message in [
        (["encode", "text.txt", "--tokenizer", "t", "--out", "x.bin", "--shard", "2/2"], 2, "I from 0 to N - 1"),
        (["encode", "text.txt", "--tokenizer", "t", "--out", "x.bin", "--shard", "two"], 2, "I/N"),
        (["encode", "-", "--tokenizer", "t", "--out", "x.bin", "--shard", "0/2"], 1, "standard input"),
        (["tokens", "join", "1.bin", "--out", "y.bin"], 1, "shard 0/2 is missing"),
        (["tokens", "export", "all.bin", "y", "--to", "megatron"], 1, "--copy"),
        (["tokens", "export", "0.bin", "y", "--to", "fairseq"], 2, "megatron"),
    ]:
        done = run(*arguments, cwd=tmp_path)
        assert (done.returncode, message in done.stderr, "Traceback" in done.stderr) == (status, True, False), (
            done.stderr
        )


# The files of other programs, read by their layouts.


def read_megatron(stem: Path):
    index, ids = Path(f"{stem}.idx").read_bytes(), Path(f"{stem}.bin").read_bytes()
    assert index[:9] == b"MMIDIDX\0\0"
    version, code, sequences, documents = struct.unpack_from("<QBQQ", index, 9)
    assert (version, documents) == (1, sequences + 1)
    dtype = {8: np.uint16, 4: np.int32}[code]
    at = 9 + 25
    lengths = np.frombuffer(index, np.int32, sequences, at)
    pointers = np.frombuffer(index, np.int64, sequences, at + 4 * sequences)
    places = np.frombuffer(index, np.int64, documents, at + 12 * sequences)
    assert len(index) == at + 12 * sequences + 8 * documents
    assert places.tolist() == list(range(documents))
    return [np.frombuffer(ids, dtype, n, p).tolist() for n, p in zip(lengths, pointers, strict=True)]


def read_datatrove(stem: Path):
    name, count = Path(f"{stem}.ds.metadata").read_text().splitlines()[:2]
    size = int(name.split("|")[1])
    ids = np.fromfile(f"{stem}.ds", dtype={2: np.uint16, 4: np.uint32}[size])
    assert len(ids) == int(count)
    ends = np.fromfile(f"{stem}.ds.index", dtype=np.uint64).tolist()
    return [ids[a:b].tolist() for a, b in zip([0, *ends], ends, strict=False)]


def read_olmo(stem: Path, dtype):
    ids = np.memmap(f"{stem}.npy", dtype=dtype, mode="r")
    with gzip.open(f"{stem}.csv.gz", "rt") as file:
        bounds = [tuple(map(int, line.split(",")[:2])) for line in file]
    return [ids[a:b].tolist() for a, b in bounds]


@pytest.mark.parametrize("dtype", ["uint16", "uint32"])
def test_other_programs_find_the_same_documents(tokenizer, text, tmp_path, dtype, monkeypatch):
    monkeypatch.setattr("bpe_lm.tokenizer.token_export._BLOCK", 7)
    out, end = tmp_path / "out.bin", tokenizer.special_ids[END_OF_TEXT]
    tokenizer.encode_file(text, out, dtype=dtype)
    expected = naive_documents(tokenizer.encode(text.read_bytes()), end)
    assert len(expected) > 20
    stem = tmp_path / "other" / "x"
    for program, read in [
        ("megatron", read_megatron),
        ("datatrove", read_datatrove),
        ("olmo", lambda stem: read_olmo(stem, dtype)),
    ]:
        ids, *others = bpe_lm.export_tokens(out, stem, program)
        assert os.path.samefile(ids, out)
        assert read(stem) == expected
        assert sum(path.stat().st_size for path in others) < 40 * len(expected) + 200
        with pytest.raises(errors.OutputExists):
            bpe_lm.export_tokens(out, stem, program)
        bpe_lm.export_tokens(out, stem, program, copy=True, force=True)
        assert not os.path.samefile(ids, out)
        assert read(stem) == expected
    assert len(os.listdir(stem.parent)) == 7
    beside = bpe_lm.export_tokens(out, tmp_path / "out", "megatron")
    assert beside == [out, tmp_path / "out.idx"]
    assert read_megatron(tmp_path / "out") == expected
    bpe_lm.verify(out)


def test_ids_that_no_link_gives_are_copied_if_asked(tokenizer, text, shards, tmp_path, monkeypatch):
    whole, paths = shards
    expected = naive_documents(tokenizer.encode(text.read_bytes()), tokenizer.special_ids[END_OF_TEXT])
    bpe_lm.join_tokens(paths, tmp_path / "all.bin")
    tokenizer.encode_file(text, tmp_path / "head.npy")
    tokenizer.encode_file(text, tmp_path / "none.bin", index=False)
    for path, message in [
        (tmp_path / "all.bin", r"several files.*--copy"),
        (tmp_path / "head.npy", r"numpy's header.*--copy"),
        (tmp_path / "none.bin", "no index"),
        (paths[1], "within a document"),
    ]:
        with pytest.raises(errors.TokenFileError, match=message):
            bpe_lm.export_tokens(path, tmp_path / "x", "megatron")
    for path in (tmp_path / "all.bin", tmp_path / "head.npy"):
        bpe_lm.export_tokens(path, tmp_path / "x", "megatron", copy=True, force=True)
        assert read_megatron(tmp_path / "x") == expected

    def link(*_):
        raise OSError(18, "Invalid cross-device link")

    monkeypatch.setattr(os, "link", link)
    with pytest.raises(errors.FileError, match=r"y\.ds a hard link .*cross-device.*--copy"):
        bpe_lm.export_tokens(whole, tmp_path / "y", "datatrove")
    assert not [path.name for path in tmp_path.iterdir() if path.name.startswith(("y", ".y"))]
    with pytest.raises(errors.OptionError, match="megatron, datatrove, olmo"):
        bpe_lm.export_tokens(whole, tmp_path / "y", "fairseq")


@pytest.mark.parametrize("program", ["megatron", "datatrove", "olmo"])
def test_a_file_without_ids_is_not_exported(tokenizer, tmp_path, program):
    (tmp_path / "text.txt").write_text("a dog")
    made = tokenizer.encode_file(tmp_path / "text.txt", tmp_path / "empty.bin", shard=(0, 8))
    assert (made.count, made.documents) == (0, 0)
    with pytest.raises(errors.TokenFileError, match=r"empty\.bin has no ids.*leave it out"):
        bpe_lm.export_tokens(tmp_path / "empty.bin", tmp_path / "out" / "x", program, copy=True)
    assert not (tmp_path / "out").exists()
