"""What a sample of each source costs, beside decoding it: the table of docs/sources.md.

taskset -c 1 env OMP_NUM_THREADS=1 NUMBA_NUM_THREADS=1 python benchmarks/sources.py
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

import numpy as np
import torch

from sparsegap.kernels import draws
from sparsegap.source import parse_source
from sparsegap.synthetic import Synthetic

SIZES = {(1000, 200, 20): 2048, (16_384, 768, 32): 512, (100_000, 768, 32): 512}  # atoms, width, active: samples at a time
REPEATS = 8


def recipes(atoms: int) -> Iterator[str]:
    """Every synthetic source; the others' options are their defaults."""
    yield from ("uniform:", "uniform:exact=false", "zipf:", "zipf:exact=false", "compositional:", "correlated:")
    yield from ("correlated:groups=64,exponent=1", "correlated:exact=true", "categorical:", "multidimensional:")
    yield f"hierarchical:trees={atoms // 128},branching=4,depth=3,exclusive=true,scaled=true,exponent=0.5"


def microseconds(n: int, run: Callable[..., object], *given: object) -> float:
    """Processor time of a sample, the best of some; the first time compiles."""
    run(*given)
    spent = []
    for _ in range(REPEATS):
        begun = time.process_time()
        run(*given)
        spent.append(time.process_time() - begun)
    return min(spent) / n * 1e6


def main() -> None:
    """Print a line for each source and size."""
    torch.set_num_threads(1)
    for (atoms, width, active), n in SIZES.items():
        dictionary, ids = parse_source(f"uniform:atoms={atoms},width={width},active={active}").dictionary, np.arange(n)
        noisy = torch.zeros(n, width)
        print(f"{atoms:,} atoms, width {width}, {active} active: noise {microseconds(n, _noise, ids, noisy):.1f} µs")
        for recipe in recipes(atoms):
            source = parse_source(f"{recipe},atoms={atoms},width={width},active={active}")
            assert isinstance(source, Synthetic)
            codes = source.codes(ids, "train")
            drawn, decoded = microseconds(n, source.codes, ids, "train"), microseconds(n, dictionary.decode, codes)
            print(f"  {recipe:80} drawn {drawn:6.1f} µs, decoded {decoded:6.1f} µs, {codes.width} slots")


def _noise(ids: np.ndarray, x: torch.Tensor) -> None:
    draws.add_noise(ids, np.uint64(1), 0.1, x.numpy())


if __name__ == "__main__":
    main()
