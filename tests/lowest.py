"""Print the lowest versions that pyproject.toml allows, as requirements for pip.

python tests/lowest.py                 of what the package, its language model and its downloads need, without torch
python tests/lowest.py --with-torch    and of torch, which is 3 GB on Linux
"""

import sys

from libraries import needs
from packaging.requirements import Requirement

TESTED_EXTRAS = ("lm", "data")


def ranges() -> list[Requirement]:
    """The requirements whose lowest versions are tested."""
    return [Requirement(need) for need in needs(TESTED_EXTRAS)]


def lowest(need: Requirement) -> str:
    """The lowest version in a range such as >=2.0,<3."""
    return next(part.version for part in need.specifier if part.operator == ">=")


if __name__ == "__main__":
    with_torch = "--with-torch" in sys.argv[1:]
    print(*(f"{need.name}=={lowest(need)}" for need in ranges() if with_torch or need.name != "torch"))
