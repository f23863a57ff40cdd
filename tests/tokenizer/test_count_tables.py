"""Counts as Parquet: written, read, and summed by DuckDB and Polars's formats."""

import json
import os
import random
import re

import bpe_lm
import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from bpe_lm import _core, errors
from bpe_lm.cli.main import main
from bpe_lm.tokenizer import count_tables

END_OF_TEXT = "<|endoftext|>"


@pytest.fixture(scope="module")
def text(sample, tmp_path_factory):
    path = tmp_path_factory.mktemp("text") / "a.txt"
    path.write_text(sample.read_text()[:600_000] + " naïve 漢字\n" + "q" * 30_000)
    return path


@pytest.fixture(scope="module")
def plain(text):
    """The same without special tokens, so that pretokens have all of its bytes."""
    path = text.with_name("plain.txt")
    path.write_text(text.read_text().replace(END_OF_TEXT, ""))
    return path


def test_there_and_back_is_the_same_file(text, tmp_path, monkeypatch):
    monkeypatch.setattr(count_tables, "GROUP_BYTES", 10_000)
    counts = bpe_lm.count_pretokens(text, tmp_path / "a", [END_OF_TEXT, "b"], pattern="cl100k")
    table = bpe_lm.count_pretokens(text, tmp_path / "a.parquet", [END_OF_TEXT, "b"], pattern="cl100k")
    merged = bpe_lm.merge_counts(tmp_path / "a", tmp_path / "b.parquet")
    assert (tmp_path / "a.parquet").read_bytes() == (tmp_path / "b.parquet").read_bytes()
    back = bpe_lm.merge_counts(tmp_path / "a.parquet", tmp_path / "back")
    assert (tmp_path / "back").read_bytes() == (tmp_path / "a").read_bytes()
    for found in (table, merged, back):
        assert found.as_dict() | {"path": ""} == counts.as_dict() | {"path": ""}
    file = pq.ParquetFile(tmp_path / "a.parquet")
    assert file.metadata.num_row_groups > 1
    assert file.schema_arrow.names == ["pretoken", "count"]
    assert file.schema_arrow.types == [pa.binary(), pa.uint64()]
    rows = file.read()["pretoken"].to_pylist()
    assert rows == sorted(rows)
    assert json.loads(file.schema_arrow.metadata[b"bpe_lm_counts"])["num_pretokens"] == counts.num_pretokens
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a", "a.parquet", "b.parquet", "back"]


def test_shards_of_both_kinds_are_added_with_weights(text, tmp_path):
    names = ["0", "1.parquet", "2", "3.parquet"]
    for i, name in enumerate(names):
        bpe_lm.count_pretokens(text, tmp_path / name, [END_OF_TEXT], shard=(i, 4))
        bpe_lm.count_pretokens(text, tmp_path / f"{i}.counts", [END_OF_TEXT], shard=(i, 4))
    for weights in ({}, {1: 2.5, 2: 3}):
        bpe_lm.merge_counts(
            [tmp_path / f"{i}.counts" for i in range(4)],
            tmp_path / "expected",
            weights={tmp_path / f"{i}.counts": weight for i, weight in weights.items()},
            force=True,
        )
        given = {tmp_path / names[i]: weight for i, weight in weights.items()}
        bpe_lm.merge_counts([tmp_path / name for name in names], tmp_path / "all", weights=given, force=True)
        assert (tmp_path / "all").read_bytes() == (tmp_path / "expected").read_bytes()


def test_the_sum_of_duckdb_is_the_sum(plain, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for i in range(2):
        bpe_lm.count_pretokens(plain, f"{i}.counts", [END_OF_TEXT], shard=(i, 2))
        bpe_lm.count_pretokens(plain, f"part-{i}.parquet", [END_OF_TEXT], shard=(i, 2))
    bpe_lm.merge_counts(["0.counts", "1.counts"], "expected")
    total = "SELECT pretoken, {} AS count FROM 'part-*.parquet' GROUP BY pretoken ORDER BY random()"
    duckdb.sql(f"COPY ({total.format('CAST(sum(count) AS UBIGINT)')}) TO 'sum.parquet'")
    with pytest.raises(errors.OptionError, match=r"does not say how it was counted.*--pattern gpt2"):
        bpe_lm.merge_counts("sum.parquet", "all")
    bpe_lm.merge_counts("sum.parquet", "all", pattern="gpt2", special_tokens=[END_OF_TEXT])
    assert (tmp_path / "all").read_bytes() == (tmp_path / "expected").read_bytes()
    # Not even added.
    duckdb.sql("COPY (SELECT * FROM 'part-*.parquet' ORDER BY random()) TO 'rows.parquet'")
    bpe_lm.merge_counts("rows.parquet", "rows", pattern="gpt2", special_tokens=[END_OF_TEXT])
    assert (tmp_path / "rows").read_bytes() == (tmp_path / "expected").read_bytes()
    trained = bpe_lm.train_bpe(bpe_lm.open_counts("all"), 400, [END_OF_TEXT])
    assert trained == bpe_lm.train_bpe(plain, 400, [END_OF_TEXT])
    duckdb.sql(f"COPY ({total.format('sum(count)')}) TO 'huge.parquet'")
    with pytest.raises(errors.CountFileError, match=r"huge\.parquet: column 'count' is of type .*CAST\(sum\(count\)"):
        bpe_lm.merge_counts("huge.parquet", "x", pattern="gpt2")


def test_a_description_that_duckdb_copies_needs_no_options(text, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    counts = bpe_lm.count_pretokens(text, "expected", [END_OF_TEXT])
    bpe_lm.count_pretokens(text, "a.parquet", [END_OF_TEXT])
    described = json.loads(pq.read_schema("a.parquet").metadata[b"bpe_lm_counts"])
    assert described["num_bytes"] == counts.num_bytes
    metadata = json.dumps(described, ensure_ascii=False).replace("'", "''")
    duckdb.sql(f"COPY (FROM 'a.parquet') TO 'b.parquet' (KV_METADATA {{'bpe_lm_counts': '{metadata}'}})")
    bpe_lm.merge_counts("b.parquet", "found")
    assert (tmp_path / "found").read_bytes() == (tmp_path / "expected").read_bytes()
    wrong = metadata.replace(f'"num_pretokens": {counts.num_pretokens}', '"num_pretokens": 7')
    duckdb.sql(f"COPY (FROM 'a.parquet') TO 'c.parquet' (KV_METADATA {{'bpe_lm_counts': '{wrong}'}})")
    with pytest.raises(errors.CountFileError, match=r"c\.parquet: its description says 7 pretokens"):
        bpe_lm.merge_counts("c.parquet", "x")
    for damaged in (
        metadata.replace("gpt2", "gpt3"),
        "{",
        "[]",
        "{}",
        metadata.replace('"version": 1', '"version": 9'),
    ):
        duckdb.sql(f"COPY (FROM 'a.parquet') TO 'd.parquet' (KV_METADATA {{'bpe_lm_counts': '{damaged}'}})")
        with pytest.raises(errors.CountFileError, match=r"d\.parquet: its description"):
            bpe_lm.merge_counts("d.parquet", "x", force=True)
    assert not (tmp_path / "x").exists()


def test_tables_that_do_not_fit_are_refused_by_name(text, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    bpe_lm.count_pretokens(text, "a", [END_OF_TEXT])
    bpe_lm.count_pretokens(text, "other.parquet", [])
    with pytest.raises(errors.CountFileError, match=r"other\.parquet: it was counted with .* and a with"):
        bpe_lm.merge_counts(["a", "other.parquet"], "x")
    with pytest.raises(
        errors.CountFileError, match=r"other\.parquet: it was counted with the pattern 'gpt2'.*'cl100k'"
    ):
        bpe_lm.merge_counts("other.parquet", "x", pattern="cl100k")
    with pytest.raises(errors.OptionError, match="count files say it"):
        bpe_lm.merge_counts("a", "x", pattern="gpt2")
    with pytest.raises(errors.CountFileError, match="is a table; make a count file of it"):
        bpe_lm.open_counts("other.parquet")
    with pytest.raises(errors.OutputExists):
        bpe_lm.merge_counts("a", "other.parquet")
    for columns, message in [
        ({"word": [b"a"], "count": [1]}, "has no column 'pretoken'; its columns: word"),
        ({"pretoken": [b"a"]}, "has no column 'count'"),
        ({"pretoken": [1], "count": [1]}, "column 'pretoken' is of type int64"),
        ({"pretoken": [b"a"], "count": [1.0]}, "column 'count' is of type double"),
        ({"pretoken": [b"a", b"b"], "count": [1, -1]}, "a count is -1"),
        ({"pretoken": [b"a", None], "count": [1, 1]}, "row 1: pretoken is null"),
        ({"pretoken": [b"a", b"b"], "count": [1, None]}, "row 1: count is null"),
    ]:
        pq.write_table(pa.table(columns), "t.parquet")
        with pytest.raises(errors.CountFileError, match=re.escape(message)):
            bpe_lm.merge_counts("t.parquet", "x", pattern="gpt2")
    (tmp_path / "t.parquet").write_bytes(b"no table")
    with pytest.raises(errors.CountFileError, match=r"t\.parquet cannot be read as Parquet"):
        bpe_lm.merge_counts("t.parquet", "x", pattern="gpt2")
    big = pa.table({"pretoken": [b"a", b"a"], "count": pa.array([2**63, 2**63], pa.uint64())})
    pq.write_table(big, "t.parquet")
    with pytest.raises(errors.LimitExceeded):
        bpe_lm.merge_counts("t.parquet", "x", pattern="gpt2")
    assert not (tmp_path / "x").exists()
    assert not [path for path in tmp_path.iterdir() if path.name.startswith(".")]


def test_the_commands_write_and_read_tables(plain, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    special = ["--special-token", END_OF_TEXT]
    for i in range(2):
        assert main(["count", str(plain), *special, "--shard", f"{i}/2", "-o", f"{i}.parquet", "--quiet"]) == 0
    assert main(["count", "--merge", "0.parquet", "1.parquet", "-o", "all.parquet", "--quiet"]) == 0
    assert main(["count", "--merge", "all.parquet", "-o", "all.counts", "--quiet"]) == 0
    assert main(["count", str(plain), *special, "-o", "expected", "--quiet"]) == 0
    assert (tmp_path / "all.counts").read_bytes() == (tmp_path / "expected").read_bytes()
    train = ["train-tokenizer", "--vocab-size", "300", "--out", "t", "--quiet", "--from-counts"]
    assert main([*train, "all.parquet"]) == 1
    assert "bpe-lm count --merge" in capsys.readouterr().err
    assert main([*train, "all.counts"]) == 0
    duckdb.sql("COPY (FROM 'all.parquet') TO 'sum.parquet'")
    merge = ["count", "--merge", "sum.parquet", "-o", "sum.counts", "--quiet", "--pattern", "gpt2", *special]
    assert main(merge) == 0
    assert (tmp_path / "sum.counts").read_bytes() == (tmp_path / "expected").read_bytes()


def test_any_order_and_number_of_rows_is_the_same_file(tmp_path):
    rng = random.Random(7)
    rows = [
        (bytes(rng.choices(b"ab \xff\x00", k=rng.choice([1, 2, 3, 40]))), rng.choice([1, 5, 2**40]))
        for _ in range(5000)
    ]
    expected = {}
    for pretoken, count in rows:
        expected[pretoken] = expected.get(pretoken, 0) + count
    table = pa.table({"pretoken": [row[0] for row in rows], "count": pa.array([row[1] for row in rows], pa.uint64())})
    pq.write_table(table, tmp_path / "a.parquet", row_group_size=700)
    counts = bpe_lm.merge_counts(tmp_path / "a.parquet", tmp_path / "b.parquet", pattern="gpt2")
    assert counts.num_bytes == sum(len(pretoken) * count for pretoken, count in rows)
    found = pq.read_table(tmp_path / "b.parquet").to_pydict()
    assert dict(zip(found["pretoken"], found["count"], strict=True)) == expected


def test_after_counts_were_lost_no_file_is_written(tmp_path):
    """A full table could not move to the disk."""
    folder = tmp_path / "counts"
    collector = _core.CountCollector(folder / "out", None, "gpt2", [], False)
    folder.rmdir()
    lengths = np.full(33, 1 << 20)
    data = np.repeat(np.arange(33, dtype=np.uint8), lengths)
    with pytest.raises(errors.FileError, match="could not write"):
        collector.add(data, np.append(0, np.cumsum(lengths)), np.ones(33, np.uint64))
    folder.mkdir()
    with pytest.raises(errors.BpeLmError, match="counts were lost"):
        collector.finish(None, 0, None)
    assert os.listdir(folder) == []
