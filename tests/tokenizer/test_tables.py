"""Texts in tables: Parquet, Arrow files and streams, and objects with an Arrow stream."""

import json
import random
import re
import signal
import subprocess
import sys
import time

import bpe_lm
import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from bpe_lm import errors
from bpe_lm.cli.main import main
from bpe_lm.tokenizer import tables
from pyarrow import feather, ipc

END_OF_TEXT = "<|endoftext|>"


@pytest.fixture(scope="module")
def texts(sample):
    """Documents of all lengths: empty, a few bytes, more than a piece and a batch, with and without ASCII."""
    found = sample.read_text()[:400_000].split(END_OF_TEXT)
    return ["", *found, "né 漢字 ", END_OF_TEXT, "a b " * 300_000, "", *[text[:7] for text in found], "x"]


@pytest.fixture(scope="module")
def lines(texts, tmp_path_factory):
    path = tmp_path_factory.mktemp("lines") / "texts.jsonl"
    path.write_text("".join(json.dumps({"text": text}) + "\n" for text in texts))
    return path


@pytest.fixture(scope="module")
def tokenizer(lines):
    return bpe_lm.Tokenizer(*bpe_lm.train_bpe(lines, 400, [END_OF_TEXT]), [END_OF_TEXT])


def write_arrow(table, path):
    with ipc.new_stream(path, table.schema) as writer:
        writer.write_table(table, max_chunksize=7)


WRITERS = {
    "a.parquet": lambda table, path: pq.write_table(table, path, row_group_size=50),
    "plain.parquet": lambda table, path: pq.write_table(table, path, use_dictionary=False, compression="none"),
    "file.arrow": lambda table, path: feather.write_feather(table, path, compression="zstd", chunksize=64),
    "b.feather": lambda table, path: feather.write_feather(table, path, compression="lz4"),
    "stream.arrow": write_arrow,
}
STRING = pa.string()
TYPES = {
    "string": STRING,
    "large_string": pa.large_string(),
    "string_view": pa.string_view(),
    "binary": pa.binary(),
    "large_binary": pa.large_binary(),
    "binary_view": pa.binary_view(),
    "dictionary": pa.dictionary(pa.int32(), pa.string()),
}


def made(texts, kind=STRING):
    """A table whose texts are not the first column, with some rows before them that are sliced away."""
    texts = ["sliced away", *texts]
    column = pa.array(texts, pa.string())
    column = column.dictionary_encode() if pa.types.is_dictionary(kind) else column.cast(kind)
    return pa.table({"id": range(len(texts)), "text": column, "more": [None] * len(texts)})[1:]


@pytest.mark.parametrize("writer", WRITERS)
def test_a_table_counts_and_encodes_as_its_texts_in_json_lines(texts, lines, tokenizer, tmp_path, writer):
    path = tmp_path / writer
    WRITERS[writer](made(texts), path)
    bpe_lm.count_pretokens(lines, tmp_path / "expected", [END_OF_TEXT])
    counts = bpe_lm.count_pretokens([path], tmp_path / "found", [END_OF_TEXT], threads=2)
    assert counts.num_bytes == sum(len(text.encode()) for text in texts)
    assert (tmp_path / "found").read_bytes() == (tmp_path / "expected").read_bytes()
    expected = tokenizer.encode_file([lines, lines], tmp_path / "expected.bin")
    found = tokenizer.encode_file([path, lines], tmp_path / "found.bin", threads=2)
    for ending in (".bin", ".bin.idx"):
        assert (tmp_path / f"found{ending}").read_bytes() == (tmp_path / f"expected{ending}").read_bytes()
    assert (found.count, found.documents) == (expected.count, expected.documents)
    assert tokenizer.count_tokens(path) == tokenizer.count_tokens(lines)
    assert bpe_lm.train_bpe(path, 400, [END_OF_TEXT]) == bpe_lm.train_bpe(lines, 400, [END_OF_TEXT])


@pytest.mark.parametrize("kind", TYPES)
def test_every_type_of_text_is_read_from_objects_and_from_files(texts, tmp_path, kind):
    texts = texts[:40]
    expected = bpe_lm.train_bpe(iter(texts), 300, [])
    table = made(texts, TYPES[kind])
    pq.write_table(table, tmp_path / "a.parquet", row_group_size=13)
    write_arrow(table, tmp_path / "a.arrow")
    for corpus in (tmp_path / "a.parquet", tmp_path / "a.arrow", table, table.to_reader(max_chunksize=5)):
        assert bpe_lm.train_bpe(corpus, 300, []) == expected


def test_objects_with_an_arrow_stream_are_corpora(texts, tmp_path):
    texts = texts[:40]
    expected = bpe_lm.train_bpe(iter(texts), 300, [])
    table = made(texts)
    bpe_lm.count_pretokens(iter(texts), tmp_path / "expected")
    for corpus in (table, table["text"], table.to_batches()[0], duckdb.from_arrow(table).filter("id >= 0")):
        assert bpe_lm.train_bpe(corpus, 300, []) == expected
    bpe_lm.count_pretokens(table, tmp_path / "found", memory_limit=2**34)
    assert (tmp_path / "found").read_bytes() == (tmp_path / "expected").read_bytes()
    renamed = table.rename_columns(["id", "body", "more"])
    assert bpe_lm.train_bpe(renamed, 300, [], json_field="body") == expected
    with pytest.raises(errors.OptionError, match="input_format is for files; the corpus is a table"):
        bpe_lm.train_bpe(table, 300, [], input_format="arrow")
    with pytest.raises(errors.OptionError, match="shard"):
        bpe_lm.count_pretokens(table, tmp_path / "x", shard=(0, 2))


def test_within_a_limit_of_memory_a_row_that_does_not_fit_is_refused(tmp_path):
    table = pa.table({"text": ["a b", "c", "word " * 2_000_000]})
    pq.write_table(table, tmp_path / "a.parquet")
    with pytest.raises(errors.MemoryLimitExceeded, match="counting needs") as caught:
        bpe_lm.count_pretokens(tmp_path / "a.parquet", tmp_path / "c", memory_limit=1 << 20)
    limit = int(re.search(r"needs (\d+) MiB", str(caught.value)).group(1)) + 30 << 20
    with pytest.raises(errors.LimitExceeded, match=r"a\.parquet, in row 2: a text,.* is longer than \d+ bytes"):
        bpe_lm.count_pretokens(tmp_path / "a.parquet", tmp_path / "c", memory_limit=limit)


def test_a_field_of_a_struct_is_named_as_in_json(texts, tmp_path):
    texts = texts[:20]
    expected = bpe_lm.train_bpe(iter(texts), 300, [])
    inner = pa.array([{"text": text, "n": 1} for text in texts])
    pq.write_table(pa.table({"meta": inner, "text": ["no"] * 20}), tmp_path / "a.parquet")
    feather.write_feather(pa.table({"n": range(20), "meta": inner}), tmp_path / "a.arrow")
    pq.write_table(pa.table({"meta.text": texts, "meta": inner.field("n")}), tmp_path / "b.parquet")
    for name in ("a.parquet", "a.arrow", "b.parquet"):
        assert bpe_lm.train_bpe(tmp_path / name, 300, [], json_field="meta.text") == expected


def test_rows_without_a_text_are_an_error_or_skipped_and_counted(texts, tmp_path):
    texts = texts[1:40]
    column = pa.array([*texts, None, *texts, None])
    table = pa.table({"text": column})
    pq.write_table(table, tmp_path / "a.parquet", row_group_size=20)
    feather.write_feather(table, tmp_path / "a.arrow")
    for corpus, place in (("a.parquet", " (row group 1)"), ("a.arrow", ""), (table, "")):
        corpus = tmp_path / corpus if isinstance(corpus, str) else corpus
        with pytest.raises(
            errors.CorpusError, match=re.escape(f", row 39{place}: the text is null; fill it in, or skip")
        ):
            bpe_lm.train_bpe(corpus, 300, [])
        vocab, merges, training = bpe_lm.train_and_record(corpus, 300, [], bad_lines="skip")
        assert training["skipped_lines"] == 2
        assert (vocab, merges) == bpe_lm.train_bpe(iter(texts * 2), 300, [])
    nothing = pa.table({"text": pa.nulls(5)})
    with pytest.raises(errors.CorpusError, match="every row or line was skipped"):
        bpe_lm.train_bpe(nothing, 300, [], bad_lines="skip")
    with pytest.raises(errors.CorpusError, match="the table is empty"):
        bpe_lm.train_bpe(pa.table({"text": pa.array([], pa.string())}), 300, [])


@pytest.mark.parametrize("ending", ["parquet", "arrow"])
def test_what_cannot_be_read_is_named_with_a_remedy(tmp_path, ending):
    path = tmp_path / f"a.{ending}"
    table = pa.table({"n": [1, 2], "body": ["a b", "c"], "data": [b"x", b"y"], "when": [1.5, 2.5]})
    write = pq.write_table if ending == "parquet" else feather.write_feather
    write(table, path)
    for field, message in [
        ("text", r"has no column 'text' \(--json-field, json_field\); its columns: n \(int64\), body \(string\)"),
        ("n", "column 'n' is of type int64, and texts are string or binary; .*: body, data"),
        ("body.x", "has no column 'body.x'"),
    ]:
        with pytest.raises(errors.CorpusError, match=message) as raised:
            bpe_lm.train_bpe(path, 300, [], json_field=field)
        assert str(path) in str(raised.value)
    for content in (b"some text\n" * 20, path.read_bytes()[:-30], b"PAR1", path.read_bytes()[:50]):
        path.write_bytes(content)
        with pytest.raises(errors.CorpusError, match=f"{ending}.*(cannot be read as|is damaged|could not read)"):
            bpe_lm.train_bpe(path, 300, [], json_field="body")
    path.write_bytes(b"")
    with pytest.raises(errors.CorpusError, match="is empty"):
        bpe_lm.train_bpe(path, 300, [])
    with pytest.raises(errors.CorpusError, match="No such file"):
        bpe_lm.train_bpe(tmp_path / f"none.{ending}", 300, [])


def test_damaged_bytes_are_an_error_or_other_texts_and_never_worse(texts, tmp_path):
    """Most of a file is text, so half of the damage is near an end, where its structure is."""
    table = made([text[:300] for text in texts[:60]])
    for writer in ("a.parquet", "plain.parquet", "stream.arrow", "file.arrow"):
        path, rng = tmp_path / writer, random.Random(writer)
        WRITERS[writer](table, path)
        content = path.read_bytes()
        outcomes = []
        for _ in range(25):
            damaged = bytearray(content)
            for _ in range(rng.choice([1, 3])):
                edge = rng.choice([len(damaged), 600])
                damaged[rng.randrange(edge) - rng.choice([0, edge])] = rng.randrange(256)
            path.write_bytes(damaged)
            try:
                bpe_lm.count_pretokens(path, tmp_path / "out", force=True)
            except errors.CorpusError as error:
                outcomes.append(str(error))
        assert outcomes, writer
        assert [message for message in outcomes if str(path) not in message] == []


def test_a_page_whose_checksum_does_not_fit_is_refused(texts, tmp_path):
    path = tmp_path / "a.parquet"
    pq.write_table(made(texts), path, use_dictionary=False, compression="none", write_page_checksum=True)
    content = path.read_bytes()
    at = content.index(texts[2].encode()[:100])
    path.write_bytes(content[:at] + b"x" + content[at + 1 :])
    with pytest.raises(errors.CorpusError, match=r"a\.parquet is damaged at row 0 \(row group 0\) or after it"):
        bpe_lm.train_bpe(path, 300, [])


def test_offsets_that_point_outside_are_refused():
    for offsets in ([0, 2**30, 5], [3, 2, 5], [0, -2, 5], [0, 6, 5]):
        buffers = [None, pa.py_buffer(np.array(offsets, np.int32)), pa.py_buffer(b"abcde")]
        array = pa.Array.from_buffers(pa.string(), 2, buffers)
        with pytest.raises(errors.CorpusError, match="the table is damaged at row 0 or after it"):
            bpe_lm.train_bpe(pa.table({"text": array}), 300, [])


def test_shards_of_tables_add_up(texts, lines, tokenizer, tmp_path):
    paths = []
    for i, name in enumerate(["a.parquet", "b.arrow", "c.jsonl", "d.parquet"]):
        paths.append(tmp_path / name)
        part = texts[i::4]
        if name.endswith("parquet"):
            pq.write_table(made(part), paths[-1], row_group_size=20)
        elif name.endswith("arrow"):
            write_arrow(made(part), paths[-1])
        else:
            paths[-1].write_text("".join(json.dumps({"text": text}) + "\n" for text in part))
    bpe_lm.count_pretokens(paths, tmp_path / "whole", [END_OF_TEXT])
    tokenizer.encode_file(paths, tmp_path / "whole.bin")
    for i in range(3):
        bpe_lm.count_pretokens(paths, tmp_path / f"{i}", [END_OF_TEXT], shard=(i, 3))
        tokenizer.encode_file(paths, tmp_path / f"{i}.bin", shard=(i, 3))
    bpe_lm.merge_counts([tmp_path / f"{i}" for i in range(3)], tmp_path / "sum")
    assert (tmp_path / "sum").read_bytes() == (tmp_path / "whole").read_bytes()
    assert b"".join((tmp_path / f"{i}.bin").read_bytes() for i in range(3)) == (tmp_path / "whole.bin").read_bytes()


@pytest.mark.parametrize("name", ["a.parquet", "stream.arrow"])
def test_an_interrupted_encoding_goes_on_at_its_row(texts, tokenizer, tmp_path, name, monkeypatch):
    """Reading takes its time, and the journal has a line each second."""
    path, out = tmp_path / name, tmp_path / "out.bin"
    WRITERS[name](made(texts * 3), path)
    tokenizer.encode_file(path, tmp_path / "whole.bin")
    pieces, rows, pause = tables._pieces, [], 0.01

    def slow(part, column, name):
        into = rows
        for arguments in pieces(part, column, name):
            into.append(arguments[3])
            time.sleep(pause)
            yield arguments

    monkeypatch.setattr(tables, "_pieces", slow)
    monkeypatch.setattr(tables, "PIECE_BYTES", 4000)

    class Stop(Exception):
        pass

    def stop(stage, done, total):
        journal = tmp_path / "out.bin.partial.journal"
        if journal.exists() and journal.read_bytes().count(b"\n") > 1:
            raise Stop

    with pytest.raises(Stop):
        tokenizer.encode_file(path, out, threads=1, progress=stop)
    rows, pause = [], 0
    tokenizer.encode_file(path, out, resume=True)
    assert 0 < rows[0] < 3 * len(texts)
    for ending in ("", ".idx"):
        assert (tmp_path / f"out.bin{ending}").read_bytes() == (tmp_path / f"whole.bin{ending}").read_bytes()


SLOW = """
import sys, time, bpe_lm
from bpe_lm.tokenizer import tables
pieces, put_rows, begun = tables._pieces, tables.put_rows, ["begun\\n"]
def slow(*arguments):
    print(*begun, end="", flush=True)
    begun.clear()
    for piece in pieces(*arguments):
        time.sleep(0.3)
        yield piece
def said(*arguments):
    print("is still read:", put_rows(*arguments), flush=True)
def stop(stage, done, total):
    sys.exit()
tables._pieces, tables.put_rows = slow, said
try:
    bpe_lm.count_pretokens(sys.argv[1], "counts", progress=len(sys.argv) > 2 and stop)
except KeyboardInterrupt:
    print(time.time(), flush=True)
"""


def test_the_end_of_the_interpreter_waits_for_the_thread_that_reads(texts, tmp_path):
    """Otherwise the process is aborted while the thread is in pyarrow, at times."""
    pq.write_table(made(texts), tmp_path / "a.parquet")
    command = [sys.executable, "-c", SLOW, "a.parquet", "stop"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout, done.stderr) == (0, "begun\nis still read: False\n", "")


def test_ctrl_c_while_a_table_is_read(texts, tmp_path):
    pq.write_table(made(texts * 10), tmp_path / "a.parquet")
    command = [sys.executable, "-c", SLOW, "a.parquet"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, cwd=tmp_path) as child:
        assert child.stdout.readline() == b"begun\n"
        sent = time.time()
        child.send_signal(signal.SIGINT)
        assert float(child.stdout.readline()) - sent < 1
        assert (child.stdout.read(), child.wait(20)) == (b"is still read: False\n", 0)


def test_the_commands_read_tables(texts, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    pq.write_table(made(texts).rename_columns(["id", "body", "more"]), "a.parquet")
    for command in (
        "count a.parquet --json-field body -o a.counts",
        "train-tokenizer a.parquet --json-field body --vocab-size 300 --special-token <|endoftext|> --out t",
        "encode a.parquet --json-field body --tokenizer t --out ids",
    ):
        assert main([*command.split(), "--quiet"]) == 0, capsys.readouterr().err
    (tmp_path / "odd").write_bytes((tmp_path / "a.parquet").read_bytes())
    assert main(["count", "odd", "-o", "b.counts", "--quiet"]) == 1
    assert "odd is a Parquet file; read it as Parquet" in capsys.readouterr().err
    odd = ["count", "odd", "-o", "b.counts", "--input-format", "parquet", "--json-field", "body", "--quiet"]
    assert main(odd) == 0
    assert (tmp_path / "a.counts").read_bytes() == (tmp_path / "b.counts").read_bytes()
    pq.write_table(made(texts), "c.parquet")
    assert main(["compare", "c.parquet", "--tokenizer", "t", "--quiet"]) == 0
    assert main(["count", "-", "-o", "d.counts", "--input-format", "parquet", "--quiet"]) == 1
    assert "a table is not read from its beginning" in capsys.readouterr().err


def test_without_pyarrow_the_error_names_the_extra(tmp_path):
    pq.write_table(pa.table({"text": ["a"]}), tmp_path / "a.parquet")
    program = (
        "import sys; sys.modules['pyarrow'] = None\n"
        "import bpe_lm\n"
        "try: bpe_lm.train_bpe('a.parquet', 300, [])\n"
        "except bpe_lm.errors.MissingExtra as error: print(error)"
    )
    done = subprocess.run([sys.executable, "-c", program], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert "tables need pyarrow" in done.stdout
    assert "pip install '.[parquet]'" in done.stdout
