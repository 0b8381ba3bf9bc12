"""Rows over seeds as one row: its centre, how far the seeds spread, and how many they are."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, Literal

import numpy as np

from sparsegap.statistics.estimates import Values, mean_of
from sparsegap.statistics.resampling import bootstrap

Row = dict[str, Any]
Centre = Literal["mean", "median"]
Band = Literal["interval", "range", "sd", "none"]

RESAMPLES = 2000
FEWEST = 3  # seeds for an interval; with fewer the band is their range

BAND_WORDS = {
    "interval": "95 % interval of the {centre} ({how})",
    "range": "least to greatest seed",
    "sd": "one standard deviation to either side",
}


def grouped(rows: Iterable[Row], key: Callable[[Row], Any]) -> dict[Any, list[Row]]:
    """Rows by key, groups and rows in order of appearance."""
    groups: dict[Any, list[Row]] = {}
    for row in rows:
        groups.setdefault(key(row), []).append(row)
    return groups


def spread(values: Sequence[float], centre: Centre = "mean", band: Band = "interval") -> tuple[float, float | None, float | None]:
    """Centre, lower and upper end of the band of one value a seed; no band for a single seed.

    "interval" is Student's of the mean, as in the verdicts on claims, and the bootstrap's of the median; of fewer than
    three seeds it is their range.
    """
    found = np.asarray(values, dtype=float)
    middle = float(np.median(found) if centre == "median" else found.mean())
    if band == "none" or len(found) < 2:
        return middle, None, None
    if band == "sd":
        width = float(found.std(ddof=1))
        return middle, middle - width, middle + width
    if band == "range" or len(found) < FEWEST:
        return middle, float(found.min()), float(found.max())
    interval = bootstrap(found, median, resamples=RESAMPLES) if centre == "median" else mean_of(found).interval()
    return middle, interval.low, interval.high


def median(values: Values) -> Values:
    """Over the last axis."""
    return np.asarray(np.median(values, axis=-1))


def band_words(band: Band, centre: Centre, counts: Iterable[int]) -> tuple[str, str]:
    """How many seeds, and what a band is, in words; both empty where nothing was repeated."""
    seeds = sorted(set(counts))
    if not seeds or seeds[-1] < 2:
        return "", ""
    how_many = f"{seeds[-1]} seeds" if seeds[0] == seeds[-1] else f"{seeds[0]} to {seeds[-1]} seeds"
    if band == "none":
        return how_many, ""
    known = "range" if band == "interval" and seeds[-1] < FEWEST else band
    return how_many, BAND_WORDS[known].format(centre=centre, how="bootstrap" if centre == "median" else "Student's t")


def numbers(rows: Iterable[Row], name: str) -> list[float]:
    """The numbers of a column; rows without one are left out."""
    return [float(row[name]) for row in rows if is_number(row.get(name))]


def per_seed(rows: Iterable[Row], name: str) -> list[float]:
    """One number a seed: the mean over its rows, so that settings lumped together do not count as runs of their own."""
    by_seed = grouped((row for row in rows if is_number(row.get(name))), lambda row: row.get("seed"))
    if list(by_seed) == [None]:
        return numbers(by_seed[None], name)
    return [sum(values) / len(values) for values in (numbers(each, name) for each in by_seed.values())]


def is_number(value: Any) -> bool:
    """Whether a value is a finite number."""
    return isinstance(value, int | float) and not isinstance(value, bool) and bool(np.isfinite(value))


def thinned(count: int, most: int, kept: Iterable[int] = ()) -> list[int]:
    """At most about `most` of `count` places, evenly, with the first, the last and those to keep."""
    if count <= most:
        return list(range(count))
    even = {round(place * (count - 1) / (most - 1)) for place in range(most)}
    return sorted(even | {place for place in kept if 0 <= place < count})
