"""How one column goes with another: slopes and rank correlations."""

from __future__ import annotations

from dataclasses import dataclass
from math import sqrt

import numpy as np
from numpy.typing import ArrayLike
from scipy import stats

from sparsegap.errors import InputError
from sparsegap.statistics.estimates import LEVEL, Estimate, Interval, Values, differences, finite


@dataclass(frozen=True)
class Trend:
    """slope: least squares, for each doubling of x or each unit; tau: Kendall's τ-b with its p; rho: Spearman's ρ with interval."""

    slope: Estimate
    tau: float
    p: float
    rho: Interval


def trend(x: ArrayLike, y: ArrayLike, log: bool = True) -> Trend:
    """How y goes with x over independent points. log: the slope is that against log₂ x, so for each doubling.

    Raises InputError for fewer than 3 points, a constant x, and x ≤ 0 with log.
    """
    across, values = finite(x, at_least=3), finite(y, at_least=3)
    differences(across, values)
    if float(np.ptp(across)) == 0:
        raise InputError(f"x is {across[0]:g} everywhere: a trend needs two values of it")
    slope = _least_squares(_doublings(across) if log else across, values)
    if float(np.ptp(values)) == 0:
        return Trend(slope, 0.0, 1.0, Interval(0.0, None, None, len(values), "Spearman"))
    kendall = stats.kendalltau(across, values)
    return Trend(slope, float(kendall.statistic), float(kendall.pvalue), spearman(across, values))


def tau(x: ArrayLike, y: ArrayLike) -> float | None:
    """Kendall's τ-b, in [−1, 1], ties counted as neither; None where x or y is constant. Kendall (1938), doi:10.1093/biomet/30.1-2.81."""
    a, b = finite(x), finite(y)
    if len(a) < 2 or not np.ptp(a) or not np.ptp(b):
        return None
    return float(stats.kendalltau(a, b).statistic)


def slope(x: ArrayLike, y: ArrayLike, log: bool = True) -> float:
    """Least-squares slope of one curve, for each doubling of x or each unit: one figure a seed, to be averaged over seeds."""
    across, values = finite(x, at_least=2), finite(y, at_least=2)
    across = _doublings(across) if log else across
    centred = across - across.mean()
    if not centred.any():
        raise InputError("x is the same everywhere: a slope needs two values of it")
    return float(centred @ values / (centred @ centred))


def _doublings(x: Values) -> Values:
    if (x <= 0).any():
        raise InputError(f"x={float(x.min()):g} has no logarithm: use log=false, or positive values")
    return np.asarray(np.log2(x))


def _least_squares(x: Values, y: Values) -> Estimate:
    found = slope(x, y, log=False)
    rest = y - y.mean() - found * (x - x.mean())
    freedom = len(x) - 2
    return Estimate(found, sqrt(float(rest @ rest) / freedom / float(((x - x.mean()) ** 2).sum())), freedom, len(x))


def spearman(x: ArrayLike, y: ArrayLike, level: float = LEVEL) -> Interval:
    """Spearman's ρ with the interval tanh(atanh ρ ± z √((1 + ρ²/2)/(n − 3))): Bonett & Wright (2000), doi:10.1007/BF02294183."""
    a, b = finite(x, at_least=2), finite(y, at_least=2)
    rho = float(np.corrcoef(stats.rankdata(a), stats.rankdata(b))[0, 1])
    if len(a) < 5:
        return Interval(rho, None, None, len(a), "Spearman")
    half = float(stats.norm.ppf((1 + level) / 2)) * sqrt((1 + rho**2 / 2) / (len(a) - 3))
    centre = float(np.arctanh(np.clip(rho, -1 + 1e-12, 1 - 1e-12)))
    return Interval(rho, float(np.tanh(centre - half)), float(np.tanh(centre + half)), len(a), "Spearman")
