"""The kernels in Triton without a GPU: the interpreter runs them, the compiler translates them, and who calls them."""

import itertools
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from bpe_lm.kernels import gpu, gpu_cross_entropy
from bpe_lm.kernels.cross_entropy import mean_of_cross_entropies
from bpe_lm.kernels.embedding import embedding
from bpe_lm.kernels.layers import has_fused_layers
from bpe_lm.kernels.rotation import split_and_rotate, supports_split_and_rotate
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode

DTYPES = {torch.float32: "*fp32", torch.bfloat16: "*bf16"}


def test_the_interpreter_runs_all_kernels():
    pytest.importorskip("triton")
    folder = Path(__file__).parent / "interpreted"
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--color=no", str(folder)]
    done = subprocess.run(
        command, env={**os.environ, "TRITON_INTERPRET": "1"}, capture_output=True, text=True, timeout=280, check=False
    )
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-2000:]
    assert re.search(r"\d\d passed", done.stdout), done.stdout


def ptx_of(kernel, pointers, constants, capability, warps):
    """The code of a kernel for a GPU, where all pointers are aligned and all integers are multiples of 16."""
    import triton
    from triton.backends.compiler import GPUTarget
    from triton.compiler import ASTSource

    names = kernel.arg_names
    types = {name: pointers.get(name, "i32") for name in names}
    signature = {name: "constexpr" if name in constants else types[name] for name in names}
    aligned = {(names.index(name),): [["tt.divisibility", 16]] for name in names if signature[name] in ("i32",)}
    aligned |= {(names.index(name),): [["tt.divisibility", 16]] for name in names if signature[name].startswith("*")}
    source = ASTSource(kernel, signature, {(names.index(name),): value for name, value in constants.items()}, aligned)
    options = {"num_warps": warps, "enable_fp_fusion": True}
    return triton.compile(source, target=GPUTarget("cuda", capability, 32), options=options).asm["ptx"]


def check_ptx(ptx):
    """Loads and stores are of 16 bytes, and no addition is atomic."""
    assert "ld.global.v4.b32" in ptx
    assert "st.global.v4.b32" in ptx
    assert not re.search(r"\b(atom|red)\.", ptx)


@pytest.fixture
def triton_cache(tmp_path, monkeypatch):
    pytest.importorskip("triton")
    monkeypatch.setenv("TRITON_CACHE_DIR", str(tmp_path))


@pytest.mark.usefixtures("triton_cache")
@pytest.mark.parametrize("capability", [80, 90])
@pytest.mark.parametrize("pointer", DTYPES.values())
def test_the_compiler_translates_the_loss(pointer, capability):
    from bpe_lm.kernels import triton_cross_entropy as loss

    pointers = {"logits": pointer, "targets": "*i64", "losses": "*fp32", "scale": "fp32"}
    kind, itemsize = ("b16", 2) if pointer == "*bf16" else ("b32", 4)
    cases = [
        *itertools.product((50_257, 10_000, 1000), (True, False), (0.0,)),
        (50_257, True, 15.0),
        (1000, True, 15.0),
    ]
    for vocab_size, needs_gradient, cap in cases:
        stride = gpu_cross_entropy._columns(vocab_size)
        is_held, options = loss._form(stride, itemsize)
        assert is_held == (vocab_size < 50_257)
        kernel = loss._held_row_kernel if is_held else loss._row_kernel
        constants = {"stride": stride, "vocab_size": vocab_size, "needs_gradient": needs_gradient, "cap": cap}
        constants |= {name: value for name, value in options.items() if name in kernel.arg_names}
        ptx = ptx_of(kernel, pointers, constants, capability, options["num_warps"])
        # Two reductions over all threads for a row.
        assert ptx.count("bar.sync") <= 6
        if needs_gradient:
            check_ptx(ptx)
            # Another thread may overwrite the target's logit, so that it is read before all threads wait.
            first_loads = ptx[: ptx.index("bar.sync")]
            assert re.findall(rf"ld\.global\.{kind} ", ptx) == re.findall(rf"ld\.global\.{kind} ", first_loads)
            assert f"ld.global.{kind} " in first_loads
    check_ptx(ptx_of(loss._scale_kernel, {"values": pointer, "factor": "*fp32"}, {"block": 4096}, capability, 8))


@pytest.mark.usefixtures("triton_cache")
@pytest.mark.parametrize("capability", [80, 90])
@pytest.mark.parametrize("pointer", DTYPES.values())
def test_the_compiler_translates_the_rotation(pointer, capability):
    from bpe_lm.kernels import triton_rotation

    pointers = dict.fromkeys(("qkv", "q", "k", "v", "dqkv", "dq", "dk", "dv"), pointer)
    pointers |= {"cos": "*fp32", "sin": "*fp32"}
    for num_heads, d_k in ((12, 64), (16, 32), (5, 80)):
        _, (heads, width), options = triton_rotation._grid(1, num_heads, d_k)
        constants = {"num_heads": num_heads, "d_k": d_k, "heads": heads, "width": width}
        for kernel in (triton_rotation._split_kernel, triton_rotation._join_kernel):
            ptx = ptx_of(kernel, pointers, constants, capability, options["num_warps"])
            check_ptx(ptx)
            # The two halves of pairs are in the same thread.
            assert "shared" not in ptx


@pytest.mark.usefixtures("triton_cache")
@pytest.mark.parametrize("capability", [80, 90])
def test_the_compiler_translates_attention(capability):
    from bpe_lm.kernels import triton_attention
    from triton import language as tl

    pointers = dict.fromkeys(("qkv", "outputs", "gradients", "to_qkv"), "*bf16")
    pointers |= dict.fromkeys(("cos", "sin", "log_sums", "deltas"), "*fp32")
    pointers |= {"scale": "fp32", "to_scores_scale": "fp32"}
    for heads, d_k, reach in ((16, 32, 0), (12, 64, 0), (16, 32, 100)):
        sizes = {"heads": heads, "d_k": d_k, "width": d_k, "reach": reach, "rotates": True, "kind": tl.bfloat16}
        forward, backward = triton_attention.forward_blocks(256, d_k), triton_attention.backward_blocks(256, d_k)
        ptx = ptx_of(
            triton_attention._forward_kernel,
            pointers,
            sizes | {"block_q": forward.own, "block_k": forward.other},
            capability,
            forward.warps,
        )
        check_ptx(ptx)
        ptx += ptx_of(
            triton_attention._backward_kernel,
            pointers,
            sizes | {"own": backward.own, "block": backward.other},
            capability,
            backward.warps,
        )
        check_ptx(ptx)
        # Both use the tensor cores, on Hopper by its own instructions.
        assert ("wgmma.mma_async" if capability == 90 else "mma.sync") in ptx


def test_a_cpu_and_other_formats_get_no_kernel_of_a_gpu(monkeypatch):
    monkeypatch.setattr(gpu, "runs_triton", lambda index: True)
    assert not gpu.supports_triton(torch.ones(2))
    assert not has_fused_layers(torch.ones(2))
    with FakeTensorMode():
        for dtype in (torch.float32, torch.bfloat16, torch.float64, torch.float16, torch.int64):
            tensor = torch.empty(2, dtype=dtype, device="cuda")
            assert gpu.supports_triton(tensor) == (dtype in DTYPES)
            assert has_fused_layers(tensor)


@pytest.fixture
def a_hopper_gpu(monkeypatch):
    """A machine with all that Triton needs. What is remembered of the true machine is forgotten before and after."""
    remembered = (gpu._has_triton, gpu._is_ampere_or_later)
    for function in remembered:
        function.cache_clear()
    monkeypatch.setattr(torch.version, "hip", None)
    monkeypatch.setattr(gpu, "find_spec", lambda name: object())
    monkeypatch.setattr(gpu.shutil, "which", lambda name: f"/usr/bin/{name}")
    monkeypatch.setattr(gpu.Path, "exists", lambda path: True)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda index: (9, 0))
    yield
    for function in remembered:
        function.cache_clear()


@pytest.mark.usefixtures("a_hopper_gpu")
def test_the_kernels_run_on_a_machine_with_all_that_they_need():
    assert gpu.runs_triton(0)


@pytest.mark.usefixtures("a_hopper_gpu")
@pytest.mark.parametrize("missing", ["nvidia", "triton", "compiler", "headers", "gpu", "ampere"])
def test_the_kernels_do_not_run_where_something_is_missing(monkeypatch, missing):
    monkeypatch.delenv("CC", raising=False)
    {
        "nvidia": lambda: monkeypatch.setattr(torch.version, "hip", "7.0"),
        "triton": lambda: monkeypatch.setattr(gpu, "find_spec", lambda name: None),
        "compiler": lambda: monkeypatch.setattr(gpu.shutil, "which", lambda name: None),
        "headers": lambda: monkeypatch.setattr(gpu.Path, "exists", lambda path: False),
        "gpu": lambda: monkeypatch.setattr(torch.cuda, "is_available", lambda: False),
        "ampere": lambda: monkeypatch.setattr(torch.cuda, "get_device_capability", lambda index: (7, 5)),
    }[missing]()
    assert not gpu.runs_triton(0)
    if missing == "compiler":
        gpu._has_triton.cache_clear()
        monkeypatch.setenv("CC", "a-compiler")
        assert gpu.runs_triton(0)


class Operators(TorchDispatchMode):
    """The names of this package's operators that are called in this context."""

    def __init__(self):
        super().__init__()
        self.names = []

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        if function.namespace == "bpe_lm":
            self.names.append(function.name().removeprefix("bpe_lm::"))
        return function(*args, **(kwargs or {}))


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("is_capable", [True, False])
def test_tensors_of_a_gpu_go_to_its_kernels(monkeypatch, dtype, is_capable):
    """Tensors without content stand for a GPU's, so that the operators are called and nothing is computed."""
    monkeypatch.setattr(gpu, "runs_triton", lambda index: is_capable)
    with FakeTensorMode(), Operators() as called:
        hidden = torch.empty(6, 8, dtype=dtype, device="cuda", requires_grad=True)
        weight = torch.empty(50, 8, device="cuda", requires_grad=True)
        targets = torch.zeros(6, dtype=torch.int64, device="cuda")
        loss = mean_of_cross_entropies(hidden, weight.to(dtype), targets)
        assert loss.device.type == "cuda"
        assert loss.dtype == torch.float32
        assert called.names == ["gpu_cross_entropy" if is_capable else "linear_cross_entropy"]

        called.names.clear()
        assert embedding(weight, targets).shape == (6, 8)
        assert not called.names  # A compiler adds the gradient up.

        called.names.clear()
        qkv = torch.empty(2, 5, 3, 2, 6, dtype=dtype, device="cuda", requires_grad=True)
        assert supports_split_and_rotate(qkv) == is_capable
        cos = torch.empty(5, 3, device="cuda")
        q, k, v = split_and_rotate(qkv, cos, cos)
        assert q.shape == k.shape == v.shape == (2, 2, 5, 6)
        assert q.grad_fn is not None
        assert called.names == ["split_and_rotate"]


def test_a_compiler_takes_the_choice_of_kernels_for_a_constant():
    """It asks for the kernels of a GPU while it traces a function."""

    def function(x, w, y):
        return mean_of_cross_entropies(x, w, y), supports_split_and_rotate(x)

    hidden, weight, targets = torch.randn(6, 8), torch.randn(50, 8), torch.arange(6)
    compiled = torch.compile(function, fullgraph=True, backend="eager")
    loss, is_supported = compiled(hidden, weight, targets)
    assert torch.allclose(loss, mean_of_cross_entropies(hidden, weight, targets))
    assert not is_supported
    assert isinstance(gpu.runs_triton(0), bool)
