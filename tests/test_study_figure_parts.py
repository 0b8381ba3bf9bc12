"""What figures are made of: spread over seeds, names that keep apart, columns and widths, ticks, words for methods."""

from __future__ import annotations

from itertools import pairwise

import altair as alt
import pytest
from tests.figure_specs import spec_of
from tests.study_records import grid, trained

from sparsegap import charts
from sparsegap.drawing.axes import log_ticks, powers, quantitative
from sparsegap.drawing.panels import abreast, even, sized
from sparsegap.drawing.series import dashes, told_apart
from sparsegap.drawing.shading import position
from sparsegap.drawing.still import PAGE, PIXELS_PER_MM, drawn_height, drawn_width, rows_of, svg
from sparsegap.drawing.summaries import per_seed, spread
from sparsegap.drawing.titles import lines
from sparsegap.label_places import PLACES, _box, _meet, apart, places
from sparsegap.study.records import Records


def test_spread() -> None:
    assert spread([1.0, 2.0, 3.0], "mean", "range") == (2.0, 1.0, 3.0)
    assert spread([1.0, 2.0, 6.0], "median", "none") == (2.0, None, None)
    assert spread([1.0, 3.0], "mean", "interval") == (2.0, 1.0, 3.0)  # two seeds: their range
    assert spread([5.0]) == (5.0, None, None)
    assert spread([1.0, 2.0, 3.0], "mean", "sd") == (2.0, 1.0, 3.0)
    middle, low, high = spread([1.0, 2.0, 3.0, 9.0], "median")
    assert middle == 2.5
    assert low is not None and high is not None and 1.0 <= low < 2.5 < high <= 9.0


def test_variants_and_settings_are_never_lumped_as_seeds() -> None:
    rows = rows_of(spec_of("tradeoff", Records([row | {"flops_inference": 1e3} for row in trained().rows]), panel="atoms"))
    assert {row["where"] for row in rows} == {"faithful", "corrected"}
    assert {row["seeds"] for row in rows} == {3}
    references = [row | {"variant": None, "method": "omp"} for row in trained(["sc"]).where(variant="faithful").rows]
    joined = rows_of(spec_of("curves", Records([*trained(["sae"]).rows, *references]), y="latent_mcc"))
    assert {row["where"] for row in joined if row["method"] == "omp"} == {"faithful", "corrected"}
    assert {row["seeds"] for row in joined} == {3}
    assert per_seed([{"seed": 0, "y": 1.0}, {"seed": 0, "y": 3.0}, {"seed": 1, "y": 5.0}, {"seed": 1}], "y") == [2.0, 5.0]
    assert per_seed([{"y": 1.0}, {"y": 3.0}], "y") == [1.0, 3.0]


def test_names_that_nobody_listed_are_told_apart() -> None:
    names = ["16 / 8 / 3", "32 / 16 / 6", "64 / 16 / 6", "64 / 32 / 6", "sae"]
    tokens = told_apart(names)
    assert len(set(tokens)) == len(names)
    assert tokens[0] == charts.token(names[0])
    assert tokens[-1] == "vermilion"
    assert len({tuple(each) for each in dashes(names[:4])}) == 4


def test_a_grid_keeps_its_columns() -> None:
    assert [abreast({"across": 3, "grid": True}, fit) for fit in (0.5, 1, 2.9, 3)] == [1, 1, 1, 3]
    assert abreast({"across": 4, "grid": True}, 3) == 2
    assert abreast({"across": 3, "grid": False}, 2.9) == 2


def test_names_at_the_ends_keep_apart_and_inside() -> None:
    moved = apart([100.0, 101.0, 50.0, 259.0], 16, 260)
    assert moved[2] == 50.0
    assert moved[1] - moved[0] == pytest.approx(16)
    assert (moved[0] + moved[1]) / 2 == pytest.approx(100.5)
    assert moved[3] == 252.0
    crowd = sorted(apart([255.0, 256.0, 257.0, 230.0], 16, 260))
    assert all(b - a >= 16 - 1e-9 for a, b in pairwise(crowd))


def test_panels_fold_on_a_phone() -> None:
    assert [even(4, fit) for fit in (1, 2, 3.9, 4)] == [1, 2, 2, 4]
    spec = spec_of("curves")
    assert sized(spec, 340)["columns"] == 1
    assert sized(spec, 1000)["columns"] == 2
    assert sized(spec, 340)["config"]["legend"]["columns"] < sized(spec, 1000)["config"]["legend"]["columns"]
    assert "columns" in spec
    assert spec["concat"][0]["width"] == 300  # the spec itself is left alone


@pytest.mark.parametrize("kind", ["curves", "heatmap"])
@pytest.mark.parametrize("width", [321, 642])
def test_a_figure_is_as_wide_as_the_column(kind: str, width: int) -> None:
    assert drawn_width(svg(spec_of(kind), width)) == pytest.approx(width, abs=8)


def test_log_ticks() -> None:
    assert log_ticks(1e9, 1e12) == [1e9, 1e10, 1e11, 1e12]
    assert log_ticks(90.0, 1100.0) == [100.0, 200.0, 500.0, 1000.0]
    assert log_ticks(22_000.0, 28_500.0) == [22_000.0, 24_000.0, 26_000.0, 28_000.0]  # no 1, 2 or 5 is in it
    for factor in (1.02, 1.1, 1.5, 2.5, 4.0, 9.0):
        assert len(log_ticks(3.0, 3.0 * factor)) > 1, factor


def test_many_decades_have_few_ticks() -> None:
    assert log_ticks(5e-10, 20.0) == [1e-8, 1e-6, 1e-4, 1e-2, 1.0]
    assert powers([1e-8, 1e-6, 1.0, 20.0]).startswith('["1e-8", "1e-6", "1", "20"]')


def test_titles_are_as_wide_as_their_panel() -> None:
    assert lines("sparse coding, corrected", 96, 6.8) == ["sparse coding,", "corrected"]
    assert lines("sparse coding, corrected", 240, 6.8) == "sparse coding, corrected"
    assert lines("unbreakable title", 20, 6.8) == ["unbreakable", "title"]


def test_panels_of_one_column_stand_abreast_where_they_would_be_taller_than_a_page() -> None:
    rows = [row | {"block": block} for block in ("one", "another") for row in trained(["sae", "sc"]).rows]
    drawn = svg(spec_of("curves", Records(rows), y="latent_mcc", panel=["block", "variant"]), 321)
    assert drawn_height(drawn) <= PAGE * PIXELS_PER_MM
    assert drawn_width(drawn) == pytest.approx(321, abs=3)


def test_cells_stay_as_wide_as_their_numbers() -> None:
    first = grid().where(atoms=[16, 32], active=3).rows
    cells = [row | {"atoms": row["atoms"] * 4**size, "active": k} for size in range(3) for k in range(1, 9) for row in first]
    assert drawn_height(svg(spec_of("heatmap", Records(cells), panel="active", of="sc"), 321)) > PAGE * PIXELS_PER_MM


def test_ticks_that_are_given_all_stand_there() -> None:
    atoms = [16, 32, 64, 128, 256, 512]
    drawn = [position(alt.X, "across", atoms, "atoms"), quantitative(alt.X, "x", "steps", [1.0, 100.0], log=True)]
    axes = [each.to_dict()["axis"] for each in drawn]
    assert [axis["tickCount"] for axis in axes] == [len(axis["values"]) for axis in axes] == [6, 7]


def test_names_of_points_at_one_place_do_not_cover_each_other() -> None:
    points = [(60.0, 150.0, "relu"), (60.0, 150.0, "TopK SAE"), (64.0, 152.0, "MLP 256"), (58.0, 148.0, "LISTA 2"), (62.0, 150.0, "OMP"),
              (61.0, 151.0, "lasso"), (60.0, 149.0, "refitted")]  # fmt: skip
    corners = places(points, 210, height=300)
    boxes = [_box(x, y, name, PLACES[corner]) for (x, y, name), corner in zip(points, corners, strict=True)]
    assert all(corners)
    assert not any(_meet(a, b) for number, a in enumerate(boxes) for b in boxes[:number])


def test_a_method_read_with_another_is_called_by_both() -> None:
    assert charts.called("topk+omp") == "TopK SAE + OMP"
    assert charts.called("mlp-256+refit") == "MLP 256 + refit"
    assert charts.called("sae+ito") == "SAE + ITO"
    assert charts.called("unheard_of") == "unheard_of"
