"""What the package needs: ranges that others can live with, and the versions that were tested within them."""

import tomllib
from pathlib import Path

from packaging.requirements import Requirement

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
TESTED = dict(
    line.lower().replace("-", "_").split("==") for line in (ROOT / "constraints.txt").read_text("utf-8").splitlines()
)
EXTRAS = PROJECT["optional-dependencies"]


def test_what_is_needed_to_run_has_a_range():
    needed = [
        *PROJECT["dependencies"],
        *(need for extra in ("lm", "data", "plots", "gguf", "wandb") for need in EXTRAS[extra]),
    ]
    for need in map(Requirement, needed):
        assert {part.operator for part in need.specifier} == {">=", "<"}, str(need)


def test_the_tested_versions_are_within_what_is_asked_for():
    everything = [
        *PROJECT["dependencies"],
        *(need for extra in ("lm", "data", "dev", "plots", "gguf") for need in EXTRAS[extra]),
    ]
    for need in map(Requirement, everything):
        assert need.specifier.contains(TESTED[need.name.lower().replace("-", "_")]), str(need)
