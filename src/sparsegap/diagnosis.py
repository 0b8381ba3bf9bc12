"""Diagnosis: what a dictionary is like before anything is encoded with it, each number with what it means.

The recovery guarantees are worst-case: practice recovers far denser codes, and a dictionary that fails them is not bad for it.
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor

from sparsegap import coherence
from sparsegap.activations import Activations
from sparsegap.codes import Codes
from sparsegap.dictionary import Dictionary
from sparsegap.encoder import Amortised
from sparsegap.errors import InputError

DUPLICATE = 0.99
BABEL_AT = (1, 2, 4, 8, 16, 32, 64)
PAIRS_SHOWN = 10
HISTOGRAM_BINS = 20


@dataclass(frozen=True)
class Finding:
    """One number about a dictionary: its name, its value (a number, or a list of them) and a sentence on what it means."""

    name: str
    value: Any
    meaning: str


@dataclass(frozen=True, eq=False)
class Alikeness:
    """Cosines between different atoms, from one pass over all pairs.

    nearest: (m,) largest |cosine| of each atom with another; mean: of all signed cosines; babel: (p,) float64 μ₁(1..p);
    duplicates: (i, j, cosine) with i < j and |cosine| > 0.99, the closest first.
    """

    nearest: Tensor
    mean: float
    babel: Tensor
    duplicates: list[tuple[int, int, float]]


def diagnose(dictionary: Dictionary, k: int | None = None) -> list[Finding]:
    """Findings about the atoms alone. k: the sparsity in use, set against what is guaranteed. Costs 2·m²·d FLOPs for the pairs."""
    if k is not None and not 1 <= k <= dictionary.n_atoms:
        raise InputError(f"k must be between 1 and the number of atoms, {dictionary.n_atoms}, not {k}")
    return [*_sizes(dictionary), *_lengths(dictionary), *_alike(dictionary), *_recovery(dictionary, k), *_spectrum(dictionary)]


def diagnose_use(encoder: Amortised, activations: Activations) -> list[Finding]:
    """Findings about which latents fire on the activations given: one encoder pass over all of them."""
    fired, active, n = torch.zeros(0, dtype=torch.int64), 0, 0
    for rows in activations.batches(4096):
        codes = encoder.encode(rows.activations)
        counts = _fired(codes)
        fired = counts if not len(fired) else fired + counts
        active, n = active + int(counts.sum()), n + len(rows)
    dead, frequency = int((fired == 0).sum()), fired.double() / n
    return [
        Finding("rows", n, "activations that the encoder was run on"),
        Finding("mean L0", active / n, "active latents of a row"),
        Finding("dead latents", dead, f"never fire on these {n:,} rows ({100 * dead / len(fired):.2f} %); on more rows fewer may be dead"),
        Finding("rare latents", int(((fired > 0) & (frequency < 1e-4)).sum()), "fire, but on fewer than one row in 10,000"),
        Finding("dense latents", int((frequency > 0.1).sum()), "fire on more than one row in ten: closer to a bias than to a feature"),
        Finding("median frequency", float(frequency.median()), "share of the rows on which the median latent fires"),
    ]


def alikeness(dictionary: Dictionary) -> Alikeness:
    """Cosines between different atoms, blockwise: no (m, m) matrix is held."""
    m = dictionary.n_atoms
    nearest, babel = torch.zeros(m), torch.zeros(min(BABEL_AT[-1], m - 1), dtype=torch.float64)
    duplicates: list[tuple[int, int, float]] = []
    first = 0
    for block in coherence.cosine_rows(dictionary):
        rows = torch.arange(first, first + len(block))
        if m > 1:
            largest = block.topk(len(babel), dim=1).values.double()
            nearest[rows] = largest[:, 0].float().cpu()
            babel = torch.maximum(babel, largest.cumsum(1).amax(0).cpu())
        duplicates += _pairs(block, first)
        first += len(block)
    unit = dictionary.unit.atoms.double()
    between = float(unit.sum(0).square().sum() - unit.square().sum())
    mean = between / max(m * (m - 1), 1)
    return Alikeness(nearest, mean, babel, sorted(duplicates, key=lambda pair: -pair[2]))


def as_dict(findings: list[Finding]) -> dict[str, Any]:
    """For `--json`: each finding's value and meaning under its name."""
    return {finding.name: {key: value for key, value in asdict(finding).items() if key != "name"} for finding in findings}


def _fired(codes: Codes) -> Tensor:
    return torch.bincount(codes.indices[codes.active].long().cpu(), minlength=codes.n_atoms)


def _pairs(block: Tensor, first: int) -> list[tuple[int, int, float]]:
    found = (block > DUPLICATE).nonzero().tolist()
    return [(first + i, j, float(block[i, j])) for i, j in found if first + i < j]


def _sizes(dictionary: Dictionary) -> list[Finding]:
    m, d = dictionary.n_atoms, dictionary.width
    return [
        Finding("atoms", m, "directions that the dictionary offers"),
        Finding("width", d, "dimensions of an activation"),
        Finding("overcompleteness", m / d, "atoms per dimension; above 1 the codes of an activation are not unique without sparsity"),
        Finding("bias norm", float(dictionary.bias.norm()), "length of the constant part of every reconstruction"),
    ]


def _lengths(dictionary: Dictionary) -> list[Finding]:
    norms = dictionary.norms
    zero = int((norms == 0).sum())
    return [
        Finding("norms", [float(norms.min()), float(norms.median()), float(norms.max())],
                "shortest, median and longest atom; a lasso penalty is lighter on a longer atom, a limit on active atoms is not"),
        Finding("zero atoms", zero, "atoms of length 0, which no code can use"),
    ]


def _alike(dictionary: Dictionary) -> list[Finding]:
    found = alikeness(dictionary)
    counts = torch.histc(found.nearest, HISTOGRAM_BINS, 0.0, 1.0).long().tolist()
    welch = _welch(dictionary.n_atoms, dictionary.width)
    return [
        Finding("coherence", float(found.nearest.max()), f"largest |cosine| between two atoms; of this size, never below {welch:.3f}"),
        Finding("mean cosine", found.mean, "of all pairs, with sign; far above 0 the atoms share a direction, which a bias could carry"),
        Finding("median nearest", float(found.nearest.median()), "|cosine| of the median atom with the atom most like it"),
        Finding("nearest histogram", counts, f"atoms by |cosine| with the atom most like them, in {HISTOGRAM_BINS} bins from 0 to 1"),
        Finding("duplicate pairs", len(found.duplicates), f"pairs with |cosine| above {DUPLICATE}: which of them fires is arbitrary"),
        Finding("closest duplicates", found.duplicates[:PAIRS_SHOWN], "atom, atom, |cosine| of the closest such pairs"),
        Finding("Babel function", {p: float(found.babel[p - 1]) for p in BABEL_AT if p <= len(found.babel)},
                "μ₁(p): how much p atoms together can look like one other; sparse recovery is proven while it is small"),
        Finding("guaranteed sparsity", coherence.recoverable_sparsity(found.babel),
                f"up to so many active atoms (looked for up to {len(found.babel)}), OMP and the lasso provably recover every exact "
                "code (Tropp 2004); a worst case"),
    ]


def _welch(m: int, d: int) -> float:
    """The Welch (1974) bound: no m unit vectors in d dimensions are less coherent, doi:10.1109/TIT.1974.1055219."""
    return math.sqrt((m - d) / (d * (m - 1))) if m > d else 0.0


def _recovery(dictionary: Dictionary, k: int | None) -> list[Finding]:
    m, d = dictionary.n_atoms, dictionary.width
    line = largest_k(m, d)
    findings = [Finding("compressed-sensing sparsity", line,
                        "largest K with d ≥ 2K·ln(m/K): what a random dictionary of this size recovers from d numbers, typically")]
    if k is not None:
        said = f"k = {k} is {'within' if k <= line else 'beyond'} it: 2K·ln(m/K) = {_needed(m, k):,.0f} of {d}"
        findings.append(Finding("k against that line", k / max(line, 1), said))
    return findings


def largest_k(m: int, d: int) -> int:
    """Largest K with d ≥ 2K·ln(m/K), looked for up to K = m/e, where the right side is largest; 0 where none is.

    Donoho & Tanner (2010), doi:10.1109/JPROC.2010.2045630.
    """
    return max((k for k in range(1, max(int(m / math.e), 1) + 1) if _needed(m, k) <= d), default=0)


def _needed(m: int, k: int) -> float:
    return 2 * k * math.log(m / k)


def _spectrum(dictionary: Dictionary) -> list[Finding]:
    small = dictionary.atoms.double()
    small = small.T @ small if dictionary.n_atoms >= dictionary.width else small @ small.T
    squares = torch.linalg.eigvalsh(small).clamp_min(0).flip(0)
    total, largest = float(squares.sum()), float(squares[0])
    rank = int((squares > largest * 1e-12).sum()) if largest > 0 else 0
    shares = {p: float(squares[:p].sum()) / total for p in (1, 8, 64) if p <= len(squares)} if total > 0 else {}
    return [
        Finding("rank", rank, f"dimensions that the atoms span, of {dictionary.width}"),
        Finding("stable rank", total / largest if largest > 0 else 0.0,
                "‖A‖²_F / ‖A‖²: about how many directions the atoms spread over evenly"),
        Finding("spectrum", shares, "share of the atoms' energy in their 1, 8 and 64 strongest directions"),
        Finding("Lipschitz constant", largest, "largest eigenvalue of AAᵀ: first-order solvers take steps of its inverse"),
    ]
