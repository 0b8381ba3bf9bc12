"""An analyst's dictionary: 131,072 directions of width 1,152, 25 of them non-negative, against TransformerLens."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

from torch import Tensor

from sparsegap.bench import Bench, Planted, Row, Work, interleaved, planted
from sparsegap.problem import KSparse
from sparsegap.solve import Solution, solve

ATOMS, WIDTH, K, SAMPLES, PEER_SAMPLES = 131_072, 1152, 25, 1024, 2
GIBIBYTE = 2**30


def vocabulary(bench: Bench) -> Iterator[Row]:
    """Speed per vector, agreement of the supports, and peak memory beyond the dictionary."""
    before = _bytes("VmRSS")  # the peers' imports among them, which are no memory of ours
    data = planted(WIDTH, ATOMS, K, SAMPLES)
    _forget_peak()
    run = partial(solve, KSparse(data.dictionary, K), data.x, "omp")
    solution = run()
    beyond = (_bytes("VmHWM") - before - data.dictionary.atoms.nbytes) / GIBIBYTE
    yield Row(f"peak memory beyond the dictionary, {data.shape}", "GiB", 2.0, True, beyond)
    adapter = bench.peer("transformer_lens")
    work, unit = f"OMP, {data.shape}", "times as fast as transformer_lens"
    if adapter is None:
        yield Row(work, unit, 20.0, False, skipped=f"transformer_lens skipped: {bench.missing.get('transformer_lens', 'no adapter')}")
        return
    peer = _decompose(adapter, data)
    timing = interleaved(run, peer, max(1, bench.repeats // 3), scale=SAMPLES / PEER_SAMPLES)
    agree = f"supports agree on {_agreement(solution, peer())} of {PEER_SAMPLES} timed vectors"
    yield Row(work, unit, 20.0, False, 1 / timing.ratio, agree, SAMPLES / timing.seconds)


def _decompose(adapter: Any, data: Planted) -> Work:
    x: Tensor = data.x[:PEER_SAMPLES]
    work: Work = adapter.omp(x, data.dictionary.atoms, K)
    return work


def _agreement(solution: Solution, supports: list[set[int]]) -> int:
    ours = [set(i[v != 0].tolist()) for i, v in zip(solution.codes.indices, solution.codes.values, strict=True)]
    return sum(a == b for a, b in zip(ours, supports, strict=False))


def _forget_peak() -> None:
    reset = Path("/proc/self/clear_refs")
    if reset.exists():
        reset.write_text("5")


def _bytes(field: str) -> int:
    """VmRSS, resident now, or VmHWM, its peak; where the system does not tell, the peak of the process."""
    status = Path("/proc/self/status")
    if status.exists():
        return 1024 * int(re.findall(rf"{field}:\s+(\d+) kB", status.read_text())[0])
    import resource

    return 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
