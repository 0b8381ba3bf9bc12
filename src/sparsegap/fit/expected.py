"""What a session would cost, measured on this machine before it begins."""

from __future__ import annotations

import time
from dataclasses import dataclass

from sparsegap.fit.session import Session

REPEATS = 4


@dataclass(frozen=True)
class Expected:
    """seconds: of all steps of all runs, on this machine. flops: of the same. memory: bytes of all learners' states. rows: learned from,
    each counted every time. steps: of the longest run.
    """

    seconds: float
    flops: float
    memory: int
    rows: int
    steps: int


def expected(session: Session) -> Expected:
    """Begin every run and take a few steps, none of which is kept: the best of them counts. Reading the batches is part of it."""
    seconds = flops = 0.0
    memory = 0
    for plan in session.plans:
        learner = plan.make()
        learner.begin(session.data.sample(learner.sample_rows))
        taken = []
        for number in range(1, min(REPEATS, plan.task.steps) + 1):
            began = time.perf_counter()
            float(learner.step(session.data[number - 1], number).loss)
            taken.append(time.perf_counter() - began)
        seconds += min(taken) * plan.task.steps
        flops += learner.flops() * plan.task.steps
        memory += sum(t.numel() * t.element_size() for t in learner.state().values())
    steps = max(plan.task.steps for plan in session.plans)
    return Expected(seconds, flops, memory, sum(plan.task.steps * plan.task.batch for plan in session.plans), steps)
