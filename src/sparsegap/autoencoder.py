"""Autoencoder: an encoder and the atoms that it is trained with, at their slots. The forward pass of training."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from sparsegap.affine import Affine
from sparsegap.codes import Codes
from sparsegap.dictionary import Dictionary
from sparsegap.encoder import Amortised
from sparsegap.screen import multiplies_bf16
from sparsegap.sparse_ops import decode, detect


@dataclass(frozen=True)
class Slots:
    """Codes in training. indices: (n, k) int32, −1 where unused. pre, values: (n, k) with their graph; pre of a dense encoder is values."""

    indices: Tensor
    pre: Tensor
    values: Tensor

    def codes(self, n_atoms: int) -> Codes:
        """The same as codes without a graph."""
        return Codes(self.indices.clamp_min(0), self.values.detach().masked_fill(self.indices < 0, 0.0), n_atoms)


class Autoencoder:
    """x̂ = centre + z @ atoms with z = encoder(x), for x (n, d).

    atoms, centre: learned where `learns_atoms`, and then the encoder subtracts the same centre. An affine encoder finds its active slots
    with one dense product, in bfloat16 where the device multiplies it faster, into a buffer that every step reuses; all else is sparse.
    Any other encoder runs densely, and its codes are read at the active slots.
    """

    def __init__(self, encoder: Amortised, dictionary: Dictionary, *, learns_atoms: bool) -> None:
        self.encoder = encoder
        self.learns_atoms = learns_atoms
        self.atoms = dictionary.atoms.clone().requires_grad_(learns_atoms)
        self.centre: Tensor = nn.Parameter(dictionary.bias.clone(), requires_grad=learns_atoms)
        if learns_atoms and isinstance(getattr(encoder, "pre_bias", None), Tensor):
            encoder.pre_bias = self.centre
        self.half = multiplies_bf16(self.atoms.device)
        self._scores, self._detectors = torch.empty(0), torch.empty(0)
        self._buffers: dict[str, Tensor] = {}

    @property
    def parameters(self) -> dict[str, Tensor]:
        """What learns, by name: `atoms`, `centre`, and the encoder's own as `encoder.…`."""
        own: dict[str, Tensor] = {"atoms": self.atoms, "centre": self.centre} if self.learns_atoms else {}
        return own | {f"encoder.{name}": p for name, p in self.encoder.named_parameters() if p is not self.centre}

    def encode(self, x: Tensor) -> Slots:
        """The slots of a batch (n, d)."""
        if not isinstance(self.encoder, Affine):
            return self._densely(x)
        encoder = self.encoder
        centre = encoder.pre_bias
        centred = x if centre is None else (x - centre).detach()
        scores = self._correlations(centred, encoder)
        indices = encoder.slots(scores)
        learned = centre if centre is not None and centre.requires_grad else None
        pre = detect(centred, encoder.weight, encoder.bias, indices, scores, centre=learned, buffer=self.buffer("weight"))
        return Slots(indices, pre, encoder.activate_slots(pre, indices))

    def decode(self, values: Tensor, indices: Tensor) -> Tensor:
        """(n, d) centre + z @ atoms."""
        return decode(values, indices, self.atoms, self.centre, buffer=self.buffer("atoms"))

    def gradients(self, loss: Tensor) -> dict[str, Tensor | None]:
        """Of the loss, for every parameter; those of matrices lie in buffers that the next call overwrites."""
        parameters = self.parameters
        found = torch.autograd.grad(loss, list(parameters.values()), allow_unused=True)
        return dict(zip(parameters, found, strict=True))

    @torch.no_grad()
    def fit_gain(self, x: Tensor) -> None:
        """Scale the detectors of an affine encoder so that x̂ is as long as it should be: atoms alike overshoot many times over."""
        if isinstance(self.encoder, Affine):
            slots = self.encode(x)
            made = self.decode(slots.values, slots.indices) - self.centre
            gain = ((x - self.centre) * made).sum() / made.square().sum().clamp_min(1e-30)
            self.encoder.weight.mul_(gain.clamp(1e-3, 1.0))

    def _densely(self, x: Tensor) -> Slots:
        dense = self.encoder(x)
        codes = Codes.from_dense(dense.detach())
        values = dense.gather(1, codes.indices.long())
        indices = codes.indices.masked_fill(codes.values == 0, -1)
        return Slots(indices, values, values)

    @torch.no_grad()
    def _correlations(self, centred: Tensor, encoder: Affine) -> Tensor:
        dtype = torch.bfloat16 if self.half and centred.dtype == torch.float32 else centred.dtype
        weight = encoder.weight.detach()
        if dtype != weight.dtype:
            self._detectors = weight.to(dtype) if self._detectors.shape != weight.shape else self._detectors.copy_(weight)
            weight = self._detectors
        if self._scores.shape != (len(centred), len(weight)) or self._scores.dtype != dtype:
            self._scores = centred.new_empty(len(centred), len(weight), dtype=dtype)
        if encoder.bias is None:
            return torch.mm(centred.to(dtype), weight.T, out=self._scores)
        return torch.addmm(encoder.bias.to(dtype), centred.to(dtype), weight.T, out=self._scores)

    def buffer(self, name: str) -> Tensor:
        """(m, d) that every step may overwrite."""
        if name not in self._buffers:
            self._buffers[name] = torch.empty_like(self.atoms, requires_grad=False)
        return self._buffers[name]
