"""What a run will do: which trials are stored, which are to be computed, in which order, and about how long that takes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sparsegap.study.choosing import Placed, chooser
from sparsegap.study.declaration import Setting
from sparsegap.study.expected import Speed, calibrate, filled, wall_seconds
from sparsegap.study.finding import Asked, Checked
from sparsegap.study.plan import Plan, Trial
from sparsegap.study.store import read_trials
from sparsegap.study.work import Task
from sparsegap.study.writer import require_collection, require_free

Lines = dict[str, dict[str, Any]]
START_UP = 3.0  # seconds until a process computes
FAILED: dict[str, Any] = {"error": ""}


@dataclass(frozen=True)
class Target:
    """A study and the folder of its results."""

    checked: Checked
    folder: Path
    plan: Plan
    flops: list[float | None]


@dataclass
class Job:
    """A trial to compute, with all the places that want it. `name` is what it is called where it is wanted first."""

    name: str
    task: Task
    flops: float | None
    seconds: float | None
    wanted: list[tuple[int, Trial]] = field(default_factory=list)

    @property
    def places(self) -> list[int]:
        """The targets that want it."""
        return list(dict.fromkeys(place for place, _ in self.wanted))


@dataclass(frozen=True)
class Agenda:
    """What a run will do: jobs in the order they begin, and the stored lines that only need to be copied to the target that lacks them.

    `collection` is the folder of all targets and the file that names them; None for a single study.
    """

    collection: tuple[Path, bytes] | None
    targets: list[Target]
    jobs: list[Job]
    copies: list[tuple[int, dict[str, Any]]]
    chosen: int
    stored: int
    speed: Speed

    @property
    def flops(self) -> float:
        """Operations of all jobs whose experiments say how many."""
        return sum(job.flops or 0.0 for job in self.jobs)

    @property
    def same(self) -> int:
        """Trials to compute that another one is the same as."""
        return sum(len(job.wanted) - 1 for job in self.jobs)

    @property
    def unpriced(self) -> int:
        """Jobs of which nobody knows how long they take."""
        return sum(job.seconds is None for job in self.jobs)

    def seconds(self, processes: int) -> float:
        """About how long the run takes; jobs without a price are taken for the mean of the others."""
        seconds = wall_seconds(filled([job.seconds for job in self.jobs]), processes)
        return seconds + START_UP if seconds else 0.0


def agenda(asked: Asked, setting: Setting, out: Path, *, only: Sequence[str] = (), fresh: bool = False) -> Agenda:
    """What running a study or a collection would do; touches nothing. Raises InputError for a folder or an `only` that cannot be."""
    targets = [_target(each, setting, out / each.declared.name if asked.is_collection else out) for each in asked.studies]
    if asked.is_collection:
        require_collection(out)
    for target in targets:
        require_free(target.folder, target.plan.study)
    keep = chooser(only, [(target.plan.study, trial) for target in targets for trial in target.plan.trials])
    targets = [target for target in targets if any(keep((target.plan.study, trial)) for trial in target.plan.trials)]
    stored = [read_trials(target.folder) for target in targets]
    speed = calibrate()
    for lines in stored:
        speed.learn(lines.values())
    return _divided((out, asked.source) if asked.is_collection else None, targets, stored, keep, fresh, speed)


def _target(checked: Checked, setting: Setting, folder: Path) -> Target:
    product, declared = checked.products[setting], checked.declared
    plan = Plan(study=declared.name, title=declared.study.title, about=declared.study.about, setting=setting, trials=product.trials)
    return Target(checked, folder, plan, product.flops)


def _divided(collection: tuple[Path, bytes] | None, targets: list[Target], stored: list[Lines], keep: Callable[[Placed], bool],
             fresh: bool, speed: Speed) -> Agenda:
    """Each chosen trial is stored, to be copied from where it is, or to be computed once for all who want it."""
    done = {} if fresh else {key: line for lines in stored for key, line in lines.items() if line["error"] is None}
    chosen = [(place, trial, flops) for place, target in enumerate(targets)
              for trial, flops in zip(target.plan.trials, target.flops, strict=True) if keep((target.plan.study, trial))]
    jobs: dict[str, Job] = {}
    copies: dict[tuple[int, str], dict[str, Any]] = {}
    for place, trial, flops in chosen:
        if trial.key not in done:
            task = Task(trial.key, trial.experiment, trial.options, trial.seeds)
            name = f"{targets[place].plan.study}: {trial.name}" if len(targets) > 1 else trial.name
            jobs.setdefault(trial.key, Job(name, task, flops, speed.seconds(trial.experiment, flops))).wanted.append((place, trial))
        elif stored[place].get(trial.key, FAILED)["error"] is not None:
            copies[place, trial.key] = done[trial.key]
    order = sorted(jobs.values(), key=lambda job: (job.wanted[0][0], -(job.seconds or float("inf"))))
    there = sum(trial.key in done for _, trial, _ in chosen)
    return Agenda(collection, targets, order, [(place, line) for (place, _), line in copies.items()],
                  len(chosen), there, speed)
