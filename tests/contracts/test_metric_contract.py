"""What every metric promises, by what it takes: codes and the truth, activations and a reconstruction, or codes alone."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from sparsegap import Codes, Dictionary, InputError, KSparse, Lasso, registry, solve
from sparsegap.metrics.dead import firings
from sparsegap.metrics.explained_variance import ReconstructionSums
from sparsegap.metrics.mcc import mcc
from sparsegap.metrics.support import SupportCounts, shared_atoms, support

METRICS = registry.members("metrics")
NAMES = ("explained_variance", "explained_variance_legacy", "frac_variance_explained")


def taking(*first: str) -> Any:
    """The metrics whose parameters begin with these names."""
    found = {name: metric for name, metric in METRICS.items() if tuple(inspect.signature(metric).parameters)[: len(first)] == first}
    return pytest.mark.parametrize("metric", found.values(), ids=found.keys())


def best(value: Any) -> float:
    """One number of a metric's answer."""
    return value.f1 if isinstance(value, SupportCounts) else float(value)


def goal(metric: Callable[..., Any]) -> float:
    """What the truth itself gets: 0 of an error or a gap, 1 of everything else."""
    return 0.0 if metric.__name__.endswith(("_error", "_gap")) else 1.0


def generator(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def some_codes(n: int = 200, m: int = 12, seed: int = 0) -> Codes:
    g = torch.Generator().manual_seed(seed)
    return Codes.from_dense(torch.randn(n, m, generator=g).abs() * (torch.rand(n, m, generator=g) < 0.3))


def permuted(codes: Codes, order: Tensor) -> Codes:
    """The same codes over atoms in another order: atom j becomes order[j]."""
    return Codes(order[codes.indices.long()].to(torch.int32), codes.values, codes.n_atoms)


ORDER = torch.randperm(12, generator=torch.Generator().manual_seed(4))


def test_every_metric_is_under_a_contract() -> None:
    kinds = (("found", "truth"), ("x", "reconstruction"), ("x", "codes", "problem"), ("codes",), ("learned", "truth"))
    for name, metric in METRICS.items():
        assert any(tuple(inspect.signature(metric).parameters)[: len(kind)] == kind for kind in kinds), name


@taking("found", "truth")
def test_perfect_codes_get_the_best_and_others_less(metric: Callable[..., Any]) -> None:
    assert best(metric(some_codes(), some_codes())) == pytest.approx(goal(metric), abs=1e-12)
    assert abs(best(metric(some_codes(seed=1), some_codes())) - goal(metric)) > 0.1


@taking("found", "truth")
def test_codes_of_nothing_are_a_number_and_no_samples_no_failure(metric: Callable[..., Any]) -> None:
    """NaN only where nothing is defined: no samples, or nothing true to be found."""
    nothing, truth = Codes.empty(200, 12), some_codes()
    assert abs(best(metric(nothing, truth)) - goal(metric)) > 0.1
    assert best(metric(nothing, truth)) == best(metric(Codes(torch.zeros(200, 3), torch.zeros(200, 3), 12), truth))
    best(metric(truth, nothing))
    for found, true in ((Codes.empty(0, 12), Codes.empty(0, 12)), (truth[:0], truth[:0])):
        assert not 0 < best(metric(found, true)) < 1


@taking("found", "truth")
def test_unused_slots_change_nothing(metric: Callable[..., Any]) -> None:
    found, truth = some_codes(seed=1), some_codes()
    assert best(metric(found.widened(20), truth.widened(9))) == pytest.approx(best(metric(found, truth)), abs=1e-12)


@taking("found", "truth")
def test_more_latents_than_true_ones_and_fewer(metric: Callable[..., Any]) -> None:
    """Metrics that pair by themselves, or are told how, take any number of latents; those over the same atoms refuse, naming both."""
    more, fewer, truth = some_codes(m=15, seed=1), some_codes(m=9, seed=1), some_codes()
    takes_pairs = "latents" in inspect.signature(metric).parameters
    for found in (more, fewer):
        pairs = {"latents": np.arange(9), "features": np.arange(9)} if takes_pairs else {}
        if metric.__name__ == "mcc" or takes_pairs:
            assert 0 <= best(metric(found, truth, **pairs)) < 1
        else:
            with pytest.raises(InputError, match=f"{found.n_atoms} atoms"):
                metric(found, truth)


@taking("found", "truth")
def test_the_order_of_atoms_and_of_samples_does_not_matter(metric: Callable[..., Any]) -> None:
    found, truth, rows = some_codes(seed=1), some_codes(), torch.randperm(200, generator=torch.Generator().manual_seed(1))
    expected = best(metric(found, truth))
    assert best(metric(permuted(found, ORDER), permuted(truth, ORDER))) == pytest.approx(expected, abs=1e-12)
    assert best(metric(found[rows], truth[rows])) == pytest.approx(expected, abs=1e-12)


@taking("found", "truth")
def test_codes_of_other_samples_are_refused(metric: Callable[..., Any]) -> None:
    with pytest.raises(InputError, match=r"200 .*100|100 .*200"):
        metric(some_codes(200), some_codes(100))


@taking("learned", "truth")
def test_the_true_dictionary_gets_one_in_any_order_and_at_any_length(metric: Callable[..., Any]) -> None:
    truth, other = Dictionary(torch.randn(12, 7, generator=generator(0))), Dictionary(torch.randn(12, 7, generator=generator(1)))
    assert best(metric(Dictionary(3 * truth.atoms[ORDER]), truth)) == pytest.approx(1.0, abs=1e-6)
    assert best(metric(other, truth)) < 0.9
    assert best(metric(Dictionary(other.atoms[ORDER]), truth)) == pytest.approx(best(metric(other, truth)), abs=1e-6)
    for learned in (Dictionary(other.atoms[:5]), Dictionary(torch.cat([other.atoms, truth.atoms])), Dictionary(torch.zeros(3, 7))):
        assert 0 <= best(metric(learned, truth)) <= 1 + 1e-6
    with pytest.raises(InputError, match=r"5 wide.* 7"):
        metric(Dictionary(torch.ones(3, 5)), truth)


@taking("x", "reconstruction")
def test_a_perfect_reconstruction_gets_one_and_the_mean_gets_zero(metric: Callable[..., Any]) -> None:
    x = torch.randn(50, 6, generator=torch.Generator().manual_seed(0)) + 3
    assert metric(x, x) == 1.0
    assert metric(x, x.mean(0).expand(50, 6)) == pytest.approx(0, abs=1e-6)
    with pytest.raises(InputError, match="one shape"):
        metric(x, x[:, :5])


@taking("x", "codes", "problem")
def test_optimal_codes_leave_no_gap_in_any_order(metric: Callable[..., Any]) -> None:
    g = generator(3)
    dictionary, x = Dictionary(torch.randn(12, 7, generator=g)), torch.randn(30, 7, generator=g)
    turned = Dictionary(dictionary.atoms[ORDER.argsort()])
    for problem in (Lasso(dictionary, 0.5), Lasso(dictionary, 0.5, nonnegative=False), KSparse(dictionary, 2)):
        optimal = solve(problem, x, tolerance=1e-8).codes
        assert best(metric(x, optimal, problem)) == pytest.approx(goal(metric), abs=1e-6)
        other = solve(replace(problem, dictionary=dictionary), x.flip(0), tolerance=1e-8).codes
        gap = best(metric(x, other, problem))
        assert gap > 0.1
        assert best(metric(x, permuted(other, ORDER), replace(problem, dictionary=turned))) == pytest.approx(gap, rel=1e-5)
        assert best(metric(x, Codes.empty(30, 12), problem)) > 0.01
        assert best(metric(x[:0], other[:0], problem)) == 0


@taking("codes")
def test_what_is_said_of_codes_alone_does_not_depend_on_order(metric: Callable[..., Any]) -> None:
    codes = some_codes()
    assert metric(permuted(codes, ORDER)) == pytest.approx(metric(codes))
    assert metric(codes.widened(9)) == pytest.approx(metric(codes))
    assert metric(Codes.empty(5, 12)) in (0, 1)
    assert not 0 < metric(Codes.empty(0, 12)) < 1


def test_mcc_ignores_sign_scale_and_order_and_counts_what_is_missing() -> None:
    truth = some_codes()
    assert mcc(permuted(Codes(truth.indices, -3 * truth.values, 12), ORDER), truth) == pytest.approx(1)
    half = truth.dense()
    half[:, 6:] = 0
    assert mcc(Codes.from_dense(half), truth) == pytest.approx(0.5)
    assert mcc(Codes.from_dense(truth.dense()[:, :6]), truth) == pytest.approx(0.5)


def test_mcc_is_the_hungarian_mean_of_dense_correlations() -> None:
    scipy = pytest.importorskip("scipy.optimize")
    found, truth = some_codes(seed=1), some_codes()
    strength = torch.corrcoef(torch.cat([found.dense(), truth.dense()], 1).double().T)[:12, 12:].abs()
    rows, columns = scipy.linear_sum_assignment(strength.numpy(), maximize=True)
    assert mcc(found, truth) == pytest.approx(float(strength[rows, columns].mean()), abs=1e-12)


def test_mcc_leaves_out_what_never_varies() -> None:
    dense = some_codes().dense()
    dense[:, 0], dense[:, 1] = 0.0, 2.0
    assert mcc(Codes.from_dense(dense), Codes.from_dense(dense)) == pytest.approx(1)
    constant = Codes.from_dense(torch.ones(5, 3))
    assert mcc(constant, constant) != mcc(constant, constant)  # NaN


def test_support_by_hand() -> None:
    found = Codes(torch.tensor([[0, 1, 2], [3, 0, 0], [4, 0, 0]]), torch.tensor([[1.0, 1, 1], [1, 0, 0], [0, 0, 0]]), 5)
    truth = Codes(torch.tensor([[1, 2], [3, 4], [0, 0]]), torch.tensor([[1.0, -1], [5, 0], [0, 0]]), 5)
    counts = support(found, truth)
    assert counts == SupportCounts(rows=3, shared=3, found=4, truth=3, identical=2, overlaps=pytest.approx(2 + 2 / 3))
    assert (counts.precision, counts.recall, counts.exact) == (3 / 4, 1.0, 2 / 3)
    assert counts.f1 == pytest.approx(2 * 0.75 / 1.75)
    assert shared_atoms(found, truth).tolist() == [2, 1, 0]
    assert support(found[:1], truth[:1]) + support(found[1:], truth[1:]) == counts


def test_support_of_nothing() -> None:
    empty = Codes.empty(4, 6)
    assert (support(empty, empty).f1, support(empty, empty).overlap, support(empty, empty).exact) == (1.0, 1.0, 1.0)


def test_firings_add_up() -> None:
    codes = some_codes()
    assert torch.equal(firings(codes), (codes.dense() != 0).sum(0))
    assert torch.equal(firings(codes[:70]) + firings(codes[70:]), firings(codes))


@pytest.fixture
def pair() -> tuple[Tensor, Tensor]:
    g = torch.Generator().manual_seed(2)
    x = torch.randn(9000, 5, generator=g, dtype=torch.float64) + torch.arange(5.0)
    return x, 0.8 * x + 0.1 * torch.randn(9000, 5, generator=g, dtype=torch.float64)


def test_each_definition_is_the_formula_of_its_library(pair: tuple[Tensor, Tensor]) -> None:
    x, y = pair
    sums = ReconstructionSums.of(x, y)
    error, centred = (x - y).square().sum(1), (x - x.mean(0)).square().sum(1)
    assert sums.fvu == pytest.approx(float(error.sum() / centred.sum()))
    streaming = 1 - error.mean() / (x.square().sum(1).mean() - x.mean(0).square().sum())
    assert sums.explained_variance == pytest.approx(float(streaming))
    assert sums.explained_variance_legacy == pytest.approx(float((1 - error / centred).mean()))
    assert sums.frac_variance_explained == pytest.approx(float(1 - (x - y).var(0).sum() / x.var(0).sum()))
    assert sums.normalised_mse == pytest.approx(float((error / x.square().sum(1)).mean()))
    assert sums.shrinkage == pytest.approx(float((y.norm(dim=1) / x.norm(dim=1)).mean()))
    assert sums.without([0, 3]).fvu == pytest.approx(ReconstructionSums.of(x[:, [1, 2, 4]], y[:, [1, 2, 4]]).fvu)


def test_shards_add_up(pair: tuple[Tensor, Tensor]) -> None:
    x, y = pair
    centre = x.mean(0)
    whole = ReconstructionSums.of(x, y)
    parts = ReconstructionSums.none(5)
    for rows in (slice(0, 11), slice(11, 5000), slice(5000, 9000)):
        parts = parts + ReconstructionSums.of(x[rows], y[rows], centre)
    for name in ("fvu", *NAMES, "normalised_mse", "shrinkage"):
        assert getattr(parts, name) == pytest.approx(getattr(whole, name), rel=1e-12), name


def test_errors_of_a_reconstruction_by_their_names(pair: tuple[Tensor, Tensor]) -> None:
    x, y = pair
    sums = ReconstructionSums.of(x, y)
    assert sums.mse == pytest.approx(float(torch.nn.functional.mse_loss(y, x)))
    assert sums.squared_error == pytest.approx(5 * sums.mse)
    assert sums.relative_error == pytest.approx(float((x - y).square().sum() / x.square().sum()))


def test_nothing_to_explain() -> None:
    x = torch.ones(3, 2)
    assert ReconstructionSums.of(x, x).explained_variance == 1.0
    assert ReconstructionSums.of(x, 2 * x).explained_variance == -float("inf")
