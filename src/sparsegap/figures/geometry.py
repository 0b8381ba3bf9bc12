"""The paper's figure 1, drawn from its definitions: why half-planes cannot undo a projection."""

from __future__ import annotations

from typing import Any

import altair as alt

from sparsegap.charts import SMALL, Row, data, finish, labels, light, overlaid
from sparsegap.theorem.plane import Code, Plane, Point

UNIT, STRIP, REACH = 140, 86, 1.25  # pixels of a length of 1, of the readings above the plane; how far the plane goes up and down
HEIGHT = int(STRIP + 2 * REACH * UNIT)
CELL, ACROSS = 0.1, 3.6
HUES = ("blue", "green", "purple")
FAR = 9.0
GRID = "plane"


def geometry(plane: Plane) -> alt.LayerChart:
    """Three atoms in the plane, at most two active: where an encoder of three half-planes is wrong. Its three knobs turn, and the point
    under the pointer is read twice: its true code, and the encoder's.
    """
    rows = cases(plane)
    knobs = [_knob("gain", plane.gain, 0, 2, 0.05, "gain of the encoder"), _knob("turn", plane.turn, -90, 90, 1, "turned by, degrees"),
             _knob("bias", plane.bias, -1, 1, 0.05, "bias")]
    grid = _grid(plane)
    here = _pointer(plane, grid)
    layers = [_errors(plane, here).add_params(*knobs), *_half_planes(plane), *_cones(plane), *_marked(), _strip(),
              *_reading(plane, here)]
    words = "; ".join(f"{row['what']}: true code {row['true']}, encoder {row['encoder']}" for row in rows)
    chart = overlaid(layers, rows).properties(datasets={GRID: grid})
    return finish(
        chart, title="Half-planes cannot undo a projection", height=HEIGHT,
        description="Three atoms in the plane divide it into three cones of two active atoms each. Each latent of a linear-nonlinear "
        "encoder is zero on one side of a line and linear on the other. The larger a dot, the further its code is from the true one. "
        f"{words}.",
        columns={"what": "input", "true": "true code", "encoder": "the encoder's code", "error": "error, share of the true code"},
    )


def cases(plane: Plane) -> list[Row]:
    """The inputs of the proof, each source of size 1: one atom, two atoms, and all three, which is no valid code."""
    valid: list[tuple[str, Code]] = [
        ("atom 1 alone", (1, 0, 0)), ("atom 2 alone", (0, 1, 0)), ("atom 3 alone", (0, 0, 1)),
        ("atoms 1 and 2", (1, 1, 0)), ("atoms 1 and 3", (1, 0, 1)), ("atoms 2 and 3", (0, 1, 1)),
    ]
    rows = [_case(plane, what, code, plane.made(code), valid=True) for what, code in valid]
    corner = plane.made((1, 1, 1))
    return [*rows, _case(plane, "all three: not valid, and read as", plane.true_code(corner), corner, valid=False)]


def _case(plane: Plane, what: str, code: Code, x: Point, *, valid: bool) -> Row:
    return {"key": what, "what": what, "x": round(x[0], 4), "y": round(x[1], 4), "true": _written(code),
            "encoder": _written(plane.encoded(x)), "error": round(plane.error(x, code), 4), "valid": valid,
            "name": "" if valid else "all three active", "atoms": sum(value > 0 for value in code)}


def _written(code: Code) -> str:
    return "(" + ", ".join(f"{value + 0:.2f}" for value in code) + ")"


def _knob(name: str, value: float, low: float, high: float, step: float, says: str) -> alt.Parameter:
    return alt.param(name=name, value=value, bind=alt.binding_range(min=low, max=high, step=step, name=says))


def _grid(plane: Plane) -> list[Row]:
    """Points a cell apart with their true codes."""
    columns, lines = round(2 * ACROSS / CELL), round(2 * REACH / CELL)
    rows = []
    for number in range(columns * lines):
        x = (-ACROSS + (number % columns + 0.5) * CELL, -REACH + (number // columns + 0.5) * CELL)
        s1, s2, s3 = (round(value, 3) for value in plane.true_code(x))
        rows.append({"id": number, "x": round(x[0], 3), "y": round(x[1], 3), "s1": s1, "s2": s2, "s3": s3})
    return rows


def _x(field: str = "x") -> alt.X:
    # The plane is as wide as the page, at the same scale as it is high.
    domain: Any = [alt.ExprRef(f"-width / {2 * UNIT}"), alt.ExprRef(f"width / {2 * UNIT}")]
    return alt.X(f"{field}:Q", title="first dimension", scale=alt.Scale(domain=domain, nice=False, zero=False), axis=alt.Axis(grid=False))


def _y(field: str = "y") -> alt.Y:
    scale = alt.Scale(domain=[-REACH, REACH + STRIP / UNIT], nice=False, zero=False)
    return alt.Y(f"{field}:Q", title="second dimension", scale=scale, axis=alt.Axis(grid=False, values=[-1, 0, 1]))


def _with_encoder(chart: alt.Chart, plane: Plane) -> alt.Chart:
    """Rows of points with what the encoder, as the knobs stand, makes of them: e1, e2, e3 and the error."""
    for number, angle in enumerate(plane.angles, 1):
        turned = f"({angle} + turn) * PI / 180"
        chart = chart.transform_calculate(**{f"e{number}": f"max(0, gain * (cos({turned}) * datum.x + sin({turned}) * datum.y) + bias)"})
    wrong = " + ".join(f"pow(datum.e{k} - datum.s{k}, 2)" for k in (1, 2, 3))
    size = " + ".join(f"pow(datum.s{k}, 2)" for k in (1, 2, 3))
    found: alt.Chart = chart.transform_calculate(error=f"sqrt(({wrong}) / ({size}))")
    return found


def _errors(plane: Plane, here: alt.Parameter) -> alt.Chart:
    """A dot for each point, the larger the more the encoder is wrong there; full from an error as large as the code itself."""
    full = (0.95 * CELL * UNIT) ** 2
    size = alt.Size("error:Q", scale=alt.Scale(domain=[0, 1], range=[0, full], clamp=True), legend=None)
    dots = _with_encoder(alt.Chart(alt.NamedData(GRID)), plane).mark_circle(color=light("vermilion"), opacity=0.5, clip=True)
    drawn: alt.Chart = dots.encode(x=_x(), y=_y(), size=size).add_params(here)
    return drawn


def _cones(plane: Plane) -> list[Any]:
    """The atoms as arrows, and the rays that bound the cones."""
    layers: list[Any] = []
    for number, ((x, y), angle, hue) in enumerate(zip(plane.atoms, plane.angles, HUES, strict=True), 1):
        one = alt.Chart(data([{"x": x, "y": y, "far_x": FAR * x, "far_y": FAR * y, "zero": 0.0, "name": f"atom {number}"}]))
        ends: dict[str, Any] = {"x": _x("zero"), "y": _y("zero")}
        tip = one.mark_point(shape="triangle-up", angle=(90 - angle) % 360, filled=True, size=110, opacity=1, color=light(hue))
        layers += [
            one.mark_rule(color=light("muted"), strokeWidth=1, clip=True).encode(x2="far_x:Q", y2="far_y:Q", **ends),
            one.mark_rule(color=light(hue), strokeWidth=3).encode(x2="x:Q", y2="y:Q", **ends),
            tip.encode(x=_x(), y=_y()),
            # clear of the dashed lines; a name at the left stands above its tip and reaches inwards: a phone is hardly wider than the atoms
            *labels(_x(), _y(), "name", source=one, align="left", dx=-16 if x < -0.3 else 12, dy=-28 if x < -0.3 else -6),
        ]
    return layers


def _half_planes(plane: Plane) -> list[Any]:
    """The line on which each latent begins, in the colour of its atom; the short ticks point to the side where it is active."""
    layers: list[Any] = []
    away = "-bias / max(gain, 0.001)"
    for angle, hue in zip(plane.angles, HUES, strict=True):
        turned = f"({angle} + turn) * PI / 180"
        along = {"x": f"{away} * cos({turned}) - datum.along * sin({turned})", "y": f"{away} * sin({turned}) + datum.along * cos({turned})"}
        line = alt.Chart(data([{"along": -FAR}, {"along": FAR}])).transform_calculate(**along)
        dashed = line.mark_line(color=light(hue), strokeWidth=2, strokeDash=[6, 4], clip=True)
        layers.append(dashed.encode(x=_x(), y=_y(), order="along:Q"))
        ticks = alt.Chart(data([{"along": -0.9}, {"along": 0.9}])).transform_calculate(
            **along, to_x=f"datum.x + 0.09 * cos({turned})", to_y=f"datum.y + 0.09 * sin({turned})")
        layers.append(ticks.mark_rule(color=light(hue), strokeWidth=2, clip=True).encode(x=_x(), y=_y(), x2="to_x:Q", y2="to_y:Q"))
    return layers


def _marked() -> list[Any]:
    """Two active atoms, each of size 1, and where all three land."""
    several = alt.Chart().transform_filter("datum.atoms > 1")
    points = several.mark_point(clip=True, filled=True, opacity=1, size=45, color=light("ink")).encode(
        x=_x(), y=_y(), shape=alt.Shape("valid:N", scale=alt.Scale(domain=[True, False], range=["circle", "cross"]), legend=None),
        size=alt.condition("datum.valid", alt.value(45), alt.value(120)))
    return [points, *labels(_x(), _y(), "name", align="left", dx=-21, dy=31)]


def _pointer(plane: Plane, grid: list[Row]) -> alt.Parameter:
    """The point of the grid under the pointer; at first one where two atoms are active."""
    wanted = plane.made((0.9, 0.6, 0.0))
    nearest = min(grid, key=lambda row: (row["x"] - wanted[0]) ** 2 + (row["y"] - wanted[1]) ** 2)
    return alt.selection_point(name="here", fields=["id"], nearest=True, on="pointermove, touchmove", clear=False, empty=False,
                               value=[{"id": nearest["id"]}])


def _strip() -> alt.Chart:
    """The ground of the readings, over lines that would run on into it."""
    ground: alt.Chart = alt.Chart(data([{}])).mark_rect(color=light("surface"), opacity=1, strokeWidth=0)
    return ground.encode(x=alt.value(0), x2=alt.value(alt.ExprRef("width + 8")), y=alt.value(-8), y2=alt.value(STRIP - 1))


def _reading(plane: Plane, here: alt.Parameter) -> list[Any]:
    """A ring about the point under the pointer, and above the plane its true code beside the encoder's."""
    read = _with_encoder(alt.Chart(alt.NamedData(GRID)).transform_filter(here), plane).transform_calculate(off="format(datum.error, '.0%')")
    ring = read.mark_point(size=110, strokeWidth=2.5, opacity=1, color=light("ink"), clip=True).encode(x=_x(), y=_y())
    return [ring, *_table(read)]


def _table(read: alt.Chart) -> list[Any]:
    """Three lines of figures at fixed places in the strip above the plane."""
    places = (118, 172, 226)
    cells = [_cell(read, f"'atom {k}'", place, 12, HUES[k - 1]) for k, place in enumerate(places, 1)]
    for line, (name, letter) in enumerate((("true code", "s"), ("the encoder", "e")), 1):
        down = 12 + 20 * line
        cells += [_cell(read, f"'{name}'", 0, down, "muted"),
                  *(_cell(read, f"format(datum.{letter}{k}, '.2f')", place, down, "ink") for k, place in enumerate(places, 1))]
    return [*cells, _cell(read, "'error'", 0, 74, "muted"), _cell(read, "datum.off + ' of the true code'", places[0] - 38, 74, "ink")]


def _cell(read: alt.Chart, says: str, across: float, down: float, hue: str) -> alt.Chart:
    side: Any = "right" if across > 100 else "left"
    mark = read.transform_calculate(says=says).mark_text(align=side, baseline="middle", color=light(hue), fontSize=SMALL + 1)
    cell: alt.Chart = mark.encode(x=alt.value(across), y=alt.value(down), text="says:N")
    return cell
