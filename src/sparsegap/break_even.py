"""When a dear training with cheap answers overtakes a cheap training with dear answers. Pure arithmetic, in any unit of cost."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from sparsegap.errors import InputError


@dataclass(frozen=True)
class BreakEven:
    """Which of two methods, a and b, costs less, and from how many samples on.

    samples: n* = ΔF_train/ΔF_inf, where both cost the same; None where one of them never costs more, or both always cost the same.
    before, after: the cheaper one below and above n*, "a", "b" or "neither" (equal); the same word twice where nothing changes.
    """

    samples: float | None
    before: str
    after: str

    def sentence(self, a: str = "a", b: str = "b") -> str:
        """In words: who is cheaper, and from when on."""
        names = {"a": a, "b": b}
        if self.samples is None:
            return f"{a} and {b} cost the same" if self.after == "neither" else f"{names[self.after]} always costs less"
        return f"{names[self.before]} costs less up to {self.samples:,.0f} samples, {names[self.after]} beyond"


def break_even(train_a: float, inference_a: float, train_b: float, inference_b: float) -> BreakEven:
    """Number of samples at which two methods have cost the same, training and inference together.

    train_a + n·inference_a = train_b + n·inference_b has the solution n* = (train_b − train_a) / (inference_a − inference_b); where n* ≤ 0
    or the answers cost the same, one method is always the cheaper. Raises InputError for a cost below 0 or not finite.

    >>> break_even(5.26e10, 256, 3.94e10, 7.04e6).sentence("the SAE", "sparse coding")
    'sparse coding costs less up to 1,875 samples, the SAE beyond'
    """
    costs = {"train_a": train_a, "inference_a": inference_a, "train_b": train_b, "inference_b": inference_b}
    for name, cost in costs.items():
        _refuse(name, np.array([cost]))
    first, last = _cheaper(train_a, train_b), _cheaper(inference_a, inference_b)
    if {first, last} == {"a", "b"}:
        return BreakEven((train_b - train_a) / (inference_a - inference_b), first, last)
    winner = first if last == "neither" else last
    return BreakEven(None, winner, winner)


def _cheaper(a: float, b: float) -> str:
    return "a" if a < b else "b" if b < a else "neither"


def total_cost(train: ArrayLike, inference: ArrayLike, samples: ArrayLike) -> NDArray[np.float64]:
    """(methods, samples) train + n·inference of each method at each number of samples."""
    fixed, rate, n = (np.atleast_1d(np.asarray(each, dtype=np.float64)) for each in (train, inference, samples))
    for name, values in (("train", fixed), ("inference", rate), ("samples", n)):
        _refuse(name, values)
    return np.asarray(np.broadcast_to(fixed, np.broadcast_shapes(fixed.shape, rate.shape))[:, None] + rate[:, None] * n)


def frontier(cost: ArrayLike, quality: ArrayLike, higher_is_better: bool = True) -> NDArray[np.int64]:
    """Indices of the compute-optimal points, by rising cost: none costs as little and is as good, with one of the two better.

    Of points equal in both the first is kept. Points with NaN are left out. Cost n log n.

    >>> frontier([1, 2, 3, 4], [0.5, 0.9, 0.7, 0.95]).tolist()
    [0, 1, 3]
    """
    price, worth = np.asarray(cost, dtype=np.float64), np.asarray(quality, dtype=np.float64)
    if price.shape != worth.shape or price.ndim != 1:
        raise InputError(f"cost and quality must be two lists of one length, not {price.shape} and {worth.shape}")
    worth = worth if higher_is_better else -worth
    known = np.flatnonzero(~(np.isnan(price) | np.isnan(worth)))
    order = known[np.lexsort((-worth[known], price[known]))]
    best = np.maximum.accumulate(np.concatenate([[-np.inf], worth[order]]))[:-1]
    better = worth[order] > best
    if len(better):
        better[0] = True  # also where its quality is -inf
    return np.asarray(order[better], dtype=np.int64)


def cheapest(train: ArrayLike, inference: ArrayLike, names: Sequence[str]) -> list[tuple[float, float, str]]:
    """Which method costs least for which numbers of samples: stretches (from, to, name), the first from 0, the last to infinity.

    Exact: each next one is the first to overtake among those with cheaper answers, at (train_j − train_i)/(inference_i − inference_j). A
    method has one stretch at most; of equals the first named stands for all. Cost m² for m methods. Raises InputError for a cost below 0
    or not finite, no method, or names that are not as many.

    >>> cheapest([0, 50, 5000], [10, 1, 0.1], ["solver", "SAE", "lookup"])
    [(0.0, 5.555..., 'solver'), (5.555..., 5500.0, 'SAE'), (5500.0, inf, 'lookup')]
    """
    fixed, rate = (np.atleast_1d(np.asarray(each, dtype=np.float64)) for each in (train, inference))
    _refuse("train", fixed)
    _refuse("inference", rate)
    if not len(names) == len(fixed) == len(rate) or not len(names):
        raise InputError(f"{len(names)} names for {len(fixed)} methods")
    now, since, found = int(np.lexsort((rate, fixed))[0]), 0.0, []
    while (later := np.flatnonzero(rate < rate[now])).size:
        overtakes = (fixed[later] - fixed[now]) / (rate[now] - rate[later])
        first = np.lexsort((rate[later], overtakes))[0]
        found.append((since, float(overtakes[first]), names[now]))
        now, since = int(later[first]), float(overtakes[first])
    return [*found, (since, np.inf, names[now])]


def _refuse(name: str, values: NDArray[np.float64]) -> None:
    wrong = values[~np.isfinite(values) | (values < 0)]
    if wrong.size:
        raise InputError(f"{name}={float(wrong.flat[0]):g} is no cost: it must be finite and at least 0")
