"""The files of a tokenizer, cut off anywhere: an error of ours, or the tokenizer that was saved.

merges.txt and .tiktoken are lists of lines without an end, so cut between two lines they are shorter lists. The file
beside them tells: vocab.json has a token that no merge makes, and tokenizer.tiktoken.json the number of ranks.
"""

import json

import bpe_lm
import pytest
from bpe_lm import Tokenizer, errors
from injection import END_OF_TEXT


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("small") / "tokenizer"
    vocab, merges, training = bpe_lm.train_and_record(
        iter(["the cat sat on the mat, \u00e9t\u00e9 12"] * 3), 270, [END_OF_TEXT]
    )
    Tokenizer(vocab, merges, [END_OF_TEXT]).save(folder, training=training)
    return folder


def from_gpt2(folder):
    return Tokenizer.from_files(folder / "vocab.json", folder / "merges.txt", [END_OF_TEXT])


def from_tiktoken(folder):
    return Tokenizer.from_tiktoken(folder / "tokenizer.tiktoken")


READERS = {
    "tokenizer.json": Tokenizer.load,
    "vocab.json": from_gpt2,
    "merges.txt": from_gpt2,
    "tokenizer.tiktoken": from_tiktoken,
    "tokenizer.tiktoken.json": from_tiktoken,
}


@pytest.mark.row("R19")
@pytest.mark.parametrize("name", READERS)
def test_a_tokenizer_file_that_is_cut_off_is_refused_or_the_same(folder, in_memory, name, cases):
    for other in folder.iterdir():
        (in_memory / other.name).write_bytes(other.read_bytes())
    whole, read = (folder / name).read_bytes(), READERS[name]
    expected = read(folder)
    cases.asked = len(whole)
    for length in cases:
        (in_memory / name).write_bytes(whole[:length])
        try:
            found = read(in_memory)
        except errors.BpeLmError:
            continue
        assert (found.vocab, found.merges) == (expected.vocab, expected.merges), f"{length} of {len(whole)} bytes"


def copied(folder, to):
    for path in folder.iterdir():
        (to / path.name).write_bytes(path.read_bytes())


@pytest.mark.parametrize("number", [1, 2, 5])
def test_merges_that_end_before_the_vocabulary_name_the_next_token(folder, tmp_path, number):
    copied(folder, tmp_path)
    lines = (folder / "merges.txt").read_text().splitlines(keepends=True)
    (tmp_path / "merges.txt").write_text("".join(lines[:-number]))
    left, right = lines[-number].split()
    token = len(lines) - 1 + 256 - number
    with pytest.raises(errors.FormatError, match=rf"merges.txt.*no line makes token {token}, .*cut off.*fetch both"):
        from_gpt2(tmp_path)
    found = Tokenizer.from_files(tmp_path / "vocab.json", tmp_path / "merges.txt", [left + right, END_OF_TEXT])
    assert found.merges == from_gpt2(folder).merges[:-number] or number > 1


def test_ranks_that_are_fewer_than_stated_are_refused(folder, tmp_path):
    copied(folder, tmp_path)
    lines = (folder / "tokenizer.tiktoken").read_bytes().splitlines(keepends=True)
    (tmp_path / "tokenizer.tiktoken").write_bytes(b"".join(lines[:-1]))
    message = f"has {len(lines) - 1} ranks, and the file beside it states {len(lines)}"
    with pytest.raises(errors.FormatError, match=message):
        from_tiktoken(tmp_path)
    side = json.loads((tmp_path / "tokenizer.tiktoken.json").read_text())
    (tmp_path / "tokenizer.tiktoken.json").write_text(json.dumps(side | {"num_ranks": "many"}))
    with pytest.raises(errors.FormatError, match='num_ranks is "many", not a whole number'):
        from_tiktoken(tmp_path)
    side.pop("num_ranks")
    (tmp_path / "tokenizer.tiktoken.json").write_text(json.dumps(side))
    assert from_tiktoken(tmp_path).merges == from_tiktoken(folder).merges[:-1]
