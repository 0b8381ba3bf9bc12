"""The best linear-nonlinear encoder: as good as can be shown, no better than it can be, and the table of the design."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from sparsegap.codes import Codes
from sparsegap.errors import InputError
from sparsegap.experiments.linear_ceiling import COLUMNS, flops, linear_ceiling
from sparsegap.experiments.unrolled_depth import COLUMNS as DEPTH_COLUMNS
from sparsegap.experiments.unrolled_depth import flops as depth_flops
from sparsegap.experiments.unrolled_depth import unrolled_depth
from sparsegap.sources.uniform import Uniform
from sparsegap.theorem.ceiling import Ceiling, best_linear_nonlinear
from sparsegap.theorem.scores import recovered


def sample(atoms: int = 16, width: int = 8, active: int = 3, n: int = 2048, seeds: tuple[int, ...] = (0,)) -> tuple[Tensor, Tensor]:
    drawn = [Uniform(atoms=atoms, width=width, active=active, seed=seed).batch(0, n) for seed in seeds]
    return torch.stack([each.x for each in drawn]), torch.stack([each.codes.dense() for each in drawn])


def error(found: Ceiling, x: Tensor, z: Tensor) -> Tensor:
    return (found.codes(x) + found.constant[:, None] - z).square().mean(1)


@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize("objective", ["error", "correlation"])
def test_the_loss_is_that_of_the_codes_and_no_direction_lowers_it(bias: bool, objective: str) -> None:
    x, z = sample()
    found = best_linear_nonlinear(x, z, bias=bias, objective=objective, restarts=3)  # type: ignore[arg-type]
    assert torch.allclose(error(found, x, z), found.loss, rtol=1e-4)
    assert found.iterations < 60  # Newton's, not a descent's
    assert bool((found.bias == 0).all()) == (not bias)
    assert bool((found.constant == 0).all()) == (objective == "error")
    generator = torch.Generator().manual_seed(1)
    for _ in range(20):
        moved = found.weight + 0.02 * torch.randn(found.weight.shape, generator=generator)
        nearby = Ceiling(moved, found.bias, found.constant, found.loss, found.agreement, 0)
        assert bool((error(nearby, x, z) >= found.loss * (1 - 1e-4)).all())


def test_restarts_agree_and_gradient_descent_does_no_better() -> None:
    x, z = sample(atoms=8, width=4, active=2, n=800)
    found = best_linear_nonlinear(x, z, restarts=6)
    assert float(found.agreement.mean()) > 0.6
    weight = found.weight[0].clone().requires_grad_()
    bias = found.bias[0].clone().requires_grad_()
    start = float(found.loss.sum())
    adam = torch.optim.Adam([weight, bias], lr=3e-3)
    for _ in range(150):
        adam.zero_grad()
        loss = ((x[0] @ weight.T + bias).relu() - z[0]).square().mean(0).sum()
        loss.backward()  # type: ignore[no-untyped-call]
        adam.step()
    assert float(loss.detach()) > start * (1 - 1e-3)


def test_bias_and_more_restarts_never_hurt() -> None:
    x, z = sample(n=1500)
    plain, biased = (best_linear_nonlinear(x, z, bias=bias, restarts=4) for bias in (False, True))
    assert bool((biased.loss <= plain.loss * 1.001).all())
    assert bool((plain.loss <= best_linear_nonlinear(x, z, bias=False, restarts=1).loss * 1.001).all())


def test_as_many_dimensions_as_atoms_are_exact() -> None:
    x, z = sample(atoms=6, width=6, active=2)
    assert float(best_linear_nonlinear(x, z, restarts=2).loss.max()) < 1e-8


def test_seeds_in_one_batch_are_seeds_alone() -> None:
    x, z = sample(seeds=(0, 1, 2), n=600)
    together = best_linear_nonlinear(x, z, restarts=1)
    alone = torch.cat([best_linear_nonlinear(x[s : s + 1], z[s : s + 1], restarts=1).loss for s in range(3)])
    assert torch.allclose(together.loss, alone, rtol=1e-3)


def test_the_step_without_curvature_comes_to_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    x, z = sample(n=1000)
    newton = best_linear_nonlinear(x, z, restarts=2)
    monkeypatch.setattr("sparsegap.theorem.ceiling.NEWTON_WIDTH", 0)
    majorised = best_linear_nonlinear(x, z, restarts=2)
    assert torch.allclose(newton.loss.mean(), majorised.loss.mean(), rtol=0.01)


def test_wrong_shapes_are_sentences() -> None:
    x, z = sample(n=100)
    with pytest.raises(InputError, match="must be of the same samples"):
        best_linear_nonlinear(x, z[:, :50])
    with pytest.raises(InputError, match="needs more samples"):
        best_linear_nonlinear(x[:, :9], z[:, :9])


def test_scores_of_the_truth_and_of_nothing() -> None:
    truth = Uniform(atoms=16, width=8, active=3, exact=False, seed=1).test(300).codes
    perfect = recovered(truth, truth)
    assert perfect == {"latent_mcc": pytest.approx(1), "support_recall": 1, "exact_support": 1, "relative_mse": 0, "l0": perfect["l0"]}
    nothing = recovered(Codes.empty(300, 16), truth)
    assert nothing["relative_mse"] == pytest.approx(1) and nothing["l0"] == 0 and nothing["latent_mcc"] == 0


def test_only_as_many_of_the_largest_count_as_are_truly_active() -> None:
    truth = Codes.from_dense(torch.tensor([[1.0, 0, 0], [1.0, 1.0, 0]]))
    found = recovered(Codes.from_dense(torch.tensor([[1.0, 2.0, 0], [3.0, 2.0, 1.0]])), truth)
    assert (found["support_recall"], found["exact_support"]) == (pytest.approx(2 / 3), 0.5)


def test_the_table_of_the_design() -> None:
    """16 / 8 / 3: the best encoder has an MCC of .86 to .89, which depends on the atoms, and a lasso .985 to .995; rank 8."""
    rows = linear_ceiling(restarts=2, samples=4096, test=2048, seeds=[0, 1, 2])
    best, lasso = ([row for row in rows if row["method"] == method] for method in ("linear_nonlinear", "lasso"))
    assert [row["seed"] for row in best] == [0, 1, 2]
    assert all(0.84 < row["latent_mcc"] < 0.90 and row["rank"] == 8 and row["gap"] == pytest.approx(1 - row["latent_mcc"]) for row in best)
    assert all(row["latent_mcc"] > 0.98 and row["exact_support"] > 0.85 for row in lasso)
    assert {column for row in rows for column in row} <= {*COLUMNS, "seed"}


def test_where_the_gap_closes() -> None:
    rows = linear_ceiling(atoms=6, width=6, active=2, restarts=2, samples=1024, test=512, seeds=[3])
    assert rows[0]["method"] == "linear_nonlinear" and rows[0]["gap"] < 1e-4
    with pytest.raises(InputError, match="active between 1 and 6"):
        linear_ceiling(atoms=6, width=6, active=7, seeds=[0])


def test_one_step_is_the_first_of_ista_and_more_are_better() -> None:
    rows = [unrolled_depth(depth=depth, test=512, seeds=[0, 1]) for depth in (1, 5, 50)]
    for two in rows:
        assert len(two) == 2 and {column for row in two for column in row} <= {*DEPTH_COLUMNS, "seed"}
    for seed in (0, 1):
        assert rows[0][seed]["latent_mcc"] < rows[1][seed]["latent_mcc"] < rows[2][seed]["latent_mcc"]
        assert rows[0][seed]["objective_gap"] > rows[2][seed]["objective_gap"]
    assert rows[2][0]["flops_inference"] == 2 * 16 * 8 * 99 and rows[2][0]["flops_train"] == 0
    with pytest.raises(InputError, match="depth must be at least 1"):
        unrolled_depth(depth=0, seeds=[0])


def test_momentum_is_ahead_of_none_and_training_of_both() -> None:
    plain, fast = (unrolled_depth(method=method, depth=10, test=512, seeds=[0])[0] for method in ("ista", "fista"))  # type: ignore[arg-type]
    assert plain["relative_mse"] > fast["relative_mse"]
    trained = unrolled_depth(method="lista", depth=2, steps=120, test=512, seeds=[0])[0]
    assert trained["latent_mcc"] > unrolled_depth(depth=2, test=512, seeds=[0])[0]["latent_mcc"] + 0.05
    assert trained["flops_train"] == 3 * 120 * 512 * trained["flops_inference"]


def test_prices_grow_with_what_they_are_of() -> None:
    assert flops(seeds=[0, 1]) == 2 * flops(seeds=[0]) > flops(seeds=[0], restarts=1)
    assert depth_flops(seeds=[0], depth=8) > depth_flops(seeds=[0], depth=2)
    assert depth_flops(seeds=[0], method="lista") > depth_flops(seeds=[0], method="ista")
