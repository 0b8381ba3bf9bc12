"""The MLP encoder."""

from __future__ import annotations

import math
from typing import Any, Self

import torch
from torch import Tensor, nn

from sparsegap.codes import Codes
from sparsegap.dictionary import Dictionary
from sparsegap.encoder import Amortised, above, at, largest, largest_only, parameter
from sparsegap.errors import InputError


class MLP(Amortised):
    """MLP encoder, z = relu(h @ weight.T + bias), with h the last of `depth` layers of `hidden` ReLU units over x − pre_bias.

    Its active values are not affine in x, so the amortisation gap of linear-nonlinear encoders is not forced on it.
    input_weight: (hidden, d). inner_weight: (depth − 1, hidden, hidden), None where depth is 1. weight: (m, hidden). Each has a bias, or
    None. Per sample 2·d·hidden + 2·(depth − 1)·hidden² + 2·hidden·m FLOPs; the output layer is one product.
    warm: training begins at the relu encoder of the dictionary, read through pairs of hidden units q·x and −q·x along random orthogonal
    directions (it exactly where hidden ≥ 2d, in a random subspace below; after Balduzzi et al. 2017, arXiv:1702.08591). Without it, at
    weights uniform within ±1/√inputs, as torch's layers and the paper's encoder begin.
    keep: only the so many largest of a sample's codes; None keeps all.
    O'Neill, Gumran & Klindt (2025), arXiv:2411.13117.
    """

    UNITS = ("input_bias", "inner_bias", "bias", "pre_bias")

    def __init__(self, input_weight: Tensor, weight: Tensor, inner_weight: Tensor | None = None, input_bias: Tensor | None = None,
                 inner_bias: Tensor | None = None, bias: Tensor | None = None, pre_bias: Tensor | None = None, *,
                 keep: int | None = None) -> None:
        super().__init__()
        if input_weight.ndim != 2 or weight.ndim != 2 or weight.shape[1] != input_weight.shape[0]:
            shapes = f"{tuple(input_weight.shape)} and {tuple(weight.shape)}"
            raise InputError(f"an mlp encoder needs input_weight (hidden, d) and weight (m, hidden), not {shapes}")
        (hidden, d), m, inner = input_weight.shape, weight.shape[0], 0 if inner_weight is None else len(inner_weight)
        self.input_weight = nn.Parameter(input_weight.detach().clone())
        self.weight = nn.Parameter(weight.detach().clone())
        self.inner_weight = parameter("inner_weight", inner_weight, (inner, hidden, hidden))
        self.input_bias = parameter("input_bias", input_bias, (hidden,))
        self.inner_bias = parameter("inner_bias", inner_bias, (inner, hidden))
        self.bias = parameter("bias", bias, (m,))
        self.pre_bias = parameter("pre_bias", pre_bias, (d,))
        if keep is not None and not 1 <= keep <= m:
            raise InputError(f"an mlp encoder keeps between 1 and {m} atoms, not {keep}")
        self.keep = keep

    @classmethod
    def from_dictionary(cls, dictionary: Dictionary, *, bias: bool = True, pre_bias: bool = True, seed: int = 0, hidden: int = 256,
                        depth: int = 1, warm: bool = True, keep: int | None = None, **options: Any) -> Self:
        """The encoder to begin training from. Raises InputError for fewer than 2 hidden units or no layer."""
        if hidden < 2 or depth < 1:
            raise InputError(f"an mlp needs hidden at least 2 and depth at least 1, not {hidden} and {depth}")
        generator = torch.Generator().manual_seed(seed)
        tensors = _warm(dictionary.atoms, hidden, depth, generator) if warm else _random(dictionary.atoms, hidden, depth, generator)
        kept = {name: tensor.to(dictionary.atoms) for name, tensor in tensors.items() if bias or not name.endswith("bias")}
        return cls(**kept, pre_bias=dictionary.bias if pre_bias else None, keep=keep, **options)

    @property
    def n_atoms(self) -> int:
        """m."""
        return self.weight.shape[0]

    @property
    def width(self) -> int:
        """d."""
        return self.input_weight.shape[1]

    @property
    def hidden(self) -> int:
        """Units of a hidden layer."""
        return self.weight.shape[1]

    @property
    def depth(self) -> int:
        """Hidden layers."""
        return 1 if self.inner_weight is None else 1 + len(self.inner_weight)

    def forward(self, x: Tensor) -> Tensor:
        """(n, d) to dense codes (n, m), differentiable."""
        scores = self._scores(x)
        return scores.relu() if self.keep is None else largest_only(scores, self.keep)

    def sparse(self, x: Tensor) -> Codes:
        """(n, d) to codes, equal to those of `forward`."""
        scores = self._scores(x)
        if self.keep is not None:
            return largest(scores, self.keep)
        indices = above(scores, scores.new_zeros(()))
        return Codes(indices.clamp_min(0), torch.where(indices >= 0, at(scores, indices), 0.0).detach(), self.n_atoms)

    def hidden_units(self, x: Tensor) -> Tensor:
        """(n, d) to the last hidden layer (n, hidden)."""
        linear = nn.functional.linear
        hidden = linear(self.centred(x), self.input_weight, self.input_bias).relu()
        for layer in range(self.depth - 1):
            assert self.inner_weight is not None
            hidden = linear(hidden, self.inner_weight[layer], None if self.inner_bias is None else self.inner_bias[layer]).relu()
        return hidden

    def _scores(self, x: Tensor) -> Tensor:
        return nn.functional.linear(self.hidden_units(x), self.weight, self.bias)


def _warm(atoms: Tensor, hidden: int, depth: int, generator: torch.Generator) -> dict[str, Tensor]:
    """Weights with which the network is relu(x @ atoms.T), and zero biases."""
    (m, d), pairs = atoms.shape, hidden // 2
    directions = torch.linalg.qr(torch.randn(max(pairs, d), min(pairs, d), generator=generator, dtype=torch.float64)).Q
    directions = directions if pairs >= d else directions.T  # (pairs, d), orthonormal along the shorter side
    spare = torch.randn(hidden - 2 * pairs, d, generator=generator, dtype=torch.float64) / math.sqrt(d)
    through = atoms.cpu().double() @ directions.T
    tensors = {
        "input_weight": torch.cat([directions, -directions, spare]),
        "weight": torch.cat([through, -through, through.new_zeros(m, len(spare))], 1),
        "input_bias": torch.zeros(hidden), "bias": torch.zeros(m),
    }
    deep = {"inner_weight": torch.eye(hidden).repeat(depth - 1, 1, 1), "inner_bias": torch.zeros(depth - 1, hidden)}
    return tensors | (deep if depth > 1 else {})


def _random(atoms: Tensor, hidden: int, depth: int, generator: torch.Generator) -> dict[str, Tensor]:
    """Weights and biases uniform within ±1/√inputs."""
    m, d = atoms.shape

    def uniform(inputs: int, *shape: int) -> Tensor:
        return (2 * torch.rand(*shape, generator=generator, dtype=torch.float64) - 1) / math.sqrt(inputs)

    tensors = {
        "input_weight": uniform(d, hidden, d), "input_bias": uniform(d, hidden),
        "weight": uniform(hidden, m, hidden), "bias": uniform(hidden, m),
    }
    deep = {"inner_weight": uniform(hidden, depth - 1, hidden, hidden), "inner_bias": uniform(hidden, depth - 1, hidden)}
    return tensors | (deep if depth > 1 else {})
