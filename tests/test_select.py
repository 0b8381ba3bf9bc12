"""The selection kernels: never lose the largest, keep everything above the cutoff, break ties by index."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from sparsegap.kernels.select import best_of, capacity, raw, top_candidates, topk_codes

DTYPES = [torch.float32, torch.float64, torch.bfloat16]


def magnitudes(scores: Tensor, nonnegative: bool) -> np.ndarray:
    return (scores if nonnegative else scores.abs()).double().numpy()


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("nonnegative", [True, False])
@pytest.mark.parametrize("m", [40, 1000, 6001])
def test_candidates_are_exactly_what_passes_the_cutoff(dtype: torch.dtype, nonnegative: bool, m: int) -> None:
    scores = torch.randn(50, m, generator=torch.Generator().manual_seed(m)).to(dtype)
    candidates, found, cutoff = top_candidates(scores, 16, nonnegative)
    for row, chosen, n, least in zip(magnitudes(scores, nonnegative), candidates, found, cutoff, strict=True):
        assert 4 <= n <= capacity(16, m)
        np.testing.assert_array_equal(chosen[:n], np.flatnonzero(row >= least))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("nonnegative", [True, False])
def test_overflow_keeps_the_largest_and_of_equals_the_first(dtype: torch.dtype, nonnegative: bool) -> None:
    scores = torch.full((1, 5000), 1.0, dtype=dtype)
    scores[0, 4990], scores[0, 17] = 3.0, 2.0
    candidates, found, cutoff = top_candidates(scores, 8, nonnegative)
    room = capacity(8, 5000)
    assert found[0] == room
    assert cutoff[0] == 1.0
    first = [j for j in range(room) if j != 17][: room - 2]
    assert sorted([*first, 17, 4990]) == candidates[0].tolist()


@pytest.mark.parametrize("dtype", DTYPES)
def test_negative_scores_count_only_where_signs_are_free(dtype: torch.dtype) -> None:
    scores = torch.tensor([[-5.0, 0.0, 1.0, -0.0, 0.5, -3.0]], dtype=dtype)
    candidates, found, _ = top_candidates(scores, 6, True)
    assert candidates[0, : found[0]].tolist() == [2, 4]
    candidates, found, _ = top_candidates(scores, 6, False)
    assert candidates[0, : found[0]].tolist() == [0, 2, 4, 5]


@pytest.mark.parametrize("dtype", DTYPES)
def test_nothing_to_select(dtype: torch.dtype) -> None:
    assert top_candidates(torch.zeros(2, 30, dtype=dtype), 4, False)[1].tolist() == [0, 0]
    assert top_candidates(torch.full((2, 30), -1.0, dtype=dtype), 4, True)[1].tolist() == [0, 0]
    assert top_candidates(torch.zeros(0, 30, dtype=dtype), 4, True)[0].shape[0] == 0
    assert best_of(raw(torch.zeros(0, dtype=dtype)), True) == -1


values = st.one_of(st.floats(-(2.0**100), 2.0**100, width=32, allow_subnormal=False), st.sampled_from([0.0, -0.0, 1.0, -1.0, 0.5, 1e-30]))


@settings(max_examples=150, deadline=None)
@given(st.lists(values, min_size=1, max_size=400), st.integers(1, 6), st.booleans(), st.sampled_from(DTYPES), st.integers(1, 30))
def test_the_largest_is_never_dropped(row: list[float], count: int, nonnegative: bool, dtype: torch.dtype, repeats: int) -> None:
    scores = torch.tensor([row * repeats]).to(dtype)
    strength = magnitudes(scores, nonnegative)[0]
    candidates, found, cutoff = top_candidates(scores, count, nonnegative)
    chosen = candidates[0, : found[0]]
    assert (np.diff(chosen) > 0).all()
    if strength.max() <= 0:
        assert found[0] == 0
        assert best_of(raw(scores)[0], nonnegative) == -1
        return
    assert strength.argmax() in chosen
    assert best_of(raw(scores)[0], nonnegative) == strength.argmax()
    assert set(np.flatnonzero(strength > cutoff[0])) <= set(chosen)
    assert (strength[chosen] >= cutoff[0]).all()


@settings(max_examples=150, deadline=None)
@given(st.lists(values, min_size=1, max_size=300), st.integers(1, 50), st.sampled_from(DTYPES), st.integers(1, 20))
def test_topk_is_exact_with_ties_to_the_lower_index(row: list[float], k: int, dtype: torch.dtype, repeats: int) -> None:
    scores = torch.tensor([row * repeats]).to(dtype)
    k = min(k, scores.shape[1])
    indices, found = topk_codes(scores, k)
    want = scores[0].double().argsort(descending=True, stable=True)[:k]
    kept = scores[0, want] > 0
    assert found[0, : int(kept.sum())].double().tolist() == scores[0, want][kept].double().tolist()
    assert indices[0, : int(kept.sum())].tolist() == want[kept].tolist()
    assert not found[0, int(kept.sum()) :].any()


def test_topk_agrees_with_torch_on_long_rows() -> None:
    scores = torch.randn(64, 9000, generator=torch.Generator().manual_seed(3))
    indices, found = topk_codes(scores, 32)
    want = scores.topk(32, dim=1)
    assert torch.equal(found, want.values)
    assert torch.equal(indices.long(), want.indices)
    assert indices.dtype == torch.int32


def test_topk_takes_strided_input_that_asks_for_gradients() -> None:
    scores = torch.randn(50, 8, generator=torch.Generator().manual_seed(4)).T.requires_grad_()
    assert torch.equal(topk_codes(scores, 5)[0].long(), scores.detach().clamp_min(0).topk(5, dim=1).indices)
