"""The parts of `gap` one by one: the survey, the bootstrap, the atoms' refit, the proofs, the words."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from sparsegap.activations import Activations
from sparsegap.codes import Codes
from sparsegap.dictionary import Dictionary
from sparsegap.gap.bootstrap import Bootstrap, Totals, crossing, interval
from sparsegap.gap.controls import components_for, random_like
from sparsegap.gap.dictionary_refit import move_atoms
from sparsegap.gap.kkt import kkt_violation
from sparsegap.gap.ladder import Answer, Moment, best_of, refitted, strongest
from sparsegap.gap.survey import GROUPS, batches, group_of, survey
from sparsegap.gap.tally import Tally, aligned, quantile_of_histogram
from sparsegap.metrics.explained_variance import explained_variance
from sparsegap.problem import KSparse

WIDTH, ATOMS = 12, 30


@pytest.fixture
def x(generator: torch.Generator) -> Tensor:
    """200 activations far from the origin."""
    return 5 + torch.randn(200, WIDTH, generator=generator)


@pytest.fixture
def dictionary(generator: torch.Generator) -> Dictionary:
    return Dictionary(torch.randn(ATOMS, WIDTH, generator=generator), torch.randn(WIDTH, generator=generator))


def some_codes(n: int, k: int, generator: torch.Generator) -> Codes:
    return Codes(torch.rand(n, ATOMS, generator=generator).topk(k, 1).indices, torch.rand(n, k, generator=generator) + 0.5, ATOMS)


def totals(x: Tensor, group: Tensor) -> Totals:
    found = Totals.none(int(group.max()) + 1, x.shape[1])
    found.add(x, group)
    return found


def test_survey_finds_mean_covariance_and_contexts(x: Tensor) -> None:
    context = torch.arange(200) // 30 + 7
    found = survey(Activations.of(x, context))
    torch.testing.assert_close(found.mean, x.double().mean(0))
    torch.testing.assert_close(found.covariance, torch.cov(x.T.double(), correction=0), atol=1e-5, rtol=1e-5)
    assert found.context_ids.tolist() == list(range(7, 14))
    assert found.sizes.tolist() == [30] * 6 + [20]
    assert found.recorded


def test_without_contexts_blocks_of_rows_stand_in(x: Tensor) -> None:
    found = survey(Activations.of(x))
    assert found.sizes.tolist() == [128, 72]
    assert not found.recorded


def test_only_whole_contexts_are_drawn(x: Tensor, generator: torch.Generator) -> None:
    context = torch.arange(200) % 20
    activations = Activations.of(x, context)
    found = survey(activations)
    chosen = found.choose(35, generator)
    assert int(chosen.sum()) == 4
    rows = list(batches(activations, found, chosen, 16))
    assert [len(b) for b in rows] == [16, 16, 8]
    seen = torch.cat([b.row for b in rows])
    assert seen.tolist() == [i for i in range(200) if chosen[i % 20]]
    assert torch.equal(torch.cat([b.x for b in rows]), x[seen])
    assert torch.cat([b.context for b in rows]).unique().tolist() == [0, 1, 2, 3]


def test_many_contexts_share_groups_in_order() -> None:
    group = group_of(3 * GROUPS + 5)
    assert int(group.max()) == GROUPS - 1
    assert bool((group.diff() >= 0).all())
    assert group_of(3).tolist() == [0, 1, 2]


def test_first_draw_is_the_sample_itself(x: Tensor, generator: torch.Generator) -> None:
    group = torch.arange(200) // 20
    reconstruction = x + 0.3 * torch.randn(x.shape, generator=generator)
    errors = torch.zeros(10, dtype=torch.float64).index_add_(0, group, (x - reconstruction).double().square().sum(1))
    draws = Bootstrap(totals(x, group), 50, generator).fvu(errors)
    assert float(draws[0]) == pytest.approx(1 - explained_variance(x, reconstruction), rel=1e-9)
    assert len(draws) == 51


def test_dimensions_can_be_left_out(x: Tensor, generator: torch.Generator) -> None:
    group, keep = torch.arange(200) // 20, torch.ones(WIDTH, dtype=torch.bool)
    keep[3] = False
    x[:, 3] *= 100
    reconstruction = x + 0.3 * torch.randn(x.shape, generator=generator)
    errors = torch.zeros(10, dtype=torch.float64).index_add_(0, group, (x - reconstruction)[:, keep].double().square().sum(1))
    draws = Bootstrap(totals(x, group), 0, generator).fvu(errors, keep)
    assert float(draws[0]) == pytest.approx(1 - explained_variance(x[:, keep], reconstruction[:, keep]), rel=1e-9)


def test_one_context_has_no_interval(x: Tensor, generator: torch.Generator) -> None:
    draws = Bootstrap(totals(x, torch.zeros(200, dtype=torch.int64)), 50, generator)
    assert interval(draws.fvu(torch.ones(1, dtype=torch.float64)))[1:] == (None, None)


def test_intervals_cover_the_truth_about_as_often_as_they_say(generator: torch.Generator) -> None:
    """Contexts differ in how much of them is missed; resampling rows instead would cover far less."""
    contexts, rows, covered = 40, 10, 0
    group = torch.arange(contexts * rows) // rows
    for _ in range(200):
        x = torch.randn(contexts * rows, 4, generator=generator)
        share = 0.2 + 0.1 * torch.randn(contexts, generator=generator)[group, None]
        errors = torch.zeros(contexts, dtype=torch.float64).index_add_(0, group, (share * x).double().square().sum(1))
        _, low, high = interval(Bootstrap(totals(x, group), 200, generator).fvu(errors))
        assert low is not None
        assert high is not None
        covered += low <= 0.05 <= high
    assert 0.85 <= covered / 200 <= 0.99


def test_crossing_of_an_exponential_is_exact() -> None:
    atoms = [torch.tensor([float(k)], dtype=torch.float64) for k in (4, 8, 16)]
    errors = [torch.exp(-a / 5) for a in atoms]
    found, spans = crossing(atoms, errors, torch.exp(torch.tensor([-11.0 / 5], dtype=torch.float64)))
    assert float(found) == pytest.approx(11)
    assert spans
    assert crossing(atoms, errors, torch.tensor([0.99], dtype=torch.float64)) == (atoms[0], False)
    assert not crossing(atoms, errors, torch.tensor([1e-9], dtype=torch.float64))[1]


def test_moved_atoms_are_the_ridge_solution(dictionary: Dictionary, x: Tensor, generator: torch.Generator) -> None:
    codes = some_codes(200, 4, generator)
    dense, pull = codes.dense().double(), 0.5
    ridge = pull * float(dense.square().sum(0)[dense.square().sum(0) > 0].mean())
    target = dense.T @ (x.double() - dictionary.bias - dense @ dictionary.atoms.double())
    wanted = dictionary.atoms + torch.linalg.solve(dense.T @ dense + ridge * torch.eye(ATOMS), target)
    found = move_atoms(dictionary, codes, x, pull, iterations=60)
    torch.testing.assert_close(found.atoms.double(), wanted, atol=1e-4, rtol=1e-4)


def test_unused_atoms_stay(dictionary: Dictionary, x: Tensor) -> None:
    codes = Codes(torch.zeros(200, 1, dtype=torch.int32), torch.ones(200, 1), ATOMS)
    moved = move_atoms(dictionary, codes, x, 0.1).atoms
    assert torch.equal(moved[1:], dictionary.atoms[1:])
    assert not torch.equal(moved[0], dictionary.atoms[0])


def test_kkt_violation_is_zero_at_the_optimum_and_sees_a_wrong_amplitude(
    dictionary: Dictionary, x: Tensor, generator: torch.Generator
) -> None:
    support = some_codes(200, 5, generator)
    codes = refitted(KSparse(dictionary, support.l0()), x, support).codes
    assert codes is not None
    assert float(kkt_violation(dictionary, x, codes, support, True).max()) < 1e-5
    off = Codes(codes.indices, codes.values * 1.1, ATOMS)
    assert float(kkt_violation(dictionary, x, off, support, True)[codes.l0() > 0].min()) > 1e-4


def test_kkt_violation_sees_an_atom_wrongly_at_zero(dictionary: Dictionary, generator: torch.Generator) -> None:
    support = some_codes(50, 3, generator)
    x = dictionary.decode(support)
    assert float(kkt_violation(dictionary, x, support, support, True).max()) < 1e-6
    missing = Codes(support.indices, support.values * torch.tensor([1.0, 1.0, 0.0]), ATOMS)
    assert float(kkt_violation(dictionary, x, missing, support, True).min()) > 1e-3


def test_best_of_takes_the_least_error_of_each_sample(dictionary: Dictionary, generator: torch.Generator) -> None:
    true = some_codes(20, 3, generator)
    x = dictionary.decode(true)
    worse = Codes(true.indices, true.values * 0.5, ATOMS)
    first = torch.arange(20)[:, None] < 10
    mixed = [Codes(true.indices, torch.where(first == flag, true.values, worse.values), ATOMS) for flag in (True, False)]
    moment = Moment(x, KSparse(dictionary, true.l0()), dict(zip("ab", (Answer(c, dictionary) for c in mixed), strict=True)))
    found = best_of(moment, "ab").codes
    assert found is not None
    assert torch.equal(found.dense(), true.dense())


def test_strongest_half_is_by_contribution(dictionary: Dictionary) -> None:
    atoms = torch.eye(4)
    atoms[0] *= 10
    codes = Codes(torch.tensor([[0, 1, 2, 3], [1, 2, 3, 0]]), torch.tensor([[1.0, 5.0, 2.0, 0.0], [3.0, 1.0, 0.0, 0.0]]), 4)
    assert strongest(codes, Dictionary(atoms), 0.5).dense().tolist() == [[1, 5, 0, 0], [0, 3, 0, 0]]


def test_aligned_values_follow_the_atoms() -> None:
    own = Codes(torch.tensor([[3, 1, 0]]), torch.tensor([[1.0, 2.0, 0.0]]), 5)
    other = Codes(torch.tensor([[1, 4]]), torch.tensor([[7.0, 8.0]]), 5)
    assert aligned(own, other).tolist() == [[0, 7, 0]]


def test_tally_adds_up_over_batches(dictionary: Dictionary, x: Tensor, generator: torch.Generator) -> None:
    codes, group, rest = some_codes(200, 4, generator), torch.arange(200) // 50, torch.ones(WIDTH, dtype=torch.bool)
    whole, parts = Tally(4, WIDTH, rest), Tally(4, WIDTH, rest)
    for tally, cuts in ((whole, [slice(0, 200)]), (parts, [slice(0, 70), slice(70, 200)])):
        for rows in cuts:
            tally.add(x[rows], dictionary.decode(codes[rows]), codes[rows], group[rows], x.mean(0), 0.3)
            tally.compare(codes[rows], codes[rows])
    torch.testing.assert_close(whole.errors, parts.errors)
    assert whole.objective == pytest.approx(parts.objective)
    assert whole.objective == pytest.approx(float(0.5 * whole.errors.sum() + 0.3 * codes.values.double().sum()))
    assert whole.histogram.tolist() == parts.histogram.tolist() == [0, 0, 0, 0, 200]
    assert parts.fvu == pytest.approx(1 - explained_variance(x, dictionary.decode(codes)))
    assert parts.counts is not None
    assert parts.counts.f1 == 1


def test_quantiles_of_a_histogram() -> None:
    histogram = torch.tensor([1, 0, 2, 1])
    assert [quantile_of_histogram(histogram, q) for q in (0, 0.25, 0.5, 0.75, 1)] == [0, 0, 2, 2, 3]


def test_random_atoms_keep_the_norms_and_follow_a_covariance(dictionary: Dictionary, generator: torch.Generator) -> None:
    covariance = torch.diag(torch.tensor([1000.0] + [1.0] * (WIDTH - 1), dtype=torch.float64))
    plain, matched = random_like(dictionary, generator), random_like(dictionary, generator, covariance)
    for atoms in (plain.atoms, matched.atoms):
        torch.testing.assert_close(atoms.norm(dim=1), dictionary.norms)
    share = [float((d.unit.atoms[:, 0].square()).mean()) for d in (plain, matched)]
    assert share[0] < 0.25
    assert share[1] > 0.7


def test_components_needed_for_an_error() -> None:
    covariance = torch.diag(torch.tensor([4.0, 3.0, 2.0, 1.0], dtype=torch.float64))
    assert [components_for(covariance, fvu) for fvu in (0.61, 0.59, 0.2, 0.0)] == [1, 2, 3, 4]
    assert math.isfinite(components_for(torch.zeros(3, 3, dtype=torch.float64), 0.5))
