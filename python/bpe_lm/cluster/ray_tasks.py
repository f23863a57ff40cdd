"""Tasks on Ray: a function for each of many items, its typed errors, and an end when the caller ends.

A worker answers in JSON, so a typed error arrives as the same class with the same message, and no exception is pickled.
Ray itself moves the arguments between processes by pickle; it trusts everyone who reaches its ports (SECURITY.md).
"""

from __future__ import annotations

import json
import logging
import os
import re
import signal
import socket
import sys
import threading
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib import import_module
from typing import Any, TypeAlias

from bpe_lm import checks, errors
from bpe_lm._core import __version__
from bpe_lm.errors import BpeLmError, ClusterError, MissingExtra, OptionError, OutOfMemory

RETRIES = 3
"""How often a task is started again after its worker or its machine has died. A typed error is not tried again."""

_LOOK_SECONDS = 0.05
"""The time between two looks at the tasks, after each of which Ctrl-C is answered."""

_ANSWER_SECONDS = 10.0
"""The time that a cluster has to accept a connection."""

_PATIENCE_SECONDS = 1.0
"""The time that tasks have to end by themselves after they were cancelled."""

_OWN_STORE_BYTES = 100 << 20
"""The shared memory of a Ray that is started here. Tasks hand over names and numbers; Ray asks for 75 MiB at least."""

Task: TypeAlias = Callable[[Any, int], None]
"""A function of what all tasks share and of the task's number, which writes a file. A second call does no harm."""


class Cluster:
    """A connection to Ray, with what each task takes of a machine: threads, and memory in bytes if that is limited."""

    def __init__(self, ray: Any, threads: int, memory: int | None):
        self._ray, self._threads, self._memory = ray, threads, memory
        self._check_room()

    def run(self, task: Task, shared: Any, number: int, report: Callable[[int], object]) -> None:
        """Call `task(shared, i)` in a worker for each i below `number`, and report how many calls have ended.

        If one fails, or this call is interrupted, the others are cancelled. Those that have not ended after a second
        are ended by force.

        Raises:
            BpeLmError: A task's typed error.
            ClusterError: A task was lost more than `RETRIES` times, was cancelled by somebody, or cannot run.
            OutOfMemory: Ray ended a worker because its machine has too little memory.
        """
        options = {"num_cpus": self._threads, "memory": self._memory, "max_retries": RETRIES}
        start = self._ray.remote(**options)(answer)
        running: dict[Any, str] = {}
        try:
            with _signals_as_they_are():
                held = self._ray.put(shared)
                for i in range(number):
                    name = f"{task.__name__} {i} of {number}"
                    running[start.options(name=name).remote(__version__, task, held, i)] = name
            while running:
                ended = self._ended(list(running))
                for reference in ended:
                    self._check(reference, running.pop(reference))
                report(number - len(running))
                if not ended:
                    time.sleep(_LOOK_SECONDS)
        except BaseException:
            self._cancel(list(running))
            raise

    def _ended(self, running: list[Any]) -> list[Any]:
        """Return the tasks that have ended, without waiting: a signal that arrives in Ray's code is a SystemError."""
        with _signals_as_they_are():
            ended: list[Any] = self._ray.wait(running, num_returns=len(running), timeout=0)[0]
        return ended

    def _check(self, reference: Any, name: str) -> None:
        """Raise the error of a task that has ended, if it has one."""
        exceptions = self._ray.exceptions
        try:
            with _signals_as_they_are():
                text = self._ray.get(reference)
            open_answer(text)
        except exceptions.OutOfMemoryError as error:
            raise OutOfMemory(
                f"Ray ended the task {name}: its machine has too little memory; give fewer threads to a machine's "
                "tasks, or a limit of memory"
            ) from error
        except exceptions.RayError as error:
            cause = getattr(error, "cause", None) or error
            raise ClusterError(
                f"the task {name} failed on Ray, where it is tried {1 + RETRIES} times: {type(cause).__name__}: {cause}"
            ) from error

    def _cancel(self, running: list[Any]) -> None:
        for reference in running:
            self._ray.cancel(reference)
        end = time.monotonic() + _PATIENCE_SECONDS
        while running and time.monotonic() < end:
            time.sleep(_LOOK_SECONDS)
            ended = set(self._ended(running))
            running = [reference for reference in running if reference not in ended]
        for reference in running:
            self._ray.cancel(reference, force=True)

    def _check_room(self) -> None:
        """Refuse tasks that no machine has room for, which Ray would never start."""
        nodes = [node["Resources"] for node in self._ray.nodes() if node["Alive"]]
        memory = self._memory or 0
        if not any(node.get("CPU", 0) >= self._threads and node.get("memory", 0) >= memory for node in nodes):
            most = max((int(node.get("CPU", 0)) for node in nodes), default=0)
            room = max((int(node.get("memory", 0)) for node in nodes), default=0)
            raise OptionError(
                f"no machine of the Ray cluster has room for a task of {self._threads} threads and {memory:,} bytes: "
                f"the largest has {most} CPUs, or {room:,} bytes; give less to each task, or start a larger machine"
            )


@contextmanager
def connected(address: str, threads: int, memory: int | None = None) -> Iterator[Cluster]:
    """Connect to a Ray cluster, and leave it afterwards. A process that is connected already stays as it is.

    Args:
        address: "auto" for the cluster that RAY_ADDRESS names or that runs on this machine, "local" for a Ray of this
            call's own, on this machine, or the address of a cluster, such as 10.0.0.1:6379.
        threads: The CPUs that each task takes.
        memory: The bytes that each task takes, or None.

    Raises:
        MissingExtra: Ray is not installed.
        ClusterError: The cluster does not answer.
        OptionError: No machine has room for a task.
    """
    checks.string("address", address)
    try:
        ray: Any = import_module("ray")
    except ModuleNotFoundError as error:
        raise MissingExtra(f"a cluster needs Ray ({error}): pip install '.[ray]' in a clone of bpe_lm") from error
    if ray.is_initialized():
        yield Cluster(ray, threads, memory)
        return
    with _handler_kept():
        _connect(ray, address)
        try:
            yield Cluster(ray, threads, memory)
        finally:
            ray.shutdown()


@contextmanager
def _signals_as_they_are() -> Iterator[None]:
    """Raise what a handler of a signal has raised within Ray's code, in place of the SystemError that it becomes."""
    try:
        yield
    except SystemError as error:
        if error.__cause__ is None:
            raise
        raise error.__cause__ from None


def _connect(ray: Any, address: str) -> None:
    options: dict[str, Any] = {"log_to_driver": False, "logging_level": logging.ERROR}
    if address == "local":
        if " " in sys.executable:
            raise ClusterError(
                f"Ray cannot start workers by {sys.executable}, because of the space in its path; install into an "
                "environment at another path"
            )
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
        options |= {"include_dashboard": False, "object_store_memory": _OWN_STORE_BYTES}
    before = signal.getsignal(signal.SIGTERM)
    try:
        _check_answers(address)
        ray.init(address=address, **options)
    except Exception as error:  # Ray has no class of its own for this, and raises Exception itself, too.
        ray.shutdown()
        reason = str(error).partition(". ")[0]
        raise ClusterError(
            f"could not connect to Ray at {address}: {reason}; start a cluster with ray start --head, or give local "
            "for a Ray on this machine"
        ) from error
    if callable(before):  # Ray's own handler would end the process without a word.
        _handle(before)


def _check_answers(address: str) -> None:
    """Look whether somebody listens at an address. Ray itself would try for minutes.

    Raises:
        OSError: Nobody does.
    """
    found = os.environ.get("RAY_ADDRESS", "") if address == "auto" else address
    if host_and_port := re.fullmatch(r"([\w.-]+):(\d{1,5})", found):
        host, port = host_and_port.groups()
        socket.create_connection((host, int(port)), _ANSWER_SECONDS).close()


@contextmanager
def _handler_kept() -> Iterator[None]:
    """Give SIGTERM back the handler that it had before Ray was connected."""
    before = signal.getsignal(signal.SIGTERM)
    try:
        yield
    finally:
        _handle(before)


def _handle(handler: Any) -> None:
    if handler is not None and threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGTERM, handler)


def answer(version: str, task: Task, shared: Any, number: int) -> str:
    """Call a task in a worker. Returns JSON: its warnings, and the class and the message of its typed error."""
    error = None
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            if version != __version__:
                node = os.uname().nodename
                raise ClusterError(f"{node} has bpe_lm {__version__}, and the caller has {version}; install the same")
            task(shared, number)
        except BpeLmError as found:
            error = [type(found).__name__, str(found)]
    return json.dumps({"error": error, "warnings": sorted({str(warning.message) for warning in caught})})


def open_answer(text: str) -> None:
    """Give on the warnings in an answer, and raise the error in it, if it has one."""
    content = json.loads(text)
    for warning in content["warnings"]:
        warnings.warn(warning, stacklevel=2)
    if content["error"] is not None:
        name, message = content["error"]
        raise getattr(errors, name)(message)
