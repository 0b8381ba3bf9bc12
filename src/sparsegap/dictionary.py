"""Dictionary: the atoms, as a value. What depends on the atoms only is computed once and kept here."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from functools import cached_property
from typing import Any, TypeVar, cast

import torch
from torch import Tensor

from sparsegap.codes import Codes
from sparsegap.errors import InputError

UNIT_NORM_TOLERANCE = 1e-6
T = TypeVar("T")


class Dictionary:
    """m atoms in d dimensions, **rows are atoms**: x ≈ bias + z @ atoms.

    atoms: (m, d) float32 or float64, of any norm; a zero row is a dead atom that no solver ever uses.
    bias: (d,), or None for zero.
    Raises InputError for a wrong shape, NaN or Inf.
    """

    def __init__(self, atoms: Tensor, bias: Tensor | None = None) -> None:
        atoms = torch.as_tensor(atoms)
        if atoms.ndim != 2 or 0 in atoms.shape:
            raise InputError(f"a dictionary needs atoms of shape (m, d) with m, d > 0, not {tuple(atoms.shape)}")
        if atoms.dtype not in (torch.float32, torch.float64):
            atoms = atoms.float()
        bias = atoms.new_zeros(atoms.shape[1]) if bias is None else torch.as_tensor(bias).to(atoms)
        if bias.shape != atoms.shape[1:]:
            raise InputError(f"the bias has shape {tuple(bias.shape)}, but the atoms are {atoms.shape[1]} wide")
        if not (atoms.isfinite().all() and bias.isfinite().all()):
            bad = (~atoms.isfinite().all(1)).nonzero().flatten()[:5].tolist()
            where = f"in atoms {bad}" if bad else "in the bias"
            raise InputError(f"the dictionary holds NaN or Inf {where}; all entries must be finite")
        self.atoms = atoms.detach().contiguous()
        self.bias = bias.detach().contiguous()
        self._remembered: dict[Hashable, Any] = {}

    def __repr__(self) -> str:
        return f"Dictionary({self.n_atoms} atoms, width {self.width}, {self.atoms.dtype}, {self.atoms.device})"

    def remember(self, key: Hashable, compute: Callable[[], T]) -> T:
        """What `compute` returns, computed once: for facts about the atoms that live elsewhere in the library."""
        if key not in self._remembered:
            self._remembered[key] = compute()
        return cast(T, self._remembered[key])

    @property
    def n_atoms(self) -> int:
        """m."""
        return self.atoms.shape[0]

    @property
    def width(self) -> int:
        """d."""
        return self.atoms.shape[1]

    def to(self, target: torch.device | torch.dtype | str) -> Dictionary:
        """On another device or in another dtype; itself where nothing changes."""
        atoms = self.atoms.to(target)
        return self if atoms is self.atoms else Dictionary(atoms, self.bias.to(target))

    def decode(self, codes: Codes) -> Tensor:
        """(n, d) reconstruction bias + z @ atoms, touching only the active atoms: 2·n·k·d FLOPs."""
        if codes.n_atoms != self.n_atoms:
            raise InputError(f"the codes are over {codes.n_atoms} atoms, but the dictionary has {self.n_atoms}")
        return self.bias + self.synthesise(codes)

    def synthesise(self, codes: Codes) -> Tensor:
        """(n, d): z @ atoms, without the bias."""
        if codes.width == 0:
            return self.atoms.new_zeros(len(codes), self.width)
        values = codes.values.to(self.atoms)
        return torch.nn.functional.embedding_bag(codes.indices, self.atoms, per_sample_weights=values, mode="sum")

    def correlate(self, x: Tensor) -> Tensor:
        """(n, m): ⟨x − bias, atom⟩ for every sample and atom, 2·n·m·d FLOPs."""
        return (x.to(self.atoms) - self.bias) @ self.atoms.T

    @cached_property
    def norms(self) -> Tensor:
        """(m,) Euclidean norms of the atoms."""
        return self.atoms.square().sum(1).sqrt()

    @cached_property
    def unit(self) -> Dictionary:
        """The same atoms at norm 1 (zero atoms stay zero); itself where they are unit already."""
        off = (self.norms - 1).abs()[self.norms > 0]
        if not len(off) or float(off.max()) <= UNIT_NORM_TOLERANCE:
            return self
        safe = torch.where(self.norms > 0, self.norms, torch.ones_like(self.norms))
        return Dictionary(self.atoms / safe[:, None], self.bias)

    @cached_property
    def mean(self) -> Tensor:
        """(d,) mean of the atoms: what all correlations of a residual have in common."""
        return self.atoms.mean(0)

    @cached_property
    def gram(self) -> Tensor:
        """(m, m) inner products of the atoms: m²·4 bytes in float32, 2·m²·d FLOPs once."""
        return self.atoms @ self.atoms.T

    @cached_property
    def half(self) -> Tensor:
        """(m, d) atoms rounded to bfloat16, for screening passes."""
        return self.atoms.bfloat16()

    @cached_property
    def lipschitz(self) -> float:
        """Largest eigenvalue of atoms·atomsᵀ: the Lipschitz constant of the least-squares gradient (LAPACK on the smaller side)."""
        small = self.atoms if self.n_atoms <= self.width else self.atoms.T
        return float(torch.linalg.eigvalsh((small @ small.T).double())[-1])

    def scaled(self, codes: Codes, factor: Tensor) -> Codes:
        """Codes with each value multiplied by its atom's factor (m,)."""
        return Codes(codes.indices, codes.values * factor.to(codes.values)[codes.indices.long()], codes.n_atoms)
