"""The level of chance in a panel: one dotted line where it is the same for all that stands there, else one in each series' own colour."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from math import log
from typing import Any

import altair as alt

from sparsegap.charts import HALO, SMALL, Row, data, light
from sparsegap.drawing.series import Series
from sparsegap.number_formats import fixed

ALIKE = 0.02  # levels so near each other are one
DOTTED = [2, 3]
BETWEEN = 8  # steps from one point of a line to the next
WORDS = (0.32, 0.1)  # width and height of the words, as parts of a panel


def one_level(levels: Sequence[float | None]) -> float | None:
    """The level that all share, None where there is none or they differ."""
    found = [level for level in levels if level is not None]
    return sum(found) / len(found) if found and max(found) - min(found) <= ALIKE else None


def words(level: float) -> str:
    """What stands at the line."""
    return f"chance {fixed(level, 2)}"


def note(panels: Sequence[Sequence[float | None]]) -> str:
    """The sentence of a figure's note; empty where no panel has a level."""
    there = [levels for levels in panels if any(level is not None for level in levels)]
    if not there:
        return ""
    shared = all(one_level(levels) is not None for levels in there)
    return "The dotted line is the level of chance." if shared else "Dotted lines are the level of chance, each for what it stands with."


def taken_out(points: Sequence[Row]) -> list[Row]:
    """The levels of points that have a `chance`, which is taken out of them: only the two ends of a series whose level is one."""
    found: dict[str, list[Row]] = {}
    for point in points:
        level = point.pop("chance")
        if level is not None:
            found.setdefault(point["method"], []).append({"method": point["method"], "x": point["x"], "y": level})
    return [row for rows in found.values() for row in ([rows[0], rows[-1]] if one_level([each["y"] for each in rows]) else rows)]


def layers(levels: Sequence[Row], points: Sequence[Row], x: alt.X, y: alt.Y, series: Series) -> list[Any]:
    """The dotted line with its words where they cover the fewest points; or a line for each series."""
    if not levels:
        return []
    level = one_level([row["y"] for row in levels])
    if level is None:
        line = alt.Chart(data(levels)).mark_line(strokeDash=DOTTED, strokeWidth=1.5, clip=True)
        return [line.encode(x=x, y=y, stroke=series.stroke(), detail="method:N")]
    right, above = _freest(level, points, x["scale"], y["scale"])
    row = alt.Chart(data([{"y": level, "words": words(level)}]))
    inks: tuple[dict[str, Any], ...] = (HALO, {"color": light("muted")})
    text: dict[str, Any] = {"align": "right" if right else "left", "dx": -4 if right else 4, "dy": -7 if above else 9, "fontSize": SMALL}
    return [
        row.mark_rule(strokeDash=DOTTED, strokeWidth=1.5, color=light("muted")).encode(y=y),
        *(row.mark_text(**text, **ink).encode(x=alt.value("width" if right else 0), y=y, text="words:N") for ink in inks),
    ]


def _freest(level: float, points: Sequence[Row], x: alt.Scale, y: alt.Scale) -> tuple[bool, bool]:
    """Whether the words stand at the right, and above the line: the first of four places that covers the fewest points."""
    line = _part(level, y)
    corners = [(point["method"], _part(point["x"], x), _part(point["y"], y) - line) for point in points]
    placed = [place for one, two in pairwise(corners) if one[0] == two[0] for place in _between(one[1:], two[1:])]

    def covered(place: tuple[bool, bool]) -> int:
        right, above = place
        return sum((1 - across if right else across) < WORDS[0] and 0 <= (up if above else -up) < WORDS[1] for across, up in placed)

    return min(((True, True), (True, False), (False, True), (False, False)), key=covered)


def _between(one: tuple[float, float], two: tuple[float, float]) -> list[tuple[float, float]]:
    """Places on the way from one point to another, near enough to tell that the way crosses the words."""
    parts = [number / BETWEEN for number in range(BETWEEN + 1)]
    return [(one[0] + part * (two[0] - one[0]), one[1] + part * (two[1] - one[1])) for part in parts]


def _part(value: float, scale: alt.Scale) -> float:
    """Where a value lies on a scale, from 0 to 1."""
    low, high = scale["domain"]
    return log(value / low) / log(high / low) if scale["type"] == "log" and value > 0 else (value - low) / (high - low)
