"""How much amplitude a sample has."""

from __future__ import annotations

from sparsegap.codes import Codes


def l1(codes: Codes) -> float:
    """Mean over samples of Σ|z|, in the units of the codes; NaN for no samples. It says nothing until the norms of the atoms are fixed."""
    return float(codes.values.double().abs().sum(1).mean())
