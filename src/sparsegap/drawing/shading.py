"""Values as shades: two colours about zero, or one from the ground up.

A shade is a token with an opacity, never a mixture computed in the browser: the page binds tokens to CSS variables, and the ground below
is light or dark.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import altair as alt

from sparsegap.charts import SMALL, light
from sparsegap.drawing.names import column_title, number_label

ABOVE, BELOW = "blue", "vermilion"
STRONGEST = 0.72  # opacity: ink stays legible on it


def shaded(most: float, x: Any, y: Any, tooltip: list[alt.Tooltip], *, gaps: bool = True) -> Any:
    """Rectangles from (left, bottom) to (right, top), shaded by the row's `value` as a part of `most`: blue above zero, vermilion below."""
    across, up = x.copy(), y.copy()
    across.shorthand, up.shorthand = "left:Q", "bottom:Q"
    rectangle = (
        alt.Chart()
        .mark_rect(stroke=light("surface"), strokeWidth=1 if gaps else 0)
        .encode(
            x=across,
            x2="right:Q",
            y=up,
            y2="top:Q",
            tooltip=tooltip,
            fillOpacity=alt.FillOpacity("strength:Q", scale=alt.Scale(domain=[0, 1], range=[0, 1]), legend=None),
            fill=alt.Fill("side:N", scale=alt.Scale(domain=["above", "below"], range=[light(ABOVE), light(BELOW)]), legend=None),
        )
    )
    strength = f"{STRONGEST} * min(1, abs(datum.value) / {float(most) or 1.0!r})"
    return rectangle.transform_calculate(strength=strength, side="datum.value < 0 ? 'below' : 'above'")


def position(channel: type[Any], field: str, places: Sequence[Any], title: str) -> Any:
    """The place of a cell by its number along an axis that says the values there."""
    labels = ", ".join(f"'{number_label(value) if isinstance(value, int | float) else ''}'" for value in places)
    axis = alt.Axis(
        values=list(range(len(places))), tickCount=len(places), labelExpr=f"[{labels}][datum.value]",
        grid=False, ticks=False, domain=False, labelFlush=False, labelOverlap="greedy" if channel is alt.X else False,
    )  # fmt: skip
    scale = alt.Scale(domain=[-0.5, len(places) - 0.5], nice=False, zero=False)
    return channel(f"{field}:Q", title=column_title(title), scale=scale, axis=axis)


def cell_words(x: Any, y: Any) -> Any:
    """The words of each cell, in its middle."""
    return alt.Chart().mark_text(fontSize=SMALL, color=light("ink")).encode(x=x, y=y, text="words:N")


def square(across: int, up: int) -> dict[str, float]:
    """The edges of a cell by its place."""
    return {"left": across - 0.5, "right": across + 0.5, "bottom": up - 0.5, "top": up + 0.5, "across": across, "up": up}
