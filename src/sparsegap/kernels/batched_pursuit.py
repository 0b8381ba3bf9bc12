"""The algebra of `support` and `pursuit` for many samples at once, in torch operations that every device has.

All samples step together; those that have finished are masked. A sample's free slots have zero rows and columns in H and zero
coefficients, so that an atom is dropped without moving any other, and products need no mask.
"""

from __future__ import annotations

import torch
from torch import Tensor

DUPLICATE = 1e-5  # as in `support`
REFINEMENTS = 2
STATE = ("x", "residual", "ids", "used", "c", "H", "atoms")


class BatchedSupports:
    """Supports of n samples of at most K atoms with their least squares.

    ids, used, c: (n, K). H: (n, K, K) float64 inverse Gram matrices. atoms: (n, K, d), the atoms of the supports. residual: (n, d).
    """

    def __init__(self, x: Tensor, dictionary: Tensor, width: int, nonnegative: bool) -> None:
        n, d = x.shape
        self.x, self.dictionary, self.nonnegative = x, dictionary, nonnegative
        self.ids = torch.zeros(n, width, dtype=torch.int64, device=x.device)
        self.used = torch.zeros(n, width, dtype=torch.bool, device=x.device)
        self.c = torch.zeros(n, width, dtype=torch.float64, device=x.device)
        self.H = torch.zeros(n, width, width, dtype=torch.float64, device=x.device)
        self.atoms = torch.zeros(n, width, d, dtype=x.dtype, device=x.device)
        self.residual = x.clone()

    def rows(self, rows: Tensor) -> BatchedSupports:
        """The supports of some of the samples, as copies."""
        part = BatchedSupports.__new__(BatchedSupports)
        part.dictionary, part.nonnegative = self.dictionary, self.nonnegative
        for name in STATE:
            setattr(part, name, getattr(self, name)[rows])
        return part

    def put(self, rows: Tensor, part: BatchedSupports) -> None:
        """Write back what `rows` gave."""
        for name in STATE:
            getattr(self, name)[rows] = getattr(part, name)

    @property
    def size(self) -> Tensor:
        """(n,) atoms of each support."""
        return self.used.sum(1)

    def update_residual(self) -> None:
        """residual = x − c·atoms."""
        self.residual = self.x - torch.bmm(self.c.to(self.x.dtype)[:, None], self.atoms)[:, 0]

    def join(self, chosen: Tensor, gain: Tensor, wanted: Tensor, refit: bool = True) -> Tensor:
        """Add atom chosen[i], of correlation gain[i] with the residual, where wanted; (n,) whether it was: an atom in the span is not.

        With refit=False the coefficients are left: gain is then the coefficient that the new atom gets.
        """
        atom = self.dictionary[chosen]
        q = torch.bmm(self.atoms, atom[:, :, None])[:, :, 0].double() * self.used
        norm2 = atom.double().square().sum(1)
        u = torch.bmm(self.H, q[:, :, None])[:, :, 0]
        outside = norm2 - (q * u).sum(1)
        added = wanted & (outside > DUPLICATE * norm2) & (norm2 > 0) & ~self.used.all(1)
        outside = torch.where(added, outside, torch.ones_like(outside))
        slot = (~self.used).to(torch.int8).argmax(1, keepdim=True)
        v = u.scatter(1, slot, -1.0) * added[:, None]
        self.H += v[:, :, None] * (v / outside[:, None])[:, None, :]
        rows = added.nonzero()[:, 0]
        at = slot[rows, 0]
        self.ids[rows, at], self.atoms[rows, at], self.used[rows, at] = chosen[rows], atom[rows], True
        if refit:
            self.settle(self.c - v * (gain / outside)[:, None])
        else:
            self.c[rows, at] = gain[rows].double()
        return added

    def settle(self, target: Tensor) -> None:
        """Go to the least squares `target`, or to the non-negative least squares by the inner loop of Lawson & Hanson."""
        while self.nonnegative:
            reach = torch.where(self.c > 0, self.c / (self.c - target).clamp_min(1e-300), torch.zeros_like(self.c))
            reach = reach.masked_fill(~(self.used & (target <= 0)), torch.inf)
            step, first = reach.min(1)
            blocked = step.isfinite()
            if not bool(blocked.any()):
                break
            self.c = torch.where(blocked[:, None], self.c + step.clamp(max=1.0)[:, None] * (target - self.c), self.c)
            target = self.drop(first, blocked, target)
        self.c = torch.where(self.used, target, torch.zeros_like(target))

    def drop(self, slot: Tensor, wanted: Tensor, target: Tensor) -> Tensor:
        """Take the atom at slot[i] out where wanted; returns the least squares without it."""
        at = slot[:, None]
        h = torch.gather(self.H, 1, at[:, :, None].expand(-1, -1, self.H.shape[2]))[:, 0]
        pivot = torch.where(wanted, h.gather(1, at)[:, 0], torch.ones_like(target[:, 0]))
        h = h * wanted[:, None]
        target = target - h * (target.gather(1, at)[:, 0] / pivot)[:, None]
        self.H -= h[:, :, None] * (h / pivot[:, None])[:, None, :]
        rows = wanted.nonzero()[:, 0]
        gone = slot[rows]
        self.H[rows, gone, :], self.H[rows, :, gone] = 0.0, 0.0
        self.used[rows, gone], self.c[rows, gone], self.atoms[rows, gone], target[rows, gone] = False, 0.0, 0.0, 0.0
        return target

    def least_squares(self) -> Tensor:
        """(n, K) unconstrained least squares on the supports."""
        b = torch.bmm(self.atoms, self.x[:, :, None])[:, :, 0].double()
        return torch.bmm(self.H, b[:, :, None])[:, :, 0]

    def pursue(self, candidates: Tensor, cutoff: Tensor, mean: Tensor, budget: Tensor, floor: Tensor, limit: int) -> tuple[Tensor, Tensor]:
        """Pursue inside candidates (n, C), −1 for none, while their lists can be trusted: (n,) steps taken, (n,) whether finished.

        limit: steps at most. The rule is that of the kernel for one sample: the cutoff of a list moves with the mean of all scores.
        """
        rows = self.dictionary[candidates.clamp_min(0)]
        banned = candidates < 0
        spread = cutoff - (self.residual @ mean).abs()
        steps = torch.zeros_like(budget)
        finished, going = self.size >= budget, self.size < budget
        while bool(going.any()):
            free = ~banned & ~(candidates[:, :, None] == self.ids.masked_fill(~self.used, -1)[:, None, :]).any(2)
            scores = torch.bmm(rows, self.residual[:, :, None])[:, :, 0]
            strength = (scores if self.nonnegative else scores.abs()).masked_fill(~free, -torch.inf)
            best, place = strength.max(1)
            nothing = going & (best <= floor)
            finished |= nothing & (steps == 0)
            doubtful = (steps > 0) & (best < (self.residual @ mean).abs() + spread)
            going &= ~nothing & ~doubtful
            before = self.size
            at = place[:, None]
            added = self.join(candidates.gather(1, at)[:, 0].clamp_min(0), scores.gather(1, at)[:, 0].double() * going, going)
            banned |= torch.zeros_like(banned).scatter(1, at, (going & ~added)[:, None])
            banned &= ~(added & (self.size <= before))[:, None] | (candidates < 0)
            steps += added
            self.update_residual()
            finished |= going & (self.size >= budget)
            going &= (self.size < budget) & (steps < limit)
        return steps, finished

    def prune(self, budget: Tensor) -> None:
        """Leave out the atom that costs least, c²/H_ii, and refit, until each sample keeps its budget."""
        while bool((surplus := self.size > budget).any()):
            price = self.c.square() / self.H.diagonal(dim1=1, dim2=2).clamp_min(1e-300)
            cheapest = price.masked_fill(~self.used, torch.inf).argmin(1)
            self.settle(self.drop(cheapest, surplus, self.c.clone()))
        self.update_residual()

    def polish(self) -> None:
        """Iterative refinement of the coefficients from the residual itself."""
        for _ in range(REFINEMENTS):
            self.update_residual()
            g = torch.bmm(self.atoms, self.residual[:, :, None])[:, :, 0].double()
            self.c = (self.c + torch.bmm(self.H, g[:, :, None])[:, :, 0]) * self.used
            if self.nonnegative:
                self.c = self.c.clamp_min(0.0)


def best_candidates(scores: Tensor, count: int, nonnegative: bool) -> tuple[Tensor, Tensor]:
    """The `count` best atoms of each row of scores (n, m): candidates (n, count), −1 where a score is not positive, and the cutoff (n,)."""
    strength = scores if nonnegative else scores.abs()
    top, candidates = strength.topk(min(count, scores.shape[1]), dim=1)
    cutoff = top[:, -1].clamp_min(0)
    return torch.where(top > 0, candidates, torch.full_like(candidates, -1)), cutoff
