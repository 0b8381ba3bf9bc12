"""Figures of studies: pure, valid, in the house look, titled, described, equal to golden data; and that they draw what the rows say.

After a wanted change of what a figure shows: `python -m tests.test_study_figures` writes the golden data anew; read the diff.
"""

from __future__ import annotations

import json
import math
import re
import tomllib
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any, get_type_hints

import pytest
from tests.pages import HOSTILE
from tests.study_records import decoders, grid, ladder, penalised, priced, trained

from sparsegap import charts
from sparsegap.drawing.axes import fitting, log_ticks
from sparsegap.drawing.panels import abreast, even, sized
from sparsegap.drawing.rows import paper_value
from sparsegap.drawing.series import dashes, told_apart
from sparsegap.drawing.still import csv_text, drawn_width, rows_of, still, svg, without_pointing
from sparsegap.drawing.summaries import per_seed, spread, thinned
from sparsegap.errors import InputError
from sparsegap.label_places import PLACES, _box, _meet, apart, places
from sparsegap.study.check import figure_kinds
from sparsegap.study.records import Records
from sparsegap.study.values import read_value

GOLDEN = Path(__file__).parent / "data" / "study_figures_golden.json"
KINDS = figure_kinds()
LIGHT = {light for light, _ in charts.TOKENS.values()}
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
WITHOUT_AXES = ("framework",)


def spec_of(kind: str, records: Records | None = None, **options: Any) -> dict[str, Any]:
    make, given = EXAMPLES[kind]
    return charts.spec(KINDS[kind](records or make(), **(options or given)))


def drawn_data(spec: dict[str, Any]) -> dict[str, Any]:
    """The spec compiled to Vega, which is where unknown fields and clashing names fail."""
    import vl_convert

    return dict(vl_convert.vegalite_to_vega(json.dumps(sized(spec, 640)), vl_version=charts.vega_lite_version()))


@pytest.fixture(params=KINDS, scope="module")
def kind(request: pytest.FixtureRequest) -> str:
    assert request.param in EXAMPLES, f"{request.param} has no example here"
    return str(request.param)


@pytest.fixture(scope="module")
def spec(kind: str) -> dict[str, Any]:
    return spec_of(kind)


def test_pure(kind: str, spec: dict[str, Any]) -> None:
    records = EXAMPLES[kind][0]()
    before = json.dumps(records.rows)
    assert spec_of(kind, records, **EXAMPLES[kind][1]) == spec
    assert json.dumps(records.rows) == before


def test_data_equals_the_golden_file(kind: str, spec: dict[str, Any]) -> None:
    golden = json.loads(GOLDEN.read_text())
    assert kind in golden, f"{kind} has no golden data yet: run python -m tests.test_study_figures"
    assert json.loads(json.dumps(rows_of(spec))) == golden[kind]


def test_every_axis_says_what_it_is(kind: str, spec: dict[str, Any]) -> None:
    compiled = drawn_data(spec)
    views = [compiled, *(mark for mark in compiled["marks"] if mark["type"] == "group")]
    shown = [axis for view in views for axis in view.get("axes", []) if axis.get("labels", True)]
    assert bool(shown) is (kind not in WITHOUT_AXES)
    assert all(axis.get("title") for axis in shown)


def test_words_and_table(spec: dict[str, Any]) -> None:
    rows, meta = rows_of(spec), spec["usermeta"]
    assert meta["title"]
    assert len(spec["description"]) > 40
    assert rows
    assert len({row["key"] for row in rows}) == len(rows)
    assert all(set(meta["columns"]) <= set(row) for row in rows)
    assert csv_text(spec).count("\n") == len(rows) + 1


def test_every_colour_is_a_token(spec: dict[str, Any]) -> None:
    assert set(re.findall(r"#[0-9a-fA-F]{3,8}\b", json.dumps({**spec, "datasets": {}}))) <= LIGHT


def test_a_method_keeps_its_colour(spec: dict[str, Any]) -> None:
    found = re.findall(r'"domain": (\["sae"[^]]*\]), "range": (\["#[^]]*\])', json.dumps(spec))
    for domain, colours in found:
        assert json.loads(colours) == [charts.light(charts.token(method)) for method in json.loads(domain)]


def test_nothing_is_fetched(spec: dict[str, Any]) -> None:
    assert '"url"' not in json.dumps(spec)
    assert '"href"' not in json.dumps(spec)
    assert ("width" in spec) is ("concat" not in spec)


def test_nothing_to_draw(kind: str) -> None:
    empty = spec_of(kind, Records([]), **EXAMPLES[kind][1])
    assert bool(rows_of(empty)) is (kind == "framework")


@pytest.mark.parametrize("kind", ["curves", "dots", "tradeoff", "paths", "histogram", "matrices"])
def test_hostile_names_stay_text(kind: str) -> None:
    make, options = EXAMPLES[kind]
    records = make()
    rows = [row | {"method": row["method"] + HOSTILE if row["method"] == "sae" else row["method"]} for row in records.rows]
    drawn = svg(spec_of(kind, Records(rows, study=records.study), **options), 640)
    assert "<script" not in drawn
    assert "<img" not in drawn
    assert "alert(1)" in drawn


def test_an_unknown_column_is_a_sentence() -> None:
    with pytest.raises(InputError, match=r"figure4 has a column 'latent_mc'; the columns are: study, block"):
        KINDS["curves"](trained(), y="latent_mc")
    with pytest.raises(InputError, match="no row of figure4 has a column 'methot'"):
        KINDS["dots"](trained(), where={"methot": "sae"})


# What the kinds draw.


def lines(spec: dict[str, Any], method: str) -> list[dict[str, Any]]:
    return [row for row in rows_of(spec) if row["method"] == method]


def test_curves_are_means_over_seeds_with_students_interval() -> None:
    records = trained()
    point = lines(spec_of("curves", records, where={"variant": "faithful"}), "sc")[2]
    values = [row["latent_mcc"] for row in records.where(variant="faithful", method="sc", step=3000).rows]
    mean = sum(values) / 3
    half = 4.302653 * math.sqrt(sum((value - mean) ** 2 for value in values) / 2 / 3)
    assert point["y"] == pytest.approx(mean, rel=1e-5)
    assert [point["low"], point["high"]] == pytest.approx([mean - half, mean + half], rel=1e-5)
    assert point["seeds"] == 3


def test_curves_mark_the_step_that_validation_chose_and_the_end() -> None:
    rows = lines(spec_of("curves", trained(), where={"variant": "faithful"}), "sae")
    assert [row["step"] for row in rows if row["best"]] == [5000]
    assert [row["step"] for row in rows if row["end"]] == [6000]
    assert [row["step"] for row in rows if row["listed"]] == [5000, 6000]


def test_curves_show_original_and_recounted_flops_on_one_scale() -> None:
    spec = spec_of("curves", trained(), x=["flops_paper", "flops"], where={"variant": "corrected"})
    scales = [layer["encoding"]["x"]["scale"] for view in spec["concat"] for layer in view["layer"] if layer["mark"]["type"] == "line"]
    assert len(scales) == 2
    assert scales[0] == scales[1]
    assert scales[0]["type"] == "log"
    costs = [max(row["x"] for row in lines(spec, "sc") if row["panel"] == panel) for panel in (0, 1)]
    assert costs[0] == pytest.approx(60 * costs[1])


def test_curves_over_a_setting_compare_ends() -> None:
    rows = [row | {"depth": depth, "latent_mcc": row["latent_mcc"] + depth} for row in trained(["sae"]).rows for depth in (1, 2)]
    records = Records(rows, trials=[{"options": {"depth": 1}}])
    drawn = lines(spec_of("curves", records, x="depth", where={"variant": "faithful"}), "sae")
    last = [row["latent_mcc"] for row in trained(["sae"]).where(variant="faithful", step=6000).rows]
    assert [row["x"] for row in drawn] == [1, 2]
    assert drawn[0]["y"] == pytest.approx(1 + sum(last) / 3, rel=1e-5)


def test_curves_name_lines_at_their_ends_where_there_is_room() -> None:
    ends, legend = (json.dumps(spec_of("curves", trained(), where={"variant": "faithful"}, names=names)) for names in ("auto", "legend"))
    assert '"down"' in ends
    assert '"labelExpr": "({' not in ends
    assert '"down"' not in legend
    assert "SAE + ITO" in legend


def test_long_curves_are_thinned_but_keep_both_ends_and_what_is_marked() -> None:
    rows = lines(spec_of("curves", trained(["sae"], seeds=1, steps=400), where={"variant": "faithful"}), "sae")
    assert 60 < len(rows) < 100
    assert {rows[0]["step"], rows[-1]["step"]} == {1000, 400_000}
    assert [row["step"] for row in rows if row["best"]] == [399_000]
    assert thinned(5, 80) == [0, 1, 2, 3, 4]
    assert {0, 7, 99} <= set(thinned(100, 10, [7]))


def test_chance_and_the_papers_values() -> None:
    text = json.dumps(spec_of("curves", trained(), paper={"sae": 0.57}))
    assert "chance 0.42" in text
    assert "chance" not in json.dumps(spec_of("curves", trained(), chance=None))
    assert paper_value({"sae": 0.57}, ("sae", "SAE"), of="latent_mcc", panel="") == 0.57
    assert paper_value({"latent_mcc": {"SAE": 0.6}}, ("sae", "SAE"), of="latent_mcc", panel="") == 0.6
    assert paper_value({"faithful": {"sae": 0.7}}, ("sae", "SAE"), of="latent_mcc", panel="faithful") == 0.7
    assert paper_value({"sc": 0.7}, ("sae", "SAE"), of="latent_mcc", panel="") is None


def leveled(*levels: float) -> Records:
    """One method at sizes whose levels of chance are these."""
    return Records([{"method": "sae", "atoms": 16 * (n + 1), "l1": at, "seed": 0, "latent_mcc": 0.6, "latent_mcc_chance": level, "mse": at}
                    for n, level in enumerate(levels) for at in (0.1, 1.0)], study="leveled")  # fmt: skip


@pytest.mark.parametrize("kind", ["curves", "dots", "paths"])
def test_levels_of_chance_that_differ_are_not_averaged(kind: str) -> None:
    given: dict[str, Any] = {"curves": {"x": "l1"}, "dots": {"y": "latent_mcc"}, "paths": {"y": "latent_mcc", "x": "mse"}}[kind]
    apart, alike = (spec_of(kind, leveled(*levels), colour="atoms", chance="auto", **given) for levels in ((0.3, 0.5), (0.3, 0.31)))
    assert "chance 0.40" not in json.dumps(apart)
    assert "each for what it stands with" in apart["usermeta"]["note"]
    assert "chance 0.30" in json.dumps(alike) or "chance 0.31" in json.dumps(alike)
    assert "The dotted line is the level of chance." in alike["usermeta"]["note"]
    assert kind != "paths" or '"legend": null' not in json.dumps(apart["layer"][0])


def test_a_score_reaches_hardly_beyond_one_whatever_its_interval_says() -> None:
    assert fitting("latent_mcc", [0.7, 1.3]) == pytest.approx([0.664, 1.02])
    assert fitting("loss", [0.7, 1.3]) == pytest.approx([0.664, 1.336])


def test_runs_of_very_different_length_have_axes_of_their_own() -> None:
    rows = [row for row in trained().rows if row["variant"] == "faithful" or row["step"] <= 1000]
    spec = spec_of("curves", Records(rows), y="latent_mcc")
    ends = [view["layer"][0]["encoding"]["x"]["scale"]["domain"][1] for view in spec["concat"]]
    assert ends[0] > 3 * ends[1]
    assert "panels end at different training steps" in spec["usermeta"]["note"]
    assert "Mind the axis" not in spec_of("curves", trained(), y="latent_mcc")["usermeta"]["note"]


def test_costs_begin_with_the_first_logged_step() -> None:
    rows = [row | {"step": row["step"] - 1000} for row in trained(["sae"]).rows]
    steps = {row["step"] for row in rows_of(spec_of("curves", Records(rows), x="flops"))}
    assert min(steps) == 1000
    assert min(row["step"] for row in rows_of(spec_of("curves", Records(rows), x="step"))) == 0


def test_values_of_the_paper_that_are_close_stand_beside_each_other_and_in_the_table() -> None:
    spec = spec_of("curves", trained(), paper={"sae": 0.57, "sc": 0.57}, where={"variant": "faithful"})
    assert {layer["mark"]["xOffset"] for layer in spec["layer"] if "xOffset" in layer["mark"]} == {7, 18}
    assert [row["paper"] for row in lines(spec, "sae") if row["end"]] == [0.57]
    assert spec["usermeta"]["columns"]["paper"] == "the paper"


def test_a_path_along_its_own_axis_has_its_values_as_ticks() -> None:
    spec = spec_of("paths", penalised(), x="l1", along="l1", log_x=True, y="mse")
    assert spec["layer"][0]["encoding"]["x"]["axis"]["values"] == [0.01, 0.1, 1.0]


def test_dots_take_the_last_step_or_the_one_that_validation_chose() -> None:
    records = trained()
    for at, step in (("last", 6000), ("best", 5000)):
        row = next(row for row in rows_of(spec_of("dots", records, at=at)) if row["method"] == "sc" and row["group"] == "corrected")
        values = [each["latent_mcc"] for each in records.where(variant="corrected", method="sc", step=step).rows]
        assert row["y"] == pytest.approx(sum(values) / 3, rel=1e-5)
        assert row["seeds"] == 3


def test_a_heat_map_takes_differences_seed_by_seed() -> None:
    rows = rows_of(spec_of("heatmap"))
    assert len(rows) == 18
    above = next(row for row in rows if (row["panel"], row["x"], row["y"]) == (0, 16, 16))
    assert above["value"] == pytest.approx(0.1)
    assert [above["low"], above["high"]] == pytest.approx([0.1, 0.1])  # the seeds' own scatter cancels
    assert above["words"] == "+0.10"
    assert next(row for row in rows if (row["panel"], row["x"], row["y"]) == (1, 64, 8))["words"] == "−0.02"


def test_the_boundary_of_recovery() -> None:
    spec = spec_of("heatmap", grid(), of="sc", minus="sae", panel="active", boundary="active")
    line = next(layer for layer in spec["concat"][0]["layer"] if layer["mark"]["type"] == "line")
    points = spec["datasets"][line["data"]["name"]]
    for point in points:
        n, m = 16 * 2 ** point["across"], 8 * 2 ** point["up"]
        assert m == pytest.approx(2 * 3 * math.log(n / 3), rel=1e-3)


def test_the_points_of_break_even_are_where_costs_are_equal() -> None:
    from sparsegap.break_even import break_even

    spec = spec_of("break_even")
    rows = {(row["where"], row["name"]): row for row in rows_of(spec)}
    counted = {name: rows["FLOPs of training", name] for name in ("sparse coding", "SAE", "MLP 32")}
    first = break_even(*(counted[name][cost] for name in ("sparse coding", "SAE") for cost in ("train", "inference")))
    assert counted["SAE"]["from"] == first.samples == pytest.approx(20)
    assert counted["SAE"]["cost"] == pytest.approx(1e4 + 20 * 1e3)
    assert (counted["SAE"]["to"], counted["MLP 32"]["from"], counted["MLP 32"]["to"]) == (5000, 5000, None)
    assert counted["SAE"]["stretch"] == "20 to 5,000 samples"
    assert rows["flops train paper", "sparse coding"]["stretch"] == "nowhere"
    assert "FLOPs of training: sparse coding up to 20 samples, then SAE up to 5,000 samples, then MLP 32." in spec["usermeta"]["note"]
    drawn = json.dumps(spec)
    assert drawn.count('"mark": "20"') and '"least": 11000' in drawn


def test_break_even_with_one_ledger_and_ends_of_ones_own() -> None:
    one = spec_of("break_even", priced(), where={"method": ["sc", "sae"]}, samples=[10.0, 1000.0])
    assert "Cheapest: sparse coding up to 20 samples, then SAE." in one["usermeta"]["note"]
    alone = spec_of("break_even", priced(), where={"method": "sae"}, quality=None)
    assert "Cheapest: SAE always." in alone["usermeta"]["note"]
    assert "quality" not in alone["usermeta"]["columns"]
    with pytest.raises(InputError, match="go in pairs, but there are 2, 1 and 2"):
        KINDS["break_even"](priced(), train=["flops_train", "flops_train_paper"])
    with pytest.raises(InputError, match="two ends of an axis"):
        KINDS["break_even"](priced(), samples=[5.0, 2.0])


def test_a_logarithmic_axis_leaves_out_what_has_none() -> None:
    records = Records([{"method": "ista", "seed": 0, "step": step, "iteration": step, "gap": 1.0 / (1 + step)} for step in (0, 1, 10)])
    assert [row["x"] for row in rows_of(charts.spec(KINDS["curves"](records, x="iteration", y="gap", log_x=True)))] == [1, 10]
    assert [row["x"] for row in rows_of(charts.spec(KINDS["curves"](records, x="iteration", y="gap")))] == [0, 1, 10]


def test_the_frontier_is_what_nothing_cheaper_equals() -> None:
    rows = [row for row in rows_of(spec_of("tradeoff")) if row["panel"] == 0 and row["kind"] == "known"]
    assert [row["method"] for row in rows if row["efficient"]] == ["sae", "omp", "sc"]
    assert all(row["corner"] for row in rows)
    total = rows_of(spec_of("tradeoff", ladder(), train="flops_train", samples=1000.0, panel="atoms"))
    assert total[0]["x"] == pytest.approx(1e9 + 1000 * 16 * 30)


def test_paths_follow_the_penalty() -> None:
    rows = [row for row in lines(spec_of("paths"), "sc") if row["panel"] == 0]
    assert [row["along"] for row in rows] == [0.01, 0.1, 1.0]
    assert rows[2]["x"] == pytest.approx(4.0)
    assert rows[2]["y"] == pytest.approx(0.021)


def test_matrices_and_their_limits() -> None:
    rows = rows_of(spec_of("matrices"))
    assert len(rows) == 32
    assert all(row["value"] == 1 for row in rows if row["row"] == row["column"])
    assert "in all panels" in spec_of("matrices")["usermeta"]["note"]
    faint = {"gram": [[0.1, 0.0], [0.0, 0.2]]}
    apart = spec_of("matrices", Records([row | faint if row["method"] == "sae" else row for row in decoders().rows]))
    assert "each panel has its own scale" in apart["usermeta"]["note"]
    assert {view["title"]["text"] for view in apart["concat"]} == {"SAE (to 0.2)", "sparse coding (to 1)"}
    assert "abs(datum.value) / 0.2" in json.dumps(apart["concat"][0])
    broken = Records([{"method": "sae", "seed": 0, "gram": [[1.0, 2.0], [3.0]]}])
    with pytest.raises(InputError, match="all of the same length"):
        KINDS["matrices"](broken)
    with pytest.raises(InputError, match="larger than the 4,096"):
        KINDS["matrices"](Records([{"method": "sae", "seed": 0, "gram": [[0.0] * 65] * 65}]))


def test_a_histogram_counts_every_value_once() -> None:
    rows = lines(spec_of("histogram"), "sae")
    assert sum(row["count"] for row in rows) == 6
    assert sum(row["share"] for row in rows) == pytest.approx(1.0, abs=1e-4)


# What they are made of.


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


def test_a_trade_off_has_a_mark_for_each_setting_that_varies() -> None:
    spec = spec_of("tradeoff", swept(), panel="atoms")
    rows = rows_of(spec)
    assert len(rows) == 8
    assert {row["setting"] for row in rows if row["method"] == "ista"} == {f"depth = {d}, K = {k}" for d in (1, 2) for k in (2, 4)}
    assert "a mark for each unrolled steps and active sources K" in spec["usermeta"]["note"]
    one = [row for row in swept().rows if row["depth"] == 1 and row["active"] == 2]
    assert "frontier" not in spec_of("tradeoff", Records(one), panel="atoms")["usermeta"]["note"]
    assert "frontier" in spec["usermeta"]["note"]


def test_what_is_averaged_beside_seeds_is_said() -> None:
    spec = spec_of("dots", swept(), colour="active")
    assert "Each is also a mean over: unrolled steps, method." in spec["usermeta"]["note"]
    points = [row for rows in spec["datasets"].values() for row in rows if "seed" in row]
    assert len(points) == 2 * 2  # a dot is a seed, not a run of it
    assert all(any(mean["low"] <= point["y"] <= mean["high"] for mean in rows_of(spec)) for point in points)
    assert "a mean over: active sources K." in spec_of("curves", swept(), x="depth")["usermeta"]["note"]
    assert "a mean over" not in spec_of("curves", swept(), x="depth", panel="active")["usermeta"]["note"]
    assert "a mean over" not in spec_of("curves")["usermeta"]["note"]


def test_names_of_points_at_one_place_do_not_cover_each_other() -> None:
    points = [(60.0, 150.0, "relu"), (60.0, 150.0, "TopK SAE"), (64.0, 152.0, "MLP 256"), (58.0, 148.0, "LISTA 2"), (62.0, 150.0, "OMP"),
              (61.0, 151.0, "lasso"), (60.0, 149.0, "refitted")]  # fmt: skip
    corners = places(points, 210, height=300)
    boxes = [_box(x, y, name, PLACES[corner]) for (x, y, name), corner in zip(points, corners, strict=True)]
    assert all(corners)
    assert not any(_meet(a, b) for number, a in enumerate(boxes) for b in boxes[:number])


def test_files() -> None:
    spec = spec_of("dots")
    assert still(spec, "pdf").startswith(b"%PDF")
    assert still(spec, "png", 85).startswith(b"\x89PNG")
    assert still(spec, "svg").startswith(b"<svg")
    assert json.loads(still(spec, "json"))["usermeta"]["title"] == "latent MCC"
    assert still(spec, "csv").decode().splitlines()[0] == "variant,method,latent MCC,interval from,to,seeds,the paper,chance"
    with pytest.raises(InputError, match="cannot be written as 'gif'; it can be written as svg, pdf, png, json, csv"):
        still(spec, "gif")
    with pytest.raises(InputError, match="60 to 1000 mm wide, not 5"):
        still(spec, "svg", 5)


def test_a_spreadsheet_runs_no_formula() -> None:
    rows = [row | {"method": "=cmd|' /C calc'!A0"} for row in trained(["sae"]).rows]
    assert "'=cmd|' /C calc'!A0" in csv_text(spec_of("dots", Records(rows), y="latent_mcc"))


def test_what_only_a_pointer_sees_is_not_printed() -> None:
    spec = spec_of("curves")
    plain = without_pointing(spec)
    assert len(plain["concat"][0]["layer"]) == len(spec["concat"][0]["layer"]) - 1
    assert '"pointing"' in json.dumps(spec)
    assert '"pointing"' not in json.dumps({**plain, "datasets": {}})


def test_the_examples_of_the_page_about_figures_can_be_written_so() -> None:
    text = (Path(__file__).parents[1] / "docs" / "study-figures.md").read_text()
    figures = [figure for block in re.findall(r"```toml\n(.*?)```", text, re.DOTALL) for figure in tomllib.loads(block)["figures"]]
    assert len(figures) == 3
    for figure in figures:
        hints = get_type_hints(KINDS[figure["kind"]], include_extras=True)
        for option, value in figure.items():
            if option not in ("name", "kind", "title"):
                read_value(hints[option], value)
    assert set(re.findall(r"^\| `(\w+)` \|", text, re.MULTILINE)) == set(KINDS)


if __name__ == "__main__":
    GOLDEN.write_text(json.dumps({each: rows_of(spec_of(each)) for each in sorted(KINDS)}, indent=1, ensure_ascii=False) + "\n")


def test_a_method_read_with_another_is_called_by_both() -> None:
    from sparsegap.charts import called

    assert called("topk+omp") == "TopK SAE + OMP"
    assert called("mlp-256+refit") == "MLP 256 + amplitudes refit"
    assert called("sae+ito") == "SAE + ITO"
    assert called("unheard_of") == "unheard_of"
