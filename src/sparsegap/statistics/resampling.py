"""Intervals of many items by resampling them: bootstrap, of pairs, and of items within runs."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import ArrayLike
from scipy import stats

from sparsegap.errors import InputError
from sparsegap.statistics.estimates import LEVEL, Interval, Values, differences, finite

Statistic = Callable[[Values], Values]  # reduces the last axis
RESAMPLES = 10_000
BCA_FROM = 8  # values; the acceleration of fewer is noise
BCA_UP_TO = 5000  # values; beyond, the correction is nothing and the jackknife long
AT_ONCE = 1 << 22  # resampled values in memory


def mean(values: Values) -> Values:
    """Over the last axis."""
    return np.asarray(values.mean(-1))


def bootstrap(values: ArrayLike, statistic: Statistic = mean, level: float = LEVEL, resamples: int = RESAMPLES, seed: int = 0) -> Interval:
    """Interval of a statistic of many independent items, by resampling them: BCa from 8 values on, percentile below, none for one.

    statistic reduces the last axis. The same seed gives the same interval. Efron (1987), doi:10.1080/01621459.1987.10478410.
    """
    x = finite(values)
    value = float(statistic(x))
    if len(x) < 2:
        return Interval(value, None, None, len(x), "percentile")
    generator = np.random.default_rng(seed)
    draws = in_chunks(lambda often: statistic(x[generator.integers(0, len(x), (often, len(x)))]), resamples, len(x))
    jackknife = np.array([float(statistic(np.delete(x, i))) for i in range(len(x))]) if BCA_FROM <= len(x) <= BCA_UP_TO else None
    return _interval(value, draws, jackknife, level, len(x))


def paired_bootstrap(
    a: ArrayLike, b: ArrayLike, statistic: Statistic = mean, level: float = LEVEL, resamples: int = RESAMPLES, seed: int = 0
) -> Interval:
    """Interval of a statistic of the differences of paired items, pairs resampled together. Raises InputError for unequal lengths."""
    return bootstrap(differences(a, b), statistic, level, resamples, seed)


def hierarchical_bootstrap(groups: Sequence[ArrayLike], level: float = LEVEL, resamples: int = RESAMPLES, seed: int = 0) -> Interval:
    """Interval of the mean over groups (seeds) of the mean over their items (features, samples): groups are drawn, then items in each.

    Items of one run share its luck: resampling them alone makes intervals too narrow. `n` is the number of groups; BCa from 8 on.
    Davison & Hinkley, Bootstrap Methods and their Application (1997), section 3.8.
    """
    data = [finite(group) for group in groups]
    if not data:
        raise InputError("no groups to resample: at least one is needed")
    means = np.array([each.mean() for each in data])
    if len(data) < 2:
        return Interval(float(means.mean()), None, None, len(data), "percentile")
    generator = np.random.default_rng(seed)

    def draw(often: int) -> Values:
        inner = np.stack([_resampled_means(each, often * len(data), generator) for each in data])  # one for each place it may be drawn to
        chosen = generator.integers(0, len(data), (often, len(data)))
        return mean(inner[chosen, np.arange(often * len(data)).reshape(often, len(data))])

    draws = in_chunks(draw, resamples, sum(len(each) for each in data) * len(data))
    left_out = (means.sum() - means) / (len(data) - 1) if len(data) >= BCA_FROM else None
    return _interval(float(means.mean()), draws, left_out, level, len(data))


def _resampled_means(values: Values, often: int, generator: np.random.Generator) -> Values:
    return mean(values[generator.integers(0, len(values), (often, len(values)))])


def in_chunks(draw: Callable[[int], Values], resamples: int, size: int) -> Values:
    """Draw so many resamples of `size` values each without ever holding more than AT_ONCE values."""
    chunk = max(1, AT_ONCE // max(size, 1))
    return np.concatenate([draw(min(chunk, resamples - done)) for done in range(0, resamples, chunk)])


def _interval(value: float, draws: Values, jackknife: Values | None, level: float, n: int) -> Interval:
    tails = np.array([(1 - level) / 2, (1 + level) / 2])
    corrected = None if jackknife is None else _bias_corrected(tails, value, draws, jackknife)
    low, high = np.quantile(draws, tails if corrected is None else corrected)
    return Interval(value, float(low), float(high), n, "percentile" if corrected is None else "BCa")


def _bias_corrected(tails: Values, value: float, draws: Values, jackknife: Values) -> Values | None:
    """Tail shares corrected for bias z₀ and acceleration a: Φ(z₀ + (z₀ + z)/(1 − a(z₀ + z))). None where they do not exist."""
    rounding = 1e-12 * max(abs(value), float(np.ptp(draws)))
    below = ((draws < value - rounding).mean() + (draws <= value + rounding).mean()) / 2  # of resamples equal to the figure, half
    spread = jackknife.mean() - jackknife
    scale = float((spread**2).sum())
    if not 0 < below < 1 or scale == 0:
        return None
    acceleration = float((spread**3).sum()) / (6 * scale**1.5)
    shifted = stats.norm.ppf(below) + stats.norm.ppf(tails)
    return np.asarray(stats.norm.cdf(stats.norm.ppf(below) + shifted / (1 - acceleration * shifted)))
