"""sparsegap inspect: what a dictionary is like."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from sparsegap.diagnosis import Finding

Sae = Annotated[Path, typer.Argument(metavar="PATH", help="A checkpoint folder, or a file with a dictionary.", show_default=False)]
Given = Annotated[Path | None, typer.Option("--activations", metavar="PATH", help="Also: which latents fire on these.", show_default=False)]
K = Annotated[int | None, typer.Option("--k", help="Sparsity in use; of a topk checkpoint its own.", show_default=False)]
Json = Annotated[bool, typer.Option("--json", help="Machine-readable, one JSON object.")]


def inspect(sae: Sae, activations: Given = None, k: K = None, as_json: Json = False) -> None:
    """Diagnose a dictionary: how alike its atoms are, what sparsity that allows, norms, duplicates, dead latents."""
    from sparsegap.diagnosis import as_dict, diagnose

    findings = _of_checkpoint(sae, activations, k) if _is_checkpoint(sae) else None
    if findings is None:
        from sparsegap.checkpoints import open_dictionary
        from sparsegap.errors import InputError

        if activations is not None:
            raise InputError(f"{sae} is a dictionary without an encoder, so nothing fires: leave --activations out")
        findings = diagnose(open_dictionary(sae), k)
    if as_json:
        typer.echo(json.dumps(as_dict(findings), indent=1))
    else:
        _print(findings)


def _is_checkpoint(path: Path) -> bool:
    from sparsegap.checkpoints import CHECKPOINT_FILES

    return path.is_dir() or path.name in CHECKPOINT_FILES


def _of_checkpoint(path: Path, activations: Path | None, k: int | None) -> list[Finding]:
    from sparsegap.checkpoints import open_checkpoint
    from sparsegap.diagnosis import diagnose, diagnose_use
    from sparsegap.recordings import open_activations

    opened = open_checkpoint(path)
    findings = diagnose(opened.dictionary, k if k is not None else getattr(opened.encoder, "k", None))
    if activations is not None:
        findings += diagnose_use(opened.encoder, open_activations(activations, "test"))
    return findings


def _print(findings: list[Finding]) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table("what", "value", "what it means", box=None, pad_edge=False, header_style="bold")
    for finding in findings:
        table.add_row(Text(finding.name, style="bold"), Text(_shown(finding)), Text(finding.meaning, style="dim"))
    Console(highlight=False).print(table)


def _shown(finding: Finding) -> str:
    """A value as a person reads it; a histogram as bars."""
    if finding.name == "nearest histogram":
        tallest = max(finding.value) or 1
        return "".join(" ▁▂▃▄▅▆▇█"[-(-8 * count // tallest)] for count in finding.value)
    return _figure(finding.value)


def _figure(value: Any) -> str:
    if isinstance(value, dict):
        return "  ".join(f"{key}: {_figure(item)}" for key, item in value.items()) or "none"
    if isinstance(value, list | tuple):
        return ("\n" if value and isinstance(value[0], tuple) else "  ").join(map(_figure, value)) or "none"
    return f"{value:,}" if isinstance(value, int) else f"{value:.4g}"
