"""The wall of "Stop Probing, Start Coding" (arXiv:2603.28744): how well codes of unseen combinations are found, against training samples.

    python benchmarks/learning/compositional.py --out compositional.jsonl            # some 20 minutes on one core

Their setting is the source's default: 1,000 atoms, 93 dimensions, 10 active, amplitudes uniform on (0, 1), test samples with pairs of
atoms that training never shows. "fresh" sees n samples once, in order; "reuse" goes over the same n again and again, for `--visits` samples
in all. "all at once" is for few samples: alternating minimisation over all rows, 150 times, with codes from a penalty until OMP takes over.
One line of JSON each: atoms found, correlation (MCC) of the codes of shifted and of ordinary test samples with the truth, read by OMP (and
by the lasso at penalty .2), and the same with the true atoms as the ceiling. `strongest` is the MCC as they compute it.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path

from sparsegap.dictionary import Dictionary
from sparsegap.learners.alternating import Alternating
from sparsegap.learners.online import Online
from sparsegap.learning.learner import Batch, Learner, Task
from sparsegap.metrics.mcc import mcc
from sparsegap.problem import KSparse, Lasso
from sparsegap.solve import solve
from sparsegap.sources.compositional import Compositional

SIZES = (2500, 5000, 10_000, 20_000, 50_000, 100_000, 200_000, 500_000, 1_000_000)
TEST_ROWS, FEW, ALTERNATIONS, READ_PENALTY = 10_000, 10_000, 150, 0.2


def run(kind: str, whole: Compositional, samples: int, visits: int, seed: int) -> tuple[Learner, float]:
    """The learner of a kind, and its seconds."""
    if kind == "all at once":
        return at_once(whole, samples, seed)
    if kind == "fresh":
        return learned(whole, samples, samples, seed)
    return learned(Compositional(seed=seed, split=whole.split, samples=samples), samples, max(visits, samples), seed)


def at_once(source: Compositional, samples: int, seed: int) -> tuple[Learner, float]:
    """An alternating learner after 150 alternations over all samples, and the seconds that it took."""
    x = source.batch(0, samples).x
    task = Task(source.n_atoms, source.width, source.active, ALTERNATIONS, samples, seed)
    learner = Alternating(task, solver="coordinate_descent", k_start=4, rise=0.7, polish=0.2)
    began = time.perf_counter()
    learner.begin(x)
    for number in range(1, ALTERNATIONS + 1):
        learner.step(Batch(x), number)
    return learner, time.perf_counter() - began


def learned(source: Compositional, samples: int, visits: int, seed: int) -> tuple[Learner, float]:
    """An online learner after `visits` samples of a stream, and the seconds that it took."""
    batch = min(2048, max(256, samples // 100))
    task = Task(source.n_atoms, source.width, source.active, max(visits // batch, 1), batch, seed)
    learner = Online(task)
    began = time.perf_counter()
    learner.begin(source.batch(0, min(samples, learner.sample_rows)).x)
    for number in range(1, task.steps + 1):
        learner.step(Batch(source.batch(number - 1, batch).x), number)
    return learner, time.perf_counter() - began


def scores(source: Compositional, dictionary: Dictionary) -> dict[str, float]:
    """MCC of the codes that OMP finds with these atoms, shifted and not; found: share of true atoms at cosine ≥ .95."""
    made: dict[str, float] = {"found": float(((source.dictionary.atoms @ dictionary.atoms.T).amax(1) >= 0.95).double().mean())}
    for split, name in (("out", "shifted"), ("in", "ordinary")):
        sample = source.test(TEST_ROWS, split)  # type: ignore[arg-type]
        codes = solve(KSparse(dictionary, source.active), sample.x, "omp", prove=False).codes
        made |= {f"{name}_mcc": mcc(codes, sample.codes), f"{name}_mcc_strongest": mcc(codes, sample.codes, strongest=True)}
        made[f"{name}_fvu"] = float((sample.x - dictionary.decode(codes)).square().sum() / (sample.x - sample.x.mean(0)).square().sum())
        shrunk = solve(Lasso(dictionary, READ_PENALTY), sample.x, tolerance=1e-2).codes
        made[f"{name}_mcc_strongest_lasso"] = mcc(shrunk, sample.codes, strongest=True)
    return {key: round(value, 5) for key, value in made.items()}


def main() -> None:
    """Both curves."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=None)
    parser.add_argument("--visits", type=int, default=1_000_000)
    parser.add_argument("--sizes", type=int, nargs="*", default=SIZES)
    parser.add_argument("--split", default="pivot")
    parser.add_argument("--kinds", nargs="*", default=None)
    parser.add_argument("--seeds", type=int, default=1)
    given = parser.parse_args()
    for seed in range(given.seeds):
        whole = Compositional(seed=seed, split=given.split)
        _tell({"kind": "true atoms", "seed": seed} | scores(whole, whole.dictionary), given.out)
        for samples in given.sizes:
            kinds = ("reuse", "fresh", "all at once") if samples <= FEW else ("reuse", "fresh")
            for kind in kinds:
                if kind in (given.kinds or kinds):
                    learner, seconds = run(kind, whole, samples, given.visits, seed)
                    told = {"kind": kind, "seed": seed, "samples": samples, "seconds": round(seconds, 1)}
                    _tell(told | scores(whole, learner.result()[1]), given.out)


def _tell(line: dict[str, object], out: Path | None) -> None:
    text = json.dumps(line)
    print(text, flush=True)
    if out is not None:
        with out.open("a") as file:
            file.write(text + "\n")


if __name__ == "__main__":
    main()
