"""What trials will cost before they run: their operations over a speed, measured on this machine or taken from stored trials."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from math import log
from typing import Any

import torch

from sparsegap.study.provenance import processor

SECONDS = 0.15  # of each calibration
SEEDS, BATCH, WIDTH, ATOMS = 4, 1024, 8, 16  # the paper's smallest training, whose speed is far from a processor's peak
LARGE = 1024  # rows and columns of matrices that come close to it
SMALL_TRIAL, LARGE_TRIAL = 1e10, 1e13  # operations of trials whose matrices are so; between them speed is interpolated
ALIKE = log(3)  # trials are alike in size; of such the fastest counts, since others also paid for what a process does once
MINUTE, HOUR = 60.0, 3600.0


@dataclass
class Speed:
    """Operations a second: of stored trials of the experiment on this processor, of those the nearest in size; else by calibration."""

    small: float
    large: float
    stored: dict[str, list[tuple[float | None, float]]] = field(default_factory=dict)

    @property
    def measured(self) -> bool:
        """Whether any stored trial was taken into account."""
        return bool(self.stored)

    def learn(self, trials: Iterable[Mapping[str, Any]]) -> None:
        """Take stored trials into account."""
        for trial in trials:
            if trial.get("error") is None and trial.get("device") == processor() and {"experiment", "seconds"} <= trial.keys():
                self.stored.setdefault(trial["experiment"], []).append((trial.get("flops"), float(trial["seconds"])))

    def seconds(self, experiment: str, flops: float | None) -> float | None:
        """About how long a trial takes on one core; None where nothing is known."""
        stored = self.stored.get(experiment, [])
        if flops is None:
            return sum(seconds for _, seconds in stored) / len(stored) if stored else None
        priced = [(known, seconds) for known, seconds in stored if known]
        if priced and flops > 0:
            nearest = min(abs(log(known / flops)) for known, _ in priced)
            return flops * min(seconds / known for known, seconds in priced if abs(log(known / flops)) < nearest + ALIKE)
        return flops / self.calibrated(flops)

    def calibrated(self, flops: float) -> float:
        """The speed that a trial of so many operations should have here."""
        share = log(max(flops, SMALL_TRIAL) / SMALL_TRIAL) / log(LARGE_TRIAL / SMALL_TRIAL)
        return float(self.small ** (1 - min(share, 1.0)) * self.large ** min(share, 1.0))


def calibrate() -> Speed:
    """Speeds of a small batched training step and of large matrix products on one thread, measured in a third of a second."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        return Speed(_speed_of_steps(), _speed_of_products())
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


def _speed_of_products() -> float:
    left, right = torch.ones(LARGE, LARGE), torch.ones(LARGE, LARGE)
    products, began = 0, time.perf_counter()
    while time.perf_counter() - began < SECONDS:
        torch.mm(left, right)
        products += 1
    return products * 2 * LARGE**3 / (time.perf_counter() - began)


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
        return f"{seconds:.0f} s" if seconds >= 1 else "under 1 s"
    if seconds < HOUR:
        return f"{seconds / MINUTE:.0f} min"
    return f"{seconds / HOUR:.1f} h"
