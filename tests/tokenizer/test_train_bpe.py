"""train_bpe from Python: against the oracle, for every kind of input, with progress, Ctrl-C and bad arguments."""

import gc
import itertools
import os
import random
import re
import signal
import subprocess
import sys
import threading
import time

import bpe_lm
import naive_bpe
import numpy as np
import pytest
from bpe_lm import errors
from hypothesis import given, settings
from hypothesis import strategies as st

END_OF_TEXT = "<|endoftext|>"


def test_matches_the_oracle_on_stories(sample):
    text = sample.read_bytes()[:200_000]
    vocab, merges = bpe_lm.train_bpe(iter([text]), 257 + 100, [END_OF_TEXT])
    assert merges == naive_bpe.train([text], 100, [END_OF_TEXT])
    assert vocab == dict(enumerate([*(bytes([b]) for b in range(256)), *map(b"".join, merges), END_OF_TEXT.encode()]))


@settings(max_examples=150, deadline=None)
@given(
    st.lists(st.text("ab 'é\n<|>", max_size=40), min_size=1, max_size=4).filter(any),
    st.sampled_from([[], ["<|>"], ["<", "<|"], ["a b"]]),
    st.integers(1, 3),
)
def test_matches_the_oracle_on_any_text(texts, special_tokens, threads):
    encoded = [text.encode() for text in texts]
    vocab, merges = bpe_lm.train_bpe(iter(texts), 300, special_tokens, threads=threads)
    assert merges == naive_bpe.train(encoded, 44 - len(special_tokens), special_tokens)
    assert list(vocab) == list(range(256 + len(merges) + len(special_tokens)))


def test_every_kind_of_input_gives_the_same(sample, tmp_path):
    text = sample.read_text()
    expected = bpe_lm.train_bpe(sample, 500, [END_OF_TEXT])
    documents = text.split(END_OF_TEXT)
    halves = [END_OF_TEXT.join(documents[:500]), END_OF_TEXT.join(documents[500:])]
    paths = [tmp_path / "a", tmp_path / "b"]
    for path, half in zip(paths, halves, strict=True):
        path.write_text(half)
    for source in (
        str(sample),
        [sample],
        paths,
        tuple(reversed(paths)),
        iter([text]),
        iter([text.encode()]),
        iter([bytearray(text.encode())]),
        (document for document in documents),
        iter(halves),
    ):
        assert bpe_lm.train_bpe(source, 500, [END_OF_TEXT]) == expected


def test_each_item_is_one_text():
    _, merges = bpe_lm.train_bpe(iter(["a", "b"] * 100), 300, [])
    assert merges == []


@pytest.mark.parametrize("pattern", ["gpt2", "cl100k", "o200k", r"\w+|\W+", r"[^\s]+"])
def test_options(pattern):
    texts = ["aaaa aaaa bb cd cd cd"]

    def train(**options):
        return bpe_lm.train_bpe(iter(texts), 300, [], pattern=pattern, **options)[1]

    assert all(len(a + b) <= 2 for a, b in train(max_token_length=2))
    assert len(train(min_frequency=3)) < len(train())
    assert train(min_frequency=100) == []


def test_each_known_pattern_merges_what_the_others_keep_apart():
    texts = ["12345678 don't iPhone\n"] * 10

    def tokens(pattern):
        vocab, _ = bpe_lm.train_bpe(iter(texts), 400, [], pattern=pattern)
        return set(vocab.values())

    longest = {"gpt2": b"12345678", "cl100k": b" iPhone", "o200k": b" don't"}
    assert longest["gpt2"] in tokens("gpt2")
    assert longest["gpt2"] not in tokens("cl100k") | tokens("o200k")
    assert longest["cl100k"] in tokens("gpt2") & tokens("cl100k")
    assert longest["cl100k"] not in tokens("o200k")
    assert longest["o200k"] in tokens("o200k")
    assert longest["o200k"] not in tokens("gpt2") | tokens("cl100k")


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"vocab_size": 256}, errors.VocabTooSmall, "minimum 257"),
        ({"vocab_size": -1}, errors.VocabTooSmall, "-1"),
        ({"vocab_size": 1 << 40}, errors.VocabTooLarge, "1099511627776"),
        ({"special_tokens": [""]}, errors.SpecialTokenError, "empty"),
        ({"special_tokens": ["a", "b", "a"]}, errors.SpecialTokenError, "twice"),
        ({"special_tokens": "<|endoftext|>"}, TypeError, "list"),
        ({"pattern": "(a"}, errors.PatternError, "does not compile"),
        ({"pattern": r"(a*)*b\1"}, errors.PatternError, "gave up at byte 0 of text number 0"),
        ({"tie_break": "random"}, errors.OptionError, '"bytes" or "hf"'),
        ({"threads": 0}, errors.OptionError, "at least 1"),
        ({"threads": 100_000}, errors.OptionError, "1024"),
        ({"min_frequency": 0}, errors.OptionError, "at least 1"),
        ({"max_token_length": -1}, errors.OptionError, "at least 1"),
        ({"input_path": "no/such/file"}, errors.CorpusError, "no/such/file"),
        ({"input_path": ["once upon a time"]}, errors.CorpusError, "iter(texts)"),
        ({"input_path": "."}, errors.CorpusError, "a directory"),
        ({"input_path": "/dev/null"}, errors.CorpusError, "device"),
        ({"input_path": []}, errors.CorpusError, "empty"),
        ({"input_path": iter([])}, errors.CorpusError, "generator used twice"),
        ({"input_path": iter(["", ""])}, errors.CorpusError, "empty"),
        ({"input_path": b"once"}, TypeError, "bytes"),
        ({"input_path": [b"once"]}, TypeError, "iter(texts)"),
        ({"input_path": iter([1])}, TypeError, "int"),
        ({"input_path": iter(["ok", "\ud800"])}, errors.CorpusError, "text number 1"),
        ({"input_path": 7}, TypeError, "int"),
        ({"input_path": None}, errors.ArgumentTypeError, "the corpus is of type NoneType; give a path"),
        ({"input_path": iter([None])}, errors.ArgumentTypeError, "text number 0 (from 0) is of type NoneType"),
        ({"vocab_size": "300"}, errors.ArgumentTypeError, "vocab_size is of type str; give an int"),
        ({"vocab_size": 300.0}, errors.ArgumentTypeError, "vocab_size is of type float; give an int"),
        ({"vocab_size": None}, errors.ArgumentTypeError, "vocab_size is of type NoneType; give an int"),
        ({"vocab_size": True}, errors.ArgumentTypeError, "vocab_size is of type bool"),
        ({"special_tokens": None}, errors.ArgumentTypeError, "special_tokens is of type NoneType; give a list of str"),
        ({"special_tokens": [b"a"]}, errors.ArgumentTypeError, "special_tokens[0] is of type bytes; give a str"),
        ({"special_tokens": ["\ud800"]}, errors.ArgumentTypeError, "surrogate"),
        ({"threads": "2"}, errors.ArgumentTypeError, "threads is of type str; give an int"),
        ({"min_frequency": None}, errors.ArgumentTypeError, "min_frequency is of type NoneType; give an int"),
        ({"max_token_length": 2.5}, errors.ArgumentTypeError, "max_token_length is of type float; give an int"),
        ({"pattern": 7}, errors.ArgumentTypeError, "pattern is of type int; give a str"),
        ({"tie_break": 1}, errors.ArgumentTypeError, "tie_break is of type int; give a str"),
        ({"input_format": 1}, errors.ArgumentTypeError, "input_format is of type int; give a str"),
        ({"progress": "yes"}, errors.ArgumentTypeError, "progress is of type str; give True, False or a function"),
    ],
)
def test_bad_arguments_are_typed_errors(arguments, error, message):
    good = {"input_path": iter(["a" * 200]), "vocab_size": 300, "special_tokens": [END_OF_TEXT]}
    with pytest.raises(error, match=re.escape(message)) as caught:
        bpe_lm.train_bpe(**(good | arguments))
    assert not isinstance(caught.value, errors.InternalError)


def test_integers_of_numpy_are_integers():
    expected = bpe_lm.train_bpe(iter(["ab ab"]), 258, [])
    assert bpe_lm.train_bpe(iter(["ab ab"]), np.int64(258), [], min_frequency=np.uint8(1)) == expected


@pytest.mark.parametrize("token", ["(", "é", "Ġthe", "Ġ", "\u00e4\u00b8"])
def test_special_tokens_that_could_not_be_saved_are_refused_before_the_work(token, tmp_path):
    def never():
        pytest.fail("a text was asked for")
        yield ""

    special = [END_OF_TEXT, token]
    with pytest.raises(errors.SpecialTokenError, match=re.escape(f'special token "{token}" (number 1)')):
        bpe_lm.train_and_record(never(), 300, special)
    vocab, merges = bpe_lm.train_bpe(iter(["(the) the 中文中 é"] * 9), 290, special)
    if token != "\u00e4\u00b8":  # One merge of two bytes is learned in other texts.
        with pytest.raises(errors.FormatError, match="would both be written"):
            bpe_lm.Tokenizer(vocab, merges, special).save(tmp_path / "t")


def test_special_tokens_that_can_be_saved_are(tmp_path):
    special = ["the", "<é>", "éé", "naïve", "()", " (", "中", "\n", " ", "Ġ\n"]
    texts = ["(the) the 中文中 é\n\n \n éé naïve () ( (Ġ\nthen"] * 9
    vocab, merges, training = bpe_lm.train_and_record(iter(texts), 400, special)
    tokenizer = bpe_lm.Tokenizer(vocab, merges, special)
    tokenizer.save(tmp_path, training=training)
    loaded = bpe_lm.Tokenizer.load(tmp_path)
    assert loaded.sha256 == tokenizer.sha256
    assert loaded.encode(texts[0]) == naive_bpe.encode(texts[0].encode(), vocab, merges, special)


def test_errors_are_also_the_builtins_that_callers_catch():
    assert issubclass(errors.CorpusError, OSError)
    assert issubclass(errors.OptionError, ValueError)
    assert issubclass(errors.ArgumentTypeError, TypeError)
    assert issubclass(errors.TextError, UnicodeError)
    assert issubclass(errors.FormatError, ValueError)
    assert issubclass(errors.OutputExists, FileExistsError)


def test_an_empty_file_is_named(tmp_path):
    (tmp_path / "empty.txt").touch()
    with pytest.raises(errors.CorpusError, match=r"empty\.txt is empty"):
        bpe_lm.train_bpe(tmp_path / "empty.txt", 300, [])


def test_an_iterators_error_comes_out_as_it_is():
    def texts():
        yield "a text"
        raise KeyError("mine")

    with pytest.raises(KeyError, match="mine"):
        bpe_lm.train_bpe(texts(), 300, [])


def test_progress_reports_bytes_then_merges(sample):
    calls = []
    bpe_lm.train_bpe(sample, 1000, [END_OF_TEXT], progress=lambda *call: calls.append(call))
    size = sample.stat().st_size
    assert ("count", size, size) in calls
    assert calls[-1] == ("merge", 743, 743)
    assert [stage for stage, _, _ in calls] == sorted(stage for stage, _, _ in calls)
    assert all(done <= total for _, done, total in calls if total is not None)


@pytest.mark.row("R27")
def test_a_progress_callback_that_raises_stops_the_work(sample):
    def fail(*_):
        raise ZeroDivisionError("mine")

    with pytest.raises(ZeroDivisionError, match="mine"):
        bpe_lm.train_bpe(sample, 1000, [], progress=fail)
    assert bpe_lm.train_bpe(sample, 300, [])


@pytest.mark.row("R27")
def test_a_progress_callback_may_train(sample):
    nested = []
    bpe_lm.train_bpe(sample, 1000, [], progress=lambda *_: nested.append(bpe_lm.train_bpe(iter(["abab"]), 258, [])[1]))
    assert set(map(tuple, nested)) == {((b"a", b"b"), (b"ab", b"ab"))}


def num_threads() -> int:
    return len(os.listdir("/proc/self/task")) if os.path.exists("/proc/self/task") else threading.active_count()


@pytest.fixture
def no_finalizers():
    """Python drops a KeyboardInterrupt that is raised in a finalizer, so none of another test's may run meanwhile."""
    gc.collect()
    gc.disable()
    yield
    gc.enable()


@pytest.mark.row("R6")
@pytest.mark.parametrize("source", ["file", "iterator", "regex", "slow regex", "not text", "many specials", "merging"])
def test_ctrl_c_returns_within_a_second_and_leaves_no_worker(large_sample, source, no_finalizers):
    patterns = {"regex": r"\p{L}+| ?[^\s\p{L}]+|\s+", "slow regex": r"[a-z]+(?=[0-9])|[a-z]", "not text": r"\p{L}+"}
    options = {"pattern": patterns[source]} if source in patterns else {}
    special_tokens = []
    if source == "many specials":
        options, special_tokens = {"pattern": r"\w+|\W+"}, [f"abc{i}" for i in range(200)]
    rng = random.Random(1)
    words = " ".join("".join(rng.choices("abcdefghijkl", k=12)) for _ in range(200_000 if source == "merging" else 1))

    def train_until_interrupted():
        while True:
            corpus = {
                "iterator": lambda: itertools.repeat("text, again and again\n"),
                "merging": lambda: iter([words]),
                "slow regex": lambda: iter([("a" * 60_000 + "\n") * 20]),
                "not text": lambda: iter([b"\xff" * 100_000_000]),
                "many specials": lambda: iter(["ab " * 10_000_000]),
            }.get(source, lambda: large_sample)
            bpe_lm.train_bpe(corpus(), 60_000, special_tokens, **options)

    before = num_threads()
    sent = []

    def interrupt():
        time.sleep(0.7)
        sent.append(time.monotonic())
        os.kill(os.getpid(), signal.SIGINT)

    thread = threading.Thread(target=interrupt)
    thread.start()
    with pytest.raises(KeyboardInterrupt):
        train_until_interrupted()
    assert time.monotonic() - sent[0] < 1.0
    thread.join()
    time.sleep(0.1)  # A joined thread's entry may outlive it by some microseconds.
    assert num_threads() <= before
    assert bpe_lm.train_bpe(iter(["abab"]), 257, [])[1] == [(b"a", b"b")]


def test_other_python_threads_run_meanwhile(large_sample):
    ticks = []
    stop = threading.Event()

    def tick():
        while not stop.wait(0.01):
            ticks.append(time.monotonic())

    thread = threading.Thread(target=tick)
    thread.start()
    start = time.monotonic()
    bpe_lm.train_bpe(large_sample, 1000, [END_OF_TEXT])
    end = time.monotonic()
    stop.set()
    thread.join()
    during = [start, *(tick for tick in ticks if start <= tick <= end), end]
    assert len(during) > 10
    assert max(b - a for a, b in itertools.pairwise(during)) < 0.5


@pytest.mark.row("R24")
@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork")
def test_works_after_fork(sample):
    code = f"""
import os, bpe_lm
expected = bpe_lm.train_bpe({str(sample)!r}, 400, [])
for _ in range(3):
    pid = os.fork()
    if pid == 0:
        os._exit(bpe_lm.train_bpe({str(sample)!r}, 400, []) != expected)
    assert os.waitpid(pid, 0)[1] == 0
"""
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)


def test_import_is_light():
    code = "import sys, bpe_lm; print([m for m in ('numpy', 'rich', 'torch', 'IPython') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert done.stdout.strip() == "[]"
