"""`import sparsegap` is light: torch, numpy and nothing heavier."""

from __future__ import annotations

import subprocess
import sys

HEAVY = (
    "numba",
    "scipy",
    "altair",
    "pandas",
    "typer",
    "rich",
    "pydantic",
    "transformers",
    "jinja2",
    "vl_convert",
    "gguf",
    "huggingface_hub",
    "sklearn",
)


def loaded_by(statement: str) -> list[str]:
    # torch itself may load an optional package that happens to be installed; only what comes on top of it is ours
    script = f"import sys, torch, numpy; before = set(sys.modules); {statement}; print(*(set(sys.modules) - before))"
    names = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=120).stdout.split()
    return sorted({name.partition(".")[0] for name in names} & set(HEAVY))


def test_import_loads_nothing_heavy() -> None:
    assert loaded_by("import sparsegap") == []


def test_help_loads_only_what_prints_it() -> None:
    assert set(loaded_by("from sparsegap.cli import application; application()")) <= {"typer", "rich"}
