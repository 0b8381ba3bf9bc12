"""Quality against cost."""

from __future__ import annotations

from math import log
from typing import Any

import altair as alt

from sparsegap.charts import Row, called, finish, hue, labels, light, overlaid
from sparsegap.gap_record import GapRecord, Rung
from sparsegap.label_places import PLACES, places
from sparsegap.rung_rows import FVU_COLUMNS, fvu_row, fvu_tooltip

X_TITLE, Y_TITLE = "cost in encoder passes (EPU), log scale", "FVU, less is better"
HEIGHT, PADDING, PHONE = 320, 26, 265  # in pixels; the last is the width that a phone leaves between axis and edge


def cost(gap: GapRecord) -> alt.LayerChart:
    """FVU against cost in encoder passes for the ladder on the given dictionary, with the steps that join what nothing cheaper equals.

    The best of all rungs is left out: it is no method, and its price is the sum of all of theirs.
    """
    ladder = [rung for rung in gap.rungs if rung.role == "ladder" and rung.dictionary == "given"]
    rows = [_row(rung) for rung in ladder if rung.series != "best" and rung.price.epu]
    span = _span(rows)
    for row, best, corner in zip(rows, efficient([(row["epu"], row["fvu"]) for row in rows]), _corners(rows, span), strict=True):
        row |= {"efficient": best, "corner": corner}
    ticks = alt.Axis(values=[1, 2, 5, 10, 20, 50, 100, 200, 500, 1000], format="~g", grid=True)
    x = alt.X("epu:Q", title=X_TITLE, scale=alt.Scale(type="log", domain=span, nice=False), axis=ticks)
    y = alt.Y("fvu:Q", title=Y_TITLE, scale=alt.Scale(zero=False, padding=PADDING))
    points = "; ".join(f"{row['codes']}: {row['epu']:.1f} encoder passes, FVU {row['fvu']:.3f}" for row in rows)
    return finish(
        overlaid(_layers(rows, x, y), rows), title="Quality against cost", height=HEIGHT,
        description=f"Scatter chart of the fraction of variance unexplained against cost in encoder passes. {points}.",
        columns=FVU_COLUMNS | {"epu": "EPU", "epu_low": "quartiles from", "epu_high": "to", "efficient": "nothing cheaper is as good"},
    )


def efficient(points: list[tuple[float, float]]) -> list[bool]:
    """For each (cost, error) whether every cheaper or equally dear point is worse."""
    return [not any(a <= cost and b <= error and (a, b) != (cost, error) for a, b in points) for cost, error in points]


def _row(rung: Rung) -> Row:
    price = rung.price
    return fvu_row(rung) | {"name": called(rung.series), "epu": price.epu, "epu_low": price.epu_low, "epu_high": price.epu_high}


def _span(rows: list[Row]) -> list[float]:
    ends = [row[name] for row in rows for name in ("epu", "epu_low", "epu_high") if row[name]] or [1.0]
    return [min(1.0, *ends) * 0.9, max(2.0, *ends) * 1.25]


def _corners(rows: list[Row], span: list[float]) -> list[str]:
    """Where each name goes, judged at the width of a phone; a wider figure only has more room."""
    errors = [row[name] for row in rows for name in ("fvu", "low", "high") if row[name] is not None] or [0.0]
    low, high = min(errors), max(errors)
    across = [PHONE * log(row["epu"] / span[0]) / log(span[1] / span[0]) for row in rows]
    down = [PADDING + (HEIGHT - 90 - 2 * PADDING) * (high - row["fvu"]) / max(high - low, 1e-12) for row in rows]
    return places([(x, y, row["name"]) for x, y, row in zip(across, down, rows, strict=True)], PHONE)


def _layers(rows: list[Row], x: alt.X, y: alt.Y) -> list[Any]:
    colour = hue(rows)
    base = alt.Chart()
    steps = base.mark_line(interpolate="step-after", color=light("line"), strokeWidth=2).encode(x=x, y=y)
    tooltip = fvu_tooltip(alt.Tooltip("epu:Q", title="EPU", format=".2f"))
    named = [
        layer.transform_filter(f"datum.corner == '{corner}'")
        for corner, place in PLACES.items() if any(row["corner"] == corner for row in rows)
        for layer in labels(x, y, "name", align=place.align, dx=place.dx, dy=place.dy)
    ]
    return [
        steps.transform_filter("datum.efficient"),
        base.mark_rule(strokeWidth=1.5).encode(x=x, y=alt.Y("low:Q", title=Y_TITLE), y2="high:Q", color=colour),
        base.mark_rule(strokeWidth=1.5).encode(x=alt.X("epu_low:Q", title=X_TITLE), x2="epu_high:Q", y=y, color=colour),
        base.mark_circle(size=110, opacity=1).encode(x=x, y=y, color=colour, tooltip=tooltip),
        *named,
    ]
