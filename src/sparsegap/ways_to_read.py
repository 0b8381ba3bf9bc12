"""Ways to read codes off a dictionary, all at about the same number of active atoms: the encoder's own, pursuits, a lasso.

    reader = reading("cut", checkpoint.encoder, checkpoint.dictionary, k=20, calibration=x[:1024])
    codes = reader.encode(x)
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated

from pydantic import AfterValidator
from torch import Tensor

from sparsegap.codes import Codes
from sparsegap.dictionary import Dictionary
from sparsegap.encoder import Amortised, Encoder, Iterative, largest
from sparsegap.errors import InputError, guess
from sparsegap.problem import KSparse, Lasso, Problem
from sparsegap.solve import solve

Solve = Callable[[Tensor], Codes]


@dataclass(frozen=True)
class Reader:
    """Codes by a function, as an encoder."""

    codes: Solve

    def encode(self, x: Tensor, problem: Problem | None = None) -> Codes:
        """Codes of (n, d) activations; the problem is the reader's own."""
        return self.codes(x)


def own(encoder: Amortised | None, dictionary: Dictionary, k: float, calibration: Tensor) -> Encoder:
    """The encoder's own codes."""
    return _required(encoder)


def refit(encoder: Amortised | None, dictionary: Dictionary, k: float, calibration: Tensor) -> Encoder:
    """The encoder's support with the best amplitudes on it."""
    start = _required(encoder)
    return Reader(lambda x: _debiased(dictionary, x, start.encode(x)))


def correlations(encoder: Amortised | None, dictionary: Dictionary, k: float, calibration: Tensor) -> Encoder:
    """The k atoms of largest correlation with the sample, refitted: one product, nothing learned."""
    unit = dictionary.unit

    def codes(x: Tensor) -> Codes:
        return _debiased(dictionary, x, largest(unit.correlate(x), _whole(k)))

    return Reader(codes)


def omp(encoder: Amortised | None, dictionary: Dictionary, k: float, calibration: Tensor) -> Encoder:
    """Orthogonal matching pursuit to k atoms."""
    return _pursuit(dictionary, k, "omp")


def prune(encoder: Amortised | None, dictionary: Dictionary, k: float, calibration: Tensor) -> Encoder:
    """OMP to more atoms than k, the least useful dropped one by one."""
    return _pursuit(dictionary, k, "prune")


def exhaustive(encoder: Amortised | None, dictionary: Dictionary, k: float, calibration: Tensor) -> Encoder:
    """The best of all supports of k atoms: the truth of small problems."""
    return _pursuit(dictionary, k, "exhaustive")


def cut(encoder: Amortised | None, dictionary: Dictionary, k: float, calibration: Tensor) -> Encoder:
    """OMP to 2k atoms, kept where their part of x is longer than what leaves k on average, refitted: each sample has its own number."""
    twice = _pursuit(dictionary, min(2 * k, dictionary.n_atoms), "omp")
    sizes = dictionary.scaled(twice.encode(calibration), dictionary.norms).values.abs().flatten()
    threshold = float(sizes.topk(min(int(k * len(calibration)), len(sizes))).values[-1])

    def codes(x: Tensor) -> Codes:
        found = twice.encode(x)
        kept = dictionary.scaled(found, dictionary.norms).values.abs() >= threshold
        return _debiased(dictionary, x, Codes(found.indices, found.values * kept, found.n_atoms))

    return Reader(codes)


def lasso(encoder: Amortised | None, dictionary: Dictionary, k: float, calibration: Tensor) -> Encoder:
    """The certified lasso at the penalty that leaves k active on average."""
    return Reader(_lasso(dictionary, k, calibration))


def debiased(encoder: Amortised | None, dictionary: Dictionary, k: float, calibration: Tensor) -> Encoder:
    """That lasso's support with the best amplitudes on it."""
    codes = _lasso(dictionary, k, calibration)
    return Reader(lambda x: _debiased(dictionary, x, codes(x)))


READINGS: dict[str, Callable[[Amortised | None, Dictionary, float, Tensor], Encoder]] = {
    made.__name__: made for made in (own, refit, correlations, omp, cut, prune, lasso, debiased, exhaustive)
}


def known_reading(name: str) -> str:
    """The name of one of READINGS. Raises InputError for another."""
    if name not in READINGS:
        raise InputError(f"there is no way to read called '{name}'; {guess(name, READINGS, 'there are')}")
    return name


ReadingName = Annotated[str, AfterValidator(known_reading)]  # an option of experiments


def reading(name: str, encoder: Amortised | None, dictionary: Dictionary, k: float, calibration: Tensor) -> Encoder:
    """One of READINGS for a dictionary. k: active atoms of a sample, on average where the way allows. calibration: (n, d) rows from which
    thresholds and penalties are set; none that is judged later. Raises InputError for another name, and where an encoder is missing.
    """
    return READINGS[known_reading(name)](encoder, dictionary, k, calibration)


def _pursuit(dictionary: Dictionary, k: float, method: str) -> Iterative:
    return Iterative(method, problem=KSparse(dictionary, _whole(k)), prove=False)


def _debiased(dictionary: Dictionary, x: Tensor, codes: Codes) -> Codes:
    return solve(KSparse(dictionary, max(codes.width, 1)), x, "refit", start=codes, prove=False).codes if codes.width else codes


def _lasso(dictionary: Dictionary, k: float, calibration: Tensor) -> Solve:
    """Codes of the lasso on unit atoms, in the units of the dictionary's own."""
    from sparsegap.gap.pilot import matched_penalty

    penalty = matched_penalty(dictionary, calibration, k, True)
    if penalty is None:
        raise InputError(f"no penalty leaves {k:g} atoms active: the calibration rows are zero")
    problem, inverse = Lasso(dictionary.unit, penalty), 1 / dictionary.norms.clamp_min(1e-30)
    return lambda x: dictionary.scaled(solve(problem, x, tolerance=1e-3).codes, inverse)


def _whole(k: float) -> int:
    return max(1, round(k))


def _required(encoder: Amortised | None) -> Amortised:
    if encoder is None:
        raise InputError("there is no encoder to read with: 'own' and 'refit' need one")
    return encoder
