"""How far the values of codes are from the true ones, and why: atoms missed, atoms that should not be there, amplitudes."""

from __future__ import annotations

from dataclasses import dataclass, fields

from sparsegap.codes import Codes
from sparsegap.correlations import columns
from sparsegap.errors import InputError


@dataclass(frozen=True)
class ValueErrors:
    """Sums over samples of found codes ẑ and true codes z; sums of batches add up. All errors are 0 for perfect codes.

    truth, found: Σz², Σẑ². product: Σẑz. missed: Σz² where ẑ = 0. spurious: Σẑ² where z = 0. off: Σ(ẑ − z)² where both are active.
    """

    rows: int
    truth: float
    found: float
    product: float
    missed: float
    spurious: float
    off: float

    def __add__(self, other: ValueErrors) -> ValueErrors:
        return ValueErrors(*(getattr(self, f.name) + getattr(other, f.name) for f in fields(self)))

    def __float__(self) -> float:
        return self.relative

    @property
    def relative(self) -> float:
        """Σ‖ẑ − z‖² / Σ‖z‖², the relative code MSE: 1 for codes of zeros. The sum of the next three."""
        return _share(self.missed + self.spurious + self.off, self.truth)

    @property
    def by_missed(self) -> float:
        """What is due to true atoms that were not found."""
        return _share(self.missed, self.truth)

    @property
    def by_spurious(self) -> float:
        """What is due to found atoms that are not true."""
        return _share(self.spurious, self.truth)

    @property
    def by_amplitude(self) -> float:
        """What is due to wrong amplitudes of atoms that are rightly there, shrinkage above all."""
        return _share(self.off, self.truth)

    @property
    def scaled(self) -> float:
        """min over α of Σ‖αẑ − z‖² / Σ‖z‖² = 1 − (Σẑz)²/(Σẑ²·Σz²): what one factor for all codes cannot mend."""
        return _unaligned(self.product, self.found, self.truth)

    @property
    def shared(self) -> float:
        """Σ(ẑ − z)² / Σz² over atoms that both have: the error of the values given a right support."""
        return _share(self.off, self.truth - self.missed)

    @property
    def shared_scaled(self) -> float:
        """The same after the best common factor: what is left when shrinkage is undone."""
        return _unaligned(self.product, self.found - self.spurious, self.truth - self.missed)

    @property
    def shrinkage(self) -> float:
        """Σẑz / Σz² over atoms that both have: below 1 where amplitudes are too small; 1 where nothing is shared."""
        kept = self.truth - self.missed
        return self.product / kept if kept > 0 else 1.0


def value_error(found: Codes, truth: Codes) -> ValueErrors:
    """Squared error of codes over the same atoms as the true ones, in float64, split by its cause.

    The codes must be in the units of the truth: a learned dictionary's atoms are matched and its codes renamed and rescaled first
    (`recovery` does). After a least-squares refit on the found supports (`solve(KSparse(...), x, "refit", start=codes)`) the same numbers
    are free of shrinkage. Costs n·k. Raises InputError where samples or atoms differ in number.
    """
    if len(found) != len(truth) or found.n_atoms != truth.n_atoms:
        ours, theirs = (f"{len(codes)} samples over {codes.n_atoms} atoms" for codes in (found, truth))
        raise InputError(f"values of {ours} cannot be compared with those of {theirs}")
    ours, theirs = columns(found), columns(truth)
    kept_ours, kept_theirs = ours.multiply(theirs != 0), theirs.multiply(ours != 0)
    squares, true_squares = (float((each.data**2).sum()) for each in (ours, theirs))
    missed, spurious = (float(((a - b).data ** 2).sum()) for a, b in ((theirs, kept_theirs), (ours, kept_ours)))
    off = float(((kept_ours - kept_theirs).data ** 2).sum())
    return ValueErrors(len(found), true_squares, squares, float(ours.multiply(theirs).sum()), missed, spurious, off)


def _share(part: float, whole: float) -> float:
    if whole > 0:
        return part / whole
    return 0.0 if part == 0 else float("inf")


def _unaligned(product: float, found: float, truth: float) -> float:
    """1 − product²/(found·truth): 1 where nothing was found of something, 0 where there is nothing to find."""
    if found > 0 and truth > 0:
        return max(0.0, 1 - product / found * (product / truth))
    return 1.0 if truth > 0 else 0.0
