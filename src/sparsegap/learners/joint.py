"""joint: an encoder and its dictionary, trained together by gradients."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, Literal

import torch
from torch import Tensor, nn

from sparsegap import registry
from sparsegap.affine import Affine
from sparsegap.dictionary import Dictionary
from sparsegap.encoder import Amortised
from sparsegap.encoders.batch_topk import BatchTopK
from sparsegap.encoders.lista import LISTA
from sparsegap.errors import InputError
from sparsegap.learning.adam import Adam
from sparsegap.learning.autoencoder import Autoencoder, Slots
from sparsegap.learning.beginning import first_atoms, first_encoder, put_back
from sparsegap.learning.learner import Batch, Learner, Outcome, Task
from sparsegap.learning.revival import CUTS, Idle, add_auxk, fresh_length, resampled, taking_turns
from sparsegap.learning.schedule import Schedule, Shape, annealed, risen
from sparsegap.learning.sparse_ops import decode
from sparsegap.learning.sparsity import ByConstruction, Sparsity, keeper

# Atoms that begin as data samples are much alike: at full strength k of them overshoot many times over.
INITIAL_GAIN = 0.02
FIRST_EXCESS = 2  # times k atoms are let through at first


class Joint(Learner):
    """Any encoder with its dictionary, or on a known one, by Adam on the batch's unexplained share of the variance.

    Loss: Σ‖x − x̂‖²/(n·variance), averaged over nested prefixes of the atoms where `prefixes` are given (Matryoshka), plus what keeps L0
    at k, plus AuxK. rate, warmup, decay, schedule: see `Schedule`. penalty: a fixed λ of an L1 penalty instead of a controlled one.
    sparsity_warmup: share of the steps over which the penalty rises. k_start: k to begin with, reaching `task.k` after `k_share`.
    revive: "auxk" lets dead atoms model what the others leave, "resample" makes them directions of badly reconstructed samples. dead_after:
    samples without use from which an atom is dead. norm: "unit" atoms, or "free". gain: of the first detectors, where
    the atoms learn. cut_rate: factor on the rate of thresholds and biases, which else follow the detectors too slowly to hold L0 at k.
    On known atoms a lista keeps k in every layer, unless keep=none or a penalty is given.
    Cost a step: 2·n·m·d for one dense product, 8·n·k·d for active atoms, and four readings of (m, d) matrices by Adam.
    """

    def __init__(self, task: Task, *, encoder: str = "topk", encoder_options: Mapping[str, Any] | None = None, rate: float = 8e-3,
                 warmup: float = 0.05, decay: float = 0.7, schedule: Shape = "linear", betas: tuple[float, float] = (0.9, 0.999),
                 clip: float | None = None, penalty: float | None = None, sparsity_warmup: float = 0.1, k_start: int | None = None,
                 k_share: float = 0.3, revive: Literal["auxk", "resample", "none"] = "auxk", aux_share: float = 1 / 8,
                 dead_after: int | None = None, prefixes: tuple[int, ...] = (), norm: Literal["unit", "free"] = "unit",
                 gain: float = INITIAL_GAIN, cut_rate: float = 5.0, threshold_decay: float = 0.99) -> None:
        super().__init__(task)
        self.encoder_class = registry.member("encoders", encoder)
        self.encoder_options = dict(encoder_options or {})
        self.schedule = Schedule(rate, task.steps, warmup, decay, schedule)
        self.betas, self.clip, self.penalty, self.sparsity_warmup = betas, clip, penalty, sparsity_warmup
        self.k_start, self.k_share = k_start, k_share
        self.revive, self.aux_share, self.norm, self.gain = revive, aux_share, norm, gain
        self.dead_after = min(max(task.steps * task.batch // 10, 1), 1_000_000) if dead_after is None else dead_after
        self.prefixes = _checked_prefixes(prefixes, task.atoms)
        self.cut_rate, self.threshold_decay = cut_rate, threshold_decay
        self.scale = 1.0

    def begin(self, sample: Tensor) -> None:
        """Atoms are samples of the data, centred, at norm 1 (random directions where there are too few); detectors are faint copies.

        Training runs on activations divided by `scale`, at a variance of 1 a dimension; the result reads them as they are.
        """
        known = self.task.dictionary
        centre = sample.double().mean(0) if known is None else known.bias.double()
        variance = float((sample.double() - sample.double().mean(0)).square().sum(1).mean())
        if not variance > 0 or not math.isfinite(variance):
            raise InputError("all activations are the same, or some are not finite: there is nothing to learn")
        self.scale = math.sqrt(variance / self.task.width)
        rows = ((sample.double() - centre) / self.scale).float()
        atoms = first_atoms(rows, self.task.atoms, self.task.generator(0)) if known is None else known.atoms.float()
        self._build(Dictionary(atoms, (centre / self.scale).float()).to(self.task.device))
        self._first_detectors(rows[:1024].to(self.task.device))

    def step(self, batch: Batch, number: int) -> Outcome:
        """Learn from a batch. Raises InputError, with the state unchanged, where it is not finite."""
        x = batch.x.to(self.model.atoms) / self.scale
        self._set_k(number)
        slots = self.model.encode(x)
        error, fvu, loss = self._unexplained(slots, x)
        if not math.isfinite(fvu):
            raise InputError(f"batch {number} holds NaN or Inf, or the training diverged there")
        l0 = float(torch.count_nonzero(slots.values.detach())) / len(x)
        pressure = self.sparsity.loss(slots, self.model, x, risen(number, self.task.steps, self.sparsity_warmup))
        loss = loss if pressure is None else loss + pressure
        gradients = self.model.gradients(loss)
        dead = self.idle.note(slots)
        if self.revive == "auxk":
            add_auxk(gradients, self.model, x, error, taking_turns(dead, self.task.width // 2, number), self.aux_share)
        self._learn(gradients, slots, l0, number)
        if self.revive == "resample":
            self._resample(error, dead, number)
        return Outcome(loss.detach(), fvu, l0, len(dead), {name: float(tensor) for name, tensor in self.sparsity.tensors.items()})

    def state(self) -> dict[str, Tensor]:
        """Parameters, their moments, the encoder's buffers, idle counters, the penalty and the scale."""
        buffers = {f"encoder.{name}": tensor for name, tensor in self.model.encoder.named_buffers()}
        fixed = {"centre": self.model.centre, "atoms": self.model.atoms, "scale": torch.tensor(self.scale, dtype=torch.float64)}
        tensors = fixed | {"stale": self.idle.stale} | self.model.parameters | self.adam.moments | buffers | self.sparsity.tensors
        return {name: tensor.detach() for name, tensor in tensors.items()}

    def restore(self, tensors: Mapping[str, Tensor]) -> None:
        """Put back what `state` gave."""
        for name in ("atoms", "centre", "scale"):
            if name not in tensors:
                raise InputError(f"the state has no {name}: it is not one of joint training")
        self.scale = float(tensors["scale"])
        self._build(Dictionary(tensors["atoms"], tensors["centre"]).to(self.task.device))
        put_back(self.state(), tensors)

    def result(self) -> tuple[Amortised, Dictionary]:
        """The encoder and the dictionary, for activations as they are."""
        model = self.model
        encoder = model.encoder.rescaled(1 / self.scale)
        known = self.task.dictionary
        return encoder, known or Dictionary(model.atoms.detach().clone(), model.centre.detach() * self.scale)

    def flops(self) -> float:
        """Floating-point operations of a step."""
        task = self.task
        return task.batch * (2.0 * task.atoms * task.width + 8.0 * task.k * task.width)

    def _build(self, dictionary: Dictionary) -> None:
        """The parts that learn, from atoms in the units of training."""
        task = self.task
        encoder = first_encoder(self.encoder_class, dictionary, task, self.encoder_options, self._counts())
        self.model = Autoencoder(encoder, dictionary, learns_atoms=task.dictionary is None)
        unit = ("atoms",) if self.norm == "unit" else ()
        counts = "k" in registry.options(self.encoder_class)
        faster = {} if counts else {f"encoder.{name}": self.cut_rate for name in CUTS if hasattr(encoder, name)}
        self.adam = Adam(self.model.parameters, betas=self.betas, unit=unit, faster=faster, clip=self.clip)
        self.idle = Idle(task.atoms, self.dead_after, task.device)
        penalty = None if self.penalty is None else self.penalty / self.scale
        self.sparsity: Sparsity = keeper(self.model, task.k, float(task.width), penalty)

    def _counts(self) -> tuple[str, ...]:
        """Which options of the encoder are k unless they are given. With a penalty a deep lista of many atoms soon has none active."""
        signed = self.encoder_options.get("nonnegative") is False
        keeps = self.encoder_class is LISTA and self.task.dictionary is not None and self.penalty is None and not signed
        return ("k", "keep") if keeps else ("k",)

    @torch.no_grad()
    def _first_detectors(self, centred: Tensor) -> None:
        """Faint detectors, and for encoders that do not count a threshold or a bias that lets about 2·k of them through."""
        encoder = self.model.encoder
        if not isinstance(encoder, Affine):
            return
        if self.task.dictionary is None:
            encoder.weight.mul_(self.gain)
        else:
            self.model.fit_gain(centred + self.model.centre)
        if isinstance(self.sparsity, ByConstruction):
            return
        scores = (centred @ encoder.weight.T).flatten()
        kept = min(FIRST_EXCESS * self.task.k * len(centred), scores.numel())
        bound = scores.kthvalue(scores.numel() - kept + 1).values.clamp_min(0)
        for name, sign in CUTS.items():
            if isinstance(cut := getattr(encoder, name, None), nn.Parameter):
                cut.fill_(sign * bound)
                return

    def _set_k(self, number: int) -> None:
        encoder: Any = self.model.encoder
        if self.k_start is not None and hasattr(encoder, "k"):
            encoder.k = annealed(self.k_start, self.task.k, number, self.task.steps, self.k_share)

    def _unexplained(self, slots: Slots, x: Tensor) -> tuple[Tensor, float, Tensor]:
        """x̂ − x without a graph, its share of the variance, and the loss: the mean of that share over the prefixes."""
        energy = float(x.numel())  # of activations with a variance of 1 a dimension
        if not self.prefixes:
            error = self.model.decode(slots.values, slots.indices) - x
            loss = torch.linalg.vector_norm(error).square() / energy
            return error.detach(), float(loss.detach()), loss
        errors = self._of_prefixes(slots) - x
        shares = torch.linalg.vector_norm(errors.flatten(1), dim=1).square() / energy
        return errors[-1].detach(), float(shares[-1].detach()), shares.mean()

    def _of_prefixes(self, slots: Slots) -> Tensor:
        """(prefixes, n, d) reconstructions by the atoms of each prefix alone, every slot decoded once."""
        model, pieces = self.model, len(self.prefixes)
        bounds = torch.tensor((0, *self.prefixes), device=slots.indices.device)[:, None, None]
        inside = (slots.indices >= bounds[:-1]) & (slots.indices < bounds[1:])
        values = torch.where(inside, slots.values, 0.0).flatten(0, 1)
        indices = torch.where(inside, slots.indices, -1).flatten(0, 1)
        parts = decode(values, indices, model.atoms, buffer=model.buffer("atoms"))
        return parts.view(pieces, -1, parts.shape[1]).cumsum(0) + model.centre

    def _learn(self, gradients: Mapping[str, Tensor | None], slots: Slots, l0: float, number: int) -> None:
        encoder = self.model.encoder
        self.adam.step(gradients, self.schedule.rate(number), number)
        encoder.constrain()
        self.sparsity.observe(l0, self.schedule.share(number))
        if isinstance(encoder, BatchTopK):
            values = slots.values.detach()
            used = values > 0
            if bool(used.any()):
                encoder.update_threshold(values[used].min(), self.threshold_decay)

    @torch.no_grad()
    def _resample(self, error: Tensor, dead: Tensor, number: int) -> None:
        """Dead atoms become directions that are missing, up to an eighth of the batch at a time."""
        model, encoder = self.model, self.model.encoder
        if not len(dead) or not isinstance(encoder, Affine) or not model.learns_atoms:
            return
        chosen = taking_turns(dead, max(len(error) // 8, 1), number)
        directions = resampled(error, chosen, self.task.generator(number))
        chosen = chosen[: len(directions)]
        used = self.idle.stale <= self.idle.after
        model.atoms[chosen] = directions
        competing = isinstance(self.sparsity, ByConstruction)  # where k are chosen a faint one never is
        length = fresh_length(encoder.weight.norm(dim=1), used, 1.0 if competing else 0.2)
        encoder.weight[chosen] = length * directions
        for name, parameter in self.adam.parameters.items():
            if parameter.shape[:1] == (self.task.atoms,):
                self.adam.forget(name, chosen)
            if parameter.shape == (self.task.atoms,) and bool(used.any()):
                parameter[chosen] = parameter[used].mean()  # biases and thresholds as others have them
        self.idle.stale[chosen] = 0


def _checked_prefixes(prefixes: tuple[int, ...], atoms: int) -> tuple[int, ...]:
    rising = all(a < b for a, b in zip((0, *prefixes), prefixes, strict=False))
    if prefixes and not (rising and prefixes[-1] <= atoms):
        raise InputError(f"prefixes are rising numbers of atoms up to {atoms}, not {', '.join(map(str, prefixes))}")
    return (*prefixes, atoms) if prefixes and prefixes[-1] < atoms else prefixes
