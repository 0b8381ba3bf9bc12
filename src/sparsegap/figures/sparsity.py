"""How many atoms the codes use, sample by sample."""

from __future__ import annotations

import altair as alt

from sparsegap.charts import LINE, Row, bars, colours, data, finish, light, named_lines
from sparsegap.gap_record import GapRecord, Rung


def sparsity(gap: GapRecord) -> alt.LayerChart:
    """Distribution over samples of L0 for each rung of the ladder: middle half as a bar, 5th to 95th percentile as a line, median as a tick."""
    rows = [_row(rung) for rung in gap.rungs if rung.role == "ladder"]
    tooltip = [alt.Tooltip("codes:N"), *(alt.Tooltip(f"{name}:Q", title=title, format=".1f") for name, title in COLUMNS.items() if name != "codes")]
    axis = alt.X("q25:Q", title="active atoms per sample (L0)", scale=alt.Scale(zero=True))
    wide = alt.Chart().mark_rule(strokeWidth=2, yOffset=9).encode(x=alt.X("q05:Q"), x2="q95:Q", y=alt.Y("key:N", sort=None, axis=None),
                                                                 color=alt.Color("method:N", scale=colours(row["method"] for row in rows), legend=None))
    median = alt.Chart().mark_tick(thickness=3, size=18, yOffset=9, color=light("ink")).encode(
        x=alt.X("median:Q"), y=alt.Y("key:N", sort=None, axis=None), tooltip=tooltip)
    layers = alt.layer(wide, bars(axis, rows, tooltip, end="q75"), median, *named_lines("codes", "note"), data=data(rows))
    return finish(layers, title="How many atoms a sample uses", height=LINE * len(rows), description=_in_words(rows), columns=COLUMNS)


COLUMNS = {"codes": "codes", "mean": "mean", "minimum": "least", "q05": "5 %", "q25": "25 %", "median": "median", "q75": "75 %", "q95": "95 %", "maximum": "most"}


def _row(rung: Rung) -> Row:
    quantiles = rung.l0.quantiles
    same = quantiles.minimum == quantiles.maximum
    return {"key": rung.name, "method": rung.series, "codes": rung.label, **quantiles.model_dump(),
            "note": f"always {quantiles.median:g}" if same else f"median {quantiles.median:g}, {quantiles.minimum:g} to {quantiles.maximum:g}"}


def _in_words(rows: list[Row]) -> str:
    return "Distribution of the number of active active atoms per sample. " + "; ".join(f"{row['codes']}: {row['note']}" for row in rows) + "."
