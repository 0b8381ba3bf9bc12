"""Statistics against scipy's, closed forms, published figures, and what must hold for any numbers."""

from __future__ import annotations

from itertools import product
from math import comb, sqrt

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy import stats

from sparsegap import statistics as s
from sparsegap.errors import InputError

A = np.array([0.61, 0.66, 0.58, 0.72, 0.69])
B = np.array([0.55, 0.57, 0.59, 0.60, 0.52])
NUMBERS = st.floats(-100, 100).map(lambda value: round(value, 3))
LISTS = st.lists(NUMBERS, min_size=2, max_size=12)


def normal(n: int, seed: int = 0) -> NDArray[np.float64]:
    return np.random.default_rng(seed).normal(size=n)


# Intervals.


def test_students_interval_and_tests() -> None:
    found, theirs = s.mean_of(A - B), stats.ttest_rel(A, B)
    low, high = theirs.confidence_interval()
    assert (found.interval().low, found.interval().high) == pytest.approx((low, high))
    assert found.p() == pytest.approx(theirs.pvalue)
    assert found.p(0.02, "greater") == pytest.approx(stats.ttest_1samp(A - B, 0.02, alternative="greater").pvalue)
    assert found.p(0.2, "less") == pytest.approx(stats.ttest_1samp(A - B, 0.2, alternative="less").pvalue)


@pytest.mark.parametrize("other", [B, B[:3], np.array([0.4, 0.9])])
def test_welchs_interval_and_test(other: NDArray[np.float64]) -> None:
    found, theirs = s.difference_of(A, other), stats.ttest_ind(A, other, equal_var=False)
    low, high = theirs.confidence_interval(0.9)
    assert (found.interval(0.9).low, found.interval(0.9).high) == pytest.approx((low, high))
    assert (found.p(), found.n) == (pytest.approx(theirs.pvalue), min(5, len(other)))


def test_one_value_has_no_interval() -> None:
    for found in (s.mean_of([0.3]), s.difference_of([0.3, 0.4], [0.0])):
        assert (found.interval().low, found.interval().high, found.p(), found.equivalence(1.0)) == (None, None, None, None)
    assert s.bootstrap([0.3]) == s.Interval(0.3, None, None, 1, "percentile")
    assert s.hierarchical_bootstrap([[0.3, 0.5]]) == s.Interval(0.4, None, None, 1, "percentile")
    assert s.prediction([0.3]).low is None


def test_rounding_is_no_scatter() -> None:
    same = np.array([0.3, 0.7, 1.1]) - np.array([0.2, 0.6, 1.0])
    assert same.std() > 0
    found = s.mean_of(same)
    assert (found.error, found.p(), s.cohen_dz(same), s.cohen_d(same, same - 1)) == (0.0, None, None, None)
    assert found.interval().low == found.interval().high == found.value


def test_where_a_new_run_falls_covers_new_runs() -> None:
    generator = np.random.default_rng(0)
    runs = generator.normal(3.0, 2.0, size=(2000, 6))
    inside = [(found := s.prediction(run[:5])).low <= run[5] <= found.high for run in runs]  # type: ignore[operator]
    assert np.mean(inside) == pytest.approx(0.95, abs=0.015)
    assert s.prediction(A).high == pytest.approx(A.mean() + stats.t.ppf(0.975, 4) * A.std(ddof=1) * sqrt(1.2))


@pytest.mark.parametrize(("n", "method"), [(7, "percentile"), (30, "BCa"), (200, "BCa")])
@pytest.mark.parametrize("statistic", [np.mean, np.median, np.var])
def test_bootstrap_is_scipys(n: int, method: str, statistic: object) -> None:
    skewed = np.exp(normal(n))
    found = s.bootstrap(skewed, lambda values: statistic(values, axis=-1), resamples=20_000)  # type: ignore[operator]
    theirs = stats.bootstrap((skewed,), statistic, method=method, n_resamples=20_000, rng=np.random.default_rng(1)).confidence_interval
    width = theirs.high - theirs.low
    assert (found.low, found.high) == pytest.approx((theirs.low, theirs.high), abs=0.025 * width)
    assert (found.method, found.value) == (method, statistic(skewed))  # type: ignore[operator]


def test_bootstrap_repeats_itself_and_pairs_stay_pairs() -> None:
    a = normal(50)
    b = a + 0.1 + 0.01 * normal(50, 1)
    assert s.bootstrap(a) == s.bootstrap(a)
    assert s.bootstrap(a) != s.bootstrap(a, seed=1)
    paired = s.paired_bootstrap(b, a)
    assert paired.high - paired.low < 0.01  # type: ignore[operator]
    assert paired.value == pytest.approx(0.1, abs=0.01)


def test_bootstrap_in_pieces_is_a_bootstrap(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = s.bootstrap(normal(40), resamples=3000)
    monkeypatch.setattr("sparsegap.statistics.resampling.AT_ONCE", 40 * 7)
    assert s.bootstrap(normal(40), resamples=3000) == whole


def test_items_of_one_run_share_its_luck() -> None:
    """Four seeds that differ by 1, a thousand items that differ by little: the interval is that of four seeds."""
    groups = [shift + 0.1 * normal(1000, seed) for seed, shift in enumerate([0.0, 1.0, 2.0, 3.0])]
    found, naive = s.hierarchical_bootstrap(groups, resamples=2000), s.bootstrap(np.concatenate(groups), resamples=2000)
    assert found.value == pytest.approx(1.5, abs=0.02)
    assert (found.low, found.high) == pytest.approx((0.5, 2.5), abs=0.3)  # quantiles of the mean of four draws from 0, 1, 2, 3
    assert naive.high - naive.low < 0.1  # type: ignore[operator]
    many = s.hierarchical_bootstrap([shift + np.zeros(3) for shift in range(12)], resamples=2000)
    assert (many.method, many.n) == ("BCa", 12)


def test_items_count_when_runs_agree() -> None:
    groups = [normal(100, seed) for seed in range(5)]
    found = s.hierarchical_bootstrap(groups, resamples=4000)
    means = np.array([group.mean() for group in groups])
    variance = means.var() / 5 + np.mean([group.var() / 100 for group in groups]) / 5  # of the two stages
    assert found.high - found.low == pytest.approx(2 * 1.96 * sqrt(variance), rel=0.1)  # type: ignore[operator]


@given(LISTS, st.floats(-5, 5))
@settings(max_examples=25, deadline=None)
def test_intervals_hold_their_figure_and_move_with_it(values: list[float], shift: float) -> None:
    for of in (lambda x: s.mean_of(x).interval(), s.prediction, lambda x: s.bootstrap(x, resamples=200)):
        here, there = of(np.array(values)), of(np.array(values) + shift)
        assert here.low - 1e-9 <= here.value <= here.high + 1e-9 or here.method in ("BCa", "percentile")
        assert (there.low, there.high) == pytest.approx((here.low + shift, here.high + shift), abs=1e-6)


# Tests.


def test_sign_flips_count_every_arrangement() -> None:
    d = A - B
    flips = [abs(np.dot(signs, d)) for signs in product([1, -1], repeat=5)]
    assert s.sign_flip(d).p == sum(each >= abs(d.sum()) - 1e-12 for each in flips) / 32
    theirs = stats.permutation_test((A, B), lambda x, y: np.mean(x - y), permutation_type="samples", n_resamples=np.inf)
    assert s.sign_flip(d).p == pytest.approx(theirs.pvalue)


@pytest.mark.parametrize(("n", "least"), [(3, 0.25), (4, 0.125), (5, 0.0625), (6, 0.03125)])
def test_few_pairs_cannot_be_significant(n: int, least: float) -> None:
    found = s.sign_flip(np.arange(1.0, n + 1))
    assert (found.p, found.smallest) == (least, least)
    assert s.smallest_p(n) == least


def test_many_pairs_are_drawn() -> None:
    d = normal(40) + 0.35
    found = s.sign_flip(d, resamples=20_000)
    assert found.p == pytest.approx(stats.ttest_1samp(d, 0).pvalue, abs=0.01)
    assert found == s.sign_flip(d, resamples=20_000)
    assert found.smallest == 1 / 20_001
    assert s.sign_flip(normal(40) + 9, resamples=99).p == s.permutation(normal(40) + 9, normal(40), resamples=99).p == 1 / 100


@pytest.mark.parametrize("d", [A - B, normal(30), normal(60), np.array([1.0, 1.0, -1.0, 2.0, 0.0, 0.0, 3.0])])
def test_signed_ranks_are_scipys(d: NDArray[np.float64]) -> None:
    kept = d[d != 0]
    exact = len(np.unique(np.abs(kept))) == len(kept) <= 50
    theirs = stats.wilcoxon(kept, method="exact" if exact else "asymptotic")
    assert s.wilcoxon(d).p == pytest.approx(theirs.pvalue)
    assert s.wilcoxon(np.zeros(4)).p == 1.0


@pytest.mark.parametrize("b", [B, B[:3], np.round(B, 1)])
def test_permutation_of_labels_is_scipys(b: NDArray[np.float64]) -> None:
    theirs = stats.permutation_test((A, b), lambda x, y: np.mean(x) - np.mean(y), n_resamples=np.inf)
    found = s.permutation(A, b)
    assert found.p == pytest.approx(theirs.pvalue, abs=1e-9) or len(b) != len(A)  # theirs doubles the smaller tail
    pool = np.concatenate([A, b])
    assert found.smallest == (2 if len(b) == len(A) else 1) / comb(len(pool), len(A))


def test_permutation_of_labels_by_definition() -> None:
    assert s.permutation([3.0, 4.0], [1.0, 2.0]).p == 2 / 6
    assert s.permutation([1.0, 2.0], [1.0, 2.0]).p == 1.0
    a, b = normal(40), normal(50, 1) + 0.5
    assert s.permutation(a, b, resamples=20_000).p == pytest.approx(stats.ttest_ind(a, b).pvalue, abs=0.01)


@pytest.mark.parametrize(("a", "b"), [(A, B), (np.round(A, 1), np.round(B, 1)), (normal(40), normal(30, 1) + 0.5)])
def test_rank_sums_are_scipys(a: NDArray[np.float64], b: NDArray[np.float64]) -> None:
    found, theirs = s.mann_whitney(a, b), stats.mannwhitneyu(a, b)
    assert (found.statistic, found.p) == (theirs.statistic, pytest.approx(theirs.pvalue))


def test_rank_sums_of_equal_values_and_of_the_smallest_sides() -> None:
    assert s.mann_whitney([1, 1], [1, 1, 1]).p == 1.0
    assert s.mann_whitney([1.0, 2.0, 3.0], [4.0, 5.0, 6.0]).p == pytest.approx(s.smallest_p(3, 3)) == 0.1


def test_kruskal_is_scipys() -> None:
    groups = [np.round(A, 1), np.round(B, 1), np.round(normal(7), 1)]
    assert s.kruskal(*groups).p == pytest.approx(stats.kruskal(*groups).pvalue)
    assert s.kruskal([1, 1], [1]).p == 1.0
    with pytest.raises(InputError, match="1 groups"):
        s.kruskal([1, 2])


def test_smallest_p_of_many_is_quick() -> None:
    assert s.smallest_p(10**6) == 0.0
    assert s.smallest_p(10**6, 10**6) == 0.0
    assert s.smallest_p(0) == 1.0


@given(LISTS, LISTS)
@settings(max_examples=25, deadline=None)
def test_p_values_do_not_depend_on_which_side_is_first(a: list[float], b: list[float]) -> None:
    for test in (s.mann_whitney, s.permutation):
        here, there = test(a[:5], b[:6]), test(b[:6], a[:5])
        assert here.p == pytest.approx(there.p, abs=1e-9)
        assert 0 <= here.smallest <= here.p + 1e-12 <= 1 + 1e-9
    d = np.array(a)
    assert s.sign_flip(d).p == s.sign_flip(-d).p >= s.smallest_p(len(d))
    assert s.wilcoxon(d).p == pytest.approx(s.wilcoxon(-d).p)


def test_false_alarms_of_the_tests_are_as_rare_as_they_say() -> None:
    generator = np.random.default_rng(0)
    assert s.permutation([0.0, 0.0, 0.0], [1.0, 1.0]).p == 0.1
    ps = [s.sign_flip(generator.normal(size=8)).p for _ in range(600)]
    assert np.mean(np.array(ps) <= 0.05) == pytest.approx(0.05, abs=0.02)


# Effects.


def test_effects_by_their_definitions() -> None:
    d = A - B
    assert s.cohen_dz(d, corrected=False) == pytest.approx(d.mean() / d.std(ddof=1))
    assert s.cohen_dz(d) == pytest.approx(d.mean() / d.std(ddof=1) * (1 - 3 / (4 * 4 - 1)), rel=5e-3)  # the usual approximation
    pooled = sqrt((A.var(ddof=1) + B.var(ddof=1)) / 2)
    assert s.cohen_d(A, B, corrected=False) == pytest.approx((A.mean() - B.mean()) / pooled)
    assert s.cohen_d(A, B) == pytest.approx((A.mean() - B.mean()) / pooled * (1 - 3 / (4 * 8 - 1)), rel=1e-3)
    assert s.cliffs_delta(A, B) == pytest.approx(np.sign(A[:, None] - B[None]).mean())
    assert s.cliffs_delta([1, 2], [1, 2]) == 0.0
    assert s.rank_biserial([1.0, 2.0, -3.0]) == pytest.approx((1 + 2 - 3) / 6)
    assert s.rank_biserial([0.0, 0.0]) == 0.0


def test_without_scatter_there_is_no_standardised_effect() -> None:
    assert s.cohen_dz([0.5, 0.5]) is None
    assert s.cohen_dz([0.5]) is None
    assert s.hedges(1) == 0.0 and s.cohen_dz([0.5, 0.7]) is None
    assert s.cohen_dz([1.0, 3.0], corrected=False) == pytest.approx(2 / 2**0.5)
    assert s.cohen_d([1, 1], [2, 2]) is None


def test_hedges_correction_is_unbiased() -> None:
    generator = np.random.default_rng(0)
    found = [s.cohen_dz(generator.normal(1.0, 1.0, 5)) for _ in range(4000)]
    assert np.mean(found) == pytest.approx(1.0, abs=0.03)  # type: ignore[arg-type]
    assert s.hedges(4) == pytest.approx(0.7979, abs=1e-4)


@given(LISTS, LISTS)
@settings(max_examples=50, deadline=None)
def test_rank_effects_agree_with_the_rank_tests(a: list[float], b: list[float]) -> None:
    u = stats.mannwhitneyu(a, b, method="asymptotic").statistic if len(set(a + b)) > 1 else len(a) * len(b) / 2
    assert s.cliffs_delta(a, b) == pytest.approx(2 * u / (len(a) * len(b)) - 1)
    assert -1 <= s.rank_biserial(a) <= 1
    assert s.rank_biserial(-np.array(a)) == pytest.approx(-s.rank_biserial(a))


# Corrections.


def test_benjamini_hochberg_is_scipys_and_holm_is_by_hand() -> None:
    ps = [0.01, 0.04, 0.03, 0.005, 0.9]
    assert s.benjamini_hochberg(ps) == pytest.approx(stats.false_discovery_control(ps).tolist())
    assert s.holm(ps) == pytest.approx([0.04, 0.09, 0.09, 0.025, 0.9])
    assert s.holm([None, 0.02, None, 0.5]) == [None, 0.04, None, 0.5]
    assert s.holm([]) == [] and s.holm([None]) == [None]


@given(st.lists(st.floats(0, 1), min_size=1, max_size=20))
def test_corrections_only_raise_and_keep_the_order(ps: list[float]) -> None:
    for corrected in (s.holm(ps), s.benjamini_hochberg(ps)):
        assert all(p - 1e-15 <= found <= 1 for p, found in zip(ps, corrected, strict=True))  # type: ignore[operator]
        assert np.all(np.diff(np.array(corrected, float)[np.argsort(ps, kind="stable")]) >= -1e-15)
    assert all(h >= b - 1e-15 for h, b in zip(s.holm(ps), s.benjamini_hochberg(ps), strict=True))  # type: ignore[operator]
    assert max(s.holm(ps)) <= 1 and min(s.holm(ps)) == pytest.approx(min(1.0, min(ps) * len(ps)))  # type: ignore[type-var]


# Equivalence.


def test_equivalence_is_the_interval_within_the_margin() -> None:
    d = 0.02 * normal(6)
    found = s.mean_of(d)
    inner = found.interval(0.9)
    edge = max(abs(inner.low), abs(inner.high))  # type: ignore[arg-type]
    assert found.equivalence(edge * 1.001) < 0.05 < found.equivalence(edge * 0.999)  # type: ignore[operator]
    assert found.equivalence(edge) == pytest.approx(0.05)
    low, high = (stats.ttest_1samp(d, m, alternative=side).pvalue for m, side in ((-0.03, "greater"), (0.03, "less")))
    assert found.equivalence(0.03) == pytest.approx(max(low, high))


# Trends.


def test_slope_for_each_doubling() -> None:
    x, y = [16, 32, 64, 128], [1.0, 1.5, 2.0, 2.5]
    assert s.slope(x, y) == pytest.approx(0.5)
    assert s.slope([1, 2, 3], [2, 4, 6], log=False) == pytest.approx(2)


def test_trend_is_scipys() -> None:
    x = np.tile([16.0, 32, 64, 128], 3)
    y = 0.05 * np.log2(x) + 0.1 * normal(12)
    found, theirs = s.trend(x, y), stats.linregress(np.log2(x), y)
    assert (found.slope.value, found.slope.error, found.slope.p()) == pytest.approx((theirs.slope, theirs.stderr, theirs.pvalue))
    assert (found.tau, found.p) == pytest.approx(tuple(stats.kendalltau(x, y)))
    assert found.rho.value == pytest.approx(stats.spearmanr(x, y).statistic)


def test_spearmans_interval_covers_the_truth() -> None:
    generator, truth = np.random.default_rng(0), 0.6
    rho = 6 / np.pi * np.arcsin(truth / 2)  # of a normal pair with correlation .6
    pairs = generator.multivariate_normal([0, 0], [[1, truth], [truth, 1]], size=(500, 40))
    found = [s.spearman(pair[:, 0], pair[:, 1]) for pair in pairs]
    assert np.mean([each.low <= rho <= each.high for each in found]) == pytest.approx(0.95, abs=0.025)  # type: ignore[operator]
    assert s.spearman([1, 2, 3], [1, 2, 3]).low is None
    found_one = s.spearman([1, 2, 3, 4, 5, 6, 7, 8, 9, 10], [2, 1, 4, 3, 6, 5, 8, 7, 10, 9])
    assert found_one.value == pytest.approx(1 - 6 * 10 / 990)  # 1 − 6Σd²/(n(n² − 1))
    assert found_one.low == pytest.approx(np.tanh(np.arctanh(found_one.value) - 1.95996 * sqrt((1 + found_one.value**2 / 2) / 7)), abs=1e-5)


def test_trends_that_cannot_be() -> None:
    assert s.trend([1, 2, 3], [5, 5, 5]).tau == 0.0
    with pytest.raises(InputError, match="has no logarithm"):
        s.trend([0, 1, 2], [1, 2, 3])
    with pytest.raises(InputError, match="8 everywhere"):
        s.trend([8, 8, 8], [1, 2, 3])
    with pytest.raises(InputError, match="at least 3"):
        s.trend([1, 2], [1, 2])
    with pytest.raises(InputError, match="the same everywhere"):
        s.slope([4, 4], [1, 2])


# Power.


@pytest.mark.parametrize(
    ("effect", "paired", "n"), [(0.5, True, 34), (0.8, True, 15), (0.5, False, 64), (0.8, False, 26), (0.2, False, 394)]
)
def test_runs_needed_are_those_of_the_tables(effect: float, paired: bool, n: int) -> None:
    """Cohen (1988), tables 2.4.1; G*Power for pairs."""
    assert s.runs_needed(effect, paired=paired) == n
    assert s.runs_needed(-effect, paired=paired) == n


@pytest.mark.parametrize("paired", [True, False])
def test_power_by_simulation(paired: bool) -> None:
    generator = np.random.default_rng(0)
    a, b = generator.normal(1.5, 1, (4000, 5)), generator.normal(0, 1, (4000, 5))
    ps = stats.ttest_1samp(a, 0, axis=1).pvalue if paired else stats.ttest_ind(a, b, axis=1).pvalue
    assert s.power(1.5, 5, paired=paired) == pytest.approx(np.mean(ps < 0.05), abs=0.025)


@pytest.mark.parametrize("n", [2, 3, 5, 30])
def test_smallest_effect_is_found_with_the_power_wanted(n: int) -> None:
    for paired in (True, False):
        effect = s.smallest_effect(n, paired=paired)
        assert s.power(effect, n, paired=paired) == pytest.approx(0.8, abs=1e-4)  # type: ignore[arg-type]
        assert s.runs_needed(effect * 1.0001, paired=paired) == n  # type: ignore[operator]
    assert s.smallest_effect(1) is None


def test_power_is_the_noncentral_t() -> None:
    for effect, n in ((0.3, 4), (1.0, 5), (2.0, 12)):
        limit = stats.t.ppf(0.975, n - 1)
        theirs = stats.nct.sf(limit, n - 1, effect * sqrt(n)) + stats.nct.cdf(-limit, n - 1, effect * sqrt(n))
        assert s.power(effect, n) == pytest.approx(theirs, abs=1e-5)


def test_what_no_number_of_runs_can_show() -> None:
    assert s.runs_needed(0.0) is None
    assert s.runs_needed(1e-4, most=1000) is None
    assert s.power(3.0, 1) == 0.0
    assert s.power(0.0, 5) == pytest.approx(0.05, abs=1e-6)


# What goes wrong.


def test_what_is_not_finite_or_does_not_fit_is_said() -> None:
    with pytest.raises(InputError, match="1 of 2 values are not finite"):
        s.mean_of([1.0, float("nan")])
    with pytest.raises(InputError, match="0 values are too few"):
        s.mann_whitney([], [1.0])
    with pytest.raises(InputError, match="2 values cannot be paired with 3"):
        s.paired_bootstrap([1, 2], [1, 2, 3])
    with pytest.raises(InputError, match=r"not 1\.5"):
        s.holm([0.5, 1.5])
    with pytest.raises(InputError, match="no groups"):
        s.hierarchical_bootstrap([])
