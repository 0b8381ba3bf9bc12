"""The sign pattern of Π = atoms @ weight.T: what the theorem asks of it and what it is."""

from __future__ import annotations

from dataclasses import dataclass

from sparsegap.theorem.columns import Columns


@dataclass(frozen=True)
class SignPattern:
    """Of the values that latents get from single sources of size 1.

    others: how many pairs of a latent and another source; positive: the share of them above 0. Exactness on single sources needs none;
    exactness on two at once then needs all of them 0, which rank forbids. largest, typical: of |Π| off the diagonal, the latter its root
    mean square. own_low, own, own_high: least, mean and largest of the diagonal, which must be 1.
    """

    others: int
    positive: float
    largest: float
    typical: float
    own_low: float
    own: float
    own_high: float


def sign_pattern(found: Columns) -> SignPattern:
    """Counts and sizes from a pass over the columns; all live latents, or those that the pass looked at."""
    others = len(found.latents) * (found.sources - 1)
    finite = found.largest_from[:, 0] >= 0
    extremes = [float(each[finite].abs().max()) if bool(finite.any()) else 0.0 for each in (found.largest[:, 0], found.smallest)]
    return SignPattern(
        others, int(found.positive.sum()) / max(others, 1), max(extremes), float((found.squares.sum() / max(others, 1)).sqrt()),
        float(found.own.min()), float(found.own.double().mean()), float(found.own.max()),
    )
