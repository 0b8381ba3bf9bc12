"""Rank as a picture: singular values before the gate, after it, and of the truth."""

from __future__ import annotations

from typing import Any

import altair as alt

from sparsegap.charts import Row, data, finish, labels, light, overlaid
from sparsegap.theorem.record import Singular, TheoremRecord

HEIGHT, POINTS = 300, 240
NARROW = 460  # pixels: the names stand one below the other, and the lines begin below them
HUES = {"values before the gate": "purple", "the encoder's codes": "vermilion", "true codes": "ink"}


def singular_values(record: TheoremRecord) -> alt.LayerChart:
    """Singular values before the gate, of the encoder's codes and of the true ones, each as a share of its largest: a linear map keeps as
    many as there are dimensions, and one more for biases.
    """
    rows = [row for each in record.spectra for row in _rows(each)]
    x = alt.X("number:Q", title="number of the singular value", scale=alt.Scale(nice=False, zero=False))
    above: Any = alt.ExprRef(f"width < {NARROW} ? 1.32 : 1.12")
    y = alt.Y("value:Q", title="share of the largest", scale=alt.Scale(domain=[0, above], nice=False), axis=alt.Axis(values=[0, 0.5, 1]))
    layers: list[Any] = []
    for each in record.spectra:
        hue = light(HUES.get(each.what, "slate"))
        own = alt.Chart().transform_filter(alt.datum.what == each.what)
        tooltip = [alt.Tooltip("what:N"), alt.Tooltip("number:Q"), alt.Tooltip("value:Q", format=".3g", title="share of the largest")]
        layers.append(own.mark_line(strokeWidth=2.5, color=hue).encode(x=x, y=y, tooltip=tooltip))
    layers += _cut(record, x, y)
    layers += _names(record)
    said = "; ".join(f"{each.what}: {each.rank:,} of {min(each.rows, each.columns):,} not zero" for each in record.spectra)
    return finish(
        overlaid(layers, rows), title="What a linear map keeps", height=HEIGHT,
        description=f"Lines of singular values, largest first. {said}.",
        columns={"what": "matrix", "number": "number", "value": "share of the largest"},
    )


def _rows(each: Singular) -> list[Row]:
    """The values, thinned; those that are rounding are 0, and so are those that a matrix of so many columns could have had."""
    most = min(each.rows, each.columns)
    values = [value if number < each.rank else 0.0 for number, value in enumerate(each.values)] + [0.0] * (most - len(each.values))
    step = max(1, most // POINTS)
    kept = sorted({*range(0, most, step), max(each.rank - 1, 0), min(each.rank, most - 1), most - 1})
    return [{"key": f"{each.what}/{number}", "what": each.what, "number": number + 1, "value": round(values[number], 6)} for number in kept]


def _cut(record: TheoremRecord, x: alt.X, y: alt.Y) -> list[Any]:
    """Where the values before the gate end."""
    before = next((each for each in record.spectra if each.what.startswith("values")), None)
    if before is None or before.rank >= min(before.rows, before.columns):
        return []
    # the words stand where the line is down at zero, right of its descent
    ends = {"number": before.rank, "after": before.rank + 1, "value": 0.03, "low": 0, "high": 1}
    here = alt.Chart(data([ends | {"name": f"{before.rank:,}: nothing beyond"}]))
    right = before.rank > 0.6 * min(before.rows, before.columns)
    up, after = y.copy(), x.copy()
    up.shorthand, after.shorthand = "low:Q", "after:Q"
    rule = here.mark_rule(strokeDash=[4, 4], color=light("muted")).encode(x=x, y=up, y2="high:Q")
    return [rule, *labels(x if right else after, y, "name", align="right" if right else "left", dx=-8 if right else 8, dy=-8, source=here)]


def _names(record: TheoremRecord) -> list[Any]:
    """The names of the lines in their colours, side by side above them."""
    layers = []
    for place, each in enumerate(record.spectra):
        text = alt.Chart(data([{"name": each.what}])).mark_text(align="left", baseline="top", fontWeight=600,
                                                               color=light(HUES.get(each.what, "slate")))
        across = alt.ExprRef(f"width < {NARROW} ? 8 : 8 + {place} * width / 3")
        down = alt.ExprRef(f"width < {NARROW} ? 2 + {18 * place} : 2")
        layers.append(text.encode(x=alt.value(across), y=alt.value(down), text="name:N"))
    return layers
