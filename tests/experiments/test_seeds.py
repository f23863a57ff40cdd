"""What runs that differ in their seeds say of chance."""

import pytest
from bpe_lm.experiments.seeds import STUDENT, chance, error_of_difference, standard_error


def test_one_loss_says_nothing_of_chance():
    assert standard_error([1.0]) is error_of_difference([1.0]) is chance([1.0]) is None


def test_the_bound_of_chance_is_students():
    losses = [1.0, 1.1, 1.2]
    assert standard_error(losses) == pytest.approx(0.1 / 3**0.5)
    assert error_of_difference(losses) == pytest.approx(0.1 * 2**0.5)
    assert chance(losses) == pytest.approx(4.303 * 0.1 * 2**0.5)
    many = [1.0, 1.1] * 10
    assert chance(many) == pytest.approx(STUDENT[-1] * error_of_difference(many))


def test_differences_of_normal_losses_are_within_the_bound_in_95_of_100_cases():
    import numpy as np

    drawn = np.random.default_rng(1).standard_normal((4000, 5))
    within = sum(abs(row[3] - row[4]) < chance(row[:3].tolist()) for row in drawn)
    assert within / len(drawn) == pytest.approx(0.95, abs=0.01)
