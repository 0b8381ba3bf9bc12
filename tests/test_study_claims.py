"""Claims of a study judged from rows: greater, equivalent and about by their rules, what is paired, and the correction for many claims."""

from __future__ import annotations

import random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from tests.judging import BETTER, LUCK, NOISE, SAE, SC, claim, judge, rows

from sparsegap.statistics import runs_needed, smallest_effect
from sparsegap.study.records import Records
from sparsegap.study.verdicts import verdicts

# Greater.


def test_a_difference_that_the_seeds_share_is_confirmed_by_pairs_and_not_without() -> None:
    paired = judge(claim(b=SAE), BETTER)
    assert (paired.status, paired.design, paired.n) == ("confirmed", "paired", 5)
    low, high = stats.ttest_rel(0.7 + LUCK + NOISE, 0.6 + LUCK).confidence_interval()
    assert (paired.estimate, paired.low, paired.high) == pytest.approx((0.1, low, high))
    apart = judge(claim(b=SAE, paired=False), BETTER)
    assert (apart.status, apart.design) == ("confirmed", "unpaired")
    theirs = stats.ttest_ind(0.7 + LUCK + NOISE, 0.6 + LUCK, equal_var=False)
    assert (apart.p, apart.low) == pytest.approx((theirs.pvalue, theirs.confidence_interval().low))
    assert paired.p < apart.p  # type: ignore[operator]


@pytest.mark.parametrize(
    ("a", "b", "margin", "status"),
    [
        (SC, SAE, 0.0, "confirmed"),
        (SC, SAE, 0.09, "confirmed"),
        (SC, SAE, 0.11, "refuted"),
        (SC, SAE, 0.1, "not shown"),
        (SAE, SC, 0.0, "refuted"),
    ],
)
def test_the_margin_is_what_the_interval_must_clear(a: dict[str, str], b: dict[str, str], margin: float, status: str) -> None:
    verdict = judge(claim(a=a, b=b, margin=margin), BETTER)
    assert verdict.status == status
    assert ("is claimed" in verdict.sentence) == (margin > 0)


def test_greater_than_a_value() -> None:
    assert judge(claim(value=0.6), BETTER).status == "confirmed"
    assert judge(claim(value=0.8), BETTER).status == "refuted"
    verdict = judge(claim(value=0.7), BETTER)
    assert (verdict.status, verdict.design) == ("not shown", "one side")
    assert verdict.estimate == pytest.approx(0.702, abs=1e-3)
    assert verdict.p == pytest.approx(stats.ttest_1samp(0.7 + LUCK + NOISE, 0.7).pvalue)


def test_few_runs_say_what_they_cannot() -> None:
    five = judge(claim(b=SAE), BETTER)
    assert (five.exact_p, five.exact_least) == (0.0625, 0.0625)
    assert "So few runs cannot give p < .05 in an exact test, whose least is 0.0625" in five.sentence
    eight = [
        row | {"seed": seed} for method in ("sc", "sae") for seed, row in enumerate(rows({method: 0.7 if method == "sc" else 0.6})[:1] * 8)
    ]
    for row in eight:
        row["score"] += 0.001 * ((7 * row["seed"] + len(row["method"])) % 5)
    verdict = judge(claim(b=SAE), eight)
    assert verdict.exact_p == 2 / 2**8
    assert "So few" not in verdict.sentence and "Exact p = 0.0078" in verdict.sentence


def test_what_is_not_shown_comes_with_what_would_have_been() -> None:
    verdict = judge(claim(b=SAE), rows({"sc": 0.6 + np.array([0.1, -0.09, 0.05, -0.02, 0.02]), "sae": 0.6}))
    assert verdict.status == "not shown"
    deviation = np.std([0.1, -0.09, 0.05, -0.02, 0.02], ddof=1)
    assert verdict.detectable == pytest.approx(1.6816 * deviation, rel=1e-3)
    assert (
        verdict.needed == 284
        and "5 pairs find a distance of 0.12 in 80 % of cases; 284 would be needed for the one seen" in verdict.sentence
    )


def test_what_runs_apart_would_have_shown() -> None:
    a, b = np.array([0.1, -0.09, 0.05, -0.02, 0.02]), np.array([0.03, 0.01, -0.08, 0.04, 0.05])
    verdict = judge(claim(b=SAE, paired=False), rows({"sc": a, "sae": b}))
    pooled = np.sqrt((a.var(ddof=1) + b.var(ddof=1)) / 2)
    assert verdict.detectable == pytest.approx(smallest_effect(5, paired=False) * pooled)  # type: ignore[operator]
    assert verdict.needed == runs_needed((a.mean() - b.mean()) / pooled, paired=False)


def test_one_run_and_equal_runs() -> None:
    one = judge(claim(b=SAE), [row for row in BETTER if row["seed"] == 0])
    assert (one.status, one.n, one.low, one.p, one.exact_p) == ("not shown", 1, None, None, None)
    assert "One run has no scatter" in one.sentence
    same = judge(claim(b=SAE), rows({"sc": 0.7, "sae": 0.6}))
    assert (same.status, same.p) == ("confirmed", None)
    assert "It is the same in all 5 pairs by seed." in same.sentence


@pytest.mark.parametrize("paired", [True, False])
def test_exact_test_and_effect_are_against_the_threshold(paired: bool) -> None:
    """A difference of .1 is no more than the .1 that is claimed, however sure it is."""
    none, some = (judge(claim(b=SAE, paired=paired, margin=margin), BETTER) for margin in (0.1, 0.0))
    assert none.exact_p > 0.5 > some.exact_p and abs(none.effect) < 0.5 < some.effect  # type: ignore[operator, arg-type]


@given(st.lists(st.tuples(st.floats(-1, 1), st.floats(-1, 1)), min_size=2, max_size=7), st.booleans())
@settings(max_examples=40, deadline=None)
def test_sides_exchanged_and_rows_shuffled(pairs: list[tuple[float, float]], paired: bool) -> None:
    found = rows({"sc": [round(a, 3) for a, _ in pairs], "sae": [round(b, 3) for _, b in pairs]})
    there, back = judge(claim(b=SAE, paired=paired), found), judge(claim(a=SAE, b=SC, paired=paired), found)
    assert there.estimate == pytest.approx(-back.estimate)  # type: ignore[operator]
    assert {there.status, back.status} in ({"confirmed", "refuted"}, {"not shown"})
    shuffled = list(found)
    random.Random(0).shuffle(shuffled)
    again = judge(claim(b=SAE, paired=paired), shuffled)
    assert (again.status, again.estimate) == (there.status, pytest.approx(there.estimate, abs=1e-12))


def test_nothing_is_confirmed_more_often_than_it_may() -> None:
    generator = np.random.default_rng(0)
    found = [judge(claim(b=SAE), rows({"sc": generator.normal(size=4), "sae": generator.normal(size=4)})).status for _ in range(200)]
    assert found.count("confirmed") / 200 == pytest.approx(0.025, abs=0.025)
    assert found.count("refuted") / 200 == pytest.approx(0.025, abs=0.025)


# Equivalent, about.


def test_equivalence_is_two_one_sided_tests() -> None:
    close = rows({"sc": 0.6 + LUCK + 4 * NOISE, "sae": 0.6 + LUCK})
    verdict = judge(claim("equivalent", b=SAE, margin=0.02), close)
    assert (verdict.status, verdict.exact_p) == ("confirmed", None)  # an exact test of no difference would speak against the claim
    assert verdict.p == pytest.approx(stats.ttest_1samp(4 * NOISE, 0.02, alternative="less").pvalue)
    assert verdict.high == pytest.approx(stats.ttest_1samp(4 * NOISE, 0).confidence_interval(0.9).high)
    edge = verdict.high or 0.0
    assert judge(claim("equivalent", b=SAE, margin=edge * 1.001), close).p < 0.05  # type: ignore[operator]
    assert judge(claim("equivalent", b=SAE, margin=edge * 0.999), close).status == "not shown"
    far = judge(claim("equivalent", b=SAE, margin=0.05), BETTER)
    assert far.status == "refuted" and "does not survive" not in far.sentence
    below = judge(claim("equivalent", a=SAE, b=SC, margin=0.05), BETTER)
    assert (far.p, below.p) == pytest.approx((stats.ttest_1samp(0.1 + NOISE, 0.05, alternative="greater").pvalue,) * 2)
    assert judge(claim("equivalent", value=0.7, margin=0.05), BETTER).status == "confirmed"
    assert judge(claim("equivalent", value=0.9, margin=0.05), BETTER).status == "refuted"


def test_about_is_where_a_new_run_falls() -> None:
    values = 0.57 + LUCK
    half = stats.t.ppf(0.975, 4) * values.std(ddof=1) * np.sqrt(1.2)
    found = rows({"sae": values})
    for value, status in ((values.mean() + 0.99 * half, "confirmed"), (values.mean() - 1.01 * half, "refuted")):
        verdict = judge(claim("about", a=SAE, value=value), found)
        assert (verdict.status, verdict.high, verdict.exact_p) == (status, pytest.approx(values.mean() + half), None)
        assert (verdict.p < 0.05) == (status == "refuted")  # type: ignore[operator]
    assert judge(claim("about", b=SAE, value=0.1), BETTER).status == "confirmed"
    assert judge(claim("about", b=SAE, value=0.2), BETTER).status == "refuted"
    unpaired = judge(claim("about", b=SAE, value=0.1, paired=False), BETTER)
    assert unpaired.status == "not shown" and "that of pairs" in unpaired.sentence


def test_two_runs_do_not_say_where_a_third_falls() -> None:
    for more in ({"value": 0.57}, {"low": 0.0, "high": 1.0}):
        verdict = judge(claim("about", a=SAE, **more), rows({"sae": [0.57, 0.58]}))
        assert verdict.status == "not shown" and "Two runs are too few" in verdict.sentence


@pytest.mark.parametrize(("low", "high", "status"), [(0.5, 0.65, "confirmed"), (0.55, 0.6, "not shown"), (0.7, 0.8, "refuted")])
def test_about_a_range(low: float, high: float, status: str) -> None:
    verdict = judge(claim("about", a=SAE, low=low, high=high), rows({"sae": 0.57 + LUCK}))
    assert verdict.status == status and f"range is {low:.3g} to {high:.3g}" in verdict.sentence


# Many claims.


def test_p_is_corrected_over_all_claims_but_those_about_a_figure() -> None:
    claims = [claim(b=SAE), claim("about", a=SAE, value=0.6), claim(value=0.7), claim(b=SAE, margin=0.2), claim(b={"method": "omp"})]
    found = verdicts(claims, Records(BETTER))
    assert [one.p_corrected is None for one in found] == [False, True, False, False, True]
    ps = sorted(one.p for one in found if one.p_corrected is not None)  # type: ignore[type-var]
    corrected = sorted(one.p_corrected for one in found if one.p_corrected is not None)
    assert corrected == pytest.approx([min(3 * ps[0], 1.5 * ps[1], ps[2]), min(1.5 * ps[1], ps[2]), ps[2]])
    assert "corrected for 3 claims" in found[0].sentence


def test_what_does_not_survive_correction_says_so() -> None:
    weak = rows({"sc": 0.6 + np.array([0.02, 0.05, 0.03, 0.08, 0.01]), "sae": 0.6})
    (alone,) = verdicts([claim(b=SAE)], Records(weak))
    others = [claim(b=SAE, margin=0.001 * number) for number in range(30, 49)]  # of the same rows, and none of them near the truth
    among = verdicts([claim(b=SAE), *others], Records(weak))[0]
    assert (alone.status, alone.alone, among.status, among.alone) == ("confirmed", "confirmed", "not shown", "confirmed")
    assert "does not survive" not in alone.sentence and "corrected for" not in alone.sentence
    assert "By itself the interval would confirm it; it does not survive the correction for 20 claims." in among.sentence
    assert "in 80 % of cases" not in among.sentence  # so many runs did find it
    assert among.p < 0.05 <= among.p_corrected  # type: ignore[operator]
    against = verdicts([claim(a=SAE, b=SC), *others], Records(weak))[0]
    assert (against.status, against.alone) == ("not shown", "refuted") and "the interval would refute it" in against.sentence
