"""The gradients of micro-batches, and the numbers that a step measures."""

import gc

import pytest
import torch
from bpe_lm.model.config import ModelConfig
from bpe_lm.model.loss import LanguageModelLoss
from bpe_lm.model.transformer import TransformerLM
from bpe_lm.training.config import TrainConfig, override
from bpe_lm.training.garbage import no_garbage_collection
from bpe_lm.training.gradients import add_up_gradients, micro_batches
from bpe_lm.training.measures import Launched, Measures, Wishes, measured, read
from bpe_lm.training.parallel import World
from bpe_lm.training.step_guard import StepGuard
from torch.utils._python_dispatch import TorchDispatchMode

SMALL = ModelConfig(vocab_size=50, context_length=8, d_model=16, num_layers=2, num_heads=2, d_ff=32)


def gradients(rows: int, *, casts_once: bool, tied: bool = False, dtype: str = "bfloat16") -> list[torch.Tensor]:
    torch.manual_seed(1)
    loss = LanguageModelLoss(
        TransformerLM.from_config(ModelConfig(**SMALL.as_dict() | {"tied_head": tied})), dtype=dtype
    )
    ids = torch.randint(50, (6, 9))
    batches = micro_batches(ids[:, :-1], ids[:, 1:], rows)
    total = add_up_gradients(loss, batches, casts_once=casts_once)
    return [total, *(parameter.grad for parameter in loss.parameters())]


@pytest.mark.parametrize("tied", [False, True])
def test_casting_weights_once_for_all_micro_batches_gives_the_same_gradients_to_the_bit(tied):
    each, once = (gradients(2, casts_once=casts_once, tied=tied) for casts_once in (False, True))
    assert all(torch.equal(a, b) for a, b in zip(each, once, strict=True))
    assert not torch.is_autocast_enabled("cpu")
    exact = gradients(0, casts_once=False, tied=tied, dtype="float32")
    for a, b in zip(once, exact, strict=True):
        assert (a - b).norm() <= 0.03 * b.norm()


class Casts(TorchDispatchMode):
    """Counts copies of a 4 x 4 tensor into another number format."""

    def __init__(self):
        super().__init__()
        self.number = 0

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        is_cast = function is torch.ops.aten._to_copy.default and args[0].dtype == torch.float32
        self.number += is_cast and args[0].shape == (4, 4)
        return function(*args, **(kwargs or {}))


@pytest.mark.parametrize(("casts_once", "number"), [(False, 3), (True, 1)])
def test_weights_are_cast_once_for_all_micro_batches(casts_once, number):
    weight = torch.nn.Parameter(torch.randn(4, 4))

    def loss(x, y):
        with torch.autocast("cpu", dtype=torch.bfloat16):
            return torch.nn.functional.linear(x, weight).float().square().mean()

    batches = micro_batches(torch.randn(9, 4, dtype=torch.bfloat16), torch.zeros(9), 3)
    with Casts() as casts:
        add_up_gradients(loss, batches, casts_once=casts_once)
    assert casts.number == number


def test_a_reading_has_the_numbers_of_its_step():
    launched = [
        (3, Launched(torch.tensor(2.5), torch.tensor(0.25), 1e-3)),
        (4, Launched(2.0, 1.0, 2e-3)),
        (5, Launched(torch.tensor(1.0), torch.tensor(9.0), 3e-3, torch.tensor(True), torch.tensor([15.0, 0.0, 2.0]))),
        (6, Launched(torch.tensor(1 / 3, dtype=torch.float64), torch.tensor(0.1), 4e-3, torch.tensor(False))),
    ]
    first, second, third, fourth = read(launched)
    assert (first.step, first.loss, first.norm, first.learning_rate, first.has_bad_ids) == (3, 2.5, 0.25, 1e-3, False)
    assert (second.step, second.loss, second.norm) == (4, 2.0, 1.0)
    assert (third.norm, third.has_bad_ids, third.wishes) == (9.0, True, Wishes(15.0, 0.0, 2.0))
    assert (fourth.loss, fourth.norm, fourth.has_bad_ids) == (1 / 3, float(torch.tensor(0.1)), False)
    assert read([]) == []


def test_the_measures_of_one_process_are_its_loss_and_the_norm_of_its_gradients():
    parts = [torch.full((4,), 3.0), torch.full((2, 2), -3.0)]
    found = measured(torch.tensor(1.5), parts, World())
    assert (found.loss.item(), found.has_bad_ids, found.wishes) == (1.5, None, None)
    assert found.norm.item() == pytest.approx(72**0.5)
    assert measured(torch.tensor(1.5), [], World()).norm == 0


def counts_by_hand(config: TrainConfig, losses: list[float], warmup: int) -> list[bool]:
    """Which steps are refused, by the rules of the host: the oracle of the guard."""
    skipped = above = 0
    refused, has_diverged = [], False
    for step, loss in enumerate(losses, 1):
        is_finite = loss == loss and abs(loss) != float("inf")
        refused.append(has_diverged or not is_finite)
        skipped = 0 if is_finite else skipped + 1
        has_diverged |= skipped > config.max_skipped_steps
        if config.max_loss and step > warmup:
            above = 0 if loss <= config.max_loss else above + 1
            has_diverged |= above >= config.max_loss_steps
    return refused


@pytest.mark.parametrize("seed", range(20))
def test_the_guard_refuses_the_steps_that_the_host_would_have_refused(seed):
    generator = torch.Generator().manual_seed(seed)
    config = override(TrainConfig(), {"max_skipped_steps": seed % 3, "max_loss": 5.0 * (seed % 2), "max_loss_steps": 3})
    values = torch.tensor([1.0, 2.0, 9.0, float("nan"), float("inf")])
    losses = values[torch.randint(5, (25,), generator=generator)].tolist()
    guard = StepGuard(config, 4, "cpu")
    found = []
    for step, loss in enumerate(losses, 1):
        flag = guard.check(step, Measures(torch.tensor(loss), torch.tensor(1.0)))
        assert flag.dtype == torch.float32
        found.append(bool(flag))
    assert found == counts_by_hand(config, losses, 4)


def test_the_guard_refuses_a_norm_that_is_not_finite_and_everything_after_bad_ids():
    guard = StepGuard(TrainConfig(), 0, "cpu")
    one, bad = torch.tensor(1.0), torch.tensor(float("inf"))
    no, yes = torch.tensor(False), torch.tensor(True)
    steps = [(one, one, no), (one, bad, no), (one, one, no), (one, one, yes), (one, one, no)]
    found = [float(guard.check(number, Measures(*step))) for number, step in enumerate(steps, 1)]
    assert found == [0, 1, 0, 1, 1]
    guard.begin(0, 0)
    assert guard.check(6, Measures(one, one, no)) == 0


@pytest.mark.parametrize("was_enabled", [True, False])
def test_the_collector_is_what_it_was_also_after_an_error(was_enabled):
    (gc.enable if was_enabled else gc.disable)()
    seen = []

    def fail() -> None:
        with no_garbage_collection():
            seen.extend([gc.isenabled(), gc.get_freeze_count() > 0])
            raise KeyError

    try:
        with pytest.raises(KeyError):
            fail()
        assert seen == [False, True]
        assert gc.isenabled() == was_enabled
        assert gc.get_freeze_count() == 0
    finally:
        gc.enable()


def test_objects_that_the_caller_has_frozen_stay_frozen():
    gc.freeze()
    try:
        with no_garbage_collection():
            pass
        assert gc.get_freeze_count() > 0
    finally:
        gc.unfreeze()
