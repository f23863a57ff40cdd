"""The measurement of attention's kernels, of which a CPU has two."""

import pytest
import torch
from bpe_lm import errors
from bpe_lm.kernels import attention_times
from bpe_lm.kernels.attention_times import measure_attention
from bpe_lm.kernels.gpu_attention import ATTENTION_KERNELS

CPU = torch.device("cpu")


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_the_measurement_finds_the_fastest_of_a_cpus_kernels(dtype):
    state = torch.get_rng_state()
    times = measure_attention(2, 3, 40, 16, dtype, CPU)
    assert torch.equal(torch.get_rng_state(), state)
    assert set(times.seconds) == {"flash", "math"}
    assert not times.refused
    assert times.fastest == min(times.seconds, key=times.seconds.__getitem__)
    assert all(0 < seconds < 1 for seconds in times.seconds.values())


def test_kernels_that_do_not_work_are_left_out_with_the_reason(monkeypatch):
    monkeypatch.setattr(
        attention_times, "_candidates", lambda device: ("cudnn", "flash3", "math", "efficient", "triton")
    )
    times = measure_attention(1, 2, 8, 16, torch.float32, CPU)
    assert times.fastest == "math"
    assert set(times.seconds) == {"math"}
    assert set(times.refused) == {"cudnn", "flash3", "efficient", "triton"}
    assert times.refused["triton"] == "this machine does not run Triton"
    assert "not installed" in times.refused["flash3"] or "does not know it" in times.refused["flash3"]
    monkeypatch.setattr(attention_times, "_candidates", lambda device: ("cudnn",))
    with pytest.raises(errors.OptionError, match=r"no kernel computes attention of shape \(1, 8, 3, 2, 16\).*cudnn"):
        measure_attention(1, 2, 8, 16, torch.float32, CPU)


def test_a_slower_kernel_is_not_chosen(monkeypatch):
    seconds = {"flash": 0.3, "math": 0.2}
    monkeypatch.setattr(attention_times, "_seconds_of", lambda kernel, *others: seconds[kernel])
    assert measure_attention(1, 2, 8, 16, torch.float32, CPU).fastest == "math"
    seconds["math"] = 0.4
    assert measure_attention(1, 2, 8, 16, torch.float32, CPU).fastest == "flash"


def test_a_gpus_kernels_are_all_but_the_formula():
    assert set(attention_times._candidates(torch.device("cuda", 1))) == {*ATTENTION_KERNELS, "triton"} - {"math"}


def test_a_kernel_whose_results_are_others_is_refused(monkeypatch):
    right = attention_times.self_attention_by
    for wrong in (2.0, float("nan")):

        def by(kernel, *inputs, factor=wrong):
            heads = right(kernel, *inputs)
            return heads * factor if kernel == "math" else heads

        monkeypatch.setattr(attention_times, "self_attention_by", by)
        times = measure_attention(1, 2, 8, 16, torch.float32, CPU)
        assert set(times.seconds) == {"flash"}
        assert times.refused["math"].startswith("its results differ from those of other kernels by a part of")
