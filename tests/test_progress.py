"""Progress in a pipe, a notebook and a terminal: functions of the package and training draw by the same display."""

import os
import pty
import subprocess
import sys
import types

import pytest
from bpe_lm import errors, progress


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


@pytest.fixture
def clock(monkeypatch):
    """The seconds that the display reads; a test sets `clock.now`."""
    clock = types.SimpleNamespace(now=0.0)
    monkeypatch.setattr(progress, "time", types.SimpleNamespace(monotonic=lambda: clock.now))
    return clock


def update_at(clock, display, seconds, total=1000):
    for step, clock.now in enumerate(seconds, 1):
        display.update("train", step, total, f"step {step}")


def test_a_pipe_gets_a_line_every_ten_seconds(clock, capsys):
    with progress.Display() as display:
        update_at(clock, display, [0, 9.9, 10, 19.9, 20, 20.1], total=6)
    assert capsys.readouterr().err.split("\n") == ["step 3", "step 5", "step 6", ""]
    with progress.Display(is_first_line_due=True) as display:
        update_at(clock, display, [0, 9.9, 10])
    assert capsys.readouterr().err.split("\n") == ["step 1", "step 3", ""]


def test_a_display_that_is_not_wanted_shows_nothing(capsys):
    with progress.Display(is_wanted=False) as display:
        display.update("train", 5, 5, "step 5")
    assert capsys.readouterr() == ("", "")


def test_progress_is_a_bool_or_a_function():
    calls = []
    with progress.shown(lambda *call: calls.append(call)) as callback:
        callback("count", 1, 2)
    assert calls == [("count", 1, 2)]
    with progress.shown(False) as callback:
        assert callback is None
    with pytest.raises(errors.ArgumentTypeError, match="True, False or a function"), progress.shown("yes"):
        pass


@pytest.fixture
def notebook(monkeypatch):
    """The calls that a notebook gets."""
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
    return shown


def test_a_notebook_changes_one_line_a_stage(notebook):
    with progress.shown(True) as callback:
        callback("count", 5, 10)
        callback("count", 10, 10)
    assert notebook == [
        ("display", "count: 5 of 10 bytes, 50 %, 0 s", True),
        ("update", "count: 10 of 10 bytes, 100 %, 0 s", True),
    ]


def test_a_screen_changes_at_most_ten_times_a_second(notebook, clock):
    with progress.Display(width=62) as display:
        update_at(clock, display, [0, 0.05, 0.09, 0.11, 0.15, 0.25, 0.26], total=7)
    assert [line for _, line, _ in notebook] == ["step 1", "step 4", "step 6", "step 7"]


def test_a_terminal_gets_a_bar(tmp_path):
    code = """
from bpe_lm import progress
with progress.shown(True) as callback:
    callback("count", 50, 100)
    callback("count", 100, 100)
    callback("merge", 7, 7)
with progress.Display(width=62) as display:
    display.update("train", 3, 9, "step 3, loss 5.1")
"""
    leader, follower = pty.openpty()
    environment = os.environ | {"TERM": "xterm", "COLUMNS": "120"}
    subprocess.run([sys.executable, "-c", code], stderr=follower, check=True, env=environment, timeout=60)
    os.close(follower)
    output = os.read(leader, 1 << 16).decode()
    os.close(leader)
    assert "━" in output
    assert "merge: 7 of 7 merges" in output
    assert "step 3, loss 5.1" in output
