"""The process of one variant: it compiles, says so, and then works whenever the parent asks for a turn.

The first process has no variant: it describes the machine, and chooses the kernels of all variants.

Messages are lines of JSON: from the parent on stdin ("turn", with the seconds that it should take), to the parent on
the descriptor that was stdout. Whatever else is printed goes to stderr.
"""

from __future__ import annotations

import gc
import json
import os
import sys
import time
from collections.abc import Callable
from typing import Any

import torch
from bpe_lm.training.memory import is_out_of_memory

from gpu_rows.configs import Options, choose_kernels
from gpu_rows.steps import Step, prepared
from gpu_rows.variants import Variant

_FIRST_STEPS = 3
"""The losses of the first steps are compared between programs."""

_TRIES, _PAUSE = 30, 3.0
"""Without memory for its first step, a variant waits for the others, which free theirs after their first steps."""

Send = Callable[..., None]


def main(task: dict[str, Any]) -> None:
    """Do the work of a variant until the parent is gone."""
    answers = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)

    def send(event: str, **values: Any) -> None:
        print(json.dumps({"event": event, **values}), file=answers, flush=True)

    try:
        options = Options(**task["options"])
        if task["variant"] is None:
            about = _machine(options.device)
            if "missing" not in about:
                choose_kernels([Variant(**values) for values in task["variants"]], options)
            send("ready", **about)
            return
        _work(Variant(**task["variant"]), options, send)
    except Exception as error:
        text = str(error).strip() or type(error).__name__
        send("failed", error=f"{type(error).__name__}: {text.splitlines()[0]}")
        if not isinstance(error, torch.OutOfMemoryError):
            raise


def _machine(name: str) -> dict[str, Any]:
    """Return what the table says of the machine, or why the device is not here."""
    from bpe_lm.machine import available_cores
    from bpe_lm.training.devices import peak_flops

    device = torch.device(name)
    if device.type == "cuda" and not torch.cuda.is_available():
        return {"missing": "this machine has no NVIDIA GPU that torch can use"}
    card = torch.cuda.get_device_name(device) if device.type == "cuda" else "CPU"
    peak = peak_flops(device, "bfloat16") if device.type == "cuda" else None
    about = {"card": card, "torch": torch.__version__, "peak_flops": peak, "cores": available_cores()}
    return about | {"python": sys.version.split()[0], "triton": _version("triton"), "hf": _version("transformers")}


def _version(package: str) -> str | None:
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _work(variant: Variant, options: Options, send: Send) -> None:
    if variant.kind == "trainer":
        _train(variant, options, send)
    elif variant.kind == "attention":
        _attend(variant, options, send)
    else:
        with prepared(variant, options) as work:
            # Of the loss alone, the peak is counted without its inputs.
            inputs = torch.cuda.memory_allocated() if variant.group == "loss" and options.device != "cpu" else 0
            start = time.perf_counter()
            losses = _first_steps(work.step, options)
            compiling = time.perf_counter() - start
            seconds = _timed(work.step, 1, options)
            send("ready", compile=max(compiling - _FIRST_STEPS * seconds, 0), losses=losses, tokens=work.tokens)
            for turn in _turns(options):
                steps = min(max(round(turn / max(seconds, 1e-6)), 1), 200)
                seconds = _timed(work.step, steps, options)
                send("done", seconds=seconds, steps=steps, peak=_peak(options, inputs))


def _train(variant: Variant, options: Options, send: Send) -> None:
    from bpe_lm.errors import OutOfMemory

    from gpu_rows.trainer import run_trainer

    turns, compiling, is_ready = _turns(options), 0.0, False

    def on_turn(found: dict[str, Any]) -> None:
        nonlocal compiling, is_ready
        if found["step"] == 1:
            compiling = found["seconds"]
            return
        if is_ready:
            send("done", **found, peak=_peak(options))
        else:  # The first turn has the first validation, which compiles too.
            is_ready = True
            send("ready", compile=compiling, losses=[], first=found)
        if next(turns, None) is None:
            os._exit(0)  # The run is not to be ended in order, and a thread may be waiting here.

    for number in range(1, _TRIES + 1):
        try:
            return run_trainer(variant, options, on_turn)
        except OutOfMemory:
            if is_ready or number == _TRIES:
                raise
        _free(options)  # Not above, where the error holds the tensors of the step.
        time.sleep(_PAUSE)


def _attend(variant: Variant, options: Options, send: Send) -> None:
    from gpu_rows.attention import attention_times
    from gpu_rows.variants import shape_of

    shape = shape_of(variant.name, is_quick=options.is_quick)
    send("ready", compile=0.0, losses=[])
    for _ in _turns(options):
        send("done", times=attention_times(shape, options.device))


def _turns(options: Options) -> Any:
    """Yield the seconds of each turn that the parent asks for, until it is gone. Between turns, free what is free."""
    while True:
        _free(options)
        line = sys.stdin.readline()
        if not line:
            return
        if options.device != "cpu":
            torch.cuda.reset_peak_memory_stats()
        yield json.loads(line)["turn"]


def _first_steps(step: Step, options: Options) -> list[float]:
    """Do the first steps, the first of which compiles, and return their losses."""
    losses: list[Any] = []
    for _ in range(_TRIES):
        try:
            while len(losses) < _FIRST_STEPS:
                losses.append(step())
            return [float(loss) for loss in losses if loss is not None]
        except RuntimeError as error:
            if losses or not is_out_of_memory(error):
                raise
        _free(options)  # Not above, where the error holds the tensors of the step.
        time.sleep(_PAUSE)
    raise torch.OutOfMemoryError(f"no memory for the first step in {_TRIES * _PAUSE:.0f} s")


def _free(options: Options) -> None:
    gc.collect()
    if options.device != "cpu":
        torch.cuda.empty_cache()


def _timed(step: Step, steps: int, options: Options) -> float:
    """Return the seconds of a step, by the clock of the host between two synchronizations."""
    _wait(options)
    start = time.perf_counter()
    for _ in range(steps):
        step()
    _wait(options)
    return (time.perf_counter() - start) / steps


def _wait(options: Options) -> None:
    if options.device != "cpu":
        torch.cuda.synchronize()


def _peak(options: Options, inputs: int = 0) -> int | None:
    return None if options.device == "cpu" else torch.cuda.max_memory_allocated() - inputs
