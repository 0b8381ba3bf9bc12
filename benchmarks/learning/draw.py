"""The figures of docs/learning.md, from the records in benchmarks/learning/results: python benchmarks/learning/draw.py"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import altair as alt
import vl_convert

from sparsegap import charts

HERE = Path(__file__).parent
FIGURES = HERE.parents[1] / "docs" / "figures"
THEIRS = 0.475  # arXiv:2603.28744, its best learner from 5,000 samples


def read(name: str) -> list[dict[str, Any]]:
    """The lines of a record."""
    return [json.loads(line) for line in (HERE / "results" / name).read_text().splitlines()]


def lines(rows: list[dict[str, Any]], x: alt.X, y: alt.Y, colours: dict[str, str]) -> list[alt.Chart]:
    """A line with points for each `kind`, its name at its last point."""
    colour = alt.Color("kind:N", scale=alt.Scale(domain=list(colours), range=[charts.light(token) for token in colours.values()]),
                       legend=alt.Legend(columns=1, labelLimit=420))
    return [alt.Chart().mark_line(strokeWidth=2).encode(x=x, y=y, color=colour),
            alt.Chart().mark_circle(size=48, opacity=1).encode(x=x, y=y, color=colour)]


def level(at: float, text: str) -> list[alt.Chart]:
    """A dashed line at a height, and what it is."""
    once = alt.InlineData(values=[{}])
    rule = alt.Chart(once).mark_rule(strokeDash=[4, 4]).encode(y=alt.datum(at))
    words = alt.Chart(once).mark_text(align="right", baseline="top", dx=-4, dy=5, color=charts.light("muted"))
    return [rule, words.encode(x=alt.value("width"), y=alt.datum(at), text=alt.value(text))]


def wall() -> alt.LayerChart:
    """MCC of the codes of unseen combinations against training samples."""
    named = {"fresh": "each sample seen once (online)", "reuse": "a million visits to the same samples (online)",
             "all at once": "150 alternations over all samples (lasso, then OMP)"}
    rows = [{"kind": named[row["kind"]], "samples": row["samples"], "mcc": row["shifted_mcc_strongest"]}
            for row in read("compositional.jsonl") if row["kind"] in named]
    x = alt.X("samples:Q", scale=alt.Scale(type="log"), title="training samples",
              axis=alt.Axis(values=[2500, 10_000, 50_000, 200_000, 1_000_000], format="~s", labelOverlap=False))
    y = alt.Y("mcc:Q", scale=alt.Scale(domain=[0, 1]), title="code MCC, combinations never seen in training")
    colours = dict(zip(named.values(), ("vermilion", "blue", "purple"), strict=True))
    drawn = [*level(THEIRS, "best published learner, 5,000 samples: .475"), *lines(rows, x, y, colours)]
    return charts.finish(charts.overlaid(drawn, rows), title="The wall is a number of samples", height=320, columns={},
                         description="Code MCC on unseen combinations against training samples, for three ways to use them.")


def minutes() -> alt.LayerChart:
    """Share of 16,384 true atoms found, against minutes of one core."""
    named = {"found_80": "cosine at least .80", "found_90": "cosine at least .90", "found_95": "cosine at least .95"}
    rows = [{"kind": words, "minutes": row["seconds"] / 60, "found": row[name]} for row in read("curve_16384.jsonl")
            for name, words in named.items()]
    x = alt.X("minutes:Q", title="minutes of learning, one shared core")
    y = alt.Y("found:Q", scale=alt.Scale(domain=[0, 1]), axis=alt.Axis(format="%"), title="true atoms found")
    colours = dict(zip(named.values(), ("sky", "blue", "slate"), strict=True))
    return charts.finish(charts.overlaid(lines(rows, x, y, colours), rows), title="16,384 atoms found", height=320, columns={},
                         description="Share of 16,384 true atoms in 768 dimensions found against minutes of one core.")


def main() -> None:
    """Write both."""
    FIGURES.mkdir(exist_ok=True)
    for name, chart in (("wall", wall()), ("curve_16384", minutes())):
        spec = charts.spec(chart) | {"width": 640}
        svg = vl_convert.vegalite_to_svg(spec, vl_version=charts.vega_lite_version())
        (FIGURES / f"{name}.svg").write_text(svg)


if __name__ == "__main__":
    main()
