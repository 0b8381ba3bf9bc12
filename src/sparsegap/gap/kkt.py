"""The proof of amplitudes: how far they are from the KKT conditions on the support that they were sought on."""

from __future__ import annotations

import torch
from torch import Tensor

from sparsegap.codes import Codes
from sparsegap.dictionary import Dictionary
from sparsegap.problem import residual64


def kkt_violation(dictionary: Dictionary, x: Tensor, codes: Codes, support: Codes, nonnegative: bool) -> Tensor:
    """(n,) float64: how far amplitudes are from optimal on their support, relative to ‖x − bias‖.

    Largest |⟨r, atom⟩|/‖atom‖ over the atoms in use; of support atoms at zero only a pull upwards counts if codes are non-negative.
    """
    residual = residual64(dictionary, x, codes)
    length: Tensor = torch.linalg.vector_norm(x.double() - dictionary.bias.double(), dim=1).clamp_min(1e-300)
    used, given = (_pull(dictionary, residual, which) for which in (codes, support))
    given = given.clamp_min(0) if nonnegative else given.abs()
    return torch.maximum(used.abs().amax(1), given.amax(1)) / length


def _pull(dictionary: Dictionary, residual: Tensor, codes: Codes) -> Tensor:
    """(n, k + 1) ⟨r, atom⟩/‖atom‖ of the active slots, 0 of the others and in one more."""
    from sparsegap.kernels.correlations import correlate_atoms

    found = torch.zeros(codes.indices.shape, dtype=torch.float64)
    correlate_atoms(residual.numpy(), dictionary.atoms.numpy(), codes.indices.numpy(), found.numpy())
    norms = dictionary.norms.double()[codes.indices.long()].clamp_min(1e-300)
    return torch.nn.functional.pad(found / norms * codes.active, (0, 1))
