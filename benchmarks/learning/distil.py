"""Distilled encoders against the solver that taught them: FVU, L0, atoms in common with OMP, cost in encoder passes; on held-out rows.

    python benchmarks/learning/distil.py --sae SAE --activations FOLDER --k 32 --out runs/ [--steps 90] [--students lista2,lista3]

Three things are kept in `runs/` and not done twice: OMP's codes of the training rows (omp.safetensors), each student (a checkpoint,
resumed where it was stopped) and the table (distil.json). Students begin as the SAE's own encoder, learn OMP's codes on the SAE's own
atoms, and keep k atoms. --tune N trains without the last N training rows and judges on those: options are chosen there, never on test.
Seconds of a pass and of its work are taken turn about in one process, as `sparsegap bench` does: a quiet core, and one thread.

On 640 x 5120, 62,194 rows, half a core: OMP's codes 70 s; 90 steps of topk 50 s, mlp 100 s, lista of 2, 3, 4 layers 60 to
240 s; the table 3 minutes.
"""

from __future__ import annotations

import argparse
import copy
import json
from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from sparsegap.bench import encoder_pass, interleaved
from sparsegap.checkpoints import Checkpoint, open_checkpoint
from sparsegap.codes import Codes
from sparsegap.dictionary import Dictionary
from sparsegap.encoder import Amortised
from sparsegap.encoders.lista import LISTA
from sparsegap.fit import fit
from sparsegap.learning.autoencoder import Autoencoder
from sparsegap.learning.warm_start import begin_as, settle_layers
from sparsegap.metrics.support import support
from sparsegap.problem import KSparse
from sparsegap.recordings import open_activations
from sparsegap.solve import solve

BLOCK, TIMED, REPEATS, FIRST_ROWS = 2048, 2048, 7, 1024
# Learning rates were chosen on the last 4,194 training rows of the shared recording; see docs/learning.md.
STUDENTS: dict[str, tuple[str, dict[str, Any]]] = {
    "topk": ("topk", {"rate": 3e-5}),
    "mlp": ("mlp", {"hidden": 1280, "rate": 3e-5}),
    **{f"lista{depth}": ("lista", {"depth": depth, "rate": 3e-4}) for depth in (2, 3, 4)},
}
Coder = Callable[[Tensor], Codes]


@dataclass(frozen=True)
class Line:
    """One way to codes. epu: float32 encoder passes, None where not timed. overlap: share of a sample's atoms that OMP chooses too."""

    name: str
    precision: str
    fvu: float
    l0: float
    overlap: float
    epu: float | None


def teacher_codes(known: Dictionary, x: Tensor, k: int, kept: Path) -> Codes:
    """OMP's codes of all rows, from the file or into it."""
    if not kept.exists():
        found = Codes.concatenate([solve(KSparse(known, k), rows, "omp", prove=False).codes for rows in x.split(BLOCK)])
        save_file({"indices": found.indices.contiguous(), "values": found.values.contiguous()}, kept)
    tensors = load_file(kept)
    return Codes(tensors["indices"], tensors["values"], known.n_atoms)


def learned(name: str, sae: Checkpoint, x: Tensor, codes: Codes, given: argparse.Namespace) -> Amortised:
    """A student, trained or opened."""
    encoder, options = STUDENTS[name]
    made = fit(encoder, x, k=given.k, dictionary=sae.dictionary, teacher="omp", codes=codes, start=sae.encoder, steps=given.steps,
               batch=1024, out=given.out / f"{name}-{given.steps}" if not given.tune else None, keep_every=60, **options)
    return made.encoder


def begun(depth: int, sae: Checkpoint, x: Tensor, k: int) -> Amortised:
    """A lista as training begins it, to tell what its layers are worth from what they learn."""
    encoder = LISTA.from_dictionary(sae.dictionary, depth=depth, keep=k)
    begin_as(encoder, sae.encoder)
    settle_layers(Autoencoder(encoder, sae.dictionary, learns_atoms=False), x)
    return encoder


class Table:
    """Judges coders on the same rows, against OMP's supports on them."""

    def __init__(self, known: Dictionary, x: Tensor, k: int) -> None:
        self.known, self.x, self.problem = known, x, KSparse(known, k)
        self.wanted = self.codes(lambda rows: solve(self.problem, rows, "omp", prove=False).codes)
        self.reference = encoder_pass(known, x[:TIMED])
        self.lines: list[Line] = []

    def codes(self, coder: Coder) -> Codes:
        """Of all rows."""
        return Codes.concatenate([coder(rows) for rows in self.x.split(BLOCK)])

    def judge(self, name: str, precision: str, coder: Coder, timed: bool = True) -> None:
        """Add a line, and print it."""
        codes, x = self.codes(coder).to(torch.float32), self.x
        fvu = float((x - self.known.decode(codes)).square().sum() / (x - x.mean(0)).square().sum())
        overlap = support(codes, self.wanted).overlap
        ratio = interleaved(lambda: coder(x[:TIMED]), self.reference, REPEATS).ratio if timed else None
        line = Line(name, precision, fvu, float(codes.l0().float().mean()), overlap, ratio)
        self.lines.append(line)
        cost = "not timed" if ratio is None else f"EPU {ratio:5.2f}"
        print(f"{name:24} {precision:8} FVU {fvu:.4f}  L0 {line.l0:5.1f}  overlap {overlap:.3f}  {cost}", flush=True)

    def with_refit(self, name: str, encoder: Amortised, timed: bool = True) -> None:
        """An encoder, and the encoder with its amplitudes refitted; in float32 and in bfloat16."""
        for precision, member in (("float32", encoder), ("bf16", copy.deepcopy(encoder).to(torch.bfloat16))):
            self.judge(name, precision, member.encode, timed)
            self.judge(f"{name} + refit", precision, partial(self._solved, solver="refit", start=member), timed)

    def omp(self, timed: bool = True) -> None:
        """The teacher, its passes in both precisions."""
        for precision in ("float32", "bf16"):
            self.judge("omp", precision, partial(self._solved, solver="omp", precision=precision), timed)

    def _solved(self, rows: Tensor, solver: str, start: Amortised | None = None, precision: str = "auto") -> Codes:
        begin = None if start is None else start.encode(rows).to(torch.float32)
        return solve(self.problem, rows, solver, start=begin, precision=precision, prove=False).codes


def main() -> None:
    """Train what is not trained yet, and judge."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sae", required=True)
    parser.add_argument("--activations", required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--k", type=int, required=True)
    parser.add_argument("--steps", type=int, default=90)
    parser.add_argument("--students", default=",".join(STUDENTS))
    parser.add_argument("--tune", type=int, default=0)
    parser.add_argument("--only-train", action="store_true")
    given = parser.parse_args()
    given.out.mkdir(parents=True, exist_ok=True)
    sae, x = open_checkpoint(given.sae), open_activations(given.activations, "train").load().activations
    codes = teacher_codes(sae.dictionary, x, given.k, given.out / "omp.safetensors")
    rows = len(x) - given.tune
    students = {name: learned(name, sae, x[:rows], codes[:rows], given) for name in given.students.split(",")}
    if given.only_train:
        return
    judged = x[rows:] if given.tune else open_activations(given.activations, "test").load().activations
    table, timed = Table(sae.dictionary, judged, given.k), not given.tune
    table.with_refit("the SAE's encoder", sae.encoder, timed)
    for depth in (2, 3, 4):
        table.judge(f"lista{depth}, untrained", "float32", begun(depth, sae, x[:FIRST_ROWS], given.k).encode, timed=False)
    for name, student in students.items():
        table.with_refit(name, student, timed)
    table.omp(timed)
    told = {"steps": given.steps, "rows": len(judged), "lines": [asdict(line) for line in table.lines]}
    (given.out / "distil.json").write_text(json.dumps(told, indent=1) + "\n")


if __name__ == "__main__":
    main()
