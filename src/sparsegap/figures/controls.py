"""The sanity check beside the ladder."""

from __future__ import annotations

import altair as alt

from sparsegap.charts import LINE, Row, bars, data, finish, named_lines, whiskers
from sparsegap.gap_record import GapRecord, Rung


def controls(gap: GapRecord) -> alt.LayerChart:
    """FVU of the controls and references beside the encoder's and the best rung on the same dictionary, on the whole scale from 0 to 1."""
    rows = [_row(rung) for rung in compared(gap)]
    tooltip = [alt.Tooltip("codes:N"), alt.Tooltip("says:N", title="what it is"), alt.Tooltip("fvu:Q", title="FVU", format=".4f")]
    top = max([1.0, *(row["high"] or row["fvu"] for row in rows)])
    axis = alt.X("fvu:Q", title="fraction of variance unexplained (FVU)", scale=alt.Scale(domain=[0, top]))
    layers = alt.layer(bars(axis, rows, tooltip), whiskers("low", "high"), *named_lines("codes", "note"), data=data(rows))
    return finish(
        layers, title="Controls: what meaningless codes and atoms would give", height=LINE * len(rows), description=_in_words(rows),
        columns={"codes": "codes", "fvu": "FVU", "low": "95 % from", "high": "to", "says": "what it is"},
    )


def compared(gap: GapRecord) -> list[Rung]:
    """The encoder's own codes, the best ladder rung on the given dictionary, then every control and reference."""
    ladder = [rung for rung in gap.rungs if rung.role == "ladder" and rung.dictionary == "given"]
    best = sorted(ladder[1:], key=lambda rung: rung.fvu.value)[:1]
    return [*ladder[:1], *best, *(rung for rung in gap.rungs if rung.role in ("control", "reference"))]


def _row(rung: Rung) -> Row:
    return {"key": rung.name, "method": rung.series, "codes": rung.label, "fvu": rung.fvu.value, "low": rung.fvu.low, "high": rung.fvu.high, "says": rung.says,
            "note": f"{rung.fvu.value:.3f}"}


def _in_words(rows: list[Row]) -> str:
    return "Bar chart of the fraction of variance unexplained, from 0 to 1. " + "; ".join(f"{row['codes']} {row['note']}" for row in rows) + "."
