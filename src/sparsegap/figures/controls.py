"""The sanity check beside the ladder."""

from __future__ import annotations

import altair as alt

from sparsegap.charts import bars, finish, line_heights, listed, named_lines, overlaid, whiskers
from sparsegap.gap_record import GapRecord, Rung
from sparsegap.rung_rows import FVU_COLUMNS, fvu_row, fvu_tooltip


def controls(gap: GapRecord) -> alt.LayerChart:
    """FVU of the controls and references beside the encoder's and the best rung on the same dictionary, on the whole scale from 0 to 1."""
    rows = [fvu_row(rung) | {"says": rung.says, "note": f"{rung.fvu.value:.3f}"} for rung in compared(gap)]
    top = max([1.0, *(row["high"] or row["fvu"] for row in rows)])
    axis = alt.X("fvu:Q", title="fraction of variance unexplained (FVU)", scale=alt.Scale(domain=[0, top]))
    tooltip = fvu_tooltip(alt.Tooltip("says:N", title="what it is"))
    return finish(
        overlaid([bars(axis, rows, tooltip), whiskers("low", "high"), *named_lines("codes", "note")], rows),
        title="Controls: what meaningless codes and atoms would give", height=line_heights(rows),
        description=f"Bar chart of the fraction of variance unexplained, from 0 to 1. {listed(rows, 'codes', 'note')}",
        columns=FVU_COLUMNS | {"says": "what it is"},
    )


def compared(gap: GapRecord) -> list[Rung]:
    """The encoder's own codes, the best ladder rung on the given dictionary, then every control and reference."""
    ladder = [rung for rung in gap.rungs if rung.role == "ladder" and rung.dictionary == "given"]
    best = sorted(ladder[1:], key=lambda rung: rung.fvu.value)[:1]
    return [*ladder[:1], *best, *(rung for rung in gap.rungs if rung.role in ("control", "reference"))]
