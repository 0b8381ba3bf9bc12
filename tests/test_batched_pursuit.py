"""Pursuit in batched torch operations, as it runs on a GPU, against the compiled kernels; on CUDA too where there is a device."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from sparsegap.codes import Codes
from sparsegap.dictionary import Dictionary
from sparsegap.problem import KSparse
from sparsegap.screen import Screen
from sparsegap.solve import solve
from sparsegap.solving.batched import BatchedPursuit

M, D, K, N = 1200, 48, 8, 40


def instance(coherence: float) -> tuple[Dictionary, Tensor]:
    g = torch.Generator().manual_seed(0)
    atoms = torch.randn(M, D, generator=g, dtype=torch.float64) + coherence * torch.randn(1, D, generator=g, dtype=torch.float64)
    atoms[7], atoms[9] = atoms[3], 0
    dictionary = Dictionary(atoms).unit
    x = (torch.rand(N, M, generator=g, dtype=torch.float64) * (torch.rand(N, M, generator=g) < K / M)) @ dictionary.atoms
    x += 0.1 * torch.randn(N, D, generator=g, dtype=torch.float64)
    x[3] = 0
    return dictionary, x


def batched(problem: KSparse, x: Tensor, extra: int = 0) -> BatchedPursuit:
    screen = Screen(problem.dictionary, "float64" if x.dtype == torch.float64 else "float32", len(x))
    return BatchedPursuit(problem, x, screen, "omp", min(int(problem.budgets(len(x)).max()) + extra, D), extra)


@pytest.mark.parametrize("coherence", [0.0, 1.0])
@pytest.mark.parametrize("nonnegative", [True, False])
@pytest.mark.parametrize("varied", [True, False])
def test_the_exact_answer_is_that_of_the_kernels(coherence: float, nonnegative: bool, varied: bool) -> None:
    dictionary, x = instance(coherence)
    problem = KSparse(dictionary, torch.arange(N) % (K + 1) if varied else K, nonnegative)
    pursuit = batched(problem, x)
    pursuit.screened(16, certain=True)
    want = solve(problem, x, "omp", exact=True)
    torch.testing.assert_close(pursuit.codes().dense(), want.codes.dense(), rtol=1e-8, atol=1e-10)


@pytest.mark.parametrize("nonnegative", [True, False])
def test_the_screened_residual_is_that_of_the_kernels(nonnegative: bool) -> None:
    dictionary, x = instance(0.5)
    problem = KSparse(dictionary.to(torch.float32), K, nonnegative)
    pursuit = batched(problem, x.float())
    pursuit.screened(48, certain=False)
    found = problem.certify(x.float(), pursuit.codes()).value.sum()
    want = solve(problem, x.float(), "omp", precision="float32")
    assert float(found / want.certificate.value.sum()) == pytest.approx(1, abs=0.03)
    assert pursuit.screen.rows / N == pytest.approx(want.cost.passes, abs=0.3)


@pytest.mark.parametrize("nonnegative", [True, False])
def test_refit_and_prune_are_those_of_the_kernels(nonnegative: bool) -> None:
    dictionary, x = instance(1.0)
    g = torch.Generator().manual_seed(1)
    support = torch.stack([torch.randperm(M, generator=g)[:12] for _ in range(N)])
    start = Codes(support.int(), torch.rand(N, 12, generator=g, dtype=torch.float64) + 0.1, M)
    refitted = batched(KSparse(dictionary, 12, nonnegative), x)
    refitted.adopt(start)
    want = solve(KSparse(dictionary, 12, nonnegative), x, "refit", start=start).codes.dense()
    torch.testing.assert_close(refitted.codes().dense(), want, rtol=1e-8, atol=1e-10)
    pruned = batched(KSparse(dictionary, 4, nonnegative), x, extra=8)
    pruned.adopt(start)
    pruned.prune()
    want = solve(KSparse(dictionary, 4, nonnegative), x, "prune", start=start).codes.dense()
    torch.testing.assert_close(pruned.codes().dense(), want, rtol=1e-8, atol=1e-10)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
@pytest.mark.parametrize("method", ["omp", "refit", "prune"])
def test_solve_on_a_device(method: str) -> None:
    dictionary, x = instance(0.5)
    start = solve(KSparse(dictionary, K), x, "omp").codes
    here = solve(KSparse(dictionary, K), x, method, start=start if method != "omp" else None)
    there = solve(KSparse(dictionary.to("cuda"), K), x.cuda(), method, start=start.to("cuda") if method != "omp" else None)
    assert there.codes.values.is_cuda
    torch.testing.assert_close(there.certificate.value.sum().cpu(), here.certificate.value.sum(), rtol=0.02, atol=1e-9)
