"""Print what the package and some of its extras need, a requirement a line, as pip reads it.

python tests/libraries.py dev lm
"""

import sys
import tomllib
from pathlib import Path

PROJECT = tomllib.loads((Path(__file__).parents[1] / "pyproject.toml").read_text(encoding="utf-8"))["project"]

if __name__ == "__main__":
    extras = PROJECT["optional-dependencies"]
    print(*PROJECT["dependencies"], *(need for name in sys.argv[1:] for need in extras[name]), sep="\n")
