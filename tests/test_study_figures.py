"""Figures of studies: pure, valid, in the house look, titled, described, equal to golden data.

After a wanted change of what a figure shows: `python -m tests.test_study_figures` writes the golden data anew; read the diff.
"""

from __future__ import annotations

import json
import re
import tomllib
from pathlib import Path
from typing import Any, get_type_hints

import pytest
from tests.figure_specs import EXAMPLES, KINDS, spec_of
from tests.pages import HOSTILE
from tests.study_records import trained

from sparsegap import charts
from sparsegap.drawing.panels import sized
from sparsegap.drawing.still import csv_text, rows_of, still, svg, without_pointing
from sparsegap.errors import InputError
from sparsegap.study.records import Records
from sparsegap.study.values import read_value

GOLDEN = Path(__file__).parent / "data" / "study_figures_golden.json"
LIGHT = {light for light, _ in charts.TOKENS.values()}
WITHOUT_AXES = ("framework",)


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
    with pytest.raises(InputError, match=r"figure4 has a column 'latent_mc'; did you mean 'latent_mcc'\?"):
        KINDS["curves"](trained(), y="latent_mc")
    with pytest.raises(InputError, match="no row of figure4 has a column 'methot'"):
        KINDS["dots"](trained(), where={"methot": "sae"})


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
