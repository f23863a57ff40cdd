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
code = compile("import pickle\\ndef read(data): return pickle.loads(data)", sys.argv[1], "exec")
module = types.ModuleType("reader")
exec(code, module.__dict__)
module.read(pickle.dumps(pickle.Pickler))
"""


def run(command, record) -> str:
    environment = os.environ | {"BPE_LM_TRIPWIRE": str(record), "PYTHONPATH": str(Path(__file__).parent / "tripwire")}
    environment.pop("BPE_LM_RECORD", None)
    done = subprocess.run([sys.executable, *command], cwd=ROOT, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    return record.read_text() if record.exists() else ""


@pytest.mark.parametrize("is_ours", [False, True])
def test_the_tripwire_sees_the_package_and_nobody_else(tmp_path, is_ours):
    path = str(ROOT / "python" / "bpe_lm" / "reader.py") if is_ours else "/somewhere/else.py"
    seen = run(["-c", UNPICKLE, path], tmp_path / "record")
    assert ("pickle.find_class" in seen) == is_ours


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
