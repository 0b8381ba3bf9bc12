"""What is compared, as a diagram: representations, three ways to their latents, and the dictionary that leads back."""

from __future__ import annotations

from typing import Any

import altair as alt

from sparsegap.charts import SMALL, Row, data, light
from sparsegap.drawing import panels
from sparsegap.drawing.panels import Look, Panel
from sparsegap.study.records import Records

HEIGHT, LINE = 400, 17
WIDTH, GAP = 3.0, 0.5  # of a box and between boxes, in units of which ten go into the width
ROWS = {"data": (0.2, 2.0), "ways": (3.6, 5.9), "back": (7.6, 9.4)}

# name, row, column, colour, lines of text
BOXES = (
    ("input", "data", 0, "line", ("input", "text, images")),
    ("network", "data", 1, "line", ("network", "trained, fixed")),
    ("representation", "data", 2, "ink", ("representation", "x = D s", "M numbers")),
    ("amortised", "ways", 0, "vermilion", ("amortised", "one learned", "pass: SAE, MLP")),
    ("hybrid", "ways", 1, "sky", ("hybrid", "SAE, then", "optimised: ITO")),
    ("iterative", "ways", 2, "purple", ("iterative", "solved for x:", "sparse coding")),
    ("latents", "back", 0, "ink", ("latents ŝ", "K of N active")),
    ("dictionary", "back", 1, "slate", ("dictionary D", "N atoms")),
    ("reconstruction", "back", 2, "ink", ("reconstruction", "D ŝ, close to x")),
)
ARROWS = (
    *(("input", "network"), ("network", "representation"), ("latents", "dictionary"), ("dictionary", "reconstruction")),
    *(("representation", way) for way in ("amortised", "hybrid", "iterative")),
    *((way, "latents") for way in ("amortised", "hybrid", "iterative")),
)


def framework(records: Records) -> Any:
    """The framework of the paper (its figure 8) as a diagram made of marks; it needs no records and shows none."""
    boxes = [_box(*box) for box in BOXES]
    corners = {box["key"]: box for box in boxes}
    arrows = [_arrow(corners[start], corners[end]) for start, end in ARROWS]
    return panels.figure(
        [Panel(_layers(boxes, arrows), "")],
        [box | {"panel": 0} for box in boxes],
        Look(
            title="From representations to latents and back",
            description=_in_words(),
            height=HEIGHT,
            columns={"key": "part", "says": "what it is"},
        ),
    )


def _box(name: str, row: str, column: int, token: str, lines: tuple[str, ...]) -> Row:
    top, bottom = ROWS[row]
    left = column * (WIDTH + GAP)
    return {
        "key": name,
        "left": left,
        "right": left + WIDTH,
        "top": top,
        "bottom": bottom,
        "middle": left + WIDTH / 2,
        "row": row,
        "centre": (top + bottom) / 2,
        "token": token,
        "says": ", ".join(lines),
        "lines": list(lines),
    }


def _arrow(start: Row, end: Row) -> Row:
    """From edge to edge, down between rows and to the right within one."""
    if start["row"] == end["row"]:
        return {"x": start["right"], "y": start["centre"], "x2": end["left"] - 0.08, "y2": end["centre"], "across": True}
    return {"x": start["middle"], "y": start["bottom"], "x2": end["middle"], "y2": end["top"] - 0.12, "across": False}


def _layers(boxes: list[Row], arrows: list[Row]) -> list[Any]:
    x, y = _place(alt.X, "left"), _place(alt.Y, "top")
    lines = alt.Chart(data(arrows))
    tokens = list(dict.fromkeys(box["token"] for box in boxes))
    stroke = alt.Stroke("token:N", scale=alt.Scale(domain=tokens, range=[light(token) for token in tokens]), legend=None)
    head: dict[str, Any] = {"size": 70, "filled": True, "opacity": 1, "color": light("muted")}
    texts = [
        alt.Chart(data([_line(box, number) for box in boxes if number < len(box["lines"])]))
        .mark_text(
            baseline="middle",
            fontSize=SMALL,
            fontWeight=600 if number == 0 else 400,
            color=light("ink" if number == 0 else "muted"),
            dy=alt.ExprRef("datum.shift"),
        )
        .encode(x=_place(alt.X, "middle"), y=_place(alt.Y, "centre"), text="words:N")
        for number in range(max(len(box["lines"]) for box in boxes))
    ]
    return [
        lines.mark_rule(strokeWidth=1.5, color=light("muted")).encode(x=_place(alt.X, "x"), y=_place(alt.Y, "y"), x2="x2:Q", y2="y2:Q"),
        lines.mark_point(shape="triangle-right", **head)
        .encode(x=_place(alt.X, "x2"), y=_place(alt.Y, "y2"))
        .transform_filter("datum.across"),
        lines.mark_point(shape="triangle-down", **head)
        .encode(x=_place(alt.X, "x2"), y=_place(alt.Y, "y2"))
        .transform_filter("!datum.across"),
        alt.Chart()
        .mark_rect(cornerRadius=6, strokeWidth=2, fill=light("surface"))
        .encode(x=x, x2="right:Q", y=y, y2="bottom:Q", stroke=stroke),
        *texts,
    ]


def _line(box: Row, number: int) -> Row:
    return {
        "middle": box["middle"],
        "centre": box["centre"],
        "words": box["lines"][number],
        "shift": LINE * (number - (len(box["lines"]) - 1) / 2),
    }


def _place(channel: type[Any], field: str) -> Any:
    """Ten units across, downwards from the top; no axis."""
    domain = [9.6, 0] if channel is alt.Y else [-0.02, 10.02]
    return channel(f"{field}:Q", axis=None, scale=alt.Scale(domain=domain, nice=False, zero=False))


def _in_words() -> str:
    boxes = "; ".join(f"{name}: {', '.join(lines)}" for name, _, _, _, lines in BOXES)
    arrows = "Arrows lead from the input over the network to its representation, from there by each way to the latents, and back."
    return f"Diagram. {boxes}. {arrows}"
