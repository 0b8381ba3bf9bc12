"""sparsegap theorem: what an encoder of one linear map cannot do, shown on yours."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from sparsegap.dictionary import Dictionary
    from sparsegap.theorem.record import TheoremRecord

Sae = Annotated[Path | None, typer.Option(metavar="PATH", show_default=False,
                                          help="A checkpoint folder; without it, the best encoder for a toy is found first.")]
Given = Annotated[Path | None, typer.Option("--activations", metavar="PATH", show_default=False,
                                            help="Take only latents that fire on these, and sources as large as they find them.")]
Size = Annotated[float | None, typer.Option(metavar="NUMBER", show_default=False,
                                            help="Of a source; without it, it follows from what is given.")]
Out = Annotated[Path | None, typer.Option(metavar="FOLDER", show_default=False,
                                          help="Write theorem.html, its figures and theorem.json there.")]
Seed = Annotated[int, typer.Option(help="Of the toy.", min=0)]
Json = Annotated[bool, typer.Option("--json", help="Machine-readable, one JSON object.")]

ROWS = 8192  # of the activations that are read
TOLD = 4e11  # operations of a pass: from here on it takes more than some seconds, and that is said first
SPEED = 3e10  # operations a second and core, about: products and what is asked of each of them


def theorem(sae: Sae = None, activations: Given = None, size: Size = None, out: Out = None, seed: Seed = 0, as_json: Json = False) -> None:
    """Show what a linear map before a gate cannot do: ranks, the sign pattern of W·D, and the worst input of one or two sources.

    The worst input is found over all pairs of sources, verified by running the encoder, and solved: what the encoder misses, a solver
    finds. Without --sae it takes a toy of 16 atoms in 8 dimensions and a few seconds.
    """
    from sparsegap.errors import InputError

    if activations is not None and sae is None:
        raise InputError("activations say which latents of an SAE are in use: give --sae too")
    if size is not None and not size > 0:
        raise InputError(f"the size of a source must be a positive number, not {size:g}")
    if out is not None:
        _require_free(out)
    record = _of_toy(seed, size) if sae is None else _of_checkpoint(sae, activations, size)
    if as_json:
        typer.echo(json.dumps(record.as_dict(), indent=1))
    else:
        _print(record)
    if out is not None:
        from sparsegap.theorem_page import write_theorem

        for path in write_theorem(record, out):
            typer.echo(path, err=as_json)


def _require_free(folder: Path) -> None:
    """Raise InputError unless the folder is absent, empty, or holds a page of this command."""
    from sparsegap.errors import InputError
    from sparsegap.theorem_page import PAGE_FILE

    if folder.exists() and not folder.is_dir():
        raise InputError(f"{folder} is a file; the page and its figures are written into a folder")
    there = sorted(entry.name for entry in folder.iterdir() if not entry.name.startswith(".")) if folder.exists() else []
    if there and PAGE_FILE not in there:
        raise InputError(f"{folder} already holds something else ({', '.join(there[:3])}); give a new or empty folder")


def _of_checkpoint(path: Path, activations: Path | None, size: float | None) -> TheoremRecord:
    from sparsegap.checkpoints import open_checkpoint
    from sparsegap.theorem.account import account

    opened = open_checkpoint(path)
    x = None
    if activations is not None:
        from sparsegap.recordings import open_activations

        given = open_activations(activations, "test")
        opened.check(given)
        x = given.load(ROWS).activations
    _announce(opened.dictionary)
    return account(opened.encoder, opened.dictionary, x=x, size=size, name=str(path))


def _announce(dictionary: Dictionary) -> None:
    """What a large one costs, before it does."""
    import torch

    from sparsegap.theorem.account import judged_latents

    chosen = judged_latents(dictionary)
    judged = dictionary.n_atoms if chosen is None else len(chosen)
    operations = 2.0 * judged * dictionary.atoms.numel()
    if operations > TOLD:
        of_all = f" (of {dictionary.n_atoms:,}, evenly spread)" if judged < dictionary.n_atoms else ""
        seconds = operations / (SPEED * torch.get_num_threads())
        typer.echo(f"{judged:,} latents{of_all} against {dictionary.n_atoms:,} sources: {operations / 1e12:.1f} trillion operations "
                   f"a pass, about {seconds:,.0f} s", err=True)


def _of_toy(seed: int, size: float | None) -> TheoremRecord:
    from sparsegap.theorem.account import account
    from sparsegap.theorem.toy import best_encoder

    encoder, dictionary = best_encoder(seed=seed)
    return account(encoder, dictionary, size=1.0 if size is None else size, name="the best relu encoder of a toy",
                   size_from="about what the toy's sources are, |N(0, 1)|" if size is None else "")


def _print(record: TheoremRecord) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    from sparsegap.theorem.words import headline, lines

    table = Table("what", "value", "what it means", box=None, pad_edge=False, header_style="bold")
    for line in lines(record):
        table.add_row(Text(line.what, style="bold"), Text(line.value), Text(line.meaning, style="dim"))
    console = Console(highlight=False)
    console.print(Text(headline(record)), soft_wrap=True)
    console.print()
    console.print(table)
