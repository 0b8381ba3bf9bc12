"""Which atoms fire together: correlated, hierarchical, categorical and multidimensional sources against closed forms."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from scipy import stats

from sparsegap import InputError, registry
from sparsegap.firing import runs, zipf_probabilities
from sparsegap.numbered import noise_of_snr_db, snr_db_of_noise
from sparsegap.source import Source, parse_source
from sparsegap.sources.categorical import Categorical
from sparsegap.sources.correlated import Correlated
from sparsegap.sources.hierarchical import Hierarchical
from sparsegap.sources.multidimensional import Multidimensional
from sparsegap.sources.uniform import Uniform
from sparsegap.sources.zipf import Zipf
from sparsegap.synthetic import MEAN_SIZES, Magnitudes

FARTHEST = 5.0  # standard deviations of a count
N = 40_000


def active(source: Source, n: int = N, split: str = "train") -> np.ndarray:
    """(n, m) 0 and 1."""
    codes = source.batch(0, n).codes if split == "train" else source.test(n, "out" if split == "out" else "in").codes
    return (codes.dense() != 0).double().numpy()


def agree(found: np.ndarray, expected: np.ndarray, n: int = N) -> None:
    """Shares of n samples are probabilities, up to chance; 0 and 1 are exact."""
    expected = np.asarray(expected)
    spread = np.sqrt(expected * (1 - expected) / n)
    assert np.abs(found - expected).max(initial=0) < 1e-9 + FARTHEST * spread.max(initial=0)
    assert (np.abs(found - expected) <= 1e-9 + FARTHEST * spread).all()


def test_zipf_probabilities_add_up_and_stop_at_one() -> None:
    p = zipf_probabilities(50, 6, 1.0)
    assert p.sum() == pytest.approx(6) and p.max() == 1 and (np.diff(p) <= 0).all()
    free = p < 1
    assert (p * np.arange(1, 51))[free] == pytest.approx(float(p[-1] * 50))
    assert zipf_probabilities(10, 3, 0).tolist() == pytest.approx([0.3] * 10)
    assert zipf_probabilities(10, 10, 2).tolist() == [1] * 10
    counts = np.arange(1.0, 11)
    assert zipf_probabilities(10, 20, 1, counts) @ counts == pytest.approx(20)


def test_runs_halve() -> None:
    falling = np.sort(np.random.default_rng(0).random(200))[::-1] ** 3
    falling[-5:] = 0
    starts = runs(falling)
    assert starts[0] == 0 and starts[-1] == 195
    for first, last in itertools.pairwise(starts):
        assert falling[last - 1] >= falling[first] / 2 and (last == 195 or falling[last] < falling[first] / 2)
    assert runs(np.full(7, 0.2)).tolist() == [0, 7]


def test_zipf_of_independent_atoms() -> None:
    source = Zipf(atoms=60, width=4, active=5, exponent=1.0, exact=False)
    z = active(source)
    agree(z.mean(0), source.probabilities)
    agree((z.T @ z / N)[~np.eye(60, dtype=bool)], np.outer(source.probabilities, source.probabilities)[~np.eye(60, dtype=bool)])


def orthant(p: float, q: float, correlation: float) -> float:
    """P(both) of two Gaussians of this correlation above the thresholds of p and q, by numerical integration."""
    limits = stats.norm.ppf([p, q])
    return float(stats.multivariate_normal([0, 0], [[1, correlation], [correlation, 1]]).cdf(limits))


@pytest.mark.parametrize("exponent", [0.0, 1.0])
def test_a_copula_keeps_probabilities_and_correlates_as_said(exponent: float) -> None:
    source = Correlated(atoms=13, width=4, active=4, groups=3, within=0.6, between=0.3, rank=2, exponent=exponent, seed=1)
    z = active(source)
    p = source.probabilities
    agree(z.mean(0), p)
    directions = source.loadings / 0.3**0.5
    assert np.allclose(np.linalg.norm(directions, axis=1), 1)
    pairs, both = [(0, 3), (1, 4), (2, 11), (0, 1), (1, 2), (5, 9), (10, 12)], z.T @ z / N
    expected = [orthant(p[i], p[j], 0.6 if i % 3 == j % 3 else 0.3 * directions[i % 3] @ directions[j % 3]) for i, j in pairs]
    agree(np.array([both[i, j] for i, j in pairs]), np.array(expected))
    alone = active(source, split="out")
    agree(alone.mean(0), p)
    agree(np.array([(alone.T @ alone / N)[i, j] for i, j in pairs]), np.array([p[i] * p[j] for i, j in pairs]))


def test_a_fixed_number_of_correlated_atoms_is_those_furthest_above_their_thresholds() -> None:
    """In distribution: against the definition, drawn densely with numpy."""
    source = Correlated(atoms=12, width=4, active=3, groups=3, within=0.7, between=0.4, rank=2, exponent=1.0, exact=True, seed=2)
    z = active(source)
    assert set(z.sum(1)) == {3}
    generator = np.random.default_rng(0)
    v = generator.normal(size=(N, 2)) @ source.loadings.T + 0.3**0.5 * generator.normal(size=(N, 3))
    margins = v[:, np.arange(12) % 3] + 0.3**0.5 * generator.normal(size=(N, 12)) - source._balanced
    direct = np.zeros((N, 12))
    np.put_along_axis(direct, np.argsort(-margins, axis=1)[:, :3], 1.0, axis=1)
    found, wanted = z.T @ z / N, direct.T @ direct / N
    assert np.abs(found - wanted).max() < FARTHEST * np.sqrt(0.5 / N)
    assert found.diagonal() == pytest.approx(source.probabilities, abs=0.03)
    assert np.abs(source._balanced - source._limits).max() > 0.1  # they would not be met without


def test_a_fixed_number_without_correlation_and_with_equal_probabilities_is_uniform() -> None:
    z = active(Correlated(atoms=6, width=4, active=2, groups=2, within=0, between=0, exact=True), 15_000)
    pairs = (z.T @ z)[np.triu_indices(6, 1)]
    assert stats.chisquare(pairs).pvalue > 1e-6


def tree(**options: Any) -> Hierarchical:
    return Hierarchical(**{"atoms": 40, "width": 6, "active": 5, "trees": 3, "branching": 3, "depth": 2, "child": 0.6} | options)


def test_children_are_active_only_beside_their_parents() -> None:
    source = tree()
    z, p = active(source), source.probabilities
    agree(z.mean(0), p)
    assert source.offsets.tolist() == [0, 3, 12, 39] and p.sum() == pytest.approx(5)
    for child in range(3, 39):
        parent = (child - 3) // 3 if child < 12 else 3 + (child - 12) // 3
        assert not z[z[:, parent] == 0, child].any()
        beside = z[z[:, parent] == 1, child]
        agree(np.array([beside.mean()]), np.array([0.6]), len(beside))
    siblings = z[z[:, 0] == 1][:, 3:6]
    agree((siblings.T @ siblings / len(siblings))[~np.eye(3, dtype=bool)], np.full(6, 0.36), len(siblings))
    tops = z[:, [0, 1, 2, 39]]
    agree((tops.T @ tops / N)[~np.eye(4, dtype=bool)], np.full(12, p[0] ** 2))


def test_exclusive_siblings_are_never_two() -> None:
    source = tree(exclusive=True, exponent=0.5, active=2)
    z = active(source)
    agree(z.mean(0), source.probabilities)
    for parent in range(12):
        first = 3 + 3 * parent
        children = z[z[:, parent] == 1][:, first : first + 3]
        assert children.sum(1).max() == 1
        agree(children.mean(0), np.full(3, 0.2), len(children))
    tops = source.probabilities[[0, 1, 2, 39]]
    assert tops[0] / tops[3] == pytest.approx(2.0)  # 4^½


def test_shifted_trees_have_the_same_atoms_without_their_parents() -> None:
    source = tree()
    z, p = active(source, split="out"), source.probabilities
    agree(z.mean(0), p)
    agree(np.array([(z[:, 0] * z[:, 3]).mean()]), np.array([p[0] * p[3]]))


@pytest.mark.parametrize("magnitudes", ["half_normal", "exponential", "uniform"])
def test_children_follow_the_magnitude_of_their_parents(magnitudes: Magnitudes) -> None:
    plain = tree(magnitudes=magnitudes).batch(0, 500).codes.dense()
    scaled = tree(magnitudes=magnitudes, scaled=True).batch(0, 500).codes.dense()
    assert torch.equal(scaled[:, :3], plain[:, :3]) and torch.equal(scaled[:, 39:], plain[:, 39:])
    for child in (4, 11, 14, 38):
        parent = (child - 3) // 3 if child < 12 else 3 + (child - 12) // 3
        assert torch.allclose(scaled[:, child], plain[:, child] * scaled[:, parent] / MEAN_SIZES[magnitudes], rtol=1e-5)


def test_trees_of_any_shape() -> None:
    assert set(active(tree(child=1.0, active=39, atoms=39), 50).sum(1)) == {39}  # all roots, all children
    assert active(tree(child=0.0, active=2), 2000)[:, 3:39].sum() == 0
    free = Hierarchical(atoms=20, width=4, active=3, trees=0)
    agree(active(free).mean(0), np.full(20, 0.15))
    alone = Hierarchical(atoms=1, width=4, active=1, trees=1, depth=0)
    assert active(alone, 10).tolist() == [[1.0]] * 10
    chain = Hierarchical(atoms=4, width=4, active=1, trees=1, branching=1, depth=3, child=0.5)
    assert set(map(tuple, active(chain, 2000).tolist())) == {(0,) * 4, (1, 0, 0, 0), (1, 1, 0, 0), (1, 1, 1, 0), (1,) * 4}


@pytest.mark.parametrize("exponent", [0.0, 1.0])
def test_a_variable_has_one_value_at_a_time(exponent: float) -> None:
    source = Categorical(atoms=20, width=6, active=3, classes=4, exponent=exponent)
    z = active(source)
    shares = np.arange(1, 5.0) ** -exponent
    agree(z.mean(0), np.tile(3 / 5 * shares / shares.sum(), 5))
    assert z.reshape(N, 5, 4).sum(2).max() == 1 and set(z.sum(1)) == {3}
    out = active(source, split="out").reshape(N, 5, 4)
    assert set(out.sum(2).max(1)) == {2} and set(out.sum((1, 2))) == {3}


def test_two_values_at_once_are_drawn_one_after_the_other() -> None:
    source = Categorical(atoms=3, width=6, active=1, classes=3, exponent=1.0, exact=False)
    out = source.test(N, "out").codes
    pairs = out.indices[out.l0() == 2]
    agree(np.array([len(pairs) / N]), np.array([0.5]))
    shares = np.array([1, 1 / 2, 1 / 3]) / (11 / 6)
    for a in range(3):
        for b in range(3):
            expected = 0.0 if a == b else shares[a] * shares[b] / (1 - shares[a])
            agree(np.array([float(((pairs[:, 0] == a) & (pairs[:, 1] == b)).double().mean())]), np.array([expected]), len(pairs))


def test_every_variable_at_once_is_a_multi_class_problem() -> None:
    assert set(map(tuple, active(Categorical(atoms=12, width=6, active=3, classes=4), 50).reshape(50, 3, 4).sum(2).tolist())) == {(1, 1, 1)}


@pytest.mark.parametrize("dimensions", [1, 2, 3])
def test_a_feature_is_a_sphere(dimensions: int) -> None:
    source = Multidimensional(atoms=12, width=7, active=6, dimensions=dimensions, magnitudes="constant", importance=0.25)
    atoms = source.dictionary.atoms.view(-1, dimensions, 7)
    assert torch.allclose(atoms @ atoms.mT, torch.eye(dimensions).expand(len(atoms), -1, -1), atol=1e-6)
    z = source.batch(0, 5000).codes.dense().view(5000, -1, dimensions)
    radii = z.norm(dim=2)
    assert ((radii > 0) == (z != 0).any(2)).all() and (radii > 0).sum(1).unique().tolist() == [6 / dimensions]
    features = 12 // dimensions
    expected = 0.25 ** (torch.arange(0, 12, dimensions) / 11)
    assert torch.allclose(radii.amax(0), expected, atol=1e-5) and len(expected) == features
    if dimensions > 1:
        direction = (z / radii.clamp_min(1e-9)[:, :, None])[:, 0][radii[:, 0] > 0]
        assert float(direction.mean(0).abs().max()) < 5 / len(direction) ** 0.5
        # a coordinate of a uniform direction: arcsine on the circle, uniform on the sphere
        law = stats.arcsine(-1, 2) if dimensions == 2 else stats.uniform(-1, 2)
        assert stats.kstest(direction[:, 0].double().numpy(), law.cdf).pvalue > 1e-6


def test_points_on_a_circle_and_between_them() -> None:
    source = Multidimensional(atoms=4, width=7, active=2, points=7, magnitudes="constant")
    angles = []
    for codes in (source.batch(0, 400).codes, source.test(400, "out").codes):
        assert codes.l0().tolist() == [2] * 400
        found = torch.atan2(codes.values[:, 1], codes.values[:, 0]).double() * 7 / (2 * torch.pi)
        angles.append(sorted({round(float(angle) % 7, 3) for angle in found}))
    assert len(angles[0]) == len(angles[1]) == 7
    assert np.diff(angles[0]) == pytest.approx(1, abs=0.01)
    assert sorted((np.array(angles[0]) + 0.5) % 7) == pytest.approx(angles[1], abs=0.01)


def test_importance_falls_from_the_first_atom_to_the_last() -> None:
    plain, falling = (Uniform(atoms=5, width=4, active=5, importance=share).batch(0, 3).codes.dense() for share in (1.0, 0.01))
    assert torch.allclose(falling / plain, torch.logspace(0, -2, 5).expand(3, 5), rtol=1e-5)
    zipf = Zipf(atoms=5, width=4, active=5, importance=0.1, magnitude_exponent=1, magnitudes="constant").batch(0, 1).codes.dense()
    assert float(zipf[0, 4] / zipf[0, 0]) == pytest.approx(0.1 * (0.2 + 0.1) / 1.1, rel=1e-5)


@pytest.mark.parametrize(("noise", "decibels"), [(1.0, 0.0), (0.1, 20.0), (2.0, -6.0206)])
def test_noise_and_decibels_convert_both_ways(noise: float, decibels: float) -> None:
    assert snr_db_of_noise(noise) == pytest.approx(decibels, abs=1e-4)
    assert noise_of_snr_db(decibels) == pytest.approx(noise, rel=1e-4)


def test_the_signal_is_so_many_decibels_above_the_noise() -> None:
    clean, noisy = (Correlated(atoms=30, width=20, active=6, snr_db=decibels).batch(0, 4000).x for decibels in (None, 6.0))
    ratio = float(clean.square().mean() / (noisy - clean).square().mean())
    assert 10 * np.log10(ratio) == pytest.approx(6.0, abs=0.15)
    assert snr_db_of_noise(0.0) == float("inf")
    for bad in (float("nan"), 601.0, float("-inf")):
        with pytest.raises(InputError, match="snr_db must be between -600 and 600 decibels"):
            noise_of_snr_db(bad)


@pytest.mark.parametrize("name", ["correlated", "hierarchical", "categorical", "multidimensional", "zipf", "uniform"])
@pytest.mark.parametrize("exact", [True, False])
def test_the_same_bits_in_any_batch(name: str, exact: bool) -> None:
    """Rows of one batch of 60 against those of other sizes, in another order; Bernoulli counts make the widths differ."""
    make = registry.member("sources", name)
    options = {"exact": exact} if "exact" in registry.options(make) else {"scaled": exact}
    source = make(atoms=32, width=5, active=4, noise=0.1, **options)
    whole = source.batch(0, 60)
    for size in (20, 1, 15):
        for number in reversed(range(60 // size)):
            part = source.batch(number, size)
            rows = slice(number * size, (number + 1) * size)
            assert torch.equal(part.x, whole.x[rows]) and torch.equal(part.codes.dense(), whole.codes.dense()[rows])


def test_samples_far_fuller_than_the_mean_are_whole(tmp_path: Path) -> None:
    """All of 300 atoms or hardly any, and trees that are active as a whole: more than there is room for at first."""
    crowd = Correlated(atoms=300, width=2, active=3, groups=1, within=0.98, between=0)
    z = active(crowd, 20_000)
    assert z.sum(1).max() > 100
    assert z.mean() == pytest.approx(0.01, abs=FARTHEST * z.mean(1).std() / 20_000**0.5)
    whole = Hierarchical(atoms=402, width=2, active=20, trees=2, branching=200, depth=1, child=1.0, magnitudes="constant")
    for source in (whole, parse_source(f"saelens:path={whole.export_saelens(tmp_path / 'model')}")):
        assert set(active(source, 300).sum(1)) == {0, 201, 402}


@pytest.mark.parametrize(
    "text",
    [
        "uniform:atoms=1,width=1,active=1,exact=false",
        "zipf:atoms=1,width=1,active=1,exact=false",
        "correlated:atoms=1,width=1,active=1,groups=1,exact=true",
        "correlated:atoms=9,width=2,active=9,groups=2,exact=true,exponent=1,within=0.9",
        "correlated:atoms=9,width=2,active=9,exponent=1,within=0.99",
        "categorical:atoms=2,width=1,active=1,classes=2",
        "multidimensional:atoms=2,width=2,active=2",
    ],
)
def test_the_smallest_and_the_fullest(text: str) -> None:
    source = parse_source(text)
    codes = source.batch(0, 30).codes
    expected = source.n_atoms // 2 if text.startswith("categorical") else source.n_atoms
    assert codes.l0().tolist() == [expected] * 30 and bool(codes.values.isfinite().all())


@pytest.mark.parametrize(
    "text",
    [
        "zipf:active=32,exact=false",
        "correlated:active=32,groups=64,exponent=1",
        pytest.param("correlated:active=32,exponent=1,exact=true", marks=pytest.mark.slow),
        "hierarchical:active=32,trees=800,branching=4,depth=3,exclusive=true,scaled=true,exponent=0.5",
        "categorical:active=32,classes=10",
        "multidimensional:active=32",
    ],
)
def test_a_hundred_thousand_atoms(text: str) -> None:
    source = parse_source(f"{text},atoms=100000,width=2")
    counts = source.batch(123_456, 64).codes.l0().double()
    assert abs(float(counts.mean()) - 32) <= 5 * float(counts.std()) / 8


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("correlated:atoms=9,width=2,active=1,groups=10", "groups between 1 and its 9 atoms, not 10"),
        ("correlated:atoms=9,width=2,active=1,rank=0", "rank of at least 1, not 0"),
        ("correlated:atoms=9,width=2,active=1,within=0.1,between=0.2", "not between 0.2 and within 0.1"),
        ("correlated:atoms=9,width=2,active=1,within=1", "between ≤ within < 1, not between 0.1 and within 1.0"),
        ("correlated:atoms=9,width=2,active=1,exponent=-1", "exponent of at least 0 and below 20, not -1.0"),
        ("hierarchical:atoms=9,width=2,active=1,trees=2", "have more nodes than the 9 atoms: give more atoms or fewer trees"),
        ("hierarchical:atoms=9,width=2,active=1,depth=99999", "more nodes than the 9 atoms"),
        ("hierarchical:atoms=9,width=2,active=1,trees=-1", "trees of at least 0, not -1"),
        ("hierarchical:atoms=9,width=2,active=1,branching=0", "branching of at least 1, not 0"),
        ("hierarchical:atoms=9,width=2,active=9,trees=1", "active must be at most that, not 9"),
        ("hierarchical:atoms=40,width=2,active=1,child=1.5", "child is a probability between 0 and 1, not 1.5"),
        ("hierarchical:atoms=40,width=2,active=1,exponent=nan", "not nan"),
        ("categorical:atoms=10,width=2,active=1", "classes of at least 2 that divide its 10 atoms, not 4"),
        ("categorical:atoms=10,width=2,active=3,classes=5", "active must be between 1 and 2, not 3"),
        ("categorical:atoms=10,width=2,active=1,classes=5,exponent=20", "not 20.0"),
        ("multidimensional:atoms=10,width=2,active=3", "need active to be a multiple of 2, not 3"),
        ("multidimensional:atoms=10,width=4,active=5,dimensions=5", "at most its width 4, that divide its 10 atoms, not 5"),
        ("multidimensional:atoms=12,width=4,active=3,dimensions=3,points=5", "on circles (dimensions 2), not 5 in 3 dimensions"),
    ],
)
def test_bad_values_are_one_sentence(text: str, sentence: str) -> None:
    with pytest.raises(InputError) as refused:
        parse_source(text)
    assert sentence in str(refused.value) and "\n" not in str(refused.value)
