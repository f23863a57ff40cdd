"""Loss, optimizers, schedules and clipping, against torch, float64 and the course's numbers."""

import copy
import math

import numpy as np
import pytest
import torch
from bpe_lm.errors import CheckpointError, ConfigError
from bpe_lm.kernels import cross_entropy as loss_module
from bpe_lm.kernels.choices import OPERATIONS, Kernels, using
from bpe_lm.kernels.norms import fast_norm_of_all, norm_of_all
from bpe_lm.model.loss import LanguageModelLoss, bits_per_byte, cross_entropy, linear_cross_entropy, perplexity
from bpe_lm.model.transformer import TransformerLM
from bpe_lm.training.checkpoint import load_checkpoint, save_checkpoint
from bpe_lm.training.config import override
from bpe_lm.training.optimizers.adamw import AdamW
from bpe_lm.training.optimizers.clipping import clip_gradients, clip_within_step, divisor_to_norm
from bpe_lm.training.optimizers.registry import new_optimizer
from bpe_lm.training.optimizers.sgd import SGD
from bpe_lm.training.presets import resolve
from torch.nn import Parameter


def test_cross_entropy_is_torchs_and_finite_for_any_logits():
    logits, targets = torch.randn(4, 12, 50), torch.randint(50, (4, 12))
    expected = torch.nn.functional.cross_entropy(logits.flatten(0, 1), targets.flatten())
    assert torch.allclose(cross_entropy(logits, targets), expected, atol=1e-5)
    large = cross_entropy(1000 * logits, targets)
    assert torch.allclose(large, torch.nn.functional.cross_entropy(1000 * logits.flatten(0, 1), targets.flatten()))
    assert large.isfinite()
    assert perplexity(math.log(7)) == pytest.approx(7)
    assert bits_per_byte(80 * math.log(2), 10) == pytest.approx(8)


@pytest.fixture(params=[Kernels(), Kernels(**dict.fromkeys(OPERATIONS, "torch"))], ids=["kernels", "torch"])
def forms(request):
    """The preferred forms of this machine, and those of a machine without kernels."""
    with using(request.param):
        yield


@pytest.mark.parametrize("rows", [1, 511, 512, 1300])
def test_the_fused_loss_and_its_gradients_are_the_formulas(forms, rows):
    hidden, weight = torch.randn(rows, 32), torch.randn(70, 32) / 5
    targets = torch.randint(70, (rows,))
    found = {}
    for name, dtype in (("fast", torch.float32), ("reference", torch.float32), ("exact", torch.float64)):
        h, w = (tensor.to(dtype, copy=True).requires_grad_() for tensor in (hidden, weight))
        implementation = "reference" if name == "exact" else name
        loss = linear_cross_entropy(h, w, targets, implementation=implementation) * 3
        loss.backward()
        found[name] = [loss.detach(), h.grad, w.grad]
    for name in ("fast", "reference"):
        for value, exact in zip(found[name], found["exact"], strict=True):
            assert torch.allclose(value.double(), exact, atol=1e-6, rtol=1e-5)
    with torch.no_grad():
        assert torch.allclose(linear_cross_entropy(hidden, weight, targets) * 3, found["fast"][0])


def test_the_fused_loss_in_bfloat16_is_near(forms):
    hidden, weight, targets = torch.randn(600, 64), torch.randn(200, 64) / 8, torch.randint(200, (600,))
    exact = linear_cross_entropy(hidden, weight, targets, implementation="reference")
    h, w = hidden.requires_grad_(), weight.requires_grad_()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        loss = linear_cross_entropy(h, w, targets)
    loss.backward()
    assert loss.dtype == h.grad.dtype == torch.float32
    assert loss.item() == pytest.approx(exact.item(), rel=1e-2)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_the_fused_loss_over_several_chunks_is_the_formula(monkeypatch, dtype, forms):
    """Chunks of 14 rows, the last one shorter; inside, without kernels, two rows at a time, and six of the head's."""
    inner, chunks = loss_module._loss_and_gradient, []

    def counted(logits, *others):
        chunks.append(len(logits))
        return inner(logits, *others)

    monkeypatch.setattr("bpe_lm.kernels.cross_entropy._loss_and_gradient", counted)
    for limit in ("_CPU_CHUNK", "_AMX_CHUNK"):
        monkeypatch.setattr(f"bpe_lm.kernels.cross_entropy.{limit}", 1000)
    monkeypatch.setattr("bpe_lm.kernels.cross_entropy._CACHED", 200)
    hidden, weight, targets = torch.randn(1301, 32), torch.randn(70, 32) / 5, torch.randint(70, (1301,))
    found = {}
    for name, wide in (("fast", torch.float32), ("reference", torch.float64)):
        h, w = (tensor.to(wide, copy=True).requires_grad_() for tensor in (hidden, weight))
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=(name, dtype) == ("fast", torch.bfloat16)):
            loss = linear_cross_entropy(h, w, targets, implementation=name) * 3
        loss.backward()
        found[name] = [loss.detach().double(), h.grad.double(), w.grad.double()]
    assert len(chunks) == 93
    assert sum(chunks) == 1301
    assert len(set(chunks)) == 2
    for value, exact in zip(found["fast"], found["reference"], strict=True):
        if dtype == torch.float32:
            assert torch.allclose(value, exact, atol=1e-6, rtol=1e-5)
        else:
            assert (value - exact).norm() <= 0.01 * exact.norm()
    # The last row of the last chunk, and the last of the head, which a wrong split would leave out.
    for value, exact in ((value[-1], exact[-1]) for value, exact in zip(*found.values(), strict=True) if value.ndim):
        assert (value - exact).norm() <= 0.03 * exact.norm()
    with torch.no_grad(), torch.autocast("cpu", dtype=torch.bfloat16, enabled=dtype == torch.bfloat16):
        again = linear_cross_entropy(hidden, weight, targets) * 3
    assert again.item() == pytest.approx(found["fast"][0].item(), rel=1e-5)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_a_bfloat16_loss_without_autocast_goes_over_several_chunks(monkeypatch, dtype):
    """Parameters that are narrow themselves: what is added up is in their type."""
    hidden, weight, targets = torch.randn(200, 16), torch.randn(40, 16) / 4, torch.randint(40, (200,))
    found = []
    for limit in (1 << 25, 400):
        monkeypatch.setattr("bpe_lm.kernels.cross_entropy._CPU_CHUNK", limit)
        h, w = (tensor.to(dtype, copy=True).requires_grad_() for tensor in (hidden, weight))
        linear_cross_entropy(h, w, targets).backward()
        assert h.grad.dtype == w.grad.dtype == dtype
        found.append([h.grad.float(), w.grad.float()])
    for one, several in zip(*found, strict=True):
        assert (one - several).norm() <= (0.05 if dtype == torch.bfloat16 else 1e-5) * one.norm()


def a_fit(make, steps: int = 1000) -> torch.Tensor:
    """As the course does it: one weight, a thousand steps."""
    torch.manual_seed(42)
    model = torch.nn.Linear(3, 2, bias=False)
    optimizer = make(model.parameters())
    for _ in range(steps):
        optimizer.zero_grad()
        x = torch.rand(3)
        y = torch.tensor([x[0] + x[1], -x[2]])
        ((y - model(x)) ** 2).sum().backward()
        optimizer.step()
    return model.weight.detach()


OPTIONS = {"lr": 1e-3, "weight_decay": 0.01, "betas": (0.9, 0.999), "eps": 1e-8}


@pytest.mark.parametrize("implementation", ["fast", "reference"])
def test_adamw_is_torchs(implementation):
    found = a_fit(lambda parameters: AdamW(parameters, implementation=implementation, **OPTIONS))
    assert torch.allclose(found, a_fit(lambda parameters: torch.optim.AdamW(parameters, **OPTIONS)), atol=1e-6)


@pytest.mark.parametrize("implementation", ["fast", "reference"])
def test_adamw_equals_the_courses_array(implementation, shared):
    found = a_fit(lambda parameters: AdamW(parameters, implementation=implementation, **OPTIONS))
    expected = np.load(shared("cs336/test_adamw.npz"))
    assert np.allclose(found.numpy(), expected[expected.files[0]], atol=1e-4)


def test_both_steps_of_adamw_are_the_formula_in_float64():
    generator = torch.Generator().manual_seed(3)
    begin = torch.randn(40, 30, generator=generator)
    gradients = [torch.randn(40, 30, generator=generator) for _ in range(20)]
    results = {}
    for name, dtype in (("fast", torch.float32), ("reference", torch.float32), ("exact", torch.float64)):
        weight, idle = Parameter(begin.to(dtype, copy=True)), Parameter(torch.ones(2, dtype=dtype))
        kind = "reference" if name == "exact" else name
        optimizer = AdamW([weight, idle], 0.01, (0.9, 0.95), 1e-8, 0.1, implementation=kind)
        for gradient in gradients:
            weight.grad = gradient.to(dtype)
            optimizer.step()
        assert torch.equal(idle, torch.ones(2, dtype=dtype))
        results[name] = weight.detach().double()
    for name in ("fast", "reference"):
        assert torch.allclose(results[name], results["exact"], atol=2e-6)


def test_adamw_goes_on_from_its_state():
    def steps(optimizer, weight, numbers):
        for number in numbers:
            weight.grad = torch.full_like(weight, number)
            optimizer.step()

    weight = Parameter(torch.ones(5))
    optimizer = AdamW([weight], 0.1)
    steps(optimizer, weight, [1.0, -2.0])
    twin = Parameter(weight.detach().clone())
    other = AdamW([twin], 0.5)
    other.load_state_dict(copy.deepcopy(optimizer.state_dict()))
    steps(optimizer, weight, [0.5, 3.0])
    steps(other, twin, [0.5, 3.0])
    assert torch.equal(weight, twin)
    assert optimizer.step(lambda: 7.0) == 7.0


@pytest.mark.parametrize(("lr", "end"), [(1e1, (1e-1, 30)), (1e2, (0, 1e-15)), (1e3, (1e10, math.inf))])
def test_the_toy_converges_fast_or_diverges(lr, end):
    torch.manual_seed(0)
    weights = Parameter(5 * torch.randn(10, 10))
    optimizer = SGD([weights], lr=lr)
    for _ in range(10):
        optimizer.zero_grad()
        loss = (weights**2).mean()
        loss.backward()
        optimizer.step()
    assert end[0] <= loss.item() < end[1]


def test_wrong_hyperparameters_are_refused():
    for make in (lambda p: SGD(p, lr=-1), lambda p: AdamW(p, lr=-1), lambda p: AdamW(p, betas=(0.9, 1.0))):
        with pytest.raises(ValueError, match="must"):
            make([Parameter(torch.ones(1))])


def test_clipping_is_torchs_and_takes_a_generator():
    ours = [Parameter(torch.randn(5, 5)) for _ in range(6)]
    ours[-1].requires_grad_(False)
    for i, parameter in enumerate(ours[:-1]):
        parameter.grad = (i + 1) * torch.ones(5, 5)
    theirs = [Parameter(parameter.detach().clone()) for parameter in ours[:-1]]
    for a, b in zip(theirs, ours, strict=False):
        a.grad = b.grad.clone()
    expected = torch.nn.utils.clip_grad_norm_(theirs, 0.01)
    assert torch.allclose(clip_gradients((p for p in ours), 0.01), expected)
    for a, b in zip(theirs, ours, strict=False):
        assert torch.allclose(a.grad, b.grad, atol=1e-6)
    before = [p.grad.clone() for p in ours[:-1]]
    clip_gradients(ours, 1e9)
    assert all(torch.equal(a, p.grad) for a, p in zip(before, ours, strict=False))
    assert clip_gradients([ours[-1]], 1.0) == 0


GUARDED = {
    "fast": lambda parameters: AdamW(parameters, 0.1, weight_decay=0.1),
    "reference": lambda parameters: AdamW(parameters, 0.1, weight_decay=0.1, implementation="reference"),
    "sgd": lambda parameters: SGD(parameters, 0.1),
}


def after_steps(make, gradients, flags=None, scale=None):
    """The weights and the state after steps with these gradients, and these values of `found_inf`."""
    weights = [Parameter(torch.linspace(-1, 1, 12).reshape(3, 4)), Parameter(torch.ones(5))]
    optimizer = make(weights)
    for number, gradient in enumerate(gradients):
        for weight in weights:
            weight.grad = torch.full_like(weight, gradient)
        if flags is not None:
            optimizer.found_inf = torch.tensor(flags[number])
        if scale is not None:
            optimizer.grad_scale = torch.tensor(scale)
        optimizer.step()
    return [weight.detach() for weight in weights], optimizer.state_dict()["state"]


@pytest.fixture(params=[*GUARDED, "fast, on another device"])
def kind(request, monkeypatch) -> str:
    """An optimizer of `GUARDED`; the last is on a device whose kernel ignores the flags."""
    if request.param not in GUARDED:
        monkeypatch.setattr("bpe_lm.training.optimizers.adamw.reads_flags", lambda device: False)
    return request.param.split(",")[0]


def test_a_refused_step_changes_no_weight_no_state_and_no_counter(kind):
    """To the bit the steps without the refused ones, also where a refused gradient is not finite."""
    flags = [0.0, 1.0, 0.0, 1.0, 1.0, 0.0]
    found = after_steps(GUARDED[kind], [1.0, math.nan, -2.0, math.inf, 7.0, 0.5], flags)
    expected = after_steps(GUARDED[kind], [1.0, -2.0, 0.5])
    for a, b in zip(found[0], expected[0], strict=True):
        assert torch.equal(a, b)
    for number, values in expected[1].items():
        assert {key: torch.as_tensor(value).tolist() for key, value in found[1][number].items()} == {
            key: torch.as_tensor(value).tolist() for key, value in values.items()
        }


def test_grad_scale_divides_the_gradients(kind):
    found, expected = after_steps(GUARDED[kind], [3.0, -5.0], scale=4.0), after_steps(GUARDED[kind], [0.75, -1.25])
    for a, b in zip(found[0], expected[0], strict=True):
        assert torch.equal(a, b)


@pytest.mark.parametrize("max_l2_norm", [0.01, 1.0, 1e9])
def test_gradients_divided_to_a_norm_are_clipped_ones(max_l2_norm):
    gradients = [torch.randn(5, 5), torch.randn(7)]
    parameters = [Parameter(torch.zeros_like(gradient)) for gradient in gradients]
    for parameter, gradient in zip(parameters, gradients, strict=True):
        parameter.grad = gradient.clone()
    divisor = divisor_to_norm(norm_of_all(gradients), max_l2_norm)
    clip_gradients(parameters, max_l2_norm)
    for parameter, gradient in zip(parameters, gradients, strict=True):
        assert torch.allclose(gradient / divisor, parameter.grad, rtol=1e-5)
    assert divisor.dtype == torch.float32
    assert (divisor == 1.0) == (max_l2_norm == 1e9)


@pytest.mark.parametrize("max_l2_norm", [0.01, 1e9, math.inf])
def test_clipping_within_a_step_is_clipping_before_it(max_l2_norm):
    found = []
    for is_within in (False, True):
        weights = [Parameter(torch.linspace(-1, 1, 12).reshape(3, 4)), Parameter(torch.ones(5))]
        for number, weight in enumerate(weights):
            weight.grad = torch.full_like(weight, 3.0 + number)
        optimizer = AdamW(weights, 0.1)
        if is_within:
            clip_within_step(optimizer, norm_of_all([weight.grad for weight in weights]), max_l2_norm)
            assert (optimizer.grad_scale is None) == (max_l2_norm > 1)
        else:
            clip_gradients(weights, max_l2_norm)
        optimizer.step()
        found.append([*weights, *(optimizer.state[weight]["exp_avg"] for weight in weights)])
    for a, b in zip(*found, strict=True):
        assert torch.allclose(a, b, rtol=1e-5)


@pytest.mark.parametrize("sizes", [[(1,)], [(0,), (3, 5)], [(16_384,), (16_385,), (2, 40_000), (31,)]])
def test_the_fast_norm_is_the_norm(sizes):
    tensors = [torch.randn(size) * (1 + number) for number, size in enumerate(sizes)]
    exact = torch.cat([tensor.double().flatten() for tensor in tensors]).norm()
    before, found = torch.get_num_threads(), []
    for threads in (1, 2, 3):
        torch.set_num_threads(threads)
        found.append(fast_norm_of_all(tensors))
    torch.set_num_threads(before)
    assert found[0].dtype == torch.float32
    assert all(torch.equal(found[0], other) for other in found)
    assert (found[0] - exact).abs() <= 1e-6 * exact
    assert torch.equal(fast_norm_of_all([tensors[-1].double()]), norm_of_all([tensors[-1].double()]))
    tensors[-1].view(-1)[-1] = math.nan
    assert fast_norm_of_all(tensors).isnan()


def test_a_loaded_number_of_steps_becomes_a_tensor_on_the_parameters_device():
    weight = Parameter(torch.ones(5))
    optimizer = AdamW([weight], 0.1)
    weight.grad = torch.ones(5)
    optimizer.step()
    state = copy.deepcopy(optimizer.state_dict())
    state["state"][0]["step"] = 1
    other = AdamW([weight], 0.1)
    other.load_state_dict(state)
    assert other.state[weight]["step"].tolist() == 1.0
    assert other.state[weight]["step"].dtype == torch.float32


def test_torch_has_the_functions_for_many_tensors_that_a_gpu_uses():
    tensors = [torch.randn(3, 4), torch.randn(1000)]
    together = torch.linalg.vector_norm(torch.stack(torch._foreach_norm(tensors)))
    assert torch.allclose(together, norm_of_all(tensors))
    assert torch.allclose(norm_of_all(tensors), torch.cat([tensor.flatten() for tensor in tensors]).norm())


def debug_model() -> tuple[TransformerLM, torch.Tensor]:
    """A small model, and a batch of ids."""
    torch.manual_seed(1)
    return TransformerLM.from_config(resolve("debug").model), torch.randint(50, (2, 9))


def steps_of(optimizer, model, ids, rates) -> list[float]:
    """The losses of steps with these rates of the schedule."""
    losses = []
    for rate in rates:
        optimizer.set_learning_rate(rate)
        optimizer.zero_grad()
        loss = LanguageModelLoss(model)(ids[:, :-1], ids[:, 1:])
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return losses


@pytest.mark.parametrize("name", ["adamw", "sgd"])
def test_groups_without_options_are_one_group_to_the_bit(name):
    config = override(resolve("debug"), {"optimizer": {"name": name}})
    found = []
    for is_grouped in (True, False):
        model, ids = debug_model()
        if is_grouped:
            optimizer = new_optimizer(config, model)
            assert [group["name"] for group in optimizer.param_groups] == ["matrices", "embeddings", "head", "norms"]
        elif name == "sgd":
            optimizer = SGD(model.parameters())
        else:
            optimizer = AdamW(model.parameters(), betas=(0.9, 0.95), weight_decay=0.1)
        losses = steps_of(optimizer, model, ids, [1e-3, 1e-2, 3e-3, 1e-3])
        found.append((losses, [parameter.detach() for parameter in model.parameters()]))
    assert found[0][0] == found[1][0]
    assert all(torch.equal(a, b) for a, b in zip(found[0][1], found[1][1], strict=True))


@pytest.mark.parametrize("is_on_device", [False, True])
@pytest.mark.parametrize("implementation", ["fast", "reference"])
def test_each_group_has_its_own_rate_and_decay(implementation, is_on_device):
    """Each group moves as an optimizer of its own does, of that rate and that decay."""
    if is_on_device and implementation == "reference":
        return  # Only the kernel takes a rate on the device.
    factors = {"matrices": (2.0, 0.5), "embeddings": (0.25, 0.0), "head": (1.0, 1.0), "norms": (0.0, 1.0)}
    groups = {name: {"rate": rate, "decay": decay} for name, (rate, decay) in factors.items()}
    config = override(resolve("debug"), {"optimizer": groups, "implementation": implementation})
    model, ids = debug_model()
    optimizer = new_optimizer(config, model)
    if is_on_device:
        optimizer.learning_rate = torch.zeros(())
    others = []
    for name, parameters in model.parameter_groups().items():
        twins = [Parameter(parameter.detach().clone()) for parameter in parameters]
        decay = 0.1 * factors[name][1]
        other = AdamW(twins, betas=(0.9, 0.95), weight_decay=decay, implementation=implementation)
        others.append((parameters, twins, other, factors[name][0]))
    for rate in (1e-2, 3e-3):
        optimizer.set_learning_rate(rate)
        optimizer.zero_grad()
        LanguageModelLoss(model)(ids[:, :-1], ids[:, 1:]).backward()
        for parameters, twins, other, factor in others:
            other.set_learning_rate(rate * factor)
            for twin, parameter in zip(twins, parameters, strict=True):
                twin.grad = parameter.grad.clone()
            other.step()
        optimizer.step()
        for parameters, twins, _, _ in others:
            for twin, parameter in zip(twins, parameters, strict=True):
                assert torch.allclose(parameter, twin, atol=1e-9, rtol=1e-6 if is_on_device else 0)


def test_options_of_groups_below_0_are_refused():
    for group, name in (("matrices", "rate"), ("norms", "decay")):
        with pytest.raises(ConfigError, match=rf"optimizer.{group}.{name} is -0.5, and must be at least 0"):
            override(resolve("debug"), {"optimizer": {group: {name: -0.5}}})


def test_a_state_with_one_group_is_refused(tmp_path):
    """As versions wrote it that had no groups."""
    model, _ = debug_model()
    save_checkpoint(model, AdamW(model.parameters()), 1, tmp_path / "one")
    optimizer = new_optimizer(resolve("debug"), model)
    with pytest.raises(CheckpointError, match="its parameters are in 1 and not 4 groups, as in another version"):
        load_checkpoint(tmp_path / "one", model, optimizer)
