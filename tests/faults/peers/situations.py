"""The situations, each run in a process of its own.

A situation takes the tool, the folder with a tokenizer and texts (scene.py), and what it is told. It says what it sees
in lines of JSON; the rest is seen from outside.
"""

import json
import multiprocessing
import os
import random
import resource
import threading
import time
import unicodedata

from tools import END_OF_TEXT, PATTERN, SCALE, Tiktoken, loaded

MIB = 1 << 20


def say(**facts):
    print(json.dumps(facts), flush=True)


# R6, Ctrl-C


def long_work(tool, folder, job):
    """A call that takes some seconds, and a short one that shows that the process is usable."""
    many = SCALE[tool.package][job]
    if job == "train":
        return lambda: tool.train([folder / "20mb.txt"] * many, 8000), lambda: tool.train([folder / "train.txt"], 300)
    tokenizer, part = loaded(tool, folder), (folder / "20mb.txt").read_text(encoding="utf-8")
    expected = list(tool.encode(tokenizer, part[:1000]))

    def works():
        assert list(tool.encode(tokenizer, part[:1000])) == expected

    if job == "encode":
        text = (part * (1 + many // 20))[: many * 1_000_000]
        return lambda: tool.encode(tokenizer, text), works
    if hasattr(tool, "encode_files"):
        return lambda: tool.encode_files(tokenizer, [folder / "20mb.txt"] * (many // 20), folder), works
    texts = (part.split(END_OF_TEXT) * (1 + many // 20))[: many * 1000]
    return lambda: tool.encode_many(tokenizer, texts), works


def ctrl_c(tool, folder, job):
    call, short_call = long_work(tool, folder, job)
    say(begun=time.monotonic())
    try:
        call()
    except KeyboardInterrupt:
        caught = time.monotonic()
        say(caught=caught)
    except BaseException as error:
        say(other=type(error).__name__)
    else:
        say(ended=time.monotonic())
    short_call()
    say(usable=True)


# R8, the ids of tiktoken


def classes_that_never_changed():
    """Characters whose class was the same in Unicode 3.2 and is today: no version of a library's tables matters."""
    old = unicodedata.ucd_3_2_0.category
    return [
        char
        for char in map(chr, range(0x11_0000))
        if (kind := unicodedata.category(char)) == old(char) and kind not in ("Cn", "Cs", "Co")
    ]


def random_texts(number, prose):
    rng, characters = random.Random(number), classes_that_never_changed()
    common = "  \n\t'aeiotrsAEIO0123.,!?-\r\n"
    for _ in range(number):
        kind = rng.random()
        if kind < 0.3:
            yield "".join(rng.choices(common, k=rng.randrange(1, 80)))
        elif kind < 0.6:
            start = rng.randrange(len(prose))
            yield prose[start : start + rng.randrange(1, 200)]
        else:
            yield "".join(rng.choice(characters if rng.random() < 0.5 else common) for _ in range(rng.randrange(1, 60)))


def same_ids(tool, folder, number):
    tokenizer = loaded(tool, folder)
    has_its_own = hasattr(tool, "same_in_tiktoken")
    judge = tool.same_in_tiktoken(tokenizer) if has_its_own else Tiktoken.read(folder, PATTERN)
    done, different, errors = 0, 0, {}
    for text in random_texts(number, (folder / "train.txt").read_text(encoding="utf-8").replace(END_OF_TEXT, "")):
        try:
            different += list(tool.encode(tokenizer, text)) != judge.encode_ordinary(text)
        except BaseException as error:
            errors[type(error).__name__] = errors.get(type(error).__name__, 0) + 1
        done += 1
    say(done=done, different=different, errors=errors)


# R14, texts made to be slow


FAMILIES = {
    "one letter": "a",
    "spaces": " ",
    "newlines": "\n",
    "digits": "7",
    "apostrophes": "'",
    "letter, space": "a ",
    "space, newline": " \n",
    "letter, digit": "a1",
    "contractions": "'s",
    "wide space, letter": "\u3000a",
    "Chinese": "\u4e2d\u6587\u5b57",
    "punctuation": "!?",
    "base64": "".join(random.Random(1).choices("ABCDEFGHabcdefgh0123456789+/", k=4096)),
    "letters in no order": "".join(random.Random(2).choices("abcdefghijklmnopqrstuvwxyz", k=4096)),
    "half a special token": "<|endoftext|",
}


def made_to_be_slow(tool, folder, job, family, cpu_seconds):
    """CPU seconds of all threads for half a MiB and for one, by a fresh tokenizer: the least of up to three times.

    What a program does once, such as to start its threads, comes before.
    """
    unit, path = FAMILIES[family], folder / f"slow-{os.getpid()}.txt"
    small, large, best = MIB // 2, MIB, {}

    def seconds(call, *arguments):
        begun = time.process_time()
        resource.setrlimit(resource.RLIMIT_CPU, (int(begun) + cpu_seconds + 1, resource.RLIM_INFINITY))
        call(*arguments)
        return time.process_time() - begun

    if job == "train":
        tool.train([folder / "small" / "small.txt"], 300)
    else:
        tool.encode(loaded(tool, folder), "Once upon a time, there was a dog. " * 10_000)
    for _ in range(3):
        for size in (small, large):
            text = unit * (size // len(unit.encode()))
            path.write_text(text, encoding="utf-8", newline="")
            found = (
                seconds(tool.train, [path], 300) if job == "train" else seconds(tool.encode, loaded(tool, folder), text)
            )
            best[size] = min(best.get(size, found), found)
            say(size=size, seconds=best[size])
        if best[large] <= max(2.5 * best[small], 0.2):
            break
    path.unlink()


# R17, memory


def kib(field):
    with open("/proc/self/status") as file:
        return next(int(line.split()[1]) for line in file if line.startswith(field))


def memory(tool, folder, job, megabytes):
    path = folder / f"{megabytes}mb.txt"
    tokenizer = loaded(tool, folder) if job != "train" else None
    reads_files = job == "train" or hasattr(tool, "encode_files")
    texts = [] if reads_files else path.read_text(encoding="utf-8").split(END_OF_TEXT)
    if job == "train":
        tool.train([folder / "train.txt"], 300)
    with open("/proc/self/clear_refs", "w") as file:
        file.write("5")  # The peak begins here.
    before = kib("VmRSS")
    if job == "train":
        tool.train([path], 8000)
    elif reads_files:
        found = tool.encode_files(tokenizer, [path], folder)
    else:
        found = tool.encode_many(tokenizer, texts)  # noqa: F841
    say(before=before * 1024, peak=kib("VmHWM") * 1024, size=path.stat().st_size)


# R19, files that are cut off


def cut_off(tool, folder, name, copy, start):
    """What comes of each prefix from number `start` on: said before and after, for the process may not survive it."""
    read, whole, text = tool.readers()[name], (folder / name).read_bytes(), (folder / "small.txt").read_text()
    (tokenizer,) = [read(folder)]
    expected = tool.size(tokenizer), list(tool.encode(tokenizer, text))
    ends = [at + 1 for at, byte in enumerate(whole[:-1]) if byte in b"\n,"]
    cuts = sorted({*range(0, len(whole), max(1, len(whole) // 400)), *ends[:: max(1, len(ends) // 200)]})
    for number, length in enumerate(cuts[start:], start):
        (copy / name).write_bytes(whole[:length])
        say(number=number, of=len(cuts))
        try:
            found = read(copy)
            result = "same" if (tool.size(found), list(tool.encode(found, text))) == expected else "another"
        except Exception as error:
            result = type(error).__name__
        except BaseException as error:
            result = f"panic: {type(error).__name__}"
        say(number=number, result=result)
    say(finished=True)


# R24, forked and spawned children


def as_ids(found):
    return json.loads(json.dumps(found, default=lambda value: value.tolist()))


def child_encodes(name, tokenizer, folder, texts, expected):
    from tools import TOOLS

    tool = TOOLS[name]
    tokenizer = loaded(tool, folder) if tokenizer is None else tokenizer
    os._exit(0 if as_ids(tool.encode_many(tokenizer, texts)) == expected else 1)


def child_trains(name, folder, expected):
    from tools import TOOLS

    os._exit(0 if repr(TOOLS[name].train([folder / "train.txt"], 500)) == expected else 1)


def children(tool, folder, name, method, job, number, patience):
    """Start children of a process that has used its threads, while one of its threads encodes, and wait for them."""
    context, meanwhile, stop = multiprocessing.get_context(method), None, threading.Event()
    if job == "train":
        expected = repr(tool.train([folder / "train.txt"], 500))
        made = [context.Process(target=child_trains, args=(name, folder, expected)) for _ in range(number)]
    else:
        texts = (folder / "train.txt").read_text(encoding="utf-8")[:300_000].split(END_OF_TEXT)
        tokenizer = loaded(tool, folder)
        expected, handed = as_ids(tool.encode_many(tokenizer, texts)), tokenizer
        if method == "spawn":
            try:
                multiprocessing.reduction.ForkingPickler.dumps(tokenizer)
            except Exception as error:
                say(unpicklable=type(error).__name__)
                handed = None
        arguments = (name, handed, folder, texts, expected)
        made = [context.Process(target=child_encodes, args=arguments) for _ in range(number)]

        def encode():
            while not stop.is_set():
                tool.encode_many(tokenizer, texts)

        meanwhile = threading.Thread(target=encode, daemon=True)
        meanwhile.start()
    for child in made:
        child.start()
    stop.set()
    deadline = time.monotonic() + patience
    for child in made:
        child.join(max(0.1, deadline - time.monotonic()))
    codes = [child.exitcode for child in made]
    say(right=codes.count(0), hung=codes.count(None), number=number)
    for child in made:
        child.kill()
    os._exit(0)


SITUATIONS = {
    "ctrl-c": ctrl_c,
    "same ids": same_ids,
    "made to be slow": made_to_be_slow,
    "memory": memory,
    "cut off": cut_off,
    "children": children,
}


def run(task):
    from pathlib import Path

    from tools import TOOLS

    tool, folder = TOOLS[task.pop("tool")], Path(task.pop("folder"))
    if "copy" in task:
        task["copy"] = Path(task["copy"])
    try:
        SITUATIONS[task.pop("situation")](tool, folder, **task)
    except BaseException as error:
        say(raised=f"{type(error).__name__}: {' '.join(str(error).split())[:70]}")
        raise SystemExit(1) from None
