"""Agreement with independent implementations, on dictionaries that are hard in known ways. A peer that is not installed is skipped by name.

Where two disagree, the problem's own certificate says who is wrong: an answer below our lower bound would refute us, one above our value
is the peer's to explain; the cases found so are named here.
"""

from __future__ import annotations

import importlib.util
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch
from tests.conftest import DICTIONARIES, WIDTH
from torch import Tensor

from sparsegap import Codes, Dictionary, KSparse, Lasso, registry, solve
from sparsegap.conventions import weight
from sparsegap.solving.amplitudes import best_amplitudes

K = 4
N = 15
LASSO = [name for name in ("coordinate_descent", "lars") if name in registry.names("solvers")]
every_dictionary = pytest.mark.parametrize("make", DICTIONARIES)
signs = pytest.mark.parametrize("nonnegative", [True, False], ids=["nonnegative", "signed"])


def samples(dictionary: Dictionary) -> Tensor:
    """Sparse combinations with noise, centred."""
    g = torch.Generator().manual_seed(11)
    z = torch.randn(N, dictionary.n_atoms, generator=g).abs() * (torch.rand(N, dictionary.n_atoms, generator=g) < 0.15)
    return z.double() @ dictionary.atoms + 0.2 * torch.randn(N, WIDTH, generator=g, dtype=torch.float64)


def centred(make: str) -> tuple[Dictionary, Tensor]:
    """A hard dictionary without its bias, which no peer knows, and samples of it."""
    dictionary = Dictionary(DICTIONARIES[make]().atoms)
    return dictionary, samples(dictionary)


def without_zero_atoms(dictionary: Dictionary) -> Dictionary:
    return Dictionary(dictionary.atoms[dictionary.norms > 0])


def lasso_problem(dictionary: Dictionary, x: Tensor, nonnegative: bool) -> Lasso:
    """λ at a fifth of what gives zero codes, one for all samples, as the peers take only one."""
    limit = Lasso(dictionary, 0.0, nonnegative).largest_penalty(x)
    return Lasso(dictionary, 0.2 * float(limit.median()), nonnegative)


def check_lasso(problem: Lasso, x: Tensor, theirs: np.ndarray, *, rtol: float = 1e-6) -> None:
    """Their codes (n, m) have our objective: not below any of our bounds, not above our values."""
    for name in LASSO:
        ours = solve(problem, x, name, tolerance=1e-9, max_iterations=100_000)
        value = problem.value(x, Codes.from_dense(torch.from_numpy(np.ascontiguousarray(theirs)).double()))
        assert bool((value >= ours.certificate.lower_bound * (1 - 1e-12)).all()), name
        torch.testing.assert_close(ours.certificate.value, value, rtol=rtol, atol=1e-10)


def check_greedy(problem: KSparse, x: Tensor, theirs: np.ndarray) -> None:
    """Their greedy answer is ours: the same objective, whatever equal atoms were chosen."""
    ours = solve(problem, x, "omp", exact=True)
    value = problem.value(x, Codes.from_dense(torch.from_numpy(np.ascontiguousarray(theirs)).double()))
    torch.testing.assert_close(ours.certificate.value, value, rtol=1e-6, atol=1e-10)


@every_dictionary
def test_sklearn_orthogonal_mp(make: str) -> None:
    linear = pytest.importorskip("sklearn.linear_model")
    dictionary, x = centred(make)
    unit = without_zero_atoms(dictionary.unit)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # it stops at dependent atoms and says so
        theirs = linear.orthogonal_mp(unit.atoms.T.numpy(), x.T.numpy(), n_nonzero_coefs=K)
    check_greedy(KSparse(unit, K, nonnegative=False), x, np.asarray(theirs).T)


@every_dictionary
@signs
def test_sklearn_lasso_lars(make: str, nonnegative: bool) -> None:
    linear = pytest.importorskip("sklearn.linear_model")
    dictionary, x = centred(make)
    if make == "duplicated":
        pytest.skip("scikit-learn's lars_path drops one of two equal atoms and says that its result may be off")
    problem = lasso_problem(dictionary, x, nonnegative)
    alpha = weight(float(problem.penalty), "sklearn_lasso", WIDTH, dictionary.n_atoms)
    model = linear.LassoLars(alpha=alpha, fit_intercept=False, positive=nonnegative, max_iter=5000)
    check_lasso(problem, x, np.stack([model.fit(dictionary.atoms.T.numpy(), row).coef_ for row in x.numpy()]), rtol=1e-5)


@every_dictionary
@signs
def test_sklearn_lasso(make: str, nonnegative: bool) -> None:
    linear = pytest.importorskip("sklearn.linear_model")
    dictionary, x = centred(make)
    problem = lasso_problem(dictionary, x, nonnegative)
    alpha = weight(float(problem.penalty), "sklearn_lasso", WIDTH, dictionary.n_atoms)
    model = linear.Lasso(alpha=alpha, fit_intercept=False, positive=nonnegative, tol=1e-12, max_iter=1_000_000)
    check_lasso(problem, x, np.stack([model.fit(dictionary.atoms.T.numpy(), row).coef_ for row in x.numpy()]))


@every_dictionary
def test_scipy_nnls_on_a_support(make: str) -> None:
    """The amplitudes of a given support, by the kernel (refit) and by batched torch (hard thresholding)."""
    optimize = pytest.importorskip("scipy.optimize")
    dictionary, x = centred(make)
    support = torch.rand(N, dictionary.n_atoms, generator=torch.Generator().manual_seed(5)).argsort(1)[:, :6]
    start = Codes(support, torch.ones(N, 6, dtype=torch.float64), dictionary.n_atoms)
    expected = [0.5 * optimize.nnls(dictionary.atoms[s].T.numpy(), row.numpy())[1] ** 2 for s, row in zip(support, x, strict=True)]
    problem = KSparse(dictionary, 6)
    answers = [best_amplitudes(dictionary, x, start, nonnegative=True)]
    if "refit" in registry.names("solvers"):
        answers.append(solve(problem, x, "refit", start=start).codes)
    for codes in answers:
        torch.testing.assert_close(problem.value(x, codes), torch.tensor(expected, dtype=torch.float64), rtol=1e-7, atol=1e-10)


@every_dictionary
def test_scipy_nnls_over_all_atoms(make: str) -> None:
    """At λ → 0 the lasso is non-negative least squares: ours lies between their optimum and that and λ‖z‖₁ of their answer."""
    optimize = pytest.importorskip("scipy.optimize")
    dictionary, x = centred(make)
    answers = np.stack([optimize.nnls(dictionary.atoms.T.numpy(), row.numpy())[0] for row in x])
    codes, penalty = Codes.from_dense(torch.from_numpy(answers)), 1e-3
    expected = KSparse(dictionary, dictionary.n_atoms).value(x, codes)
    for name in LASSO:
        found = solve(Lasso(dictionary, penalty), x, name, tolerance=1e-6).certificate
        assert bool(found.within(1e-6).all())
        assert bool((found.value >= expected - 1e-12).all())
        assert bool((found.lower_bound <= expected + penalty * codes.values.sum(1) + 1e-12).all())


@pytest.fixture(scope="module")
def spams() -> ModuleType:
    return pytest.importorskip("spams")


def spams_columns(matrix: Tensor) -> np.ndarray:
    """Columns in Fortran order, which SPAMS insists on."""
    return np.asfortranarray(matrix.T.numpy())


@every_dictionary
def test_spams_omp(make: str, spams: ModuleType) -> None:
    """SPAMS' `omp` is another pursuit: it takes the atom that lowers the residual most *after* refitting (order-recursive), not the one
    that correlates best. Its choices are checked against that rule written out, its amplitudes against our refit of its support."""
    dictionary, x = centred(make)
    unit = without_zero_atoms(dictionary.unit)
    problem = KSparse(unit, K, nonnegative=False)
    theirs = spams.omp(spams_columns(x), D=spams_columns(unit.atoms), L=K, eps=0.0, lambda1=0.0, numThreads=1).toarray().T
    codes = Codes.from_dense(torch.from_numpy(theirs))
    value = problem.value(x, codes)
    by_the_rule = torch.tensor([order_recursive(unit.atoms.numpy(), row.numpy(), K) for row in x], dtype=torch.float64)
    if make == "duplicated":  # it may take the copy of an atom that it has, which lowers nothing
        assert bool((value >= by_the_rule - 1e-10).all())
    else:
        torch.testing.assert_close(value, by_the_rule, rtol=1e-6, atol=1e-10)
    torch.testing.assert_close(solve(problem, x, "refit", start=codes).certificate.value, value, rtol=1e-6, atol=1e-10)


def order_recursive(atoms: np.ndarray, x: np.ndarray, k: int) -> float:
    """½‖residual‖² of the pursuit that tries every atom at every step and keeps the best fit."""
    support: list[int] = []
    for _ in range(k):
        support.append(min((j for j in range(len(atoms)) if j not in support), key=lambda j: squared_residual(atoms[[*support, j]], x)))
    return 0.5 * squared_residual(atoms[support], x)


def squared_residual(atoms: np.ndarray, x: np.ndarray) -> float:
    return float(np.square(x - atoms.T @ np.linalg.lstsq(atoms.T, x, rcond=None)[0]).sum())


@every_dictionary
@signs
def test_spams_lasso(make: str, nonnegative: bool, spams: ModuleType) -> None:
    dictionary, x = centred(make)
    problem = lasso_problem(dictionary, x, nonnegative)
    penalty = weight(float(problem.penalty), "spams", WIDTH, dictionary.n_atoms)
    found = spams.lasso(spams_columns(x), D=spams_columns(dictionary.atoms), lambda1=penalty, mode=2, pos=nonnegative, numThreads=1)
    theirs = found.toarray().T
    if make == "duplicated":  # two equal atoms tie for the first step: SPAMS' homotopy stops at zero codes, which our bound refutes
        value = problem.value(x, Codes.from_dense(torch.from_numpy(theirs)))
        assert bool((value >= solve(problem, x, LASSO[0], tolerance=1e-9).certificate.lower_bound).all())
    else:
        check_lasso(problem, x, theirs, rtol=1e-5)


@pytest.fixture(scope="module")
def decompose() -> Callable[..., Any]:
    """TransformerLens' `get_sparse_decomposition`, loaded from its file: the module needs torch only, the package far more."""
    found = importlib.util.find_spec("transformer_lens")
    if found is None or found.origin is None:
        pytest.skip("transformer-lens is not installed")
    path = Path(found.origin).parent / "tools" / "analysis" / "jacobian_lens_decomposition.py"
    if not path.exists():
        pytest.skip("this transformer-lens has no get_sparse_decomposition")
    spec = importlib.util.spec_from_file_location("jacobian_lens_decomposition", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    function: Callable[..., Any] = module.get_sparse_decomposition
    return function


@every_dictionary
def test_transformer_lens_checked_by_its_own_kkt_conditions(make: str, decompose: Callable[..., Any]) -> None:
    """Its answers that pass its check. It never gives the slot of an atom that fell to zero to another; there the two differ by design."""
    dictionary, x = centred(make)
    dictionary = without_zero_atoms(dictionary)
    problem = KSparse(dictionary, K)
    ours = solve(problem, x, "omp", exact=True)
    compared = 0
    for row, sample in enumerate(x):
        try:
            theirs = decompose(sample, dictionary.atoms, K)
        except RuntimeError:  # its KKT check does not hold
            continue
        if len(theirs.support) < len(theirs.selected_support):
            continue
        compared += 1
        value = 0.5 * float((sample - theirs.reconstruction.double()).square().sum())
        assert float(ours.certificate.value[row]) == pytest.approx(value, rel=1e-4, abs=1e-6)
        if make != "duplicated":
            active = ours.codes.indices[row][ours.codes.active[row]]
            assert sorted(active.tolist()) == sorted(theirs.support.tolist())
    assert compared > N // 2
