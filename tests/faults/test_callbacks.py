"""Progress callbacks that raise, call the package again, or take their time, in each call that has one."""

import threading
import time

import bpe_lm
import pytest


def calls(tokenizer, sample, folder):
    out = folder / "out.bin"
    tokenizer.encode_file(sample, folder / "old.bin")
    return {
        "train_bpe": lambda progress: bpe_lm.train_bpe(sample, 600, [], progress=progress),
        "encode_file": lambda progress: tokenizer.encode_file(sample, out, force=True, progress=progress),
        "count_tokens": lambda progress: tokenizer.count_tokens([sample], progress=progress),
        "verify": lambda progress: bpe_lm.verify(folder / "old.bin", progress=progress),
    }


CALLS = ["train_bpe", "encode_file", "count_tokens", "verify"]


@pytest.mark.row("R27", few=1, many=20)
@pytest.mark.parametrize("name", CALLS)
def test_an_error_of_a_callback_comes_out_once_and_the_next_call_is_right(tokenizer, sample, tmp_path, name, cases):
    call = calls(tokenizer, sample, tmp_path)[name]
    expected = call(lambda *_: None)
    for case in cases:
        raised, error = [], ZeroDivisionError(f"mine, {case}")

        def fail(*_, raised=raised, error=error):
            raised.append(threading.get_ident())
            raise error

        with pytest.raises(ZeroDivisionError) as caught:
            call(fail)
        assert caught.value is error
        assert raised == [threading.get_ident()]
        assert call(lambda *_: None) == expected


@pytest.mark.row("R27", few=1, many=20)
@pytest.mark.parametrize("name", CALLS)
def test_a_callback_may_call_again_and_take_its_time(tokenizer, sample, tmp_path, name, cases):
    call = calls(tokenizer, sample, tmp_path)[name]
    expected = call(lambda *_: None)
    for _ in cases:
        found = []

        def again(*_, found=found):
            time.sleep(0.01)
            found.append(tokenizer.encode("Once upon a time"))

        assert call(again) == expected
        assert found
        assert all(ids == tokenizer.encode("Once upon a time") for ids in found)


@pytest.mark.row("R27")
@pytest.mark.parametrize("name", CALLS)
def test_a_callback_is_called_ten_times_a_second_so_it_costs_nothing(tokenizer, sample, tmp_path, name):
    """Counted, not timed: ten calls of some microseconds are far below the 2 % of a second that they may take."""
    call, said = calls(tokenizer, sample, tmp_path)[name], []
    begun = time.monotonic()
    for _ in range(3):
        call(lambda stage, *_: said.append(stage))
    assert 3 <= len(said) <= 10 * (time.monotonic() - begun) + 3 * 2 * len(set(said))
