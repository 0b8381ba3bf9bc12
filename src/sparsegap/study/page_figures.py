"""The figures of a study: drawn from its records, written as files beside its page, and as the page shows them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

from sparsegap import charts
from sparsegap.drawing import html
from sparsegap.drawing.still import rows_of, still
from sparsegap.drawing.tables import Table, table_of
from sparsegap.errors import InputError, guess
from sparsegap.options import parse_options
from sparsegap.shards import write_atomically
from sparsegap.study.check import figure_kinds
from sparsegap.study.declaration import Figure, Study, read_file
from sparsegap.study.plan import PLAN
from sparsegap.study.records import Records, stores
from sparsegap.study.writer import STUDY

FIGURES = "figures"
FILES = ("json", "svg", "pdf", "csv")
MOST_ROWS = 200  # of a table on the page; the CSV has all


@dataclass(frozen=True)
class FigureShown:
    """A figure on the page: spec and drawing, or the sentence that says why there is none. `files`: where it lies beside the page."""

    id: str
    title: str
    about: str
    note: str = ""
    missing: str = ""
    spec: str = ""
    svg: str = ""
    files: str = ""
    table: Table | None = None


def declared(store: Path) -> Study:
    """What the study's file, kept with its results, says of figures and claims; nothing where it is not there."""
    path = store / STUDY
    return read_file(path).study if path.is_file() else Study.model_construct(title=store.name)


def draw(figure: Figure, records: Records) -> dict[str, Any]:
    """The spec of a figure of a study, under the study's title for it. Raises InputError where the records cannot give it."""
    kinds = figure_kinds()
    if figure.kind not in kinds:
        raise InputError(f"there is no kind of figure '{figure.kind}' for records; {guess(figure.kind, kinds, 'there are')}")
    spec = charts.spec(kinds[figure.kind](records, **figure.options))
    if not rows_of(spec):
        raise InputError("no row has what this figure draws")
    spec["usermeta"]["title"] = figure.title
    return spec


def figure_named(store: str | Path, name: str, options: Iterable[str] = ()) -> dict[str, Any]:
    """The spec of a figure of a store: one of its study's, or of a kind. `options` are `name=value` and win over those of the study.

    Raises InputError for a name that is neither, naming those that there are, and for options that the kind does not have.
    """
    folder = Path(store)
    records = Records.open(folder)
    known = {figure.name: figure for each in stores(folder) for figure in declared(each).figures}
    kinds = figure_kinds()
    if name not in known and name not in kinds:
        here = f"the figures of {folder} are: {', '.join(known)}" if known else f"the study in {folder} has no figures"
        raise InputError(f"there is no figure '{name}'; {here}; and kinds of figures are: {', '.join(kinds)}")
    figure = known.get(name) or Figure(name=name, kind=name, title=name)
    if figure.kind in kinds:
        given = parse_options(figure.kind, kinds[figure.kind], options)
        figure = Figure(name=figure.name, kind=figure.kind, title=figure.title, **figure.options | given)
    if not (folder / PLAN).is_file():
        home = next((each for each in stores(folder) if name in {one.name for one in declared(each).figures}), None)
        records = records if home is None else Records.open(home)
    return draw(figure, records)


def figure_shown(figure: Figure, records: Records, store: Path, beside: Path, prefix: str) -> FigureShown:
    """A figure drawn, written into the store's folder, and as the page shows it."""
    from markupsafe import Markup

    name = f"{prefix}{figure.name}"
    try:
        spec = draw(figure, records)
    except InputError as error:
        end = "" if str(error).endswith("?") else "."
        return FigureShown(name, figure.title, figure.about, missing=f"This figure is not drawn: {error}{end}")
    drawing = _write(spec, store / FIGURES, figure.name)
    return FigureShown(
        name, figure.title, figure.about, spec["usermeta"]["note"],
        spec=Markup(html.script_json(spec)),
        svg=Markup(html.inline_svg(drawing, name)),
        files=_link(store / FIGURES / figure.name, beside),
        table=table_of(rows_of(spec), spec["usermeta"]["columns"], MOST_ROWS),
    )  # fmt: skip


def _write(spec: dict[str, Any], folder: Path, name: str) -> str:
    """The figure's files, drawn anew only where its spec has changed; its SVG."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = {kind: folder / f"{name}.{kind}" for kind in FILES}
    said = still(spec, "json")
    if all(path.exists() for path in paths.values()) and paths["json"].read_bytes() == said:
        return paths["svg"].read_text()
    drawn = {kind: still(spec, kind) for kind in FILES if kind != "json"}
    for kind, content in drawn.items():
        write_atomically(paths[kind], content)
    write_atomically(paths["json"], said)  # last: it says that the others are of this spec
    return drawn["svg"].decode()


def _link(path: Path, beside: Path) -> str:
    """The address of a file as seen from the page's folder; none where it lies elsewhere."""
    try:
        return quote(path.resolve().relative_to(beside.resolve()).as_posix())
    except ValueError:
        return ""
