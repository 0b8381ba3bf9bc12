"""Whether the rows of a study bear out its claims: confirmed, refuted or not shown, with interval, p, effect and power.

The rule of all kinds: confirmed where the interval lies wholly on the claimed side of the claim's threshold, refuted where it lies wholly
on the other side, each only if p, corrected for all claims of the study, is below .05; else not shown. Intervals are Student's over seeds,
since runs are few; what an exact test can say stands beside.
Formulas and their reasons: docs/statistics.md.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from math import exp, log, sqrt
from typing import Any, Literal

import numpy as np

from sparsegap import statistics
from sparsegap.statistics import ALPHA, Estimate, Test
from sparsegap.study.claims import Claim
from sparsegap.study.observations import Curve, Lacking, Observed, Table, Values, curves, logarithms, observe, places
from sparsegap.study.records import Records
from sparsegap.study.verdict_words import capital, sentence

Status = Literal["confirmed", "refuted", "not shown"]
ENOUGH_TO_PREDICT = 3  # runs; the range of a new run from two is 13 times their distance and holds anything


@dataclass(frozen=True)
class Verdict:
    """What the rows say of one claim at one place.

    where: the values of the columns `each`, with which the verdict goes. estimate, low, high: the difference a − b, or the metric of a
    where there is no b, or the slope of a trend (factors where the claim is one of ratios), with its 95 % interval (90 % for "equivalent",
    the range of a new run for "about").
    n: runs, pairs of them, of the smaller side, or slopes. design: "paired", "unpaired", "one side", "slopes" (one a seed) or "points".
    alone: the status by the interval alone. p: two-sided t test against the threshold ("equivalent": the larger of two one-sided ones, or
    of being beyond the margin where the interval is); p_corrected: Benjamini and Hochberg's over all claims of the study but "about", so
    that of those called confirmed or refuted a share of .05 at most is expected to be wrong. exact_p, exact_least: sign flips or permuted
    labels, and the least that so few runs can reach. effect in standard deviations, called effect_name. detectable: the distance from the
    threshold that so many runs find in 80 % of cases, in units of the metric; needed: runs to find the distance seen. None, where there is
    no such number. ratio: whether the figures are factors. sentence: all of it for people.
    """

    says: str
    kind: str
    metric: str
    where: dict[str, Any]
    status: Status
    sentence: str = ""
    estimate: float | None = None
    low: float | None = None
    high: float | None = None
    n: int = 0
    units: int = 1
    design: str = ""
    p: float | None = None
    p_corrected: float | None = None
    alone: Status = "not shown"
    exact_p: float | None = None
    exact_least: float | None = None
    effect: float | None = None
    effect_name: str = ""
    ratio: bool = False
    detectable: float | None = None
    needed: int | None = None


def verdicts(claims: Sequence[Claim], records: Records) -> list[Verdict]:
    """Every claim judged at each of its places, in order; p corrected over all of them. Never raises for rows that are missing."""
    table = Table.of(records)
    found = [(claim, verdict) for claim in claims for verdict in _of_claim(claim, table)]
    corrected = statistics.benjamini_hochberg([None if claim.kind == "about" else verdict.p for claim, verdict in found])
    family = sum(p is not None for p in corrected)
    full = [(claim, _among(_in_units(claim, verdict), p)) for (claim, verdict), p in zip(found, corrected, strict=True)]
    return [verdict if verdict.sentence else replace(verdict, sentence=sentence(claim, verdict, family)) for claim, verdict in full]


def _among(verdict: Verdict, p: float | None) -> Verdict:
    """The verdict among all others: what does not survive the correction is not shown."""
    status: Status = "not shown" if p is not None and p >= ALPHA else verdict.status
    return replace(verdict, p_corrected=p, alone=verdict.status, status=status)


def _in_units(claim: Claim, verdict: Verdict) -> Verdict:
    """Factors instead of differences of logarithms."""
    if not claim.ratio:
        return verdict
    names = ("estimate", "low", "high", "detectable")
    factors: dict[str, Any] = {"ratio": True} | {name: exp(value) for name in names if (value := getattr(verdict, name)) is not None}
    return replace(verdict, **factors)


def _of_claim(claim: Claim, table: Table) -> list[Verdict]:
    try:
        return [_at_place(claim, table, place) for place in places(claim, table)]
    except Lacking as lacking:
        return [_lacking(claim, {}, lacking)]


def _at_place(claim: Claim, table: Table, place: Mapping[str, Any]) -> Verdict:
    try:
        return JUDGES[claim.kind](claim, table, place)
    except Lacking as lacking:
        return _lacking(claim, place, lacking)


def _lacking(claim: Claim, place: Mapping[str, Any], lacking: Lacking) -> Verdict:
    return Verdict(claim.says, claim.kind, claim.metric, dict(place), "not shown", capital(f"{lacking}."))


# The kinds.


def _greater(claim: Claim, table: Table, place: Mapping[str, Any]) -> Verdict:
    """Confirmed where the interval of a − b, or of a, lies above the threshold."""
    seen = _observed(claim, table, place)
    threshold = _centre(claim) + _margin(claim)
    return _against(claim, place, _estimate(seen), threshold, +1, _described(seen, threshold), seen.rounding)


def _trend(claim: Claim, table: Table, place: Mapping[str, Any]) -> Verdict:
    """Confirmed where the interval of the slope lies beyond the margin in the claimed direction."""
    found, sign = curves(claim, table, place), +1 if claim.direction == "up" else -1
    if claim.log and any((curve.x <= 0).any() for curve in found):
        raise Lacking(f"{claim.x} reaches 0, which has no logarithm: give the claim log = false")
    within = max(curve.rounding / _spread(curve.x, claim.log) for curve in found)
    estimate, design, test = _slope(found, claim.log, within)
    estimate = replace(estimate, value=_onto(estimate.value, within, 0.0))
    x, y = np.concatenate([curve.x for curve in found]), np.concatenate([curve.y for curve in found])
    described = _Described(design, found[0].units, test, statistics.tau(x, y), "Kendall's τ", paired=True)
    return _against(claim, place, estimate, sign * _margin(claim), sign, described, within)


def _equivalent(claim: Claim, table: Table, place: Mapping[str, Any]) -> Verdict:
    """Confirmed where the 90 % interval lies within the margin: two one-sided tests at 5 %."""
    seen = _observed(claim, table, place)
    estimate, centre, margin = _estimate(seen), _centre(claim), _margin(claim)
    interval = estimate.interval(1 - 2 * ALPHA)
    status: Status = "not shown"
    if interval.low is not None and interval.high is not None:
        low, high = (_onto(edge, seen.rounding, centre - margin, centre + margin) for edge in (interval.low, interval.high))
        inside = centre - margin < low and high < centre + margin
        outside = high <= centre - margin or low >= centre + margin
        status = "confirmed" if inside else "refuted" if outside else "not shown"
    away = replace(estimate, value=estimate.value - centre)
    p = _beyond(away, margin) if status == "refuted" else away.equivalence(margin)
    described = replace(_described(seen, centre), test=None)
    return _verdict(claim, place, status, estimate, described, low=interval.low, high=interval.high, p=p)


def _beyond(away: Estimate, margin: float) -> float | None:
    """One-sided p of lying beyond the nearer edge of the margin, which is below .05 where the 90 % interval lies outside."""
    p = away.p(margin if away.value > 0 else -margin)
    return None if p is None else p / 2


def _about(claim: Claim, table: Table, place: Mapping[str, Any]) -> Verdict:
    """Confirmed where a new run of ours could give the original's figure, or the interval of our mean lies within the original's range."""
    seen = _observed(claim, table, place)
    if seen.b is not None and not seen.paired:
        raise Lacking("the scatter of a difference is that of pairs, and the two sides share too few seeds")
    values, estimate = _singles(seen), _estimate(seen)
    described = replace(_described(seen, _centre(claim)), test=None)
    if claim.value is None:
        interval, status = estimate.interval(), _within(claim, estimate, seen.rounding)
        return _verdict(claim, place, status, estimate, described, low=interval.low, high=interval.high, p=None)
    new = statistics.prediction(values)
    status = "not shown"
    if len(values) >= ENOUGH_TO_PREDICT and new.low is not None and new.high is not None:
        low, high = _onto(new.low, seen.rounding, _centre(claim)), _onto(new.high, seen.rounding, _centre(claim))
        status = "confirmed" if low <= _centre(claim) <= high else "refuted"
    scatter = replace(estimate, error=None if estimate.error is None else estimate.error * sqrt(len(values) + 1))
    return _verdict(claim, place, status, estimate, described, low=new.low, high=new.high, p=scatter.p(_centre(claim)))


JUDGES: dict[str, Callable[[Claim, Table, Mapping[str, Any]], Verdict]] = {
    "greater": _greater, "trend": _trend, "equivalent": _equivalent, "about": _about,
}  # fmt: skip


# What they share.


@dataclass(frozen=True)
class _Described:
    """What stands beside the interval: the design, an exact test, an effect size."""

    design: str
    units: int
    test: Test | None
    effect: float | None
    effect_name: str
    paired: bool


def _observed(claim: Claim, table: Table, place: Mapping[str, Any]) -> Observed:
    """Figures of both sides, their logarithms where the claim is one of ratios."""
    seen = observe(claim, table, place)
    if not claim.ratio:
        return seen
    return replace(seen, a=logarithms(seen.a, claim), b=None if seen.b is None else logarithms(seen.b, claim), logarithms=True)


def _scale(claim: Claim, figure: float) -> float:
    """A figure of the claim on the scale that is judged."""
    return log(figure) if claim.ratio else figure


def _centre(claim: Claim) -> float:
    return 0.0 if claim.value is None else _scale(claim, claim.value)


def _margin(claim: Claim) -> float:
    return _scale(claim, claim.margin or 1.0) if claim.ratio else claim.margin


def _singles(seen: Observed) -> Values:
    return statistics.settled(seen.a if seen.b is None else seen.a - seen.b, seen.rounding)


def _estimate(seen: Observed) -> Estimate:
    if seen.b is None or seen.paired:
        return statistics.mean_of(_singles(seen))
    found = statistics.difference_of(seen.a, seen.b)
    return replace(found, value=_onto(found.value, seen.rounding, 0.0))


def _onto(figure: float, within: float, *thresholds: float) -> float:
    """A figure, or the threshold from which only rounding parts it."""
    return next((threshold for threshold in thresholds if abs(figure - threshold) <= within), figure)


def _described(seen: Observed, threshold: float) -> _Described:
    if seen.b is not None and not seen.paired:
        both = statistics.settled(np.concatenate([seen.a - threshold, seen.b]), seen.rounding)
        a, b = both[: len(seen.a)], both[len(seen.a) :]
        return _Described("unpaired", seen.units, statistics.permutation(a, b), statistics.cohen_d(a, b), "Hedges' g", paired=False)
    away = statistics.settled(_singles(seen) - threshold, seen.rounding)
    design = "paired" if seen.b is not None else "one side"
    return _Described(design, seen.units, statistics.sign_flip(away), statistics.cohen_dz(away), "d_z", paired=True)


def _spread(x: Values, log: bool) -> float:
    return float((np.log2(x) if log else x).std())


def _slope(found: Sequence[Curve], log: bool, within: float) -> tuple[Estimate, str, Test | None]:
    """One slope a seed from three seeds on; below, one line through all points, which takes them as independent."""
    slopes = statistics.settled([statistics.slope(curve.x, curve.y, log) for curve in found], within)
    points = sum(len(curve.x) for curve in found)
    if len(found) >= ENOUGH_TO_PREDICT or points < 3:
        return statistics.mean_of(slopes), "slopes", statistics.sign_flip(slopes)
    x, y = np.concatenate([curve.x for curve in found]), np.concatenate([curve.y for curve in found])
    return statistics.trend(x, y, log).slope, "points", None


def _within(claim: Claim, estimate: Estimate, rounding: float) -> Status:
    low, high, interval = _scale(claim, claim.low or 0.0), _scale(claim, claim.high or 0.0), estimate.interval()
    if estimate.n < ENOUGH_TO_PREDICT or interval.low is None or interval.high is None:
        return "not shown"
    least, most = (_onto(edge, rounding, low, high) for edge in (interval.low, interval.high))
    if low <= least and most <= high:
        return "confirmed"
    return "refuted" if most < low or least > high else "not shown"


def _against(
    claim: Claim, place: Mapping[str, Any], estimate: Estimate, threshold: float, sign: int, described: _Described, within: float
) -> Verdict:
    interval = estimate.interval()
    status: Status = "not shown"
    if interval.low is not None and interval.high is not None:
        low, high = _onto(interval.low, within, threshold), _onto(interval.high, within, threshold)
        near, far = (low, high) if sign > 0 else (-high, -low)
        status = "confirmed" if near > sign * threshold else "refuted" if far < sign * threshold else "not shown"
    verdict = _verdict(claim, place, status, estimate, described, low=interval.low, high=interval.high, p=estimate.p(threshold))
    return verdict if described.design == "points" else replace(verdict, **_power(estimate, threshold, described.paired))


def _power(estimate: Estimate, threshold: float, paired: bool) -> dict[str, Any]:
    """What so many runs find in 80 % of cases, in units of the metric, and the runs that the distance seen would need."""
    smallest = statistics.smallest_effect(estimate.n, paired=paired)
    if not estimate.error or smallest is None:
        return {}
    deviation = estimate.error * sqrt(estimate.n if paired else estimate.n / 2)
    seen = abs(estimate.value - threshold) / deviation
    return {"detectable": smallest * deviation, "needed": statistics.runs_needed(seen, paired=paired)}


def _verdict(
    claim: Claim, place: Mapping[str, Any], status: Status, estimate: Estimate, described: _Described,
    low: float | None, high: float | None, p: float | None,
) -> Verdict:  # fmt: skip
    test = described.test if estimate.n > 1 else None
    return Verdict(
        claim.says, claim.kind, claim.metric, dict(place), status,
        estimate=estimate.value, low=low, high=high, n=estimate.n, units=described.units, design=described.design, p=p,
        exact_p=test.p if test else None, exact_least=test.smallest if test else None,
        effect=described.effect, effect_name=described.effect_name if described.effect is not None else "",
    )  # fmt: skip
