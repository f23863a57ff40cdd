"""The kernels between products of bfloat16, RMSNorm of a stream and the middle of a SwiGLU, against their formulas."""

import pytest
import torch
from bpe_lm import _core, errors
from bpe_lm.kernels import add_norm, swiglu
from bpe_lm.kernels.choices import Kernels, using
from bpe_lm.kernels.cpu import as_array, as_output
from bpe_lm.model.config import ModelConfig
from bpe_lm.model.layers import EPS, RMSNorm, Stream, SwiGLU, total
from bpe_lm.model.loss import LanguageModelLoss
from bpe_lm.model.transformer import TransformerLM
from tensors import randn

pytestmark = pytest.mark.usefixtures("needs_kernels")

ROUNDED = 2.0**-8
"""The largest relative error of a number that is rounded to bfloat16."""


@pytest.fixture(params=[1, 3])
def threads(request):
    before = torch.get_num_threads()
    torch.set_num_threads(request.param)
    yield request.param
    torch.set_num_threads(before)


def normed(total, weight):
    return total / (total.square().mean(-1, keepdim=True) + EPS).sqrt() * weight


def is_near(found, exact, relative):
    return ((found.double() - exact).abs() <= relative * exact.abs() + 1e-6 * exact.abs().max()).all()


@pytest.mark.parametrize("shape", [(1, 32), (2, 33, 64), (5, 13, 512), (1, 40, 1056)])
@pytest.mark.parametrize("has_branch", [False, True])
@pytest.mark.parametrize("uses", ["both", "the sum", "the norm"])
def test_the_norm_of_a_stream_is_its_formula_and_so_are_its_gradients(threads, shape, has_branch, uses):
    x, weight = randn(1, *shape).requires_grad_(), (1 + randn(2, shape[-1]) / 4).requires_grad_()
    branch = randn(3, *shape).bfloat16().requires_grad_() if has_branch else None
    inputs = [x, weight, *([branch] if has_branch else [])]
    exact = [tensor.detach().double().requires_grad_() for tensor in inputs]
    total = exact[0] + exact[2] if has_branch else exact[0] * 1.0
    expected = total, normed(total, exact[1])
    outer = randn(4, *shape), randn(5, *shape).bfloat16()
    used = {"both": [0, 1], "the sum": [0], "the norm": [1]}[uses]

    found = add_norm.add_norm(x, branch, weight, EPS)
    assert (found[0].dtype, found[1].dtype) == (torch.float32, torch.bfloat16)
    assert is_near(found[0], expected[0], 2.0**-23)
    assert is_near(found[1], expected[1], 1.01 * ROUNDED)
    with torch.no_grad():
        assert torch.equal(add_norm.add_norm(x, branch, weight, EPS)[1], found[1])
    if uses == "the sum" and not has_branch:
        return  # It is x itself.
    outer = [outer[i] for i in used]
    gradients = torch.autograd.grad([found[i] for i in used], inputs, outer, allow_unused=True)
    wide = [tensor.double() for tensor in outer]
    exact_gradients = torch.autograd.grad([expected[i] for i in used], exact, wide, allow_unused=True)
    for gradient, of, expected_gradient in zip(gradients, inputs, exact_gradients, strict=True):
        if expected_gradient is None:
            assert gradient is None
            continue
        assert gradient.dtype == of.dtype
        assert is_near(gradient, expected_gradient, 1.01 * ROUNDED if of.dtype == torch.bfloat16 else 2e-5)


def middle(halves):
    """silu(a) * b, with the rows of a before those of b."""
    outputs = torch.empty_like(halves[: len(halves) // 2])
    _core.swiglu_forward(as_array(halves), torch.get_num_threads(), as_output(outputs))
    return outputs


@pytest.mark.parametrize("shape", [(1, 32), (33, 96), (50, 1344)])
def test_the_middle_of_a_swiglu_is_its_formula_and_so_is_its_gradient(threads, shape):
    halves, outer = (3 * randn(1, 2 * shape[0], shape[1])).bfloat16(), randn(2, *shape).bfloat16()
    exact = halves.double().requires_grad_()
    a, b = exact.chunk(2)
    expected = a * torch.sigmoid(a) * b
    (exact_gradient,) = torch.autograd.grad(expected, exact, outer.double())
    assert is_near(middle(halves), expected, 1.01 * ROUNDED)
    found = torch.cat(swiglu.halves_gradient(outer, halves).chunk(2, dim=1))
    assert is_near(found, exact_gradient, 1.01 * ROUNDED)


def test_the_middle_of_a_swiglu_is_finite_for_every_finite_number():
    every = torch.arange(1 << 16, dtype=torch.int32).to(torch.uint16).view(torch.bfloat16)
    numbers = every[every.isfinite()]
    numbers = numbers[: len(numbers) // 32 * 32].view(-1, 32)
    halves, a = torch.cat([numbers, torch.ones_like(numbers)]), numbers.double()
    # Numbers below 2^-126 are taken for 0 where an exponential is that small.
    exact = a * torch.sigmoid(a)
    assert ((middle(halves).double() - exact).abs() <= 1.01 * ROUNDED * exact.abs() + 2.0**-118).all()
    slope = torch.sigmoid(a) * (1 + a * torch.sigmoid(-a))
    gradient = swiglu.halves_gradient(torch.ones_like(numbers), halves)[:, :32].double()
    assert ((gradient - slope).abs() <= 1.01 * ROUNDED * slope.abs() + 1e-6).all()


@pytest.mark.parametrize("products", ["auto", "torch"])
def test_a_swiglu_without_its_last_product_is_its_formula_and_so_are_its_gradients(products):
    x, w1, w3, outer = randn(1, 2, 25, 48), randn(2, 96, 48) / 7, randn(3, 96, 48) / 7, randn(4, 2, 25, 96).bfloat16()
    leaves = [tensor.bfloat16().float().requires_grad_() for tensor in (x, w1, w3)]
    exact = [leaf.detach().double().requires_grad_() for leaf in leaves]
    with using(Kernels(products=products)):
        found = swiglu.fused_swiglu(*leaves)
        gradients = torch.autograd.grad(found, leaves, outer)
        with torch.no_grad():
            assert torch.equal(swiglu.fused_swiglu(*leaves), found)
    a, b = exact[0] @ exact[1].T, exact[0] @ exact[2].T
    expected = a * torch.sigmoid(a) * b
    for value, other in zip(
        (found, *gradients), (expected, *torch.autograd.grad(expected, exact, outer.double())), strict=True
    ):
        assert (value.double() - other).abs().max() < 1e-2 * other.abs().max()
    assert all(gradient.dtype == torch.float32 for gradient in gradients)


def test_a_weight_gradient_does_not_depend_on_threads():
    x, weight, outer = randn(1, 300, 64), randn(2, 64).requires_grad_(), randn(3, 300, 64).bfloat16()
    before, found = torch.get_num_threads(), []
    for number in (1, 2, 3):
        torch.set_num_threads(number)
        found.append(torch.autograd.grad(add_norm.add_norm(x, None, weight, EPS)[1], weight, outer)[0])
    torch.set_num_threads(before)
    assert all(torch.equal(found[0], other) for other in found)


def test_a_weight_in_bfloat16_is_widened():
    x, weight, outer = randn(1, 7, 64), randn(2, 64).bfloat16().requires_grad_(), randn(3, 7, 64).bfloat16()
    wide = weight.detach().float().requires_grad_()
    found, expected = add_norm.add_norm(x, None, weight, EPS)[1], add_norm.add_norm(x, None, wide, EPS)[1]
    assert torch.equal(found, expected)
    gradients = [torch.autograd.grad(y, w, outer)[0] for y, w in ((found, weight), (expected, wide))]
    assert torch.equal(gradients[0], gradients[1].bfloat16())


def test_a_weight_can_be_freed_as_fsdp_frees_it():
    weight = randn(2, 64).requires_grad_()
    add_norm.add_norm(randn(1, 7, 64), None, weight, EPS)[1].sum().backward()
    assert weight.untyped_storage().resizable()


def test_arrays_that_do_not_fit_are_refused():
    x, branch, weight = randn(1, 5, 64), randn(2, 5, 64).bfloat16(), randn(3, 64)
    run = torch.ops.bpe_lm.add_norm
    for wrong in (
        (x, branch[:4], weight),
        (x, branch, weight[:32]),
        (x[:, :40], None, weight[:40]),
        (x, None, weight[:0]),
    ):
        with pytest.raises(errors.OptionError, match="shape"):
            run(*(None if part is None else part.contiguous() for part in wrong), EPS)
    back = torch.ops.bpe_lm.add_norm_backward
    scales = randn(4, 5)
    for wrong in (
        (branch[:4], None, x, scales, weight),
        (branch, x[:4], x, scales, weight),
        (branch, None, x, scales[:4], weight),
    ):
        with pytest.raises(errors.OptionError, match="shape"):
            back(*wrong, True)
    for wrong in (branch[:4, :62], branch[:4, :16], branch[:4, :0], branch[:3]):
        with pytest.raises(errors.OptionError, match="shape"):
            middle(wrong.contiguous())
    with pytest.raises(errors.OptionError, match="shape"):
        swiglu.halves_gradient(branch, branch)


@pytest.mark.filterwarnings("ignore:The .grad attribute")  # opcheck's own.
def test_the_operators_tell_a_compiler_the_truth():
    x, branch, weight = randn(1, 5, 32), randn(2, 5, 32).bfloat16(), randn(3, 32)
    for arguments in ((x, branch, weight, EPS), (x, None, weight, EPS)):
        leaves = [part.clone().requires_grad_() if isinstance(part, torch.Tensor) else part for part in arguments]
        torch.library.opcheck(torch.ops.bpe_lm.add_norm, leaves)
    weights = [randn(seed, 64, 32).requires_grad_() for seed in (4, 5)]
    narrow = torch.cat([part.detach().bfloat16() for part in weights])
    torch.library.opcheck(torch.ops.bpe_lm.swiglu, [branch.clone().requires_grad_(), *weights, narrow])


def losses_and_gradients(layers, **changes):
    torch.manual_seed(1)
    config = ModelConfig(
        **{"vocab_size": 99, "context_length": 24, "d_model": 64, "num_layers": 2, "num_heads": 2, "d_ff": 96} | changes
    )
    model = TransformerLM.from_config(config)
    for parameter in model.parameters():
        if parameter.ndim == 1:
            parameter.data += randn(7, len(parameter)) / 4
    ids = torch.arange(3 * 25).view(3, 25) * 7 % 99
    with using(Kernels(layers=layers)):
        loss = LanguageModelLoss(model, dtype="bfloat16")(ids[:, :-1], ids[:, 1:])
        loss.backward()
        with torch.no_grad():
            again = LanguageModelLoss(model, dtype="bfloat16")(ids[:, :-1], ids[:, 1:])
    assert abs(again - loss) < 1e-2
    return loss.detach(), {name: parameter.grad for name, parameter in model.named_parameters()}


@pytest.mark.parametrize(
    "changes", [{}, {"norm": "post"}, {"norm": "none"}, {"ffn": "silu"}, {"d_ff": 80}, {"d_model": 48}]
)
def test_a_model_has_the_gradients_of_its_formulas(changes):
    found, expected = losses_and_gradients("avx512", **changes), losses_and_gradients("torch", **changes)
    assert abs(found[0] - expected[0]) < 1e-2
    for name, gradient in found[1].items():
        other = expected[1][name]
        assert gradient.dtype == torch.float32
        assert (gradient - other).norm() < 3e-2 * other.norm(), name


def test_only_a_run_in_bfloat16_takes_the_kernels():
    norm, ffn, x = RMSNorm(64), SwiGLU(64, 96), randn(1, 3, 64)
    weights = ffn.w1.weight, ffn.w3.weight
    assert not norm.takes_streams(x)
    assert not swiglu.supports_swiglu(x, *weights)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert norm.takes_streams(x)
        assert swiglu.supports_swiglu(x, *weights)
        assert not norm.takes_streams(x.bfloat16())
        assert not norm.takes_streams(x.double())
        with using(Kernels(layers="torch")):
            assert not norm.takes_streams(x)
    with torch.autocast("cpu", dtype=torch.float16):
        assert not norm.takes_streams(x)
    branch = randn(2, 3, 64)
    assert torch.equal(total(Stream(x, branch)), x + branch)
    assert total(Stream(x)) is total(x) is x
