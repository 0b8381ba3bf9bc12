"""The page of a study, or of all studies in a folder: its claims first, then every figure with the table behind it, then what was run.

One HTML file; figures as SVG, PDF, CSV and JSON lie beside it. A figure's still drawing is on the page until the window comes near it,
so that a page of fifty figures opens as fast as one, and prints without scripts.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from importlib.metadata import version
from itertools import groupby
from pathlib import Path
from typing import Any
from urllib.parse import quote

from sparsegap import charts
from sparsegap.drawing import html
from sparsegap.drawing.names import column_title, value_label
from sparsegap.drawing.still import rows_of, still
from sparsegap.drawing.tables import Table, table_of
from sparsegap.errors import InputError
from sparsegap.number_formats import quantity, significant
from sparsegap.options import parse_options
from sparsegap.shards import write_atomically
from sparsegap.study import account
from sparsegap.study.check import figure_kinds
from sparsegap.study.declaration import Figure, Study, read_file
from sparsegap.study.finding import shipped
from sparsegap.study.plan import PLAN, Plan, read_plan
from sparsegap.study.records import Records, stores
from sparsegap.study.store import COLLECTION
from sparsegap.study.values import NONE
from sparsegap.study.verdicts import Verdict, verdicts
from sparsegap.study.writer import STUDY

PAGE_FILE, FIGURES = "page.html", "figures"
FILES = ("json", "svg", "pdf", "csv")
STATUSES = ("confirmed", "refuted", "not shown")
LARGE = 1e6
MOST_BLOCKS = 6  # verdicts of a claim that each have a block of their own; more go into a table
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


@dataclass(frozen=True)
class VerdictShown:
    """A verdict as the page says it."""

    status: str
    place: str
    figure: str
    interval: str
    sentence: str
    value: str = ""
    variant: str = ""


@dataclass(frozen=True)
class ClaimShown:
    """A claim with its verdicts side by side; of many the table: a row a value of the columns judged apart, a column a variant."""

    says: str
    verdicts: list[VerdictShown]

    @property
    def variants(self) -> list[str]:
        """The columns of the table."""
        return list(dict.fromkeys(verdict.variant for verdict in self.verdicts))

    @property
    def table(self) -> list[tuple[str, list[VerdictShown | None]]]:
        """The rows of the table, none where the verdicts are few enough to stand by themselves, or two would share a cell."""
        cells = {(verdict.value, verdict.variant): verdict for verdict in self.verdicts}
        if len(self.verdicts) <= MOST_BLOCKS or len(cells) < len(self.verdicts):
            return []
        values = dict.fromkeys(verdict.value for verdict in self.verdicts)
        return [(value, [cells.get((value, variant)) for variant in self.variants]) for value in values]


@dataclass(frozen=True)
class StudyShown:
    """One study on the page."""

    id: str
    title: str
    about: str
    setting: str
    told: str
    state: str
    command: str
    trials: int
    tally: Mapping[str, int]
    claims: list[ClaimShown] = field(default_factory=list)
    figures: list[FigureShown] = field(default_factory=list)
    empty: str = ""
    missing: str = ""
    failures: int = 0
    failed: list[tuple[str, str]] = field(default_factory=list)
    facts: Mapping[str, str] = field(default_factory=dict)
    settings: list[tuple[str, str, str]] = field(default_factory=list)


@dataclass(frozen=True)
class Page:
    """The whole page: one study, or all of a folder."""

    name: str
    title: str
    about: str
    setting: str
    told: str
    is_collection: bool
    tally: Mapping[str, int]
    studies: list[StudyShown]


def write_page(store: str | Path, out: str | Path | None = None) -> Path:
    """Draw the figures of a store, or of every store in a folder, beside the page, and write the page; return its path.

    The figures of a store lie in its folder `figures` as SVG, PDF, CSV and JSON; one whose spec has not changed is not drawn again. About
    1 MB and 0.2 MB a figure. Raises InputError for a folder without results.
    """
    folder = Path(store)
    target = folder / PAGE_FILE if out is None else Path(out)
    target = target / PAGE_FILE if target.is_dir() else target
    target.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(target, page(folder, beside=target.parent).encode())
    return target


def page(store: str | Path, beside: Path | None = None) -> str:
    """The page of a store, or of every store in a folder, as text. Writes the figures; links to them are as from the folder `beside`."""
    folder = Path(store)
    found = stores(folder)
    several = not (folder / PLAN).is_file()
    shown = [study_shown(each, beside or folder, prefix=f"{each.name}-" if several else "") for each in found]
    return _rendered(_collection(folder, shown) if several else _single(folder, shown[0]))


def study_shown(store: Path, beside: Path, prefix: str = "") -> StudyShown:
    """One store as the page shows it; its figures are drawn into its folder."""
    records, plan = Records.open(store), read_plan(store)
    declared = _declared(store)
    judged = verdicts(declared.claims, records) if declared.claims else []
    return StudyShown(
        id=f"{prefix}study" if prefix else "study",
        title=plan.title or plan.study,
        about=plan.about,
        setting=plan.setting,
        told=account.told(records, len(plan.trials)),
        state=account.state(records),
        command=_command(plan),
        trials=len(records.trials),
        tally=tally(judged),
        claims=claims_shown(judged),
        figures=[figure_shown(each, records, store, beside, prefix) for each in declared.figures] if records.rows else [],
        empty=account.empty(records),
        missing=account.missing(records) if records.trials else "",
        failures=len(records.failed),
        failed=account.failed(records, plan),
        facts=account.facts(records, plan),
        settings=account.settings(plan),
    )


def draw(figure: Figure, records: Records) -> dict[str, Any]:
    """The spec of a figure of a study, under the study's title for it. Raises InputError where the records cannot give it."""
    kinds = figure_kinds()
    if figure.kind not in kinds:
        raise InputError(f"there is no kind of figure '{figure.kind}' for records; there are: {', '.join(kinds)}")
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
    declared = {figure.name: figure for each in stores(folder) for figure in _declared(each).figures}
    kinds = figure_kinds()
    if name not in declared and name not in kinds:
        here = f"the figures of {folder} are: {', '.join(declared)}" if declared else f"the study in {folder} has no figures"
        raise InputError(f"there is no figure '{name}'; {here}; and kinds of figures are: {', '.join(kinds)}")
    figure = declared.get(name) or Figure(name=name, kind=name, title=name)
    if figure.kind in kinds:
        given = parse_options(figure.kind, kinds[figure.kind], options)
        figure = Figure(name=figure.name, kind=figure.kind, title=figure.title, **figure.options | given)
    if not (folder / PLAN).is_file():
        home = next((each for each in stores(folder) if name in {one.name for one in _declared(each).figures}), None)
        records = records if home is None else Records.open(home)
    return draw(figure, records)


def figure_shown(figure: Figure, records: Records, store: Path, beside: Path, prefix: str) -> FigureShown:
    """A figure drawn, written into the store's folder, and as the page shows it."""
    from markupsafe import Markup

    name = f"{prefix}{figure.name}"
    try:
        spec = draw(figure, records)
    except InputError as error:
        return FigureShown(name, figure.title, figure.about, missing=f"This figure is not drawn: {error}.")
    drawing = _write_figure(spec, store / FIGURES, figure.name)
    behind = table_of(rows_of(spec), spec["usermeta"]["columns"], MOST_ROWS)
    return FigureShown(
        name,
        figure.title,
        figure.about,
        spec["usermeta"]["note"],
        "",
        Markup(html.script_json(spec)),
        Markup(html.inline_svg(drawing, name)),
        _link(store / FIGURES / figure.name, beside),
        behind,
    )


def claims_shown(judged: Sequence[Verdict]) -> list[ClaimShown]:
    """Verdicts by claim, in order: those of the faithful and the corrected runs of one claim stand side by side."""
    return [
        ClaimShown(says, [_verdict_shown(verdict) for verdict in group]) for says, group in groupby(judged, lambda verdict: verdict.says)
    ]


def tally(judged: Sequence[Verdict]) -> dict[str, int]:
    """How many verdicts are which."""
    return {status: sum(verdict.status == status for verdict in judged) for status in STATUSES}


def _verdict_shown(verdict: Verdict) -> VerdictShown:
    words = {name: value_label(name, value) for name, value in verdict.where.items() if value not in (None, NONE)}
    place, variant = ", ".join(words.values()), words.pop("variant", "")
    apart = {"value": ", ".join(words.values()), "variant": variant}
    if verdict.estimate is None:
        return VerdictShown(verdict.status, place, "", "", verdict.sentence, **apart)
    compared = verdict.design in ("paired", "unpaired", "slopes")
    sign = "" if not compared else "×" if verdict.ratio else "+" if verdict.estimate > 0 else ""
    parts = [column_title(verdict.metric)]
    parts += [] if verdict.low is None or verdict.high is None else [f"{_figure(verdict.low)} to {_figure(verdict.high)}"]
    parts += [] if verdict.effect is None else [f"{verdict.effect_name} = {significant(verdict.effect)}"]
    return VerdictShown(verdict.status, place, f"{sign}{_figure(verdict.estimate)}", "; ".join(parts), verdict.sentence, **apart)


def _figure(value: float) -> str:
    """A figure of a verdict; large ones with a prefix, as 1.19 G."""
    return quantity(value).replace("-", "−") if abs(value) >= LARGE else significant(value, 3)


def _write_figure(spec: dict[str, Any], folder: Path, name: str) -> str:
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


def _declared(store: Path) -> Study:
    """What the study's file, kept with its results, says of figures and claims; nothing where it is not there."""
    path = store / STUDY
    return read_file(path).study if path.is_file() else Study.model_construct(title=store.name)


def _command(plan: Plan) -> str:
    said = plan.study if plan.study in shipped() else f"{plan.study}.toml"
    return shlex.join(["sparsegap", "run", said, f"--{plan.setting}"])


def _single(folder: Path, shown: StudyShown) -> Page:
    return Page(
        shown.id if folder.name == "" else folder.resolve().name,
        shown.title,
        shown.about,
        shown.setting,
        shown.told,
        False,
        shown.tally,
        [shown],
    )


def _collection(folder: Path, shown: list[StudyShown]) -> Page:
    records = Records.open(folder)
    planned = len(records.trials) + records.missing
    whole = {status: sum(each.tally[status] for each in shown) for status in STATUSES}
    name = folder.resolve().name
    said = read_file(folder / COLLECTION).study if (folder / COLLECTION).is_file() else Study.model_construct(title=name)
    title, about = said.title, said.about or f"{len(shown)} studies, one after another. Each says first what became of its claims."
    return Page(name, title, about, records.setting, account.told(records, planned), True, whole, shown)


def _rendered(shown: Page) -> str:
    templates = html.templates()
    scripts = [html.bundle(), html.source(templates, "figure.js", "study.js")]
    return str(
        templates.get_template("study.html.j2").render(
            page=shown,
            scripts=scripts,
            policy=html.policy(scripts),
            styles=html.source(templates, "report.css", "study.css"),
            charts=charts,
            tokens=html.tokens(),
            version=version("sparsegap"),
        )
    )
