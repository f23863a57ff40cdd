"""Count files from Python and the command line: shards, sums, weights, training, and what is refused."""

import gzip
import json
import os
import random
import re
import signal
import subprocess
import sys
import time
from decimal import Decimal

import bpe_lm
import naive_bpe
import pytest
from bpe_lm import errors
from bpe_lm.cli.main import main

END_OF_TEXT = "<|endoftext|>"


@pytest.fixture(scope="module")
def files(sample, tmp_path_factory):
    """Stories as text, as JSON lines and as gzip."""
    folder = tmp_path_factory.mktemp("texts")
    text = sample.read_text()[:300_000]
    third = len(text) // 3
    paths = [folder / "a.txt", folder / "b.jsonl", folder / "c.txt.gz"]
    paths[0].write_text(text[:third])
    lines = [json.dumps({"text": part}) for part in text[third : 2 * third].split(END_OF_TEXT)]
    paths[1].write_text("\n".join(lines))
    paths[2].write_bytes(gzip.compress(text[2 * third :].encode()))
    return paths


@pytest.mark.parametrize("number", [1, 2, 5])
def test_shards_in_any_order_add_up_to_the_whole(files, tmp_path, number):
    whole = bpe_lm.count_pretokens(files, tmp_path / "whole", [END_OF_TEXT])
    shards = [tmp_path / f"{i}" for i in range(number)]
    for i, path in enumerate(shards):
        bpe_lm.count_pretokens(files, path, [END_OF_TEXT], shard=(i, number), threads=1 + i % 2)
    random.Random(number).shuffle(shards)
    merged = bpe_lm.merge_counts(shards, tmp_path / "merged")
    assert (tmp_path / "merged").read_bytes() == (tmp_path / "whole").read_bytes()
    assert merged.as_dict() | {"path": ""} == whole.as_dict() | {"path": ""}
    assert bpe_lm.open_counts(tmp_path / "merged") == merged


def test_the_tokenizer_of_the_sum_is_that_of_the_texts_and_of_the_oracle(sample, tmp_path):
    text = sample.read_bytes()[:100_000]
    (tmp_path / "text").write_bytes(text)
    for i in range(3):
        bpe_lm.count_pretokens(tmp_path / "text", tmp_path / f"{i}", [END_OF_TEXT], shard=(i, 3))
    counts = bpe_lm.merge_counts([tmp_path / f"{i}" for i in (2, 0, 1)], tmp_path / "all")
    vocab, merges, training = bpe_lm.train_and_record(counts, 257 + 100, counts.special_tokens)
    assert (vocab, merges) == bpe_lm.train_bpe(tmp_path / "text", 257 + 100, [END_OF_TEXT])
    assert merges == naive_bpe.train([text], 100, [END_OF_TEXT])
    assert training["num_bytes"] == len(text)
    assert counts.num_pretokens == training["num_pretokens"]
    assert counts.num_distinct_pretokens == training["num_distinct_pretokens"]
    iterated = bpe_lm.count_pretokens(iter([text]), tmp_path / "iterated", [END_OF_TEXT])
    assert (tmp_path / "iterated").read_bytes() == (tmp_path / "all").read_bytes()
    assert repr(iterated).endswith(f"{counts.num_distinct_pretokens:,} distinct of {counts.num_pretokens:,} pretokens)")


def test_counts_keep_their_pattern_and_no_other_is_accepted(tmp_path):
    counts = bpe_lm.count_pretokens(iter(["12345 12345"]), tmp_path / "c", ["b", "a"], pattern="cl100k")
    assert (counts.pattern, counts.special_tokens) == ("cl100k", ["a", "b"])
    vocab, _ = bpe_lm.train_bpe(counts, 300, ["b", "a"])
    assert [vocab[id] for id in list(vocab)[-2:]] == [b"b", b"a"]
    assert b"12345" not in vocab.values()
    for tokens, options, message in [
        (
            ["a", "b"],
            {"pattern": "gpt2"},
            'the pattern "cl100k"; the training has the pattern "gpt2"; train',
        ),
        (["a"], {}, 'the special tokens ["a", "b"]; the training has the special tokens ["a"]; train'),
    ]:
        with pytest.raises(errors.CountFileError, match=re.escape(message)):
            bpe_lm.train_bpe(counts, 300, tokens, **options)
    with pytest.raises(errors.OptionError, match="counted already"):
        bpe_lm.train_bpe(counts, 300, ["a", "b"], json_field="x")


@pytest.mark.parametrize("weight", [2.5, "2.5", Decimal("2.50")])
def test_a_weighted_source_counts_more(tmp_path, weight):
    bpe_lm.count_pretokens(iter(["ab ab ab"]), tmp_path / "a")
    bpe_lm.count_pretokens(iter(["cd cd cd"]), tmp_path / "b")
    merged = bpe_lm.merge_counts([tmp_path / "a", tmp_path / "b"], tmp_path / "sum", weights={tmp_path / "b": weight})
    assert merged.num_pretokens == 3 + 3 + 5  # 2.5 becomes 3, and 2 x 2.5 is 5.
    assert bpe_lm.train_bpe(merged, 257, [])[1] == [(b"c", b"d")]
    small = bpe_lm.merge_counts(tmp_path / "b", tmp_path / "small", weights={tmp_path / "b": 1e-3})
    assert (small.num_distinct_pretokens, small.num_bytes) == (0, 8)


def test_counts_of_64_bits_are_exact_and_greater_ones_are_errors(tmp_path):
    path, double = tmp_path / "c", tmp_path / "double"
    bpe_lm.count_pretokens(iter(["x"]), path)
    bpe_lm.merge_counts(path, path, weights={path: 2**32}, force=True)
    assert bpe_lm.open_counts(path).num_pretokens == 2**32
    bpe_lm.merge_counts(path, path, weights={path: 2**31}, force=True)
    assert bpe_lm.open_counts(path).num_pretokens == 2**63
    with pytest.raises(OverflowError, match="the count of a pretoken exceeds 18446744073709551615"):
        bpe_lm.merge_counts([path, path], double)
    with pytest.raises(errors.LimitExceeded, match="times its weight is 2.64 or more; choose a smaller weight"):
        bpe_lm.merge_counts(path, double, weights={path: 2})
    assert not double.exists()
    with pytest.raises(errors.LimitExceeded, match="the number of bytes in the corpus"):
        bpe_lm.train_bpe(bpe_lm.open_counts(path), 257, [])


def test_bad_arguments_are_typed_errors(files, tmp_path):
    out = tmp_path / "out"
    counts = bpe_lm.count_pretokens(files[0], tmp_path / "c")
    bad = [
        (errors.OptionError, "2/2", lambda: bpe_lm.count_pretokens(files, out, shard=(2, 2))),
        (errors.OptionError, "-1/2", lambda: bpe_lm.count_pretokens(files, out, shard=(-1, 2))),
        (errors.ArgumentTypeError, "two ints", lambda: bpe_lm.count_pretokens(files, out, shard=3)),
        (errors.OptionError, "shard", lambda: bpe_lm.count_pretokens(iter(["a"]), out, shard=(0, 2))),
        (errors.OptionError, "threads", lambda: bpe_lm.count_pretokens(files, out, threads=0)),
        (errors.CorpusError, "missing", lambda: bpe_lm.count_pretokens("missing", out)),
        (errors.OutputExists, "force", lambda: bpe_lm.count_pretokens(files, tmp_path / "c")),
        (errors.OutputExists, "texts", lambda: bpe_lm.count_pretokens(files, files[0], force=True)),
        (errors.OutputExists, "directory", lambda: bpe_lm.count_pretokens(files, tmp_path)),
        (errors.CountFileError, "not a count file", lambda: bpe_lm.open_counts(files[0])),
        (errors.CountFileError, "directory", lambda: bpe_lm.open_counts(tmp_path)),
        (errors.FileError, "missing", lambda: bpe_lm.open_counts("missing")),
        (errors.OptionError, "none of|not one of", lambda: bpe_lm.merge_counts(counts.path, out, weights={"x": 2})),
        (errors.OptionError, "weight", lambda: bpe_lm.merge_counts(counts.path, out, weights={counts.path: -1.5})),
        (errors.OptionError, "weight", lambda: bpe_lm.merge_counts(counts.path, out, weights={counts.path: "1e3"})),
        (
            errors.ArgumentTypeError,
            "weight",
            lambda: bpe_lm.merge_counts(counts.path, out, weights={counts.path: None}),
        ),
        (errors.OptionError, "count files", lambda: bpe_lm.merge_counts([], out)),
    ]
    for error, message, call in bad:
        with pytest.raises(error, match=message) as caught:
            call()
        assert not isinstance(caught.value, errors.InternalError)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["c"]


def test_progress_reports_bytes_then_pretokens(files, tmp_path):
    calls = []
    counts = bpe_lm.count_pretokens(files, tmp_path / "c", progress=lambda *call: calls.append(call))
    size = sum(path.stat().st_size for path in files)
    assert ("count", size, size) in calls
    assert calls[-1] == ("sum", counts.num_distinct_pretokens, counts.num_distinct_pretokens)


# A limit of memory


@pytest.fixture(scope="module")
def many_words(tmp_path_factory):
    """1.3 million words, nearly all different: counted without a limit they take 68 MiB or more in any order."""
    path, rng = tmp_path_factory.mktemp("words") / "words.txt", random.Random(1)
    with path.open("w") as file:
        for _ in range(130):
            file.write("".join(f" {rng.randrange(36**6):x}z" for _ in range(10_000)) + END_OF_TEXT)
    return path


MEASURED = """
import sys
from bpe_lm.cli.main import main
from bpe_lm.machine import peak_memory
status = main(sys.argv[1:])
print(peak_memory())
sys.exit(status)
"""


def peak_of(*arguments):
    command = [sys.executable, "-c", MEASURED, *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=200, check=False)
    assert done.returncode == 0, done.stderr
    return int(done.stdout.split()[-1])


@pytest.mark.skipif(not os.path.exists("/proc/self/status"), reason="the system does not say what a process holds")
def test_within_a_limit_of_memory_the_file_is_the_same(many_words, tmp_path):
    arguments = ["count", many_words, "--special-token", END_OF_TEXT, "--threads", 2, "--quiet", "-o"]
    unlimited = peak_of(*arguments, tmp_path / "all")
    limit = 52 << 20
    limited = peak_of(*arguments, tmp_path / "limited", "--memory-limit", "52MiB")
    assert (tmp_path / "limited").read_bytes() == (tmp_path / "all").read_bytes()
    assert limited <= 1.1 * limit < unlimited
    assert sorted(path.name for path in tmp_path.iterdir()) == ["all", "limited"]


def test_a_limit_that_is_too_small_is_refused_with_the_least_one(many_words, tmp_path):
    with pytest.raises(MemoryError, match=r"counting needs \d+ MiB of memory, and the limit is 1 MiB") as caught:
        bpe_lm.count_pretokens(many_words, tmp_path / "c", memory_limit=1 << 20)
    assert isinstance(caught.value, errors.MemoryLimitExceeded)
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(errors.MemoryLimitExceeded, match="counting needs"):
        bpe_lm.train_bpe(many_words, 300, [], memory_limit=1 << 20)
    for wrong in (0, -1, 2**63):
        with pytest.raises(errors.OptionError, match="memory_limit"):
            bpe_lm.count_pretokens(many_words, tmp_path / "c", memory_limit=wrong)


def test_a_shard_of_a_pipe_and_special_tokens_without_room_are_refused_before_anything_is_made(sample, tmp_path):
    pipe, out = tmp_path / "pipe", tmp_path / "folder" / "out"
    os.mkfifo(pipe)
    tokenizer = bpe_lm.Tokenizer(*bpe_lm.train_bpe(sample, 300, []))
    for refused in (
        lambda: bpe_lm.count_pretokens(pipe, out, shard=(0, 2)),
        lambda: tokenizer.encode_file(pipe, out, shard=(0, 2)),
    ):
        with pytest.raises(errors.OptionError, match="no known length"):
            refused()
    with pytest.raises(errors.LimitExceeded, match="the length of the special tokens"):
        bpe_lm.count_pretokens(sample, out, ["x" * (16 << 20)])
    assert not out.parent.exists()


def test_within_a_limit_a_text_of_an_iterator_that_does_not_fit_is_refused(tmp_path):
    with pytest.raises(errors.MemoryLimitExceeded, match="counting needs") as caught:
        bpe_lm.count_pretokens(iter(["a"]), tmp_path / "c", memory_limit=1 << 20)
    limit = int(re.search(r"needs (\d+) MiB", str(caught.value)).group(1)) + 60 << 20
    short, long = ["a b"] * 3, "word " * 2_000_000
    assert bpe_lm.count_pretokens(iter(short), tmp_path / "c", memory_limit=limit).num_pretokens == 6
    for texts in ([*short, long], [*short, long.encode()], [*short, bytearray(long.encode())]):
        with pytest.raises(errors.LimitExceeded, match=r"text number 3 \(from 0\): a text,.* is longer than \d+ bytes"):
            bpe_lm.count_pretokens(iter(texts), tmp_path / "d", memory_limit=limit)


@pytest.mark.skipif(sys.platform != "linux", reason="the limit of open files is that of Linux")
def test_within_a_limit_few_files_are_open(tmp_path):
    """Each line is a run of its own."""
    rng = random.Random(2)
    lines = "\n".join("".join(rng.choices("abcdefgh", k=20_000)) for _ in range(300))
    (tmp_path / "lines.txt").write_text(lines)
    code = f"""
import re, resource
import bpe_lm
resource.setrlimit(resource.RLIMIT_NOFILE, (128, 128))
def count(out, **options):
    return bpe_lm.count_pretokens({str(tmp_path / "lines.txt")!r}, {str(tmp_path)!r} + out, threads=1, **options)
try:
    count("/none", memory_limit=1 << 20)
except MemoryError as error:
    least = int(re.search(r"needs (\\d+) MiB", str(error)).group(1))
count("/limited", memory_limit=least + 2 << 20)
count("/all")
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=200, check=False)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "limited").read_bytes() == (tmp_path / "all").read_bytes()


def test_training_within_a_limit_learns_the_same_or_says_what_it_needs(many_words, sample, tmp_path):
    expected = bpe_lm.train_bpe(sample, 400, [END_OF_TEXT])
    assert bpe_lm.train_bpe(sample, 400, [END_OF_TEXT], memory_limit=1 << 34) == expected
    counts = bpe_lm.count_pretokens(many_words, tmp_path / "c")
    with pytest.raises(errors.MemoryLimitExceeded, match=r"learning merges from these counts needs \d+ MiB") as caught:
        bpe_lm.train_bpe(counts, 300, [], memory_limit=1 << 20)
    needed = int(re.search(r"needs (\d+) MiB", str(caught.value)).group(1))
    train = [
        "train-tokenizer",
        "--from-counts",
        counts.path,
        "--vocab-size",
        "2000",
        "--quiet",
        "--out",
        tmp_path / "t",
    ]
    assert peak_of(*train, "--threads", 2) <= 1.1 * (needed << 20)


# The command line


def test_the_three_commands(files, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    texts, special = [str(path) for path in files], ["--special-token", END_OF_TEXT]
    for i in range(3):
        assert main(["count", *texts, *special, "--shard", f"{i}/3", "-o", f"part{i}.counts", "--quiet"]) == 0
    assert main(["count", "--merge", "part2.counts", "part0.counts", "part1.counts", "-o", "all.counts", "--json"]) == 0
    shown = json.loads(capsys.readouterr().out.partition("{")[2].join(["{", ""]))
    assert shown["special_tokens"] == [END_OF_TEXT]
    train = ["train-tokenizer", "--vocab-size", "500", "--quiet"]
    capsys.readouterr()
    assert main([*train, "--from-counts", "all.counts", "--out", "one"]) == 0
    assert "pretokenize and count" not in capsys.readouterr().out
    assert main([*train, *texts, *special, "--out", "two"]) == 0
    assert "pretokenize and count" in capsys.readouterr().out
    for name in ("vocab.json", "merges.txt", "tokenizer.json"):
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes()


@pytest.mark.parametrize(
    ("arguments", "status", "message"),
    [
        (["count", "text", "-o", "c", "--shard", "3/3"], 2, "0 to N - 1"),
        (["count", "text", "-o", "c", "--shard", "x"], 2, "I/N"),
        (["count", "text", "-o", "c", "--weight", "a=2"], 1, "--merge"),
        (["count", "text", "-o", "c", "--merge", "--weight", "2"], 2, "FILE=2.5"),
        (["count", "text", "-o", "c", "--merge", "--pattern", "gpt2"], 1, "--pattern"),
        (["count", "text", "-o", "c", "--merge"], 1, "not a count file"),
        (["count", "text"], 2, "--out"),
        (["train-tokenizer", "--vocab-size", "300", "--out", "t"], 1, "--from-counts"),
        (["train-tokenizer", "text", "--from-counts", "text", "--vocab-size", "300", "--out", "t"], 1, "either"),
    ],
)
def test_usage_errors(tmp_path, monkeypatch, capsys, arguments, status, message):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "text").write_text(
        "a text that is longer than the header of a count file, which has eighty bytes or more"
    )
    try:
        found = main(arguments)
    except SystemExit as ended:
        found = ended.code
    assert (found, message in capsys.readouterr().err) == (status, True)
    assert [path.name for path in tmp_path.iterdir()] == ["text"]


@pytest.mark.parametrize("name", [signal.SIGKILL, signal.SIGINT])
def test_a_killed_count_leaves_nothing_that_could_be_read(large_sample, tmp_path, name):
    """The text is that of half a gigabyte, so the signal comes while it is counted."""
    command = [sys.executable, "-m", "bpe_lm", "count", large_sample, "-o", tmp_path / "c", "--quiet"]
    with subprocess.Popen([str(word) for word in command], stderr=subprocess.PIPE) as child:
        deadline = time.monotonic() + 60
        while not any(tmp_path.iterdir()) and time.monotonic() < deadline:
            time.sleep(0.01)
        child.send_signal(name)
        child.wait(60)
    assert child.returncode == (130 if name == signal.SIGINT else -name)
    for path in tmp_path.iterdir():
        assert (name, path.name == "c") == (signal.SIGKILL, False)
        with pytest.raises(errors.CountFileError):
            bpe_lm.open_counts(path)
    bpe_lm.count_pretokens(iter(["a"]), tmp_path / "c")
    assert os.path.getsize(tmp_path / "c") > 0
