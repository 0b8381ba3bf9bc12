"""Autoencoder: an encoder and the atoms that it is trained with, at their slots. The forward pass of training."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from sparsegap.affine import Affine
from sparsegap.codes import Codes
from sparsegap.dictionary import Dictionary
from sparsegap.encoder import Amortised, largest
from sparsegap.encoders.lista import LISTA
from sparsegap.encoders.mlp import MLP
from sparsegap.learning.sparse_ops import decode, detect
from sparsegap.screen import multiplies_bf16


@dataclass(frozen=True)
class Product:
    """Pre-activations x @ weight.T + bias of all atoms, of which training computes few. x: (n, p) with its graph; weight: (m, p)."""

    x: Tensor
    weight: Tensor
    bias: Tensor | None


@dataclass(frozen=True)
class Slots:
    """Codes in training. indices: (n, k) int32, −1 where unused. pre, values: (n, k) with their graph; pre of a dense encoder is values.

    product: what the pre-activations are read from, None of a dense encoder. before: the layer before, whose values were added to them.
    """

    indices: Tensor
    pre: Tensor
    values: Tensor
    product: Product | None = None
    before: Slots | None = None

    def pre_at(self, indices: Tensor) -> Tensor | None:
        """(n, K) pre-activations of the same samples at other slots, with their graph; None of a dense encoder."""
        if self.product is None:
            return None
        read = detect(self.product.x, self.product.weight, self.product.bias, indices)
        return read if self.before is None else read + self.before.values_at(indices)

    def values_at(self, indices: Tensor) -> Tensor:
        """(n, K) values at other slots, with their graph; 0 where an atom is not active or a slot not used. n·k·K comparisons."""
        same = (indices[:, :, None] == self.indices[:, None, :]) & (indices >= 0)[:, :, None]
        found: Tensor = same.to(self.values.dtype) @ self.values[:, :, None]
        return found.squeeze(2)

    def codes(self, n_atoms: int) -> Codes:
        """The same as codes without a graph."""
        return Codes(self.indices.clamp_min(0), self.values.detach().masked_fill(self.indices < 0, 0.0), n_atoms)


class Autoencoder:
    """x̂ = centre + z @ atoms with z = encoder(x), for x (n, d).

    atoms, centre: learned where `learns_atoms`, and then the encoder subtracts the same centre. An affine encoder finds its active slots
    with one dense product, in bfloat16 where the device multiplies it faster, into a buffer that every step reuses; all else is sparse.
    So do an mlp and a lista that keep so many atoms, the latter layer by layer; where the atoms do not learn, neither do lista's.
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
        fixed = () if self.learns_atoms else ("atoms",)
        return own | {f"encoder.{name}": p for name, p in self.encoder.named_parameters() if p is not self.centre and name not in fixed}

    def encode(self, x: Tensor) -> Slots:
        """The slots of a batch (n, d)."""
        encoder = self.encoder
        if isinstance(encoder, Affine):
            return self._affinely(x, encoder)
        if isinstance(encoder, MLP) and encoder.keep is not None:
            return self._counted(Product(encoder.hidden_units(x), encoder.weight, encoder.bias), encoder.keep, "weight")
        if isinstance(encoder, LISTA) and encoder.keep is not None and not encoder.analytic:
            return self._in_layers(x, encoder, encoder.keep)
        return self._densely(x)

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

    def _affinely(self, x: Tensor, encoder: Affine) -> Slots:
        centre = encoder.pre_bias
        centred = x if centre is None else x - centre
        still = centred.detach()
        scores = self._correlations(still, encoder.weight, encoder.bias)
        indices = encoder.slots(scores)
        learned = centre if centre is not None and centre.requires_grad else None
        pre = detect(still, encoder.weight, encoder.bias, indices, scores, centre=learned, buffer=self.buffer("weight"))
        return Slots(indices, pre, encoder.activate_slots(pre, indices), Product(centred, encoder.weight, encoder.bias))

    def _counted(self, product: Product, keep: int, name: str, before: Slots | None = None) -> Slots:
        """The `keep` largest of a product and the values before it. name: of the buffer for the gradient of the weights."""
        scores = self._correlations(product.x.detach(), product.weight, product.bias)
        if before is not None:
            scores.scatter_add_(1, before.indices.clamp_min(0).long(), before.values.detach().to(scores.dtype))
        chosen = largest(scores, keep)
        indices = torch.where(chosen.active, chosen.indices, -1)
        pre = detect(product.x, product.weight, product.bias, indices, buffer=self.buffer(name, product.weight))
        pre = pre if before is None else pre + before.values_at(indices)
        return Slots(indices, pre, torch.where(indices >= 0, pre.relu(), 0.0), product, before)

    def _in_layers(self, x: Tensor, encoder: LISTA, keep: int) -> Slots:
        """lista: one dense product a layer, of what the layer before left over."""
        weights = encoder.weight.unbind()
        centred = encoder.centred(x)
        found: Slots | None = None
        for layer in range(encoder.depth):
            residual = centred
            if found is not None:
                assert encoder.atoms is not None
                atoms = encoder.atoms if self.learns_atoms else encoder.atoms.detach()
                residual = centred - decode(found.values, found.indices, atoms)
            bias = None if encoder.threshold is None else -encoder.threshold[layer]
            product = Product(residual, weights[0 if len(weights) == 1 else layer], bias)
            found = self._counted(product, keep, f"weight.{layer}", found)
        assert found is not None
        return found

    def _densely(self, x: Tensor) -> Slots:
        dense = self.encoder(x)
        codes = Codes.from_dense(dense.detach())
        values = dense.gather(1, codes.indices.long())
        indices = codes.indices.masked_fill(codes.values == 0, -1)
        return Slots(indices, values, values)

    @torch.no_grad()
    def _correlations(self, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        """x @ weight.T + bias into the buffer that every call reuses."""
        dtype = torch.bfloat16 if self.half and x.dtype == torch.float32 else x.dtype
        weight = weight.detach()
        if dtype != weight.dtype:
            self._detectors = weight.to(dtype) if self._detectors.shape != weight.shape else self._detectors.copy_(weight)
            weight = self._detectors
        if self._scores.shape != (len(x), len(weight)) or self._scores.dtype != dtype:
            self._scores = x.new_empty(len(x), len(weight), dtype=dtype)
        if bias is None:
            return torch.mm(x.to(dtype), weight.T, out=self._scores)
        return torch.addmm(bias.detach().to(dtype), x.to(dtype), weight.T, out=self._scores)

    def buffer(self, name: str, like: Tensor | None = None) -> Tensor:
        """As large as the atoms, or another matrix; every step may overwrite it."""
        if name not in self._buffers:
            self._buffers[name] = torch.empty_like(self.atoms if like is None else like, requires_grad=False)
        return self._buffers[name]
