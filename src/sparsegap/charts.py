"""One look for every figure: fonts, axes, and a colour that belongs to a method's name wherever it appears.

A figure is a Vega-Lite spec in its light form. Every colour in it is one of the tokens below, so that the page can bind the same spec to
CSS variables (light, dark and print then need no second spec) and an exported file can be dark by exchanging tokens.
Hues follow Okabe & Ito (2008), "Color Universal Design", darkened or lightened until each keeps a contrast of 3:1 with its background.
"""

from __future__ import annotations

import json
import re
import zlib
from collections.abc import Sequence
from math import isfinite
from typing import Any, Literal

import altair as alt

from sparsegap.names import CALLED
from sparsegap.names import called as called
from sparsegap.names import in_family as in_family

Row = dict[str, Any]

FONT = "system-ui, -apple-system, 'Segoe UI', Roboto, 'Helvetica Neue', Arial, sans-serif"

SIZE, SMALL = 13, 12  # of text in a figure, in pixels; a figure is never scaled on the page, so this is what one reads
LINE = 46  # height of a named line with its bar

# token: (light, dark). Each light value occurs once: it is the token's name inside a spec.
TOKENS: dict[str, tuple[str, str]] = {
    "surface": ("#fffffe", "#16191f"),
    "ink": ("#1b1f27", "#e9ebef"),
    "muted": ("#59616e", "#a4acb9"),
    "line": ("#c9ced6", "#454c58"),
    "grid": ("#eceef2", "#282d36"),
    "vermilion": ("#cf4f0b", "#f0824a"),
    "orange": ("#b57700", "#eba92b"),
    "green": ("#00875f", "#35c294"),
    "blue": ("#0b6cb3", "#5fb0ee"),
    "sky": ("#1489a3", "#58c4dc"),
    "purple": ("#a6497f", "#e08fbe"),
    "plum": ("#6a4fb0", "#b3a0ec"),
    "slate": ("#4a5568", "#b9c2d0"),
    "olive": ("#7d7400", "#d9cf45"),
    "crimson": ("#b3203a", "#f47d8c"),
    "grey": ("#7b818c", "#8b929e"),
    "mint": ("#4aa05a", "#2c8f4a"),
    "pine": ("#1f6b33", "#4fc06f"),
    "forest": ("#0c3a1a", "#b5efc0"),
    "brown": ("#7a4a21", "#c79a6d"),
    "navy": ("#232f7d", "#93a4ff"),
    "rose": ("#d8437f", "#ff8fb8"),
}

# One colour a method, in every figure of every page. What is not named here draws from SPARE by its name, so that it keeps its colour too.
METHODS: dict[str, str] = {
    "encoder": "vermilion",
    "refit": "orange",
    "htp": "green",
    "thresholding": "green",
    "omp": "blue",
    "warm": "sky",
    "prune": "olive",
    "best": "ink",
    "lasso": "purple",
    "coordinate_descent": "purple",
    "fista": "purple",
    "lasso, refit": "plum",
    "dictionary": "slate",
    "true": "crimson",
    "matching_pursuit": "olive",
    "gradient_pursuit": "slate",
    "rest": "grey",
    "random": "grey",
    "random covariance": "grey",
    "shuffled": "grey",
    "untrained": "grey",
    "pca": "grey",
    # of the studies; an MLP's green is darker the wider it is (see `token`)
    "sae": "vermilion",
    "relu": "vermilion",
    "ito": "sky",
    "sae+ito": "sky",
    "sc": "purple",
    "sparse_coding": "purple",
    "mlp": "pine",
    "topk": "orange",
    "batch_topk": "brown",
    "jumprelu": "crimson",
    "gated": "plum",
    "prolu": "slate",
    "lista": "navy",
    "alista": "brown",
    "linear_nonlinear": "vermilion",
    "matched_filter": "slate",
    "ista": "slate",
    "kmeans": "grey",
    "all": "purple",
    "lasso_dictionary": "blue",
    "pruned": "olive",
    "optimised": "slate",
    "ksparse": "blue",
    "truth": "crimson",
    "chance": "muted",
}
SPARE = ("olive", "slate", "green", "plum", "orange")
NUMBERED = {  # families in which two members stand side by side: up to so many hidden units or layers
    "mlp": ((64, "mint"), (512, "pine"), (float("inf"), "forest")),
    "lista": ((3, "navy"), (float("inf"), "rose")),
}


def light(token: str) -> str:
    """The colour of a token in a spec."""
    return TOKENS[token][0]


HALO: dict[str, Any] = {"stroke": light("surface"), "strokeWidth": 4, "strokeJoin": "round"}  # of text, so that lines end before it


def token(method: str) -> str:
    """The token of a method's colour: the same in every figure, also for a name that nobody listed.

    A name with a number, as `topk32`, has its family's colour; that of an MLP depends on its width, that of a lista on its depth.
    """
    family, number = in_family(method)
    if family in NUMBERED and number:
        return next(token for most, token in NUMBERED[family] if number <= most)
    return METHODS.get(method) or METHODS.get(family) or SPARE[zlib.crc32(method.encode()) % len(SPARE)]


def is_listed(method: str) -> bool:
    """Whether a name, or its family, has a colour of its own."""
    return method in METHODS or in_family(method)[0] in METHODS


def variable(method: str) -> str:
    """The colour of a method as the CSS variable of a page."""
    return f"var(--{token(method)})"


def hue(rows: Sequence[Row], legend: alt.Legend | None = None) -> alt.Color:
    """The colour channel of rows: each `method` in its own colour, in the order of the rows."""
    methods = list(dict.fromkeys(row["method"] for row in rows))
    scale = alt.Scale(domain=methods, range=[light(token(method)) for method in methods])
    return alt.Color("method:N", scale=scale, legend=legend)


def legend() -> alt.Legend:
    """A legend of methods in two columns, by what a person calls them."""
    return alt.Legend(columns=2, labelExpr=f"({json.dumps(CALLED)})[datum.label] || datum.label")


def theme() -> dict[str, Any]:
    """The Vega-Lite configuration of every figure."""
    ink, muted, line, grid = (light(token) for token in ("ink", "muted", "line", "grid"))
    words = {"labelColor": muted, "titleColor": muted, "labelFontSize": SMALL, "titleFontSize": SMALL, "titleFontWeight": "normal"}
    return {
        "background": light("surface"),
        "font": FONT,
        "view": {"stroke": None},
        "axis": {**words, "domainColor": line, "tickColor": line, "gridColor": grid, "labelPadding": 6, "titlePadding": 10, "tickCount": 5,
                 "labelFlush": True},
        "axisY": {"domain": False, "ticks": False},
        "legend": {**words, "orient": "top", "direction": "horizontal", "title": None, "symbolSize": 90, "labelLimit": 260, "offset": 12,
                   "columnPadding": 16},
        "text": {"color": ink, "fontSize": SIZE},
        "rule": {"color": muted},
        "scale": {"bandPaddingInner": 0.45, "bandPaddingOuter": 0.25},
    }


def overlaid(layers: Sequence[Any], rows: Sequence[Row]) -> alt.LayerChart:
    """Layers over the same rows."""
    return alt.LayerChart(layer=list(layers), data=data(rows))


def finish(chart: alt.LayerChart, *, title: str, description: str, height: int, columns: dict[str, str]) -> alt.LayerChart:
    """A chart in the house look: as wide as its container, described in words, and with the names of the columns of its table.

    `title` heads the figure, `description` says in words what it shows (the alternative text), `columns` names the columns of the
    rows that the table behind the figure shows. Title and columns are the spec's `usermeta`; a page writes them in its own type.
    """
    finished: alt.LayerChart = chart.properties(
        width="container", height=height, description=description, usermeta={"title": title, "columns": columns},
        autosize=alt.AutoSizeParams(type="fit-x", contains="padding"), padding={"left": 2, "right": 6, "top": 6, "bottom": 4},
    ).configure(**theme())
    return finished


def data(rows: Sequence[Row]) -> alt.InlineData:
    """Rows as the inline data of a chart; what is not finite becomes null, which JSON can say and a chart leaves out."""
    return alt.InlineData(values=[{key: _finite(value) for key, value in row.items()} for row in rows])


def _finite(value: Any) -> Any:
    return None if isinstance(value, float) and not isfinite(value) else value


def spec(chart: Any) -> dict[str, Any]:
    """The Vega-Lite spec of a chart as plain data, validated against the schema."""
    found: dict[str, Any] = chart.to_dict()
    return found


def recolour(text: str, mode: str) -> str:
    """A spec or an SVG with its light colours exchanged: mode "dark", or "css" for the variables that `css` defines."""
    into = {values[0]: values[1] if mode == "dark" else f"var(--{token})" for token, values in TOKENS.items()}
    return re.sub("|".join(into), lambda found: into[found.group()], text)


def css(mode: str) -> str:
    """The tokens as CSS declarations, for "light" or "dark"."""
    return "".join(f"--{token}:{values[mode == 'dark']};" for token, values in TOKENS.items())


def line() -> alt.Y:
    """The vertical place of a row, by its `key`: one line each, in the order of the rows, with no axis."""
    return alt.Y("key:N", sort=None, axis=None)


def line_heights(rows: Sequence[Row]) -> int:
    """The height of a figure with one line for each row."""
    return LINE * max(1, len(rows))


def bars(axis: alt.X, rows: Sequence[Row], tooltip: list[alt.Tooltip], *, end: str | None = None) -> alt.Chart:
    """A bar for each row in the lower half of its line, in its method's colour; from `axis` to the column `end`, or from zero."""
    bar: alt.Chart = alt.Chart().mark_bar(size=14, yOffset=9, cornerRadius=2).encode(x=axis, y=line(), color=hue(rows), tooltip=tooltip)
    if end is not None:
        bar = bar.encode(x2=f"{end}:Q")
    return bar


def whiskers(low: str, high: str) -> alt.Chart:
    """The interval of each row as a line over its bar."""
    rule: alt.Chart = alt.Chart().mark_rule(strokeWidth=2, yOffset=9, color=light("ink")).encode(x=f"{low}:Q", x2=f"{high}:Q", y=line())
    return rule


def named_lines(name: str, note: str) -> list[alt.Chart]:
    """The name of each row above its bar at the left, its figures at the right: no axis to reserve room for.

    Where the figure is narrow, as on a phone, a row's `short` name stands for the long one, and what is longer still is cut.
    """
    fitting = alt.value(alt.ExprRef(f"width < 460 && datum.short ? datum.short : datum.{name}"))
    names = alt.Chart().mark_text(align="left", baseline="middle", yOffset=-9, limit=alt.ExprRef("width - 112"))
    notes = alt.Chart().mark_text(align="right", baseline="middle", yOffset=-9, fontWeight=600)
    return [names.encode(x=alt.value(0), y=line(), text=fitting), notes.encode(x=alt.value("width"), y=line(), text=f"{note}:N")]


def labels(x: alt.X, y: alt.Y, text: str, *, align: str, dx: float, dy: float,
           source: alt.Chart | None = None) -> list[alt.Chart]:
    """Text beside points, with a halo in the colour of the page so that lines behind it do not disturb."""
    base = alt.Chart() if source is None else source
    side: Literal["left", "right"] = "right" if align == "right" else "left"
    halo = base.mark_text(align=side, dx=dx, dy=dy, **HALO)
    return [mark.encode(x=x, y=y, text=f"{text}:N") for mark in (halo, base.mark_text(align=side, dx=dx, dy=dy))]


def listed(rows: Sequence[Row], name: str, note: str) -> str:
    """Rows in words, for a description: "name note; name note."."""
    return "; ".join(f"{row[name]} {row[note]}" for row in rows) + "."


def vega_lite_version() -> str:
    """The Vega-Lite version of the specs, as vl-convert names it: "6.4" for altair's "v6.4.1"."""
    return ".".join(alt.SCHEMA_VERSION.lstrip("v").split(".")[:2])
