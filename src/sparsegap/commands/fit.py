"""sparsegap fit: train an encoder, a dictionary, or both."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from sparsegap.errors import InputError

if TYPE_CHECKING:
    from rich.console import Console

    from sparsegap.checkpoints import Checkpoint
    from sparsegap.encoder import Encoder
    from sparsegap.fit.request import Plan, Progress, Request
    from sparsegap.fit.session import Session
    from sparsegap.source import Source

Name = Annotated[str, typer.Argument(metavar="NAME", show_default=False,
                                     help="An encoder or a learner: `sparsegap list encoders`, `sparsegap list learners`.")]
Activations = Annotated[Path | None, typer.Option(metavar="PATH", help="Activations to learn from.", show_default=False)]
SourceText = Annotated[str | None, typer.Option("--source", metavar="NAME:OPTION=VALUE,...", show_default=False,
                                                help="Fresh samples of a known dictionary: uniform:atoms=1000,width=200,active=20.")]
Atoms = Annotated[int | None, typer.Option(help="Atoms of the dictionary, unless one is given.", show_default=False)]
K = Annotated[int, typer.Option("--k", help="Active atoms of a sample: at most, or on average.", show_default=False)]
Out = Annotated[Path, typer.Option(metavar="FOLDER", help="The checkpoint; a stopped run goes on where it was.", show_default=False)]
Known = Annotated[Path | None, typer.Option("--dictionary", metavar="PATH", help="Atoms that stay as they are.", show_default=False)]
Teacher = Annotated[str | None, typer.Option(metavar="SOLVER", help="Learn this solver's codes on the dictionary.", show_default=False)]
Start = Annotated[Path | None, typer.Option(metavar="FOLDER", help="A checkpoint whose encoder the student of a teacher begins as.",
                                            show_default=False)]
Codes = Annotated[bool, typer.Option("--codes", help="Learn the true codes of the source.")]
CodesFrom = Annotated[Path | None, typer.Option("--codes-from", metavar="FOLDER", help="Learn these recorded codes.", show_default=False)]
Validate = Annotated[Path | None, typer.Option(metavar="PATH", help="Activations to judge by as it learns.", show_default=False)]
Patience = Annotated[int | None, typer.Option(help="End after so many verdicts without a better one.", show_default=False)]
Test = Annotated[Path | None, typer.Option(metavar="PATH", help="Other activations to measure the result on.", show_default=False)]
Steps = Annotated[int | None, typer.Option(help="Batches to learn from; by default so many passes over the data.", show_default=False)]
Batch = Annotated[int | None, typer.Option(help="Rows a step; by default what the learner prefers.", show_default=False)]
Rate = Annotated[float | None, typer.Option("--lr", help="Peak learning rate, where the learner has one.", show_default=False)]
Seed = Annotated[int, typer.Option(help="Of the first atoms and the order of the rows.")]
Device = Annotated[str, typer.Option(help="cpu or cuda.")]
Normalise = Annotated[str, typer.Option(help="none, mean_norm or mean_square, while learning; what is saved reads raw activations.")]
Board = Annotated[bool, typer.Option("--tensorboard", help="Write the course for TensorBoard too.")]
KeepEvery = Annotated[int, typer.Option(help="Steps between saved states.")]
Options = Annotated[list[str] | None, typer.Option("--option", "-o", metavar="NAME=VALUE", show_default=False,
                                                   help="Of the learner or the encoder; `sparsegap show NAME` lists them.")]
Sweep = Annotated[list[str] | None, typer.Option(metavar="NAME=A,B,...", show_default=False,
                                                 help="A run for each value, over the same batches; several make the product.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Say what it would cost, and leave.")]

OF_REQUEST = ("k", "atoms", "steps", "seed")
IN_TRAINING = "FVU in training"
TOLD = {"dictionary_mcc": "dictionary MCC", "recall_95": "atoms found", "code_mcc": "code MCC", "support_f1": "support F1"}


def fit(name: Name, k: K, out: Out, activations: Activations = None, source: SourceText = None, atoms: Atoms = None,
        dictionary: Known = None, teacher: Teacher = None, start: Start = None, codes: Codes = False, codes_from: CodesFrom = None,
        validate: Validate = None, patience: Patience = None, test: Test = None, steps: Steps = None, batch: Batch = None,
        lr: Rate = None, seed: Seed = 0, device: Device = "cpu", normalise: Normalise = "none", tensorboard: Board = False,
        keep_every: KeepEvery = 200, option: Options = None, sweep: Sweep = None, dry_run: DryRun = False) -> None:
    """Train an encoder with its dictionary, on a dictionary that is known, or on a solver's codes; resumable to the same bits.

    The folder is a checkpoint that gap, encode and inspect open; training.jsonl in it is the course of the run.
    """
    from rich.console import Console

    from sparsegap.checkpoints import open_checkpoint, open_dictionary
    from sparsegap.fit.request import Request
    from sparsegap.fit.session import Session, follow

    console = Console(highlight=False)
    data = _data(activations, source)
    known = None if dictionary is None else open_dictionary(dictionary)
    first = Request(name, k, atoms, steps, seed, known, teacher, start=None if start is None else open_checkpoint(start).encoder)
    given = [*(option or []), *([] if lr is None else [f"rate={lr!r}"])]
    requests = _requests(first, given, sweep or [], known_codes=codes or codes_from is not None)
    judged = data if source is not None and patience is not None and validate is None else validate
    session = Session.of(requests, data, batch=batch, seed=seed, codes=codes_from or codes, validate=judged, patience=patience,
                         normalise=normalise, device=device)
    session.require_free(out)
    _require_width(test, session)
    console.print(_asked(session), markup=False)
    if dry_run:
        console.print(_cost(session), markup=False)
        return
    with _Bars(console) as report:
        made = follow(session, out, keep_every=keep_every, report=report, tensorboard=tensorboard)
    _tell(console, session, made, data if source else None, test)
    console.print(f"{out}", markup=False, soft_wrap=True)


def _data(activations: Path | None, source: str | None) -> Any:
    if (activations is None) == (source is None):
        raise InputError("say what to learn from: --activations PATH, or --source NAME:OPTION=VALUE,...")
    if source is not None:
        from sparsegap.source import parse_source

        return parse_source(source)
    from sparsegap.recordings import open_activations

    return open_activations(str(activations))


def _require_width(test: Path | None, session: Session) -> None:
    """What is measured at the end is looked at before the beginning."""
    if test is None:
        return
    from sparsegap.recordings import open_activations

    width = open_activations(test, "test").d
    if width != session.data.stream.width:
        raise InputError(f"{test} is {width} wide, but the activations to learn from are {session.data.stream.width}")


def _requests(first: Request, given: Iterable[str], sweeps: Iterable[str], known_codes: bool) -> list[Request]:
    """One request for every combination of the swept values, labelled by them; the one that was given where nothing is swept."""
    from dataclasses import replace

    swept = [_swept(text) for text in sweeps]
    found = []
    for values in product(*(texts for _, texts in swept)):
        chosen = dict(zip((name for name, _ in swept), values, strict=True))
        texts = [*given, *(f"{name}={text}" for name, text in chosen.items() if name not in OF_REQUEST)]
        changes: dict[str, Any] = {name: _whole(name, text) for name, text in chosen.items() if name in OF_REQUEST}
        label = ",".join(f"{name}={text}" for name, text in chosen.items())
        found.append(replace(first, label=label, options=_typed(first, texts, known_codes), **changes))
    return found


def _swept(text: str) -> tuple[str, list[str]]:
    name, equals, values = text.partition("=")
    found = [value.strip() for value in values.split(",") if value.strip()]
    if not equals or not name.strip() or not found:
        raise InputError(f"a sweep is written name=value,value,..., not '{text}'")
    return name.strip().replace("-", "_"), found


def _whole(name: str, text: str) -> int:
    try:
        return int(text)
    except ValueError:
        raise InputError(f"{name} is a whole number, not '{text}'") from None


def _typed(request: Request, texts: list[str], known_codes: bool) -> dict[str, Any]:
    """Options as their owners' annotations read them."""
    from sparsegap.fit.request import members_of, option_owner, split_options
    from sparsegap.options import parse_options

    names = {text.partition("=")[0].strip().replace("-", "_"): text for text in texts}
    if len(names) < len(texts):
        raise InputError(f"an option is given twice among {', '.join(texts)}")
    chosen = names["encoder"].partition("=")[2].strip() if "encoder" in names else None
    from dataclasses import replace

    learner, encoder = members_of(replace(request, options={} if chosen is None else {"encoder": chosen}), known_codes)
    split_options(learner, encoder, names)
    read: dict[str, Any] = {} if chosen is None else {"encoder": chosen}
    for name, text in names.items():
        owner = option_owner(learner, encoder, name)
        if owner is not None:
            read |= parse_options(request.name, owner, [text])
    return read


def _asked(session: Session) -> str:
    stream, task = session.data.stream, session.plans[0].task
    rows = "fresh rows" if stream.rows is None else f"{stream.rows:,} rows"
    several = f"; {len(session.plans)} runs over the same batches" if len(session.plans) > 1 else ""
    return f"{rows} of width {stream.width}; {task.steps:,} steps of {stream.batch:,} rows{several}"


def _cost(session: Session) -> str:
    from sparsegap.fit.expected import expected

    cost = expected(session)
    return (f"about {cost.seconds:,.0f} s here, {cost.flops / 1e12:,.3g} TFLOP, {cost.memory / 1e6:,.0f} MB for the weights and what is "
            f"remembered of them, {cost.rows:,} rows learned from")


def _tell(console: Console, session: Session, made: list[Checkpoint], source: Source | None, test: Path | None) -> None:
    from rich.table import Table

    rows = [_figures(plan, each, source, test) for plan, each in zip(session.plans, made, strict=True)]
    if any(_reader(plan, each) is not each.encoder for plan, each in zip(session.plans, made, strict=True)):
        console.print("New rows are read with the learner's solver. The encoder in the folder is only a linear prediction of its codes: "
                      "gap and encode solve again, and `sparsegap fit topk --dictionary FOLDER --teacher omp` trains a better one.",
                      markup=False)
    if len(made) == 1:
        said = ", ".join(f"{name} {value}" for name, value in rows[0].items())
        console.print(said if test or source else f"{said}; on rows it was not trained on the error is larger (--test PATH measures it)",
                      markup=False)
        return
    if len(rows[0]) > 4:
        rows = [{name: value for name, value in row.items() if name != IN_TRAINING} for row in rows]
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("run", no_wrap=True)
    for heading in rows[0]:
        table.add_column(heading, justify="right")
    for plan, row in zip(session.plans, rows, strict=True):
        table.add_row(plan.label, *row.values())
    console.print(table)


def _figures(plan: Plan, made: Checkpoint, source: Source | None, test: Path | None) -> dict[str, str]:
    told: dict[str, Any] = made.metadata.training
    found = {IN_TRAINING: f"{told['fvu']:.3f}", "L0": f"{told['l0']:.1f}", "dead": f"{told['dead']:.1%}"}
    if "held_out_fvu" in told and source is None:
        found["FVU held out"] = f"{told['held_out_fvu']:.3f}"
    if test is not None:
        from sparsegap.fit.held_out import unexplained
        from sparsegap.recordings import open_activations

        reader, rows = _reader(plan, made), open_activations(test, "test")
        found[f"FVU on {test}"] = f"{unexplained(made, rows, reader):.3f}"
        if reader is not made.encoder:
            found["by its encoder"] = f"{unexplained(made, rows):.3f}"
    if source is not None:
        from sparsegap.recovery import recovery

        parts = ("dictionary", "codes", "supports", "reconstruction")
        scores = recovery(source, _reader(plan, made), made.dictionary, parts=parts, with_chance=False)
        found |= {"FVU on fresh rows": f"{scores['fvu']:.3f}"} | {said: f"{scores[name]:.3f}" for name, said in TOLD.items()}
    return found


def _reader(plan: Plan, made: Checkpoint) -> Encoder:
    """What reads new rows as the run's learner did: its solver, or the encoder that it trained."""
    return plan.make().reader(made.encoder, made.dictionary)


class _Bars:
    """Progress bars fed by runs, one each."""

    def __init__(self, console: Console) -> None:
        from rich.progress import BarColumn, TextColumn, TimeRemainingColumn
        from rich.progress import Progress as Bars

        columns = (TextColumn("{task.description}"), BarColumn(bar_width=8), TextColumn("{task.completed:.0f}/{task.total:.0f}"),
                   TextColumn("loss {task.fields[loss]:.3g} FVU {task.fields[fvu]:.3f}{task.fields[held_out]} L0 {task.fields[l0]:.1f} "
                              "{task.fields[dead]:.0%} dead {task.fields[speed]:.3g}k rows/s"),
                   TimeRemainingColumn(compact=True))
        self.progress = Bars(*columns, console=console)
        self.tasks: dict[str, Any] = {}

    def __enter__(self) -> _Bars:
        self.progress.start()
        return self

    def __call__(self, now: Progress) -> None:
        fields: dict[str, Any] = {"loss": now.loss, "fvu": now.fvu, "l0": now.l0, "dead": now.dead, "speed": now.samples_per_second / 1000,
                  "held_out": "" if now.held_out != now.held_out else f" ({now.held_out:.3f})"}
        if now.label not in self.tasks:
            if now.resumed_at:
                self.progress.console.print(f"going on from step {now.resumed_at:,}")
            self.tasks[now.label] = self.progress.add_task(now.label or "training", total=now.steps, **fields)
        self.progress.update(self.tasks[now.label], completed=now.step, **fields)

    def __exit__(self, *failure: object) -> None:
        self.progress.stop()
