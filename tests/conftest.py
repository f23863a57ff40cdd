import signal
from pathlib import Path

import pytest
from bpe_lm import _core

# A shell that starts tests in the background has them ignore Ctrl-C; those that send it need it.
signal.signal(signal.SIGINT, signal.default_int_handler)

SHARED = Path(__file__).parents[2] / "shared" / "data"


@pytest.fixture
def shared():
    """A file of the shared data by name; the test skips where it is not there."""

    def find(name: str) -> Path:
        path = SHARED / name
        if not path.exists():
            pytest.skip(f"{name} is not there")
        return path

    return find


@pytest.fixture(scope="session")
def sample(tmp_path_factory) -> Path:
    """Two megabytes of made-up stories."""
    path = tmp_path_factory.mktemp("sample") / "sample.txt"
    _core.write_sample(path, 2_000_000, 1, False)
    return path


@pytest.fixture(scope="session")
def large_sample(tmp_path_factory) -> Path:
    """Enough text for training to take a while: stories, many times over."""
    folder = tmp_path_factory.mktemp("large")
    _core.write_sample(folder / "part.txt", 20_000_000, 2, False)
    path = folder / "large.txt"
    part = (folder / "part.txt").read_bytes()
    with open(path, "wb") as file:
        for _ in range(30):
            file.write(part)
    return path
