"""Readout: the linear encoder nearest to given codes, from running sums: what a learned dictionary is published with, undistilled."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from sparsegap.codes import Codes
from sparsegap.dictionary import Dictionary
from sparsegap.encoders.topk import TopK
from sparsegap.learning.sparse_ops import gathered

RIDGE = 1e-4
RECENT = 1024


class Readout:
    """Running sums Σ z, Σ zᵀx (m, d), Σ x, Σ xᵀx (d, d), and n, which fall by a factor with every batch, and the last rows seen.

    x: centred by the dictionary's bias.
    """

    def __init__(self, n_atoms: int, width: int) -> None:
        self.codes, self.products = torch.zeros(n_atoms), torch.zeros(n_atoms, width)
        self.inputs, self.moments = torch.zeros(width), torch.zeros(width, width)
        self.samples, self.recent = torch.zeros(()), torch.zeros(0, width)

    def note(self, codes: Codes, centred: Tensor, keep: float) -> None:
        """Count a batch: 2·n·d·(k + d) FLOPs."""
        products, sums = gathered(codes.values, codes.indices, centred, codes.n_atoms)
        for total, part in ((self.codes, sums), (self.products, products), (self.inputs, centred.sum(0)),
                            (self.moments, centred.T @ centred), (self.samples, torch.tensor(float(len(centred))))):
            total.mul_(keep).add_(part)
        self.recent = centred[:RECENT].clone()

    def encoder(self, dictionary: Dictionary, k: int) -> TopK:
        """TopK of the least-squares prediction of the codes, W = cov(z, x)·cov(x)⁻¹: d³/3 + 2·m·d² FLOPs.

        A prediction is shrunk: one factor on all makes up for it, the one with which the recent rows are reconstructed best.
        The covariance is loaded by 1e-4 of its mean diagonal, for when there are fewer samples than widths.
        """
        n = self.samples.double().clamp_min(1)
        mean_x, mean_z = self.inputs.double() / n, self.codes.double() / n
        covariance = self.moments.double() / n - torch.outer(mean_x, mean_x)
        covariance += (RIDGE * covariance.diagonal().mean().clamp_min(1e-30)) * torch.eye(len(covariance), dtype=torch.float64)
        weight = torch.linalg.solve(covariance, (self.products.double() / n - torch.outer(mean_z, mean_x)).T).T
        bias = (mean_z - weight @ mean_x).float()
        shrunk = TopK(weight.float(), bias, k=k)
        made = dictionary.synthesise(shrunk.encode(self.recent))
        energy, aligned = float(made.square().sum()), float((made * self.recent).sum())
        gain = aligned / energy if energy > 0 and aligned > 0 else 1.0
        return TopK(gain * shrunk.weight.detach(), gain * bias, dictionary.bias, k=k)

    def state(self) -> dict[str, Tensor]:
        """By name."""
        names = ("codes", "products", "inputs", "moments", "samples", "recent")
        return {name: getattr(self, name) for name in names}

    def restore(self, tensors: Mapping[str, Tensor]) -> None:
        """Put back what `state` gave."""
        for name in self.state():
            setattr(self, name, tensors[name].clone())
