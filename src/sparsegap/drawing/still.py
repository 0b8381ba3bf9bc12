"""A figure as a file: SVG and PDF for print, PNG, its data as CSV, its spec as JSON."""

from __future__ import annotations

import csv
import io
import json
import re
from typing import Any

from sparsegap import charts
from sparsegap.drawing.panels import AXIS, SPACING, sized
from sparsegap.drawing.titles import folded
from sparsegap.errors import InputError

FORMATS = ("svg", "pdf", "png", "json", "csv")
PIXELS_PER_MM = 96 / 25.4
TWO_COLUMNS = 170.0  # mm, the width of a page's text; one column is 85
NARROWEST, WIDEST = 60.0, 1000.0
PAGE = 235.0  # mm, the height of a page's text


def still(spec: dict[str, Any], kind: str, width: float | None = None) -> bytes:
    """The figure as a file of that kind, `width` mm wide (170 without one). Raises InputError for a kind or a width that cannot be."""
    import vl_convert

    if kind not in FORMATS:
        raise InputError(f"a figure cannot be written as '{kind}'; it can be written as {', '.join(FORMATS)}")
    if kind == "json":
        return (json.dumps(spec, indent=1) + "\n").encode()
    if kind == "csv":
        return csv_text(spec).encode()
    drawn = svg(spec, pixels(TWO_COLUMNS if width is None else width))
    if kind == "pdf":
        return bytes(vl_convert.svg_to_pdf(drawn))
    if kind == "png":
        return bytes(vl_convert.svg_to_png(drawn, scale=2))
    return drawn.encode()


def pixels(width: float) -> float:
    """A width in mm as pixels of CSS. Raises InputError for one that no figure can have."""
    if not NARROWEST <= width <= WIDEST:
        raise InputError(f"a figure is {NARROWEST:g} to {WIDEST:g} mm wide, not {width:g}; one column is 85, two are 170")
    return round(width * PIXELS_PER_MM)


def svg(spec: dict[str, Any], width: float) -> str:
    """The figure as SVG, `width` pixels wide; what only a pointer can see is left out.

    Panels one below the other that are taller together than a page stand two abreast where each is wide enough.
    """
    plain = without_pointing(spec)
    if "panels" not in spec["usermeta"]:
        return _converted(sized(plain, width))
    drawn, _ = _panels(plain, width)
    closer = _closer(plain, width) if drawn_height(drawn) > PAGE * PIXELS_PER_MM else None
    if closer is None:
        return drawn
    abreast, each = _panels(closer, width)
    return abreast if each >= closer["usermeta"]["panels"]["thinnest"] and drawn_width(abreast) <= width + 2 else drawn


def _panels(plain: dict[str, Any], width: float) -> tuple[str, int]:
    """The drawing, and how wide each panel is in it. Drawn twice: only a drawing tells what the axes take."""
    first = folded(sized(plain, width))
    taken = drawn_width(_converted(first)) - first["concat"][0]["width"] * first["columns"]
    final = folded(sized(plain, width, overhead=taken))
    return _converted(final), final["concat"][0]["width"]


def _closer(plain: dict[str, Any], width: float) -> dict[str, Any] | None:
    """The spec with two panels abreast where only one was, if it has columns for them; else none."""
    layout = plain["usermeta"]["panels"]
    if sized(plain, width)["columns"] > 1 or layout["across"] < 2:
        return None
    each = (width + SPACING) / 2 - AXIS - 1
    return plain | {"usermeta": plain["usermeta"] | {"panels": layout | {"least": each}}}


def drawn_width(drawn: str) -> float:
    """The width of an SVG."""
    return _measure(drawn, "width")


def drawn_height(drawn: str) -> float:
    """The height of an SVG."""
    return _measure(drawn, "height")


def _measure(drawn: str, name: str) -> float:
    found = re.search(rf'<svg[^>]* {name}="([\d.]+)"', drawn)
    return float(found.group(1)) if found else 0.0


def without_pointing(spec: dict[str, Any]) -> dict[str, Any]:
    """The spec without the layers of the style "pointing", which are there to be pointed at and cannot be seen."""
    views = [without_pointing(view) for view in spec.get("concat", [])]
    layers = [layer for layer in spec.get("layer", []) if not _is_for_pointing(layer)]
    return spec | ({"concat": views} if views else {}) | ({"layer": layers} if layers else {})


def _is_for_pointing(layer: dict[str, Any]) -> bool:
    mark = layer.get("mark")
    return isinstance(mark, dict) and mark.get("style") == "pointing"


def csv_text(spec: dict[str, Any]) -> str:
    """The rows of a figure as CSV, with their columns' names as the page's table has them."""
    columns = spec["usermeta"]["columns"]
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow([cell(title) for title in columns.values()])
    for row in rows_of(spec):
        writer.writerow([cell(row.get(name)) for name in columns])
    return text.getvalue()


def rows_of(spec: dict[str, Any]) -> list[charts.Row]:
    """The rows of a figure: the values of its chart's own data."""
    found: list[charts.Row] = spec["datasets"][spec["data"]["name"]] if "name" in spec["data"] else spec["data"]["values"]
    return found


def cell(value: Any) -> Any:
    """A value as a spreadsheet may read it: text that it would take for a formula gets an apostrophe."""
    if isinstance(value, str) and value[:1] in "=+-@\t\r" and value:
        return "'" + value
    return "" if value is None else value


def _converted(spec: dict[str, Any]) -> str:
    import vl_convert

    return str(vl_convert.vegalite_to_svg(json.dumps(spec), vl_version=charts.vega_lite_version()))
