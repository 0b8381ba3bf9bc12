"""The sign pattern of Π = atoms @ weight.T: what the theorem asks of it and what it is."""

from __future__ import annotations

from sparsegap.theorem.columns import Columns
from sparsegap.theorem.record import Signs


def sign_pattern(found: Columns) -> Signs:
    """Counts and sizes from a pass over the columns; all live latents, or those that the pass looked at."""
    others = len(found.latents) * (found.sources - 1)
    finite = found.largest_from[:, 0] >= 0
    extremes = [float(each[finite].abs().max()) if bool(finite.any()) else 0.0 for each in (found.largest[:, 0], found.smallest)]
    return Signs(
        others, int(found.positive.sum()) / max(others, 1), max(extremes), float((found.squares.sum() / max(others, 1)).sqrt()),
        float(found.own.min()), float(found.own.double().mean()), float(found.own.max()),
    )
