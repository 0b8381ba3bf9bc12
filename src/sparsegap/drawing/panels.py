"""Several views of one figure side by side, as many across as the page is wide, and a spec at a given width.

A figure of one view is as wide as its container. One of several panels says in its `usermeta` how many stand side by side and how narrow a
panel may become; `sized` here and `sized` in report.js then set the widths, so that a phone gets one below the other.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil
from typing import Any

import altair as alt

from sparsegap.charts import FONT, SIZE, Row, data, light, theme
from sparsegap.drawing.series import PICK
from sparsegap.names import spelled_out

SPACING = 26
AXIS = 58  # a first guess of what labels and title of a vertical axis take; drawing tells
CHARACTER, SYMBOL = 7.0, 46  # of a legend's entry, in pixels
LEAST = 230  # width of a panel
THINNEST = 70  # width of a panel in print that stands beside another, so that the figure fits onto a page
FIRST = "first"  # the layer that hears what is picked in the legend


@dataclass(frozen=True)
class Panel:
    """One view: its layers, over the rows whose `panel` is its number, and what stands above it."""

    layers: Sequence[Any]
    title: str


@dataclass(frozen=True)
class Look:
    """What a figure is told about: its title, its words, its table, and the measures of its panels."""

    title: str
    description: str
    columns: dict[str, str]
    note: str = ""
    height: int = 260
    across: int = 2
    least: int = LEAST
    thinnest: int = THINNEST
    aspect: float | None = None
    grid: bool = False
    entries: Sequence[str] = ()
    right: int = 8
    share: Sequence[str] = ("color", "fill", "stroke", "strokeDash", "shape")


def figure(panels: Sequence[Panel], rows: Sequence[Row], look: Look) -> Any:
    """The panels over their rows as one chart in the house look."""
    views = [_view(panel, number, look, alone=len(panels) == 1) for number, panel in enumerate(panels)]
    meta: dict[str, Any] = {"title": look.title, "columns": look.columns, "note": _spelling(look, rows), **entry(look.entries)}
    views[0].layer[0].name = FIRST
    if len(views) == 1:
        chart: Any = views[0].properties(width="container", autosize=alt.AutoSizeParams(type="fit-x", contains="padding"))
        meta |= {"aspect": look.aspect} if look.aspect else {}
    else:
        shared: Any = dict.fromkeys(look.share, "shared")
        chart = alt.concat(*views, columns=look.across, spacing=SPACING).resolve_scale(**shared)
        meta["panels"] = {"across": min(look.across, len(views)), "least": look.least, "aspect": look.aspect, "grid": look.grid}
        meta["panels"] |= {"thinnest": look.thinnest}
    if len(set(look.entries)) > 1:  # set here once: altair would declare it in every layer
        picking: Any = {
            "select": {"type": "point", "fields": ["method"]},
            "bind": "legend",
            "views": [FIRST, f"{FIRST}_0"],
        }  # altair numbers the names in a row of views
        chart = chart.properties(params=[alt.TopLevelSelectionParameter(name=PICK, **picking)])
    finished = chart.properties(
        description=look.description, usermeta=meta, padding={"left": 6, "right": look.right, "top": 6, "bottom": 4}
    ).configure(**study_theme())
    finished.data = data(rows)  # last: altair copies and validates everything at each of the calls above
    return finished


def _spelling(look: Look, rows: Sequence[Row]) -> str:
    """The note of a figure, and what the abbreviations in its legend and titles stand for."""
    names = dict.fromkeys(str(row.get(column) or "") for row in rows for column in ("name", "where"))
    return " ".join(filter(None, [look.note, spelled_out(names)]))


def _view(panel: Panel, number: int, look: Look, *, alone: bool) -> alt.LayerChart:
    view: alt.LayerChart = alt.LayerChart(layer=list(panel.layers), height=look.height).transform_filter(f"datum.panel === {number}")
    if alone and not panel.title:
        return view
    return view.properties(title=alt.Title(panel.title), **({} if alone else {"width": 300}))


def study_theme() -> dict[str, Any]:
    """The house look, with the titles of panels and a grid that stays behind."""
    found = theme()
    found["title"] = {
        "anchor": "start",
        "color": light("ink"),
        "fontSize": SIZE,
        "fontWeight": 600,
        "offset": 8,
        "font": FONT,
        "frame": "group",
    }
    found["legend"] = {**found["legend"], "rowPadding": 3}
    found["concat"] = {"spacing": SPACING}
    return found


def entry(names: Sequence[str]) -> dict[str, Any]:
    """How many entries a legend has, and what the longest takes in pixels."""
    return {"entries": len(set(names)), "entry": SYMBOL + CHARACTER * max((len(name) for name in names), default=0)}


def even(count: int, fitting: float) -> int:
    """How many of `count` things go into each row where so many fit, so that no row is much shorter than the others."""
    fit = max(1, int(fitting))
    return count if fit >= count else ceil(count / ceil(count / fit))


def abreast(layout: dict[str, Any], fitting: float) -> int:
    """How many panels stand side by side where so many fit; those of a grid in whole parts of its row, so that columns stay columns."""
    across = int(layout["across"])
    if not layout["grid"]:
        return even(across, fitting)
    return next(part for part in range(across, 0, -1) if across % part == 0 and (part <= fitting or part == 1))


def sized(spec: dict[str, Any], width: float, overhead: float | None = None) -> dict[str, Any]:
    """The spec drawn as wide as `width` pixels; `overhead` is what the axes and gaps between panels take, once that is known."""
    found = copy.deepcopy(spec)
    meta = found["usermeta"]
    found["config"]["legend"]["columns"] = max(1, even(meta["entries"], (width - AXIS) / meta["entry"]))
    layout = meta.get("panels")
    if layout is None:
        found["width"] = width
        if meta.get("aspect"):
            found["height"] = round(meta["aspect"] * (width - AXIS))
        return found
    across = abreast(layout, (width + SPACING) / (layout["least"] + AXIS))
    found["columns"] = across
    taken = across * AXIS + (across - 1) * SPACING if overhead is None else overhead
    each = max(60, int((width - taken) // across))
    for view in found["concat"]:
        view["width"] = each
        if layout["aspect"]:
            view["height"] = round(layout["aspect"] * each)
    return found
