import os
import signal
import sys
from pathlib import Path

import bpe_lm
import pytest
from bpe_lm import _core
from cases import cases, pytest_collection_modifyitems, pytest_runtest_makereport  # noqa: F401
from shared_data import SHARED

# A shell that starts tests in the background has them ignore Ctrl-C; those that send it need it.
signal.signal(signal.SIGINT, signal.default_int_handler)

END_OF_TEXT = "<|endoftext|>"


@pytest.fixture
def shared():
    """A file of the shared data by name; the test skips where it is not there."""

    def find(name: str) -> Path:
        path = SHARED / name
        if not path.exists():
            pytest.skip(f"{name} is not there")
        return path

    return find


@pytest.fixture(autouse=True)
def _no_choice_by_time(monkeypatch):
    """Runs that a test compares take the same library, also on a busy machine, whose measurements differ."""
    automatic = sys.modules.get("bpe_lm.training.automatic")
    if automatic is not None:
        monkeypatch.setattr(automatic, "faster_float32_library", lambda usual: usual)


@pytest.fixture
def needs_kernels():
    """The test skips where the machine lacks AVX512-BF16, or fails if BPE_LM_REQUIRE_KERNELS=1."""
    if not _core.kernels_are_available():
        answer = pytest.fail if os.environ.get("BPE_LM_REQUIRE_KERNELS") == "1" else pytest.skip
        answer("no AVX512-BF16 here")


@pytest.fixture
def needs_amx():
    """The test skips where the machine lacks AMX's tiles, or the system denies them."""
    if not _core.amx_is_available():
        pytest.skip("no AMX here")


@pytest.fixture(scope="session")
def sample(tmp_path_factory) -> Path:
    """Two megabytes of made-up stories."""
    path = tmp_path_factory.mktemp("sample") / "sample.txt"
    _core.write_sample(path, 2_000_000, 1, False)
    return path


@pytest.fixture(scope="session")
def data(sample, tmp_path_factory) -> Path:
    """A tokenizer of 300 tokens, and its ids of stories."""
    folder = tmp_path_factory.mktemp("data")
    text = sample.read_bytes()
    (folder / "train.txt").write_bytes(text[:300_000])
    (folder / "valid.txt").write_bytes(text[-30_000:])
    vocab, merges = bpe_lm.train_bpe(folder / "train.txt", 300, [END_OF_TEXT])
    tokenizer = bpe_lm.Tokenizer(vocab, merges, [END_OF_TEXT])
    tokenizer.save(folder / "tokenizer")
    for name in ("train", "valid"):
        tokenizer.encode_file(folder / f"{name}.txt", folder / f"{name}.bin")
    return folder


@pytest.fixture(scope="session")
def run_of_two_steps(data, tmp_path_factory) -> Path:
    """The folder of a run on these ids, which no test changes."""
    from bpe_lm import Trainer
    from bpe_lm.training.config import override
    from bpe_lm.training.presets import resolve

    folder = tmp_path_factory.mktemp("runs") / "run"
    files = {"train": str(data / "train.bin"), "valid": str(data / "valid.bin"), "tokenizer": str(data / "tokenizer")}
    changes = {"steps": 2, "validate_every": 2, "validation_tokens": 160, "device": "cpu", "schedule": {"warmup": 1}}
    with Trainer(override(resolve("debug"), {"data": files} | changes), folder) as trainer:
        trainer.run()
    return folder


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
