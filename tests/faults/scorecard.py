"""Run every case of the scorecard, and write what happened to reliability.json and docs/reliability.md.

    python tests/faults/scorecard.py              as many cases as each row asks: takes half an hour (`make faults`)
    python tests/faults/scorecard.py --few        the cases of `make test`
    python tests/faults/scorecard.py --keep       take what earlier runs have recorded, and run nothing

A row has passed if each of its tests has, and no fewer cases ran than the row asks for. Without counts it has not
passed.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
RESULT = ROOT / "reliability.json"
PAGE = ROOT / "docs" / "reliability.md"
RECORD = ROOT / "target" / "reliability.jsonl"
RUST = ("adversarial", "counts", "fuzz", "memory", "merges", "pretokenize", "token_file", "train")
"""The Rust tests that have rows. The crate's own tests have some as well."""


@dataclass(frozen=True)
class Row:
    """A row: what is done, the cases asked for in all and in each run of the tests, and what must come of each."""

    name: str
    what: str
    asked: int
    each_run: int
    passes: str


ROWS = (
    Row(
        "R1", "kill -9 while encoding to a file, at random moments and at each call", 100, 20, "resumed: the same file"
    ),
    Row("R2", "kill -9 while training a tokenizer", 50, 10, "a whole tokenizer or none; the same when run again"),
    Row(
        "R3", "kill -9 while training a model (CPU, float32)", 30, 8, "losses and weights as uninterrupted, to the bit"
    ),
    Row("R4", "each call of a writer fails once, or the disk is full", 500, 100, "an error with the path; old or new"),
    Row("R6", "Ctrl-C at a random moment of a long call", 100, 10, "KeyboardInterrupt in 1 s; the process goes on"),
    Row("R8", "encode texts as tiktoken and tokenizers do, by three patterns", 1_000_000, 100_000, "the same ids"),
    Row(
        "R9", "scan as fancy-regex does: each code point, random strings", 24_000_000, 14_000_000, "the same pretokens"
    ),
    Row("R10", "train as the naive trainer and as tokenizers do", 2_020, 2_020, "the same merges"),
    Row("R11", "encode and decode random bytes", 1_000_000, 10_000, "the same bytes"),
    Row("R12", "cut a corpus in chunks of any size", 7_000, 7_000, "one result"),
    Row("R13", "work on 1 to 32 threads", 50, 50, "one result"),
    Row("R14", "texts that are made to be slow, of 64 MB and of 32", 330, 180, "at most 2.5 times the time"),
    Row("R15", "counts around 2^31, 2^32, 2^63, 2^64", 10, 10, "right, or a typed error"),
    Row("R16", "vocabularies of 65,534 to 65,537 tokens", 4, 4, "right, or a typed error"),
    Row(
        "R17",
        "the peak memory of counting and encoding, corpora of 2.2 and 12 GB",
        23,
        23,
        "within what docs/memory.md states",
    ),
    Row("R19", "every prefix of small files", 1_000, 1_000, "a typed error, or an equal object"),
    Row("R20", "flipped bits in token files, manifests, journals, checkpoints", 100_000, 1_000, "as above"),
    Row(
        "R21",
        "mutated inputs for each parser, the scanner, the encoder",
        100_000,
        1_000,
        "no panic, an end within 10 s",
    ),
    Row("R22", "bombs, deep JSON, pipes for files, names outside", 10, 10, "a typed error, or bounded memory"),
    Row("R23", "panics on purpose, also at each touch of a job", 1_000, 100, "InternalError; the next call is right"),
    Row("R24", "children by fork, spawn, forkserver, DataLoader", 200, 20, "the right ids, no hang"),
    Row("R25", "64 Python threads on one tokenizer", 64, 64, "equal to one thread"),
    Row("R27", "progress callbacks that raise, wait, or call again", 10, 10, "the error once; the right result"),
    Row("R31", "NaN or Inf in loss, gradient or weight: steps", 20, 20, "skipped, then stopped; what was saved stays"),
    Row(
        "R32",
        "the tests of each folder under a tripwire on unpickling",
        10,
        0,
        "none, torch.compile's own cache apart",
    ),
    Row(
        "R33",
        "an exported model and its tokenizer in transformers",
        10_002,
        302,
        "equal ids and text; logits within 1e-4",
    ),
    Row("R35", "a fresh clone in a path with spaces, then `make demo`", 1, 0, "it ends, and has learned"),
    Row(
        "R36", "each command with a bad flag, and with a missing file", 30, 30, "a message with the name, no traceback"
    ),
)
"""Of R33, the half with llama.cpp runs where llama-cpp-python is installed (`make test-long`)."""


def run(few: bool) -> list[str]:
    """Run the tests of all rows; return the commands that failed."""
    RECORD.parent.mkdir(exist_ok=True)
    RECORD.unlink(missing_ok=True)
    environment = os.environ | {"BPE_LM_RECORD": str(RECORD), "BPE_LM_CASES": "few" if few else "many"}
    tests = [word for name in RUST for word in ("--test", name)]
    python = [sys.executable, "-m", "pytest", "-q", "--no-header", "-p", "no:cacheprovider"]
    commands = [
        ["cargo", "test", "--release", "--lib", *tests],
        [*python, "-n", "2", "--dist", "worksteal", "-m", f"row{' and not long' if few else ''}"],
    ]
    if not few:
        commands.append([sys.executable, str(ROOT / "tests" / "fuzz" / "guided.py")])
    failed = []
    for command in commands:
        done = subprocess.run(command, cwd=ROOT, env=environment, check=False)
        if done.returncode:
            failed.append(" ".join(map(str, command[1:6])))
    return failed


def summary(lines: Sequence[dict[str, Any]], few: bool) -> dict[str, dict[str, Any]]:
    """Add up the records of each row."""
    rows = {}
    for row in ROWS:
        asked = row.each_run if few else row.asked
        of_row = [line for line in lines if line["row"] == row.name]
        failures = [line["test"] for line in of_row if line["outcome"] == "failed"]
        ran = sum(line["passed"] for line in of_row)
        passed = not failures and 0 < ran >= asked
        result = "failed" if failures else "passed" if passed else "fewer cases" if ran else "not run"
        rows[row.name] = {
            "what": row.what,
            "asked": asked,
            "run": ran,
            "tests": len(of_row),
            "skipped": sum(line["outcome"] == "skipped" for line in of_row),
            "failures": failures,
            "result": result,
        }
    return rows


def latest(lines: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Leave out what a Python test recorded before it ran again. A Rust test has a line for each part."""
    last = {line["test"]: number for number, line in enumerate(lines)}
    return [line for number, line in enumerate(lines) if ".py::" not in line["test"] or last[line["test"]] == number]


def page(result: dict[str, Any]) -> str:
    """The page of the docs."""
    lines = [
        "# Reliability",
        "",
        "What breaks tools of this kind, tried on this one. `make faults` runs every case and writes this page and",
        "reliability.json; `make test` runs the same tests with fewer cases. A row has passed if no case failed and no",
        "fewer ran than are asked. [peers.md](peers.md) has the same situations on other programs.",
        "",
        f"{result['machine']}; {result['date']}; commit {result['commit']}; {result['cases']} cases.",
        "",
        "| row | what is done | what must come of it | cases asked | cases run | result |",
        "| --- | --- | --- | ---: | ---: | --- |",
    ]
    for row in ROWS:
        found = result["rows"][row.name]
        lines.append(
            f"| {row.name} | {row.what} | {row.passes} | {found['asked']:,} | {found['run']:,} | {found['result']} |"
        )
    return "\n".join(lines) + "\n"


def machine() -> str:
    try:
        names = [line for line in Path("/proc/cpuinfo").read_text().splitlines() if line.startswith("model name")]
        name = names[0].partition(":")[2].strip()
    except (OSError, IndexError):
        name = platform.machine()
    return f"{os.cpu_count()} cores, {name}"


def commit() -> str:
    found = subprocess.run(
        ["git", "rev-parse", "--short", "HEAD"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    return found.stdout.strip() or "unknown"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--few", action="store_true", help="the cases of `make test`")
    parser.add_argument("--keep", action="store_true", help="take what earlier runs have recorded, and run nothing")
    arguments = parser.parse_args()
    failed = [] if arguments.keep else run(arguments.few)
    lines = [json.loads(line) for line in RECORD.read_text(encoding="utf-8").splitlines()]
    result = {
        "machine": machine(),
        "date": f"{datetime.now(UTC):%Y-%m-%d}",
        "commit": commit(),
        "cases": "few" if arguments.few else "all",
        "failed": failed,
        "rows": summary(latest(lines), arguments.few),
    }
    RESULT.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")
    PAGE.write_text(page(result), encoding="utf-8")
    for name, row in result["rows"].items():
        print(f"{name:4} {row['asked']:>10,} asked {row['run']:>10,} run  {row['result']}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
