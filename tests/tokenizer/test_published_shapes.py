"""Files in the shapes of published models, with tokenizers trained here: the ids are those of Hugging Face."""

import json
import os
import random
import unicodedata
import warnings
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

import bpe_lm
import pytest
from bpe_lm import errors
from tokenizers import Tokenizer

CONTRACTIONS = "(?i:'s|'t|'re|'ve|'m|'ll|'d)"
REST = r" ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
LLAMA3 = [CONTRACTIONS + r"|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}|" + REST]
QWEN2 = [CONTRACTIONS + r"|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}|" + REST]
DEEPSEEK = [
    r"\p{N}{1,3}",
    "[一-龥\u3040-ゟ\u30a0-ヿ]+",
    r'[!"#$%&'
    r"'()*+,\-./:;<=>?@\[\\\]^_`{|}~][A-Za-z]+|[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+| ?[\p{P}\p{S}]+[\r\n]*"
    r"|\s*[\r\n]+|\s+(?!\S)|\s+",
]
UPPER, LOWER = r"[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]", r"[\p{Ll}\p{Lm}\p{Lo}\p{M}]"
O200K = [
    rf"[^\r\n\p{{L}}\p{{N}}]?{UPPER}*{LOWER}+{CONTRACTIONS}?|[^\r\n\p{{L}}\p{{N}}]?{UPPER}+{LOWER}*{CONTRACTIONS}?|"
    r"\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+"
]


@dataclass(frozen=True)
class Shape:
    """What a published tokenizer.json states besides its vocabulary."""

    pattern: str
    splits: list[str]
    ignore_merges: bool = False
    all_pairs: bool = False
    """The merges are all pairs with a token's bytes, as converters from tiktoken write them."""
    merges_as_strings: bool = False
    normalizer: dict | None = None
    adds_bos: bool = False
    normalized: bool = False
    split: tuple[str, bool] = ("Isolated", False)


SHAPES = {
    "llama3": Shape("llama3", LLAMA3, ignore_merges=True, all_pairs=True, adds_bos=True),
    "qwen2": Shape("qwen2", QWEN2, merges_as_strings=True, normalizer={"type": "NFC"}),
    "deepseek_v3": Shape("deepseek_v3", DEEPSEEK, adds_bos=True, normalized=True),
    "glm4": Shape("llama3", LLAMA3, ignore_merges=True, all_pairs=True, merges_as_strings=True),
    "gpt-oss": Shape("o200k", O200K, ignore_merges=True, all_pairs=True),
    "converted": Shape("o200k", O200K, all_pairs=True, split=("Removed", True)),
}
SPECIAL = ["<|begin_of_text|>", "<|end_of_text|>", "<\uff5cUser\uff5c>", "<think>"]
PIECES = [
    *SPECIAL,
    *(" ", "  ", "\n", "\r\n", " \n\n ", "\t", "\u00a0", "\u3000", "'s", "'LL", "don't", "I'VE", "\u2019s", "<|", "|>"),
    *("1", "12345", "²", "٣٤", "中文", "的是不", "ひらがな", "カタカナ", "한국어", "é", "e\u0301", "Ünïcode", "ǅ", "ʰ"),
    *(
        "😀",
        "👩\u200d👩",
        "...",
        "!!\n",
        "./a",
        "#include",
        "(a)",
        "{x:",
        "iPhone",
        "HTTPServer",
        "a_b",
        "\u0301",
        "\x00",
    ),
    *("abcabc", "quite unlikely words", "Ġ", "\ufffd", "ß", "Σας", "สวัสดี"),
]


# Words that no training text has. No merge makes the tokens of the first ones.
UNMADE = ["qzxj", " qzxj", "कखगघ", "ΩΩΩΩ", "777"]
NEW = [*UNMADE, "qzxjqzxj", "aqzxj", " qzxj.", "ΩΩΩΩΩ", "77777"]


def random_texts(source: str, number: int, seed: int, pieces_of: list[str]) -> list[str]:
    choose = random.Random(seed)
    texts = []
    for _ in range(number):
        start = choose.randrange(len(source) - 100)
        pieces = choose.choices(pieces_of, k=choose.randrange(1, 9))
        pieces.insert(choose.randrange(len(pieces)), source[start : start + choose.randrange(60)])
        texts.append("".join(pieces))
    return texts


def name_of(token: bytes) -> str:
    return "".join(bpe_lm._core.BYTE_ALPHABET[byte] for byte in token)


def pairs_of(tokens: dict[bytes, int]) -> list[tuple[bytes, bytes]]:
    """All pairs of tokens that have the bytes of a token, by the token's rank, then by those of the two."""
    found = []
    for token, rank in tokens.items():
        halves = [(token[:cut], token[cut:]) for cut in range(1, len(token))]
        known = [(tokens[left], tokens[right]) for left, right in halves if left in tokens and right in tokens]
        found += [(rank, pair) for pair in sorted(known)]
    bytes_of = {id: token for token, id in tokens.items()}
    return [(bytes_of[left], bytes_of[right]) for _, (left, right) in sorted(found)]


def published_file(shape: Shape, sample: Path) -> dict:
    texts = [sample.read_text()[:300_000], "".join(random_texts(sample.read_text(), 2000, 5, PIECES))]
    vocab, merges = bpe_lm.train_bpe(iter(texts), 2000, [], pattern=shape.pattern)
    tokens = {token: id for id, token in vocab.items()}
    if shape.all_pairs:
        for more in [*(word.encode() for word in UNMADE), b"\x00\xff\x00", b"lived in"]:
            assert more not in tokens
            tokens[more] = len(tokens)
        merges = pairs_of(tokens)
    names = [(name_of(left), name_of(right)) for left, right in merges]
    flags = dict.fromkeys(["single_word", "lstrip", "rstrip"], False)
    added = [
        {
            "id": len(tokens) + i,
            "content": token,
            **flags,
            "normalized": shape.normalized,
            "special": token != "<think>",
        }
        for i, token in enumerate(SPECIAL)
    ]
    behavior, invert = shape.split
    steps: list[dict] = [
        {"type": "Split", "pattern": {"Regex": regex}, "behavior": behavior, "invert": invert} for regex in shape.splits
    ]
    byte_level = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": False}
    bos = {"id": SPECIAL[0], "type_id": 0}
    template = {
        "type": "TemplateProcessing",
        "single": [{"SpecialToken": bos}, {"Sequence": {"id": "A", "type_id": 0}}],
        "pair": [{"Sequence": {"id": "A", "type_id": 0}}, {"Sequence": {"id": "B", "type_id": 1}}],
        "special_tokens": {SPECIAL[0]: {"id": SPECIAL[0], "ids": [len(tokens)], "tokens": [SPECIAL[0]]}},
    }
    both = {"type": "Sequence", "processors": [byte_level, template]}
    return {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": added,
        "normalizer": shape.normalizer,
        "pre_tokenizer": {"type": "Sequence", "pretokenizers": [*steps, byte_level]},
        "post_processor": both if shape.adds_bos else byte_level,
        "decoder": byte_level,
        "model": {
            "type": "BPE",
            "dropout": None,
            "unk_token": None,
            "continuing_subword_prefix": None,
            "end_of_word_suffix": None,
            "fuse_unk": False,
            "byte_fallback": False,
            "ignore_merges": shape.ignore_merges,
            "vocab": {name_of(token): id for token, id in tokens.items()},
            "merges": [" ".join(pair) for pair in names] if shape.merges_as_strings else [list(pair) for pair in names],
        },
    }


def load(folder: Path, texts_are_nfc: bool) -> bpe_lm.Tokenizer:
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "its post_processor is left out|.*post_processor")
        return bpe_lm.Tokenizer.from_huggingface(folder, texts_are_nfc=texts_are_nfc)


def check_shape(shape: Shape, sample: Path, folder: Path, number: int) -> None:
    (folder / "tokenizer.json").write_text(json.dumps(published_file(shape, sample)))
    theirs = Tokenizer.from_file(str(folder / "tokenizer.json"))
    ours = load(folder, shape.normalizer is not None)
    assert ours.pattern == shape.pattern
    assert ours.ignore_merges == shape.ignore_merges
    texts = random_texts(sample.read_text(), number, 6, PIECES + NEW)
    if shape.normalizer is not None:
        texts = [unicodedata.normalize("NFC", text) for text in texts]
    expected = [encoding.ids for encoding in theirs.encode_batch(texts, add_special_tokens=False)]
    ids, offsets = ours.encode_batch(texts)
    for text, wanted, start, end in zip(texts, expected, offsets, offsets[1:], strict=False):
        assert ids[start:end].tolist() == wanted, repr(text)
    for text, wanted in zip(texts[:500], expected, strict=False):
        assert ours.encode(text) == wanted
        assert ours.decode(wanted) == theirs.decode(wanted, skip_special_tokens=False)
    ours.save(folder / "saved")
    for copied in (bpe_lm.Tokenizer.load(folder / "saved"), bpe_lm.Tokenizer(*parts(ours), **options(ours))):
        assert copied.sha256 == ours.sha256
        assert copied.encode_batch(texts[:500])[0].tolist() == list(chain.from_iterable(expected[:500]))
    again = ours.as_huggingface()
    assert [encoding.ids for encoding in again.encode_batch(texts[:500])] == expected[:500]
    assert (folder / "saved" / "merges.txt").exists() != shape.ignore_merges


def parts(tokenizer: bpe_lm.Tokenizer) -> tuple:
    return tokenizer.vocab, tokenizer.merges, tokenizer.special_ids


def options(tokenizer: bpe_lm.Tokenizer) -> dict:
    return {"pattern": tokenizer.pattern, "ignore_merges": tokenizer.ignore_merges}


@pytest.mark.parametrize("name", SHAPES)
def test_ids_of_published_shapes_are_those_of_hugging_face(sample, tmp_path, name):
    check_shape(SHAPES[name], sample, tmp_path, 10_000 // len(SHAPES))


@pytest.mark.long
@pytest.mark.parametrize("name", SHAPES)
def test_ids_of_published_shapes_are_those_of_hugging_face_on_many_texts(sample, tmp_path, name):
    check_shape(SHAPES[name], sample, tmp_path, 100_000)


def test_files_of_published_models_give_the_ids_of_hugging_face(sample):
    """BPE_LM_TOKENIZERS names a folder with a folder for each model, which has its tokenizer.json."""
    if "BPE_LM_TOKENIZERS" not in os.environ:
        pytest.skip("BPE_LM_TOKENIZERS is not set")
    files = sorted(Path(os.environ["BPE_LM_TOKENIZERS"]).glob("**/tokenizer.json"))
    assert files, "no tokenizer.json in BPE_LM_TOKENIZERS"
    texts = [unicodedata.normalize("NFC", text) for text in random_texts(sample.read_text(), 5000, 7, PIECES + NEW)]
    for file in files:
        ours, theirs = load(file.parent, True), Tokenizer.from_file(str(file))
        special = random.Random(8).choices([*ours.special_ids, ""], k=len(texts))
        mixed = [text + token for text, token in zip(texts, special, strict=True)]
        expected = theirs.encode_batch(mixed, add_special_tokens=False)
        for text, encoding in zip(mixed, expected, strict=True):
            assert ours.encode(text) == encoding.ids, (file, text)


def test_a_file_with_bos_says_that_encode_adds_none(sample, tmp_path):
    shape = SHAPES["llama3"]
    (tmp_path / "tokenizer.json").write_text(json.dumps(published_file(shape, sample)))
    with pytest.warns(UserWarning, match=r"post_processor is left out; .* add_special_tokens=False") as caught:
        ours = bpe_lm.Tokenizer.load(tmp_path)
    assert len(caught) == 1
    theirs = Tokenizer.from_file(str(tmp_path / "tokenizer.json"))
    assert theirs.encode("a").ids == [ours.special_ids[SPECIAL[0]], *ours.encode("a")]


@pytest.mark.parametrize("kind", ["BertProcessing", "RobertaProcessing"])
def test_older_processors_that_add_tokens_are_left_out_too(sample, tmp_path, kind):
    file = published_file(SHAPES["deepseek_v3"], sample)
    more = {"trim_offsets": True, "add_prefix_space": False} if kind == "RobertaProcessing" else {}
    file["post_processor"] = {"type": kind, "sep": ["b", 98], "cls": ["a", 97], **more}
    (tmp_path / "tokenizer.json").write_text(json.dumps(file))
    with pytest.warns(UserWarning, match="post_processor is left out"):
        ours = bpe_lm.Tokenizer.load(tmp_path)
    theirs = Tokenizer.from_file(str(tmp_path / "tokenizer.json"))
    assert theirs.encode("some text").ids == [97, *ours.encode("some text"), 98]
    assert theirs.encode("some text", add_special_tokens=False).ids == ours.encode("some text")


def test_the_shapes_have_what_makes_them_hard(sample, tmp_path):
    model = published_file(SHAPES["llama3"], sample)["model"]
    vocab = model["vocab"]
    ranks = [(vocab[left], vocab[right], vocab[left + right]) for left, right in model["merges"]]
    assert sum(left > made or right > made for left, right, made in ranks) > 10
    assert len(ranks) > 1.3 * len({made for _, _, made in ranks})
    (tmp_path / "tokenizer.json").write_text(json.dumps(published_file(SHAPES["llama3"], sample)))
    ours = load(tmp_path, False)
    for word in UNMADE:
        assert ours.encode(word) == [vocab[name_of(word.encode())]]
    assert len(ours.encode("qzxjqzxj")) > 2
    assert len(ours.merges) < len({made for _, _, made in ranks})


def test_nfc_is_refused_unless_the_texts_have_it(sample, tmp_path):
    file = published_file(SHAPES["qwen2"], sample)
    (tmp_path / "tokenizer.json").write_text(json.dumps(file))
    with pytest.raises(errors.FormatError, match=r"normalizer .*NFC.* texts_are_nfc=True"):
        bpe_lm.Tokenizer.load(tmp_path)
    file["added_tokens"][0]["normalized"] = True
    (tmp_path / "tokenizer.json").write_text(json.dumps(file))
    assert load(tmp_path, True).special_tokens == SPECIAL
    file["added_tokens"][2]["normalized"] = True
    (tmp_path / "tokenizer.json").write_text(json.dumps(file, ensure_ascii=False))
    with pytest.raises(errors.FormatError, match=f"NFC.*{SPECIAL[2].replace('|', '.')}.* is normalized by it"):
        load(tmp_path, True)
    file["normalizer"] = {"type": "Sequence", "normalizers": [{"type": "NFC"}, {"type": "Lowercase"}]}
    (tmp_path / "tokenizer.json").write_text(json.dumps(file))
    with pytest.raises(errors.FormatError, match="normalizer"):
        bpe_lm.Tokenizer.from_huggingface(tmp_path, texts_are_nfc=True)


@pytest.mark.parametrize("flag", ["lstrip", "rstrip", "single_word"])
def test_added_tokens_that_take_more_than_their_text_are_refused_by_name(sample, tmp_path, flag):
    file = published_file(SHAPES["deepseek_v3"], sample)
    file["added_tokens"][1][flag] = True
    (tmp_path / "tokenizer.json").write_text(json.dumps(file))
    with pytest.raises(errors.FormatError, match=rf"added_tokens\[1\] has {flag}"):
        bpe_lm.Tokenizer.load(tmp_path)


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"behavior": "Removed"}, "pre-tokenizer"),
        ({"behavior": "MergedWithPrevious"}, "pre-tokenizer"),
        ({"invert": True}, "pre-tokenizer"),
        ({"pattern": {"String": " "}}, "pre-tokenizer"),
        ({"pattern": {"Regex": r"\p{L}+"}, "behavior": "Removed", "invert": True}, "pre-tokenizer"),
    ],
)
def test_splits_that_lose_text_or_join_pieces_are_refused(sample, tmp_path, changed, message):
    file = published_file(SHAPES["qwen2"], sample) | {"normalizer": None}
    file["pre_tokenizer"]["pretokenizers"][0] |= changed
    (tmp_path / "tokenizer.json").write_text(json.dumps(file))
    with pytest.raises(errors.FormatError, match=message):
        bpe_lm.Tokenizer.load(tmp_path)


def test_a_template_that_repeats_the_text_is_refused(sample, tmp_path):
    file = published_file(SHAPES["deepseek_v3"], sample)
    file["post_processor"]["processors"][1]["single"] *= 2
    (tmp_path / "tokenizer.json").write_text(json.dumps(file))
    with pytest.raises(errors.FormatError, match="post_processor"):
        bpe_lm.Tokenizer.load(tmp_path)


def test_merges_in_any_order_give_the_ids_of_hugging_face_or_are_refused(tmp_path):
    """Random lists of merges: also of tokens that are made later, in several ways, or never."""
    choose = random.Random(9)
    num_loaded, refused = 0, []
    for _ in range(150):
        tokens = {bytes([byte]): byte for byte in range(256)}
        while len(tokens) < 256 + choose.randrange(1, 14):
            tokens.setdefault(bytes(choose.choices(b"abc", k=choose.randrange(2, 6))), len(tokens))
        merges = pairs_of(tokens)
        if choose.random() < 0.3:
            choose.shuffle(merges)
        file = json.loads(naive_file(tokens, merges, choose.random() < 0.5))
        (tmp_path / "tokenizer.json").write_text(json.dumps(file))
        try:
            ours = bpe_lm.Tokenizer.load(tmp_path)
        except errors.FormatError as error:
            refused.append(str(error))
            continue
        num_loaded += 1
        theirs = Tokenizer.from_file(str(tmp_path / "tokenizer.json"))
        texts = [
            " ".join("".join(choose.choices("abc", k=choose.randrange(1, 12))) for _ in range(4)) for _ in range(20)
        ]
        for text in [*texts, *(token.decode() for token in tokens if token.isalpha() and token.isascii())]:
            assert ours.encode(text) == theirs.encode(text).ids, (text, merges)
    assert num_loaded > 50
    assert len(refused) > 5
    assert all("before a merge makes it" in reason or "must come after" in reason for reason in refused)


def naive_file(tokens: dict[bytes, int], merges: list[tuple[bytes, bytes]], ignore_merges: bool) -> str:
    """A file with the pattern of GPT-2."""
    model = {
        "type": "BPE",
        "ignore_merges": ignore_merges,
        "vocab": {name_of(token): id for token, id in tokens.items()},
    }
    model["merges"] = [[name_of(left), name_of(right)] for left, right in merges]
    pre_tokenizer = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": True}
    return json.dumps({"version": "1.0", "added_tokens": [], "pre_tokenizer": pre_tokenizer, "model": model})
