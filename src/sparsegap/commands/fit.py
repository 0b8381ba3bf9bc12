"""sparsegap fit: train an SAE on recorded activations."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from sparsegap.checkpoints import Checkpoint
    from sparsegap.fit import Progress, Recipe

Encoder = Annotated[str, typer.Argument(metavar="ENCODER", help="topk; the others come with a later release.", show_default=False)]
Activations = Annotated[Path, typer.Option(metavar="PATH", help="Activations to learn from.", show_default=False)]
Atoms = Annotated[int, typer.Option(help="Atoms of the dictionary.", show_default=False)]
K = Annotated[int, typer.Option("--k", help="Active atoms of a sample, at most.", show_default=False)]
Out = Annotated[Path, typer.Option(metavar="FOLDER", help="The checkpoint; a stopped run goes on where it was.", show_default=False)]
Steps = Annotated[int | None, typer.Option(help="Batches to learn from; by default so many passes over the data.", show_default=False)]
Batch = Annotated[int, typer.Option(help="Rows a step.")]
Rate = Annotated[float, typer.Option("--lr", help="Peak learning rate of Adam.")]
Seed = Annotated[int, typer.Option(help="Of the first atoms and the order of the rows.")]
KeepEvery = Annotated[int, typer.Option(help="Steps between saved states.")]
Test = Annotated[Path | None, typer.Option(metavar="PATH", help="Other activations to measure the result on.", show_default=False)]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Say what it would cost, and leave.")]


def fit(encoder: Encoder, activations: Activations, atoms: Atoms, k: K, out: Out, steps: Steps = None, batch: Batch = 1024,
        lr: Rate = 8e-3, seed: Seed = 0, keep_every: KeepEvery = 200, test: Test = None, dry_run: DryRun = False) -> None:
    """Train a sparse autoencoder: unit-norm atoms, dead latents revived (AuxK), resumable to the same bits.

    The folder is a checkpoint that gap, encode and inspect open; training.jsonl in it is the course of the run.
    """
    from rich.console import Console

    from sparsegap import fit as library
    from sparsegap.readers import open_activations

    console = Console(highlight=False)
    source = open_activations(activations)
    recipe = library.make_recipe(encoder, source, atoms=atoms, k=k, steps=steps, batch=batch, rate=lr, seed=seed)
    library.finished(out, recipe)
    console.print(_cost(recipe), markup=False)
    if dry_run:
        return
    with _Bar(console) as report:
        made = library.fit(encoder, source, atoms=atoms, k=k, steps=steps, batch=batch, rate=lr, seed=seed, out=out, keep_every=keep_every,
                           report=report)
    console.print(_result(made, test), markup=False)
    console.print(f"{out}", markup=False, soft_wrap=True)


def _cost(recipe: Recipe) -> str:
    from sparsegap import fit as library

    taken = recipe.steps * library.seconds_per_step(recipe)
    return (f"{recipe.rows:,} rows of width {recipe.width}; {recipe.steps:,} steps of {recipe.batch:,} rows: about {taken:,.0f} s here, "
            f"{library.flops(recipe) / 1e12:,.1f} TFLOP, {library.memory(recipe) / 1e6:,.0f} MB for the weights and their moments")


def _result(made: Checkpoint, test: Path | None) -> str:
    told = made.metadata.training
    said = f"FVU {told['fvu']:.3f} in the last batches, {100 * float(str(told['dead'])):.1f} % of the latents dead"
    if test is None:
        return f"{said}; on rows it was not trained on the error is larger (--test PATH measures it)"
    from sparsegap.fit import unexplained
    from sparsegap.readers import open_activations

    return f"{said}; FVU {unexplained(made, open_activations(test, 'test')):.3f} on {test}"


class _Bar:
    """A progress bar fed by a run."""

    def __init__(self, console: object) -> None:
        from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

        columns = (TextColumn("training"), BarColumn(), TextColumn("{task.completed:,.0f}/{task.total:,.0f} steps"),
                   TextColumn("FVU {task.fields[fvu]:.3f}, {task.fields[dead]:.1%} dead, {task.fields[speed]:,.0f} rows a second"),
                   TimeRemainingColumn(compact=True))
        self.progress = Progress(*columns, console=console)  # type: ignore[arg-type]

    def __enter__(self) -> _Bar:
        self.progress.start()
        return self

    def __call__(self, now: Progress) -> None:
        if not self.progress.tasks:
            if now.resumed_at:
                self.progress.console.print(f"going on from step {now.resumed_at:,}")
            self.progress.add_task("", total=now.steps, fvu=0.0, dead=0.0, speed=0.0)
        self.progress.update(self.progress.tasks[0].id, completed=now.step, fvu=now.fvu, dead=now.dead, speed=now.samples_per_second)

    def __exit__(self, *failure: object) -> None:
        self.progress.stop()
