"""The command line as a person meets it: results on stdout, progress and errors on stderr, exit statuses."""

import gzip
import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from bpe_lm import _core
from bpe_lm.cli.course import Experiment

ROOT = Path(__file__).parents[2]
END_OF_TEXT = "<|endoftext|>"


def bpe_lm(*arguments, cwd, **options):
    command = [sys.executable, "-m", "bpe_lm", *map(str, arguments)]
    return subprocess.run(command, cwd=cwd, capture_output=True, text=True, timeout=120, check=False, **options)


def train(sample, *arguments, cwd):
    return bpe_lm("train-tokenizer", sample, "--special-token", END_OF_TEXT, *arguments, cwd=cwd)


def test_train_tokenizer_prints_a_table_and_writes_every_format(sample, tmp_path):
    done = train(sample, "--vocab-size", 1000, "--out", "out", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    for word in ("longest tokens", "peak memory", "bytes per token", "1,000 tokens", "written to"):
        assert word in done.stdout
    assert "merge: 743 of 743 merges, 100 %" in done.stderr
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == sorted(_core.FILE_NAMES)


def test_json(sample, tmp_path):
    done = train(sample, "--vocab-size", 300, "--out", "out", "--json", "--quiet", cwd=tmp_path)
    report = json.loads(done.stdout)
    assert done.stderr == ""
    assert report["vocab_size"] == 300
    assert report["corpus_bytes"] == sample.stat().st_size
    assert 1 < report["bytes_per_token"] < 3
    assert report["peak_memory"] > 1e6


@pytest.mark.parametrize(
    ("arguments", "status", "message"),
    [
        (["missing.txt", "--vocab-size", "300", "--out", "out"], 1, "missing.txt"),
        ([".", "--vocab-size", "300", "--out", "out"], 1, "directory"),
        (["sample", "--vocab-size", "100", "--out", "out"], 1, "minimum 256"),
        (["sample", "--vocab-size", "300", "--out", "out", "--pattern", "("], 1, "does not compile"),
        (["sample", "--vocab-size", "300", "--out", "out", "--threads", "0"], 1, "threads"),
        (["sample", "--vocab-size", "300", "--out", "sample"], 1, "sample"),
        (["sample", "--vocab-size", "300", "--out", "/proc/nope"], 1, "/proc"),
        (["sample", "--vocab-size", "many", "--out", "out"], 2, "--vocab-size"),
        (["sample", "--vocab-size", "300"], 2, "--out"),
        (["sample", "--vocab-size", "300", "--out", "out", "--no-such-flag"], 2, "--no-such-flag"),
    ],
)
def test_errors_are_one_line_without_a_traceback_and_leave_nothing(sample, tmp_path, arguments, status, message):
    (tmp_path / "sample").symlink_to(sample)
    done = bpe_lm("train-tokenizer", *arguments, cwd=tmp_path)
    assert done.returncode == status
    assert message in done.stderr
    assert "Traceback" not in done.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["sample"]


def test_an_existing_tokenizer_is_kept_before_any_work(sample, tmp_path):
    assert train(sample, "--vocab-size", 300, "--out", "out", cwd=tmp_path).returncode == 0
    done = train(sample, "--vocab-size", 300, "--out", "out", cwd=tmp_path)
    assert done.returncode == 1
    assert "--force" in done.stderr
    assert "count" not in done.stderr
    assert train(sample, "--vocab-size", 301, "--out", "out", "--force", cwd=tmp_path).returncode == 0
    assert len(json.loads((tmp_path / "out" / "training.json").read_text())["merge_counts"]) == 301 - 257


def is_open(path, process):
    """Whether a process reads a file."""
    try:
        return any(os.path.realpath(found) == str(path) for found in Path(f"/proc/{process}/fd").iterdir())
    except OSError:  # It has closed another one meanwhile.
        return False


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_killed_while_training_leaves_nothing(large_sample, tmp_path, number):
    command = [
        sys.executable,
        "-m",
        "bpe_lm",
        "train-tokenizer",
        *[str(large_sample)] * 40,  # Longer than any machine takes until it is killed.
        "--vocab-size",
        "9000",
        "--out",
        "out",
    ]
    process = subprocess.Popen(command, cwd=tmp_path, stderr=subprocess.PIPE, text=True)
    while not is_open(large_sample, process.pid):
        assert process.poll() is None
    os.kill(process.pid, number)
    stderr = process.communicate(timeout=60)[1]
    assert process.returncode == (130 if number == signal.SIGINT else -9)
    assert "Traceback" not in stderr
    assert list(tmp_path.iterdir()) == []


LIMITED = """
import resource, signal, sys
signal.signal(signal.SIGXFSZ, signal.SIG_DFL)
resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[1]), int(sys.argv[1])))
from bpe_lm.cli.main import main
sys.exit(main(sys.argv[2:]))
"""
"""Dies while it writes a file that is larger than so many bytes."""


def killed_on_sight(command, folder, pattern):
    """Kills a command as soon as it has made something. Returns whether that was before its end."""
    process = subprocess.Popen(command, cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    while not any(folder.glob(pattern)) and process.poll() is None:
        pass
    process.kill()
    return process.wait() == -signal.SIGKILL


def test_killed_at_any_moment_leaves_a_whole_tokenizer_or_none(sample, tmp_path):
    """While a file is written, while some are, and as soon as the folder has its name."""
    arguments = ["train-tokenizer", str(sample), "--vocab-size", "5000", "--out", "out"]
    command = [sys.executable, "-m", "bpe_lm", *arguments]
    subprocess.run(command, cwd=tmp_path, capture_output=True, check=True)
    expected = saved(tmp_path / "out")
    assert len(expected) == len(_core.FILE_NAMES)
    sizes = [len(expected[name]) for name in ("vocab.json", "tokenizer.json")]
    for size in sizes:
        folder = tmp_path / str(size)
        folder.mkdir()
        limited = [sys.executable, "-c", LIMITED, str(size - 1), *arguments]
        assert subprocess.run(limited, cwd=folder, capture_output=True).returncode == -signal.SIGXFSZ
        [left] = folder.iterdir()
        assert left.name.startswith(".bpe_lm-")
        assert max(path.stat().st_size for path in left.iterdir()) == size - 1
        subprocess.run(command, cwd=folder, capture_output=True, check=True)
        assert saved(folder / "out") == expected
        limited = [sys.executable, "-c", LIMITED, str(size // 2), *arguments[:3], "4500", *arguments[4:], "--force"]
        assert subprocess.run(limited, cwd=folder, capture_output=True).returncode == -signal.SIGXFSZ
        assert saved(folder / "out") == expected
    for pattern in (".bpe_lm-*", "out"):
        for attempt in range(20):
            folder = tmp_path / f"{attempt}-{pattern.strip('.*')}"
            folder.mkdir()
            is_killed = killed_on_sight(command, folder, pattern)
            left = {path.name for path in folder.iterdir()}
            assert {name for name in left if not name.startswith(".bpe_lm-")} <= {"out"}
            if "out" in left:
                assert saved(folder / "out") == expected
            if is_killed and ("out" in left) == (pattern == "out"):
                break
        else:
            pytest.fail(f"no kill came while {pattern} was there")


@pytest.mark.row("R2", few=10, many=50)
def test_killed_at_random_moments_leaves_a_whole_tokenizer_or_none(sample, tmp_path, cases):
    arguments = ["train-tokenizer", str(sample), "--vocab-size", "2000", "--out", "out"]
    command = [sys.executable, "-m", "bpe_lm", *arguments]
    began = time.monotonic()
    subprocess.run(command, cwd=tmp_path, capture_output=True, check=True)
    whole, expected, choose = time.monotonic() - began, saved(tmp_path / "out"), random.Random(cases.asked)
    for case in cases:
        folder = tmp_path / str(case)
        folder.mkdir()
        with subprocess.Popen(command, cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
            time.sleep(choose.uniform(0.3 * whole, 1.05 * whole))
            process.kill()
        left = [path for path in folder.iterdir() if not path.name.startswith(".bpe_lm-")]
        assert [path.name for path in left] in ([], ["out"])
        for found in left:
            assert saved(found) == expected
    subprocess.run([*command, "--force"], cwd=folder, capture_output=True, check=True)
    assert saved(folder / "out") == expected


def saved(folder):
    """What each file says, apart from the seconds that training took."""
    said = {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}
    training = json.loads(said["training.json"])
    return said | {"training.json": {key: value for key, value in training.items() if key != "seconds"}}


@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_data_sample_stops_on_a_signal_and_leaves_nothing(tmp_path, number, status):
    command = [sys.executable, "-m", "bpe_lm", "data", "sample", "--megabytes", "5000"]
    process = subprocess.Popen(command, cwd=tmp_path, stderr=subprocess.DEVNULL)
    while not any((tmp_path / "data").glob("*")):
        assert process.poll() is None
        time.sleep(0.01)
    process.send_signal(number)
    assert process.wait(60) == status
    assert list((tmp_path / "data").iterdir()) == []


def test_a_long_line_does_not_hold_up_the_report(tmp_path):
    (tmp_path / "line.txt").write_text("".join(chr(97 + i * i % 23) for i in range(300_000)))
    assert train("line.txt", "--vocab-size", 400, "--out", "out", cwd=tmp_path).returncode == 0


@pytest.mark.parametrize("arguments", [["--megabytes", "nan"], ["--megabytes", "-1"], ["--seed", "-1"]])
def test_data_sample_refuses_odd_numbers(tmp_path, arguments):
    assert bpe_lm("data", "sample", *arguments, cwd=tmp_path).returncode == 2


def test_data_sample(tmp_path):
    done = bpe_lm("data", "sample", "--megabytes", "0.5", cwd=tmp_path)
    assert done.returncode == 0
    train, valid = (tmp_path / "data" / f"sample-{split}.txt" for split in ("train", "valid"))
    assert 500_000 <= train.stat().st_size < 510_000
    assert 50_000 <= valid.stat().st_size < 60_000
    assert train.read_text().endswith(f"\n{END_OF_TEXT}\n")
    assert train.stat().st_mode & 0o044 == 0o044


def script(name, *arguments, cwd):
    command = [sys.executable, str(ROOT / name), *map(str, arguments)]
    return subprocess.run(command, cwd=cwd, capture_output=True, text=True, timeout=120, check=False)


@pytest.mark.parametrize("name", ["train_bpe_tinystories.py", "train_bpe_expts_owt.py"])
def test_the_scripts_say_how_to_get_a_missing_corpus(name, tmp_path):
    done = script(name, cwd=tmp_path)
    assert done.returncode == 1
    for word in ("neither data/", ".txt.gz", "Hugging Face", "bpe-lm data download", "--corpus", "--sample"):
        assert word in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_a_script_finds_its_corpus_unpacked_before_packed(tmp_path):
    experiment = Experiment("name", tmp_path / "owt_train.txt", 300, tmp_path, "how")
    assert experiment.existing_corpus() is None
    for name in ("owt_train.txt.gz", "owt_train.txt"):
        (tmp_path / name).touch()
        assert experiment.existing_corpus() == tmp_path / name


def test_the_second_script_trains_on_the_packed_corpus(sample, tmp_path):
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "owt_train.txt.gz").write_bytes(gzip.compress(sample.read_bytes(), 1))
    done = script("train_bpe_expts_owt.py", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "runs/openwebtext" in done.stdout


def test_the_scripts_train_and_the_second_compares(sample, tmp_path):
    first = script("train_bpe_tinystories.py", "--corpus", sample, "--profile", cwd=tmp_path)
    assert first.returncode == 0, first.stderr
    for word in ("longest tokens", "peak memory", "cumulative", "runs/tinystories", "seconds: count"):
        assert word in first.stdout
    second = script("train_bpe_expts_owt.py", "--corpus", sample, cwd=tmp_path)
    assert second.returncode == 0, second.stderr
    assert "The two vocabularies" in second.stdout


def test_help_is_quick_and_names_the_commands(tmp_path):
    done = bpe_lm("--help", cwd=tmp_path)
    assert "train-tokenizer" in done.stdout
    assert bpe_lm("--version", cwd=tmp_path).stdout.startswith("bpe-lm ")
    assert bpe_lm(cwd=tmp_path).returncode == 2
