"""What no encoder whose active values are affine in x can escape: a least worst error that follows from two numbers."""

from __future__ import annotations

from math import sqrt

from sparsegap.errors import InputError


def welch(atoms: int, rank: int) -> float:
    """√((m − r)/(r(m − 1))): some off-diagonal entry of an (m, m) matrix of rank ≤ r with ones on its diagonal is at least as large.

    (tr Π)² ≤ r‖Π‖²_F for any square matrix of rank r, so m² ≤ r(m + m(m − 1)·max²). For Gram matrices: Welch (1974),
    doi:10.1109/TIT.1974.1055219. 0 where r ≥ m. Raises InputError for counts below 1.
    """
    if atoms < 1 or rank < 1:
        raise InputError(f"the bound needs at least 1 atom and rank 1, not {atoms} and {rank}")
    return sqrt((atoms - rank) / (rank * (atoms - 1))) if atoms > rank else 0.0


def least_worst_error(atoms: int, rank: int, *, offset: bool = True) -> float:
    """ε(m, r): every encoder whose active values are affine in x is off by at least this share on an input of one or two sources.

    The inputs are one source of size σ or 2σ, and two of size σ; the error is that of the worst latent over the size of the largest source;
    r is the rank of the dictionary, at most d. With μ = `welch`, ε = μ/(2 + 3μ); without an offset (a value of 0 where no source is
    active) μ/(2 + μ). Positive as soon as m > r. Proof: docs/theorem.md. Three atoms in the plane attain 1/7.
    """
    mu = welch(atoms, rank)
    return mu / (2 + (3 if offset else 1) * mu)
