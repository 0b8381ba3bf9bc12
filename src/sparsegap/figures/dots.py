"""What the methods come to in the end: every seed as a dot, with mean and interval."""

from __future__ import annotations

from typing import Any, Literal

import altair as alt

from sparsegap.charts import HALO, SMALL, data, light
from sparsegap.drawing import chance as levels
from sparsegap.drawing import panels
from sparsegap.drawing.axes import CUT, by_marks, is_cut, on_axis, quantitative
from sparsegap.drawing.lumping import lumped, lumped_words
from sparsegap.drawing.names import as_list, column_title
from sparsegap.drawing.panels import AXIS, Look, Panel
from sparsegap.drawing.rows import Paper, at_end, chance_of, chosen, in_panels, key_of, label_of, named, paper_value, rounded, varying
from sparsegap.drawing.series import Series
from sparsegap.drawing.summaries import Band, Centre, Row, band_words, grouped, is_number, per_seed, spread
from sparsegap.number_formats import fixed, significant
from sparsegap.study.records import Column, Records, Where

LINE, GROUP = 30, 22  # height of a series' line, and of the name of a group above its lines
ENDS = ("low", "high")  # of an interval
PLOT, LETTER, NUMBER = 150, 6.8, 55  # width of the least plot, of a letter of a name, of the numbers at the right
LONG = 17  # letters; a longer name of a group stands in the plot, not beside it
TOP = 22  # room above the first line, where the words of the chance level stand


def dots(
    records: Records,
    *,
    y: Column = "latent_mcc",
    colour: Column | list[Column] = "method",
    group: Column | list[Column] = "variant",
    panel: Column | list[Column] = "block",
    where: Where | None = None,
    at: Literal["last", "best"] = "last",
    centre: Centre = "mean",
    band: Band = "interval",
    chance: str | float | None = "auto",
    paper: Paper | None = None,
    log: bool = False,
    paired: bool = False,
) -> Any:
    """The value of each series at the end of training, seed by seed, with mean, interval, chance level and the paper's value.

    Lines of a `group` stand together under its name; `panel` puts its values side by side. `at` "best" takes the step that validation data
    chose instead of the last. `paired` joins the dots of one seed within a group: what differs between methods beyond data and start.
    `paper` is {series: value}, or {group or panel: {series: value}}.
    """
    wanted = at_end(records, chosen(records, where, [y]), at)
    parts = in_panels([row for row in wanted if is_number(row.get(y))], panel, [*as_list(group), *as_list(colour)])
    mixed = lumped(records, [row for _, rows in parts for row in rows], [*as_list(colour), *as_list(group), *as_list(panel)])
    groups = [name for name in varying(wanted, as_list(group)) if name not in as_list(panel)]
    means, seeds = [], []
    for number, (label, rows) in enumerate(parts):
        found, points = _lines(rows, y, as_list(colour), groups, centre, band, chance, paper, label)
        tag = {"panel": number, "where": label}
        means += [row | tag | {"key": f"{number}/{row['key']}"} for row in found]
        seeds += [row | {"panel": number} for row in points]
    series = Series(means, legend=False)
    marks, ends = ([row[name] for row in means for name in names if row[name] is not None] for names in (("y", "paper", "chance"), ENDS))
    domain = by_marks(y, [*marks, *(row["y"] for row in seeds)], ends, log=log)
    height = round(max([place["down"] for place in means], default=LINE) + LINE)
    drawn = [Panel(_layers(y, means, seeds, series, domain, number, log, paired), label) for number, (label, _) in enumerate(parts)]
    return panels.figure(
        drawn or [Panel([alt.Chart().mark_point()], "")],
        means,
        Look(
            title=column_title(y),
            description=_in_words(means, y),
            note=" ".join(filter(None, [_note(means, band, centre, paired), CUT if is_cut(domain, ends) else "", lumped_words(mixed)])),
            height=height,
            across=2,
            least=_least(means),
            columns=_columns(means, len(parts) > 1, bool(groups), column_title(y)),
        ),
    )


def _lines(
    rows: list[Row], y: str, colour: list[str], groups: list[str], centre: Centre, band: Band, chance: str | float | None,
    paper: Paper | None, label: str,
) -> tuple[list[Row], list[Row]]:
    """One row for each series and group with its place from the top, and one for each seed."""
    means: list[Row] = []
    points: list[Row] = []
    down = float(TOP)
    for part in grouped(rows, lambda row: key_of(row, groups)).values():
        heading = label_of(part[0], groups)
        down += GROUP if heading else 0
        for number, line in enumerate(grouped(part, lambda row: key_of(row, colour)).values()):
            name = named(line[0], colour)
            values = per_seed(line, y)
            middle, low, high = spread(values, centre, band)
            value = paper_value(paper, (name["method"], name["name"]), of=heading, panel=label)
            place = {"down": down, "group": heading, **name}
            means.append(
                {
                    "key": f"{heading}/{name['method']}",
                    **place,
                    "heading": heading if number == 0 else None,
                    "y": rounded(middle),
                    "low": rounded(low),
                    "high": rounded(high),
                    "seeds": len(values),
                    "paper": value,
                    "chance": rounded(chance_of(line, y, chance)),
                    "note": fixed(middle) if 1e-3 <= abs(middle) < 100 else significant(middle, 3),
                }
            )
            points += [place | {"seed": seed, "y": rounded(value)} for seed, value in zip(_seeds(line), values, strict=True)]
            down += LINE
    return means, points


def _seeds(line: list[Row]) -> list[Any]:
    """The seed of each of the values that `per_seed` gives for these rows."""
    found = [row.get("seed") for row in line]
    return found if set(found) == {None} else list(dict.fromkeys(found))


def _layers(
    y: str, means: list[Row], seeds: list[Row], series: Series, domain: list[float], number: int, log: bool, paired: bool
) -> list[Any]:
    x = quantitative(alt.X, "y", y, domain, log=log)
    down = alt.Y("down:Q", scale=None, axis=None)
    dots = alt.Chart(data([row for row in seeds if row["panel"] == number]))
    base = alt.Chart()
    tooltip = [alt.Tooltip("name:N", title="method"), alt.Tooltip("seed:N"), alt.Tooltip("y:Q", title=column_title(y), format=".4f")]
    mean_tooltip = [
        alt.Tooltip("name:N", title="method"),
        *(
            alt.Tooltip(f"{name}:Q", title=title, format=".4f")
            for name, title in (("y", "centre"), ("low", "interval from"), ("high", "to"), ("paper", "the paper"))
        ),
    ]
    pairs = dots.mark_line(strokeWidth=1, opacity=0.5, color=light("grey")).encode(
        x=x, y=down, detail=["group:N", "seed:N"], order=alt.Order("down:Q")
    )
    return [
        *_chance([row["chance"] for row in means if row["panel"] == number], x),
        *([pairs] if paired else []),
        on_axis(base.mark_rule(strokeWidth=5, opacity=0.3, strokeCap="round", clip=True), "low", domain, log=log).encode(
            x=alt.X("low:Q", title=x["title"]), x2="high:Q", y=down, stroke=series.stroke()
        ),
        dots.mark_circle(size=34, opacity=0.75).encode(x=x, y=down, fill=series.fill(), tooltip=tooltip),
        base.mark_tick(thickness=3, height=16, opacity=1).encode(x=x, y=down, color=series.colour(), tooltip=mean_tooltip),
        base.mark_point(shape="diamond", filled=False, size=90, strokeWidth=2, opacity=1).encode(
            x=alt.X("paper:Q", title=x["title"]), y=down, stroke=series.stroke(), tooltip=mean_tooltip
        ),
        *_names(down, inside=_inside(means)),
    ]


def _inside(means: list[Row]) -> bool:
    """Whether the names of groups are so long that beside the plot they would take its width."""
    return max((len(row["group"]) for row in means), default=0) > max(LONG, *(len(row["name"]) for row in means))


def _least(means: list[Row]) -> int:
    """The least width of a panel: a plot that can be read between the names and the numbers."""
    names = max((len(row[name]) for row in means for name in (("name",) if _inside(means) else ("name", "group"))), default=0)
    return round(PLOT + LETTER * names + NUMBER - AXIS)


def _names(down: alt.Y, *, inside: bool) -> list[Any]:
    """The name of a line at its left, its value at its right, the name of a group above its first line, beside the plot or `inside` it."""
    base = alt.Chart()
    left = base.mark_text(align="right", baseline="middle", dx=-10, color=light("ink"))
    right = base.mark_text(align="left", baseline="middle", dx=10, fontWeight=600, color=light("ink"))
    there: dict[str, Any] = {"align": "left", "dx": 4} if inside else {"align": "right", "dx": -10}
    there |= {"baseline": "middle", "dy": -GROUP - 1, "fontWeight": 600, "fontSize": SMALL}
    above = [base.mark_text(**there, **ink) for ink in ([HALO] if inside else []) + [{"color": light("muted")}]]
    return [
        left.encode(x=alt.value(0), y=down, text="name:N"),
        right.encode(x=alt.value("width"), y=down, text="note:N"),
        *(each.encode(x=alt.value(0), y=down, text="heading:N").transform_filter("isValid(datum.heading)") for each in above),
    ]


def _chance(chances: list[float | None], x: alt.X) -> list[Any]:
    """A dotted line through the panel, or one beside each line where their levels differ."""
    dotted: dict[str, Any] = {"strokeDash": levels.DOTTED, "strokeWidth": 1.5, "color": light("muted")}
    level = levels.one_level(chances)
    if level is None:
        ends = {"above": f"datum.down - {LINE / 2 - 2}", "below": f"datum.down + {LINE / 2 - 2}"}
        rule = alt.Chart().mark_rule(**dotted).transform_filter("isValid(datum.chance)").transform_calculate(**ends)
        across = alt.X("chance:Q", title=x["title"])
        return [rule.encode(x=across, y=alt.Y("above:Q", scale=None, axis=None), y2="below:Q")] if any(chances) else []
    row = alt.Chart(data([{"y": level, "words": levels.words(level)}]))
    text: dict[str, Any] = {"align": "left", "baseline": "top", "dx": 4, "fontSize": SMALL, "color": light("muted")}
    return [row.mark_rule(**dotted).encode(x=x), row.mark_text(**text).encode(x=x, y=alt.value(0), text="words:N")]


def _columns(means: list[Row], several: bool, in_groups: bool, metric: str) -> dict[str, str]:
    columns = ({"where": "panel"} if several else {}) | ({"group": "variant"} if in_groups else {})
    columns |= {"name": "method", "y": metric, "low": "interval from", "high": "to", "seeds": "seeds"}
    given = {"paper": "the paper", "chance": "chance"}
    return columns | {name: title for name, title in given.items() if any(row[name] is not None for row in means)}


def _note(means: list[Row], band: Band, centre: Centre, paired: bool) -> str:
    seeds, words = band_words(band, centre, [row["seeds"] for row in means])
    parts = [
        f"A dot is a seed, a tick the {centre} over {seeds}{f', a pale bar the {words}' if words else ''}."
        if seeds
        else "A tick is one run."
    ]
    parts += ["Grey lines join the runs of one seed."] if paired else []
    parts += ["Diamonds are the paper's values."] if any(row["paper"] is not None for row in means) else []
    chances = [[row["chance"] for row in part] for part in grouped(means, lambda row: row["panel"]).values()]
    return " ".join(filter(None, [*parts, levels.note(chances)]))


def _in_words(means: list[Row], y: str) -> str:
    lines = "; ".join(", ".join(part for part in (row["where"], row["group"], row["name"], row["note"]) if part) for row in means)
    return f"Dot plot of {column_title(y)} at the end of training. {lines or 'Nothing was measured'}."
