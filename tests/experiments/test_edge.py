"""The search for the edge of stability."""

import math

import pytest
from bpe_lm.experiments.edge import Bracket, bracket, name_of, next_rate, rounded


def search(edge: float, first: float, **options: float) -> tuple[Bracket, list[float]]:
    """Try rates as the search asks for them; a rate diverges above `edge`. Returns the bracket and the rates."""
    diverged = {first: first > edge}
    while not isinstance(rate := next_rate(diverged, **options), Bracket):
        assert rate not in diverged
        diverged[rate] = rate > edge
        assert len(diverged) < 40
    return rate, list(diverged)


@pytest.mark.parametrize("edge", [2e-6, 3.3e-4, 1e-2, 0.0777, 1.0, 512.0])
@pytest.mark.parametrize("first", [1e-4, 1e-2, 10.0])
def test_the_bracket_encloses_the_edge_and_is_narrow(edge, first):
    found, rates = search(edge, first)
    assert found.converges is not None
    assert found.diverges is not None
    assert found.converges <= edge < found.diverges
    assert found.diverges <= found.converges * 1.5
    assert found.converges < found.middle < found.diverges
    assert len(rates) <= 12


def test_the_search_is_a_function_of_the_results_in_any_order():
    diverged = {1e-4: False, 1e-3: False, 1e-2: True}
    assert next_rate(diverged) == next_rate(dict(reversed(diverged.items()))) == rounded(math.sqrt(1e-5))


def test_the_search_ends_at_the_rates_that_may_be_tried():
    assert search(1e9, 1e-3, greatest=1.0)[0] == Bracket(1.0, None)
    assert search(0.0, 1e-3, least=1e-5)[0] == Bracket(None, 1e-5)
    assert Bracket(1.0, None).middle is None


def test_a_rate_that_converges_above_one_that_diverges_does_not_count():
    assert bracket({1e-3: False, 1e-2: True, 2e-2: False, 1e-1: True}) == Bracket(1e-3, 1e-2)


def test_the_search_ends_when_no_short_rate_lies_in_between():
    assert next_rate({0.0010: False, 0.0011: True}, ratio=1.0001) == Bracket(0.0010, 0.0011)


@pytest.mark.parametrize(
    ("rate", "name"), [(3e-4, "3e-4"), (1e-2, "1e-2"), (0.00032, "3.2e-4"), (1.0, "1e0"), (250.0, "2.5e2")]
)
def test_names_of_rates_are_short(rate, name):
    assert name_of(rate) == name
    assert float(name) == rate
