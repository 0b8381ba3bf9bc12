"""One-to-one matching of what was found with what is true, whatever the similarity: the best where m is small, bounded where it is not.

Similarities come a block of true things at a time, so that nothing (m, m) is held beyond the exact form.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from heapq import heapify, heappop, heappush
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from sparsegap.errors import InputError

Floats = NDArray[Any]
Integers = NDArray[np.int64]
Similarities = Callable[[Integers], Floats]  # (b, m_found), at least 0, of these true things
Way = Literal["best", "greedy"]

EXACT = 4096
CANDIDATES = 32
BLOCK = 1 << 24  # similarities looked at together


@dataclass(frozen=True, eq=False)
class Matching:
    """partner: (m_truth,) the found thing that each true one is matched with, −1 for none. strength: (m_truth,) its similarity, 0 for none.

    bound: no one-to-one matching has a larger sum of strengths; equal to it where the matching is exact.
    nearest, reach: (m_found,) the most similar true thing of each found one, and how similar. best: (m_truth,) largest similarity of each
    true one with any.
    """

    partner: Integers
    strength: Floats
    bound: float
    nearest: Integers
    reach: Floats
    best: Floats

    @property
    def gap(self) -> float:
        """How much the mean strength could be larger under another matching, at most; 0 where it is proven the best."""
        return max(0.0, self.bound - float(self.strength.sum())) / max(len(self.strength), 1)


def match(
    similarities: Similarities, n_found: int, n_truth: int, *, way: Way = "best", exact: int = EXACT, candidates: int = CANDIDATES
) -> Matching:
    """The one-to-one matching of largest total similarity, or a greedy one of at least half of it.

    best: up to `exact` things on the larger side, Kuhn (1955), doi:10.1002/nav.3800020109, by the algorithm of Crouse (2016),
    doi:10.1109/TAES.2016.140952, m³. Above, each true thing keeps its `candidates` most similar ones and a place of its own that counts as
    its best dropped one (Jonker & Volgenant, 1987, doi:10.1007/BF02278710, on what is left): the answer comes with a proven bound.
    greedy: the most similar pair of all first, then of what is left; at least half of the best total (Preis, 1999,
    doi:10.1007/3-540-49116-3_24). Its bound is the least of several dual solutions: rows, columns, both by half, and greed's own.
    Either way all pairs are looked at once, in blocks; greed looks again at the few things whose candidates others took.
    """
    if way not in get_args(Way):
        raise InputError(f"a matching is made by one of {', '.join(get_args(Way))}, not '{way}'")
    if way == "best" and max(n_found, n_truth) <= exact:
        return _exact(similarities(np.arange(n_truth)), n_found)
    table = Candidates.of(similarities, n_found, n_truth, min(candidates, n_found))
    partner, strength, bound = table.assign() if way == "best" else table.take_greedily(similarities)
    return Matching(partner, strength, bound, table.nearest, table.reach, table.values.max(1, initial=0.0))


def _exact(strength: Floats, n_found: int) -> Matching:
    from scipy.optimize import linear_sum_assignment

    truths, ours = linear_sum_assignment(strength, maximize=True)
    partner, matched = np.full(len(strength), -1, np.int64), np.zeros(len(strength))
    partner[truths], matched[truths] = ours, strength[truths, ours]
    best = strength.max(1, initial=0.0).astype(np.float64)
    nearest = strength.argmax(0) if len(strength) else np.zeros(n_found, np.int64)
    return Matching(partner, matched, float(matched.sum()), nearest, strength.max(0, initial=0.0).astype(np.float64), best)


@dataclass(frozen=True, eq=False)
class Candidates:
    """Of each true thing the most similar found ones. columns, values: (m_truth, c), largest first. dropped: (m_truth,) the next largest.

    nearest, reach: (m_found,) as in `Matching`.
    """

    columns: Integers
    values: Floats
    dropped: Floats
    nearest: Integers
    reach: Floats

    @classmethod
    def of(cls, similarities: Similarities, n_found: int, n_truth: int, keep: int) -> Candidates:
        """One look at all pairs, a block of true things at a time."""
        from sparsegap.kernels.candidates import largest_of_columns

        nearest, reach = np.zeros(n_found, np.int64), np.zeros(n_found)
        columns, values, dropped = np.empty((n_truth, keep), np.int64), np.empty((n_truth, keep)), np.zeros(n_truth)
        for rows in _blocks(np.arange(n_truth), n_found):
            block = similarities(rows)
            largest_of_columns(block, int(rows[0]), nearest, reach)
            columns[rows], values[rows], dropped[rows] = _largest(block, keep)
        return cls(columns, values, dropped, nearest, reach)

    def assign(self) -> tuple[Integers, Floats, float]:
        """Matching over the kept pairs, each true thing with one more place worth its best dropped pair; that total is the bound."""
        from scipy.sparse import csr_array
        from scipy.sparse.csgraph import min_weight_full_bipartite_matching

        (n, keep), n_found = self.columns.shape, len(self.nearest)
        places = np.concatenate([self.columns, n_found + np.arange(n)[:, None]], 1)
        worth = np.concatenate([self.values, self.dropped[:, None]], 1)
        cost = csr_array(((2.0 - worth).ravel(), places.ravel(), np.arange(0, n * (keep + 1) + 1, keep + 1)), shape=(n, n_found + n))
        rows, ours = min_weight_full_bipartite_matching(cost)
        partner = np.full(n, -1, np.int64)
        partner[rows] = np.where(ours < n_found, ours, -1)
        at = self.columns == partner[:, None]
        strength = np.where(at.any(1), np.take_along_axis(self.values, at.argmax(1)[:, None], 1)[:, 0], 0.0)
        return partner, strength, float(strength.sum() + self.dropped[partner < 0].sum())

    def take_greedily(self, similarities: Similarities) -> tuple[Integers, Floats, float]:
        """The most similar pair that is left, again and again; pairs of similarity 0 stay apart."""
        partner, strength = _Greed(similarities, self).run()
        return partner, strength, self._bound(partner, strength)

    def _bound(self, partner: Integers, strength: Floats) -> float:
        """The least of four dual solutions: prices of rows and columns that together are at least every pair's similarity."""
        rows = self.values.max(1, initial=0.0)
        halves, own = self.reach / 2, np.zeros(len(self.reach))
        own[partner[partner >= 0]] = strength[partner >= 0]
        return float(min(rows.sum(), self.reach.sum(), 2 * strength.sum(), *(self._completed(prices) for prices in (halves, own))))

    def _completed(self, prices: Floats) -> float:
        """Prices of the columns (m_found,) and the least of the rows that go with them, summed; a dropped pair's column may be free."""
        rows = np.maximum((self.values - prices[self.columns]).max(1, initial=0.0), self.dropped)
        return float(prices.sum() + rows.sum())


class _Greed:
    """Greedy matching of true things that know their best candidates only: who runs out of them is shown the free ones again."""

    def __init__(self, similarities: Similarities, table: Candidates) -> None:
        self.similarities = similarities
        self.columns, self.values, self.dropped = table.columns.copy(), table.values.copy(), table.dropped.copy()
        self.free = np.ones(len(table.nearest), dtype=bool)
        self.waiting = np.ones(len(table.columns), dtype=bool)
        self.at = np.zeros(len(table.columns), np.int64)  # the candidate that a true thing hopes for

    def run(self) -> tuple[Integers, Floats]:
        """Partner and strength of each true thing."""
        partner, strength = np.full(len(self.at), -1, np.int64), np.zeros(len(self.at))
        hopes = [(-self._hope(row), row) for row in range(len(self.at))]
        heapify(hopes)
        while hopes:
            promised, row = heappop(hopes)
            if promised >= 0:
                break  # nothing similar is left
            self._advance(row)
            hope = self._hope(row)
            if hope < -promised:
                heappush(hopes, (-hope, row))
            elif self.at[row] == self.columns.shape[1]:
                self._look_again()
                heappush(hopes, (-self._hope(row), row))
            else:
                partner[row], strength[row] = self.columns[row, self.at[row]], hope
                self.free[partner[row]] = self.waiting[row] = False
        return partner, strength

    def _advance(self, row: int) -> None:
        """To the first candidate that is free; past the last where none is."""
        while self.at[row] < self.columns.shape[1] and not self.free[self.columns[row, self.at[row]]]:
            self.at[row] += 1

    def _hope(self, row: int) -> float:
        """No free thing is more similar."""
        return float(self.values[row, self.at[row]] if self.at[row] < self.columns.shape[1] else self.dropped[row])

    def _look_again(self) -> None:
        """New candidates, of what is free, for all who have few left: one look at many costs less than one look each."""
        left = self.free[self.columns] & (np.arange(self.columns.shape[1]) >= self.at[:, None])
        few = self.waiting & (left.sum(1) <= self.columns.shape[1] // 8) & (self.dropped > 0)
        for rows in _blocks(few.nonzero()[0], len(self.free)):
            block = self.similarities(rows)
            block[:, ~self.free] = 0
            self.columns[rows], self.values[rows], self.dropped[rows] = _largest(block, self.columns.shape[1])
            self.at[rows] = 0


def _largest(block: Floats, keep: int) -> tuple[Integers, Floats, Floats]:
    """Columns and values (b, keep) of the largest of each row, and the next largest (b,), 0 where all are kept."""
    from sparsegap.kernels.candidates import largest_of_rows

    room = min(keep + 1, block.shape[1])
    columns, values = np.empty((len(block), room), np.int64), np.empty((len(block), room))
    largest_of_rows(block, columns, values)
    dropped = values[:, keep] if room > keep else np.zeros(len(block))
    return columns[:, :keep], values[:, :keep], dropped


def _blocks(rows: Integers, n_found: int) -> Iterator[Integers]:
    step = max(1, BLOCK // max(n_found, 1))
    return (rows[first : first + step] for first in range(0, len(rows), step))
