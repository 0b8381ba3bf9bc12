"""One-to-one matching of what was found with what is true, whatever the similarity: exact where m is small, bounded where it is not.

Similarities come a block of true things at a time, so that nothing (m, m) is held beyond the exact form.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[Any]
Integers = NDArray[np.int64]
Similarities = Callable[[slice], Floats]  # (b, m_found), at least 0, of a block of true things

EXACT = 4096
CANDIDATES = 32
BLOCK = 1024


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


def match(similarities: Similarities, n_found: int, n_truth: int, *, exact: int = EXACT, candidates: int = CANDIDATES) -> Matching:
    """The one-to-one matching of largest total similarity.

    Up to `exact` things on the larger side: Kuhn (1955), doi:10.1002/nav.3800020109, by the algorithm of Crouse (2016),
    doi:10.1109/TAES.2016.140952, m³. Above, each true thing keeps its `candidates` most similar ones and a place of its own that counts as
    its best dropped one (Jonker & Volgenant, 1987, doi:10.1007/BF02278710, on what is left): the answer comes with a proven bound.
    """
    if max(n_found, n_truth) <= exact:
        return _exact(similarities(slice(0, n_truth)), n_found)
    return _pruned(similarities, n_found, n_truth, min(candidates, n_found))


def _exact(strength: Floats, n_found: int) -> Matching:
    from scipy.optimize import linear_sum_assignment

    truths, ours = linear_sum_assignment(strength, maximize=True)
    partner, matched = np.full(len(strength), -1, np.int64), np.zeros(len(strength))
    partner[truths], matched[truths] = ours, strength[truths, ours]
    best = strength.max(1, initial=0.0).astype(np.float64)
    nearest = strength.argmax(0) if len(strength) else np.zeros(n_found, np.int64)
    return Matching(partner, matched, float(matched.sum()), nearest, strength.max(0, initial=0.0).astype(np.float64), best)


def _pruned(similarities: Similarities, n_found: int, n_truth: int, keep: int) -> Matching:
    nearest, reach = np.zeros(n_found, np.int64), np.full(n_found, -1.0)
    columns, values, dropped = np.empty((n_truth, keep), np.int64), np.empty((n_truth, keep)), np.zeros(n_truth)
    for first in range(0, n_truth, BLOCK):
        rows = slice(first, min(first + BLOCK, n_truth))
        block = similarities(rows)
        top = block.max(0)
        closer = top > reach
        nearest[closer], reach[closer] = first + block.argmax(0)[closer], top[closer]
        order = np.argpartition(-block, min(keep, n_found - 1), axis=1)
        columns[rows] = order[:, :keep]
        values[rows] = np.take_along_axis(block, columns[rows], 1)
        if keep < n_found:
            dropped[rows] = np.take_along_axis(block, order[:, keep : keep + 1], 1)[:, 0]
    partner, strength, bound = _assign(columns, values, dropped, n_found)
    return Matching(partner, strength, bound, nearest, np.maximum(reach, 0.0), values.max(1))


def _assign(columns: Integers, values: Floats, dropped: Floats, n_found: int) -> tuple[Integers, Floats, float]:
    """Matching over the kept pairs, each true thing with one more place worth its best dropped pair; that total is the bound."""
    from scipy.sparse import csr_array
    from scipy.sparse.csgraph import min_weight_full_bipartite_matching

    n, keep = columns.shape
    places = np.concatenate([columns, n_found + np.arange(n)[:, None]], 1)
    worth = np.concatenate([values, dropped[:, None]], 1)
    cost = csr_array(((2.0 - worth).ravel(), places.ravel(), np.arange(0, n * (keep + 1) + 1, keep + 1)), shape=(n, n_found + n))
    rows, ours = min_weight_full_bipartite_matching(cost)
    partner = np.full(n, -1, np.int64)
    partner[rows] = np.where(ours < n_found, ours, -1)
    at = columns == partner[:, None]
    strength = np.where(at.any(1), np.take_along_axis(values, at.argmax(1)[:, None], 1)[:, 0], 0.0)
    return partner, strength, float(strength.sum() + dropped[partner < 0].sum())
