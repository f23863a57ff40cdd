"""The command line from text to ids and back: encode, decode, verify, compare, doctor."""

import gzip
import json
import platform
import re
import subprocess
import sys

import numpy as np
import pytest
from bpe_lm import Tokenizer, open_tokens, train_bpe

END_OF_TEXT = "<|endoftext|>"


@pytest.fixture(scope="module")
def tokenizer(sample):
    return Tokenizer(*train_bpe(sample, 600, [END_OF_TEXT]), [END_OF_TEXT])


@pytest.fixture
def folder(tokenizer, sample, tmp_path):
    """A folder with a tokenizer in `t` and a text in `a.txt`."""
    tokenizer.save(tmp_path / "t")
    (tmp_path / "a.txt").write_bytes(sample.read_bytes()[:200_000])
    return tmp_path


def run(*arguments, cwd, **options):
    command = [sys.executable, "-m", "bpe_lm", *map(str, arguments)]
    return subprocess.run(command, cwd=cwd, capture_output=True, timeout=120, check=False, **options)


def encode(*arguments, cwd, **options):
    return run("encode", *arguments, "--tokenizer", "t", cwd=cwd, **options)


def test_there_and_back(folder, tokenizer):
    done = encode("a.txt", "--out", "runs/a.bin", cwd=folder)
    assert done.returncode == 0, done.stderr
    for word in (b"tokens", b"uint16", b"bytes per token", b"peak memory", b"MB/s", b"runs/a.bin.json"):
        assert word in done.stdout
    assert b"encode: 200.0 of 200.0 kB, 100 %" in done.stderr
    text = (folder / "a.txt").read_bytes()
    ids = open_tokens(folder / "runs/a.bin", tokenizer=tokenizer, dtype="uint16")
    assert ids.tolist() == tokenizer.encode(text) == np.fromfile(folder / "runs/a.bin", dtype=np.uint16).tolist()
    assert run("decode", "runs/a.bin", "--tokenizer", "t", cwd=folder).stdout == text
    part = run("decode", "runs/a.bin", "--tokenizer", "t", "--start", 10, "--count", 20, cwd=folder).stdout
    assert part == tokenizer.decode_bytes(ids[10:30])
    checked = run("verify", "runs/a.bin", "--tokenizer", "t", "--quiet", cwd=folder)
    assert (checked.returncode, checked.stderr) == (0, b"")
    documents = text.count(END_OF_TEXT.encode()) + (not text.endswith(END_OF_TEXT.encode()))
    assert len(ids.documents) == documents
    expected = f"runs/a.bin: {len(ids):,} tokens of uint16 in {documents:,} documents, undamaged\n"
    assert checked.stdout == expected.encode()


def test_numpys_files_compressed_files_and_standard_input(folder, tokenizer):
    text = (folder / "a.txt").read_bytes()
    (folder / "a.txt.gz").write_bytes(gzip.compress(text))
    encode("a.txt.gz", "--out", "a.npy", cwd=folder)
    assert np.load(folder / "a.npy", mmap_mode="r").tolist() == tokenizer.encode(text)
    assert open_tokens(folder / "a.npy").tolist() == tokenizer.encode(text)
    done = encode("-", "--out", "b.bin", "--dtype", "uint32", "--json", "--quiet", cwd=folder, input=text)
    assert json.loads(done.stdout)["count"] == len(tokenizer.encode(text))
    assert np.fromfile(folder / "b.bin", dtype=np.uint32).tolist() == tokenizer.encode(text)
    refused = encode("-", "--out", "c.bin", "--resume", cwd=folder, input=text)
    assert (refused.returncode, b"only once" in refused.stderr) == (1, True)


def test_special_tokens_in_json_are_text_and_a_separator_follows_each(folder, tokenizer):
    texts = [f"a{END_OF_TEXT}b", "", "c"]
    (folder / "a.jsonl").write_text("".join(json.dumps({"text": text}) + "\n" for text in texts))
    encode("a.jsonl", "--out", "a.bin", cwd=folder)
    end = tokenizer.special_ids[END_OF_TEXT]
    expected = [id for text in texts for id in [*tokenizer.encode(text, special="text"), end]]
    assert open_tokens(folder / "a.bin").tolist() == expected
    raised = encode("a.jsonl", "--out", "b.bin", "--special", "raise", cwd=folder)
    assert raised.returncode == 1
    assert b"a.jsonl, in the line at byte 0 has the special token" in raised.stderr
    assert not (folder / "b.bin").exists()


def test_one_separator_between_files_that_lack_it(folder, tokenizer):
    end = tokenizer.special_ids[END_OF_TEXT]
    for name, text in [("1.txt", "a"), ("2.txt", f"b{END_OF_TEXT}\n"), ("3.txt", "c"), ("4.txt", f"{END_OF_TEXT}d")]:
        (folder / name).write_text(text)
    encode("1.txt", "2.txt", "3.txt", "4.txt", "--out", "a.bin", cwd=folder)
    assert open_tokens(folder / "a.bin").tolist() == [97, end, 98, end, 10, 99, end, 100]
    Tokenizer(tokenizer.vocab, tokenizer.merges).save(folder / "t", force=True)
    assert b"separator" in encode("1.txt", "3.txt", "--out", "b.bin", cwd=folder).stderr


@pytest.mark.parametrize(
    ("arguments", "status", "message"),
    [
        (["encode", "missing.txt", "--out", "x.bin"], 1, "missing.txt"),
        (["encode", ".", "--out", "x.bin"], 1, "directory"),
        (["encode", "a.txt", "--out", "/proc/nope.bin"], 1, "/proc"),
        (["encode", "a.txt", "--out", "a.txt"], 1, "one of the texts"),
        (["encode", "a.txt", "--out", "x.bin", "--separator", "<|other|>"], 1, "special tokens"),
        (["encode", "a.txt", "--out", "x.bin", "--threads", "0"], 1, "threads"),
        (["encode", "a.txt", "--out", "x.bin", "--dtype", "uint8"], 2, "--dtype"),
        (["encode", "a.txt"], 2, "--out"),
        (["decode", "a.txt"], 1, "a.txt.json, which describes its content, does not exist"),
        (["decode", "missing.bin"], 1, "missing.bin"),
        (["decode", "missing.bin", "--start", "-1"], 2, "--start"),
        (["verify", "missing.bin"], 1, "missing.bin"),
        (["compare", "missing.txt"], 1, "missing.txt"),
    ],
)
def test_errors_are_one_line_and_leave_nothing(folder, arguments, status, message):
    before = sorted(path.name for path in folder.iterdir())
    done = run(*arguments, "--tokenizer", "t", cwd=folder)
    assert done.returncode == status
    assert message in done.stderr.decode()
    assert b"Traceback" not in done.stderr
    assert sorted(path.name for path in folder.iterdir()) == before


def test_a_wide_vocabulary_needs_uint32(tmp_path):
    """65,535 and 65,536 ids fit 16 bits, one more does not."""
    (tmp_path / "a.txt").write_text("a<|last|>")
    for size, dtype in [(65_535, "uint16"), (65_536, "uint16"), (65_537, "uint32")]:
        vocab = {byte: bytes([byte]) for byte in range(256)} | {size - 1: b"<|last|>"}
        wide = Tokenizer(vocab, [], ["<|last|>"])
        out = tmp_path / f"{size}.bin"
        if dtype == "uint32":
            with pytest.raises(ValueError, match="uint32"):
                wide.encode_file(tmp_path / "a.txt", out, dtype="uint16")
            with pytest.raises(ValueError, match="uint32"):
                wide.encode_batch(["a"], dtype="uint16")
            with pytest.warns(UserWarning, match="nanoGPT"):
                manifest = wide.encode_file(tmp_path / "a.txt", out)
        else:
            manifest = wide.encode_file(tmp_path / "a.txt", out)
        assert (manifest.dtype, open_tokens(out).tolist()) == (dtype, [97, size - 1])


def test_a_note_says_that_ids_are_wide(tmp_path):
    vocab = {byte: bytes([byte]) for byte in range(256)} | {66_000: b"<|last|>"}
    Tokenizer(vocab, [], ["<|last|>"]).save(tmp_path / "t")
    (tmp_path / "a.txt").write_text("abc")
    done = encode("a.txt", "--out", "a.bin", "--quiet", cwd=tmp_path)
    assert (done.returncode, done.stderr) == (
        0,
        b"note: ids up to 66000 need uint32; nanoGPT and similar programs read only uint16\n",
    )


def test_compare(folder, tokenizer):
    text = (folder / "a.txt").read_bytes()
    Tokenizer({byte: bytes([byte]) for byte in range(256)}, []).save(folder / "bytes")
    both = ("--tokenizer", "t", "--tokenizer", "bytes", "--quiet")
    found = json.loads(run("compare", "a.txt", *both, "--json", cwd=folder).stdout)
    assert [(row["tokenizer"], row["tokens"]) for row in found] == [
        ("t", len(tokenizer.encode(text))),
        ("bytes", len(text)),
    ]
    assert found[1]["bytes_per_token"] == 1
    table = run("compare", "a.txt", *both, cwd=folder).stdout.decode()
    assert "the Pile in" in table
    assert "1.00" in table


def test_doctor(tmp_path):
    found = json.loads(run("doctor", "--json", cwd=tmp_path).stdout)
    assert {"bpe_lm", "python", "instruction sets", "memory", "disk here", "torch device"} <= found.keys()
    assert all(found[f"{operation} on cpu"] for operation in ("linear", "attention", "loss"))
    table = run("doctor", cwd=tmp_path).stdout.decode()
    values = "".join(cells[2].strip() for line in table.splitlines() if len(cells := line.split("│")) > 2)
    assert "instruction sets" in table
    assert found["OpenMP"].replace(" ", "") in values.replace(" ", "")
    if sys.platform == "linux" and platform.machine() == "x86_64":
        assert re.search("lib(gomp|iomp5|omp)", found["OpenMP"])


def test_an_import_is_light(tmp_path):
    """Nothing heavy comes with the package, nor with --help."""
    heavy = ("numpy", "torch", "rich", "matplotlib")
    code = f"import sys, bpe_lm, bpe_lm.cli; print([name for name in {heavy} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, cwd=tmp_path, check=True)
    assert done.stdout == b"[]\n"
