"""Extending and truncating tokenizers from Python and on the command line."""

import json
import random

import bpe_lm
import naive_bpe
import pytest
from bpe_lm import errors
from bpe_lm.cli.main import main

END_OF_TEXT = "<|endoftext|>"
OLD = ["the cat sat on the mat, and the cat ate the rat; there were other animals in this house, but they slept"] * 3
NEW = [
    "Les chats et les rats; des chats, des rats 11 12 112. Bonjour, mesdames! Combien de maisons voyez-vous ici?"
] * 4


@pytest.fixture
def old():
    vocab, merges = bpe_lm.train_bpe(iter(OLD), 280, [END_OF_TEXT])
    return bpe_lm.Tokenizer(vocab, merges, [END_OF_TEXT])


def files(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.name != "training.json"}


def record(folder):
    return bpe_lm.load_training(folder) | {"seconds": None}


@pytest.mark.parametrize("tie_break", ["bytes", "hf"])
def test_an_extended_tokenizer_keeps_ids_and_merges(old, tie_break, tmp_path):
    special = ["<|new|>", END_OF_TEXT]
    vocab, merges, training = bpe_lm.train_and_record(iter(NEW), 310, special, init=old, tie_break=tie_break)
    assert {id: vocab[id] for id in range(280)} == old.vocab
    assert merges[: len(old.merges)] == old.merges
    assert len(vocab) == 310
    assert vocab[309] == b"<|new|>"
    assert len({*vocab.values()}) == 310
    extended = old.extended(vocab, merges, special)
    assert extended.special_ids == {END_OF_TEXT: 279, "<|new|>": 309}
    by_hand = bpe_lm.Tokenizer(vocab, merges, {END_OF_TEXT: 279, "<|new|>": 309})
    assert by_hand.sha256 == extended.sha256
    for text in [*OLD, *NEW, f"a{END_OF_TEXT}b<|new|>"]:
        assert extended.encode(text) == naive_bpe.encode(text.encode(), vocab, merges, [END_OF_TEXT, "<|new|>"])
    assert training["init"] == {"sha256": old.sha256, "num_merges": len(old.merges), "num_ids": 280}
    assert len(training["merge_counts"]) == 310 - 280 - 1
    extended.save(tmp_path / "t", training=training)
    assert bpe_lm.Tokenizer.load(tmp_path / "t").sha256 == extended.sha256
    assert bpe_lm.load_training(tmp_path / "t") == training
    assert main(["inspect", str(tmp_path / "t")]) == 0


def test_new_merges_are_those_of_recounting(old):
    """A pair whose bytes are a token already is never the greatest, because it never occurs."""
    rng = random.Random(5)
    for _ in range(30):
        texts = ["".join(rng.choices("thecats ", k=60)) for _ in range(3)]
        _, merges = bpe_lm.train_bpe(iter(texts), 300, [], init=old)
        assert merges == naive_bpe.train([text.encode() for text in texts], 20, [END_OF_TEXT], old.merges)


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"vocab_size": 280}, errors.VocabTooSmall, "which has 280 ids; ask for at least 281"),
        ({"vocab_size": 281, "special_tokens": ["<|a|>", "<|b|>"]}, errors.VocabTooSmall, "at least 282"),
        ({"special_tokens": ["the"]}, errors.SpecialTokenError, '"the" (number 0) is an ordinary token'),
        ({"pattern": "o200k"}, errors.OptionError, "the tokenizer to extend (init)"),
        ({"init": "runs/mine"}, errors.ArgumentTypeError, "init is of type str; give a Tokenizer"),
        ({"init": {}}, errors.ArgumentTypeError, "init is of type dict; give a Tokenizer"),
    ],
)
def test_what_cannot_be_extended_is_a_typed_error(old, arguments, error, message):
    good = {"input_path": iter(NEW), "vocab_size": 300, "special_tokens": [], "init": old}
    with pytest.raises(error) as caught:
        bpe_lm.train_bpe(**(good | arguments))
    assert message in str(caught.value)


def test_a_tokenizer_that_takes_pretokens_whole_is_extended_around_them():
    vocab = {**{byte: bytes([byte]) for byte in range(256)}, 256: b"ab", 257: b"abc", 300: b"zz"}
    old = bpe_lm.Tokenizer(vocab, [(b"a", b"b")], {"<|e|>": 400}, pattern=r"\w+|\W+", ignore_merges=True)
    texts = ["abc"] * 5 + ["abcabcd"] * 9 + ["zz", "zzz<|e|>zzzz"] * 3
    vocab, merges = bpe_lm.train_bpe(iter(texts), 410, [], init=old)
    extended = old.extended(vocab, merges)
    assert min(set(vocab) - set(old.vocab)) == 401
    assert all(left + right not in (b"abc", b"zz", b"<|e|>") for left, right in merges)
    assert extended.encode("abc") == [257]
    assert extended.encode("zz<|e|>") == [300, 400]
    assert (b"c", b"ab") in merges  # The pretoken is joined, around `abc`.
    assert len(extended.encode("abcabcd")) == 1


def test_truncating_gives_what_a_training_of_its_own_gives(old):
    text = " ".join(OLD + NEW)
    special = [END_OF_TEXT, "<|b|>"]
    vocab, merges = bpe_lm.train_bpe(iter([text]), 300, special)
    whole = bpe_lm.Tokenizer(vocab, merges, special)
    for size in (258, 259, 280, 300):
        vocab, merges = bpe_lm.train_bpe(iter([text]), size, special)
        smaller = whole.truncate(size)
        assert (smaller.vocab, smaller.merges, smaller.vocab_size) == (vocab, merges, size)
        assert smaller.sha256 == bpe_lm.Tokenizer(vocab, merges, special).sha256
    for size, error in ((257, errors.VocabTooSmall), (-1, errors.VocabTooSmall), (301, errors.VocabTooLarge)):
        with pytest.raises(error, match=str(size)):
            whole.truncate(size)
    with pytest.raises(errors.VocabTooLarge):
        whole.truncate(1 << 80)
    with pytest.raises(errors.ArgumentTypeError):
        whole.truncate("300")


def test_one_training_writes_several_sizes_each_as_a_training_of_its_own(sample, tmp_path, capsys):
    common = [str(sample), "--special-token", END_OF_TEXT, "--quiet"]
    out = tmp_path / "sizes"
    assert main(["train-tokenizer", *common, "--vocab-size", "400,300, 600", "--out", str(out), "--json"]) == 0
    reports = json.loads(capsys.readouterr().out)
    assert [report["vocab_size"] for report in reports] == [400, 300, 600]
    for report in reports:
        size, alone = report["vocab_size"], tmp_path / str(report["vocab_size"])
        assert main(["train-tokenizer", *common, "--vocab-size", str(size), "--out", str(alone), "--json"]) == 0
        expected = json.loads(capsys.readouterr().out)
        for key in ("merges", "bytes_per_token", "longest_tokens", "why_smaller", "distinct_pretokens"):
            assert report[key] == expected[key], key
        assert report["folder"] == str(out / str(size))
        assert files(out / str(size)) == files(alone)
        assert record(out / str(size)) == record(alone)
    cut = tmp_path / "cut"
    assert main(["truncate", str(out / "600"), "--vocab-size", "400", "--out", str(cut)]) == 0
    assert "399" in capsys.readouterr().out
    assert (files(cut), record(cut)) == (files(out / "400"), record(out / "400"))


def test_sizes_that_run_out_and_sizes_that_are_wrong(tmp_path, capsys):
    text = tmp_path / "text"
    text.write_text("abab cdcd")
    common = ["train-tokenizer", str(text), "--quiet", "--out", str(tmp_path / "t")]
    assert main([*common, "--vocab-size", "257,1000,2000", "--json"]) == 0
    reports = json.loads(capsys.readouterr().out)
    assert [report["vocab_size"] < report["asked_vocab_size"] for report in reports] == [False, True, True]
    assert files(tmp_path / "t" / "1000") == files(tmp_path / "t" / "2000")
    assert main([*common, "--vocab-size", "257,3000"]) == 1
    assert "257/vocab.json exists already" in capsys.readouterr().err
    assert not (tmp_path / "t" / "3000").exists()
    assert main([*common, "--vocab-size", "255,3000", "--force"]) == 1
    assert "minimum 256" in capsys.readouterr().err
    for sizes in ("300,300", "300,", "a,300"):
        with pytest.raises(SystemExit):
            main([*common, "--vocab-size", sizes])


def test_the_command_extends_from_texts_and_from_counts(old, tmp_path, capsys):
    old.save(tmp_path / "old")
    text, counts = tmp_path / "text", tmp_path / "c.counts"
    text.write_text("".join(NEW))
    common = ["--quiet", "--init", str(tmp_path / "old"), "--vocab-size", "290,300"]
    assert main(["train-tokenizer", str(text), *common, "--out", str(tmp_path / "a")]) == 0
    assert main(["count", str(text), "--special-token", END_OF_TEXT, "-o", str(counts), "--quiet"]) == 0
    assert main(["train-tokenizer", "--from-counts", str(counts), *common, "--out", str(tmp_path / "b")]) == 0
    capsys.readouterr()
    for size in ("290", "300"):
        assert files(tmp_path / "a" / size) == files(tmp_path / "b" / size)
        assert record(tmp_path / "a" / size) == record(tmp_path / "b" / size)
    assert main(["count", str(text), "-o", str(tmp_path / "bare.counts"), "--quiet"]) == 0
    bare = ["train-tokenizer", "--from-counts", str(tmp_path / "bare.counts"), *common, "--out", str(tmp_path / "x")]
    assert main(bare) == 1
    assert "it was counted with the special tokens []" in capsys.readouterr().err
    # The old tokenizer has no record, and the old merges none in the new one.
    assert main(["truncate", str(tmp_path / "a" / "300"), "--vocab-size", "270", "--out", str(tmp_path / "s")]) == 0
    assert not (tmp_path / "s" / "training.json").exists()
    assert files(tmp_path / "s")["vocab.json"]
