"""How methods come along: a metric against steps, FLOPs or seconds."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from math import log
from typing import Any, Literal

import altair as alt

from sparsegap.charts import SMALL, data
from sparsegap.drawing import chance as levels
from sparsegap.drawing import panels
from sparsegap.drawing.axes import CUT, extent, fitting, is_cost, is_progress, on_axis, quantitative
from sparsegap.drawing.lumping import lumped, lumped_words
from sparsegap.drawing.names import as_list, column_title
from sparsegap.drawing.panels import LEAST, Look, Panel
from sparsegap.drawing.rows import Paper, are_ordered, at_end, chance_of, chosen, in_panels, key_of, named, paper_value, rounded
from sparsegap.drawing.series import Series
from sparsegap.drawing.summaries import Band, Centre, Row, band_words, grouped, is_number, numbers, per_seed, spread, thinned
from sparsegap.label_places import apart
from sparsegap.number_formats import fixed
from sparsegap.study.records import Column, Records, Where

POINTS = 80  # of a line; a curve of more logged steps is thinned
HEIGHT, LETTER = 260, 16  # in pixels
NARROW, THREE = 130, 150  # a panel where three stand side by side: of three columns, of three values
MOST_NAMES = 7  # at the ends of lines; more go into a legend
APART = 3.0  # panels whose steps end further from each other, as a factor, have axes of their own
CLOSE = 0.045  # of the height: the paper's values nearer than this stand beside each other
AT_THE_EDGE = 0.12  # of the width: lines that end further from it are named by a legend


@dataclass(frozen=True)
class View:
    """One panel: a metric against a cost, of some rows. log: whether the cost is drawn by its logarithm, which 0 has none of."""

    x: str
    y: str
    label: str
    title: str
    rows: list[Row]
    log: bool


def curves(
    records: Records,
    *,
    x: Column | list[Column] = "step",
    y: Column | list[Column] = "latent_mcc",
    colour: Column | list[Column] = "method",
    panel: Column | list[Column] = "variant",
    where: Where | None = None,
    centre: Centre = "mean",
    band: Band = "interval",
    log_x: bool | None = None,
    log_y: bool = False,
    chance: str | float | None = "auto",
    paper: Paper | None = None,
    names: Literal["auto", "ends", "legend"] = "auto",
) -> Any:
    """Lines of a metric over steps or cost: the mean over seeds with its band, the chance level, and what the paper has.

    Several columns in `x` (as flops_paper and flops) or `y` stand side by side, and so do the values of `panel`. A full point marks the
    step that validation data chose (column `best`), a diamond at the right edge the paper's final value: `paper` is {series: value}, or
    {metric: {series: value}}. `log_x` without a value is on for costs. `chance` is a number, a column, "auto" for the column called after
    the metric with `_chance`, or none.
    """
    wanted = chosen(records, where, [*as_list(x), *as_list(y)])
    ended = wanted if all(map(is_progress, as_list(x))) else at_end(records, wanted, "last")
    fixed = [*as_list(colour), *as_list(panel), *as_list(x), "step"]
    mixed = lumped(records, [row for row in ended if any(is_number(row.get(name)) for name in as_list(y))], fixed)
    logs = {name: is_cost(name) if log_x is None else log_x for name in as_list(x)}
    views = [
        View(across, up, _label(across, up, label, x, y), label, part, logs[across])
        for up in as_list(y)
        for label, part in in_panels(ended, panel, as_list(colour))
        for across in as_list(x)
    ]
    lines = [_lines(view, as_list(colour), centre, band, chance) for view in views]
    marks = [_marks(view, found, paper) for view, found in zip(views, lines, strict=True)]
    rows = _rows(views, lines, marks, paper)
    domains = _domains(views, lines, marks, log_y)
    ends = [row | {"panel": 0} for row in lines[0] if row["end"]] if len(lines) == 1 else []
    at_ends = _at_ends(ends, domains[0], logs[views[0].x], names) if ends else False
    series = Series(rows, ordered=are_ordered(wanted, as_list(colour)), legend=not at_ends)
    layers = [
        _layers(view, series, mark, domain, log_y, found, _labels(ends, domain, log_y) if at_ends else [])
        for view, mark, domain, found in zip(views, marks, domains, lines, strict=True)
    ]
    drawn = [Panel(found, view.title) for view, found in zip(views, layers, strict=True)]
    called = [row["name"] for row in rows]
    return panels.figure(
        drawn or [Panel([alt.Chart().mark_point()], "")],
        rows,
        Look(
            title=f"{_and(as_list(y))} against {_and(as_list(x))}",
            description=_in_words(rows, views),
            note=" ".join(filter(None, [
                _note(rows, views, marks, band, centre), _sunk(rows) if log_y else "", _differing(views, domains), lumped_words(mixed),
            ])),
            columns=_columns(views) | ({"paper": "the paper"} if any(mark.paper for mark in marks) else {}),
            height=HEIGHT,
            across=3 if len(views) == 3 else max(len(as_list(x)), 2),
            grid=len(as_list(x)) > 1,
            least=NARROW if len(as_list(x)) > 2 else THREE if len(views) == 3 else LEAST,
            entries=called if series.legend else (),
        ),
    )


def _rows(views: list[View], lines: list[list[Row]], marks: list[Marks], paper: Paper | None) -> list[Row]:
    """All lines in one table, each row with its panel, and at the end of a line with the paper's value where the figure has such."""
    return [
        row | {"panel": number, "where": view.label, "key": f"{number}/{row['key']}"}
        | ({"paper": mark.paper.get(row["method"]) if row["end"] else None} if paper else {})
        for number, (view, found, mark) in enumerate(zip(views, lines, marks, strict=True))
        for row in found
    ]


@dataclass(frozen=True)
class Marks:
    """What stands in a panel beside its lines: the levels of chance and the paper's values by series."""

    chance: list[Row]
    paper: dict[str, float]


def _label(across: str, up: str, label: str, x: str | list[str], y: str | list[str]) -> str:
    parts = [column_title(up) if len(as_list(y)) > 1 else "", label, column_title(across) if across and len(as_list(x)) > 1 else ""]
    return " · ".join(part for part in parts if part)


def _lines(view: View, colour: list[str], centre: Centre, band: Band, chance: str | float | None) -> list[Row]:
    """The points of all lines of a panel, each with its band."""
    found: list[Row] = []
    for line in grouped(view.rows, lambda row: key_of(row, colour)).values():
        progress = is_progress(view.x) and any(row.get("step") is not None for row in line)
        counted = "step" if progress else view.x
        steps = grouped(line, partial(_cell_of, name=counted))
        points = [point for step, rows in steps.items() if (point := _point(view, step, rows, centre, band, chance)) is not None]
        points.sort(key=lambda point: point["x"])
        points = [point for point in points if point["step"] != 0 or not (progress and view.log)] or points
        chosen_step = _best_step(line) if progress else None
        best = [place for place, point in enumerate(points) if chosen_step is not None and point["step"] == chosen_step]
        few = not progress or len(points) == 1
        kept = [
            points[place] | {"best": place in best, "end": place == len(points) - 1, "few": few}
            for place in thinned(len(points), POINTS, best)
        ]
        name = named(line[0], colour)
        found += [
            {"key": f"{name['method']}/{number}", **name, **point, "listed": point["end"] or point["best"] or point["few"]}
            for number, point in enumerate(kept)
        ]
    return found


def _cell_of(row: Row, name: str) -> Any:
    return row.get(name)


def _point(view: View, step: Any, rows: list[Row], centre: Centre, band: Band, chance: str | float | None) -> Row | None:
    at, values = numbers(rows, view.x), per_seed(rows, view.y)
    if not at or not values or (view.log and sum(at) <= 0):
        return None
    middle, low, high = spread(values, centre, band)
    return {
        "step": step,
        "x": rounded(sum(at) / len(at)),
        "y": rounded(middle),
        "low": rounded(low),
        "high": rounded(high),
        "seeds": len(values),
        "chance": chance_of(rows, view.y, chance),
    }


def _best_step(line: list[Row]) -> Any:
    """The step that validation data chose, the median over seeds."""
    steps = sorted(row["step"] for row in line if row.get("best") is True and row.get("step") is not None)
    return steps[len(steps) // 2] if steps else None


def _marks(view: View, lines: list[Row], paper: Paper | None) -> Marks:
    known = {row["method"]: paper_value(paper, (row["method"], row["name"]), of=view.y, panel=view.label) for row in lines if row["end"]}
    return Marks(levels.taken_out(lines), {name: value for name, value in known.items() if value is not None})


Domain = tuple[list[float], list[float]]


def _domains(views: list[View], lines: list[list[Row]], marks: list[Marks], log_y: bool) -> list[Domain]:
    """Of each panel; the same for the same metric, and for all kinds of FLOPs, so that panels can be compared."""
    across: dict[tuple[str, str], list[float]] = {}
    up: dict[str, list[float]] = {}
    apart = _ends_apart(views, lines)
    for view, rows, mark in zip(views, lines, marks, strict=True):
        across.setdefault(_axis(view, apart), []).extend(row["x"] for row in rows)
        ends = [row[name] for row in rows for name in ("y", "low", "high") if row[name] is not None]
        up.setdefault(view.y, []).extend([*ends, *mark.paper.values(), *(row["y"] for row in mark.chance)])
    found = []
    for view in views:
        values = across[_axis(view, apart)]
        found.append((_tight(extent(values, log=view.log, padding=0.02), view.log, values), fitting(view.y, up[view.y], log=log_y)))
    return found


def _axis(view: View, apart: set[str]) -> tuple[str, str]:
    """Which panels share an axis across: all of one kind, or those of one title where their runs are of very different lengths."""
    kind = "flops" if view.x.startswith("flops") else view.x
    return kind, view.title if kind in apart else ""


def _ends_apart(views: list[View], lines: list[list[Row]]) -> set[str]:
    """The axes of progress, costs aside, along which some panel ends much earlier than another."""
    ends: dict[str, list[float]] = {}
    for view, rows in zip(views, lines, strict=True):
        if is_progress(view.x) and not view.log and rows:
            ends.setdefault(view.x, []).append(max(row["x"] for row in rows))
    return {name for name, each in ends.items() if max(each) > APART * min(each)}


def _sunk(rows: list[Row]) -> str:
    """That intervals are cut, where one reaches to zero or below, which a logarithm has no place for."""
    return CUT if any(row["low"] is not None and row["low"] <= 0 for row in rows) else ""


def _differing(views: list[View], domains: list[Domain]) -> str:
    ends = {view.x: {domain[0][1] for each, domain in zip(views, domains, strict=True) if each.x == view.x} for view in views}
    differing = [column_title(name) for name, each in ends.items() if len(each) > 1]
    return f"Mind the axis: panels end at different {' and '.join(differing)}." if differing else ""


def _tight(domain: list[float], log: bool, values: list[float]) -> list[float]:
    """Steps begin at zero where they come close to it."""
    return [0.0, domain[1]] if not log and values and 0 <= min(values) < 0.1 * max(values) else domain


def _at_ends(ends: list[Row], domain: Domain, log: bool, names: str) -> bool:
    """Whether names stand at the ends of the lines: few of them, all lines ending at the right edge, and room between them."""
    if names != "auto":
        return names == "ends"
    (low, high), _ = domain
    reach = [
        row["x"] >= (low**AT_THE_EDGE * high ** (1 - AT_THE_EDGE) if log else low * AT_THE_EDGE + high * (1 - AT_THE_EDGE)) for row in ends
    ]
    return 1 < len(ends) <= MOST_NAMES and all(reach)


def _labels(ends: list[Row], domain: Domain, log_y: bool) -> list[Row]:
    """The names at the ends of lines, moved apart where they would touch."""
    low, high = domain[1]
    down = [HEIGHT * (_fraction(high, low, row["y"], log_y)) for row in ends]
    return [row | {"down": place} for row, place in zip(ends, apart(down, LETTER, HEIGHT), strict=True)]


def _fraction(high: float, low: float, value: float, logarithmic: bool) -> float:
    return log(high / value) / log(high / low) if logarithmic else (high - value) / (high - low)


def _layers(view: View, series: Series, marks: Marks, domain: Domain, log_y: bool, lines: list[Row], labels: list[Row]) -> list[Any]:
    x = quantitative(alt.X, "x", view.x, domain[0], log=view.log)
    y = quantitative(alt.Y, "y", view.y, domain[1], log=log_y)
    colour, base = series.colour(), alt.Chart()
    line = base.mark_line(strokeWidth=2).encode(x=x, y=y, color=colour, strokeDash=series.dashes(), opacity=series.opacity())
    return [
        line,
        *levels.layers(marks.chance, lines, x, y, series),
        on_axis(base.mark_area(line=False, clip=True), "low", domain[1], log=log_y).encode(
            x=x, y=alt.Y("low:Q", title=y["title"]), y2="high:Q", fill=series.fill(), opacity=series.opacity(0.16)
        ),
        base.mark_point(filled=True, size=60, opacity=1).encode(x=x, y=y, fill=series.fill()).transform_filter("datum.best"),
        base.mark_point(filled=True, size=30, opacity=1).encode(x=x, y=y, fill=series.fill()).transform_filter("datum.few"),
        base.mark_point(size=160, opacity=0, filled=True, style="pointing").encode(x=x, y=y, tooltip=_tooltip(view)),
        *_paper(marks.paper, series, y, domain[1]),
        *_end_labels(labels, series),
    ]


def _paper(values: dict[str, float], series: Series, y: alt.Y, domain: list[float]) -> list[Any]:
    """Diamonds at the right edge, those of nearly the same height beside each other."""
    sides: dict[int, list[Row]] = {}
    before, side = float("-inf"), 0
    for name, value in sorted(values.items(), key=lambda each: each[1]):
        side = side + 1 if value - before < CLOSE * (domain[1] - domain[0]) else 0
        before = value
        sides.setdefault(side, []).append({"method": name, "name": series.called[name], "y": value})
    tooltip = [alt.Tooltip("name:N", title="the paper"), alt.Tooltip("y:Q", title=y["title"], format=".3f")]
    look: dict[str, Any] = {"shape": "diamond", "filled": False, "strokeWidth": 2, "size": 70, "opacity": 1, "clip": False}
    return [
        alt.Chart(data(rows)).mark_point(**look, xOffset=7 + 11 * place)
        .encode(x=alt.value("width"), y=y, stroke=series.stroke(), tooltip=tooltip)
        for place, rows in sides.items()
    ]  # fmt: skip


def _end_labels(labels: list[Row], series: Series) -> list[Any]:
    if not labels:
        return []
    text = alt.Chart(data(labels)).mark_text(align="left", baseline="middle", dx=16, clip=False, fontWeight=600, fontSize=SMALL)
    return [text.encode(x=alt.value("width"), y=alt.Y("down:Q", scale=None, axis=None), text="name:N", color=series.stroke())]


def _tooltip(view: View) -> list[alt.Tooltip]:
    across = alt.Tooltip("x:Q", title=column_title(view.x), format=",.4~s" if is_cost(view.x) else ",")
    return [
        alt.Tooltip("name:N", title="method"),
        across,
        *(
            alt.Tooltip(f"{name}:Q", title=title, format=".4f")
            for name, title in (("y", column_title(view.y)), ("low", "band from"), ("high", "to"))
        ),
        alt.Tooltip("seeds:Q", title="seeds"),
    ]


def _columns(views: list[View]) -> dict[str, str]:
    across, up = {column_title(view.x) for view in views}, {column_title(view.y) for view in views}
    columns = {
        "name": "method",
        "step": "step",
        "x": across.pop() if len(across) == 1 else "across",
        "y": up.pop() if len(up) == 1 else "value",
        "low": "band from",
        "high": "to",
        "seeds": "seeds",
        "best": "chosen by validation",
    }
    return ({"where": "panel"} if len(views) > 1 else {}) | columns


def _note(rows: list[Row], views: list[View], marks: list[Marks], band: Band, centre: Centre) -> str:
    seeds, words = band_words(band, centre, [row["seeds"] for row in rows])
    parts = [f"Lines are the {centre} over {seeds}{f'; bands: {words}' if words else ''}." if seeds else ""]
    parts += [levels.note([[row["y"] for row in mark.chance] for mark in marks])]
    parts += ["A point marks the step that validation data chose, or the last."] if any(row["best"] for row in rows) else []
    parts += ["Costs begin with the first logged step."] if any(view.log and is_progress(view.x) for view in views) else []
    parts += ["Diamonds at the right edge are the paper's final values."] if any(mark.paper for mark in marks) else []
    return " ".join(part for part in parts if part)


def _in_words(rows: list[Row], views: list[View]) -> str:
    ends = "; ".join(f"{row['where'] + ', ' if row['where'] else ''}{row['name']} {fixed(row['y'], 3)}" for row in rows if row["end"])
    metrics = _and(list(dict.fromkeys(view.y for view in views)))
    return f"Line chart of {metrics}. At the end: {ends or 'nothing was measured'}."


def _and(names: list[str]) -> str:
    return " and ".join(column_title(name) for name in names)
