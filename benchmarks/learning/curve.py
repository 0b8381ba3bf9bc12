"""How many true atoms a learner has found, against minutes and samples: one line of JSON every few steps.

    python benchmarks/learning/curve.py uniform:atoms=16384,width=768,active=32 --k 32 --steps 400 --batch 8192 --out curve.jsonl

Seconds are those of the learning alone: drawing the samples and comparing the atoms with the truth are not counted. Run it on a quiet
machine, with OMP_NUM_THREADS and NUMBA_NUM_THREADS set to the cores it may use.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path

import torch

from sparsegap.learning.learner import Batch, Learner, Task
from sparsegap.options import parse_options
from sparsegap.registry import member
from sparsegap.source import Source, parse_source

FAR = 1 << 30


def found(learner: Learner, source: Source) -> dict[str, float]:
    """Of the true atoms: the share with a learned one at cosine ≥ .8, .9, .95, and the mean of the best cosines."""
    atoms = learner.state()["atoms"]
    best = torch.cat([(block @ atoms.T).amax(1) for block in source.dictionary.atoms.split(2048)])
    return {f"found_{round(100 * at)}": float((best >= at).double().mean()) for at in (0.8, 0.9, 0.95)} | {"cosine": float(best.mean())}


def main() -> None:
    """Learn, and print the curve."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("source")
    parser.add_argument("--learner", default="online")
    parser.add_argument("--option", "-o", action="append", default=[], help="of the learner: encoder=topk")
    parser.add_argument("--k", type=int, required=True)
    parser.add_argument("--steps", type=int, required=True)
    parser.add_argument("--batch", type=int, default=None)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--every", type=int, default=10)
    parser.add_argument("--out", type=Path, default=None)
    given = parser.parse_args()
    source, kind = parse_source(given.source), member("learners", given.learner)
    batch = given.batch or kind.preferred_batch(source.n_atoms, given.k, None)
    task = Task(source.n_atoms, source.width, given.k, given.steps, batch, given.seed)
    learner = kind(task, **parse_options(given.learner, kind, given.option))
    learner.begin(source.batch(FAR, learner.sample_rows).x)
    seconds = 0.0
    for number in range(1, given.steps + 1):
        x = source.batch(number - 1, batch).x
        began = time.perf_counter()
        outcome = learner.step(Batch(x), number)
        seconds += time.perf_counter() - began
        if number % given.every == 0 or number == given.steps:
            line = {"step": number, "samples": number * batch, "seconds": round(seconds, 2), "fvu": float(outcome.fvu)}
            text = json.dumps(line | {name: round(value, 5) for name, value in found(learner, source).items()})
            print(text, flush=True)
            if given.out is not None:
                with given.out.open("a") as file:
                    file.write(text + "\n")


if __name__ == "__main__":
    main()
