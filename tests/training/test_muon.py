"""Muon: against torch's, against singular values in float64, and by its formulas."""

import copy
import math
import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch
from bpe_lm.model.loss import LanguageModelLoss
from bpe_lm.model.transformer import TransformerLM
from bpe_lm.training.config import override
from bpe_lm.training.optimizers.config import MuonConfig
from bpe_lm.training.optimizers.division import Matrices, OfReplicas, OfShards, Undivided, shares
from bpe_lm.training.optimizers.muon import Muon
from bpe_lm.training.optimizers.newton_schulz import QUINTIC, newton_schulz_flops, orthogonal_factors, orthogonalize
from bpe_lm.training.optimizers.polar_express import LIMIT, nearest_to_1, polar_express
from bpe_lm.training.optimizers.registry import new_optimizer
from bpe_lm.training.parallel import World
from bpe_lm.training.presets import resolve
from torch.nn import Parameter

WIDE = MuonConfig(dtype="float32")


def matrix_with(values: torch.Tensor, rows: int, columns: int) -> tuple[torch.Tensor, torch.Tensor]:
    """A matrix in float64 with these singular values, and its orthogonal factor."""
    u, _, v = torch.linalg.svd(torch.randn(rows, columns, dtype=torch.float64), full_matrices=False)
    return u @ torch.diag(values) @ v, u @ v


def polynomials(values: torch.Tensor, coefficients) -> torch.Tensor:
    for a, b, c in coefficients:
        values = a * values + b * values**3 + c * values**5
    return values


# The iteration


@pytest.mark.parametrize("coefficients", [(QUINTIC,) * 5, polar_express(5), polar_express(8)], ids=["q", "p5", "p8"])
@pytest.mark.parametrize("shape", [(24, 24), (16, 40), (40, 16)])
def test_the_factor_is_u_p_of_s_v_in_float64(shape, coefficients):
    values = torch.logspace(0, -2.5, min(shape), dtype=torch.float64)
    matrix, factor = matrix_with(values, *shape)
    [found] = orthogonal_factors([matrix], [1], coefficients)
    expected = polynomials(values / values.norm(), coefficients)
    u, v = torch.linalg.svd(matrix, full_matrices=False)[::2]
    assert found.shape == shape
    assert torch.allclose(found, u @ torch.diag(expected) @ v, atol=1e-7)
    [narrow] = orthogonal_factors([matrix.float()], [1], coefficients)
    assert torch.allclose(narrow.double(), found, atol=2e-4)
    large = values / values.norm() >= 3e-3  # Smaller ones are still on their way to 1.
    low, high = (0.65, 1.25) if coefficients[0] == QUINTIC else (0.85, 1.15)
    assert ((expected[large] > low) & (expected[large] < high)).all()
    if len(coefficients) == 8:
        assert torch.allclose(found, factor, atol=0.05)


@pytest.mark.parametrize("coefficients", [(QUINTIC,) * 5, polar_express(5)], ids=["quintic", "polar express"])
def test_in_bfloat16_singular_values_are_near_those_of_float64(coefficients):
    values = torch.logspace(0, -1.5, 64, dtype=torch.float64)
    matrix, factor = matrix_with(values, 64, 160)
    [found] = orthogonal_factors([matrix.bfloat16()], [1], coefficients)
    singular = torch.linalg.svdvals(found.double())
    assert found.dtype == torch.bfloat16
    assert ((singular > 0.6) & (singular < 1.3)).all()
    assert (found.double() * factor).sum() / 64 > 0.8  # The mean cosine of directions.


def test_a_batch_is_its_matrices_one_by_one():
    parameters = [torch.randn(shape) for shape in [(24, 8), (8, 8), (8, 20), (20, 8), (5, 5)]]
    found = orthogonal_factors(parameters, [3, 1, 1, 1, 1], polar_express(5))
    for parameter, number, factor in zip(parameters, [3, 1, 1, 1, 1], found, strict=True):
        for part, of_part in zip(parameter.chunk(number), factor.chunk(number), strict=True):
            wide = part if part.shape[0] <= part.shape[1] else part.T
            expected = orthogonalize(wide[None], polar_express(5))[0]
            assert torch.allclose(of_part, expected if wide is part else expected.T, atol=1e-6)


def test_zeros_stay_zeros():
    assert orthogonalize(torch.zeros(2, 3, 5), (QUINTIC,) * 5).eq(0).all()


PUBLISHED = (
    (8.28721201814563, -23.595886519098837, 17.300387312530933),
    (4.107059111542203, -2.9478499167379106, 0.5448431082926601),
    (3.9486908534822946, -2.908902115962949, 0.5518191394370137),
    (3.3184196573706015, -2.488488024314874, 0.51004894012372),
    (2.300652019954817, -1.6689039845747493, 0.4188073119525673),
)
"""The coefficients of Amsel et al. 2025 for singular values from 0.001 on, without the margin for rounding."""


def test_polar_express_has_the_published_coefficients():
    found = polar_express(5)
    for polynomial, published in zip(found[:4], PUBLISHED, strict=False):
        without_margin = [value * 1.01**power for value, power in zip(polynomial, (1, 3, 5), strict=True)]
        assert np.allclose(without_margin, published, rtol=1e-9)
    assert np.allclose(found[4], PUBLISHED[4], rtol=1e-9)
    assert np.allclose(polar_express(10)[-1], LIMIT)


@pytest.mark.parametrize(("low", "high"), [(0.001, 1.0), (0.1, 1.9), (0.7, 1.3)])
def test_no_other_polynomial_is_nearer_to_1(low, high):
    places = np.linspace(low, high, 20_001)

    def error(a, b, c):
        return np.abs(1 - (a * places + b * places**3 + c * places**5)).max()

    best = nearest_to_1(low, high)
    generator = np.random.default_rng(1)
    for size in (1e-1, 1e-2, 1e-3):
        for direction in generator.normal(size=(100, 3)):
            assert error(*(best + size * direction * best)) >= error(*best) - 1e-9


def test_the_operations_are_those_of_the_products():
    assert newton_schulz_flops(3, 5, 1) == 2 * 3 * 5 * 3 + 2 * 3 * 3 * 3 + 2 * 3 * 3 * 5
    assert newton_schulz_flops(5, 3, 4) == 4 * newton_schulz_flops(3, 5, 1)


# The optimizer


def stepped(make, begin: list[torch.Tensor], gradients: list[list[torch.Tensor]]):
    weights = [Parameter(tensor.clone()) for tensor in begin]
    optimizer = make(weights)
    for of_step in gradients:
        for weight, gradient in zip(weights, of_step, strict=True):
            weight.grad = gradient.clone()
        optimizer.step()
    return [weight.detach() for weight in weights], optimizer


SHAPES = [(16, 16), (12, 40), (40, 12)]


def some(number: int, shapes=SHAPES) -> tuple[list[torch.Tensor], list[list[torch.Tensor]]]:
    generator = torch.Generator().manual_seed(5)
    draw = [[torch.randn(shape, generator=generator) for shape in shapes] for _ in range(number + 1)]
    return draw[0], draw[1:]


@pytest.mark.parametrize("scale", ["original", "match_rms_adamw"])
def test_steps_are_those_of_torch(scale):
    """torch's computes in bfloat16, whose roundings two orders of products differ by."""
    begin, gradients = some(4)
    theirs, _ = stepped(lambda weights: torch.optim.Muon(weights, 0.02, 0.1, adjust_lr_fn=scale), begin, gradients)
    for options, bound in ((MuonConfig(scale=scale), 0.02), (MuonConfig(scale=scale, dtype="float32"), 0.05)):
        ours, _ = stepped(lambda weights, o=options: Muon(weights, 0.02, options=o), begin, gradients)
        for a, b, start in zip(ours, theirs, begin, strict=True):
            assert (a - b).norm() <= bound * (b - start).norm()


def formula(begin, gradients, rate, decay, options: MuonConfig) -> list[torch.Tensor]:
    """The steps of one matrix in float64, without a line in common with the optimizer's."""
    w, m, found = begin.double(), torch.zeros_like(begin, dtype=torch.float64), []
    for t, gradient in enumerate(gradients):
        rise = min(t / options.momentum_rise, 1) if options.momentum_rise else 1
        mu = options.first_momentum * (1 - rise) + options.momentum * rise
        m = mu * m + (1 - mu) * gradient.double()
        u, s, v = torch.linalg.svd(mu * m + (1 - mu) * gradient.double(), full_matrices=False)
        update = u @ torch.diag(polynomials(s / s.norm(), (QUINTIC,) * options.iterations)) @ v
        keeps = torch.where(update * w < 0, 1.0, 1 - rate * decay) if options.cautious else 1 - rate * decay
        rows, columns = begin.shape
        scale = 0.2 * math.sqrt(max(rows, columns)) if "adamw" in options.scale else math.sqrt(max(1, rows / columns))
        w = w * keeps - rate * scale * update
        found.append(w)
    return found


@pytest.mark.parametrize(
    "options",
    [
        MuonConfig(dtype="float32"),
        MuonConfig(dtype="float32", momentum_rise=3, first_momentum=0.5),
        MuonConfig(dtype="float32", cautious=True),
        MuonConfig(dtype="float32", scale="match_rms_adamw", iterations=3),
    ],
    ids=["plain", "rise", "cautious", "scale"],
)
@pytest.mark.parametrize("shape", SHAPES)
def test_steps_are_the_formula_in_float64(shape, options):
    begin, gradients = some(6, [shape])
    for number in range(1, 7):
        [found], _ = stepped(lambda w: Muon(w, 0.05, weight_decay=2.0, options=options), begin, gradients[:number])
        expected = formula(begin[0], [gradient for [gradient] in gradients], 0.05, 2.0, options)[number - 1]
        assert torch.allclose(found.double(), expected, atol=3e-4)


def test_joined_matrices_are_separate_ones():
    [begin], gradients = some(3, [(24, 8)])
    [joined], _ = stepped(lambda w: Muon(w, 0.1, options=WIDE, joined={w[0]: 3}), [begin], gradients)
    parts, _ = stepped(
        lambda w: Muon(w, 0.1, options=WIDE), list(begin.chunk(3)), [list(g.chunk(3)) for [g] in gradients]
    )
    assert torch.allclose(joined, torch.cat(parts), atol=1e-6)


def test_only_matrices_are_muons():
    with pytest.raises(ValueError, match=r"Muon updates matrices, and a parameter has the shape \(3,\)"):
        Muon([Parameter(torch.ones(3))])


def muon_of(changes=None):
    """The optimizer of a run, its model and a batch."""
    options = {"optimizer": {"name": "muon", "muon": {"momentum_rise": 3}}}
    config = override(override(resolve("debug"), options), changes or {})
    torch.manual_seed(1)
    model = TransformerLM.from_config(config.model, implementation=config.implementation)
    return new_optimizer(config, model), model, torch.randint(50, (2, 9))


def step(optimizer, model, ids, rate=0.02):
    optimizer.set_learning_rate(rate)
    optimizer.zero_grad()
    LanguageModelLoss(model)(ids[:, :-1], ids[:, 1:]).backward()
    optimizer.step()


@pytest.mark.parametrize("implementation", ["fast", "reference"])
def test_a_runs_muon_updates_the_matrices_and_adamw_the_rest(implementation):
    optimizer, model, ids = muon_of({"implementation": implementation})
    assert {group["name"]: group["method"] for group in optimizer.param_groups} == {
        "matrices": "muon",
        "embeddings": "adamw",
        "head": "adamw",
        "norms": "adamw",
    }
    step(optimizer, model, ids)
    for group in optimizer.param_groups:
        names = {"step", "momentum_buffer"} if group["name"] == "matrices" else {"step", "exp_avg", "exp_avg_sq"}
        for parameter in group["params"]:
            assert optimizer.state[parameter].keys() == names
    joined = model.layers[0].attn.qkv_proj.weight
    assert optimizer._joined[joined] == 3


@pytest.mark.parametrize("implementation", ["fast", "reference"])
@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_a_refused_step_changes_nothing(implementation, bad):
    found = []
    for refuses in (False, True):
        optimizer, model, ids = muon_of({"implementation": implementation})
        for number in range(3):
            optimizer.found_inf = torch.tensor(0.0)
            step(optimizer, model, ids)
            if refuses and number < 2:
                for parameter in model.parameters():
                    parameter.grad = torch.full_like(parameter, bad)
                optimizer.found_inf = torch.tensor(1.0)
                optimizer.step()
        state = [value for values in optimizer.state.values() for value in values.values()]
        found.append([*(parameter.detach() for parameter in model.parameters()), *state])
    assert all(torch.equal(a, b) for a, b in zip(*found, strict=True))


@pytest.mark.parametrize("implementation", ["fast", "reference"])
def test_gradients_are_divided(implementation):
    found = []
    for scale in (None, 4.0):
        optimizer, model, ids = muon_of({"implementation": implementation})
        for number in range(2):
            optimizer.zero_grad()
            (LanguageModelLoss(model)(ids[:, :-1], ids[:, 1:]) * (scale or 1.0) * (1 + number)).backward()
            optimizer.grad_scale = None if scale is None else torch.tensor(scale)
            optimizer.step()
        found.append([parameter.detach() for parameter in model.parameters()])
    assert all(torch.equal(a, b) for a, b in zip(*found, strict=True))


def test_a_rate_on_the_device_is_the_rate():
    found = []
    for is_on_device in (False, True):
        optimizer, model, ids = muon_of()
        if is_on_device:
            optimizer.learning_rate = torch.zeros(())
        for rate in (0.02, 0.005):
            step(optimizer, model, ids, rate)
        found.append([parameter.detach() for parameter in model.parameters()])
    assert all(torch.allclose(a, b, atol=1e-7) for a, b in zip(*found, strict=True))


def test_a_step_goes_on_from_its_state_to_the_bit():
    optimizer, model, ids = muon_of()
    step(optimizer, model, ids)
    step(optimizer, model, ids)
    other, twin, _ = muon_of()
    twin.load_state_dict(model.state_dict())
    other.load_state_dict(copy.deepcopy(optimizer.state_dict()))
    for _ in range(3):  # The momentum rises in the first of them.
        step(optimizer, model, ids)
        step(other, twin, ids)
    assert all(torch.equal(a, b) for a, b in zip(model.parameters(), twin.parameters(), strict=True))


# The work of several processes


class Processes:
    """The collectives of torch.distributed between threads, one for each process."""

    def __init__(self, number: int):
        self.rank, self._sent, self._barrier = threading.local(), [None] * number, threading.Barrier(number)

    def _all_sent(self, content):
        self._barrier.wait()
        self._sent[self.rank.number] = content
        self._barrier.wait()
        return list(self._sent)

    def all_gather_into_tensor(self, output, tensor):
        output.copy_(torch.cat(self._all_sent(tensor)))

    def all_to_all_single(self, output, tensor, received, sent):
        pieces = [of_process[self.rank.number] for of_process in self._all_sent(tensor.split(sent))]
        assert [len(piece) for piece in pieces] == received
        output.copy_(torch.cat(pieces))


@pytest.mark.parametrize("number", [1, 2, 3, 5])
@pytest.mark.parametrize("shapes", [[(6, 4), (7, 3), (2, 9), (12, 4), (5, 5)], [(2, 3)]])
@pytest.mark.parametrize("division", [OfReplicas, OfShards])
def test_divided_work_is_the_work_of_one_process(monkeypatch, division, shapes, number):
    """Also with more processes than rows, or than matrices."""
    whole = [torch.randn(shape) for shape in shapes]
    matrices = Matrices([matrix.shape for matrix in whole], [matrix.numel() for matrix in whole])
    processes, done = Processes(number), []
    monkeypatch.setattr("bpe_lm.training.optimizers.division.dist", processes)

    def work(own, tensors):
        done.extend(own)
        assert all(torch.equal(tensor, whole[i]) for i, tensor in zip(own, tensors, strict=True))
        return [tensor.T.cumsum(0).T + i for i, tensor in zip(own, tensors, strict=True)]

    def parts_of(tensors, rank):
        if division is OfReplicas:
            return tensors
        chunks = [tensor.chunk(number) for tensor in tensors]
        return [c[rank] if rank < len(c) else t[:0] for c, t in zip(chunks, tensors, strict=True)]

    def process(rank):
        processes.rank.number = rank
        return division(World(rank, number))(parts_of(whole, rank), matrices, work)

    with ThreadPoolExecutor(number) as pool:
        found = list(pool.map(process, range(number)))
    assert sorted(done) == list(range(len(whole)))  # No matrix twice.
    expected = Undivided()(whole, matrices, work)
    for rank in range(number):
        assert all(torch.equal(a, b) for a, b in zip(found[rank], parts_of(expected, rank), strict=True))


def test_shares_are_about_equal_and_whole():
    costs = [7, 1, 1, 5, 3, 3, 9, 2]
    for number in (1, 2, 3, 10):
        found = shares(costs, number)
        assert sorted(i for share in found for i in share) == list(range(len(costs)))
        totals = [sum(costs[i] for i in share) for share in found]
        assert max(totals) - min(totals) <= max(costs)
    assert shares([], 2) == [[], []]
