"""What so many runs can show: the chance to find an effect, the smallest one found, the runs an effect needs."""

from __future__ import annotations

from functools import cache
from math import sqrt

import numpy as np
from numpy.typing import NDArray
from scipy import optimize, stats
from scipy.special import ndtr

ALPHA = 0.05
POWER = 0.8
# The scatter that n runs show is itself random: power is the mean over its quantiles (scipy's noncentral t is NaN for large effects).
_NODES, _MASSES = np.polynomial.legendre.leggauss(400)
SPREAD, WEIGHT = (_NODES + 1) / 2, _MASSES / 2


def power(effect: float, n: int, alpha: float = ALPHA, paired: bool = True) -> float:
    """Chance that a two-sided t test finds an effect of `effect` standard deviations with n pairs, or n runs on each side if not paired."""
    if n < 2:
        return 0.0
    freedom, shift = (n - 1, effect * sqrt(n)) if paired else (2 * n - 2, effect * sqrt(n / 2))
    limit = _limits(freedom, alpha)
    return float(WEIGHT @ (ndtr(shift - limit) + ndtr(-shift - limit)))


@cache
def _limits(freedom: int, alpha: float) -> NDArray[np.float64]:
    """Means, in units of their true error, that are significant at each quantile of the scatter."""
    return np.asarray(stats.t.ppf(1 - alpha / 2, freedom) * np.sqrt(stats.chi2.ppf(SPREAD, freedom) / freedom))


@cache
def smallest_effect(n: int, power_wanted: float = POWER, alpha: float = ALPHA, paired: bool = True) -> float | None:
    """The effect, in standard deviations (of the differences, if paired), that n runs find with the power wanted; None below 2 runs."""
    if n < 2:
        return None
    return float(optimize.brentq(lambda effect: power(effect, n, alpha, paired) - power_wanted, 1e-6, 100.0, xtol=1e-6))


def runs_needed(effect: float, power_wanted: float = POWER, alpha: float = ALPHA, paired: bool = True, most: int = 100_000) -> int | None:
    """Least number of pairs, or of runs a side, that finds an effect of so many standard deviations; None beyond `most`, or for none."""
    normal = float(stats.norm.ppf(1 - alpha / 2) + stats.norm.ppf(power_wanted)) ** 2 * (1 if paired else 2)
    if normal >= most * effect**2:
        return None
    n = max(2, int(normal / effect**2))  # what were enough if the scatter were known; from there it is a few steps
    while power(abs(effect), n, alpha, paired) < power_wanted:
        n += 1
    while n > 2 and power(abs(effect), n - 1, alpha, paired) >= power_wanted:
        n -= 1
    return n
