"""Tests that the scorecard in tests/faults counts: how many cases each one runs, and a record of those that ran.

A test of a row has the marker `row`, and takes its number of cases from the fixture `cases`:

    @pytest.mark.row("R1", few=20, many=100)
    def test_killed(cases):
        for case in cases:
            ...

It runs `few` cases; with `BPE_LM_CASES=many` in the environment `many`. A test that finds its cases itself, such as
each system call of a function, says how many there were: `cases.found(number)`. Without the fixture a test is one case.
With `BPE_LM_RECORD=PATH` each test adds a line of JSON to that file. (tests/common/row.rs does the same for Rust.)
"""

import json
import os
from collections.abc import Iterator

import pytest


class Cases:
    """The cases of one test: how many are asked for, and how many have passed."""

    def __init__(self, asked: int):
        self.asked, self.passed = asked, 0

    def __iter__(self) -> Iterator[int]:
        for case in range(self.asked):
            yield case
            self.passed = case + 1

    def found(self, number: int) -> None:
        """Say that so many cases were found, and have passed."""
        self.asked, self.passed = max(self.asked, number), self.passed + number


_CASES = pytest.StashKey[Cases]()


def are_many() -> bool:
    return os.environ.get("BPE_LM_CASES") == "many"


def number_of(marker: pytest.Mark) -> int:
    return marker.kwargs.get("many" if are_many() else "few", 0)


@pytest.fixture
def cases(request) -> Cases:
    marker = request.node.get_closest_marker("row")
    return request.node.stash.setdefault(_CASES, Cases(number_of(marker)))


def pytest_collection_modifyitems(items):
    for item in items:
        if are_many() and item.get_closest_marker("row"):
            item.add_marker(pytest.mark.timeout(3600))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item, call):
    report = yield
    marker, path = item.get_closest_marker("row"), os.environ.get("BPE_LM_RECORD")
    if marker is not None and path and (report.when == "call" or report.outcome != "passed"):
        found = item.stash.get(_CASES, Cases(1))
        passed = 1 if _CASES not in item.stash and report.outcome == "passed" else found.passed
        outcome = "not run" if report.when == "setup" and report.failed else report.outcome
        counts = {"row": marker.args[0], "asked": found.asked, "passed": passed, "outcome": outcome}
        with open(path, "a", encoding="utf-8") as file:
            file.write(json.dumps({"test": item.nodeid, **counts}) + "\n")
    return report
