"""regression: an encoder learns codes that are known."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, Literal, get_args

import torch
from torch import Tensor

from sparsegap import registry
from sparsegap.codes import Codes
from sparsegap.dictionary import Dictionary
from sparsegap.encoder import Amortised
from sparsegap.errors import InputError
from sparsegap.learning.adam import Adam
from sparsegap.learning.beginning import first_encoder, put_back
from sparsegap.learning.learner import Batch, Learner, Outcome, Task
from sparsegap.learning.schedule import Schedule, Shape

Loss = Literal["cosine", "mse"]
REFIT = 50  # steps between dictionaries
STILL = 1e-12  # squared norm from which a column counts as never active


class Regression(Learner):
    """Any encoder learns given codes z by Adam: "cosine" is minus the mean cosine of ẑ and z over the latents, each a column of the batch,
    which no scale of a latent changes; "mse" is the mean over samples of ‖ẑ − z‖², as a share of the mean ‖z‖².

    The dictionary is the task's, or the ridge solution of Z @ atoms ≈ x − mean over all batches so far: sums zᵀz (m, m), zᵀx (m, d).
    O'Neill, Gumran & Klindt (2024), arXiv:2411.13117, section 4.1. Dense: a step costs 6·n·m·d, and 2·n·k·(m + d) for the sums.
    """

    def __init__(self, task: Task, *, encoder: str = "relu", encoder_options: Mapping[str, Any] | None = None, loss: Loss = "cosine",
                 rate: float = 3e-3, warmup: float = 0.02, decay: float = 0.5, schedule: Shape = "linear", ridge: float = 1e-6) -> None:
        super().__init__(task)
        if loss not in get_args(Loss):
            raise InputError(f"the loss must be cosine or mse, not '{loss}'")
        if not ridge > 0:
            raise InputError(f"ridge must be above 0, not {ridge:g}")
        self.encoder_class, self.encoder_options = registry.member("encoders", encoder), dict(encoder_options or {})
        self.loss, self.ridge = loss, ridge
        self.schedule = Schedule(rate, task.steps, warmup, decay, schedule)

    def begin(self, sample: Tensor) -> None:
        """Detectors begin as the known atoms, or as random directions; the mean of the data is what the encoder subtracts."""
        task = self.task
        if not 0 < float((sample.double() - sample.double().mean(0)).square().sum()) < math.inf:
            raise InputError("all activations are the same, or some are not finite: there is nothing to learn")
        centre = sample.double().mean(0).float()
        random = torch.randn(task.atoms, task.width, generator=task.generator(0)) / math.sqrt(task.width)
        self._build(task.dictionary or Dictionary(random, centre))

    def step(self, batch: Batch, number: int) -> Outcome:
        """Learn from a batch. Raises InputError, with the state unchanged, where it has no codes or is not finite."""
        if batch.codes is None:
            raise InputError("regression learns codes that are known, but these activations come without any")
        x, codes = batch.x.to(self.task.device, torch.float32), batch.codes.to(self.task.device)
        if codes.n_atoms != self.task.atoms:
            raise InputError(f"the known codes are over {codes.n_atoms} atoms, but {self.task.atoms} are to be learned")
        wanted = codes.dense().float()
        found = self.encoder(x)
        loss = _cosine(found, wanted) if self.loss == "cosine" else (found - wanted).square().sum() / wanted.square().sum().clamp_min(STILL)
        if not (bool(loss.isfinite()) and bool(x.isfinite().all())):
            raise InputError(f"batch {number} holds NaN or Inf, or the training diverged there")
        gradients = torch.autograd.grad(loss, list(self.adam.parameters.values()), allow_unused=True)
        self._accumulate(x, wanted, number)
        self.adam.step(dict(zip(self.adam.parameters, gradients, strict=True)), self.schedule.rate(number), number)
        self.encoder.constrain()
        detached = found.detach()
        fvu = self._unexplained(x, detached)
        return Outcome(loss.detach(), fvu, (detached != 0).sum(1).float().mean())

    def state(self) -> dict[str, Tensor]:
        """The encoder, Adam's moments and the sums."""
        encoder = {f"encoder.{name}": tensor.detach() for name, tensor in self.encoder.state_dict().items()}
        return encoder | self.adam.moments | self.sums

    def restore(self, tensors: Mapping[str, Tensor]) -> None:
        """Put back what `state` gave."""
        self._build(self.task.dictionary or Dictionary(torch.ones(self.task.atoms, self.task.width)))
        put_back(self.state(), tensors)

    def result(self) -> tuple[Amortised, Dictionary]:
        """The encoder, and the task's dictionary or the least-squares one."""
        return self.encoder, self.task.dictionary or self._fitted()

    def flops(self) -> float:
        """Floating-point operations of a step."""
        task = self.task
        return task.batch * (6.0 * task.atoms * task.width + 2.0 * task.atoms * (task.atoms + task.width))

    def _build(self, dictionary: Dictionary) -> None:
        task = self.task
        self.encoder = first_encoder(self.encoder_class, dictionary, task, self.encoder_options)
        self.adam = Adam({f"encoder.{name}": parameter for name, parameter in self.encoder.named_parameters()})
        m, d = task.atoms, task.width
        sizes: dict[str, tuple[int, ...]] = {"z": (m,), "x": (d,), "rows": (), "zz": (m, m), "zx": (m, d), "atoms": (m, d), "bias": (d,)}
        sizes = sizes if task.dictionary is None else {}
        self.sums = {name: torch.zeros(size, dtype=torch.float64, device=task.device) for name, size in sizes.items()}

    def _accumulate(self, x: Tensor, z: Tensor, number: int) -> None:
        """Add a batch to the sums, and now and then fit the dictionary that FVU is measured with."""
        sums = self.sums
        if not sums:
            return
        for name, added in (("zz", z.T @ z), ("zx", z.T @ x), ("z", z.sum(0)), ("x", x.sum(0)), ("rows", len(x))):
            sums[name] += added
        if number == 1 or number % REFIT == 0:
            made = self._fitted()
            sums["atoms"].copy_(made.atoms)
            sums["bias"].copy_(made.bias)

    def _fitted(self) -> Dictionary:
        """Ridge regression of x on the codes, with an intercept."""
        sums, n = self.sums, float(self.sums["rows"])
        if n == 0:
            raise InputError("no batch has been seen yet: there is no dictionary to fit")
        mean_z, mean_x = sums["z"] / n, sums["x"] / n
        gram = sums["zz"] / n - torch.outer(mean_z, mean_z)
        gram += self.ridge * gram.diagonal().mean().clamp_min(1e-30) * torch.eye(len(gram), dtype=gram.dtype, device=gram.device)
        atoms = torch.linalg.solve(gram, sums["zx"] / n - torch.outer(mean_z, mean_x))
        return Dictionary(atoms.float(), (mean_x - mean_z @ atoms).float())

    def _unexplained(self, x: Tensor, dense: Tensor) -> float:
        """FVU of the encoder's codes on the known dictionary, or the last one fitted."""
        known = self.task.dictionary or Dictionary(self.sums["atoms"].float(), self.sums["bias"].float())
        error = x - known.decode(Codes.from_dense(dense))
        return float(error.square().sum() / (x - x.mean(0)).square().sum())


def _cosine(found: Tensor, wanted: Tensor) -> Tensor:
    """Minus the mean over latents that are active in the batch of the cosine of two columns."""
    lengths = wanted.square().sum(0)
    active = lengths > STILL
    cosines = (found * wanted).sum(0) / (found.square().sum(0).clamp_min(STILL) * lengths.clamp_min(STILL)).sqrt()
    return -(cosines * active).sum() / active.sum().clamp_min(1)
