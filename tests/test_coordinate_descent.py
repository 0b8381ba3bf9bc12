"""Coordinate descent on working sets: right answers, certificates that are the problem's own, and every odd input has a defined end."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from sparsegap.codes import Codes
from sparsegap.dictionary import Dictionary
from sparsegap.problem import Lasso
from sparsegap.screen import Screen
from sparsegap.solve import Reason, Solution, solve
from sparsegap.solvers.coordinate_descent import coordinate_descent

KINDS = ("random", "coherent", "duplicated", "unnormalised", "deficient", "dead")


def atoms_of(kind: str, m: int, d: int, seed: int = 0) -> Tensor:
    g = torch.Generator().manual_seed(seed)
    atoms = torch.randn(m, d, generator=g, dtype=torch.float64)
    if kind == "coherent":
        atoms += 0.7 * torch.randn(d, generator=g, dtype=torch.float64)
    if kind == "deficient":
        atoms = atoms[:, : d // 3] @ torch.randn(d // 3, d, generator=g, dtype=torch.float64)
    atoms /= atoms.norm(dim=1, keepdim=True)
    if kind == "duplicated":
        atoms[m // 2 :] = atoms[: m - m // 2]
    if kind == "unnormalised":
        atoms *= torch.logspace(-2, 2, m, dtype=torch.float64)[torch.randperm(m, generator=g)][:, None]
    if kind == "dead":
        atoms[::3] = 0
    return atoms


def samples(atoms: Tensor, n: int, seed: int = 1) -> Tensor:
    g = torch.Generator().manual_seed(seed)
    m, d = atoms.shape
    codes = torch.rand(n, m, generator=g, dtype=torch.float64) * (torch.rand(n, m, generator=g) < 6 / m)
    return codes @ (atoms / atoms.norm(dim=1, keepdim=True).clamp_min(1e-9)) + 0.05 * torch.randn(n, d, generator=g, dtype=torch.float64)


def run(atoms: Tensor, x: Tensor, penalty: float | Tensor, nonnegative: bool = True, **options: object) -> Solution:
    return solve(Lasso(Dictionary(atoms), penalty, nonnegative), x, "coordinate_descent", **options)  # type: ignore[arg-type]


def fraction_of_largest(atoms: Tensor, x: Tensor, share: float) -> Tensor:
    return share * Lasso(Dictionary(atoms), 0.0, nonnegative=False).largest_penalty(x)


@pytest.mark.parametrize("nonnegative", [True, False])
@pytest.mark.parametrize("m", [40, 1100])
def test_orthonormal_atoms_give_the_closed_form(m: int, nonnegative: bool) -> None:
    g = torch.Generator().manual_seed(0)
    atoms = torch.linalg.qr(torch.randn(m, m, generator=g, dtype=torch.float64)).Q
    x = torch.randn(5, m, generator=g, dtype=torch.float64)
    scores = x @ atoms.T
    expected = (scores.abs() - 0.8).clamp_min(0) * scores.sign()
    expected = expected.clamp_min(0) if nonnegative else expected
    found = run(atoms, x, 0.8, nonnegative, tolerance=1e-12)
    assert found.reason is Reason.CERTIFIED
    torch.testing.assert_close(found.codes.dense(), expected, rtol=0, atol=1e-9)


@pytest.mark.parametrize("nonnegative", [True, False])
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("m", [60, 1500])
def test_scikit_learn_finds_nothing_better(kind: str, m: int, nonnegative: bool) -> None:
    linear_model = pytest.importorskip("sklearn.linear_model")
    atoms = atoms_of(kind, m, 32)
    x = samples(atoms, 4)
    penalty = fraction_of_largest(atoms, x, 0.1)
    found = run(atoms, x, penalty, nonnegative, tolerance=1e-9)
    assert found.reason is Reason.CERTIFIED
    problem = Lasso(Dictionary(atoms), penalty, nonnegative)
    rival = torch.zeros(4, m, dtype=torch.float64)
    for i in range(4):
        model = linear_model.Lasso(alpha=float(penalty[i]) / 32, fit_intercept=False, positive=nonnegative, tol=1e-10, max_iter=20_000)
        rival[i] = torch.from_numpy(model.fit(atoms.T.numpy(), x[i].numpy()).coef_)
    value = problem.value(x, Codes.from_dense(rival))
    torch.testing.assert_close(found.certificate.value, value, rtol=1e-6, atol=0)
    assert bool((found.certificate.value <= value * (1 + 1e-8)).all())


@pytest.mark.parametrize("nonnegative", [True, False])
@pytest.mark.parametrize("precision", ["float32", "bf16", "float64"])
@pytest.mark.parametrize("kind", KINDS)
def test_every_sample_is_certified_and_the_certificate_is_the_problems(kind: str, precision: str, nonnegative: bool) -> None:
    atoms = atoms_of(kind, 1300, 48).float()
    x = samples(atoms.double(), 40).float()
    penalty = fraction_of_largest(atoms, x, 0.07)
    problem = Lasso(Dictionary(atoms), penalty, nonnegative)
    found = solve(problem, x, "coordinate_descent", precision=precision)
    again = problem.certify(x, found.codes)
    assert bool((again.relative_gap <= 1e-4).all())
    torch.testing.assert_close(found.certificate.value, again.value, rtol=1e-12, atol=0)
    torch.testing.assert_close(found.certificate.lower_bound, again.lower_bound, rtol=1e-12, atol=0)


@pytest.mark.parametrize("kind", ["random", "coherent"])
def test_tight_tolerances_are_met(kind: str) -> None:
    atoms = atoms_of(kind, 1200, 40)
    x = samples(atoms, 20)
    penalty = fraction_of_largest(atoms, x, 0.05)
    for dtype, tolerance in ((torch.float32, 1e-6), (torch.float64, 1e-10)):
        found = run(atoms.to(dtype), x.to(dtype), penalty, tolerance=tolerance, precision="auto")
        assert found.reason is Reason.CERTIFIED
        assert float(found.certificate.relative_gap.max()) <= tolerance


@pytest.mark.parametrize("m", [80, 1200])
def test_gram_and_gram_free_agree(m: int) -> None:
    atoms = atoms_of("coherent", m, 40)
    x = samples(atoms, 12)
    penalty = fraction_of_largest(atoms, x, 0.05)
    with_gram, without = (run(atoms, x, penalty, tolerance=1e-11, memory=memory) for memory in (1 << 30, 0))
    assert with_gram.reason is without.reason is Reason.CERTIFIED
    torch.testing.assert_close(with_gram.codes.dense(), without.codes.dense(), rtol=0, atol=1e-7)


@pytest.mark.parametrize("m", [50, 1100])
def test_no_penalty_ends_at_nonnegative_least_squares(m: int) -> None:
    optimize = pytest.importorskip("scipy.optimize")
    atoms = atoms_of("random", m, 60 if m == 50 else 16)
    x = torch.randn(3, atoms.shape[1], generator=torch.Generator().manual_seed(3), dtype=torch.float64)
    found = run(atoms, x, 0.0)
    for i in range(3):
        _, distance = optimize.nnls(atoms.T.numpy(), x[i].numpy())
        assert float(found.certificate.value[i]) == pytest.approx(0.5 * distance**2, rel=1e-8, abs=1e-10)


def test_no_penalty_signed_ends() -> None:
    atoms = atoms_of("random", 1100, 16)
    found = run(atoms, samples(atoms, 3), 0.0, nonnegative=False)
    assert float(found.certificate.value.max()) < 1e-10


def test_small_penalties_with_large_supports_drop_nothing() -> None:
    atoms = atoms_of("random", 1500, 300).float()
    x = torch.randn(4, 300, generator=torch.Generator().manual_seed(4))
    found = run(atoms, x, fraction_of_largest(atoms, x, 0.002), nonnegative=False)
    assert found.reason is Reason.CERTIFIED
    assert int(found.codes.l0().min()) > 150


@pytest.mark.parametrize("m", [40, 1100])
def test_largest_penalty_zero_samples_and_no_samples_give_zero(m: int) -> None:
    atoms = atoms_of("random", m, 24)
    x = samples(atoms, 5)
    above = run(atoms, x, Lasso(Dictionary(atoms), 0.0).largest_penalty(x))
    assert int(above.codes.l0().sum()) == 0
    assert above.reason is Reason.CERTIFIED
    nothing = run(atoms, torch.zeros_like(x), 0.1)
    assert nothing.reason is Reason.CERTIFIED
    assert int(nothing.codes.l0().sum()) == 0
    assert len(run(atoms, x[:0], 0.1).codes) == 0


@pytest.mark.parametrize("m", [60, 1200])
def test_the_answer_as_a_start_is_finished_at_once(m: int) -> None:
    atoms = atoms_of("coherent", m, 32).float()
    x = samples(atoms.double(), 30).float()
    penalty = fraction_of_largest(atoms, x, 0.1)
    first = run(atoms, x, penalty)
    shuffled = torch.randperm(first.codes.width + 3, generator=torch.Generator().manual_seed(0))
    wide = first.codes.widened(first.codes.width + 3)
    again = run(atoms, x, penalty, start=Codes(wide.indices[:, shuffled], wide.values[:, shuffled], m))
    assert again.cost.passes == 1
    torch.testing.assert_close(again.codes.dense(), first.codes.dense())


def test_any_start_leads_to_the_optimum() -> None:
    atoms = atoms_of("random", 1200, 32)
    x = samples(atoms, 8)
    penalty = fraction_of_largest(atoms, x, 0.1)
    start = torch.randn(8, 1200, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    found = run(atoms, x, penalty, start=Codes.from_dense(start, 200), tolerance=1e-10)
    assert found.reason is Reason.CERTIFIED
    torch.testing.assert_close(found.codes.dense(), run(atoms, x, penalty, tolerance=1e-10).codes.dense(), rtol=0, atol=1e-6)


@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 1000), factor=st.floats(1e-3, 1e3), nonnegative=st.booleans(), m=st.sampled_from([30, 1060]))
def test_scale_order_and_company_do_not_matter(seed: int, factor: float, nonnegative: bool, m: int) -> None:
    atoms = atoms_of("random", m, 20, seed)
    x = samples(atoms, 6, seed + 1)
    penalty = fraction_of_largest(atoms, x, 0.1)
    codes = run(atoms, x, penalty, nonnegative, tolerance=1e-11).codes.dense()
    scaled = run(atoms, x * factor, penalty * factor, nonnegative, tolerance=1e-11).codes.dense()
    torch.testing.assert_close(scaled, codes * factor, rtol=0, atol=1e-5 * factor)
    order = torch.randperm(m, generator=torch.Generator().manual_seed(seed))
    permuted = run(atoms[order], x, penalty, nonnegative, tolerance=1e-11).codes.dense()
    torch.testing.assert_close(permuted, codes[:, order], rtol=0, atol=1e-5)
    alone = run(atoms, x[2:3], penalty[2:3], nonnegative, tolerance=1e-11).codes.dense()
    torch.testing.assert_close(alone, codes[2:3], rtol=0, atol=1e-5)


def test_each_iterate_bounds_the_optimum_from_below() -> None:
    atoms = atoms_of("coherent", 1200, 32).float()
    x = samples(atoms.double(), 30).float()
    problem = Lasso(Dictionary(atoms), 0.05)
    screen = Screen(problem.dictionary, "bf16", 30, tolerance=1e-5)
    iterates = list(coordinate_descent(problem, x, None, screen, candidates=8))
    best = iterates[-1].certificate
    assert best is not None
    assert len(iterates) > 2
    for iterate in iterates:
        assert iterate.certificate is not None
        assert isinstance(iterate.codes, Codes)
        assert bool((iterate.certificate.lower_bound <= best.value * (1 + 1e-12)).all())
        torch.testing.assert_close(iterate.certificate.value, problem.value(x, iterate.codes), rtol=1e-12, atol=0)


def test_agrees_with_spams() -> None:
    spams = pytest.importorskip("spams")
    atoms = atoms_of("random", 1200, 64)
    x = samples(atoms, 20)
    penalty = float(fraction_of_largest(atoms, x, 0.1).median())
    theirs = spams.lasso(
        np.asfortranarray(x.T.numpy()), D=np.asfortranarray(atoms.T.numpy()), lambda1=penalty, mode=2, pos=True, numThreads=1
    )
    ours = run(atoms, x, penalty, tolerance=1e-10)
    np.testing.assert_allclose(ours.codes.dense().numpy(), theirs.toarray().T, atol=1e-6)


def test_inputs_stay_as_they_are() -> None:
    atoms = atoms_of("random", 1100, 24).float()
    x = samples(atoms.double(), 6).float().T.contiguous().T
    start = Codes.from_dense(torch.rand(6, 1100, generator=torch.Generator().manual_seed(0)), 9)
    before = x.clone(), start.indices.clone(), start.values.clone(), atoms.clone()
    run(atoms, x, 0.05, start=start)
    for was, now in zip(before, (x, start.indices, start.values, atoms), strict=True):
        assert torch.equal(was, now)
