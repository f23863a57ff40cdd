"""Coverage-guided fuzzing: each target of targets.rs for some seconds, by libFuzzer.

Inputs that reach new edges are kept in target/fuzz/inputs/NAME, and the next run begins with them. An input that fails
is written to target/fuzz/failed-NAME-..., and `tests/fuzz/guided.py NAME --again FILE` runs the target on it. With
BPE_LM_RECORD the numbers of executions count for the scorecard's row R21.
"""

import argparse
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
TARGET = ROOT / "target" / "fuzz"
MOST_BYTES = 2 << 30
"""The memory of a target, in bytes (row R21)."""


def targets() -> list[str]:
    """The names in targets.rs."""
    source = (ROOT / "tests" / "fuzz" / "targets.rs").read_text(encoding="utf-8")
    found = re.search(r"pub const NAMES: .*?= \[(.*?)\];", source, re.DOTALL)
    return re.findall(r'"([^"]+)"', found.group(1)) if found else []


def build() -> str:
    """Build the fuzzer; return its path. Only this crate is instrumented, so what it uses is built once."""
    command = ["cargo", "test", "--release", "--features", "fuzz", "--target-dir", str(TARGET), "--test", "fuzz"]
    environment = os.environ | {"RUSTC_WORKSPACE_WRAPPER": str(ROOT / "tests" / "fuzz" / "rustc.sh")}
    built = subprocess.run(
        [*command, "--no-run", "--message-format", "json-render-diagnostics"],
        cwd=ROOT,
        env=environment,
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    messages = [json.loads(line) for line in built.stdout.splitlines()]
    return next(str(message["executable"]) for message in messages if message.get("executable"))


def environment(name: str) -> dict[str, str]:
    """The environment of a target. Its files are in memory where the system has a place for that."""
    memory = {"TMPDIR": "/dev/shm"} if Path("/dev/shm").is_dir() else {}
    return os.environ | memory | {"BPE_LM_FUZZ_TARGET": name}


def fuzz(fuzzer: str, name: str, seconds: int) -> dict[str, Any]:
    """Fuzz a target; return what the scorecard records."""
    inputs = TARGET / "inputs" / name
    inputs.mkdir(parents=True, exist_ok=True)
    done = subprocess.run(
        [
            fuzzer,
            str(inputs),
            f"-max_total_time={seconds}",
            "-timeout=10",
            f"-rss_limit_mb={MOST_BYTES >> 20}",
            "-max_len=4096",
            "-len_control=0",
            "-print_final_stats=1",
            f"-artifact_prefix={TARGET}/failed-{name}-",
        ],
        env=environment(name) | {"BPE_LM_FUZZ_SEEDS": str(inputs)},
        capture_output=True,
        text=True,
        errors="replace",
        check=False,
    )
    executed = re.search(r"number_of_executed_units: (\d+)", done.stderr)
    edges = re.findall(r" cov: (\d+)", done.stderr)
    number, ends_well = int(executed.group(1)) if executed else 0, done.returncode == 0
    print(f"{name:24} {number:>12,} executions, {edges[-1] if edges else '?':>6} edges", flush=True)
    if not ends_well:
        print(done.stderr[-4000:], file=sys.stderr)
    return {
        "test": f"fuzz {name}",
        "row": "R21",
        "asked": number,
        "passed": number if ends_well else 0,
        "outcome": "passed" if ends_well else "failed",
    }


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("targets", nargs="*", help="names of targets; all of them without a name")
    parser.add_argument("--seconds", type=int, default=60, help="for each target (default 60)")
    parser.add_argument("--again", metavar="FILE", help="run one target on one input")
    arguments = parser.parse_args()
    if not (shutil.which("c++") or shutil.which("g++") or shutil.which("clang++")):
        print("a C++ compiler, which libFuzzer needs, is not installed: skipped")
        return 0
    fuzzer = build()
    if arguments.again:
        command = [fuzzer, arguments.again]
        return subprocess.run(command, env=environment(arguments.targets[0]), check=False).returncode
    record = os.environ.get("BPE_LM_RECORD")
    failed = 0
    for name in arguments.targets or targets():
        line = fuzz(fuzzer, name, arguments.seconds)
        failed += line["outcome"] == "failed"
        if record:
            with open(record, "a", encoding="utf-8") as file:
                file.write(json.dumps(line) + "\n")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
