"""One-to-one matching against brute force over permutations, SciPy, naive greed; correlations added up over batches against all at once."""

from __future__ import annotations

from itertools import permutations

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from sparsegap import Codes, Dictionary, InputError
from sparsegap.correlations import Correlations
from sparsegap.matching import match
from sparsegap.metrics.dictionary_match import dictionary_match
from sparsegap.metrics.mcc import code_match, mcc

Floats = NDArray[np.float64]
SHAPES = [(5, 5), (6, 4), (4, 6), (1, 6), (6, 1)]


def similarity(n_found: int, n_truth: int, seed: int = 0) -> Floats:
    return np.random.default_rng(seed).random((n_truth, n_found)) ** 3


def naive_greed(strength: Floats) -> tuple[list[int], float]:
    left, partner = strength.copy(), [-1] * len(strength)
    for _ in range(min(strength.shape)):
        row, column = np.unravel_index(left.argmax(), left.shape)
        partner[row] = int(column)
        left[row], left[:, column] = -1, -1
    return partner, sum(strength[row, column] for row, column in enumerate(partner) if column >= 0)


def best_by_permutations(strength: Floats) -> float:
    n_truth, n_found = strength.shape
    if n_truth > n_found:
        return best_by_permutations(strength.T)
    return max(sum(strength[row, column] for row, column in enumerate(chosen)) for chosen in permutations(range(n_found), n_truth))


@pytest.mark.parametrize(("n_found", "n_truth"), SHAPES)
@pytest.mark.parametrize("seed", range(5))
def test_every_way_against_all_permutations(n_found: int, n_truth: int, seed: int) -> None:
    strength = similarity(n_found, n_truth, seed)
    best = best_by_permutations(strength)
    exact = match(lambda rows: strength[rows], n_found, n_truth)
    assert exact.strength.sum() == pytest.approx(best) == exact.bound
    for candidates in (1, 2, 6):
        pruned = match(lambda rows: strength[rows], n_found, n_truth, exact=0, candidates=candidates)
        greedy = match(lambda rows: strength[rows], n_found, n_truth, way="greedy", candidates=candidates)
        assert pruned.strength.sum() <= best + 1e-12 and best <= pruned.bound + 1e-12
        assert best / 2 <= greedy.strength.sum() + 1e-12 and greedy.strength.sum() <= best + 1e-12 and best <= greedy.bound + 1e-12


@pytest.mark.parametrize(("n_found", "n_truth"), [(70, 70), (90, 50), (50, 90)])
@pytest.mark.parametrize("candidates", [1, 4, 200])
def test_greed_takes_the_largest_pair_that_is_left(n_found: int, n_truth: int, candidates: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sparsegap.matching.BLOCK", 9 * n_found)  # several blocks
    strength = similarity(n_found, n_truth)
    partner, total = naive_greed(strength)
    found = match(lambda rows: strength[rows], n_found, n_truth, way="greedy", candidates=candidates)
    assert found.partner.tolist() == partner
    assert found.strength.sum() == pytest.approx(total)
    np.testing.assert_array_equal(found.nearest, strength.argmax(0))
    np.testing.assert_array_equal(found.best, strength.max(1))


def test_greed_may_get_as_little_as_half_and_its_bound_knows() -> None:
    strength = np.array([[0.5, 0.501], [0.0, 0.5]])
    found = match(lambda rows: strength[rows], 2, 2, way="greedy")
    assert found.strength.sum() == 0.501 and found.partner.tolist() == [1, -1]
    assert 1.0 <= found.bound <= 1.002
    clear = match(lambda rows: np.eye(5)[rows] * 0.9, 5, 5, way="greedy")
    assert clear.gap == 0 and clear.partner.tolist() == [0, 1, 2, 3, 4]


def test_nothing_similar_stays_apart() -> None:
    found = match(lambda rows: np.zeros((len(rows), 3)), 3, 4, way="greedy")
    assert found.partner.tolist() == [-1] * 4 and found.bound == found.gap == 0
    with pytest.raises(InputError, match="one of best, greedy, not 'fast'"):
        match(lambda rows: np.zeros((len(rows), 3)), 3, 4, way="fast")  # type: ignore[arg-type]


def test_atoms_and_codes_matched_greedily() -> None:
    g = torch.Generator().manual_seed(0)
    learned, truth = Dictionary(torch.randn(30, 12, generator=g)), Dictionary(torch.randn(25, 12, generator=g))
    cosines = (truth.unit.atoms @ learned.unit.atoms.T).abs().double().numpy()
    greedy, best = (dictionary_match(learned, truth, signed=False, way=way) for way in ("greedy", "best"))
    assert greedy.mcc == pytest.approx(naive_greed(cosines)[1] / 25, abs=1e-6)
    assert greedy.mcc <= best.mcc == best.bound <= greedy.bound
    found, true = some_codes(300, 30, 1), some_codes(300, 25, 2)
    strength = np.abs(np.corrcoef(true.dense().double().numpy().T, found.dense().double().numpy().T)[:25, 25:])
    assert mcc(found, true, way="greedy") == pytest.approx(naive_greed(strength)[1] / 25)


def test_the_score_of_saelens_is_ours_without_signs() -> None:
    theirs = pytest.importorskip("sae_lens.synthetic.evals")
    g = torch.Generator().manual_seed(0)
    for n_learned in (20, 28):
        learned, truth = torch.randn(n_learned, 9, generator=g), torch.randn(20, 9, generator=g)
        assert dictionary_match(Dictionary(learned), Dictionary(truth), signed=False).mcc == pytest.approx(
            theirs.mean_correlation_coefficient(learned, truth), abs=1e-6)


# --- correlations ---


def some_codes(n: int, m: int, seed: int, offset: float = 0.0) -> Codes:
    g = torch.Generator().manual_seed(seed)
    return Codes.from_dense((torch.randn(n, m, generator=g, dtype=torch.float64) + offset) * (torch.rand(n, m, generator=g) < 0.3))


@pytest.mark.parametrize(("least", "single"), [(1 << 20, 1 << 27), (0, 1 << 27), (0, 0)], ids=["waiting", "folded", "in float32"])
def test_batches_add_up_to_all_at_once(least: int, single: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sparsegap.correlations.LEAST", least)
    monkeypatch.setattr("sparsegap.correlations.SINGLE", single)
    found, truth = some_codes(700, 11, 0, 3.0), some_codes(700, 8, 1)
    whole, total = Correlations(found, truth), Correlations.none(11, 8)
    for first, last in ((0, 1), (1, 200), (200, 200), (200, 700)):
        total += Correlations(found[first:last], truth[first:last])
    assert total.n == 700 and total.shape == (8, 11)
    assert (total._folded is not None) == (least == 0)
    tolerance = 1e-12 if single else 1e-6
    np.testing.assert_allclose(total.of(np.arange(8)), whole.of(np.arange(8)), atol=tolerance)
    np.testing.assert_allclose(total.of(slice(2, 5)), whole.of(np.arange(2, 5)), atol=tolerance)
    assert code_match(total).mcc == pytest.approx(mcc(found, truth), abs=tolerance)
    left, right = Correlations(found[:300], truth[:300]), Correlations(found[300:], truth[300:])
    left += right
    np.testing.assert_allclose(left.of(np.arange(8)), whole.of(np.arange(8)), atol=tolerance)


def test_folded_sums_of_two_workers_add_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sparsegap.correlations.LEAST", 0)
    found, truth, workers = some_codes(400, 9, 0), some_codes(400, 7, 1), []
    for half in (slice(0, 200), slice(200, 400)):
        worker = Correlations.none(9, 7)
        worker += Correlations(found[half], truth[half])
        workers.append(worker)
    assert all(worker._folded is not None for worker in workers)
    total = Correlations.none(9, 7)
    for worker in workers:
        total += worker
    np.testing.assert_allclose(total.of(np.arange(7)), Correlations(found, truth).of(np.arange(7)), atol=1e-12)
    np.testing.assert_allclose(workers[1].of(np.arange(7)), Correlations(found[200:], truth[200:]).of(np.arange(7)), atol=1e-12)


def test_a_constant_is_constant_in_batches_too() -> None:
    constants = Codes.from_dense(torch.tensor([[0.1, 0.3, 0.7, 1.9, 11.3, 1e-3]], dtype=torch.float64).expand(1000, 6))
    total = Correlations.none(3, 6)
    for first in range(0, 1000, 77):
        rows = slice(first, first + 77)
        total += Correlations(some_codes(1000, 3, 0)[rows], constants[rows])
    assert total.n == 1000 and not total.varies.any()
    assert code_match(total).mcc != code_match(total).mcc  # NaN: there is nothing to recover


def test_other_latents_do_not_add_up() -> None:
    total = Correlations.none(9, 7)
    with pytest.raises(InputError, match=r"\(8, 9\).*\(7, 9\)"):
        total += Correlations.none(9, 8)


def test_pruned_codes_have_their_bound_beside_them() -> None:
    found, truth = some_codes(200, 60, 0), some_codes(200, 50, 1)
    best = code_match(Correlations(found, truth))
    assert best.bound == pytest.approx(best.mcc)
    for matching in (Correlations(found, truth).matched(exact=0), Correlations(found, truth).matched("greedy")):
        assert matching.strength.sum() / 50 <= best.mcc <= matching.bound / 50 + 1e-12
    assert code_match(Correlations(found, truth), way="greedy").bound >= best.mcc
