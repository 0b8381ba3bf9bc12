"""p values of many comparisons."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from sparsegap.errors import InputError
from sparsegap.statistics.estimates import Values, finite


def holm(ps: Sequence[float | None]) -> list[float | None]:
    """p corrected so that the chance of any false claim stays below α; None stays None. Holm (1979), Scand. J. Statist. 6, 65."""
    return _corrected(ps, lambda ranked: np.maximum.accumulate(ranked * np.arange(len(ranked), 0, -1)))


def benjamini_hochberg(ps: Sequence[float | None]) -> list[float | None]:
    """p corrected so that of the claims made a share below α is false; None stays None. Benjamini & Hochberg (1995),
    doi:10.1111/j.2517-6161.1995.tb02031.x."""
    return _corrected(ps, lambda ranked: np.minimum.accumulate((ranked * len(ranked) / np.arange(1, len(ranked) + 1))[::-1])[::-1])


def _corrected(ps: Sequence[float | None], rule: Callable[[Values], Values]) -> list[float | None]:
    known = [i for i, p in enumerate(ps) if p is not None]
    found = finite([p for p in ps if p is not None], at_least=0)
    if ((found < 0) | (found > 1)).any():
        raise InputError(f"a p value lies in 0 to 1, not {float(found[(found < 0) | (found > 1)][0])}")
    order = np.argsort(found, kind="stable")
    corrected = np.empty(len(found))
    corrected[order] = np.minimum(rule(found[order]), 1.0)
    answer: list[float | None] = [None] * len(ps)
    for place, value in zip(known, corrected, strict=True):
        answer[place] = float(value)
    return answer
