"""The command `report`."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from bpe_lm.cli.guard import language_model
from bpe_lm.experiments.cs336.setting import SETTING


def add_commands(commands: Any) -> None:
    """Add the command to a parser's."""
    parser = commands.add_parser(
        "report",
        help="write the report of a study",
        description="Write report.md with its figures and report.html, which holds all of itself, from the folders of "
        "the runs. It can be written again at any time; what is missing is shown as not run.",
    )
    parser.add_argument("folder", metavar="FOLDER", help="folder that sweep or reproduce wrote, or a folder of runs")
    parser.add_argument("--out", metavar="FOLDER", help="folder to write the report into (default: the same)")
    parser.set_defaults(run=_report)


def _report(options: argparse.Namespace) -> None:
    from bpe_lm.experiments.report import HTML, MARKDOWN, write_report

    folder = Path(options.folder)
    out = Path(options.out) if options.out else folder
    if (folder / SETTING).exists():
        with language_model():
            from bpe_lm.experiments.cs336 import course
            from bpe_lm.experiments.reproduce import TITLE

            write_report(course.sections(folder), TITLE, course.preface(folder), out)
    else:
        from bpe_lm.experiments.study_report import study_report

        sections, title, preface = study_report(folder)
        write_report(sections, title, preface, out)
    print(f"written: {out / MARKDOWN} and {out / HTML}")
