"""Figures 14 and 15 of the paper: dictionary learning with a lasso, and sparse coding with k active atoms."""

from __future__ import annotations

import pytest
import torch

from sparsegap.codes import Codes
from sparsegap.dictionary import Dictionary
from sparsegap.errors import InputError
from sparsegap.experiments.lasso_dictionary import flops, lasso_dictionary
from sparsegap.experiments.learned_atoms import learned_atoms
from sparsegap.experiments.sparsity_path import _at_level, sparsity_path
from sparsegap.experiments.topk_coding import optimised, topk_coding
from sparsegap.metrics.dictionary_match import dictionary_match, greedy_pearson
from sparsegap.metrics.mcc import mcc
from sparsegap.paper.programs import Network, SparseCodes
from sparsegap.problem import KSparse
from sparsegap.solve import solve
from sparsegap.sources.uniform import Uniform


@pytest.mark.slow
def test_the_lasso_dictionary_is_that_of_scikit_learn() -> None:
    """Two programs that share nothing reach one optimum: their scores agree to a thousandth."""
    decomposition = pytest.importorskip("sklearn.decomposition")
    row = lasso_dictionary(atoms=8, width=8, active=2, samples=300, penalty=0.3, steps=60, seeds=[0])[0]
    source = Uniform(atoms=8, width=8, active=2, magnitudes="normal", samples=300, seed=0)
    test = source.test(300)
    options = {"transform_algorithm": "lasso_lars", "transform_alpha": 0.05, "random_state": 0, "max_iter": 40}
    theirs = decomposition.DictionaryLearning(8, alpha=0.3, **options)
    theirs.fit(source.batch(0, 300).x.numpy())
    learned = Dictionary(torch.from_numpy(theirs.components_).float())
    codes = Codes.from_dense(torch.from_numpy(theirs.transform(test.x.numpy())).float())
    assert row["dictionary_mcc"] == pytest.approx(dictionary_match(learned, source.dictionary, signed=False).mcc, abs=1e-3)
    assert row["dictionary_pearson"] == pytest.approx(greedy_pearson(learned, source.dictionary), abs=1e-3)
    assert row["latent_mcc"] == pytest.approx(mcc(codes, test.codes), abs=2e-3)


def test_tuning_a_lasso_dictionary_chooses_from_the_grid() -> None:
    plain, tuned = (lasso_dictionary(magnitudes="half_normal", nonnegative=True, steps=15, samples=256, tuned=tuned, seeds=[2])[0]
                    for tuned in (False, True))
    assert {tuned["learned_at"], tuned["read_at"]} <= {1.0, 0.3, 0.1, 0.03}
    assert tuned["latent_mcc"] > plain["latent_mcc"] + 0.05
    assert flops(atoms=16, width=8, active=3, samples=256, steps=15, tuned=True, seeds=[2]) > 0


def test_a_lasso_dictionary_needs_samples() -> None:
    with pytest.raises(InputError, match="as many samples as atoms"):
        lasso_dictionary(atoms=32, samples=16, seeds=[0])


def test_ways_to_keep_k_atoms_on_the_true_dictionary() -> None:
    rows = topk_coding(dictionary="true", inference="certified", keep=[3], samples=256, test_steps=100, seeds=[0])
    by = {row["method"]: row for row in rows}
    assert list(by) == ["all", "pruned", "optimised", "ksparse"]
    assert by["ksparse"]["exact_support"] > 0.98 and by["ksparse"]["latent_mcc"] > 0.99
    assert by["all"]["l0"] > by["pruned"]["l0"] and by["pruned"]["l0"] <= 3
    assert by["optimised"]["latent_mcc"] < by["pruned"]["latent_mcc"]
    assert by["all"]["dictionary_mcc"] == pytest.approx(1.0)


def test_gradient_sparse_coding_of_each_seed_is_its_own() -> None:
    together = topk_coding(steps=50, test_steps=20, keep=[2], samples=128, seeds=[0, 1])
    alone = topk_coding(steps=50, test_steps=20, keep=[2], samples=128, seeds=[1])
    assert [row for row in together if row["seed"] == 1] == alone


def test_optimised_codes_fall_short_of_the_solver() -> None:
    source = Uniform(atoms=16, width=8, active=3, seed=4)
    x = source.test(64).x
    found, best = optimised(source.dictionary, x, 3, 200, 0.9, 0), solve(KSparse(source.dictionary, 3), x).codes
    missed = [(source.dictionary.decode(codes) - x).square().sum() for codes in (found, best)]
    assert int(found.l0().max()) <= 3 and missed[0] > 10 * missed[1]


def test_k_out_of_range_is_told() -> None:
    with pytest.raises(InputError, match="keep must name numbers between 1 and the number of atoms, 16"):
        topk_coding(keep=[17], seeds=[0])


@pytest.mark.parametrize("hidden", [0, 12])
def test_free_atoms_follow_adam_without_norms(hidden: int) -> None:
    x = torch.randn(1, 100, 6, generator=torch.Generator().manual_seed(0))
    program = Network(x, atoms=10, seeds=[3], hidden=hidden, l1=0.05, rate=1e-2, unit="free")
    parts = [weight.clone().requires_grad_() for weight, _ in program.layers] + [program.rows.clone().requires_grad_()]
    optimiser = torch.optim.Adam(parts, lr=1e-2)
    for _ in range(20):
        optimiser.zero_grad()
        z = x
        for weight in parts[:-1]:
            z = (z @ weight.transpose(1, 2)).relu()
        ((z @ parts[-1] - x).square().mean() + 0.05 * z.abs().mean()).backward()
        optimiser.step()
    program.advance(20)
    torch.testing.assert_close(program.rows, parts[-1].detach(), rtol=1e-3, atol=1e-4)
    assert float((program.rows.norm(dim=2) - 1).abs().max()) > 0.1


def test_free_atoms_of_sparse_coding_grow() -> None:
    """Longer atoms allow smaller codes: without norms the penalty pays for nothing."""
    x = torch.randn(1, 100, 6, generator=torch.Generator().manual_seed(0))
    free, unit = (SparseCodes(x, atoms=10, seeds=[3], l1=0.1, rate=1e-2, unit=unit) for unit in ("free", "faithful"))
    for program in (free, unit):
        program.advance(600)
    assert float(free.rows.norm(dim=2).mean()) > 2 and float(unit.atoms.norm(dim=2).mean()) == pytest.approx(1)
    with pytest.raises(InputError, match="norm 1"):
        SparseCodes(x, atoms=10, seeds=[3], codes="descent", unit="free")


def test_matrices_of_the_true_atoms() -> None:
    softmax, cosine = (learned_atoms(method="truth", form=form, seeds=[5])[0] for form in ("softmax", "cosine"))
    atoms = Uniform(atoms=16, width=8, active=3, seed=5).dictionary.atoms.double()
    torch.testing.assert_close(torch.tensor(cosine["gram"]), (atoms @ atoms.T).float(), atol=1e-4, rtol=0)
    assert torch.tensor(softmax["gram"]).sum(1) == pytest.approx(torch.ones(16), abs=1e-3)
    off = (atoms @ atoms.T).abs()[~torch.eye(16, dtype=torch.bool)]
    assert cosine["mean_coherence"] == pytest.approx(float(off.mean())) and cosine["coherence"] == pytest.approx(float(off.max()))
    assert len(cosine["coherences"]) == 120 and cosine["dictionary_mcc"] == pytest.approx(1.0)


def test_a_softmax_shows_lengths_and_not_angles() -> None:
    """Sparse coding without norms ends in a matrix that looks orthogonal, of atoms that are not."""
    row = learned_atoms(method="sc", steps=6000, rate=3e-3, seeds=[0])[0]
    assert row["diagonal"] > 0.9 and row["norm"] > 5 and row["mean_coherence"] > 0.15


def test_more_penalty_leaves_fewer_active_latents() -> None:
    weights = [0.01, 0.1, 1.0]
    rows = sparsity_path(method="sae", steps=1500, l1s=weights, samples=400, test=400, unit="projected", seeds=[0, 1])
    for seed in (0, 1):
        path = [row for row in rows if row["seed"] == seed and row["kind"] == "point"]
        assert [row["l1"] for row in path] == weights
        assert path[0]["active_latents"] > path[1]["active_latents"] > path[2]["active_latents"]
        assert path[1]["penalty"] == pytest.approx(0.1 * 8 / 32)


def test_scores_at_a_level_lie_between_the_points_around_it() -> None:
    points = [{"l0": 6.0, "latent_mcc": 0.5, "mse": 0.1, "fvu": 0.2, "dictionary_mcc": 0.7},
              {"l0": 2.0, "latent_mcc": 0.9, "mse": 0.3, "fvu": 0.4, "dictionary_mcc": 0.8}]
    assert _at_level(points, 3.0, "l0") == pytest.approx({"latent_mcc": 0.8, "mse": 0.25, "fvu": 0.35, "dictionary_mcc": 0.775})
    assert set(_at_level(points, 1.0, "l0").values()) == {None} == set(_at_level(points, 7.0, "l0").values())


def test_a_threshold_that_is_not_counted_is_told() -> None:
    with pytest.raises(InputError, match="threshold must be one of"):
        sparsity_path(threshold=0.5, seeds=[0])
