"""A fresh clone in a folder with spaces, and the two commands of README: `git clone`, `make demo`.

What is not tried is the download: the clone's environment takes its packages from the one that runs this.
"""

import os
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
pytestmark = [
    pytest.mark.long,
    pytest.mark.row("R35", few=1, many=1),
    pytest.mark.timeout(3600),
    pytest.mark.skipif(
        not all(map(shutil.which, ("git", "make", "cargo"))), reason="git, make and cargo are not there"
    ),
]


def run(*command, folder):
    environment = {
        name: value for name, value in os.environ.items() if not name.startswith(("BPE_LM_", "PYTEST", "MAKE"))
    }
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, (done.stdout + done.stderr)[-2000:]
    return done.stdout


def environment_without_downloads(clone):
    """.venv as `make` sets it up, with the packages of this environment."""
    run(sys.executable, "-m", "venv", "--without-pip", ".venv", folder=clone)
    code = "import sysconfig; print(sysconfig.get_path('purelib'))"
    within = Path(run(str(clone / ".venv" / "bin" / "python"), "-c", code, folder=clone).strip())
    known = [sysconfig.get_path("purelib"), *(path for path in sys.path if path.endswith("site-packages"))]
    (within / "known.pth").write_text("\n".join(dict.fromkeys(known)) + "\n")
    # `python -m maturin` looks for the program beside itself.
    (clone / ".venv" / "bin" / "maturin").symlink_to(Path(sys.executable).with_name("maturin"))
    for step in ("installed", "libraries"):
        (clone / ".venv" / step).touch()


def test_two_commands_after_a_clone_into_a_path_with_spaces(tmp_path, cases):
    clone = tmp_path / "a folder with spaces"
    run("git", "clone", "-q", str(ROOT), str(clone), folder=tmp_path)
    environment_without_downloads(clone)
    said = run("make", "demo", folder=clone)
    assert "Next, on a text of your own" in said
    assert (clone / "runs" / "demo" / "losses.png").stat().st_size > 10_000
    cases.found(1)
