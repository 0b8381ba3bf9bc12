"""sparsegap gap: the main job."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from rich.table import Table

    from sparsegap.gap.question import Progress, Report
    from sparsegap.gap_record import GapRecord, Rung

Sae = Annotated[Path, typer.Option(metavar="FOLDER", help="A trained SAE: ours, or SAELens' directory.", show_default=False)]
Activations = Annotated[
    Path, typer.Option(metavar="PATH", help="Activations to judge on, best kept from the SAE's training.", show_default=False)
]
Out = Annotated[Path, typer.Option(metavar="FOLDER", help="Where gap.json and report.html go.", show_default=False)]
Train = Annotated[
    Path | None,
    typer.Option(metavar="PATH", help="Other activations to refit the atoms on: the dictionary's own share.", show_default=False),
]
Rows = Annotated[
    int | None, typer.Option(help="Rows to judge on, in whole contexts drawn at random; all of them without it.", show_default=False)
]
Seed = Annotated[int, typer.Option(help="Of the contexts drawn, the random controls and the bootstrap.")]
Lambdas = Annotated[
    list[float] | None,
    typer.Option(help="λ of a lasso point, on unit atoms; repeatable. Default: around the encoder's mean L0.", show_default=False),
]
Precision = Annotated[str, typer.Option(help="Of the passes over all atoms: auto, float32, bf16, float64.")]
HeldOut = Annotated[bool, typer.Option("--held-out", help="State that the SAE never saw these activations; goes into the record.")]
Quick = Annotated[bool, typer.Option("--quick", help="Fewer rows and points, for a first look.")]
Force = Annotated[bool, typer.Option("--force", help="Overwrite the gap.json and report.html that are there already.")]


def gap(
    sae: Sae,
    activations: Activations,
    out: Out,
    train: Train = None,
    rows: Rows = None,
    seed: Seed = 0,
    lambdas: Lambdas = None,
    precision: Precision = "auto",
    held_out: HeldOut = False,
    quick: Quick = False,
    force: Force = False,
) -> None:
    """Measure how much of an SAE's error is the encoder's and how much the dictionary's, and what better codes cost.

    Writes gap.json (every figure with its interval) and report.html (one page, needs no network).
    """
    from sparsegap.checkpoints import open_checkpoint
    from sparsegap.code_store import dictionary_sha256
    from sparsegap.gap import gap as measure
    from sparsegap.gap_record import claim
    from sparsegap.recordings import open_activations

    opened, judged = open_checkpoint(sae), open_activations(activations, "test")
    fitted = open_activations(train) if train else None
    for recording in (judged, fitted):
        if recording is not None:
            opened.check(recording)
    plan: dict[str, Any] = {"rows": rows, "seed": seed, "lambdas": lambdas, "quick": quick}
    names = (str(sae), f"{opened.name} of {sae}")
    wanted = plan | {
        "atoms_sha256": dictionary_sha256(opened.dictionary),
        "encoder": names[1],
        "activations": judged.description,
        "rows_available": judged.rows,
        "held_out": held_out,
        "train": fitted.description if fitted else None,
    }
    record = claim(out, wanted if precision == "auto" else wanted | {"precision": precision}, force)
    if record is not None:
        typer.echo(f"{out} holds the answer to this request already; --force measures again")
    else:
        with _Bar() as progress:
            record = measure(
                opened.dictionary,
                opened.encoder,
                judged,
                train=fitted,
                names=names,
                title=f"{sae.name} on {activations.name}",
                held_out=held_out,
                progress=progress,
                precision=precision,
                **plan,
            )
        out.mkdir(parents=True, exist_ok=True)
        record.save(out)
    _show(record, out)


def _show(record: GapRecord, out: Path) -> None:
    from rich.console import Console

    from sparsegap.report import write_report

    page = write_report(record, out)
    console = Console(highlight=False)
    console.print(table(record))
    for sentence in ("", *record.says, *record.warnings, "", "Not shown:", *record.does_not_show):
        console.print(sentence, markup=False)
    console.print(f"\n{page}", markup=False, soft_wrap=True)


def table(record: GapRecord) -> Table:
    """The rungs in the terminal."""
    from rich.table import Table
    from rich.text import Text

    shown = Table("codes", box=None, pad_edge=False, header_style="bold")
    for heading in ("FVU", "change", "L0", "EPU", "proven"):
        shown.add_column(heading, justify="right")
    role = "ladder"
    for rung in record.rungs:
        if rung.role != role:
            shown.add_section()
            role = rung.role
        shown.add_row(Text(rung.label), *_figures(rung))
    return shown


def _figures(rung: Rung) -> list[str]:
    low, high = rung.fvu.low, rung.fvu.high
    spread = "" if low is None or high is None else f" ± {(high - low) / 2:.4f}"
    change = "" if rung.against_own is None else f"{-100 * rung.against_own.relative.value:+.1f} %"
    proven = "" if rung.proof.coverage is None or rung.proof.kind == "not proven" else f"{rung.proof.coverage:.0%}"
    return [
        f"{rung.fvu.value:.4f}{spread}",
        change,
        f"{rung.l0.quantiles.mean:.1f}" if rung.series != "pca" else "",
        "" if rung.price.epu is None else f"{rung.price.epu:.1f}",
        proven,
    ]


class _Bar:
    """A progress bar; says what the run will cost as soon as a few rows are timed."""

    def __enter__(self) -> Report:
        from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

        self.bar = Progress(TextColumn("{task.description}"), BarColumn(), TextColumn("{task.percentage:.0f} %"), TimeElapsedColumn())
        self.bar.start()
        self.task = self.bar.add_task("", total=1.0)
        self.told = False
        return self.watch

    def watch(self, now: Progress) -> None:
        if now.expected is not None and not self.told:
            self.bar.console.print(f"the measurement will take about {now.expected:.0f} s", highlight=False)
            self.told = True
        self.bar.update(self.task, description=now.stage, completed=now.fraction)

    def __exit__(self, *failure: object) -> None:
        self.bar.stop()
