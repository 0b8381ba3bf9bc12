"""One run: from wherever it stands, step by step, to its checkpoint. It is given batches; where they come from is not its concern."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from sparsegap.checkpoints import Checkpoint, Metadata
from sparsegap.dictionary import Dictionary
from sparsegap.encoder import Amortised
from sparsegap.errors import InputError
from sparsegap.fit.board import Board
from sparsegap.fit.folder import BOARD, Folder
from sparsegap.fit.held_out import HeldOut
from sparsegap.fit.normalisation import folded
from sparsegap.fit.request import Plan, Progress
from sparsegap.fit.streams import Scaled
from sparsegap.learning.learner import Batch, Learner, Outcome

LOG_EVERY = 10
CALM = 0.25  # what rises or is tuned at the start of a run is no reason to end it


@dataclass(frozen=True)
class Manner:
    """How a run is watched and kept. held_out: rows that are judged every `judge_every` steps; with `patience`, a run ends after so many
    verdicts without a better one, those of its first quarter not counted, and its best state is what is saved.
    """

    keep_every: int
    held_out: HeldOut | None = None
    judge_every: int = 0
    patience: int | None = None
    report: Callable[[Progress], None] | None = None
    tensorboard: bool = False


@dataclass
class Standing:
    """What a run knows of itself besides its learner's tensors; kept with them. window: sums of outcomes since the last record."""

    done: int = 0
    records: list[dict[str, Any]] = field(default_factory=list)
    window: list[dict[str, float]] = field(default_factory=list)
    best: list[float] | None = None
    best_step: int = 0
    verdicts_since: int = 0


class Run:
    """A learner on its way. Raises InputError where the folder holds something else, or the state of another request."""

    def __init__(self, plan: Plan, data: Scaled, folder: Folder, manner: Manner, recipe: dict[str, Any], metadata: Metadata) -> None:
        self.plan, self.data, self.folder, self.manner, self.recipe, self.metadata = plan, data, folder, manner, recipe, metadata
        self.learner: Learner = plan.make()
        self.standing = Standing()
        self.best: dict[str, Tensor] = {}
        self._waiting: list[Outcome] = []
        kept = folder.state(recipe)
        if kept is None:
            self.learner.begin(data.sample(self.learner.sample_rows))
        else:
            self._restore(*kept)
        self.resumed_at = self.standing.done
        self._began = time.perf_counter()
        self._board = Board(self.folder.path / BOARD, self.resumed_at) if manner.tensorboard and self.folder.path is not None else None

    @property
    def done(self) -> int:
        """Steps taken."""
        return self.standing.done

    @property
    def going(self) -> bool:
        """Whether there are steps left to take."""
        patience = self.manner.patience
        return self.done < self.plan.task.steps and not (patience is not None and self.standing.verdicts_since >= patience)

    def step(self, batch: Batch) -> None:
        """Learn from one batch; note, judge and keep where it is time. Raises InputError naming the step where something is wrong."""
        number = self.done + 1
        try:
            self._waiting.append(_held(self.learner.step(batch, number)))
        except InputError as error:
            raise InputError(f"{self._named}stopped at step {number}: {error}; {self.folder.safe()}") from error
        self.standing.done = number
        last = number == self.plan.task.steps
        judged = self.manner.held_out is not None and (last or number % self.manner.judge_every == 0)
        if judged:
            self._judge()
        if last or judged or number % LOG_EVERY == 0:
            self._note()
        if number % self.manner.keep_every == 0:
            self.keep()

    def keep(self) -> None:
        """The whole state to disk, unless it is damaged."""
        self._settle()
        state = self.learner.state()
        self._require_sound(state)
        told = {"recipe": self.recipe, **asdict(self.standing)}
        self.folder.keep(told, {f"learner.{name}": t for name, t in state.items()} | {f"best.{name}": t for name, t in self.best.items()},
                         self.standing.records)

    def finish(self) -> Checkpoint:
        """The trained pair on raw activations, saved where there is a folder."""
        if self.best:
            self.learner.restore(self.best)
        self._require_sound(self.learner.state())
        encoder, dictionary = self._result()
        told: dict[str, Any] = {"recipe": self.recipe, "samples": self.done * self.plan.task.batch, "normalised_by": self.data.scale}
        if self.best:
            told["best_step"] = self.standing.best_step
        made = Checkpoint(encoder.eval(), dictionary, self.metadata.model_copy(update={"training": told | self._last_record()}),
                          self.data.stream.centring)
        self.folder.save(made, self.standing.records)
        if self._board is not None:
            self._board.close()
        return made

    def _result(self) -> tuple[Amortised, Dictionary]:
        encoder, dictionary = folded(*self.learner.result(), self.data.scale)
        known = self.plan.known
        return encoder, known if known is not None and torch.equal(known.atoms.to(dictionary.atoms), dictionary.atoms) else dictionary

    def _last_record(self) -> dict[str, Any]:
        at = self.standing.best_step if self.best else self.done
        return next((record for record in reversed(self.standing.records) if record["step"] <= at), {})

    def _restore(self, told: dict[str, Any], tensors: dict[str, Tensor]) -> None:
        known = {name: told[name] for name in Standing.__dataclass_fields__}
        self.standing = Standing(**known)
        device = self.plan.task.device
        state: dict[str, Tensor] = {}
        for kind, into in (("learner.", state), ("best.", self.best)):
            into |= {name.removeprefix(kind): tensor.to(device) for name, tensor in tensors.items() if name.startswith(kind)}
        self.learner.restore(state)

    def _settle(self) -> None:
        """Outcomes become numbers: on a GPU this is where the processor waits for it. Raises InputError where the loss is not finite."""
        for number, outcome in enumerate(self._waiting, self.done - len(self._waiting) + 1):
            dead = float(outcome.dead) / self.plan.task.atoms
            numbers = {"loss": float(outcome.loss), "fvu": float(outcome.fvu), "l0": float(outcome.l0), "dead": dead}
            if not math.isfinite(numbers["loss"]):
                said = f"the training diverged: the loss of step {number} is {numbers['loss']}"
                raise InputError(f"{self._named}{said}; {self.folder.safe()}")
            self.standing.window.append(numbers | {name: float(value) for name, value in outcome.also.items()})
        self._waiting = []

    def _note(self) -> None:
        self._settle()
        standing, window = self.standing, self.standing.window
        record: dict[str, Any] = {"step": self.done, **_means(window), "dead": window[-1]["dead"]}
        if standing.records and standing.records[-1]["step"] == self.done:  # the verdict of this step came first
            standing.records[-1] = record | standing.records[-1]
        else:
            standing.records.append(record)
        standing.window = []
        if self._board is not None:
            self._board.write(standing.records[-1])
        if self.manner.report is not None:
            self.manner.report(self._progress(standing.records[-1]))

    def _progress(self, record: dict[str, Any]) -> Progress:
        taken = max(time.perf_counter() - self._began, 1e-9)
        verdict = next((one["held_out_fvu"] for one in reversed(self.standing.records) if "held_out_fvu" in one), float("nan"))
        return Progress(self.done, self.plan.task.steps, record["fvu"], record["dead"], (self.done - self.resumed_at)
                        * self.plan.task.batch / taken, self.resumed_at, record["loss"], record["l0"], verdict, self.plan.label)

    def _judge(self) -> None:
        assert self.manner.held_out is not None
        encoder, dictionary = self._result()
        verdict, standing = self.manner.held_out.judge(self.learner.reader(encoder, dictionary), dictionary), self.standing
        standing.records.append({"step": self.done, **{f"held_out_{name}": value for name, value in asdict(verdict).items()}})
        if self.manner.patience is None:
            return
        rank = list(verdict.rank(self.plan.task.k))
        if standing.best is None or rank < standing.best:
            standing.best, standing.best_step, standing.verdicts_since = rank, self.done, 0
            self.best = {name: tensor.detach().clone() for name, tensor in self.learner.state().items()}
        elif self.done > CALM * self.plan.task.steps:
            standing.verdicts_since += 1

    def _require_sound(self, state: dict[str, Tensor]) -> None:
        for name, tensor in state.items():
            if tensor.is_floating_point() and bool(tensor.isnan().any() if tensor.ndim < 2 else (~tensor.isfinite()).any()):
                raise InputError(f"{self._named}the training diverged by step {self.done}: {name} holds NaN or Inf; {self.folder.safe()}")

    @property
    def _named(self) -> str:
        return f"{self.plan.label}: " if self.plan.label else ""


def _held(outcome: Outcome) -> Outcome:
    """With its own copies of what may be a learner's live tensors."""
    return replace(outcome, also={name: value.detach().clone() if isinstance(value, Tensor) else value
                                  for name, value in outcome.also.items()})


def _means(window: list[dict[str, float]]) -> dict[str, float]:
    return {name: sum(found) / len(found) for name in window[-1] if (found := [one[name] for one in window if name in one])}


def folder_of(out: Path | None, label: str) -> Folder:
    """A run's own folder: `out`, or one in it."""
    return Folder(None if out is None else out / label if label else out)
