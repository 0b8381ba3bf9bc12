"""Other libraries' sparsity weights in our units, and back: the one place where losses that are reduced differently are converted.

Ours is ½‖x − b − zA‖² + λ‖z‖₁ for each sample. A loss that sums or averages otherwise is a multiple of it, so its weight w is
λ = w·factor, the factor depending on the width d and the number of atoms m at most.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from sparsegap.errors import InputError


class Convention(NamedTuple):
    """The loss of a library, and the factor that turns its weight w into our λ = w·factor(d, m)."""

    loss: str
    factor: Callable[[int, int], float]


CONVENTIONS = {
    "sparsegap": Convention("½‖x − x̂‖² + λ‖z‖₁", lambda d, m: 1.0),
    "paper": Convention("mean over samples and width of (x − x̂)² + l1·mean over samples and atoms of |z|", lambda d, m: d / (2 * m)),
    "saelens": Convention("mean over tokens of ‖x − x̂‖² + l1_coefficient·‖z‖₁, atoms of norm 1", lambda d, m: 0.5),
    "dictionary_learning": Convention("mean over tokens of ‖x − x̂‖² + l1_penalty·‖z‖₁, atoms of norm 1", lambda d, m: 0.5),
    "mean_squared": Convention("mean over width of (x − x̂)² + w·‖z‖₁", lambda d, m: d / 2),
    "sklearn_lasso": Convention("sklearn.linear_model.Lasso, celer, skglm: ‖x − x̂‖²/(2d) + alpha·‖z‖₁", lambda d, m: float(d)),
    "sklearn_coder": Convention("sklearn.decomposition.sparse_encode, lasso_lars and lasso_cd: ½‖x − x̂‖² + alpha·‖z‖₁", lambda d, m: 1.0),
    "spams": Convention("spams.lasso, mode 2: ½‖x − x̂‖² + lambda1·‖z‖₁", lambda d, m: 1.0),
}


def penalty(weight: float, convention: str, width: int, n_atoms: int) -> float:
    """Our λ for another library's weight, at width d and m atoms.

    >>> penalty(0.01, "paper", width=8, n_atoms=16)
    0.0025
    """
    return weight * _named(convention).factor(width, n_atoms)


def weight(penalty: float, convention: str, width: int, n_atoms: int) -> float:
    """Another library's weight for our λ: the inverse of `penalty`."""
    return penalty / _named(convention).factor(width, n_atoms)


def _named(convention: str) -> Convention:
    if convention not in CONVENTIONS:
        raise InputError(f"there is no convention '{convention}'; there are: {', '.join(CONVENTIONS)}")
    return CONVENTIONS[convention]
