"""Who costs less, from when on: closed forms, and the definition by brute force."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sparsegap.break_even import BreakEven, break_even, cheapest, frontier, total_cost
from sparsegap.errors import InputError

COST = st.floats(0, 1e15, allow_subnormal=False)


def test_the_number_of_samples_at_which_both_cost_the_same() -> None:
    assert break_even(100, 1, 20, 5) == BreakEven(20.0, "b", "a")
    assert break_even(20, 5, 100, 1) == BreakEven(20.0, "a", "b")


@pytest.mark.parametrize(
    ("costs", "winner", "says"),
    [
        ((10, 1, 20, 2), "a", "SAE always costs less"),
        ((10, 2, 10, 1), "b", "SC always costs less"),
        ((20, 1, 10, 1), "b", "SC always costs less"),
        ((10, 1, 10, 1), "neither", "SAE and SC cost the same"),
    ],
)
def test_never_and_always(costs: tuple[float, float, float, float], winner: str, says: str) -> None:
    found = break_even(*costs)
    assert found == BreakEven(None, winner, winner)
    assert found.sentence("SAE", "SC") == says


def test_the_toy_of_the_paper_in_words() -> None:
    assert break_even(5.26e10, 256, 3.94e10, 7.04e6).sentence("SAE", "SC") == "SC costs less up to 1,875 samples, SAE beyond"


@given(COST, COST, COST, COST)
def test_both_cost_the_same_there_and_the_cheaper_one_is_named(train_a: float, rate_a: float, train_b: float, rate_b: float) -> None:
    found = break_even(train_a, rate_a, train_b, rate_b)
    if found.samples is None:
        costs = total_cost([train_a, train_b], [rate_a, rate_b], [0, 1, 1e3, 1e9])
        first, second = (0, 1) if found.after != "b" else (1, 0)
        assert (costs[first] <= costs[second]).all()
        return
    assert found.samples > 0
    at = total_cost([train_a, train_b], [rate_a, rate_b], [found.samples]) if np.isfinite(found.samples) else np.ones(2)
    assert at[0] == pytest.approx(at[1], rel=1e-6)
    assert {found.before, found.after} == {"a", "b"}
    assert (train_a < train_b) == (found.before == "a")
    assert (rate_a < rate_b) == (found.after == "a")


def test_total_cost_of_many_methods() -> None:
    assert total_cost([100, 20], [1, 5], [0, 10, 20]).tolist() == [[100, 110, 120], [20, 70, 120]]
    assert total_cost(7, [1, 2], 3).tolist() == [[10], [13]]


def test_stretches_over_which_one_method_is_cheapest() -> None:
    found = cheapest([0, 45, 4545], [10, 1, 0.1], ["solver", "SAE", "lookup"])
    assert found == [(0, 5, "solver"), (5, pytest.approx(5000), "SAE"), (pytest.approx(5000), np.inf, "lookup")]
    assert cheapest([0], [1], ["only"]) == [(0, np.inf, "only")]
    assert cheapest([5, 5], [2, 1], ["dear", "cheap"]) == [(0, np.inf, "cheap")]
    assert cheapest([5, 5], [1, 1], ["first", "second"]) == [(0, np.inf, "first")]
    assert cheapest([0, 10, 9], [10, 5, 1], ["a", "never", "b"]) == [(0, 1, "a"), (1, np.inf, "b")]


@settings(deadline=None)
@given(st.lists(st.tuples(st.integers(0, 50), st.integers(0, 9)), min_size=1, max_size=6))
def test_the_stretches_follow_the_least_cost(methods: list[tuple[int, int]]) -> None:
    train, rate = zip(*methods, strict=True)
    names = [str(number) for number in range(len(methods))]
    found = cheapest(train, rate, names)
    assert found[0][0] == 0 and found[-1][1] == np.inf
    assert all(before[1] == after[0] for before, after in pairwise(found))
    for first, last, name in found:
        at = [first, (first + min(last, first + 7)) / 2]
        costs = total_cost(train, rate, at)
        assert costs[int(name)] == pytest.approx(costs.min(0))


def test_two_methods_change_places_where_they_break_even() -> None:
    assert cheapest([100, 20], [1, 5], ["a", "b"]) == [(0, break_even(100, 1, 20, 5).samples, "b"), (20, np.inf, "a")]


@given(st.lists(st.tuples(st.integers(0, 9), st.integers(0, 9)), max_size=20), st.booleans())
def test_frontier_is_the_set_that_nothing_dominates(points: list[tuple[int, int]], higher: bool) -> None:
    cost, quality = np.array([p[0] for p in points], float), np.array([p[1] for p in points], float)
    found = frontier(cost, quality, higher).tolist()
    sign = 1 if higher else -1

    def dominated(i: int) -> bool:
        as_good = (cost <= cost[i]) & (sign * quality >= sign * quality[i])
        return bool((as_good & ((cost < cost[i]) | (sign * quality > sign * quality[i]))).any())

    expected = {points[i] for i in range(len(points)) if not dominated(i)}
    assert {points[i] for i in found} == expected and len(found) == len(expected)
    assert sorted(cost[found].tolist()) == cost[found].tolist()


def test_frontier_without_what_is_not_known() -> None:
    assert frontier([1, 2, 3, np.nan], [0.2, np.nan, 0.1, 0.9]).tolist() == [0]
    assert frontier([1, 2], [-np.inf, 0]).tolist() == [0, 1]
    assert frontier([], []).tolist() == []


def test_what_is_no_cost_is_said() -> None:
    with pytest.raises(InputError, match="inference_b=-1 is no cost"):
        break_even(1, 1, 1, -1)
    with pytest.raises(InputError, match="train=nan"):
        total_cost([np.nan], [1], [1])
    with pytest.raises(InputError, match="one length"):
        frontier([1, 2], [1])
    with pytest.raises(InputError, match="1 names for 2 methods"):
        cheapest([0, 1], [1, 1], ["a"])
