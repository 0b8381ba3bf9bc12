"""sparsegap encode: codes for recorded activations."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

if TYPE_CHECKING:
    from collections.abc import Callable

    from sparsegap.activations import Activations as Recording
    from sparsegap.code_store import CodesStore
    from sparsegap.recode import Watched

Source = Annotated[
    Path, typer.Option("--dictionary", metavar="PATH", help="A trained SAE, or a file with atoms (m, d).", show_default=False)
]
Activations = Annotated[Path, typer.Option(metavar="PATH", help="Recorded activations.", show_default=False)]
Out = Annotated[Path, typer.Option(metavar="FOLDER", help="Where the codes go; a killed run goes on where it was.", show_default=False)]
Method = Annotated[str, typer.Option(help="A solver (`sparsegap list solvers`), auto, or encoder for the SAE's own codes.")]
K = Annotated[int | None, typer.Option(help="Atoms of a sample at most.", show_default=False)]
Penalty = Annotated[float | None, typer.Option(help="λ of a lasso, instead of k.", show_default=False)]
Start = Annotated[
    Literal["nothing", "encoder"], typer.Option(help="Begin from the SAE's own codes; without k, also with its own number of atoms.")
]
Signed = Annotated[bool, typer.Option("--signed", help="Allow negative codes.")]
Option = Annotated[list[str] | None, typer.Option("--option", metavar="NAME=VALUE", help="Of the method; repeatable.", show_default=False)]
Precision = Annotated[str, typer.Option(help="Of the passes over all atoms: auto, float32, bf16, float64.")]
Chunk = Annotated[int | None, typer.Option(help="Samples solved together.", show_default=False)]
Memory = Annotated[float, typer.Option(help="GB that a Gram matrix may take.")]
Tolerance = Annotated[float, typer.Option(help="Relative duality gap to which a lasso sample is proven.")]
Split = Annotated[str, typer.Option(help="Which parts of a folder with train-* and test* files.")]


def encode(
    source: Source,
    activations: Activations,
    out: Out,
    method: Method = "auto",
    k: K = None,
    penalty: Penalty = None,
    start: Start = "nothing",
    signed: Signed = False,
    option: Option = None,
    precision: Precision = "auto",
    chunk: Chunk = None,
    memory: Memory = 1.0,
    tolerance: Tolerance = 1e-4,
    split: Split = "train",
) -> None:
    """Write the sparse codes of recorded activations by any method, with what is proven of them."""
    from sparsegap.recode import Coding, recode
    from sparsegap.recordings import open_activations

    recording = open_activations(activations, split)
    encoder, dictionary = _opened(source, recording, needs_encoder=start == "encoder" or method == "encoder")
    solving = {"precision": precision, "chunk": chunk, "memory": int(memory * 2**30), "tolerance": tolerance}
    coding = Coding(method, k, penalty, not signed, start == "encoder", solving, _options(method, option or []))
    with _Bar(method) as watch:
        store = recode(dictionary, recording, out, coding, encoder=encoder, name=str(source), watch=watch)
    _tell(store)


def _opened(source: Path, recording: Recording, needs_encoder: bool) -> tuple[Any, Any]:
    from sparsegap.checkpoints import open_checkpoint, open_dictionary

    if source.is_dir() or needs_encoder:
        found = open_checkpoint(source)
        found.check(recording)
        return found.encoder, found.dictionary
    return None, open_dictionary(source)


def _options(method: str, given: list[str]) -> dict[str, Any]:
    from sparsegap import registry
    from sparsegap.errors import InputError
    from sparsegap.options import parse_options

    if method in ("auto", "encoder"):
        if given:
            raise InputError(f"options belong to a method: name one with --method instead of '{method}'")
        return {}
    return parse_options(method, registry.member("solvers", method), given)


class _Bar:
    """A progress bar in rows; says what the run will cost as soon as its first part is done."""

    def __init__(self, title: str) -> None:
        from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

        self.bar = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            TextColumn("{task.completed:,.0f}/{task.total:,.0f} rows"),
            TimeRemainingColumn(compact=True),
        )
        self.title = title

    def __enter__(self) -> Callable[[Watched], None]:
        self.bar.start()
        return self.watch

    def watch(self, now: Watched) -> None:
        if not self.bar.tasks:
            self.bar.add_task(self.title, total=now.total)
        self.bar.update(self.bar.tasks[0].id, completed=now.done)

    def __exit__(self, *failure: object) -> None:
        self.bar.stop()


def _tell(store: CodesStore) -> None:
    from rich.console import Console

    parts = store.manifest.quality or ()
    rows = max(1, sum(part.rows for part in parts))
    seconds, proven, active = (sum(getattr(part, name) for part in parts) for name in ("seconds", "proven", "active"))
    objective = sum(part.objective for part in parts) / rows
    console = Console(highlight=False, soft_wrap=True)
    console.print(
        f"{len(store):,} rows over {store.n_atoms:,} atoms in {store.folder}: {active / rows:.4g} active atoms a row, "
        f"mean objective {objective:.6g}",
        markup=False,
    )
    said = (
        f"{proven:,} of {rows:,} rows proven optimal to the tolerance"
        if proven
        else "no row is proven optimal: this method does not promise it"
    )
    console.print(f"{said}; {seconds:.1f} s, {1000 * seconds / rows:.3f} s per 1,000 rows", markup=False)
