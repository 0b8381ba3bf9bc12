"""The paper's arithmetic of cost reproduced to the operation, and the corrected count against counters that watch the real thing."""

from __future__ import annotations

import itertools
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from sparsegap.cost import Counter
from sparsegap.errors import InputError
from sparsegap.paper.flops import ADAM, NORMALISE, Bill, counted_bill, paper_bill

N, M, BATCH = 16, 8, 1024
TOY: dict[str, Any] = {"atoms": N, "width": M, "batch": BATCH}
METHODS = {"sae": ("sae", None), "mlp32": ("mlp", 32), "mlp256": ("mlp", 256), "sc": ("sc", None)}


def of(name: str) -> dict[str, Any]:
    method, hidden = METHODS[name]
    return {"method": method, "hidden": hidden, **TOY}


# The paper's ledger.


@pytest.mark.parametrize(("name", "known"), [("sae", 1_785_856), ("mlp32", 5_881_856), ("mlp256", 40_058_880), ("sc", 52_477_952)])
def test_a_step_by_the_papers_formulas(name: str, known: int) -> None:
    assert paper_bill(**of(name)).step == known


def test_the_figures_that_published_text_quotes() -> None:
    assert paper_bill(**of("sae")).inference == 528
    assert paper_bill(**of("sc")).inference == 7_040_144  # equation 31: 704 an iteration, 10,000 of them, and 144 to begin
    assert paper_bill(**of("sae"), decodes=False).step == 848 * BATCH  # figure 2, without a decoder
    assert paper_bill(**of("sae"), learn_dictionary=False).step == 1360 * BATCH  # figure 3, and the later script of figure 2
    assert paper_bill(**of("sc")).total(8000, 1024) == pytest.approx(4.27e11, rel=1e-3)
    assert paper_bill(**of("sc"), iterations=0).inference == N * M + N


def test_training_of_sparse_coding_is_over_counted_by_two_thirds_of_a_hundred() -> None:
    products = counted_bill(**of("sc")).step - ADAM * (BATCH * N + N * M) - NORMALISE * N * M
    assert products == 786_432
    assert paper_bill(**of("sc")).step / products == pytest.approx(66.7, abs=0.05)
    assert products / 1_310_720 == pytest.approx(0.60)


# The corrected ledger.


@pytest.mark.parametrize(("name", "known"), [("sae", 5.2e10), ("mlp32", 2.0e11), ("mlp256", 1.4e12)])
def test_recounted_totals_of_figure_four(name: str, known: float) -> None:
    assert counted_bill(**of(name)).total(40_000, 1024) == pytest.approx(known, rel=0.02)


def test_recounted_total_of_sparse_coding() -> None:
    """The 3.8e10 of the restatement: matrix products of training, test codes by the paper's equation 31, cut off after two digits."""
    trained = 786_432 * 40_000
    assert 3.8e10 < trained + 1024 * paper_bill(**of("sc")).inference < 3.9e10
    assert counted_bill(**of("sc")).total(40_000, 1024) == 984_960 * 40_000 + 1024 * 10_000 * (4 * N * M + 12 * N)


class Program:
    """One training step of a method, written the plain way: encoder, decoder, loss, backward."""

    def __init__(self, method: str, hidden: int | None, learn_dictionary: bool, decodes: bool, biases: bool = False) -> None:
        seeded = torch.Generator().manual_seed(0)
        self.x, self.true = torch.randn(BATCH, M, generator=seeded), torch.rand(BATCH, N, generator=seeded)
        self.decodes, sizes = decodes, [M, N] if hidden is None else [M, hidden, N]
        layers = [layer for a, b in itertools.pairwise(sizes) for layer in (nn.Linear(a, b, bias=biases), nn.ReLU())]
        self.encoder = nn.Sequential(*layers)
        self.codes = nn.Parameter(torch.rand(BATCH, N, generator=seeded)) if method == "sc" else None
        self.atoms = torch.randn(N, M, generator=seeded).requires_grad_(learn_dictionary and decodes)
        own = [self.codes] if self.codes is not None else list(self.encoder.parameters())
        self.parameters = own + [self.atoms] * self.atoms.requires_grad

    def loss(self) -> Tensor:
        codes = self.encoder(self.x) if self.codes is None else self.codes
        error = self.x - codes @ self.atoms if self.decodes else self.true - codes
        return error.square().mean() + 0.01 * codes.abs().mean()

    def normalise(self) -> None:
        with torch.no_grad():
            self.atoms /= torch.linalg.vector_norm(self.atoms, dim=1, keepdim=True)


CASES = [(name, learns, True) for name in METHODS for learns in (True, False)] + [(name, False, False) for name in METHODS if name != "sc"]


@pytest.mark.parametrize(("name", "learns", "decodes"), CASES)
def test_products_are_those_that_torch_counts(name: str, learns: bool, decodes: bool) -> None:
    program = Program(*METHODS[name], learns, decodes)
    with FlopCounterMode(display=False) as theirs:
        program.loss().backward()
    moved = sum(parameter.numel() for parameter in program.parameters)
    bill = counted_bill(**of(name), learn_dictionary=learns, decodes=decodes)
    assert bill.step == theirs.get_total_flops() + ADAM * moved + NORMALISE * N * M * (learns and decodes)


@pytest.mark.parametrize(("name", "known"), [("sae", 1_310_720), ("mlp32", 4_980_736), ("mlp256", 34_340_864), ("sc", 786_432)])
def test_products_of_a_step(name: str, known: int) -> None:
    program = Program(*METHODS[name], True, True)
    with Counter() as ours:
        program.loss().backward()
    assert ours.matmul_flops == known


@pytest.mark.parametrize("biases", [False, True])
@pytest.mark.parametrize("name", METHODS)
def test_a_whole_step_counted_operator_by_operator(name: str, biases: bool) -> None:
    """The formula leaves out element-wise work and nothing else: the counter finds a little more, never less."""
    program = Program(*METHODS[name], True, True, biases)
    adam = torch.optim.Adam(program.parameters, lr=1e-3, fused=True)
    with Counter() as ours:
        program.loss().backward()
        adam.step()
        program.normalise()
    bill = counted_bill(**of(name), biases=biases)
    elementwise = BATCH * (12 * N + 10 * M + 3 * (METHODS[name][1] or 0))
    assert bill.step < ours.flops < bill.step + elementwise


@pytest.mark.parametrize(("name", "units"), [("sae", N), ("mlp32", N + 32), ("sc", 0)])
def test_a_bias_is_added_forward_and_summed_backward_and_moved(name: str, units: int) -> None:
    assert counted_bill(**of(name), biases=True).step - counted_bill(**of(name)).step == units * (2 * BATCH + ADAM)


def test_an_iteration_of_inference_counted_operator_by_operator() -> None:
    generator = torch.Generator().manual_seed(0)
    logs, x = torch.randn(BATCH, N, generator=generator).requires_grad_(), torch.randn(BATCH, M, generator=generator)
    atoms, adam = torch.randn(N, M, generator=generator), torch.optim.Adam([logs], lr=1e-3, fused=True)
    with Counter() as ours:
        codes = logs.exp()
        ((x - codes @ atoms).square().mean() + 0.01 * codes.abs().mean()).backward()
        adam.step()
    one = counted_bill(method="sc", log_codes=True, iterations=1, **TOY).inference
    assert ours.matmul_flops == BATCH * 4 * N * M
    assert one == 4 * N * M + 14 * N
    plain, exponential = (counted_bill(method="sc", log_codes=log_codes, **TOY).step for log_codes in (False, True))
    assert exponential - plain == BATCH * 2 * N  # the same in training
    assert one < ours.flops / BATCH < 900  # equation 31 says 704


def test_a_gram_matrix_moves_work_from_samples_to_setup() -> None:
    plain, gram = (counted_bill(method="ista", atoms=4, width=100, batch=1, iterations=50, gram=gram) for gram in (False, True))
    assert (plain.inference, plain.setup, plain.step) == (50 * 4 * 400, 0, 0)
    assert (gram.inference, gram.setup) == (2 * 400 + 50 * 2 * 16, 2 * 100 * 16)
    assert gram.total(0, 3) == gram.setup + 3 * gram.inference
    assert counted_bill(method="ista", iterations=100, **TOY).inference == pytest.approx(0.05e6, rel=0.03)


def test_inference_counts_the_codes_alone() -> None:
    assert counted_bill(**of("sae")).inference == 2 * N * M
    assert counted_bill(**of("mlp32")).inference == 2 * 32 * (M + N)
    assert counted_bill(**of("sae"), biases=True).inference == 2 * N * M + N
    ito = counted_bill(method="ito", **TOY)
    assert ito.inference == counted_bill(**of("sae")).inference + counted_bill(**of("sc")).inference
    assert ito.step == counted_bill(**of("sae")).step


def test_a_bill_adds_up() -> None:
    bill = Bill(step=10.0, inference=2.0, setup=5.0)
    assert (bill.training(3), bill.total(3, 4)) == (30.0, 43.0)


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ({"method": "lasso"}, "method='lasso'"),
        ({"atoms": 0}, "atoms=0"),
        ({"method": "mlp"}, "hidden"),
        ({"method": "sc", "decodes": False}, "nothing to learn"),
    ],
)
def test_what_has_no_price_is_said(wrong: dict[str, Any], says: str) -> None:
    given = {"method": "sae", **TOY} | wrong
    for ledger in (paper_bill, counted_bill):
        with pytest.raises(InputError, match=says):
            ledger(**given)
