"""The values that everything travels in: codes, dictionaries, problems with their certificates, and the door of `solve`."""

from __future__ import annotations

import itertools
from typing import Any

import pytest
import torch
from tests.conftest import ATOMS, WIDTH, coherent, duplicated, orthonormal, unit, unnormalised
from torch import Tensor

from sparsegap import Certificate, Codes, Dictionary, InputError, Iterative, KSparse, Lasso, solve
from sparsegap.coherence import babel, coherence, recoverable_sparsity, smallest_eigenvalue_bound
from sparsegap.conventions import CONVENTIONS, penalty, weight
from sparsegap.problem import Proof
from sparsegap.screen import Screen
from sparsegap.solve import Reason, choose


def randn(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


@pytest.fixture
def codes() -> Codes:
    return Codes(torch.tensor([[2, 0, 1], [1, 1, 1], [0, 3, 2]]), torch.tensor([[1.0, 0.0, -2.0], [0.0, 0.0, 3.0], [0.5, 4.0, 1.0]]), 4)


class TestCodes:
    def test_dense_and_back(self, codes: Codes) -> None:
        dense = torch.tensor([[0.0, -2, 1, 0], [0, 3, 0, 0], [0.5, 0, 1, 4]])
        assert torch.equal(codes.dense(), dense)
        assert torch.equal(Codes.from_dense(dense).dense(), dense)
        assert Codes.from_dense(dense).width == 3
        assert codes.l0().tolist() == [2, 1, 3]

    def test_from_dense_keeps_the_k_largest_magnitudes(self, codes: Codes) -> None:
        assert torch.equal(Codes.from_dense(codes.dense(), 1).dense(), torch.tensor([[0.0, -2, 0, 0], [0, 3, 0, 0], [0, 0, 0, 4]]))

    def test_indices_become_int32(self, codes: Codes) -> None:
        assert codes.indices.dtype == torch.int32

    def test_compact_orders_and_trims(self, codes: Codes) -> None:
        compact = codes.widened(7).compact()
        assert compact.width == 3
        assert compact.values[0].tolist() == [-2.0, 1.0, 0.0]
        assert torch.equal(compact.dense(), codes.dense())

    def test_concatenate_widens(self, codes: Codes) -> None:
        both = Codes.concatenate([codes, Codes.empty(2, 4), codes[:1]])
        assert torch.equal(both.dense(), torch.cat([codes.dense(), torch.zeros(2, 4), codes.dense()[:1]]))

    def test_rows_and_dtype(self, codes: Codes) -> None:
        assert torch.equal(codes[torch.tensor([2, 0])].dense(), codes.dense()[[2, 0]])
        assert codes.to(torch.float64).values.dtype == torch.float64
        assert len(codes[1:]) == 2

    def test_what_cannot_be_codes(self, codes: Codes) -> None:
        for wrong in (lambda: Codes(torch.zeros(2, 3), torch.zeros(2, 2), 4), lambda: Codes(torch.zeros(2), torch.zeros(2), 4)):
            with pytest.raises(InputError, match="one shape"):
                wrong()
        with pytest.raises(InputError, match=r"floating point, not torch\.int64"):
            Codes(codes.indices, codes.indices.long(), 4)
        with pytest.raises(InputError, match="different numbers of atoms"):
            Codes.concatenate([codes, Codes.empty(1, 5)])
        with pytest.raises(InputError, match="at least one"):
            Codes.concatenate([])


class TestDictionary:
    def test_decode_is_the_dense_product(self) -> None:
        dictionary, z = unnormalised(), randn(7, ATOMS)
        codes = Codes.from_dense(z * (z.abs() > 1))
        torch.testing.assert_close(dictionary.decode(codes), dictionary.bias + codes.dense() @ dictionary.atoms)
        torch.testing.assert_close(dictionary.decode(Codes.empty(3, ATOMS)), dictionary.bias.expand(3, WIDTH))

    def test_correlate_takes_the_bias_off(self) -> None:
        dictionary, x = unnormalised(), randn(5, WIDTH)
        torch.testing.assert_close(dictionary.correlate(x), (x - dictionary.bias) @ dictionary.atoms.T)

    def test_unit_scaled_gram_lipschitz(self) -> None:
        dictionary = duplicated()
        longer = Dictionary(dictionary.atoms * 3)
        torch.testing.assert_close(longer.unit.atoms, dictionary.atoms)
        assert dictionary.unit is dictionary
        assert dictionary.lipschitz == pytest.approx(float(torch.linalg.matrix_norm(dictionary.atoms, 2)) ** 2)
        torch.testing.assert_close(dictionary.gram, dictionary.atoms @ dictionary.atoms.T)
        codes = Codes.from_dense(torch.eye(25, dtype=torch.float64))
        torch.testing.assert_close(dictionary.scaled(codes, torch.arange(25.0)).dense(), torch.arange(25.0).diag().double())

    @pytest.mark.parametrize(
        ("atoms", "bias", "sentence"),
        [
            (torch.zeros(3), None, r"shape \(m, d\)"),
            (torch.zeros(0, 3), None, r"shape \(m, d\)"),
            (torch.zeros(2, 3), torch.zeros(2), r"the bias has shape \(2,\), but the atoms are 3 wide"),
            (torch.tensor([[1.0, 2], [torch.nan, 1]]), None, r"NaN or Inf in atoms \[1\]"),
            (torch.ones(1, 2), torch.tensor([1.0, torch.inf]), r"NaN or Inf in the bias"),
        ],
    )
    def test_what_cannot_be_a_dictionary(self, atoms: Tensor, bias: Tensor | None, sentence: str) -> None:
        with pytest.raises(InputError, match=sentence):
            Dictionary(atoms, bias)

    def test_codes_of_another_dictionary(self, codes: Codes) -> None:
        with pytest.raises(InputError, match="over 4 atoms, but the dictionary has 24"):
            unit().decode(codes)


class TestCoherence:
    def test_by_hand(self) -> None:
        # Three unit vectors at 0, 60 and 90 degrees, the last doubled in length: cosines .5, 0, √3/2.
        atoms = torch.tensor([[1.0, 0], [0.5, 0.75**0.5], [0, 2]], dtype=torch.float64)
        assert coherence(Dictionary(atoms)) == pytest.approx(0.75**0.5)
        assert babel(Dictionary(atoms), 2).tolist() == pytest.approx([0.75**0.5, 0.75**0.5 + 0.5])
        assert smallest_eigenvalue_bound(Dictionary(atoms), 2) == pytest.approx(1 - 0.75**0.5)

    def test_against_the_gram_matrix(self) -> None:
        dictionary = coherent()
        cosines = dictionary.gram.abs().fill_diagonal_(0)
        expected = cosines.sort(1, descending=True).values[:, :6].cumsum(1).amax(0)
        torch.testing.assert_close(babel(dictionary, 6), expected)
        assert coherence(dictionary) == pytest.approx(float(cosines.max()))

    def test_orthonormal_atoms_recover_everything(self) -> None:
        assert recoverable_sparsity(babel(orthonormal(), WIDTH)) == WIDTH - 1  # as many others as there are
        assert recoverable_sparsity(babel(duplicated(), 4)) == 0

    @pytest.mark.parametrize("size", [2, 3])
    def test_the_bound_is_below_every_eigenvalue(self, size: int) -> None:
        gram = unit().gram
        smallest = min(float(torch.linalg.eigvalsh(gram[list(s)][:, list(s)])[0]) for s in itertools.combinations(range(10), size))
        assert smallest_eigenvalue_bound(unit(), size) <= smallest


class TestLasso:
    def test_value_by_hand(self) -> None:
        dictionary = Dictionary(torch.eye(2, dtype=torch.float64), torch.tensor([1.0, 0.0]))
        codes = Codes(torch.tensor([[0, 1]]), torch.tensor([[1.0, 2.0]]), 2)
        assert Lasso(dictionary, 0.5).value(torch.tensor([[4.0, 3.0]]), codes).item() == 0.5 * (4 + 1) + 0.5 * 3
        assert Lasso(dictionary, 0.5).value(torch.tensor([[4.0, 3.0]]), Codes(codes.indices, -codes.values, 2)).item() == torch.inf

    @pytest.mark.parametrize("nonnegative", [True, False])
    def test_no_code_is_below_the_bound(self, dictionary: Dictionary, nonnegative: bool) -> None:
        x = randn(40, WIDTH, seed=1)
        problem = Lasso(dictionary, 0.3, nonnegative)
        z = randn(40, dictionary.n_atoms, seed=2).clamp_min(0 if nonnegative else -9) * 0.1
        loose, optimum = problem.certify(x, Codes.from_dense(z)), solve(problem, x, "fista", tolerance=1e-10, max_iterations=50_000)
        assert bool((loose.lower_bound <= optimum.certificate.value * (1 + 1e-12)).all())
        assert bool((loose.relative_gap >= (loose.value - optimum.certificate.value) / loose.value - 1e-12).all())
        assert bool((optimum.certificate.relative_gap < 1e-9).all())
        assert set(optimum.certificate.sentences()) == {Proof.DUALITY.sentence()}

    def test_largest_penalty_is_the_turning_point(self) -> None:
        x = randn(20, WIDTH)
        for nonnegative in (True, False):
            limit = Lasso(unit(), 0, nonnegative).largest_penalty(x)
            zero = Codes.empty(20, ATOMS, dtype=torch.float64)
            assert float(Lasso(unit(), limit, nonnegative).certify(x, zero).relative_gap.max()) < 1e-12
            assert float(Lasso(unit(), 0.9 * limit, nonnegative).certify(x, zero).relative_gap.min()) > 1e-4

    def test_a_penalty_for_each_sample(self) -> None:
        problem = Lasso(unit(), torch.tensor([0.1, 0.2, 0.3]))
        assert problem.rows(slice(1, 3)).penalties(2).tolist() == pytest.approx([0.2, 0.3])
        with pytest.raises(InputError, match=r"the penalty has shape \(3,\), but there are 5 samples"):
            problem.penalties(5)

    @pytest.mark.parametrize("penalty", [-0.1, float("nan"), torch.tensor([0.1, -2.0])])
    def test_a_negative_penalty(self, penalty: Any) -> None:
        with pytest.raises(InputError, match="penalty must be a finite number >= 0"):
            Lasso(unit(), penalty)


class TestKSparse:
    @pytest.mark.parametrize("nonnegative", [True, False])
    def test_the_babel_bound_is_below_the_exact_optimum(self, nonnegative: bool) -> None:
        # Nearly orthogonal atoms, so that the bound proves something for inexact codes.
        atoms = torch.eye(WIDTH, dtype=torch.float64) + 0.01 * randn(WIDTH, WIDTH)
        dictionary, x = Dictionary(atoms), randn(50, WIDTH, seed=3)
        problem = KSparse(dictionary, 2, nonnegative)
        certificate = problem.certify(x, solve(problem, x, "thresholding").codes)
        exact = solve(problem, x, "exhaustive").certificate.value
        assert bool((certificate.lower_bound <= exact * (1 + 1e-12)).all())
        assert float(certificate.lower_bound.min()) > 0
        assert set(certificate.sentences()) == {Proof.BABEL.sentence()}

    def test_an_exact_fit_is_proven_and_an_unproven_one_says_so(self) -> None:
        dictionary = coherent()
        codes = Codes.from_dense(torch.zeros(2, ATOMS, dtype=torch.float64).index_fill(1, torch.tensor([3, 5]), 1.0))
        x = dictionary.decode(codes)
        x[1] += randn(WIDTH)
        certificate = KSparse(dictionary, 2).certify(x, codes)
        assert certificate.sentences() == [Proof.EXACT_FIT.sentence(), Proof.NOT_PROVEN.sentence()]
        assert certificate.within(1e-6).tolist() == [True, False]
        assert certificate.lower_bound[1] == 0

    def test_too_many_atoms_are_infeasible(self) -> None:
        codes = Codes.from_dense(torch.ones(1, ATOMS, dtype=torch.float64))
        assert KSparse(unit(), 3).value(randn(1, WIDTH), codes).item() == torch.inf
        assert KSparse(unit(), 3).certify(randn(1, WIDTH), codes).relative_gap.item() == torch.inf

    @pytest.mark.parametrize(
        ("k", "sentence"),
        [(0, "not 0"), (25, "24, not 25"), (-1, "not -1"), (torch.tensor([3, 99]), "not 99"), (torch.tensor([-1, 3]), "not -1")],
    )
    def test_k_out_of_range(self, k: Any, sentence: str) -> None:
        with pytest.raises(InputError, match=sentence):
            KSparse(unit(), k)

    @pytest.mark.parametrize("k", [2.0, torch.tensor([1.5]), True])
    def test_k_of_the_wrong_kind(self, k: Any) -> None:
        with pytest.raises(InputError, match="k must be an integer"):
            KSparse(unit(), k)

    def test_k_for_another_number_of_samples(self) -> None:
        with pytest.raises(InputError, match=r"k has shape \(2,\), but there are 5 samples"):
            solve(KSparse(unit(), torch.tensor([1, 2])), randn(5, WIDTH), "matching_pursuit")


class TestCertificate:
    def test_bounds_above_the_value_by_rounding_and_zero_values(self) -> None:
        certificate = Certificate.of(torch.tensor([2.0, 0.0, 1.0]).double(), torch.tensor([2.1, 0.0, -3.0]).double(), Proof.DUALITY)
        assert certificate.relative_gap.tolist() == [0.0, 0.0, 1.0]
        assert certificate.lower_bound.tolist() == [2.0, 0.0, 0.0]
        both = Certificate.concatenate([certificate, certificate[1:]])
        assert both.value.tolist() == [2.0, 0.0, 1.0, 0.0, 1.0]


class TestSolve:
    @pytest.mark.parametrize(
        ("change", "sentence"),
        [
            ({"method": "homp"}, r"there is no solver 'homp'; there are: .*exhaustive"),
            ({"method": "fista"}, "fista solves Lasso, not KSparse"),
            ({"precision": "fp8"}, "precision must be one of auto, float32, bf16, float64, not 'fp8'"),
            ({"chunk": 0}, "chunk must be at least 1 sample, not 0"),
            ({"x": torch.zeros(3, 5)}, r"activations have shape \(3, 5\), but the dictionary takes \(n, 12\)"),
            ({"x": torch.zeros(WIDTH)}, r"activations have shape \(12,\)"),
            ({"start": Codes.empty(3, ATOMS)}, "codes of 3 samples over 24 atoms do not fit 4 samples"),
            ({"start": torch.full((4, ATOMS), torch.nan)}, "the starting codes hold NaN or Inf"),
        ],
    )
    def test_the_door(self, change: dict[str, Any], sentence: str) -> None:
        given: dict[str, Any] = {"problem": KSparse(unit(), 2), "x": randn(4, WIDTH), "method": "exhaustive", **change}
        with pytest.raises(InputError, match=sentence):
            solve(given.pop("problem"), given.pop("x"), given.pop("method"), **given)

    def test_rows_that_are_not_finite_are_named(self) -> None:
        x = randn(9, WIDTH)
        x[2, 3], x[7, 0] = torch.nan, torch.inf
        with pytest.raises(InputError, match="NaN or Inf in 2 of 9 rows: 2, 7"):
            solve(KSparse(unit(), 2), x, "exhaustive")

    def test_auto(self) -> None:
        assert choose(KSparse(unit(), 3)) == "exhaustive"
        assert choose(KSparse(unit(), 12)) == "omp"
        assert choose(Lasso(unit(), 0.1)) == "coordinate_descent"

    def test_reasons_and_trace(self) -> None:
        x = randn(30, WIDTH)
        short = solve(Lasso(unit(), 0.2), x, "fista", max_iterations=3, trace=True, chunk=10)
        assert short.reason is Reason.MAX_ITERATIONS
        assert short.iterations == 3
        assert len(short.trace) == 9
        assert short.trace[0].relative_gap > short.trace[2].relative_gap
        assert solve(Lasso(unit(), 0.2), x, "fista").reason is Reason.CERTIFIED
        assert solve(KSparse(unit(), 3), x, "matching_pursuit").reason is Reason.FINISHED
        assert short.cost.passes >= 6

    def test_half_precision_input_is_solved_in_float32(self) -> None:
        x = randn(8, WIDTH)
        found = solve(KSparse(unit(), 2), x.half(), "matching_pursuit")
        assert found.codes.values.dtype == torch.float32

    def test_a_solver_as_an_encoder_refines_another(self) -> None:
        x, problem = randn(8, WIDTH), KSparse(unit(), 3)
        first = Iterative("matching_pursuit")
        refined = Iterative("thresholding", start=first).encode(x, problem)
        assert bool((problem.value(x, refined) <= problem.value(x, first.encode(x, problem)) + 1e-12).all())
        with pytest.raises(InputError, match="needs a problem"):
            first.encode(x)


class TestScreen:
    @pytest.mark.parametrize(("precision", "dtype"), [("float32", torch.float32), ("bf16", torch.float32), ("float64", torch.float64)])
    def test_scores_are_within_the_stated_error(self, precision: str, dtype: torch.dtype) -> None:
        dictionary, residual = unit(400, 64).to(dtype), randn(50, 64).to(dtype)
        screen = Screen(dictionary, precision, chunk=64)
        exact = residual.double() @ dictionary.atoms.double().T
        worst = ((screen(residual).double() - exact).abs() / residual.double().norm(dim=1, keepdim=True)).max()
        assert float(worst) <= screen.error()
        screen.seen = 50
        assert screen.passes == 1.0

    def test_the_gram_matrix_respects_the_memory_budget(self) -> None:
        assert Screen(unit(), "float64", 8, memory=ATOMS**2 * 8 - 1).gram is None
        assert Screen(unit(), "float64", 8, memory=ATOMS**2 * 8).gram is not None


class TestConventions:
    def test_the_paper(self) -> None:
        assert penalty(0.01, "paper", width=8, n_atoms=16) == pytest.approx(0.0025)

    @pytest.mark.parametrize("convention", CONVENTIONS)
    def test_there_and_back(self, convention: str) -> None:
        assert weight(penalty(0.3, convention, 8, 16), convention, 8, 16) == pytest.approx(0.3)

    @pytest.mark.parametrize(
        ("convention", "loss"),
        [
            ("paper", lambda r, z: r.square().mean() + 0.3 * z.abs().mean()),
            ("saelens", lambda r, z: r.square().sum(1).mean() + 0.3 * z.abs().sum(1).mean()),
            ("dictionary_learning", lambda r, z: r.square().sum(1).mean() + 0.3 * z.abs().sum(1).mean()),
            ("mean_squared", lambda r, z: (r.square().mean(1) + 0.3 * z.abs().sum(1)).mean()),
            ("sklearn_lasso", lambda r, z: (r.square().sum(1) / (2 * r.shape[1]) + 0.3 * z.abs().sum(1)).mean()),
            ("sklearn_coder", lambda r, z: (r.square().sum(1) / 2 + 0.3 * z.abs().sum(1)).mean()),
            ("spams", lambda r, z: (r.square().sum(1) / 2 + 0.3 * z.abs().sum(1)).mean()),
        ],
    )
    def test_the_loss_is_a_multiple_of_ours(self, convention: str, loss: Any) -> None:
        dictionary, x = unit(), randn(6, WIDTH)
        problem = Lasso(dictionary, penalty(0.3, convention, WIDTH, ATOMS), nonnegative=False)
        codes = [randn(6, ATOMS, seed=s) for s in (1, 2, 3)]
        ours = [float(problem.value(x, Codes.from_dense(z)).mean()) for z in codes]
        theirs = [float(loss(x - z @ dictionary.atoms, z)) for z in codes]
        assert theirs[1] / theirs[0] == pytest.approx(ours[1] / ours[0])
        assert theirs[2] / theirs[0] == pytest.approx(ours[2] / ours[0])

    def test_an_unknown_one(self) -> None:
        with pytest.raises(InputError, match="there is no convention 'lasagne'; there are: sparsegap, paper"):
            penalty(0.1, "lasagne", 8, 16)
