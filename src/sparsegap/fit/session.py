"""A session: the data, opened; every run's plan and recipe; and the loop that gives each batch to all of them."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import torch
from torch import Tensor

from sparsegap import registry
from sparsegap.activations import Activations, ActivationStore
from sparsegap.checkpoints import Checkpoint, Metadata
from sparsegap.codes import Codes
from sparsegap.errors import InputError
from sparsegap.fit.held_out import HeldOut, held_out
from sparsegap.fit.normalisation import scale_for, unfolded
from sparsegap.fit.request import Plan, Progress, Request, members_of, require_labels, split_options
from sparsegap.fit.stopping import stop_requests
from sparsegap.fit.streams import Drawn, Recording, Scaled, Stream
from sparsegap.fit.training import Manner, Run, folder_of
from sparsegap.learning.learner import Batch, Learner, Task
from sparsegap.source import Source

if TYPE_CHECKING:
    from sparsegap.fit.run import Data

VERDICTS = 20
SCALE_ROWS = 16_384
ENDLESS_SAMPLES, SAMPLES_PER_ATOM = 1_000_000, 128


@dataclass(frozen=True)
class Session:
    """Everything that is decided before the first step. facts: what all recipes say alike."""

    data: Scaled
    plans: tuple[Plan, ...]
    facts: dict[str, Any]
    held_out: HeldOut | None
    patience: int | None

    @classmethod
    def of(cls, requests: Sequence[Request], data: Data, *, batch: int | None = None, seed: int = 0,
           codes: Codes | str | Path | bool | None = None, validate: Data | None = None, patience: int | None = None,
           normalise: str = "none", device: str = "cpu") -> Session:
        """Open the data, check every request. Raises InputError."""
        require_labels(requests)
        _require_device(device)
        stream = open_stream(data, batch, seed, codes, requests)
        judged = None if validate is None else held_out(_activations(validate, held_out=True), stream.width)
        if patience is not None and (judged is None or patience < 1):
            raise InputError("patience counts verdicts on held-out rows, at least 1: give rows to validate on, and a patience above 0")
        scaled = Scaled(stream, scale_for(lambda: stream.sample(SCALE_ROWS), normalise), device)
        plans = tuple(_plan(request, scaled) for request in requests)
        facts = {"rows": stream.rows, "data": stream.fingerprint(), "order": seed, "normalise": normalise,
                 "held_out": None if judged is None else judged.fingerprint, "patience": patience}
        return cls(scaled, plans, facts, judged, patience)

    def recipe(self, plan: Plan) -> dict[str, Any]:
        """What a run's folder remembers of its request."""
        return plan.recipe() | self.facts

    def require_free(self, out: Path) -> None:
        """Raise InputError where a run's folder holds something else: called early it spares a person the wait."""
        for plan in self.plans:
            folder_of(out, plan.label).finished(self.recipe(plan))


def follow(session: Session, out: Path | None, *, keep_every: int = 200, report: Callable[[Progress], None] | None = None,
           tensorboard: bool = False) -> list[Checkpoint]:
    """Take all runs from where they stand to their checkpoints. Raises KeyboardInterrupt after saving where the person asks to stop."""
    if keep_every < 1:
        raise InputError(f"states are kept every so many steps, at least 1, not {keep_every}")
    if tensorboard and out is None:
        raise InputError("TensorBoard reads files: give a folder for the run")
    made: dict[int, Checkpoint] = {}
    runs: dict[int, Run] = {}
    for index, plan in enumerate(session.plans):
        folder, recipe = folder_of(out, plan.label), session.recipe(plan)
        if (done := folder.finished(recipe)) is not None:
            made[index] = done
            continue
        manner = Manner(keep_every, session.held_out, max(1, -(-plan.task.steps // VERDICTS)), session.patience, report, tensorboard)
        runs[index] = Run(plan, session.data, folder, manner, recipe, _metadata(session.data.stream))
    for run in runs.values():
        run.folder.claim()
    with stop_requests() as stopped:
        _take_steps(session.data, runs, made, stopped)
    return [made[index] for index in range(len(session.plans))]


def _take_steps(data: Scaled, runs: dict[int, Run], made: dict[int, Checkpoint], stopped: list[int]) -> None:
    while len(left := {index: run for index, run in runs.items() if index not in made}):
        step = min(run.done for run in left.values())
        due = {index: run for index, run in left.items() if run.done == step}
        for index in [index for index, run in due.items() if not run.going]:
            made[index] = due.pop(index).finish()
        if not due:
            continue
        batch = _read(data, step, next(iter(due.values())))
        for run in due.values():
            run.step(batch)
        if stopped:
            raise KeyboardInterrupt(_stop(list(left.values())))


def _read(data: Scaled, step: int, run: Run) -> Batch:
    try:
        return data[step]
    except InputError as error:
        raise InputError(f"stopped before step {step + 1}: {error}; {run.folder.safe()}") from error


def _stop(runs: list[Run]) -> str:
    for run in runs:
        run.keep()
    first = runs[0]
    kept = f", kept in {first.folder.path}: the same command goes on from there" if first.folder.path else ""
    others = f" (and {len(runs) - 1} more runs)" if len(runs) > 1 else ""
    return f"stopped at step {first.done} of {first.plan.task.steps}{others}{kept}"


def open_stream(data: Data, batch: int | None, seed: int, codes: Codes | str | Path | bool | None, requests: Sequence[Request]) -> Stream:
    """A stream over data of any kind, its batches as large as the learners prefer where the person does not say. Raises InputError."""
    if isinstance(data, Source):
        if isinstance(codes, (Codes, str, Path)):
            raise InputError("a source knows its own codes: say codes=True")
        size = preferred_batch(requests, None, data.n_atoms, bool(codes)) if batch is None else batch
        return Drawn(data, size, known=bool(codes))
    if codes is True:
        raise InputError("the true codes of recorded activations are not known: give them, or learn from a source")
    activations, known = _activations(data), _codes(codes or None)
    offered = None if known is None else known.n_atoms
    size = preferred_batch(requests, len(activations), offered, known is not None) if batch is None else batch
    return Recording(activations, size, seed, codes=known)


def preferred_batch(requests: Sequence[Request], rows: int | None, offered: int | None, codes: bool) -> int:
    """The largest batch that a learner of the requests asks for."""
    found = []
    for request in requests:
        learner = cast(type[Learner], registry.member("learners", members_of(request, codes)[0]))
        found.append(learner.preferred_batch(_atoms(request, offered), max(request.k, 1), rows))
    return max(found)


def default_steps(rows: int | None, batch: int, atoms: int = 0) -> int:
    """Fourteen passes over the data, but at least 500 steps and at most 20 million samples.

    Of a source, which has no end, a million samples, or 128 an atom where that is more.
    """
    if rows is None:
        return max(max(ENDLESS_SAMPLES, SAMPLES_PER_ATOM * atoms) // batch, 1)
    return int(min(max(14 * rows / batch, 500), max(20e6 / batch, 1)))


def _plan(request: Request, data: Scaled) -> Plan:
    stream = data.stream
    learner, encoder = members_of(request, stream.code_atoms is not None)
    options, encoder_options = split_options(learner, encoder, request.options)
    known, atoms = request.dictionary, _atoms(request, stream.code_atoms or stream.true_atoms)
    _require_memory(atoms, stream.width)
    if request.steps is not None and request.steps < 1:
        raise InputError(f"the number of steps must be at least 1, not {request.steps}")
    steps = request.steps or default_steps(stream.rows, stream.batch, atoms)
    task = Task(atoms, stream.width, request.k, steps, stream.batch, request.seed,
                None if known is None else unfolded(known, data.scale).to(torch.float32).to(data.device), data.device)
    return Plan(request.label, learner, encoder, task, request.teacher, options, encoder_options, known,
                None if request.start is None else request.start.rescaled(1 / data.scale).to(data.device))


def _require_memory(atoms: int, width: int) -> None:
    """Atoms, and what is remembered of each while it learns, must fit: the system would end the process without a word."""
    needed, there = 12 * atoms * width, os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    if needed > there:
        raise InputError(f"{atoms:,} atoms of width {width} need more than {needed / 1e9:,.0f} GB while they learn; "
                         f"this machine has {there / 1e9:,.0f} GB")


def _require_device(name: str) -> None:
    try:
        there = torch.empty(0, device=name).device.type in ("cpu", "cuda", "mps")
    except (RuntimeError, AssertionError) as error:
        raise InputError(f"the device '{name}' is not to be had here: {str(error).splitlines()[0]}") from error
    if not there:
        raise InputError(f"the device must be cpu, cuda or mps, not '{name}'")


def _atoms(request: Request, offered: int | None) -> int:
    if request.atoms is not None and request.atoms < 1:
        raise InputError(f"the number of atoms must be at least 1, not {request.atoms}")
    atoms = request.atoms or (offered if request.dictionary is None else request.dictionary.n_atoms)
    if atoms is None:
        raise InputError("say how many atoms to learn (--atoms), or give a dictionary that is known")
    return atoms


def _activations(data: Data, held_out: bool = False) -> Activations:
    if isinstance(data, Source):
        if held_out:
            return Activations.of(data.test(SCALE_ROWS).x, description="held-out samples of the source")
        raise InputError("a source is not a recording")
    if isinstance(data, Tensor):
        return Activations.of(data)
    if isinstance(data, Activations):
        return data
    from sparsegap.recordings import open_activations

    return open_activations(data, "test" if held_out else "train")


def _codes(given: Codes | str | Path | bool | None) -> Codes | None:
    if given is None or isinstance(given, Codes):
        return given
    from sparsegap.code_store import CodesStore

    return CodesStore.open(str(given)).load()


def _metadata(stream: Stream) -> Metadata:
    """What the data say of themselves, and the licences that travel with what is learned from them."""
    source = stream.activations if isinstance(stream, Recording) else None
    told = source.manifest.source if isinstance(source, ActivationStore) else None
    if told is None:
        return Metadata(source={"activations": stream.description})
    licences = [f"model: {told.model_licence}" if told.model_licence else "", f"text: {told.text_licence}" if told.text_licence else ""]
    return Metadata(source={"activations": stream.description, **told.model_dump(mode="json")},
                    licence="; ".join(filter(None, licences)) or None)
