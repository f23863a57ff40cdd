"""The choice among torch's attention kernels, of which a CPU has two."""

import pytest
import torch
from bpe_lm import errors
from bpe_lm.kernels import gpu_attention
from bpe_lm.kernels.attention import fast_causal_attention
from bpe_lm.kernels.choices import Kernels, using
from bpe_lm.kernels.gpu_attention import (
    attention_by,
    deterministic_attention,
    use_attention,
)
from tensors import randn

CPU = torch.device("cpu")


def by_choice(kernel, q, k, v, is_causal):
    with using(Kernels(attention=kernel)):
        return fast_causal_attention(q, k, v)


@pytest.mark.parametrize("kernel", ["flash", "math"])
def test_a_named_kernel_computes_attention_and_its_gradients(kernel):
    inputs = [randn(seed, 2, 3, 9, 8).requires_grad_() for seed in (1, 2, 3)]
    q, k, v = (x.detach().double().requires_grad_() for x in inputs)
    scores = (q @ k.mT / 8**0.5).masked_fill(torch.ones(9, 9).triu(1).bool(), -torch.inf)
    exact = scores.softmax(-1) @ v
    expected = [exact, *torch.autograd.grad(exact.square().sum(), (q, k, v))]
    # Whether it is compiled or not, and called alone or by the model's function.
    named = torch.compile(attention_by, fullgraph=True, backend="aot_eager")
    for function in (attention_by, named, by_choice):
        with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU]) as profile:
            found = function(kernel, *inputs, is_causal=True)
        names = {event.key for event in profile.key_averages()}
        assert ("aten::_scaled_dot_product_flash_attention_for_cpu" in names) == (kernel == "flash")
        gradients = torch.autograd.grad(found.square().sum(), inputs)
        for value, other in zip([found, *gradients], expected, strict=True):
            assert torch.allclose(value.double(), other, rtol=1e-4, atol=1e-5)


def test_a_kernel_of_another_device_is_an_error_and_changes_nothing_after_it():
    q, k, v = (randn(seed, 1, 2, 4, 8) for seed in (1, 2, 3))
    with pytest.raises(RuntimeError):
        attention_by("cudnn", q, k, v, is_causal=True)
    torch.nn.functional.scaled_dot_product_attention(q, k, v)


def test_one_query_and_queries_after_others_are_left_to_torch():
    k, v = randn(2, 1, 2, 6, 8), randn(3, 1, 2, 6, 8)
    for queries in (1, 3):
        q = randn(1, 1, 2, queries, 8)
        with using(Kernels(attention="cudnn")):
            chosen = fast_causal_attention(q, k, v)
        assert torch.equal(chosen, fast_causal_attention(q, k, v))


def test_a_deterministic_run_takes_a_kernel_by_its_format_and_never_cudnns():
    chosen = {
        (device, dtype): deterministic_attention(dtype, torch.device(device))
        for device in ("cpu", "cuda")
        for dtype in (torch.float32, torch.bfloat16)
    }
    assert chosen.pop(("cuda", torch.float32)) == "efficient"
    assert set(chosen.values()) == {"flash"}


@pytest.fixture
def flash_3(monkeypatch):
    """A torch that has FlashAttention 3 on a Hopper GPU; what is active, and what was called."""
    state = {"active": None, "calls": []}

    def activate(name):
        state["calls"].append(name)
        state["active"] = name

    attention = gpu_attention.attention
    monkeypatch.setattr(attention, "activate_flash_attention_impl", activate, raising=False)
    monkeypatch.setattr(attention, "restore_flash_attention_impl", lambda: activate(None), raising=False)
    monkeypatch.setattr(attention, "current_flash_attention_impl", lambda: state["active"], raising=False)
    monkeypatch.setattr(attention, "list_flash_attention_impls", lambda: ["FA3", "FA4"], raising=False)
    monkeypatch.setattr(gpu_attention, "find_spec", lambda name: object())
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda: (9, 0))
    return state


def test_flash_attention_3_is_activated_once_and_restored_for_another_kernel(flash_3):
    for kernel in ("flash", "flash3", "flash3", "flash", "cudnn", "flash3"):
        use_attention(kernel)
    assert flash_3["calls"] == ["FA3", None, "FA3"]
    assert flash_3["active"] == "FA3"


@pytest.mark.parametrize(
    ("missing", "words"),
    [
        ("hook", "torch .* does not know it"),
        ("name", "torch .* does not know it"),
        ("package", "the package flash_attn_interface is not installed"),
        ("hopper", r"it needs a Hopper GPU \(compute capability 9\)"),
    ],
)
def test_what_flash_attention_3_lacks_is_said(monkeypatch, flash_3, missing, words):
    if missing == "hook":
        monkeypatch.delattr(gpu_attention.attention, "activate_flash_attention_impl")
    elif missing == "name":
        monkeypatch.setattr(gpu_attention.attention, "list_flash_attention_impls", lambda: ["FA4"])
    elif missing == "package":
        monkeypatch.setattr(gpu_attention, "find_spec", lambda name: None)
    else:
        monkeypatch.setattr(torch.cuda, "get_device_capability", lambda: (10, 0))
    with pytest.raises(errors.OptionError, match=f"flash3 is not possible here: {words}; use flash or cudnn"):
        use_attention("flash3")
    assert not flash_3["calls"]
    use_attention("flash")
