"""What so many runs can show: the chance to find an effect, the smallest one found, the runs an effect needs."""

from __future__ import annotations

from math import sqrt

import numpy as np
from scipy import optimize, stats

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
    limit = float(stats.t.ppf(1 - alpha / 2, freedom)) * np.sqrt(stats.chi2.ppf(SPREAD, freedom) / freedom)
    return float(WEIGHT @ (stats.norm.cdf(shift - limit) + stats.norm.cdf(-shift - limit)))


def smallest_effect(n: int, power_wanted: float = POWER, alpha: float = ALPHA, paired: bool = True) -> float | None:
    """The effect, in standard deviations (of the differences, if paired), that n runs find with the power wanted; None below 2 runs."""
    if n < 2:
        return None
    return float(optimize.brentq(lambda effect: power(effect, n, alpha, paired) - power_wanted, 1e-6, 100.0, xtol=1e-6))


def runs_needed(effect: float, power_wanted: float = POWER, alpha: float = ALPHA, paired: bool = True, most: int = 100_000) -> int | None:
    """Least number of pairs, or of runs a side, that finds an effect of so many standard deviations; None beyond `most`, or for none."""
    low, high = 1, 2
    while power(abs(effect), high, alpha, paired) < power_wanted:
        low, high = high, 2 * high
        if low >= most or effect == 0:
            return None
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if power(abs(effect), middle, alpha, paired) < power_wanted else (low, middle)
    return high
