"""Whole jobs with their figures, and the text of a token file in pieces."""

import json
from dataclasses import asdict

import pytest
from bpe_lm import Tokenizer, errors, train_bpe
from bpe_lm.cli.tokenizer import print_training_report
from bpe_lm.tokenizer import tokenizer as tokenizers
from bpe_lm.tokenizer.report import encode_corpus, train_tokenizer

END_OF_TEXT = "<|endoftext|>"


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({}, "no pair of tokens is left"),
        ({"min_frequency": 3}, "no pair of tokens is left that occurs at least 3 times"),
        ({"max_token_length": 2}, "no pair is left that makes at most 2 bytes"),
        (
            {"min_frequency": 2, "max_token_length": 3},
            "no pair of tokens is left that occurs at least 2 times and makes at most 3 bytes",
        ),
    ],
)
def test_a_vocabulary_that_is_smaller_than_asked_for_says_why(tmp_path, capsys, options, reason):
    (tmp_path / "text").write_text("aaab ab ab abc\n")
    report = train_tokenizer([tmp_path / "text"], 10_000_000, [], tmp_path / "out", **options)
    assert report.vocab_size < report.asked_vocab_size == 10_000_000
    assert report.as_dict()["why_smaller"] == f"10,000,000 were asked for, but {reason}"
    print_training_report(report)
    assert "fewer than asked for" in capsys.readouterr().out
    size = report.vocab_size
    report = train_tokenizer([tmp_path / "text"], size, [], tmp_path / "out", force=True, **options)
    assert (report.vocab_size, report.why_smaller) == (size, None)
    print_training_report(report)
    assert "fewer" not in capsys.readouterr().out


def test_a_special_token_that_could_not_be_saved_is_refused_before_the_work(tmp_path):
    with pytest.raises(errors.SpecialTokenError, match="could not be saved"):
        train_tokenizer([tmp_path / "is not looked for"], 300, ["("], tmp_path / "out")


def test_the_longest_tokens_are_text_where_they_are(tmp_path):
    (tmp_path / "text").write_bytes("のは のは のは\n".encode() * 9 + b"\xff\xfe\xff\xfe " * 9)
    report = train_tokenizer([tmp_path / "text"], 268, [], tmp_path / "out")
    assert "' のは', 7 bytes" in report.longest_tokens
    assert any(line.startswith("b'") and "xff" in line for line in report.longest_tokens)


@pytest.fixture
def encoded(tmp_path):
    """A tokenizer, and a text that it has encoded into `ids.bin`."""
    text = "low lower lowest newest widest " * 50 + END_OF_TEXT
    (tmp_path / "text").write_text(text)
    tokenizer = Tokenizer(*train_bpe(tmp_path / "text", 270, [END_OF_TEXT]), [END_OF_TEXT])
    report = encode_corpus(tokenizer, tmp_path / "text", tmp_path / "ids.bin")
    return tokenizer, text, report


def test_a_report_of_encoding_has_the_manifest_and_the_speed(encoded, tmp_path):
    _, text, report = encoded
    assert report.corpus == [str(tmp_path / "text")]
    assert report.manifest.text_bytes == len(text)
    assert report.bytes_per_second == len(text) / report.seconds
    assert report.as_dict() == asdict(report.manifest) | {"seconds": report.seconds}
    said = json.loads((tmp_path / "ids.bin.json").read_text())
    assert (said["count"], said["crc32"]) == (report.manifest.count, report.manifest.crc32)


def test_a_token_file_is_decoded_in_pieces(encoded, tmp_path, monkeypatch):
    tokenizer, text, report = encoded
    monkeypatch.setattr(tokenizers, "_DECODED_AT_ONCE", 7)
    pieces = list(tokenizer.decode_file(tmp_path / "ids.bin"))
    assert len(pieces) == -(-report.manifest.count // 7)
    assert b"".join(pieces) == text.encode()
    ids = tokenizer.encode(text)
    for start, count in ((0, 20), (3, 8), (len(ids) - 1, None), (5, 0), (5, 10**6)):
        part = b"".join(tokenizer.decode_file(tmp_path / "ids.bin", start=start, count=count))
        assert part == tokenizer.decode_bytes(ids[start:][:count])


def test_what_is_not_in_a_token_file_is_refused_before_the_first_piece(encoded, tmp_path):
    tokenizer, _, report = encoded
    for options in ({"start": report.manifest.count}, {"start": -1}, {"count": -1}):
        with pytest.raises(errors.OptionError, match="beyond the end|must not be negative"):
            tokenizer.decode_file(tmp_path / "ids.bin", **options)
    other = Tokenizer({byte: bytes([byte]) for byte in range(256)}, [])
    with pytest.raises(errors.TokenFileError):
        other.decode_file(tmp_path / "ids.bin")
