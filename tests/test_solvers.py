"""What single solvers promise beyond the contract."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest
import torch
from scipy.optimize import nnls
from tests.conftest import ATOMS, DICTIONARIES, WIDTH, coherent, duplicated, unit
from torch import Tensor

from sparsegap import Codes, Dictionary, InputError, KSparse, Lasso, solve
from sparsegap.cost import Counter
from sparsegap.problem import Proof
from sparsegap.screen import Screen
from sparsegap.solving.amplitudes import best_amplitudes
from sparsegap.solving.feasible import feasible
from sparsegap.solving.gradient import least_squares_gradient

every_dictionary = pytest.mark.parametrize("make", DICTIONARIES)
signs = pytest.mark.parametrize("nonnegative", [True, False], ids=["nonnegative", "signed"])


def randn(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def tried_one_by_one(atoms: np.ndarray, x: np.ndarray, k: int, nonnegative: bool) -> float:
    """The smallest ½‖residual‖² over all supports of k atoms, each solved by SciPy or LAPACK."""
    supports = (atoms[list(s)].T for s in itertools.combinations(range(len(atoms)), k))
    if nonnegative:
        return min(0.5 * nnls(s, x)[1] ** 2 for s in supports)
    return min(0.5 * float(np.square(x - s @ np.linalg.lstsq(s, x, rcond=None)[0]).sum()) for s in supports)


@signs
@pytest.mark.parametrize("make", [unit, duplicated])
def test_enumeration_finds_what_trying_one_by_one_finds(make: Any, nonnegative: bool) -> None:
    dictionary, x = Dictionary(make().atoms[-12:]), randn(6, WIDTH)
    found = solve(KSparse(dictionary, 3, nonnegative), x, "exhaustive")
    expected = [tried_one_by_one(dictionary.atoms.numpy(), row, 3, nonnegative) for row in x.numpy()]
    torch.testing.assert_close(found.certificate.value, torch.tensor(expected, dtype=torch.float64))
    assert set(found.certificate.sentences()) == {Proof.EXHAUSTIVE.sentence()}


@pytest.mark.parametrize("k", [1, 2, 4, 5])
def test_enumeration_at_other_sizes(k: int) -> None:
    dictionary, x = Dictionary(unit().atoms[:9]), randn(70, WIDTH)  # more than one block of lanes
    found = solve(KSparse(dictionary, k), x, "exhaustive")
    expected = [tried_one_by_one(dictionary.atoms.numpy(), row, k, True) for row in x.numpy()]
    torch.testing.assert_close(found.certificate.value, torch.tensor(expected, dtype=torch.float64))


def test_enumeration_refuses_what_would_not_end() -> None:
    with pytest.raises(InputError, match=r"supports of 12 among 256 atoms, but at most 20,000,000: use omp"):
        solve(KSparse(unit(256), 12), randn(2, WIDTH), "exhaustive")


@every_dictionary
@signs
def test_matching_pursuit_is_the_same_with_and_without_a_gram_matrix(make: str, nonnegative: bool) -> None:
    dictionary, x = DICTIONARIES[make](), randn(30, WIDTH)
    problem = KSparse(dictionary, 6, nonnegative)
    on_gram, on_residual = (solve(problem, x, "matching_pursuit", memory=memory) for memory in (1 << 30, 0))
    assert on_gram.cost.passes == 1.0
    assert on_residual.cost.passes > 2
    torch.testing.assert_close(on_gram.codes.dense(), on_residual.codes.dense())


def test_matching_pursuit_by_hand() -> None:
    """Two atoms at 60 degrees: steps of 2, then ½ of what is left each time, until a third atom."""
    dictionary = Dictionary(torch.tensor([[1.0, 0, 0], [0.5, 0.75**0.5, 0], [0, 0, 1]], dtype=torch.float64))
    x = torch.tensor([[2.0, 0.75**0.5, 0.1]], dtype=torch.float64)
    z = solve(KSparse(dictionary, 2), x, "matching_pursuit").codes.dense()
    torch.testing.assert_close(z, torch.tensor([[2.0, 0.75, 0]], dtype=torch.float64))


@signs
def test_the_pursuits_in_order(nonnegative: bool) -> None:
    problem, x = KSparse(coherent(), 5, nonnegative), randn(200, WIDTH)
    errors = [float(solve(problem, x, name).certificate.value.sum()) for name in ("omp", "gradient_pursuit", "matching_pursuit")]
    assert errors == sorted(errors)


@signs
def test_hard_thresholding_never_rises_and_improves_an_encoders_support(nonnegative: bool) -> None:
    problem, x = KSparse(unit(), 4, nonnegative), randn(100, WIDTH)
    scores = unit().correlate(x)
    start = Codes.from_dense(scores.clamp_min(0) if nonnegative else scores, 4)
    values = [solve(problem, x, "thresholding", start=start, steps=steps).certificate.value for steps in (1, 2, 4, 8, 16)]
    refit = solve(problem, x, "refit", start=start).certificate.value
    for before, after in itertools.pairwise([refit, *values]):
        assert bool((after <= before * (1 + 1e-9)).all())
    assert float(values[-1].sum()) < 0.9 * float(refit.sum())
    # Past the fixed point of the plain method, which ends 5 to 30 % above the greedy answer here.
    assert float(values[-1].sum()) < 1.01 * float(solve(problem, x, "omp").certificate.value.sum())


def test_plain_thresholding_reaches_a_local_optimum() -> None:
    """Amplitudes converge to the least-squares ones on the support that it ends with."""
    problem, x = KSparse(unit(), 3, nonnegative=False), randn(20, WIDTH)
    plain = solve(problem, x, "thresholding", debias=False, steps=2000)
    refit = solve(problem, x, "refit", start=plain.codes)
    torch.testing.assert_close(plain.certificate.value, refit.certificate.value, rtol=1e-4, atol=1e-8)


@pytest.mark.parametrize("method", ["thresholding", "matching_pursuit", "gradient_pursuit"])
def test_steps_must_be_positive(method: str) -> None:
    with pytest.raises(InputError, match="steps must be at least 1, not 0"):
        solve(KSparse(unit(), 3), randn(2, WIDTH), method, steps=0)


def test_restart_makes_fista_faster() -> None:
    problem, x = Lasso(unit(), 0.1), randn(50, WIDTH)
    with_it, without = (solve(problem, x, "fista", tolerance=1e-8, restart=restart) for restart in (True, False))
    assert with_it.iterations < without.iterations
    assert with_it.iterations < solve(problem, x, "ista", tolerance=1e-8).iterations


def test_the_gradient_goes_the_cheaper_way() -> None:
    """2·n·m² a call with the Gram matrix where m ≤ 2d and it fits the memory, 4·n·m·d elsewhere; the same numbers."""
    x = randn(10, WIDTH)
    for n_atoms, memory, product in ((20, 1 << 20, 2 * 20 * 20), (20, 0, 4 * 20 * WIDTH), (60, 1 << 20, 4 * 60 * WIDTH)):
        dictionary, z = unit(n_atoms), randn(10, n_atoms, seed=1)
        gradient = least_squares_gradient(x, Screen(dictionary, "float64", 10, memory=memory))
        with Counter() as counter:
            found = gradient(z)
        assert counter.matmul_flops == 10 * product
        torch.testing.assert_close(found, (z @ dictionary.atoms - x) @ dictionary.atoms.T)


@pytest.mark.parametrize(("change", "sentence"), [({"lr": 0.0}, "lr must be positive, not 0"), ({"lr": -1.0}, "not -1")])
def test_adam_options(change: dict[str, Any], sentence: str) -> None:
    with pytest.raises(InputError, match=sentence):
        solve(Lasso(unit(), 0.1), randn(2, WIDTH), "adam_exp", **change)


def test_feasible_keeps_the_largest_that_may_stay() -> None:
    codes = Codes(torch.tensor([[0, 1, 2], [3, 4, 5], [6, 7, 8]]), torch.tensor([[1.0, -5, 3], [2, 0, 1], [1, 2, 3]]), ATOMS)
    k = torch.tensor([1, 2, 0])
    kept = feasible(KSparse(unit(), k), codes, 2)
    assert kept.values.tolist() == [[3.0, 0.0], [2.0, 1.0], [0.0, 0.0]]
    assert kept.indices[:2].tolist() == [[2, 0], [3, 5]]
    assert feasible(KSparse(unit(), 2, nonnegative=False), codes, 2).values[0].tolist() == [-5.0, 3.0]


@every_dictionary
@signs
def test_batched_amplitudes_are_the_kernels(make: str, nonnegative: bool) -> None:
    """The torch path, which a GPU takes, against the compiled one."""
    dictionary, x = DICTIONARIES[make]().unit, randn(40, WIDTH)
    chosen = torch.rand(40, dictionary.n_atoms, generator=torch.Generator().manual_seed(1)).argsort(1)[:, :5]
    support = Codes(chosen, torch.ones(40, 5, dtype=torch.float64), dictionary.n_atoms)
    problem = KSparse(dictionary, 5, nonnegative)
    batched = best_amplitudes(dictionary, x - dictionary.bias, support, nonnegative)
    kernel = solve(problem, x, "refit", start=support)
    torch.testing.assert_close(problem.value(x, batched), kernel.certificate.value, rtol=1e-9, atol=1e-10)
