"""Which rows a claim is judged from: the row of a curve, the settings and seeds that both sides share, and what is said without rows."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from tests.judging import BETTER, CURVES, LUCK, NOISE, SAE, SC, claim, curve, judge, rows

from sparsegap.study.records import Records
from sparsegap.study.verdicts import verdicts


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
    trials = [{"variant": "faithful", "options": {"method": method, "atoms": atoms, "l1": given[method]},
               "overridden": ["l1"] if l1 != given[method] else []} for (method, atoms), l1 in chosen.items()]
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
    small = claim(a=SC | {"atoms": 16}, b=SAE | {"atoms": 16})
    (whole,) = verdicts([small], Records(found, trials=trials, absent=[absent]))
    assert whole.status == "confirmed"


@pytest.mark.parametrize("other", [{"method": "mlp"}, {"experiment": "another"}, {"variant": "corrected"}, {"size": "large"}])
def test_a_side_does_not_lack_what_is_none_of_its_trials(other: dict[str, Any]) -> None:
    """Also where only the trial that was not run has the column as an option, and rows have it as what they measured."""
    found = [row | {"experiment": "e", "size": "small"} for row in BETTER]
    absent = {"method": "sc", "variant": "faithful", "experiment": "e", "size": "small"}
    asked, trials = claim(a=SC | {"size": "small"}, b=SAE | {"size": "small"}), [{"options": {"method": "sc"}}]
    assert "1 trial with" in verdicts([asked], Records(found, trials=trials, absent=[absent]))[0].sentence
    assert verdicts([asked], Records(found, trials=trials, absent=[absent | other]))[0].status == "confirmed"


def test_a_trial_without_a_label_is_one_whose_label_is_none() -> None:
    found = [row | {"experiment": "e"} | ({"size": "large"} if row["seed"] > 3 else {}) for row in BETTER]
    absent = {"method": "sc", "variant": "faithful", "experiment": "e"}
    trials = [{"options": {"method": "sc"}, "labels": {"size": "large"}}]
    (verdict,) = verdicts([claim(a=SC | {"size": "none"}, b=SAE | {"size": "none"})], Records(found, trials=trials, absent=[absent]))
    assert "1 trial with method sparse coding, no size failed or was not run yet." in verdict.sentence.replace(", variant faithful", "")


def test_what_runs_along_a_path_is_a_setting_although_rows_have_other_values_of_it_than_trials_were_given() -> None:
    found = [row | {"l1": l1, "score": row["score"] + l1} for row in BETTER for l1 in (0.1, 1.0)]
    trials = [{"variant": "faithful", "options": {"method": method, "l1": 0.1}, "overridden": ["l1"]} for method in ("sc", "sae")]
    (verdict,) = verdicts([claim(b=SAE)], Records(found, trials=trials))
    assert (verdict.status, verdict.units) == ("confirmed", 2)


def test_of_very_many_values_some_are_named() -> None:
    (verdict,) = verdicts([claim(a={"seed": 99}, value=0.0)], Records(rows({"sc": np.zeros(15)})))
    assert verdict.sentence.endswith("seed = 10, seed = 11 and 3 more.")


def test_settings_without_overlap() -> None:
    found = [row | {"p": row["seed"] % 2, "q": (row["seed"] + (row["method"] == "sc")) % 2} for row in BETTER if row["seed"] < 4]
    verdict = judge(claim(b=SAE), found, options=("p", "q"))
    assert "no setting in common: they differ in p, q" in verdict.sentence
