"""Progress in a pipe, a notebook and a terminal."""

import os
import pty
import subprocess
import sys
import types

from bpe_lm import progress


def test_a_line_says_what_is_done():
    assert progress.describe("count", 1_200_000_000, 2_400_000_000, 3.2) == "count: 1.20 of 2.40 GB, 50 %, 3 s"
    assert progress.describe("count", 999, None, 0) == "count: 999 bytes, 0 s"
    assert progress.describe("owt_train.txt", 500_000, 1_000_000, 1) == "owt_train.txt: 0.5 of 1.0 MB, 50 %, 1 s"
    assert progress.describe("merge", 1000, 2000, 1) == "merge: 1,000 of 2,000 merges, 50 %, 1 s"


def test_a_pipe_gets_a_line_at_the_end_of_each_stage(capsys):
    with progress.shown(True) as callback:
        for done in range(0, 101, 10):
            callback("count", done * 1_000_000, 100_000_000)
        callback("merge", 5, 5)
    assert capsys.readouterr().err.splitlines() == [
        "count: 100.0 of 100.0 MB, 100 %, 0 s",
        "merge: 5 of 5 merges, 100 %, 0 s",
    ]


def test_a_notebook_updates_one_line_a_stage(monkeypatch):
    shown = []

    class Handle:
        def update(self, data, raw):
            shown.append(("update", data["text/plain"], raw))

    def display(data, raw, display_id):
        shown.append(("display", data["text/plain"], raw and display_id))
        return Handle()

    class ZMQInteractiveShell:
        pass

    ipython = types.ModuleType("IPython")
    ipython.get_ipython = ZMQInteractiveShell
    ipython.display = types.ModuleType("IPython.display")
    ipython.display.display = display
    monkeypatch.setitem(sys.modules, "IPython", ipython)
    monkeypatch.setitem(sys.modules, "IPython.display", ipython.display)
    with progress.shown(True) as callback:
        callback("count", 5, 10)
        callback("count", 10, 10)
    assert shown == [
        ("display", "count: 5 of 10 bytes, 50 %, 0 s", True),
        ("update", "count: 10 of 10 bytes, 100 %, 0 s", True),
    ]


def test_a_terminal_gets_a_bar(tmp_path):
    code = """
from bpe_lm import progress
with progress.shown(True) as callback:
    callback("count", 50, 100)
    callback("count", 100, 100)
    callback("merge", 7, 7)
"""
    leader, follower = pty.openpty()
    environment = os.environ | {"TERM": "xterm", "COLUMNS": "120"}
    subprocess.run([sys.executable, "-c", code], stderr=follower, check=True, env=environment, timeout=60)
    os.close(follower)
    output = os.read(leader, 1 << 16).decode()
    os.close(leader)
    assert "━" in output
    assert "merge: 7 of 7 merges" in output
