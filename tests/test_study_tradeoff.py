"""Quality against cost as a grid of panels, dictionaries read in several ways, and the line of recovery over K."""

from __future__ import annotations

import itertools
import math
from typing import Any

import pytest
from tests.study_records import grid, ladder

from sparsegap import charts
from sparsegap.drawing.still import rows_of
from sparsegap.names import called, value_label
from sparsegap.study.check import figure_kinds
from sparsegap.study.records import Records

KINDS = figure_kinds()


def costs(view: dict[str, Any]) -> list[float]:
    """The domain of a panel's costs."""
    return list(view["layer"][0]["encoding"]["x"]["scale"]["domain"])


def test_levels_are_rows_of_one_scale_of_costs() -> None:
    spec = charts.spec(KINDS["tradeoff"](ladder(), panel=["atoms", "dictionary"]))
    views = spec["concat"]
    assert [view["title"]["text"] for view in views] == [f"N = {n}, {kind}" for n in ("16", "1,000") for kind in ("known", "learned")]
    assert spec["usermeta"]["panels"] == {"across": 2, "least": 250, "aspect": None, "grid": True}
    assert costs(views[0]) == costs(views[1]) != costs(views[2]) == costs(views[3])
    known = [row for row in rows_of(spec) if row["panel"] == 0]
    assert [row["method"] for row in known if row["efficient"]] == ["sae", "omp", "sc"]


def test_panels_of_one_column_are_no_grid() -> None:
    layout = charts.spec(KINDS["tradeoff"](ladder(), panel="atoms", shape="dictionary"))["usermeta"]["panels"]
    assert not layout["grid"]


def test_a_dictionary_has_one_colour_however_it_is_read() -> None:
    rows = [{"method": method, "atoms": 16, "seed": 0, "latent_mcc": 0.5 + 0.1 * place, "flops_inference": 100.0 * (place + 1)}
            for place, method in enumerate(("topk", "topk+omp", "topk+refit", "sae+ito"))]  # fmt: skip
    drawn = rows_of(charts.spec(KINDS["tradeoff"](Records(rows))))
    assert [row["method"] for row in drawn] == ["topk", "topk", "topk", "sae+ito"]
    assert [row["name"] for row in drawn] == ["TopK SAE", "TopK SAE + OMP", "TopK SAE + refit", "SAE + ITO"]


def test_a_reading_is_called_shortly_and_a_dictionary_by_what_it_is() -> None:
    assert called("refit") == "amplitudes refit"
    assert called("relu+refit") == "ReLU SAE + refit"
    assert value_label("dictionary_is", "known") == "dictionary known"


def test_the_line_of_recovery_over_the_active_atoms() -> None:
    spec = charts.spec(KINDS["heatmap"](grid(), x="active", y="width", of="sc", minus="sae", panel="atoms", boundary="atoms"))
    line = next(layer for layer in spec["concat"][1]["layer"] if layer["mark"]["type"] == "line")
    for point in spec["datasets"][line["data"]["name"]]:
        k, m = 3 * 3 ** point["across"], 8 * 2 ** point["up"]
        assert m == pytest.approx(2 * k * math.log(32 / k), rel=1e-3)


def test_names_of_marks_above_each_other_keep_their_order() -> None:
    rows = [{"method": method, "atoms": 16, "seed": 0, "latent_mcc": quality, "flops_inference": cost}
            for method, quality, cost in (("topk", 0.60, 100.0), ("relu", 0.50, 101.0), ("gated", 0.49, 100.5), ("prolu", 0.30, 101.0),
                                          ("mlp", 0.5, 900.0))]  # fmt: skip
    spec = charts.spec(KINDS["tradeoff"](Records(rows)))
    drawn = {row["method"]: row for row in rows_of(spec)}
    assert [drawn[name]["corner"] for name in ("topk", "relu", "gated", "prolu")] == ["beside"] * 4
    places = [drawn[name]["beside"] for name in ("topk", "relu", "gated", "prolu")]
    assert places == sorted(places, reverse=True)
    domain = spec["layer"][0]["encoding"]["y"]["scale"]["domain"]
    assert min(a - b for a, b in itertools.pairwise(places)) >= 0.99 * 15 / 300 * (domain[1] - domain[0])  # a line of text apart
    assert drawn["mlp"]["corner"] not in ("", "beside", "beside left") and "beside" not in drawn["mlp"]


def test_no_difference_has_no_sign() -> None:
    rows = [row | {"latent_mcc": 0.5 - 0.001 * (row["method"] == "sc")} for row in grid().rows]
    drawn = rows_of(charts.spec(KINDS["heatmap"](Records(rows), of="sc", minus="sae", panel="active")))
    assert {row["words"] for row in drawn} == {"0.00"}
