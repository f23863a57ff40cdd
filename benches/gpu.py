"""Training and generation on one GPU, beside what users would take instead: a table within eight minutes.

    python benches/gpu.py --out runs/gpu                     # an NVIDIA GPU, from Ampere on; no network
    python benches/gpu.py --nanogpt FILE                     # and nanoGPT's own model.py
    python benches/gpu.py --only 'tinystories: *'            # some rows
    python benches/gpu.py --device cpu --quick               # toys, to see that it works

First one process, alone on the GPU, chooses the kernels of each shape by the choices that a run makes. Then each
variant is a process of its own. All compile at the same time, with one cache that is empty at the beginning
(cold); then they work in turns of a second, one at a time, each round in another order than the one before, and at the
end some are started once more with the filled cache (warm). A ratio is the median over the rounds of how many times as
fast a variant is as the named one. The Trainer is the real one, with its records: the run waits between its turns. A
bare step is what the Trainer launches for a step, on one batch, with all that is "auto" as it chooses it: forward,
loss, backward, norm, guard, and AdamW, which clips in its pass. It is launched kernel by kernel; "as a CUDA graph"
replays the same, and the peak memory of a replay leaves out what only the graph holds. Other programs clip and update
by torch's means. MFU is of the data sheet's peak in bfloat16, and counts whole T x T attention.

What is not measured when the time is over, or fails, is a row that says so. The table is printed in each case, and
written to OUT/results.md and OUT/results.json after each round.
"""

from __future__ import annotations

import argparse
import signal
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from bpe_lm.machine import available_cores, commit
from gpu_rows.processes import Event, Process
from gpu_rows.results import Result, Results
from gpu_rows.tasks import first_task, task_of
from gpu_rows.variants import Variant, all_variants, chosen

_ROUNDS = 7
_COMPILING, _MEASURING = 0.5, 0.9
"""The parts of the time until which variants may compile, and until which turns begin."""

_PATIENCE = 60.0
"""Seconds after which a process that owes an answer counts as hanging."""


class Bench:
    """The processes of all variants, and what they measured."""

    def __init__(self, options: argparse.Namespace, folder: Path, variants: list[Variant], about: dict[str, Any]):
        self._options, self._folder, self._variants = options, folder, variants
        self._turn = 0.02 if options.quick else 1.0
        self._environment = environment_of(options, folder)
        self._begin, self._running = options.begin, dict[str, Process]()
        self.results = Results(variants, about, is_quick=options.quick)

    def _time(self, part: float) -> float:
        return self._begin + part * self._options.seconds

    def run(self) -> None:
        """Compile all, measure in turns, and start some again."""
        try:
            self._compile(self._variants, self._time(_COMPILING), is_warm=False)
            rounds = 1 if self._options.quick else _ROUNDS
            for number in range(rounds):
                self._round(number)
                self.results.write(self._folder)
            self._end_all()
            if not self._options.quick:
                again = [v for v in self._variants if self.results[v].rounds and self.results[v].cold]
                self._compile(again, self._time(0.98), is_warm=True)
        finally:
            self._end_all()

    def _compile(self, variants: list[Variant], until: float, *, is_warm: bool) -> None:
        """Start the processes of variants, some at a time, until each is ready or has failed, or the time is over."""
        waiting, compiling = list(variants), list[Variant]()
        while (waiting or compiling) and time.monotonic() < until:
            while waiting and len(compiling) < self._options.parallel:
                variant = waiting.pop(0)
                self._running[variant.key] = self._start(variant)
                compiling.append(variant)
            for variant in list(compiling):
                event = self._running[variant.key].event(min(time.monotonic() + 0.05, until))
                if event is not None:
                    compiling.remove(variant)
                    self._take_ready(self.results[variant], event, is_warm=is_warm)
        for variant in () if is_warm else (*compiling, *waiting):
            self._fail(self.results[variant], "not measured: it was not compiled in time")

    def _start(self, variant: Variant) -> Process:
        name = "".join(c if c.isalnum() else "-" for c in variant.key)
        task = task_of(variant, values_of(self._options, self._folder))
        return start(task, self._folder / f"{name}.log", self._environment)

    def _take_ready(self, result: Result, event: Event, *, is_warm: bool) -> None:
        if event["event"] == "failed":
            if not is_warm:
                self._fail(result, f"failed: {event['error']}")
            return
        if is_warm:
            result.warm = event["compile"]
            self._running.pop(result.variant.key).end()
            return
        result.cold, result.losses, result.status = event["compile"], event["losses"], "measured"
        result.tokens = event.get("tokens", 0)
        result.validations += [v for v in [event.get("first", {}).get("validation")] if v is not None]
        say(f"{result.variant.key}: ready")

    def _fail(self, result: Result, why: str) -> None:
        result.status = why.replace("|", "/")
        process = self._running.pop(result.variant.key, None)
        if process is not None:
            process.end()
        say(f"{result.variant.key}: {why}")

    def _round(self, number: int) -> None:
        order = [v for v in self._variants if v.key in self._running]
        for variant in order[:: -1 if number % 2 else 1]:
            # The Trainer's turn is a hundred steps, so that it has fewer of them.
            is_due = number == 0 if variant.kind == "attention" else number % 2 == 0 or variant.kind != "trainer"
            if is_due and time.monotonic() < self._time(_MEASURING):
                self._measure(self.results[variant], number)

    def _measure(self, result: Result, number: int) -> None:
        process = self._running[result.variant.key]
        process.ask(self._turn)
        event = process.event(min(time.monotonic() + _PATIENCE, self._time(1.0) - 2))
        if event is None:
            self._fail(result, f"failed: no answer in {_PATIENCE:.0f} s, or before the time was over")
        elif event["event"] == "failed":
            self._fail(result, f"failed: {event['error']}")
        elif "times" in event:
            result.kernels = event["times"]
        else:
            result.rounds[number], result.peak = event["seconds"], event["peak"]
            result.waits += [event["data_wait"]] if "data_wait" in event else []
            result.validations += [event["validation"]] if "validation" in event else []

    def _end_all(self) -> None:
        for process in self._running.values():
            process.end()
        self._running.clear()


def environment_of(options: argparse.Namespace, folder: Path) -> dict[str, str]:
    """Return the variables of all processes: a common cache, and a share of the cores for each compiler."""
    threads = max(available_cores() // options.parallel, 1) + 1
    return {
        "TORCHINDUCTOR_CACHE_DIR": str(folder / "cache"),
        "TRITON_CACHE_DIR": str(folder / "cache" / "triton"),
        "TORCHINDUCTOR_COMPILE_THREADS": str(threads),
        "TRANSFORMERS_VERBOSITY": "error",
        "HF_HUB_OFFLINE": "1",
    }


def values_of(options: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """Return the options that all processes take."""
    return {
        "device": options.device,
        "is_quick": options.quick,
        "nanogpt": options.nanogpt,
        "folder": str(folder / "runs"),
    }


def start(task: str, log: Path, environment: dict[str, str]) -> Process:
    """Start a process with a task."""
    return Process(Path(__file__), task, log, environment)


def machine(options: argparse.Namespace, folder: Path, variants: list[Variant]) -> dict[str, Any]:
    """Choose the kernels of all variants, and return what the table says of the machine.

    `missing` says why nothing can be measured.
    """
    process = start(first_task(variants, values_of(options, folder)), folder / "machine.log", {})
    try:
        event = process.event(time.monotonic() + min(90, options.seconds / 2))
    finally:
        process.end()
    if event is None or event["event"] == "failed":
        return {"missing": event["error"] if event else "torch was not imported in time"}
    about = {name: value for name, value in event.items() if name != "event"}
    return about | {"commit": options.commit or commit(), "sizes": "toys" if options.quick else None}


def say(text: str) -> None:
    """Show progress."""
    print(text, file=sys.stderr, flush=True)


def parsed() -> argparse.Namespace:
    """Return the options of the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cuda", help="cuda, or cpu with --quick")
    parser.add_argument("--quick", action="store_true", help="toys, one short round")
    parser.add_argument("--seconds", type=float, default=480, help="the time after which the table is printed")
    parser.add_argument("--parallel", type=int, default=max(available_cores() // 2, 2), help="compilations at a time")
    parser.add_argument("--nanogpt", default="", metavar="FILE", help="nanoGPT's model.py")
    parser.add_argument("--only", action="append", default=[], metavar="PATTERN", help="rows, as 'gpt2: *'")
    parser.add_argument("--out", default="runs/gpu", metavar="FOLDER", help="folder of the results")
    parser.add_argument("--commit", default="", help="the commit of the sources, where git is not")
    options = parser.parse_args()
    options.begin = time.monotonic()
    return options


def interrupt(number: int, frame: object) -> None:
    raise KeyboardInterrupt


def main() -> None:
    options = parsed()
    signal.signal(signal.SIGTERM, interrupt)
    out = Path(options.out)
    out.mkdir(parents=True, exist_ok=True)
    variants = chosen(all_variants(has_nanogpt=bool(options.nanogpt)), options.only)
    with tempfile.TemporaryDirectory(prefix="work-", dir=out, ignore_cleanup_errors=True) as folder:
        results = Results(variants, {}, is_quick=options.quick)
        try:
            about = machine(options, Path(folder), variants)
            bench = Bench(options, Path(folder), variants, about)
            results = bench.results
            if "missing" in about:
                say(about["missing"])
            else:
                bench.run()
        except KeyboardInterrupt:
            say("interrupted")
        finally:
            signal.signal(signal.SIGINT, signal.SIG_IGN)
            for line in results.lines():
                print(line, flush=True)
            results.write(out)


if __name__ == "__main__":
    if sys.argv[1:2] == ["--worker"]:
        import json

        from gpu_rows.worker import main as work

        work(json.loads(sys.argv[2]))
    else:
        main()
