"""Nothing that a solver or an encoder does is left out of its cost: every torch operator is priced, every kernel reports."""

from __future__ import annotations

import ast
import inspect
from pathlib import Path
from typing import Any

import pytest
import torch
from tests.conftest import unit

from sparsegap import registry, solve
from sparsegap.codes import Codes
from sparsegap.cost import Counter
from sparsegap.problem import KSparse, Lasso

REQUIRED = {"k": 3}
SOLVERS = [(name, problem) for name, solver in registry.members("solvers").items() for problem in registry.problems(solver)]


def required_options(member: Any) -> dict[str, Any]:
    return {name: REQUIRED[name] for name, p in registry.options(member).items() if p.default is inspect.Parameter.empty}


@pytest.mark.parametrize(("name", "kind"), SOLVERS, ids=[f"{name}-{kind.__name__}" for name, kind in SOLVERS])
@pytest.mark.parametrize("memory", [1 << 30, 0], ids=["gram", "gram-free"])
@pytest.mark.parametrize("n_atoms", [12, 1100])
def test_a_solve_is_counted_whole(name: str, kind: type, memory: int, n_atoms: int, generator: torch.Generator) -> None:
    if name == "exhaustive" and n_atoms > 100:
        pytest.skip("exhaustive search is for few atoms")
    dictionary = unit(n_atoms, 8).to(torch.float32)
    x = torch.randn(20, 8, generator=generator)
    problem = KSparse(dictionary, 2) if kind is KSparse else Lasso(dictionary, 0.5)
    start = Codes(torch.arange(40, dtype=torch.int32).reshape(20, 2) % n_atoms, torch.ones(20, 2), n_atoms)
    options = required_options(registry.member("solvers", name))
    with Counter(strict=True) as counter:
        solution = solve(problem, x, name, start=start, max_iterations=5, memory=memory, **options)
    active = int((solution.codes.values != 0).sum())
    assert counter.flops >= 2 * active * dictionary.width, counter.by_operator
    assert not counter.uncounted


@pytest.mark.parametrize("name", registry.names("encoders"))
def test_an_encoding_is_counted_whole(name: str, generator: torch.Generator) -> None:
    dictionary = unit(40, 8).to(torch.float32)
    kind = registry.member("encoders", name)
    encoder = kind.from_dictionary(dictionary, **required_options(kind))
    x = torch.randn(20, 8, generator=generator)
    with Counter(strict=True) as counter:
        encoder.encode(x)
    assert counter.matmul_flops >= 2 * 20 * 8 * 40
    with Counter(strict=True) as training:
        encoder(x).square().sum().backward()
    assert training.matmul_flops >= 2 * counter.matmul_flops


def test_who_calls_a_kernel_reports_it() -> None:
    """A solver that imports a kernel says what it costs: itself, or the kernel's module."""
    root = Path(inspect.getfile(registry)).parent
    for path in sorted((root / "solvers").glob("*.py")):
        tree = ast.parse(path.read_text())
        kernels = {
            str(n.module).rpartition(".")[2]
            for n in ast.walk(tree)
            if isinstance(n, ast.ImportFrom) and "sparsegap.kernels" in str(n.module)
        }
        sources = [path.read_text(), *((root / "kernels" / f"{kernel}.py").read_text() for kernel in kernels if kernel != "kernels")]
        assert not kernels or any("record(" in source for source in sources), f"{path.name} runs {kernels} and reports nothing"
