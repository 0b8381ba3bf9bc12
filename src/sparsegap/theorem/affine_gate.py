"""An encoder read as the theorem reads it: a value that is affine in x, and a gate that lets it through or not."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass
from typing import cast

import torch
from torch import Tensor

from sparsegap.dictionary import Dictionary
from sparsegap.encoder import Amortised, Encoder
from sparsegap.encoders.batch_topk import BatchTopK
from sparsegap.encoders.gated import Gated
from sparsegap.encoders.jumprelu import JumpReLU
from sparsegap.encoders.lista import LISTA
from sparsegap.encoders.prolu import ProLU
from sparsegap.encoders.relu import ReLU
from sparsegap.encoders.topk import TopK
from sparsegap.errors import InputError

EXACT_ENTRIES = 1 << 21  # weights up to so many numbers are read in float64, others as they are


@dataclass(frozen=True, eq=False)
class LinearNonlinear:
    """e_l(x) = v_l(x) where latent l is active and 0 elsewhere, with v(x) = x @ weight.T + offset; an active value is never negative.

    weight: (m, d), offset: (m,), such that v is what an active latent gives, not what its gate looks at. cut: (m,), ≥ 0, where latent l
    is active exactly if v_l > cut_l; None where the gate looks at more than that, as top-k does. encoder: what to run.
    """

    weight: Tensor
    offset: Tensor
    cut: Tensor | None
    encoder: Encoder

    @property
    def n_atoms(self) -> int:
        """m."""
        return self.weight.shape[0]

    def values(self, x: Tensor) -> Tensor:
        """(n, d) to what each latent (n, m) gives if it is active."""
        return x.to(self.weight) @ self.weight.T + self.offset

    def gated(self, values: Tensor, cut: Tensor | None = None) -> Tensor:
        """Values (..., m) through the gates; with `cut`, through gates that open there."""
        bound = self.cut if cut is None else cut
        if bound is None:
            raise ValueError("the gate of this encoder looks at more than one value")
        return torch.where(values > bound, values, 0.0)

    def run(self, x: Tensor) -> Tensor:
        """(n, d) to dense codes (n, m), by the encoder itself."""
        return self.encoder.encode(x).dense()

    def at_rest(self, dictionary: Dictionary) -> Tensor:
        """(m,) the values where no source is active: x is the bias of the dictionary."""
        return self.values(dictionary.bias[None])[0]


def read(encoder: Encoder) -> LinearNonlinear:
    """The reading of an encoder of the library whose active values are affine in x, with a copy of it to run, in float64 where it is small.

    Those are relu, jumprelu, topk, batch_topk, prolu, gated, and lista of depth 1, which is one ISTA step from zero, for codes ≥ 0.
    Raises InputError for any other, which the theorem does not speak of. One of one's own, gated as it likes, is read by hand:
    LinearNonlinear(weight, offset, None, encoder).
    """
    reader = next((reader for kind, reader in READERS.items() if isinstance(encoder, kind)), None)
    if reader is None:
        raise InputError(f"the active values of a {_name(encoder)} encoder are not affine in x, so the theorem does not speak of it; "
                         f"it does of {', '.join(_module(kind) for kind in READERS)}")
    made = cast(Amortised, copy.deepcopy(encoder)).eval()
    made = made.double() if sum(p.numel() for p in made.parameters()) <= EXACT_ENTRIES else made
    with torch.no_grad():
        weight, offset, cut = reader(made)
        pre_bias = made.pre_bias
        offset = weight.new_zeros(len(weight)) if offset is None else offset
        centred = offset if pre_bias is None else offset - weight @ pre_bias
    return LinearNonlinear(weight.detach(), centred.detach(), None if cut is None else cut.detach(), made)


Read = tuple[Tensor, Tensor | None, Tensor | None]  # weight, offset before the pre_bias, cut


def _relu(encoder: ReLU) -> Read:
    return encoder.weight, encoder.bias, encoder.weight.new_zeros(encoder.n_atoms)


def _topk(encoder: TopK) -> Read:
    return encoder.weight, encoder.bias, None


def _jumprelu(encoder: JumpReLU) -> Read:
    return encoder.weight, encoder.bias, encoder.threshold.clamp_min(0)


def _batch_topk(encoder: BatchTopK) -> Read:
    return encoder.weight, encoder.bias, encoder.threshold.clamp_min(0).expand(encoder.n_atoms)


def _prolu(encoder: ProLU) -> Read:
    zeros = encoder.weight.new_zeros(encoder.n_atoms)
    return encoder.weight, None, zeros if encoder.gate_bias is None else (-encoder.gate_bias).clamp_min(0)


def _gated(encoder: Gated) -> Read:
    scale = encoder.r_mag.exp()
    offset = torch.zeros_like(scale) if encoder.b_mag is None else encoder.b_mag
    # The gate opens at e = −b_gate, where the value is scale·e + offset.
    opens = offset if encoder.b_gate is None else offset - scale * encoder.b_gate
    return scale[:, None] * encoder.weight, offset, opens.clamp_min(0)


def _ista_step(encoder: LISTA) -> Read:
    if encoder.depth > 1:
        raise InputError(f"a lista encoder of depth {encoder.depth} is not affine in x where it is active: only its first step is")
    if not encoder.nonnegative:
        raise InputError("a lista encoder whose codes have signs is not read here: give one with nonnegative=true")
    weight = encoder.weight[0] if encoder.step is None else encoder.step[0] * encoder.weight[0]
    offset = None if encoder.threshold is None else -encoder.threshold[0].expand(encoder.n_atoms)
    return weight, offset, weight.new_zeros(encoder.n_atoms) if encoder.keep is None else None


READERS: dict[type, Callable[..., Read]] = {
    ReLU: _relu, TopK: _topk, JumpReLU: _jumprelu, BatchTopK: _batch_topk, ProLU: _prolu, Gated: _gated, LISTA: _ista_step,
}


def _module(kind: type) -> str:
    return kind.__module__.rpartition(".")[2]


def _name(encoder: object) -> str:
    return _module(type(encoder)) if isinstance(encoder, Amortised) else type(encoder).__name__
