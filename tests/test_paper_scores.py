"""Scores of many runs at once against those of one run in metrics/, and the data of the paper's programs."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from sparsegap.codes import Codes
from sparsegap.dictionary import Dictionary
from sparsegap.errors import InputError
from sparsegap.metrics.dictionary_match import dictionary_match, greedy_pearson
from sparsegap.metrics.explained_variance import ReconstructionSums
from sparsegap.metrics.l0 import l0
from sparsegap.metrics.mcc import mcc
from sparsegap.paper.data import toy
from sparsegap.paper.scores import chances, dictionary_mcc, dictionary_pearson, latent_mcc, of_codes

RUNS, N = 3, 80


def drawn(*shape: int, seed: int = 0) -> Tensor:
    """Standard normal numbers."""
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize(("ours", "theirs"), [(7, 7), (9, 6), (5, 8)])
def test_latent_mcc_is_that_of_metrics(ours: int, theirs: int) -> None:
    found, truth = drawn(RUNS, N, ours).relu(), drawn(RUNS, N, theirs, seed=1).relu()
    found[0, :, 0], found[1, :, 1] = 0.0, 0.3  # a dead latent, a constant one but for rounding
    found[1, 0, 1] = 0.30000004
    truth[2, :, 2] = 0.0  # a true latent that never occurs
    expected = [mcc(Codes.from_dense(a), Codes.from_dense(b)) for a, b in zip(found, truth, strict=True)]
    assert latent_mcc(found, truth) == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize(("ours", "theirs"), [(7, 7), (9, 6), (5, 8)])
def test_dictionary_scores_are_those_of_metrics(ours: int, theirs: int) -> None:
    learned, truth = drawn(RUNS, ours, 4), drawn(RUNS, theirs, 4, seed=1)
    pairs = [(Dictionary(a), Dictionary(b)) for a, b in zip(learned, truth, strict=True)]
    assert dictionary_mcc(learned, truth) == pytest.approx([dictionary_match(*pair).mcc for pair in pairs], abs=1e-6)
    assert dictionary_pearson(learned, truth) == pytest.approx([greedy_pearson(*pair) for pair in pairs], abs=1e-9)


def test_scores_of_codes_are_those_of_metrics() -> None:
    codes, atoms, x = drawn(RUNS, N, 6).relu(), drawn(RUNS, 6, 4, seed=1), drawn(RUNS, N, 4, seed=2) + 1
    codes[0, 0, 0] = 5e-4
    found = of_codes(codes, codes, x, atoms)
    sums = [ReconstructionSums.of(a, z @ one) for a, z, one in zip(x, codes, atoms, strict=True)]
    assert found["fvu"] == pytest.approx([one.fvu for one in sums], rel=1e-5)
    assert found["mse"] == pytest.approx((x - codes @ atoms).square().mean((1, 2)).tolist(), rel=1e-5)
    assert found["l0"] == pytest.approx([l0(Codes.from_dense(z)) for z in codes])
    assert found["l0"][0] - found["l0_1e-3"][0] >= 1 / N > found["l0"][0] - found["l0_1e-4"][0]
    assert found["latent_mcc"] == pytest.approx(1.0)
    assert "mse" not in of_codes(codes, codes, x, None)


def test_chance_levels_are_those_that_the_paper_does_not_tell() -> None:
    """Random dictionaries of 16 atoms in 8 dimensions score .634 by its greedy Pearson correlation, 128 atoms .452 in 16 against 16."""
    data = toy(atoms=16, width=8, active=3, samples=8, validation=8, test=512, seeds=range(4))
    levels = chances(16, data.atoms, data.test.codes, data.test.x)
    assert levels["dictionary_pearson_chance"].mean() == pytest.approx(0.634, abs=0.02)
    assert 0.42 < levels["latent_mcc_chance"].mean() < 0.52
    assert levels["dictionary_mcc_chance"].mean() == pytest.approx(0.52, abs=0.03)


def test_uniform_data_are_the_papers() -> None:
    data = toy(atoms=16, width=8, active=3, samples=4000, validation=20, test=30, seeds=[5, 6])
    assert data.atoms.shape == (2, 16, 8)
    torch.testing.assert_close(data.atoms.norm(dim=2), torch.ones(2, 16))
    torch.testing.assert_close(data.train.codes @ data.atoms, data.train.x)
    active = data.train.codes != 0
    assert torch.equal(active.sum(2), torch.full((2, 4000), 3)) and bool((data.train.codes >= 0).all())
    assert float((active.float().mean(1) - 3 / 16).abs().max()) < 0.03
    assert float(data.train.codes[active].mean()) == pytest.approx((2 / np.pi) ** 0.5, abs=0.02)
    assert float(data.train.codes[active].square().mean()) == pytest.approx(1.0, abs=0.04)
    assert [len(part.x[0]) for part in (data.train, data.validation, data.test)] == [4000, 20, 30]


def test_zipf_data_have_rare_and_small_atoms() -> None:
    data = toy(atoms=8, width=4, active=2, samples=20_000, validation=1, test=1, seeds=[0], distribution="zipf")
    codes = data.train.codes[0]
    often = (codes != 0).float().mean(0)
    assert bool((often[:-1] > often[1:] - 0.01).all()) and often[0] > 3 * often[-1]
    sizes = codes.sum(0) / (codes != 0).sum(0)
    expected = (1 / torch.arange(1.0, 9.0) + 0.1) / 1.1 * (2 / np.pi) ** 0.5
    torch.testing.assert_close(sizes, expected, rtol=0.1, atol=0)


def test_a_seed_makes_everything_anew_and_again() -> None:
    options = {"atoms": 6, "width": 4, "active": 2, "samples": 9, "validation": 9, "test": 9}
    one, two = (toy(seeds=seeds, **options) for seeds in ([3, 4], [4]))
    assert torch.equal(one.test.x[1], two.test.x[0]) and torch.equal(one.atoms[1], two.atoms[0])
    parts = [one.train.x[0], one.validation.x[0], one.test.x[0], one.train.x[1], one.validation.x[1], one.test.x[1]]
    assert all(not torch.equal(a, b) for i, a in enumerate(parts) for b in parts[:i])
    assert bool((toy(seeds=[0], signed=True, **options).train.codes < 0).any())


def test_impossible_data_are_told() -> None:
    with pytest.raises(InputError, match="active between 1 and its 4 atoms, not 5"):
        toy(atoms=4, width=4, active=5, samples=1, validation=1, test=1, seeds=[0])
