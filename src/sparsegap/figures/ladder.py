"""The main figure of a gap report."""

from __future__ import annotations

import altair as alt

from sparsegap.charts import Row, bars, finish, line_heights, listed, named_lines, overlaid, whiskers
from sparsegap.gap_record import GapRecord, Rung
from sparsegap.number_formats import change
from sparsegap.rung_rows import FVU_COLUMNS, fvu_row, fvu_tooltip


def ladder(gap: GapRecord) -> alt.LayerChart:
    """FVU of each rung of the ladder with its 95 % interval: better codes for the same activations, step by step."""
    rows = [_row(rung) for rung in gap.rungs if rung.role == "ladder"]
    axis = alt.X("fvu:Q", title="fraction of variance unexplained (FVU), less is better", scale=alt.Scale(zero=True, nice=True))
    tooltip = fvu_tooltip(alt.Tooltip("l0:Q", title="active atoms per sample", format=".1f"))
    return finish(
        overlaid([bars(axis, rows, tooltip), whiskers("low", "high"), *named_lines("codes", "note")], rows),
        title="The ladder: the same activations, better and better codes", height=line_heights(rows),
        description=f"Bar chart of the fraction of variance unexplained by each kind of codes. {listed(rows, 'codes', 'note')}",
        columns=FVU_COLUMNS | {"change": "against the encoder", "l0": "active atoms per sample"},
    )


def _row(rung: Rung) -> Row:
    relative = None if rung.against_own is None else -rung.against_own.relative.value
    note = f"{rung.fvu.value:.3f}" + ("" if relative is None else f"  ({change(relative)})")
    return fvu_row(rung) | {"change": relative, "l0": rung.l0.quantiles.mean, "note": note}
