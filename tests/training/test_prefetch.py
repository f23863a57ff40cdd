"""Batches that a thread fetches ahead are the batches of their steps, whatever the file's number format."""

import threading

import numpy as np
import pytest
import torch
from bpe_lm.training.batches import Batches
from bpe_lm.training.prefetch import Prefetch

CPU = torch.device("cpu")


def tokens(dtype: str = "<u2", largest: int = 300) -> np.ndarray:
    return np.random.default_rng(1).integers(0, largest, 5000).astype(dtype)


@pytest.fixture
def prefetch():
    """Build prefetchers, and end their threads."""
    built = []

    def build(dataset: np.ndarray, vocab_size: int = 300, rows: slice = slice(None), batch_size: int = 8) -> Prefetch:
        built.append(Prefetch(Batches(dataset, batch_size, 16, 5, vocab_size), rows, CPU))
        return built[-1]

    yield build
    for each in built:
        each.close()


@pytest.mark.parametrize("dtype", ["u1", "<u2", ">u2", "<u4", "<u8", "i4", "i8"])
def test_each_batch_is_that_of_its_step(prefetch, tmp_path, dtype):
    largest = {"u1": 256, "<u2": 65_536, ">u2": 65_536, "i4": 2**31}.get(dtype, 2**32 - 1)
    tokens(dtype, largest).tofile(tmp_path / "tokens.bin")
    dataset = np.memmap(tmp_path / "tokens.bin", dtype=dtype, mode="r")
    batches, ahead = Batches(dataset, 8, 16, 5, 2**32), prefetch(dataset, 2**32)
    for step in range(20):
        x, y, has_bad_ids = ahead(step)
        expected = batches(step, "cpu")
        assert torch.equal(x, expected[0])
        assert torch.equal(y, expected[1])
        assert x.dtype == y.dtype == torch.int64
        assert not has_bad_ids


def test_a_batch_is_not_overwritten_by_later_ones(prefetch):
    ahead, batches = prefetch(tokens()), Batches(tokens(), 8, 16, 5, 300)
    found = [ahead(step) for step in range(6)]
    for step, (x, _, _) in enumerate(found):
        assert torch.equal(x, batches(step, "cpu")[0])


def test_any_order_of_steps_is_served(prefetch):
    ahead, batches = prefetch(tokens()), Batches(tokens(), 8, 16, 5, 300)
    for step in (0, 1, 1, 2, 9, 10, 3, 4, 4, 2**40):
        assert torch.equal(ahead(step).targets, batches(step, "cpu")[1])


def test_a_process_gets_its_own_rows(prefetch):
    ahead, batches = prefetch(tokens(), rows=slice(2, 6)), Batches(tokens(), 8, 16, 5, 300)
    for step in range(3):
        assert torch.equal(ahead(step).inputs, batches(step, "cpu")[0][2:6])


def test_the_next_batch_is_fetched_by_another_thread_before_it_is_asked_for(prefetch):
    ahead, fetched, second = prefetch(tokens()), [], threading.Event()
    real = ahead._fetch

    def noted(step: int):
        fetched.append((step, threading.current_thread() is threading.main_thread()))
        found = real(step)
        if step == 1:
            second.set()
        return found

    ahead._fetch = noted
    ahead(0)
    assert second.wait(10)
    assert fetched == [(0, False), (1, False)]
    ahead(1)
    ahead(2)
    ahead.close()
    assert [step for step, _ in fetched][:3] == [0, 1, 2]
    assert len(fetched) == len(set(fetched)), "no batch is fetched twice"


@pytest.mark.parametrize("bad", [300, 65_535])
def test_ids_beyond_the_vocabulary_are_reported_and_replaced(prefetch, bad):
    dataset = tokens()
    ahead, batches = prefetch(dataset), Batches(dataset, 8, 16, 5, 300)
    place = int(batches.starts(4)[3]) + 5
    dataset[place] = bad
    has = [bool((dataset[batches.starts(step)[:, None] + np.arange(17)] == bad).any()) for step in range(8)]
    assert has[4]
    for step in range(8):
        x, y, has_bad_ids = ahead(step)
        assert bool(has_bad_ids) == has[step]
        assert int(x.max()) < 300
        assert int(y.max()) < 300
        if has[step]:
            expected = np.where(dataset == bad, 0, dataset)[batches.starts(step)[:, None] + np.arange(16)]
            assert torch.equal(x, torch.from_numpy(expected.astype(np.int64)))


def test_a_negative_id_is_reported(prefetch):
    dataset = tokens("i4")
    dataset[:] = -1
    x, _, has_bad_ids = prefetch(dataset)(0)
    assert bool(has_bad_ids)
    assert int(x.min()) == 0


def test_an_error_of_the_thread_surfaces_with_the_batch_that_it_could_not_fetch(prefetch):
    ahead = prefetch(tokens())
    real = ahead._fetch

    def failing(step: int):
        if step == 2:
            raise OSError(5, "Input/output error")
        return real(step)

    ahead._fetch = failing
    ahead(0), ahead(1)
    with pytest.raises(OSError, match="Input/output error"):
        ahead(2)
    ahead(3)
