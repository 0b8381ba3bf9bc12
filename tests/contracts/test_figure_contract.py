"""What every figure keeps to, over whatever the folder scan finds: pure, valid, in the house look, titled, described, equal to golden data.

After a wanted change of what a figure shows: `python tests/contracts/test_figure_contract.py` writes the golden data anew; read the diff.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import altair as alt
import pytest

from sparsegap import charts, registry, report
from sparsegap.gap_record import GapRecord

DATA = Path(__file__).parents[1] / "data"
GOLDEN = DATA / "figures_golden.json"
# Those of gap records; those of studies are in test_study_figures.py.
FIGURES = [name for name, figure in registry.members("figures").items() if report.takes_record(figure)]
LIGHT = {light for light, _ in charts.TOKENS.values()}


def example() -> GapRecord:
    return GapRecord.load(DATA / "gap_example.json")


def spec_of(name: str, record: GapRecord | None = None) -> dict[str, Any]:
    return charts.spec(registry.member("figures", name)(record or example()))


def vega_of(spec: dict[str, Any]) -> dict[str, Any]:
    import vl_convert

    compiled: dict[str, Any] = vl_convert.vegalite_to_vega(json.dumps({**spec, "width": 600}), vl_version=charts.vega_lite_version())
    return compiled


@pytest.fixture(params=FIGURES)
def name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def test_pure(name: str) -> None:
    record = example()
    before = record.model_dump_json()
    assert spec_of(name, record) == spec_of(name, record)
    assert record.model_dump_json() == before


def test_valid_vega_lite(name: str) -> None:
    alt.Chart.from_dict(spec_of(name))  # validates against the schema


def test_data_equals_the_golden_file(name: str) -> None:
    golden = json.loads(GOLDEN.read_text())
    assert name in golden, f"{name} has no golden data yet: run python {Path(__file__).name}"
    assert json.loads(json.dumps(report.table(spec_of(name)))) == golden[name]


def test_every_axis_says_what_it_is(name: str) -> None:
    axes = [axis for axis in vega_of(spec_of(name))["axes"] if axis.get("labels", True)]
    assert axes
    assert all(axis.get("title") for axis in axes)


def test_title_and_words(name: str) -> None:
    spec = spec_of(name)
    assert spec["usermeta"]["title"]
    assert len(spec["description"]) > 40


def test_table_behind_it(name: str) -> None:
    spec = spec_of(name)
    rows, columns = report.table(spec), spec["usermeta"]["columns"]
    assert rows
    assert all(set(columns) <= set(row) for row in rows)
    assert len({row["key"] for row in rows}) == len(rows)


def test_every_colour_is_a_token(name: str) -> None:
    spec = spec_of(name)
    spec["datasets"] = {}
    assert set(re.findall(r"#[0-9a-fA-F]{3,8}\b", json.dumps(spec))) <= LIGHT


def test_a_method_keeps_its_colour(name: str) -> None:
    scales = [scale for scale in vega_of(spec_of(name))["scales"] if scale["name"] == "color"]
    for scale in scales:
        assert scale["range"] == [charts.light(charts.token(method)) for method in scale["domain"]]


def test_width_is_the_container_and_nothing_is_fetched(name: str) -> None:
    spec = spec_of(name)
    assert spec["width"] == "container"
    assert '"url"' not in json.dumps(spec)
    assert '"href"' not in json.dumps(spec)


def test_a_record_with_little_in_it(name: str) -> None:
    record = example()
    bare = record.model_copy(update={"rungs": record.rungs[:2], "shares": [], "matched": []})
    charts.spec(registry.member("figures", name)(bare))


if __name__ == "__main__":
    GOLDEN.write_text(json.dumps({each: report.table(spec_of(each)) for each in FIGURES}, indent=1, ensure_ascii=False) + "\n")
