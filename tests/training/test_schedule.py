"""Learning rates: one meaning of warm-up, decay and minimum for all shapes, and nothing that cannot be met."""

import math
from itertools import pairwise

import numpy as np
import pytest
import torch
from bpe_lm.errors import ConfigError, OptionError
from bpe_lm.model.transformer import TransformerLM
from bpe_lm.training.config import ScheduleConfig, TrainConfig, override
from bpe_lm.training.optimizers.groups import parameter_groups
from bpe_lm.training.presets import PRESETS, resolve
from bpe_lm.training.resume import RunState
from bpe_lm.training.schedules import cosine_schedule, learning_rate
from bpe_lm.training.time_budget import TimeBudget
from hypothesis import assume, given
from hypothesis import strategies as st


def curve(schedule: ScheduleConfig, steps: int) -> list[float]:
    return [learning_rate(schedule, steps, step) for step in range(steps)]


@st.composite
def schedules(draw):
    """A schedule and the steps of a run that it fits."""
    steps = draw(st.integers(1, 300))
    shape = draw(st.sampled_from(["cosine", "constant", "linear", "wsd"]))
    fraction = st.decimals(0, "0.999", places=3).map(float)
    warmup = draw(st.one_of(fraction, st.integers(0, steps - 1)))
    decay = 0 if shape == "constant" else draw(st.one_of(fraction, st.integers(0, steps)))
    rate, ratio = draw(st.floats(1e-6, 100)), draw(st.floats(0, 1))
    return steps, lambda: ScheduleConfig(shape, rate, ratio, warmup, decay)


@given(schedules())
def test_a_rate_rises_is_constant_and_falls_to_the_minimum_at_the_last_step(drawn):
    steps, make = drawn
    try:
        schedule = make()
        resolved = schedule.in_steps(steps)
    except ConfigError:
        assume(False)
    assert resolved == resolved.in_steps(steps)
    rates, top = curve(schedule, steps), schedule.max_learning_rate
    assert rates == curve(resolved, steps)
    warmup, decay = resolved.warmup, resolved.decay
    rise, flat, fall = rates[:warmup], rates[warmup : steps - decay], rates[steps - decay :]
    assert all(0 < rate <= top for rate in rates[:-1])
    assert rise == pytest.approx([top * (i + 1) / warmup for i in range(warmup)])
    assert all(rate == top for rate in flat)
    assert all(a >= b for a, b in pairwise([top, *fall]))
    if schedule.shape == "constant":
        assert not fall
    else:
        assert fall
        assert rates[-1] == pytest.approx(top * schedule.min_ratio, abs=1e-12 * top)
    # No jump is larger than the steepest slope of the two lines, or of half a cosine.
    slope = max(1 / max(warmup, 1), (1 - schedule.min_ratio) / max(decay, 1) * math.pi / 2)
    assert all(abs(a - b) <= top * slope * (1 + 1e-9) for a, b in pairwise(rates))


@given(st.integers(1, 200), st.integers(0, 200), st.floats(0, 1))
def test_the_cosine_shape_is_the_courses_function(steps, warmup, ratio):
    warmup %= steps
    expected = [cosine_schedule(it, 2.0, 2.0 * ratio, warmup, steps) for it in range(1, steps + 1)]
    assert curve(ScheduleConfig("cosine", 2.0, ratio, warmup), steps) == expected


def test_shapes_by_hand():
    assert curve(ScheduleConfig("constant", 1.0, warmup=4), 6) == [0.25, 0.5, 0.75, 1, 1, 1]
    assert curve(ScheduleConfig("linear", 1.0, 0, 2), 6) == [0.5, 1, 0.75, 0.5, 0.25, 0]
    assert curve(ScheduleConfig("linear", 1.0, 0.5, 0, 0.5), 4) == [1, 1, 0.75, 0.5]
    assert curve(ScheduleConfig("wsd", 1.0, 0.5, 0.1), 10) == [*[1] * 8, 0.75, 0.5]
    assert curve(ScheduleConfig("wsd", 1.0, 0, 0.5, 0.5), 4) == [0.5, 1, 0.5, 0]
    assert curve(ScheduleConfig("cosine", 1.0, 0, 0, 2), 4) == pytest.approx([1, 1, 0.5, 0])
    assert learning_rate(ScheduleConfig("wsd", 1.0, 0.5, 0), 10, 11) == 0.5


def test_a_rate_below_the_default_minimum_does_not_rise():
    """A maximum of 3e-5 rose to the minimum of 1e-4 that was the default."""
    schedule = resolve("tinystories", ["--schedule.max-learning-rate", "3e-5"]).schedule
    rates = curve(schedule, 1000)
    assert max(rates) == 3e-5
    assert rates[-1] == pytest.approx(3e-6)


@pytest.mark.parametrize(("preset", "warmup"), [("tinystories", 200), ("owt", 200), ("demo", 50), ("debug", 5)])
def test_presets_warm_up_over_a_fraction_and_decay_in_short_runs_too(preset, warmup):
    config = PRESETS[preset]()
    assert config.schedule.in_steps(config.steps).warmup == warmup
    short = resolve(preset, ["--steps", "100"])
    rates = curve(short.schedule, short.steps)
    assert max(rates) == config.schedule.max_learning_rate
    assert rates[-1] == pytest.approx(max(rates) / 10)
    assert rates.index(max(rates)) == pytest.approx(100 * warmup / config.steps, abs=2)
    for steps in (1, 2, 3):
        assert curve(short.schedule, steps)[-1] == pytest.approx(max(rates) / 10)


@pytest.mark.parametrize(
    ("preset", "seconds", "context", "tokens"),
    [
        ("speedrun-owt", 5_400, 512, 2**17),
        ("speedrun-tinystories", 600, 256, 2**15),
        ("speedrun-cpu", 1_200, 256, 2**12),
    ],
)
def test_speedruns_are_the_recipe_by_their_config_alone(preset, seconds, context, tokens):
    config = PRESETS[preset]()
    assert TrainConfig.from_dict(config.as_dict()) == config
    assert (config.max_time, config.model.context_length, config.tokens_per_step) == (seconds, context, tokens)
    assert (config.optimizer.name, config.schedule.clock) == ("muon", "time")
    assert config.schedule.lengths(config.steps) == (40, pytest.approx(0.7 * config.steps, abs=1))
    rise = [learning_rate(config.schedule, config.steps, step) for step in range(41)]
    assert rise == pytest.approx([0.04 * min(step + 1, 40) / 40 for step in range(41)])
    # After 30 %, 65 % and all of the time, whatever the steps.
    over = [learning_rate(config.schedule, config.steps, 50, part) for part in (0.3, 0.65, 1)]
    assert over == pytest.approx([0.04, 0.02, 0], abs=1e-4 * 0.04)
    with torch.device("meta"):
        model = TransformerLM.from_config(config.model)
    rates = {group["name"]: group["lr"] for group in parameter_groups(config, model)}
    assert rates == pytest.approx({"matrices": 0.04, "embeddings": 0.004, "head": 0.004, "norms": 0.004})
    if preset == "speedrun-owt":
        groups = model.parameter_groups()
        assert 175e6 < sum(weight.numel() for weight in [*groups["matrices"], *groups["head"]]) < 185e6
    muon = config.optimizer.muon
    rises = preset != "speedrun-cpu"
    assert (muon.first_momentum, muon.momentum, muon.momentum_rise) == (0.85, 0.95, 300 if rises else 0)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"warmup": 100}, r"schedule.warmup is 100 steps, and the run has 100"),
        ({"warmup": 100, "shape": "constant"}, r"schedule.warmup is 100 steps, and the run has 100"),
        ({"warmup": 200}, r"schedule.warmup is 200 steps, and the run has 100"),
        ({"warmup": 60, "decay": 50}, r"warmup is 60 steps and schedule.decay 50, more together than the 100"),
        ({"warmup": 90, "shape": "wsd"}, r"warmup is 90 steps and schedule.decay 20, more together than the 100"),
        ({"warmup": 0.6, "decay": 0.5}, r"schedule.warmup is 0.6 and schedule.decay is 0.5 of the run"),
        ({"decay": 101}, r"warmup is 4 steps and schedule.decay 101"),
        ({"shape": "constant", "decay": 5}, r"schedule.decay is 5, and schedule.shape is constant"),
        ({"warmup": 1.5}, r"schedule.warmup is 1.5, and must be a fraction .* or a whole number of steps"),
        ({"decay": 1.0}, r"schedule.decay is 1.0, and could mean all of the run or one step"),
        ({"warmup": -1}, r"schedule.warmup is -1, and must"),
        ({"warmup": True}, r"schedule.warmup is True, and must be a number"),
        ({"min_ratio": 1.1}, r"schedule.min_ratio is 1.1, and must be from 0 to 1"),
        ({"min_ratio": -0.1}, r"schedule.min_ratio is -0.1, and must be from 0 to 1"),
        ({"max_learning_rate": 0}, r"max_learning_rate is 0.0, and must be above 0"),
        ({"shape": "cosin"}, r"schedule.shape is 'cosin', and must be one of .*; did you mean cosine\?"),
        ({"name": "constant"}, r"schedule.name is no longer a key; use schedule.shape"),
        ({"min_learning_rate": 1e-4}, r"schedule.min_learning_rate is no longer a key; use schedule.min_ratio"),
        ({"warmup_iters": 200}, r"schedule.warmup_iters is no longer a key; use schedule.warmup"),
        ({"cosine_cycle_iters": 200}, r"schedule.cosine_cycle_iters is no longer a key; use schedule.decay"),
    ],
)
def test_what_cannot_be_met_names_both_numbers(values, message):
    with pytest.raises(ConfigError, match=message):
        override(TrainConfig(), {"steps": 100, "schedule": values})


def test_fractions_that_fill_the_run_fill_it_in_steps_too():
    for tenths in range(1, 10):
        schedule = ScheduleConfig("wsd", warmup=tenths / 10, decay=(10 - tenths) / 10)
        for steps in range(1, 60):
            found = schedule.in_steps(steps)
            assert found.warmup < steps
            assert found.warmup + found.decay <= steps
    assert ScheduleConfig(warmup=200.0).warmup == 200
    assert type(ScheduleConfig(warmup=200.0).warmup) is int


def test_the_cosine_is_the_courses():
    found = [cosine_schedule(it, 1, 0.1, 7, 21) for it in range(25)]
    expected = [i / 7 for i in range(7)]
    expected += [0.1 + 0.45 * (1 + math.cos(math.pi * (i - 7) / 14)) for i in range(7, 22)] + [0.1] * 3
    assert np.allclose(found, expected, rtol=1e-7)
    assert (found[0], found[7], found[14], found[21]) == (0, 1, pytest.approx(0.55), pytest.approx(0.1))
    assert cosine_schedule(5, 1, 0.5, 5, 5) == 1
    assert cosine_schedule(6, 1, 0.5, 5, 5) == 0.5


def test_the_courses_cosine_refuses_a_cycle_within_the_warmup_and_a_rate_that_rises():
    with pytest.raises(OptionError, match=r"cosine_cycle_iters is 5, and must be at least warmup_iters, which is 7"):
        cosine_schedule(0, 1, 0.1, 7, 5)
    with pytest.raises(ValueError, match=r"min_learning_rate is 0.1, and must be at most max_learning_rate, 0.01"):
        cosine_schedule(0, 0.01, 0.1, 7, 21)


@pytest.mark.parametrize("shape", ["cosine", "linear", "wsd"])
def test_the_rate_is_that_of_the_part_of_steps_or_time_that_is_over(shape):
    schedule = ScheduleConfig(shape, 2.0, 0.25, warmup=10, decay=50)
    for step in range(99):
        assert learning_rate(schedule, 100, step, step / 100) == learning_rate(schedule, 100, step)
        # 75 of 100 parts of the time are over, and fewer of the steps.
        if 10 <= step < 74:
            assert learning_rate(schedule, 100, step, 0.75) == learning_rate(schedule, 100, 74)
    assert learning_rate(schedule, 100, 0, 0.75) == 0.2
    for over in (1.0, 1.5):
        assert learning_rate(schedule, 100, 20, over) == pytest.approx(0.5)


def test_the_part_of_the_time_follows_the_fastest_step_and_never_falls():
    state = RunState(seconds=0.0)
    budget = TimeBudget(100.0, state, 0)
    assert budget.over_after(1) == 0
    budget.read(1, 40.0)  # The first step compiles.
    assert budget.over_after(2) == 0.8
    budget.read(2, 41.0)
    assert budget.over_after(3) == 0.8
    assert budget.over_after(12) == 0.8
    budget.read(52, 91.0)
    assert budget.over_after(53) == 0.92
    assert budget.over_after(61) == 1.0
    # A run that goes on begins with its state.
    again = TimeBudget(100.0, RunState(seconds=91.0, pace=state.pace, time_over=0.92), 52)
    assert again.over_after(53) == 0.92
    assert again.over_after(54) == 0.93
