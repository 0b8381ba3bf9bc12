"""sparsegap show: one member, explained."""

import json
from typing import Annotated

import typer

FULL_LINE = 110  # letters of a line that was broken because the file's lines end, not because a thought does

Name = Annotated[str, typer.Argument(metavar="NAME", help="A name that `sparsegap list` shows, or folder/name.", show_default=False)]
Json = Annotated[bool, typer.Option("--json", help="Machine-readable, one JSON object.")]


def show(name: Name, as_json: Json = False) -> None:
    """Explain one solver, encoder, metric, ...: its docstring, its problems, its options with their defaults."""
    from sparsegap.catalogue import find

    entry = find(name)
    if as_json:
        typer.echo(json.dumps(entry.as_dict() | {"doc": entry.doc, "options": entry.options}, indent=1, ensure_ascii=False, default=repr))
        return
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    console = Console(highlight=False)
    console.print(Text(f"{entry.folder}/{entry.name}", style="bold"), Text("for " + ", ".join(entry.problems)) if entry.problems else "")
    console.print(Text("\n" + flowing(entry.doc) + "\n"))
    table = Table("option", "type", "default", box=None, pad_edge=False, header_style="bold")
    for option in entry.options:
        table.add_row(*(Text(str(option[column])) for column in ("name", "type", "default")))
    console.print(table if entry.options else "It has no options.")


def flowing(text: str) -> str:
    """Docstrings are broken for a file's long lines: without those breaks, the terminal sets its own. Lists, formulas and commands stay."""
    lines: list[str] = []
    before = ""
    for line in text.splitlines():
        word = line.split(" ", 1)[0]
        if word and word not in ("-", "$") and len(before) + 1 + len(word) > FULL_LINE:
            lines[-1] += f" {line}"
        else:
            lines.append(line)
        before = line
    return "\n".join(lines)
