"""The account of an encoder: ranks, signs, its worst inputs, and what a solver makes of the worst one."""

from __future__ import annotations

import math
import time
from dataclasses import asdict
from typing import Any

import torch
from torch import Tensor

from sparsegap.dictionary import Dictionary
from sparsegap.encoder import Amortised
from sparsegap.errors import InputError
from sparsegap.problem import KSparse, Lasso
from sparsegap.solve import EXHAUSTIVE_SUPPORTS, Solution, solve
from sparsegap.theorem.affine_gate import LinearNonlinear, read
from sparsegap.theorem.columns import columns
from sparsegap.theorem.record import Answer, Singular, TheoremRecord, WorstInput
from sparsegap.theorem.signs import sign_pattern
from sparsegap.theorem.spectrum import Spectrum, affine_spectrum, spectrum
from sparsegap.theorem.worst import Input, inputs, worst_input

RANKED = 1024  # single sources whose codes' rank is counted, or half as many again as there are dimensions
LARGE = 1e3
SHOWN = 64  # atoms whose whole matrix a page can show
LEAST_PENALTY = 1e-3
PAIRS_TRIED = 1 << 28
SMALL = 1024  # atoms that are compared in float64
BLOCK_ENTRIES = 1 << 22
MOST_PRODUCTS = 1 << 42  # of a pass over the pairs, some minutes of one core: 65,536 latents of 768 dimensions take 3/4 of them


def account(encoder: Amortised, dictionary: Dictionary, *, x: Tensor | None = None, size: float | None = None,
            name: str = "", size_from: str = "") -> TheoremRecord:
    """What the theorem says of an encoder and its dictionary.

    x: (n, d) activations, of which follow the size of a typical source, the median active code, and which latents are in use: only these
    are sources and judged. size: of a source, and size_from where it is from; by default that, else 1 where the encoder has no biases and
    no thresholds, else a thousand times the largest of them, so that they no longer matter. Costs two passes over all m² pairs of a latent
    and a source, 2·m²·d FLOPs each, the second up to 16,384 atoms only; where one would take more than 2^42 products (`judged_latents`),
    as many latents as that allows are judged, evenly spread.
    Raises InputError for an encoder of another shape than the dictionary, and where no latent fires on x.
    """
    began = time.perf_counter()
    if (encoder.n_atoms, encoder.width) != tuple(dictionary.atoms.shape):
        ours, theirs = (encoder.n_atoms, encoder.width), tuple(dictionary.atoms.shape)
        raise InputError(f"an encoder of shape {ours} does not belong to a dictionary of shape {theirs}")
    kind = type(encoder).__module__.rpartition(".")[2]
    rank = spectrum(dictionary.atoms).rank
    about: dict[str, Any] = {"encoder": kind, "name": name or kind, "atoms": dictionary.n_atoms, "width": dictionary.width, "rank": rank}
    try:
        reading = read(encoder)
    except InputError as error:
        return TheoremRecord(**about, spectra=_of_codes(encoder, dictionary, size or 1.0), escapes=str(error),
                             seconds=time.perf_counter() - began)
    in_use, typical = _use(reading, x)
    used = dictionary if in_use is None else _only(dictionary, in_use)
    size, found_from = _size(reading, dictionary, size, typical)
    size_from = size_from or found_from
    found = columns(reading, used, judged_latents(used))
    worst = worst_input(reading, used, size=size, found=found, rank=min(rank, found.sources))
    one, two = (_described(reading, used, each, each is worst.input) for each in (worst.one, worst.two))
    answers = _answers(used, worst.input)
    products = (dictionary.atoms.to(reading.weight) @ reading.weight.T).tolist() if dictionary.n_atoms <= SHOWN else None
    return TheoremRecord(
        **about, spectra=[_of_values(reading, used, size), *_of_codes(reading.encoder, used, size)], size=size, size_from=size_from,
        judged=worst.latents, pairs=worst.pairs, signs=sign_pattern(found), one=one, two=two, universal=worst.universal,
        lower=worst.lower, upper=worst.upper, exact=worst.exact, tried=worst.tried, answers=answers,
        products=products, seconds=time.perf_counter() - began,
    )


def judged_latents(dictionary: Dictionary) -> Tensor | None:
    """Which latents are judged, evenly spread, where a pass over all of them would take very long; None for all."""
    live = (dictionary.norms > 0).nonzero().flatten()
    most = max(1, MOST_PRODUCTS // (max(1, len(live)) * dictionary.width))
    return None if len(live) <= most else live[torch.linspace(0, len(live) - 1, most, dtype=torch.float64).round().long()]


def _use(reading: LinearNonlinear, x: Tensor | None) -> tuple[Tensor | None, float | None]:
    """(m,) which latents fire on the activations, and their median active value."""
    if x is None:
        return None, None
    codes = reading.encoder.encode(x)
    values = codes.values[codes.active]
    if not len(values):
        raise InputError("no latent fires on these activations, so they tell neither which are in use nor how large a source is")
    in_use = torch.zeros(reading.n_atoms, dtype=torch.bool)
    in_use[codes.indices[codes.active].long()] = True
    return in_use, float(values.median())


def _only(dictionary: Dictionary, in_use: Tensor) -> Dictionary:
    """The dictionary with the atoms that are not in use at zero: no source, and not judged."""
    return Dictionary(dictionary.atoms * in_use[:, None], dictionary.bias)


def _size(reading: LinearNonlinear, dictionary: Dictionary, asked: float | None, typical: float | None) -> tuple[float, str]:
    if asked is not None:
        return asked, "as asked"
    if typical is not None:
        return typical, "the median active code on the activations"
    at_rest = float(reading.at_rest(dictionary).abs().max())
    cut = 0.0 if reading.cut is None else float(reading.cut.max())
    if max(at_rest, cut) == 0:
        return 1.0, "any size gives the same, as there are no biases and no thresholds"
    return LARGE * max(at_rest, cut), "a thousand times the largest bias or threshold, so that they no longer matter"


def _single(dictionary: Dictionary) -> Tensor:
    """(c,) some sources, evenly spread."""
    live = (dictionary.norms > 0).nonzero().flatten()
    wanted = min(len(live), max(RANKED, dictionary.width * 3 // 2))
    return live[torch.linspace(0, len(live) - 1, wanted).round().long()]


def _of_values(reading: LinearNonlinear, dictionary: Dictionary, size: float) -> Singular:
    x = _alone(dictionary, _single(dictionary), size, reading.weight.dtype)
    return _singular("values before the gate", affine_spectrum(x, reading.weight, reading.offset))


def _of_codes(encoder: object, dictionary: Dictionary, size: float) -> list[Singular]:
    """The encoder's codes of single sources, on the latents of these sources, beside the true codes, which are the identity."""
    mine = _single(dictionary)
    x = _alone(dictionary, mine, size, torch.float64)
    blocks = x.split(max(1, BLOCK_ENTRIES // dictionary.n_atoms))
    codes = torch.cat([encoder.encode(block).dense()[:, mine] for block in blocks])  # type: ignore[attr-defined]
    truth = size * torch.eye(len(mine), dtype=torch.float64)
    return [_singular("the encoder's codes", spectrum(codes)), _singular("true codes", spectrum(truth))]


def _alone(dictionary: Dictionary, sources: Tensor, size: float, dtype: torch.dtype) -> Tensor:
    """(c, d) inputs of one source each."""
    return dictionary.bias.to(dtype) + size * dictionary.atoms[sources].to(dtype)


def _singular(what: str, found: Spectrum) -> Singular:
    values = (found.singular_values / found.singular_values[0].clamp_min(1e-300)).tolist()
    return Singular(what, *found.shape, found.rank, found.effective, found.tolerance / max(float(found.singular_values[0]), 1e-300), values)


def _described(reading: LinearNonlinear, dictionary: Dictionary, found: Input, is_worst: bool) -> WorstInput:
    x, sources = _of(dictionary, found)
    codes = reading.encoder.encode(x)
    left = (x - dictionary.to(torch.float64).decode(codes.to(torch.float64))).square().sum()
    energy = (x - dictionary.bias.double()).square().sum()
    told = asdict(found) | {"sources": list(found.sources)}
    return WorstInput(**told, unexplained=float(left / energy), distinct=_distinct(dictionary, x[0], sources) if is_worst else None)


def _of(dictionary: Dictionary, found: Input) -> tuple[Tensor, list[int]]:
    """x (1, d) float64, and its different sources."""
    sources = torch.tensor([[*found.sources, -1][:2]])
    return inputs(dictionary, sources, found.size)[0], sorted(set(found.sources))


def _answers(dictionary: Dictionary, found: Input) -> tuple[Answer, ...]:
    """OMP, every pair where there are few, and a certified lasso on the same input, in float64."""
    exact = dictionary.to(torch.float64)
    x, sources = _of(dictionary, found)
    truth = torch.zeros(1, dictionary.n_atoms, dtype=torch.float64)
    truth[0, list(sources)] = found.size * len(found.sources) / len(sources)
    k_sparse = KSparse(exact, len(sources))
    lasso = Lasso(exact, LEAST_PENALTY * float(Lasso(exact, 0.0).largest_penalty(x)[0]))
    pursuits = ["omp", "exhaustive"] if math.comb(dictionary.n_atoms, 2) <= EXHAUSTIVE_SUPPORTS else ["omp"]
    return (
        *(_answer(solve(k_sparse, x, method, memory=0), truth, f"k = {len(sources)}") for method in pursuits),
        _answer(solve(lasso, x, tolerance=1e-4, memory=0), truth, f"λ = {lasso.penalty:.3g}"),
    )


def _answer(solution: Solution, truth: Tensor, problem: str) -> Answer:
    off = solution.codes.dense().double() - truth
    called = "lasso" if solution.method == "coordinate_descent" else solution.method
    return Answer(called, problem, float(off.abs().max() / truth.max()), float(off.norm() / truth.norm()),
                  float(solution.certificate.relative_gap[0]), solution.certificate.sentences()[0])


def _distinct(dictionary: Dictionary, x: Tensor, sources: list[int]) -> float | None:
    """The least share of the energy of x that two atoms leave which do not include all of its sources: every pair is tried.

    The energy that the span of two unit atoms takes from x is (c₁² + c₂² − 2gc₁c₂)/(1 − g²), with c their products with x and g with each
    other.
    """
    live = (dictionary.norms > 0).nonzero().flatten()
    if len(live) ** 2 > PAIRS_TRIED:
        return None
    atoms = dictionary.unit.atoms[live]
    atoms = atoms.double() if len(live) <= SMALL else atoms.float()
    centred = (x - dictionary.bias.double()).to(atoms)
    products, energy = atoms @ centred, float(centred.square().sum())
    own = torch.isin(live, torch.tensor(sources))
    most = 0.0
    for rows in torch.arange(len(live)).split(max(1, BLOCK_ENTRIES // len(live))):
        taken = _taken(atoms[rows] @ atoms.T, products[rows, None], products)
        counted = own[rows].long()[:, None] + own
        counted[torch.arange(len(rows)), rows] //= 2
        most = max(most, float(taken.masked_fill_(counted >= len(sources), 0.0).max()))
    return max(0.0, 1 - most / energy)


def _taken(gram: Tensor, mine: Tensor, others: Tensor) -> Tensor:
    """What the span of each pair takes; of two atoms that are one, what the better one does. gram is overwritten."""
    both = gram * (-2 * mine)
    both.mul_(others).add_(mine.square()).add_(others.square())
    room = gram.square_().neg_().add_(1)
    alone = room < 1e-6
    both.div_(room.clamp_min_(1e-6))
    return torch.where(alone, torch.maximum(mine.square(), others.square()), both) if bool(alone.any()) else both
