import numpy as np
import pytest
import torch
from bpe_lm.errors import TokenFileError
from bpe_lm.training.batches import Batches, get_batch


def test_a_batch_has_every_start_and_the_tokens_one_further(tmp_path):
    dataset = np.arange(100, dtype=np.uint16)
    dataset.tofile(tmp_path / "tokens.bin")
    mapped = np.memmap(tmp_path / "tokens.bin", dtype=np.uint16, mode="r")
    counts = np.zeros(93)
    for data in (dataset, mapped):
        for _ in range(500):
            x, y = get_batch(data, 32, 7, "cpu")
            assert x.dtype == y.dtype == torch.int64
            assert x.shape == y.shape == (32, 7)
            assert torch.equal(x + 1, y)
            np.add.at(counts, x[:, 0].numpy(), 1)
    mean, std = 32_000 / 93, (32_000 / 93 * (1 - 1 / 93)) ** 0.5
    assert np.all(np.abs(counts - mean) < 5 * std)


def test_a_device_that_is_not_there_is_an_error():
    with pytest.raises((RuntimeError, AssertionError)):
        get_batch(np.arange(100), 2, 7, "cuda:99")
    with pytest.raises(ValueError, match="7 tokens are fewer than a context of 7"):
        get_batch(np.arange(7), 2, 7, "cpu")
    x, _ = get_batch(np.arange(8), 2, 7, "cpu")
    assert x.tolist() == [list(range(7))] * 2


def test_a_batch_depends_on_seed_and_step_alone():
    data = np.random.default_rng(1).integers(0, 50, 10_000).astype(np.uint16)
    batches = Batches(data, 8, 16, 5, 50)
    later = [batches(step, "cpu")[0] for step in (100, 3, 2**40)]
    again = Batches(data, 8, 16, 5, 50)
    assert all(torch.equal(a, again(step, "cpu")[0]) for a, step in zip(later, (100, 3, 2**40), strict=True))
    assert not torch.equal(later[0], later[1])
    assert not torch.equal(later[0], Batches(data, 8, 16, 6, 50)(100, "cpu")[0])
    starts = np.concatenate([batches.starts(step) for step in range(500)])
    assert len(np.unique(starts)) > 3000


def test_ids_beyond_the_vocabulary_are_named():
    data = np.zeros(100, dtype=np.uint16)
    data[50] = 77
    batches = Batches(data, 64, 16, 1, 70)
    with pytest.raises(TokenFileError, match="token 50 of the training file is 77, and model.vocab_size is 70"):
        batches(0, "cpu")
    with pytest.raises(TokenFileError, match="fewer than a context of 16"):
        Batches(data[:16], 64, 16, 1, 70)
