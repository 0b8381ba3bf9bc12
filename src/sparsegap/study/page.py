"""The page of a study, or of all studies in a folder: its claims first, then every figure with the table behind it, then what was run.

One HTML file; figures as SVG, PDF, CSV and JSON lie beside it. A figure's still drawing is on the page until the window comes near it,
so that a page of fifty figures opens as fast as one, and prints without scripts.
"""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path

from sparsegap import charts
from sparsegap.drawing import html
from sparsegap.shards import write_atomically
from sparsegap.study import account
from sparsegap.study.declaration import Study, read_file
from sparsegap.study.finding import shipped
from sparsegap.study.page_claims import STATUSES, ClaimShown, claims_shown, tally
from sparsegap.study.page_figures import FigureShown, declared, figure_shown
from sparsegap.study.plan import PLAN, Plan, read_plan
from sparsegap.study.records import Records, stores
from sparsegap.study.store import COLLECTION
from sparsegap.study.verdicts import verdicts

PAGE_FILE = "page.html"


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
    study = declared(store)
    judged = verdicts(study.claims, records) if study.claims else []
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
        claims=claims_shown(judged, study.claims),
        figures=[figure_shown(each, records, store, beside, prefix) for each in study.figures] if records.rows else [],
        empty=account.empty(records),
        missing=account.missing(records) if records.trials else "",
        failures=len(records.failed),
        failed=account.failed(records, plan),
        facts=account.facts(records, plan),
        settings=account.settings(plan),
    )


def _command(plan: Plan) -> str:
    said = plan.study if plan.study in shipped() else f"{plan.study}.toml"
    return shlex.join(["sparsegap", "run", said, f"--{plan.setting}"])


def _single(folder: Path, shown: StudyShown) -> Page:
    name = shown.id if folder.name == "" else folder.resolve().name
    return Page(name, shown.title, shown.about, shown.setting, shown.told, False, shown.tally, [shown])


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
