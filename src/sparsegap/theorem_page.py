"""The page of the theorem for one encoder: figure 1, ranks, signs, the worst input. One file that asks nothing of the network."""

from __future__ import annotations

import json
from importlib.metadata import version
from pathlib import Path
from typing import Any

from sparsegap import charts, registry
from sparsegap.drawing import html
from sparsegap.drawing.still import rows_of, still, svg
from sparsegap.drawing.tables import table_of
from sparsegap.errors import InputError
from sparsegap.report import Figure
from sparsegap.shards import write_atomically
from sparsegap.study.records import Records
from sparsegap.theorem.plane import Plane
from sparsegap.theorem.record import TheoremRecord
from sparsegap.theorem.words import headline, lines

PAGE_FILE, RECORD_FILE = "theorem.html", "theorem.json"
FILES = ("svg", "pdf", "json")
STATIC_WIDTH = 640
PRODUCTS_HEIGHT = 340


def write_theorem(record: TheoremRecord, folder: str | Path) -> list[Path]:
    """Write the page, each figure as SVG, PDF and Vega-Lite, and the record as JSON into a folder; return the paths. About 1.2 MB.

    Raises InputError where the folder is a file.
    """
    target = Path(folder)
    if target.exists() and not target.is_dir():
        raise InputError(f"{target} is a file; the page and its figures are written into a folder")
    target.mkdir(parents=True, exist_ok=True)
    drawn = specs(record)
    contents = {PAGE_FILE: page(record, drawn).encode(), RECORD_FILE: (json.dumps(record.as_dict(), indent=1) + "\n").encode()}
    contents |= {f"{name}.{kind}": still(spec, kind) for name, spec in drawn.items() for kind in FILES}
    for name, content in contents.items():
        write_atomically(target / name, content)
    return [target / name for name in contents]


def specs(record: TheoremRecord) -> dict[str, dict[str, Any]]:
    """The Vega-Lite spec of every figure, by name."""
    draw = {name: registry.member("figures", name) for name in ("geometry", "singular_values", "matrices")}
    found = {"geometry": charts.spec(draw["geometry"](Plane())), "singular_values": charts.spec(draw["singular_values"](record))}
    if record.products is not None:
        shown = Records([{"products": record.products, "seed": 0}])
        found["products"] = charts.spec(draw["matrices"](shown, value="products", panel=[], rows="source", columns="latent"))
        found["products"]["usermeta"] |= {"title": "What each source gives each latent", "aspect": None}
        found["products"]["height"] = PRODUCTS_HEIGHT
    for spec in found.values():
        spec["usermeta"] = {"entries": 1, "entry": 1.0, **spec["usermeta"]}  # of a legend, which these do without
    return found


def page(record: TheoremRecord, drawn: dict[str, dict[str, Any]] | None = None) -> str:
    """The page as text."""
    templates = html.templates()
    scripts = [html.bundle(), html.source(templates, "figure.js", "report.js")]
    figures = {name: _figure(name, spec) for name, spec in (specs(record) if drawn is None else drawn).items()}
    return str(templates.get_template("theorem.html.j2").render(
        record=record, headline=headline(record), lines=lines(record), figures=figures, scripts=scripts, policy=html.policy(scripts),
        styles=html.source(templates, "report.css"), charts=charts, tokens=html.tokens(), version=version("sparsegap"),
    ))


def _figure(name: str, spec: dict[str, Any]) -> Figure:
    from markupsafe import Markup

    behind = table_of(rows_of(spec), spec["usermeta"]["columns"], 100)
    drawing = html.inline_svg(svg(spec, STATIC_WIDTH), name)
    return Figure(name, spec["usermeta"]["title"], Markup(html.script_json(spec)), Markup(drawing), behind.columns, behind.rows)
