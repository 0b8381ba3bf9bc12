"""The four methods of arXiv:2411.13117 as it trains them, all seeds in one tensor program: the first axis, of x (seeds, n, d) too.

Atoms and codes are unknown. Loss: mean over samples and width of (x − x̂)², plus l1 times the mean over samples and atoms of |z|.
Full batches, Adam at a constant rate, no biases, atoms put back to norm 1 before each forward pass. Sparse coding, and the inference-time
optimisation (ITO) of test codes, write codes as exp(u) and begin at u = −10. They are as published, for their figures to be comparable;
`sparsegap` does most of this otherwise. Written from the description of the methods; no code of the authors is used.
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import normalize

L1, RATE, COLD = 0.01, 1e-3, -10.0
TEST_RATE, TEST_STEPS = 3e-3, 10_000
ADAM = 12  # operations a parameter and step


@dataclass(frozen=True)
class Trained:
    """atoms (seeds, m, d) at norm 1; codes of the test samples (seeds, n, m); operations of one seed, and seconds of all of them."""

    atoms: Tensor
    codes: Tensor
    flops: float
    seconds: float


def loss(codes: Tensor, atoms: Tensor, x: Tensor) -> Tensor:
    """Summed over seeds, whose gradients do not meet."""
    return (codes @ atoms - x).square().mean((1, 2)).sum() + L1 * codes.abs().mean((1, 2)).sum()


def minimise(parameters: Sequence[Tensor], value: Callable[[], Tensor], steps: int, rate: float) -> None:
    """Adam with its defaults; parameters move in place."""
    optimiser = torch.optim.Adam(parameters, lr=rate, fused=True)
    for _ in range(steps):
        optimiser.zero_grad()
        value().backward()
        optimiser.step()


@torch.no_grad()
def to_unit(atoms: Tensor) -> None:
    """As the authors do: in place, unseen by the gradient and by Adam's moments."""
    atoms.copy_(normalize(atoms, dim=2))


def optimised_codes(x: Tensor, atoms: Tensor) -> Tensor:
    """ITO: codes exp(u) for atoms that stay, by Adam on u from −10. (seeds, n, m)."""
    u = torch.full((*x.shape[:2], atoms.shape[1]), COLD, requires_grad=True)
    minimise([u], lambda: loss(u.exp(), atoms, x), TEST_STEPS, TEST_RATE)
    return u.exp().detach()


def autoencoder(x: Tensor, test: Tensor, m: int, hidden: int, seeds: Sequence[int], steps: int) -> Trained:
    """SAE (hidden 0): z = relu(xW). MLP: z = relu(relu(xV)W). 10·m·d operations a sample and step, or 4·h·d + 6·h·m + 6·m·d."""
    began, (_, n, d) = time.perf_counter(), x.shape
    widths = [d, *([hidden] if hidden else []), m, d]
    *layers, atoms = _linear(widths, seeds)

    def encode(x: Tensor) -> Tensor:
        for layer in layers:
            x = (x @ layer).relu()
        return x

    def value() -> Tensor:
        to_unit(atoms)
        return loss(encode(x), atoms, x)

    minimise([*layers, atoms], value, steps, RATE)
    to_unit(atoms)
    with torch.no_grad():
        codes = encode(test)
    a_sample = 10 * m * d if not hidden else 4 * hidden * d + 6 * hidden * m + 6 * m * d
    a_step = ADAM * sum(p[0].numel() for p in [*layers, atoms]) + 3 * m * d
    flops = steps * (n * a_sample + a_step) + test.shape[1] * 2 * sum(layer[0].numel() for layer in layers)
    return Trained(atoms.detach(), codes, flops, time.perf_counter() - began)


def with_test_optimisation(trained: Trained, test: Tensor) -> Trained:
    """The same atoms, ITO's codes: SAE+ITO."""
    began = time.perf_counter()
    codes = optimised_codes(test, trained.atoms)
    return Trained(trained.atoms, codes, trained.flops + ito_flops(test.shape[1], *trained.atoms.shape[1:]),
                   trained.seconds + time.perf_counter() - began)


def sparse_coding(x: Tensor, test: Tensor, m: int, seeds: Sequence[int], steps: int) -> Trained:
    """Codes of all training samples and the atoms learned together; codes of the test samples by ITO."""
    began, (_, n, width) = time.perf_counter(), x.shape
    u = torch.full((len(seeds), n, m), COLD, requires_grad=True)
    atoms = torch.stack([torch.randn(m, width, generator=_generator(seed)) for seed in seeds]).requires_grad_()

    def value() -> Tensor:
        to_unit(atoms)
        return loss(u.exp(), atoms, x)

    minimise([u, atoms], value, steps, RATE)
    to_unit(atoms)
    flops = steps * (n * m * (6 * width + ADAM) + (ADAM + 3) * m * width) + ito_flops(test.shape[1], m, width)
    learned = atoms.detach()
    return Trained(learned, optimised_codes(test, learned), flops, time.perf_counter() - began)


def ito_flops(n: int, m: int, d: int) -> float:
    """Two products, and Adam on the codes, an iteration."""
    return float(n) * TEST_STEPS * m * (4 * d + ADAM)


def _linear(widths: Sequence[int], seeds: Sequence[int]) -> list[Tensor]:
    """Layers (seeds, in, out) with torch's default for linear ones: uniform within ±1/√in."""
    generators = [_generator(seed) for seed in seeds]
    layers = []
    for before, after in itertools.pairwise(widths):
        drawn = torch.stack([torch.rand(before, after, generator=generator) for generator in generators])
        layers.append(((2 * drawn - 1) / before**0.5).requires_grad_())
    return layers


def _generator(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(1_000_003 * (seed + 1))
