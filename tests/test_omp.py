"""Orthogonal matching pursuit against a plain float64 reference, scikit-learn and SciPy, and on awkward dictionaries."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pytest
import torch
from scipy.optimize import nnls
from torch import Tensor

from sparsegap.codes import Codes
from sparsegap.cost import Counter
from sparsegap.dictionary import Dictionary
from sparsegap.errors import InputError
from sparsegap.problem import KSparse
from sparsegap.solve import Solution, solve

EXACT: list[dict[str, Any]] = [
    {"exact": True},
    {"exact": True, "memory": 0},
    {"exact": True, "memory": 0, "precision": "bf16"},
    {"exact": True, "memory": 0, "precision": "float32"},
]
PROTOCOL = [(16, 64, 6, 0.0), (16, 64, 6, 1.0), (64, 1500, 12, 0.0), (64, 1500, 12, 0.5)]


def unit(atoms: Tensor) -> Tensor:
    return atoms / torch.linalg.vector_norm(atoms, dim=1, keepdim=True).clamp_min(1e-30)


def instance(d: int, m: int, k: int, n: int = 20, coherence: float = 0.0, seed: int = 0) -> tuple[Tensor, Tensor]:
    """Unit atoms with a shared component, and samples of about k atoms with noise; float64."""
    g = torch.Generator().manual_seed(seed)
    atoms = unit(torch.randn(m, d, generator=g, dtype=torch.float64) + coherence * torch.randn(1, d, generator=g, dtype=torch.float64))
    codes = torch.rand(n, m, generator=g, dtype=torch.float64) * (torch.rand(n, m, generator=g) < k / m)
    return atoms, codes @ atoms + 0.05 * torch.randn(n, d, generator=g, dtype=torch.float64)


def reference(x: np.ndarray, atoms: np.ndarray, k: int, nonnegative: bool) -> float:
    """½‖r‖² of the greedy answer, by its definition."""
    support: list[int] = []
    spanned: set[int] = set()
    r = x.copy()
    for _ in range(20 * k):
        scores = atoms @ r if nonnegative else np.abs(atoms @ r)
        scores[[*support, *spanned]] = -1
        j = int(scores.argmax())
        if len(support) == k or scores[j] <= 1e-9 * np.linalg.norm(x):
            break
        if support and outside(atoms[j], atoms[support]) < 1e-5:
            spanned.add(j)
            continue
        trial = [*support, j]
        z = nnls(atoms[trial].T, x)[0] if nonnegative else np.linalg.lstsq(atoms[trial].T, x, rcond=None)[0]
        support = [t for t, v in zip(trial, z, strict=True) if v != 0]
        r = x - z @ atoms[trial]
    return float(0.5 * r @ r)


def outside(atom: np.ndarray, others: np.ndarray) -> float:
    left = atom - others.T @ np.linalg.lstsq(others.T, atom, rcond=None)[0]
    return float(left @ left)


def assert_optimal_on_support(found: Solution, x: Tensor, dictionary: Dictionary, nonnegative: bool, atol: float) -> None:
    """The residual is orthogonal to every atom in use, and no value is negative."""
    atoms = dictionary.atoms.double()
    r = x.double() - dictionary.bias.double() - found.codes.dense().double() @ atoms
    on_support = torch.gather(r @ atoms.T, 1, found.codes.indices.long()) * found.codes.active
    assert float(on_support.abs().max()) <= atol * float(torch.linalg.vector_norm(x.double(), dim=1).max())
    assert not nonnegative or bool((found.codes.values >= 0).all())


@pytest.mark.parametrize("nonnegative", [True, False])
@pytest.mark.parametrize("options", EXACT, ids=str)
@pytest.mark.parametrize("shape", PROTOCOL, ids=str)
def test_exact_answer_is_the_greedy_one(shape: tuple[int, int, int, float], options: dict[str, Any], nonnegative: bool) -> None:
    d, m, k, coherence = shape
    atoms, x = instance(d, m, k, coherence=coherence)
    want = torch.tensor([reference(v.numpy(), atoms.numpy(), k, nonnegative) for v in x], dtype=torch.float64)
    for dtype, rtol, atol in ((torch.float64, 1e-10, 1e-12), (torch.float32, 1e-4, 1e-5)):
        dictionary = Dictionary(atoms.to(dtype))
        found = solve(KSparse(dictionary, k, nonnegative), x.to(dtype), "omp", **options)
        torch.testing.assert_close(found.certificate.value, want, rtol=rtol, atol=1e-9)
        assert_optimal_on_support(found, x.to(dtype), dictionary, nonnegative, atol)


def test_scikit_learn_agrees() -> None:
    orthogonal_mp = pytest.importorskip("sklearn.linear_model").orthogonal_mp
    atoms, x = instance(64, 256, 8, n=50)
    found = solve(KSparse(Dictionary(atoms), 8, nonnegative=False), x, "omp", exact=True)
    want = torch.from_numpy(orthogonal_mp(atoms.numpy().T, x.numpy().T, n_nonzero_coefs=8).T.copy())
    torch.testing.assert_close(found.codes.dense(), want, rtol=1e-8, atol=1e-10)


@pytest.mark.parametrize("nonnegative", [True, False])
@pytest.mark.parametrize("precision", ["float32", "bf16"])
@pytest.mark.parametrize("coherence", [0.0, 3.0])
def test_screened_residual_is_that_of_the_exact_answer(coherence: float, precision: str, nonnegative: bool) -> None:
    atoms, x = instance(256, 3000, 16, n=150, coherence=coherence, seed=1)
    problem = KSparse(Dictionary(atoms.float()), 16, nonnegative)
    exact = solve(problem, x.float(), "omp", exact=True)
    screened = solve(problem, x.float(), "omp", precision=precision, memory=0)
    ratio = float((screened.certificate.value.sum() / exact.certificate.value.sum()).sqrt())
    assert 0.98 < ratio < 1.01
    assert 1 < screened.cost.passes < 9
    assert_optimal_on_support(screened, x.float(), problem.dictionary, nonnegative, 1e-5)


@pytest.mark.parametrize("options", [{}, {"exact": True}, {"exact": True, "memory": 0}], ids=str)
@pytest.mark.parametrize("nonnegative", [True, False])
@pytest.mark.parametrize("m", [60, 1400])
def test_awkward_dictionaries(m: int, nonnegative: bool, options: dict[str, Any]) -> None:
    """Duplicates, zero atoms, any norms and a deficient rank: finite, feasible, optimal on the support, independent atoms only."""
    g = torch.Generator().manual_seed(5)
    basis = torch.randn(12, 32, generator=g)
    atoms = torch.randn(m, 12, generator=g) @ basis * (0.1 + 10 * torch.rand(m, 1, generator=g))
    atoms[10:20] = atoms[:10]
    atoms[20:25] = 2.5 * atoms[:5]
    atoms[25:30] = 0
    x = torch.randn(15, 32, generator=g)
    x[3] = 0
    x[4] = 3 * atoms[2]
    dictionary = Dictionary(atoms, 0.1 * torch.randn(32, generator=g))
    found = solve(KSparse(dictionary, 20, nonnegative), x + dictionary.bias, "omp", **options)
    assert bool(found.certificate.value.isfinite().all())
    assert int(found.codes.l0().max()) <= 12
    assert int(found.codes.l0()[3]) == 0
    assert float(found.certificate.value[4]) < 1e-6 * float(x[4].square().sum())
    dead = found.codes.active & (found.codes.indices >= 25) & (found.codes.indices < 30)
    assert not bool(dead.any())
    unit_codes = Codes(found.codes.indices, found.codes.values, m)
    r = (x - dictionary.synthesise(unit_codes)).double()
    on_support = (torch.gather(r @ dictionary.unit.atoms.double().T, 1, found.codes.indices.long()) * found.codes.active).abs().max()
    assert float(on_support) < 1e-3
    if not nonnegative:
        within = x.double() @ torch.linalg.pinv(atoms.double(), rtol=1e-5) @ atoms.double()
        torch.testing.assert_close(2 * found.certificate.value, (x.double() - within).square().sum(1), rtol=1e-3, atol=1e-6)


@pytest.mark.parametrize("options", [{}, {"exact": True}, {"exact": True, "memory": 0}], ids=str)
def test_each_sample_has_its_own_k_and_its_own_answer(options: dict[str, Any]) -> None:
    atoms, x = instance(40, 1300, 6, n=12)
    k = torch.tensor([0, 1, 2, 3, 4, 5, 6, 7, 8, 0, 20, 39])
    dictionary = Dictionary(atoms.float())
    together = solve(KSparse(dictionary, k), x.float(), "omp", precision="float32", **options)
    assert bool((together.codes.l0() <= k).all())
    assert together.codes.l0()[[0, 9]].tolist() == [0, 0]
    for i in (1, 5, 10):
        alone = solve(KSparse(dictionary, int(k[i])), x[i : i + 1].float(), "omp", precision="float32", **options)
        torch.testing.assert_close(alone.codes.dense()[0], together.codes.dense()[i], rtol=1e-4, atol=1e-5)


def test_a_sample_in_the_span_stops_when_it_is_explained() -> None:
    atoms, _ = instance(64, 1200, 4)
    x = 2 * atoms[5] + atoms[100] + 0.5 * atoms[700]
    for options in ({}, {"exact": True}):
        found = solve(KSparse(Dictionary(atoms), 30), x[None], "omp", **options)
        assert sorted(found.codes.indices[found.codes.active].tolist()) == [5, 100, 700]
        assert float(found.certificate.value) < 1e-20


def test_no_samples_and_no_budget() -> None:
    atoms, x = instance(16, 64, 4)
    empty = solve(KSparse(Dictionary(atoms), 4), x[:0], "omp")
    assert len(empty.codes) == 0
    nothing = solve(KSparse(Dictionary(atoms), torch.zeros(20, dtype=torch.int64)), x, "omp")
    assert int(nothing.codes.l0().sum()) == 0


def test_input_of_any_strides_is_read_only() -> None:
    atoms, x = instance(32, 1100, 5)
    array = np.asfortranarray(x.float().numpy())
    array.flags.writeable = False
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # torch's remark about arrays that may not be written
        view = torch.from_numpy(array)
    before = view.clone()
    problem = KSparse(Dictionary(atoms.float()), 5)
    found = solve(problem, view, "omp")
    assert torch.equal(view, before)
    assert torch.equal(found.codes.values, solve(problem, before.contiguous(), "omp").codes.values)


@pytest.mark.parametrize("nonnegative", [True, False])
def test_equivariant_to_scale_and_to_the_order_of_atoms(nonnegative: bool) -> None:
    atoms, x = instance(32, 1100, 5)
    k, order = 5, torch.randperm(1100, generator=torch.Generator().manual_seed(2))
    base = solve(KSparse(Dictionary(atoms), k, nonnegative), x, "omp", exact=True).codes.dense()
    scaled = solve(KSparse(Dictionary(atoms), k, nonnegative), 1000 * x, "omp", exact=True).codes.dense()
    torch.testing.assert_close(scaled, 1000 * base, rtol=1e-9, atol=1e-9)
    moved = solve(KSparse(Dictionary(atoms[order]), k, nonnegative), x, "omp", exact=True).codes.dense()
    torch.testing.assert_close(moved, base[:, order], rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("m", [200, 1300])
@pytest.mark.parametrize("nonnegative", [True, False])
def test_start_begins_the_support(m: int, nonnegative: bool) -> None:
    atoms, x = instance(48, m, 6)
    problem = KSparse(Dictionary(atoms), 6, nonnegative)
    cold = solve(problem, x, "omp", exact=True)
    part = Codes(cold.codes.indices[:, :3], cold.codes.values[:, :3] * torch.tensor([1.0, 0.0, 1.0]), m)
    warm = solve(problem, x, "omp", start=part)
    assert bool((warm.codes.l0() <= 6).all())
    if not nonnegative:
        kept = (warm.codes.dense() != 0).gather(1, part.indices.long())[:, [0, 2]]
        assert bool(kept.all())
    again = solve(problem, x, "omp", start=cold.codes)
    torch.testing.assert_close(again.certificate.value, cold.certificate.value, rtol=1e-9, atol=1e-12)
    too_many = Codes.from_dense(x @ atoms.T, 20)
    assert int(solve(problem, x, "omp", start=too_many).codes.l0().max()) <= 6


def test_work_is_reported_and_bad_options_are_named() -> None:
    atoms, x = instance(32, 1100, 5)
    with Counter(strict=False) as counter:
        solve(KSparse(Dictionary(atoms), 5), x, "omp")
    assert counter.by_operator["omp"] > 0
    with pytest.raises(InputError, match="candidates must be at least 1, not 0"):
        solve(KSparse(Dictionary(atoms), 5), x, "omp", candidates=0)
