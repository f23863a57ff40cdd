"""The time of a training step by phase and by operation: a trace for a viewer, a table, and what bounds the step."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch.profiler import ProfilerActivity, profile, record_function, schedule

TRACE, TABLE = "trace.json", "profile.md"
PARTS = ("data", "forward", "backward", "clip", "optimizer")
_SKIPPED, _STEPS = 3, 3

_KINDS = {
    "elementwise operations": r"^triton",
    "attention": r"attention|flash|fmha",
    "matrix products": r"\bmm\b|_pointwise|::product|addmm|bmm|matmul|gemm|cutlass|cublas|sm\d\d_xmma|nvjet",
    "optimizer and clipping": r"adam|multi_tensor|foreach",
    "communication": r"nccl|gloo|all_reduce|all_gather|reduce_scatter",
    "copies and casts": r"copy|memcpy|memset|_to_copy|fill|zero",
}
"""The kinds of operations, with patterns for their names. The first match decides; other operations are elementwise."""

_NO_OPERATION = ("ProfilerStep", "phase: ", "autograd::", "Optimizer.", "Activity Buffer", "cuda", "Torch-Compiled")
"""The beginnings of the names of events that are not operations."""


@dataclass(frozen=True)
class StepProfile:
    """Seconds of one step, by the phases of the loop and by the kinds of operations."""

    seconds: float
    parts: dict[str, float]
    kinds: dict[str, float]
    product_share: float | None
    is_gpu: bool

    def verdict(self) -> str:
        """Return a sentence that says what bounds the step and what may help."""
        shares = {kind: seconds / self.seconds for kind, seconds in self.kinds.items()}
        idle = max(1 - sum(shares.values()), 0)
        waits = self.parts["data"] / self.seconds
        if waits > 0.05:
            return f"A step waits for data for {waits:.0%} of its time: it is bound by reading."
        if idle > 0.3:
            where = "The device is idle" if self.is_gpu else "No operation runs"
            return f"{where} for {idle:.0%} of a step: it is bound by launches; compile or a larger batch saves some."
        kind = max(shares, key=lambda name: shares[name])
        if kind == "matrix products":
            reach = "" if self.product_share is None else f"; the step reaches {self.product_share:.0%} of the peak"
            return f"A step is bound by matrix products: they take {shares[kind]:.0%} of it{reach}."
        if kind in ("elementwise operations", "copies and casts"):
            return f"A step is bound by memory: {kind} take {shares[kind]:.0%} of it; compile fuses them."
        return f"A step is bound by {kind}: {shares[kind]:.0%} of it."

    def table(self) -> str:
        """Return the times as tables in Markdown."""
        rest = {"else": self.seconds - sum(self.parts.values())}
        idle = {"in no operation": max(self.seconds - sum(self.kinds.values()), 0.0)}
        lines = [f"A step takes {self.seconds * 1e3:,.1f} ms. {self.verdict()}"]
        part_heading = "part (the time to launch it)" if self.is_gpu else "part"
        for heading, rows in ((part_heading, self.parts | rest), ("operations", self.kinds | idle)):
            lines += ["", f"| {heading} | ms | share |", "| --- | --- | --- |"]
            ordered = sorted(rows.items(), key=lambda row: -row[1])
            lines += [f"| {name} | {value * 1e3:,.1f} | {value / self.seconds:.0%} |" for name, value in ordered]
        return "\n".join(lines) + "\n"


class Profiler:
    """A profiler of the steps 4 to 6 of a run, which writes a trace and a table into a folder."""

    def __init__(self, folder: Path, device: torch.device, flops_per_step: float, peak: float | None):
        self.folder, self.device, self.flops, self.peak = folder, device, flops_per_step, peak
        self.result: StepProfile | None = None
        self._done, self._start, self._end = 0, 0.0, 0.0
        os.environ.setdefault("KINETO_LOG_LEVEL", "99")  # Without it, torch prints on stderr.
        activities = [ProfilerActivity.CPU] + [ProfilerActivity.CUDA] * (device.type == "cuda")
        self._profile = profile(
            activities=activities,
            schedule=schedule(wait=_SKIPPED - 1, warmup=1, active=_STEPS, repeat=1),
            on_trace_ready=self._write,
        )

    def __enter__(self) -> Profiler:
        self._profile.__enter__()  # type: ignore[no-untyped-call]
        return self

    def __exit__(self, *error: Any) -> None:
        self._profile.__exit__(*error)  # type: ignore[no-untyped-call]

    def step(self) -> None:
        """Count a finished training step."""
        self._done += 1
        self._end = time.perf_counter()
        self._profile.step()
        if self._done == _SKIPPED:
            self._start = time.perf_counter()

    def _write(self, recorded: Any) -> None:
        if self._done < _SKIPPED + _STEPS:
            return  # The run ended before the last recorded step.
        self.folder.mkdir(parents=True, exist_ok=True)
        recorded.export_chrome_trace(str(self.folder / TRACE))
        seconds = (self._end - self._start) / _STEPS
        self.result = _summary(recorded.events(), seconds, self.device.type == "cuda", self.flops, self.peak)
        (self.folder / TABLE).write_text(self.result.table(), encoding="utf-8")


class NoProfiler:
    """A profiler that records nothing."""

    def __enter__(self) -> NoProfiler:
        return self

    def __exit__(self, *error: Any) -> None:
        pass

    def step(self) -> None:
        """Do nothing."""


@contextmanager
def phase(name: str) -> Iterator[None]:
    """Mark the code in this context as a phase of the step."""
    with record_function(f"phase: {name}"):
        yield


def _summary(events: Any, seconds: float, is_gpu: bool, flops: float, peak: float | None) -> StepProfile:
    parts, kinds = dict.fromkeys(PARTS, 0.0), dict.fromkeys(_KINDS, 0.0)
    for event in events:
        name, is_on_gpu = event.name, "CUDA" in str(event.device_type)
        if name.startswith("phase: ") and not is_on_gpu:
            parts[name.removeprefix("phase: ")] += event.time_range.elapsed_us() / 1e6 / _STEPS
        elif is_on_gpu == is_gpu and not (name.startswith(_NO_OPERATION) or (is_gpu and event.is_user_annotation)):
            own = event.time_range.elapsed_us() if is_gpu else event.self_cpu_time_total
            kind = next(
                (kind for kind, pattern in _KINDS.items() if re.search(pattern, name.lower())), "elementwise operations"
            )
            kinds[kind] += own / 1e6 / _STEPS
    share = flops / seconds / peak if peak else None
    return StepProfile(seconds, parts, {kind: value for kind, value in kinds.items() if value}, share, is_gpu)
