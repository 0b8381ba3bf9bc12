"""The example of each kind of figure that all checks are run on, and what its spec shows."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tests.study_records import decoders, grid, ladder, penalised, priced, trained

from sparsegap import charts
from sparsegap.drawing.still import rows_of
from sparsegap.study.check import figure_kinds
from sparsegap.study.records import Records

KINDS = figure_kinds()
EXAMPLES: dict[str, tuple[Callable[[], Records], dict[str, Any]]] = {
    "curves": (trained, {"x": ["flops_paper", "flops"], "paper": {"sae": 0.57}, "where": {"variant": "faithful"}}),
    "dots": (trained, {"paper": {"sc": 0.69}, "paired": True}),
    "heatmap": (grid, {"of": "sc", "minus": "sae", "panel": "active", "boundary": "active"}),
    "tradeoff": (ladder, {"shape": "dictionary"}),
    "break_even": (priced, {"train": ["flops_train_paper", "flops_train"], "inference": ["flops_inference_paper", "flops_inference"]}),
    "paths": (penalised, {"y": ["mse", "latent_mcc"]}),
    "matrices": (decoders, {}),
    "histogram": (decoders, {"bins": 4, "low": 0.0, "high": 1.0}),
    "framework": (decoders, {}),
}


def spec_of(kind: str, records: Records | None = None, **options: Any) -> dict[str, Any]:
    make, given = EXAMPLES[kind]
    return charts.spec(KINDS[kind](records or make(), **(options or given)))


def lines(spec: dict[str, Any], method: str) -> list[dict[str, Any]]:
    return [row for row in rows_of(spec) if row["method"] == method]


def swept() -> Records:
    """Two methods over depths and K, as a study that says nothing of either."""
    rows = [
        {"variant": "none", "method": method, "depth": depth, "active": k, "seed": seed, "flops_inference": 1000.0 * depth,
         "latent_mcc": 0.5 + 0.1 * depth - 0.05 * k + 0.001 * seed}
        for method in ("ista", "fista") for depth in (1, 2) for k in (2, 4) for seed in range(2)
    ]  # fmt: skip
    trials = [{"options": {"depth": depth, "active": k, "method": method}, "labels": {}}
              for depth in (1, 2) for k in (2, 4) for method in ("ista", "fista")]  # fmt: skip
    return Records(rows, study="swept", trials=trials)
