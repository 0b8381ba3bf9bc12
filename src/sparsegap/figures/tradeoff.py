"""Quality against cost: one mark a method, and what nothing cheaper equals."""

from __future__ import annotations

from typing import Any, Literal

import altair as alt

from sparsegap.break_even import frontier
from sparsegap.charts import is_listed, light
from sparsegap.drawing import mark_names, panels
from sparsegap.drawing.axes import extent, quantitative
from sparsegap.drawing.lumping import lumped
from sparsegap.drawing.mark_names import Frame
from sparsegap.drawing.names import as_list, column_title, number_label, value_label
from sparsegap.drawing.panels import Look, Panel
from sparsegap.drawing.rows import at_end, chosen, in_panels, key_of, named, rounded
from sparsegap.drawing.series import Series, label_expression
from sparsegap.drawing.summaries import Band, Centre, Row, band_words, grouped, is_number, numbers, per_seed, spread
from sparsegap.names import called
from sparsegap.study.records import Column, Records, Where

HEIGHT, LOW = 300, 230  # of a panel in a row, and in a grid, which has to fit on a page
NARROW, HALF, ALONE = 210, 250, 330  # the least width of a panel: of three in a row, of two, of the only one
LESS_IS_BETTER = ("fvu", "mse", "loss", "objective_gap", "dead", "value_error", "largest_error", "seconds")
MARKS = ("circle", "square", "triangle-up", "diamond")
FEW_TO_NAME = 12  # marks of a panel that all get their names; of more, those that nothing cheaper equals, and a legend tells the others
OWN = "own codes"  # of a method, beside the dictionary of an encoder read in another way


def tradeoff(
    records: Records,
    *,
    x: Column = "flops_inference",
    y: Column = "latent_mcc",
    train: Column | None = None,
    samples: float | list[float] | None = None,
    colour: Column | list[Column] = "method",
    shape: Column | None = None,
    setting: Column | list[Column] | None = None,
    panel: Column | list[Column] = "atoms",
    where: Where | None = None,
    at: Literal["last", "best"] = "last",
    centre: Centre = "mean",
    band: Band = "interval",
    better: Literal["auto", "higher", "lower"] = "auto",
    log_x: bool = True,
) -> Any:
    """Quality against cost on a log axis, a mark for each method and `setting`, and the compute-optimal frontier as steps.

    With `train` and `samples` the cost is train + samples · x, one panel for each number of samples. `shape` is a column with few values,
    as whether the dictionary is known or learned: each has its own shape and its own frontier. `panel`: levels side by side; of several
    columns the last varies along a row, and a row has one scale of costs. Without `setting` every setting that varies otherwise has a mark
    of its own. A dictionary read in several ways has one colour. Up to twelve marks of a panel have their names beside them. Of more, those
    on the frontier have, a legend tells the colours of all, and the shape of a mark says how a dictionary is read.
    """
    wanted = at_end(records, chosen(records, where, [x, y]), at)
    measured = [row for row in wanted if is_number(row.get(y))]
    split = as_list(setting) or lumped(records, measured, [*as_list(colour), *as_list(shape), *as_list(panel)])
    higher = better == "higher" or (better == "auto" and y not in LESS_IS_BETTER)
    rows: list[Row] = []
    titles: list[str] = []
    lines: list[tuple[object, ...]] = []  # of the grid, which each panel is in
    for label, part in in_panels(wanted, panel, [*as_list(colour), *as_list(shape), *split]):
        for often in samples if isinstance(samples, list) else [samples]:
            words = f"{number_label(often)} samples" if isinstance(samples, list) and often is not None else ""
            title = ", ".join(each for each in (label, words) if each)
            found = _marks(part, x, y, train, often, (as_list(colour), as_list(shape), split), centre, band)
            _judge(found, higher)
            rows += [{"key": f"{len(titles)}/{number}", **row, "panel": len(titles), "where": title} for number, row in enumerate(found)]
            titles.append(title)
            lines.append(key_of(part[0], as_list(panel)[:-1]) if len(as_list(panel)) > 1 else (len(titles),))
    crowded = any(len(own) > FEW_TO_NAME for own in grouped(rows, lambda row: row["panel"]).values())
    series = Series([row | {"name": row["plain"]} for row in rows], legend=crowded)
    shapes = _shapes(rows, shape, crowded)
    across, grid = _layout(lines)
    height, least = (LOW if grid else HEIGHT), (ALONE if len(titles) < 2 else HALF if across == 2 else NARROW)
    drawn = []
    for title, (own, frame) in zip(titles, _frames(rows, lines, log_x, (least, height)), strict=True):
        mark_names.place(own, frame, few=not split, legend=crowded)
        drawn.append(Panel(_layers((x if samples is None else "flops_total", y), own, series, frame, shapes), title))
    return panels.figure(
        drawn or [Panel([alt.Chart().mark_point()], "")],
        rows,
        Look(
            title=f"{column_title(y)} against {column_title(x)}",
            description=_in_words(rows, y),
            note=_note(rows, samples, band, centre, split),
            height=height,
            across=across,
            least=least,
            grid=grid,
            columns=_columns(rows, column_title(x), column_title(y), shape),
            entries=[row["plain"] for row in rows] if series.legend else (),
        ),
    )


def _frames(rows: list[Row], lines: list[tuple[object, ...]], log: bool, size: tuple[float, float]) -> list[tuple[list[Row], Frame]]:
    """For each panel its rows and its axes: one scale of quality for all, one of costs along a line of the grid."""
    domain_y = extent([row[name] for row in rows for name in ("y", "low", "high") if row[name] is not None], padding=0.1)
    found = []
    for number, line in enumerate(lines):
        domain_x = extent([row["x"] for row in rows if lines[row["panel"]] == line], log=log, padding=0.08)
        found.append(([row for row in rows if row["panel"] == number], Frame(domain_x, domain_y, log, *size)))
    return found


def _layout(lines: list[tuple[object, ...]]) -> tuple[int, bool]:
    """How many panels stand side by side, and whether they are rows of a grid, whose columns must stay columns."""
    widest = max((lines.count(line) for line in lines), default=1)
    return (widest, True) if 1 < widest <= 3 and widest < len(lines) else (max(2, min(3, len(lines))), False)


def _marks(
    part: list[Row],
    x: str,
    y: str,
    train: str | None,
    samples: float | None,
    columns: tuple[list[str], list[str], list[str]],
    centre: Centre,
    band: Band,
) -> list[Row]:
    colour, shape, setting = columns
    found = []
    for rows in grouped(part, lambda row: key_of(row, [*colour, *shape, *setting])).values():
        costs, values = numbers(rows, x), per_seed(rows, y)
        if not costs or not values:
            continue
        cost = sum(costs) / len(costs)
        if samples is not None:
            trained = numbers(rows, train or "flops_train") or [0.0]
            cost = sum(trained) / len(trained) + samples * cost
        middle, low, high = spread(values, centre, band)
        said = ", ".join(value_label(name, rows[0].get(name)) for name in setting)
        kind = ", ".join(value_label(name, rows[0].get(name)) for name in shape)
        found.append(
            {
                **_named(rows[0], colour),
                "kind": kind,
                "setting": said,
                "x": rounded(cost),
                "y": rounded(middle),
                "low": rounded(low),
                "high": rounded(high),
                "seeds": len(values),
            }
        )
    return found


def _named(row: Row, colour: list[str]) -> Row:
    """Of a dictionary that is read in another way, as topk+omp, the colour of the dictionary and the name of both."""
    found = named(row, colour)
    first, plus, _ = found["method"].partition("+")
    if not plus or is_listed(found["method"]):
        return found | {"plain": found["name"], "reading": OWN}
    plain = called(first)
    return found | {"method": first, "plain": plain, "reading": found["name"].removeprefix(plain).strip()}


def _judge(rows: list[Row], higher: bool) -> None:
    """Which marks of each kind nothing cheaper equals."""
    for group in grouped(rows, lambda row: row["kind"]).values():
        best = set(frontier([row["x"] for row in group], [row["y"] for row in group], higher).tolist())
        for number, row in enumerate(group):
            row["efficient"] = number in best


def _layers(columns: tuple[str, str], rows: list[Row], series: Series, frame: Frame, shapes: alt.Shape) -> list[Any]:
    x, y = columns
    at_x = quantitative(alt.X, "x", x, frame.x, log=frame.log)
    at_y = quantitative(alt.Y, "y", y, frame.y)
    base = alt.Chart()
    steps = base.mark_line(interpolate="step-after", strokeWidth=2, color=light("line")).encode(
        x=at_x, y=at_y, detail="kind:N", order="x:Q"
    )
    marks = base.mark_point(filled=True, size=80).encode(
        x=at_x, y=at_y, color=series.colour(symbol="circle"), shape=shapes, opacity=series.opacity(), tooltip=_tooltip(x, y, rows)
    )
    whiskers = base.mark_rule(strokeWidth=1.5).encode(
        x=at_x, y=alt.Y("low:Q", title=at_y["title"]), y2="high:Q", color=series.colour(symbol="circle"), opacity=series.opacity()
    )
    names = mark_names.layers(rows, at_x, at_y, quantitative(alt.Y, "beside", y, frame.y), series)
    return [steps.transform_filter("datum.efficient"), whiskers, marks, *names]


def _shapes(rows: list[Row], shape: str | None, crowded: bool) -> alt.Shape:
    """By the column `shape`; without one, and where names are left to a legend, by how a dictionary is read."""
    field = "kind" if shape or not crowded else "reading"
    kinds = sorted(dict.fromkeys(row[field] for row in rows), key=lambda kind: kind != OWN)
    grey: dict[str, Any] = {"orient": "bottom", "symbolFillColor": light("muted"), "symbolStrokeColor": light("muted")}
    legend = alt.Legend(labelExpr=label_expression({kind: kind for kind in kinds}), **grey) if len(kinds) > 1 else None
    scale = alt.Scale(domain=kinds, range=[MARKS[number % len(MARKS)] for number in range(len(kinds))])
    return alt.Shape(f"{field}:N", scale=scale, legend=legend)


def _tooltip(x: str, y: str, rows: list[Row]) -> list[alt.Tooltip]:
    kinds = [alt.Tooltip("kind:N", title="kind")] if any(row["kind"] for row in rows) else []
    return [
        alt.Tooltip("name:N", title="method"),
        *kinds,
        alt.Tooltip("setting:N"),
        alt.Tooltip("x:Q", title=column_title(x), format=".4~s"),
        *(alt.Tooltip(f"{name}:Q", title=title, format=".4f") for name, title in (("y", column_title(y)), ("low", "from"), ("high", "to"))),
        alt.Tooltip("efficient:N", title="nothing cheaper is as good"),
    ]


def _columns(rows: list[Row], x: str, y: str, shape: str | None) -> dict[str, str]:
    given = {"where": "level", "name": "method", "kind": column_title(shape) if shape else "kind", "setting": "setting"}
    shown = {name: title for name, title in given.items() if name == "name" or any(row[name] for row in rows)}
    return {**shown, "x": x, "y": y, "low": "95 % from", "high": "to", "seeds": "seeds", "efficient": "nothing cheaper is as good"}


def _note(rows: list[Row], samples: float | list[float] | None, band: Band, centre: Centre, split: list[str]) -> str:
    seeds, words = band_words(band, centre, [row["seeds"] for row in rows])
    frontiers = grouped((row for row in rows if row["efficient"]), lambda row: (row["panel"], row["kind"])).values()
    parts = ["Grey steps join what nothing cheaper equals, the compute-optimal frontier."] if any(len(f) > 1 for f in frontiers) else []
    parts += [f"A method has a mark for each {' and '.join(map(column_title, split))}; the table says which."] if split else []
    parts += [f"Marks are the {centre} over {seeds}{f', lines the {words}' if words else ''}."] if seeds else []
    if samples is not None and not isinstance(samples, list):
        parts.append(f"Cost: training and the answers for {number_label(samples)} samples.")
    return " ".join(parts)


def _in_words(rows: list[Row], y: str) -> str:
    best = "; ".join(
        f"{row['where'] + ': ' if row['where'] else ''}{row['name']} {row['kind']}, {row['x']:.3g} FLOPs, {row['y']:.3f}"
        for row in rows
        if row["efficient"]
    )
    return f"Scatter chart of {column_title(y)} against cost. Nothing cheaper is as good as: {best or 'nothing was measured'}."
