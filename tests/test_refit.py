"""Amplitudes on a given support, and backward elimination, against SciPy, numpy and their definitions."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.optimize import nnls
from torch import Tensor

from sparsegap.codes import Codes
from sparsegap.dictionary import Dictionary
from sparsegap.errors import InputError
from sparsegap.problem import KSparse
from sparsegap.solve import solve

D, M, K, N = 40, 300, 12, 30
ACCURACY = {torch.float64: {"rtol": 1e-9, "atol": 1e-11}, torch.float32: {"rtol": 1e-3, "atol": 1e-5}}


def unit(atoms: Tensor) -> Tensor:
    return atoms / torch.linalg.vector_norm(atoms, dim=1, keepdim=True)


def instance(coherence: float, seed: int = 0) -> tuple[Tensor, Tensor, Codes]:
    """Atoms, samples, and codes with positive amplitudes on random supports; float64."""
    g = torch.Generator().manual_seed(seed)
    atoms = unit(torch.randn(M, D, generator=g, dtype=torch.float64) + coherence * torch.randn(1, D, generator=g, dtype=torch.float64))
    x = torch.randn(N, D, generator=g, dtype=torch.float64) + coherence
    support = torch.stack([torch.randperm(M, generator=g)[:K] for _ in range(N)])
    return atoms, x, Codes(support.to(torch.int32), torch.rand(N, K, generator=g, dtype=torch.float64) + 0.1, M)


@pytest.mark.parametrize("coherence", [0.0, 1.0])
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_nonnegative_refit_is_scipys_nnls(coherence: float, dtype: torch.dtype) -> None:
    atoms, x, start = instance(coherence)
    found = solve(KSparse(Dictionary(atoms.to(dtype)), K), x.to(dtype), "refit", start=start.to(dtype)).codes
    want = torch.zeros(N, M, dtype=torch.float64)
    for i in range(N):
        want[i, start.indices[i].long()] = torch.from_numpy(nnls(atoms[start.indices[i].long()].numpy().T, x[i].numpy())[0])
    assert int((want > 0).sum()) < N * K  # some coefficients are at zero, or this tests little
    torch.testing.assert_close(found.dense().double(), want, **ACCURACY[dtype])
    assert bool((found.values >= 0).all())


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_signed_refit_is_least_squares(dtype: torch.dtype) -> None:
    atoms, x, start = instance(0.0)
    found = solve(KSparse(Dictionary(atoms.to(dtype)), K, nonnegative=False), x.to(dtype), "refit", start=start.to(dtype)).codes
    for i in range(N):
        want = np.linalg.lstsq(atoms[start.indices[i].long()].numpy().T, x[i].numpy(), rcond=None)[0]
        torch.testing.assert_close(found.dense()[i, start.indices[i].long()].double(), torch.from_numpy(want), **ACCURACY[dtype])


def test_start_values_decide_the_support_only() -> None:
    atoms, x, start = instance(0.5)
    problem = KSparse(Dictionary(atoms), K)
    want = solve(problem, x, "refit", start=start).codes.dense()
    negative = Codes(start.indices, torch.where(torch.arange(K) % 2 == 0, -start.values, 100 * start.values), M)
    torch.testing.assert_close(solve(problem, x, "refit", start=negative).codes.dense(), want, rtol=1e-9, atol=1e-11)
    unused = Codes(start.indices, torch.where(torch.arange(K) < 4, start.values, 0.0), M)
    assert bool((solve(problem, x, "refit", start=unused).codes.l0() <= 4).all())


def test_awkward_supports() -> None:
    """Duplicates of an atom, dead atoms, more atoms than width, nothing at all, any norms, a bias."""
    g = torch.Generator().manual_seed(1)
    atoms = torch.randn(20, 6, generator=g) * (0.1 + 10 * torch.rand(20, 1, generator=g))
    atoms[1], atoms[2] = atoms[0], 0
    dictionary = Dictionary(atoms, torch.randn(6, generator=g))
    x = torch.randn(3, 6, generator=g)
    start = Codes(torch.arange(20).repeat(3, 1).int(), torch.ones(3, 20), 20)
    start = Codes(start.indices, start.values * torch.tensor([1.0, 1.0, 0.0])[:, None], 20)
    for nonnegative in (True, False):
        found = solve(KSparse(dictionary, 20, nonnegative), x, "refit", start=start)
        assert bool(found.codes.values.isfinite().all())
        assert int(found.codes.l0()[2]) == 0
        for i in (0, 1):
            target = (x[i] - dictionary.bias).double().numpy()
            best = nnls(atoms.double().numpy().T, target)[1] if nonnegative else 0.0
            assert float((2 * found.certificate.value[i]).sqrt()) == pytest.approx(best, abs=1e-3)


def test_refit_needs_a_start_and_makes_no_pass() -> None:
    atoms, x, start = instance(0.0)
    with pytest.raises(InputError, match="give start"):
        solve(KSparse(Dictionary(atoms), K), x, "refit")
    assert solve(KSparse(Dictionary(atoms), K), x, "refit", start=start).cost.passes == 0
    assert bool((solve(KSparse(Dictionary(atoms), 3), x, "refit", start=start).codes.l0() <= 3).all())


def eliminated(atoms: np.ndarray, x: np.ndarray, support: list[int], k: int) -> float:
    """½‖r‖² after leaving out, one by one, the atom without which the least squares are best."""
    while len(support) > k:
        trials = [[j for j in support if j != out] for out in support]
        support = min(trials, key=lambda trial: residual(atoms, x, trial))
    return residual(atoms, x, support)


def residual(atoms: np.ndarray, x: np.ndarray, support: list[int]) -> float:
    r = x - atoms[support].T @ np.linalg.lstsq(atoms[support].T, x, rcond=None)[0]
    return float(0.5 * r @ r)


def test_prune_leaves_out_the_cheapest_atom_each_time() -> None:
    atoms, x, start = instance(0.3)
    found = solve(KSparse(Dictionary(atoms), 5, nonnegative=False), x, "prune", start=start)
    want = torch.tensor([eliminated(atoms.numpy(), x[i].numpy(), start.indices[i].tolist(), 5) for i in range(N)], dtype=torch.float64)
    torch.testing.assert_close(found.certificate.value, want, rtol=1e-8, atol=1e-10)


@pytest.mark.parametrize("nonnegative", [True, False])
def test_prune_from_a_longer_pursuit(nonnegative: bool) -> None:
    g = torch.Generator().manual_seed(3)
    atoms = unit(torch.randn(1500, 64, generator=g))
    x = (torch.rand(40, 1500, generator=g) * (torch.rand(40, 1500, generator=g) < 10 / 1500)) @ atoms
    problem = KSparse(Dictionary(atoms), torch.arange(40) % 9, nonnegative)
    found = solve(problem, x, "prune", extra=6)
    assert bool((found.codes.l0() <= problem.budgets(40)).all())
    assert bool(found.certificate.value.isfinite().all())
    refitted = solve(problem, x, "refit", start=found.codes)
    torch.testing.assert_close(refitted.certificate.value, found.certificate.value, rtol=1e-4, atol=1e-7)
    with pytest.raises(InputError, match="extra >= 0"):
        solve(problem, x, "prune", extra=-1)
