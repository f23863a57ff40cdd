"""The kernels of training in a process: whose threads they take, after a fork, and into which arrays they write."""

import os
import subprocess
import sys

import numpy as np
import pytest
import torch
from bpe_lm import _core, errors
from bpe_lm.kernels.cpu import as_output

pytestmark = pytest.mark.usefixtures("needs_kernels")

STEP = """
import os, signal, sys, threading
import numpy as np, torch
from bpe_lm import _core
from bpe_lm.model.config import ModelConfig
from bpe_lm.kernels.attention import fused_attention
from bpe_lm.model.loss import cross_entropy
from bpe_lm.model.transformer import TransformerLM

def step():
    torch.manual_seed(1)
    config = ModelConfig(vocab_size=300, context_length=64, d_model=64, num_layers=2, num_heads=2, d_ff=128)
    model = TransformerLM.from_config(config)
    ids = torch.arange(4 * 65).reshape(4, 65) % 300
    cross_entropy(model(ids[:, :-1]), ids[:, 1:]).backward()
    return [parameter.grad.clone() for parameter in model.parameters()]

def attention(threads, heads=4):
    qkv = np.random.default_rng(1).standard_normal((2, 64, 3, heads, 32), dtype=np.float32)
    outputs, sums = np.empty((2, 64, heads, 32), np.float32), np.empty((2, heads, 64), np.float32)
    _core.attention_forward(qkv, None, 0, 'avx512', threads, outputs, sums)
    return outputs

def loss(threads):
    logits, losses = np.random.default_rng(1).standard_normal((50, 300), dtype=np.float32), np.empty(50, np.float32)
    _core.cross_entropy(logits, np.arange(50), None, threads, True, losses)
    return logits

torch.set_num_threads(2)
"""

# In the child torch's own operations need its team, which is not there, unless one thread is enough.
FORKED = """
expected = step(), attention(2), loss(2)
pid = os.fork()
if pid == 0:
    signal.alarm(60)
    threaded = attention(2), loss(2)
    torch.set_num_threads(1)
    gradients = step()
    is_same = all(map(np.array_equal, threaded, expected[1:]))
    is_near = all(torch.allclose(a, b, atol=1e-6) for a, b in zip(gradients, expected[0], strict=True))
    os._exit(0 if is_same and is_near else 3)
sys.exit(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
"""

# Three threads and two heads: a team of two would end one of torch's, which then starts another.
WATCHED = """
def watch():
    while not stop.wait(0.001):
        seen.append(set(os.listdir("/proc/self/task")))

torch.set_num_threads(3)
step()
stop, seen = threading.Event(), []
watcher = threading.Thread(target=watch)
watcher.start()
before = set(os.listdir("/proc/self/task"))
rounds = 0
while rounds < 20 or len(seen) < 20:
    rounds += 1
    attention(3), loss(3), fused_attention(torch.ones(1, 256, 3, 2, 32), None, None)
    torch.ones(300, 1000).exp_()
stop.set()
watcher.join()
new = set().union(*seen) - before
print(len(seen), "looks, new threads:", new)
sys.exit(bool(new))
"""


def run(code):
    return subprocess.run([sys.executable, "-W", "ignore", "-c", STEP + code], check=False, timeout=120)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork")
def test_a_fork_of_a_process_that_has_trained_runs_kernels_on_several_threads_and_a_step():
    assert run(FORKED).returncode == 0


@pytest.mark.skipif(not os.path.exists("/proc/self/task"), reason="no /proc")
def test_kernels_add_no_threads_to_torchs_and_end_none():
    assert run(WATCHED).returncode == 0


def test_kernels_share_the_library_that_torch_brings():
    """It is imported above."""
    if sys.platform == "linux":
        assert "omp" in _core.open_mp_library()


def halves(*shape):
    """Two tensors of that shape, with half of each in the other's memory: numpy takes them for strangers."""
    size = int(np.prod(shape))
    memory = torch.zeros(size + size // 2)
    return memory[:size].view(shape).numpy(), memory[size // 2 :].view(shape).numpy()


def test_an_output_that_shares_memory_with_another_array_is_refused():
    heads, qkv = (1, 4, 2, 8), torch.zeros(1, 4, 3, 2, 8).numpy()
    outputs, sums = torch.zeros(heads).numpy(), torch.zeros(1, 2, 4).numpy()
    whole = torch.zeros(qkv.size + 1)
    inside = whole[5 : 5 + outputs.size].view(heads).numpy()
    refusal = pytest.raises(errors.OptionError, match="an output needs memory of its own")
    with refusal:
        _core.attention_forward(whole[:-1].view(qkv.shape).numpy(), None, 0, "avx512", 1, inside, sums)
    tables = whole[:16].view(4, 4).numpy(), whole[16:32].view(4, 4).numpy()
    with refusal:
        _core.attention_forward(qkv, tables, 0, "avx512", 1, inside, sums)
    with refusal:
        _core.attention_forward(qkv, None, 0, "avx512", 1, inside, whole[5:13].view(sums.shape).numpy())
    gradient, other = halves(*qkv.shape)
    with refusal:
        _core.attention_backward(outputs, gradient, None, outputs, sums, 0, "avx512", 1, other)
    with refusal:
        _core.attention_backward(outputs, qkv, None, inside, sums, 0, "avx512", 1, whole[1:].view(qkv.shape).numpy())
    memory = torch.zeros(40)
    logits = memory[:32].view(4, 8).numpy()
    with refusal:
        _core.cross_entropy(logits, np.zeros(4, np.int64), None, 1, True, memory[30:34].numpy())
    with refusal:
        _core.cross_entropy(logits, memory[8:16].view(torch.int64).numpy(), None, 1, True, np.empty(4, np.float32))
    _core.cross_entropy(logits, np.zeros(4, np.int64), None, 1, True, memory[32:36].numpy())
    assert memory[32:36].allclose(torch.full((4,), 8.0).log())


def test_a_kernel_of_a_wrong_machine_or_shape_is_an_error_of_ours():
    logits, losses = np.zeros((4, 8), np.float32), np.empty(4, np.float32)
    with pytest.raises(errors.OptionError, match="shape"):
        _core.cross_entropy(logits, np.zeros(3, np.int64), None, 2, False, losses)
    with pytest.raises(ValueError, match="contiguous"):
        as_output(torch.zeros(4, 4).T)
