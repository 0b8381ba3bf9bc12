"""What trials will cost before they run: their operations over a speed, measured on this machine or taken from stored trials."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch

from sparsegap.study.provenance import processor

SECONDS = 0.3  # of the calibration
SEEDS, BATCH, WIDTH, ATOMS = 4, 1024, 8, 16  # the paper's smallest training, whose speed is far from a processor's peak
MINUTE, HOUR = 60.0, 3600.0


@dataclass
class Speed:
    """Operations a second of each experiment as its stored trials had them on this processor, and by calibration for the others."""

    calibrated: float
    spent: dict[str, tuple[float, float]] = field(default_factory=dict)
    plain: dict[str, tuple[int, float]] = field(default_factory=dict)

    @property
    def measured(self) -> bool:
        """Whether any stored trial was taken into account."""
        return bool(self.plain)

    def learn(self, trials: Iterable[Mapping[str, Any]]) -> None:
        """Take stored trials into account."""
        for trial in trials:
            if trial.get("error") is not None or trial.get("device") != processor():
                continue
            name, seconds, flops = trial["experiment"], float(trial["seconds"]), trial.get("flops")
            count, total = self.plain.get(name, (0, 0.0))
            self.plain[name] = (count + 1, total + seconds)
            if flops:
                operations, of_those = self.spent.get(name, (0.0, 0.0))
                self.spent[name] = (operations + flops, of_those + seconds)

    def seconds(self, experiment: str, flops: float | None) -> float | None:
        """About how long a trial takes on one core; None where nothing is known."""
        if flops is None:
            count, total = self.plain.get(experiment, (0, 0.0))
            return total / count if count else None
        operations, seconds = self.spent.get(experiment, (0.0, 0.0))
        return flops / (operations / seconds if operations and seconds else self.calibrated)


def calibrate() -> float:
    """Operations a second of a small batched training step on one thread, in a third of a second."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        return _speed_of_steps()
    finally:
        torch.set_num_threads(threads)


def _speed_of_steps() -> float:
    x, weights = torch.ones(SEEDS, BATCH, WIDTH), torch.ones(SEEDS, WIDTH, ATOMS)
    products, began = 0, time.perf_counter()
    while time.perf_counter() - began < SECONDS:
        codes = torch.relu(torch.bmm(x, weights))
        back = torch.bmm(codes, weights.transpose(1, 2))
        weights = weights * 0.99 + 0.01 * torch.bmm(back.transpose(1, 2), codes) / BATCH
        weights = weights / weights.norm(dim=1, keepdim=True)
        products += 3
    return products * 2 * SEEDS * BATCH * WIDTH * ATOMS / (time.perf_counter() - began)


def filled(seconds: Sequence[float | None]) -> list[float]:
    """The mean of the known ones for those that nobody knows; 0 where none is known."""
    known = [each for each in seconds if each is not None]
    return [sum(known) / len(known) if each is None and known else each or 0.0 for each in seconds]


def wall_seconds(seconds: Sequence[float], jobs: int) -> float:
    """From seconds of single trials to those of all in `jobs` processes: the longest one is a bound too."""
    return max(sum(seconds) / max(1, jobs), max(seconds, default=0.0))


def in_words(seconds: float) -> str:
    """A duration as a person says it."""
    if seconds < MINUTE:
        return f"{max(1, round(seconds))} s"
    if seconds < HOUR:
        return f"{seconds / MINUTE:.0f} min"
    return f"{seconds / HOUR:.1f} h"
