"""sparsegap list: what is in the folders."""

import json
from typing import Annotated

import typer

Folder = Annotated[
    str | None, typer.Argument(metavar="FOLDER", help="solvers, encoders, ...; all of them without one.", show_default=False)
]
Json = Annotated[bool, typer.Option("--json", help="Machine-readable, one JSON list.")]


def list(folder: Folder = None, as_json: Json = False) -> None:
    """List solvers, encoders, metrics, studies and whatever else is a folder of members.

    `sparsegap show NAME` explains one of them.
    """
    from sparsegap.catalogue import entries, folders

    found = [entry for each in folders(folder) for entry in entries(each)]
    if as_json:
        typer.echo(json.dumps([entry.as_dict() for entry in found], indent=1, ensure_ascii=False))
        return
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False, header_style="bold")
    for heading, whole in (("folder", True), ("name", True), ("problems", True), ("what it is", False)):
        table.add_column(heading, no_wrap=whole)
    for entry in found:
        table.add_row(entry.folder, Text(entry.name, style="bold"), " ".join(entry.problems), Text(entry.summary))
    Console().print(table)
