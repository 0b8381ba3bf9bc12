"""Claims of a study judged from rows: each kind by its rule, which rows count, what is paired, and what the sentence admits."""

from __future__ import annotations

import random
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError
from scipy import stats

from sparsegap.statistics import runs_needed, smallest_effect
from sparsegap.study.claims import Claim
from sparsegap.study.records import Records
from sparsegap.study.verdict_words import sentence
from sparsegap.study.verdicts import Verdict, verdicts

SC, SAE = {"method": "sc"}, {"method": "sae"}
LUCK = np.array([0.03, -0.02, 0.01, -0.03, 0.02])  # of a seed, the same for all methods


def rows(values: dict[str, Any], **more: Any) -> list[dict[str, Any]]:
    """One row a method and seed; a value may be one a seed."""
    return [
        {"variant": "faithful", "method": method, "seed": seed, "score": float(value), **more}
        for method, each in values.items()
        for seed, value in enumerate(np.broadcast_to(each, 5) if np.ndim(each) == 0 else each)
    ]


def claim(kind: str = "greater", **more: Any) -> Claim:
    return Claim(**{"says": "it is so", "kind": kind, "metric": "score", "a": SC, **more})


def judge(which: Claim, found: list[dict[str, Any]], options: tuple[str, ...] = ()) -> Verdict:
    (verdict,) = verdicts([which], Records(found, trials=[{"options": {name: row.get(name) for name in options}} for row in found]))
    return verdict


NOISE = 0.001 * np.array([1.0, -2.0, 0.0, 2.0, -1.0])
BETTER = rows({"sc": 0.7 + LUCK + NOISE, "sae": 0.6 + LUCK})


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


# Which rows count.


def curve(method: str, seed: int, points: dict[int, float], **more: Any) -> list[dict[str, Any]]:
    return [
        {"variant": "v", "method": method, "seed": seed, "step": step, "score": score, "mse": score, **more}
        for step, score in points.items()
    ]


CURVES = [row for seed in range(3) for row in curve("sc", seed, {0: 0.1, 50: 0.9 + 0.01 * seed, 100: 0.5})]


@pytest.mark.parametrize(
    ("at", "metric", "mean"),
    [
        ("last", "score", 0.5),
        ("max", "score", 0.91),
        ("min", "score", 0.1),
        ("best", "score", 0.5),
        ({"step": 50}, "score", 0.91),
    ],
)
def test_which_row_of_a_curve(at: Any, metric: str, mean: float) -> None:
    assert judge(claim(at=at, metric=metric, value=0.0), CURVES).estimate == pytest.approx(mean)


def test_the_best_step_is_the_one_that_validation_chose() -> None:
    """And not the one whose score is the highest: that one is chosen by the very samples it is judged on."""
    chosen = [row | {"best": row["step"] == 0} for row in CURVES]
    assert judge(claim(at="best", value=0.0), chosen).estimate == pytest.approx(0.1)
    assert judge(claim(at={"best": True}, value=0.0), chosen).estimate == pytest.approx(0.1)
    assert judge(claim(at="last", value=0.0), chosen).estimate == pytest.approx(0.5)


def test_curves_end_where_they_end() -> None:
    """Two trials of one seed, logged to different lengths: each has its own last step."""
    short = [row for seed in range(3) for row in curve("sc", seed, {0: 0.1, 20: 0.7}, size="small")]
    verdict = judge(claim(value=0.0), [row | {"size": "large"} for row in CURVES] + short)
    assert (verdict.estimate, verdict.units) == (pytest.approx(0.6), 2)
    assert "each the mean over 2 settings" in verdict.sentence


def test_settings_are_compared_value_by_value_and_then_averaged() -> None:
    """N goes with both sides; the step size is one method's own. Seed 2 of the large N was not run and does not count."""
    found = [
        {
            "variant": "v",
            "method": method,
            "atoms": atoms,
            "rate": rate,
            "seed": seed,
            "score": base + 0.3 * (atoms == 64) + 0.001 * seed * bonus,
        }
        for method, base, rate, bonus in (("sc", 0.7, 0.1, 1), ("sae", 0.6, 0.2, 2))
        for atoms in (16, 64)
        for seed in range(4)
        if not (atoms == 64 and seed == 2)
    ]
    verdict = judge(claim(b=SAE), found, options=("atoms", "rate", "method"))
    assert (verdict.n, verdict.units) == (3, 2)
    assert verdict.estimate == pytest.approx(np.mean([0.1 - 0.001 * seed for seed in (0, 1, 3)]))
    each = verdicts([claim(b=SAE, each=["atoms"])], Records(found))
    assert [(one.where, one.n) for one in each] == [({"variant": "v", "atoms": 16}, 4), ({"variant": "v", "atoms": 64}, 3)]


def test_settings_of_one_side_alone_are_averaged() -> None:
    wide = [row | {"hidden": hidden, "score": row["score"] + gain} for row in BETTER[:5] for hidden, gain in ((32, 0.0), (256, 0.1))]
    verdict = judge(claim(b=SAE), wide + [row | {"hidden": None} for row in BETTER[5:]], options=("hidden",))
    assert (verdict.n, verdict.units) == (5, 1)
    assert verdict.estimate == pytest.approx(0.15)


def test_each_value_of_a_list_has_its_verdict() -> None:
    found = [row | {"atoms": atoms} for atoms in (16, 32, 64) for row in BETTER]
    some = {"atoms": [16, 64]}
    each = verdicts([claim(a=SC | some, b=SAE | some, each=["atoms"])], Records(found))
    assert [one.where["atoms"] for one in each] == [16, 64]
    assert [one.units for one in each] == [1, 1]


def test_pairs_need_shared_seeds() -> None:
    found = [row | {"seed": row["seed"] + (10 if row["method"] == "sae" else 0)} for row in BETTER]
    assert judge(claim(b=SAE), found).design == "unpaired"
    refused = judge(claim(b=SAE, paired=True), found)
    assert (refused.status, refused.sentence) == ("not shown", "The two sides share no seed, so their runs cannot be paired.")
    one = [row | {"seed": row["seed"] + (4 if row["method"] == "sae" else 0)} for row in BETTER]
    assert judge(claim(b=SAE), one).design == "unpaired"  # a single pair would leave out eight runs
    some = judge(claim(b=SAE), [row for row in BETTER if not (row["method"] == "sae" and row["seed"] > 2)])
    assert (some.design, some.n) == ("paired", 3)


def test_each_variant_has_its_verdict_unless_a_side_names_it() -> None:
    found = BETTER + [row | {"variant": "corrected", "score": -row["score"]} for row in BETTER]
    assert [(one.where["variant"], one.status) for one in verdicts([claim(b=SAE)], Records(found))] == [
        ("faithful", "confirmed"),
        ("corrected", "refuted"),
    ]
    between = claim(a={"method": "sc", "variant": "faithful"}, b={"method": "sc", "variant": "corrected"})
    assert judge(between, found).estimate == pytest.approx(2 * np.mean(0.7 + LUCK + NOISE))
    empty = judge(claim(b=SAE), [row | {"variant": None} for row in BETTER])
    assert (empty.where, empty.status) == ({}, "confirmed")


def test_empty_values_and_lists_select() -> None:
    found = [row | {"hidden": 32 if row["method"] == "sc" else None} for row in BETTER]
    assert judge(claim(a={"hidden": 32}, b={"hidden": "none"}), found).status == "confirmed"
    assert judge(claim(a={"method": ["sc", "omp"]}, b=SAE), found).status == "confirmed"


def test_figures_that_are_missing_are_left_out() -> None:
    found = [row | ({"score": None} if row["seed"] == 4 and row["method"] == "sc" else {}) for row in BETTER]
    assert judge(claim(b=SAE), found).n == 4


@pytest.mark.parametrize(
    ("more", "says"),
    [
        ({"b": {"method": "omp"}}, "There are no rows with method OMP; there are: sparse coding, SAE."),
        ({"metric": "mcc", "b": SAE}, "No row has a column 'mcc'; the columns are: variant, method, seed, score"),
        ({"b": SAE, "each": ["size"]}, "No row has a column 'size'"),
        ({"b": {"size": 3}}, "No row has a column 'size'"),
        ({"b": {"method": "sae", "seed": 9}}, "There are no rows with seed = 9; there are: seed = 0, seed = 1, seed = 2,"),
        ({"a": {"method": "sc", "seed": 3, "variant": "x"}, "value": 0}, "There are no rows with variant x; there are: faithful."),
        ({"kind": "trend", "x": "seed"}, "A trend in seed needs two values of it in one run; there is one"),
        ({"kind": "trend", "x": "method"}, "A trend in method needs two values of it in one run; there is none"),
    ],
)
def test_rows_that_are_not_there_are_named(more: dict[str, Any], says: str) -> None:
    verdict = judge(claim(**more), BETTER)
    assert verdict.status == "not shown" and says in verdict.sentence
    assert verdict.estimate is None


def test_no_rows_at_all() -> None:
    assert judge(claim(b=SAE), []).sentence == "There are no rows yet."


@pytest.mark.parametrize("given", [{"sc": 0.1, "sae": 0.1}, {"sc": 0.03, "sae": 0.01}])
def test_what_a_run_chose_by_validation_is_no_setting(given: dict[str, float]) -> None:
    """Each side chose its l1 at each size for itself, also where trials were given these very values: all sizes are compared."""
    chosen = {("sc", 16): 0.01, ("sc", 64): 0.03, ("sae", 16): 0.03, ("sae", 64): 0.01}
    found = [row | {"atoms": atoms, "l1": chosen[row["method"], atoms], "score": row["score"] + (atoms == 64) * (row["method"] == "sc")}
             for row in BETTER for atoms in (16, 64)]
    trials = [{"variant": "faithful", "options": {"method": method, "atoms": atoms, "l1": given[method]}, "overridden": ["l1"]}
              for method, atoms in chosen]
    (verdict,) = verdicts([claim(b=SAE)], Records(found, trials=trials))
    assert (verdict.status, verdict.n, verdict.units) == ("confirmed", 5, 2)
    assert verdict.estimate == pytest.approx(0.6)


@pytest.mark.parametrize("kind", [{"b": SAE}, {"kind": "trend", "x": "atoms"}, {"kind": "about", "value": 0.7}])
def test_a_side_that_lacks_a_trial_is_not_judged_by_the_others(kind: dict[str, Any]) -> None:
    found = [row | {"atoms": atoms, "experiment": "e"} for row in BETTER for atoms in (16, 32, 64) if (row["method"], atoms) != ("sc", 64)]
    absent = {"method": "sc", "atoms": 64, "variant": "faithful", "experiment": "e"}
    trials = [{"options": {"method": "sc", "atoms": 16}}]
    (verdict,) = verdicts([claim(**kind)], Records(found, trials=trials, absent=[absent]))
    told = "1 trial with method sparse coding, variant faithful failed or was not run yet."
    assert (verdict.status, verdict.sentence) == ("not shown", told)
    others = [absent | {"method": "mlp"}, absent | {"experiment": "another"}]
    small = claim(a=SC | {"atoms": 16}, b=SAE | {"atoms": 16})
    (whole,) = verdicts([small], Records(found, trials=trials, absent=[absent, *others]))
    assert whole.status == "confirmed"


def test_settings_without_overlap() -> None:
    found = [row | {"p": row["seed"] % 2, "q": (row["seed"] + (row["method"] == "sc")) % 2} for row in BETTER if row["seed"] < 4]
    verdict = judge(claim(b=SAE), found, options=("p", "q"))
    assert "no setting in common: they differ in p, q" in verdict.sentence


# Equivalent, about, trend.


def test_equivalence_is_two_one_sided_tests() -> None:
    close = rows({"sc": 0.6 + LUCK + 4 * NOISE, "sae": 0.6 + LUCK})
    verdict = judge(claim("equivalent", b=SAE, margin=0.02), close)
    assert verdict.status == "confirmed"
    assert verdict.p == pytest.approx(stats.ttest_1samp(4 * NOISE, 0.02, alternative="less").pvalue)
    assert verdict.high == pytest.approx(stats.ttest_1samp(4 * NOISE, 0).confidence_interval(0.9).high)
    edge = verdict.high or 0.0
    assert judge(claim("equivalent", b=SAE, margin=edge * 1.001), close).p < 0.05  # type: ignore[operator]
    assert judge(claim("equivalent", b=SAE, margin=edge * 0.999), close).status == "not shown"
    far = judge(claim("equivalent", b=SAE, margin=0.05), BETTER)
    assert far.status == "refuted" and "does not survive" not in far.sentence
    assert judge(claim("equivalent", value=0.7, margin=0.05), BETTER).status == "confirmed"
    assert judge(claim("equivalent", value=0.9, margin=0.05), BETTER).status == "refuted"


def test_about_is_where_a_new_run_falls() -> None:
    values = 0.57 + LUCK
    half = stats.t.ppf(0.975, 4) * values.std(ddof=1) * np.sqrt(1.2)
    found = rows({"sae": values})
    for value, status in ((values.mean() + 0.99 * half, "confirmed"), (values.mean() - 1.01 * half, "refuted")):
        verdict = judge(claim("about", a=SAE, value=value), found)
        assert (verdict.status, verdict.high) == (status, pytest.approx(values.mean() + half))
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


def widths(slope: float, seeds: int = 4) -> list[dict[str, Any]]:
    return [
        {"variant": "v", "method": method, "hidden": hidden, "seed": seed, "score": 0.5 + gain * (slope + 0.001 * seed) * np.log2(hidden)}
        for method, gain in (("sc", 1.0), ("sae", 0.5))
        for hidden in (16, 32, 64, 512)
        for seed in range(seeds)
    ]


def test_trends_have_one_slope_a_seed() -> None:
    verdict = judge(claim("trend", x="hidden"), widths(0.02))
    assert (verdict.status, verdict.n, verdict.design) == ("confirmed", 4, "slopes")
    assert verdict.estimate == pytest.approx(0.02 + 0.0015)
    assert "rises by 0.0215 for each doubling of hidden units" in verdict.sentence and verdict.effect_name == "Kendall's τ"
    assert judge(claim("trend", x="hidden", direction="down"), widths(0.02)).status == "refuted"
    down = judge(claim("trend", x="hidden", direction="down", margin=0.01), widths(-0.02))
    assert down.status == "confirmed" and "falls by 0.0185" in down.sentence
    assert judge(claim("trend", x="hidden", margin=0.0214), widths(0.02)).status == "not shown"
    gap = judge(claim("trend", x="hidden", b=SAE), widths(0.02))
    assert gap.estimate == pytest.approx(0.01075)


def uneven(*left_out: tuple[int, int]) -> list[dict[str, Any]]:
    """No trend in any size; the sizes differ, and some were not run at some widths."""
    return [row | {"size": size, "score": 0.5 + size + 0.001 * row["seed"]} for row in widths(0.0) for size in (1, 2, 3)
            if (row["hidden"], size) not in left_out]


def test_a_trend_is_one_of_the_settings_that_were_run_everywhere() -> None:
    verdict = judge(claim("trend", x="hidden"), uneven((16, 3)), options=("size", "hidden"))
    assert (verdict.status, verdict.estimate, verdict.units) == ("not shown", pytest.approx(0.0, abs=1e-9), 2)
    assert "each the mean over 2 settings" in verdict.sentence
    nowhere = judge(claim("trend", x="hidden"), uneven((16, 3), (32, 2), (512, 1)), options=("size", "hidden"))
    assert nowhere.sentence == "No setting of size was run at every value of hidden units: a trend would compare different settings."
    one_seed = [row for row in uneven() if (row["seed"], row["hidden"], row["size"]) != (1, 512, 3)]
    verdict = judge(claim("trend", x="hidden"), one_seed, options=("size", "hidden"))
    assert (verdict.n, verdict.units, verdict.estimate) == (3, 3, pytest.approx(0.0, abs=1e-9))


def test_what_goes_with_x_is_no_setting_of_a_trend() -> None:
    """The label of a width, and the rate that a run chose by validation at it."""
    found = [row | {"label": f"MLP {row['hidden']}", "rate": row["hidden"] / 100 + row["seed"]} for row in widths(0.02)]
    verdict = judge(claim("trend", x="hidden"), found, options=("hidden", "label"))
    assert (verdict.status, verdict.units) == ("confirmed", 1)


def test_seeds_without_all_of_a_trend_are_left_out() -> None:
    found = [row for row in widths(0.02) if not (row["seed"] == 1 and row["hidden"] == 512)]
    assert judge(claim("trend", x="hidden"), found).n == 3


def test_trend_of_few_seeds_goes_through_all_points() -> None:
    found = widths(0.02, seeds=1)
    for row, wobble in zip(found, (0.001, -0.001, 0.002, -0.001) * 2, strict=True):
        row["score"] += wobble
    verdict = judge(claim("trend", x="hidden"), found)
    theirs = stats.linregress([4, 5, 6, 9], [row["score"] for row in found[:4]])
    assert (verdict.design, verdict.n, verdict.status) == ("points", 4, "confirmed")
    assert (verdict.estimate, verdict.p) == pytest.approx((theirs.slope, theirs.pvalue))


def test_trend_along_the_steps_of_a_curve() -> None:
    verdict = judge(claim("trend", x="step", log=False), CURVES)
    assert verdict.estimate == pytest.approx((0.5 - 0.1) / 100)
    refused = judge(claim("trend", x="step"), CURVES)
    assert refused.status == "not shown" and "log = false" in refused.sentence


# Ratios.


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
def test_rounding_is_no_trend(seeds: int) -> None:
    found = [row | {"score": 0.1 + 0.2 if row["hidden"] > 32 else 0.3} for row in widths(0.0, seeds)]
    verdict = judge(claim("trend", x="hidden"), found)
    assert (verdict.status, verdict.estimate, verdict.effect) == ("not shown", 0.0, None)


# Words.


@pytest.mark.parametrize(("more", "says"), [
    ({"b": SAE}, "Sparse coding's latent MCC is 0.1 above SAE's ("),
    ({"a": {"method": "sc", "size": 8}, "b": {"method": "lasso"}},
     "Latent MCC of sparse coding (size = 8) is 0.1 above that of lasso, certified ("),
    ({"a": {"bias": True}, "b": {"bias": False}}, "Latent MCC with bias is 0.1 above that with no bias ("),
    ({"a": {"method": ["sc", "sae"], "reader": "own"}, "b": {}},
     "Latent MCC of sparse coding or SAE (reader own) is 0.1 above that of all rows ("),
    ({"a": {"hidden": "none"}, "value": 0.0}, "Latent MCC with no hidden units is 0.1 ("),
    ({"metric": "dictionary_mcc", "a": {}, "value": 0.0}, "Dictionary MCC (cosine) is 0.1 ("),
    ({"metric": "flops", "b": SAE, "ratio": True}, "Sparse coding's FLOPs (counted) are 0.1 times SAE's ("),
    ({"metric": "flops", "b": {"atoms": 16}}, "Sparse coding's FLOPs (counted) are 0.1 above those with N = 16 ("),
    ({"metric": "loss", "kind": "trend", "x": "step", "log": False, "b": SAE},
     "Sparse coding's loss, less SAE's, rises by 0.1 for each unit of training steps ("),
    ({"metric": "dead", "kind": "trend", "x": "width"}, "Sparse coding's dead latents rise by 0.1 for each doubling of measurements M ("),
])
def test_a_claim_is_said_as_people_say_it(more: dict[str, Any], says: str) -> None:
    which = claim(**{"metric": "latent_mcc", **more})
    verdict = Verdict("", which.kind, which.metric, {}, "not shown", estimate=0.1, n=1)
    assert sentence(which, verdict, 1).startswith(says)


# Many claims.


def test_p_is_corrected_over_all_claims_but_those_about_a_figure() -> None:
    claims = [claim(b=SAE), claim("about", a=SAE, value=0.6), claim(value=0.7), claim(b=SAE, margin=0.2), claim(b={"method": "omp"})]
    found = verdicts(claims, Records(BETTER))
    assert [one.p_corrected is None for one in found] == [False, True, False, False, True]
    ps = sorted(one.p for one in found if one.p_corrected is not None)  # type: ignore[type-var]
    corrected = sorted(one.p_corrected for one in found if one.p_corrected is not None)
    assert corrected == pytest.approx([3 * ps[0], 3 * ps[0], ps[2]])  # the second is no surer than the first
    assert "corrected for 3 claims" in found[0].sentence


def test_what_does_not_survive_correction_says_so() -> None:
    weak = rows({"sc": 0.6 + np.array([0.02, 0.05, 0.03, 0.08, 0.01]), "sae": 0.6})
    (alone,) = verdicts([claim(b=SAE)], Records(weak))
    among = verdicts([claim(b=SAE)] * 20, Records(weak))[0]
    assert alone.status == among.status == "confirmed"
    assert "does not survive" not in alone.sentence
    assert "It does not survive the correction for 20 claims." in among.sentence


# What a claim may say.


@pytest.mark.parametrize(
    ("more", "says"),
    [
        ({}, "give one of the two"),
        ({"b": SAE, "value": 1.0}, "give one of the two"),
        ({"b": SC}, "select the same rows"),
        ({"b": SAE, "margin": -1}, "greater than or equal to 0"),
        ({"b": SAE, "x": "step"}, "does not know x"),
        ({"kind": "equivalent", "b": SAE}, "needs a margin above 0"),
        ({"kind": "about"}, "value, or its range"),
        ({"kind": "about", "low": 1.0}, "both low and high"),
        ({"kind": "about", "low": 1.0, "high": 0.0}, "low=1.0 above high=0.0"),
        ({"kind": "about", "value": 1.0, "margin": 0.1}, "takes no margin"),
        ({"b": SAE, "ratio": True, "margin": 0.5}, "a factor where ratio is true"),
        ({"value": -1.0, "ratio": True}, "above 0 where ratio is true"),
        ({"kind": "trend"}, "needs x"),
        ({"kind": "bigger"}, "'greater', 'about', 'equivalent' or 'trend'"),
        ({"b": SAE, "wether": 1}, "Extra inputs"),
    ],
)
def test_claims_that_cannot_be_judged_are_refused(more: dict[str, Any], says: str) -> None:
    with pytest.raises(ValidationError, match=says):
        claim(**more)


def test_columns_that_a_claim_needs() -> None:
    which = claim(b={"method": "sae", "hidden": 3}, at={"step": 5}, each=["size"])
    assert which.columns == ["score", "method", "hidden", "step", "size"]
    assert which.each == ["variant", "size"]
