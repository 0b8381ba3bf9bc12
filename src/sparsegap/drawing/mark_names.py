"""Names beside the marks of a panel, where they cover neither each other nor another mark."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import log
from typing import Any

import altair as alt

from sparsegap.charts import HALO, SMALL
from sparsegap.drawing.rows import rounded
from sparsegap.drawing.series import Series
from sparsegap.drawing.summaries import Row
from sparsegap.label_places import AT_HAND, CHARACTER, LETTER_HEIGHT, PLACES, RADIUS, apart, places

STACK, NEAR, BESIDE = 4, 12, 10  # marks that make a stack; pixels between the first and the last of them, and to their names
Spot = tuple[Row, float, float]  # a row and where its mark is in pixels, from the left and from the top


@dataclass(frozen=True)
class Frame:
    """Of a panel: the ends of both axes, whether that of x is logarithmic, and the least size in pixels that it gets."""

    x: list[float]
    y: list[float]
    log: bool
    width: float
    height: float

    def across(self, value: float) -> float:
        """Pixels from the left."""
        low, high = self.x
        return self.width * (log(value / low) / log(high / low) if self.log else (value - low) / (high - low))

    def down(self, value: float) -> float:
        """Pixels from the top."""
        return self.height * (self.y[1] - value) / (self.y[1] - self.y[0])

    def at(self, down: float) -> float:
        """The value so many pixels from the top."""
        return self.y[1] - down / self.height * (self.y[1] - self.y[0])


def place(rows: Sequence[Row], frame: Frame, *, few: bool, legend: bool = False) -> None:
    """Set `corner`, and for marks above each other `beside`; the marks of all rows and their intervals are in the way.

    few: every name is wanted; otherwise those of `efficient` rows, and others where there is room. legend: one tells the colours, so that
    only `efficient` rows are named, and only right at their marks.
    """
    ordered = sorted(rows, key=lambda row: not row["efficient"])
    spots = [(row, frame.across(row["x"]), frame.down(row["y"])) for row in ordered]
    wanted = [spot for spot in spots if spot[0]["efficient"] or not legend]
    taken = _stacked(wanted, frame) if few else []
    free = [spot for spot in wanted if "corner" not in spot[0]]
    needed = 0 if legend else len(free) if few else sum(row["efficient"] for row, _, _ in free)
    points = [(across, down, row["name"]) for row, across, down in free]
    others = [(across, down, "") for row, across, down in spots if not any(row is spot[0] for spot in free)]
    obstacles = [*others, *taken, *(point for row, across, _ in spots for point in _whisker(row, across, frame))]
    found = places([*points, *obstacles], frame.width, needed, frame.height, AT_HAND if legend else tuple(PLACES))
    for (row, _, _), corner in zip(free, found, strict=False):
        row["corner"] = corner
    for row in rows:
        row.setdefault("corner", "")


def _whisker(row: Row, across: float, frame: Frame) -> list[tuple[float, float, str]]:
    """The interval of a mark as points without a name."""
    if row["low"] is None or row["high"] is None:
        return []
    top, bottom = frame.down(row["high"]), frame.down(row["low"])
    steps = range(int((bottom - top) // (2 * RADIUS)) + 1)
    return [(across, top + 2 * RADIUS * step, "") for step in steps]


def layers(rows: Sequence[Row], x: alt.X, y: alt.Y, beside: alt.Y, series: Series) -> list[Any]:
    """The text marks: those at a corner in ink, those beside a stack, at the height `beside`, in the colours of their marks."""
    corners = [(corner, spot) for corner, spot in PLACES.items() if any(row["corner"] == corner for row in rows)]
    found = [
        _text(corner, spot.align, spot.dx, spot.dy, **how).encode(x=x, y=y, text="name:N") for corner, spot in corners for how in (HALO, {})
    ]
    for corner, align, dx in (("beside", "left", BESIDE), ("beside left", "right", -BESIDE)):
        if any(row["corner"] == corner for row in rows):
            text = [_text(corner, align, dx, 0.0, fontWeight=600, **how).encode(x=x, y=beside, text="name:N") for how in (HALO, {})]
            found += [text[0], text[1].encode(color=series.colour(symbol="circle"))]
    return found


def _text(corner: str, align: str, dx: float, dy: float, **how: Any) -> alt.Chart:
    how |= {"align": align, "baseline": "middle", "dx": dx, "dy": dy, "fontSize": SMALL - 1}
    mark: alt.Chart = alt.Chart().mark_text(**how)
    return mark.transform_filter(f"datum.corner === '{corner}'")


def _stacked(spots: list[Spot], frame: Frame) -> list[tuple[float, float, str]]:
    """Names of marks that stand above each other go beside them in the order of the marks, in their colours: any other place would be
    nearer to another mark. What of the panel these names take, as points without a name.
    """
    taken = []
    for stack in (run for run in _runs(sorted(spots, key=lambda spot: spot[1])) if len(run) >= STACK):
        longest = CHARACTER * max(len(row["name"]) for row, _, _ in stack)
        right = stack[-1][1] + BESIDE + longest <= frame.width
        downs = apart([down for _, _, down in stack], LETTER_HEIGHT, frame.height)
        for (row, across, _), down in zip(stack, downs, strict=True):
            row["corner"] = "beside" if right else "beside left"
            row["beside"] = rounded(frame.at(down))
            steps = range(int(CHARACTER * len(row["name"]) // BESIDE) + 1)
            taken += [(across + (BESIDE if right else -BESIDE) * (step + 1), down, "") for step in steps]
    return taken


def _runs(ordered: list[Spot]) -> list[list[Spot]]:
    """Marks by cost, cut where the cost moves on."""
    runs: list[list[Spot]] = []
    for spot in ordered:
        if runs and spot[1] - runs[-1][0][1] < NEAR:
            runs[-1].append(spot)
        else:
            runs.append([spot])
    return runs
