"""Run a measurement in a process of its own: `python -m bpe_lm.experiments.job MODULE VALUES`.

It calls `measure(**VALUES)` of a module of this package, and writes the result to stdout as a line of JSON.
"""

from __future__ import annotations

import importlib
import json
import sys

from bpe_lm.errors import BpeLmError


def main(module: str, values: str) -> None:
    """Call the module's `measure` with the values, a JSON object, and print what it returns.

    An error of this package becomes a line on stderr, and the exit status 1.
    """
    try:
        result = importlib.import_module(module).measure(**json.loads(values))
    except BpeLmError as error:
        sys.exit(f"error: {error}")
    print(json.dumps(result))


if __name__ == "__main__":
    main(*sys.argv[1:])
