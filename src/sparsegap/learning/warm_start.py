"""Where training begins when an encoder for the atoms is already known: at that encoder's codes, or better ones."""

from __future__ import annotations

import torch
from torch import Tensor

from sparsegap.affine import Affine
from sparsegap.dictionary import Dictionary
from sparsegap.encoder import Amortised, largest
from sparsegap.encoders.lista import LISTA
from sparsegap.encoders.mlp import MLP
from sparsegap.errors import InputError
from sparsegap.learning.autoencoder import Autoencoder
from sparsegap.learning.sparse_ops import decode

GAINS = (0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 1.0)


@torch.no_grad()
def begin_as(encoder: Amortised, start: Amortised) -> None:
    """Set an encoder's parameters so that its pre-activations are those of `start`: an encoder of its own kind and shape, or an affine one
    whose offsets are one bias (topk, batch_topk, relu, jumprelu).

    Such a start gives its weight and bias to an affine encoder with a bias, to the first layer of a lista (the others are for
    `settle_layers`), and to an mlp of hidden ≥ 2·d units, which pass x on. How many atoms a sample uses stays the encoder's own.
    Raises InputError where the two do not fit.
    """
    if (encoder.n_atoms, encoder.width) != (start.n_atoms, start.width):
        raise InputError(f"the start is an encoder of {start.n_atoms} atoms and width {start.width}, "
                         f"but {encoder.n_atoms} and {encoder.width} are needed")
    mine, theirs = encoder.state_dict(), start.state_dict()
    if type(encoder) is type(start) and {n: t.shape for n, t in mine.items()} == {n: t.shape for n, t in theirs.items()}:
        wanted = dict(theirs)
    elif not isinstance(start, Affine) or start.BIASES != ("bias",):
        raise InputError(f"a {_name(encoder)} encoder cannot begin as this {_name(start)} encoder: only as one of its own kind and shape, "
                         "or as topk, batch_topk, relu or jumprelu")
    else:
        weight, bias, centre = _product(encoder, start)
        wanted = _placed(encoder, weight, bias) | ({} if encoder.pre_bias is None else {"pre_bias": centre})
    for name, tensor in wanted.items():
        mine[name].copy_(tensor)


@torch.no_grad()
def settle_layers(model: Autoencoder, x: Tensor) -> None:
    """Begin the layers of a lista after its first: their detectors are a gain times the first layer's, or the atoms, whichever leaves
    least of x (n, d) unexplained, tried layer by layer. A gain of 0, which changes nothing, is among those tried.
    """
    encoder = model.encoder
    if not isinstance(encoder, LISTA) or encoder.keep is None or encoder.atoms is None or encoder.analytic:
        return
    centred, wanted = encoder.centred(x), x - model.centre
    first = encoder.weight[0].clone()
    bias = None if encoder.threshold is None else -encoder.threshold[0]
    codes = largest(torch.nn.functional.linear(centred, first, bias), encoder.keep)
    for layer in range(1, encoder.depth):
        residual = centred - decode(codes.values, codes.indices, encoder.atoms)
        best = (float("inf"), codes, first)
        for detectors in (first, encoder.atoms):
            scores = residual @ detectors.T
            for gain in GAINS:
                pushed = (gain * scores).scatter_add_(1, codes.indices.long(), codes.values)
                found = largest(pushed, encoder.keep)
                left = float((wanted - decode(found.values, found.indices, model.atoms)).square().sum())
                if left < best[0]:
                    best = left, found, gain * detectors
        codes = best[1]
        encoder.weight[layer] = best[2]
        if encoder.threshold is not None:
            encoder.threshold[layer] = 0.0


def _product(encoder: Amortised, start: Affine) -> tuple[Tensor, Tensor, Tensor]:
    """Weight, bias and pre_bias of the start, for an encoder that may have no pre_bias."""
    weight = start.weight.detach()
    bias = weight.new_zeros(len(weight)) if start.bias is None else start.bias.detach()
    centre = weight.new_zeros(start.width) if start.pre_bias is None else start.pre_bias.detach()
    return weight, bias - weight @ centre if encoder.pre_bias is None else bias, centre


def _placed(encoder: Amortised, weight: Tensor, bias: Tensor) -> dict[str, Tensor]:
    """The tensors of an encoder that make x @ weight.T + bias its pre-activations. Raises InputError where it has no place for them."""
    held = encoder.state_dict()
    if isinstance(encoder, LISTA) and "threshold" in held and not encoder.analytic and len(encoder.weight) == encoder.depth:
        return {"weight": torch.cat([weight[None], held["weight"][1:]]), "threshold": torch.cat([-bias[None], held["threshold"][1:]])}
    if isinstance(encoder, MLP) and "bias" in held and encoder.hidden >= 2 * encoder.width:
        made = MLP.from_dictionary(Dictionary(weight), hidden=encoder.hidden, depth=encoder.depth).state_dict()
        return {name: made[name] for name in held if name != "pre_bias"} | {"bias": bias}
    if isinstance(encoder, Affine) and "bias" in held:
        return {"weight": weight, "bias": bias}
    raise InputError(f"this {_name(encoder)} encoder cannot begin as an affine one: it needs biases, an mlp hidden at least twice the "
                     f"width ({2 * encoder.width}), and a lista weights of its own for every layer")


def _name(encoder: Amortised) -> str:
    return type(encoder).__name__.lower()
