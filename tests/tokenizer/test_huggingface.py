"""Hugging Face's tokenizers: its trainer equals ours under tie_break="hf", and it reads what we write."""

import base64
import copy
import json
import pickle
import random
import re
import warnings

import bpe_lm
import naive_bpe
import pytest
import tiktoken
from bpe_lm import errors
from bpe_lm.cli import main as cli
from hypothesis import given, settings
from hypothesis import strategies as st
from tiktoken_ext import openai_public
from tokenizers import ByteLevelBPETokenizer, Regex, Tokenizer, models, pre_tokenizers, trainers

END_OF_TEXT = "<|endoftext|>"


def byte_of_char() -> dict[str, int]:
    printable = [*range(33, 127), *range(161, 173), *range(174, 256)]
    rest = [b for b in range(256) if b not in printable]
    return {chr(b): b for b in printable} | {chr(256 + i): b for i, b in enumerate(rest)}


def hf_merges(texts: list[str], num_merges: int) -> list[tuple[bytes, bytes]]:
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    trainer = trainers.BpeTrainer(
        vocab_size=256 + num_merges,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
        min_frequency=0,
    )
    tokenizer.train_from_iterator(texts, trainer)
    alphabet = byte_of_char()

    def to_bytes(name: str) -> bytes:
        return bytes(alphabet[c] for c in name)

    merges = json.loads(tokenizer.to_str())["model"]["merges"]
    return [(to_bytes(a), to_bytes(b)) for a, b in merges]


def corpora() -> list[list[str]]:
    rng = random.Random(336)
    alphabets = ["ab ", "abc", "aaab", "abcdefgh ", "é中a ", "ab\n  ", "the cat sat. "]
    made = []
    for i in range(19):
        alphabet = alphabets[i % len(alphabets)]
        made.append(["".join(rng.choices(alphabet, k=rng.randint(1, 400))) for _ in range(rng.randint(1, 20))])
    return made


@pytest.mark.row("R10")
@pytest.mark.parametrize("texts", corpora())
def test_the_trainer_equals_ours_on_random_texts(texts):
    assert bpe_lm.train_bpe(iter(texts), 256 + 300, [], tie_break="hf")[1] == hf_merges(texts, 300)


@pytest.mark.row("R10")
def test_the_trainer_equals_ours_on_stories(sample):
    documents = [d for d in sample.read_text().split(END_OF_TEXT) if d]
    assert bpe_lm.train_bpe(iter(documents), 256 + 3000, [], tie_break="hf")[1] == hf_merges(documents, 3000)


def test_the_trainer_equals_ours_on_the_courses_corpus(shared):
    text = shared("cs336/corpus.en").read_text()
    assert bpe_lm.train_bpe(iter([text]), 256 + 1000, [], tie_break="hf")[1] == hf_merges([text], 1000)


def random_texts(source: str, special_tokens: list[str], number: int) -> list[str]:
    rng = random.Random(7)
    odd = [*special_tokens, " ", "\n", "  \n", "'s", "é", "中文", "😀", "<|", "\u00a0", "12", "don't", "\t"]
    odd += ["1234567", "DON'T", "...\n\n", "./", "iPhone", " \n  "]
    texts = []
    for _ in range(number):
        start = rng.randrange(len(source) - 300)
        pieces = [source[start + i : start + i + rng.randint(1, 40)] for i in range(0, 200, 40)]
        texts.append("".join(piece + rng.choice(odd) for piece in pieces))
    return texts


@pytest.mark.parametrize("pattern", ["gpt2", "cl100k", "o200k", r"\p{L}+|\p{N}{1,3}|[^\s\p{L}\p{N}]+|\s+"])
@pytest.mark.parametrize(
    "special_tokens", [[], [END_OF_TEXT], [END_OF_TEXT, "<|pad me|>", "<|endoftext|><|endoftext|>"]]
)
def test_our_tokenizer_json_gives_the_naive_encoders_ids(sample, tmp_path, pattern, special_tokens):
    vocab, merges = bpe_lm.train_bpe(sample, 2000, special_tokens, pattern=pattern)
    tokenizer = bpe_lm.Tokenizer(vocab, merges, special_tokens, pattern=pattern)
    tokenizer.save(tmp_path / "out")
    theirs = Tokenizer.from_file(str(tmp_path / "out" / "tokenizer.json"))
    for text in random_texts(sample.read_text(), special_tokens, 200):
        ids = naive_bpe.encode(text.encode(), vocab, merges, special_tokens, pattern)
        assert theirs.encode(text).ids == ids
        assert tokenizer.encode(text) == ids
        assert theirs.decode(ids, skip_special_tokens=False) == text


@pytest.mark.parametrize("pattern", ["cl100k", "o200k"])
def test_the_pattern_that_we_write_splits_as_ours(tmp_path, pattern):
    """Their engine is another one, which reads some of what tiktoken writes differently."""
    bpe_lm.Tokenizer(*bpe_lm.train_bpe(iter(["ab"]), 257, []), pattern=pattern).save(tmp_path / "out")
    assert bpe_lm.Tokenizer.load(tmp_path / "out").pattern == pattern
    theirs = Tokenizer.from_file(str(tmp_path / "out" / "tokenizer.json")).pre_tokenizer
    rng = random.Random(8)
    characters = ["a", "s", "l", "A", "S", "\u017f", "中", "é", "ǅ", "ʰ", "\u0301", "1", "²", "'", ".", "/", "😀"]
    characters += [" ", " ", "\n", "\r", "\t", "\u00a0"]
    for _ in range(20_000):
        text = "".join(rng.choices(characters, k=rng.randint(1, 12)))
        expected = [len(pretoken) for pretoken in naive_bpe.pretokens(text.encode(), pattern)]
        assert [len(name) for name, _ in theirs.pre_tokenize_str(text)] == expected, repr(text)


def test_we_read_what_tokenizers_writes(sample, tmp_path):
    for pre_tokenizer, pattern in [
        (pre_tokenizers.ByteLevel(add_prefix_space=False), "gpt2"),
        (
            pre_tokenizers.Sequence(
                [
                    pre_tokenizers.Split(Regex(r"\p{L}+|\P{L}"), "isolated"),
                    pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
                ]
            ),
            r"\p{L}+|\P{L}",
        ),
    ]:
        theirs = Tokenizer(models.BPE())
        theirs.pre_tokenizer = pre_tokenizer
        alphabet = pre_tokenizers.ByteLevel.alphabet()
        trainer = trainers.BpeTrainer(
            vocab_size=1000, special_tokens=[END_OF_TEXT], initial_alphabet=alphabet, show_progress=False
        )
        theirs.train([str(sample)], trainer)
        theirs.save(str(tmp_path / "tokenizer.json"))
        ours = bpe_lm.Tokenizer.load(tmp_path)
        assert ours.special_tokens == [END_OF_TEXT]
        assert ours.pattern == pattern
        for text in random_texts(sample.read_text(), [END_OF_TEXT], 20):
            assert ours.encode(text) == theirs.encode(text).ids


def test_pretokens_equal_theirs_on_code_points_of_the_same_class():
    """Their Unicode is of another version; code points whose class differs are left out and counted."""
    byte_level = pre_tokenizers.ByteLevel(add_prefix_space=False)

    def theirs(text: str) -> list[int]:
        return [len(name) for name, _ in byte_level.pre_tokenize_str(text)]

    def ours(text: str) -> list[int]:
        return [len(pretoken) for pretoken in naive_bpe.pretokens(text.encode())]

    rng = random.Random(5)
    assigned = [*range(0x3000), *rng.sample(range(0x3000, 0xD800), 3000), *rng.sample(range(0xE000, 0x110000), 10_000)]
    left_out = []
    for char in map(chr, assigned):
        probes = [f"a{char}", f"1{char}", f".{char}", f"{char} ."]
        if [len(theirs(probe)) for probe in probes] != [len(ours(probe)) for probe in probes]:
            left_out.append(char)
            continue
        text = f"a{char}1 {char}  {char}\n{char}{char}b'{char}.{char}! "
        assert ours(text) == theirs(text), hex(ord(char))
    print(f"{len(left_out)} of {len(assigned)} code points differ in class: left out")
    assert len(left_out) < 0.05 * len(assigned)


# Files of others

TEXTS = ["a b a b\n c c the the then é\n", "中 the 中文 café\n\n  naïve"]
PROBES = ["a\nb", "a  b", "é", "Ġthe the", " the", "中文中", "x\r\n\n y", "naïve café", "", " ", "\n", "\ufffd", "(a)"]


def trained_by_hf(special_tokens: list[str]) -> dict:
    """The file of Hugging Face's trainer, which numbers special tokens first."""
    theirs = ByteLevelBPETokenizer()
    theirs.train_from_iterator(TEXTS * 9, 400, min_frequency=1, special_tokens=special_tokens, show_progress=False)
    return json.loads(theirs.to_str())


def added(content: str, id: int, **changed) -> dict:
    flags = dict.fromkeys(["single_word", "lstrip", "rstrip", "normalized"], False)
    return {"id": id, "content": content, **flags, "special": True, **changed}


def load_both(file: dict, folder) -> tuple[bpe_lm.Tokenizer, Tokenizer]:
    (folder / "tokenizer.json").write_text(json.dumps(file))
    return bpe_lm.Tokenizer.load(folder), Tokenizer.from_file(str(folder / "tokenizer.json"))


def assert_the_same_ids(ours: bpe_lm.Tokenizer, theirs: Tokenizer, texts: list[str]) -> None:
    for text in texts:
        ids = theirs.encode(text).ids
        assert ours.encode(text) == ids, text
        assert ours.decode(ids) == theirs.decode(ids, skip_special_tokens=False), text


def assert_copies_are_the_same(ours: bpe_lm.Tokenizer, folder, texts: list[str]) -> None:
    """However a tokenizer is copied, it has the same ids and the same name."""
    ours.save(folder / "saved", force=True)
    files = (folder / "saved" / "vocab.json", folder / "saved" / "merges.txt")
    tiktokens = folder / "saved" / "tokenizer.tiktoken"
    for other in [
        pickle.loads(pickle.dumps(ours)),
        copy.deepcopy(ours),
        bpe_lm.Tokenizer.load(folder / "saved"),
        bpe_lm.Tokenizer(ours.vocab, ours.merges, ours.special_ids, pattern=ours.pattern),
        bpe_lm.Tokenizer.from_files(*files, ours.special_tokens, pattern=ours.pattern),
        *([bpe_lm.Tokenizer.load(tiktokens)] if tiktokens.exists() else []),
    ]:
        assert other.sha256 == ours.sha256
        assert (other.vocab, other.merges, other.special_ids) == (ours.vocab, ours.merges, ours.special_ids)
        assert [other.encode(text) for text in texts] == [ours.encode(text) for text in texts]


@pytest.mark.parametrize("more", [[], ["the"]])
def test_special_tokens_with_the_bytes_of_other_tokens_keep_their_ids(tmp_path, more):
    special = [END_OF_TEXT, "\n", " ", "中", *more]
    ours, theirs = load_both(trained_by_hf(special), tmp_path)
    assert ours.special_ids == {token: id for id, token in enumerate(special)}
    assert ours.encode("a\nb") == [theirs.token_to_id("a"), 1, theirs.token_to_id("b")]
    assert ours.encode("a\nb", special="text") == [theirs.token_to_id(name) for name in "aĊb"]
    assert_the_same_ids(ours, theirs, PROBES)
    assert_copies_are_the_same(ours, tmp_path, PROBES)
    # "the" is also what a merge makes, before its parts in the order of ids.
    assert (tmp_path / "saved" / "tokenizer.tiktoken").exists() == (not more)


def test_tiktoken_gives_special_tokens_with_the_bytes_of_other_tokens_the_same_ids(tmp_path):
    ours, _ = load_both(trained_by_hf([END_OF_TEXT, "\n", " ", "中"]), tmp_path)
    ours.save(tmp_path / "saved")
    lines = (line.split() for line in (tmp_path / "saved" / "tokenizer.tiktoken").read_bytes().splitlines())
    ranks = {base64.b64decode(token): int(rank) for token, rank in lines}
    pattern = openai_public.r50k_pat_str
    theirs = tiktoken.Encoding("ours", pat_str=pattern, mergeable_ranks=ranks, special_tokens=ours.special_ids)
    for text in PROBES:
        assert theirs.encode(text, allowed_special="all") == ours.encode(text), text
        assert theirs.encode(text, disallowed_special=()) == ours.encode(text, special="text"), text


def test_a_special_token_whose_bytes_two_tokens_have_is_named_by_its_id(tmp_path):
    ours, _ = load_both(trained_by_hf([END_OF_TEXT, "\n"]), tmp_path)
    other = ours.special_ids["\n"], ours.encode("\n", special="text")[0]
    with pytest.raises(errors.FormatError, match=r'tokens 1 and \d+ are both "\\n"; say which .* special_tokens=\{'):
        bpe_lm.Tokenizer(ours.vocab, ours.merges, ours.special_tokens)
    with pytest.raises(errors.FormatError, match="are both"):
        bpe_lm.Tokenizer(ours.vocab, ours.merges)
    swapped = bpe_lm.Tokenizer(ours.vocab, ours.merges, {END_OF_TEXT: 0, "\n": other[1]})
    assert (swapped.encode("\n"), swapped.encode("\n", special="text")) == ([other[1]], [other[0]])
    vocab, merges = bpe_lm.train_bpe(iter(TEXTS), 300, ["the", "a"])
    learned = bpe_lm.Tokenizer(vocab, merges, ["the", "a"])
    size = 256 + len(merges)
    assert (learned.encode("the a"), learned.encode("a", special="text")) == ([size, 32, size + 1], [97])
    assert bpe_lm.Tokenizer(vocab, merges).encode("a") == [97]


@pytest.mark.parametrize(
    ("special_tokens", "message"),
    [
        ({"<s>": 97}, 'has id 97, which is the token "a"'),
        ({"<s>": 300, "<t>": 300}, "have the same id 300"),
        ({"<s>": 10**6}, "ids must be below"),
        ({"<s>": -1}, "negative"),
    ],
)
def test_ids_of_special_tokens_are_checked(special_tokens, message):
    with pytest.raises((errors.FormatError, errors.SpecialTokenError), match=message):
        bpe_lm.Tokenizer({b: bytes([b]) for b in range(256)}, [], special_tokens)


def test_added_tokens_spelled_like_the_alphabet_keep_the_ids_of_the_file(tmp_path):
    file = trained_by_hf([END_OF_TEXT])
    vocab = file["model"]["vocab"]
    file["added_tokens"] += [added("é", vocab["é"]), added("Ġthe", vocab["Ġthe"])]
    ours, theirs = load_both(file, tmp_path)
    assert ours.special_ids == {END_OF_TEXT: 0, "é": vocab["é"], "Ġthe": vocab["Ġthe"]}
    assert ours.decode_bytes([vocab["é"]]) == b"\xe9"
    assert_the_same_ids(ours, theirs, PROBES)
    assert_copies_are_the_same(ours, tmp_path, PROBES)
    plain, _ = load_both(trained_by_hf([END_OF_TEXT]), tmp_path)
    assert plain.sha256 != ours.sha256


def test_tokens_that_nothing_reaches_are_kept(tmp_path):
    file = trained_by_hf([END_OF_TEXT, "\n", " "])
    size = len(file["model"]["vocab"])
    file["model"]["vocab"] |= {"Ġunreached": size, " unreached": size + 1}
    file["added_tokens"] = file["added_tokens"][:1]
    ours, theirs = load_both(file, tmp_path)
    assert ours.special_tokens == [END_OF_TEXT]
    assert [ours.decode([id]) for id in (1, 2, size, size + 1)] == ["\n", " ", " unreached", " unreached"]
    assert_the_same_ids(ours, theirs, PROBES)
    ours.save(tmp_path / "saved")
    for other in (bpe_lm.Tokenizer.load(tmp_path / "saved"), pickle.loads(pickle.dumps(ours))):
        assert (other.sha256, other.vocab) == (ours.sha256, ours.vocab)
    assert not (tmp_path / "saved" / "tokenizer.tiktoken").exists()


@pytest.mark.parametrize(
    ("special_tokens", "message"),
    [
        (["("], r'tokens 40 and 256 would both be written as "\("'),
        (["é"], 'would both be written as "é"'),
        ([" "], 'special token " " has the id 32 of a token that is written as "Ġ"; give it an id of its own'),
        ({" ": 32}, 'special token " " has the id 32'),
    ],
)
def test_what_would_not_load_is_not_saved(tmp_path, special_tokens, message):
    vocab = {b: bytes([b]) for b in range(256)}
    if special_tokens == ["("]:
        vocab[256] = b"("
    tokenizer = bpe_lm.Tokenizer(vocab, [], special_tokens)
    with pytest.raises(errors.FormatError, match=message):
        tokenizer.save(tmp_path / "t")
    assert not (tmp_path / "t").exists()
    assert pickle.loads(pickle.dumps(tokenizer)).sha256 == tokenizer.sha256


def test_one_token_may_be_made_of_two_pairs_and_a_pair_may_come_once(tmp_path):
    vocab = {b: bytes([b]) for b in range(256)} | {256: b"ab", 257: b"bc", 258: b"abc"}
    merges = [(b"a", b"b"), (b"b", b"c"), (b"ab", b"c"), (b"a", b"bc")]
    tokenizer = bpe_lm.Tokenizer(vocab, merges)
    tokenizer.save(tmp_path / "t")
    theirs = Tokenizer.from_file(str(tmp_path / "t" / "tokenizer.json"))
    texts = ["abc", "bc", "abcabc", "bcabbc", "aabbcc"]
    assert_the_same_ids(bpe_lm.Tokenizer.load(tmp_path / "t"), theirs, texts)
    with pytest.raises(errors.FormatError, match="merge 4 repeats merge 0"):
        bpe_lm.Tokenizer(vocab, [*merges, merges[0]])


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_whatever_loads_encodes_saves_and_copies_as_theirs(tmp_path_factory, data):
    """Special tokens of all kinds in files of all kinds that change no ids."""
    folder = tmp_path_factory.mktemp("any")
    words = [END_OF_TEXT, "\n", " ", "中", "the", "(", "éé", "Ċ", "Ġx", "\n\n", "ab", "bé", "<|a b|>"]
    first = data.draw(st.lists(st.sampled_from(words), unique=True, max_size=5))
    file = trained_by_hf(first)
    vocab, model = file["model"]["vocab"], file["model"]
    choose = data.draw(st.randoms(use_true_random=False))
    spelled = [name for name in vocab if name not in first]
    for name in choose.sample(spelled, choose.randrange(4)):
        file["added_tokens"].append(added(name, vocab[name], special=choose.random() < 0.5))
    model["ignore_merges"] = choose.random() < 0.3 and "Ġx" not in first
    if choose.random() < 0.5 and not model["ignore_merges"]:
        vocab |= {f"<0x{byte:02X}>": len(vocab) + byte for byte in range(3)}
    number = len(vocab)
    for name in choose.sample(words, choose.randrange(4)):
        if name not in vocab:
            file["added_tokens"].append(added(name, number))
            number += 1
    byte_level = file["pre_tokenizer"]
    empty = {"type": "Sequence", "normalizers": []}
    template = {"single": [{"Sequence": {"id": "A", "type_id": 0}}], "pair": [], "special_tokens": {}}
    template |= {"type": "TemplateProcessing", "pair": [{"Sequence": {"id": x, "type_id": 0}} for x in "AB"]}
    lists = {"type": "Sequence", "pretokenizers": [{"type": "Sequence", "pretokenizers": []}, byte_level]}
    file["normalizer"] = choose.choice([None, empty, {"type": "Sequence", "normalizers": [empty]}])
    file["pre_tokenizer"] = choose.choice([byte_level, lists, lists | {"pretokenizers": [byte_level]}])
    processors = [None, file["post_processor"], template]
    both = {"type": "Sequence", "processors": processors[1:]}
    file["post_processor"] = choose.choice([*processors, both, both | {"processors": []}])
    model |= {"byte_fallback": choose.random() < 0.5, "fuse_unk": choose.random() < 0.5}
    model["dropout"] = choose.choice([None, 0.0])
    model["unk_token"] = choose.choice([None, END_OF_TEXT, "<unk>"])
    texts = [*PROBES, *("".join(choose.choices([*words, *spelled, "a", "b", "é", "\r"], k=9)) for _ in range(9))]
    if model["ignore_merges"] and choose.random() < 0.5 and number == len(vocab):
        vocab |= {"unreached": number, "Ġunreached": number + 1}
        texts += ["unreached", "an unreached  unreached", "unreachedunreached"]
    ours, theirs = load_both(file, folder)
    for text in texts:
        assert ours.encode(text) == theirs.encode(text).ids, text
    ours.save(folder / "saved")
    other = bpe_lm.Tokenizer.load(folder / "saved")
    again = Tokenizer.from_file(str(folder / "saved" / "tokenizer.json"))
    for copied in (other, pickle.loads(pickle.dumps(ours))):
        assert copied.sha256 == ours.sha256
    for text in texts:
        assert other.encode(text) == again.encode(text).ids == theirs.encode(text).ids, text


@pytest.mark.parametrize(
    ("place", "key", "value"),
    [
        ("file", "normalizer", {"type": "NFC"}),
        ("file", "normalizer", {"type": "Sequence", "normalizers": [{"type": "NFC"}]}),
        ("file", "pre_tokenizer", {"type": "Sequence", "pretokenizers": []}),
        ("model", "dropout", 0.1),
        ("file", "post_processor", {"type": "TemplateProcessing", "single": [], "pair": [], "special_tokens": {}}),
        ("file", "added_tokens", [added("a", 900)]),
    ],
)
def test_what_would_change_ids_is_refused_by_name(tmp_path, place, key, value):
    file = trained_by_hf([END_OF_TEXT])
    file["model"]["vocab"]["unreached"] = len(file["model"]["vocab"])
    (file if place == "file" else file["model"])[key] = value
    name = {"pre_tokenizer": "pre-tokenizer", "added_tokens": "added"}.get(key, key)
    with pytest.raises(errors.FormatError, match=name):
        load_both(file, tmp_path)


def test_added_tokens_that_are_looked_for_one_after_the_other_do_not_overlap(tmp_path):
    file = trained_by_hf([END_OF_TEXT])
    size = len(file["model"]["vocab"])
    file["added_tokens"] += [added("<|ab", size), added("ab|>", size + 1, normalized=True)]
    with pytest.raises(errors.FormatError, match='"<|ab" and "ab|>" can overlap'):
        load_both(file, tmp_path)


@pytest.mark.parametrize(
    ("in_model", "new", "message"),
    [
        ({}, {"<x>": 0, "<y>": 1}, None),
        ({}, {"<x>": 0, "<y>": 9}, 'added_tokens[3]: "<y>" is not in model.vocab, so Hugging Face gives it the id {1}'),
        ({"unused": 9}, {"<x>": 10}, "gives it the id {1} instead of {10}"),
        ({"unused": 9}, {"<x>": 1, "<y>": 2}, None),
        ({"<z>": 9}, {"<x>": 1, "<z>": 9, "<y>": 2}, None),
    ],
)
def test_added_tokens_have_the_ids_that_hugging_face_gives_them(tmp_path, in_model, new, message):
    file = trained_by_hf([END_OF_TEXT])
    vocab = file["model"]["vocab"]
    size = len(vocab)
    vocab |= {name: size + id for name, id in in_model.items()}
    file["added_tokens"] += [added("é", vocab["é"])] + [added(name, size + id) for name, id in new.items()]
    texts = ["a<x>b<y>c<z>", *PROBES]
    if message is None:
        assert_the_same_ids(*load_both(file, tmp_path), texts)
        return
    message = re.sub(r"\{(\d+)\}", lambda found: str(size + int(found[1])), message)
    with pytest.raises(errors.FormatError, match=re.escape(message)):
        load_both(file, tmp_path)
    vocab |= {name: size + id for name, id in new.items()}
    assert_the_same_ids(*load_both(file, tmp_path), texts)


@pytest.mark.parametrize(("regex", "what"), [(r"^\w|\W", '"^"'), (r"\p{N}{1,3}+|.", '"{1,3}+"'), ("[a-c]*", "nothing")])
def test_a_regex_that_hugging_face_reads_otherwise_is_named(tmp_path, capsys, regex, what):
    ours = bpe_lm.Tokenizer({b: bytes([b]) for b in range(256)}, [], pattern=regex)
    with pytest.warns(UserWarning, match=re.escape(what)):
        ours.save(tmp_path)
    text = "ab1234\nbc"
    theirs = Tokenizer.from_file(str(tmp_path / "tokenizer.json"))
    split = theirs.pre_tokenizer.pre_tokenize_str
    assert [len(name) for name, _ in split(text)] != [len(p) for p in naive_bpe.pretokens(text.encode(), regex)]
    with pytest.warns(UserWarning, match=r"tokenizer\.json: the regex of the pre-tokenizer .* reads differently"):
        assert bpe_lm.Tokenizer.load(tmp_path).sha256 == ours.sha256
    file = json.loads((tmp_path / "tokenizer.json").read_text())
    file["pre_tokenizer"] = {"type": "Sequence", "pretokenizers": [file["pre_tokenizer"]]}
    with pytest.warns(UserWarning, match="reads differently"):
        load_both(file, tmp_path)
    with warnings.catch_warnings():
        warnings.simplefilter("default")
        assert cli.main(["inspect", str(tmp_path)]) == 0
    assert capsys.readouterr().err.startswith(f"note: {tmp_path}")


def test_ignore_merges_takes_a_special_token_for_the_pretoken_that_is_spelled_alike(tmp_path):
    file = trained_by_hf([END_OF_TEXT, "Ġq", "b"])
    file["model"]["ignore_merges"] = True
    with pytest.raises(errors.FormatError, match='ignore_merges = true, and its merges do not make token 1, "Ġq"'):
        load_both(file, tmp_path)
    file = trained_by_hf([END_OF_TEXT, "b"])
    file["model"]["ignore_merges"] = True
    assert_the_same_ids(*load_both(file, tmp_path), ["a q b Ġq", *PROBES])


def test_what_transformers_saves_loads(tmp_path):
    transformers = pytest.importorskip("transformers")
    vocab, merges = bpe_lm.train_bpe(iter(TEXTS * 9), 300, [END_OF_TEXT])
    ours = bpe_lm.Tokenizer(vocab, merges, [END_OF_TEXT])
    ours.save(tmp_path / "ours")
    theirs = transformers.AutoTokenizer.from_pretrained(str(tmp_path / "ours"))
    theirs.save_pretrained(str(tmp_path / "theirs"))
    assert bpe_lm.Tokenizer.load(tmp_path / "theirs").sha256 == ours.sha256
    theirs.pad_token = END_OF_TEXT
    for number, options in enumerate(
        [{"truncation": True, "max_length": 3}, {"padding": "max_length", "max_length": 9}]
    ):
        theirs(["a b the then", "a"], **options)
        theirs.save_pretrained(str(tmp_path / str(number)))
        with pytest.warns(UserWarning, match=r"tokenizer\.json: its (truncation|padding) is left out") as caught:
            loaded = bpe_lm.Tokenizer.load(tmp_path / str(number))
        assert len(caught) == 1
        assert loaded.sha256 == ours.sha256
        assert loaded.encode("a b the then") == ours.encode("a b the then")
