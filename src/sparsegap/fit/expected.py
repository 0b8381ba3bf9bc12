"""What a session would cost, measured on this machine before it begins."""

from __future__ import annotations

import time
from dataclasses import dataclass

from sparsegap.fit.session import Session

PARTS = 4  # of a run, a step in the middle of each being measured: learners that rise to k begin with cheaper ones


@dataclass(frozen=True)
class Expected:
    """seconds: of all steps of all runs, on this machine. flops: of the same. memory: bytes of all learners' states. rows: learned from,
    each counted every time.
    """

    seconds: float
    flops: float
    memory: int
    rows: int


def expected(session: Session) -> Expected:
    """Begin every run and take a few steps of its beginning, middle and end, none of which is kept. Reading the batches is part of it."""
    seconds = flops = 0.0
    memory = 0
    for plan in session.plans:
        learner, steps = plan.make(), plan.task.steps
        learner.begin(session.data.sample(learner.sample_rows))
        learner.step(session.data[0], 1)  # compiles what is not compiled yet
        numbers = sorted({max(1, round(steps * (part + 0.5) / PARTS)) for part in range(PARTS)})
        taken = []
        for place, number in enumerate(numbers):
            began = time.perf_counter()
            float(learner.step(session.data[min(place + 1, steps - 1)], number).loss)
            taken.append(time.perf_counter() - began)
        seconds += steps * sum(taken) / len(taken)
        flops += learner.flops() * steps
        memory += sum(t.numel() * t.element_size() for t in learner.state().values())
    rows = sum(plan.task.steps * plan.task.batch for plan in session.plans)
    return Expected(seconds, flops, memory, rows)
