import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import bpe_lm
import pytest
from bpe_lm import Tokenizer
from cases import are_many
from injection import END_OF_TEXT, OTHER, beginning, start, write_corpus


@pytest.fixture(scope="module")
def saved(sample, tmp_path_factory) -> Path:
    """A folder with a tokenizer."""
    folder = tmp_path_factory.mktemp("saved") / "tokenizer"
    special_tokens = [END_OF_TEXT, OTHER]
    Tokenizer(*bpe_lm.train_bpe(sample, 1000, special_tokens), special_tokens).save(folder)
    return folder


@pytest.fixture(scope="module")
def tokenizer(saved) -> Tokenizer:
    return Tokenizer.load(saved)


@pytest.fixture
def in_memory(tmp_path):
    """A folder that needs no disk, where there is such a thing: thousands of runs would wait for it."""
    if not os.access("/dev/shm", os.W_OK):
        yield tmp_path
        return
    with tempfile.TemporaryDirectory(dir="/dev/shm") as folder:
        yield Path(folder)


@pytest.fixture(scope="module")
def shim(tmp_path_factory) -> Path:
    compiler = shutil.which(os.environ.get("CC", "cc"))
    if sys.platform != "linux" or compiler is None:
        pytest.skip("faults come from a library that a C compiler makes, on Linux")
    path = tmp_path_factory.mktemp("shim") / "faults.so"
    source = Path(__file__).with_name("faults.c")
    subprocess.run([compiler, "-shared", "-fPIC", "-O1", "-o", path, source, "-ldl"], check=True)
    return path


@pytest.fixture(scope="module")
def small_corpus(sample, tmp_path_factory) -> list[Path]:
    """Three chunks of text, and a chunk of each other kind."""
    text = sample.read_bytes()
    return write_corpus(tmp_path_factory.mktemp("small") / "corpus", beginning(text, 300_000), beginning(text, 5000))


@pytest.fixture
def points(shim, saved, small_corpus, tmp_path):
    """Calls a function in a process whose calls on files of a folder can be made to go wrong: at how many points?"""

    def run(function, *arguments) -> int:
        folder = tmp_path / "faults"
        folder.mkdir()
        environment = os.environ | {"LD_PRELOAD": str(shim), "FAULTS_FOLDER": str(folder)}
        code = f"import json, sys, {function.__module__} as tests; tests.{function.__name__}(*json.loads(sys.argv[1]))"
        with start(code, folder, saved, small_corpus, *arguments, env=environment) as process:
            try:
                said = process.communicate(timeout=1000 if are_many() else 200)[0]
            finally:
                process.kill()
        assert process.returncode == 0
        points, problems = json.loads(said)
        print(points, "points")
        if problems:
            lines = [f"{len(problems)} problems at {points} points:", *problems]
            pytest.fail("\n".join(lines).replace(f"{folder}/", ""), pytrace=False)
        return points

    return run
