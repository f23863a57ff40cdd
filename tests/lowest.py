"""Print the lowest versions that pyproject.toml allows, as requirements for pip.

python tests/lowest.py                 of what the package, its language model and its downloads need, without torch
python tests/lowest.py --with-torch    and of torch, which is 3 GB on Linux
"""

import sys
import tomllib
from pathlib import Path

from packaging.requirements import Requirement

PROJECT = tomllib.loads((Path(__file__).parents[1] / "pyproject.toml").read_text(encoding="utf-8"))["project"]
TESTED_EXTRAS = ("lm", "data")


def ranges() -> list[Requirement]:
    """The requirements whose lowest versions are tested."""
    extras = PROJECT["optional-dependencies"]
    return [Requirement(need) for need in [*PROJECT["dependencies"], *(n for e in TESTED_EXTRAS for n in extras[e])]]


def lowest(need: Requirement) -> str:
    """The lowest version in a range such as >=2.0,<3."""
    return next(part.version for part in need.specifier if part.operator == ">=")


if __name__ == "__main__":
    with_torch = "--with-torch" in sys.argv[1:]
    print(*(f"{need.name}=={lowest(need)}" for need in ranges() if with_torch or need.name != "torch"))
