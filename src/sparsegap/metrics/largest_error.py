"""Whether codes are right in every value at once."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from sparsegap.codes import Codes
from sparsegap.correlations import columns
from sparsegap.errors import InputError


@dataclass(frozen=True, eq=False)
class LargestErrors:
    """errors: (n,) float64 ‖ẑ − z‖∞ of each sample. unit: root mean square of the true active values, 1 where none is active."""

    errors: Tensor
    unit: float

    def __float__(self) -> float:
        return self.mean

    @property
    def mean(self) -> float:
        """Mean of ‖ẑ − z‖∞ in units of a typical true value; NaN for no samples."""
        return float(self.errors.mean()) / self.unit

    def within(self, share: float) -> float:
        """P(‖ẑ − z‖∞ < ε), ε being this share of a typical true value; NaN for no samples."""
        return float((self.errors < share * self.unit).double().mean())


def largest_error(found: Codes, truth: Codes) -> LargestErrors:
    """Largest |ẑ − z| of each sample, of codes over the same atoms as the true ones and in their units.

    0 for perfect codes; `within(0.1)` is the share of samples whose every value is right to a tenth of a typical one, support included.
    Costs n·k. Raises InputError where samples or atoms differ in number.
    """
    if len(found) != len(truth) or found.n_atoms != truth.n_atoms:
        ours, theirs = (f"{len(codes)} samples over {codes.n_atoms} atoms" for codes in (found, truth))
        raise InputError(f"values of {ours} cannot be compared with those of {theirs}")
    errors = torch.from_numpy(abs(columns(found) - columns(truth)).max(axis=1).toarray().reshape(len(found)))
    active = truth.values[truth.active].double()
    return LargestErrors(errors, float(active.square().mean().sqrt()) if len(active) else 1.0)
