"""Where the names of points go, so that they cover neither each other nor the points."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from math import inf
from typing import NamedTuple

CHARACTER, LETTER_HEIGHT, RADIUS = 7.2, 15.0, 6.0  # in pixels, of the text and the points of a figure


class Place(NamedTuple):
    """A corner of a point: how the text is aligned, and its distance from the point."""

    align: str
    dx: float
    dy: float


# In the order of preference.
PLACES = {
    "above right": Place("left", 6, -13), "below right": Place("left", 6, 15), "below left": Place("right", -6, 15),
    "above left": Place("right", -6, -13), "further above": Place("left", 6, -30), "further below": Place("right", -6, 32),
    "right": Place("left", 10, 0), "left": Place("right", -10, 0), "further above left": Place("right", -6, -30),
    "further below right": Place("left", 6, 32), "far above": Place("left", 6, -47), "far above left": Place("right", -6, -47),
}  # fmt: skip

AT_HAND = tuple(corner for corner in PLACES if not corner.startswith("f"))  # where nobody asks whose name it is

Box = tuple[float, float, float, float]


def places(points: Sequence[tuple[float, float, str]], width: float, needed: int | None = None,
           height: float = inf, corners: Sequence[str] = tuple(PLACES)) -> list[str]:
    """For each point (x and y in pixels, y downwards, and its name) the corner for the name: the first of `corners` that is free inside the
    width and the height.

    Of the points after the `needed` first, those without a free corner go without a name: "". The others take the one that covers least.
    """
    taken: list[Box] = [(x - RADIUS, y - RADIUS, x + RADIUS, y + RADIUS) for x, y, _ in points]
    chosen: list[str] = []
    top = -inf if height == inf else -RADIUS
    for number, (x, y, name) in enumerate(points):
        boxes = {corner: _box(x, y, name, place) for corner, place in PLACES.items() if corner in corners}
        inside = [corner for corner, box in boxes.items() if box[0] >= 0 and box[2] <= width and top <= box[1] and box[3] <= height]
        free = [corner for corner in inside if not any(_meet(boxes[corner], other) for other in taken)]
        must = needed is None or number < needed
        least = min(inside or corners, key=partial(_covered, boxes, taken))
        chosen.append(free[0] if free else least if must else "")
        taken += [boxes[chosen[-1]]] if chosen[-1] else []
    return chosen


def _box(x: float, y: float, name: str, place: Place) -> Box:
    length = CHARACTER * len(name)
    left = x + place.dx - (length if place.align == "right" else 0.0)
    return left, y + place.dy - LETTER_HEIGHT / 2, left + length, y + place.dy + LETTER_HEIGHT / 2


def _covered(boxes: Mapping[str, Box], taken: Sequence[Box], corner: str) -> float:
    """The area of others that a name at this corner would cover."""
    a = boxes[corner]
    return sum(max(0.0, min(a[2], b[2]) - max(a[0], b[0])) * max(0.0, min(a[3], b[3]) - max(a[1], b[1])) for b in taken)


def _meet(a: Box, b: Box) -> bool:
    return a[0] < b[2] and b[0] < a[2] and a[1] < b[3] and b[1] < a[3]


def apart(places: Sequence[float], least: float, height: float) -> list[float]:
    """The places moved as little as keeps them `least` apart and within 0 to `height`, in their order.

    Touching neighbours form a block about the mean of where they would be, as in isotonic regression.
    """
    order = sorted(range(len(places)), key=lambda index: places[index])
    blocks: list[tuple[float, list[int]]] = []
    for index in order:
        centre, members = places[index], [index]
        while blocks and centre - least * len(members) / 2 < blocks[-1][0] + least * len(blocks[-1][1]) / 2:
            earlier, others = blocks.pop()
            centre = (earlier * len(others) + centre * len(members)) / (len(others) + len(members))
            members = [*others, *members]
        half = least * len(members) / 2
        blocks.append((max(half, min(height - half, centre)), members))
    moved = [0.0] * len(places)
    for centre, members in blocks:
        for place, index in enumerate(members):
            moved[index] = centre + least * (place - (len(members) - 1) / 2)
    return moved
