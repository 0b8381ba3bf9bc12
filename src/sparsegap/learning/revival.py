"""Dead atoms: who counts as one, and the two ways to bring them back."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn.functional import normalize

from sparsegap.affine import Affine
from sparsegap.learning.autoencoder import Autoencoder, Slots

AUX_ROWS = 256
CUTS = {"threshold": 1, "b_gate": -1, "gate_bias": -1, "bias": -1}  # what decides who is active, the first that an encoder has


class Idle:
    """Samples since each atom was last used. stale: (m,) int64. after: samples from which on an atom counts as dead."""

    def __init__(self, n_atoms: int, after: int, device: torch.device | str = "cpu") -> None:
        self.stale = torch.zeros(n_atoms, dtype=torch.int64, device=device)
        self.after = after

    def note(self, slots: Slots) -> Tensor:
        """Count a batch; the atoms that are dead now."""
        self.stale += len(slots.indices)
        self.stale[slots.indices[slots.values.detach() != 0].long()] = 0
        return (self.stale > self.after).nonzero().flatten()


def taking_turns(dead: Tensor, most: int, number: int) -> Tensor:
    """Up to `most` of the dead atoms, others each step: more than half the width of them would model any error."""
    return dead if len(dead) <= most else dead.roll(-most * number)[:most].sort().values


def add_auxk(gradients: dict[str, Tensor | None], model: Autoencoder, x: Tensor, error: Tensor, chosen: Tensor, share: float) -> None:
    """AuxK: add the gradient of share·‖x̂_dead + error‖²/‖error‖², in which the chosen atoms together model the error, to `gradients`.

    x, error = x̂ − x: (n, d), of which a part of 256 rows is looked at. Dense over few atoms. Thresholds of the chosen are pushed down, as
    nothing else can reach those far above all pre-activations. Gao et al. (2024), arXiv:2406.04093; thresholds: Conerly et al. (2025).
    """
    encoder, x, error = model.encoder, x[:AUX_ROWS], error[:AUX_ROWS]
    energy = float(error.square().sum())
    if not len(chosen) or energy == 0 or not isinstance(encoder, Affine):
        return
    centred, atoms = (x if encoder.pre_bias is None else x - encoder.pre_bias).detach(), model.atoms.detach()[chosen]
    # Without its bias, an atom that the bias silences everywhere still gets a gradient, and may rise again.
    codes = (centred @ encoder.weight.detach()[chosen].T).relu()
    wrong = (codes @ atoms + error) * (2 * share / energy)
    for_codes = (wrong @ atoms.T) * (codes > 0)
    _add(gradients.get("atoms"), chosen, codes.T @ wrong)
    _add(gradients.get("encoder.weight"), chosen, for_codes.T @ centred)
    _add(gradients.get("encoder.bias"), chosen, for_codes.sum(0))
    for name, sign in CUTS.items():
        cut = gradients.get(f"encoder.{name}")
        if name != "bias" and cut is not None:
            _add(cut, chosen, sign * 10 * float(cut.abs().mean()))  # stronger than what moves those of others


def _add(gradient: Tensor | None, chosen: Tensor, rows: Tensor | float) -> None:
    if gradient is not None:
        gradient[chosen] += rows


def resampled(error: Tensor, chosen: Tensor, generator: torch.Generator) -> Tensor:
    """Directions (a, d) at norm 1 for up to a atoms: what is missing of samples drawn in proportion to their squared error.

    error: x̂ − x (n, d). Bricken et al. (2023), "Towards monosemanticity", which takes the samples themselves.
    """
    energy = error.square().sum(1).double().cpu()
    count = min(len(chosen), int((energy > 0).sum()))
    drawn = torch.multinomial(energy.square(), count, generator=generator) if count else torch.empty(0, dtype=torch.int64)
    return normalize(-error[drawn.to(error.device)])


def fresh_length(lengths: Tensor, used: Tensor, share: float) -> float:
    """Length of a new detector: a share of the mean of those in use."""
    mean = float(lengths[used].mean()) if bool(used.any()) else 1.0
    return share * mean if math.isfinite(mean) and mean > 0 else share
