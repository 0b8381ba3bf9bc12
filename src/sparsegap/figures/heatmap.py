"""A value, or a difference between two methods, over a grid of settings."""

from __future__ import annotations

from math import log
from typing import Any, Literal

import altair as alt

from sparsegap.charts import called, data, light
from sparsegap.drawing import panels
from sparsegap.drawing.names import as_list, column_title
from sparsegap.drawing.panels import Look, Panel
from sparsegap.drawing.rows import at_end, chosen, in_panels, rounded
from sparsegap.drawing.shading import cell_words, position, shaded, square
from sparsegap.drawing.summaries import Row, grouped, is_number, per_seed, spread
from sparsegap.study.records import Column, Records, Where

CELL = 46  # height, in pixels
WIDE, WIDER = 26, 34  # least width of a cell: of a number without a sign and with one
BESIDE, ABOVE = 0.29, 0.2  # half of what the number in a cell takes, in cells


def heatmap(
    records: Records,
    *,
    x: Column = "atoms",
    y: Column = "width",
    value: Column = "latent_mcc",
    series: Column = "method",
    of: str | list[str] | None = None,
    minus: str | None = None,
    panel: Column | list[Column] = "variant",
    where: Where | None = None,
    at: Literal["last", "best"] = "last",
    boundary: Column | int | None = None,
) -> Any:
    """The mean of `value` over seeds in a grid of `x` and `y`, or its difference: each of the series `of` less the series `minus`.

    Differences are taken seed by seed where both have the seed. `boundary` draws the line M = 2 K ln(N/K), above which compressed sensing
    expects recovery, where y is M: a number or a column for K where x is N, for N where x is K ("active"). Panels: each of `of`, for each
    value of `panel`.
    """
    wanted = at_end(records, chosen(records, where, [x, y, value]), at)
    wanted = [row for row in wanted if is_number(row.get(value)) and is_number(row.get(x)) and is_number(row.get(y))]
    names = [*(as_list(of) or list(dict.fromkeys(str(row.get(series)) for row in wanted if str(row.get(series)) != minus)))]
    across, up = (sorted({float(row[name]) for row in wanted}) for name in (x, y))
    rows: list[Row] = []
    lines: list[list[Row]] = []
    titles: list[str] = []
    for label, part in in_panels(wanted, panel, [series]):
        for name in names:
            title = _title(name, minus, label, len(names), series)
            cells = [
                {"key": f"{len(titles)}/{cell['x']:g}/{cell['y']:g}", **cell, "panel": len(titles), "where": title}
                for cell in _cells(part, (x, y, value, series), name, minus, across, up)
            ]
            rows += cells
            lines.append(_around(_boundary(part, boundary, across, up, of_k=x == "active"), cells))
            titles.append(title)
    most = max([abs(row["value"]) for row in rows], default=1.0)
    axes = position(alt.X, "across", across, x), position(alt.Y, "up", up, y)
    cells_drawn = [shaded(most, *axes, _tooltip(x, y, value))]
    drawn = [Panel([*cells_drawn, *_border(line), cell_words(*axes)], title) for title, line in zip(titles, lines, strict=True)]
    metric = column_title(value)
    return panels.figure(
        drawn or [Panel([alt.Chart().mark_point()], "")],
        rows,
        Look(
            title=f"{metric} over {column_title(x)} and {column_title(y)}",
            description=_in_words(rows, metric, minus),
            note=_note(rows, minus, boundary is not None),
            height=max(CELL * len(up), 90),
            across=max(2, min(3, len(names))),
            least=200,
            thinnest=(WIDER if minus else WIDE) * len(across),
            share=(),
            columns={
                "where": "panel",
                "x": column_title(x),
                "y": column_title(y),
                "value": f"{metric}, difference" if minus else metric,
                "low": "95 % from",
                "high": "to",
                "seeds": "seeds",
            },
        ),
    )


def _title(name: str, minus: str | None, label: str, several: int, series: str) -> str:
    own = called(name)
    parts = [f"{own} − {called(minus)}" if minus else own if several > 1 else "", label]
    return ", ".join(part for part in parts if part)


def _cells(
    part: list[Row], columns: tuple[str, str, str, str], name: str, minus: str | None, across: list[float], up: list[float]
) -> list[Row]:
    x, y, value, series = columns
    cells = []
    for (at_x, at_y), rows in grouped(part, lambda row: (float(row[x]), float(row[y]))).items():
        own = [row for row in rows if str(row.get(series)) == name]
        values = _differences(own, [row for row in rows if str(row.get(series)) == minus], value) if minus else per_seed(own, value)
        if not values:
            continue
        middle, low, high = spread(values)
        words = "0.00" if round(middle, 2) == 0 else (f"{middle:+.2f}" if minus else f"{middle:.2f}").replace("-", "−")
        cells.append(
            {
                "x": at_x,
                "y": at_y,
                "value": rounded(middle),
                "low": rounded(low),
                "high": rounded(high),
                "seeds": len(values),
                "words": words,
                **square(across.index(at_x), up.index(at_y)),
            }
        )
    return cells


def _differences(own: list[Row], other: list[Row], value: str) -> list[float]:
    """Seed by seed where both have it; else the difference of the means."""
    ours, theirs = ({seed: per_seed(rows, value)[0] for seed, rows in grouped(side, _seed).items()} for side in (own, other))
    paired = [ours[seed] - theirs[seed] for seed in ours if seed in theirs]
    if paired or not ours or not theirs:
        return paired
    return [sum(ours.values()) / len(ours) - sum(theirs.values()) / len(theirs)]


def _seed(row: Row) -> Any:
    return row.get("seed")


def _border(line: list[Row]) -> list[Any]:
    border = alt.Chart(data(line)).mark_line(strokeDash=[6, 4], strokeWidth=1.75, opacity=0.75, color=light("ink"), clip=True)
    return [border.encode(x="across:Q", y="up:Q", order="across:Q", detail="piece:O")] if line else []


def _around(line: list[Row], cells: list[Row]) -> list[Row]:
    """The line in pieces, which leave out the numbers in the cells."""
    pieces, kept, number = 0, [], -1
    for place, point in enumerate(line):
        if any(abs(point["across"] - cell["across"]) < BESIDE and abs(point["up"] - cell["up"]) < ABOVE for cell in cells):
            continue
        pieces += place != number + 1
        number = place
        kept.append(point | {"piece": pieces})
    return kept


def _boundary(part: list[Row], boundary: str | int | None, across: list[float], up: list[float], of_k: bool) -> list[Row]:
    """Points of M = 2 K ln(N/K) in cell numbers, N along x, or K, and M along y."""
    known: Any = boundary
    if isinstance(boundary, str):
        known = next((row[boundary] for row in part if is_number(row.get(boundary))), None)
    if not known or len(across) < 2 or len(up) < 2:
        return []
    other, points = float(known), 150
    low, high = across[0] * (across[0] / across[1]) ** 0.5, across[-1] * (across[-1] / across[-2]) ** 0.5
    line = []
    for number in range(points + 1):
        here = low * (high / low) ** (number / points)
        k, n = (here, other) if of_k else (other, here)
        m = 2 * k * log(n / k) if n > k else 0.0
        if m > 0 and -0.6 < _cell_number(m, up) < len(up) - 0.4:
            line.append({"across": rounded(_cell_number(here, across)), "up": rounded(_cell_number(m, up))})
    return line


def _cell_number(value: float, places: list[float]) -> float:
    """Where a value lies between cells, by its logarithm; beyond the grid it goes on as its last two cells do."""
    at = next((number for number in range(1, len(places)) if value <= places[number]), len(places) - 1)
    low, high = places[at - 1], places[at]
    return at - 1 + log(value / low) / log(high / low)


def _tooltip(x: str, y: str, value: str) -> list[alt.Tooltip]:
    return [
        alt.Tooltip("where:N", title="of"),
        alt.Tooltip("x:Q", title=column_title(x)),
        alt.Tooltip("y:Q", title=column_title(y)),
        *(
            alt.Tooltip(f"{name}:Q", title=title, format="+.4f")
            for name, title in (("value", column_title(value)), ("low", "from"), ("high", "to"))
        ),
        alt.Tooltip("seeds:Q", title="seeds"),
    ]


def _note(rows: list[Row], minus: str | None, line: bool) -> str:
    seeds = max((row["seeds"] for row in rows), default=0)
    what = f"differences to {called(minus)}: blue above zero, vermilion below" if minus else "deeper is more"
    parts = [f"Means over {seeds} seeds" if seeds > 1 else "One run a cell", f"; {what}; one scale for all panels."]
    return "".join(parts) + (" Dashed: M = 2 K ln(N/K), above which compressed sensing expects recovery." if line else "")


def _in_words(rows: list[Row], metric: str, minus: str | None) -> str:
    cells = "; ".join(f"{row['where'] + ' ' if row['where'] else ''}at {row['x']:g}, {row['y']:g}: {row['words']}" for row in rows)
    return f"Heat map of {'differences in ' if minus else ''}{metric}. {cells or 'Nothing was measured'}."
