"""An experiment for tests: cheap rows that depend on every option and seed, and on request slow, wrong or fatal ones."""

from __future__ import annotations

import os
import signal
import time
from typing import Any, Literal

import torch

from sparsegap.errors import InputError

VERSION = 3
COLUMNS = ("score", "step", "nothing")


def tiny(
    *,
    size: int = 4,
    scale: float = 1,
    kind: Literal["a", "b"] = "a",
    note: str | None = None,
    sizes: list[int] = [1, 2],  # noqa: B006
    pause: float = 0.0,
    how: Literal["well", "refused", "wrong", "killed"] = "well",
    log: str = "",
    seeds: list[int],
) -> list[dict[str, Any]]:
    """Sums of random numbers: two steps a seed."""
    if log:
        with open(log, "a") as file:
            file.write(f"{kind} {size} {scale}\n")
    time.sleep(pause)
    if how == "killed":
        os.kill(os.getpid(), signal.SIGKILL)
    if how == "refused":
        raise InputError(f"size must be odd, not {size}")
    if how == "wrong":
        raise ZeroDivisionError("by design")
    rows = []
    for seed in seeds:
        generator = torch.Generator().manual_seed(seed + 1000 * size)
        for step in (0, 1):
            score = scale * torch.rand(size, generator=generator).sum() + (kind == "b")
            rows.append({"seed": seed, "step": step, "score": score, "nothing": float("nan")})
    return rows


def flops(*, size: int, seeds: list[int], **options: Any) -> float:
    """Per number drawn. Refuses a size that `tiny` would not take."""
    if size > 1000:
        raise InputError(f"size must be at most 1000, not {size}")
    return 1e6 * size * len(seeds)
