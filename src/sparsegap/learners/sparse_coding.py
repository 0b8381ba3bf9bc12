"""The paper's gradient sparse coding."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Literal, get_args

import torch
from torch import Tensor
from torch.nn.functional import normalize

from sparsegap.codes import Codes
from sparsegap.conventions import penalty
from sparsegap.dictionary import Dictionary
from sparsegap.encoder import Amortised, Encoder, Iterative
from sparsegap.errors import InputError
from sparsegap.learning.learner import Batch, Learner, Outcome, Task
from sparsegap.learning.readout import Readout
from sparsegap.problem import Lasso

Activation = Literal["exp", "relu"]
COLD, SMALL = -10.0, 0.01
BETA1, BETA2, EPSILON = 0.9, 0.999, 1e-8
CODES = 1 << 26  # numbers in the codes of all rows; with their moments and gradients five times that are held
ACTIVE = 1e-3


class SparseCoding(Learner):
    """Gradient sparse coding as the paper does it: the codes z of all training samples are parameters, learned with the atoms by Adam.

    Loss: mean over rows and width of (x − z @ atoms)², plus l1 times the mean over rows and atoms of |z|; atoms are put back to norm 1
    before each pass, unseen by the gradient. activation: "exp", z = exp(u) from u = −10, as published; "relu", z = relu(u) from small
    random numbers, whose codes can be zero. rate: of Adam, constant. test_rate, test_steps: of the optimisation of new samples' codes.
    **It learns from rows of its own**, `rows` of them (by default as many as a batch) from the sample it begins with; a step is one over
    all of those, and the batches it is given only tick. At most 2²⁶ codes, rows·atoms, fit. There is no bias: centre the data before.
    What it finds depends on the scale of the data. The encoder of its result is the least-squares prediction of its codes, k kept.
    Cost a step: rows·m·(6·d + 15) FLOPs; 20·rows·m bytes. O'Neill, Gumran & Klindt (2024), arXiv:2411.13117, section 3.
    """

    def __init__(self, task: Task, *, l1: float = 0.01, rate: float = 1e-3, activation: Activation = "exp", rows: int | None = None,
                 test_rate: float = 3e-3, test_steps: int = 10_000) -> None:
        super().__init__(task)
        if task.dictionary is not None:
            raise InputError("sparse_coding learns the atoms: leave out the dictionary, or solve for its codes with adam_exp")
        if task.device != "cpu":
            raise InputError(f"sparse_coding runs on the processor, not on {task.device}")
        if activation not in get_args(Activation):
            raise InputError(f"activation must be exp or relu, not '{activation}'")
        if not (l1 >= 0 and math.isfinite(l1)):
            raise InputError(f"l1 must be at least 0 and finite, not {l1:g}")
        if not (rate > 0 and test_rate > 0 and test_steps >= 1):
            raise InputError(f"rate, test_rate and test_steps must be above 0, not {rate:g}, {test_rate:g} and {test_steps}")
        self.rows = task.batch if rows is None else rows
        if self.rows < 1 or self.rows * task.atoms > CODES:
            raise InputError(f"sparse_coding keeps the codes of all its rows, at {task.atoms:,} atoms those of 1 to "
                             f"{CODES // task.atoms:,} rows, not {self.rows:,}")
        self.l1, self.rate, self.activation, self.test_rate, self.test_steps = l1, rate, activation, test_rate, test_steps
        self.tensors: dict[str, Tensor] = {}

    @classmethod
    def preferred_batch(cls, atoms: int, k: int, rows: int | None) -> int:
        """All rows of a recording, where their codes fit; 1,024 of a stream, as the paper."""
        return max(1, min(1024 if rows is None else rows, CODES // atoms))

    @property
    def sample_rows(self) -> int:
        """The rows that it learns from."""
        return self.rows

    def begin(self, sample: Tensor) -> None:
        """Gaussian atoms at norm 1, codes as `activation` says."""
        x = sample[: self.rows].float().clone()
        spread = float((x - x.mean(0)).square().sum())
        if not spread > 0 or not math.isfinite(spread):
            raise InputError("all activations are the same, or some are not finite: there is nothing to learn")
        m, generator = self.task.atoms, self.task.generator(0)
        atoms = normalize(torch.randn(m, self.task.width, generator=generator))
        cold = torch.full((len(x), m), COLD)
        codes = cold if self.activation == "exp" else SMALL * torch.randn(len(x), m, generator=generator)
        self.tensors = {"x": x, "atoms": atoms, "codes": codes}
        for name in ("atoms", "codes"):
            self.tensors |= {f"{name}.{order}": torch.zeros_like(self.tensors[name]) for order in (1, 2)}

    def step(self, batch: Batch, number: int) -> Outcome:
        """One step over its own rows. Raises InputError, with the state unchanged, where the batch is not finite."""
        if not bool(batch.x.isfinite().all()):
            raise InputError(f"batch {number} holds NaN or Inf")
        x, atoms, u = (self.tensors[name] for name in ("x", "atoms", "codes"))
        atoms.copy_(normalize(atoms))
        z = self._values()
        error = z @ atoms - x
        weight = 2 / x.numel()
        slope = (weight * error) @ atoms.T + self.l1 / z.numel()
        of_codes = slope * z if self.activation == "exp" else slope * (u > 0)
        outcome = self._outcome(z, error)
        self._move("atoms", weight * (z.T @ error), number)
        self._move("codes", of_codes, number)
        return outcome

    def state(self) -> dict[str, Tensor]:
        """The rows, atoms, codes and the moments of the two."""
        return dict(self.tensors)

    def restore(self, tensors: Mapping[str, Tensor]) -> None:
        """Put back what `state` gave."""
        m, d = self.task.atoms, self.task.width
        n = len(tensors["x"]) if "x" in tensors else 0
        shapes = {"x": (n, d), "atoms": (m, d), "codes": (n, m)}
        shapes |= {f"{name}.{order}": shapes[name] for name in ("atoms", "codes") for order in (1, 2)}
        for name, shape in shapes.items():
            if name not in tensors or tensors[name].shape != shape:
                raise InputError(f"the state's {name} does not fit: a tensor of shape {shape} is needed")
        self.tensors = {name: tensors[name].clone() for name in shapes}

    def result(self) -> tuple[Amortised, Dictionary]:
        """The TopK encoder that predicts the codes best by least squares, and the atoms at norm 1."""
        dictionary = Dictionary(normalize(self.tensors["atoms"]))
        readout = Readout(self.task.atoms, self.task.width)
        readout.note(Codes.from_dense(self._values()), self.tensors["x"], 0.0)
        return readout.encoder(dictionary, self.task.k), dictionary

    def reader(self, encoder: Amortised, dictionary: Dictionary) -> Encoder:
        """The paper's: codes exp(u) of new samples by Adam, the atoms frozen."""
        weight = penalty(self.l1, "paper", width=dictionary.width, n_atoms=dictionary.n_atoms)
        return Iterative("adam_exp", problem=Lasso(dictionary, weight), max_iterations=self.test_steps, lr=self.test_rate)

    def flops(self) -> float:
        """Three products, and Adam on codes and atoms."""
        task = self.task
        return task.atoms * (self.rows * (6.0 * task.width + 15.0) + 15.0 * task.width)

    def _values(self) -> Tensor:
        made: Callable[[Tensor], Tensor] = torch.exp if self.activation == "exp" else torch.relu
        return made(self.tensors["codes"])

    def _outcome(self, z: Tensor, error: Tensor) -> Outcome:
        """l0 counts codes above a thousandth: exponentials are never 0."""
        x = self.tensors["x"]
        missed = error.square().sum()
        variance = (x - x.mean(0)).square().sum()
        loss = missed / x.numel() + self.l1 * z.mean()
        return Outcome(loss, missed / variance, (z > ACTIVE).sum(1).float().mean(), int((z.amax(0) <= ACTIVE).sum()))

    def _move(self, name: str, gradient: Tensor, number: int) -> None:
        """Adam, epsilon added to the corrected root: at a mean over all rows gradients are as small as it is."""
        first, second = self.tensors[f"{name}.1"], self.tensors[f"{name}.2"]
        first.lerp_(gradient, 1 - BETA1)
        second.mul_(BETA2).addcmul_(gradient, gradient, value=1 - BETA2)
        root = (second / (1 - BETA2**number)).sqrt_().add_(EPSILON)
        self.tensors[name].addcdiv_(first, root, value=-self.rate / (1 - BETA1**number))

