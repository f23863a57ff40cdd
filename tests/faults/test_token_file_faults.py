"""Whatever happens to a file of ids: kills, full disks, a second writer, changed texts, Ctrl-C, flipped bits, forks."""

import concurrent.futures
import contextlib
import errno
import itertools
import json
import multiprocessing
import os
import random
import signal
import threading
import time
import zlib
from pathlib import Path

import bpe_lm
import pytest
from bpe_lm import Tokenizer, _core, errors
from injection import (
    END_OF_TEXT,
    FULL,
    HALF,
    KILL,
    OTHER,
    STOP,
    TEAR,
    beginning,
    faults,
    files,
    is_refused,
    is_write,
    name_of,
    put,
    start,
    write_corpus,
)

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork, no kill")


def beside(out: Path, ending: str) -> Path:
    return out.with_name(out.name + ending)


def trio(out: Path) -> tuple[bytes, bytes, bytes]:
    return out.read_bytes(), beside(out, ".json").read_bytes(), beside(out, ".idx").read_bytes()


def readable(out: Path) -> tuple[bytes, bytes, bytes] | None:
    """A token file and what stands beside it, if a reader takes it for whole. Its documents can be read then."""
    try:
        tokens = bpe_lm.open_tokens(out)
    except (errors.TokenFileError, errors.FileError):
        return None
    assert len(tokens.documents) == bpe_lm.verify(out).documents
    return trio(out)


def others(out: Path) -> list[str]:
    """What is in a folder that has no file but a token file."""
    return sorted(set(os.listdir(out.parent)) - {out.name, out.name + ".json", out.name + ".idx"})


def interrupted(tokenizer: Tokenizer, out: Path, *texts: bytes) -> dict[str, bytes]:
    """What a run leaves that would have written `out` and is killed. Its journal has a line for the end of each text.

    Those are beginnings of the first file, up to a special token.
    """
    ids, said, _ = trio(out)
    nothing = {"documents": 0, "crc32": "00000000"}
    plan = json.loads(said) | {"count": 0, "text_bytes": 0, "skipped_lines": 0, "crc32": [], "index": nothing}
    separator = tokenizer.special_ids[END_OF_TEXT]
    start, size, num_blocks, lines = plan["data_offset"], plan["block_bytes"], 0, [plan]
    for text in texts:
        encoded = tokenizer.encode_to_numpy(text)
        count = len(encoded)
        positions = b"".join(n.to_bytes(8, "little") for n in range(count) if n == 0 or encoded[n - 1] == separator)
        index = {"documents": len(positions) // 8, "crc32": f"{zlib.crc32(positions):08x}"}
        begins = bool(encoded[-1] == separator)
        data = ids[start:][: count * {"uint16": 2, "uint32": 4}[plan["dtype"]]]
        sums = [zlib.crc32(data[at : at + size]) for at in range(0, len(data) + 1, size)]
        reached = {"source": 0, "offset": len(text), "text_bytes": len(text), "is_separated": True, "count": count}
        blocks = {"blocks": sums[num_blocks:-1], "tail": sums[-1], "skipped_lines": 0, "is_done": False}
        blocks |= {"index": index, "begins": begins}
        lines.append(reached | blocks)
        num_blocks = len(sums) - 1
    lines = [json.dumps(line).encode() for line in lines]
    journal = b"".join(b"%s %08x\n" % (line, zlib.crc32(line)) for line in lines)
    return {
        f"{out.name}.partial": bytes(start) + data + b"more",
        f"{out.name}.partial.idx": bytes(40) + positions + b"more",
        f"{out.name}.partial.journal": journal,
    }


# Kills at random moments.


ENCODE = """
import bpe_lm, json, sys
saved, paths, out, options = json.loads(sys.argv[1])
tokenizer = bpe_lm.Tokenizer.load(saved)
print("begun", flush=True)
tokenizer.encode_file(paths, out, threads=2, **options)
"""


@pytest.mark.row("R1", few=20, many=100)
def test_killed_at_random_moments_it_goes_on_to_the_same_file(sample, saved, tokenizer, tmp_path, cases):
    text = sample.read_bytes()
    paths = write_corpus(tmp_path / "corpus", text * 40, text * 5)
    tokenizer.encode_file(paths, tmp_path / "out.bin", threads=2)
    began = time.monotonic()
    tokenizer.encode_file(paths, tmp_path / "out.bin", threads=2, force=True)
    whole = time.monotonic() - began
    expected = trio(tmp_path / "out.bin")

    def kill_again_and_again(seed):
        rng, out, lines = random.Random(seed), tmp_path / str(seed) / "out.bin", 0
        out.parent.mkdir()
        left = cases.asked // 4
        while left:
            with start(ENCODE, saved, paths, out, {"resume": True}) as process:
                process.stdout.readline()
                time.sleep(rng.uniform(0, whole))
                if rng.random() < 0.5:
                    # A line of the journal is due once a second. Who sleeps for so long writes one when he wakes up.
                    process.send_signal(signal.SIGSTOP)
                    time.sleep(1.05)
                    process.send_signal(signal.SIGCONT)
                    time.sleep(rng.uniform(0.05, 0.05 + whole))
                process.kill()
            if process.returncode == 0:
                assert (trio(out), others(out)) == (expected, [])
                put(out.parent, {})
                continue
            assert process.returncode == -signal.SIGKILL
            assert readable(out) in (None, expected)
            journal = beside(out, ".partial.journal")
            lines = max(lines, len(journal.read_bytes().splitlines()) if journal.exists() else 0)
            left -= 1
        Tokenizer.load(saved).encode_file(paths, out, resume=True, threads=2)
        assert (trio(out), others(out)) == (expected, [])
        return lines

    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        lines = list(pool.map(kill_again_and_again, range(4)))
    assert max(lines) > 1, "no run was killed that had come beyond the first line of its journal"
    cases.found(cases.asked)


# A fault at every call, by faults.c.


class Scene:
    """A file to be written, what is there before, and what may be there after something went wrong.

    It is a "new" file; one with force over an "other" or the "same" file; one that goes on ("resume") with what a run
    has left; or one with force in place of that ("anew").
    """

    KINDS = ("new", "other", "same", "resume", "anew")

    def __init__(self, kind, folder, saved, paths, name="out.bin"):
        self.paths, self.out = paths, Path(folder) / "in" / name
        self.options = {"new": {}, "resume": {"resume": True}}.get(kind, {"force": True})
        self.tokenizer = Tokenizer.load(saved)
        self.faults = faults()
        put(self.out.parent, {})
        self.encode()
        self.old, self.new, self.before = None, trio(self.out), {}
        if kind == "other":
            self.encode(self.paths[:1], force=True)
        if kind in ("other", "same"):
            self.old, self.before = trio(self.out), files(self.out.parent)
        if kind in ("resume", "anew"):
            text = beginning(Path(self.paths[0]).read_bytes(), 150_000)
            self.before = interrupted(self.tokenizer, self.out, text)

    def encode(self, paths=None, **options):
        self.tokenizer.encode_file(paths or self.paths, self.out, threads=2, **options)

    def attempt(self, *arguments, **options):
        """The error, if there is one."""
        try:
            self.encode(*arguments, **options)
        except Exception as error:
            return error

    def calls(self) -> list[tuple[int, str]]:
        """The calls of a run in which nothing goes wrong, and their numbers."""
        put(self.out.parent, self.before)
        self.faults.faults_set(0, 0, 0)
        self.encode(**self.options)
        numbers = range(1, self.faults.faults_count() + 1)
        return [(n, self.faults.faults_call(n).decode().replace(" in/", " ")) for n in numbers]

    def first_write(self) -> int:
        return next(n for n, call in self.calls() if call == f"pwrite {self.out.name}.partial")

    def fork(self, *plans):
        """Begins a run in a process of its own."""
        ours, theirs = os.pipe()
        process = os.fork()
        if process == 0:
            self.faults.faults_set(*plans[0])
            for plan in plans[1:]:
                self.faults.faults_add(*plan)
            error = self.attempt(**self.options)
            os.write(theirs, f"{type(error).__name__} {error}".encode())
            os._exit(0)
        os.close(theirs)
        return process, ours

    def end(self, process, ours):
        """How it ended: with an error, with None, or "killed"."""
        with open(ours, "rb") as pipe:
            name, _, message = pipe.read().decode().partition(" ")
        _, status = os.waitpid(process, 0)
        if os.WIFSIGNALED(status):
            return "killed"
        return None if name == "NoneType" else getattr(errors, name, RuntimeError)(message)

    def problems(self, said, *recoveries):
        """What is not as it should be after a run that ended so, and after others that mend it."""
        if isinstance(said, Exception):
            folder = str(self.out.parent)
            if not isinstance(said, errors.FileError) or folder not in str(said):
                yield f"the error is {said!r}"
        found = readable(self.out)
        if found is None and self.old and said != "killed":
            yield "the old file is not there any more"
        if found not in (None, self.old, self.new):
            yield "something in between can be read"
        if said is None and (found != self.new or others(self.out)):
            yield f"it ends without an error, but there are {os.listdir(self.out.parent)}"
        there = files(self.out.parent)
        for recovery in recoveries:
            put(self.out.parent, there)
            again = self.attempt(**{recovery: True})
            if recovery == "resume" and found not in (None, self.new) and isinstance(again, errors.ResumeMismatch):
                continue  # It had not begun to replace the old file, which is of other texts.
            if again:
                yield f"{recovery} does not mend it: {again!r}"
            elif readable(self.out) != self.new:
                yield f"{recovery} makes another file of it"
            elif others(self.out):
                yield f"{recovery} leaves {others(self.out)}"


def fail_each_call(folder, saved, paths, kind, name):
    scene = Scene(kind, folder, saved, paths, name)
    calls, points, problems = dict(scene.calls()), 0, []
    for action in (errno.ENOSPC, errno.EIO, HALF, FULL):
        for n in itertools.count(1):
            if action < 0 and not is_write(calls.get(n, "write")):
                continue
            put(scene.out.parent, scene.before)
            scene.faults.faults_set(n, action, 0)
            said = scene.attempt(**scene.options)
            count = scene.faults.faults_count()
            scene.faults.faults_set(0, 0, 0)
            if count < n:
                assert said is None, said
                break
            points += 1
            found = [f"{said!r}"] if action == HALF and said else []
            found += scene.problems(said, ("resume", "force")[(n + action) % 2])
            problems += [f"{name_of(action)} at {calls[n]}: {problem}" for problem in found]
    print(json.dumps([points, problems]))


KINDS_AND_NAMES = list(zip(Scene.KINDS, itertools.cycle(["out.npy", "out.bin"]), strict=False))


@pytest.mark.row("R4")
@pytest.mark.parametrize(("kind", "name"), [*KINDS_AND_NAMES, ("new", "out.bin")])
def test_each_call_may_fail_and_nothing_is_lost(points, kind, name, cases):
    number = points(fail_each_call, kind, name)
    assert number >= 60
    cases.found(number)


def fail_two_calls(folder, saved, paths):
    """A rename fails, and then what comes first of undoing the others."""
    scene = Scene("other", folder, saved, paths)
    renames, problems = [(n, call) for n, call in scene.calls() if call.startswith("rename")], []
    for n, call in renames:
        put(scene.out.parent, scene.before)
        said = scene.end(*scene.fork((n, errno.EIO, 0), (n + 1, errno.ENOSPC, 0)))
        if "could not rename" not in str(said) or os.strerror(errno.EIO) not in str(said):
            problems.append(f"{call}: {said!r}")
    print(json.dumps([len(renames), problems]))


def test_of_two_calls_that_fail_the_first_is_reported(points):
    assert points(fail_two_calls) == 6


def kill_at_each_call(folder, saved, paths, kind, name):
    scene = Scene(kind, folder, saved, paths, name)
    points, problems = 0, []
    for n, call in scene.calls():
        for action in (KILL, TEAR) if is_write(call) else (KILL,):
            put(scene.out.parent, scene.before)
            said = scene.end(*scene.fork((n, action, 0)))
            assert said == "killed", said
            points += 1
            found = scene.problems(said, *(["resume"] if action == KILL else ["resume", "force"]))
            problems += [f"{name_of(action)} at {call}: {problem}" for problem in found]
    print(json.dumps([points, problems]))


@pytest.mark.row("R1")
@pytest.mark.parametrize(("kind", "name"), KINDS_AND_NAMES)
def test_killed_at_each_call_it_goes_on_to_the_same_file(points, kind, name, cases):
    number = points(kill_at_each_call, kind, name)
    assert number >= 30
    cases.found(number)


def run_side_by_side(scene, plans):
    """Runs that each wait for a second or so."""
    problems, folder = [], scene.out.parent
    for begin in range(0, len(plans), 16):
        runs = []
        for number, plan in enumerate(plans[begin : begin + 16]):
            scene.out = folder / str(number) / scene.out.name
            put(scene.out.parent, {})
            runs.append((plan, scene.out, scene.fork(*plan)))
        for plan, out, run in runs:
            said = scene.end(*run)
            scene.out = out
            found = scene.problems(said, "resume", "force")
            problems += [f"(call, action, milliseconds) {plan}, ends with {said!r}: {problem}" for problem in found]
    print(json.dumps([len(plans), problems]))


def fail_each_call_for_the_journal(folder, saved, paths):
    """The first write waits until the journal is due a line; then something goes wrong."""
    scene = Scene("new", folder, saved, paths)
    first = scene.first_write()
    points = itertools.product(range(first + 1, first + 9), (errno.EIO, FULL, KILL, TEAR))
    run_side_by_side(scene, [[(first, 0, 1200), (n, action, 0)] for n, action in points])


@pytest.mark.row("R4")
def test_each_call_for_the_journal_may_fail_or_be_the_last(points, cases):
    number = points(fail_each_call_for_the_journal)
    assert number == 32
    cases.found(number)


def fail_a_write_and_prolong_the_next(folder, saved, paths):
    """When a write fails the next chunk is ready, and to write that takes until the journal is due a line."""
    scene = Scene("new", folder, saved, paths)
    first = scene.first_write()
    points = itertools.product(range(first, first + 4), (errno.EIO, errno.ENOSPC))
    run_side_by_side(scene, [[(n, error, 200), (n + 1, 0, 1300)] for n, error in points])


@pytest.mark.row("R4")
def test_a_write_that_fails_while_another_goes_on_leaves_no_gap(points, cases):
    number = points(fail_a_write_and_prolong_the_next)
    assert number == 8
    cases.found(number)


# Two writers.


def stop_at_each_call(folder, saved, paths, kind, options):
    """Stops a run, lets another one try to write the same file, and lets the first one go on."""
    scene = Scene(kind, folder, saved, paths)
    points, problems, others_paths = 0, [], paths if "resume" in options else paths[:2]
    put(scene.out.parent, {})
    scene.encode(others_paths)
    others_trio = trio(scene.out)
    for n, call in scene.calls():
        put(scene.out.parent, scene.before)
        process, pipe = scene.fork((n, STOP, 0))
        os.waitid(os.P_PID, process, os.WSTOPPED | os.WEXITED | os.WNOWAIT)
        began = time.monotonic()
        other = scene.attempt(others_paths, **options)
        seconds = time.monotonic() - began
        os.kill(process, signal.SIGCONT)
        said = scene.end(process, pipe)
        points += 1
        may_be = [scene.new] if said is None else []
        may_be += [others_trio] if other is None else []
        if not may_be and scene.old:
            may_be = [scene.old]
        found = []
        if not isinstance(said, errors.OutputBusy | errors.OutputExists | None):
            found.append(f"the first ends with {said!r}")
        if not isinstance(other, errors.OutputBusy | errors.OutputExists | errors.ResumeMismatch | None) or seconds > 1:
            found.append(f"after {seconds:.1f} s the second ends with {other!r}")
        if said is other is None and not scene.options:
            found.append("the first replaced unasked what the second had written")
        if readable(scene.out) not in may_be or others(scene.out):
            there = list(files(scene.out.parent))
            found.append(f"the first ends with {said!r}, the second with {other!r}; there are {there}")
        problems += [f"a stop at {call}: {problem}" for problem in found]
    print(json.dumps([points, problems]))


@pytest.mark.parametrize(
    ("kind", "options"), [("new", {"force": True}), ("other", {"resume": True}), ("resume", {"resume": True})]
)
def test_two_writers_at_any_moment_do_not_spoil_each_others_file(points, kind, options):
    assert points(stop_at_each_call, kind, options) >= 30


@pytest.mark.parametrize("options", [{}, {"resume": True}, {"force": True}])
def test_a_second_writer_is_told_so_within_a_second(saved, tokenizer, sample, tmp_path, options):
    pipe, out = tmp_path / "pipe", tmp_path / "out.bin"
    os.mkfifo(pipe)
    with start(ENCODE, saved, [pipe], out, {}) as first:
        with open(pipe, "wb") as end:
            end.write(b"Once upon a time")
            end.flush()
            wait_for(beside(out, ".partial.journal"))
            began = time.monotonic()
            with pytest.raises(errors.OutputBusy, match=r"out\.bin.* is being written by another process"):
                tokenizer.encode_file(sample, out, **options)
            assert time.monotonic() - began < 1
            assert readable(out) is None
        assert first.wait(20) == 0
    assert bpe_lm.open_tokens(out).tolist() == tokenizer.encode("Once upon a time")
    assert bpe_lm.verify(out).sources == [{"name": str(pipe), "bytes": None, "modified_ns": None, "json_field": None}]
    assert sorted(os.listdir(tmp_path)) == ["out.bin", "out.bin.idx", "out.bin.json", "pipe"]


def wait_for(path):
    deadline = time.monotonic() + 20
    while not path.exists():
        assert time.monotonic() < deadline, f"{path} does not come"
        time.sleep(0.01)


# Texts and options that are not those of the run before.


@pytest.fixture
def left(tokenizer, sample, tmp_path):
    """A text, the file of its ids, of which a killed run has left a part, and what that file would be."""
    text = beginning(sample.read_bytes(), 10_000)
    path, out = tmp_path / "text.txt", tmp_path / "out" / "out.bin"
    path.write_bytes(text)
    tokenizer.encode_file(path, out)
    expected = trio(out)
    put(out.parent, interrupted(tokenizer, out, beginning(text, 5000)))
    return path, out, expected


def change_the_size(path):
    times = path.stat()
    path.write_bytes(path.read_bytes() + b"x")
    os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))


def change_the_time(path):
    os.utime(path, ns=(0, path.stat().st_mtime_ns + 1))


@pytest.mark.parametrize("change", [change_the_size, change_the_time])
def test_a_text_that_was_changed_is_not_gone_on_with(tokenizer, left, change):
    path, out, _ = left
    change(path)
    before = files(out.parent)
    with pytest.raises(errors.ResumeMismatch, match=r"out\.bin\.partial: .*text\.txt was changed since.*force"):
        tokenizer.encode_file(path, out, resume=True)
    assert files(out.parent) == before
    tokenizer.encode_file(path, out, force=True)
    assert bpe_lm.open_tokens(out).tolist() == tokenizer.encode(path.read_bytes())
    assert others(out) == []


@pytest.mark.parametrize("is_finished", [False, True])
def test_other_options_are_not_gone_on_with(sample, tokenizer, left, is_finished):
    path, out, expected = left
    special_tokens = [END_OF_TEXT, OTHER]
    another = Tokenizer(*bpe_lm.train_bpe(sample, 999, special_tokens), special_tokens)
    if is_finished:
        put(out.parent, {})
        tokenizer.encode_file(path, out)
    before = files(out.parent)
    for message, made_by, paths, options in [
        ("the tokenizer was", another, path, {}),
        ("the separator was", tokenizer, path, {"separator": OTHER}),
        ("the type of ids was", tokenizer, path, {"dtype": "uint32"}),
        ("the choice for special tokens was", tokenizer, path, {"special": "text"}),
        ("the list of files was", tokenizer, [path, path], {}),
        ("is read in another way", tokenizer, path, {"input_format": "jsonl"}),
    ]:
        with pytest.raises(errors.ResumeMismatch, match=message):
            made_by.encode_file(paths, out, resume=True, **options)
        assert files(out.parent) == before
    tokenizer.encode_file(path, out, resume=True)
    assert (trio(out), others(out)) == (expected, [])


def test_a_file_of_several_blocks_is_gone_on_with_and_checked(sample, tmp_path):
    tokenizer = Tokenizer({byte: bytes([byte]) for byte in range(256)}, [], [END_OF_TEXT])
    text = sample.read_bytes() * 10
    path, out = tmp_path / "text.txt", tmp_path / "out" / "out.npy"
    path.write_bytes(text)
    made = tokenizer.encode_file(path, out, dtype="uint32")
    assert len(made.crc32) == 2
    expected = trio(out)
    texts = [beginning(text, length) for length in (10_000_000, 17_000_000, 18_000_000)]
    put(out.parent, interrupted(tokenizer, out, *texts))
    tokenizer.encode_file(path, out, dtype="uint32", resume=True)
    assert (trio(out) == expected, others(out)) == (True, [])
    place = made.data_offset + made.block_bytes
    with open(out, "r+b") as file:
        file.seek(place + 5)
        file.write(b"x")
    with pytest.raises(errors.TokenFileError, match=f"bytes {place} to {len(expected[0])}"):
        bpe_lm.verify(out)


def test_what_a_run_has_left_is_not_overwritten_unasked(tokenizer, left):
    path, out, expected = left
    before = files(out.parent)
    with pytest.raises(errors.OutputExists, match=r"resume.*force"):
        tokenizer.encode_file(path, out)
    assert files(out.parent) == before
    tokenizer.encode_file(path, out, force=True)
    assert (trio(out), others(out)) == (expected, [])


def test_nothing_goes_on_from_a_pipe(tokenizer, sample, tmp_path):
    pipe, out = tmp_path / "pipe", tmp_path / "out" / "out.bin"
    os.mkfifo(pipe)
    for paths in (pipe, "-", [sample, pipe]):
        with pytest.raises(errors.OptionError, match="resume"):
            tokenizer.encode_file(paths, out, resume=True)
    assert not out.parent.exists()


def grow(path):
    with open(path, "ab") as file:
        file.write(b"more")


def shrink(path):
    os.truncate(path, 100)


@pytest.mark.parametrize("change", [grow, shrink, change_the_time, os.unlink])
@pytest.mark.parametrize("order", ["read already", "not read yet"])
def test_a_text_that_is_changed_while_it_is_encoded_is_an_error(tokenizer, sample, tmp_path, change, order):
    pipe, path, out = tmp_path / "pipe", tmp_path / "text.txt", tmp_path / "out" / "out.bin"
    os.mkfifo(pipe)
    path.write_bytes(sample.read_bytes())
    paths = [path, pipe] if order == "read already" else [pipe, path]

    def change_and_end():
        with open(pipe, "wb") as end:  # It is opened when it is its turn, and read until this ends.
            change(path)
            end.write(b"Once upon a time")

    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        done = pool.submit(change_and_end)
        with pytest.raises(errors.CorpusError, match=r"text\.txt"):
            tokenizer.encode_file(paths, out)
        done.result()
    assert not out.exists()
    assert not beside(out, ".json").exists()


# Ctrl-C.


def long_call(name, tokenizer, sample, folder):
    """A call that takes some seconds, at least."""
    text = sample.read_bytes()
    slow = Tokenizer(tokenizer.vocab, tokenizer.merges, tokenizer.special_tokens, pattern=r"\p{L}+|\P{L}+")
    large = folder / "large.bin"
    if name == "verify":
        tokenizer.encode_file(sample, large)
        said = beside(large, ".json")
        zeros = f"{zlib.crc32(bytes(1 << 26)):08x}"
        said.write_text(json.dumps(json.loads(said.read_text()) | {"count": 500 << 25, "crc32": [zeros] * 500}))
        os.truncate(large, 0)
        os.truncate(large, 500 << 26)
    return {
        "encode": lambda: slow.encode(text * 20),
        "encode_file": lambda: tokenizer.encode_file([sample] * 2000, large, force=True),
        "count_tokens": lambda: tokenizer.count_tokens([sample] * 2000),
        "encode_to_numpy": lambda: slow.encode_to_numpy(text * 40),
        "encode_batch": lambda: tokenizer.encode_batch(text.decode().split(END_OF_TEXT) * 1000, threads=2),
        "verify": lambda: bpe_lm.verify(large),
        "count_pretokens": lambda: bpe_lm.count_pretokens([sample] * 2000, folder / "counts", force=True),
    }[name]


def num_threads() -> int:
    return len(os.listdir("/proc/self/task")) if os.path.exists("/proc/self/task") else threading.active_count()


LONG_CALLS = ["encode", "encode_file", "count_tokens", "encode_to_numpy", "encode_batch", "verify", "count_pretokens"]


@pytest.mark.row("R6", few=2, many=20)
@pytest.mark.parametrize("name", LONG_CALLS)
def test_ctrl_c_at_any_moment_ends_a_call_within_a_second(tokenizer, sample, tmp_path, name, cases):
    call, rng = long_call(name, tokenizer, sample, tmp_path), random.Random(name)
    sent, before = [], num_threads()

    def interrupt(delay):
        time.sleep(delay)
        sent.append(time.monotonic())
        os.kill(os.getpid(), signal.SIGINT)

    for _ in cases:
        thread = threading.Thread(target=interrupt, args=[rng.uniform(0, 0.5)])
        thread.start()
        with pytest.raises(KeyboardInterrupt):
            call()
        assert time.monotonic() - sent[-1] < 1
        thread.join()
        time.sleep(0.1)  # A joined thread's entry may outlive it by some microseconds.
        assert num_threads() <= before
        assert tokenizer.decode(tokenizer.encode("Once upon a time")) == "Once upon a time"
    assert name == "verify" or readable(tmp_path / "large.bin") is None


# Files that are cut off or have flipped bits.


@pytest.fixture(params=["out.bin", "out.npy"])
def small(request, tokenizer, in_memory):
    """A text of some words, and the file of its ids."""
    path, out = in_memory / "text.txt", in_memory / "out" / request.param
    path.write_text(f"Once upon a time{END_OF_TEXT} there was{END_OF_TEXT} a dog, and a cat.{END_OF_TEXT}\n")
    tokenizer.encode_file(path, out)
    return path, out


def flipped(content: bytes, rng: random.Random) -> bytes:
    place = rng.randrange(len(content) * 8)
    changed = bytearray(content)
    changed[place // 8] ^= 1 << place % 8
    return bytes(changed)


@pytest.mark.row("R19")
def test_a_token_file_that_is_cut_off_is_refused(small, cases):
    _, out = small
    content = out.read_bytes()
    for length in range(len(content)):
        out.write_bytes(content[:length])
        for function in (bpe_lm.open_tokens, bpe_lm.verify):
            with pytest.raises(errors.TokenFileError, match="cut off"):
                function(out)
    cases.found(len(content))


@pytest.mark.row("R19")
def test_what_stands_beside_a_token_file_is_refused_when_it_is_cut_off(small, cases):
    _, out = small
    path, whole = beside(out, ".json"), bpe_lm.verify(out)
    content = path.read_bytes()
    for length in range(len(content)):
        path.write_bytes(content[:length])
        if is_refused(bpe_lm.verify, out):
            assert is_refused(bpe_lm.open_tokens, out)
        else:
            assert (length, bpe_lm.verify(out)) == (len(content) - 1, whole)
    cases.found(len(content))


@pytest.mark.row("R19")
@pytest.mark.parametrize("ending", [".partial.journal", ".partial", ".partial.idx"])
def test_what_an_interrupted_run_leaves_may_be_cut_off(tokenizer, small, ending, cases):
    path, out = small
    expected, left = trio(out), interrupted(tokenizer, out, beginning(path.read_bytes(), 20))
    mended = 0
    cases.asked = len(left[out.name + ending])
    for length in cases:
        put(out.parent, left | {out.name + ending: left[out.name + ending][:length]})
        if not is_refused(tokenizer.encode_file, path, out, resume=True, threads=1):
            assert (trio(out), others(out)) == (expected, [])
            mended += 1
    assert mended


@pytest.mark.row("R20", few=500, many=30_000)
def test_flipped_bits_beside_a_token_file_are_refused_or_do_not_matter(small, cases):
    _, out = small
    path, whole, ids, rng = beside(out, ".json"), bpe_lm.verify(out), bpe_lm.open_tokens(out).tolist(), random.Random(1)
    content = path.read_bytes()
    for _ in cases:
        path.write_bytes(flipped(content, rng))
        if not is_refused(bpe_lm.open_tokens, out):
            tokens = bpe_lm.open_tokens(out)
            assert (tokens.dtype, tokens.tolist()) == (whole.dtype, ids)
        if not is_refused(bpe_lm.verify, out):
            assert bpe_lm.verify(out).crc32 == whole.crc32


@pytest.mark.row("R20", few=500, many=30_000)
def test_a_flipped_bit_in_a_token_file_is_found(small, cases):
    _, out = small
    content, rng = out.read_bytes(), random.Random(2)
    for _ in cases:
        out.write_bytes(flipped(content, rng))
        with pytest.raises(errors.TokenFileError, match=r"damaged|are not what was written"):
            bpe_lm.verify(out)


@pytest.mark.row("R20", few=200, many=10_000)
def test_an_index_that_is_cut_off_or_has_a_flipped_bit_is_found(small, cases):
    _, out = small
    path, rng = beside(out, ".idx"), random.Random(4)
    content = path.read_bytes()
    assert len(content) == 40 + 8 * 4
    for _ in cases:
        path.write_bytes(flipped(content, rng))
        with pytest.raises(errors.TokenFileError, match=r"out.*idx.*encode its token file again"):
            bpe_lm.verify(out)
    for length in range(len(content)):
        path.write_bytes(content[:length])
        assert is_refused(lambda: bpe_lm.open_tokens(out).documents)
    path.unlink()
    assert len(bpe_lm.open_tokens(out)) > 0
    with pytest.raises(errors.TokenFileError, match="missing"):
        bpe_lm.open_tokens(out).documents.starts  # noqa: B018


@pytest.mark.row("R20", few=500, many=10_000)
def test_flipped_bits_in_a_journal_are_refused_or_do_not_matter(tokenizer, small, cases):
    path, out = small
    expected, left = trio(out), interrupted(tokenizer, out, beginning(path.read_bytes(), 20))
    journal, rng, mended = out.name + ".partial.journal", random.Random(3), 0
    for _ in cases:
        put(out.parent, left | {journal: flipped(left[journal], rng)})
        if not is_refused(tokenizer.encode_file, path, out, resume=True, threads=1):
            assert (trio(out), others(out)) == (expected, [])
            mended += 1
    assert mended


# Forks.


def check_ids(tokenizer, text, expected):
    """Ends the process, with 0 if the ids are right."""
    status = 1
    try:
        tokenizer = Tokenizer.load(tokenizer) if isinstance(tokenizer, str) else tokenizer
        large = tokenizer.encode_to_numpy(text * 20, threads=2)
        status = int(tokenizer.encode(text) != expected or large.tolist() != expected * 20)
    finally:
        os._exit(status)


@contextlib.contextmanager
def encoding_meanwhile(tokenizer, text):
    """A thread that encodes, briefly and for long, until this ends."""
    stop = threading.Event()

    def encode():
        while not stop.is_set():
            tokenizer.encode(text[:1000])
            tokenizer.encode(text)
            tokenizer.encode_to_numpy(text * 20, threads=2)

    thread = threading.Thread(target=encode)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


class Fork:
    """os.fork, as a process of multiprocessing."""

    def __init__(self, target, args):
        self.target, self.args, self.exitcode = target, args, None

    def start(self):
        self.pid = os.fork()
        if self.pid == 0:
            self.target(*self.args)

    def join(self, timeout):
        deadline = time.monotonic() + timeout
        while time.monotonic() < deadline and self.exitcode is None:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            if pid:
                self.exitcode = os.waitstatus_to_exitcode(status)
            time.sleep(0.01)

    def kill(self):
        if self.exitcode is None:
            os.kill(self.pid, signal.SIGKILL)
            os.waitpid(self.pid, 0)


@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
@pytest.mark.row("R24", few=1, many=10)
@pytest.mark.parametrize(("method", "number"), [("os.fork", 8), ("fork", 8), ("spawn", 2), ("forkserver", 2)])
def test_children_of_a_process_that_has_encoded_give_the_right_ids(saved, sample, method, number, cases):
    tokenizer = Tokenizer.load(saved)
    text = beginning(sample.read_bytes(), 100_000)
    expected = tokenizer.encode(text)
    tokenizer.encode_to_numpy(text * 20, threads=2)
    make = Fork if method == "os.fork" else multiprocessing.get_context(method).Process
    inherited = tokenizer if method in ("os.fork", "fork") else str(saved)
    for _ in cases:
        children = [make(target=check_ids, args=(inherited, text, expected)) for _ in range(number)]
        children[0].start()
        with encoding_meanwhile(tokenizer, text):
            for child in children[1:]:
                child.start()
        deadline = time.monotonic() + 20
        for child in children:
            child.join(max(deadline - time.monotonic(), 0.1))
        codes = [child.exitcode for child in children]
        for child in children:
            child.kill()
        assert codes == [0] * number
    cases.asked, cases.passed = number * cases.asked, number * cases.passed


@pytest.mark.row("R23", few=50, many=500)
@pytest.mark.parametrize("is_long", [False, True])
def test_a_panic_is_an_internal_error_and_the_next_call_is_right(tokenizer, sample, is_long, cases):
    """Not pyo3's own exception, which no `except Exception` catches."""
    text = beginning(sample.read_bytes(), 20_000)
    expected = tokenizer.encode(text)
    for _ in cases:
        with pytest.raises(errors.InternalError, match="internal error, please report it: on purpose"):
            _core.panic("on purpose", is_long)
        assert tokenizer.encode_to_numpy(text, threads=2).tolist() == expected
