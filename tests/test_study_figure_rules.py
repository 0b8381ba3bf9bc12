"""The rules by which figures are laid out and worded, one by one: axes, levels of chance, names, what is averaged, who is cheapest."""

from __future__ import annotations

import json
from typing import Any

import altair as alt
import pytest
from tests.figure_specs import KINDS
from tests.study_records import decoders, penalised, priced

from sparsegap.drawing import chance as levels
from sparsegap.drawing.axes import by_marks, fitting, is_cut, is_score
from sparsegap.drawing.lumping import lumped
from sparsegap.drawing.rows import are_ordered, series_name
from sparsegap.drawing.still import rows_of
from sparsegap.figures import curves
from sparsegap.label_places import LETTER_HEIGHT, PLACES, RADIUS, places
from sparsegap.names import number_label, spelled_out
from sparsegap.number_formats import whole
from sparsegap.study.page_claims import claims_shown
from sparsegap.study.records import Records
from sparsegap.study.verdicts import Verdict

# Axes.


def test_axes_are_stretched_by_what_is_asked_of_them() -> None:
    orders = [0.1, 10.0], [1e-6, 1e6]
    assert by_marks("mse", *orders, log=True) == fitting("mse", [*orders[0], *orders[1]], log=True)  # on a logarithm nothing is far
    assert by_marks("offset", [-1.0, 1.0], [-1.4, 1.4])[0] < -1.4  # where marks are below zero, so is the axis
    assert by_marks("mse", [0.1, 4.0], [-1.0, 40.0])[1] < 6
    assert is_score("latent_mcc") and not is_score("lost_support_f1")


@pytest.mark.parametrize(("end", "cut"), [(-0.1, True), (1.1, True), (0.0, False), (1.0, False)])
def test_what_lies_beyond_either_end_is_cut(end: float, cut: bool) -> None:
    assert is_cut([0.0, 1.0], [0.5, end]) is cut


def test_names_stand_at_the_ends_of_lines_that_end_at_the_edge() -> None:
    across: Any = ([1e5, 1e9], [0.0, 1.0])
    late, early = ([{"x": 1e9}, {"x": end}] for end in (7e8, 1e8))
    assert curves._at_ends(late, across, True, "auto") and not curves._at_ends(early, across, True, "auto")
    assert not curves._at_ends(late, across, False, "auto")  # .7 of the way along a plain axis, .96 along a logarithm
    assert curves._fraction(100.0, 1.0, 10.0, True) == pytest.approx(0.5) and curves._fraction(4.0, 0.0, 1.0, False) == 0.75


def test_the_step_that_validation_chose_is_the_median_over_seeds() -> None:
    assert curves._best_step([{"step": step, "best": True} for step in (900, 100, 200)] + [{"step": 0, "best": False}]) == 200


def test_paths_have_axes_for_both_columns_and_the_level_of_chance() -> None:
    rows = [row | {"latent_mcc_chance": 0.1, "mse": row["l1"] ** 2 * (1 + row["seed"])} for row in penalised().rows]
    along = KINDS["paths"](Records(rows), x="l1", along="l1", y="latent_mcc", log_x=True).to_dict()
    low, _ = along["layer"][0]["encoding"]["y"]["scale"]["domain"]
    assert low < 0.1 and "x" not in along["usermeta"]["columns"]
    other = KINDS["paths"](Records(rows), x="l0", along="l1", y="mse", log_y=True, band="none").to_dict()
    axes = other["layer"][0]["encoding"]
    assert "values" not in axes["x"]["axis"] and axes["y"]["scale"]["domain"][0] > 0 and "x" in other["usermeta"]["columns"]


# The level of chance.


def line(method: str, *points: tuple[float, float]) -> list[dict[str, Any]]:
    return [{"method": method, "x": x, "y": y} for x, y in points]


OVER, UNDER = line("a", (75, 0.55), (99, 0.55)), line("b", (75, 0.45), (99, 0.45))


@pytest.mark.parametrize(("points", "log", "place"), [
    ([], False, (True, True)),
    (OVER, False, (True, False)),
    ([*OVER, *UNDER], False, (False, True)),
    ([*OVER, *UNDER, *line("c", (1, 0.55), (20, 0.55))], False, (False, False)),
    (line("a", (18, 0.55), (22, 0.55)), True, (True, True)),  # two thirds along a logarithm of 1 to 100
    (line("a", (30, 0.55), (40, 0.55)), True, (True, False)),  # and three quarters
    ([*line("a", (50, 0.52), (60, 0.52)), *line("b", (99, 0.8))], False, (True, True)),  # no line goes from one method to the next
])  # fmt: skip
def test_words_of_chance_stand_where_they_cover_the_fewest_points(points: list[Any], log: bool, place: tuple[bool, bool]) -> None:
    x, y = alt.Scale(type="log" if log else "linear", domain=[1.0, 100.0]), alt.Scale(type="linear", domain=[0.0, 1.0])
    assert levels._freest(0.5, points, x, y) == place


def test_chance_is_one_where_all_panels_have_one() -> None:
    assert levels.note([[0.3, 0.31], [0.5]]) == "The dotted line is the level of chance."
    assert "each for what it stands with" in levels.note([[0.3, 0.3], [0.3, 0.5]])
    points = [{"method": "a", "x": x, "y": 0.0, "chance": 0.3} for x in range(4)] + [{"method": "b", "x": 0, "y": 0.0, "chance": None}]
    assert [row["x"] for row in levels.taken_out(points)] == [0, 3] and "chance" not in points[0]


# Names and words.


def test_words_for_numbers_series_and_abbreviations() -> None:
    assert (number_label(50_000), number_label(2.5e8), number_label(0.01)) == ("50,000", "250\u00a0M", "0.01")
    assert spelled_out(["SCALE"]) == "" and spelled_out(["SC, N = 16"]) == "SC: sparse coding."
    assert series_name({"encoder": "topk", "atoms": 16}, ["encoder", "atoms"]) == "topk, N = 16"  # the name in the rows has the colour
    assert are_ordered([{"a": 1, "b": 2}], ["a", "b"]) and not are_ordered([{"a": 1, "b": "x"}], ["a", "b"])
    assert not are_ordered([{"a": 1}, {"a": "x"}], ["a"])
    assert whole("4 settings, 3 s").count("\xa0") == 1


def test_what_is_averaged_is_told_by_labels_and_as_few_as_there_need_be() -> None:
    rows = [{"variant": variant, "seed": 0, "size": f"{n} / {n}", "atoms": n, "width": n} for n in (8, 16) for variant in ("a", "b")]
    records = Records(rows, trials=[{"options": {"atoms": 8, "width": 8}, "labels": {"size": "8 / 8"}}])
    assert lumped(records, rows, []) == ["size"]
    assert lumped(records, rows, ["atoms"]) == []


def test_names_of_points_stay_inside_and_only_those_that_must_cover_others() -> None:
    corner, = places([(50.0, 5.0, "name")], 210, height=300)
    assert 5.0 + PLACES[corner].dy - LETTER_HEIGHT / 2 >= -RADIUS
    crowd = [(100.0, 150.0, "TopK SAE")] * 20
    free = places(crowd, 210, 0, 300)
    first = free.index("")
    assert places(crowd, 210, first, 300)[first] == ""
    assert places(crowd, 210, first + 1, 300)[first] != ""


def test_verdicts_of_several_metrics_have_no_one_name() -> None:
    each = {"status": "confirmed", "where": {"variant": "none", "active": None}, "sentence": "So.", "low": None, "high": None}
    both = [Verdict("It holds", "greater", metric, estimate=2.0, design="paired", ratio=ratio, **each)  # type: ignore[arg-type]
            for metric, ratio in (("latent_mcc", False), ("fvu", True))]  # fmt: skip
    shown, = claims_shown(both)
    assert shown.of == "" and [verdict.figure for verdict in shown.verdicts] == ["+2", "×2"]
    assert [verdict.place for verdict in shown.verdicts] == ["", ""]
    side, = claims_shown([Verdict("It holds", "greater", "fvu", estimate=2.0, design="one side", **each)])  # type: ignore[arg-type]
    assert side.verdicts[0].figure == "2"


# Costs and matrices.


def test_who_is_cheapest_below_one_sample_is_so_nowhere() -> None:
    rows = [{"method": "sc", "flops_train": 0.0, "flops_inference": 100.0}, {"method": "sae", "flops_train": 50.0, "flops_inference": 1.0},
            {"method": "truth", "flops_train": 60.0, "flops_inference": 0.0}]  # fmt: skip
    drawn = {row["method"]: row for row in rows_of(KINDS["break_even"](Records([row | {"seed": 0} for row in rows])).to_dict())}
    assert (drawn["sc"]["stretch"], drawn["sc"]["from"]) == ("nowhere", None)
    assert (drawn["sae"]["from"], drawn["sae"]["mark"], drawn["sae"]["to"]) == (1.0, None, 10.0)
    assert drawn["truth"]["mark"] == "10"


def test_the_axis_of_samples_ends_where_all_answers_cost_more_than_training() -> None:
    for where, end in (({}, 1e5), ({"method": "sc"}, 1e4)):
        spec = KINDS["break_even"](priced(), where=where).to_dict()
        assert spec["layer"][0]["encoding"]["x"]["scale"]["domain"] == [1.0, end]


def test_the_deepest_shade_is_the_largest_entry_whatever_its_sign() -> None:
    rows = [row | {"gram": [[-2.0, 0.5], [0.0, 1.0]]} for row in decoders().rows]
    assert "the deepest shade is 2 in all panels" in KINDS["matrices"](Records(rows)).to_dict()["usermeta"]["note"]
    signs = json.dumps(KINDS["matrices"](Records(rows), signs=True).to_dict())
    assert "abs(datum.value) / 1e-12" in signs and "abs(datum.value) / 2" not in signs  # as dark as can be, however small


def test_what_costs_nothing_has_no_line_on_a_logarithm() -> None:
    rows = [{"method": "truth", "flops_train": 0.0, "flops_inference": 0.0}, {"method": "sae", "flops_train": 50.0, "flops_inference": 1.0}]
    spec = KINDS["break_even"](Records([row | {"seed": 0} for row in rows])).to_dict()
    points = [point for data in spec["datasets"].values() for point in data if "least" in point]
    assert {point["method"] for point in points} == {"sae"} and min(point["least"] for point in points) > 50
