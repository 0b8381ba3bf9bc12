"""distil: a solver's codes into an encoder, on a dictionary that stays. The gap closes at the price of one pass."""

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
from sparsegap.encoders.batch_topk import BatchTopK
from sparsegap.errors import InputError
from sparsegap.learning.adam import Adam
from sparsegap.learning.autoencoder import Autoencoder, Slots
from sparsegap.learning.beginning import first_encoder, put_back
from sparsegap.learning.learner import Batch, Learner, Outcome, Task
from sparsegap.learning.schedule import Schedule, Shape, risen
from sparsegap.learning.sparsity import Sparsity, keeper
from sparsegap.learning.warm_start import begin_as, settle_layers
from sparsegap.problem import KSparse, Lasso, Problem
from sparsegap.solve import solve

FIRST_ROWS = 1024
RATE, RATE_FROM_START = 3e-3, 2e-4
Loss = Literal["both", "codes", "reconstruction"]


class Distil(Learner):
    """An encoder learns what a solver answers on `task.dictionary`: KSparse with `task.k`, or the Lasso with `penalty`.

    Loss, in shares of the variance: `code_weight`·‖(ẑ − z)·‖atom‖‖² and, for atoms the teacher uses and the student misses, the squared
    amount by which their pre-activation falls short of the teacher's value, which is how they come to be chosen ("codes"); plus the
    unexplained share ("reconstruction"); or the sum ("both"). Encoders that do not count their active atoms are held at k as by `joint`.
    Each layer of a lista before its last adds `early_weight` times what it leaves unexplained. A lista or mlp keeps k atoms where the
    teacher does, unless keep=none.
    teacher: a solver's name, with teacher_options; from_student: it begins at the student's codes. Batches that come with codes need none.
    start: an encoder whose codes training begins at (`begin_as`); without it, at what the dictionary alone suggests.
    rate: by default 3e-3, and 2e-4 from a start, which a higher one soon makes worse.
    Cost a step: the teacher's on the batch, a dense product a layer, and 16·n·k·d for active atoms.
    """

    def __init__(self, task: Task, *, encoder: str = "topk", encoder_options: Mapping[str, Any] | None = None, teacher: str = "omp",
                 teacher_options: Mapping[str, Any] | None = None, penalty: float | None = None, loss: Loss = "both",
                 code_weight: float = 0.3, miss_weight: float = 1.0, early_weight: float = 0.1, from_student: bool = False,
                 start: Amortised | None = None, rate: float | None = None, warmup: float = 0.05, decay: float = 0.7,
                 schedule: Shape = "linear", clip: float | None = None) -> None:
        super().__init__(task)
        if task.dictionary is None:
            raise InputError("distil needs a dictionary: a solver's codes are codes of given atoms")
        if loss not in get_args(Loss):
            raise InputError(f"the loss must be one of {', '.join(get_args(Loss))}, not '{loss}'")
        self.encoder_class, self.encoder_options = registry.member("encoders", encoder), dict(encoder_options or {})
        self.teacher, self.teacher_options, self.penalty, self.from_student = teacher, dict(teacher_options or {}), penalty, from_student
        registry.check_options(teacher, registry.member("solvers", teacher), self.teacher_options)
        self.code_weight = 0.0 if loss == "reconstruction" else code_weight
        self.miss_weight, self.early_weight, self.reconstruction = miss_weight, early_weight, loss != "codes"
        self.start = start
        rate = (RATE if start is None else RATE_FROM_START) if rate is None else rate
        self.schedule, self.clip = Schedule(rate, task.steps, warmup, decay, schedule), clip
        self.scale = 1.0

    def begin(self, sample: Tensor) -> None:
        """The start, or the encoder that `from_dictionary` makes, in units in which the data has a variance of 1 a dimension."""
        variance = float((sample.double() - sample.double().mean(0)).square().sum(1).mean())
        if not variance > 0 or not math.isfinite(variance):
            raise InputError("all activations are the same, or some are not finite: there is nothing to learn")
        self._build(math.sqrt(variance / self.task.width))
        rows = sample[:FIRST_ROWS].to(self.model.atoms) / self.scale
        if self.start is None:
            self.model.fit_gain(rows)
            return
        begin_as(self.model.encoder, self.start.rescaled(self.scale))
        settle_layers(self.model, rows)

    def step(self, batch: Batch, number: int) -> Outcome:
        """Learn from a batch and the teacher's codes of it. Raises InputError, with the state unchanged, where it is not finite."""
        x = batch.x.to(self.model.atoms) / self.scale
        if not bool(x.isfinite().all()):
            raise InputError(f"batch {number} holds NaN or Inf")
        slots = self.model.encode(x)
        taught = self._known(batch.codes, x) if batch.codes is not None else self.teach(x, slots)
        error = self.model.decode(slots.values, slots.indices) - x
        unexplained = error.square().sum() / x.numel()
        fvu, l0 = float(unexplained.detach()), float(torch.count_nonzero(slots.values.detach())) / len(x)
        if not math.isfinite(fvu):
            raise InputError(f"training diverged at batch {number}: a lower rate may help")
        codes = self._of_codes(x, slots, taught) / x.numel()
        loss = self.code_weight * codes + (unexplained + self._early(slots, x) if self.reconstruction else 0.0)
        pressure = self.sparsity.loss(slots, self.model, x, risen(number, self.task.steps, 0.1))
        gradients = self.model.gradients(loss if pressure is None else loss + pressure)
        self.adam.step(gradients, self.schedule.rate(number), number)
        self._settle(slots, l0, number)
        reached = float((self.model.decode(taught.values, taught.indices).detach() - x).square().sum()) / x.numel()
        return Outcome(loss.detach(), fvu, l0, 0, {"teacher_fvu": reached, "codes": float(codes.detach())})

    @torch.no_grad()
    def teach(self, x: Tensor, slots: Slots) -> Codes:
        """The teacher's codes of x, in the units of training."""
        start = slots.codes(self.task.atoms) if self.from_student else None
        return solve(self._problem, x, self.teacher, start=start, **self.teacher_options).codes

    def state(self) -> dict[str, Tensor]:
        """The encoder, Adam's moments, the penalty and the scale."""
        encoder = {f"encoder.{name}": tensor.detach() for name, tensor in self.model.encoder.state_dict().items()}
        return encoder | self.adam.moments | self.sparsity.tensors | {"scale": torch.tensor(self.scale, dtype=torch.float64)}

    def restore(self, tensors: Mapping[str, Tensor]) -> None:
        """Put back what `state` gave."""
        if "scale" not in tensors:
            raise InputError("the state has no scale: it is not one of distil")
        self._build(float(tensors["scale"]))
        put_back(self.state(), tensors)

    def result(self) -> tuple[Amortised, Dictionary]:
        """The encoder for activations as they are, and the task's dictionary."""
        assert self.task.dictionary is not None
        return self.model.encoder.rescaled(1 / self.scale), self.task.dictionary

    def flops(self) -> float:
        """Floating-point operations of a step, the teacher's taken as k passes over the atoms at most."""
        task = self.task
        return task.batch * (2.0 * task.atoms * task.width * (1 + task.k) + 16.0 * task.k * task.width)

    def _build(self, scale: float) -> None:
        task, known = self.task, self.task.dictionary
        assert known is not None
        self.scale = scale
        dictionary = Dictionary(known.atoms.float(), (known.bias.double() / scale).float()).to(task.device)
        counts = ("k",) if self.penalty is not None else ("k", "keep")
        encoder = first_encoder(self.encoder_class, dictionary, task, self.encoder_options, counts)
        self.model = Autoencoder(encoder, dictionary, learns_atoms=False)
        self.adam = Adam(self.model.parameters, clip=self.clip)
        self.sparsity: Sparsity = keeper(self.model, task.k, float(task.width), None)
        lasso = None if self.penalty is None else Lasso(dictionary, self.penalty / scale)
        self._problem: Problem = lasso or KSparse(dictionary, task.k)
        self._norms = dictionary.norms

    def _of_codes(self, x: Tensor, slots: Slots, taught: Codes) -> Tensor:
        """Σ over both supports of (ẑ − z)²‖atom‖², missed atoms by their pre-activation."""
        targets, missed = _compared(slots, taught)
        norms = self._norms[slots.indices.clamp_min(0).long()] * (slots.indices >= 0)
        wrong = ((slots.values - targets) * norms).square().sum()
        pre = slots.pre_at(torch.where(missed, taught.indices, -1)) if self.miss_weight else None
        if pre is None:
            return wrong
        short = (taught.values - pre).relu() * missed * self._norms[taught.indices.long()]
        return wrong + self.miss_weight * short.square().sum()

    def _early(self, slots: Slots, x: Tensor) -> Tensor | float:
        """What the layers before the last leave unexplained: the residuals that the layers after them see."""
        left: Tensor | float = 0.0
        while slots.before is not None and slots.product is not None and self.early_weight:
            left = left + slots.product.x.square().sum()
            slots = slots.before
        return self.early_weight * left / x.numel()

    def _known(self, codes: Codes, x: Tensor) -> Codes:
        if codes.n_atoms != self.task.atoms:
            raise InputError(f"the teacher's codes are over {codes.n_atoms} atoms, but the dictionary has {self.task.atoms}")
        return Codes(codes.indices.to(x.device), codes.values.to(x) / self.scale, codes.n_atoms)

    def _settle(self, slots: Slots, l0: float, number: int) -> None:
        encoder = self.model.encoder
        encoder.constrain()
        self.sparsity.observe(l0, self.schedule.share(number))
        values = slots.values.detach()
        if isinstance(encoder, BatchTopK) and bool((values > 0).any()):
            encoder.update_threshold(values[values > 0].min(), 0.99)


def _compared(slots: Slots, taught: Codes) -> tuple[Tensor, Tensor]:
    """The teacher's values at the student's slots (n, K), and which of the teacher's active slots the student does not use (n, k)."""
    mine = torch.where(slots.values.detach() != 0, slots.indices, -1)
    same = (mine[:, :, None] == taught.indices[:, None, :]) & taught.active[:, None, :]
    targets = (same * taught.values[:, None, :]).sum(2)
    return targets, taught.active & ~same.any(1)
