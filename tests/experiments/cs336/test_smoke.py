"""The whole reproduction at the scale smoke: every row is answered, and every check passes."""

import json

import pytest
from bpe_lm.cli.main import main
from bpe_lm.experiments.blocks import Check, Missing, Table
from bpe_lm.experiments.cs336 import course


@pytest.mark.long
@pytest.mark.timeout(1800)
def test_every_row_is_answered_and_nothing_is_repeated(tmp_path, capsys):
    command = ["reproduce", "--scale", "smoke", "--out", str(tmp_path), "--jobs", "2", "--quiet", "--json"]
    assert main(command) == 0
    first = json.loads(capsys.readouterr().out)
    assert {work["state"] for work in first["works"]} <= {"finished", "diverged"}
    assert any(work["state"] == "diverged" for work in first["works"])
    for section in course.sections(tmp_path):
        missing = [block.what for block in section.blocks if isinstance(block, Missing)]
        empty = [b.caption for b in section.blocks if isinstance(b, Table) and any(None in row for row in b.rows)]
        failed = [block.what for block in section.blocks if isinstance(block, Check) and not block.passes]
        assert not failed, section.name
        assert bool(missing or empty) == (section.kind == "pending"), (section.name, missing, empty)
    report = (tmp_path / "report.md").read_text(encoding="utf-8")
    assert all(f'<a id="row-{row}"></a>' in report for row in range(1, 46))
    assert main(command) == 0
    again = json.loads(capsys.readouterr().out)
    assert all(work["was_done"] for work in again["works"])
    assert len(again["works"]) == len(first["works"])
