"""The paper's trainings, all runs of one method as one program: SAE and MLP (`Network`), sparse coding and ITO (`SparseCodes`).

    program = Network(x, atoms=16, seeds=[0, 1, 2], hidden=32, l1=0.01, rate=1e-3)
    program.advance(500)                    # 500 full-batch steps of every run, in one call
    program.atoms, program.codes(test_x)    # (r, m, d) at norm 1, (r, n, m)

x: (D, n, d), D data sets; run r uses data set data[r] (r itself where `data` is not given). seeds: of the models, one a run. l1 and rate:
one for all runs, or (r,) of them, so that penalties, rates and seeds are tuned in one program. A run gives the same bits alone and among
others. All in float32, as the paper has it. Full batches, Adam (.9, .999, 1e-8) at a constant rate.

Loss: mean over samples and width of (x − x̂)², plus l1 times the mean over samples and atoms of |z|; as ½‖x − x̂‖² + λ‖z‖₁ of one sample,
λ = l1·d/(2m) (`conventions.penalty`). `unit`: "faithful" puts atoms back to norm 1 before each forward pass, unseen by gradient and
moments, as the paper does; "projected" also takes from the gradient of each atom its part along the atom; "free" leaves lengths alone.
O'Neill, Gumran & Klindt (2024), arXiv:2411.13117; written from the description of the methods.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor
from torch.nn.functional import normalize

from sparsegap.errors import InputError
from sparsegap.paper.blocks import from_blocks, per_run, to_blocks
from sparsegap.paper.threads import one_thread_a_product

Unit = Literal["faithful", "projected", "free"]
Loss = Literal["reconstruction", "cosine", "squares"]
COLD = -10.0  # logarithm of the codes that sparse coding begins with


class Network:
    """SAE (hidden 0): z = relu(xW + b). MLP: z = relu(relu(xV + c)W + b). 10·m·d operations a sample and step, or 4·h·d + 6·h·m + 6·m·d.

    loss: "reconstruction"; or of the codes against the true `target` (D, n, m): "cosine", minus the cosine of each latent over the samples,
    averaged over latents, or "squares", their mean squared error. Atoms then play no part.
    given: (r, m, d) atoms at norm 1 that stay; None, they are learned. bias: of the encoder's layers.
    Layers begin as torch's linear ones: uniform within ±1/√inputs, and so do the atoms, a layer of m inputs, before they are normalised.
    """

    def __init__(
        self,
        x: Tensor,
        *,
        atoms: int,
        seeds: Sequence[int],
        hidden: int = 0,
        bias: bool = False,
        loss: Loss = "reconstruction",
        target: Tensor | None = None,
        given: Tensor | None = None,
        l1: float | Tensor = 0.01,
        rate: float | Tensor = 1e-3,
        unit: Unit = "faithful",
        data: Sequence[int] | None = None,
    ) -> None:
        from sparsegap.kernels.network_steps import COSINE, RECONSTRUCTION, SQUARES, Recipe, Shape

        if loss != "reconstruction" and target is None:
            raise InputError(f"loss='{loss}' compares with true codes: give target (data sets, samples, atoms)")
        runs, (_, n, d) = len(seeds), x.shape
        kinds = {"reconstruction": RECONSTRUCTION, "cosine": COSINE, "squares": SQUARES}
        self.taken, self.shape = 0, Shape(d, hidden, atoms, int(bias), n)
        learn = given is None and loss == "reconstruction"
        self.recipe = Recipe(kinds[loss], int(learn), int(learn and unit == "projected"), int(learn and unit != "free"))
        self.x, self.data = to_blocks(x), _places(data, len(x), runs)
        self.target = torch.zeros(len(x), *self.x.shape[1:2], 0, self.x.shape[3]) if target is None else to_blocks(target)
        self.l1, self.rate = per_run(l1, runs), per_run(rate, runs)
        self.p = torch.stack([_beginning(self.shape, seed) for seed in seeds])
        if given is not None:
            self._views[-1].copy_(given)
        self.gradient, self.first, self.second = (torch.zeros_like(self.p) for _ in range(3))

    def advance(self, steps: int) -> None:
        from sparsegap.kernels.network_steps import train_networks

        room = (self.p, self.gradient, self.first, self.second, self.x, self.target, self.data)
        with one_thread_a_product():
            train_networks(*(part.numpy() for part in room), self.shape, self.recipe, self.l1.numpy(), self.rate.numpy(), self.taken, steps)
        self.taken += steps

    @property
    def atoms(self) -> Tensor:
        return normalize(self.rows, dim=2)

    @property
    def rows(self) -> Tensor:
        """(r, m, d) atoms as they are; a view."""
        return self._views[-1]

    def codes(self, x: Tensor) -> Tensor:
        """(r, n, m) for x (D, n, d): each run reads samples of its data set. 2·m·d operations a sample, or 2·h·(d + m)."""
        z = x[self.data]
        for weight, shift in self.layers:
            z = z @ weight.transpose(1, 2)
            z = (z if shift.shape[1] == 0 else z + shift[:, None]).relu()
        return z

    @property
    def layers(self) -> list[tuple[Tensor, Tensor]]:
        """Each layer's weight (r, out, in) and bias (r, out), or (r, 0) without biases; views of the parameters."""
        *pairs, _ = self._views
        layers = [(pairs[0], pairs[1]), (pairs[2], pairs[3])]
        return layers if self.shape.hidden else layers[1:]

    @property
    def _views(self) -> list[Tensor]:
        return split(self.p, self.shape.width, self.shape.hidden, self.shape.atoms, bool(self.shape.biases))


class SparseCodes:
    """Sparse coding: codes of the n samples are parameters, and so are the atoms, unless they are given: then this is ITO.

    codes: "exponential", the paper's: z = exp(u), u from −10, by Adam. "descent": one sweep of exact coordinate descent a step, from zero;
    `rate` is then of the atoms only. Atoms begin Gaussian. 6·m·d operations a sample and step, 4·m·d where atoms are given.
    """

    def __init__(
        self,
        x: Tensor,
        *,
        atoms: int,
        seeds: Sequence[int],
        codes: Literal["exponential", "descent"] = "exponential",
        given: Tensor | None = None,
        l1: float | Tensor = 0.01,
        rate: float | Tensor = 1e-3,
        unit: Unit = "faithful",
        data: Sequence[int] | None = None,
    ) -> None:
        from sparsegap.kernels.code_steps import DESCENT, EXPONENTIAL, CodeRecipe

        runs, (_, n, d) = len(seeds), x.shape
        learn, self.exponential = given is None, codes == "exponential"
        self.taken, self.n = 0, n
        if unit == "free" and not self.exponential:
            raise InputError("codes='descent' needs atoms of norm 1: unit must be faithful or projected, not free")
        kind, moved = (EXPONENTIAL if self.exponential else DESCENT), (int(learn and unit == "projected"), int(learn and unit != "free"))
        self.recipe = CodeRecipe(n, kind, int(learn), *moved)
        self.x, self.data = to_blocks(x), _places(data, len(x), runs)
        self.l1, self.rate = per_run(l1, runs), per_run(rate, runs)
        whole = (runs, self.x.shape[1], atoms, self.x.shape[3])
        kept = whole if self.exponential else (runs, 1, 0, 1)
        self.u, self.z = torch.full(kept, COLD), torch.zeros(whole)
        self.first, self.second = torch.zeros(kept), torch.zeros(kept)
        begin = torch.stack([torch.randn(atoms, d, generator=_generator(seed)) for seed in seeds]) if given is None else given
        self.rows = begin.float().clone(memory_format=torch.contiguous_format)
        self.of_atoms = [torch.zeros_like(self.rows) for _ in range(3)]

    def advance(self, steps: int) -> None:
        from sparsegap.kernels.code_steps import train_codes

        room = (self.u, self.z, self.first, self.second, self.rows, *self.of_atoms, self.x, self.data)
        with one_thread_a_product():
            train_codes(*(part.numpy() for part in room), self.recipe, self.l1.numpy(), self.rate.numpy(), self.taken, steps)
        self.taken += steps

    @property
    def atoms(self) -> Tensor:
        return normalize(self.rows, dim=2)

    @property
    def own_codes(self) -> Tensor:
        """(r, n, m) of the samples that it was given."""
        return from_blocks(self.u.exp() if self.exponential else self.z, self.n)


def split(p: Tensor, width: int, hidden: int, atoms: int, biases: bool) -> list[Tensor]:
    """Views of parameters (r, ·) as the kernel has them: first layer (r, h, d), bias, last layer (r, m, h or d), bias, atoms (r, m, d)."""
    inner = hidden or width
    shapes = [(hidden, width), (hidden * biases,), (atoms, inner), (atoms * biases,), (atoms, width)]
    return [part.view(len(p), *shape) for part, shape in zip(p.split([math.prod(s) for s in shapes], 1), shapes, strict=True)]


def _beginning(shape: tuple[int, ...], seed: int) -> Tensor:
    """Parameters of one run: each layer, and the atoms, uniform within ±1/√inputs."""
    d, h, m, biases, _ = shape
    inner, generator = h or d, _generator(seed)
    sizes = [(h * d, d), (h * biases, d), (m * inner, inner), (m * biases, inner), (m * d, m)]
    return torch.cat([(2 * torch.rand(size, generator=generator) - 1) / inputs**0.5 for size, inputs in sizes])


def _generator(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(1_000_003 * (seed + 1))  # far from the seeds of data


def _places(data: Sequence[int] | None, sets: int, runs: int) -> Tensor:
    """(r,) the data set of each run."""
    places = torch.arange(runs) if data is None else torch.tensor(list(data), dtype=torch.int64)
    if len(places) != runs or int(places.max()) >= sets or int(places.min()) < 0:
        raise InputError(f"{runs} runs need a data set each out of the {sets} given, not {places.tolist()}")
    return places
