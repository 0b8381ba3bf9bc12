"""TopK training: the state of a run and the step that advances it.

The loss is the batch's share of unexplained variance, Σ‖x − x̂‖² / (batch · variance), plus AuxK: dead latents together model what the
live ones leave (1/8 of the same share of *that*). One GEMM finds the active latents, in bfloat16 where the processor multiplies it faster;
everything else touches active atoms only (kernels/sparse_step.py). Atoms stay at norm 1, the part of a gradient along its atom is removed.
Gao et al. (2024), arXiv:2406.04093; Adam: Kingma & Ba (2015), arXiv:1412.6980.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import normalize

from sparsegap.errors import InputError
from sparsegap.kernels.select import topk_codes
from sparsegap.kernels.sparse_step import EPSILON, FIRST_DECAY, SECOND_DECAY, atom_pass, by_atom, sample_pass

# Atoms that begin as data samples are much alike: at full strength k of them overshoot many times over.
INITIAL_GAIN = 0.02
AUX_SHARE = 1 / 8
AUX_ROWS = 256

MATRICES = ("atoms", "weight", "atoms_1", "atoms_2", "weight_1", "weight_2")
VECTORS = ("bias", "bias_1", "bias_2")
CENTRES = ("centre", "centre_1", "centre_2")


class Outcome(NamedTuple):
    """What one step saw: unexplained share of the batch's variance before the update, and how many latents count as dead."""

    fvu: float
    dead: int


class TopKState:
    """A TopK autoencoder in training: x̂ = centre + relu(topk((x − centre) @ weight.T + bias)) @ atoms.

    atoms, weight (m, d), bias (m,), centre (d,), float32 on CPU, each with Adam's two moments (`_1`, `_2`); stale (m,) int64: samples since
    a latent last fired. variance: mean squared distance of the data from its mean. half: find active latents in bfloat16.
    """

    def __init__(self, tensors: dict[str, Tensor], *, k: int, dead_after: int, half: bool) -> None:
        self.tensors = tensors
        self.k = k
        self.dead_after = dead_after
        self._detectors = tensors["weight"].to(torch.bfloat16 if half else torch.float32, copy=True)
        self._scores = torch.empty(0)

    @classmethod
    def begin(cls, rows: Tensor, n_atoms: int, generator: torch.Generator, *, k: int, dead_after: int, half: bool) -> TopKState:
        """Atoms are samples of the data, centred, at norm 1 (random directions where there are too few); detectors are faint copies."""
        centre = rows.double().mean(0).float()
        centred = rows - centre
        variance = float(centred.double().square().sum(1).mean())
        if not variance > 0:
            raise InputError("all activations are the same: there is nothing to learn")
        usable = centred[centred.norm(dim=1) > 1e-6 * math.sqrt(variance)][:n_atoms]
        random = torch.randn(n_atoms - len(usable), rows.shape[1], generator=generator)
        atoms = normalize(torch.cat([usable, random])).contiguous()
        tensors = {"atoms": atoms, "weight": INITIAL_GAIN * atoms, "bias": torch.zeros(n_atoms), "centre": centre}
        tensors |= {name: torch.zeros_like(tensors[name[:-2]]) for name in (*MATRICES, *VECTORS, *CENTRES) if name[-2:] in ("_1", "_2")}
        tensors |= {"stale": torch.zeros(n_atoms, dtype=torch.int64), "variance": torch.tensor(variance, dtype=torch.float64)}
        return cls(tensors, k=k, dead_after=dead_after, half=half)

    def step(self, x: Tensor, number: int, rate: float) -> Outcome:
        """Advance by one batch x (n, d); number counts from 1.

        Raises InputError, with the state unchanged, where the batch is not finite.
        """
        t = self.tensors
        centred = x - t["centre"]
        indices, values = topk_codes(self._correlations(centred), self.k)
        error, gradient = torch.empty_like(centred), torch.empty_like(values)
        sample_pass(centred.numpy(), t["atoms"].numpy(), indices.numpy(), values.numpy(), error.numpy(), gradient.numpy())
        unexplained = float(error.square().sum())
        if not math.isfinite(unexplained):
            raise InputError(f"batch {number} holds NaN or Inf, or the training diverged there")
        scale = 2 / (len(x) * float(t["variance"]))
        dead = self._idle(indices, values, len(x))
        taught = self._turn(dead, number)
        bias_gradient = self._move_atoms(centred, indices, values, error, gradient, scale, _corrected(rate, number), taught)
        through_input = bias_gradient.to(self._detectors.dtype) @ self._detectors  # the detectors as they were before this step
        self._move_centre(scale * error.sum(0) - through_input.float(), _corrected(rate, number))
        self._detectors.copy_(t["weight"])
        return Outcome(unexplained * scale / 2, len(dead))

    def _correlations(self, centred: Tensor) -> Tensor:
        if len(self._scores) != len(centred):
            self._scores = torch.empty(len(centred), len(self._detectors), dtype=self._detectors.dtype)
        bias = self.tensors["bias"].to(self._detectors.dtype)
        return torch.addmm(bias, centred.to(self._detectors.dtype), self._detectors.T, out=self._scores)

    def _idle(self, indices: Tensor, values: Tensor, n: int) -> Tensor:
        """Latents that count as dead now; counts this batch of n."""
        stale = self.tensors["stale"]
        stale += n
        stale[indices[values > 0].long()] = 0
        return (stale > self.dead_after).nonzero().flatten()

    def _turn(self, dead: Tensor, number: int) -> Tensor:
        """Up to d/2 of the dead latents, others each step: more than that would model any error."""
        most = self.tensors["centre"].shape[0] // 2
        return dead if len(dead) <= most else dead.roll(-most * number)[:most].sort().values

    def _move_atoms(self, centred: Tensor, indices: Tensor, values: Tensor, error: Tensor, gradient: Tensor, scale: float, rate: float,
                    chosen: Tensor) -> Tensor:
        t = self.tensors
        extra = self._auxiliary(centred[:AUX_ROWS], error[:AUX_ROWS], chosen)
        row_of = torch.full_like(t["bias"], -1, dtype=torch.int32)
        row_of[chosen] = torch.arange(len(chosen), dtype=torch.int32)
        bias_gradient = torch.empty_like(t["bias"])
        begin, slots = by_atom(indices.numpy(), values.numpy(), len(row_of))
        moments = tuple(t[name].numpy() for name in ("atoms_1", "atoms_2", "weight_1", "weight_2", "bias_1", "bias_2"))
        atom_pass(begin, slots, values.numpy(), gradient.numpy(), centred.numpy(), error.numpy(), scale, rate,
                  row_of.numpy(), *(g.numpy() for g in extra), t["atoms"].numpy(), t["weight"].numpy(), t["bias"].numpy(), moments,
                  bias_gradient.numpy())
        return bias_gradient

    def _auxiliary(self, centred: Tensor, error: Tensor, chosen: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """AuxK on a part of the batch: gradients of the chosen dead latents, which together model the error; dense over few."""
        t = self.tensors
        energy = float(error.square().sum())
        if not len(chosen) or energy == 0:
            none = torch.zeros(max(len(chosen), 1), centred.shape[1])
            return none, none, none[:, 0]
        atoms = t["atoms"][chosen]
        # Without its bias, a latent that the bias silences everywhere still gets a gradient, and may rise again.
        codes = (centred @ t["weight"][chosen].T).relu()
        wrong = (codes @ atoms + error) * (2 * AUX_SHARE / energy)
        for_codes = (wrong @ atoms.T) * (codes > 0)
        return codes.T @ wrong, for_codes.T @ centred, for_codes.sum(0)

    def _move_centre(self, gradient: Tensor, rate: float) -> None:
        t = self.tensors
        t["centre_1"].mul_(float(FIRST_DECAY)).add_(gradient, alpha=1 - float(FIRST_DECAY))
        t["centre_2"].mul_(float(SECOND_DECAY)).addcmul_(gradient, gradient, value=1 - float(SECOND_DECAY))
        t["centre"].sub_(rate * t["centre_1"] / (t["centre_2"].sqrt() + float(EPSILON)))


def _corrected(rate: float, number: int) -> float:
    """Adam's step size with the bias of both moments taken out."""
    return rate * math.sqrt(1 - float(SECOND_DECAY) ** number) / (1 - float(FIRST_DECAY) ** number)
