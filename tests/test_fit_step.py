"""The compiled step of topk training, against autograd and torch's own Adam."""

from __future__ import annotations

import pytest
import torch
from torch.nn.functional import normalize

from fitting import K, M, sparse_data
from sparsegap.encoders.topk import TopK
from sparsegap.errors import InputError
from sparsegap.fit_step import TopKState


def test_step_follows_the_gradient_of_the_loss() -> None:
    """One step against autograd and torch's own Adam, detectors in float32 and no latent dead."""
    x, g = sparse_data(200), torch.Generator().manual_seed(0)
    state = TopKState.begin(x, M, g, k=K, dead_after=10**9, half=False)
    state.tensors["weight"].mul_(10)
    state = TopKState(state.tensors, k=K, dead_after=10**9, half=False)
    before = {name: state.tensors[name].clone().requires_grad_() for name in ("atoms", "weight", "bias", "centre")}
    encoder = TopK(before["weight"], before["bias"], before["centre"], k=K)
    reconstruction = encoder(x) @ before["atoms"] + before["centre"]
    loss = (x - reconstruction).square().sum() / (len(x) * float(state.tensors["variance"]))
    loss.backward()
    outcome = state.step(x, 1, 1e-3)
    assert outcome.fvu == pytest.approx(float(loss.detach()), rel=1e-5)
    gradients = {"atoms": before["atoms"].grad, "weight": encoder.weight.grad, "bias": encoder.bias.grad}
    assert encoder.pre_bias is not None
    assert before["centre"].grad is not None
    gradients["centre"] = before["centre"].grad + encoder.pre_bias.grad
    assert gradients["atoms"] is not None
    along = (gradients["atoms"] * before["atoms"]).sum(1, keepdim=True) * before["atoms"]
    gradients["atoms"] = (gradients["atoms"] - along).detach()
    for name, gradient in gradients.items():
        assert gradient is not None
        torch.testing.assert_close(10 * state.tensors[f"{name}_1"], gradient, rtol=1e-3, atol=1e-6, msg=name)
        parameter = torch.nn.Parameter(before[name].detach().clone())
        parameter.grad = gradient.clone()
        torch.optim.Adam([parameter], lr=1e-3, eps=1e-8 / (1 - 0.999) ** 0.5).step()  # where the paper's "epsilon hat" puts it
        expected = normalize(parameter.detach()) if name == "atoms" else parameter.detach()
        torch.testing.assert_close(state.tensors[name], expected, rtol=0, atol=2e-5, msg=name)


def test_dead_latents_are_revived() -> None:
    x, g = sparse_data(), torch.Generator().manual_seed(0)

    def alive(dead_after: int) -> int:
        begun = TopKState.begin(x, M, g.manual_seed(0), k=K, dead_after=dead_after, half=False).tensors
        begun["bias"][: M // 2] = -0.5
        state = TopKState(begun, k=K, dead_after=dead_after, half=False)
        fired = torch.zeros(M, dtype=torch.bool)
        for number in range(1, 301):
            state.step(x[torch.randint(len(x), (128,), generator=g)], number, 1e-2)
        codes = TopK(state.tensors["weight"], state.tensors["bias"], state.tensors["centre"], k=K).encode(x)
        fired[codes.indices[codes.active].long()] = True
        return int(fired.sum())

    assert alive(10**9) <= M // 2 + 2
    assert alive(1000) >= 3 * M // 4


def test_a_step_that_is_not_finite_changes_nothing() -> None:
    x = sparse_data(100)
    state = TopKState.begin(x, M, torch.Generator().manual_seed(0), k=K, dead_after=100, half=False)
    before = {name: tensor.clone() for name, tensor in state.tensors.items()}
    with pytest.raises(InputError, match="batch 4 holds NaN or Inf"):
        state.step(x.index_fill(0, torch.tensor([3]), torch.inf), 4, 1e-3)
    assert all(torch.equal(state.tensors[name], tensor) for name, tensor in before.items())
