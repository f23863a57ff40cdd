"""The same tokenizer as an object of other libraries, and the places of tokens: all on random texts."""

import random
import sys

import bpe_lm
import numpy as np
import pytest
from bpe_lm import Tokenizer, errors
from hypothesis import given, settings
from hypothesis import strategies as st

END_OF_TEXT = "<|endoftext|>"
SPECIAL = [END_OF_TEXT, "<|pad me|>"]
PATTERNS = [
    "gpt2",
    "cl100k",
    "o200k",
    "llama3",
    "qwen2",
    "kimi_k2",
    r"\p{L}+|\p{N}{1,3}",
    r"(?i:a)b|(?<=b)\s",
    "deepseek_v3",
]
CHARACTERS = [
    "a",
    "b",
    "c",
    " ",
    "\n",
    "\r",
    "1",
    "2",
    "'",
    "s",
    "S",
    "é",
    "中",
    "の",
    "😀",
    "\u0301",
    ".",
    "/",
    "\u00a0",
]


def tokenizer_of(sample, pattern: str, size: int = 1500) -> Tokenizer:
    text = sample.read_text()[:200_000] + "中文のé😀 'S 12 " * 50
    vocab, merges = bpe_lm.train_bpe(iter([text]), size, SPECIAL, pattern=pattern)
    return Tokenizer(vocab, merges, SPECIAL, pattern=pattern)


def random_texts(source: str, number: int) -> list[str]:
    choose = random.Random(11)
    texts = []
    for _ in range(number):
        start = choose.randrange(len(source) - 100)
        pieces = choose.choices([*CHARACTERS, *SPECIAL], k=choose.randrange(12))
        texts.append("".join(pieces[:6]) + source[start : start + choose.randrange(40)] + "".join(pieces[6:]))
    return texts


@pytest.mark.parametrize("pattern", PATTERNS[:-1])
def test_tiktoken_gives_the_same_ids(sample, pattern):
    ours = tokenizer_of(sample, pattern)
    theirs = ours.as_tiktoken("mine")
    assert (theirs.name, theirs.n_vocab) == ("mine", ours.vocab_size)
    for text in random_texts(sample.read_text(), 1500):
        ids = ours.encode(text)
        assert theirs.encode(text, allowed_special="all") == ids, repr(text)
        assert theirs.encode(text, disallowed_special=()) == ours.encode(text, special="text"), repr(text)
        assert theirs.decode_bytes(ids) == text.encode()


@pytest.mark.parametrize("pattern", PATTERNS)
def test_hugging_face_gives_the_same_ids(sample, pattern):
    ours = tokenizer_of(sample, pattern)
    theirs = ours.as_huggingface()
    texts = random_texts(sample.read_text(), 1500)
    for text, encoding in zip(texts, theirs.encode_batch(texts), strict=True):
        assert encoding.ids == ours.encode(text), repr(text)
        assert theirs.decode(encoding.ids, skip_special_tokens=False) == text


def test_tiktoken_takes_a_pretoken_that_no_merge_makes_as_ours_does(sample, tmp_path):
    learned = tokenizer_of(sample, "kimi_k2", 800)
    special = {END_OF_TEXT: 900}
    odd = {token: 798 + i for i, token in enumerate([b"zzzz", "ののの".encode(), b" qqq", b"abzq"])}
    vocab = {id: token for id, token in learned.vocab.items() if id < 798} | {id: token for token, id in odd.items()}
    plain = Tokenizer(vocab, learned.merges, special, pattern="kimi_k2")
    ours = Tokenizer(vocab, learned.merges, special, pattern="kimi_k2", ignore_merges=True)
    assert (plain.ignore_merges, ours.ignore_merges) == (False, True)
    assert plain.sha256 != ours.sha256
    with pytest.raises(errors.FormatError, match="no merge makes token 798"):
        plain.as_tiktoken()
    assert (ours.encode("zzzz"), len(plain.encode("zzzz"))) == ([798], 4)
    ours.save(tmp_path)
    assert not (tmp_path / "merges.txt").exists()
    theirs = ours.as_tiktoken()
    (tmp_path / "tiktoken.model").write_bytes((tmp_path / "tokenizer.tiktoken").read_bytes())
    read = Tokenizer.from_tiktoken(tmp_path / "tiktoken.model", "kimi_k2", special)
    choose = random.Random(12)
    words = ["zzzz", " ", "ののの", " qqq", "zq", "abzq", "zzzz ", "ab", "の", "q", END_OF_TEXT, "a"]
    for text in ["".join(choose.choices(words, k=choose.randrange(6))) for _ in range(2000)]:
        ids = ours.encode(text)
        assert theirs.encode(text, allowed_special="all") == ids, text
        assert read.encode(text) == ids, text
    assert read.sha256 == ours.sha256 == Tokenizer.load(tmp_path).sha256


def test_what_tiktoken_cannot_express_is_refused(sample):
    vocab, merges = bpe_lm.train_bpe(iter(["abab ab"]), 258, [])
    with pytest.raises(errors.FormatError, match="deepseek_v3 has 3 expressions"):
        Tokenizer(vocab, merges, pattern="deepseek_v3").as_tiktoken()
    with pytest.raises(errors.FormatError, match="'<a><b>' begins with special token '<a>'"):
        Tokenizer(vocab, merges, ["<a>", "<c>", "<a><b>"]).as_tiktoken()
    for regex in [r"(a)\1|.", r"(?<x>a)b|.", r"(?P<x>a)\k<x>"]:
        with pytest.raises(errors.FormatError, match="named or referred to"):
            Tokenizer(vocab, merges, pattern=regex).as_tiktoken()
    with pytest.raises(errors.FormatError, match="has empty matches"):
        Tokenizer(vocab, merges, pattern="[a-c]*").as_tiktoken()
    swapped = {**vocab, 256: vocab[257], 257: vocab[256]}
    with pytest.raises(errors.FormatError, match="cannot express the tokenizer: ids are not in the order of merges"):
        Tokenizer(swapped, merges).as_tiktoken()


def test_what_hugging_face_cannot_express_is_refused():
    vocab, merges = bpe_lm.train_bpe(iter(["abab ab"]), 258, [])
    with pytest.raises(errors.FormatError, match=r'has "\^", which Hugging Face\'s engine'):
        Tokenizer(vocab, merges, pattern=r"^a|\P{L}").as_huggingface()
    with pytest.raises(errors.FormatError, match="would both be written"):
        Tokenizer({**vocab, 258: b"("}, merges, {"(": 258}).as_huggingface()


@pytest.mark.parametrize(("package", "method"), [("tiktoken", "as_tiktoken"), ("tokenizers", "as_huggingface")])
def test_a_missing_package_is_named(monkeypatch, package, method):
    monkeypatch.setitem(sys.modules, package, None)
    tokenizer = Tokenizer({byte: bytes([byte]) for byte in range(256)}, [])
    with pytest.raises(errors.MissingExtra, match=f"{method} needs {package} .*: pip install {package}"):
        getattr(tokenizer, method)()


@pytest.mark.parametrize("pattern", ["gpt2", "llama3", "deepseek_v3", r"\p{L}+|\p{N}{1,3}"])
def test_offsets_are_the_places_of_the_tokens(sample, pattern):
    tokenizer = tokenizer_of(sample, pattern)

    @settings(max_examples=150, deadline=None)
    @given(
        text=st.lists(
            st.sampled_from([*CHARACTERS, *SPECIAL, "the", b"\xff", b"\xe4\xb8", sample.read_text()[:9000]])
        ).map(lambda pieces: b"".join(p if isinstance(p, bytes) else p.encode() for p in pieces)),
        special=st.sampled_from(["allow", "text"]),
    )
    def check(text: bytes, special) -> None:
        ids, offsets = tokenizer.encode_with_offsets(text, special=special)
        assert (ids.dtype, offsets.dtype, len(offsets)) == (np.uint32, np.int64, len(ids) + 1)
        assert ids.tolist() == tokenizer.encode(text, special=special)
        assert (offsets[0], offsets[-1]) == (0, len(text))
        for id, start, end in zip(ids.tolist(), offsets.tolist(), offsets[1:].tolist(), strict=False):
            assert text[start:end] == tokenizer.vocab[id]

    check()


def test_offsets_count_bytes_and_may_lie_inside_a_character():
    tokenizer = Tokenizer({byte: bytes([byte]) for byte in range(256)} | {256: b"\xc3\xc3"}, [], [END_OF_TEXT])
    ids, offsets = tokenizer.encode_with_offsets(f"é{END_OF_TEXT}a")
    assert ids.tolist() == [0xC3, 0xA9, 257, ord("a")]
    assert offsets.tolist() == [0, 1, 2, 15, 16]
    assert [array.tolist() for array in tokenizer.encode_with_offsets("")] == [[], [0]]
    with pytest.raises(errors.SpecialTokenFound):
        tokenizer.encode_with_offsets(f"a{END_OF_TEXT}", special="raise")
    with pytest.raises(errors.ArgumentTypeError):
        tokenizer.encode_with_offsets(7)  # type: ignore[arg-type]


def test_a_special_token_with_the_id_of_another_spelling_has_the_place_of_its_text():
    vocab = {byte: bytes([byte]) for byte in range(256)}
    tokenizer = Tokenizer(vocab, [], {"é": 0xE9})
    ids, offsets = tokenizer.encode_with_offsets("aéb")
    assert (ids.tolist(), offsets.tolist()) == ([97, 0xE9, 98], [0, 1, 3, 4])


def test_offsets_of_a_long_text_are_those_of_its_parts(sample):
    tokenizer = tokenizer_of(sample, "gpt2")
    text = sample.read_bytes()[:1_500_000]
    ids, offsets = tokenizer.encode_with_offsets(text)
    assert np.array_equal(ids, tokenizer.encode_to_numpy(text))
    lengths = np.array([len(tokenizer.vocab[id]) for id in range(tokenizer.vocab_size)])
    assert np.array_equal(np.diff(offsets), lengths[ids])
