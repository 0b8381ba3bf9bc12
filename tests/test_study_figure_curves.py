"""Curves and paths: means over seeds, the step that validation chose, levels of chance, the values of the paper, their axes."""

from __future__ import annotations

import json
import math
from typing import Any

import pytest
from tests.figure_specs import KINDS, lines, spec_of
from tests.study_records import penalised, trained

from sparsegap import charts
from sparsegap.drawing.axes import fitting
from sparsegap.drawing.panels import sized
from sparsegap.drawing.rows import paper_value
from sparsegap.drawing.still import rows_of
from sparsegap.drawing.summaries import thinned
from sparsegap.study.records import Records


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


def test_a_logarithmic_axis_leaves_out_what_has_none() -> None:
    records = Records([{"method": "ista", "seed": 0, "step": step, "iteration": step, "gap": 1.0 / (1 + step)} for step in (0, 1, 10)])
    assert [row["x"] for row in rows_of(charts.spec(KINDS["curves"](records, x="iteration", y="gap", log_x=True)))] == [1, 10]
    assert [row["x"] for row in rows_of(charts.spec(KINDS["curves"](records, x="iteration", y="gap")))] == [0, 1, 10]


def test_paths_follow_the_penalty() -> None:
    rows = [row for row in lines(spec_of("paths"), "sc") if row["panel"] == 0]
    assert [row["along"] for row in rows] == [0.01, 0.1, 1.0]
    assert rows[2]["x"] == pytest.approx(4.0)
    assert rows[2]["y"] == pytest.approx(0.021)


def test_an_interval_below_zero_ends_at_the_foot_of_a_logarithmic_axis() -> None:
    rows = [{"variant": "none", "method": "sae", "seed": seed, "step": step, "gap": 10.0**-step * (100.0 if seed == 2 else 1.0)}
            for seed in range(3) for step in (1, 2, 3)]  # fmt: skip
    spec = spec_of("curves", Records(rows), y="gap", log_y=True)
    assert min(row["low"] for row in rows_of(spec)) < 0
    area = next(layer for layer in spec["layer"] if layer["mark"]["type"] == "area")
    (foot, _), (_, lifted) = (spec["layer"][0]["encoding"]["y"]["scale"]["domain"], area["transform"])
    assert foot > 0
    assert lifted == {"calculate": f"max(datum.low, {foot!r})", "as": "low"}
    assert "cut" in spec["usermeta"]["note"]
    assert not any("transform" in layer and layer["mark"]["type"] == "area" for layer in spec_of("curves", Records(rows), y="gap")["layer"])


def test_three_panels_stand_in_one_row() -> None:
    rows = [row | {"block": block} for block in ("one", "two", "three") for row in trained(["sae", "sc"]).where(variant="faithful").rows]
    spec = spec_of("curves", Records(rows), y="latent_mcc", panel="block")
    assert [sized(spec, width)["columns"] for width in (358, 642, 1000)] == [1, 3, 3]
