"""Claims of ratios, which are differences of logarithms; and rounding, which is no difference."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from scipy import stats
from tests.judging import LUCK, NOISE, SAE, SC, claim, judge, rows, widths

from sparsegap.statistics import settled

DEARER = rows({"sc": 1000 * np.exp(LUCK + NOISE), "sae": 100 * np.exp(LUCK)})


@pytest.mark.parametrize(
    ("more", "status", "says"),
    [
        ({"b": SAE}, "confirmed", "Sparse coding's score is 10 times SAE's"),
        ({"b": SAE, "margin": 9.9}, "confirmed", "more than 9.9 times is claimed"),
        ({"b": SAE, "margin": 10.1}, "refuted", "more than 10.1 times is claimed"),
        ({"a": SAE, "b": SC}, "refuted", "SAE's score is 0.1 times sparse coding's"),
        ({"value": 900.0}, "confirmed", "more than 900 is claimed"),
        ({"value": 900.0, "margin": 2.0}, "refuted", "more than 1,800 is claimed"),
        ({"kind": "equivalent", "value": 900.0, "margin": 1.3}, "confirmed", "a factor up to 1.3 from 900 counts as none"),
        ({"kind": "equivalent", "b": SAE, "margin": 9.9}, "refuted", "a factor up to 9.9 counts as none"),
        ({"kind": "about", "b": SAE, "value": 10.0}, "confirmed", "Sparse coding's score, divided by SAE's, is 10 (a new run"),
        ({"kind": "about", "b": SAE, "low": 9.0, "high": 11.0}, "confirmed", "the original's range is 9 to 11"),
        ({"kind": "about", "b": SAE, "value": 10.2}, "refuted", "the original has 10.2"),
    ],
)
def test_ratios_are_differences_of_logarithms(more: dict[str, Any], status: str, says: str) -> None:
    verdict = judge(claim(**{"ratio": True, **more}), DEARER)
    assert verdict.status == status and says in verdict.sentence


def test_the_interval_of_a_ratio() -> None:
    verdict, theirs = judge(claim(b=SAE, ratio=True), DEARER), stats.ttest_1samp(NOISE, 0).confidence_interval()
    assert verdict.ratio
    assert (verdict.estimate, verdict.low, verdict.high) == pytest.approx((10, 10 * np.exp(theirs.low), 10 * np.exp(theirs.high)))
    flat = judge(claim(b=SAE, ratio=True, margin=10), DEARER)
    assert flat.status == "not shown" and flat.detectable == pytest.approx(np.exp(1.6816 * NOISE.std(ddof=1)), rel=1e-4)
    assert "5 pairs find a factor of 1" in flat.sentence
    negative = judge(claim(b=SAE, ratio=True), rows({"sc": -1.0, "sae": 1.0}))
    assert negative.status == "not shown" and "Score reaches -1, of which there is no ratio" in negative.sentence


def test_growth_by_a_factor() -> None:
    found = [row | {"score": row["hidden"] ** (1.0 + 0.001 * row["seed"])} for row in widths(0.0)]
    verdict = judge(claim("trend", x="hidden", ratio=True, margin=1.9), found)
    assert verdict.status == "confirmed" and verdict.estimate == pytest.approx(2**1.0015)
    assert "grows by the factor 2 for each doubling of hidden units" in verdict.sentence and "more than 1.9 is claimed" in verdict.sentence
    down = judge(claim("trend", x="hidden", ratio=True, margin=1.9, direction="down"), found)
    assert down.status == "refuted" and "less than 0.526 is claimed" in down.sentence


def test_the_ratio_of_two_sides_grows_by_a_factor() -> None:
    found = [row | {"score": row["hidden"] ** ({"sc": 1.5, "sae": 0.5}[row["method"]] + 0.001 * row["seed"] * (row["method"] == "sc"))}
             for row in widths(0.0)]
    assert judge(claim("trend", x="hidden", ratio=True, b=SAE), found).estimate == pytest.approx(2**1.0015)


# Rounding.


def rounded(method: str, size: int = 0) -> list[float]:
    """0.3 in five seeds, as 0.3 and as 0.1 + 0.2, or that beside a large number."""
    return [10.0**size + (0.1 + 0.2 if method == "sc" else 0.3)] * 5


@pytest.mark.parametrize("size", [0, 6])
@pytest.mark.parametrize("ratio", [False, True])
@pytest.mark.parametrize("paired", [False, True])
def test_rounding_is_no_difference(size: int, ratio: bool, paired: bool) -> None:
    found = rows({method: rounded(method, size) for method in ("sc", "sae")})
    found[0]["score"] = np.nextafter(found[0]["score"], 0)  # rounding that differs from seed to seed
    for which in (claim(b=SAE, ratio=ratio, paired=paired), claim(a=SAE, b=SC, ratio=ratio, paired=paired)):
        verdict = judge(which, found)
        assert (verdict.status, verdict.estimate, verdict.effect) == ("not shown", 1.0 if ratio else 0.0, None)
        assert verdict.exact_p == 1.0


@pytest.mark.parametrize("more", [
    {"value": 0.3}, {"value": 0.2, "margin": 0.1}, {"b": SAE, "margin": 0.1}, {"b": {"method": "tenths"}, "margin": 0.2},
])
def test_rounding_clears_no_threshold(more: dict[str, Any]) -> None:
    found = rows({"sc": 0.1 + 0.2, "sae": 0.2, "tenths": 0.1})
    assert judge(claim(**more), found).status == "not shown"


def test_rounding_leaves_no_figure_and_no_margin() -> None:
    found = rows({"sc": 0.1 + 0.2, "sae": 0.2})
    assert judge(claim("about", value=0.3), found).status == "confirmed"
    assert judge(claim("about", low=0.0, high=0.3), found).status == "confirmed"
    assert judge(claim("equivalent", b=SAE, margin=0.1), found).status == "refuted"  # 0.1 - 0.2 - 0.1 is not quite 0
    assert judge(claim("equivalent", b={"method": "less"}, margin=0.1), found + rows({"less": 0.19999999999999998})).status == "refuted"


@pytest.mark.parametrize("seeds", [1, 4])
@pytest.mark.parametrize(("ratio", "low", "high"), [(False, 0.3, 0.1 + 0.2), (True, 1.0, np.nextafter(1.0, 2.0))])
def test_rounding_is_no_trend(seeds: int, ratio: bool, low: float, high: float) -> None:
    found = [row | {"score": high if row["hidden"] > 32 else low} for row in widths(0.0, seeds)]
    verdict = judge(claim("trend", x="hidden", ratio=ratio), found)
    assert (verdict.status, verdict.estimate, verdict.effect) == ("not shown", 1.0 if ratio else 0.0, None)


def test_rounding_beside_one_is_no_ratio() -> None:
    """There logarithms are as small as their rounding: it is that of the values, not of the logarithms."""
    found = rows({"sc": np.nextafter(1.0, 2.0), "sae": 1.0})
    assert judge(claim(b=SAE, ratio=True), found).status == "not shown"


def test_rounding_is_that_of_the_larger_side() -> None:
    found = rows({"sc": 0.0, "sae": 0.1 + 0.2})
    assert judge(claim("about", b=SAE, value=-0.3), found).status == "confirmed"


def test_values_are_settled_by_what_they_are_within() -> None:
    assert settled([1e-17, 0.5, -1e-13], 1e-12).tolist() == [0.0, 0.5, 0.0]
    assert settled([0.3, 0.1 + 0.2, 0.3], 1e-12).tolist() == [0.3] * 3
    assert settled([0.3, 0.4, 0.3], 1e-12).tolist() == [0.3, 0.4, 0.3]
