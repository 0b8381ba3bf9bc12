"""One factor for all activations while learning, and how it is taken out of what was learned: saved weights read raw activations."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Literal, get_args

from torch import Tensor

from sparsegap.dictionary import Dictionary
from sparsegap.encoder import Amortised
from sparsegap.errors import InputError

Normalisation = Literal["none", "mean_norm", "mean_square"]


def scale_for(draw: Callable[[], Tensor], how: str) -> float:
    """The factor for activations like the sample (n, d) that `draw` gives.

    "mean_norm": mean ‖x‖ becomes √d. "mean_square": the root of the mean ‖x‖² becomes 1. "none": 1. Raises InputError.
    """
    if how not in get_args(Normalisation):
        raise InputError(f"normalise must be {', '.join(get_args(Normalisation))}, not '{how}'")
    if how == "none":
        return 1.0
    sample = draw()
    norms = sample.double().norm(dim=1)
    size, wanted = (norms.mean(), math.sqrt(sample.shape[1])) if how == "mean_norm" else (norms.square().mean().sqrt(), 1.0)
    if not bool(size > 0):
        raise InputError("all activations are zero: there is nothing to normalise")
    return wanted / float(size)


def folded(encoder: Amortised, dictionary: Dictionary, scale: float) -> tuple[Amortised, Dictionary]:
    """The pair for raw activations x, where the given one is for x·scale: the same atoms, codes divided by scale.

    bias + z @ atoms ≈ x·scale  ⇔  bias/scale + (z/scale) @ atoms ≈ x.
    """
    if scale == 1:
        return encoder, dictionary
    return encoder.rescaled(scale), Dictionary(dictionary.atoms, (dictionary.bias.double() / scale).to(dictionary.bias))


def unfolded(dictionary: Dictionary, scale: float) -> Dictionary:
    """A dictionary of raw activations as one of scaled activations."""
    return dictionary if scale == 1 else Dictionary(dictionary.atoms, (dictionary.bias.double() * scale).to(dictionary.bias))
