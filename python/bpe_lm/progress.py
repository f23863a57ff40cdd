"""Progress of long work: a bar in a terminal, a line that changes in a notebook, a line now and then in a pipe."""

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeAlias

from bpe_lm.checks import wrong_type

Callback: TypeAlias = Callable[[str, int, int | None], object]

_PIPE_SECONDS = 10.0
_UNITS = {"merge": "merges", "evaluate": "tokens"}
"""Of stages that are not in bytes."""


@contextmanager
def shown(progress: bool | Callback) -> Iterator[Callback | None]:
    """Yield what to call with (stage, done, total): None, the caller's own function, or a display on stderr."""
    if not callable(progress) and not isinstance(progress, bool | None):
        raise wrong_type("progress", progress, "True, False or a function of stage, done and total")
    if callable(progress):
        yield progress
    elif not progress:
        yield None
    elif _in_notebook():
        yield _notebook()
    elif sys.stderr.isatty():
        with _terminal() as callback:
            yield callback
    else:
        yield _pipe()


def describe(stage: str, done: int, total: int | None, seconds: float) -> str:
    """One line, such as `count: 1.20 of 2.20 GB, 54 %, 3 s`."""
    amounts = [done] if total is None else [done, total]
    if stage in _UNITS:
        amount = " of ".join(f"{n:,}" for n in amounts) + f" {_UNITS[stage]}"
    else:
        scale, unit, digits = _unit(amounts[-1])
        amount = " of ".join(f"{n / scale:.{digits}f}" for n in amounts) + f" {unit}"
    share = f", {100 * done // total} %" if total else ""
    return f"{stage}: {amount}{share}, {seconds:.0f} s"


def megabytes(num_bytes: int) -> str:
    """Bytes for people, in powers of 1,000."""
    scale, unit, digits = _unit(num_bytes)
    return f"{num_bytes / scale:.{digits}f} {unit}"


def _unit(num_bytes: int) -> tuple[int, str, int]:
    """The unit that suits an amount, its bytes, and the digits to show of it."""
    units = [(10**9, "GB", 2), (10**6, "MB", 1), (10**3, "kB", 1)]
    return next((unit for unit in units if num_bytes >= unit[0]), (1, "bytes", 0))


@contextmanager
def _terminal() -> Iterator[Callback]:
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

    columns = (TextColumn("{task.fields[line]:<48}"), BarColumn(), TimeRemainingColumn(elapsed_when_finished=True))
    with Progress(*columns, console=Console(stderr=True), auto_refresh=False) as bars:
        tasks: dict[str, tuple[TaskID, float]] = {}

        def update(stage: str, done: int, total: int | None) -> None:
            if stage not in tasks:
                tasks[stage] = (bars.add_task(stage, total=total, line=""), time.monotonic())
            task, start = tasks[stage]
            line = describe(stage, done, total, time.monotonic() - start)
            bars.update(task, completed=done, total=total, line=line, refresh=True)

        yield update


def _notebook() -> Callback:
    from IPython.display import display

    handles: dict[str, Any] = {}
    starts: dict[str, float] = {}

    def update(stage: str, done: int, total: int | None) -> None:
        start = starts.setdefault(stage, time.monotonic())
        line = {"text/plain": describe(stage, done, total, time.monotonic() - start)}
        if stage in handles:
            handles[stage].update(line, raw=True)
        else:
            handles[stage] = display(line, raw=True, display_id=True)

    return update


def _pipe() -> Callback:
    starts: dict[str, float] = {}
    last = time.monotonic()

    def update(stage: str, done: int, total: int | None) -> None:
        nonlocal last
        now = time.monotonic()
        start = starts.setdefault(stage, now)
        if done == total or now - last >= _PIPE_SECONDS:
            last = now
            print(describe(stage, done, total, now - start), file=sys.stderr, flush=True)

    return update


def _in_notebook() -> bool:
    ipython = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython else None
    return shell is not None and type(shell).__name__ == "ZMQInteractiveShell"
