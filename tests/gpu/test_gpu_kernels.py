"""The kernels on an NVIDIA GPU, against their formulas in float64: `make test-gpu` runs these tests."""

import copy
import importlib

import pytest
import torch
from bpe_lm.kernels import gpu_attention, gpu_cross_entropy
from bpe_lm.kernels.attention_times import measure_attention
from bpe_lm.kernels.embedding import embedding
from bpe_lm.kernels.gpu import supports_triton
from bpe_lm.kernels.layers import fused_rms_norm, fused_silu
from bpe_lm.model.layers import RMSNorm, silu
from tensors import randn

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="no NVIDIA GPU"),
    # Compilers of other versions of Triton and torch warn of themselves.
    pytest.mark.filterwarnings("default"),
]

DTYPES = [torch.float32, torch.bfloat16]
GPU = torch.device("cuda")


@pytest.fixture(scope="module")
def checks():
    """The checks of the kernels, whose module needs Triton."""
    pytest.importorskip("triton")
    if not supports_triton(torch.empty(1, device=GPU)):
        pytest.skip("the GPU is older than Ampere")
    return importlib.import_module("kernel_checks")


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(
    ("rows", "vocab_size"),
    [(1, 1), (5, 7), (3, 50), (300, 1000), (1000, 4097), (2000, 10_000), (513, 50_257), (3, 128_256)],
)
def test_rows_have_the_losses_and_gradients_of_the_formula(checks, rows, vocab_size, dtype):
    checks.check_rows((randn(1, rows, vocab_size) * 3).to(GPU, dtype), scale=0.125)


@pytest.mark.parametrize("dtype", DTYPES)
def test_extreme_logits_have_finite_losses_and_gradients(checks, dtype):
    logits = randn(1, 6, 5000)
    logits[0] *= 1e4
    logits[1] = 1e4
    logits[2] = -1e4
    logits[3, 3], logits[4, 4999] = 1e4, -1e4
    checks.check_rows(logits.to(GPU, dtype), scale=1.0)


@pytest.mark.parametrize("compiled", [False, True])
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", [(1, 64, 1), (5, 24, 7), (1000, 96, 1001), (700, 128, 10_000), (2051, 64, 50_257)])
def test_the_loss_is_the_formula_in_one_chunk_and_in_several(checks, monkeypatch, shape, dtype, compiled):
    whole = checks.check_loss("cuda", shape, dtype, compiled=compiled)
    again = checks.check_loss("cuda", shape, dtype, compiled=compiled)
    for one, other in zip(whole, again, strict=True):
        assert torch.equal(one, other)
    monkeypatch.setattr(gpu_cross_entropy, "_SMALLEST_CHUNK", 1)
    torch.compiler.reset()
    checks.check_loss("cuda", shape, dtype, compiled=compiled)


def test_the_loss_of_a_large_batch_takes_a_part_of_its_logits(checks):
    rows, d_model, vocab_size = 16_384, 256, 32_000
    hidden = torch.randn(rows, d_model, device=GPU).requires_grad_()
    weight = (torch.randn(vocab_size, d_model, device=GPU) / 16).requires_grad_()
    targets = torch.randint(vocab_size, (rows,), device=GPU)
    for _ in range(2):  # The first pass also allocates cuBLAS's workspace, which stays.
        hidden.grad = weight.grad = None
        before = torch.cuda.memory_allocated()
        torch.cuda.reset_peak_memory_stats()
        with torch.autocast("cuda", torch.bfloat16):
            gpu_cross_entropy.gpu_cross_entropy(hidden, weight, targets, 1 / rows).backward()
    gradients = 4 * (hidden.numel() + weight.numel())
    workspace = gpu_cross_entropy.gpu_workspace(rows, d_model, vocab_size, 2)
    used = torch.cuda.max_memory_allocated() - before
    # Without addmm into float32, a product is added that has the size of the head's gradient.
    assert 0.9 * (gradients + workspace) <= used <= 1.1 * (gradients + workspace + 4 * weight.numel())
    assert used <= 0.4 * (2 * rows * vocab_size + gradients) + 4 * weight.numel()


def test_products_into_float32_do_not_round_their_sums_to_bfloat16(checks):
    """Which of them this torch has is printed with `pytest -s`."""
    has = gpu_cross_entropy._wide_products(GPU)
    print("bfloat16 products into float32:", sorted(has))
    a, b = randn(1, 64, 512).to(GPU, torch.bfloat16), randn(2, 512, 96).to(GPU, torch.bfloat16)
    exact = a.double() @ b.double()
    for adds in (False, True):
        out = torch.ones(64, 96, device=GPU)
        gpu_cross_entropy._multiply(a, b, out, adds=adds)
        error = (out - exact - (1 if adds else 0)).abs().max() / exact.abs().max()
        assert error <= (1e-5 if has else 2.0**-7)


@pytest.mark.parametrize("compiled", [False, True])
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(
    "shape", [(1, 1, 1, 2), (2, 3, 3, 6), (2, 77, 12, 64), (3, 64, 16, 32), (1, 50, 5, 80), (2, 9, 40, 128)]
)
def test_split_and_rotation_have_the_values_and_gradients_of_the_formula(checks, shape, dtype, compiled):
    checks.check_rotation("cuda", shape, dtype, compiled=compiled)


def attend(kernel, inputs, compiled=False):
    """Attention's values as the model passes them on, (batch, queries, head * d_k), and gradients of their products.

    cuDNN's backward pass takes a gradient in the layout of its output for granted, and a compiler may hand it another
    one (torch 2.11). The product after attention has that layout.
    """

    def values(kernel, q, k, v):
        output = gpu_attention.attention_by(kernel, q, k, v, is_causal=True)
        return output.transpose(1, 2).flatten(2) @ matrix

    width = inputs[0].shape[1] * inputs[0].shape[3]
    matrix = randn(9, width, width).to(inputs[0].device, inputs[0].dtype) / width**0.5
    output = (torch.compile(values, fullgraph=True) if compiled else values)(kernel, *inputs)
    return [output.detach(), *torch.autograd.grad(output.float().square().sum(), inputs)]


@pytest.mark.parametrize("compiled", [False, True])
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("d_k", [32, 64, 128])
def test_each_kernel_that_works_computes_attention(dtype, d_k, compiled):
    times = measure_attention(2, 3, 130, d_k, dtype, GPU)
    print(dtype, d_k, times)
    assert set(times.seconds) | set(times.refused) == {*gpu_attention.ATTENTION_KERNELS, "triton"} - {"math"}
    assert {"efficient", "triton"} <= set(times.seconds)
    inputs = [randn(seed, 2, 130, 3, d_k).to(GPU, dtype).transpose(1, 2).requires_grad_() for seed in (1, 2, 3)]
    q, k, v = (x.detach().double().requires_grad_() for x in inputs)
    mask = torch.ones(130, 130, device=GPU).triu(1).bool()
    exact = (q @ k.mT / d_k**0.5).masked_fill(mask, -torch.inf).softmax(-1) @ v
    width = 3 * d_k
    matrix = (randn(9, width, width).to(GPU, dtype) / width**0.5).double()
    exact = exact.transpose(1, 2).flatten(2) @ matrix
    expected = [exact.detach(), *torch.autograd.grad(exact.square().sum(), (q, k, v))]
    for kernel in (*(set(times.seconds) - {"triton"}), "math"):
        gpu_attention.use_attention(kernel)
        torch.compiler.reset()
        for value, other in zip(attend(kernel, inputs, compiled), expected, strict=True):
            assert (value - other).norm() <= (0.02 if dtype == torch.bfloat16 else 1e-5) * other.norm(), kernel
    gpu_attention.use_attention("flash")


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(
    "shape", [(1, 1, 1, 2), (2, 3, 3, 6), (3, 256, 16, 32), (2, 1000, 3, 64), (1, 77, 5, 80), (2, 130, 2, 128)]
)
def test_attention_with_its_rotation_has_the_values_and_gradients_of_the_formula(checks, shape, dtype):
    for rotates in (False, True):
        checks.check_attention("cuda", shape, dtype, rotates=rotates)


def test_compiled_attention_with_its_rotation_is_the_formula(checks):
    checks.check_attention("cuda", (4, 256, 16, 32), torch.bfloat16, compiled=True)


@pytest.fixture
def deterministic(monkeypatch):
    """torch's deterministic algorithms. cuBLAS reads the variable when it is first used with a stream."""
    monkeypatch.setenv("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    torch.use_deterministic_algorithms(True)
    yield
    torch.use_deterministic_algorithms(False)


@pytest.mark.usefixtures("deterministic")
@pytest.mark.parametrize("dtype", DTYPES)
def test_the_kernel_of_a_deterministic_run_gives_equal_bits(dtype):
    kernel = gpu_attention.deterministic_attention(dtype, GPU)
    inputs = [torch.randn(4, 512, 8, 64, device=GPU, dtype=dtype).transpose(1, 2).requires_grad_() for _ in range(3)]
    first = attend(kernel, inputs)
    for _ in range(5):
        assert all(map(torch.equal, attend(kernel, inputs), first))


@pytest.mark.usefixtures("deterministic")
@pytest.mark.parametrize("compiled", [False, True])
def test_an_embeddings_gradient_has_equal_bits_in_each_run(compiled):
    """20,000 rows of 50 ids: the sums have many terms."""
    weight, ids = torch.randn(50, 96, device=GPU).requires_grad_(), torch.arange(20_000, device=GPU) * 7919 % 50
    outer = randn(3, 20_000, 96).to(GPU)
    function = torch.compile(embedding, fullgraph=True) if compiled else embedding
    assert torch.equal(function(weight, ids), weight[ids])
    gradients = [torch.autograd.grad(function(weight, ids), weight, outer)[0] for _ in range(5)]
    exact = torch.zeros(50, 96, dtype=torch.float64, device=GPU).index_add_(0, ids, outer.double())
    assert torch.allclose(gradients[0].double(), exact, rtol=1e-5, atol=1e-3)
    assert all(torch.equal(gradient, gradients[0]) for gradient in gradients)


@pytest.mark.parametrize("compiled", [False, True])
@pytest.mark.parametrize("dtype", DTYPES)
def test_fused_layers_have_the_values_and_gradients_of_the_formulas(dtype, compiled):
    norm = RMSNorm(480, device=GPU)
    norm.weight.data = (randn(1, 480) + 1).to(GPU)
    exact_norm = copy.deepcopy(norm).double()
    x = (randn(2, 50, 480) * 3).to(GPU, dtype).requires_grad_()
    wide, outer = x.detach().double().requires_grad_(), randn(3, 50, 480).to(GPU, dtype)

    def both(x, weight):
        return fused_rms_norm(x, weight, norm.eps), fused_silu(x)

    found = (torch.compile(both, fullgraph=True) if compiled else both)(x, norm.weight)
    expected = exact_norm(wide), silu(wide)
    error = 2.0**-7 if dtype == torch.bfloat16 else 1e-5
    for value, exact in zip(found, expected, strict=True):
        assert value.dtype == dtype
        assert ((value - exact).abs() <= error * (exact.abs() + 1e-3)).all()
    gradients = torch.autograd.grad(found, (x, norm.weight), (outer, outer))
    exact_gradients = torch.autograd.grad(expected, (wide, exact_norm.weight), (outer.double(), outer.double()))
    for value, exact in zip(gradients, exact_gradients, strict=True):
        assert (value - exact).norm() <= error * exact.norm()
