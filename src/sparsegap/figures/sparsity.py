"""How many atoms the codes use, sample by sample."""

from __future__ import annotations

import altair as alt

from sparsegap.charts import Row, bars, finish, hue, light, line, line_heights, listed, named_lines, overlaid
from sparsegap.gap_record import GapRecord, Rung
from sparsegap.rung_rows import name_row

COLUMNS = {
    "codes": "codes", "mean": "mean", "minimum": "least", "q05": "5 %", "q25": "25 %", "median": "median", "q75": "75 %", "q95": "95 %",
    "maximum": "most",
}


def sparsity(gap: GapRecord) -> alt.LayerChart:
    """Distribution over samples of L0 by rung: middle half as a bar, 5th to 95th percentile as a line, median as a tick."""
    rungs = shown(gap)
    alike = sum(rung.role == "ladder" for rung in gap.rungs) - sum(rung.role == "ladder" for rung in rungs)
    rows = [_row(rung, alike if rung is rungs[0] else 0) for rung in rungs]
    tooltip = [alt.Tooltip("codes:N"), *(alt.Tooltip(f"{name}:Q", title=title, format=".1f") for name, title in list(COLUMNS.items())[1:])]
    axis = alt.X("q25:Q", title="active atoms per sample (L0)", scale=alt.Scale(zero=True))
    wide = alt.Chart().mark_rule(strokeWidth=2, yOffset=9).encode(x="q05:Q", x2="q95:Q", y=line(), color=hue(rows))
    median = alt.Chart().mark_tick(thickness=3, size=18, yOffset=9, color=light("ink")).encode(x="median:Q", y=line(), tooltip=tooltip)
    return finish(
        overlaid([wide, bars(axis, rows, tooltip, end="q75"), median, *named_lines("codes", "note")], rows),
        title="How many atoms a sample uses", height=line_heights(rows), columns=COLUMNS,
        description=f"Distribution of the number of active atoms per sample. {listed(rows, 'codes', 'note')}",
    )


def shown(gap: GapRecord) -> list[Rung]:
    """The encoder, the rungs of the ladder that differ from it in this, and of each lasso curve the point of the nearest mean L0."""
    ladder = [rung for rung in gap.rungs if rung.role == "ladder"]
    ladder = [*ladder[:1], *(rung for rung in ladder[1:] if rung.l0.quantiles != ladder[0].l0.quantiles)]
    lassos = [rung for rung in gap.rungs if rung.role == "frontier" and rung.penalty is not None]
    own = ladder[0].l0.quantiles.mean if ladder else 0.0
    series = dict.fromkeys(rung.series for rung in lassos)
    nearest = [min((rung for rung in lassos if rung.series == name), key=lambda rung: abs(rung.l0.quantiles.mean - own)) for name in series]
    return [*ladder, *nearest]


def _row(rung: Rung, alike: int) -> Row:
    quantiles = rung.l0.quantiles
    same = quantiles.minimum == quantiles.maximum
    note = f"always {quantiles.median:g}" if same else f"{quantiles.minimum:g} to {quantiles.maximum:g}"
    row = name_row(rung) | quantiles.model_dump() | {"note": note}
    return row | {"codes": f"{rung.label}, and {alike} others alike", "short": f"encoder and {alike} others"} if alike else row
