"""Learners on a ground-truth model of the field: SynthSAEBench's generator (SAELens), scaled to one core, against SAELens' own trainer.

    OMP_NUM_THREADS=1 NUMBA_NUM_THREADS=1 python -m benchmarks.learning.synth_sae --out synth.json
    python -m benchmarks.learning.synth_sae --no-trees --runs truth online "batchtopk, 3e-3"
    python -m benchmarks.learning.synth_sae --samples 100000 --runs online                    # a look
    python -m benchmarks.learning.synth_sae --table synth.json                                # its tables again
    python -m benchmarks.learning.synth_sae --anatomy --features 16384 --width 1              # active features by depth

Needs sparsegap and sae-lens >= 6.54 in one environment, half a GB of disk for the stream, which is drawn once and read by all, and about 20
minutes of one core for all runs. Seconds are processor seconds of this process for the training alone: a busy machine changes them little.

The world (synth_world.py) has SynthSAEBench-16k's parameters but 1,024 features in 128 dimensions and 8 trees in place of 16,384, 768 and
128. The share of features in trees stays (66 %), and nearly so does k·ln(m)/d, the interference that a reader of single directions has to
stand: 34·9.7/768 = .43 there, 7.3·6.9/128 = .39 here. Features a dimension fall from 21 to 8. `--no-trees` leaves the hierarchy out.
Every dictionary is then read in several ways on the same held-out samples; that of the truth shows what each reader can reach at best,
and "paths" what a sparser one than the truth would be: every feature of a tree added to those above it.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from benchmarks.learning.synth_world import Recorded, World, anatomy, described, frequencies, quiet
from torch import Tensor

from sparsegap.checkpoints import open_checkpoint
from sparsegap.codes import Codes
from sparsegap.dictionary import Dictionary
from sparsegap.encoder import Encoder
from sparsegap.learning.learner import Batch, Task
from sparsegap.problem import KSparse, Lasso
from sparsegap.recovery import recovery
from sparsegap.registry import member
from sparsegap.solve import solve
from sparsegap.solving.path import lasso_path
from sparsegap.source import Sample

CALIBRATION = 4096  # rows of the stream on which penalties and cuts are set, never the held-out ones
@dataclass(frozen=True)
class Learned:
    """What a training run gave. encoder: its own, None for the truth."""

    name: str
    dictionary: Dictionary
    encoder: Encoder | None
    seconds: float = 0.0


def online(stream: Recorded, m: int, k: int, name: str, **options: Any) -> Learned:
    """sparsegap's online learner, and the linear encoder that it publishes."""
    kind = member("learners", "online")
    batch = options.pop("batch", None) or kind.preferred_batch(m, k, None)
    learner = kind(Task(m, stream.width, k, stream.world.samples // batch, batch), **options)
    learner.begin(torch.from_numpy(stream.rows[: learner.sample_rows].copy()))
    began = time.process_time()
    for number in range(1, learner.task.steps + 1):
        learner.step(Batch(stream.batch(number - 1, batch).x), number)
    seconds = time.process_time() - began
    encoder, dictionary = learner.result()
    return Learned(name, dictionary, encoder, seconds)


def saelens(stream: Recorded, m: int, k: float, name: str, *, rate: float = 3e-4, nested: bool = False, batch: int = 1024) -> Learned:
    """SAELens' SAETrainer with the settings of its SyntheticSAERunner (constant rate), saved and read back as it publishes SAEs."""
    from sae_lens import BatchTopKTrainingSAEConfig, MatryoshkaBatchTopKTrainingSAEConfig
    from sae_lens.config import SAETrainerConfig
    from sae_lens.registry import get_sae_training_class
    from sae_lens.training.sae_trainer import SAETrainer

    config = BatchTopKTrainingSAEConfig(d_in=stream.width, d_sae=m, k=k)
    if nested:  # their widths are 128, 512, 2048, 4096 for 16,384 features
        widths = [width for width in (8, 32, 128, 512) if width < m]
        config = MatryoshkaBatchTopKTrainingSAEConfig(d_in=stream.width, d_sae=m, k=k, matryoshka_widths=[*widths, m],
                                                      use_matryoshka_aux_loss=True)
    torch.manual_seed(0)
    steps = stream.world.samples // batch
    with quiet():
        sae = get_sae_training_class(config.architecture())[0](config)
        trainer = SAETrainer(SAETrainerConfig(steps * batch, batch, lr=rate, lr_end=rate / 10), sae,
                             (stream.batch(number, batch).x for number in range(steps)))
        began = time.process_time()
        trainer.fit()
        seconds = time.process_time() - began
        with tempfile.TemporaryDirectory() as folder:
            sae.save_inference_model(folder)
            read = open_checkpoint(folder)
    return Learned(name, read.dictionary, read.encoder, seconds)


class Reader:
    """Codes by a function, as an encoder of sparsegap."""

    def __init__(self, codes: Callable[[Tensor], Codes]) -> None:
        self.codes = codes

    def encode(self, x: Tensor, problem: Any = None) -> Codes:
        return self.codes(x)


def readers(learned: Learned, k: float, calibration: Tensor) -> dict[str, Encoder]:
    """The ways to read a dictionary, all at a mean of k active atoms but for those that keep the encoder's own number."""
    dictionary, whole = learned.dictionary, max(1, round(k))

    def pursuit(x: Tensor, method: str, count: int | Tensor = whole, start: Codes | None = None) -> Codes:
        return solve(KSparse(dictionary, count), x, method, start=start, prove=False).codes

    def cut(x: Tensor, threshold: float) -> Codes:
        """OMP to twice the atoms, those above the threshold kept, amplitudes refitted: how many a sample has is its own."""
        codes = pursuit(x, "omp", 2 * whole)
        kept = Codes(codes.indices, codes.values * (codes.values > threshold), codes.n_atoms)
        return pursuit(x, "refit", 2 * whole, kept)

    doubled = pursuit(calibration, "omp", 2 * whole).values.flatten()
    threshold = float(doubled.topk(int(k * len(calibration))).values[-1])
    penalty = penalty_for(dictionary, k, calibration)

    def lasso(x: Tensor, refit: bool) -> Codes:
        codes = solve(Lasso(dictionary, penalty), x, tolerance=1e-3).codes
        return pursuit(x, "refit", codes.width, codes) if refit else codes

    found: dict[str, Encoder] = {
        "omp": Reader(lambda x: pursuit(x, "omp")),
        "prune": Reader(lambda x: pursuit(x, "prune")),
        "omp, cut": Reader(lambda x: cut(x, threshold)),
        "lasso": Reader(lambda x: lasso(x, False)),
        "lasso, refit": Reader(lambda x: lasso(x, True)),
    }
    own = learned.encoder
    if own is None:
        return found
    return {"own": own, "own, refit": Reader(lambda x: own_support(own, x, pursuit)),
            "omp, own count": Reader(lambda x: pursuit(x, "omp", own.encode(x).l0().clamp(max=dictionary.n_atoms)))} | found


def own_support(own: Encoder, x: Tensor, pursuit: Callable[..., Codes]) -> Codes:
    """The encoder's support with the amplitudes that are best on it."""
    codes = own.encode(x)
    return pursuit(x, "refit", max(codes.width, 1), codes)


def penalty_for(dictionary: Dictionary, k: float, x: Tensor) -> float:
    """The penalty at which the exact lasso has a mean of k active atoms."""
    penalties = torch.logspace(1.0, -2.0, 61, dtype=torch.float64)
    counts = np.array([float(codes.l0().float().mean()) for codes in lasso_path(Lasso(dictionary, 1.0), x[:1024], penalties)])
    return float(np.exp(np.interp(k, counts, penalties.log().numpy())))


def theirs(dictionary: Dictionary, codes: Codes, truth: Sample, features: Tensor) -> dict[str, float]:
    """F1, precision, recall, MCC and uniqueness as sae_lens.synthetic computes them."""
    from sae_lens.synthetic.evals import ClassificationMetricsCalculator, feature_uniqueness, mean_correlation_coefficient

    counts = ClassificationMetricsCalculator(dictionary.atoms, features)
    for rows in torch.arange(len(truth)).split(4096):
        counts.add_batch(codes[rows].dense(), truth.codes[rows].dense())
    scores = counts.compute()
    return {"f1_saelens": scores.f1_score, "precision_saelens": scores.precision, "recall_saelens": scores.recall,
            "mcc_saelens": mean_correlation_coefficient(dictionary.atoms, features),
            "uniqueness_saelens": feature_uniqueness(dictionary.atoms, features)}


def judged(learned: Learned, k: float, stream: Recorded) -> dict[str, Any]:
    """A dictionary's scores, and those of every reader on it."""
    truth = stream.truth
    found = {name: found_by_place(learned.dictionary, target, stream.world)
             for name, target in (("features", truth), ("paths", stream.world.paths(truth)))}
    by_reader = {}
    for name, reader in readers(learned, k, torch.from_numpy(stream.rows[:CALIBRATION].copy())).items():
        began = time.process_time()
        codes = reader.encode(stream.held_out.x)
        seconds = time.process_time() - began
        scores = recovery(stream, Reader(lambda x, codes=codes: codes), learned.dictionary, n=len(codes), with_chance=False)
        scores |= theirs(learned.dictionary, codes, stream.held_out, stream.truth.atoms)
        by_reader[name] = scores | {"microseconds_per_sample": 1e6 * seconds / len(codes)}
        print(f"{learned.name:34} {name:16} " + line(by_reader[name]), flush=True)
    return {"seconds": learned.seconds, "atoms": learned.dictionary.n_atoms, "k": k, "found": found, "readers": by_reader}


def found_by_place(learned: Dictionary, target: Dictionary, world: World) -> dict[str, list[float]]:
    """Of the target's atoms at each place in the trees: the share that has a learned one at cosine ≥ .8, and at ≥ .95."""
    best = (target.unit.atoms @ learned.unit.atoms.T).amax(1)
    return {place: [float((best[numbers] >= at).double().mean()) for at in (0.8, 0.95)] for place, numbers in world.groups.items()}


COLUMNS = ("f1_saelens", "precision_saelens", "recall_saelens", "feature_f1", "support_f1", "fvu", "l0", "dictionary_mcc", "recall_95",
           "recall_80", "code_mcc")


def line(scores: dict[str, float]) -> str:
    """The columns of the tables, aligned."""
    return " ".join(f"{name.replace('saelens', 'sl')} {scores[name]:.3f}" for name in COLUMNS)


def plans(stream: Recorded) -> dict[str, tuple[float, Callable[[], Learned]]]:
    """Every run by name, with the mean number of active atoms that it is asked for.

    A dictionary of half the features is asked for what the more frequent half has: 16,384 features have 34, SAEs of 4,096 there get 25.
    """
    m, common = stream.truth.n_atoms, frequencies(stream).sort(descending=True).values
    k = float(common.sum())
    made: dict[str, tuple[float, Callable[[], Learned]]] = {"truth": (k, lambda: Learned("truth", stream.truth, None))}
    if stream.world.trees:
        made["paths"] = (k, lambda: Learned("paths", stream.world.paths(stream.truth), None))
    for size, suffix in ((m, ""), (m // 2, ", half")):
        k = float(common[:size].sum())
        made |= {name + suffix: (k, run) for name, run in runs(stream, size, k, suffix).items()}
    return made


def runs(stream: Recorded, m: int, k: float, suffix: str) -> dict[str, Callable[[], Learned]]:
    """The training runs of one size of dictionary."""
    whole = max(1, round(k))
    return {
        "online": lambda: online(stream, m, whole, "online" + suffix),
        "online, window 30": lambda: online(stream, m, whole, "online, window 30" + suffix, window=30, rise=0.25),
        "online, k/2": lambda: online(stream, m, max(1, round(k / 2)), "online, k/2" + suffix),
        "online, lasso": lambda: online(stream, m, whole, "online, lasso" + suffix, solver="coordinate_descent"),
        "batchtopk": lambda: saelens(stream, m, k, "batchtopk" + suffix),
        "batchtopk, 1e-3": lambda: saelens(stream, m, k, "batchtopk, 1e-3" + suffix, rate=1e-3),
        "batchtopk, 3e-3": lambda: saelens(stream, m, k, "batchtopk, 3e-3" + suffix, rate=3e-3),
        "matryoshka": lambda: saelens(stream, m, k, "matryoshka" + suffix, nested=True),
        "matryoshka, 1e-3": lambda: saelens(stream, m, k, "matryoshka, 1e-3" + suffix, rate=1e-3, nested=True),
        "matryoshka, 3e-3": lambda: saelens(stream, m, k, "matryoshka, 3e-3" + suffix, rate=3e-3, nested=True),
    }


def table(results: dict[str, Any]) -> str:
    """Markdown: a row a reader."""
    heads = ("dictionary", "read with", "s", "F1", "precision", "recall", "F1 1:1", "support F1", "FVU", "L0", "MCC", "≥ .95", "≥ .8",
             "code MCC")
    rows = ["| " + " | ".join(heads) + " |", "|" + "---|" * len(heads)]
    for name, run in results["runs"].items():
        for reader, scores in run["readers"].items():
            values = [f"{scores[column]:.3f}".removeprefix("0") if scores[column] < 1 else f"{scores[column]:.2f}" for column in COLUMNS]
            rows.append("| " + " | ".join([name, reader, f"{run['seconds']:.0f}", *values]) + " |")
    places = ("dictionary", *next(iter(results["runs"].values()))["found"]["features"])
    for target in ("features", "paths"):
        rows += ["", f"Found at .8 / .95, {target}:", "", "| " + " | ".join(places) + " |", "|" + "---|" * len(places)]
        rows += [f"| {name} | " + " | ".join(f"{low:.2f} / {high:.2f}" for low, high in run["found"][target].values()) + " |"
                 for name, run in results["runs"].items()]
    return "\n".join(rows)


def main() -> None:
    """Draw the stream, train what is asked for, read it in every way, write the JSON after each run."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--features", type=int, default=World.features)
    parser.add_argument("--width", type=int, default=World.width)
    parser.add_argument("--samples", type=int, default=World.samples)
    parser.add_argument("--held-out", type=int, default=World.held_out)
    parser.add_argument("--no-trees", action="store_true", help="leave the hierarchy out: every feature fires as its probability says")
    parser.add_argument("--runs", nargs="+", default=None, help="names as the table shows them; default: all")
    parser.add_argument("--out", type=Path, default=None, help="JSON; runs of the same world that are in it stay")
    parser.add_argument("--stream", type=Path, default=None, help="a folder that keeps the stream; default: a temporary one")
    parser.add_argument("--anatomy", action="store_true", help="print how many features are active at each place of the trees, and end")
    parser.add_argument("--table", type=Path, default=None, help="print the table of results that are there, and end")
    given = parser.parse_args()
    if given.table is not None:
        print(table(json.loads(given.table.read_text())))
        return
    torch.set_num_threads(1)
    world = World(given.features, given.width, given.samples, given.held_out, trees=not given.no_trees)
    if given.anatomy:
        print(json.dumps(anatomy(world)))
        return
    with tempfile.TemporaryDirectory() as folder:
        measure(world, given.stream or Path(folder), given.runs, given.out)


def measure(world: World, folder: Path, names: list[str] | None, out: Path | None) -> None:
    """The runs named, or all, in a world; results go to `out` after each."""
    stream = Recorded(world, folder)
    results: dict[str, Any] = {"world": described(stream), "runs": {}}
    if out is not None and out.exists():
        kept = json.loads(out.read_text())
        results["runs"] = kept["runs"] if kept["world"] == results["world"] else {}
    print(json.dumps(results["world"]), flush=True)
    for name, (k, run) in plans(stream).items():
        if names is None or name in names:
            results["runs"][name] = judged(run(), k, stream)
            print(f"{name}: {results['runs'][name]['seconds']:.0f} s, found at .8 and .95: {results['runs'][name]['found']}", flush=True)
            if out is not None:
                out.write_text(json.dumps(results, indent=1) + "\n")
    print(table(results))


if __name__ == "__main__":
    main()
