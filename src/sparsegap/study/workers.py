"""Processes that compute trials, one thread each.

A process is used for many trials. It is told nothing but tasks and says nothing but outcomes; one that dies costs the trial that it had.
When the parent dies, however it dies, its processes notice at once and end. Ctrl-C is the parent's affair: they do not hear it.
"""

from __future__ import annotations

import os
import signal
import threading
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from multiprocessing import connection, get_context, parent_process
from multiprocessing.connection import Connection
from typing import NamedTuple

from sparsegap.study.work import Outcome, Task, compute

THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "VECLIB_MAXIMUM_THREADS", "NUMBA_NUM_THREADS")
TICK = 0.2  # seconds between looks at the clock and at Ctrl-C
PATIENCE = 2.0  # seconds that a process gets to end before it is killed


class Event(NamedTuple):
    """A task was begun, or (with an outcome) has ended."""

    task: Task
    outcome: Outcome | None = None


def in_processes(tasks: Sequence[Task], jobs: int) -> Iterator[Event | None]:
    """Compute tasks in `jobs` processes, begun in the order given; yields as they begin and end, and None every moment in between.

    This is the one function to replace where trials should be computed elsewhere. Closing the iterator ends all processes.
    """
    waiting, size = deque(tasks), min(jobs, len(tasks))
    pool: list[_Worker] = []
    try:
        while waiting or any(worker.task for worker in pool):
            while waiting and len(pool) < size:
                pool.append(_Worker())
            for worker in pool:
                if waiting and worker.task is None:
                    yield Event(worker.give(waiting.popleft()))
            heard = connection.wait([worker.pipe for worker in pool if worker.task], timeout=TICK)
            for worker in [worker for worker in pool if worker.pipe in heard]:
                yield worker.ended()
                if not worker.alive:
                    pool.remove(worker)
            if not heard:
                yield None
    finally:
        for worker in pool:
            worker.stop()


class _Worker:
    """A process, the pipe to it, and what it is computing."""

    def __init__(self) -> None:
        context = get_context("spawn")
        self.pipe, theirs = context.Pipe()
        self.process = context.Process(target=_serve, args=(theirs,), daemon=True)
        with _one_thread(), _deaf():
            self.process.start()
        theirs.close()  # so that the end of the process is the end of the pipe
        self.task: Task | None = None
        self.alive = True

    def give(self, task: Task) -> Task:
        self.task = task
        with suppress(OSError):  # it has died already: its end of the pipe says so when it is read
            self.pipe.send(task)
        return task

    def ended(self) -> Event:
        """The outcome of its task; of a process that died, that."""
        task, self.task = self.task, None
        assert task is not None
        try:
            return Event(task, self.pipe.recv())
        except (EOFError, OSError):
            self.alive = False
            self.stop()
            return Event(task, Outcome([], 0.0, f"its process ended ({_end(self.process.exitcode)})"))

    def stop(self) -> None:
        self.pipe.close()
        self.process.terminate()
        self.process.join(PATIENCE)
        if self.process.is_alive():
            self.process.kill()
            self.process.join()


def _end(code: int | None) -> str:
    if code is None or code >= 0:
        return f"exit status {code}"
    killed = " as a system does that runs out of memory" if -code == signal.SIGKILL else ""
    return f"killed by {signal.Signals(-code).name}{killed}"


def _serve(pipe: Connection) -> None:
    """What a process does: tasks from the pipe, outcomes into it, until the pipe or the parent ends."""
    threading.Thread(target=_end_with_parent, daemon=True).start()
    import torch

    torch.set_num_threads(1)
    while True:
        try:
            pipe.send(compute(pipe.recv()))
        except (EOFError, OSError):
            return


def _end_with_parent() -> None:
    parent = parent_process()
    if parent is not None:
        connection.wait([parent.sentinel])
    os._exit(1)


@contextmanager
def _one_thread() -> Iterator[None]:
    """Processes begun here inherit an environment in which every library keeps to one thread."""
    before = {name: os.environ.get(name) for name in THREADS}
    os.environ.update(dict.fromkeys(THREADS, "1"))
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


@contextmanager
def _deaf() -> Iterator[None]:
    """Processes begun here do not hear Ctrl-C, from their first instruction on."""
    try:
        before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    except ValueError:  # not the main thread: nothing of this process hears it there
        yield
        return
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
