"""Saving and loading from Python."""

import base64
import itertools
import json
import platform
import random
import subprocess
import sys

import bpe_lm
import naive_bpe
import pytest
import tiktoken
from bpe_lm import Tokenizer, errors

END_OF_TEXT = "<|endoftext|>"


@pytest.fixture
def trained(sample):
    return bpe_lm.train_bpe(sample, 600, [END_OF_TEXT])


def parts(tokenizer):
    return tokenizer.vocab, tokenizer.merges, tokenizer.special_tokens, tokenizer.pattern


def test_round_trips(trained, tmp_path):
    vocab, merges = trained
    folder = tmp_path / "new" / "folder"
    Tokenizer(vocab, merges, [END_OF_TEXT]).save(folder)
    expected = (vocab, merges, [END_OF_TEXT], "gpt2")
    assert parts(Tokenizer.load(folder)) == expected
    assert parts(Tokenizer.load(folder / "tokenizer.json")) == expected
    assert parts(Tokenizer.load(folder / "tokenizer.tiktoken")) == expected
    files = (folder / "vocab.json", folder / "merges.txt")
    assert parts(Tokenizer.from_files(*files, [END_OF_TEXT])) == expected
    assert parts(Tokenizer.from_files(*files)) == (vocab, merges, [], "gpt2")


def test_tiktoken_files(trained, tmp_path):
    vocab, merges = trained
    Tokenizer(vocab, merges, [END_OF_TEXT]).save(tmp_path)
    expected = (vocab, merges, [END_OF_TEXT], "gpt2")
    assert parts(Tokenizer.from_tiktoken(tmp_path)) == expected
    side = json.loads((tmp_path / "tokenizer.tiktoken.json").read_text())
    assert side == {"pattern": "gpt2", "special_tokens": {END_OF_TEXT: 599}, "num_ranks": 599}
    bare = tmp_path / "bare.tiktoken"
    (tmp_path / "tokenizer.tiktoken").rename(bare)
    for arguments, missing in [({}, "pattern="), ({"pattern": "gpt2"}, "special_tokens=")]:
        with pytest.raises(errors.FormatError, match=missing):
            Tokenizer.from_tiktoken(bare, **arguments)
    assert parts(Tokenizer.from_tiktoken(bare, "gpt2", {END_OF_TEXT: 599})) == expected
    gap = Tokenizer.from_tiktoken(bare, "gpt2", {END_OF_TEXT: 700})
    assert (gap.encode(f"a{END_OF_TEXT}"), gap.vocab_size, len(gap.vocab)) == ([97, 700], 701, 600)
    with pytest.raises(errors.TokenIdError, match="650"):
        gap.decode([650])
    gap.save(tmp_path / "gap")
    assert parts(Tokenizer.load(tmp_path / "gap")) == parts(gap)
    with pytest.raises(errors.FormatError, match="must be below"):
        Tokenizer.from_tiktoken(bare, "gpt2", {END_OF_TEXT: 10**9})
    with pytest.raises(errors.SpecialTokenError, match="negative"):
        Tokenizer.from_tiktoken(bare, "gpt2", {END_OF_TEXT: -1})


def test_tiktoken_reads_our_file_and_encodes_the_same(sample, tmp_path):
    end, separator = special = [END_OF_TEXT, "<|between|>"]
    vocab, merges = bpe_lm.train_bpe(sample, 3000, special)
    tokenizer = Tokenizer(vocab, merges, special)
    tokenizer.save(tmp_path)
    # tiktoken's own reader wants a package for files in the cloud; its rule is one line.
    lines = (line.split() for line in (tmp_path / "tokenizer.tiktoken").read_bytes().splitlines())
    ranks = {base64.b64decode(token): int(rank) for token, rank in lines}
    pattern = r"""'(?:[sdmt]|ll|ve|re)| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"""
    ids = {end: 2998, separator: 2999}
    encoding = tiktoken.Encoding("ours", pat_str=pattern, mergeable_ranks=ranks, special_tokens=ids)
    choose = random.Random(336)
    words = [" the", " Lily", "said", " was", "happy", "!\n\n", " ", "é", "日本", "🙂", "12", "'s", "\t", end]
    texts = ["".join(choose.choices(words, k=choose.randrange(30))) for _ in range(1000)]
    expected = tokenizer.encode(separator.join(texts))
    found = [[*encoding.encode(text, allowed_special="all"), ids[separator]] for text in texts]
    assert [id for text in found for id in text][:-1] == expected


def test_training_is_saved_loaded_and_removed(tmp_path):
    texts = ["aa ab abab a", "b é aa"]
    special = ["<|a|>"]
    vocab, merges, training = bpe_lm.train_and_record(iter(texts), 262, special, tie_break="bytes")
    words = [word for text in texts for word in naive_bpe.pretokens(text.encode())]
    ids = [id for text in texts for id in naive_bpe.encode(text.encode(), vocab, merges, special)]
    assert training["token_uses"] == [ids.count(id) for id in range(256 + len(merges))]
    assert training["merge_counts"] == sorted(training["merge_counts"], reverse=True)
    assert (training["num_pretokens"], training["num_distinct_pretokens"]) == (len(words), len(set(words)))
    assert training["num_bytes"] == sum(len(text.encode()) for text in texts)
    longest = [(pretoken["length"], pretoken["count"], pretoken["start"]) for pretoken in training["longest_pretokens"]]
    assert longest[:4] == [(5, 1, "Ġabab"), (3, 1, "Ġaa"), (3, 1, "Ġab"), (3, 1, "ĠÃ©")]
    assert (training["pattern"], training["tie_break"], training["version"]) == ("gpt2", "bytes", bpe_lm.__version__)

    tokenizer = Tokenizer(vocab, merges, special)
    tokenizer.save(tmp_path, training=training)
    assert bpe_lm.load_training(tmp_path) == training
    assert bpe_lm.load_training(tmp_path / "training.json") == training
    with pytest.raises(errors.FormatError, match="merge_counts has"):
        tokenizer.save(tmp_path, training=training | {"merge_counts": []}, force=True)
    with pytest.raises(errors.FormatError, match="tie_break"):
        tokenizer.save(tmp_path, training={}, force=True)
    assert bpe_lm.load_training(tmp_path) == training
    tokenizer.save(tmp_path, force=True)
    assert not (tmp_path / "training.json").exists()
    with pytest.raises(errors.FileError, match=r"training\.json"):
        bpe_lm.load_training(tmp_path)


def test_nothing_is_overwritten_unasked(trained, tmp_path):
    tokenizer = Tokenizer(*trained, [END_OF_TEXT])
    tokenizer.save(tmp_path)
    with pytest.raises(errors.OutputExists, match="force"):
        tokenizer.save(tmp_path)
    tokenizer.save(tmp_path, force=True)


def test_parts_that_do_not_fit_are_refused(trained):
    vocab, merges = trained
    for wrong, message in [
        (({k: v for k, v in vocab.items() if k != 65}, merges, [END_OF_TEXT]), '"A", which has no token'),
        ((vocab, [*merges, (b"never", b"seen")], [END_OF_TEXT]), "no token"),
        ((vocab, merges[::-1], [END_OF_TEXT]), "a merge must come after the merges that make its two tokens"),
        ((vocab | {1000: b""}, merges, [END_OF_TEXT]), "empty"),
        ((vocab | {10**9: b"far"}, merges, [END_OF_TEXT]), "must be below"),
        ((vocab | {65: b"AB"}, merges, [END_OF_TEXT]), "has no token"),
    ]:
        with pytest.raises(errors.FormatError, match=message):
            Tokenizer(*wrong)


def test_missing_and_broken_files(tmp_path):
    with pytest.raises(errors.FileError, match="nowhere"):
        Tokenizer.load(tmp_path / "nowhere")
    (tmp_path / "tokenizer.json").write_text("{}")
    with pytest.raises(errors.FormatError, match=r"tokenizer\.json: model\.type"):
        Tokenizer.load(tmp_path)


LEFT_BY_READING = """
import sys
from bpe_lm import Tokenizer

def resident():
    with open("/proc/self/status") as status:
        return 1024 * next(int(line.split()[1]) for line in status if line.startswith("VmRSS:"))

before = resident()
tokenizer = Tokenizer.load(sys.argv[1])
print(resident() - before, len(tokenizer.vocab))
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="elsewhere the allocator decides")
def test_reading_many_tokens_leaves_little_memory_beside_them(tmp_path):
    letters = [bytes([byte]) for byte in b"abcdefghijklmnopqrstuvwxyz"]
    twos = list(itertools.product(letters, letters))
    fours = itertools.product(map(b"".join, twos), map(b"".join, twos))
    merges = [*twos, *itertools.islice(fours, 30_000)]
    tokens = [bytes([byte]) for byte in range(256)] + list(map(b"".join, merges))
    Tokenizer(dict(enumerate(tokens)), merges).save(tmp_path)
    command = [sys.executable, "-c", LEFT_BY_READING, str(tmp_path)]
    left, number = map(int, subprocess.run(command, capture_output=True, text=True, check=True).stdout.split())
    assert number == len(tokens)
    assert left <= 12_000_000, "7 MB are the tokens, tables and integers; parsing took 20 MB more"
