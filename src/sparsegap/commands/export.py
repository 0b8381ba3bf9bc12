"""sparsegap export: a source as SAELens' ground-truth model."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

Source = Annotated[str, typer.Argument(metavar="SOURCE", show_default=False,
                                       help="As `fit --source` takes it: uniform:atoms=1000,width=200,active=20,exact=false,seed=3")]
Out = Annotated[Path, typer.Option(metavar="FOLDER", help="Folder to write.", show_default=False)]


def export(source: Source, out: Out) -> None:
    """Write a source as SAELens' SyntheticModel: `SyntheticModel.load_from_disk(FOLDER)` opens it there, saelens:path=FOLDER here.

    Its samples have the same distribution. What SAELens' model cannot say (noise, a fixed number of active atoms or of samples, codes of
    both signs) is refused. `sparsegap list sources` shows what there is.
    """
    from sparsegap.errors import InputError
    from sparsegap.numbered import Numbered
    from sparsegap.source import parse_source

    found = parse_source(source)
    if not isinstance(found, Numbered):
        raise InputError(f"{source} is no source that SAELens' SyntheticModel can hold")
    folder = found.export_saelens(out)
    typer.echo(f"{found.n_atoms:,} features of {found.width:,} dimensions in {folder}")
