"""Encode the same texts with GPT-2's vocabulary by each public encoder, in turns, each run in a process of its own.

    python -m pip install '.[compare]' tiktoken==0.14.0 tokie==0.1.4
    python benches/compare/encoders.py --vocab vocab.json --merges merges.txt CORPUS.txt --threads 1 2 --rounds 5

Prints Markdown tables for six jobs. "Cold" is the first call of a fresh tokenizer, with everything imported; "warm" is
the best of the calls behind it; "peak" is resident memory after the first. Files are in the page cache.

file        a text file to a file of uint16. Ours is checksummed and synced to disk, too; the others' are as numpy
            leaves them. gigatoken and tokie drop the separators, so those are not compared.
memory      a text without special tokens to an array of uint32
documents   a list of texts of some 200 bytes to ids, in the form that a tool gives
single      a text of 20, 200 or 5,000 characters to ids, all tools in one process, some hundred texts again and again
small       a text of 140 bytes to a megabyte to an array and to a list, and batches of short texts, all tools in one
            process, the same texts again and again; only the tools that give arrays without Python's lists
start       import, construction from files, first "Hello world"

tiktoken and HF tokenizers get the first --slice MB only, in pieces. "x gigatoken" is how many times as many bytes a
second: by the least seconds of all rounds / by the medians. All ids are compared to ours. Except for tokie's, which are
known to differ, one that differs makes the exit status 1.
"""

import argparse
import base64
import gc
import hashlib
import importlib.metadata
import importlib.util
import json
import os
import re
import resource
import subprocess
import sys
import sysconfig
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import cache, partial
from importlib import import_module
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple

END_OF_TEXT = "<|endoftext|>"
PATTERN = r"""'(?:[sdmt]|ll|ve|re)| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"""
JOBS = ["file", "memory", "documents", "single", "small", "start"]
LIMIT = {
    "file": sys.maxsize,
    "memory": 1_000_000_000,
    "documents": 100_000_000,
    "single": 5_000_000,
    "small": 30_000_000,
}
LENGTHS = [20, 200, 5000]
# Of each row of `small`: the kind of call, the texts of a call, their length, and the number of different calls.
SMALL = [
    ("array", 1, 140, 200),
    ("array", 1, 4096, 100),
    ("array", 1, 65536, 12),
    ("array", 1, 1 << 20, 3),
    ("list", 1, 140, 200),
    ("list", 1, 4096, 100),
    ("list", 1, 65536, 12),
    ("list", 1, 1 << 20, 3),
    ("batch", 32, 140, 20),
    ("batch", 512, 140, 5),
    ("batch", 64, 4096, 5),
]
Run = dict[str, Any]


def pieces(path: Path, size: int = 100_000) -> list[str]:
    """Cut a text where white space begins. GPT-2's pattern cuts there as well, so that no id changes."""
    text, found, start = path.read_bytes(), [], 0
    border = re.compile(rb"(?<=[!-~\xb0-\xbf])[ \n]")  # No white space ends in the bytes B0 to BF.
    while start < len(text):
        match = border.search(text, start + size)
        end = match.start() if match else len(text)
        found.append(text[start:end].decode())
        start = end
    return found


def documents(path: Path) -> list[str]:
    return re.split(f"(?<={re.escape(END_OF_TEXT)})", path.read_bytes().decode())


def bpe_lm(folder: Path) -> Run:
    import bpe_lm

    tokenizer = bpe_lm.Tokenizer.from_files(folder / "vocab.json", folder / "merges.txt", [END_OF_TEXT])
    return {
        "file": lambda path, out, threads: tokenizer.encode_file(path, out, force=True, threads=threads),
        "memory": lambda text, threads: tokenizer.encode_to_numpy(text, threads=threads),
        "documents": lambda texts, threads: tokenizer.encode_batch(texts, threads=threads),
        "flat": lambda result: result[0],
        "single": {"bpe_lm": tokenizer.encode},
        "small": {
            "array": tokenizer.encode_to_numpy,
            "list": tokenizer.encode,
            "batch": tokenizer.encode_batch,
        },
    }


def gigatoken(folder: Path) -> Run:
    """Prepare gigatoken. Its fastest way to take one text is `encode_files`; on one thread's first call, `encode`."""
    import gigatoken

    tokenizer = gigatoken.Tokenizer(folder / "tokenizer.json")

    def flat(result: Any) -> Any:
        return import_module("awkward").flatten(result).to_numpy()

    def file(path: Path, out: Path, threads: int) -> None:
        source = gigatoken.TextFileSource([path], separator=END_OF_TEXT.encode())
        flat(tokenizer.encode_files(source, parallel=threads > 1)).astype("uint16").tofile(out)

    return {
        "file": file,
        "memory": lambda text, threads: (
            tokenizer.encode(text) if type(text) is bytes else flat(tokenizer.encode_files(text, parallel=True))
        ),
        "documents": lambda texts, threads: tokenizer.encode_batch(texts, parallel=threads > 1),
        "flat": flat,
        "single": {"gigatoken": tokenizer.encode},
        "small": {
            "array": tokenizer.encode,
            "list": lambda text: tokenizer.encode(text).tolist(),
            "batch": tokenizer.encode_batch,
        },
    }


def snaptokens(folder: Path) -> Run:
    import numpy
    import snaptokens

    tokenizer = snaptokens.Tokenizer.from_file(str(folder / "tokenizer.json"))

    def encode(texts: list[str], threads: int = 0) -> Any:
        return numpy.frombuffer(tokenizer.encode_batch_flat(texts)[0], "uint32")

    return {
        "file": lambda path, out, threads: encode(documents(path)).astype("uint16").tofile(out),
        "memory": encode,
        "documents": lambda texts, threads: tokenizer.encode_batch_flat(texts),
        "flat": lambda result: numpy.frombuffer(result[0], "uint32"),
        "single": {"snaptokens": lambda text: tokenizer.encode(text).ids},
        "small": {
            "array": lambda text: encode([text]),
            "list": lambda text: tokenizer.encode(text).ids,
            "batch": tokenizer.encode_batch_flat,
        },
    }


def tokie(folder: Path) -> Run:
    import tokie

    tokenizer = tokie.Tokenizer.from_json(str(folder / "tokenizer.json"))

    def whole(path: Path) -> Any:
        return tokenizer.encode_files([str(path)], END_OF_TEXT.encode(), False)[0]

    return {
        "file": lambda path, out, threads: whole(path).astype("uint16").tofile(out),
        "memory": lambda texts, threads: tokenizer.encode_batch_flat(texts, False)[0],
        "documents": lambda texts, threads: tokenizer.encode_batch_flat(texts, False),
        "flat": lambda result: result[0],
        "single": {"tokie": lambda text: tokenizer.encode(text, False).ids},
    }


def tiktoken(folder: Path) -> Run:
    import tiktoken

    # Its own reader wants a package for files in the cloud; its rule is one line.
    lines = (line.split() for line in (folder / "tokenizer.tiktoken").read_bytes().splitlines())
    ranks = {base64.b64decode(token): int(rank) for token, rank in lines}
    tokenizer = tiktoken.Encoding("gpt2", pat_str=PATTERN, mergeable_ranks=ranks, special_tokens={END_OF_TEXT: 50256})

    def memory(texts: list[str], threads: int) -> Any:
        with ThreadPoolExecutor(threads) as pool:
            ids = pool.map(partial(tokenizer.encode_to_numpy, allowed_special="all"), texts)
            return import_module("numpy").concatenate(list(ids))

    return {
        "file": lambda path, out, threads: memory(documents(path), threads).astype("uint16").tofile(out),
        "memory": memory,
        "documents": lambda texts, threads: tokenizer.encode_ordinary_batch(texts, num_threads=threads),
        "flat": lambda result: [id for ids in result for id in ids],
        "single": {
            "tiktoken, encode": partial(tokenizer.encode, allowed_special="all"),
            "tiktoken, encode_ordinary": tokenizer.encode_ordinary,
        },
    }


def huggingface(folder: Path) -> Run:
    import tokenizers

    tokenizer = tokenizers.Tokenizer.from_file(str(folder / "tokenizer.json"))

    def encode(texts: list[str], threads: int = 0) -> Any:
        return tokenizer.encode_batch_fast(texts, add_special_tokens=False)

    def flat(found: Any) -> Any:
        numpy = import_module("numpy")
        return numpy.concatenate([numpy.array(encoding.ids, "uint32") for encoding in found])

    return {
        "file": lambda path, out, threads: flat(encode(documents(path))).astype("uint16").tofile(out),
        "memory": lambda texts, threads: flat(encode(texts)),
        "documents": encode,
        "flat": flat,
        "single": {"HF tokenizers": lambda text: tokenizer.encode(text, add_special_tokens=False).ids},
    }


class Tool(NamedTuple):
    construct: Callable[[Path], Run]
    package: str
    memory_input: Callable[[Path], Any] = pieces
    slow: bool = False


TOOLS = {
    "bpe_lm": Tool(bpe_lm, "bpe_lm", Path.read_bytes),
    "gigatoken": Tool(gigatoken, "gigatoken", Path),
    "snaptokens": Tool(snaptokens, "snaptokens"),
    "tokie": Tool(tokie, "tokie"),
    "tiktoken": Tool(tiktoken, "tiktoken", slow=True),
    "HF tokenizers": Tool(huggingface, "tokenizers", slow=True),
}
NAMES = list(TOOLS)
TOOLS["gigatoken, encode"] = Tool(gigatoken, "gigatoken", Path.read_bytes)


def run_calls(task: Run, folder: Path) -> Run:
    """A cold call and warm ones of `file`, `memory` or `documents`, and what came out."""
    tool, job, path, threads = TOOLS[task["tool"]], task["job"], Path(task["path"]), task["threads"]
    if tool.package == "tokie" and hasattr(os, "sched_setaffinity"):  # No option; it heeds how many CPUs it may use.
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:threads])
    numpy = import_module("numpy")
    if tool.package == "gigatoken":
        import_module("awkward")
    out = folder / "out.bin"
    inputs = {"file": lambda path: path, "memory": tool.memory_input, "documents": partial(pieces, size=200)}
    arguments = [inputs[job](path), *([out] if job == "file" else []), threads]
    calls = tool.construct(folder)
    seconds, peak, result = [], 0, None
    for _ in range(1 + task["calls"]):
        result = None  # Let go of the last one before the clock starts.
        out.unlink(missing_ok=True)
        start = time.perf_counter()
        result = calls[job](*arguments)
        seconds.append(time.perf_counter() - start)
        peak = peak or resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
    flat = numpy.fromfile(out, "uint16") if job == "file" else calls["flat"](result) if job == "documents" else result
    ids = numpy.asarray(flat, "uint32")
    text_ids = ids[ids != 50256]
    digest = hashlib.sha256(text_ids).hexdigest()
    found = {"tokens": len(text_ids), "separators": len(ids) - len(text_ids), "ids": digest}
    return {"cold": seconds[0], "warm": min(seconds[1:], default=None), "peak": peak, **found}


def run_single(task: Run, folder: Path) -> Run:
    """Microseconds a call for each length: the median of many turns, each over some hundred texts."""
    calls = {name: call for tool in task["tools"] for name, call in TOOLS[tool].construct(folder)["single"].items()}
    ours = bpe_lm(folder)["single"]["bpe_lm"]
    corpus = Path(task["path"]).read_bytes().decode()
    results: dict[str, Run] = {name: {"different": 0} for name in calls}
    gc.disable()
    for length in LENGTHS:
        starts = range(0, len(corpus), max(1, (len(corpus) - length) // 200))
        texts = [corpus[start : start + length] for start in starts][:200]
        turns: dict[str, list[float]] = {name: [] for name in calls}
        for name, call in calls.items():
            results[name]["different"] += sum(list(call(text)) != ours(text) for text in texts)
        for _ in range(task["turns"]):
            for name, call in calls.items():
                start = time.perf_counter()
                for text in texts:
                    call(text)
                turns[name].append((time.perf_counter() - start) / len(texts) * 1e6)
        for name, microseconds in turns.items():
            results[name][str(length)] = median(microseconds)
    return results


def run_small(task: Run, folder: Path) -> Run:
    """Microseconds a call for each row of `SMALL`: the median of many turns."""
    tools = {name: made for name in task["tools"] if "small" in (made := TOOLS[name].construct(folder))}
    ours, numpy = bpe_lm(folder)["small"]["list"], import_module("numpy")
    corpus = Path(task["path"]).read_bytes()
    results: dict[str, Run] = {name: {"different": 0} for name in tools}
    gc.disable()
    for kind, number, length, count in SMALL:
        every = max(1, (len(corpus) - length) // (number * count))
        texts = [corpus[i * every :][:length].decode(errors="ignore") for i in range(number * count)]
        inputs = texts if number == 1 else [texts[i::count] for i in range(count)]
        turns: dict[str, list[float]] = {name: [] for name in tools}
        for name, made in tools.items():
            for given in inputs:
                expected = ours(given) if number == 1 else [i for text in given for i in ours(text)]
                found = made["small"][kind](given)
                flat = made["flat"](found) if number > 1 else found
                results[name]["different"] += not numpy.array_equal(numpy.asarray(flat), expected)
        for _ in range(task["turns"]):
            for name, made in tools.items():
                call = made["small"][kind]
                start = time.perf_counter()
                for given in inputs:
                    call(given)
                turns[name].append((time.perf_counter() - start) / count * 1e6)
        for name, microseconds in turns.items():
            results[name][f"{kind}, {number} x {length:,}"] = median(microseconds)
    return results


def run_start(task: Run, folder: Path) -> Run:
    tool = TOOLS[task["tool"]]
    begin = time.perf_counter()
    import_module(tool.package)
    imported = time.perf_counter()
    encode = next(iter(tool.construct(folder)["single"].values()))
    constructed = time.perf_counter()
    encode("Hello world")
    end = time.perf_counter()
    return {"import": imported - begin, "construction": constructed - imported, "first call": end - constructed}


def run_save(task: Run, folder: Path) -> None:
    tokenizer = import_module("bpe_lm").Tokenizer.from_files(task["vocab"], task["merges"], [END_OF_TEXT])
    if tokenizer.special_ids != {END_OF_TEXT: 50256}:
        raise SystemExit(f"{task['vocab']} is not GPT-2's")
    tokenizer.save(folder)


def measure(folder: Path, job: str, **task: Any) -> Run:
    """Run a task in a process of its own."""
    environment = os.environ | {"RAYON_NUM_THREADS": str(task.get("threads", os.cpu_count()))}
    command = [sys.executable, __file__, "--child", json.dumps({"job": job, "folder": str(folder), **task})]
    child = subprocess.run(command, capture_output=True, text=True, env=environment)
    if child.returncode:
        raise SystemExit(f"{job} {task.get('tool', '')} failed with status {child.returncode}\n{child.stderr}")
    return json.loads(child.stdout.splitlines()[-1])


def in_turns(names: list[str], rounds: int, run: Callable[[str], Run]) -> dict[str, list[Run]]:
    """Everyone once a round, and each round begins with another one."""
    runs: dict[str, list[Run]] = {name: [] for name in names}
    for first in range(rounds):
        for name in (names * 2)[first % len(names) :][: len(names)]:
            runs[name].append(run(name))
    return runs


@cache
def prepared(source: Path, folder: Path, limit: int, strip: bool) -> Path:
    """The first lines, with special tokens or without. Read in blocks: a child's peak begins at its parent's."""
    if not strip and source.stat().st_size <= limit:
        return source
    end = END_OF_TEXT.encode()
    with source.open("rb") as text, tempfile.NamedTemporaryFile(dir=folder, delete=False) as out:
        while (left := limit - out.tell()) > 0 and (lines := text.readlines(min(left, 1 << 22))):
            block = b"".join(lines)
            out.write(block.replace(end + b"\n", b"").replace(end, b"") if strip else block)
    return Path(out.name)


@cache
def expected(folder: Path, job: str, path: Path) -> Run:
    ours = measure(folder, job, tool="bpe_lm", path=str(path), threads=os.cpu_count(), calls=0)
    with path.open("rb") as text:
        separators = sum(line.count(END_OF_TEXT.encode()) for line in text)
    if ours["separators"] != separators:
        raise SystemExit(f"{path} has {separators} separators, and our ids of it {ours['separators']}")
    return ours


def verdict(run: Run, ours: Run) -> str:
    if run["ids"] != ours["ids"]:
        more = run["tokens"] - ours["tokens"]
        return f"differs by {more:+,} of {ours['tokens']:,}" if more else f"differs, {ours['tokens']:,} as well"
    if run["separators"] not in (0, ours["separators"]):
        return f"differs by {run['separators'] - ours['separators']:+,} separators"
    return "same" if run["separators"] == ours["separators"] else "same, no separators"


def print_table(title: str, columns: list[str], rows: list[list[str]]) -> None:
    lines = [columns, ["---"] * len(columns), *rows]
    print("\n".join([f"\n{title}\n", *(f"| {' | '.join(line)} |" for line in lines)]), flush=True)


def compare(options: argparse.Namespace, folder: Path, job: str, corpus: Path, threads: int) -> list[Run]:
    """Compare the encoders at the job `file`, `memory` or `documents`."""
    other_way = job == "memory" and threads == 1 and "gigatoken" in options.tools
    names = options.tools + ["gigatoken, encode"] * other_way
    limits = {name: min(options.limit[job], options.slice if TOOLS[name].slow else sys.maxsize) for name in names}
    paths = {name: prepared(corpus, folder, limits[name], job != "file") for name in names}
    megabytes = {name: path.stat().st_size / 1e6 for name, path in paths.items()}

    def run(name: str) -> Run:
        ours = expected(folder, job, paths[name])
        found = measure(folder, job, tool=name, path=str(paths[name]), threads=threads, calls=options.calls)
        return found | {"verdict": verdict(found, ours)}

    runs = in_turns(names, options.rounds, run)
    columns = [(key, statistic) for key in ("cold", "warm") for statistic in (min, median)]
    seconds = {name: [statistic(run[key] for run in runs[name]) for key, statistic in columns] for name in names}
    speeds = {name: [megabytes[name] / value for value in seconds[name]] for name in names}
    base = [max(column) for column in zip(*(speeds[n] for n in names if n.startswith("gigatoken")), strict=True)]
    rows = []
    for name in names:
        times = [f"{speed / fastest:.2f}" for speed, fastest in zip(speeds[name], base, strict=False)] or ["-"] * 4
        cells = [f"{megabytes[name]:.1f}", *(f"{value:.3f}" for value in seconds[name]), f"{speeds[name][2]:.1f}"]
        cells += [" / ".join(times[:2]), " / ".join(times[2:])]
        peak = median(run["peak"] for run in runs[name]) / 1e6
        rows.append([name, *cells, f"{peak:.0f}", ", ".join(sorted({run["verdict"] for run in runs[name]}))])
    head = ["tool", "MB", "cold s, min", "median", "warm s, min", "median", "MB/s"]
    head += ["x gigatoken, cold", "warm", "peak, MB", "ids"]
    print_table(f"{job}: {corpus.name}, threads: {threads}", head, rows)
    about = {"job": job, "corpus": corpus.name, "threads": threads}
    return [{**about, "tool": name, "megabytes": megabytes[name], "runs": runs[name]} for name in names]


def compare_single(options: argparse.Namespace, folder: Path, corpus: Path) -> list[Run]:
    path = prepared(corpus, folder, options.limit["single"], True)
    task = {"tools": options.tools, "path": str(path), "turns": options.turns}
    runs = [measure(folder, "single", **task) for _ in range(options.rounds)]
    middle = {name: [median(run[name][str(length)] for run in runs) for length in LENGTHS] for name in runs[0]}
    base = [min(column) for column in zip(*(middle[n] for n in middle if n.startswith("tiktoken")), strict=True)]
    rows, results = [], []
    for name, values in middle.items():
        times = [f" ({fastest / value:.2f})" for value, fastest in zip(values, base, strict=False)] or [""] * 3
        different = runs[0][name]["different"]
        ids = f"differs in {different} texts" if different else "same"
        rows.append([name, *(f"{value:.2f}{ratio}" for value, ratio in zip(values, times, strict=True)), ids])
        of_name = [run[name] | {"verdict": ids} for run in runs]
        results.append({"job": "single", "corpus": corpus.name, "tool": name, "runs": of_name})
    head = ["tool", *(f"{length:,} characters" for length in LENGTHS), "ids"]
    print_table(f"single: {corpus.name}, microseconds a call (times as fast as tiktoken's faster way)", head, rows)
    return results


def compare_small(options: argparse.Namespace, folder: Path, corpus: Path) -> list[Run]:
    path = prepared(corpus, folder, options.limit["small"], True)
    task = {"tools": options.tools, "path": str(path), "turns": options.turns}
    runs = [measure(folder, "small", **task) for _ in range(options.rounds)]
    names = list(runs[0])
    keys = [key for key in runs[0][names[0]] if key != "different"]
    rows = []
    for key in keys:
        middle = {name: median(run[name][key] for run in runs) for name in names}
        fastest = min((value for name, value in middle.items() if name != "bpe_lm"), default=None)
        times = f"{fastest / middle['bpe_lm']:.2f}" if fastest and "bpe_lm" in middle else "-"
        rows.append([key, *(f"{middle[name]:.2f}" for name in names), times])
    title = f"small: {corpus.name}, microseconds a call (times as fast as the fastest other tool)"
    print_table(title, ["texts x bytes", *names, "times"], rows)
    verdicts = {n: f"differs in {d} calls" if (d := runs[0][n]["different"]) else "same" for n in names}
    print(f"\nids: {', '.join(f'{name} {ids}' for name, ids in verdicts.items())}")
    about = {"job": "small", "corpus": corpus.name}
    return [{**about, "tool": n, "runs": [run[n] | {"verdict": verdicts[n]} for run in runs]} for n in names]


def compare_start(options: argparse.Namespace, folder: Path) -> list[Run]:
    runs = in_turns(options.tools, options.rounds, lambda name: measure(folder, "start", tool=name))
    rows = []
    for name, of_name in runs.items():
        stages = [median(run[stage] for run in of_name) for stage in of_name[0]]
        totals = [sum(run.values()) for run in of_name]
        rows.append([name, *(f"{value:.3f}" for value in (*stages, min(totals), median(totals)))])
    print_table("start: seconds", ["tool", "import", "construction", "first call", "all, min", "median"], rows)
    return [{"job": "start", "tool": name, "runs": of_name} for name, of_name in runs.items()]


def write_code(path: Path) -> Path:
    """Python's standard library, a document a file."""
    with path.open("wb") as out:
        for source in sorted(Path(sysconfig.get_paths()["stdlib"]).rglob("*.py")):
            with suppress(UnicodeDecodeError):
                if "site-packages" not in source.parts:
                    out.write(f"{source.read_bytes().decode()}{END_OF_TEXT}\n".encode())
    return path


def installed(names: list[str]) -> list[str]:
    packages = list(dict.fromkeys(TOOLS[name].package for name in names))
    missing = [package for package in packages if not importlib.util.find_spec(package)]
    versions = [f"{package} {importlib.metadata.version(package)}" for package in packages if package not in missing]
    print(", ".join([*versions, f"Python {sys.version.split()[0]}", f"{os.cpu_count()} CPUs"]))
    print("".join(f"{package} is not installed, and left out\n" for package in missing), end="", flush=True)
    return [name for name in names if TOOLS[name].package not in missing]


def run_all(options: argparse.Namespace, folder: Path, results: list[Run]) -> None:
    measure(folder, "save", vocab=options.vocab, merges=options.merges)
    corpora = [Path(corpus) for corpus in options.corpus]
    for corpus in corpora:
        with corpus.open("rb") as text:
            try:
                while lines := text.readlines(1 << 22):
                    b"".join(lines).decode()
            except UnicodeDecodeError as error:
                raise SystemExit(f"{corpus} is not UTF-8: {error.reason}") from None
    for corpus in corpora + ([write_code(folder / "code.txt")] if options.code else []):
        for job in ("file", "memory", "documents"):
            for threads in options.threads if job in options.jobs else ():
                results += compare(options, folder, job, corpus, threads)
        if "single" in options.jobs:
            results += compare_single(options, folder, corpus)
        if "small" in options.jobs:
            results += compare_small(options, folder, corpus)
    if "start" in options.jobs:
        results += compare_start(options, folder)


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("corpus", nargs="*", help="text in UTF-8")
    parser.add_argument("--vocab", required=True, help="GPT-2's vocab.json")
    parser.add_argument("--merges", required=True, help="GPT-2's merges.txt")
    parser.add_argument("--code", action="store_true", help="one more corpus: Python's standard library")
    parser.add_argument("--jobs", nargs="+", choices=JOBS, default=JOBS)
    parser.add_argument("--tools", nargs="+", choices=NAMES, default=NAMES)
    parser.add_argument("--threads", nargs="+", type=int, default=[1, 2])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--calls", type=int, default=3, help="warm calls a process")
    parser.add_argument("--slice", type=float, default=10, metavar="MB", help="what the slow tools get")
    parser.add_argument(
        "--quick", action="store_true", help="one round on 5 MB (the slow ones: 1), to see that it works"
    )
    parser.add_argument("--json", metavar="FILE", help="every run")
    options = parser.parse_args()
    missing = [path for path in (options.vocab, options.merges, *options.corpus) if not Path(path).is_file()]
    if missing or min(options.rounds, options.calls, *options.threads) < 1:
        parser.error(f"no such file: {missing[0]}" if missing else "rounds, calls and threads begin at 1")
    if not options.corpus and not options.code and options.jobs != ["start"]:
        parser.error("give a corpus, or --code")
    options.slice, options.limit, options.turns = int(options.slice * 1e6), LIMIT, 15
    if options.quick:
        options.rounds = options.calls = 1
        options.slice, options.limit, options.turns = 1_000_000, dict.fromkeys(LIMIT, 5_000_000), 3
    return options


def main() -> None:
    if sys.argv[1:2] == ["--child"]:
        task = json.loads(sys.argv[2])
        run = {"single": run_single, "small": run_small, "start": run_start, "save": run_save}.get(
            task["job"], run_calls
        )
        return print(json.dumps(run(task, Path(task["folder"]))))
    options, results = arguments(), []
    options.tools = installed(options.tools)
    try:
        with tempfile.TemporaryDirectory() as folder:
            run_all(options, Path(folder), results)
    except KeyboardInterrupt:
        raise SystemExit("\ninterrupted") from None
    finally:
        if options.json:
            Path(options.json).write_text(json.dumps(results, indent=1) + "\n")
    runs = [(result["tool"], run.get("verdict", "")) for result in results for run in result["runs"]]
    if any(verdict.startswith("differs") for tool, verdict in runs if tool != "tokie"):
        raise SystemExit("\nIds DIFFER.")


if __name__ == "__main__":
    main()
