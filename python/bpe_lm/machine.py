"""The machine and this process on it."""

import resource
import sys
from pathlib import Path


def peak_memory() -> int:
    """The process's greatest resident memory so far, in bytes."""
    status = Path("/proc/self/status")
    if status.exists():
        # Not from `getrusage`: there a process begins with the peak of the one that started it.
        lines = (line.split() for line in status.read_text().splitlines())
        return next(1024 * int(words[1]) for words in lines if words[0] == "VmHWM:")
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else 1024 * peak
