"""The program that runs the same situations on other tokenizers: here on ours alone, and its page."""

import subprocess
import sys
from pathlib import Path

PEERS = Path(__file__).with_name("peers")


def run(*arguments: str) -> str:
    return subprocess.run([sys.executable, PEERS, *arguments], check=True, capture_output=True, text=True).stdout


def test_a_row_says_what_was_seen():
    (line,) = run("--dry", "--rows", "R19", "--tools", "bpe_lm").splitlines()
    assert line.startswith("R19 files cut off")
    assert line.count("error (FormatError)") == 4
    assert "another tokenizer" not in line


def test_the_page_tells_a_program_that_is_not_installed_from_others(monkeypatch):
    monkeypatch.syspath_prepend(str(PEERS))
    from page import page

    cells = {"bpe_lm": {"text": "4 of 4 right"}}
    rows = {"R24 forked, encoding": {"date": "2026-11-28", "commit": "59e6dfc", "cells": cells}}
    said = page(
        {"machine": "two cores", "system": "Linux", "versions": {"bpe_lm": "0.1.0", "other": None}, "rows": rows}
    )
    assert said.splitlines()[-5:-2] == [
        "| situation | bpe_lm 0.1.0 | other | seen |",
        "| --- | --- | --- | --- |",
        "| R24 forked, encoding | 4 of 4 right | not installed | 2026-11-28, 59e6dfc |",
    ]


def test_what_is_missing_is_what_the_extra_asks():
    extra = (PEERS.parents[2] / "pyproject.toml").read_text()
    assert all(f'"{asked}"' in extra for asked in run("--missing").split())
