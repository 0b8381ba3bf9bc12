"""Schedules: what changes over a run by the number of the step alone, so that a resumed run needs no state for it."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

from sparsegap.errors import InputError

Shape = Literal["linear", "cosine", "constant"]


@dataclass(frozen=True)
class Schedule:
    """A learning rate: rises to `peak` over the share `warmup` of the steps, and falls to 0 over the last share `decay` of them.

    shape: of the fall; "constant" does not fall. Raises InputError for a peak outside (0, 1) or shares outside [0, 1].
    """

    peak: float
    steps: int
    warmup: float = 0.05
    decay: float = 0.7
    shape: Shape = "linear"

    def __post_init__(self) -> None:
        if not 0 < self.peak < 1:
            raise InputError(f"the learning rate must be between 0 and 1, not {self.peak:g}")
        if not (0 <= self.warmup <= 1 and 0 <= self.decay <= 1):
            raise InputError(f"warmup and decay are shares of the steps, between 0 and 1, not {self.warmup:g} and {self.decay:g}")
        if self.shape not in ("linear", "cosine", "constant"):
            raise InputError(f"the schedule must be linear, cosine or constant, not '{self.shape}'")

    def share(self, number: int) -> float:
        """Rate of a step, counted from 1, as a share of the peak."""
        done = number / self.steps
        rising = risen(number, self.steps, self.warmup)
        if self.shape == "constant" or done <= 1 - self.decay:
            return rising
        left = (1 - done + 1 / self.steps) / self.decay
        return rising * (min(left, 1.0) if self.shape == "linear" else 0.5 - 0.5 * math.cos(math.pi * min(left, 1.0)))

    def rate(self, number: int) -> float:
        """Rate of a step, counted from 1."""
        return self.peak * self.share(number)


def risen(number: int, steps: int, share: float) -> float:
    """0 to 1 linearly over the first `share` of the steps, 1 from then on."""
    return min(1.0, number / (share * steps)) if share > 0 else 1.0


def annealed(start: int, end: int, number: int, steps: int, share: float) -> int:
    """A whole number that goes from `start` to `end` geometrically over the first `share` of the steps."""
    return round(start * math.exp(math.log(end / start) * risen(number, steps, share)))
