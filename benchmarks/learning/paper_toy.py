"""The paper's toy, atoms and codes unknown: 16 atoms in 8 dimensions, 3 active, 1,024 samples to learn from and 1,024 to be judged on.

Run by hand from the repository's root, on one core; prints a table and the seconds of each row.

    OMP_NUM_THREADS=1 MKL_NUM_THREADS=1 NUMBA_NUM_THREADS=1 python -m benchmarks.learning.paper_toy ours
    OMP_NUM_THREADS=1 MKL_NUM_THREADS=1 NUMBA_NUM_THREADS=1 python -m benchmarks.learning.paper_toy paper [--methods SAE SC] [--vary-data]

`ours`: fit("alternating", ...), five seeds of data and model. `paper`: its four methods as it runs them (`paper_methods`), 40,000 steps,
five seeds of the model on one data set, or each on its own with --vary-data; the last columns are the values of its figure 4.
latent: matched |Pearson| of test codes with the true ones. greedy: |Pearson| over coordinates, the paper's score of a dictionary, at which
random atoms get .63 to .67. cosine: of atoms matched one to one. O'Neill, Gumran & Klindt (2024), arXiv:2411.13117.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Iterator

import torch
from benchmarks.learning import paper_methods as methods
from torch import Tensor

from sparsegap.codes import Codes
from sparsegap.dictionary import Dictionary
from sparsegap.fit import fit
from sparsegap.metrics.dictionary_match import dictionary_match, greedy_pearson, random_atoms
from sparsegap.metrics.mcc import mcc
from sparsegap.problem import KSparse
from sparsegap.solve import solve
from sparsegap.source import Sample
from sparsegap.sources.uniform import Uniform

M, D, K, SAMPLES, SEEDS = 16, 8, 3, 1024, 5
PAPER = {"SAE": (0.57, 0.745), "SAE+ITO": (0.58, 0.745), "SC": (0.69, 0.845), "MLP32": (0.63, 0.79), "MLP256": (0.63, 0.845)}
Scores = tuple[float, float, float]


def toy(seed: int) -> Uniform:
    """The data set."""
    return Uniform(atoms=M, width=D, active=K, samples=SAMPLES, seed=seed)


def scores(atoms: Tensor, codes: Codes, truth: Dictionary, test: Sample) -> Scores:
    """latent, greedy, cosine."""
    learned = Dictionary(atoms)
    return mcc(codes, test.codes), greedy_pearson(learned, truth), dictionary_match(learned, truth).mcc


def ours(steps: int, seeds: int) -> None:
    """Alternating minimisation with its defaults, codes by exhaustive search."""
    found, seconds = [], []
    for seed in range(seeds):
        source = toy(seed)
        test = source.test(SAMPLES)
        began = time.perf_counter()
        made = fit("alternating", source, atoms=M, k=K, batch=SAMPLES, steps=steps, seed=seed)
        seconds.append(time.perf_counter() - began)
        codes = solve(KSparse(made.dictionary, K), test.x).codes
        found.append(scores(made.dictionary.atoms, codes, source.dictionary, test))
        latent, greedy, cosine = found[-1]
        print(f"seed {seed}: latent {latent:.3f}  greedy {greedy:.3f}  cosine {cosine:.3f}  {seconds[-1]:.1f} s", flush=True)
    medians = [statistics.median(column) for column in zip(*found, strict=True)]
    print(f"median: latent {medians[0]:.3f}  greedy {medians[1]:.3f}  cosine {medians[2]:.3f}  slowest {max(seconds):.1f} s")


def paper(names: list[str], steps: int, seeds: int, data: list[int]) -> None:
    """A row a method: mean ± standard deviation over the seeds of the model, each with its seed of the data."""
    sources = [toy(seed) for seed in data]
    x, tests = torch.stack([source.batch(0, SAMPLES).x for source in sources]), [source.test(SAMPLES) for source in sources]
    random = [(random_atoms(M, source.dictionary, seed=seed), source.dictionary) for source in sources for seed in range(20)]
    greedy = statistics.mean(greedy_pearson(*pair) for pair in random)
    cosine = statistics.mean(dictionary_match(*pair).mcc for pair in random)
    print(f"data seeds {', '.join(map(str, data))}; {steps:,} steps; random dictionaries: greedy {greedy:.3f}, cosine {cosine:.3f}")
    print(f"{'method':8}  {'latent':13}  {'greedy':13}  {'cosine':13}  {'GFLOP a run':>11}  {'seconds, all':>12}  paper: latent, greedy")
    for name, trained in _trained(names, x, torch.stack([test.x for test in tests]), range(seeds), steps):
        found = zip(trained.atoms, trained.codes, sources, tests, strict=True)
        rows = [scores(atoms, Codes.from_dense(codes), source.dictionary, test) for atoms, codes, source, test in found]
        cells = [f"{statistics.mean(column):.3f} ± {statistics.pstdev(column):.3f}" for column in zip(*rows, strict=True)]
        theirs = "  ".join(f"{value:.3f}" for value in PAPER[name])
        print(f"{name:8}  {'  '.join(cells)}  {trained.flops / 1e9:11.1f}  {trained.seconds:12.0f}  {theirs}", flush=True)


def _trained(names: list[str], x: Tensor, test: Tensor, seeds: range, steps: int) -> Iterator[tuple[str, methods.Trained]]:
    def sae() -> methods.Trained:
        return methods.autoencoder(x, test, M, 0, seeds, steps)

    made: dict[str, methods.Trained] = {}
    for name in names:
        if name == "SC":
            made[name] = methods.sparse_coding(x, test, M, seeds, steps)
        elif name == "SAE":
            made[name] = sae()
        elif name == "SAE+ITO":
            made[name] = methods.with_test_optimisation(made.get("SAE") or sae(), test)
        else:
            made[name] = methods.autoencoder(x, test, M, int(name.removeprefix("MLP")), seeds, steps)
        yield name, made[name]


def main() -> None:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["ours", "paper"])
    parser.add_argument("--methods", nargs="*", choices=list(PAPER), default=list(PAPER))
    parser.add_argument("--steps", type=int)
    parser.add_argument("--seeds", type=int, default=SEEDS)
    parser.add_argument("--data-seed", type=int, default=0)
    parser.add_argument("--vary-data", action="store_true", help="another data set for each seed of the model")
    asked = parser.parse_args()
    if asked.what == "ours":
        ours(asked.steps or 500, asked.seeds)
    else:
        data = list(range(asked.seeds)) if asked.vary_data else [asked.data_seed] * asked.seeds
        paper(asked.methods, asked.steps or 40_000, asked.seeds, data)


if __name__ == "__main__":
    main()
