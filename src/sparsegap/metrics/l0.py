"""How many atoms are active."""

from __future__ import annotations

from sparsegap.codes import Codes


def l0(codes: Codes) -> float:
    """Mean number of active atoms of a sample (value ≠ 0); NaN for no samples."""
    return float(codes.l0().double().mean())
