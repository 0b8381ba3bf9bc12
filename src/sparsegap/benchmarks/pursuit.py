"""k-sparse codes: the encoder with a refit, and orthogonal matching pursuit against the exact greedy answer and against peers."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Any

from torch import Tensor

from sparsegap.bench import Bench, Planted, Row, Work, planted
from sparsegap.encoders.topk import TopK
from sparsegap.problem import KSparse
from sparsegap.solve import Solution, solve

CHECKED = 512
SAMPLES = {(640, 5120): 2048, (768, 16384): 1024}


def pursuit(bench: Bench) -> Iterator[Row]:
    """All rows of k-sparse coding."""
    for (shape, n), refit_bar, bars in zip(SAMPLES.items(), (1.8, 1.4), ((4.0, 6.5), (3.0, 5.0)), strict=True):
        data = planted(*shape, 32, n)
        yield _encoder_and_refit(bench, data, refit_bar)
        yield from _omp(bench, data, bars)
    yield from _omp(bench, data, (4.5, 6.5), memory=0)
    if bench.real is not None:
        yield from _omp(bench, bench.real, (4.5, 7.0), label="real SAE, ")
    yield from _against_peers(bench)


def _encoder_and_refit(bench: Bench, data: Planted, bar: float) -> Row:
    encoder = TopK.from_dictionary(data.dictionary, k=data.k)
    problem = KSparse(data.dictionary, data.k)

    def run() -> Solution:
        return solve(problem, data.x, "refit", start=encoder.encode(data.x))

    return bench.in_passes("encoder + refit on its support", bar, run, data, lambda s: f"FVU {_fvu(s, data):.3f}")


def _omp(bench: Bench, data: Planted, bars: tuple[float, float], label: str = "", **options: Any) -> Iterator[Row]:
    problem = KSparse(data.dictionary, data.k)
    exact = solve(problem.rows(slice(CHECKED)), data.x[:CHECKED], "omp", exact=True, precision="float32")
    gram = " without Gram" if options else ""
    for precision, bar in zip(("bf16", "float32"), bars, strict=True):
        run = partial(solve, problem, data.x, "omp", precision=precision, **options)
        yield bench.in_passes(f"{label}OMP{gram}, {precision} passes", bar, run, data, partial(_excess, exact=exact))


def _excess(solution: Solution, exact: Solution) -> str:
    """How much larger the residual norm is than that of the exact greedy answer, in total."""
    ours, theirs = (s.certificate.value[:CHECKED].mul(2).sqrt().sum() for s in (solution, exact))
    return f"residual {float(ours / theirs - 1):+.2%} of exact OMP"


def _fvu(solution: Solution, data: Planted) -> float:
    return float(2 * solution.certificate.value.sum() / (data.x - data.x.mean(0)).square().sum())


def _against_peers(bench: Bench) -> Iterator[Row]:
    wide, small = planted(640, 5120, 32, 2048), planted(64, 256, 8, 10_000)
    for data, peer, bar, rows in ((wide, "spams", 2.0, 2048), (wide, "sklearn", 50.0, 16), (small, "spams", 1.0, 10_000)):
        run = partial(solve, KSparse(data.dictionary, data.k, nonnegative=False), data.x, "omp")
        yield bench.against("OMP, signed", bar, run, data, peer, partial(_peer_omp, data), rows)


def _peer_omp(data: Planted, adapter: Any, x: Tensor) -> Work:
    work: Work = adapter.omp(x.numpy(), data.dictionary.atoms.numpy(), data.k)
    return work
