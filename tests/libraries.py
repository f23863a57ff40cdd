"""Print what the package and some of its extras need, a requirement a line, as pip reads it.

python tests/libraries.py dev lm
"""

import sys
import tomllib
from collections.abc import Iterable
from pathlib import Path

PROJECT = tomllib.loads((Path(__file__).parents[1] / "pyproject.toml").read_text(encoding="utf-8"))["project"]


def needs(extras: Iterable[str]) -> list[str]:
    """The requirements of the package and of these extras."""
    return [*PROJECT["dependencies"], *(need for name in extras for need in PROJECT["optional-dependencies"][name])]


if __name__ == "__main__":
    print(*needs(sys.argv[1:]), sep="\n")
