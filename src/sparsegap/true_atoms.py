"""True atoms: how the unit atoms of a synthetic source lie to each other.

gaussian     independent directions, with a shared one mixed in where `coherence` is above 0.                          n_draws m·d
clustered    atom j near the centre of cluster j mod clusters: two atoms of a cluster have mean cosine `cosine`.        m·d
pairs        atoms 2i and 2i + 1 have cosine `cosine`, exactly; pairs are independent.                                 m·d
orthogonal   orthonormal bases side by side, the last one cut: all orthogonal where m ≤ d; above, the mean squared      m·d²
             cosine is the least possible, (m − d)/(d·(m − 1)), where d divides m (Welch 1974, doi:10.1109/TIT.1974.1055219;
             Benedetto & Fickus 2003, doi:10.1023/A:1021323312367). The largest cosine is about that of gaussian ones.
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import Generator, Tensor
from torch.nn.functional import normalize

from sparsegap.errors import InputError

Geometry = Literal["gaussian", "clustered", "pairs", "orthogonal"]
GEOMETRIES: tuple[Geometry, ...] = ("gaussian", "clustered", "pairs", "orthogonal")


def check_geometry(geometry: Geometry, atoms: int, width: int, coherence: float, clusters: int | None, cosine: float | None) -> None:
    """Raise InputError for options that do not go together, or that are out of their range."""
    if geometry not in GEOMETRIES:
        raise InputError(f"geometry must be one of {', '.join(GEOMETRIES)}, not '{geometry}'")
    if not 0 <= coherence < 1:
        raise InputError(f"coherence must be at least 0 and below 1, not {coherence}")
    if coherence and geometry != "gaussian":
        raise InputError(f"coherence {coherence} is for geometry gaussian, not {geometry}")
    if clusters is not None and geometry != "clustered":
        raise InputError(f"clusters {clusters} is for geometry clustered, not {geometry}")
    near = geometry in ("clustered", "pairs")
    if cosine is not None and not near:
        raise InputError(f"cosine {cosine} is for geometry clustered or pairs, not {geometry}")
    if near and (cosine is None or not 0 <= cosine < 1):
        raise InputError(f"geometry {geometry} needs a cosine of at least 0 and below 1 between its near atoms, not {cosine}")
    if near and width < 2:
        raise InputError(f"geometry {geometry} needs width of at least 2, not {width}")
    if geometry == "clustered" and not 1 <= (clusters or 0) <= atoms:
        raise InputError(f"geometry clustered needs clusters between 1 and its {atoms} atoms, not {clusters}")


def true_atoms(
    atoms: int, width: int, generator: Generator, *,
    geometry: Geometry = "gaussian", coherence: float = 0.0, clusters: int | None = None, cosine: float | None = None,
) -> Tensor:
    """(m, d) float32 unit atoms from the generator; see the module for the geometries and their cost. Raises InputError."""
    check_geometry(geometry, atoms, width, coherence, clusters, cosine)
    if geometry == "orthogonal":
        return _bases(atoms, width, generator)
    shared = normalize(torch.randn(width, generator=generator), dim=0)
    own = normalize(torch.randn(atoms, width, generator=generator), dim=1)
    if geometry == "clustered":
        return _clustered(own, int(clusters or 1), float(cosine or 0), generator)
    if geometry == "pairs":
        return _paired(own, float(cosine or 0))
    return normalize((1 - coherence) ** 0.5 * own + coherence**0.5 * shared, dim=1)


def _clustered(own: Tensor, clusters: int, cosine: float, generator: Generator) -> Tensor:
    """√cosine of a centre and the rest across it, so that the cosine with the centre is exact and that of two atoms is in the mean."""
    centres = normalize(torch.randn(clusters, own.shape[1], generator=generator), dim=1)
    centre = centres[torch.arange(len(own)) % clusters]
    return normalize(cosine**0.5 * centre + (1 - cosine) ** 0.5 * _across(own, centre), dim=1)


def _paired(own: Tensor, cosine: float) -> Tensor:
    """Every second atom moved next to the one before it; of an odd number the last stays alone."""
    first = own[0 : len(own) // 2 * 2 : 2]
    own[1::2] = normalize(cosine * first + (1 - cosine**2) ** 0.5 * _across(own[1::2], first), dim=1)
    return own


def _across(own: Tensor, direction: Tensor) -> Tensor:
    """The unit parts of rows orthogonal to unit rows."""
    return normalize(own - (own * direction).sum(1, keepdim=True) * direction, dim=1)


def _bases(atoms: int, width: int, generator: Generator) -> Tensor:
    """Random orthonormal bases, Q of Gaussian matrices (Haar measure up to signs, which do not matter here)."""
    out = torch.empty(atoms, width)
    for first in range(0, atoms, width):
        last = min(first + width, atoms)
        out[first:last] = torch.linalg.qr(torch.randn(width, last - first, generator=generator)).Q.T
    return normalize(out, dim=1)
