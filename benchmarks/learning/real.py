"""Atoms learned with an encoder and atoms learned with a solver, on real activations, each read by both.

    python benchmarks/learning/real.py --train train-00000.safetensors train-00001.safetensors --test test.safetensors     # 4 minutes

A line of JSON each: seconds of learning, FVU of the first held-out rows by the learner's own encoder, by OMP and by OMP pruned.
The figures of docs/learning.md are of 62,194 rows after layer 9 of Gemma 3 270M; `make demo` leaves a store of 60,000 that will do too.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path

import torch
from torch import Tensor

from sparsegap.encoder import Iterative
from sparsegap.fit import fit
from sparsegap.metrics.explained_variance import ReconstructionSums
from sparsegap.problem import KSparse
from sparsegap.recordings import open_activations

ATOMS, K, HELD_OUT = 4096, 32, 2048
RUNS = {"topk": (900, 1024), "online": (240, 2048)}


def rows_of(paths: list[Path]) -> Tensor:
    """(n, d) all rows of the recordings."""
    return torch.cat([open_activations(path).load().activations for path in paths])


def main() -> None:
    """Learn, read, tell."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--train", type=Path, nargs="+", required=True)
    parser.add_argument("--test", type=Path, required=True)
    given = parser.parse_args()
    train, test = rows_of(given.train), rows_of([given.test])[:HELD_OUT]
    for name, (steps, batch) in RUNS.items():
        began = time.perf_counter()
        made = fit(name, train, atoms=ATOMS, k=K, steps=steps, batch=batch)
        told: dict[str, object] = {"learner": name, "seconds": round(time.perf_counter() - began)}
        problem = KSparse(made.dictionary, K)
        for reader in ("own", "omp", "prune"):
            encoder = made.encoder if reader == "own" else Iterative(reader, problem=problem, prove=False)
            told[reader] = round(ReconstructionSums.of(test, made.dictionary.decode(encoder.encode(test))).fvu, 4)
        print(json.dumps(told), flush=True)


if __name__ == "__main__":
    main()
