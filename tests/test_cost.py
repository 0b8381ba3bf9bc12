"""Counted operations: torch's matrix products, closed forms of the rest, setup apart, nothing forgotten in silence."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor, nn

from sparsegap.cost import Clock, Cost, Counter, counting, encoder_pass, epu_seconds, measure, record, setup
from sparsegap.dictionary import Dictionary
from sparsegap.flops import FREE, PRICES, UncountedOperator

N, M, BATCH = 16, 8, 1024  # latents, measurements and samples of the paper's toy


def encoder(hidden: int | None) -> nn.Module:
    layers = [nn.Linear(M, N), nn.ReLU()] if hidden is None else [nn.Linear(M, hidden), nn.ReLU(), nn.Linear(hidden, N), nn.ReLU()]
    return nn.Sequential(*layers)


@pytest.mark.parametrize(("hidden", "known"), [(None, 1_310_720), (32, 4_980_736), (256, 34_340_864)])
def test_matrix_products_of_a_training_step(hidden: int | None, known: int) -> None:
    x, network, atoms = torch.randn(BATCH, M), encoder(hidden), nn.Parameter(torch.randn(N, M))
    with Counter() as counter:
        (x - network(x) @ atoms).square().mean().backward()
    assert counter.matmul_flops == known
    assert counter.flops > known


def test_matrix_products_of_a_sparse_coding_step() -> None:
    x, codes, atoms = torch.randn(BATCH, M), nn.Parameter(torch.randn(BATCH, N)), nn.Parameter(torch.randn(N, M))
    with Counter() as counter:
        (x - codes @ atoms).square().mean().backward()
    assert counter.matmul_flops == 786_432


def adam_step() -> None:
    options = {"lr": 1e-3, "beta1": 0.9, "beta2": 0.999, "weight_decay": 0.0, "eps": 1e-8, "amsgrad": False, "maximize": False}
    torch._fused_adam_([A.clone()], [A], [A * 0], [A * 0], [], [torch.tensor(1.0)], **options)


A = torch.rand(6, 4, generator=torch.Generator().manual_seed(0)) + 0.5
SQUARE = (A.T @ A).contiguous()
FACTOR = torch.linalg.cholesky(SQUARE)
CLOSED_FORMS = {
    "product": (lambda: A @ A.T, 2 * 6 * 4 * 6),
    "matrix_vector": (lambda: A @ A[0], 2 * 24),
    "elementwise": (lambda: A.mul(2).add_(1).exp().relu(), 4 * 24),
    "integers_are_free": (lambda: torch.arange(9).add(1).mul(3), 0),
    "views_are_free": (lambda: A.T.reshape(-1).unsqueeze(0).expand(3, 24).contiguous(), 0),
    "reductions": (lambda: (A.sum(), A.amax(1), A.mean(0)), 3 * 24),
    "norm": (lambda: torch.linalg.vector_norm(A, dim=1), 2 * 24),
    "sort_of_rows": (lambda: A.sort(dim=1), 24 * 2),
    "sort_of_columns": (lambda: A.sort(dim=0), 24 * math.log2(6)),
    "topk": (lambda: A.topk(2, dim=1), 2 * 24),
    "gather": (lambda: A.gather(1, torch.zeros(6, 1, dtype=torch.long)), 0),
    "scatter_add": (lambda: torch.zeros(6).scatter_add_(0, torch.zeros(4, dtype=torch.long), A[0]), 4),
    "index_add": (lambda: torch.zeros(6, 4).index_add_(0, torch.tensor([0, 1]), A[:2]), 8),
    "index_put": (lambda: torch.zeros(6).index_put_((torch.tensor([0, 0]),), A[0, :2], accumulate=True), 2),
    "cholesky": (lambda: torch.linalg.cholesky_ex(SQUARE), 4**3 / 3),
    "triangular": (lambda: torch.linalg.solve_triangular(FACTOR, A.T, upper=False), 4 * 24),
    "cholesky_solve": (lambda: torch.cholesky_solve(A.T, FACTOR), 2 * 4 * 24),
    "solve": (lambda: torch.linalg.solve_ex(SQUARE, A.T), 2 / 3 * 64 + 2 * 4 * 24),
    "embedding_bag": (
        lambda: torch.nn.functional.embedding_bag(torch.zeros(3, 2, dtype=torch.long), A, per_sample_weights=torch.ones(3, 2), mode="sum"),
        2 * 3 * 2 * 4,
    ),
    "adam": (adam_step, 12 * 24 + 2 * 24),
}  # fmt: skip


@pytest.mark.parametrize("name", CLOSED_FORMS)
@pytest.mark.parametrize("inference", [False, True])
def test_closed_forms(name: str, inference: bool) -> None:
    run, known = CLOSED_FORMS[name]
    with torch.inference_mode(inference), Counter() as counter:
        run()
    assert counter.flops == pytest.approx(known, rel=1e-12)


def test_setup_is_kept_apart() -> None:
    with Counter() as counter:
        with setup():
            with setup():
                gram = A @ A.T
            record("kernel", 5)
        gram @ gram
        record("kernel", 7, bytes=3)
    assert counter.setup_flops == 2 * 6 * 4 * 6 + 5
    assert counter.flops == 2 * 6**3 + 7
    assert counter.by_operator == {"mm": 2 * 6 * 4 * 6 + 2 * 6**3, "kernel": 12}


def test_bytes_are_what_is_read_and_written() -> None:
    with Counter() as counter:
        A + A
        A.T.contiguous()
        record("kernel", 0, bytes=100)
    assert counter.bytes == 3 * 24 * 4 + 100


def test_record_reaches_every_open_counter_and_none_afterwards() -> None:
    assert not counting()
    record("kernel", 1)
    with Counter() as wide:
        record("kernel", 2)
        with Counter() as narrow:
            assert counting()
            record("kernel", 4)
    record("kernel", 8)
    assert (wide.flops, narrow.flops) == (6, 4)
    assert not counting()


@torch.library.custom_op("sparsegap_test::unpriced", mutates_args=())
def unpriced(x: Tensor) -> Tensor:
    return x.clone()


def test_an_operator_without_a_price_raises_under_a_strict_counter() -> None:
    with pytest.raises(UncountedOperator, match=r"sparsegap_test\.unpriced"), Counter():
        unpriced(A)
    assert not counting()


def test_a_lenient_counter_lists_what_it_could_not_count() -> None:
    with Counter(strict=False) as counter:
        unpriced(A)
        unpriced(A)
    assert counter.uncounted == {"sparsegap_test.unpriced.default": 2}


def test_counting_changes_no_result() -> None:
    plain = torch.linalg.solve(SQUARE, A.T).topk(2)
    with Counter():
        counted = torch.linalg.solve(SQUARE, A.T).topk(2)
    assert torch.equal(plain.values, counted.values)
    assert torch.equal(plain.indices, counted.indices)


def test_clock_keeps_setup_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    now = iter([0.0, 1.0, 4.0, 9.0])
    monkeypatch.setattr("sparsegap.cost.time.perf_counter", lambda: next(now))
    with Clock() as clock, setup():
        pass
    assert (clock.setup_seconds, clock.seconds) == (3.0, 6.0)


def test_measuring_while_counting_is_refused() -> None:
    with Counter(), pytest.raises(RuntimeError, match="would time the counting"):
        measure(lambda: None)


def test_measure_is_a_median_without_the_first_run(monkeypatch: pytest.MonkeyPatch) -> None:
    now = iter([0.0, 5.0, 10.0, 11.0, 20.0, 22.0])
    monkeypatch.setattr("sparsegap.cost.time.perf_counter", lambda: next(now))
    runs: list[int] = []
    assert measure(lambda: runs.append(1), repeats=3) == 2.0
    assert len(runs) == 4


def test_an_encoder_pass_is_what_the_counter_counts() -> None:
    dictionary = Dictionary(torch.randn(N, M))
    x = torch.randn(5, M)
    with Counter() as counter:
        torch.relu(x @ dictionary.atoms.T)
    assert encoder_pass(dictionary, 5) == counter.flops
    assert epu_seconds(dictionary, 5, repeats=1) > 0


def test_an_uncounted_cost_is_not_zero() -> None:
    assert Cost().flops is None


def test_no_operator_is_both_free_and_priced() -> None:
    assert not FREE & set(PRICES)


def test_every_name_of_the_price_list_is_an_operator_of_torch() -> None:
    assert [name for name in PRICES if not hasattr(torch.ops.aten, name)] == []
