"""The batched torch form of coordinate descent, on the processor: the same answers and certificates as the compiled kernels."""

from __future__ import annotations

import pytest
import torch

from sparsegap.codes import Codes
from sparsegap.dictionary import Dictionary
from sparsegap.problem import Lasso
from sparsegap.screen import Screen
from sparsegap.solve import Iterate, solve
from sparsegap.solvers.coordinate_descent import steps
from sparsegap.solving.batched_working_sets import BatchedWorkingSets
from test_coordinate_descent import KINDS, atoms_of, fraction_of_largest, samples


def iterates(problem: Lasso, x: torch.Tensor, precision: str, tolerance: float, start: Codes | None = None) -> list[Iterate]:
    screen = Screen(problem.dictionary, precision, max(len(x), 1), tolerance=tolerance)
    return list(steps(BatchedWorkingSets(problem, x, start, screen, 64, 0.02, None), screen))


def last(problem: Lasso, x: torch.Tensor, precision: str, tolerance: float) -> Iterate:
    return iterates(problem, x, precision, tolerance)[-1]


@pytest.mark.parametrize("nonnegative", [True, False])
@pytest.mark.parametrize("kind", KINDS)
def test_certified_and_the_certificate_is_the_problems(kind: str, nonnegative: bool) -> None:
    atoms = atoms_of(kind, 400, 32).float()
    x = samples(atoms.double(), 12).float()
    problem = Lasso(Dictionary(atoms), fraction_of_largest(atoms, x, 0.1), nonnegative)
    found = last(problem, x, "bf16", 1e-4)
    assert found.certificate is not None
    assert isinstance(found.codes, Codes)
    again = problem.certify(x, found.codes)
    assert bool((again.relative_gap <= 1e-4).all())
    torch.testing.assert_close(found.certificate.value, again.value, rtol=1e-12, atol=0)
    torch.testing.assert_close(found.certificate.lower_bound, again.lower_bound, rtol=1e-12, atol=0)


def test_agrees_with_the_compiled_kernels() -> None:
    atoms = atoms_of("coherent", 300, 32)
    x = samples(atoms, 10)
    problem = Lasso(Dictionary(atoms), fraction_of_largest(atoms, x, 0.05))
    codes = last(problem, x, "float64", 1e-11).codes
    assert isinstance(codes, Codes)
    compiled = solve(problem, x, "coordinate_descent", tolerance=1e-11).codes
    torch.testing.assert_close(codes.dense(), compiled.dense(), rtol=0, atol=1e-6)


def test_the_answer_as_a_start_is_finished_at_once() -> None:
    atoms = atoms_of("random", 300, 32)
    x = samples(atoms, 10)
    problem = Lasso(Dictionary(atoms), fraction_of_largest(atoms, x, 0.1))
    answer = solve(problem, x, "coordinate_descent", tolerance=1e-8).codes
    assert len(iterates(problem, x, "float64", 1e-4, answer.widened(40))) == 1


def test_odd_inputs_end() -> None:
    dictionary = Dictionary(atoms_of("dead", 200, 16))
    none = torch.zeros(0, 16, dtype=torch.float64)
    for x in (torch.zeros(3, 16, dtype=torch.float64), none):
        codes = last(Lasso(dictionary, 0.1), x, "float64", 1e-4).codes
        assert isinstance(codes, Codes)
        assert int(codes.l0().sum()) == 0
    x = samples(dictionary.atoms, 4)
    without = last(Lasso(dictionary, 0.0), x, "float64", 1e-4).codes
    assert isinstance(without, Codes)
    assert bool((without.values >= 0).all())
