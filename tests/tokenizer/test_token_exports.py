"""The packages of other programs read what `export_tokens` writes. Where a package is missing, its tests are skipped.

Seen with datatrove 0.10.1, ai2-olmo-core 3.0.0 and megatron-core 0.16.1 and 0.19.2 (from 0.17 on for Python 3.12).
In an environment of its own: `pip install --no-deps datatrove megatron-core ai2-olmo-core cached_path`, and what their
imports miss: loguru and humanize for datatrove; google-cloud-storage, boto3, dataclass-extensions and bettermap for
OLMo-core.
"""

import random
from pathlib import Path

import numpy as np
import pytest
from bpe_lm import Tokenizer, export_tokens, join_tokens, open_tokens

END_OF_TEXT = "<|endoftext|>"

CORPORA = {
    "several": ("text.jsonl", '{"text": "a dog"}\n{"text": ""}\n{"text": "a cat"}\n'),
    "one": ("text.jsonl", '{"text": "a dog"}\n'),
    "empty": ("text.jsonl", '{"text": ""}\n'),
    "without a last separator": ("text.txt", f"a dog{END_OF_TEXT}a cat"),
}


@pytest.fixture(params=["uint16", "uint32"])
def dtype(request) -> str:
    return request.param


@pytest.fixture
def tokenizer(dtype) -> Tokenizer:
    """The bytes, and a separator whose id fills uint16 or does not fit it."""
    end = {"uint16": 65_535, "uint32": 66_000}[dtype]
    return Tokenizer({byte: bytes([byte]) for byte in range(256)} | {end: END_OF_TEXT.encode()}, [], [END_OF_TEXT])


@pytest.fixture(params=CORPORA)
def tokens(request, tokenizer, dtype, tmp_path):
    """The ids of a small corpus."""
    name, text = CORPORA[request.param]
    (tmp_path / name).write_text(text)
    tokenizer.encode_file(tmp_path / name, tmp_path / "small.bin", dtype=dtype)
    return open_tokens(tmp_path / "small.bin")


@pytest.fixture
def files(tokenizer, dtype, tmp_path) -> list[Path]:
    """Two token files with 1,500 documents each, more than datatrove's readers take from an index at once."""
    rng, paths = random.Random(1), []
    for number in range(2):
        text = END_OF_TEXT.join("x" * rng.choice([0, 1, 7, 30]) for _ in range(1_500)) + END_OF_TEXT
        (tmp_path / f"{number}.txt").write_text(text)
        paths.append(tmp_path / f"{number}.bin")
        tokenizer.encode_file(tmp_path / f"{number}.txt", paths[-1], dtype=dtype)
    return paths


def documents_of(tokens) -> list[list[int]]:
    return [document.tolist() for document in tokens.documents]


# Megatron-LM.

RANK = pytest.mark.filterwarnings("ignore:Could not determine rank")
"""It asks which of several processes it is, and warns where nothing says so."""


def megatron():
    return pytest.importorskip("megatron.core.datasets.indexed_dataset")


@RANK
@pytest.mark.parametrize("mmap", [True, False])
def test_megatron_reads_the_same_documents(tokens, tmp_path, mmap):
    dataset_of = megatron().IndexedDataset
    export_tokens(tokens.path, tmp_path / "out", "megatron")
    dataset, expected = dataset_of(str(tmp_path / "out"), mmap=mmap), documents_of(tokens)
    assert [dataset[number].tolist() for number in range(len(dataset))] == expected
    assert [document.tolist() for document in dataset[:]] == expected
    assert dataset.document_indices.tolist() == list(range(len(expected) + 1))


@RANK
def test_megatron_writes_the_same_bytes_for_several_files(files, tmp_path):
    module = megatron()
    for number, path in enumerate(files):
        export_tokens(path, tmp_path / f"part-{number}", "megatron")
    dtype = module.IndexedDataset(str(tmp_path / "part-0")).index.dtype
    builder = module.IndexedDatasetBuilder(str(tmp_path / "theirs.bin"), dtype=dtype)
    for number in range(len(files)):
        builder.add_index(str(tmp_path / f"part-{number}"))
    builder.finalize(str(tmp_path / "theirs.idx"))
    join_tokens(files, tmp_path / "all.bin")
    for path in export_tokens(tmp_path / "all.bin", tmp_path / "ours", "megatron", copy=True):
        assert path.read_bytes() == (tmp_path / f"theirs{path.suffix}").read_bytes()


# datatrove.


def windows_of(tokens, length) -> list[tuple[list[int], list[int]]]:
    """The ids of each whole window, and how far each is from the beginning of its document or of the window."""
    ids, starts = np.asarray(tokens).tolist(), set(tokens.documents.starts.tolist())
    windows = []
    for first in range(0, len(ids) - length + 1, length):
        positions = []
        for place in range(first, first + length):
            positions.append(0 if place == first or place in starts else positions[-1] + 1)
        windows.append((ids[first : first + length], positions))
    return windows


def windows_from(dataset) -> list[tuple[list[int], list[int]]]:
    items = (dataset[number] for number in range(len(dataset)))
    return [(item["input_ids"].tolist(), item["positions"].tolist()) for item in items]


def test_datatrove_reads_the_same_ids_and_documents(tokens, tmp_path):
    dataset_of = pytest.importorskip("datatrove.utils.dataset").DatatroveFileDataset
    export_tokens(tokens.path, tmp_path / "out", "datatrove")
    for length in {1, 3, len(tokens)}:
        dataset = dataset_of(
            str(tmp_path / "out.ds"), length - 1, token_size=tokens.dtype.itemsize, return_positions=True
        )
        assert windows_from(dataset) == windows_of(tokens, length)


def test_datatrove_reads_a_folder(files, tmp_path):
    dataset_of = pytest.importorskip("datatrove.utils.dataset").DatatroveFolderDataset
    for path in files:
        export_tokens(path, tmp_path / "out" / path.stem, "datatrove")
    arrays = [open_tokens(path) for path in files]
    size = arrays[0].dtype.itemsize
    dataset = dataset_of(str(tmp_path / "out"), 99, token_size=size, return_positions=True)
    assert windows_from(dataset) == [window for tokens in arrays for window in windows_of(tokens, 100)]


def test_datatrove_merges_files_and_finds_the_size_of_ids(files, tmp_path):
    merger_of = pytest.importorskip("datatrove.pipeline.tokens.merger").DocumentTokenizerMerger
    for path in files:
        export_tokens(path, tmp_path / "parts" / path.stem, "datatrove")
    merger_of(str(tmp_path / "parts"), str(tmp_path / "out"), "all", shuffle=False, progress=False).run()
    join_tokens(files, tmp_path / "all.bin")
    export_tokens(tmp_path / "all.bin", tmp_path / "ours", "datatrove", copy=True)
    for ending in (".ds", ".ds.index"):
        assert (tmp_path / f"ours{ending}").read_bytes() == (tmp_path / f"out/000_all{ending}").read_bytes()
    ours, theirs = (tmp_path / name for name in ("ours.ds.metadata", "out/000_all.ds.metadata"))
    assert ours.read_text().splitlines() == theirs.read_text().splitlines()[:2]


# OLMo-core.


def olmo_settings(tokens) -> dict[str, object]:
    end = int(np.asarray(tokens).max())
    return {"pad_token_id": end, "eos_token_id": end, "vocab_size": end + 1, "dtype": tokens.dtype.type}


def test_olmo_core_reads_the_same_ids_and_documents(tokens, tmp_path):
    data = pytest.importorskip("olmo_core.data")
    path, _ = export_tokens(tokens.path, tmp_path / "out", "olmo")
    expected, settings = documents_of(tokens), olmo_settings(tokens)
    dataset = data.NumpyFSLDataset(path, sequence_length=len(tokens), generate_doc_lengths=True, **settings)
    assert [item.tolist() for item in dataset[0].values()] == [tokens.tolist(), list(map(len, expected))]
    bounds = data.utils.iter_document_indices(str(path), dtype=settings["dtype"])
    assert [tokens[start:end].tolist() for start, end in bounds] == expected


def test_olmo_core_reads_several_files(files, tmp_path):
    data = pytest.importorskip("olmo_core.data")
    composable = pytest.importorskip("olmo_core.data.composable")
    arrays = [open_tokens(path) for path in files]
    settings = olmo_settings(arrays[0])
    paths = [export_tokens(path, tmp_path / "out" / path.stem, "olmo")[0] for path in files]
    dataset = data.NumpyFSLDataset(*paths, sequence_length=100, **settings)
    expected = [ids for tokens in arrays for ids, _ in windows_of(tokens, 100)]
    assert [dataset[number]["input_ids"].tolist() for number in range(len(dataset))] == expected
    ids = {name: settings[name] for name in ("vocab_size", "eos_token_id", "pad_token_id")}
    source = composable.NumpyDocumentSource(
        source_paths=paths, dtype=settings["dtype"], work_dir=tmp_path, tokenizer=data.TokenizerConfig(**ids)
    )
    found = [source.get_token_range(start, end)["input_ids"].tolist() for start, end in source.get_document_offsets()]
    assert found == [document for tokens in arrays for document in documents_of(tokens)]
