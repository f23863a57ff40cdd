"""What the package needs: ranges that other projects can live with, and the versions that are tested within them."""

import re
import subprocess
import sys
from pathlib import Path

from libraries import PROJECT
from lowest import lowest, ranges
from packaging.requirements import Requirement

ROOT = Path(__file__).parents[1]
TESTED = dict(
    line.lower().replace("-", "_").split("==") for line in (ROOT / "constraints.txt").read_text("utf-8").splitlines()
)
EXTRAS = PROJECT["optional-dependencies"]
TRACKERS = ("wandb", "tensorboard", "trackio")
"""Extras that the tests replace by fakes, if they are not installed."""

NEEDED = [
    Requirement(need)
    for need in [
        *PROJECT["dependencies"],
        *(
            need
            for extra in ("lm", "data", "plots", "gguf", "parquet", "remote", "http", "hf", "ray", *TRACKERS)
            for need in EXTRAS[extra]
        ),
    ]
]


def test_what_is_needed_to_run_has_a_range_and_torch_has_no_upper_bound():
    for need in NEEDED:
        operators = {">="} if need.name == "torch" else {">=", "<"}
        assert {part.operator for part in need.specifier} == operators, str(need)


def test_the_tested_versions_are_within_what_is_asked_for():
    for need in [*NEEDED, *map(Requirement, EXTRAS["dev"])]:
        if need.name not in TRACKERS:
            assert need.specifier.contains(TESTED[need.name.lower().replace("-", "_")]), str(need)


def test_the_developers_tools_are_pinned():
    for need in map(Requirement, EXTRAS["dev"]):
        assert {part.operator for part in need.specifier} == {"=="}, str(need)


def test_the_lowest_versions_are_those_of_the_ranges():
    printed = {}
    for options in ([], ["--with-torch"]):
        command = [sys.executable, str(ROOT / "tests" / "lowest.py"), *options]
        printed[bool(options)] = subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()
    named = [Requirement(need) for need in [*PROJECT["dependencies"], *EXTRAS["lm"], *EXTRAS["data"]]]
    assert [need.name for need in ranges()] == [need.name for need in named]
    assert printed[True] == [f"{need.name}=={lowest(need)}" for need in named]
    assert printed[False] == [line for line in printed[True] if not line.startswith("torch==")]
    assert all(need.specifier.contains(lowest(need)) for need in named)


def test_the_lowest_versions_have_a_target_that_the_long_tests_run():
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    assert re.search(r"^test-lowest:.*\n(\t.*\n)*\t.*\.venv-lowest/bin/python -m pytest", makefile, re.M)
    assert re.search(r"^test-long:.*\n(\t.*\n)*\t\$\(MAKE\) test-lowest$", makefile, re.M)
