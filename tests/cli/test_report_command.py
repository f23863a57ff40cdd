"""The command `bpe-lm report`: on the folder of a study, of runs, and of a reproduction."""

import subprocess
import sys
from pathlib import Path

import made_up_runs
import pytest
from bpe_lm.cli.main import main
from bpe_lm.experiments.blocks import Missing, Section, Text
from bpe_lm.experiments.cs336 import course
from bpe_lm.experiments.study import Study


def a_study(folder: Path) -> Path:
    works = made_up_runs.write_study(folder, Study(made_up_runs.base_config(), [{"batch_size": b} for b in (8, 16)]))
    made_up_runs.write_run(folder / works[0].name, works[0].config, 2.0)
    return folder


def test_a_report_of_a_study_needs_no_torch_and_can_be_written_again(tmp_path):
    folder = a_study(tmp_path / "study")
    code = (
        "import sys; from bpe_lm.cli.main import main; status = main(['report', sys.argv[1]]); "
        "sys.exit('torch was imported' if 'torch' in sys.modules else status)"
    )
    for _ in range(2):
        done = subprocess.run([sys.executable, "-c", code, folder], capture_output=True, text=True)
        assert (done.returncode, done.stderr) == (0, "")
        assert done.stdout == f"written: {folder / 'report.md'} and {folder / 'report.html'}\n"
    assert "2 runs: 1 finished and 1 waiting." in (folder / "report.md").read_text()
    assert sorted(path.name for path in (folder / "figures").iterdir()) == ["loss-by-batch_size.png", "losses.png"]


def test_a_report_can_lie_in_another_folder(tmp_path, capsys):
    folder = a_study(tmp_path / "study")
    assert main(["report", str(folder), "--out", str(tmp_path / "docs" / "report")]) == 0
    assert not (folder / "report.md").exists()
    assert (tmp_path / "docs" / "report" / "figures" / "losses.png").exists()


@pytest.mark.parametrize("name", ["nowhere", "empty"])
def test_a_folder_without_runs_is_an_error(tmp_path, capsys, name):
    (tmp_path / "empty").mkdir()
    assert main(["report", str(tmp_path / name)]) == 1
    assert name in capsys.readouterr().err
    assert list((tmp_path / "empty").iterdir()) == []


def test_the_folder_of_a_reproduction_has_the_report_of_the_course(tmp_path, monkeypatch):
    section = Section(32, "learning_rate", 3, "measured", tmp_path.name, [Missing("all")])
    monkeypatch.setattr(course, "sections", lambda folder: [section] if folder == tmp_path else [])
    monkeypatch.setattr(course, "preface", lambda folder: [Text("**Texts:** made-up stories.")])
    (tmp_path / "setting.json").write_text("{}")
    assert main(["report", str(tmp_path)]) == 0
    lines = (tmp_path / "report.md").read_text().splitlines()
    assert lines[0] == "# The course's experiments, reproduced"
    assert lines[2] == "**Texts:** made-up stories."
    assert "## 32. learning_rate (3 points, measured)" in lines
    assert f"*not run* · {tmp_path.name}" in lines
