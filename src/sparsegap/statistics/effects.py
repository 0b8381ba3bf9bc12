"""How large a difference is, free of its unit."""

from __future__ import annotations

from math import exp, lgamma, sqrt

import numpy as np
from numpy.typing import ArrayLike
from scipy import stats

from sparsegap.statistics.estimates import finite, variance


def hedges(freedom: float) -> float:
    """Corrects a standardised difference for few values, Γ(ν/2) / (√(ν/2) Γ((ν−1)/2)). Hedges (1981), doi:10.3102/10769986006002107."""
    return exp(lgamma(freedom / 2) - lgamma((freedom - 1) / 2)) / sqrt(freedom / 2) if freedom > 1 else 0.0


def cohen_dz(differences: ArrayLike, corrected: bool = True) -> float | None:
    """Mean difference of pairs in units of the differences' own standard deviation; None without scatter, with one pair, and
    corrected with two, of which nothing unbiased can be said."""
    d = finite(differences)
    spread = sqrt(variance(d)) if len(d) > 1 + corrected else 0.0
    return float(d.mean()) / spread * (hedges(len(d) - 1) if corrected else 1.0) if spread > 0 else None


def cohen_d(a: ArrayLike, b: ArrayLike, corrected: bool = True) -> float | None:
    """Difference of means in units of the pooled standard deviation; Hedges' g where corrected. None without scatter."""
    x, y = finite(a), finite(b)
    freedom = len(x) + len(y) - 2
    squares = sum(variance(each) * (len(each) - 1) for each in (x, y) if len(each) > 1)
    if freedom < 1 or squares == 0:
        return None
    return float(x.mean() - y.mean()) / sqrt(squares / freedom) * (hedges(freedom) if corrected else 1.0)


def cliffs_delta(a: ArrayLike, b: ArrayLike) -> float:
    """P(a > b) − P(a < b) over all pairs, in [−1, 1]: the rank-biserial correlation of independent sides. Cliff (1993),
    doi:10.1037/0033-2909.114.3.494. Cost n log n."""
    x, y = finite(a), np.sort(finite(b))
    above = np.searchsorted(y, x, "left").sum()
    below = (len(y) - np.searchsorted(y, x, "right")).sum()
    return float((above - below) / (len(x) * len(y)))


def rank_biserial(differences: ArrayLike) -> float:
    """Share of the signed-rank sum that is positive minus that which is negative, in [−1, 1], zeros left out. Kerby (2014),
    doi:10.2466/11.IT.3.1."""
    d = finite(differences)
    d = d[d != 0]
    if not len(d):
        return 0.0
    ranks = stats.rankdata(np.abs(d))
    return float((ranks * np.sign(d)).sum() / ranks.sum())
