"""Progress of long work on stderr: bars in a terminal, lines that change in a notebook, plain lines in a pipe."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from math import inf
from typing import Any, Protocol, TypeAlias

from bpe_lm.checks import wrong_type

Callback: TypeAlias = Callable[[str, int, int | None], object]
"""A function of a stage's name, the amount that is done, and the total, where that is known."""

Progress: TypeAlias = bool | Callback
"""An argument of functions: True for a display on stderr, False for no display, or the caller's own function."""

_PIPE_SECONDS = 10.0
_SCREEN_SECONDS = 0.1
"""The least seconds between two lines of a stage. The first line on a screen and the last line anywhere do not wait."""

_UNITS = {"sum": "pretokens", "merge": "merges", "evaluate": "tokens", "combine": "files"}
"""The units of the stages that are not counted in bytes."""


class Display:
    """A line of text for each stage of some work, drawn where stderr goes. Use it in a `with` block.

    A terminal shows the line beside a bar, and a notebook changes the line in place, both at most ten times a second.
    A pipe gets a new line every ten seconds. The last line of a stage, where `done` is the total, is always shown.

    Args:
        is_wanted: False shows nothing.
        width: The characters that a terminal keeps for the line.
        is_first_line_due: Whether a pipe gets the first line at once, instead of after ten seconds.
    """

    def __init__(self, *, is_wanted: bool = True, width: int = 48, is_first_line_due: bool = False):
        self._is_wanted, self._width, self._is_first_line_due = is_wanted, width, is_first_line_due
        self._target: _Target | None = None
        self._last: dict[str, float] = {}

    def __enter__(self) -> Display:
        if self._is_wanted:
            self._target = _target(self._width)
        return self

    def __exit__(self, *error: object) -> None:
        if self._target is not None:
            self._target.close()

    def update(self, stage: str, done: int, total: int | None, line: str) -> None:
        """Show the line of a stage, if it is due."""
        if self._target is not None and self._is_due(stage, self._target, is_last=done == total):
            self._target.draw(stage, done, total, line)

    def _is_due(self, stage: str, target: _Target, *, is_last: bool) -> bool:
        now = time.monotonic()
        is_first_due = self._is_first_line_due or target.is_screen
        last = self._last.setdefault(stage, -inf if is_first_due else now)
        if not is_last and now - last < (_SCREEN_SECONDS if target.is_screen else _PIPE_SECONDS):
            return False
        self._last[stage] = now
        return True


@contextmanager
def shown(progress: Progress) -> Iterator[Callback | None]:
    """Yield the function to report to: None, the caller's own, or one that shows a `Display`.

    Raises:
        ArgumentTypeError: `progress` is neither a bool nor a function.
    """
    if not callable(progress) and not isinstance(progress, bool | None):
        raise wrong_type("progress", progress, "True, False or a function of stage, done and total")
    if callable(progress) or not progress:
        yield progress or None
        return
    with Display() as display:
        starts: dict[str, float] = {}

        def update(stage: str, done: int, total: int | None) -> None:
            now = time.monotonic()
            seconds = now - starts.setdefault(stage, now)
            display.update(stage, done, total, describe(stage, done, total, seconds))

        yield update


def describe(stage: str, done: int, total: int | None, seconds: float) -> str:
    """Format a stage as one line, such as `count: 1.20 of 2.20 GB, 54 %, 3 s`."""
    amounts = [done] if total is None else [done, total]
    if stage in _UNITS:
        amount = " of ".join(f"{n:,}" for n in amounts) + f" {_UNITS[stage]}"
    else:
        scale, unit, digits = _unit(amounts[-1])
        amount = " of ".join(f"{n / scale:.{digits}f}" for n in amounts) + f" {unit}"
    share = f", {100 * done // total} %" if total else ""
    return f"{stage}: {amount}{share}, {seconds:.0f} s"


def megabytes(num_bytes: int) -> str:
    """Format bytes in the unit that suits them, in powers of 1,000."""
    scale, unit, digits = _unit(num_bytes)
    return f"{num_bytes / scale:.{digits}f} {unit}"


def _unit(num_bytes: int) -> tuple[int, str, int]:
    """Return the unit that suits an amount: its bytes, its name, and the number of decimals to show."""
    units = [(10**9, "GB", 2), (10**6, "MB", 1), (10**3, "kB", 1)]
    return next((unit for unit in units if num_bytes >= unit[0]), (1, "bytes", 0))


class _Target(Protocol):
    """A place for lines. On a screen a new line of a stage replaces the old one."""

    is_screen: bool

    def draw(self, stage: str, done: int, total: int | None, line: str) -> None: ...

    def close(self) -> None: ...


def _target(width: int) -> _Target:
    if _in_notebook():
        return _Notebook()
    return _Terminal(width) if sys.stderr.isatty() else _Pipe()


class _Terminal:
    is_screen = True

    def __init__(self, width: int):
        from rich.console import Console
        from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

        text = TextColumn(f"{{task.fields[line]:<{width}}}")
        columns = (text, BarColumn(), TimeRemainingColumn(elapsed_when_finished=True))
        self._bars = Progress(*columns, console=Console(stderr=True), auto_refresh=False)
        self._tasks: dict[str, TaskID] = {}
        self._bars.start()

    def draw(self, stage: str, done: int, total: int | None, line: str) -> None:
        if stage not in self._tasks:
            self._tasks[stage] = self._bars.add_task(stage, total=total, line="")
        self._bars.update(self._tasks[stage], completed=done, total=total, line=line, refresh=True)

    def close(self) -> None:
        self._bars.stop()


class _Notebook:
    is_screen = True

    def __init__(self) -> None:
        self._handles: dict[str, Any] = {}

    def draw(self, stage: str, done: int, total: int | None, line: str) -> None:
        from IPython.display import display

        content = {"text/plain": line}
        if stage in self._handles:
            self._handles[stage].update(content, raw=True)
        else:
            self._handles[stage] = display(content, raw=True, display_id=True)

    def close(self) -> None:
        pass


class _Pipe:
    is_screen = False

    def draw(self, stage: str, done: int, total: int | None, line: str) -> None:
        print(line, file=sys.stderr, flush=True)

    def close(self) -> None:
        pass


def _in_notebook() -> bool:
    ipython = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython else None
    return shell is not None and type(shell).__name__ == "ZMQInteractiveShell"
