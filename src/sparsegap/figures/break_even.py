"""When a dear training with cheap answers overtakes a cheap training with dear ones: total cost against the number of samples to read."""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil, inf, log10
from typing import Any, Literal

import altair as alt
import numpy as np

from sparsegap.break_even import cheapest, total_cost
from sparsegap.charts import HALO, SMALL, data, light
from sparsegap.drawing import panels
from sparsegap.drawing.axes import extent, quantitative
from sparsegap.drawing.lumping import lumped, lumped_words
from sparsegap.drawing.names import as_list, column_title, number_label
from sparsegap.drawing.panels import Look, Panel
from sparsegap.drawing.rows import are_ordered, at_end, chosen, in_panels, key_of, named, rounded
from sparsegap.drawing.series import Series
from sparsegap.drawing.summaries import Row, grouped, is_number, numbers, per_seed
from sparsegap.errors import InputError
from sparsegap.study.records import Column, Records, Where

HEIGHT, NARROW = 280, 210
POINTS = 48  # of a line
FEWEST, MOST = 1e4, 1e12  # where the axis of samples ends at least, and at most
X, Y = "samples_read", "flops_total"


@dataclass(frozen=True)
class View:
    """One panel: the methods of some rows by one ledger."""

    title: str
    rows: list[Row]


def break_even(
    records: Records,
    *,
    train: Column | list[Column] = "flops_train",
    inference: Column | list[Column] = "flops_inference",
    ledgers: list[str] | None = None,
    quality: Column | None = "latent_mcc",
    colour: Column | list[Column] = "method",
    panel: Column | list[Column] = "variant",
    where: Where | None = None,
    at: Literal["last", "best"] = "last",
    samples: list[float] | None = None,
) -> Any:
    """What training and n answers cost together, train + n · inference, a line a method over n; both axes are logarithms.

    The pale band follows the cheapest method, and a point marks where another takes its place, at (Δ train)/(Δ inference). Several columns
    in `train` and `inference` are ledgers, pair by pair, named by `ledgers`, with a panel each. quality: what the methods come to, in the
    table: the cheapest is not the best. samples: the ends of the axis, by default from 1 to where answers cost all methods more than
    training. Costs are means over seeds. Raises InputError where the ledgers are not pairs.
    """
    pairs = _pairs(as_list(train), as_list(inference), ledgers)
    wanted = at_end(records, chosen(records, where, [*as_list(train), *as_list(inference)]), at)
    mixed = lumped(records, wanted, [*as_list(colour), *as_list(panel)])
    views = [
        View(" · ".join(word for word in (label, ledger) if word), _methods(part, as_list(colour), columns, quality))
        for label, part in in_panels(wanted, panel, as_list(colour))
        for *columns, ledger in pairs
    ]
    rows = [
        {"key": f"{number}/{row['method']}", **row, "panel": number, "where": view.title}
        for number, view in enumerate(views)
        for row in view.rows
    ]
    domain_x = _domain(rows, samples)
    lines = [_lines(view.rows, domain_x, number) for number, view in enumerate(views)]
    domain_y = extent([point["y"] for each in lines for point in each], log=True)
    series = Series(rows, ordered=are_ordered(wanted, as_list(colour)))
    drawn = [
        Panel(_layers(series, points, [row for row in rows if row["panel"] == number], domain_x, domain_y), view.title)
        for number, (view, points) in enumerate(zip(views, lines, strict=True))
        if points
    ]
    return panels.figure(
        drawn or [Panel([alt.Chart().mark_point()], "")],
        rows,
        Look(
            title="Training and answers together",
            description=f"Line chart of {column_title(Y)} against {column_title(X)}. {_who(views) or 'Nothing was measured.'}",
            note=" ".join(part for part in (_note(rows), _who(views), lumped_words(mixed)) if part),
            height=HEIGHT,
            across=2,
            grid=len(pairs) > 1,
            least=NARROW,
            entries=[row["name"] for row in rows] if series.legend else (),
            columns=_columns(rows, quality),
        ),
    )


def _pairs(train: list[str], inference: list[str], ledgers: list[str] | None) -> list[tuple[str, str, str]]:
    """Column of training, column of inference and name of each ledger."""
    names = ledgers or ([""] if len(train) == 1 else [column_title(name) for name in train])
    if not len(train) == len(inference) == len(names):
        raise InputError(f"train, inference and ledgers go in pairs, but there are {len(train)}, {len(inference)} and {len(names)}")
    return list(zip(train, inference, names, strict=True))


def _methods(part: list[Row], colour: list[str], columns: list[str], quality: str | None) -> list[Row]:
    """A row a method: its two costs, its quality, and from where to where it is the cheapest, if anywhere."""
    found = []
    for rows in grouped(part, lambda row: key_of(row, colour)).values():
        costs = [numbers(rows, name) for name in columns]
        scores = per_seed(rows, quality) if quality else []
        if all(costs):
            fixed, rate = (sum(each) / len(each) for each in costs)
            score = sum(scores) / len(scores) if scores else None
            found.append({**named(rows[0], colour), "train": fixed, "inference": rate, "quality": rounded(score)})
    if not found:
        return []
    reigns = cheapest([row["train"] for row in found], [row["inference"] for row in found], [row["method"] for row in found])
    by_method = {method: (first, last) for first, last, method in reigns if last > 1}  # below one sample nobody reads anything
    return [row | _reign(row, by_method.get(row["method"])) for row in found]


def _reign(row: Row, stretch: tuple[float, float] | None) -> Row:
    first, last = stretch or (None, None)
    takes = first is not None and first > 1
    return {
        "from": None if first is None else rounded(max(first, 1.0)),
        "to": None if last is None or last == inf else rounded(last),
        "stretch": _words(first, last),
        "cost": rounded(row["train"] + first * row["inference"]) if takes and first is not None else None,
        "mark": _samples(first) if takes and first is not None else None,
        "train": rounded(row["train"]),
        "inference": rounded(row["inference"]),
    }


def _words(first: float | None, last: float | None) -> str:
    if first is None or last is None:
        return "nowhere"
    if last == inf:
        return f"beyond {_samples(first)} samples" if first > 1 else "always"
    return f"{_samples(first)} to {_samples(last)} samples" if first > 1 else f"up to {_samples(last)} samples"


def _samples(number: float) -> str:
    return number_label(float(f"{number:.4g}"))


def _domain(rows: list[Row], samples: list[float] | None) -> list[float]:
    """The ends of the axis of samples: from one to a power of ten by which every method spends more on answers than on its training."""
    if samples is not None:
        if len(samples) != 2 or not 0 < samples[0] < samples[1]:
            raise InputError(f"samples are the two ends of an axis, the first above 0 and below the second, not {samples}")
        return [float(each) for each in samples]
    last = max([row["train"] / row["inference"] for row in rows if row["inference"] > 0], default=1.0)
    return [1.0, min(max(FEWEST, 10.0 ** ceil(log10(max(last, 1.0)))), MOST)]


def _lines(rows: list[Row], domain: list[float], panel: int) -> list[Row]:
    """Points of every line, and of the least of them."""
    rows = [row for row in rows if row["train"] + row["inference"] > 0]
    if not rows:
        return []
    changes = [row["from"] for row in rows if row["mark"] and domain[0] < row["from"] < domain[1]]
    at = np.union1d(np.geomspace(domain[0], domain[1], POINTS), changes)
    costs = total_cost([row["train"] for row in rows], [row["inference"] for row in rows], at)
    return [
        {"method": row["method"], "name": row["name"], "x": rounded(float(n)), "y": rounded(float(y)), "least": rounded(float(low)),
         "panel": panel}
        for row, line in zip(rows, costs, strict=True)
        for n, y, low in zip(at, line, costs.min(0), strict=True)
    ]  # fmt: skip


def _layers(series: Series, points: list[Row], rows: list[Row], domain_x: list[float], domain_y: list[float]) -> list[Any]:
    x, y = quantitative(alt.X, "x", X, domain_x, log=True), quantitative(alt.Y, "y", Y, domain_y, log=True)
    lines = alt.Chart(data(points))
    first = points[0]["method"]
    band = alt.Chart(data([point for point in points if point["method"] == first])).mark_line(
        strokeWidth=9, opacity=0.55, color=light("line"), clip=True
    )
    tooltip = [
        alt.Tooltip("name:N", title="method"),
        alt.Tooltip("x:Q", title=column_title(X), format=",.4~s"),
        alt.Tooltip("y:Q", title=column_title(Y), format=".4~s"),
    ]
    return [
        band.encode(x=x, y=alt.Y("least:Q", title=y["title"], scale=y["scale"])),
        lines.mark_line(strokeWidth=2, clip=True).encode(
            x=x, y=y, color=series.colour(), strokeDash=series.dashes(), opacity=series.opacity()
        ),
        lines.mark_point(size=120, opacity=0, filled=True, style="pointing").encode(x=x, y=y, tooltip=tooltip),
        *_changes([row for row in rows if row["mark"] and domain_x[0] < row["from"] < domain_x[1]], series, x, y),
    ]


def _changes(rows: list[Row], series: Series, x: alt.X, y: alt.Y) -> list[Any]:
    """A point where a method becomes the cheapest, in its colour, with the number of samples below it."""
    marks = alt.Chart(data([row | {"x": row["from"], "y": row["cost"]} for row in rows]))
    tooltip = [alt.Tooltip("name:N", title="cheapest from here"), alt.Tooltip("mark:N", title="samples")]
    text: dict[str, Any] = {"align": "left", "baseline": "top", "dx": 5, "dy": 7, "fontSize": SMALL, "fontWeight": 600}
    return [
        marks.mark_point(filled=True, size=75, opacity=1).encode(x=x, y=y, fill=series.fill(), tooltip=tooltip),
        *(marks.mark_text(**text, **ground).encode(x=x, y=y, text="mark:N") for ground in (HALO, {})),
    ]


def _columns(rows: list[Row], quality: str | None) -> dict[str, str]:
    columns = {"where": "panel"} if len({row["where"] for row in rows}) > 1 else {}
    columns |= {"name": "method", "train": "training", "inference": "a sample's answer", "stretch": "the cheapest", "from": "from samples",
                "to": "to"}  # fmt: skip
    return columns | ({"quality": column_title(quality)} if quality and any(is_number(row["quality"]) for row in rows) else {})


def _note(rows: list[Row]) -> str:
    band = "The pale band follows the cheapest method, whatever its answers are worth; the table has that."
    return band + (" A point marks where another takes its place." if any(row["mark"] for row in rows) else "") if rows else ""


def _who(views: list[View]) -> str:
    """Who is the cheapest over which stretch, panel by panel."""
    return " ".join(f"{view.title or 'Cheapest'}: {words}." for view in views if (words := _in_turn(view.rows)))


def _in_turn(rows: list[Row]) -> str:
    """In the order of their stretches: "SC up to 403 samples, then SAE"."""
    reigns = sorted((row for row in rows if row["from"] is not None), key=lambda row: row["from"])
    words = [f"{row['name']} up to {_samples(row['to'])} samples" if row["to"] else row["name"] for row in reigns]
    return ", then ".join(words) if len(words) > 1 else f"{words[0]} always" if words else ""
