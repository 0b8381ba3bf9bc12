"""Tests that need no normal distribution: exact by counting arrangements where they are few, and what p they can reach at all."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations
from math import comb

import numpy as np
from numpy.typing import ArrayLike
from scipy import stats

from sparsegap.errors import InputError
from sparsegap.statistics.estimates import Values, finite
from sparsegap.statistics.resampling import RESAMPLES, in_chunks

EXACT_UP_TO = 1 << 16  # arrangements that are counted rather than drawn


@dataclass(frozen=True)
class Test:
    """A test's two-sided p, and `smallest`, the least p that so many values can reach: above .05, no data can be significant."""

    __test__ = False  # not one of pytest's
    name: str
    statistic: float
    p: float
    smallest: float = 0.0


def sign_flip(differences: ArrayLike, resamples: int = RESAMPLES, seed: int = 0) -> Test:
    """Permutation test of paired differences: their signs are exchangeable if the sides are. Exact up to 16 pairs, drawn beyond.

    With n pairs p cannot fall below 2/2ⁿ: .25 for 3, .125 for 4, .0625 for 5, .031 for 6. Fisher, The Design of Experiments (1935), 21.
    """
    d = finite(differences)
    exact = len(d) <= 16
    if exact:
        found = (1.0 - 2.0 * ((np.arange(2 ** len(d))[:, None] >> np.arange(len(d))) & 1)) @ d
    else:
        generator = np.random.default_rng(seed)
        found = in_chunks(lambda often: generator.choice([-1.0, 1.0], (often, len(d))) @ d, resamples, len(d))
    p = _share_as_extreme(np.abs(found), abs(float(d.sum())), exact)
    return Test("sign flips", float(d.mean()), p, smallest_p(len(d)) if exact else 1 / (resamples + 1))


def _share_as_extreme(found: Values, observed: float, exact: bool) -> float:
    """Share of arrangements at least as extreme, ties within rounding included; a drawn sample counts the observed one once more."""
    tolerance = 1e-12 * max(float(found.max(initial=0.0)), 1e-300)
    extreme = float((found >= observed - tolerance).sum())
    return extreme / len(found) if exact else (extreme + 1) / (len(found) + 1)


def wilcoxon(differences: ArrayLike) -> Test:
    """Signed-rank test of paired differences; zeros are left out. Exact up to 50 without ties. Wilcoxon (1945), doi:10.2307/3001968."""
    d = finite(differences)
    d = d[d != 0]
    if not len(d):
        return Test("Wilcoxon", 0.0, 1.0, 1.0)
    untied = len(np.unique(np.abs(d))) == len(d) and len(d) <= 50
    result = stats.wilcoxon(d, method="exact" if untied else "asymptotic")
    return Test("Wilcoxon", float(result.statistic), float(result.pvalue), smallest_p(len(d)) if untied else 0.0)


def permutation(a: ArrayLike, b: ArrayLike, resamples: int = RESAMPLES, seed: int = 0) -> Test:
    """Permutation test of the difference of two means: the labels are exchangeable. Exact up to 65,536 arrangements, drawn beyond."""
    x, y = finite(a), finite(b)
    pool = np.concatenate([x, y])
    pool = pool - pool.mean()
    least = smallest_p(len(x), len(y)) / (1 if len(x) == len(y) else 2)  # of unequal sides the mirror image is no arrangement
    exact = least >= 2 / EXACT_UP_TO
    if exact:
        first = pool[np.array(list(combinations(range(len(pool)), len(x))))].sum(1)
    else:
        generator = np.random.default_rng(seed)
        first = in_chunks(lambda often: _shuffled_sums(pool, len(x), often, generator), resamples, len(pool))
    p = _share_as_extreme(np.abs(first), abs(float(pool[: len(x)].sum())), exact)
    return Test("permutation", float(x.mean() - y.mean()), p, least if exact else 1 / (resamples + 1))


def _shuffled_sums(pool: Values, first: int, often: int, generator: np.random.Generator) -> Values:
    orders = generator.permuted(np.broadcast_to(pool, (often, len(pool))), axis=1)
    return np.asarray(orders[:, :first].sum(1))


def mann_whitney(a: ArrayLike, b: ArrayLike) -> Test:
    """Rank-sum test: exact below 9 values on one side without ties, else normal with ties corrected. Mann & Whitney (1947),
    doi:10.1214/aoms/1177730491."""
    x, y = finite(a), finite(b)
    pool = np.concatenate([x, y])
    if len(np.unique(pool)) == 1:
        return Test("Mann-Whitney", len(x) * len(y) / 2, 1.0, 1.0)
    exact = len(np.unique(pool)) == len(pool) and min(len(x), len(y)) <= 8
    result = stats.mannwhitneyu(x, y, alternative="two-sided", method="exact" if exact else "asymptotic")
    return Test("Mann-Whitney", float(result.statistic), float(result.pvalue), smallest_p(len(x), len(y)) if exact else 0.0)


def kruskal(*groups: ArrayLike) -> Test:
    """Whether any of several independent groups differs, by ranks with ties corrected. Kruskal & Wallis (1952), doi:10.2307/2280779."""
    data = [finite(group) for group in groups]
    if len(data) < 2:
        raise InputError(f"{len(data)} groups cannot be compared: at least 2 are needed")
    if len(np.unique(np.concatenate(data))) == 1:
        return Test("Kruskal-Wallis", 0.0, 1.0)
    result = stats.kruskal(*data)
    return Test("Kruskal-Wallis", float(result.statistic), float(result.pvalue))


def smallest_p(n: int, other: int | None = None) -> float:
    """The least two-sided p of an exact test: 2/2ⁿ of n pairs, 2/C(n + other, n) of two independent sides."""
    if other is None:
        return min(1.0, 2.0 ** (1 - n))
    return min(1.0, 2 / comb(n + other, n)) if min(n, other) * (n + other) < 1000 else 0.0  # beyond: less than 1e-20, and long to work out
