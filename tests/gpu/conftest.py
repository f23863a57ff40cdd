"""The device of a test: the CPU, where it shows that the test works, and an NVIDIA GPU where there is one."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch

FOLDER = Path(__file__).parent

ON_GPU = (
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="needs an NVIDIA GPU"),
    pytest.mark.filterwarnings("default"),  # What torch warns of on a GPU depends on its version.
)


GPU = [pytest.param("cuda", marks=ON_GPU)]


@pytest.fixture(scope="session", params=["cpu", *GPU])
def device(request) -> str:
    """The kind of device on which a test computes."""
    return request.param


@pytest.fixture(scope="session", params=[pytest.param("cpu", marks=pytest.mark.long), *GPU])
def slow_device(request) -> str:
    """As `device`, for a test that starts many processes."""
    return request.param


@pytest.fixture(scope="session", params=GPU)
def gpu(request) -> str:
    """The GPU, for a test that has no meaning on a CPU."""
    return request.param


@pytest.fixture(scope="session")
def script():
    """Run a script of this folder, in a process without the checks of shapes, which no compiler takes."""

    def run(name: str, *arguments: str) -> dict:
        command = [sys.executable, str(FOLDER / name), *arguments]
        done = subprocess.run(command, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout.splitlines()[-1])

    return run
