"""Codes: the sparse answer that travels between all parts of the library.

A code is stored as slots: `indices[i, s]` names an atom, `values[i, s]` is its coefficient. An unused slot has value 0 and any valid
index, so "active" always means `value != 0`. Dense (n, m) codes exist only inside an algorithm or a training step.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from sparsegap.errors import InputError


@dataclass(frozen=True, eq=False)
class Codes:
    """Sparse codes of n samples over m atoms.

    indices: (n, k) int32, each in [0, n_atoms); no atom is active twice in a row.
    values: (n, k) floating point; 0 marks an unused slot.
    n_atoms: m.
    """

    indices: Tensor
    values: Tensor
    n_atoms: int

    def __post_init__(self) -> None:
        if self.indices.shape != self.values.shape or self.indices.ndim != 2:
            shapes = f"{tuple(self.indices.shape)} and {tuple(self.values.shape)}"
            raise InputError(f"codes need indices and values of one shape (n, k), not {shapes}")
        if not self.values.is_floating_point():
            raise InputError(f"code values must be floating point, not {self.values.dtype}")
        if self.indices.dtype != torch.int32:
            object.__setattr__(self, "indices", self.indices.to(torch.int32))

    @classmethod
    def from_dense(cls, dense: Tensor, k: int | None = None) -> Codes:
        """Codes of a dense (n, m) tensor; with k, only the k largest magnitudes of each row are kept."""
        n, m = dense.shape
        width = int((dense != 0).sum(1).max()) if n and m else 0
        width = width if k is None else min(width, k)
        if width == 0:
            return cls.empty(n, m, dtype=dense.dtype, device=dense.device)
        order = dense.abs().topk(width, dim=1).indices
        return cls(order.to(torch.int32), dense.gather(1, order), m)

    @classmethod
    def empty(cls, n: int, n_atoms: int, *, dtype: torch.dtype = torch.float32, device: torch.device | str = "cpu") -> Codes:
        """n all-zero codes."""
        return cls(torch.zeros(n, 0, dtype=torch.int32, device=device), torch.zeros(n, 0, dtype=dtype, device=device), n_atoms)

    @classmethod
    def concatenate(cls, parts: Sequence[Codes]) -> Codes:
        """Stack codes over the same atoms along the samples, widening the slots to the widest part."""
        if not parts:
            raise InputError("nothing to concatenate: give at least one Codes")
        if len({part.n_atoms for part in parts}) > 1:
            raise InputError(f"codes over different numbers of atoms cannot be concatenated: {sorted({part.n_atoms for part in parts})}")
        width = max(part.width for part in parts)
        padded = [part.widened(width) for part in parts]
        return cls(torch.cat([p.indices for p in padded]), torch.cat([p.values for p in padded]), parts[0].n_atoms)

    @property
    def width(self) -> int:
        """Number of slots a sample has."""
        return self.indices.shape[1]

    @property
    def active(self) -> Tensor:
        """(n, k) bool: which slots are in use."""
        return self.values != 0

    def __len__(self) -> int:
        return self.indices.shape[0]

    def __getitem__(self, rows: slice | Tensor | Sequence[int]) -> Codes:
        return Codes(self.indices[rows], self.values[rows], self.n_atoms)

    def l0(self) -> Tensor:
        """(n,) int64: active atoms of each sample."""
        return self.active.sum(1)

    def dense(self) -> Tensor:
        """(n, m) tensor. Costs n·m memory: for tests and small problems."""
        out = torch.zeros(len(self), self.n_atoms, dtype=self.values.dtype, device=self.values.device)
        return out.scatter_add_(1, self.indices.long(), self.values)

    def widened(self, width: int) -> Codes:
        """The same codes with at least `width` slots."""
        extra = width - self.width
        if extra <= 0:
            return self
        indices, values = (torch.nn.functional.pad(slots, (0, extra)) for slots in (self.indices, self.values))
        return Codes(indices, values, self.n_atoms)

    def compact(self) -> Codes:
        """The same codes, active slots first and largest magnitude first, with no slot that every sample leaves unused."""
        order = torch.argsort(self.values.abs(), dim=1, descending=True, stable=True)
        width = int(self.l0().max()) if len(self) else 0
        return Codes(self.indices.gather(1, order)[:, :width], self.values.gather(1, order)[:, :width], self.n_atoms)

    def to(self, target: torch.device | torch.dtype | str) -> Codes:
        """On another device, or with values of another dtype."""
        if isinstance(target, torch.dtype):
            return Codes(self.indices, self.values.to(target), self.n_atoms)
        return Codes(self.indices.to(target), self.values.to(target), self.n_atoms)
