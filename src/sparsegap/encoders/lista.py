"""The LISTA encoder."""

from __future__ import annotations

from typing import Any, Self

import torch
from torch import Tensor, nn

from sparsegap.codes import Codes
from sparsegap.dictionary import Dictionary
from sparsegap.encoder import Amortised, above, at, largest, largest_only, parameter
from sparsegap.errors import InputError
from sparsegap.solving.gradient import shrink


class LISTA(Amortised):
    """LISTA encoder, z ← shrink(z + (x − pre_bias − z @ atoms) @ weightₜ.T, thresholdₜ), `depth` times from z = 0: unrolled ISTA.

    weight: (depth, m, d), or (1, m, d) where the layers share it (tied). threshold: (depth, m), or None. atoms: (m, d), not needed at
    depth 1. The weights of z and of x are coupled, z·S with S = 1 − atoms @ weightₜ.T, as Chen et al. show that they must become; so
    no m x m matrix is ever formed: per sample 2·m·d FLOPs a layer, and from the second on 2·k·d for the residual of k active atoms
    (`sparse`; 2·m·d in the dense `forward`). nonnegative: shrink to codes ≥ 0, relu(u − threshold), else sign(u)·relu(|u| − threshold).
    analytic: the weights are those of least generalised coherence with the atoms, min Σᵢⱼ⟨wᵢ, aⱼ⟩² with ⟨wᵢ, aᵢ⟩ = 1, fixed, and only
    a step (depth) and a threshold (depth, 1) are learned: wᵢ = G⁺aᵢ/(aᵢᵀG⁺aᵢ), G = atoms.T @ atoms.
    Otherwise training begins at exactly `depth` iterations of ISTA on the Lasso with this `penalty`.
    keep: every layer keeps only the so many largest of what it shrinks, so no code has more: learned iterative hard thresholding, where
    no penalty shrinks amplitudes and a threshold may be negative (codes ≥ 0 only). None keeps all.
    Gregor & LeCun (2010), ICML; Chen, Liu, Wang & Yin (2018), arXiv:1808.10038; Liu, Chen, Wang & Yin (2019), ICLR (ALISTA);
    hard thresholding: Blumensath & Davies (2009), arXiv:0805.0510, learned: Xin, Wang, Gao & Wipf (2016), arXiv:1605.01636.
    """

    UNITS = ("threshold", "pre_bias")
    weight: Tensor
    atoms: Tensor | None

    def __init__(self, weight: Tensor, threshold: Tensor | None = None, atoms: Tensor | None = None, pre_bias: Tensor | None = None,
                 step: Tensor | None = None, *, depth: int, tied: bool = False, nonnegative: bool = True, analytic: bool = False,
                 keep: int | None = None) -> None:
        super().__init__()
        self.depth, self.tied, self.nonnegative, self.analytic = int(depth), bool(tied), bool(nonnegative), bool(analytic)
        held = 1 if tied or analytic else depth
        if depth < 1 or weight.ndim != 3 or len(weight) != held:
            raise InputError(f"a lista encoder of depth {depth} needs weight ({held}, m, d), not {tuple(weight.shape)}")
        if (atoms is None) != (depth == 1) or (step is None) == analytic:
            raise InputError("a lista encoder needs atoms from depth 2 on, and a step where it is analytic, and only there")
        _, m, d = weight.shape
        if keep is not None and not (nonnegative and 1 <= keep <= m):
            raise InputError(f"a lista encoder keeps between 1 and {m} atoms, and only of codes without signs, not {keep}")
        self.keep = keep
        self._hold("weight", weight, tuple(weight.shape))
        self._hold("atoms", atoms, (m, d))
        self.threshold = parameter("threshold", threshold, (depth, 1 if analytic else m))
        self.pre_bias = parameter("pre_bias", pre_bias, (d,))
        self.step = parameter("step", step, (depth,))

    @classmethod
    def from_dictionary(cls, dictionary: Dictionary, *, bias: bool = True, pre_bias: bool = True, seed: int = 0, depth: int = 3,
                        tied: bool = False, nonnegative: bool = True, analytic: bool = False, penalty: float = 0.1, keep: int | None = None,
                        **options: Any) -> Self:
        """The encoder to begin training from. bias: whether it has thresholds. Raises InputError for what makes no sparse codes."""
        if depth < 1:
            raise InputError(f"a lista encoder needs depth at least 1, not {depth}")
        if penalty < 0 or not (bias or nonnegative):
            raise InputError("a lista encoder needs a penalty of at least 0, and thresholds (bias) where its codes have signs")
        atoms = dictionary.atoms
        weight, step = _analytic(atoms) if analytic else (atoms, _ista_step(dictionary))
        held = weight[None] if analytic else (step * weight).expand(1 if tied else depth, -1, -1)
        threshold = atoms.new_full((depth, 1 if analytic else len(atoms)), step * penalty)
        return cls(held, threshold if bias else None, None if depth == 1 else atoms, dictionary.bias if pre_bias else None,
                   atoms.new_full((depth,), step) if analytic else None,
                   depth=depth, tied=tied, nonnegative=nonnegative, analytic=analytic, keep=keep, **options)

    @property
    def n_atoms(self) -> int:
        """m."""
        return self.weight.shape[1]

    @property
    def width(self) -> int:
        """d."""
        return self.weight.shape[2]

    def forward(self, x: Tensor) -> Tensor:
        """(n, d) to dense codes (n, m), differentiable."""
        centred = self.centred(x)
        z = self._shrunk(self._push(centred, 0), 0)
        for layer in range(1, self.depth):
            assert self.atoms is not None
            z = self._shrunk(z + self._push(centred - z @ self.atoms, layer), layer)
        return z

    @torch.no_grad()
    def sparse(self, x: Tensor) -> Codes:
        """(n, d) to codes, those of `forward` up to rounding, with residuals made from active atoms only."""
        centred = self.centred(x)
        codes = self._collected(self._push(centred, 0), 0)
        for layer in range(1, self.depth):
            scores = self._push(centred - self._synthesised(codes), layer)
            codes = self._collected(scores.scatter_add_(1, codes.indices.long(), codes.values.to(scores)), layer)
        return codes

    def _hold(self, name: str, tensor: Tensor | None, shape: tuple[int, ...]) -> None:
        """As a parameter, or where it is analytic as a number that does not learn."""
        held = parameter(name, tensor, shape)
        if self.analytic:
            self.register_buffer(name, None if held is None else held.data)
        else:
            self.register_parameter(name, held)

    def _push(self, residual: Tensor, layer: int) -> Tensor:
        """(n, d) to (n, m): what a residual adds before shrinking."""
        pushed = nn.functional.linear(residual, self.weight[0 if len(self.weight) == 1 else layer])
        return pushed if self.step is None else self.step[layer] * pushed

    def _threshold(self, layer: int) -> Tensor:
        return self.weight.new_zeros(1) if self.threshold is None else self.threshold[layer]

    def _shrunk(self, scores: Tensor, layer: int) -> Tensor:
        """What a layer makes of scores (n, m), differentiable."""
        shrunk = shrink(scores, self._threshold(layer), self.nonnegative)
        return shrunk if self.keep is None else largest_only(shrunk, self.keep)

    def _collected(self, scores: Tensor, layer: int) -> Codes:
        """Shrunk scores (n, m) as codes; the scores are overwritten."""
        threshold = self._threshold(layer)
        if self.keep is not None:
            return largest(scores.sub_(threshold), self.keep)
        strength = scores if self.nonnegative else scores.abs()
        indices = above(strength, threshold.expand(self.n_atoms))
        values = shrink(at(scores, indices), at(threshold.expand(self.n_atoms), indices), self.nonnegative)
        return Codes(indices.clamp_min(0), torch.where(indices >= 0, values, 0.0), self.n_atoms)

    def _synthesised(self, codes: Codes) -> Tensor:
        if codes.width == 0:
            return self.weight.new_zeros(len(codes), self.width)
        assert self.atoms is not None
        return nn.functional.embedding_bag(codes.indices, self.atoms, per_sample_weights=codes.values.to(self.atoms), mode="sum")


def _ista_step(dictionary: Dictionary) -> float:
    """1/L, as ISTA steps."""
    return 1 / (dictionary.lipschitz * (1 + 1e-6)) if dictionary.lipschitz > 0 else 1.0


def _analytic(atoms: Tensor) -> tuple[Tensor, float]:
    """Detectors (m, d) of least generalised coherence with the atoms, and a step at which the iteration is stable: d³ + 4·m·d² FLOPs."""
    exact = atoms.double()
    detectors = exact @ torch.linalg.pinv(exact.T @ exact, hermitian=True)
    alignment = (detectors * exact).sum(1)
    detectors = detectors / torch.where(alignment > 0, alignment, 1.0)[:, None]
    # z ↦ z @ (atoms @ detectors.T) has the eigenvalues of detectors.T @ atoms, (d, d), which are real and at least 0.
    largest = float(torch.linalg.eigvals(detectors.T @ exact).real.max())
    return detectors.to(atoms), 1 / largest if largest > 0 else 1.0
