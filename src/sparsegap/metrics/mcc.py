"""Mean correlation coefficient of codes with the true codes, each true latent matched with one found latent."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from sparsegap.codes import Codes
from sparsegap.errors import InputError

Floats = NDArray[np.float64]


def mcc(found: Codes, truth: Codes) -> float:
    """Mean |Pearson correlation| over the true latents, under the one-to-one matching that makes it largest (Hungarian).

    found, truth: codes of the same samples, over possibly different numbers of atoms. A true latent that varies but has no partner, or a
    constant one, counts as 0; one that never varies is left out. NaN where no true latent varies.
    Perfect codes get 1; the order, signs and scales of the found latents do not matter. Costs n·k² for the products, m³ for the matching.
    Source: Hyvärinen & Morioka (2016), arXiv:1605.06336; matching: Kuhn (1955), doi:10.1002/nav.3800020109.
    """
    correlations, varies = correlate_codes(found, truth)
    return float(match(correlations)[varies].mean()) if varies.any() else float("nan")


def match(correlations: Floats) -> Floats:
    """(m_truth,) |correlation| of each true latent with its partner, 0 where it has none. correlations: (m_found, m_truth)."""
    from scipy.optimize import linear_sum_assignment

    strength = np.abs(correlations)
    ours, theirs = linear_sum_assignment(strength, maximize=True)
    matched = np.zeros(strength.shape[1])
    matched[theirs] = strength[ours, theirs]
    return matched


def correlate_codes(found: Codes, truth: Codes) -> tuple[Floats, NDArray[np.bool_]]:
    """((m_found, m_truth) Pearson correlations, 0 where a latent is constant; (m_truth,) which true latents vary), in float64."""
    if len(found) != len(truth):
        raise InputError(f"the codes are of {len(found)} samples, but the true codes of {len(truth)}; they must be of the same samples")
    if not len(found):
        return np.zeros((found.n_atoms, truth.n_atoms)), np.zeros(truth.n_atoms, dtype=bool)
    ours, theirs = _columns(found), _columns(truth)
    n = len(found)
    mean_ours, mean_theirs = ours.sum(0) / n, theirs.sum(0) / n
    covariance = (ours.T @ theirs).toarray() / n - np.outer(mean_ours, mean_theirs)
    spread_ours, spread_theirs = _spread(ours, mean_ours), _spread(theirs, mean_theirs)
    scale = np.outer(spread_ours, spread_theirs)
    correlations = np.divide(covariance, scale, out=np.zeros_like(covariance), where=scale > 0)
    return np.clip(correlations, -1, 1), spread_theirs > 0


def _columns(codes: Codes) -> Any:
    """(n, m) scipy sparse float64."""
    from scipy.sparse import csr_array

    active = codes.active.cpu().numpy()
    rows = np.nonzero(active)[0]
    values = codes.values.detach().double().cpu().numpy()[active]
    return csr_array((values, (rows, codes.indices.cpu().numpy()[active])), shape=(len(codes), codes.n_atoms))


def _spread(columns: Any, mean: Floats) -> Floats:
    """(m,) standard deviation; what rounding alone leaves of a constant latent counts as 0."""
    square = np.asarray(columns.multiply(columns).sum(0)) / columns.shape[0]
    variance = square - mean**2
    return np.sqrt(np.where(variance > 1e-14 * square, variance, 0.0))
