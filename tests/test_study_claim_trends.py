"""Trends: one slope a seed, over the settings that were run everywhere."""

from __future__ import annotations

from typing import Any

import pytest
from scipy import stats
from tests.judging import CURVES, SAE, claim, judge, widths


def test_trends_have_one_slope_a_seed() -> None:
    verdict = judge(claim("trend", x="hidden"), widths(0.02))
    assert (verdict.status, verdict.n, verdict.design) == ("confirmed", 4, "slopes")
    assert verdict.estimate == pytest.approx(0.02 + 0.0015)
    assert "rises by 0.0215 for each doubling of hidden units" in verdict.sentence and verdict.effect_name == "Kendall's τ"
    assert judge(claim("trend", x="hidden", direction="down"), widths(0.02)).status == "refuted"
    down = judge(claim("trend", x="hidden", direction="down", margin=0.01), widths(-0.02))
    assert down.status == "confirmed" and "falls by 0.0185" in down.sentence
    assert judge(claim("trend", x="hidden", direction="down", margin=0.03), widths(-0.02)).status == "refuted"
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


def test_a_slope_over_large_numbers_is_small_and_no_rounding() -> None:
    found = [row | {"flops": 1e12 * row["hidden"]} for row in widths(0.02)]
    verdict = judge(claim("trend", x="flops", log=False), found)
    assert verdict.status == "confirmed" and 0 < verdict.estimate < 1e-12  # type: ignore[operator]
