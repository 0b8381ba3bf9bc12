"""Training of the paper's sparse coding: codes of all samples are parameters, and the atoms too unless they are given.

Codes move in one of two ways. EXPONENTIAL, the paper's: z = exp(u), Adam on u. DESCENT, what replaces it: one sweep of coordinate descent
on every sample, each code in turn set to its best value given the others, which is the exact step of the lasso and leaves zeros.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numba import njit, prange
from numpy.typing import NDArray

from sparsegap.kernels.products import REORDERED
from sparsegap.kernels.sample_blocks import adam, add_to, exponential, normalise_rows, remove_radial, subtract_scaled

Floats = NDArray[np.float32]

EXPONENTIAL, DESCENT = 0, 1


class CodeRecipe(NamedTuple):
    """codes: one of the two above. learn: 1 where atoms are learned. project: 1 where their gradient is that on the sphere.

    normalise: 1 where they are put back to norm 1 before each step.
    """

    samples: int
    codes: int
    learn: int
    project: int
    normalise: int


@njit(cache=True, fastmath=REORDERED, inline="never")
def _through_exponential(slope: Floats, codes: Floats, penalty: np.float32, count: int) -> None:
    """slope = codes·(slope + penalty), the gradient of the logarithms; 0 in the padding."""
    for j in range(slope.shape[0]):
        row, code = slope[j], codes[j]
        for s in range(count):
            row[s] = code[s] * (row[s] + penalty)
        row[count:] = 0


@njit(cache=True, fastmath=REORDERED, inline="never")
def _sweep(codes: Floats, residual: Floats, atoms: Floats, penalty: np.float32, best: Floats) -> None:
    """Each code of a block in turn: z = max(0, z − ⟨x̂ − x, atom⟩ − λ), for unit atoms; residual x̂ − x follows."""
    zero = np.float32(0)
    d = atoms.shape[1]
    for j in range(atoms.shape[0]):
        code = codes[j]
        for s in range(code.shape[0]):
            best[s] = code[s] - penalty
        for c in range(d):
            a, row = atoms[j, c], residual[c]
            for s in range(code.shape[0]):
                best[s] -= a * row[s]
        for s in range(code.shape[0]):
            new = max(best[s], zero)
            best[s] = new - code[s]
            code[s] = new
        for c in range(d):
            a, row = atoms[j, c], residual[c]
            for s in range(code.shape[0]):
                row[s] += a * best[s]


@njit(cache=True)
def _train(u: Floats, codes: Floats, first: Floats, second: Floats, atoms: Floats, of_atoms: Floats, atoms_first: Floats,
           atoms_second: Floats, x: Floats, recipe: CodeRecipe, l1: float, rate: float, taken: int, steps: int) -> None:
    """Steps of one run; see `train_codes`."""
    blocks, d, block = x.shape
    n, m = recipe.samples, atoms.shape[0]
    residual, slope = np.empty((d, block), np.float32), np.empty((m, block), np.float32)
    fresh, best = np.empty_like(atoms), np.empty(block, np.float32)
    scale, penalty = np.float32(2.0 / (n * d)), np.float32(l1 / (n * m))
    lasso = np.float32(l1 * d / (2.0 * m))  # the same objective as ½‖x − x̂‖² + λ‖z‖₁ a sample
    for step in range(taken + 1, taken + steps + 1):
        of_atoms[:] = 0
        if recipe.normalise:
            normalise_rows(atoms)
        for b in range(blocks):
            count = min(block, n - b * block)
            if recipe.codes == EXPONENTIAL:
                exponential(u[b], codes[b])
            np.dot(atoms.T, codes[b], residual)
            subtract_scaled(residual, x[b], np.float32(1) if recipe.codes == DESCENT else scale, count)
            if recipe.codes == DESCENT:
                _sweep(codes[b], residual, atoms, lasso, best)
                residual *= scale
            else:
                np.dot(atoms, residual, slope)
                _through_exponential(slope, codes[b], penalty, count)
                adam(u[b].ravel(), slope.ravel(), first[b].ravel(), second[b].ravel(), rate, step)
            if recipe.learn:
                np.dot(codes[b], residual.T, fresh)
                add_to(of_atoms, fresh)
        if recipe.project:
            remove_radial(of_atoms, atoms)
        if recipe.learn:
            adam(atoms.ravel(), of_atoms.ravel(), atoms_first.ravel(), atoms_second.ravel(), rate, step)


@njit(parallel=True, cache=True)
def train_codes(u: Floats, codes: Floats, first: Floats, second: Floats, atoms: Floats, of_atoms: Floats, atoms_first: Floats,
                atoms_second: Floats, x: Floats, data: NDArray[np.int64], recipe: CodeRecipe, l1: NDArray[np.float64],
                rate: NDArray[np.float64], taken: int, steps: int) -> None:
    """`steps` steps of every run, after `taken` ones.

    u, codes, first, second: (r, blocks, m, BLOCK) logarithms of the codes, the codes, Adam's moments of u; DESCENT uses the codes only.
    atoms, of_atoms, atoms_first, atoms_second: (r, m, d) with room for their gradient, and Adam's moments. The rest as `train_networks`.
    6·m·d operations a sample and step and some 14 a code, 2·m·d fewer where atoms are given.
    """
    for r in prange(u.shape[0]):
        _train(u[r], codes[r], first[r], second[r], atoms[r], of_atoms[r], atoms_first[r], atoms_second[r], x[data[r]], recipe, l1[r],
               rate[r], taken, steps)
