"""Scores of the paper's runs, all runs at once, from dense codes and atoms.

They agree with `metrics/`, which take one run and sparse codes: latent_mcc with `mcc`, dictionary_mcc with `dictionary_match`,
dictionary_pearson with `greedy_pearson`.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import normalize

from sparsegap.dictionary import Dictionary
from sparsegap.metrics.dictionary_match import random_atoms

Floats = NDArray[np.float64]
Numbers = NDArray[np.float32]
THRESHOLDS = {"l0_1e-3": 1e-3, "l0_1e-4": 1e-4, "l0_1e-5": 1e-5}
DRAWS = 20  # random dictionaries that a chance level is the mean of


def latent_mcc(found: Tensor, truth: Tensor) -> Floats:
    """(r,) mean |Pearson correlation| of found (r, n, m) with true codes (r, n, m_truth), matched one to one; as `metrics.mcc`.

    A latent that never varies correlates with nothing; true ones that never vary are left out. A run at a time: its numbers stay in cache.
    """
    return np.array([_latent_mcc(ours, theirs) for ours, theirs in zip(found.numpy(), truth.numpy(), strict=True)])


def dictionary_mcc(learned: Tensor, truth: Tensor) -> Floats:
    """(r,) mean cosine of true atoms (r, m_truth, d) with learned ones (r, m, d), matched one to one; negative ones count 0."""
    strength = normalize(truth.double(), dim=2) @ normalize(learned.double(), dim=2).transpose(1, 2)
    return np.array(_assigned(strength.clamp(0, 1).numpy())) / truth.shape[1]


def dictionary_pearson(learned: Tensor, truth: Tensor) -> Floats:
    """(r,) the paper's score of a dictionary: mean |Pearson correlation| over coordinates, pairs taken greedily, the largest first."""
    runs, left = len(learned), min(truth.shape[1], learned.shape[1])
    strength = (_centred(truth) @ _centred(learned).transpose(1, 2)).abs()
    total = torch.zeros(runs, dtype=torch.float64)
    for _ in range(left):
        best, place = strength.flatten(1).max(1)
        total += best
        rows, columns = place // strength.shape[2], place % strength.shape[2]
        strength[torch.arange(runs), rows] = -1
        strength[torch.arange(runs), :, columns] = -1
    return (total / truth.shape[1]).numpy()


def of_codes(codes: Tensor, truth: Tensor, x: Tensor, atoms: Tensor | None) -> dict[str, Floats]:
    """latent_mcc, l0 (exact zeros), l0_1e-3 .. l0_1e-5 (above a threshold), l1_norm (of a sample), with atoms mse and fvu; (r,) each."""
    each = [_of_codes(*run) for run in zip(codes.numpy(), x.numpy(), [None] * len(x) if atoms is None else atoms.numpy(), strict=True)]
    return {"latent_mcc": latent_mcc(codes, truth)} | {name: np.array([one[name] for one in each]) for name in each[0]}


def of_atoms(learned: Tensor, truth: Tensor) -> dict[str, Floats]:
    """dictionary_mcc and dictionary_pearson, (r,) each."""
    return {"dictionary_mcc": dictionary_mcc(learned, truth), "dictionary_pearson": dictionary_pearson(learned, truth)}


def chances(n_atoms: int, truth: Tensor, codes: Tensor, x: Tensor) -> dict[str, Floats]:
    """What knowing nothing gets, `<name>_chance`: random dictionaries of n_atoms, and the codes relu(x·atomsᵀ) of an untrained encoder.

    truth (r, m_truth, d), codes and x its samples. The means over 20 draws, the same for every run. (r,) each.
    """
    found: list[Mapping[str, Floats]] = []
    for draw in range(DRAWS):
        atoms = random_atoms(n_atoms, Dictionary(truth[0]), seed=draw).atoms.expand(len(truth), -1, -1)
        found.append(of_atoms(atoms, truth) | {"latent_mcc": latent_mcc((x @ atoms.transpose(1, 2)).relu(), codes)})
    return {f"{name}_chance": np.mean([one[name] for one in found], axis=0) for name in found[0]}


def _latent_mcc(found: Numbers, truth: Numbers) -> float:
    """Of one run (n, m), (n, m_truth)."""
    (ours, our_scale), (theirs, their_scale) = _centred_columns(found), _centred_columns(truth)
    strength = np.abs(theirs.T @ ours) * np.outer(their_scale, our_scale)
    return _assigned(np.minimum(strength, 1)[None])[0] / max(int(np.count_nonzero(their_scale)), 1)


def _centred_columns(codes: Numbers) -> tuple[Floats, Floats]:
    """Latents less their means, (n, m), and one over their norms; 0 for those that never vary but for rounding."""
    wide = codes.astype(np.float64)
    whole = np.einsum("nm,nm->m", wide, wide)
    wide -= wide.mean(0)
    energy = np.einsum("nm,nm->m", wide, wide)
    return wide, np.where(energy > 1e-14 * whole, 1 / np.sqrt(np.maximum(energy, 1e-300)), 0.0)


def _of_codes(codes: Numbers, x: Numbers, atoms: Numbers | None) -> dict[str, float]:
    """Of one run, what needs no truth."""
    sizes, n = np.abs(codes), len(codes)
    scores = {"l0": np.count_nonzero(sizes) / n, "l1_norm": float(sizes.sum(dtype=np.float64)) / n}
    scores |= {name: np.count_nonzero(sizes > threshold) / n for name, threshold in THRESHOLDS.items()}
    if atoms is not None:
        squares, spread = np.square(x - codes @ atoms).mean(dtype=np.float64), x.var(0, dtype=np.float64).mean()
        scores |= {"mse": float(squares), "fvu": float(squares / spread)}
    return scores


def _centred(atoms: Tensor) -> Tensor:
    wide = atoms.double()
    return normalize(wide - wide.mean(2, keepdim=True), dim=2)


def _assigned(strength: NDArray[np.float64]) -> list[float]:
    """Of each run, the largest total over one-to-one matchings."""
    from scipy.optimize import linear_sum_assignment

    return [float(one[linear_sum_assignment(one, maximize=True)].sum()) for one in strength]
