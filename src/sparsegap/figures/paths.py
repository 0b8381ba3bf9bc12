"""Sparsity against accuracy: the path of each method over its penalty."""

from __future__ import annotations

from typing import Any, Literal

import altair as alt

from sparsegap.drawing import panels
from sparsegap.drawing.axes import extent, quantitative
from sparsegap.drawing.names import as_list, column_title
from sparsegap.drawing.panels import Look, Panel
from sparsegap.drawing.rows import are_ordered, at_end, chosen, in_panels, key_of, named, rounded
from sparsegap.drawing.series import Series
from sparsegap.drawing.summaries import Band, Centre, Row, band_words, grouped, is_number, per_seed, spread
from sparsegap.study.records import Column, Records, Where

HEIGHT = 270


def paths(
    records: Records,
    *,
    x: Column | list[Column] = "l0",
    y: Column | list[Column] = "mse",
    along: Column = "l1",
    colour: Column | list[Column] = "method",
    panel: Column | list[Column] = "variant",
    where: Where | None = None,
    at: Literal["last", "best"] = "last",
    centre: Centre = "mean",
    band: Band = "interval",
    log_x: bool = False,
    log_y: bool = False,
) -> Any:
    """One quality against another, as L0 against error: a mark for each value of `along`, joined in its order, with the bands of both.

    Several columns in `x` and `y` are all crossed, one panel each, and so are the values of `panel`.
    """
    wanted = at_end(records, chosen(records, where, [*as_list(x), *as_list(y), along]), at)
    rows: list[Row] = []
    views: list[tuple[str, str, str]] = []
    for label, part in in_panels(wanted, panel, as_list(colour)):
        for up in as_list(y):
            for across in as_list(x):
                title = label if len(as_list(x)) * len(as_list(y)) == 1 else " · ".join(each for each in (label, column_title(up)) if each)
                found = _points(part, across, up, along, as_list(colour), centre, band)
                rows += [
                    {"key": f"{len(views)}/{number}", **row, "panel": len(views), "where": title, "across": column_title(across)}
                    for number, row in enumerate(found)
                ]
                views.append((across, up, label))
    series = Series(rows, ordered=are_ordered(wanted, as_list(colour)))
    domains = {
        name: extent([row[end] for row in rows for end in ends if row["columns"][place] == name and row[end] is not None], log=log)
        for place, ends, log, names in ((0, ("x", "x_low", "x_high"), log_x, as_list(x)), (1, ("y", "low", "high"), log_y, as_list(y)))
        for name in names
    }
    for row in rows:
        del row["columns"]
    drawn = [Panel(_layers(across, up, along, series, domains, log_x, log_y), title) for across, up, title in views]
    return panels.figure(
        drawn or [Panel([alt.Chart().mark_point()], "")],
        rows,
        Look(
            title=f"{column_title(as_list(y)[0])} against {column_title(as_list(x)[0])}",
            description=_in_words(rows),
            height=HEIGHT,
            across=2,
            note=_note(rows, along, band, centre),
            entries=[row["name"] for row in rows] if series.legend else (),
            columns={
                "where": "panel",
                "name": "method",
                "along": column_title(along),
                "x": _one(x),
                "x_low": "from",
                "x_high": "to",
                "y": _one(y),
                "low": "from",
                "high": "to",
                "seeds": "seeds",
            },
        ),
    )


def _one(names: str | list[str]) -> str:
    return " / ".join(map(column_title, as_list(names)))


def _points(part: list[Row], x: str, y: str, along: str, colour: list[str], centre: Centre, band: Band) -> list[Row]:
    found = []
    for line in grouped(part, lambda row: key_of(row, colour)).values():
        for at, rows in sorted(grouped((row for row in line if is_number(row.get(along))), lambda row: float(row[along])).items()):
            costs, values = per_seed(rows, x), per_seed(rows, y)
            if costs and values:
                middle, left, right = spread(costs, centre, band)
                height, low, high = spread(values, centre, band)
                found.append(
                    {
                        **named(rows[0], colour),
                        "along": at,
                        "x": rounded(middle),
                        "x_low": rounded(left),
                        "x_high": rounded(right),
                        "y": rounded(height),
                        "low": rounded(low),
                        "high": rounded(high),
                        "seeds": len(values),
                        "columns": (x, y),
                    }
                )
    return found


def _layers(x: str, y: str, along: str, series: Series, domains: dict[str, list[float]], log_x: bool, log_y: bool) -> list[Any]:
    at_x, at_y = quantitative(alt.X, "x", x, domains[x], log=log_x), quantitative(alt.Y, "y", y, domains[y], log=log_y)
    base = alt.Chart()
    thin: dict[str, Any] = {"strokeWidth": 1.5}
    spans = {"stroke": series.stroke(), "opacity": series.opacity(0.45)}
    tooltip = [
        alt.Tooltip("name:N", title="method"),
        alt.Tooltip("along:Q", title=column_title(along)),
        alt.Tooltip("x:Q", title=column_title(x), format=".4~g"),
        alt.Tooltip("y:Q", title=column_title(y), format=".4~g"),
        alt.Tooltip("seeds:Q", title="seeds"),
    ]
    return [
        base.mark_line(strokeWidth=2).encode(
            x=at_x, y=at_y, order="along:Q", color=series.colour(), strokeDash=series.dashes(), opacity=series.opacity()
        ),
        base.mark_rule(clip=True, **thin).encode(x=alt.X("x_low:Q", title=at_x["title"]), x2="x_high:Q", y=at_y, **spans),
        base.mark_rule(clip=True, **thin).encode(x=at_x, y=alt.Y("low:Q", title=at_y["title"]), y2="high:Q", **spans),
        base.mark_point(filled=True, size=45).encode(x=at_x, y=at_y, fill=series.fill(), opacity=series.opacity(), tooltip=tooltip),
    ]


def _note(rows: list[Row], along: str, band: Band, centre: Centre) -> str:
    seeds, words = band_words(band, centre, [row["seeds"] for row in rows])
    said = f"A mark is one value of {column_title(along)}, joined in its order"
    return f"{said}; the {centre} over {seeds}{f', crosses: {words}' if words else ''}." if seeds else f"{said}."


def _in_words(rows: list[Row]) -> str:
    marks = "; ".join(
        f"{row['where'] + ', ' if row['where'] else ''}{row['name']} at {row['along']:g}: {row['x']:.4g}, {row['y']:.4g}" for row in rows
    )
    return f"Paths of methods over their settings. {marks or 'Nothing was measured'}."
