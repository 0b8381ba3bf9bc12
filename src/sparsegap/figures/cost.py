"""Quality against cost."""

from __future__ import annotations

import altair as alt

from sparsegap.charts import Row, colours, data, finish, labels, light
from sparsegap.gap_record import GapRecord, Rung


def cost(gap: GapRecord) -> alt.LayerChart:
    """FVU against cost in encoder passes (log scale) for the rungs of the ladder, with the frontier of those that nothing cheaper beats."""
    rows = [_row(rung) for rung in gap.rungs if rung.role == "ladder" and rung.price.epu]
    middle = (min((row["epu"] for row in rows), default=1.0) * max((row["epu"] for row in rows), default=1.0)) ** 0.5
    for row in rows:
        row["side"] = "left" if row["epu"] > middle else "right"
    x = alt.X("epu:Q", title="cost in encoder passes (EPU), log scale", scale=alt.Scale(type="log", domain=_span(rows), nice=False),
              axis=alt.Axis(values=[1, 2, 5, 10, 20, 50, 100, 200, 500, 1000], format="~g", grid=True))
    y = alt.Y("fvu:Q", title="FVU, less is better", scale=alt.Scale(zero=False, padding=18))
    layers = alt.layer(_frontier(rows, x, y), *_points(rows, x, y), data=data(rows))
    return finish(
        layers, title="Quality against cost", height=320, description=_in_words(rows),
        columns={"codes": "codes", "epu": "EPU", "epu_low": "quartiles from", "epu_high": "to", "fvu": "FVU", "on_frontier": "nothing cheaper is as good"},
    )


def frontier(points: list[tuple[float, float]]) -> list[bool]:
    """For each (cost, error) whether no other point is at most as dear and better, or cheaper and as good."""
    return [not any(a <= cost and b <= error and (a, b) != (cost, error) for a, b in points) for cost, error in points]


def _row(rung: Rung) -> Row:
    price = rung.price
    return {"key": rung.name, "method": rung.series, "codes": rung.label, "fvu": rung.fvu.value, "low": rung.fvu.low, "high": rung.fvu.high, "epu": price.epu,
            "epu_low": price.epu_low, "epu_high": price.epu_high}


def _span(rows: list[Row]) -> list[float]:
    ends = [row[name] for row in rows for name in ("epu", "epu_low", "epu_high") if row[name]] or [1.0]
    return [min(1.0, *ends) * 0.9, max(*ends, 2.0) * 1.25]


def _frontier(rows: list[Row], x: alt.X, y: alt.Y) -> alt.Chart:
    for row, best in zip(rows, frontier([(row["epu"], row["fvu"]) for row in rows]), strict=True):
        row["on_frontier"] = best
    line = alt.Chart().mark_line(interpolate="step-after", color=light("line"), strokeWidth=2).encode(x=x, y=y)
    return line.transform_filter("datum.on_frontier")


def _points(rows: list[Row], x: alt.X, y: alt.Y) -> list[alt.Chart]:
    colour = alt.Color("method:N", scale=colours(row["method"] for row in rows), legend=None)
    tooltip = [alt.Tooltip("codes:N"), alt.Tooltip("epu:Q", title="EPU", format=".2f"), alt.Tooltip("fvu:Q", title="FVU", format=".4f"),
               alt.Tooltip("low:Q", title="95 % from", format=".4f"), alt.Tooltip("high:Q", title="to", format=".4f")]
    base = alt.Chart()
    right = [layer.transform_filter("datum.side == 'right'") for layer in labels(x, y, "codes", align="left", dx=6, dy=-13)]
    left = [layer.transform_filter("datum.side == 'left'") for layer in labels(x, y, "codes", align="right", dx=-6, dy=-13)]
    return [
        base.mark_rule(strokeWidth=1.5).encode(x=x, y=alt.Y("low:Q", title="FVU, less is better"), y2="high:Q", color=colour),
        base.mark_rule(strokeWidth=1.5).encode(x=alt.X("epu_low:Q", title=x.title if isinstance(x.title, str) else ""), x2="epu_high:Q", y=y, color=colour),
        base.mark_circle(size=110, opacity=1).encode(x=x, y=y, color=colour, tooltip=tooltip),
        *right, *left,
    ]


def _in_words(rows: list[Row]) -> str:
    points = "; ".join(f"{row['codes']}: {row['epu']:.1f} encoder passes, FVU {row['fvu']:.3f}" for row in rows)
    return f"Scatter chart of the fraction of variance unexplained against cost in encoder passes. {points}."
