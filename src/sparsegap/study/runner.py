"""Studies run: what is stored is skipped, the rest is computed, every finished trial is stored at once, wherever it is wanted.

Several studies are one run: a trial that two of them want is computed once, and the processes go on to the next study while the last trial
of one is still running.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

from sparsegap.study.agenda import Agenda, Job
from sparsegap.study.expected import filled
from sparsegap.study.plan import Plan
from sparsegap.study.provenance import processor, versions
from sparsegap.study.work import Outcome, Task
from sparsegap.study.workers import Event, in_processes
from sparsegap.study.writer import StoreWriter, begin_collection

Map = Callable[[Sequence[Task], int], Iterator[Event | None]]


class Progress(NamedTuple):
    """How a run stands. `left`: expected seconds until its end; `ended`: the trial that has just ended, with its
    outcome; `ready`: a store that has all its trials now, whose page can be drawn."""

    done: int
    total: int
    failed: int
    running: tuple[str, ...]
    left: float | None
    ended: tuple[str, Outcome] | None = None
    ready: Path | None = None


def run(wanted: Agenda, processes: int, compute_all: Map = in_processes) -> Generator[Progress, None, None]:
    """Do what an agenda says, in at most so many processes; yields after every event and every moment in between.

    Closing the iterator ends the processes; what had finished is stored. Raises InputError where a folder cannot be written.
    """
    if wanted.collection is not None:
        begin_collection(*wanted.collection)
    with ExitStack() as stack:
        writers = []
        for target in wanted.targets:
            writers.append(StoreWriter(target.folder, target.plan, target.checked.declared.source))
            stack.callback(writers[-1].close)
        for place, line in wanted.copies:
            writers[place].append(line)
        events = compute_all([job.task for job in wanted.jobs], processes)
        stack.callback(getattr(events, "close", lambda: None))
        yield from _followed(wanted, writers, events, processes)


def _followed(wanted: Agenda, writers: list[StoreWriter], events: Iterator[Event | None], processes: int) -> Iterator[Progress]:
    course = Course(wanted, processes)
    waiting = course.ready  # pages of studies that lack nothing are drawn while others compute
    for event in events:
        if event is None:
            yield course.now()
            continue
        if event.outcome is None:
            course.begin(event.task.key)
            yield course.now()
        else:
            yield from _stored(wanted, writers, course, event.task.key, event.outcome)
        while waiting:
            yield course.now(ready=wanted.targets[waiting.pop(0)].folder)
    for place in waiting:
        yield course.now(ready=wanted.targets[place].folder)


def _stored(wanted: Agenda, writers: list[StoreWriter], course: Course, key: str, outcome: Outcome) -> Iterator[Progress]:
    job = course.jobs[key]
    for place in job.places:
        writers[place].append(_line(job, place, wanted.targets[place].plan, outcome))
    ready = course.end(key, outcome)
    yield course.now(ended=(job.name, outcome))
    for place in ready:
        yield course.now(ready=wanted.targets[place].folder)


class Course:
    """How a run stands, from what has begun and ended. `ready`: places of targets that lacked no trial from the start."""

    def __init__(self, wanted: Agenda, processes: int) -> None:
        self.jobs = {job.task.key: job for job in wanted.jobs}
        self.expected = dict(zip(self.jobs, filled([job.seconds for job in wanted.jobs]), strict=True))
        self.processes = processes
        self.running: dict[str, float] = {}
        self.ended: dict[str, float] = {}
        self.failed = 0
        self.lacking = {place: {key for key, job in self.jobs.items() if place in job.places} for place in range(len(wanted.targets))}
        self.ready = [place for place, keys in self.lacking.items() if not keys]

    def begin(self, key: str) -> None:
        """A job has begun."""
        self.running[key] = time.perf_counter()

    def end(self, key: str, outcome: Outcome) -> list[int]:
        """A job has ended; the places of the targets that now have all their trials."""
        del self.running[key]
        self.ended[key] = outcome.seconds
        self.failed += outcome.error is not None
        places = self.jobs[key].places
        for place in places:
            self.lacking[place].discard(key)
        return [place for place in places if not self.lacking[place]]

    def now(self, ended: tuple[str, Outcome] | None = None, ready: Path | None = None) -> Progress:
        """What there is to tell."""
        running = tuple(self.jobs[key].name for key in self.running)
        return Progress(len(self.ended), len(self.jobs), self.failed, running, self.seconds_left(), ended, ready)

    def seconds_left(self) -> float | None:
        """Until the end: expected seconds of what has not ended, by how long the ended ones took against what was expected of them."""
        if not any(self.expected.values()):
            return None
        foreseen = sum(self.expected[key] for key in self.ended)
        slower = sum(self.ended.values()) / foreseen if foreseen else 1.0
        now = time.perf_counter()
        spent = {key: now - began for key, began in self.running.items()}
        left = [max(0.0, slower * self.expected[key] - spent.get(key, 0.0)) for key in self.jobs if key not in self.ended]
        return max(sum(left) / self.processes, max(left, default=0.0))


def _line(job: Job, place: int, plan: Plan, outcome: Outcome) -> dict[str, Any]:
    """A stored trial."""
    trial = next(trial for where, trial in job.wanted if where == place)
    return {
        "key": trial.key, "study": plan.study, "block": trial.block, "variant": trial.variant, "labels": trial.labels,
        "experiment": trial.experiment, "version": trial.version, "options": trial.options, "seeds": trial.seeds, "rows": outcome.rows,
        "error": outcome.error, **({"traceback": outcome.traceback} if outcome.traceback else {}),
        **({"warnings": list(outcome.warnings)} if outcome.warnings else {}), "seconds": round(outcome.seconds, 4),
        "flops": job.flops, "versions": versions(), "device": processor(), "threads": 1,
        "when": datetime.now(UTC).isoformat(timespec="seconds").replace("+00:00", "Z"),
    }
