"""sparsegap run: a study, from its file to its page."""

from __future__ import annotations

import time
from collections import Counter
from contextlib import closing
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from rich.console import Console

    from sparsegap.study.agenda import Agenda
    from sparsegap.study.finding import Asked
    from sparsegap.study.runner import Progress
    from sparsegap.study.verdicts import Verdict

Study = Annotated[str, typer.Argument(metavar="STUDY", show_default=False,
                                      help="A name that `sparsegap list studies` shows, or a TOML file; `paper` is all of the paper's.")]
Full = Annotated[bool, typer.Option("--full/--quick", help="As many seeds and steps as the question needs, or few for a first look.")]
Out = Annotated[Path | None, typer.Option(metavar="FOLDER", help="Where results go; without it, results/NAME.", show_default=False)]
Jobs = Annotated[int | None, typer.Option(min=1, help="Processes, of one thread each; without it, one a core.", show_default=False)]
Only = Annotated[list[str] | None, typer.Option(metavar="PARTS", show_default=False,
                                                help="Trials that have all of these, BLOCK/VARIANT/OPTION=VALUE; repeated, also others.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Say what it would do and cost, and leave.")]
Fresh = Annotated[bool, typer.Option("--fresh", help="Compute stored trials again.")]

LISTED = 20  # trials that a dry run names
FAILED, BAD_INPUT = 1, 2


def run(study: Study, full: Full = False, out: Out = None, jobs: Jobs = None, only: Only = None, dry_run: DryRun = False,
        fresh: Fresh = False) -> None:
    """Run a study: its trials in parallel, then its figures, claims and page. Without --full it is quick.

    The whole file is checked first. Every finished trial is stored at once; run again, the same command goes on from there.
    """
    from rich.console import Console

    from sparsegap.study.agenda import agenda
    from sparsegap.study.declaration import Faults
    from sparsegap.study.finding import asked
    from sparsegap.study.provenance import cores
    from sparsegap.study.writer import make

    console = Console(highlight=False)
    try:
        found = asked(study)
    except Faults as faults:
        raise _all_told(faults) from faults
    folder = out or Path("results") / found.name
    processes = jobs or cores()
    wanted = agenda(found, "full" if full else "quick", folder, only=only or (), fresh=fresh)
    if not dry_run:
        make(folder)
    _announce(console, found, wanted, processes, "full" if full else "quick")
    if dry_run:
        _list(console, wanted, processes)
        return
    failed = _follow(console, wanted, processes, folder)
    _tell_verdicts(console, wanted)
    page = folder / "page.html"
    console.print(f"{page if page.exists() else folder}", markup=False, soft_wrap=True)
    if failed:
        raise typer.Exit(FAILED)


def _all_told(faults: Any) -> typer.Exit:
    """Every fault of a study on a line of its own; nothing was run."""
    count = faults.count
    typer.echo(f"error: {count:,} {'fault' if count == 1 else 'faults'}; nothing was run", err=True)
    for line in faults.lines:
        typer.echo(f"  {line}", err=True)
    return typer.Exit(BAD_INPUT)


def _announce(console: Console, found: Asked, wanted: Agenda, processes: int, setting: str) -> None:
    from sparsegap.study.expected import in_words

    console.print(f"{found.title}  ({found.name}, {setting})", markup=False, style="bold")
    several = f" of {len(wanted.targets)} {'study' if len(wanted.targets) == 1 else 'studies'}" if found.is_collection else ""
    stored = f", {wanted.stored} stored already" if wanted.stored else ""
    same = f", {wanted.same} the same as another" if wanted.same else ""
    trials = "trial" if wanted.chosen == 1 else "trials"
    console.print(f"{wanted.chosen} {trials}{several}{stored}{same}, {len(wanted.jobs)} to compute", soft_wrap=True)
    if wanted.jobs:
        used = min(processes, len(wanted.jobs))
        seconds = wanted.seconds(processes)
        told = f"about {in_words(seconds)} in {used} {'process' if used == 1 else 'processes'}" if seconds else "nobody knows how long"
        by = "the speed of the trials stored so far" if wanted.speed.measured else "a short calibration: a first guess"
        unknown = f"; {wanted.unpriced} trials have no price" if wanted.unpriced else ""
        console.print(f"{wanted.flops:.2g} floating-point operations, {told} (by {by}{unknown})", soft_wrap=True)


def _list(console: Console, wanted: Agenda, processes: int) -> None:
    """What there is to compute: the studies of a collection, the trials of a study."""
    from sparsegap.study.expected import filled, in_words, wall_seconds

    if wanted.collection is not None:
        for place, target in enumerate(wanted.targets):
            own = [job.seconds for job in wanted.jobs if job.places[0] == place]
            told = f"{len(target.plan.trials)} trials, {len(own)} to compute"
            told += f", {in_words(wall_seconds(filled(own), processes))}" if own else ""
            console.print(f"  {target.plan.study:<18} {told}", markup=False, style="dim")
        return
    for job in wanted.jobs[:LISTED]:
        console.print(f"  {job.name}  {'' if job.seconds is None else in_words(job.seconds)}", markup=False, style="dim", soft_wrap=True)
    if len(wanted.jobs) > LISTED:
        console.print(f"  and {len(wanted.jobs) - LISTED} more", style="dim")


def _follow(console: Console, wanted: Agenda, processes: int, folder: Path) -> bool:
    """Run it under a bar; whether anything failed, a trial or a page."""
    from sparsegap.fit.stopping import stop_requests
    from sparsegap.study import runner

    began, failures = time.perf_counter(), []
    with stop_requests() as asked_to_stop, _Bar(console, len(wanted.jobs)) as show, closing(runner.run(wanted, processes)) as course:
        for now in course:
            show(now)
            if now.ended is not None and now.ended[1].error is not None:
                failures.append(f"{now.ended[0]}: {now.ended[1].error}")
            if now.ready is not None:
                failures += _draw(now.ready)
            if asked_to_stop:
                done = wanted.stored + now.done - now.failed
                raise KeyboardInterrupt(f"{done} of {wanted.chosen} trials are stored in {folder}; the same command goes on from there")
    if wanted.collection is not None:
        failures += _draw(wanted.collection[0])
    _tell_end(console, len(wanted.jobs), time.perf_counter() - began, failures)
    return bool(failures)


def _tell_end(console: Console, jobs: int, seconds: float, failures: list[str]) -> None:
    from sparsegap.study.expected import in_words

    if jobs:
        console.print(f"{jobs} {'trial' if jobs == 1 else 'trials'} in {in_words(seconds)}")
    if failures:
        console.print("failed, and tried again by the next run:", style="bold")
    for failure in failures:
        console.print(f"  {failure}", markup=False, soft_wrap=True)


def _tell_verdicts(console: Console, wanted: Agenda) -> None:
    """What became of the claims: of a single study each, of a collection how many of each study."""
    from sparsegap.study.records import Records
    from sparsegap.study.verdicts import verdicts

    for target in wanted.targets:
        claims = target.checked.declared.study.claims
        records = Records.open(target.folder)
        found = verdicts(claims, records) if claims else []
        if wanted.collection is None:
            if found and records.missing:
                console.print(f"{records.missing} of {len(target.plan.trials)} trials were not run; the others say:")
            for says, of_claim in groupby(found, lambda verdict: verdict.says):
                _tell_claim(console, says, [*of_claim])
        elif found:
            count = sorted(Counter(verdict.status for verdict in found).items())
            console.print(f"{target.plan.study:<18} {', '.join(f'{number} {status}' for status, number in count)}", soft_wrap=True)


def _tell_claim(console: Console, says: str, found: list[Verdict]) -> None:
    """A claim after its verdict; where it has several, before them."""
    places = [", ".join(f"{name} {value}" for name, value in verdict.where.items() if value not in (None, "none")) for verdict in found]
    if len(found) == 1:
        console.print(f"{found[0].status:<10} {says}{f' ({places[0]})' if places[0] else ''}", markup=False, soft_wrap=True)
        return
    console.print(says, markup=False, soft_wrap=True)
    for verdict, place in zip(found, places, strict=True):
        console.print(f"  {verdict.status:<10} {place}", markup=False, soft_wrap=True)


def _draw(store: Path) -> list[str]:
    """The page of a store. What goes wrong with it is told at the end: other studies may still be running."""
    try:
        from sparsegap.study.page import write_page

        write_page(store)
    except Exception as error:
        return [f"the page of {store} could not be drawn: {' '.join(str(error).split())} (`sparsegap report {store}` tries again)"]
    return []


class _Bar:
    """One bar for all trials, with the time left and what is running; plain lines where nobody watches."""

    def __init__(self, console: Console, total: int) -> None:
        from rich.progress import BarColumn, Progress, TextColumn

        self.plain = not console.is_terminal
        self.console, self.total = console, total
        columns = (BarColumn(bar_width=24), TextColumn("{task.completed:.0f}/{task.total:.0f}"), TextColumn("{task.fields[left]}"),
                   TextColumn("{task.fields[running]}", markup=False, style="dim"))
        self.bars = Progress(*columns, console=console, disable=self.plain or not total, transient=True)
        self.task = self.bars.add_task("", total=total, left="", running="")

    def __enter__(self) -> _Bar:
        self.bars.start()
        return self

    def __call__(self, now: Progress) -> None:
        from sparsegap.study.expected import in_words

        if self.plain and now.ended is not None:
            name, outcome = now.ended
            self.console.print(f"{now.done}/{now.total} {name}: {outcome.error or in_words(outcome.seconds)}", markup=False, soft_wrap=True)
        left = "" if now.left is None or now.done == now.total else f"{in_words(now.left)} left"
        failed = f", {now.failed} failed" if now.failed else ""
        self.bars.update(self.task, completed=now.done, left=left + failed, running="  ".join(now.running))

    def __exit__(self, *failure: object) -> None:
        self.bars.stop()
