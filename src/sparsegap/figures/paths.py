"""Sparsity against accuracy: the path of each method over its penalty."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import altair as alt

from sparsegap.drawing import chance as levels
from sparsegap.drawing import panels
from sparsegap.drawing.axes import CUT, by_marks, is_cut, on_axis, quantitative
from sparsegap.drawing.names import as_list, column_title
from sparsegap.drawing.panels import LEAST, Look, Panel
from sparsegap.drawing.rows import are_ordered, at_end, chance_of, chosen, in_panels, key_of, named, rounded
from sparsegap.drawing.series import Series
from sparsegap.drawing.summaries import Band, Centre, Row, band_words, grouped, is_number, per_seed, spread
from sparsegap.study.records import Column, Records, Where

HEIGHT = 270
NARROW, THREE = 130, 150  # a panel where three stand side by side: of three columns, of three values
MOST_TICKS = 8


@dataclass(frozen=True)
class View:
    """One panel: a column against another, of some rows."""

    x: str
    y: str
    title: str
    where: str
    rows: list[Row]


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
    chance: str | float | None = "auto",
) -> Any:
    """One quality against another, as L0 against error: a mark for each value of `along`, joined in its order, with the bands of both.

    Several columns in `x` and `y` are all crossed, one panel each, and so are the values of `panel`. `chance` is a number, a column, "auto"
    for the column called after y with `_chance`, or none.
    """
    wanted = at_end(records, chosen(records, where, [*as_list(x), *as_list(y), along]), at)
    views = _views(wanted, as_list(x), as_list(y), panel, as_list(colour))
    points = [_points(view, along, as_list(colour), centre, band, chance) for view in views]
    chances = [levels.taken_out(found) for found in points]
    rows = [
        {"key": f"{number}/{place}", **row, "panel": number, "where": view.where, "across": column_title(view.x)}
        for number, (view, found) in enumerate(zip(views, points, strict=True))
        for place, row in enumerate(found)
    ]
    series = Series(rows, ordered=are_ordered(wanted, as_list(colour)))
    domains = _domains(views, points, chances, log_x, log_y)
    axes = _Axes(along, domains, log_x, log_y, sorted({row["along"] for row in rows}))
    drawn = [
        Panel(_layers(view, axes, series, level, found), view.title) for view, level, found in zip(views, chances, points, strict=True)
    ]
    further = levels.note([[row["y"] for row in each] for each in chances]), CUT if _any_cut(views, points, domains) else ""
    return panels.figure(
        drawn or [Panel([alt.Chart().mark_point()], "")],
        rows,
        Look(
            title=f"{column_title(as_list(y)[0])} against {column_title(as_list(x)[0])}",
            description=_in_words(rows),
            height=HEIGHT,
            across=3 if len(views) == 3 else max(2, len(as_list(x)) * len(as_list(y))),
            grid=len(as_list(x)) * len(as_list(y)) > 1,
            least=NARROW if len(as_list(x)) * len(as_list(y)) > 2 else THREE if len(views) == 3 else LEAST,
            note=_note(rows, along, band, centre, *further),
            entries=[row["name"] for row in rows] if series.legend else (),
            columns=_columns(x, y, along),
        ),
    )


def _views(wanted: list[Row], x: list[str], y: list[str], panel: str | list[str], colour: list[str]) -> list[View]:
    several = len(x) * len(y) > 1
    return [
        View(across, up, label, " · ".join(filter(None, [label, column_title(up)])) if several else label, part)
        for label, part in in_panels(wanted, panel, colour)
        for up in y
        for across in x
    ]


Domains = dict[str, list[float]]


def _domains(views: list[View], points: list[list[Row]], chances: list[list[Row]], log_x: bool, log_y: bool) -> Domains:
    """Of each column over all panels, so that they can be compared."""
    marks: dict[str, list[float]] = {}
    ends: dict[str, list[float]] = {}
    for view, found, level in zip(views, points, chances, strict=True):
        for name, column, low, high in ((view.x, "x", "x_low", "x_high"), (view.y, "y", "low", "high")):
            marks.setdefault(name, []).extend(row[column] for row in found)
            ends.setdefault(name, []).extend(_known(found, (low, high)))
        marks[view.y].extend(row["y"] for row in level)
    logs = dict.fromkeys([view.y for view in views], log_y) | dict.fromkeys([view.x for view in views], log_x)
    return {name: by_marks(name, marks[name], ends[name], log=logs[name]) for name in marks}


def _known(rows: list[Row], names: tuple[str, str]) -> list[float]:
    return [row[name] for row in rows for name in names if row[name] is not None]


def _any_cut(views: list[View], points: list[list[Row]], domains: Domains) -> bool:
    """Whether some interval reaches beyond its axes."""
    return any(
        is_cut(domains[view.x], _known(found, ("x_low", "x_high"))) or is_cut(domains[view.y], _known(found, ("low", "high")))
        for view, found in zip(views, points, strict=True)
    )


def _columns(x: str | list[str], y: str | list[str], along: str) -> dict[str, str]:
    own = {"x": _one(x), "x_low": "from", "x_high": "to"} if as_list(x) != [along] else {}
    columns = {"where": "panel", "name": "method", "along": column_title(along), **own}
    return columns | {"y": _one(y), "low": "from", "high": "to", "seeds": "seeds"}


def _one(names: str | list[str]) -> str:
    return " / ".join(map(column_title, as_list(names)))


def _points(view: View, along: str, colour: list[str], centre: Centre, band: Band, chance: str | float | None) -> list[Row]:
    found = []
    for line in grouped(view.rows, lambda row: key_of(row, colour)).values():
        for at, rows in sorted(grouped((row for row in line if is_number(row.get(along))), lambda row: float(row[along])).items()):
            costs, values = per_seed(rows, view.x), per_seed(rows, view.y)
            if costs and values:
                level = rounded(chance_of(rows, view.y, chance))
                across, up = (map(rounded, spread(each, centre, band)) for each in (costs, values))
                place = dict(zip(("x", "x_low", "x_high", "y", "low", "high"), (*across, *up), strict=True))
                found.append({**named(rows[0], colour), "along": at, **place, "seeds": len(values), "chance": level})
    return found


@dataclass(frozen=True)
class _Axes:
    """What the axes of all panels have in common. places: the values of `along`, which are the ticks of its own axis."""

    along: str
    domains: Domains
    log_x: bool
    log_y: bool
    places: list[float]

    def of(self, view: View) -> tuple[alt.X, alt.Y]:
        """The axes of a panel."""
        ticks = self.places if view.x == self.along and len(self.places) <= MOST_TICKS else None
        return (
            quantitative(alt.X, "x", view.x, self.domains[view.x], log=self.log_x, ticks=ticks),
            quantitative(alt.Y, "y", view.y, self.domains[view.y], log=self.log_y),
        )


def _layers(view: View, axes: _Axes, series: Series, level: list[Row], points: list[Row]) -> list[Any]:
    at_x, at_y = axes.of(view)
    base = alt.Chart()
    thin: dict[str, Any] = {"strokeWidth": 1.5}
    spans = {"stroke": series.stroke(), "opacity": series.opacity(0.45)}
    tooltip = [
        alt.Tooltip("name:N", title="method"),
        alt.Tooltip("along:Q", title=column_title(axes.along)),
        alt.Tooltip("x:Q", title=column_title(view.x), format=".4~g"),
        alt.Tooltip("y:Q", title=column_title(view.y), format=".4~g"),
        alt.Tooltip("seeds:Q", title="seeds"),
    ]
    return [
        base.mark_line(strokeWidth=2).encode(
            x=at_x, y=at_y, order="along:Q", color=series.colour(), strokeDash=series.dashes(), opacity=series.opacity()
        ),
        *levels.layers(level, points, at_x, at_y, series),  # not first: the legend is that of the first layer with these names
        on_axis(base.mark_rule(clip=True, **thin), "x_low", axes.domains[view.x], log=axes.log_x).encode(
            x=alt.X("x_low:Q", title=at_x["title"]), x2="x_high:Q", y=at_y, **spans
        ),
        on_axis(base.mark_rule(clip=True, **thin), "low", axes.domains[view.y], log=axes.log_y).encode(
            x=at_x, y=alt.Y("low:Q", title=at_y["title"]), y2="high:Q", **spans
        ),
        base.mark_point(filled=True, size=45).encode(x=at_x, y=at_y, fill=series.fill(), opacity=series.opacity(), tooltip=tooltip),
    ]


def _note(rows: list[Row], along: str, band: Band, centre: Centre, *more: str) -> str:
    seeds, words = band_words(band, centre, [row["seeds"] for row in rows])
    said = f"Marks are values of the {column_title(along)}, joined in their order"
    first = f"{said}; the {centre} over {seeds}{f', crosses: {words}' if words else ''}." if seeds else f"{said}."
    return " ".join(filter(None, [first, *more]))


def _in_words(rows: list[Row]) -> str:
    marks = "; ".join(
        f"{row['where'] + ', ' if row['where'] else ''}{row['name']} at {row['along']:g}: {row['x']:.4g}, {row['y']:.4g}" for row in rows
    )
    return f"Paths of methods over their settings. {marks or 'Nothing was measured'}."
