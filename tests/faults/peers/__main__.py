"""The same situations on this tokenizer and on public ones, each in a process of its own, as one table.

    python -m pip install '.[compare]'
    python tests/faults/peers                     some 10 minutes; writes docs/peers.md and peers.json
    python tests/faults/peers --rows R8 R19       these rows only; the others stay as peers.json has them
    python tests/faults/peers --tools bpe_lm tiktoken       of these only; prints, and writes nothing, as with --dry
    python tests/faults/peers --missing           the packages to install, a line each

A program that is not installed has a column that says so. A cell states what was seen, with its number of cases; a
program that has no such function "does not offer" it.
"""

import argparse
import json
import platform
import signal
import sys
import tempfile
import tomllib
from datetime import UTC, datetime
from pathlib import Path

import rows
import situations
from page import page
from tools import TOOLS, installed, version

ROOT = Path(__file__).parents[3]
sys.path.insert(0, str(ROOT / "tests" / "faults"))


def missing():
    """What pyproject.toml asks of the packages that are not here."""
    extra = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]["compare"]
    absent = {TOOLS[name].package for name in TOOLS if not installed(name)}
    return [asked for asked in extra if asked.partition("==")[0] in absent]


def measure(names, wanted):
    """Each row's title; its cells, and when and at which commit they were seen."""
    import scene
    from scorecard import commit

    with tempfile.TemporaryDirectory() as folder:
        scene.build(Path(folder))
        for row in rows.ROWS:
            if wanted and row.name not in wanted:
                continue
            found = {"date": f"{datetime.now(UTC):%Y-%m-%d}", "commit": commit(), "cells": {}}
            for name in names:
                cell = row.measure(rows.Case(name, Path(folder)))
                found["cells"][name] = cell
                print(f"{row.title:34} {name:14} {cell['text']}", flush=True)
            yield row.title, found


def kept(result):
    """What an earlier run of the same versions on the same machine has seen."""
    path = ROOT / "peers.json"
    earlier = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    known = ("machine", "system", "versions")
    return earlier["rows"] if earlier and all(earlier[key] == result[key] for key in known) else {}


def main():
    if sys.argv[1:2] == ["--child"]:
        return situations.run(json.loads(sys.argv[2]))
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", nargs="+", choices=sorted({row.name for row in rows.ROWS}), default=[])
    parser.add_argument("--tools", nargs="+", choices=TOOLS, default=list(TOOLS))
    parser.add_argument("--dry", action="store_true", help="print, and write nothing")
    parser.add_argument("--missing", action="store_true", help="print the packages that are not installed")
    options = parser.parse_args()
    if options.missing:
        return print("\n".join(missing()))
    from scorecard import machine

    # A shell that starts this in the background has it ignore Ctrl-C, and the processes that are sent it, too.
    signal.signal(signal.SIGINT, signal.default_int_handler)

    result = {
        "machine": machine(),
        "system": f"{platform.system()}, Python {platform.python_version()}",
        "versions": {name: version(name) if installed(name) else None for name in options.tools},
    }
    seen = {}
    for title, row in measure([name for name in options.tools if installed(name)], options.rows):
        seen[title] = row
        if not options.dry and options.tools == list(TOOLS):
            write(result, (kept(result) if options.rows else {}) | seen)


def write(result, found):
    """Write what there is, after each row: a run that is ended loses no more than one."""
    result["rows"] = {row.title: found[row.title] for row in rows.ROWS if row.title in found}
    (ROOT / "peers.json").write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")
    (ROOT / "docs" / "peers.md").write_text(page(result), encoding="utf-8")


if __name__ == "__main__":
    main()
