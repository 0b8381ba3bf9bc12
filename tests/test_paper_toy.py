"""The paper's toy: 16 atoms in 8 dimensions, 3 active, the true dictionary known (arXiv:2411.13117, figure 3). What it left on the table.

Its inference-time optimisation, 20,000 Adam steps on exponential codes, ends at a mean correlation coefficient of .967 by the paper.
"""

from __future__ import annotations

from typing import NamedTuple

import pytest
import torch
from torch import Tensor

from sparsegap import Codes, Dictionary, KSparse, Lasso, solve
from sparsegap.conventions import penalty
from sparsegap.cost import Counter
from sparsegap.metrics.mcc import mcc
from sparsegap.metrics.support import support

N, M, K = 16, 8, 3
SAMPLES = 1024
PAPER_MCC = 0.967
PAPER_STEPS = 20_000


class Toy(NamedTuple):
    """The dictionary, its true codes, and their activations."""

    dictionary: Dictionary
    truth: Codes
    x: Tensor


@pytest.fixture(scope="module", params=[0, 1, 2])
def toy(request: pytest.FixtureRequest) -> Toy:
    """Unit Gaussian atoms; exactly 3 active, |N(0, 1)|; no noise."""
    g = torch.Generator().manual_seed(request.param)
    atoms = torch.randn(N, M, generator=g)
    dictionary = Dictionary(atoms / atoms.norm(dim=1, keepdim=True))
    active = torch.rand(SAMPLES, N, generator=g).argsort(1)[:, :K]
    truth = Codes(active, torch.randn(SAMPLES, K, generator=g).abs(), N)
    return Toy(dictionary, truth, dictionary.decode(truth))


def paper_flops(samples: int, steps: int) -> float:
    """What the paper's own count says its inference-time optimisation costs: n(MN + N + I(4MN + 2M + 11N)), its equation 31."""
    return samples * (M * N + N + steps * (4 * M * N + 2 * M + 11 * N))


def test_enumeration_recovers_the_codes(toy: Toy) -> None:
    found = solve(KSparse(toy.dictionary, K), toy.x, "exhaustive")
    assert mcc(found.codes, toy.truth) >= 0.999
    assert support(found.codes, toy.truth).exact >= 0.99
    assert bool(found.certificate.within(0.0).all())


def test_fista_beats_the_paper_at_a_hundredth_of_its_flops(toy: Toy) -> None:
    problem = Lasso(toy.dictionary, penalty(0.01, "paper", width=M, n_atoms=N))
    assert problem.penalty == pytest.approx(0.0025)
    with Counter() as counter:
        found = solve(problem, toy.x, "fista", max_iterations=150)
    assert mcc(found.codes, toy.truth) > PAPER_MCC
    assert counter.flops < paper_flops(SAMPLES, PAPER_STEPS) / 100
    assert counter.setup_flops < 1e5


def test_the_certified_optimum_is_better_still(toy: Toy) -> None:
    found = solve(Lasso(toy.dictionary, 0.0025), toy.x, "fista", tolerance=1e-3)
    assert mcc(found.codes, toy.truth) > 0.98
    assert float(found.certificate.within(1e-3).double().mean()) > 0.99


@pytest.mark.slow
def test_the_papers_optimisation_as_the_paper_ran_it(toy: Toy) -> None:
    """20,000 steps at rate 1e-3, with Adam's epsilon on the averaged loss: it stops short of the optimum that FISTA reaches."""
    problem = Lasso(toy.dictionary, 0.0025)
    theirs = solve(problem, toy.x, "adam_exp", max_iterations=PAPER_STEPS, epsilon=1e-8 * SAMPLES * M / 2)
    assert mcc(theirs.codes, toy.truth) == pytest.approx(PAPER_MCC, abs=0.015)
    ours = solve(problem, toy.x, "fista", tolerance=1e-3)
    assert float(theirs.certificate.value.mean()) > float(ours.certificate.value.mean())
    assert mcc(ours.codes, toy.truth) > mcc(theirs.codes, toy.truth)


def test_a_warm_start_is_honoured(toy: Toy) -> None:
    """The authors' code ignored it: from the true codes, a few steps must stay near them and not begin at exp(−10) again."""
    problem = Lasso(toy.dictionary, 0.0025)
    warm = solve(problem, toy.x, "adam_exp", max_iterations=10, start=toy.truth)
    cold = solve(problem, toy.x, "adam_exp", max_iterations=10)
    assert mcc(warm.codes, toy.truth) > 0.99
    assert float(cold.codes.dense().max()) < 1e-4
