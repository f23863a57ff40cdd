"""Counting and encoding on a Ray of two workers: the bytes of one machine, whoever is killed."""

import gzip
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
import warnings
from contextlib import ExitStack
from pathlib import Path

import bpe_lm
import deaths
import pytest
from bpe_lm import errors
from bpe_lm.cli.main import main
from bpe_lm.cluster import counting, ray_tasks
from bpe_lm.cluster.ray_tasks import answer, connected, open_answer

END_OF_TEXT = "<|endoftext|>"
SLOW = r"(?=(?:.(?!Q)){0,9})(?<!q)\p{L}+|(?<!q)\P{L}"
"""A pattern that looks around at each character. A shard takes 0.4 s, and a worker dies at a report, after 0.1 s."""

SHARDS = 3

# Ray opens files that it leaves to the garbage collector, and asks for an environment variable.
pytestmark = [
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore:.*RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO:FutureWarning"),
]

DRIVER = """
import json, os, sys
import bpe_lm
texts, tokenizer, out, address = json.loads(sys.argv[1])
bpe_lm.encode_on_ray(texts, bpe_lm.Tokenizer.load(tokenizer), out, shards=3, resume=True, address=address)
"""


@pytest.fixture
def orders():
    """The folder of orders for workers, and of Ray's files: sockets have short names."""
    folder = Path(tempfile.mkdtemp(prefix="ray-", dir="/tmp"))
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def address(orders):
    """The address of a Ray on this machine, whose workers follow the orders. This process is connected to it."""
    environment = {deaths.FOLDER: str(orders), "PYTHONPATH": str(Path(__file__).parent)}
    job = {"runtime_env": {"worker_process_setup_hook": "deaths.install", "env_vars": environment}}
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RAY_TMPDIR", str(orders))
        patch.setenv("RAY_JOB_CONFIG_JSON_ENV_VAR", json.dumps(job))
        ray = pytest.importorskip("ray")
        with ExitStack() as stack:
            try:
                stack.enter_context(connected("local", threads=1))
            except errors.ClusterError as error:
                if " " in sys.executable:
                    pytest.skip(str(error))
                # Ray waits 30 seconds for its own processes, which a busy machine may need.
                stack.enter_context(connected("local", threads=1))
            yield ray.get_runtime_context().gcs_address


@pytest.fixture
def texts(sample, tmp_path):
    """Stories as text, as JSON lines and as gzip."""
    folder = tmp_path / "texts"
    folder.mkdir()
    text = sample.read_text()
    paths = [folder / "a.txt", folder / "b.jsonl", folder / "c.txt.gz"]
    paths[0].write_text(text + text[:-1000])
    paths[1].write_text("\n".join(json.dumps({"text": part}) for part in text[:300_000].split(END_OF_TEXT)))
    paths[2].write_bytes(gzip.compress(text[:300_000].encode()))
    return paths


@pytest.fixture
def tokenizer(data, tmp_path):
    """A tokenizer with the slow pattern, and its folder."""
    given = bpe_lm.Tokenizer.load(data / "tokenizer")
    slow = bpe_lm.Tokenizer(given.vocab, given.merges, [END_OF_TEXT], pattern=SLOW)
    folder = tmp_path / "tokenizer"
    slow.save(folder)
    return slow, folder


@pytest.fixture
def encoded(texts, tokenizer, tmp_path):
    """The token file of one machine."""
    out = tmp_path / "whole.bin"
    tokenizer[0].encode_file(texts, out)
    return out


def test_a_python_with_a_space_in_its_path_is_refused_at_once(monkeypatch):
    pytest.importorskip("ray")
    monkeypatch.setattr(sys, "executable", "/an environment/bin/python")
    with (
        pytest.raises(errors.ClusterError, match="an environment/bin/python.*the space"),
        connected("local", threads=1),
    ):
        pass


def parts_of(out: Path) -> list[Path]:
    return sorted(Path(f"{out}.parts").glob("*.bin"))


def assert_same_ids(out, encoded):
    assert b"".join(part.read_bytes() for part in parts_of(out)) == encoded.read_bytes()
    joined, whole = bpe_lm.open_tokens(out), bpe_lm.open_tokens(encoded)
    assert len(joined) == len(whole)
    assert [*joined.documents.starts] == [*whole.documents.starts]


@pytest.mark.timeout(600)
def test_the_bytes_are_those_of_one_machine_whoever_is_killed(
    address, orders, texts, tokenizer, encoded, tmp_path, monkeypatch, capsys
):
    """One test, because several would each start a Ray, in several processes at the same time."""
    for name in ("counts", "ids", "resumed", "errors"):
        (tmp_path / name).mkdir()
    check_counts_though_a_worker_is_killed(address, orders, texts, tmp_path / "counts", monkeypatch)
    check_ids_though_a_worker_is_killed(address, orders, texts, tokenizer, encoded, tmp_path / "ids", capsys)
    check_that_an_interrupted_and_a_killed_call_are_resumed(
        address, orders, texts, tokenizer, encoded, tmp_path / "resumed"
    )
    check_that_an_error_arrives_with_its_class_and_its_path(texts, tokenizer, tmp_path / "errors")


def check_counts_though_a_worker_is_killed(address, orders, texts, tmp_path, monkeypatch):
    monkeypatch.setattr(counting, "_FAN_IN", 2)
    whole = bpe_lm.count_pretokens(texts, tmp_path / "whole", [END_OF_TEXT], pattern=SLOW)
    (orders / "count-1-kill").touch()
    seen = []
    options = {"pattern": SLOW, "shards": SHARDS, "memory_limit": 1 << 30, "address": address}
    counts = bpe_lm.count_on_ray(
        texts, tmp_path / "all", [END_OF_TEXT], progress=lambda *report: seen.append(report), **options
    )
    assert (orders / "count-1-kill.done").read_text().startswith("count ")
    assert (tmp_path / "all").read_bytes() == (tmp_path / "whole").read_bytes()
    assert counts.as_dict() == whole.as_dict() | {"path": str(tmp_path / "all")}
    assert sorted(os.listdir(tmp_path)) == ["all", "whole"]
    size = sum(path.stat().st_size for path in texts)
    for stage, total in [("count", size), ("combine", SHARDS)]:
        reported = [(done, of) for name, done, of in seen if name == stage]
        assert reported == sorted(reported)
        assert reported[-1] == (total, total)
    with pytest.raises(errors.OutputExists, match="--force"):
        bpe_lm.count_on_ray(texts, tmp_path / "all", [END_OF_TEXT], **options)


def check_ids_though_a_worker_is_killed(address, orders, texts, tokenizer, encoded, tmp_path, capsys):
    (orders / "encode-1-kill").touch()
    out = tmp_path / "ids"
    command = ["encode", *map(str, texts), "--tokenizer", str(tokenizer[1]), "--out", str(out)]
    command += ["--ray", address, "--shards", str(SHARDS), "--quiet"]
    assert main(command) == 0, capsys.readouterr().err
    assert (orders / "encode-1-kill.done").read_text().startswith("encode ")
    assert_same_ids(out, encoded)
    assert f"{len(bpe_lm.open_tokens(encoded)):,} of uint16" in capsys.readouterr().out
    assert main(command) == 1
    assert "ids.json exists already" in capsys.readouterr().err
    assert main([*command, "--force"]) == 0
    assert_same_ids(out, encoded)


def wait_for(condition):
    end = time.monotonic() + 100
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.02)


def check_that_an_interrupted_and_a_killed_call_are_resumed(address, orders, texts, tokenizer, encoded, tmp_path):
    out, options = tmp_path / "ids", {"shards": SHARDS, "resume": True}
    order, record = orders / "encode-2-stall", orders / "encode-2-stall.done"

    def is_in_the_middle():
        return record.exists() and parts_of(out)

    def interrupt():
        wait_for(is_in_the_middle)
        sent.append(time.monotonic())
        os.kill(os.getpid(), signal.SIGINT)

    sent = []
    order.touch()
    thread = threading.Thread(target=interrupt)
    thread.start()
    with pytest.raises(KeyboardInterrupt):
        bpe_lm.encode_on_ray(texts, tokenizer[0], out, **options)
    seconds = time.monotonic() - sent[0]
    thread.join()
    assert seconds < 10
    assert not Path(f"{out}.json").exists()

    record.unlink()
    order.touch()
    arguments = json.dumps([list(map(str, texts)), str(tokenizer[1]), str(out), address])
    with subprocess.Popen([sys.executable, "-c", DRIVER, arguments], stderr=subprocess.PIPE, text=True) as driver:
        wait_for(lambda: is_in_the_middle() or driver.poll() is not None)
        assert driver.poll() is None, driver.communicate()
        driver.kill()
    assert not Path(f"{out}.json").exists()
    before = {path: (path.stat().st_ino, path.stat().st_mtime_ns) for path in parts_of(out)}
    assert 1 <= len(before) < SHARDS
    with pytest.raises(errors.ResumeMismatch, match="shards is not that of this call"):
        bpe_lm.encode_on_ray(texts, tokenizer[0], out, shards=2, resume=True)
    with pytest.raises(errors.OutputExists, match="resume=True"):
        bpe_lm.encode_on_ray(texts, tokenizer[0], out, shards=SHARDS)
    bpe_lm.encode_on_ray(texts, tokenizer[0], out, **options)
    assert_same_ids(out, encoded)
    assert all((path.stat().st_ino, path.stat().st_mtime_ns) == was for path, was in before.items())


def check_that_an_error_arrives_with_its_class_and_its_path(texts, tokenizer, tmp_path):
    bad = tmp_path / "bad.txt.gz"
    bad.write_bytes(texts[2].read_bytes()[:5000])
    for call in (
        lambda: bpe_lm.count_on_ray([texts[1], bad], tmp_path / "counts", shards=SHARDS),
        lambda: bpe_lm.encode_on_ray([texts[1], bad], tokenizer[0], tmp_path / "ids", shards=SHARDS),
    ):
        with pytest.raises(errors.CorpusError, match=str(bad)):
            call()
    assert not (tmp_path / "counts").exists()
    assert not (tmp_path / "ids.json").exists()
    with pytest.raises(errors.OptionError, match="no machine of the Ray cluster has room"):
        bpe_lm.count_on_ray(texts, tmp_path / "counts", threads=1000, force=True)


# Without a cluster


@pytest.mark.parametrize("given", ["127.0.0.1:1", "auto"])
def test_a_cluster_that_does_not_answer_is_an_error_at_once(monkeypatch, given):
    ray = pytest.importorskip("ray")
    monkeypatch.setenv("RAY_ADDRESS", "127.0.0.1:1")
    with pytest.raises(errors.ClusterError, match=r"could not connect to Ray at .*Connection refused; start a cluster"):
        ray_tasks._connect(ray, given)


def test_what_a_handler_of_a_signal_raises_in_rays_code_is_raised_as_it_is():
    with pytest.raises(KeyError), ray_tasks._signals_as_they_are():
        raise SystemError from KeyError()
    with pytest.raises(SystemError), ray_tasks._signals_as_they_are():
        raise SystemError


def append(numbers, number):
    if number == 3:
        raise errors.CorpusError("3 is damaged")
    if number == 4:
        warnings.warn("4 is large", stacklevel=1)
    numbers.append(number)


def test_an_answer_has_the_warnings_and_the_typed_error_of_a_task():
    numbers = []
    open_answer(answer(bpe_lm.__version__, append, numbers, 0))
    with pytest.raises(errors.CorpusError, match="3 is damaged"):
        open_answer(answer(bpe_lm.__version__, append, numbers, 3))
    with pytest.warns(UserWarning, match="4 is large"):
        open_answer(answer(bpe_lm.__version__, append, numbers, 4))
    with pytest.raises(errors.ClusterError, match=r"has bpe_lm .*, and the caller has 0\.0; install the same"):
        open_answer(answer("0.0", append, numbers, 5))
    assert numbers == [0, 4]


def test_each_error_can_be_rebuilt_from_its_message():
    for name, kind in vars(errors).items():
        if isinstance(kind, type) and issubclass(kind, errors.BpeLmError):
            assert str(getattr(errors, name)("what happened")) == "what happened"


def test_texts_that_have_no_shards_are_refused(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    for name, message in [("-", "standard input has no shards"), ("pipe", "is not a file"), ("none", "No such file")]:
        path = name if name == "-" else tmp_path / name
        with pytest.raises(errors.CorpusError, match=message):
            bpe_lm.count_on_ray([path], tmp_path / "counts")


def test_without_ray_the_error_names_the_extra(tmp_path, monkeypatch, capsys):
    (tmp_path / "text").write_text("a b")
    monkeypatch.setitem(sys.modules, "ray", None)
    assert main(["count", str(tmp_path / "text"), "-o", str(tmp_path / "counts"), "--ray", "auto", "--quiet"]) == 1
    assert "pip install '.[ray]'" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--ray", "local", "--shard", "0/2"], "--shard names one shard"),
        (["--shards", "3"], "--shards is the number of tasks of --ray"),
        (["--resume"], "--resume is for --ray"),
        (["--merge", "--ray", "local"], "--ray says how texts are counted"),
    ],
)
def test_options_that_contradict_each_other_are_refused(tmp_path, options, message, capsys):
    (tmp_path / "text").write_text("a b")
    assert main(["count", str(tmp_path / "text"), "-o", str(tmp_path / "counts"), *options, "--quiet"]) == 1
    assert message in capsys.readouterr().err


def test_the_number_of_shards_depends_on_the_files_alone(tmp_path):
    from bpe_lm.cluster.parts import Texts

    def texts_of_size(size):
        return Texts([{"name": "a", "bytes": size, "modified_ns": 0}])

    assert [texts_of_size(size).shards(None) for size in (0, 1, 256 << 20, (256 << 20) + 1)] == [1, 1, 1, 2]
    assert texts_of_size(10**13).shards(None) == 4096
    assert texts_of_size(0).shards(7) == 7
    with pytest.raises(errors.OptionError, match="shards = 0"):
        texts_of_size(0).shards(0)
