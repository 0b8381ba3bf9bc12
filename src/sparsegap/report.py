"""The page of a gap record: one HTML file that needs no network and no server."""

from __future__ import annotations

import json
import shlex
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sparsegap import charts, registry
from sparsegap.drawing import html
from sparsegap.drawing.html import script_json
from sparsegap.drawing.still import rows_of as table
from sparsegap.drawing.tables import Cell, Column, table_of
from sparsegap.errors import InputError
from sparsegap.gap_record import GapRecord, Rung, Share
from sparsegap.shards import write_atomically

REPORT_FILE = "report.html"
STATIC_WIDTH = 640


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


def page(record: GapRecord) -> str:
    """The page as text."""
    templates = html.templates()
    scripts = [html.bundle(), html.source(templates, "figure.js", "report.js")]
    return str(templates.get_template("report.html.j2").render(
        gap=record, headline=headline(record), figures={name: _figure(name, spec) for name, spec in specs(record).items()},
        command=command(record), scripts=scripts, policy=html.policy(scripts), styles=html.source(templates, "report.css"), charts=charts,
        tokens=html.tokens(),
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


def _figure(name: str, spec: dict[str, Any]) -> Figure:
    from markupsafe import Markup

    behind = table_of(table(spec), spec["usermeta"]["columns"])
    still = html.inline_svg(_drawn(spec, "svg").decode(), name)
    return Figure(name, spec["usermeta"]["title"], Markup(script_json(spec)), Markup(still), behind.columns, behind.rows)


def _drawn(spec: dict[str, Any], kind: str) -> bytes:
    import vl_convert

    still = json.dumps({**spec, "width": STATIC_WIDTH})
    version = charts.vega_lite_version()
    if kind == "png":
        return bytes(vl_convert.vegalite_to_png(still, vl_version=version, scale=2))
    if kind == "json":
        return (json.dumps(spec, indent=1) + "\n").encode()
    return str(vl_convert.vegalite_to_svg(still, vl_version=version)).encode()
