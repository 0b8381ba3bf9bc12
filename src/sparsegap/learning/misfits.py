"""Atoms that a dictionary learner should begin again: idle ones, near copies, and those that stand between several true ones."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor
from torch.nn.functional import normalize

from sparsegap.codes import Codes
from sparsegap.screen import multiplies_bf16

ALIKE = 0.9
MISPLACED_RATIO = 2.0
MOST = 0.05
NOVEL = 0.5
BLOCK = 2048


class Usage:
    """How each atom has been used of late: times, squared values, and the share of its samples' energy that stayed unexplained.

    All (m,) float32, falling by `keep` with every batch. An atom between two true ones, or one that models noise, is found by the last:
    its samples keep more of their energy unexplained than others' do.
    """

    def __init__(self, n_atoms: int) -> None:
        self.times, self.energy, self.missed, self.explained = torch.zeros(4, n_atoms).unbind()

    def note(self, codes: Codes, missed: Tensor, total: Tensor, keep: float) -> None:
        """Count a batch. missed, total: (n,) squared norms of the residuals, before the atoms moved for them, and of the samples."""
        m, active, slots = codes.n_atoms, codes.active, codes.indices.long()
        total = total.clamp_min(torch.finfo(total.dtype).tiny)
        square = codes.values.square()
        share = (missed / total)[:, None].expand_as(square)
        at = slots[active]
        for sums, what in ((self.times, torch.ones_like(square)), (self.energy, square), (self.missed, share),
                           (self.explained, square / total[:, None])):
            sums.mul_(keep).add_(torch.bincount(at, weights=what[active], minlength=m).to(sums))

    def forget(self, atoms: Tensor) -> None:
        """What is known of atoms that begin again: they count as used as often as others, and as fitting."""
        for sums in (self.energy, self.missed, self.explained):
            sums[atoms] = 0
        self.times[atoms] = self.times.mean()

    def state(self) -> dict[str, Tensor]:
        """By name."""
        return {"times": self.times, "energy": self.energy, "missed": self.missed, "explained": self.explained}

    def restore(self, tensors: Mapping[str, Tensor]) -> None:
        """Put back what `state` gave."""
        for name in self.state():
            setattr(self, name, tensors[name].clone())


def misfits(atoms: Tensor, usage: Usage, *, copies: bool, misplaced: bool) -> Tensor:
    """Which atoms to begin again, ascending: idle ones, with `copies` the less used of two alike, with `misplaced` those in between.

    atoms: (m, d) at norm 1. Two are alike at a cosine above .9. An atom is misplaced where its samples keep twice the usual share of
    their energy unexplained, and more than it explains of them; at most 5 % of the atoms at once. 2·m²·d FLOPs for the copies.
    """
    bad = usage.times < 0.5
    bad = bad | _copies(atoms, usage.energy) if copies else bad
    if misplaced and bool((~bad).any()):
        missed = usage.missed / usage.times.clamp_min(0.5)
        suspect = (missed > MISPLACED_RATIO * missed[~bad].median()) & (usage.missed > usage.explained) & ~bad
        worst = missed.masked_fill(~suspect, -1.0).topk(max(1, int(MOST * len(atoms)))).indices
        bad[worst[suspect[worst]]] = True
    return bad.nonzero().flatten()


def _copies(atoms: Tensor, energy: Tensor) -> Tensor:
    """(m,) which atoms are much like one that is used more."""
    found = torch.zeros(len(atoms), dtype=torch.bool)
    numbers = torch.arange(len(atoms))
    atoms = atoms.bfloat16() if multiplies_bf16(atoms.device) else atoms
    for begin in range(0, len(atoms), BLOCK):
        rows = slice(begin, begin + BLOCK)
        alike = atoms[rows] @ atoms.T > ALIKE
        less = (energy[rows, None] < energy) | ((energy[rows, None] == energy) & (numbers[rows, None] > numbers))
        found[rows] = (alike & less).any(1)
    return found


def missing_directions(residual: Tensor, count: int) -> Tensor:
    """Up to `count` directions (c, d) at norm 1 that the worst explained samples lack, unlike each other where that is possible.

    residual: (n, d) = x − x̂.
    """
    energy = residual.square().sum(1)
    worst = energy.argsort(descending=True)[: 4 * count + 16]
    directions = normalize(residual[worst[energy[worst] > 0]])
    cosines = directions @ directions.T
    chosen: list[int] = []
    closest = torch.zeros(len(directions))
    for i in range(len(directions)):
        if len(chosen) == count:
            break
        if float(closest[i]) < NOVEL:
            chosen.append(i)
            closest = torch.maximum(closest, cosines[i])
    taken = set(chosen)
    chosen += [i for i in range(len(directions)) if i not in taken][: count - len(chosen)]
    return directions[chosen]
