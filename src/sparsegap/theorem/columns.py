"""One pass over Π, the value that each latent gets from each source alone: all that the closed forms need."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from sparsegap.dictionary import Dictionary
from sparsegap.errors import InputError
from sparsegap.theorem.affine_gate import LinearNonlinear

BLOCK_ENTRIES = 1 << 23


@dataclass(frozen=True, eq=False)
class Columns:
    """Of each latent l in `latents`, over the sources: Π_il = ⟨atom_i, weight_l⟩ of its own source and of the others (live atoms only).

    own: (b,). largest: (b, 2) and their sources (b, 2), the two largest of the others; smallest: (b,) and its source. positive: how many of
    the others are above 0; squares: Σ of their squares; sources: how many atoms are not zero. A source that there is not has the number −1.
    """

    latents: Tensor
    own: Tensor
    largest: Tensor
    largest_from: Tensor
    smallest: Tensor
    smallest_from: Tensor
    positive: Tensor
    squares: Tensor
    sources: int


def columns(reading: LinearNonlinear, dictionary: Dictionary, latents: Tensor | None = None) -> Columns:
    """The pass, for all latents that have an atom, or for those given: 2·b·m·d FLOPs, memory of one block of 8 million entries.

    Raises InputError where the encoder and the dictionary do not belong together, or a latent is none or has no atom.
    """
    m = reading.n_atoms
    if tuple(reading.weight.shape) != tuple(dictionary.atoms.shape):
        ours, theirs = tuple(reading.weight.shape), tuple(dictionary.atoms.shape)
        raise InputError(f"an encoder of shape {ours} does not belong to a dictionary of shape {theirs}")
    live = dictionary.norms > 0
    chosen = live.nonzero().flatten() if latents is None else torch.as_tensor(latents, dtype=torch.int64)
    if not len(chosen) or int(chosen.min()) < 0 or int(chosen.max()) >= m or not bool(live[chosen].all()):
        raise InputError(f"latents must be numbers from 0 to {m - 1} whose atoms are not zero, and at least one")
    parts = [_block(products, block, live) for block, products in _products(reading, dictionary, chosen)]
    merged = {name: torch.cat([part[name] for part in parts]) for name in parts[0]}
    return Columns(chosen, sources=int(live.sum()), **merged)


def _products(reading: LinearNonlinear, dictionary: Dictionary, latents: Tensor) -> Iterator[tuple[Tensor, Tensor]]:
    """Blocks (b,) of latents and Π (b, m), a row a latent."""
    atoms = dictionary.atoms.to(reading.weight)
    for block in latents.split(max(1, BLOCK_ENTRIES // dictionary.n_atoms)):
        yield block, reading.weight[block] @ atoms.T


def _block(products: Tensor, block: Tensor, live: Tensor) -> dict[str, Tensor]:
    place = torch.arange(len(block))
    own = products[place, block].clone()
    left_out = ~live
    others = products.masked_fill_(left_out, 0.0)
    others[place, block] = 0.0
    positive, squares = (others > 0).sum(1), others.square().sum(1, dtype=torch.float64)
    others[:, left_out] = -torch.inf
    others[place, block] = -torch.inf
    two = min(2, others.shape[1])
    largest, largest_from = others.topk(two, dim=1)
    others[others == -torch.inf] = torch.inf
    smallest, smallest_from = others.min(1)
    if two == 1:
        largest, largest_from = (torch.cat([each, each], 1) for each in (largest, largest_from))
    return {
        "own": own, "largest": largest, "largest_from": largest_from.masked_fill(largest.isinf(), -1), "smallest": smallest,
        "smallest_from": smallest_from.masked_fill(smallest.isinf(), -1), "positive": positive, "squares": squares,
    }
