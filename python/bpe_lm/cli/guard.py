"""The frame of every command: errors become one line and an exit status, and warnings become notes."""

from __future__ import annotations

import argparse
import signal
import sys
import traceback
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, NoReturn

from bpe_lm.errors import BpeLmError, MissingExtra


class Terminated(Exception):
    """SIGTERM arrived. It is an exception so that half-done work is cleaned up."""


class Stopped(Exception):
    """A signal ended training after a checkpoint. `status` is the exit status that a shell expects."""

    def __init__(self, status: int):
        self.status = status


def guarded(command: Callable[[], None]) -> int:
    """Run a command and return its exit status: 0, 1 error, 2 usage, 130 Ctrl-C, 143 SIGTERM."""
    try:
        signal.signal(signal.SIGTERM, _terminate)
        command()
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return 130
    except BrokenPipeError:
        sys.stderr.close()
        return 1
    except Stopped as stopped:
        return stopped.status
    except Terminated:
        print("terminated", file=sys.stderr)
        return 143
    except (BpeLmError, OSError, UnicodeError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


def _terminate(number: int, frame: object) -> NoReturn:
    raise Terminated


def run(options: argparse.Namespace) -> None:
    """Run the command that was parsed. Its warnings are printed as notes, and with --debug an error as a traceback."""
    try:
        with warnings.catch_warnings():
            warnings.showwarning = _print_note
            options.run(options)
    except (BpeLmError, OSError, UnicodeError):
        if getattr(options, "debug", False):
            traceback.print_exc()
        raise


def _print_note(message: Warning | str, category: type[Warning], *place: Any, **more: Any) -> None:
    """Print a warning as one line, without the line of code that gave it."""
    print(f"note: {message}", file=sys.stderr)


def say(line: str) -> None:
    """Print a sentence for the user on stderr at once."""
    print(line, file=sys.stderr, flush=True)


def say_unless(is_quiet: bool) -> Callable[[str], None]:
    """Return `say`, or a function that prints nothing."""
    return (lambda line: None) if is_quiet else say


@contextmanager
def notes_afterwards() -> Iterator[None]:
    """Collect warnings, and print them as notes when the work and its progress bars have ended."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            yield
        finally:
            for warning in caught:
                _print_note(warning.message, warning.category)


@contextmanager
def language_model() -> Iterator[None]:
    """Import torch and the model in this block. A missing package becomes an error that says how to install it.

    Raises:
        MissingExtra: A package of the extra `lm` is not installed.
    """
    try:
        yield
    except ModuleNotFoundError as error:
        raise MissingExtra(
            f"the language model's packages are missing ({error}): pip install '.[lm]' in a clone of bpe_lm"
        ) from error
