"""Quality against cost as a grid of panels, dictionaries read in several ways, and the line of recovery over K."""

from __future__ import annotations

import itertools
import math
from typing import Any

import pytest
import vl_convert
from tests.study_records import grid, ladder

from sparsegap import charts
from sparsegap.drawing.mark_names import Frame, place
from sparsegap.drawing.rows import in_panels
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
    assert spec["usermeta"]["panels"] == {"across": 2, "least": 250, "aspect": None, "grid": True, "thinnest": 70}
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
    assert value_label("problem", "ksparse") == "codes with k active" and value_label("method", "ksparse") == "k by the solver"


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


def crowded() -> Records:
    """Thirteen methods, of which one of each two costs more and is worse; topk is read in two other ways."""
    cheap = ("topk", "topk+refit", "topk+omp", "relu", "gated", "prolu", "lista-2")
    dear = ("jumprelu", "omp", "mlp", "cut", "prune", "lasso")
    rows = [{"method": method, "atoms": 16, "seed": 0, "latent_mcc": 0.3 + 0.08 * place, "flops_inference": 100.0 * 2**place}
            for place, method in enumerate(cheap)]  # fmt: skip
    rows += [{"method": method, "atoms": 16, "seed": 0, "latent_mcc": 0.3, "flops_inference": 150.0 * 2**place}
             for place, method in enumerate(dear)]  # fmt: skip
    return Records(rows)


def test_many_marks_have_a_legend_and_shapes_and_names_only_on_the_frontier() -> None:
    spec = charts.spec(KINDS["tradeoff"](crowded()))
    drawn = {row["name"]: row for row in rows_of(spec)}
    corners = [row["corner"] for row in drawn.values() if row["corner"]]
    assert len(drawn) == 13 and len(corners) >= 4 and all(row["efficient"] for row in drawn.values() if row["corner"])
    assert not any(corner.startswith("f") for corner in corners)  # names stand at their marks
    marks = next(layer["encoding"] for layer in spec["layer"] if layer["mark"]["type"] == "point")
    assert marks["shape"]["scale"]["domain"] == ["own codes", "+ refit", "+ OMP"] and marks["shape"]["field"] == "reading"
    assert "TopK SAE" in marks["color"]["legend"]["labelExpr"] and "TopK SAE + OMP" not in marks["color"]["legend"]["labelExpr"]
    assert {row["reading"] for name, row in drawn.items() if not name.startswith("TopK SAE +")} == {"own codes"}
    shown = vl_convert.vegalite_to_vega(spec)["legends"]
    assert [next(name for name in ("fill", "shape") if name in legend) for legend in shown] == ["fill", "shape"]


def test_few_marks_have_no_legend() -> None:
    spec = charts.spec(KINDS["tradeoff"](Records(crowded().rows[:12])))
    marks = next(layer["encoding"] for layer in spec["layer"] if layer["mark"]["type"] == "point")
    assert marks["color"]["legend"] is None and marks["shape"]["legend"] is None
    assert all(row["corner"] for row in rows_of(spec))


def test_a_name_keeps_clear_of_an_interval() -> None:
    def corner(low: float | None, high: float | None) -> str:
        row = {"x": 5.0, "y": 5.0, "low": None, "high": None, "name": "OMP", "efficient": True}
        other = row | {"x": 5.6, "y": 1.0, "low": low, "high": high, "name": "", "efficient": False}
        place([row, other], Frame([0.0, 10.0], [0.0, 10.0], False, 300, 300), few=True, legend=True)
        return str(row["corner"])

    assert corner(None, None) == "above right" and corner(4.0, 6.5) in ("above left", "below left")


def test_panels_alike_but_for_the_last_column_follow_each_other() -> None:
    rows = [{"atoms": atoms, "dictionary": kind} for kind in ("known", "learned") for atoms in (16, 1000)]
    assert [name for name, _ in in_panels(rows, ["atoms", "dictionary"])] == [
        "N = 16, known", "N = 16, learned", "N = 1,000, known", "N = 1,000, learned"]  # fmt: skip


@pytest.mark.parametrize(("legend", "corner"), [(True, ""), (False, "further above")])
def test_where_a_legend_tells_the_colours_no_name_stands_away_from_its_mark(legend: bool, corner: str) -> None:
    row: dict[str, Any] = {"x": 5.0, "y": 5.0, "low": None, "high": None, "name": "OMP", "efficient": True}
    around = [(17, -13), (17, 15), (-17, 15), (-17, -13), (20, 0), (-20, 0)]  # pixels, in every corner at hand
    others = [row | {"x": 5 + right / 30, "y": 5 - down / 30, "name": "", "efficient": False} for right, down in around]
    place([row, *others], Frame([0.0, 10.0], [0.0, 10.0], False, 300, 300), few=False, legend=legend)
    assert row["corner"] == corner
