"""Homotopy: the path is optimal at every λ, at the events themselves, and where atoms depend on each other."""

from __future__ import annotations

import pytest
import torch

from sparsegap.codes import Codes
from sparsegap.dictionary import Dictionary
from sparsegap.errors import InputError
from sparsegap.problem import Lasso
from sparsegap.solve import Reason, solve
from sparsegap.solving.path import lasso_path
from test_coordinate_descent import KINDS, atoms_of, fraction_of_largest, samples


@pytest.mark.parametrize("memory", [1 << 30, 0])
@pytest.mark.parametrize("nonnegative", [True, False])
@pytest.mark.parametrize("kind", KINDS)
def test_the_end_of_the_path_is_optimal(kind: str, nonnegative: bool, memory: int) -> None:
    for m in (60, 400):
        atoms = atoms_of(kind, m, 32)
        x = samples(atoms, 20)
        for share in (0.3, 0.05, 0.01):
            problem = Lasso(Dictionary(atoms), fraction_of_largest(atoms, x, share), nonnegative)
            found = solve(problem, x, "lars", tolerance=1e-10, memory=memory)
            assert found.reason is Reason.CERTIFIED


@pytest.mark.parametrize("nonnegative", [True, False])
@pytest.mark.parametrize("kind", KINDS)
def test_one_run_gives_every_penalty(kind: str, nonnegative: bool) -> None:
    atoms = atoms_of(kind, 120, 24)
    x = samples(atoms, 10)
    dictionary = Dictionary(atoms, torch.linspace(-1, 1, 24, dtype=torch.float64))
    x = x + dictionary.bias
    top = float(Lasso(dictionary, 0.0, nonnegative).largest_penalty(x).max())
    penalties = [0.01 * top, 2 * top, 0.3 * top, 0.1 * top]
    for penalty, codes in zip(penalties, lasso_path(Lasso(dictionary, 0.0, nonnegative), x, penalties), strict=True):
        certificate = Lasso(dictionary, penalty, nonnegative).certify(x, codes)
        assert float(certificate.relative_gap.max()) < 1e-10
        assert (penalty > top) == (int(codes.l0().sum()) == 0)


def test_the_path_is_scikit_learns() -> None:
    linear_model = pytest.importorskip("sklearn.linear_model")
    atoms = atoms_of("random", 80, 24)
    x = samples(atoms, 3)
    for nonnegative in (True, False):
        for i in range(3):
            alphas, _, coefficients = linear_model.lars_path(
                atoms.T.numpy(), x[i].numpy(), method="lasso", positive=nonnegative, alpha_min=1e-4
            )
            events = torch.from_numpy(alphas.copy()) * 24
            ours = lasso_path(Lasso(Dictionary(atoms), 0.0, nonnegative), x[i : i + 1], events)
            for place, codes in enumerate(ours):
                torch.testing.assert_close(codes.dense()[0], torch.from_numpy(coefficients[:, place].copy()), rtol=0, atol=1e-7)


def test_no_penalty_ends_at_least_squares() -> None:
    optimize = pytest.importorskip("scipy.optimize")
    atoms = atoms_of("random", 50, 60)
    x = samples(atoms, 3)
    codes = lasso_path(Lasso(Dictionary(atoms), 0.0), x, [0.0])[0].dense()
    for i in range(3):
        expected, _ = optimize.nnls(atoms.T.numpy(), x[i].numpy())
        torch.testing.assert_close(codes[i], torch.from_numpy(expected), rtol=0, atol=1e-9)
    signed = lasso_path(Lasso(Dictionary(atoms), 0.0, nonnegative=False), x, [0.0])[0].dense()
    torch.testing.assert_close(signed, torch.linalg.lstsq(atoms.T, x.T).solution.T, rtol=0, atol=1e-9)


def test_ties_at_the_start_join_together() -> None:
    atoms = torch.eye(6, dtype=torch.float64)
    x = torch.ones(1, 6, dtype=torch.float64)
    codes = lasso_path(Lasso(Dictionary(atoms), 0.0), x, [0.25, 1.0, 0.0])
    torch.testing.assert_close(codes[0].dense(), 0.75 * x)
    assert int(codes[1].l0().sum()) == 0
    torch.testing.assert_close(codes[2].dense(), x)


def test_agrees_with_coordinate_descent_in_float32() -> None:
    atoms = atoms_of("coherent", 1200, 40).float()
    x = samples(atoms.double(), 10).float()
    problem = Lasso(Dictionary(atoms), fraction_of_largest(atoms, x, 0.1))
    path, descent = (solve(problem, x, method, tolerance=1e-6) for method in ("lars", "coordinate_descent"))
    assert path.codes.values.dtype == torch.float32
    assert path.reason is descent.reason is Reason.CERTIFIED
    torch.testing.assert_close(path.codes.dense(), descent.codes.dense(), rtol=0, atol=1e-3)


def test_a_path_that_is_cut_says_so() -> None:
    atoms = atoms_of("random", 60, 32)
    x = samples(atoms, 5)
    found = solve(Lasso(Dictionary(atoms), fraction_of_largest(atoms, x, 0.01)), x, "lars", max_steps=3)
    assert found.reason is Reason.FINISHED
    assert int(found.codes.l0().max()) <= 3
    assert float(found.certificate.relative_gap.min()) > 1e-4


def test_zero_samples_and_no_samples() -> None:
    dictionary = Dictionary(atoms_of("random", 30, 16))
    assert int(solve(Lasso(dictionary, 0.1), torch.zeros(3, 16, dtype=torch.float64), "lars").codes.l0().sum()) == 0
    empty = lasso_path(Lasso(dictionary, 0.1), torch.zeros(0, 16, dtype=torch.float64), [0.1])[0]
    assert isinstance(empty, Codes)
    assert len(empty) == 0


def test_a_negative_penalty_is_refused() -> None:
    dictionary = Dictionary(atoms_of("random", 30, 16))
    with pytest.raises(InputError, match=r"penalties must be finite numbers >= 0, not -1"):
        lasso_path(Lasso(dictionary, 0.1), torch.zeros(1, 16, dtype=torch.float64), [1.0, -1.0])
