"""Encoders with the same weights in SAELens and dictionary_learning give the same codes, and jumprelu and batch_topk the same training."""

from __future__ import annotations

import importlib
import warnings
from typing import Any

import pytest
import torch
from torch import Tensor

from sparsegap.affine import Affine
from sparsegap.encoder import at
from sparsegap.encoders.batch_topk import BatchTopK
from sparsegap.encoders.gated import Gated
from sparsegap.encoders.jumprelu import JumpReLU
from sparsegap.encoders.relu import ReLU
from sparsegap.encoders.topk import TopK

ATOMS, WIDTH, SAMPLES, K = 40, 12, 200, 6


def randn(*shape: int, seed: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


WEIGHT, BIAS, SHIFT, GAIN = randn(ATOMS, WIDTH, seed=1), randn(ATOMS, seed=2), 5 * randn(WIDTH, seed=3), randn(ATOMS, seed=4) / 3
THRESHOLD = 2 * torch.rand(ATOMS, generator=torch.Generator().manual_seed(5))


@pytest.fixture
def x() -> Tensor:
    return SHIFT + randn(SAMPLES, WIDTH, seed=6)


def peer(module: str) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        pytest.importorskip(module.partition(".")[0], reason=f"{module.partition('.')[0]} is not installed")
        return importlib.import_module(module)


def theirs(kind: str) -> Any:
    """A dictionary_learning SAE with our numbers."""
    if kind in ("TopK", "BatchTopK"):
        file, name = ("top_k", "AutoEncoderTopK") if kind == "TopK" else ("batch_top_k", "BatchTopKSAE")
        made = getattr(peer(f"dictionary_learning.trainers.{file}"), name)(WIDTH, ATOMS, K)
    else:
        made = getattr(peer("dictionary_learning.dictionary"), {"ReLU": "AutoEncoder", "Gated": "GatedAutoEncoder",
                                                                "JumpReLU": "JumpReluAutoEncoder"}[kind])(WIDTH, ATOMS)
    numbers = {
        "encoder.weight": WEIGHT, "encoder.bias": BIAS, "bias": SHIFT, "b_dec": SHIFT, "decoder_bias": SHIFT, "gate_bias": BIAS,
        "mag_bias": BIAS + 1, "r_mag": GAIN, "W_enc": WEIGHT.T, "b_enc": BIAS, "threshold": torch.tensor(1.5),
    }
    if kind == "JumpReLU":
        numbers["threshold"] = THRESHOLD
    with torch.no_grad():
        for name, tensor in made.state_dict().items():
            if name in numbers:
                tensor.copy_(numbers[name])
    return made


def ours(kind: str) -> Affine:
    return {
        "ReLU": lambda: ReLU(WEIGHT, BIAS, SHIFT), "TopK": lambda: TopK(WEIGHT, BIAS, SHIFT, k=K),
        "BatchTopK": lambda: BatchTopK(WEIGHT, BIAS, SHIFT, torch.tensor(1.5), k=K),
        "JumpReLU": lambda: JumpReLU(WEIGHT, BIAS, None, THRESHOLD), "Gated": lambda: Gated(WEIGHT, BIAS, BIAS + 1, GAIN, SHIFT),
    }[kind]().eval()


@pytest.mark.parametrize("kind", ["ReLU", "TopK", "BatchTopK", "JumpReLU", "Gated"])
def test_dictionary_learning_gives_the_same_codes(kind: str, x: Tensor) -> None:
    with torch.no_grad():
        codes = theirs(kind).encode(x)
    assert 0 < float((codes > 0).float().mean()) < 0.9
    torch.testing.assert_close(ours(kind)(x).detach(), codes, rtol=1e-6, atol=1e-6)
    torch.testing.assert_close(ours(kind).encode(x).dense(), codes, rtol=1e-6, atol=1e-6)


def test_dictionary_learning_trains_on_the_same_batch_codes(x: Tensor) -> None:
    with torch.no_grad():
        codes = theirs("BatchTopK").encode(x, use_threshold=False)
    torch.testing.assert_close(ours("BatchTopK").train()(x).detach(), codes, rtol=1e-6, atol=1e-6)


def test_saelens_trains_on_the_same_batch_codes(x: Tensor) -> None:
    encoder = ours("BatchTopK").train()
    activation = peer("sae_lens.saes.batchtopk_sae").BatchTopK(K)
    pre = encoder.pre_activations(x)
    torch.testing.assert_close(encoder.activate(pre), activation(pre), rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("to_input", [False, True])
def test_saelens_learns_the_same_thresholds(x: Tensor, to_input: bool) -> None:
    module = peer("sae_lens.saes.jumprelu_sae")
    encoder, bandwidth, weights = ours("JumpReLU"), 0.4, randn(SAMPLES, ATOMS, seed=7)
    assert isinstance(encoder, JumpReLU)
    encoder.bandwidth = bandwidth
    pre = encoder.pre_activations(x).detach().requires_grad_()
    indices = encoder.slots(pre)
    count = encoder.l0_at_slots(at(pre, indices), indices, to_input=to_input).square().sum()
    value = (encoder.activate_slots(at(pre, indices), indices) * at(weights, indices)).sum()
    found = torch.autograd.grad(count + value, [pre, encoder.threshold])
    steps = module.Step.apply(pre, encoder.threshold, bandwidth, to_input).sum(1).square().sum()
    codes = module.JumpReLU.apply(pre, encoder.threshold, bandwidth, False)
    wanted = torch.autograd.grad(steps + (codes * weights).sum(), [pre, encoder.threshold])
    torch.testing.assert_close(found[0], wanted[0], rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(found[1], wanted[1], rtol=1e-5, atol=1e-4)
