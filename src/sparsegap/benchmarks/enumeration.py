"""Exact L0 on the paper's toy size."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

from sparsegap.bench import Bench, Row, interleaved, planted
from sparsegap.problem import KSparse
from sparsegap.solve import solve

BAR = 250_000


def enumeration(bench: Bench) -> Iterator[Row]:
    """Samples a second at 8x16, k=3."""
    data = planted(8, 16, 3, 100_000)
    run = partial(solve, KSparse(data.dictionary, 3), data.x, "exhaustive")
    timing = interleaved(run, run, bench.repeats)
    rate = len(data.x) / timing.seconds
    yield Row(f"exhaustive L0, {data.shape}", "samples/s", BAR, False, rate, "every support tried", rate)
