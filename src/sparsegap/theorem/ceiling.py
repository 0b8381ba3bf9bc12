"""How close the best linear-nonlinear encoder can get: each latent's relu(⟨w, x⟩ + b) fitted to its own source, all of them at once.

The theorem says that no such encoder is exact; this finds how near to exact the best one comes, by optimising every latent for itself with
its source given, which no training of an autoencoder can exceed but for luck among local optima. Seeds x latents x restarts are one batch.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from sparsegap.errors import InputError

Objective = Literal["error", "correlation"]
NEWTON_WIDTH = 96  # above, the curvature of the active samples would cost more than it saves
LEAST_GAIN = 1e-6
EXACT = 1e-9  # of a source's power: nothing left to gain
PATIENCE = 8


@dataclass(frozen=True, eq=False)
class Ceiling:
    """The best encoder found: weight (s, m, d), bias (s, m), constant (s, m), each for s seeds, and what it leaves.

    loss: (s, m) mean squared error of a latent on the samples it was fitted to. agreement: (s, m) share of the restarts that ended within
    1 % of the best one's loss: near 1, the optimum is hardly local. iterations: of the fit.
    """

    weight: Tensor
    bias: Tensor
    constant: Tensor
    loss: Tensor
    agreement: Tensor
    iterations: int

    def codes(self, x: Tensor) -> Tensor:
        """(s, n, d) to relu(x @ weight.T + bias) (s, n, m)."""
        return torch.baddbmm(self.bias[:, None, :], x.to(self.weight), self.weight.mT).relu()


def best_linear_nonlinear(x: Tensor, sources: Tensor, *, bias: bool = True, objective: Objective = "error", restarts: int = 8,
                          iterations: int = 300, generator: torch.Generator | None = None) -> Ceiling:
    """Fit relu(⟨w, x⟩ + b) to each source for itself. x: (s, n, d), sources: (s, n, m), for s seeds.

    objective: "error", the least mean squared error E(relu(·) − z)²; "correlation", the largest Pearson correlation of relu(·) with z,
    which is the least error of relu(·) + constant. restarts: the linear prediction of the source, and so many less one perturbed.
    generator: of those. Each step is Gauss-Newton on the samples where the latent is active (above 96 dimensions, on all samples, which
    majorises), with a step that halves until the error falls. Per step 2·s·n·m·restarts·d·(2 + d/2) FLOPs, s·n·m·restarts·16 bytes. Raises
    InputError for shapes that do not fit, or fewer samples than parameters.
    """
    if x.ndim != 3 or sources.ndim != 3 or x.shape[:2] != sources.shape[:2]:
        raise InputError(f"x (s, n, d) and sources (s, n, m) must be of the same samples, not {tuple(x.shape)} and {tuple(sources.shape)}")
    if x.shape[1] <= x.shape[2] + 1 or restarts < 1:
        raise InputError(f"fitting {x.shape[2] + 1} numbers needs more samples than {x.shape[1]} and at least 1 restart, not {restarts}")
    problem = _Fit(x, sources, bias, objective == "correlation", restarts)
    return problem.solve(iterations, generator or torch.Generator().manual_seed(0))


class _Fit:
    """q = m·restarts problems for each of s seeds, over features [x, 1 with a bias] and a constant where the objective has one."""

    def __init__(self, x: Tensor, sources: Tensor, bias: bool, constant: bool, restarts: int) -> None:
        self.bias, self.constant, self.restarts = bias, constant, restarts
        self.d, self.m = x.shape[2], sources.shape[2]
        self.features = torch.cat([x, torch.ones_like(x[..., :1])], 2) if bias else x
        self.sources = sources
        self.targets = sources.repeat_interleave(restarts, 2)
        s, n, p = self.features.shape
        self.n, self.p = n, p
        self.ones = x.new_ones(s, 1, n)
        self.second = self._augmented((self.features.mT @ self.features / n)[:, None], self.features.mean(1)[:, None])[:, 0]
        self.newton = p <= NEWTON_WIDTH
        if self.newton:
            rows, columns = torch.triu_indices(p, p)
            self.products = self.features[..., rows] * self.features[..., columns]
            self.place = (rows, columns)

    def solve(self, iterations: int, generator: torch.Generator) -> Ceiling:
        """Step until no latent's best restart gains any more."""
        theta = self._start(generator)
        loss, move = self._evaluate(theta)
        length = torch.ones_like(loss)
        longest, best, stale, done = 1.0 if self.newton else 8.0, self._best(loss)[0], 0, 0
        floor = EXACT * self.sources.square().mean(1)
        while done < iterations and stale < PATIENCE:
            done += 1
            trial = theta + length[..., None] * move
            trial_loss, trial_move = self._evaluate(trial)
            better = trial_loss < loss
            theta = torch.where(better[..., None], trial, theta)
            move = torch.where(better[..., None], trial_move, move)
            loss = torch.where(better, trial_loss, loss)
            length = torch.where(better, (2 * length).clamp_max(longest), length / 2)
            now = self._best(loss)[0]
            stale = stale + 1 if bool(((now >= best * (1 - LEAST_GAIN)) | (now <= floor)).all()) else 0
            best = torch.minimum(best, now)
        return self._result(theta, loss, done)

    def _evaluate(self, theta: Tensor) -> tuple[Tensor, Tensor]:
        """Mean squared error (s, q) and the step (s, q, p + constant) from there."""
        value = self.features @ theta[..., : self.p].mT
        on = (value > 0).to(value.dtype)
        error = value.relu_().sub_(self.targets)
        if self.constant:
            error += theta[:, None, :, self.p]
        loss = error.square().mean(1)
        level = error.mean(1)[..., None] if self.constant else None
        gradient = (error.mul_(on)).mT @ self.features / self.n
        gradient = gradient if level is None else torch.cat([gradient, level], 2)
        return loss, -self._solved(on, gradient)

    def _solved(self, on: Tensor, gradient: Tensor) -> Tensor:
        """Curvature⁻¹ gradient."""
        if not self.newton:
            step: Tensor = torch.linalg.solve(_ridged(self.second), gradient.double().mT).mT
            return step.to(gradient)
        packed = on.mT @ self.products / self.n
        rows, columns = self.place
        curvature = packed.new_zeros(*packed.shape[:2], self.p, self.p)
        curvature[..., rows, columns] = packed
        curvature[..., columns, rows] = packed
        full = self._augmented(curvature, on.mT @ self.features / self.n if self.constant else None)
        step = torch.linalg.solve(_ridged(full), gradient.double()[..., None])[..., 0]
        return step.to(gradient)

    def _augmented(self, curvature: Tensor, means: Tensor | None) -> Tensor:
        """Curvature (..., p, p) with the row and column of the constant, where there is one."""
        if not self.constant or means is None:
            return curvature
        corner = curvature.new_ones(*curvature.shape[:-2], 1, 1)
        top = torch.cat([curvature, means[..., None]], -1)
        return torch.cat([top, torch.cat([means[..., None, :], corner], -1)], -2)

    def _start(self, generator: torch.Generator) -> Tensor:
        """The linear prediction of each source, then perturbed ones that fire less often: (s, q, p + constant)."""
        s, q = self.features.shape[0], self.m * self.restarts
        moment = (self.features.mT @ self.features / self.n).double()
        linear = torch.linalg.solve(_ridged(moment), (self.features.mT @ self.sources / self.n).double()).mT
        root = torch.linalg.cholesky(_ridged(moment))
        length = (linear @ root).norm(dim=2, keepdim=True)
        noise = torch.randn(s, self.m, self.restarts, self.p, generator=generator, dtype=torch.float64)
        noise = torch.linalg.solve_triangular(root.mT, noise.flatten(1, 2).mT, upper=True).mT.unflatten(1, (self.m, -1))
        amount = torch.linspace(0, 1, self.restarts, dtype=torch.float64)[:, None] / self.p**0.5
        theta = linear[:, :, None, :] + 2 * amount * length[..., None] * noise
        if self.bias:
            theta[..., -1] -= amount[:, 0] * self.p**0.5 * length
        theta = theta.reshape(s, q, self.p).to(self.features)
        return torch.cat([theta, theta.new_zeros(s, q, 1)], 2) if self.constant else theta

    def _best(self, loss: Tensor) -> tuple[Tensor, Tensor]:
        """(s, m) least loss of the restarts and which it is."""
        found = loss.unflatten(1, (self.m, self.restarts)).min(2)
        return found.values, found.indices

    def _result(self, theta: Tensor, loss: Tensor, done: int) -> Ceiling:
        least, chosen = self._best(loss)
        each = theta.unflatten(1, (self.m, self.restarts))
        best = each.gather(2, chosen[..., None, None].expand(-1, -1, 1, each.shape[-1]))[:, :, 0]
        near = (loss.unflatten(1, (self.m, self.restarts)) <= 1.01 * least[..., None] + 1e-12).double().mean(2)
        zero = torch.zeros_like(least)
        return Ceiling(best[..., : self.d], best[..., self.d] if self.bias else zero, best[..., self.p] if self.constant else zero,
                       least, near, done)


def _ridged(curvature: Tensor) -> Tensor:
    """In float64, with a thousandth of a thousandth of its mean diagonal added, so that a latent that never fires has a step of 0."""
    exact = curvature.double()
    p = exact.shape[-1]
    diagonal = exact.diagonal(dim1=-2, dim2=-1).mean(-1)[..., None, None]
    return exact + (1e-6 * diagonal + 1e-12) * torch.eye(p, dtype=torch.float64)
