import os
import shutil
import subprocess
from pathlib import Path

import pytest
from bpe_lm import machine

needs_git = pytest.mark.skipif(shutil.which("git") is None, reason="no git here")


@pytest.fixture
def place(tmp_path, monkeypatch) -> Path:
    """Put the file whose commit is asked for into a folder of its own."""
    path = tmp_path / "package" / "machine.py"
    path.parent.mkdir()
    path.write_text("first\n")
    monkeypatch.setattr(machine, "__file__", str(path))
    machine.commit.cache_clear()
    yield path
    machine.commit.cache_clear()


def git(folder: Path, *arguments: str) -> str:
    names = ["-c", "user.name=a", "-c", "user.email=a@example.org", "-c", "commit.gpgsign=false"]
    environment = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    command = ["git", *names, *arguments]
    return subprocess.run(command, cwd=folder, check=True, capture_output=True, text=True, env=environment).stdout


def test_a_machine_is_described_by_what_it_has():
    found = machine.describe_machine("GPU")
    assert found["processor"]
    assert 1 <= found["cores"] <= os.cpu_count()
    assert found["memory"] > machine.peak_memory()
    assert found["gpu"] == "GPU"
    assert machine.describe_machine()["gpu"] is None


@needs_git
def test_a_clone_has_its_commit_and_says_whether_a_file_has_changed(place, monkeypatch):
    git(place.parent.parent, "init", "--quiet")
    git(place.parent.parent, "add", ".")
    git(place.parent.parent, "commit", "--quiet", "--message", "x")
    git(place.parent.parent, "tag", "--annotate", "v1", "--message", "x")
    head = git(place.parent, "rev-parse", "HEAD").strip()
    monkeypatch.setenv("GIT_DIR", "/nowhere")  # As a git hook sets it.
    assert machine.commit() == head
    place.write_text("second\n")
    machine.commit.cache_clear()
    assert machine.commit() == f"{head}-dirty"


@needs_git
def test_a_copy_in_a_folder_of_another_repository_has_no_commit(place):
    (place.parent.parent / "other.txt").write_text("x")
    git(place.parent.parent, "init", "--quiet")
    git(place.parent.parent, "add", "other.txt")
    git(place.parent.parent, "commit", "--quiet", "--message", "x")
    assert machine.commit() is None


def test_a_copy_outside_a_clone_and_a_machine_without_git_have_no_commit(place, monkeypatch):
    assert machine.commit() is None
    monkeypatch.setenv("PATH", "")
    machine.commit.cache_clear()
    assert machine.commit() is None
