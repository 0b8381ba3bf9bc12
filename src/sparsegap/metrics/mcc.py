"""Mean correlation coefficient of codes with the true codes, each true latent matched with one found latent."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from sparsegap.codes import Codes
from sparsegap.errors import InputError
from sparsegap.matching import EXACT, Matching, match

Floats = NDArray[np.float64]


def mcc(found: Codes, truth: Codes, *, strongest: bool = False) -> float:
    """Mean |Pearson correlation| over the true latents, under the one-to-one matching that makes it largest (Hungarian).

    found, truth: codes of the same samples, over possibly different numbers of atoms. A true latent that varies but has no partner, or a
    constant one, counts as 0; one that never varies is left out. NaN where no true latent varies.
    strongest: only as many found latents as true ones vary, those of the largest variance, as arXiv:2603.28744 does.
    Perfect codes get 1; the order, signs and scales of the found latents do not matter. Costs n·k² for the products, m³ for the matching up
    to 4,096 latents; above, `Correlations(...).matched().gap` says by how much the matching may fall short of the best.
    Source: Hyvärinen & Morioka (2016), arXiv:1605.06336; matching: Kuhn (1955), doi:10.1002/nav.3800020109.
    """
    correlations = Correlations(found, truth)
    matched = correlations.matched(strongest=strongest).strength
    return float(matched[correlations.varies].mean()) if correlations.varies.any() else float("nan")


class Correlations:
    """Pearson correlations of true with found latents in float64, a block of true latents at a time; 0 where either is constant.

    Raises InputError for codes of different numbers of samples.
    """

    def __init__(self, found: Codes, truth: Codes) -> None:
        if len(found) != len(truth):
            raise InputError(f"the codes are of {len(found)} samples, but the true codes of {len(truth)}; they must be of the same samples")
        self.n = len(found)
        self.ours, theirs = _columns(found), _columns(truth)
        self.theirs = theirs.T.tocsr()
        self.mean_ours, self.spread_ours = _moments(self.ours)
        self.mean_theirs, self.spread_theirs = _moments(theirs)

    @property
    def varies(self) -> NDArray[np.bool_]:
        """(m_truth,) which true latents vary."""
        return self.spread_theirs > 0

    def matched(self, *, strongest: bool = False, exact: int = EXACT) -> Matching:
        """The true latents matched one-to-one with found ones by |correlation|; see `mcc` for `strongest`, `match` for `exact`."""
        allowed = self.strongest(int(self.varies.sum())) if strongest else np.ones(len(self.spread_ours), dtype=bool)
        return match(lambda rows: np.abs(self.of(rows)) * allowed, len(self.spread_ours), len(self.spread_theirs), exact=exact)

    def strongest(self, count: int) -> NDArray[np.bool_]:
        """(m_found,) the `count` found latents of largest variance."""
        chosen = np.zeros(len(self.spread_ours), dtype=bool)
        chosen[np.argsort(-self.spread_ours, kind="stable")[:count]] = True
        return chosen

    def of(self, rows: slice) -> Floats:
        """(b, m_found) of a block of true latents."""
        covariance = (self.theirs[rows] @ self.ours).toarray() / max(self.n, 1) - np.outer(self.mean_theirs[rows], self.mean_ours)
        scale = np.outer(self.spread_theirs[rows], self.spread_ours)
        correlations: Floats = np.divide(covariance, scale, out=np.zeros_like(covariance), where=scale > 0)
        return np.clip(correlations, -1, 1)


def _columns(codes: Codes) -> Any:
    """(n, m) scipy sparse float64."""
    from scipy.sparse import csr_array

    active = codes.active.cpu().numpy()
    rows = np.nonzero(active)[0]
    values = codes.values.detach().double().cpu().numpy()[active]
    return csr_array((values, (rows, codes.indices.cpu().numpy()[active])), shape=(len(codes), codes.n_atoms))


def _moments(columns: Any) -> tuple[Floats, Floats]:
    """(m,) mean and standard deviation about it, in two passes; what rounding alone leaves of a constant latent counts as 0."""
    n, m = max(columns.shape[0], 1), columns.shape[1]

    def sums(values: Floats) -> Floats:
        return np.bincount(columns.indices, values, m).astype(np.float64)

    mean = sums(columns.data) / n
    silent = n - np.bincount(columns.indices, minlength=m)
    variance = (sums((columns.data - mean[columns.indices]) ** 2) + silent * mean**2) / n
    return mean, np.sqrt(np.where(variance > 1e-14 * sums(columns.data**2) / n, variance, 0.0))
