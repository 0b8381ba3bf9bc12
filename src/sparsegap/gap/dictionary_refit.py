"""The dictionary share: atoms refit to a pursuit's codes of a training part, chosen on a validation part, judged later on rows never seen.

One step is the method of optimal directions with a pull towards the atoms as they were:
A⁺ = argmin Σ‖x − b − zA‖² + ρ·mean(diag ZᵀZ)·‖A − A₀‖², so that a rarely used atom stays where it is. Engan, Aase & Husøy (1999),
doi:10.1109/ICASSP.1999.760624. Solved by conjugate gradients on Z itself: 4·n·k·d FLOPs an iteration, nothing (m, m) is built.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from sparsegap.codes import Codes
from sparsegap.dictionary import Dictionary
from sparsegap.problem import KSparse
from sparsegap.solve import solve

if TYPE_CHECKING:
    from sparsegap.encoder import Encoder

PULLS = (1.0, 4.0)
ITERATIONS = 8
VALIDATION = 1536


@dataclass(frozen=True, eq=False)
class Refit:
    """A dictionary refit to codes of training rows; validation: FVU before and after each accepted step; pull: the ρ that validation
    chose."""

    dictionary: Dictionary
    validation: list[float]
    pull: float | None
    rows: int


def refit_dictionary(
    dictionary: Dictionary,
    encoder: Encoder,
    x: Tensor,
    *,
    steps: int = 2,
    nonnegative: bool = True,
    report: Callable[[], object] = lambda: None,
    **options: Any,
) -> Refit:
    """Alternate OMP at the encoder's own L0 with a step of the atoms, as long as the last rows of x (n, d) gain from it."""
    held = min(VALIDATION, len(x) // 4)
    fitting, validation = x[: len(x) - held], x[len(x) - held :]
    k, k_held = encoder.encode(fitting, None).l0(), encoder.encode(validation, None).l0()

    def pursue(atoms: Dictionary, rows: Tensor, budget: Tensor) -> Codes:
        return solve(KSparse(atoms, budget, nonnegative), rows, "omp", **options).codes

    def judge(atoms: Dictionary) -> float:
        error = (validation - atoms.decode(pursue(atoms, validation, k_held))).square().sum()
        return float(error / (validation - validation.mean(0)).square().sum().clamp_min(1e-30))

    best, history, chosen = dictionary, [judge(dictionary)], None
    pulls: tuple[float, ...] = PULLS
    for _ in range(steps):
        codes = pursue(best, fitting, k)
        report()
        tried = [(judge(moved), pull, moved) for pull in pulls for moved in [move_atoms(best, codes, fitting, pull)]]
        report()
        error, pull, moved = min(tried, key=lambda t: t[0])
        if error >= history[-1]:
            break
        best, chosen, pulls = moved, pull, (pull,)
        history.append(error)
    return Refit(best, history, chosen, len(fitting))


def move_atoms(dictionary: Dictionary, codes: Codes, x: Tensor, pull: float, iterations: int = ITERATIONS) -> Dictionary:
    """One step of the atoms towards least squares on given codes, pulled back by ρ = pull · mean use of an atom that is used at all."""
    forward, backward = _products(codes, dictionary)
    weight = torch.zeros(dictionary.n_atoms, dtype=dictionary.atoms.dtype)
    weight.index_add_(0, codes.indices[codes.active].long(), codes.values[codes.active].square().to(weight))
    used = weight > 0
    ridge = pull * float(weight[used].mean()) if bool(used.any()) else 1.0
    residual = backward(x.to(dictionary.atoms) - dictionary.bias - forward(dictionary.atoms))
    precondition = 1 / (weight + ridge)[:, None]
    change = _conjugate_gradient(lambda a: backward(forward(a)) + ridge * a, residual, precondition, iterations)
    return Dictionary(dictionary.atoms + change, dictionary.bias)


def _products(codes: Codes, dictionary: Dictionary) -> tuple[Callable[[Tensor], Tensor], Callable[[Tensor], Tensor]]:
    """(A ↦ ZA, R ↦ ZᵀR), each a sum of looked-up rows."""
    active = codes.active
    values, atoms = codes.values[active].to(dictionary.atoms), codes.indices[active].long()
    samples = torch.arange(len(codes))[:, None].expand(active.shape)[active]
    by_sample = torch.zeros(len(codes), dtype=torch.int64)
    by_sample[1:] = active.sum(1).cumsum(0)[:-1]
    order = atoms.argsort(stable=True)
    counts = torch.bincount(atoms, minlength=codes.n_atoms)
    by_atom = torch.zeros(codes.n_atoms, dtype=torch.int64)
    by_atom[1:] = counts.cumsum(0)[:-1]

    def bags(rows: Tensor, index: Tensor, offsets: Tensor, weights: Tensor) -> Tensor:
        return torch.nn.functional.embedding_bag(index, rows, offsets, per_sample_weights=weights, mode="sum")

    return (lambda a: bags(a, atoms, by_sample, values)), (lambda r: bags(r, samples[order], by_atom, values[order]))


def _conjugate_gradient(apply: Callable[[Tensor], Tensor], right: Tensor, precondition: Tensor, iterations: int) -> Tensor:
    """(m, d) solution of a positive definite system for all d columns at once, each with its own step."""
    solution, residual = torch.zeros_like(right), right
    direction = scaled = precondition * residual
    energy = (residual * scaled).sum(0)
    for _ in range(iterations):
        image = apply(direction)
        step = energy / (direction * image).sum(0).clamp_min(1e-30)
        solution = solution + step * direction
        residual = residual - step * image
        scaled = precondition * residual
        previous, energy = energy, (residual * scaled).sum(0)
        direction = scaled + energy / previous.clamp_min(1e-30) * direction
    return solution
