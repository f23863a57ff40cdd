"""Training on several token files by weight."""

import json
from fractions import Fraction

import bpe_lm
import numpy as np
import pytest
import torch
from bpe_lm.errors import ConfigError, FileError, ResumeMismatch, TokenFileError
from bpe_lm.tokenizer.token_array import Joined
from bpe_lm.tokenizer.tokenizer import Tokenizer
from bpe_lm.training.batches import Batches
from bpe_lm.training.config import DataConfig, TrainConfig, override
from bpe_lm.training.data import check_same_data, open_data, with_absolute_paths
from bpe_lm.training.identity import planned_identity, run_identity
from bpe_lm.training.mixture import Mixture
from bpe_lm.training.prefetch import Prefetch
from bpe_lm.training.trainer import Trainer

END_OF_TEXT = "<|endoftext|>"


def naive_sources(weights, rows):
    """The file of each row: whose next row is due first, by fractions."""
    counts, order = [0] * len(weights), []
    for _ in range(rows):
        source = min(range(len(weights)), key=lambda k: (Fraction(2 * counts[k] + 1) / weights[k], k))
        counts[source] += 1
        order.append(source)
    return order


@pytest.mark.parametrize(
    "weights", [[1], [1, 1], [7, 3], [1, 2, 3], ["0.7", "0.25", "0.05"], ["1e-3", 1, 1, 1], ["0.333", "0.667"], [5] * 9]
)
def test_files_are_as_often_as_their_weights_say_at_any_row(weights):
    weights = [Fraction(weight) for weight in weights]
    mixture, number = Mixture([100] * len(weights), weights), len(weights)
    rows = 1500
    order = naive_sources(weights, rows)
    assert mixture.sources(0, rows).tolist() == order
    assert mixture.sources(731, 97).tolist() == order[731 : 731 + 97]
    shares = [weight / sum(weights) for weight in weights]
    for row in [*range(60), 731, rows, 10**6 + 7, 10**15 + 3]:
        counts = mixture.counts(row)
        assert sum(counts) == row
        assert row > rows or counts == [order[:row].count(source) for source in range(number)]
        for count, share in zip(counts, shares, strict=True):
            assert abs(count - share * row) <= (1 + number * share) / 2
    cycle = sum(mixture._parts)
    assert mixture.counts(cycle * 3) == [3 * part for part in mixture._parts]


def test_a_batch_of_several_files_is_a_function_of_seed_and_step():
    files = [np.arange(50, dtype=np.uint16), np.arange(100, 400, dtype=np.uint16)]
    mixture = Mixture([50, 300], [Fraction(3, 4), Fraction(1, 4)])
    batches, again = [Batches(Joined(files), 8, 16, 5, 500, mixture) for _ in range(2)]
    for step in (0, 3, 2**40):
        sources = batches.sources(step)
        assert np.bincount(sources).tolist() == [6, 2]
        x, y = again(step, "cpu")
        assert x.equal(batches(step, "cpu")[0])
        assert (x + 1).equal(y), "no row reaches from one file into the next"
        assert ((x[:, 0].numpy() >= 100) == sources).all()
        assert all(again(step, "cpu", slice(k, k + 2))[0].equal(x[k : k + 2]) for k in (0, 2, 4, 6))
        places = [mixture.place(int(start)) for start in batches.starts(step)]
        assert [(file, 100 * file + token) for file, token in places] == list(
            zip(sources.tolist(), x[:, 0].tolist(), strict=True)
        )
    ahead = Prefetch(batches, slice(None), torch.device("cpu"))
    assert ahead(3).inputs.equal(batches(3, "cpu")[0])
    ahead.close()
    starts = {int(start) for step in range(3000) for start in batches.starts(step)}
    assert starts == {*range(34), *range(50, 334)}
    with pytest.raises(TokenFileError, match="model.vocab_size is 300"):
        Batches(Joined(files), 64, 16, 5, 300, mixture)(0, "cpu")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("0.5 a.bin 0.5", "in turns"),
        ("a.bin", "in turns"),
        ("a.bin 1", "weight 'a.bin'"),
        ("0 a.bin", "weight '0'"),
        ("-1 a.bin", "weight '-1'"),
        ("nan a.bin", "weight 'nan'"),
        ("1e999 a.bin", "weight '1e999'"),
        ("1e-99 a.bin", "weight '1e-99'"),
        ("1 'a.bin", "quotation"),
        ("1 s3://a/b.bin", "only local files"),
    ],
)
def test_a_mixture_that_makes_no_sense_is_refused(text, message):
    with pytest.raises(ConfigError, match=message):
        DataConfig(mixture=text)


def test_a_mixture_is_weights_and_paths():
    data = DataConfig(mixture="7 'my web.bin' 3 code.bin")
    assert data.training == (("my web.bin", Fraction(7, 10)), ("code.bin", Fraction(3, 10)))
    assert data.with_paths(lambda path: f"/x/{path}").mixture == "7 '/x/my web.bin' 3 /x/code.bin"
    assert DataConfig(train="a.bin").training == (("a.bin", 1),)
    with pytest.raises(ConfigError, match="both set"):
        DataConfig(train="a.bin", mixture="1 a.bin")


@pytest.fixture(scope="module")
def files(sample, tmp_path_factory):
    """Two token files of other texts, the first one also as joined shards."""
    folder = tmp_path_factory.mktemp("mixture")
    tokenizer = Tokenizer({byte: bytes([byte]) for byte in range(256)}, [], [END_OF_TEXT])
    tokenizer.save(folder / "t")
    text = sample.read_bytes()
    for name, part in (("a", text[:20_000]), ("b", text[20_000:25_000])):
        (folder / f"{name}.txt").write_bytes(part)
        tokenizer.encode_file(folder / f"{name}.txt", folder / f"{name}.bin")
    for index in range(3):
        tokenizer.encode_file(folder / "a.txt", folder / f"a{index}.bin", shard=(index, 3))
    bpe_lm.join_tokens([folder / f"a{index}.bin" for index in range(3)], folder / "joined.bin")
    return folder


def config_of(data, **changes) -> TrainConfig:
    model = {"vocab_size": 257, "context_length": 16, "d_model": 16, "num_layers": 1, "num_heads": 2, "d_ff": 32}
    values = {
        "model": model,
        "data": data,
        "batch_size": 8,
        "steps": 6,
        "checkpoint_every": 3,
        "device": "cpu",
        "schedule": {"shape": "constant"},
    }
    return override(TrainConfig(), values | {"compile": False, "dtype": "float32", "log_every": 1} | changes)


def losses(folder):
    lines = map(json.loads, (folder / "metrics.jsonl").read_text().splitlines())
    return [line["loss"] for line in lines if line.get("kind") == "train"]


def test_a_run_on_joined_shards_is_the_run_on_the_whole_file(files, tmp_path):
    for name in ("a", "joined"):
        with Trainer(config_of({"train": str(files / f"{name}.bin")}), tmp_path / name) as trainer:
            trainer.run()
    assert losses(tmp_path / "a") == losses(tmp_path / "joined") != []


def test_a_run_on_a_mixture_is_resumed_exactly(files, tmp_path):
    data = {"mixture": f"3 {files / 'a.bin'} 1 {files / 'b.bin'}"}
    with Trainer(config_of(data), tmp_path / "whole") as trainer:
        trainer.run()
        assert np.bincount(trainer.batches.sources(0)).tolist() == [6, 2]
    with Trainer(config_of(data, steps=3), tmp_path / "halves") as trainer:
        trainer.run()
    with Trainer(config_of(data), tmp_path / "halves", resume=True) as trainer:
        trainer.run()
    assert losses(tmp_path / "halves") == losses(tmp_path / "whole")
    other = config_of({"mixture": f"2 {files / 'a.bin'} 1 {files / 'b.bin'}"})
    with pytest.raises(ResumeMismatch, match="another mixture"), Trainer(other, tmp_path / "whole", resume=True):
        pass


def test_the_identity_covers_files_and_weights(files):
    def identity(mixture):
        return planned_identity(config_of({"mixture": mixture.replace("/", f"{files}/")}))["data"]

    mixture = identity("3 /a.bin 1 /b.bin")
    assert identity("0.75 /a.bin 0.25 /b.bin") == mixture
    others = {identity(text) for text in ("1 /a.bin 1 /b.bin", "1 /b.bin 3 /a.bin", "3 /a.bin 1 /a.bin", "1 /a.bin")}
    assert len(others | {mixture}) == 5
    alone = config_of({"train": str(files / "a.bin")})
    assert identity("1 /a.bin") == planned_identity(alone)["data"]
    data = open_data(alone)
    assert run_identity(alone, data.train_manifests, data.valid_manifest) == planned_identity(alone)
    with pytest.raises(ConfigError, match=r"data\.train is not set"):
        planned_identity(config_of({}))


def test_files_that_do_not_fit_a_mixture_are_refused_by_name(files, tmp_path):
    other = Tokenizer({byte: bytes([byte]) for byte in range(256)}, [], ["<|other|>"])
    other.encode_file(files / "b.txt", tmp_path / "other.bin")
    Tokenizer.load(files / "t").encode_file(files / "b.txt", tmp_path / "wide.bin", dtype="uint32")
    (tmp_path / "short.txt").write_text("short")
    Tokenizer.load(files / "t").encode_file(tmp_path / "short.txt", tmp_path / "short.bin")
    for name, error, message in [
        ("other.bin", TokenFileError, "another tokenizer"),
        ("wide.bin", TokenFileError, "another type of ids"),
        ("short.bin", TokenFileError, r"short\.bin has 5 tokens"),
        ("missing.bin", FileError, r"data\.mixture is .*missing\.bin, which does not exist"),
    ]:
        config = config_of({"mixture": f"1 {files / 'a.bin'} 1 {tmp_path / name}"})
        with pytest.raises(error, match=message):
            open_data(config)


def test_data_json_names_no_mixture_for_one_file(files, tmp_path, monkeypatch):
    monkeypatch.chdir(files)
    data = open_data(config_of({"train": "a.bin"}))
    assert set(data.identity) == {"tokenizer", "count", "crc32"}
    (tmp_path / "data.json").write_text(json.dumps(data.identity))
    check_same_data(tmp_path, data.identity)
    mixed = open_data(config_of({"mixture": "1 a.bin 2 b.bin"}))
    assert [weight for _, weight in mixed.identity["mixture"]] == ["1/3", "2/3"]
    absolute = with_absolute_paths(config_of({"mixture": "1 a.bin 2 b.bin"})).data.mixture
    assert absolute == f"1 {files / 'a.bin'} 2 {files / 'b.bin'}"
