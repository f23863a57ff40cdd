"""A situation in a process of its own, watched from outside: it may crash, hang, or take all memory."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path

MEMORY = 5 << 30


@dataclass
class Seen:
    """What a process has said, how it ended, and its peak of anonymous memory."""

    said: list[dict] = field(default_factory=list)
    end: str = ""
    anonymous: int = 0
    stopped: float = 0.0

    def get(self, name, default=None):
        """The last that was said of something."""
        return next((facts[name] for facts in reversed(self.said) if name in facts), default)


def status(pid, name):
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except OSError:
        return 0
    return next((1024 * int(line.split()[1]) for line in lines if line.startswith(name)), 0)


def watch(task, seconds, interrupt_after=None):
    """Run a task for so many seconds at most; send Ctrl-C so long after it says that it has begun."""
    environment = os.environ | {"TIKTOKEN_CACHE_DIR": "", "PYTHONWARNINGS": "ignore"}
    command = [sys.executable, str(Path(__file__).parent), "--child", json.dumps(task)]
    child = subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        stdin=subprocess.DEVNULL,
        text=True,
        env=environment,
        start_new_session=True,
    )
    seen, begun = Seen(), threading.Event()

    def read():
        for line in child.stdout:
            if line.startswith("{"):
                seen.said.append(json.loads(line))
                if "begun" in seen.said[-1]:
                    begun.set()

    reader = threading.Thread(target=read, daemon=True)
    reader.start()
    deadline, sent = time.monotonic() + seconds, None
    while child.poll() is None:
        time.sleep(0.02)
        seen.anonymous = max(seen.anonymous, status(child.pid, "RssAnon:"))
        now = time.monotonic()
        is_due = interrupt_after is not None and begun.is_set() and now > seen.get("begun") + interrupt_after
        if is_due and sent is None:
            os.kill(child.pid, signal.SIGINT)
            sent = time.monotonic()
            seen.said.append({"sent": sent})
        if now > deadline or seen.anonymous > MEMORY:
            seen.end = f"killed after {seconds} s" if now > deadline else f"killed at {MEMORY >> 30} GiB"
            break
    kill_group(child.pid)
    code = child.wait()
    reader.join(5)
    if code == -signal.SIGXCPU:
        seen.end = f"killed after {task['cpu_seconds']} s of CPU time"
    seen.end = seen.end or seen.get("raised", "")
    if not seen.end and code:
        seen.end = f"crash ({signal.Signals(-code).name})" if code < 0 else f"exit status {code}"
    return seen


def kill_group(pid):
    """Also the children that hang."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(pid, signal.SIGKILL)
