"""Run a module as `python -m` does, in a process that does not outlive its parent.

    python -m bpe_lm.experiments.supervised PARENT MODULE ARGUMENTS

A runner may be killed by a signal that it cannot answer. Then nobody would watch its processes, and they would keep
the folders of their runs busy. So a process that has lost the parent with the process id PARENT sends SIGTERM to
itself: a training run saves a checkpoint and ends.
"""

from __future__ import annotations

import os
import runpy
import signal
import sys
import threading
import time

_SECONDS = 0.3
"""The time between two looks at the parent."""


def main(parent: int, module: str, *arguments: str) -> None:
    """Run the module until it ends or the parent has ended."""
    # A shell without job control has its background processes ignore SIGINT, and their children inherit that.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    threading.Thread(target=_end_with, args=(parent,), daemon=True).start()
    sys.argv = [module, *arguments]
    runpy.run_module(module, run_name="__main__", alter_sys=True)


def _end_with(parent: int) -> None:
    """Wait until the parent has ended, and end this process."""
    while os.getppid() == parent:
        time.sleep(_SECONDS)
    os.kill(os.getpid(), signal.SIGTERM)


if __name__ == "__main__":
    main(int(sys.argv[1]), *sys.argv[2:])
