"""Problems: what a good sparse code is for a dictionary, and how far from optimal a given one is.

The set is closed. A problem owns scaling, feasibility and judgement; the same judgement, in float64 and from the returned codes,
is applied to every solver and every trained encoder alike.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from enum import IntEnum

import torch
from torch import Tensor

from sparsegap.codes import Codes
from sparsegap.coherence import smallest_eigenvalue_bound
from sparsegap.dictionary import Dictionary
from sparsegap.errors import InputError

ROW_BLOCK = 512
ATOM_BLOCK = 4096
EXACT_FIT = 1e-12


class Proof(IntEnum):
    """What stands behind a sample's lower bound."""

    NOT_PROVEN = 0
    DUALITY = 1
    EXACT_FIT = 2
    BABEL = 3
    EXHAUSTIVE = 4

    def sentence(self) -> str:
        """In words."""
        return {
            Proof.NOT_PROVEN: "not proven: the atoms are too coherent at this sparsity for a useful bound",
            Proof.DUALITY: "duality gap: no code has a lower objective than the bound",
            Proof.EXACT_FIT: "the residual is zero: nothing can be better",
            Proof.BABEL: "Babel function: no other support of this size can do better than the bound",
            Proof.EXHAUSTIVE: "every support of this size was tried",
        }[self]


@dataclass(frozen=True, eq=False)
class Certificate:
    """How good n codes are, judged in float64 from the codes themselves.

    value: (n,) objective. lower_bound: (n,) no feasible code is below it.
    relative_gap: (n,) (value − lower_bound)/value, 0 where value is 0 and inf
    where the codes are infeasible.
    reason: (n,) int8, a `Proof` each: what the bound rests on.
    """

    value: Tensor
    lower_bound: Tensor
    relative_gap: Tensor
    reason: Tensor

    @classmethod
    def of(cls, value: Tensor, lower_bound: Tensor, reason: Tensor | Proof) -> Certificate:
        """Certificate from float64 values and bounds; a bound above the value by rounding counts as equal."""
        lower = torch.minimum(lower_bound, value).clamp_min(0.0)
        gap = torch.where(value > 0, (value - lower) / value.clamp_min(torch.finfo(torch.float64).tiny), torch.zeros_like(value))
        gap = gap.masked_fill(value.isinf(), torch.inf)
        if isinstance(reason, Proof):
            reason = torch.full(value.shape, int(reason), dtype=torch.int8, device=value.device)
        return cls(value, lower, gap, reason.to(torch.int8))

    @classmethod
    def concatenate(cls, parts: list[Certificate]) -> Certificate:
        """Along the samples."""
        return cls(*(torch.cat([getattr(p, name) for p in parts]) for name in ("value", "lower_bound", "relative_gap", "reason")))

    def __getitem__(self, rows: slice | Tensor) -> Certificate:
        return Certificate(self.value[rows], self.lower_bound[rows], self.relative_gap[rows], self.reason[rows])

    def within(self, tolerance: float) -> Tensor:
        """(n,) bool: samples proven optimal to a relative tolerance."""
        return (self.relative_gap <= tolerance) & (self.reason != int(Proof.NOT_PROVEN))

    def sentences(self) -> list[str]:
        """The proof of each sample in words."""
        return [Proof(int(r)).sentence() for r in self.reason]


def row_blocks(n: int) -> Iterator[slice]:
    """Slices over samples small enough for float64 work arrays."""
    return (slice(start, min(start + ROW_BLOCK, n)) for start in range(0, n, ROW_BLOCK))


def residual64(dictionary: Dictionary, x: Tensor, codes: Codes) -> Tensor:
    """(n, d) float64: x − bias − z @ atoms, each product and sum in float64."""
    check_input(dictionary, x, codes)
    centred = (x.double() - dictionary.bias.double()).contiguous()
    if x.device.type == "cpu" and codes.width:
        from sparsegap.kernels.residual import subtract_atoms

        subtract_atoms(centred.numpy(), dictionary.atoms.numpy(), codes.indices.numpy(), codes.values.numpy())
        return centred
    for rows in row_blocks(len(x)):
        atoms = dictionary.atoms[codes.indices[rows].long()].double()
        centred[rows] -= torch.einsum("nk,nkd->nd", codes.values[rows].double(), atoms)
    return centred


def check_input(dictionary: Dictionary, x: Tensor, codes: Codes | None = None) -> None:
    """Raise InputError where activations or codes do not fit the dictionary."""
    if x.ndim != 2 or x.shape[1] != dictionary.width:
        raise InputError(f"activations have shape {tuple(x.shape)}, but the dictionary takes (n, {dictionary.width})")
    if codes is not None and (len(codes) != len(x) or codes.n_atoms != dictionary.n_atoms):
        given, wanted = f"{len(codes)} samples over {codes.n_atoms} atoms", f"{len(x)} samples and {dictionary.n_atoms} atoms"
        raise InputError(f"codes of {given} do not fit {wanted}")


def check_finite(x: Tensor) -> None:
    """Raise InputError naming the first rows that hold NaN or Inf."""
    if bool(x.sum().isfinite()):  # one reading; a sum that overflows of finite numbers is told apart below
        return
    finite = x.isfinite()
    if not finite.all():
        bad = (~finite.all(1)).nonzero().flatten()
        shown = ", ".join(map(str, bad[:5].tolist())) + (", ..." if len(bad) > 5 else "")
        raise InputError(f"activations hold NaN or Inf in {len(bad)} of {len(x)} rows: {shown}")


def violations(codes: Codes, nonnegative: bool) -> Tensor:
    """(n,) bool: samples that are infeasible because a value is negative or not finite."""
    bad = ~codes.values.isfinite()
    return (bad | (codes.values < 0)).any(1) if nonnegative else bad.any(1)


def scaled_dual(aligned: Tensor, energy: Tensor, penalty: Tensor, largest: Tensor, nonnegative: bool) -> Tensor:
    """(n,) float64: the largest s⟨x, r⟩ − s²‖r‖²/2 for which s·r is dual feasible, from ⟨x, r⟩, ‖r‖², λ and r's largest correlation."""
    limit = torch.where(largest > 0, penalty / largest.clamp_min(1e-300), torch.full_like(largest, torch.inf))
    scale = torch.minimum(aligned / energy.clamp_min(1e-300), limit)
    scale = scale if nonnegative else torch.maximum(scale, -limit)
    return scale * aligned - 0.5 * scale.square() * energy


@dataclass(frozen=True, eq=False)
class Lasso:
    """min over z of ½‖x − b − zA‖² + λ‖z‖₁, z ≥ 0 if nonnegative.

    penalty: λ ≥ 0 in the units of x·atom, one float or one per sample (n,). Atoms of any norm are taken as they are: a longer atom pays
    less for the same reconstruction. Other libraries' mean-reduced penalties are converted by `sparsegap.conventions`.
    """

    dictionary: Dictionary
    penalty: float | Tensor
    nonnegative: bool = True

    def __post_init__(self) -> None:
        smallest = float(torch.as_tensor(self.penalty).min()) if torch.as_tensor(self.penalty).numel() else 0.0
        if not smallest >= 0:
            raise InputError(f"the penalty must be a finite number >= 0, not {smallest:g}")

    def rows(self, rows: slice | Tensor) -> Lasso:
        """The problem of some of the samples."""
        return replace(self, penalty=self.penalty[rows]) if isinstance(self.penalty, Tensor) and self.penalty.ndim else self

    def penalties(self, n: int, device: torch.device | str = "cpu") -> Tensor:
        """(n,) float64 λ of each sample."""
        given = torch.as_tensor(self.penalty, dtype=torch.float64, device=device)
        if given.ndim and given.shape != (n,):
            raise InputError(f"the penalty has shape {tuple(given.shape)}, but there are {n} samples; give one number or one per sample")
        return given.expand(n)

    def largest_penalty(self, x: Tensor) -> Tensor:
        """(n,) float64: the λ from which on the zero code is optimal, max ⟨x − b, atom⟩."""
        return self._largest_correlation(x.double() - self.dictionary.bias.double())

    def value(self, x: Tensor, codes: Codes) -> Tensor:
        """(n,) float64 objective; inf where the codes are infeasible."""
        return self._value(residual64(self.dictionary, x, codes), codes)

    def certify(self, x: Tensor, codes: Codes) -> Certificate:
        """Relative duality gap of each sample.

        The dual point is the residual r scaled by s so that s·⟨r, atom⟩ ≤ λ for all atoms; the bound is s⟨x, r⟩ − s²‖r‖²/2.
        Costs one float64 pass over all atoms, blockwise. Source: Mairal (2010), PhD thesis, section D.2.
        """
        check_input(self.dictionary, x, codes)
        value, lower = torch.empty(2, len(x), dtype=torch.float64, device=x.device)
        for rows in row_blocks(len(x)):
            value[rows], lower[rows] = self._judge(x[rows], codes[rows], self.rows(rows))
        return Certificate.of(value, lower, Proof.DUALITY)

    def dual_bound(self, centred: Tensor, residual: Tensor, largest: Tensor) -> Tensor:
        """(n,) float64 dual objective of the best-scaled residual, given its largest correlation with an atom (n,)."""
        aligned, energy = (centred * residual).sum(1), (residual * residual).sum(1)
        return scaled_dual(aligned, energy, self.penalties(len(centred), centred.device), largest, self.nonnegative)

    def _judge(self, x: Tensor, codes: Codes, problem: Lasso) -> tuple[Tensor, Tensor]:
        residual = residual64(self.dictionary, x, codes)
        centred = x.double() - self.dictionary.bias.double()
        return problem._value(residual, codes), problem.dual_bound(centred, residual, self._largest_correlation(residual))

    def _value(self, residual: Tensor, codes: Codes) -> Tensor:
        l1 = codes.values.double().abs().sum(1)
        value = 0.5 * residual.square().sum(1) + self.penalties(len(codes), residual.device) * l1
        return value.masked_fill(violations(codes, self.nonnegative), torch.inf)

    def _largest_correlation(self, residual: Tensor) -> Tensor:
        best = torch.full((len(residual),), -torch.inf, dtype=torch.float64, device=residual.device)
        for atoms in self.dictionary.atoms.split(ATOM_BLOCK):
            scores = residual @ atoms.double().T
            best = torch.maximum(best, (scores if self.nonnegative else scores.abs()).amax(1))
        return best


@dataclass(frozen=True, eq=False)
class KSparse:
    """min over z of ½‖x − b − zA‖² subject to ‖z‖₀ ≤ k, z ≥ 0 if nonnegative.

    k: one int or one per sample (n,), 1 ≤ k ≤ m (a per-sample k may be 0). The norms of the atoms do not matter.
    """

    dictionary: Dictionary
    k: int | Tensor
    nonnegative: bool = True

    def __post_init__(self) -> None:
        given = torch.as_tensor(self.k)
        if given.is_floating_point() or given.dtype == torch.bool:
            raise InputError(f"k must be an integer or one integer per sample, not {given.dtype}")
        low, high = (int(given.min()), int(given.max())) if given.numel() else (1, 1)
        if low < (0 if given.ndim else 1) or high > self.dictionary.n_atoms:
            wrong = high if high > self.dictionary.n_atoms else low
            raise InputError(f"k must be between 1 and the number of atoms, {self.dictionary.n_atoms}, not {wrong}")

    def rows(self, rows: slice | Tensor) -> KSparse:
        """The problem of some of the samples."""
        return replace(self, k=self.k[rows]) if isinstance(self.k, Tensor) and self.k.ndim else self

    def budgets(self, n: int, device: torch.device | str = "cpu") -> Tensor:
        """(n,) int64 k of each sample."""
        given = torch.as_tensor(self.k, dtype=torch.int64, device=device)
        if given.ndim and given.shape != (n,):
            raise InputError(f"k has shape {tuple(given.shape)}, but there are {n} samples; give one integer or one per sample")
        return given.expand(n)

    def value(self, x: Tensor, codes: Codes) -> Tensor:
        """(n,) float64 objective; inf where the codes are infeasible."""
        value = 0.5 * residual64(self.dictionary, x, codes).square().sum(1)
        too_many = codes.l0() > self.budgets(len(codes), codes.values.device)
        return value.masked_fill(violations(codes, self.nonnegative) | too_many, torch.inf)

    def certify(self, x: Tensor, codes: Codes) -> Certificate:
        """What can be proven of each sample: an exact fit, or a bound from the Babel function; elsewhere the bound is 0 and not proven.

        For any k-sparse rival, the difference δ of the codes has at most 2k atoms, and ½‖r − δA‖² ≥ ½‖r‖² − ½·Σ g²/(1 − μ₁(2k−1)),
        with g the residual's correlations on those atoms. Costs one float64 pass over the atoms where 1 − μ₁(2k−1) > 0, nothing else.
        """
        check_input(self.dictionary, x, codes)
        value = self.value(x, codes)
        energy = torch.linalg.vector_norm(x - self.dictionary.bias, dim=1, dtype=torch.float64).square()
        fits = value <= EXACT_FIT * energy
        lower, reason = torch.zeros_like(value), torch.where(fits, int(Proof.EXACT_FIT), int(Proof.NOT_PROVEN)).to(torch.int8)
        lower = torch.where(fits, value, lower)
        k = self.budgets(len(x), x.device)
        conditioning = smallest_eigenvalue_bound(self.dictionary, 2 * int(k.max())) if len(x) and not bool(fits.all()) else 0.0
        if conditioning <= 0:
            return Certificate.of(value, lower, reason)
        for rows in row_blocks(len(x)):
            lower[rows] = torch.maximum(lower[rows], self._rival_bound(x[rows], codes[rows], k[rows], conditioning))
        reason[~fits & (lower > 0)] = int(Proof.BABEL)
        return Certificate.of(value, lower, reason)

    def _rival_bound(self, x: Tensor, codes: Codes, k: Tensor, conditioning: float) -> Tensor:
        residual = residual64(self.dictionary, x, codes)
        g = residual @ self.dictionary.unit.atoms.double().T
        gain = torch.where(g > 0, g, 0.0).square() if self.nonnegative else g.square()
        own = torch.zeros_like(gain).scatter_add_(1, codes.indices.long(), codes.active.to(gain)) > 0
        on_support = g.square().masked_fill(~own, 0.0).sum(1)
        best = gain.masked_fill(own, 0.0).topk(min(max(int(k.max()), 1), gain.shape[1]), dim=1).values.cumsum(1)
        elsewhere = best.gather(1, (k - 1).clamp_min(0)[:, None]).squeeze(1) * (k > 0)
        return 0.5 * residual.square().sum(1) - 0.5 * (on_support + elsewhere) / conditioning


Problem = Lasso | KSparse
