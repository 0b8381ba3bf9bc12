"""Who may import whom, read from the sources: an import that points up, or across, fails here."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

import sparsegap

ROOT = Path(sparsegap.__file__).parent

# From the bottom up. A module may import its own layer and those below; a folder stands for all its files but those named here.
LAYERS = (
    ("errors", "registry", "options"),
    ("shards", "weights"),
    ("flops", "cost"),
    ("statistics", "break_even", "number_formats"),
    ("names",),
    ("kernels",),
    ("codes",),
    ("dictionary",),
    ("coherence",),
    ("source", "matching", "correlations"),
    ("firing", "true_atoms", "saelens_synthetic"),
    ("numbered",),
    ("synthetic",),
    ("sources",),
    ("problem", "screen", "conventions"),
    ("solving",),
    ("solve",),
    ("solvers", "metrics"),
    ("encoder", "affine"),
    ("encoders",),
    ("learning",),
    ("learners",),
    ("texts", "saelens"),
    ("activations", "code_store", "language_model", "checkpoints"),
    ("recovery", "recordings", "harvest", "recode", "fit", "diagnosis", "gap_record", "gap"),
    ("paper", "theorem", "ways_to_read", "scenarios"),
    ("experiments",),
    ("study", "studies"),
    ("label_places", "charts", "rung_rows"),
    ("drawing",),
    ("figures",),
    ("report", "study.page", "study.page_figures"),
    ("theorem_page",),
    ("catalogue", "bench", "warm_up"),
    ("benchmarks",),
    ("commands",),
    ("cli", "__main__"),
)
FOLDERS_OF_STRANGERS = ("solvers", "encoders", "metrics", "sources", "learners", "experiments", "figures", "benchmarks", "commands")
LEVEL = {name: level for level, names in enumerate(LAYERS) for name in names}
FILES = sorted(path for path in ROOT.rglob("*.py") if path.name != "__init__.py")


def imports(tree: ast.AST) -> Iterator[str]:
    """Every module of sparsegap that a source imports when it runs, at its top or inside a function, as `sparsegap.a.b`."""
    for node in running(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name.partition(".")[0] == "sparsegap")
        elif isinstance(node, ast.ImportFrom) and node.level:
            yield "." * node.level + (node.module or "")
        elif isinstance(node, ast.ImportFrom) and node.module == "sparsegap":
            yield from (_module_or_root(alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and (node.module or "").startswith("sparsegap."):
            yield str(node.module)


def running(node: ast.AST) -> Iterator[ast.AST]:
    """All nodes but those under `if TYPE_CHECKING`, which ties nothing to anything at run time."""
    yield node
    for child in ast.iter_child_nodes(node):
        if not (isinstance(child, ast.If) and ast.unparse(child.test) == "TYPE_CHECKING"):
            yield from running(child)


def _module_or_root(name: str) -> str:
    return f"sparsegap.{name}" if (ROOT / f"{name}.py").exists() or (ROOT / name).is_dir() else "sparsegap"


def home(path: Path) -> str:
    """The layer name of a file: its folder, or itself."""
    return layer(*path.relative_to(ROOT).with_suffix("").parts)


def layer(*parts: str) -> str:
    """The layer name of a module by its path: a file of a folder that stands higher than the folder has a name of its own."""
    return whole if (whole := ".".join(parts[:2])) in LEVEL else parts[0]


def faults(source: str, where: Path) -> list[str]:
    """What is wrong with the imports of one file."""
    found = []
    for name in imports(ast.parse(source)):
        parts = name.split(".")
        target = layer(*parts[1:]) if len(parts) > 1 else ""
        if name.startswith(".") or not target:
            found.append(f"imports the package root or a relative name ({name})")
        elif target not in LEVEL:
            found.append(f"{target} is in no layer: say which in {Path(__file__).name}")
        elif LEVEL[target] > LEVEL[home(where)]:
            found.append(f"points up: {name}")
        elif target == home(where) in FOLDERS_OF_STRANGERS and where.stem not in parts and len(parts) > 2:
            found.append(f"members of a folder do not know each other: {name}")
    return found


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_imports_point_down(path: Path) -> None:
    assert home(path) in LEVEL, f"{home(path)} is in no layer"
    assert faults(path.read_text(), path) == []


@pytest.mark.parametrize(
    ("source", "where"),
    [
        ("from sparsegap.cli import main", "gap.py"),
        ("from sparsegap.solve import solve", "codes.py"),
        ("def f():\n from sparsegap.solvers.omp import omp", "solvers/fista.py"),
        ("from sparsegap import Codes", "gap.py"),
        ("import sparsegap", "gap.py"),
        ("from . import codes", "gap.py"),
        ("import sparsegap.cli", "commands/gap.py"),
        ("import sparsegap.study.page", "study/records.py"),
        ("from sparsegap.no_such_layer import x", "gap.py"),
    ],
)
def test_the_check_sees(source: str, where: str) -> None:
    assert faults(source, ROOT / where)


def test_figures_know_no_torch() -> None:
    for path in (ROOT / "figures").glob("*.py"):
        names = {alias.name for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Import) for alias in node.names}
        names |= {str(node.module) for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.ImportFrom)}
        assert not [name for name in names if name.partition(".")[0] == "torch"], path


def test_nobody_imports_a_peer() -> None:
    """SPAMS is GPL, the others are heavy: tests and benchmarks may use them, the library may not."""
    for path in FILES:
        if home(path) in ("bench", "benchmarks"):
            continue
        for node in ast.walk(ast.parse(path.read_text())):
            names = (
                [alias.name for alias in node.names]
                if isinstance(node, ast.Import)
                else [str(node.module)]
                if isinstance(node, ast.ImportFrom)
                else []
            )
            assert not {name.partition(".")[0] for name in names} & {
                "spams",
                "sklearn",
                "sae_lens",
                "transformer_lens",
                "celer",
                "skglm",
            }, path
