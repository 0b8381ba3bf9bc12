"""Sparsity against quality: the curves that a dictionary allows, and where its encoder stands."""

from __future__ import annotations

from typing import Any

import altair as alt

from sparsegap.charts import Row, colours, data, finish, labels, legend, light
from sparsegap.gap_record import GapRecord, Match, Rung

X_TITLE, Y_TITLE = "active atoms per sample (L0, mean)", "FVU, less is better"
from sparsegap.number_formats import change


def frontier(gap: GapRecord) -> alt.LayerChart:
    """FVU against mean L0: each method's curve on the given dictionary, the encoder as a point, arrows to equal L0 and to equal FVU."""
    rungs = [rung for rung in gap.rungs if rung.role in ("ladder", "frontier") and rung.dictionary == "given"]
    curves = [series for series in dict.fromkeys(rung.series for rung in rungs) if sum(rung.series == series for rung in rungs) > 1]
    own = rungs[0].series if rungs else ""
    rows = [_row(rung) for rung in rungs if rung.series in (own, *curves)]
    x = alt.X("l0:Q", title=X_TITLE, scale=alt.Scale(zero=True, nice=True))
    y = alt.Y("fvu:Q", title=Y_TITLE, scale=alt.Scale(zero=True))
    layers = alt.layer(*_curves(rows, x, y), *_arrows(gap.matched, x, y), data=data(rows))
    return finish(
        layers, title="Sparsity against quality", height=360, description=_in_words(rows, gap.matched),
        columns={"method": "series", "codes": "codes", "l0": "active atoms per sample", "fvu": "FVU", "low": "95 % from", "high": "to"},
    )


def _row(rung: Rung) -> Row:
    return {"key": rung.name, "method": rung.series, "codes": rung.label, "l0": rung.l0.quantiles.mean, "fvu": rung.fvu.value, "low": rung.fvu.low, "high": rung.fvu.high}


def _curves(rows: list[Row], x: alt.X, y: alt.Y) -> list[Any]:
    pick = alt.selection_point(fields=["method"], bind="legend", name="pick")
    strength = alt.when(pick).then(alt.value(1)).otherwise(alt.value(0.15))
    hue = alt.Color("method:N", scale=colours(row["method"] for row in rows), legend=legend())
    tooltip = [alt.Tooltip("codes:N"), alt.Tooltip("l0:Q", title="active atoms per sample", format=".1f"), alt.Tooltip("fvu:Q", title="FVU", format=".4f"),
               alt.Tooltip("low:Q", title="95 % from", format=".4f"), alt.Tooltip("high:Q", title="to", format=".4f")]
    base = alt.Chart()
    return [
        base.mark_line(strokeWidth=2).encode(x=x, y=y, color=hue, opacity=strength),
        base.mark_circle(size=70).encode(x=x, y=y, color=hue, opacity=strength, tooltip=tooltip).add_params(pick),
    ]


def _arrows(matched: list[Match], x: alt.X, y: alt.Y) -> list[Any]:
    """Arrows from the encoder's point to the best method's curve: down at equal L0, left at equal FVU; their words stand in the free corner."""
    if not matched:
        return []
    best = min(matched, key=lambda match: match.fvu_at_own_l0.value)
    ink, dashes = light("ink"), [4, 3]
    down = alt.Chart(data([{"l0": best.own_l0, "fvu": best.own_fvu, "to": best.fvu_at_own_l0.value}]))
    left = alt.Chart(data([{"l0": best.own_l0, "fvu": best.own_fvu, "to": best.atoms_at_own_fvu.value}]))
    words = alt.Chart(data([{"line": 0, "words": f"↓ same L0: {change(best.fvu_at_own_l0.value / best.own_fvu - 1)} error"},
                            {"line": 1, "words": f"← same error: {best.atoms_at_own_fvu.value:.0f} atoms, not {best.own_l0:.0f}"}]))
    return [
        down.mark_rule(color=ink, strokeDash=dashes).encode(x=x, y=y, y2="to:Q"),
        left.mark_rule(color=ink, strokeDash=dashes).encode(x=x, x2="to:Q", y=y),
        down.mark_point(shape="triangle-down", filled=True, size=60, opacity=1, color=ink).encode(x=x, y=alt.Y("to:Q")),
        left.mark_point(shape="triangle-left", filled=True, size=60, opacity=1, color=ink).encode(x=alt.X("to:Q"), y=y),
        *labels(x, y, "name", align="left", dx=9, dy=-9, source=down.transform_calculate(name="'the encoder'")),
        *(words.mark_text(align="right", baseline="top", dy=18 * line).encode(x=alt.value("width"), y=alt.value(2), text="words:N")
          .transform_filter(f"datum.line == {line}") for line in (0, 1)),
    ]


def _in_words(rows: list[Row], matched: list[Match]) -> str:
    points = "; ".join(f"{row['codes']}: {row['l0']:.1f} atoms, FVU {row['fvu']:.3f}" for row in rows)
    matches = " ".join(
        f"{match.method} has FVU {match.fvu_at_own_l0.value:.3f} at the encoder's L0 of {match.own_l0:.1f}, and the encoder's FVU of {match.own_fvu:.3f} "
        f"at L0 {match.atoms_at_own_fvu.value:.1f}." for match in matched
    )
    return f"Line chart of the fraction of variance unexplained against the number of active atoms. {points}. {matches}"
