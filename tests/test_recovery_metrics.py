"""Recovery scores against closed forms, SciPy, SAELens' definitions written out, and the truth itself."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.optimize import linear_sum_assignment
from torch import Tensor

from sparsegap import Codes, Dictionary, InputError, Iterative, KSparse
from sparsegap.correlations import Correlations
from sparsegap.matching import match
from sparsegap.metrics.dictionary_match import chance, dictionary_match, greedy_pearson
from sparsegap.metrics.feature_f1 import feature_f1
from sparsegap.metrics.mcc import mcc
from sparsegap.problem import Problem
from sparsegap.recovery import recovery, renamed
from sparsegap.source import Source, parse_source


def random_dictionary(m: int, d: int, seed: int) -> Dictionary:
    return Dictionary(torch.randn(m, d, generator=torch.Generator().manual_seed(seed)))


def random_codes(n: int, m: int, seed: int, share: float = 0.2) -> Codes:
    g = torch.Generator().manual_seed(seed)
    return Codes.from_dense(torch.randn(n, m, generator=g).abs() * (torch.rand(n, m, generator=g) < share))


# --- matching ---


@pytest.mark.parametrize(("n_found", "n_truth"), [(60, 60), (80, 50), (50, 80), (1, 9)])
def test_pruned_matching_is_within_its_own_bound_of_the_best(n_found: int, n_truth: int) -> None:
    similarity = np.random.default_rng(0).random((n_truth, n_found)) ** 4
    rows, columns = linear_sum_assignment(similarity, maximize=True)
    best = similarity[rows, columns].sum()
    for candidates in (1, 3, 10, 200):
        found = match(lambda block: similarity[block], n_found, n_truth, exact=0, candidates=candidates)
        matched = found.partner >= 0
        assert len(set(found.partner[matched])) == matched.sum()
        np.testing.assert_array_equal(found.strength[matched], similarity[matched, found.partner[matched]])
        assert not found.strength[~matched].any()
        assert found.strength.sum() <= best + 1e-12 <= found.bound + 2e-12
    assert found.strength.sum() == pytest.approx(best) and found.gap == pytest.approx(0, abs=1e-12)  # every pair was a candidate


def test_pruned_and_exact_agree_on_all_else(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sparsegap.matching.BLOCK", 7 * 20)  # several blocks
    similarity = np.random.default_rng(1).random((30, 20))
    exact, pruned = (match(lambda block: similarity[block], 20, 30, exact=limit) for limit in (30, 29))
    for name in ("nearest", "reach", "best", "strength", "partner"):
        np.testing.assert_array_equal(getattr(exact, name), getattr(pruned, name), err_msg=name)
    assert exact.gap == 0
    np.testing.assert_array_equal(exact.nearest, similarity.argmax(0))
    np.testing.assert_array_equal(exact.best, similarity.max(1))


# --- codes ---


def test_correlations_are_scipys() -> None:
    found, truth = random_codes(300, 9, 0), random_codes(300, 7, 1)
    expected = np.corrcoef(torch.cat([truth.dense(), found.dense()], 1).double().numpy().T)[:7, 7:]
    np.testing.assert_allclose(Correlations(found, truth).of(slice(0, 7)), expected, atol=1e-12)
    np.testing.assert_allclose(Correlations(found, truth).of(slice(2, 5)), expected[2:5], atol=1e-12)


@pytest.mark.parametrize("n", [7, 300, 1000])
def test_rounding_is_no_variation(n: int) -> None:
    constants = torch.tensor([[0.1, 0.3, 0.7, 1.9, 11.3, 1e-3]], dtype=torch.float64).expand(n, 6)
    assert not Correlations(random_codes(n, 3, 0), Codes.from_dense(constants)).varies.any()


def test_pruned_code_matching_is_the_exact_one() -> None:
    truth = random_codes(500, 40, 2)
    found = Codes.from_dense(truth.dense().flip(1) + 0.3 * random_codes(500, 40, 3).dense())
    exact, pruned = (Correlations(found, truth).matched(exact=limit) for limit in (4096, 10))
    assert pruned.gap == pytest.approx(0, abs=1e-12)
    assert exact.partner.tolist() == pruned.partner.tolist() == list(range(39, -1, -1))
    assert exact.strength.mean() == pytest.approx(mcc(found, truth))


def test_the_strongest_latents_only() -> None:
    """arXiv:2603.28744: as many found latents as true ones vary, those of the largest variance."""
    truth = random_codes(400, 10, 4).dense()
    truth[:, 6:] = 0
    found = truth.clone()
    found[:, 8] = 100 * torch.rand(400, generator=torch.Generator().manual_seed(0))  # a loud latent that means nothing takes a place
    quietest = int(found[:, :6].var(0).argmin())
    given = Codes.from_dense(found), Codes.from_dense(truth)
    assert mcc(*given) == pytest.approx(1)
    strongest = Correlations(*given).matched(strongest=True)
    assert strongest.strength[quietest] < 0.2
    assert mcc(*given, strongest=True) == pytest.approx((5 + strongest.strength[quietest]) / 6)


# --- dictionaries ---


def test_cosines_under_the_best_matching() -> None:
    learned, truth = random_dictionary(14, 6, 0), random_dictionary(10, 6, 1)
    cosines = torch.nn.functional.cosine_similarity(truth.atoms[:, None], learned.atoms, dim=2).double()
    for signed, similarity in ((True, cosines.clamp_min(0)), (False, cosines.abs())):
        rows, columns = linear_sum_assignment(similarity.numpy(), maximize=True)
        found = dictionary_match(learned, truth, signed=signed)
        assert found.mcc == pytest.approx(float(similarity[rows, columns].mean()), abs=1e-6)
        assert found.recall(0.6) == pytest.approx(float((similarity[rows, columns] >= 0.6).double().mean()))
        assert found.mean_max_truth == pytest.approx(float(similarity.max(1).values.mean()), abs=1e-6)
        assert found.mean_max_learned == pytest.approx(float(similarity.max(0).values.mean()), abs=1e-6)
        assert found.uniqueness == len(similarity.argmax(0).unique()) / 14  # as SAELens defines it


def test_sign_and_what_is_missing() -> None:
    truth = random_dictionary(8, 20, 2)
    turned = Dictionary(-truth.atoms)
    assert dictionary_match(turned, truth, signed=False).mcc == pytest.approx(1, abs=1e-6)
    assert dictionary_match(turned, truth).mcc < 0.5
    half = Dictionary(torch.cat([truth.atoms[:4], torch.zeros(4, 20)]))
    found = dictionary_match(half, truth)
    assert found.recall() == 0.5 and found.mcc == pytest.approx(0.5, abs=0.01)
    few = dictionary_match(Dictionary(truth.atoms[:4]), truth)
    assert (few.mcc, few.recall(), few.matching.partner.tolist()) == (pytest.approx(0.5, abs=1e-6), 0.5, [0, 1, 2, 3, -1, -1, -1, -1])
    doubled = dictionary_match(Dictionary(truth.atoms[[0, 0, 1, 1]]), truth)
    assert (doubled.recall(), doubled.uniqueness) == (0.25, 0.5)


def test_recall_counts_the_atoms_found() -> None:
    truth = Dictionary(torch.eye(40, dtype=torch.float64))
    angle = torch.linspace(0, 1.5, 40, dtype=torch.float64)
    learned = torch.diag(angle.cos()) + torch.diag(angle.sin(), 0).roll(1, 1)  # each turned towards its neighbour
    cosines = torch.nn.functional.normalize(learned, dim=1).diagonal()
    found = dictionary_match(Dictionary(learned[:20]), truth)  # those that are nearest to their own
    for threshold in (0.8, 0.9, 0.95):
        assert found.recall(threshold) == int((cosines >= threshold).sum()) / 40


@pytest.mark.parametrize(("m", "d", "level"), [(16, 8, 0.634), (32, 8, 0.702), (128, 8, 0.805), (16, 16, 0.452), (128, 32, 0.448)])
def test_the_papers_score_of_random_dictionaries_is_the_known_chance_level(m: int, d: int, level: float) -> None:
    runs = 30 if m < 100 else 4
    mean = np.mean([greedy_pearson(random_dictionary(m, d, seed), random_dictionary(m, d, 1000 + seed)) for seed in range(runs)])
    assert mean == pytest.approx(level, abs=0.02)
    truth = random_dictionary(m, d, 0)
    assert greedy_pearson(Dictionary(-2 * truth.atoms.flip(0)), truth) == pytest.approx(1)


def test_greed_takes_the_largest_pair_first() -> None:
    learned, truth = random_dictionary(9, 6, 0), random_dictionary(13, 6, 1)
    strength, taken = np.abs(np.corrcoef(truth.atoms.double().numpy(), learned.atoms.double().numpy())[:13, 13:]), []
    for _ in range(9):
        row, column = np.unravel_index(strength.argmax(), strength.shape)
        taken.append(strength[row, column])
        strength[row], strength[:, column] = -1, -1
    assert greedy_pearson(learned, truth) == pytest.approx(sum(taken) / 13)


def test_chance_is_what_random_directions_get() -> None:
    """The largest of many |cosines| in high dimensions: below √(2 ln m / d), and never the truth of the same seed."""
    truth = Dictionary(torch.nn.functional.normalize(random_dictionary(512, 64, 0).atoms, dim=1))
    level = chance(512, truth)
    assert level.mcc == chance(512, truth).mcc != chance(512, truth, seed=1).mcc
    assert 0.3 < level.mcc < level.mean_max_truth < (2 * np.log(512) / 64) ** 0.5
    assert level.recall(0.8) == 0


# --- features ---


def test_feature_scores_as_saelens_defines_them() -> None:
    """Precision, recall, F1 of every latent for the feature that its decoder is nearest to, 0 where undefined, then the mean."""
    found, truth = random_codes(250, 9, 0), random_codes(250, 6, 1)
    dead = found.dense()
    dead[:, 3] = 0
    found, nearest = Codes.from_dense(dead), np.array([0, 1, 1, 5, 2, 2, 4, 0, 0])
    fires, occurs = found.dense() != 0, (truth.dense() != 0)[:, nearest]
    hits = (fires & occurs).sum(0).double()
    precision, recall = hits / fires.sum(0).clamp_min(1), hits / occurs.sum(0).clamp_min(1)
    f1 = torch.where(precision + recall > 0, 2 * precision * recall / (precision + recall).clamp_min(1e-12), 0.0)
    scores = feature_f1(found, truth, latents=np.arange(9), features=nearest)
    assert scores.precision == pytest.approx(float(precision.mean()))
    assert scores.recall == pytest.approx(float(recall.mean()))
    assert scores.f1 == pytest.approx(float(f1.mean()))


def test_a_feature_without_a_latent_scores_nothing() -> None:
    truth = random_codes(100, 4, 0)
    scores = feature_f1(truth, truth, latents=np.array([0, -1, 2, -1]), features=np.arange(4))
    assert (scores.f1, scores.precision, scores.recall) == (0.5, 0.5, 0.5)
    with pytest.raises(InputError, match="3 latents cannot be paired with 4 features"):
        feature_f1(truth, truth, latents=np.arange(3))
    with pytest.raises(InputError, match="4 latents cannot be paired with 6 features"):
        feature_f1(truth, random_codes(100, 6, 1))
    with pytest.raises(InputError, match=r"100 samples.*50"):
        feature_f1(truth, truth[:50])


# --- all of it ---


class Oracle:
    """Returns codes that it was given."""

    def __init__(self, codes: Codes) -> None:
        self.codes = codes

    def encode(self, x: Tensor, problem: Problem | None = None) -> Codes:
        return self.codes


@pytest.fixture
def source() -> Source:
    return parse_source("uniform:atoms=40,width=25,active=3,seed=1")


def test_the_truth_in_another_order_recovers_all(source: Source) -> None:
    truth = source.test(800).codes
    order = torch.randperm(40, generator=torch.Generator().manual_seed(0))
    place = torch.empty_like(order)
    place[order] = torch.arange(40)
    codes = Codes(place[truth.indices.long()], truth.values, 40)
    scores = recovery(source, Oracle(codes), Dictionary(source.dictionary.atoms[order]), n=800)
    for name, score in scores.items():
        assert isinstance(score, float), name
        zero = name.startswith("code_error") or name in ("fvu", "mse", "normalised_mse", "relative_error", "dead")
        expected = {"l0": 3.0, "l0_truth": 3.0, "l1": float(truth.values.sum()) / 800}.get(name, 0.0 if zero else 1.0)
        if not name.endswith("_chance"):
            assert score == pytest.approx(expected, abs=1e-6), name
    assert 0.3 < scores["dictionary_mcc_chance"] < scores["mean_max_truth_chance"] < 0.7
    assert scores["code_mcc_chance"] < 0.2 < scores["greedy_pearson_chance"] < 0.6


def test_half_a_dictionary_recovers_half(source: Source) -> None:
    truth = source.test(2000).codes
    known = Codes(truth.indices, truth.values * (truth.indices < 20), 40)
    atoms = source.dictionary.atoms.clone()
    atoms[20:] = 0
    scores = recovery(source, Oracle(known), Dictionary(atoms), n=2000, with_chance=False)
    for name in ("recall_95", "dead"):
        assert scores[name] == 0.5, name
    for name in ("dictionary_mcc", "code_mcc", "feature_f1", "feature_precision", "feature_recall", "nearest_f1"):
        assert scores[name] == pytest.approx(0.5, abs=1e-6), name
    assert scores["support_precision"] == 1.0
    assert scores["support_recall"] == pytest.approx(float((truth.indices < 20).double().mean()))
    assert scores["exact_support"] == pytest.approx(float((truth.indices < 20).all(1).double().mean()))
    assert not [name for name in scores if name.endswith("_chance")]


def test_latents_get_the_names_of_their_partners() -> None:
    truth = random_dictionary(5, 30, 0)
    learned = Dictionary(torch.cat([random_dictionary(2, 30, 9).atoms, truth.atoms[[3, 1]]]))
    match = dictionary_match(learned, Dictionary(truth.atoms[[1, 3]]))
    codes = Codes(torch.tensor([[0, 1, 2, 3]]), torch.ones(1, 4), 4)
    assert renamed(codes, match).indices.tolist() == [[2, 3, 1, 0]] and renamed(codes, match).n_atoms == 6


def test_a_solver_on_the_true_dictionary_of_a_shifted_test(source: Source) -> None:
    shifted = parse_source("compositional:atoms=40,width=30,active=3,seed=1")
    problem = KSparse(shifted.dictionary, 3)
    out = recovery(shifted, Iterative("omp"), shifted.dictionary, n=500, problem=problem)
    assert out["dictionary_mcc"] == pytest.approx(1) and out["l0_truth"] == 3
    assert out["code_mcc"] > 0.9 and out["exact_support"] > 0.8 and out["fvu"] < 0.05
    assert out["feature_f1"] > 0.9  # though half of the features never occur there
    assert out != recovery(shifted, Iterative("omp"), shifted.dictionary, n=500, problem=problem, split="in")


def test_signed_codes_may_have_their_atoms_turned() -> None:
    source = parse_source("uniform:atoms=20,width=30,active=2,signed=true")
    truth = source.test(300).codes
    turned = Oracle(Codes(truth.indices, -truth.values, 20))
    scores = recovery(source, turned, Dictionary(-source.dictionary.atoms), n=300)
    assert scores["dictionary_mcc"] == pytest.approx(1) and scores["exact_support"] == 1 and scores["code_mcc"] == pytest.approx(1)
