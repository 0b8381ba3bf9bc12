"""What every solver promises, whichever files the folder holds: each is run on the problems that its annotation names."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pytest
import torch
from tests.conftest import DICTIONARIES, WIDTH, duplicated, orthonormal, rank_deficient, unit
from torch import Tensor

from sparsegap import Codes, Dictionary, InputError, KSparse, Lasso, Solution, registry, solve
from sparsegap.cost import Counter

# What cannot be read from a solver's signature. A new solver is held to everything until it is named here.
NONNEGATIVE_ONLY = {"adam_exp"}
NEEDS_A_START = {"refit", "prune"}
OPTIMAL_KSPARSE = {"exhaustive"}
NO_OPTIMUM = {"adam_exp"}
SETTINGS: dict[str, dict[str, Any]] = {"adam_exp": {"lr": 0.05, "max_iterations": 2000}}
K = 3
TOLERANCE = 1e-4


@dataclass(frozen=True)
class Case:
    """A solver on one kind of problem."""

    name: str
    kind: type
    nonnegative: bool

    def __str__(self) -> str:
        return f"{self.name}-{self.kind.__name__}-{'nonnegative' if self.nonnegative else 'signed'}"

    def problem(self, dictionary: Dictionary, size: Any = None, x: Tensor | None = None) -> Lasso | KSparse:
        """The problem with its size: k, or λ, by default 0.3 of what gives zero codes."""
        if self.kind is KSparse:
            return KSparse(dictionary, K if size is None else size, self.nonnegative)
        if size is None and x is not None:
            size = 0.3 * Lasso(dictionary, 0.0, self.nonnegative).largest_penalty(x).clamp_min(0.01)
        return Lasso(dictionary, size, self.nonnegative)

    def solve(self, problem: Lasso | KSparse, x: Tensor, **changes: Any) -> Solution:
        """Solve, with a start where the solver needs one."""
        settings = {"tolerance": TOLERANCE, **SETTINGS.get(self.name, {}), **changes}
        if self.name in NEEDS_A_START and "start" not in settings:
            settings["start"] = correlated_start(problem, x, self.name)
        return solve(problem, x, self.name, **settings)

    def run(self, dictionary: Dictionary, x: Tensor, size: Any = None, **changes: Any) -> Solution:
        """Solve the default problem."""
        return self.solve(self.problem(dictionary, size, x), x, **changes)

    @property
    def optimal(self) -> bool:
        """Whether it promises an optimum."""
        return self.name in OPTIMAL_KSPARSE if self.kind is KSparse else self.name not in NO_OPTIMUM


def correlated_start(problem: Lasso | KSparse, x: Tensor, name: str) -> Codes:
    """The best correlated atoms with their correlations: as many as fit, and two more for what takes atoms away."""
    scores = problem.dictionary.unit.correlate(x)
    scores = scores.clamp_min(0) if problem.nonnegative else scores
    k = int(torch.as_tensor(problem.k).max()) if isinstance(problem, KSparse) and len(x) else K
    codes = Codes.from_dense(scores, min(k + 2, problem.dictionary.n_atoms) if name == "prune" else k)
    if name != "prune" and isinstance(problem, KSparse) and codes.width:
        codes = Codes(codes.indices, codes.values * (torch.arange(codes.width) < problem.budgets(len(x))[:, None]), codes.n_atoms)
    norms = problem.dictionary.norms
    return problem.dictionary.scaled(codes, torch.where(norms > 0, 1 / norms, 0 * norms))


CASES = [
    Case(name, kind, nonnegative)
    for name, solver in registry.members("solvers").items()
    for kind in registry.problems(solver)
    for nonnegative in (True, False)
    if nonnegative or name not in NONNEGATIVE_ONLY
]
every = pytest.mark.parametrize("case", CASES, ids=str)
every_lasso = pytest.mark.parametrize("case", [c for c in CASES if c.kind is Lasso], ids=str)
every_ksparse = pytest.mark.parametrize("case", [c for c in CASES if c.kind is KSparse], ids=str)


def randn(*shape: int, seed: int = 9, dtype: torch.dtype = torch.float64) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def samples(dictionary: Dictionary, n: int = 30) -> Tensor:
    """Sparse combinations of the atoms with noise."""
    z = randn(n, dictionary.n_atoms).abs() * (torch.rand(n, dictionary.n_atoms, generator=torch.Generator().manual_seed(3)) < 0.1)
    return dictionary.bias + z.to(dictionary.atoms) @ dictionary.atoms + 0.1 * randn(n, dictionary.width, seed=5)


def check_feasible(problem: Lasso | KSparse, x: Tensor, solution: Solution) -> None:
    codes = solution.codes
    assert len(codes) == len(x)
    assert problem.value(x, codes).isfinite().all()
    assert (codes.indices >= 0).all()
    assert (codes.indices < problem.dictionary.n_atoms).all()
    torch.testing.assert_close(codes.dense().ne(0).sum(1), codes.l0())  # no atom is active twice


def test_the_cases_name_solvers_that_exist() -> None:
    assert set(registry.names("solvers")) >= NONNEGATIVE_ONLY | OPTIMAL_KSPARSE | NO_OPTIMUM | NEEDS_A_START | set(SETTINGS)


@every
def test_orthonormal_atoms_give_the_closed_form(case: Case) -> None:
    dictionary, x = orthonormal(), randn(40, WIDTH)
    correlations = dictionary.correlate(x)
    positive = correlations.clamp_min(0) if case.nonnegative else correlations
    if case.kind is KSparse:
        expected = Codes.from_dense(positive, K).dense()
        found = case.run(dictionary, x)
    else:
        expected = positive.sign() * (positive.abs() - 0.4).clamp_min(0)
        found = case.run(dictionary, x, 0.4, tolerance=1e-10)
    torch.testing.assert_close(found.codes.dense(), expected, rtol=0, atol=1e-5 if case.name not in NO_OPTIMUM else 1e-2)


@every_lasso
@pytest.mark.parametrize("make", DICTIONARIES)
def test_a_lasso_is_certified_and_its_objective_is_the_smallest(case: Case, make: str) -> None:
    dictionary = DICTIONARIES[make]()
    x = samples(dictionary)
    problem = case.problem(dictionary, x=x)
    found, reference = case.solve(problem, x), solve(problem, x, "fista", tolerance=1e-9, max_iterations=100_000)
    check_feasible(problem, x, found)
    assert bool(reference.certificate.within(1e-8).all())
    assert bool((found.certificate.value >= reference.certificate.lower_bound * (1 - 1e-12)).all())
    if case.optimal:
        assert bool(found.certificate.within(TOLERANCE).all())
        torch.testing.assert_close(found.certificate.value, reference.certificate.value, rtol=1.01 * TOLERANCE, atol=0)


@every_ksparse
@pytest.mark.parametrize("make", DICTIONARIES)
def test_a_ksparse_answer_is_feasible_and_never_better_than_the_exact_one(case: Case, make: str) -> None:
    dictionary = DICTIONARIES[make]()
    x = samples(dictionary)
    problem = case.problem(dictionary)
    found, exact = case.solve(problem, x), solve(problem, x, "exhaustive")
    check_feasible(problem, x, found)
    energy = 0.5 * (x - dictionary.bias).square().sum(1)
    assert bool((found.certificate.value >= exact.certificate.value - 1e-9 * energy).all())
    if case.optimal:
        torch.testing.assert_close(found.certificate.value, exact.certificate.value)
        assert bool(found.certificate.within(0.0).all())
    elif case.name not in NEEDS_A_START:
        assert float(found.certificate.value.sum()) < 0.5 * float(energy.sum())


@every
def test_rows_are_independent(case: Case) -> None:
    dictionary = unit()
    x = samples(dictionary)
    problem = case.problem(dictionary, x=x)
    together = case.solve(problem, x)
    apart = torch.cat([case.solve(problem.rows(slice(i, i + 1)), x[i : i + 1]).certificate.value for i in range(5)])
    torch.testing.assert_close(together.certificate.value[:5], apart, rtol=1e-7 if case.kind is KSparse else 2 * TOLERANCE, atol=1e-12)


@every
def test_chunks_change_nothing(case: Case) -> None:
    dictionary = unit()
    x = samples(dictionary)
    whole, pieces = case.run(dictionary, x), case.run(dictionary, x, chunk=7)
    rtol = 1e-7 if case.kind is KSparse else 2 * TOLERANCE
    torch.testing.assert_close(whole.certificate.value, pieces.certificate.value, rtol=rtol, atol=1e-12)


@every
@pytest.mark.parametrize("factor", [1e-3, 1e3])
def test_equivariant_to_scale(case: Case, factor: float) -> None:
    if case.name in NO_OPTIMUM:
        pytest.skip(f"{case.name} begins at codes of a fixed size")
    dictionary = unit()
    x = samples(dictionary)
    problem = case.problem(dictionary, x=x)
    scaled = case.problem(dictionary, K if isinstance(problem, KSparse) else problem.penalty * factor)
    small, large = case.solve(problem, x), case.solve(scaled, x * factor)
    rtol = 1e-7 if case.kind is KSparse else 2 * TOLERANCE
    torch.testing.assert_close(large.certificate.value / factor**2, small.certificate.value, rtol=rtol, atol=1e-12)


@every_ksparse
def test_the_norms_of_the_atoms_do_not_matter(case: Case) -> None:
    dictionary = unit()
    x = samples(dictionary)
    longer = Dictionary(dictionary.atoms * torch.linspace(0.1, 9, dictionary.n_atoms, dtype=torch.float64)[:, None])
    torch.testing.assert_close(case.run(dictionary, x).certificate.value, case.run(longer, x).certificate.value, rtol=1e-7, atol=1e-12)


@every
def test_equivariant_to_the_order_of_atoms(case: Case) -> None:
    dictionary = unit()
    x = samples(dictionary)
    order = torch.randperm(dictionary.n_atoms, generator=torch.Generator().manual_seed(1))
    shuffled = case.run(Dictionary(dictionary.atoms[order]), x)
    expected = case.run(dictionary, x)
    rtol = 1e-7 if case.kind is KSparse else 2 * TOLERANCE
    torch.testing.assert_close(shuffled.certificate.value, expected.certificate.value, rtol=rtol, atol=1e-12)
    if case.kind is KSparse:
        torch.testing.assert_close(shuffled.codes.dense(), expected.codes.dense()[:, order], rtol=0, atol=1e-6)


@every_lasso
def test_from_the_largest_penalty_on_the_codes_are_zero(case: Case) -> None:
    dictionary = unit()
    x = samples(dictionary)
    limit = Lasso(dictionary, 0.0, case.nonnegative).largest_penalty(x).clamp_min(1e-6)
    found = case.run(dictionary, x, limit * (1 + 1e-9))
    assert float(found.codes.dense().abs().max()) <= (0 if case.optimal else 1e-2)
    if case.optimal:
        assert int(case.run(dictionary, x, 0.99 * limit).codes.l0().max()) > 0


@every_ksparse
def test_k_may_differ_between_samples_and_be_zero(case: Case) -> None:
    dictionary = unit()
    x = samples(dictionary, 12)
    k = torch.tensor([0, 1, 2, 3] * 3)
    start = correlated_start(case.problem(dictionary, k), x, case.name) if case.name in NEEDS_A_START else None
    found = case.run(dictionary, x, k, start=start)
    assert bool((found.codes.l0() <= k).all())
    assert bool((found.codes.l0()[k == 0] == 0).all())
    assert int(found.codes.l0()[k == 3].max()) == 3
    rows = [slice(i, i + 1) for i in range(1, 4)]
    alone = torch.cat([case.run(dictionary, x[r], int(k[r]), start=start[r] if start else None).certificate.value for r in rows])
    torch.testing.assert_close(found.certificate.value[1:4], alone, rtol=1e-7, atol=1e-12)


@every_ksparse
def test_all_k_zero(case: Case) -> None:
    found = case.run(unit(), samples(unit(), 4), torch.zeros(4, dtype=torch.int64))
    assert int(found.codes.l0().sum()) == 0
    assert len(found.codes) == 4


@every
def test_no_samples(case: Case) -> None:
    found = case.run(unit(), torch.empty(0, WIDTH, dtype=torch.float64))
    assert len(found.codes) == len(found.certificate.value) == 0


@every
@pytest.mark.parametrize("make", [unit, duplicated])
def test_zero_activations_give_zero_codes(case: Case, make: Any) -> None:
    dictionary = make()
    x = torch.cat([torch.zeros(2, WIDTH, dtype=torch.float64), samples(dictionary, 3)])
    found = case.run(dictionary, x)
    assert float(found.codes.dense()[:2].abs().max()) <= (0 if case.name not in NO_OPTIMUM else 1e-2)
    check_feasible(case.problem(dictionary, x=x), x, found)


@every
def test_a_zero_atom_is_never_used(case: Case) -> None:
    dictionary = duplicated()
    found = case.run(dictionary, samples(dictionary))
    dead = int((dictionary.norms == 0).nonzero()[0, 0])
    assert float(found.codes.dense()[:, dead].abs().max()) <= (0 if case.name not in NO_OPTIMUM else 1e-2)


@every
def test_a_dictionary_of_zeros(case: Case) -> None:
    found = case.run(Dictionary(torch.zeros(5, WIDTH, dtype=torch.float64)), randn(3, WIDTH))
    assert float(found.codes.dense().abs().max()) <= (0 if case.name not in NO_OPTIMUM else 1e-2)


@every_ksparse
def test_k_above_the_rank(case: Case) -> None:
    dictionary = rank_deficient()
    x = samples(dictionary, 5)
    k = 10 if case.name != "exhaustive" else 7
    problem = case.problem(dictionary, k)
    check_feasible(problem, x, case.solve(problem, x))


@every
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_inputs_are_left_alone_and_dtype_and_device_are_kept(case: Case, dtype: torch.dtype) -> None:
    dictionary = Dictionary(unit().atoms.to(dtype))
    x = samples(dictionary).to(dtype)
    problem = case.problem(dictionary, x=x)
    start = correlated_start(problem, x, case.name)
    kept = [t.clone() for t in (x, dictionary.atoms, start.indices, start.values)]
    found = case.solve(problem, x, start=start)
    for before, after in zip(kept, (x, dictionary.atoms, start.indices, start.values), strict=True):
        assert torch.equal(before, after)
    assert found.codes.values.dtype == dtype
    assert found.codes.values.device == x.device
    assert found.certificate.value.dtype == torch.float64
    check_feasible(problem, x, found)


@every
@pytest.mark.filterwarnings("ignore:The given NumPy array is not writable")
def test_read_only_and_strided_inputs(case: Case) -> None:
    dictionary = unit()
    x = samples(dictionary)
    expected = case.run(dictionary, x).certificate.value
    frozen = x.numpy().copy()
    frozen.setflags(write=False)
    columns = torch.stack([x, x + 1], dim=-1)[..., 0]
    assert not columns.is_contiguous()
    for same in (torch.from_numpy(frozen), columns):
        torch.testing.assert_close(case.run(dictionary, same).certificate.value, expected)
    torch.testing.assert_close(case.run(Dictionary(dictionary.atoms.T.contiguous().T), x).certificate.value, expected)


@every
def test_a_start_is_never_made_worse(case: Case) -> None:
    """Going on from codes ends no higher than where it began; for a Lasso, at the optimum whatever the start."""
    dictionary = unit()
    x = samples(dictionary)
    problem = case.problem(dictionary, x=x)
    start = correlated_start(problem, x, case.name) if case.name in NEEDS_A_START else case.solve(problem, x, max_iterations=1).codes
    found = case.solve(problem, x, start=start)
    check_feasible(problem, x, found)
    if case.name != "prune":  # it begins above k
        assert bool((found.certificate.value <= problem.value(x, start) * (1 + 1e-9) + 1e-12).all())
    if case.kind is Lasso and case.optimal:
        assert bool(found.certificate.within(TOLERANCE).all())


@every
def test_an_unknown_option_is_answered_with_those_that_exist(case: Case) -> None:
    known = ", ".join(registry.options(registry.member("solvers", case.name))) or "none"
    with pytest.raises(InputError, match=f"^{case.name} has no option 'restrat'. It has: {known}.$"):
        case.run(unit(), randn(2, WIDTH), restrat=True)


@every
def test_every_operator_is_counted(case: Case) -> None:
    dictionary = unit()
    x = samples(dictionary)
    with Counter() as counter:
        case.run(dictionary, x, max_iterations=20)
    assert counter.flops > 2 * x.numel()
    assert case.run(dictionary, x).cost.seconds > 0


@pytest.mark.parametrize("name", sorted(NONNEGATIVE_ONLY))
def test_a_signed_problem_is_refused_in_a_sentence(name: str) -> None:
    with pytest.raises(InputError, match="non-negative"):
        solve(Lasso(unit(), 0.1, nonnegative=False), randn(2, WIDTH), name)


@every
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device on this machine")
def test_a_gpu_gives_the_same_objective(case: Case) -> None:
    for make in DICTIONARIES.values():
        dictionary = make()
        x = samples(dictionary)
        there = case.run(dictionary.to("cuda"), x.to("cuda"))
        assert there.codes.values.is_cuda
        rtol = 1e-6 if case.kind is KSparse else 2 * TOLERANCE
        torch.testing.assert_close(there.certificate.value.cpu(), case.run(dictionary, x).certificate.value, rtol=rtol, atol=1e-10)
