"""`bpe-lm inspect`: what it counts, what it prints, and what it draws."""

import io
import json
import sys
from collections import Counter

import bpe_lm
import pytest
from bpe_lm import errors
from bpe_lm.cli import inspection as tables
from bpe_lm.cli.main import main
from bpe_lm.tokenizer import inspection, tokens
from bpe_lm.tokenizer.figures import draw_lengths

END_OF_TEXT = "<|endoftext|>"
TEXT = "a wizard [bold]wizard wizards \x1b[31m low lower lowest é\n" * 3 + "=" * 300


@pytest.fixture
def folder(tmp_path):
    vocab, merges, training = bpe_lm.train_and_record(iter([TEXT]), 320, [END_OF_TEXT])
    bpe_lm.Tokenizer(vocab, merges, [END_OF_TEXT]).save(tmp_path / "t", training=training)
    return tmp_path / "t"


def run(capsys, *arguments):
    status = main(["inspect", *map(str, arguments)])
    captured = capsys.readouterr()
    assert (status, captured.err) == (0, "")
    return captured.out


def test_the_figures_are_those_of_the_files(folder, capsys):
    parts, training = bpe_lm.Tokenizer.load(folder), bpe_lm.load_training(folder)
    learned = [token for token in parts.vocab.values() if token != END_OF_TEXT.encode()]
    for path in (folder, folder / "tokenizer.json", folder / "tokenizer.tiktoken"):
        found = json.loads(run(capsys, path, "--json", "--longest", 3))
        assert found["vocab_size"] == len(parts.vocab)
        assert found["merges"] == len(parts.merges)
        assert found["special_tokens"] == [END_OF_TEXT]
        assert found["pattern"] == "gpt2"
        assert {int(length): n for length, n in found["token_lengths"].items()} == Counter(map(len, learned))
        longest = [tokens.from_alphabet(entry["token"]) for entry in found["longest_tokens"]]
        assert longest == sorted(learned, key=lambda token: (-len(token), token))[:3]
        trained = found["training"]
        used = {parts.vocab[id] for id, uses in enumerate(training["token_uses"]) if uses}
        assert [tokens.from_alphabet(token) for token in trained["unused_tokens"]] == [
            token for token in learned if token not in used
        ]
        assert [merge["count"] for merge in trained["first_merges"]] == training["merge_counts"][:5]
        last = trained["last_merges"][-1]
        assert tuple(map(tokens.from_alphabet, (last["left"], last["right"]))) == parts.merges[-1]
        assert trained["longest_pretokens"] == training["longest_pretokens"][:3]


def test_the_alphabet_is_that_of_vocab_json(folder):
    names = json.loads((folder / "vocab.json").read_text())
    tokenizer = bpe_lm.Tokenizer.load(folder)
    assert {token: id for id, token in tokenizer.vocab.items() if token != END_OF_TEXT.encode()} == {
        tokens.from_alphabet(name): id for name, id in names.items() if name != END_OF_TEXT
    }


def test_what_is_printed_is_whole_and_harmless(folder, capsys):
    printed = run(capsys, folder, "--longest", 20)
    for heading in ("Longest tokens", "Token lengths", "Never used", "Most and least frequent merges", "pretokens"):
        assert heading in printed
    for line in (
        "'=============",
        "256 bytes",
        "' wizards'",
        "' \\x1b['",
        "'<|endoftext|>'",
        "gpt2",
        "129 to 256",
    ):
        assert line in printed, line
    assert "  300  " in printed
    assert all(character.isprintable() or character == "\n" for character in printed)
    assert max(map(len, printed.splitlines())) <= 80
    assert "Longest" not in run(capsys, folder, "--longest", 0)


def test_tokens_of_other_scripts_are_printed_as_text(tmp_path, capsys):
    vocab, merges, training = bpe_lm.train_and_record(iter(["のはの [/bold]は привет привет " * 9]), 300, [])
    bpe_lm.Tokenizer(vocab, merges).save(tmp_path / "t", training=training)
    printed = run(capsys, tmp_path / "t")
    assert "' привет'" in printed
    assert "'の'" in printed
    assert "b'\\xe3' + b'\\x81'" in printed  # Half a character is no text.


def test_a_special_token_with_the_bytes_of_a_byte_hides_no_byte(tmp_path):
    vocab = {b: bytes([b]) for b in range(256)} | {256: b"\n"}
    inspected = inspection.Inspection("", bpe_lm.Tokenizer(vocab, [], ["\n"]), None, 0)
    assert inspected.lengths == {1: 256}


def test_what_a_terminal_cannot_show_is_written_as_escapes(folder, monkeypatch):
    stream = io.TextIOWrapper(io.BytesIO(), encoding="ascii")
    monkeypatch.setattr(sys, "stdout", stream)
    assert main(["inspect", str(folder), "--longest", "100"]) == 0
    stream.flush()
    assert r"'\xe9'" in stream.buffer.getvalue().decode("ascii")


def test_bars_count_every_token_once(folder):
    inspected = inspection.inspect(folder)
    columns = [list(column.cells) for column in tables.bars(inspected.lengths, "#").columns]
    assert sum(int(cell.replace(",", "")) for cell in columns[1]) == len(inspected.tokenizer.vocab) - 1
    assert columns[0][:16] == [str(length) for length in range(1, 17)]
    assert columns[0][16:] == ["17 to 32", "33 to 64", "65 to 128", "129 to 256", "257 to 512"]
    assert max(map(len, columns[2])) == tables.BAR_CHARACTERS
    assert all(bool(bar) == (count != "0") for bar, count in zip(columns[2], columns[1], strict=True))


def test_without_training_json_the_rest_is_shown(folder, tmp_path, capsys):
    (folder / "training.json").unlink()
    printed = run(capsys, folder)
    assert "Token lengths" in printed
    assert "training.json" in printed
    assert "Never used" not in printed
    assert json.loads(run(capsys, folder, "--json"))["training"] is None
    (folder / "tokenizer.tiktoken").rename(tmp_path / "bare.tiktoken")
    bare = json.loads(run(capsys, tmp_path / "bare.tiktoken", "--json"))
    assert (bare["vocab_size"], bare["special_tokens"], bare["pattern"]) == (290, [], "unknown")


def test_bytes_alone(tmp_path, capsys):
    vocab, merges, training = bpe_lm.train_and_record(iter(["a"]), 256, [])
    bpe_lm.Tokenizer(vocab, merges).save(tmp_path / "t", training=training)
    printed = run(capsys, tmp_path / "t", "--png", tmp_path / "t.png")
    assert "255" in printed
    assert "none" in printed


def test_errors(folder, tmp_path, capsys):
    with pytest.raises(errors.FileError, match="nowhere"):
        inspection.inspect(tmp_path / "nowhere")
    vocab, merges = bpe_lm.train_bpe(iter([TEXT]), 280, [])
    bpe_lm.Tokenizer(vocab, merges).save(tmp_path / "other")
    (folder / "training.json").rename(tmp_path / "other" / "training.json")
    with pytest.raises(errors.FormatError, match="belongs to another tokenizer: it has 34 merges"):
        inspection.inspect(tmp_path / "other")
    assert main(["inspect", str(folder), "--png", str(tmp_path / "no" / "folder.png")]) == 1
    assert "could not write" in capsys.readouterr().err


def test_long_tokens_are_shortened():
    assert tokens.shortened(b"abc") == "'abc'"
    assert tokens.shortened(b"abc", length=4) == "'abc'..."
    assert tokens.shortened("の中".encode()[:-1], length=7) == "'の'..."
    assert tokens.shortened(b"\xe3\x81") == "b'\\xe3\\x81'"
    for token in (b"\x1b" * 100, b"a" * 59, "é".encode() * 59, "中".encode() * 40, b"\xff" * 15):
        shown = tokens.shortened(token)
        assert tokens.terminal_width(shown) <= tokens.SHOWN_CHARACTERS + 3
        assert shown.endswith("...")
    assert tokens.shortened(b"a" * 58) == repr("a" * 58)
    assert tokens.shortened("中".encode() * 29) == repr("中" * 29)
    every = bytes(range(256))
    assert tokens.from_alphabet(tokens.to_alphabet(every)) == every
    assert tokens.to_alphabet(b"a \n\x7f\xad\xff") == "aĠĊġŃÿ"


@pytest.mark.parametrize("trained", [True, False])
def test_a_picture_is_drawn(folder, tmp_path, capsys, trained):
    from matplotlib.image import imread

    if not trained:
        (folder / "training.json").unlink()
    printed = run(capsys, folder, "--png", tmp_path / "lengths.png")
    assert "drawn in" in printed
    picture = imread(tmp_path / "lengths.png")
    assert picture.shape[:2] == (675, 1200)
    is_orange = (abs(picture[..., :3] - [0xE6 / 255, 0x9F / 255, 0]) < 0.01).all(axis=-1)
    assert is_orange.any() == trained


def test_without_matplotlib_the_error_says_what_to_install(folder, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(errors.MissingExtra, match=r"pip install matplotlib$"):
        draw_lengths(inspection.inspect(folder), tmp_path / "lengths.png")
    assert not (tmp_path / "lengths.png").exists()


def test_a_name_that_is_not_there_is_told_as_it_was_given(capsys):
    assert main(["inspect", "https://example.org/t"]) == 1
    assert "https://example.org/t names no file or folder" in capsys.readouterr().err
