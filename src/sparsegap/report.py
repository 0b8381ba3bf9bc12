"""The page of a gap record: one HTML file that needs no network and no server.

Scripts, styles, data and figures are inside the file. Its content policy forbids every fetch and every script but the two that it was
written with (by their hashes), so that text from data could do nothing even if an escape were missed.
"""

from __future__ import annotations

import base64
import hashlib
import json
import shlex
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from sparsegap import charts, number_formats, registry
from sparsegap.errors import InputError
from sparsegap.gap_record import GapRecord, Rung, Share
from sparsegap.shards import write_atomically

REPORT_FILE = "report.html"
STATIC_WIDTH = 640
IN_PER_CENT = ("change", "relative")


@dataclass(frozen=True)
class Cell:
    """A cell of the table behind a figure."""

    text: str
    number: bool


@dataclass(frozen=True)
class Column:
    """A column of the table behind a figure."""

    title: str
    number: bool


@dataclass(frozen=True)
class Figure:
    """A figure as the page needs it: its spec as JSON safe inside a script element, a drawing for readers without scripts, its table."""

    name: str
    title: str
    spec: str
    svg: str
    columns: list[Column]
    rows: list[list[Cell]]


@dataclass(frozen=True)
class Headline:
    """The answer in figures: the encoder's codes, the best on the same dictionary, the cheapest that are nearly as good, the shares."""

    own: Rung
    best: Rung
    bargain: Rung | None
    amplitude: Share | None
    support: Share | None


def write_report(record: GapRecord, path: str | Path) -> Path:
    """Write the page, whole or not at all, and return its path; a folder gets `report.html` in it. About 1.2 MB, 2 s."""
    target = Path(path)
    target = target / REPORT_FILE if target.is_dir() else target
    write_atomically(target, page(record).encode())
    return target


def write_figures(record: GapRecord, folder: str | Path, formats: tuple[str, ...] = ("svg", "png", "json")) -> list[Path]:
    """Write each figure of the record into the folder as SVG, PNG (twice the size) and Vega-Lite JSON; return the paths."""
    target = Path(folder)
    if target.exists() and not target.is_dir():
        raise InputError(f"{target} is a file; figures are written into a folder")
    target.mkdir(parents=True, exist_ok=True)
    written = []
    for name, spec in specs(record).items():
        for kind in formats:
            written.append(target / f"{name}.{kind}")
            write_atomically(written[-1], _drawn(spec, kind))
    return written


def specs(record: GapRecord) -> dict[str, dict[str, Any]]:
    """The Vega-Lite spec of every figure that takes a gap record and has something to show, by name."""
    drawn = {name: charts.spec(figure(record)) for name, figure in registry.members("figures").items() if takes_record(figure)}
    return {name: spec for name, spec in drawn.items() if table(spec)}


def takes_record(figure: Callable[..., Any]) -> bool:
    """Whether a member of `figures/` draws a gap record: the annotation of its first parameter says so."""
    return registry.problems(figure) == (GapRecord,)


def table(spec: dict[str, Any]) -> list[charts.Row]:
    """The rows of a figure: the values of its chart's own data."""
    rows: list[charts.Row] = spec["datasets"][spec["data"]["name"]] if "name" in spec["data"] else spec["data"]["values"]
    return rows


def page(record: GapRecord) -> str:
    """The page as text."""
    templates = _templates()
    scripts = [_bundle(), _source(templates, "report.js")]
    return str(templates.get_template("report.html.j2").render(
        gap=record, headline=headline(record), figures={name: _figure(name, spec) for name, spec in specs(record).items()},
        command=command(record), scripts=scripts, policy=_policy(scripts), styles=_source(templates, "report.css"), charts=charts,
        tokens=script_json({light: token for token, (light, _) in charts.TOKENS.items()}),
    ))


def headline(record: GapRecord) -> Headline | None:
    """The figures that the page opens with; None where the record has no ladder of at least two rungs on the given dictionary."""
    ladder = [rung for rung in record.rungs if rung.role == "ladder" and rung.dictionary == "given"]
    if len(ladder) < 2:
        return None
    shares = {share.name: share for share in record.shares}
    support = shares.get("support")
    best = record.rung(support.to_rung) if support else min(ladder[1:], key=lambda rung: rung.fvu.value)
    return Headline(ladder[0], best, bargain(ladder[1:], best), shares.get("amplitude"), support)


def bargain(ladder: list[Rung], best: Rung) -> Rung | None:
    """The cheapest rung that removes at least nine tenths of what the best one removes; None where no cost was measured."""
    good = [rung for rung in ladder if rung.price.epu and rung.against_own and best.against_own
            and rung.against_own.relative.value >= 0.9 * best.against_own.relative.value]
    return min(good, key=lambda rung: rung.price.epu or 0.0, default=None)


def command(record: GapRecord) -> str:
    """The command line that measures this again."""
    given, how = record.inputs, record.settings
    words = ["sparsegap", "gap", "--sae", given.dictionary, "--activations", given.activations, "--out", "report"]
    words += ["--train", given.train] if given.train else []
    words += ["--rows", str(how.rows)] if how.rows else []
    words += [word for penalty in how.lambdas or () for word in ("--lambdas", f"{penalty:g}")]
    return shlex.join([*words, "--seed", str(how.seed), *(["--quick"] if how.quick else [])])


def script_json(value: Any) -> str:
    """JSON that cannot end a script element, open a comment in it or break a line of it; equal to the plain JSON once parsed."""
    text = json.dumps(value, allow_nan=False)
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def _figure(name: str, spec: dict[str, Any]) -> Figure:
    from markupsafe import Markup

    rows, titles = table(spec), spec["usermeta"]["columns"]
    columns = [Column(title, _is_number(rows, key)) for key, title in titles.items()]
    cells = [[_cell(key, row.get(key), _decimals(rows, key)) for key in titles] for row in rows]
    still = charts.recolour(_drawn(spec, "svg").decode(), "css")
    return Figure(name, spec["usermeta"]["title"], Markup(script_json(spec)), Markup(still), columns, cells)


def _is_number(rows: list[charts.Row], key: str) -> bool:
    return any(isinstance(row.get(key), (int, float)) and not isinstance(row.get(key), bool) for row in rows)


def _decimals(rows: list[charts.Row], key: str) -> int:
    values = [abs(row[key]) for row in rows if isinstance(row.get(key), (int, float))]
    if all(float(value).is_integer() for value in values):
        return 0
    return 4 if max(values) <= 1.5 else 2


def _cell(key: str, value: Any, decimals: int) -> Cell:
    if isinstance(value, bool):
        return Cell("yes" if value else "no", False)
    if value is None or isinstance(value, str):
        return Cell(value or number_formats.NONE, value is None)
    return Cell(number_formats.percent(value) if key in IN_PER_CENT else number_formats.fixed(value, decimals), True)


def _drawn(spec: dict[str, Any], kind: str) -> bytes:
    import vl_convert

    still = json.dumps({**spec, "width": STATIC_WIDTH})
    version = charts.vega_lite_version()
    if kind == "png":
        return bytes(vl_convert.vegalite_to_png(still, vl_version=version, scale=2))
    if kind == "json":
        return (json.dumps(spec, indent=1) + "\n").encode()
    return str(vl_convert.vegalite_to_svg(still, vl_version=version)).encode()


@cache
def _bundle() -> str:
    import vl_convert

    return str(vl_convert.javascript_bundle("window.vegaEmbed = vegaEmbed;", charts.vega_lite_version())).replace("\r\n", "\n")


def _templates() -> Any:
    from jinja2 import Environment, PackageLoader, StrictUndefined

    loader = PackageLoader("sparsegap")
    environment = Environment(loader=loader, autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    formats = ("fixed", "percent", "change", "significant", "quantity", "count", "interval", "percent_interval", "whole")
    environment.filters.update({name: getattr(number_formats, name) for name in formats})
    return environment


def _source(templates: Any, name: str) -> str:
    return str(templates.loader.get_source(templates, name)[0])


def _policy(scripts: list[str]) -> str:
    hashes = " ".join(f"'sha256-{base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()}'" for script in scripts)
    return f"default-src 'none'; script-src {hashes}; style-src 'unsafe-inline'; img-src data: blob:; base-uri 'none'; form-action 'none'"
