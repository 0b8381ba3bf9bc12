"""How values are distributed: the coherences between atoms, scores of features."""

from __future__ import annotations

from typing import Any, Literal

import altair as alt
import numpy as np

from sparsegap.drawing import panels
from sparsegap.drawing.axes import extent, quantitative
from sparsegap.drawing.names import as_list, column_title
from sparsegap.drawing.panels import Look, Panel
from sparsegap.drawing.rows import are_ordered, at_end, chosen, in_panels, key_of, named, rounded
from sparsegap.drawing.series import Series
from sparsegap.drawing.summaries import Row, grouped, is_number
from sparsegap.study.records import Column, Records, Where

HEIGHT = 230


def histogram(
    records: Records,
    *,
    value: Column = "coherences",
    colour: Column | list[Column] = "method",
    panel: Column | list[Column] = "variant",
    bins: int = 24,
    low: float | None = None,
    high: float | None = None,
    where: Where | None = None,
    at: Literal["last", "best"] = "last",
) -> Any:
    """The distribution of a column of numbers, or of lists of numbers, as outlines: the share of all values of a series in each bin.

    Values of all seeds count alike. `low` and `high` bound the bins; without them the least and the greatest value do.
    """
    wanted = at_end(records, chosen(records, where, [value]), at)
    every = [number for row in wanted for number in _values(row.get(value))]
    ends = (min(every, default=0.0) if low is None else low, max(every, default=1.0) if high is None else high)
    edges = np.linspace(ends[0], ends[1] if ends[1] > ends[0] else ends[0] + 1.0, max(1, bins) + 1)
    rows: list[Row] = []
    titles: list[str] = []
    for label, part in in_panels(wanted, panel, as_list(colour)):
        for line in grouped(part, lambda row: key_of(row, as_list(colour))).values():
            name = named(line[0], as_list(colour))
            counted = _counted([number for row in line for number in _values(row.get(value))], edges)
            rows += [
                {"key": f"{len(titles)}/{name['method']}/{number}", **name, **each, "panel": len(titles), "where": label}
                for number, each in enumerate(counted)
            ]
        titles.append(label)
    series = Series(rows, ordered=are_ordered(wanted, as_list(colour)))
    drawn = [Panel(_layers(value, series, edges, [row["share"] for row in rows]), title) for title in titles]
    return panels.figure(
        drawn or [Panel([alt.Chart().mark_point()], "")],
        rows,
        Look(
            title=column_title(value),
            description=_in_words(rows, value),
            height=HEIGHT,
            entries=[row["name"] for row in rows] if series.legend else (),
            columns={"where": "panel", "name": "method", "from": "from", "to": "to", "count": "values", "share": "share"},
            note=f"The share of the values in each of {len(edges) - 1} bins, all seeds together.",
        ),
    )


def _values(value: Any) -> list[float]:
    found = value if isinstance(value, list) else [value]
    return [float(each) for each in found if is_number(each)]


def _counted(values: list[float], edges: np.ndarray[Any, np.dtype[np.float64]]) -> list[Row]:
    counts, _ = np.histogram(values, bins=edges)
    whole = max(1, len(values))
    return [
        {
            "from": rounded(float(edges[number])),
            "to": rounded(float(edges[number + 1])),
            "middle": rounded(float(edges[number : number + 2].mean())),
            "count": int(count),
            "share": rounded(count / whole),
        }
        for number, count in enumerate(counts)
    ]


def _layers(value: str, series: Series, edges: np.ndarray[Any, np.dtype[np.float64]], shares: list[float]) -> list[Any]:
    x = quantitative(alt.X, "middle", value, [float(edges[0]), float(edges[-1])])
    y = alt.Y(
        "share:Q",
        title="share of the values",
        scale=alt.Scale(domain=[0, extent(shares, padding=0.1)[1]], nice=False),
        axis=alt.Axis(format="~%"),
    )
    base = alt.Chart()
    tooltip = [
        alt.Tooltip("name:N", title="method"),
        alt.Tooltip("from:Q", format=".3~g"),
        alt.Tooltip("to:Q", format=".3~g"),
        alt.Tooltip("count:Q", title="values"),
        alt.Tooltip("share:Q", format=".1%"),
    ]
    return [
        base.mark_line(interpolate="step", strokeWidth=2).encode(
            x=x, y=y, color=series.colour(), strokeDash=series.dashes(), opacity=series.opacity()
        ),
        base.mark_rect(style="pointing", opacity=0).encode(
            x=alt.X("from:Q", title=x["title"]), x2="to:Q", y=y, y2=alt.Y2Datum(0), tooltip=tooltip
        ),
    ]


def _in_words(rows: list[Row], value: str) -> str:
    peaks = []
    for line in grouped(rows, lambda row: (row["where"], row["method"])).values():
        top = max(line, key=lambda row: row["count"])
        peaks.append(
            f"{line[0]['where'] + ', ' if line[0]['where'] else ''}{line[0]['name']} most often {top['from']:.3g} to {top['to']:.3g}"
        )
    return f"Histogram of {column_title(value)}. {'; '.join(peaks) or 'Nothing was measured'}."
