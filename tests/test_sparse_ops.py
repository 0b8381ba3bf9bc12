"""Sparse products: the compiled and the torch form against each other, against dense autograd, and against finite differences."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from sparsegap.kernels.active import by_atom
from sparsegap.learning import sparse_ops
from sparsegap.learning.adam import Adam
from sparsegap.learning.sparse_ops import decode, detect

N, M, D, K = 7, 11, 5, 6


@pytest.fixture(params=["compiled", "torch"])
def path(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Both implementations, on one device."""
    if request.param == "torch":
        monkeypatch.setattr(sparse_ops, "compiled", lambda rows: False)
        monkeypatch.setattr(sparse_ops, "GATHERED", 3 * K * D)  # several chunks
    return str(request.param)


def problem(dtype: torch.dtype = torch.float64) -> dict[str, Tensor]:
    """Slots with unused ones, a used slot of value 0, an empty sample, and an atom that nobody uses."""
    g = torch.Generator().manual_seed(0)
    indices = torch.stack([torch.randperm(M - 1, generator=g)[:K] for _ in range(N)]).to(torch.int32)
    indices[torch.rand(N, K, generator=g) < 0.3] = -1
    indices[3] = -1
    values = torch.randn(N, K, generator=g, dtype=torch.float64)
    values[0, 0], indices[0, 0] = 0.0, 4
    made = {"x": torch.randn(N, D, generator=g, dtype=torch.float64), "weight": torch.randn(M, D, generator=g, dtype=torch.float64),
            "bias": torch.randn(M, generator=g, dtype=torch.float64), "values": values * (indices >= 0),
            "centre": torch.randn(D, generator=g, dtype=torch.float64)}
    return {name: tensor.to(dtype).requires_grad_() for name, tensor in made.items()} | {"indices": indices}


def dense(values: Tensor, indices: Tensor) -> Tensor:
    return torch.zeros(len(values), M + 1, dtype=values.dtype).scatter_add(1, torch.where(indices < 0, M, indices).long(), values)[:, :M]


def test_gradients_are_those_of_finite_differences(path: str) -> None:
    p = problem()
    slots: Any = p["indices"]
    assert torch.autograd.gradcheck(lambda x, w, b: detect(x, w, b, slots), (p["x"], p["weight"], p["bias"]))
    assert torch.autograd.gradcheck(lambda x, w: detect(x, w, None, slots), (p["x"], p["weight"]))
    assert torch.autograd.gradcheck(lambda v, a, b: decode(v, slots, a, b), (p["values"], p["weight"], p["centre"]))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_they_agree_with_dense_products(path: str, dtype: torch.dtype) -> None:
    p = problem(dtype)
    slots, used = p["indices"], p["indices"] >= 0
    places = slots.clamp_min(0).long()
    g = torch.Generator().manual_seed(1)
    upstream, outward = (torch.randn(N, width, generator=g, dtype=torch.float64).to(dtype) for width in (K, D))
    found = detect(p["x"], p["weight"], p["bias"], slots)
    wanted = torch.where(used, (p["x"] @ p["weight"].T + p["bias"]).gather(1, places), 0.0)
    made, reference = decode(p["values"], slots, p["weight"], p["centre"]), dense(p["values"], slots) @ p["weight"] + p["centre"]
    torch.testing.assert_close(found, wanted, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(made, reference, rtol=1e-5, atol=1e-5)
    for ours, theirs, names in (((found * upstream).sum(), (wanted * upstream).sum(), ("x", "weight", "bias")),
                                ((made * outward).sum(), (reference * outward).sum(), ("values", "weight", "centre"))):
        mine = torch.autograd.grad(ours, [p[name] for name in names])
        others = torch.autograd.grad(theirs, [p[name] for name in names])
        for name, a, b in zip(names, mine, others, strict=True):
            torch.testing.assert_close(a, b * used if name == "values" else b, rtol=1e-5, atol=1e-5, msg=name)


def test_scores_of_the_same_precision_are_read_and_others_recomputed(path: str) -> None:
    p = problem(torch.float32)
    scores = torch.full((N, M), 7.0)
    used = p["indices"] >= 0
    assert bool((detect(p["x"], p["weight"], p["bias"], p["indices"], scores)[used] == 7).all())
    exact = detect(p["x"], p["weight"], p["bias"], p["indices"], scores.bfloat16())
    torch.testing.assert_close(exact, detect(p["x"], p["weight"], p["bias"], p["indices"]), rtol=0, atol=0)


def test_a_centre_that_learns_gets_the_gradient_of_what_it_is_subtracted_from(path: str) -> None:
    p = problem()
    centred = (p["x"] - p["centre"]).detach()
    found = detect(centred, p["weight"], p["bias"], p["indices"], centre=p["centre"])
    plain = detect(p["x"] - p["centre"], p["weight"], p["bias"], p["indices"])
    (ours,), (theirs,) = (torch.autograd.grad(out.square().sum(), [p["centre"]]) for out in (found, plain))
    torch.testing.assert_close(ours, theirs)


def test_buffers_take_the_gradients_of_matrices(path: str) -> None:
    p = problem()
    for_weight, for_atoms = torch.full((2, M, D), torch.nan, dtype=torch.float64)
    loss = detect(p["x"], p["weight"], p["bias"], p["indices"], buffer=for_weight).sum()
    assert torch.autograd.grad(loss, [p["weight"]])[0].data_ptr() == for_weight.data_ptr()
    loss = decode(p["values"], p["indices"], p["weight"], buffer=for_atoms).sum()
    torch.autograd.grad(loss, [p["weight"]])
    assert bool(for_weight.isfinite().all()) and bool(for_atoms.isfinite().all())
    assert bool((for_atoms[M - 1] == 0).all())


def test_no_slots_at_all(path: str) -> None:
    p = problem()
    values, indices = torch.zeros(N, 0, dtype=torch.float64, requires_grad=True), torch.zeros(N, 0, dtype=torch.int32)
    made = decode(values, indices, p["weight"]).sum() + detect(p["x"], p["weight"], p["bias"], indices).sum()
    assert float(made.detach()) == 0
    for gradient in torch.autograd.grad(made, [p["weight"], values]):
        assert not gradient.any()


def test_slots_sorted_by_atom() -> None:
    indices = torch.tensor([[2, -1, 0], [0, 2, 1]], dtype=torch.int32)
    factors = torch.tensor([[1.0, 5.0, 2.0], [3.0, 0.0, 4.0]])
    begin, slots = by_atom(factors.numpy(), indices.numpy(), 4)
    assert begin.tolist() == [0, 2, 3, 4, 4] and slots.tolist() == [2, 3, 5, 0]


@pytest.mark.parametrize("compiled", [True, False])
def test_adam_is_torchs(compiled: bool) -> None:
    """Against torch's own, with epsilon where the paper's last form has it: large enough gradients hide the difference."""
    g = torch.Generator().manual_seed(0)
    start = torch.randn(M, D, generator=g)
    ours = start.clone() if compiled else start.clone().reshape(M, D, 1)
    theirs = torch.nn.Parameter(start.clone())
    mine, reference = Adam({"p": ours}, betas=(0.8, 0.99)), torch.optim.Adam([theirs], lr=1e-2, betas=(0.8, 0.99), eps=0.0)
    for number in range(1, 6):
        gradient = torch.randn(M, D, generator=g)
        theirs.grad = gradient.clone()
        mine.step({"p": gradient.view(ours.shape)}, 1e-2, number)
        reference.step()
    torch.testing.assert_close(ours.view(M, D), theirs.detach(), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("compiled", [True, False])
def test_unit_rows_stay_unit_and_ignore_the_parallel_part(compiled: bool) -> None:
    rows = torch.nn.functional.normalize(torch.randn(M, D, generator=torch.Generator().manual_seed(0), dtype=torch.float64))
    rows = rows.float() if compiled else rows
    before = rows.clone()
    adam = Adam({"rows": rows}, unit=("rows",))
    adam.step({"rows": 3 * rows}, 1e-2, 1)
    assert float(adam.moments["rows.1"].abs().max()) < 1e-6
    adam.step({"rows": torch.ones_like(rows)}, 1e-2, 2)
    torch.testing.assert_close(rows.norm(dim=1), torch.ones_like(rows[:, 0]))
    assert not torch.equal(rows, before)


def test_clipping_keeps_the_direction_of_all_gradients_together() -> None:
    a, b = torch.zeros(3, 2), torch.zeros(4)
    adam = Adam({"a": a, "b": b, "c": torch.ones(1)}, clip=1.0)
    gradients = {"a": torch.full((3, 2), 3.0), "b": torch.full((4,), 4.0), "c": None}
    adam.step(gradients, 1e-3, 1)
    length = (6 * 9 + 4 * 16) ** 0.5
    torch.testing.assert_close(adam.moments["a.1"], torch.full((3, 2), 0.1 * 3 / length))
    torch.testing.assert_close(adam.moments["b.1"], torch.full((4,), 0.1 * 4 / length))
    assert not adam.moments["c.1"].any()
