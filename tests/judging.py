"""Made-up rows that claims are judged from, and the judging of one claim."""

from __future__ import annotations

from typing import Any

import numpy as np

from sparsegap.study.claims import Claim
from sparsegap.study.records import Records
from sparsegap.study.verdicts import Verdict, verdicts

SC, SAE = {"method": "sc"}, {"method": "sae"}
LUCK = np.array([0.03, -0.02, 0.01, -0.03, 0.02])  # of a seed, the same for all methods
NOISE = 0.001 * np.array([1.0, -2.0, 0.0, 2.0, -1.0])


def rows(values: dict[str, Any], **more: Any) -> list[dict[str, Any]]:
    """One row a method and seed; a value may be one a seed."""
    return [
        {"variant": "faithful", "method": method, "seed": seed, "score": float(value), **more}
        for method, each in values.items()
        for seed, value in enumerate(np.broadcast_to(each, 5) if np.ndim(each) == 0 else each)
    ]


BETTER = rows({"sc": 0.7 + LUCK + NOISE, "sae": 0.6 + LUCK})


def claim(kind: str = "greater", **more: Any) -> Claim:
    return Claim(**{"says": "it is so", "kind": kind, "metric": "score", "a": SC, **more})


def judge(which: Claim, found: list[dict[str, Any]], options: tuple[str, ...] = ()) -> Verdict:
    (verdict,) = verdicts([which], Records(found, trials=[{"options": {name: row.get(name) for name in options}} for row in found]))
    return verdict


def curve(method: str, seed: int, points: dict[int, float], **more: Any) -> list[dict[str, Any]]:
    return [
        {"variant": "v", "method": method, "seed": seed, "step": step, "score": score, "mse": score, **more}
        for step, score in points.items()
    ]


CURVES = [row for seed in range(3) for row in curve("sc", seed, {0: 0.1, 50: 0.9 + 0.01 * seed, 100: 0.5})]


def widths(slope: float, seeds: int = 4) -> list[dict[str, Any]]:
    return [
        {"variant": "v", "method": method, "hidden": hidden, "seed": seed, "score": 0.5 + gain * (slope + 0.001 * seed) * np.log2(hidden)}
        for method, gain in (("sc", 1.0), ("sae", 0.5))
        for hidden in (16, 32, 64, 512)
        for seed in range(seeds)
    ]
