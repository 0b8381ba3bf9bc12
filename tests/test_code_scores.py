"""Ranking, values and the objective gap against scikit-learn, SciPy, dense formulas and closed forms."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.stats import mannwhitneyu
from torch import Tensor

from sparsegap import Codes, Dictionary, InputError, KSparse, Lasso, solve
from sparsegap.metrics.auroc import auroc
from sparsegap.metrics.l0 import l0
from sparsegap.metrics.l1 import l1
from sparsegap.metrics.largest_error import largest_error
from sparsegap.metrics.objective_gap import objective_gap
from sparsegap.metrics.value_error import value_error


def some_codes(n: int, m: int, seed: int, share: float = 0.3, *, rounded: bool = False, signed: bool = False) -> Codes:
    g = torch.Generator().manual_seed(seed)
    values = torch.randn(n, m, generator=g, dtype=torch.float64)
    values = values if signed else values.abs()
    values = (2 * values).round() / 2 if rounded else values  # many ties
    return Codes.from_dense(values * (torch.rand(n, m, generator=g) < share))


# --- ranking ---


@pytest.mark.parametrize("signed", [False, True])
@pytest.mark.parametrize("rounded", [False, True])
def test_auroc_is_scikit_learns_and_scipys(rounded: bool, signed: bool) -> None:
    metrics = pytest.importorskip("sklearn.metrics")
    found, truth = some_codes(150, 6, 0, rounded=rounded, signed=signed), some_codes(150, 6, 1, signed=signed)
    height, active = found.dense().abs().numpy(), (truth.dense() != 0).numpy()
    scores = auroc(found, truth)
    for p in range(6):
        assert scores.each[p] == pytest.approx(metrics.roc_auc_score(active[:, p], height[:, p]), abs=1e-12)
        wins = mannwhitneyu(height[active[:, p], p], height[~active[:, p], p]).statistic
        assert scores.wins[p] == wins
    assert scores.macro == pytest.approx(metrics.roc_auc_score(active, height, average="macro"), abs=1e-12)
    assert scores.micro == pytest.approx(metrics.roc_auc_score(active, height, average="micro"), abs=1e-12)


def test_auroc_of_pairs_that_are_given() -> None:
    truth = some_codes(200, 4, 0)
    latents, features = np.array([2, -1, 2, 0]), np.array([2, 1, 3, 0])
    scores = auroc(truth, truth, latents=latents, features=features)
    alone = auroc(truth, truth, latents=np.array([2]), features=np.array([3]))
    assert scores.each.tolist() == [1, 0.5, alone.each[0], 1] and 0.4 < alone.each[0] < 0.6
    assert scores.macro == pytest.approx(np.mean(scores.each))
    with pytest.raises(InputError, match="3 latents cannot be paired with 4 features"):
        auroc(truth, truth, latents=np.arange(3))


def test_a_feature_that_is_always_or_never_active_has_no_auroc() -> None:
    dense = some_codes(50, 4, 0).dense()
    dense[:, 0], dense[:, 1] = 0, 1
    scores = auroc(some_codes(50, 4, 1), Codes.from_dense(dense))
    assert np.isnan(scores.each).tolist() == [True, True, False, False]
    assert scores.macro == pytest.approx(np.mean(scores.each[2:]))
    never = auroc(some_codes(50, 4, 1), Codes.empty(50, 4))
    assert np.isnan([never.macro, never.micro]).all()
    assert auroc(Codes.empty(50, 4), some_codes(50, 4, 1)).macro == auroc(Codes.empty(50, 4), some_codes(50, 4, 1)).micro == 0.5


# --- values ---


def squared(dense: Tensor) -> float:
    return float(dense.square().sum())


@pytest.mark.parametrize("signed", [False, True])
def test_errors_of_values_are_the_dense_formulas(signed: bool) -> None:
    found, truth = some_codes(120, 9, 0, 0.5, signed=signed), some_codes(120, 9, 1, 0.5, signed=signed)
    a, z = found.dense(), truth.dense()
    both = (a != 0) & (z != 0)
    errors = value_error(found, truth)
    assert errors.relative == pytest.approx(squared(a - z) / squared(z))
    assert errors.by_missed == pytest.approx(squared(z * (a == 0)) / squared(z))
    assert errors.by_spurious == pytest.approx(squared(a * (z == 0)) / squared(z))
    assert errors.by_missed + errors.by_spurious + errors.by_amplitude == pytest.approx(errors.relative)
    factor = float((a * z).sum() / (a * a).sum())
    assert errors.scaled == pytest.approx(squared(factor * a - z) / squared(z))
    assert errors.shared == pytest.approx(squared((a - z) * both) / squared(z * both))
    factor = float((a * z).sum() / squared(a * both))
    assert errors.shared_scaled == pytest.approx(squared((factor * a - z) * both) / squared(z * both))
    assert errors.shrinkage == pytest.approx(float((a * z).sum() / squared(z * both)))
    halves = value_error(found[:50], truth[:50]) + value_error(found[50:], truth[50:])
    assert halves.rows == 120 and halves.scaled == pytest.approx(errors.scaled) and halves.relative == pytest.approx(errors.relative)


def test_shrinkage_is_told_apart_from_a_wrong_support() -> None:
    truth = some_codes(200, 9, 0)
    shrunk = value_error(Codes(truth.indices, 0.5 * truth.values, 9), truth)
    assert (shrunk.relative, shrunk.shared, shrunk.shrinkage) == pytest.approx((0.25, 0.25, 0.5))
    assert (shrunk.scaled, shrunk.shared_scaled, shrunk.by_missed, shrunk.by_spurious) == pytest.approx((0, 0, 0, 0))
    half = value_error(Codes(truth.indices, truth.values * (truth.indices < 5), 9), truth)
    assert half.shared == 0 and half.shrinkage == pytest.approx(1) and half.relative > 0.2
    assert half.relative == half.by_missed == pytest.approx(half.scaled)
    nothing = value_error(Codes.empty(200, 9), truth)
    assert (nothing.relative, nothing.scaled, nothing.by_missed, nothing.shared) == (1, 1, 1, 0)
    assert value_error(truth, Codes.empty(200, 9)).relative == float("inf")


def test_the_largest_error_of_each_sample() -> None:
    found, truth = (Codes(codes.indices, 5 * codes.values, 7) for codes in (some_codes(100, 7, 0, 0.5), some_codes(100, 7, 1, 0.5)))
    expected = (found.dense() - truth.dense()).abs().max(1).values
    errors = largest_error(found, truth)
    torch.testing.assert_close(errors.errors, expected)
    unit = float(truth.values[truth.active].square().mean().sqrt())
    assert errors.unit == pytest.approx(unit)
    assert 0 < errors.within(0.8) == pytest.approx(float((expected < 0.8 * unit).double().mean()))
    near = Codes(truth.indices, truth.values + 0.05 * unit * truth.active, 7)
    empty = float((truth.l0() == 0).double().mean())
    assert (largest_error(near, truth).within(0.06), largest_error(near, truth).within(0.04)) == (1, empty)


def test_l0_at_a_threshold_and_l1() -> None:
    codes = Codes(torch.tensor([[0, 1, 2], [0, 1, 2]]), torch.tensor([[1.0, -0.01, 0.0], [2.0, 0.5, 0.001]]), 3)
    assert [l0(codes), l0(codes, threshold=0.001), l0(codes, threshold=0.1)] == [2.5, 2, 1.5]
    assert l1(codes) == pytest.approx((1.01 + 2.501) / 2)
    with pytest.raises(InputError, match=r"at least 0, not -1"):
        l0(codes, threshold=-1)


# --- the objective gap ---


@pytest.mark.parametrize("nonnegative", [False, True])
def test_the_gap_of_given_codes_where_the_optimum_has_a_closed_form(nonnegative: bool) -> None:
    g = torch.Generator().manual_seed(0)
    dictionary = Dictionary(torch.linalg.qr(torch.randn(8, 8, generator=g, dtype=torch.float64)).Q)
    x = torch.randn(40, 8, generator=g, dtype=torch.float64)
    problem, scores = Lasso(dictionary, 0.3, nonnegative), x @ dictionary.atoms.T
    optimal = scores.clamp_min(0.3) - 0.3 if nonnegative else scores.sign() * (scores.abs() - 0.3).clamp_min(0)
    least = problem.value(x, Codes.from_dense(optimal))
    given = Codes.from_dense(optimal + 0.2)
    gap = objective_gap(x, given, problem)
    feasible = problem.value(x, given).isfinite()
    expected = float((problem.value(x, given) - least)[feasible].mean())
    assert gap.low - 1e-12 <= expected <= gap.high + 1e-12 and gap.high - gap.low < 1e-5
    assert gap.relative_low <= expected / gap.mean_value + 1e-12 and gap.relative_high >= expected / gap.mean_value - 1e-12
    assert gap.share_proven == 1
    halves = objective_gap(x[:15], given[:15], problem) + objective_gap(x[15:], given[15:], problem)
    assert halves.low == pytest.approx(gap.low, abs=1e-6) and halves.rows == 40


def test_a_loose_solve_gives_a_wide_interval_that_holds_the_gap() -> None:
    g = torch.Generator().manual_seed(1)
    dictionary, x = Dictionary(torch.randn(30, 10, generator=g)), torch.randn(20, 10, generator=g)
    problem, codes = Lasso(dictionary, 0.5), Codes.empty(20, 30)
    tight, loose = objective_gap(x, codes, problem), objective_gap(x, codes, problem, method="ista", tolerance=1e-1, max_iterations=3)
    assert loose.low <= tight.low <= tight.high <= loose.high + 1e-9
    assert loose.high - loose.low > 100 * (tight.high - tight.low)


def test_better_codes_than_the_solvers_leave_no_negative_gap() -> None:
    g = torch.Generator().manual_seed(2)
    dictionary, x = Dictionary(torch.randn(60, 8, generator=g)), torch.randn(20, 8, generator=g)
    problem = KSparse(dictionary, 2, nonnegative=False)
    best = solve(problem, x, "exhaustive").codes
    gap = objective_gap(x, best, problem, method="matching_pursuit")
    assert gap.low == 0 and gap.share_proven == 0 and gap.high == gap.mean_value  # matching pursuit proves nothing
    assert objective_gap(x, best, problem, method="exhaustive").high == pytest.approx(0, abs=1e-6)


def test_codes_that_the_problem_does_not_allow_are_counted_apart() -> None:
    dictionary = Dictionary(torch.eye(4))
    x, codes = torch.ones(3, 4), Codes.from_dense(torch.tensor([[1.0, 1, 1, 1], [1, 0, 0, 0], [-1, 1, 0, 0]]))
    gap = objective_gap(x, codes, KSparse(dictionary, 2))
    assert gap.share_infeasible == pytest.approx(2 / 3)
    assert (gap.mean_value, gap.low, gap.high) == pytest.approx((1.5, 0.5, 0.5), abs=1e-6)
    none = objective_gap(x[:1], codes[:1], KSparse(dictionary, 2))
    assert (none.low, none.high, none.relative_low, none.share_proven, none.share_infeasible) == (0, 0, 0, 0, 1)
