"""Figures of this process and this machine from the operating system, and the commit of this package."""

import os
import platform
import resource
import subprocess
import sys
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Any


def peak_memory() -> int:
    """Return the greatest resident memory of this process so far, in bytes."""
    status = Path("/proc/self/status")
    if status.exists():
        # `getrusage` would count the peak of the parent process too, because a child inherits it.
        lines = (line.split() for line in status.read_text().splitlines())
        return next(1024 * int(words[1]) for words in lines if words[0] == "VmHWM:")
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else 1024 * peak


def describe_machine(gpu: str | None = None) -> dict[str, Any]:
    """Describe this machine for a record: its processor, cores, bytes of memory, and the GPU that is in use, if any."""
    return {
        "processor": _processor(),
        "cores": available_cores(),
        "memory": total_memory(),
        "gpu": gpu,
    }


def total_memory() -> int:
    """Return the bytes of this machine's memory."""
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def available_cores() -> int:
    """Return the number of cores that this process may use."""
    may_use = getattr(os, "sched_getaffinity", None)
    return len(may_use(0)) if may_use else os.cpu_count() or 1


@cache
def _processor() -> str:
    """Return the name of the processor, or of its architecture where the name is unknown."""
    with suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines():
            name, _, value = line.partition(":")
            if name.strip() == "model name" and value.strip():
                return value.strip()
    brand = _output("sysctl", "-n", "machdep.cpu.brand_string") if sys.platform == "darwin" else None
    return brand or platform.machine()


@cache
def commit() -> str | None:
    """Return the commit of this package's sources, with "-dirty" behind it if a file has changed since.

    Returns None where no git is, or the package lies in no clone of its own: an installed copy may lie in a folder of
    another repository.
    """
    here = Path(__file__)
    if _output("git", "ls-files", "--error-unmatch", here.name, folder=here.parent) is None:
        return None
    # Without optional locks, git leaves the index as it is, and disturbs no other git at work here.
    describe = ("git", "--no-optional-locks", "describe", "--always", "--exclude=*", "--abbrev=40", "--dirty")
    return _output(*describe, folder=here.parent)


def _output(*command: str, folder: Path | None = None) -> str | None:
    """Return what a command prints, or None if it fails, is missing, or takes ten seconds."""
    # A git hook sets variables that lead git to the repository of the hook.
    environment = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    try:
        done = subprocess.run(
            command, cwd=folder, env=environment, capture_output=True, text=True, timeout=10, stdin=subprocess.DEVNULL
        )
    except (OSError, subprocess.SubprocessError, ValueError):
        return None
    return done.stdout.strip() or None if done.returncode == 0 else None
