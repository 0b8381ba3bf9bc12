"""Means and differences of few runs: Student's intervals, one- and two-sided tests, equivalence, where a new run falls."""

from __future__ import annotations

from dataclasses import dataclass
from math import sqrt
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import stats

from sparsegap.errors import InputError

Values = NDArray[np.float64]
LEVEL = 0.95
ROUNDING = 1e-12  # of the values compared: a smaller difference is none


@dataclass(frozen=True)
class Interval:
    """A figure with its confidence interval; low and high are None where there is too little to say."""

    value: float
    low: float | None
    high: float | None
    n: int
    method: str


@dataclass(frozen=True)
class Estimate:
    """A mean or a difference of means: its standard error and degrees of freedom; error is None for a single value."""

    value: float
    error: float | None
    freedom: float
    n: int

    def interval(self, level: float = LEVEL) -> Interval:
        """value ± t·error, t the quantile of Student's distribution."""
        if self.error is None:
            return Interval(self.value, None, None, self.n, "t")
        half = self.error * float(stats.t.ppf((1 + level) / 2, self.freedom))
        return Interval(self.value, self.value - half, self.value + half, self.n, "t")

    def p(self, against: float = 0.0, side: Literal["two", "greater", "less"] = "two") -> float | None:
        """p of the t test that the truth is `against`, at most it (side "greater") or at least it ("less"); None without scatter."""
        if not self.error:
            return None
        t = (self.value - against) / self.error
        if side == "two":
            return float(2 * stats.t.sf(abs(t), self.freedom))
        return float(stats.t.sf(t if side == "greater" else -t, self.freedom))

    def equivalence(self, margin: float) -> float | None:
        """p of two one-sided tests that the truth lies outside ±margin: below α where the 1 − 2α interval lies within the margin.

        Schuirmann (1987), doi:10.1007/BF01068419.
        """
        sides = (self.p(-margin, "greater"), self.p(margin, "less"))
        return None if sides[0] is None or sides[1] is None else max(sides[0], sides[1])


def finite(values: ArrayLike, at_least: int = 1) -> Values:
    """One-dimensional float64. Raises InputError for NaN and infinities, and for fewer values than `at_least`."""
    found = np.asarray(values, dtype=np.float64).reshape(-1)
    if len(found) < at_least:
        raise InputError(f"{len(found)} values are too few: at least {at_least} are needed")
    if not np.isfinite(found).all():
        raise InputError(f"{int((~np.isfinite(found)).sum())} of {len(found)} values are not finite")
    return found


def differences(a: ArrayLike, b: ArrayLike) -> Values:
    """a − b, pair by pair. Raises InputError for unequal lengths."""
    x, y = finite(a), finite(b)
    if len(x) != len(y):
        raise InputError(f"{len(x)} values cannot be paired with {len(y)}")
    return x - y


def settled(values: ArrayLike, within: float) -> Values:
    """Values without the rounding of what they are differences of: 0 where they are `within` 0, all the same where `within` each other."""
    x = finite(values)
    x = np.where(np.abs(x) <= within, 0.0, x)
    return np.full_like(x, np.median(x)) if float(np.ptp(x)) <= within else x


def mean_of(values: ArrayLike) -> Estimate:
    """Mean of independent runs, or of differences of pairs: error s/√n, n − 1 degrees of freedom."""
    x = finite(values)
    error = sqrt(variance(x) / len(x)) if len(x) > 1 else None
    return Estimate(float(x.mean()), error, len(x) - 1, len(x))


def difference_of(a: ArrayLike, b: ArrayLike) -> Estimate:
    """Mean of a minus mean of b, unpaired, variances unequal; `n` is that of the smaller side. Welch (1947),
    doi:10.1093/biomet/34.1-2.28."""
    x, y = finite(a), finite(b)
    value, n = float(x.mean() - y.mean()), min(len(x), len(y))
    if n < 2:
        return Estimate(value, None, 0, n)
    parts = variance(x) / len(x), variance(y) / len(y)
    total = sum(parts)
    below = parts[0] ** 2 / (len(x) - 1) + parts[1] ** 2 / (len(y) - 1)
    return Estimate(value, sqrt(total), total**2 / below if below > 0 else len(x) + len(y) - 2, n)


def variance(x: Values) -> float:
    """Unbiased; rounding of equal values is no scatter."""
    spread = float(x.std(ddof=1))
    return spread**2 if spread > ROUNDING * float(np.abs(x).max()) else 0.0


def prediction(values: ArrayLike, level: float = LEVEL) -> Interval:
    """Where one new run falls: mean ± t·s·√(1 + 1/n), normal scatter assumed."""
    x = finite(values)
    mean = mean_of(x)
    if mean.error is None:
        return Interval(mean.value, None, None, mean.n, "prediction")
    half = mean.error * sqrt(mean.n + 1) * float(stats.t.ppf((1 + level) / 2, mean.freedom))
    return Interval(mean.value, mean.value - half, mean.value + half, mean.n, "prediction")
