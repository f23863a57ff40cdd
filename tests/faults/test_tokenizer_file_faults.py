"""The files of a tokenizer, cut off anywhere: an error of ours, or the tokenizer that was saved.

merges.txt and .tiktoken are lists of lines without an end. Cut between two lines they are shorter lists, which other
programs read as well, so a reader cannot tell; then the tokenizer has some of the merges, and no other.
"""

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
        if name in ("merges.txt", "tokenizer.tiktoken"):
            assert set(found.merges) <= set(expected.merges), f"{length} of {len(whole)} bytes"
        else:
            assert (found.vocab, found.merges) == (expected.vocab, expected.merges), f"{length} of {len(whole)} bytes"
