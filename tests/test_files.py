"""Saving and loading from Python."""

import bpe_lm
import pytest
from bpe_lm import errors

END_OF_TEXT = "<|endoftext|>"


@pytest.fixture
def trained(sample):
    return bpe_lm.train_bpe(sample, 600, [END_OF_TEXT])


def test_round_trips(trained, tmp_path):
    vocab, merges = trained
    folder = tmp_path / "new" / "folder"
    bpe_lm.save_tokenizer(folder, vocab, merges, [END_OF_TEXT])
    expected = (vocab, merges, [END_OF_TEXT], "gpt2")
    assert bpe_lm.load_tokenizer(folder) == expected
    assert bpe_lm.load_tokenizer(folder / "tokenizer.json") == expected
    assert bpe_lm.load_gpt2(folder / "vocab.json", folder / "merges.txt") == expected


def test_nothing_is_overwritten_unasked(trained, tmp_path):
    vocab, merges = trained
    bpe_lm.save_tokenizer(tmp_path, vocab, merges, [END_OF_TEXT])
    with pytest.raises(errors.OutputExists, match="force"):
        bpe_lm.save_tokenizer(tmp_path, vocab, merges, [END_OF_TEXT])
    bpe_lm.save_tokenizer(tmp_path, vocab, merges, [END_OF_TEXT], force=True)


def test_parts_that_do_not_fit_are_refused(trained, tmp_path):
    vocab, merges = trained
    for parts, message in [
        (({k: v for k, v in vocab.items() if k != 65}, merges, [END_OF_TEXT]), "gap"),
        ((vocab, [*merges, (b"never", b"seen")], [END_OF_TEXT]), "no token"),
        ((vocab, [*merges, merges[0]], [END_OF_TEXT]), "twice"),
        ((vocab, merges, ["<|other|>"]), "not in the vocabulary"),
        ((vocab, merges, []), "not named as a special token"),
        ((vocab | {65: b"AB"}, merges, [END_OF_TEXT]), "has no token"),
    ]:
        with pytest.raises(errors.FormatError, match=message):
            bpe_lm.save_tokenizer(tmp_path / "out", *parts)
    assert not list(tmp_path.iterdir())


def test_missing_and_broken_files(tmp_path):
    with pytest.raises(errors.FileError, match="nowhere"):
        bpe_lm.load_tokenizer(tmp_path / "nowhere")
    (tmp_path / "tokenizer.json").write_text("{}")
    with pytest.raises(errors.FormatError, match=r"tokenizer\.json: model\.type"):
        bpe_lm.load_tokenizer(tmp_path)
