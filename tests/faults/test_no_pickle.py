"""Nothing of the package unpickles: tests run under a tripwire, which is shown to see what it should."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
MANY = [
    *(
        f"tests/{name}"
        for name in ("cli", "data", "experiments", "export", "kernels", "model", "tokenizer", "training")
    ),
    "tests/faults/test_token_file_faults.py tests/faults/test_hostile_files.py tests/faults/test_writer_faults.py",
    "tests/test_cs336.py tests/test_progress.py tests/test_package.py",
]
"""All tests of the package's code: every folder that has a room of the same name, and files of the others."""

UNPICKLE = """
import pickle, sys, types
read = pickle.loads
for path in reversed(sys.argv[1:]):
    module = types.ModuleType("reader")
    module.read = read
    exec(compile("def outer(data): return read(data)", path, "exec"), module.__dict__)
    read = module.outer
read(pickle.dumps(pickle.Pickler))
"""
OURS, OTHERS = str(ROOT / "python" / "bpe_lm" / "reader.py"), "/somewhere/else.py"
COMPILER = "/site-packages/torch/_inductor/codecache.py"


def run(command, record) -> str:
    environment = os.environ | {"BPE_LM_TRIPWIRE": str(record), "PYTHONPATH": str(Path(__file__).parent / "tripwire")}
    environment.pop("BPE_LM_RECORD", None)
    done = subprocess.run([sys.executable, *command], cwd=ROOT, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    return record.read_text() if record.exists() else ""


@pytest.mark.parametrize(
    ("callers", "is_seen"),
    [
        ([OTHERS], False),
        ([OURS], True),
        ([OURS, OTHERS], True),
        ([COMPILER, OURS], True),
        ([OURS, COMPILER], False),
    ],
)
def test_the_tripwire_sees_the_package_and_neither_others_nor_the_compilers_cache(tmp_path, callers, is_seen):
    seen = run(["-c", UNPICKLE, *callers], tmp_path / "record")
    assert ("pickle.find_class" in seen) == is_seen


@pytest.mark.long
@pytest.mark.row("R32", few=1, many=1)
@pytest.mark.parametrize("tests", MANY)
def test_nothing_of_the_package_unpickles_in_its_tests(tmp_path, tests, cases):
    pytest_command = [
        "-m",
        "pytest",
        "-q",
        "--no-header",
        "-p",
        "no:cacheprovider",
        "-n",
        "2",
        "-x",
        "-m",
        "not long and not row",
        *tests.split(),
    ]
    assert run(pytest_command, tmp_path / "record") == ""
    cases.found(1)
