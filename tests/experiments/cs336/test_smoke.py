"""The whole reproduction at the scale smoke: every row is answered, every check passes, and a kill repeats nothing."""

import json
import os
import signal
import subprocess
import sys
import time
from itertools import combinations

import pytest
from bpe_lm.cli.main import main
from bpe_lm.experiments.attempts import read_attempt
from bpe_lm.experiments.blocks import Check, Missing, Table
from bpe_lm.experiments.cs336 import course
from bpe_lm.experiments.study import read_study


def finished(folder):
    """The results of runs and jobs that are over, by path."""
    results = {path: path.read_bytes() for path in folder.rglob("result.json")}
    return {path: text for path, text in results.items() if b'"reason": "signal"' not in text}


def kill_in_the_middle(command, folder):
    """Kill a reproduction once a few runs of the sweep are over, and return what is finished."""
    process = subprocess.Popen([sys.executable, "-m", "bpe_lm", *command], stdout=subprocess.DEVNULL)
    while len(list(folder.glob("learning_rate/*/result.json"))) < 2:
        assert process.poll() is None, "it ended before its runs"
        time.sleep(0.05)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    return finished(folder)


def ran_at_once(folder):
    """Whether two training runs overlapped in time."""
    attempts = [read_attempt(folder, name) for name in read_study(folder).runs]
    return any(a.started < b.ended and b.started < a.ended for a, b in combinations(attempts, 2))


@pytest.mark.timeout(900)
def test_every_row_is_answered_and_a_kill_repeats_nothing(tmp_path, capsys):
    command = ["reproduce", "--scale", "smoke", "--out", str(tmp_path), "--jobs", "2", "--quiet", "--json"]
    before = kill_in_the_middle(command, tmp_path)
    assert main(command) == 0
    works = {work["name"]: work for work in json.loads(capsys.readouterr().out)["works"]}
    assert {work["state"] for work in works.values()} <= {"finished", "diverged"}
    assert any(work["state"] == "diverged" for work in works.values())
    assert before
    for path, text in before.items():
        assert path.read_bytes() == text
        assert works[path.parent.relative_to(tmp_path).as_posix()]["was_done"]
    assert ran_at_once(tmp_path)
    for section in course.sections(tmp_path):
        missing = [block.what for block in section.blocks if isinstance(block, Missing)]
        empty = [b.caption for b in section.blocks if isinstance(b, Table) and any(None in row for row in b.rows)]
        failed = [block.what for block in section.blocks if isinstance(block, Check) and not block.passes]
        assert not failed, section.name
        assert missing == empty == [], section.name
    report = (tmp_path / "report.md").read_text(encoding="utf-8")
    assert all(f'<a id="row-{row}"></a>' in report for row in range(1, 46))
