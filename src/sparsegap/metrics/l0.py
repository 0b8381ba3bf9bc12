"""How many atoms are active."""

from __future__ import annotations

from sparsegap.codes import Codes
from sparsegap.errors import InputError


def l0(codes: Codes, *, threshold: float = 0.0) -> float:
    """Mean number of active atoms of a sample, |value| > threshold; NaN for no samples.

    Exact codes need no threshold: 0 counts what is not 0. Codes that never reach 0 (a softplus, exp(log z) by gradient steps) have an L0 at
    a threshold only: arXiv:2411.13117 uses 1e-3, 1e-4 and 1e-5. Raises InputError for a negative threshold.
    """
    if not threshold >= 0:
        raise InputError(f"the threshold of L0 must be at least 0, not {threshold:g}")
    return float((codes.values.abs() > threshold).sum(1).double().mean())
