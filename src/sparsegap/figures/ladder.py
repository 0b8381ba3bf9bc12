"""The main figure of a gap report."""

from __future__ import annotations

import altair as alt

from sparsegap.charts import LINE, Row, bars, data, finish, named_lines, whiskers
from sparsegap.gap_record import GapRecord, Rung
from sparsegap.number_formats import change


def ladder(gap: GapRecord) -> alt.LayerChart:
    """FVU of each rung of the ladder with its 95 % interval: better codes for the same activations, step by step."""
    rows = [_row(rung) for rung in gap.rungs if rung.role == "ladder"]
    tooltip = [alt.Tooltip("codes:N"), alt.Tooltip("fvu:Q", title="FVU", format=".4f"), alt.Tooltip("low:Q", title="95 % from", format=".4f"),
               alt.Tooltip("high:Q", title="to", format=".4f"), alt.Tooltip("l0:Q", title="active atoms per sample", format=".1f")]
    axis = alt.X("fvu:Q", title="fraction of variance unexplained (FVU), less is better", scale=alt.Scale(zero=True, nice=True))
    layers = alt.layer(bars(axis, rows, tooltip), whiskers("low", "high"), *named_lines("codes", "note"), data=data(rows))
    return finish(
        layers, title="The ladder: the same activations, better and better codes", height=LINE * len(rows), description=_in_words(rows),
        columns={"codes": "codes", "fvu": "FVU", "low": "95 % from", "high": "to", "change": "against the encoder", "l0": "active atoms per sample"},
    )


def _row(rung: Rung) -> Row:
    relative = None if rung.against_own is None else -rung.against_own.relative.value
    return {
        "key": rung.name, "method": rung.series, "codes": rung.label, "fvu": rung.fvu.value, "low": rung.fvu.low, "high": rung.fvu.high, "change": relative,
        "l0": rung.l0.quantiles.mean, "note": f"{rung.fvu.value:.3f}" + ("" if relative is None else f"  ({change(relative)})"),
    }


def _in_words(rows: list[Row]) -> str:
    steps = "; ".join(f"{row['codes']} {row['note']}" for row in rows)
    return f"Bar chart of the fraction of variance unexplained by each kind of codes, less is better. {steps}."
