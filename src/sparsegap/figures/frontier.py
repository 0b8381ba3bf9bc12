"""Sparsity against quality: the curves that a dictionary allows, and where its encoder stands."""

from __future__ import annotations

from typing import Any

import altair as alt

from sparsegap.charts import Row, data, finish, hue, labels, legend, light, overlaid
from sparsegap.gap_record import GapRecord, Match, Rung
from sparsegap.number_formats import change
from sparsegap.rung_rows import FVU_COLUMNS, fvu_row, fvu_tooltip

HEIGHT = 360


def frontier(gap: GapRecord) -> alt.LayerChart:
    """FVU against mean L0: each method's curve on the given dictionary, the encoder as a point, arrows to equal L0 and to equal FVU."""
    rows = [fvu_row(rung) | {"l0": rung.l0.quantiles.mean} for rung in on_curves(gap)]
    x = alt.X("l0:Q", title="active atoms per sample (L0, mean)", scale=alt.Scale(zero=True, nice=True))
    y = alt.Y("fvu:Q", title="FVU, less is better", scale=alt.Scale(zero=True))
    points = "; ".join(f"{row['codes']}: {row['l0']:.1f} atoms, FVU {row['fvu']:.3f}" for row in rows)
    arrows = _arrows(gap.matched, x, y, widest=max((row["l0"] for row in rows), default=0.0))
    return finish(
        overlaid([*_curves(rows, x, y), *arrows], rows), title="Sparsity against quality", height=HEIGHT,
        description=f"Line chart of the fraction of variance unexplained against active atoms. {points}. {_in_words(gap.matched)}",
        columns={"method": "series", **FVU_COLUMNS, "l0": "active atoms per sample"},
    )


def on_curves(gap: GapRecord) -> list[Rung]:
    """The encoder's own codes, and every rung on the given dictionary whose series was tried at other sparsities."""
    rungs = [rung for rung in gap.rungs if rung.role in ("ladder", "frontier") and rung.dictionary == "given"]
    curves = {rung.series for rung in rungs if rung.role == "frontier"}
    return [*rungs[:1], *(rung for rung in rungs[1:] if rung.series in curves)]


def _curves(rows: list[Row], x: alt.X, y: alt.Y) -> list[Any]:
    pick = alt.selection_point(fields=["method"], bind="legend", name="pick")
    strength = alt.when(pick).then(alt.value(1)).otherwise(alt.value(0.15))
    colour, base = hue(rows, legend()), alt.Chart()
    tooltip = fvu_tooltip(alt.Tooltip("l0:Q", title="active atoms per sample", format=".1f"))
    return [
        base.mark_line(strokeWidth=2).encode(x=x, y=y, color=colour, opacity=strength),
        base.mark_circle(size=70).encode(x=x, y=y, color=colour, opacity=strength, tooltip=tooltip).add_params(pick),
    ]


def _arrows(matched: list[Match], x: alt.X, y: alt.Y, widest: float) -> list[Any]:
    """From the encoder's point to the best method's curve: down at equal L0, left at equal FVU.

    The words stand at the lower left, where few atoms would have to leave little error: no curve comes there.
    """
    if not matched:
        return []
    best = min(matched, key=lambda match: match.fvu_at_own_l0.value)
    near = best.own_l0 < 0.6 * widest
    fewer = "" if best.bracketed else "at most "
    down = alt.Chart(data([{"l0": best.own_l0, "fvu": best.own_fvu, "to": best.fvu_at_own_l0.value, "name": "the encoder"}]))
    left = alt.Chart(data([{"l0": best.own_l0, "fvu": best.own_fvu, "to": best.atoms_at_own_fvu.value}]))
    said = [f"↓ same L0: {change(best.fvu_at_own_l0.value / best.own_fvu - 1)} error",
            f"← same error: {fewer}{best.atoms_at_own_fvu.value:.0f} atoms, not {best.own_l0:.0f}"]
    rule: dict[str, Any] = {"color": light("ink"), "strokeDash": [4, 3]}
    head: dict[str, Any] = {"color": light("ink"), "filled": True, "size": 60, "opacity": 1}
    corner: dict[str, Any] = {"x": alt.value(10), "text": "words:N"}
    return [
        down.mark_rule(**rule).encode(x=x, y=y, y2="to:Q"),
        left.mark_rule(**rule).encode(x=x, x2="to:Q", y=y),
        down.mark_point(shape="triangle-down", **head).encode(x=x, y="to:Q"),
        left.mark_point(shape="triangle-left", **head).encode(x="to:Q", y=y),
        *labels(x, y, "name", align="left" if near else "right", dx=9 if near else -4, dy=-10, source=down),
        *(alt.Chart(data([{"words": words}])).mark_text(align="left").encode(y=alt.value(HEIGHT - 32 + 18 * number), **corner)
          for number, words in enumerate(said)),
    ]


def _in_words(matched: list[Match]) -> str:
    return " ".join(
        f"{match.method} has FVU {match.fvu_at_own_l0.value:.3f} at the encoder's L0 of {match.own_l0:.1f}, "
        f"and the encoder's FVU of {match.own_fvu:.3f} at L0 {match.atoms_at_own_fvu.value:.1f}." for match in matched
    )
