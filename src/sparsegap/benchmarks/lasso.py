"""Certified lasso: every sample to a relative duality gap of 1e-4, at a tenth of the median largest correlation."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Any

from torch import Tensor

from sparsegap.bench import Bench, Planted, Row, Work, planted
from sparsegap.problem import Lasso
from sparsegap.solve import Solution, solve

FRACTION = 0.1
TOLERANCE = 1e-4


def lasso(bench: Bench) -> Iterator[Row]:
    """All rows of the lasso."""
    for shape, n in (((640, 5120), 2048), ((768, 16384), 1024)):
        yield from _certified(bench, planted(*shape, 32, n), (4.0, 6.0))
    yield from _certified(bench, planted(640, 5120, 32, 2048, coherence=0.2), (25.0, 25.0), "mean cosine 0.2, ")
    if bench.real is not None:
        yield from _certified(bench, bench.real, (7.0, 9.0), "real SAE, ")
    wide, small = planted(640, 5120, 32, 2048), planted(64, 256, 8, 10_000)
    for data, peer, bar, rows in ((wide, "spams", 3.0, 2048), (wide, "sklearn", 25.0, 8), (small, "spams", 1.3, 10_000)):
        problem = _problem(data)
        run = partial(solve, problem, data.x, tolerance=TOLERANCE)
        yield bench.against("certified lasso", bar, run, data, peer, partial(_peer_lasso, problem), rows)


def _problem(data: Planted) -> Lasso:
    """λ at a tenth of the median over samples of the largest correlation."""
    largest = Lasso(data.dictionary, 0.0).largest_penalty(data.x[:256])
    return Lasso(data.dictionary, FRACTION * float(largest.median()))


def _certified(bench: Bench, data: Planted, bars: tuple[float, float], label: str = "") -> Iterator[Row]:
    problem = _problem(data)
    for precision, bar in zip(("bf16", "float32"), bars, strict=True):
        run = partial(solve, problem, data.x, tolerance=TOLERANCE, precision=precision)
        yield bench.in_passes(f"{label}certified lasso, {precision} passes", bar, run, data, _coverage)


def _coverage(solution: Solution) -> str:
    certified = float(solution.certificate.within(TOLERANCE).double().mean())
    return f"{certified:.2%} of samples certified, mean L0 {float(solution.codes.l0().double().mean()):.0f}"


def _peer_lasso(problem: Lasso, adapter: Any, x: Tensor) -> Work:
    work: Work = adapter.lasso(x.numpy(), problem.dictionary.atoms.numpy(), float(problem.penalty))
    return work
