"""Our encoders compute what SAELens, dictionary_learning and sparsify compute with the same weights, and learn by the same gradients.

Each case is compared twice: with what the library gave when tests/data/parity.safetensors was recorded, and with the library itself on
other weights, where it is installed. All in float64, on the hostile weights of tests/data/record_parity.py.
"""

from __future__ import annotations

import contextlib
import io
import warnings
from collections.abc import Callable
from functools import cache

import pytest
import torch
from safetensors.torch import load_file
from tests.data import parity_dictionary_learning, parity_saelens, record_parity  # noqa: F401  the first two fill CASES
from tests.data.record_parity import BANDWIDTH, CASES, L0_COEFFICIENT, L1, PARITY, PREFIXES, TARGET_L0, K, Tensors
from torch import Tensor

from sparsegap.affine import Affine
from sparsegap.dictionary import Dictionary
from sparsegap.encoder import at
from sparsegap.encoders.batch_topk import BatchTopK
from sparsegap.encoders.gated import Gated
from sparsegap.encoders.jumprelu import JumpReLU
from sparsegap.encoders.relu import ReLU
from sparsegap.encoders.topk import TopK
from sparsegap.learning.autoencoder import Autoencoder
from sparsegap.learning.sparse_ops import decode, detect
from sparsegap.learning.sparsity import ByConstruction, Penalised, Sparsity, Targeted

RECORDED, LIVE_SEED = record_parity.SEED, 11
ROUNDED_TO_FLOAT32 = {"dictionary_learning.loss.jumprelu"}


def relu(w: Tensors) -> Affine:
    return ReLU(w["W_enc"].T, w["b_enc"], w["b_dec"])


def topk(w: Tensors) -> Affine:
    return TopK(w["W_enc"].T, w["b_enc"], w["b_dec"], k=K)


def topk_rescaled(w: Tensors) -> Affine:
    """In the unit of unit atoms, as SAELens folds it when it saves."""
    norms = w["W_dec"].norm(dim=1)
    return TopK(w["W_enc"].T * norms[:, None], w["b_enc"] * norms, w["b_dec"], k=K)


def jumprelu(w: Tensors) -> JumpReLU:
    return JumpReLU(w["W_enc"].T, w["b_enc"], w["b_dec"], w["threshold"], bandwidth=BANDWIDTH)


def batch_topk(w: Tensors) -> Affine:
    return BatchTopK(w["W_enc"].T, w["b_enc"], w["b_dec"], w["scalar_threshold"], k=K)


def gated(w: Tensors) -> Gated:
    return Gated(w["W_enc"].T, w["b_gate"], w["b_mag"], w["r_mag"], w["b_dec"])


ENCODERS: dict[str, Callable[[Tensors], Affine]] = {
    "saelens.standard": relu,
    "saelens.standard_uncentred": lambda w: ReLU(w["W_enc"].T, w["b_enc"]),
    "saelens.topk": topk,
    "saelens.topk_rescaled": topk_rescaled,
    "saelens.jumprelu": jumprelu,
    "saelens.jumprelu_uncentred": lambda w: JumpReLU(w["W_enc"].T, w["b_enc"], None, w["threshold"]),
    "saelens.jumprelu_tied": jumprelu,
    "saelens.gated": gated,
    "saelens.gated_tied": gated,
    "saelens.batch_topk": batch_topk,
    "dictionary_learning.standard": relu,
    "dictionary_learning.standard_uncentred": lambda w: ReLU(w["W_enc"].T, w["b_enc"]),
    "dictionary_learning.topk": topk,
    "dictionary_learning.batch_topk": batch_topk,
    "dictionary_learning.batch_topk_tied": batch_topk,
    "dictionary_learning.batch_topk_of_batch": lambda w: batch_topk(w).train(),
    "dictionary_learning.matryoshka": batch_topk,
    "dictionary_learning.jumprelu": lambda w: JumpReLU(w["W_enc"].T, w["b_enc"], None, w["threshold"]),
    "dictionary_learning.gated": gated,
    "sparsify.topk": topk,
}


@cache
def recording() -> Tensors:
    return load_file(PARITY)


def given(name: str, seed: int) -> tuple[Tensors, Tensors]:
    """Weights, and what the library made of them: as recorded, or by the library itself. Skips where it is not installed."""
    if seed == RECORDED:
        found = recording()
        return ({key.removeprefix("weights."): t for key, t in found.items() if key.startswith("weights.")},
                {key.removeprefix(name + "."): t for key, t in found.items() if key.startswith(name + ".")})
    w = record_parity.weights(seed)
    with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
        warnings.simplefilter("ignore")
        try:
            return w, CASES[name](w)
        except ImportError as error:
            pytest.skip(f"{record_parity.PACKAGES[name.split('.')[0]]} is not installed ({error})")


seeds = pytest.mark.parametrize("seed", [RECORDED, LIVE_SEED], ids=["recorded", "live"])


def close(ours: Tensor, theirs: Tensor, name: str = "") -> None:
    tolerance = 1e-6 if name in ROUNDED_TO_FLOAT32 else 1e-9
    torch.testing.assert_close(ours.double(), theirs, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("seed", [RECORDED, LIVE_SEED])
def test_the_weights_are_hostile(seed: int) -> None:
    """Negative pre-activations among the k largest, thresholds a hair from activations on both sides, data far from its mean."""
    w = record_parity.weights(seed)
    assert record_parity.hostile(w)
    pre = (w["x"] - w["b_dec"]) @ w["W_enc"] + w["b_enc"]
    distance = (pre - w["threshold"])[(pre - w["threshold"]).abs() < 1e-5]
    assert (distance > 0).any() and (distance < 0).any()
    exact = record_parity.tied(w)
    e = (exact["x"] - exact["b_dec"]) @ exact["W_enc"]
    pre = e + exact["b_enc"]
    assert (pre == exact["threshold"])[:, exact["threshold"] > 0].any() and (e + exact["b_gate"] == 0).any()
    assert exact["scalar_threshold"] > 0 and (pre == exact["scalar_threshold"]).any()
    assert w["x"].mean(0).norm() > w["x"].std(0).norm() and w["b_dec"].norm() > 1


def test_the_recording_is_of_these_weights() -> None:
    w, _ = given("saelens.standard", RECORDED)
    for name, tensor in record_parity.weights(RECORDED).items():
        assert torch.equal(w[name], tensor), f"{name}: record again, python -m tests.data.record_parity"


@seeds
@pytest.mark.parametrize("name", ENCODERS)
def test_codes_and_reconstruction(name: str, seed: int) -> None:
    """Dense, sparse and at slots, ours are theirs; the decoder's too."""
    w, theirs = given(name, seed)
    w = record_parity.tied(w) if name.endswith("tied") else w
    encoder = ENCODERS[name](w)
    encoder.train(name.endswith("of_batch"))
    dictionary = Dictionary(w["W_dec"], w["b_dec"])
    dictionary = dictionary.unit if "rescaled" in name else dictionary
    with torch.no_grad():
        close(encoder(w["x"]), theirs["codes"])
        codes = encoder.sparse(w["x"])
        close(codes.dense(), theirs["codes"])
        close(dictionary.decode(codes), theirs["decoded"])
    if not encoder.training:
        close(encoder.encode(w["x"]).dense(), theirs["codes"])


class Pass:
    """One training pass over our sparse products: what a loss is made of, with a graph back to every parameter."""

    def __init__(self, encoder: Affine, w: Tensors) -> None:
        encoder.train()
        self.encoder, self.x = encoder, w["x"]
        self.atoms, self.b_dec = w["W_dec"].clone().requires_grad_(), w["b_dec"].clone().requires_grad_()
        centre = None if encoder.pre_bias is None else self.b_dec
        self.indices = encoder.slots(encoder.pre_activations(self.x).detach())
        self.pre = detect(encoder.centred(self.x).detach(), encoder.weight, encoder.bias, self.indices, centre=centre)
        self.values = encoder.activate_slots(self.pre, self.indices)

    def error(self, values: Tensor, atoms: Tensor | None = None, bias: Tensor | None = None) -> Tensor:
        """Mean over samples of the squared distance from what these values reconstruct."""
        made = decode(values, self.indices, self.atoms if atoms is None else atoms) + (self.b_dec if bias is None else bias)
        return (made - self.x).square().sum(1).mean()

    def weighted(self, values: Tensor) -> Tensor:
        """Mean over samples of Σ value·‖atom‖."""
        return (values * at(self.atoms.norm(dim=1), self.indices)).sum(1).mean()

    def gradients(self, loss: Tensor) -> Tensors:
        """Under the peers' names."""
        names = {"W_dec": self.atoms, "b_dec": self.b_dec, "W_enc": self.encoder.weight, "b_enc": self.encoder.bias}
        names |= {name: getattr(self.encoder, name) for name in ("threshold", "b_gate", "b_mag", "r_mag")
                  if isinstance(getattr(self.encoder, name, None), torch.nn.Parameter)}
        wanted = {name: p for name, p in names.items() if p is not None}
        found = torch.autograd.grad(loss, list(wanted.values()), allow_unused=True)
        return {f"grad.{name}": g.T if name == "W_enc" else g for name, g in zip(wanted, found, strict=True) if g is not None}


def l1_weighted(p: Pass) -> Tensor:
    return p.error(p.values) + L1 * p.weighted(p.values)


def l1_plain(p: Pass) -> Tensor:
    return p.error(p.values) + L1 * p.values.sum(1).mean()


def squared(p: Pass) -> Tensor:
    return p.error(p.values)


def prefixes_summed(p: Pass) -> Tensor:
    return sum((p.error(torch.where(p.indices < end, p.values, 0.0)) for end in PREFIXES), torch.zeros(()))


def l0_itself(p: Pass) -> Tensor:
    return p.error(p.values) + L0_COEFFICIENT * _l0(p).mean()


def l0_near_target(p: Pass) -> Tensor:
    return p.error(p.values) + L0_COEFFICIENT * (2 / TARGET_L0 * (_l0(p) - TARGET_L0).square()).mean()


def mean_l0_near_target(p: Pass) -> Tensor:
    return p.error(p.values) + L0_COEFFICIENT * (_l0(p).mean() / TARGET_L0 - 1).square()


def _l0(p: Pass) -> Tensor:
    assert isinstance(p.encoder, JumpReLU)
    return p.encoder.l0_at_slots(p.pre, p.indices)


def gate_live(p: Pass) -> Tensor:
    assert isinstance(p.encoder, Gated)
    gate = p.encoder.gate_pre(p.pre, p.indices).relu()
    return p.error(p.values) + L1 * p.weighted(gate) + p.error(gate)


def gate_still(p: Pass) -> Tensor:
    assert isinstance(p.encoder, Gated)
    gate = p.encoder.gate_pre(p.pre, p.indices).relu()
    return p.error(p.values) + L1 * gate.sum(1).mean() + p.error(gate, p.atoms.detach(), p.b_dec.detach())


LOSSES: dict[str, tuple[Callable[[Tensors], Affine], Callable[[Pass], Tensor]]] = {
    "saelens.loss.standard": (relu, l1_weighted),
    "saelens.loss.topk": (topk, squared),
    "saelens.loss.batch_topk": (batch_topk, squared),
    "saelens.loss.matryoshka": (batch_topk, prefixes_summed),
    "saelens.loss.jumprelu_step": (jumprelu, l0_itself),
    "saelens.loss.jumprelu_quadratic": (jumprelu, l0_near_target),
    "saelens.loss.gated": (gated, gate_live),
    "dictionary_learning.loss.standard": (relu, l1_plain),
    "dictionary_learning.loss.standard_weighted": (relu, l1_weighted),
    "dictionary_learning.loss.jumprelu": (lambda w: JumpReLU(w["W_enc"].T, w["b_enc"], None, w["threshold"], bandwidth=BANDWIDTH),
                                          mean_l0_near_target),
    "dictionary_learning.loss.gated": (gated, gate_still),
}
# Its step function is given the codes, which are 0 wherever the pre-activation is below the threshold, however near: ours sees how near.
OTHER_BY_DESIGN = {"dictionary_learning.loss.jumprelu": {"grad.threshold"}}


@seeds
@pytest.mark.parametrize("name", LOSSES)
def test_training_loss_and_gradients(name: str, seed: int) -> None:
    """The loss and the gradient of every parameter, through sparse products that never saw a dense code."""
    w, theirs = given(name, seed)
    make, loss_of = LOSSES[name]
    ours = Pass(make(w), w)
    loss = loss_of(ours)
    close(loss, theirs["loss"], name)
    gradients = ours.gradients(loss)
    expected = {key for key in theirs if key.startswith("grad.")} - OTHER_BY_DESIGN.get(name, set())
    assert len(expected) >= 4
    for key in expected:
        close(gradients[key], theirs[key], name)


VARIANCE = 7.5  # the joint learner's loss is in shares of it
OBJECTIVES: dict[str, tuple[Callable[[Tensors], Affine], Sparsity]] = {
    "saelens.loss.standard": (relu, Penalised(K, VARIANCE, L1 / 2)),
    "saelens.loss.topk": (topk, ByConstruction(K)),
    "saelens.loss.batch_topk": (batch_topk, ByConstruction(K)),
    "dictionary_learning.loss.standard_weighted": (relu, Penalised(K, VARIANCE, L1 / 2)),
    "dictionary_learning.loss.jumprelu": (LOSSES["dictionary_learning.loss.jumprelu"][0],
                                          Targeted(int(TARGET_L0), L0_COEFFICIENT / VARIANCE)),
    "dictionary_learning.loss.gated_unit": (gated, Penalised(K, VARIANCE, L1 / 2)),
}
PEERS_NAMES = {"atoms": "W_dec", "centre": "b_dec", "encoder.weight": "W_enc", "encoder.bias": "b_enc"}


@seeds
@pytest.mark.parametrize("name", OBJECTIVES)
def test_objective_of_the_joint_learner(name: str, seed: int) -> None:
    """What `Joint` minimises is theirs over the variance, and so are its gradients."""
    w, theirs = given(name, seed)
    w = record_parity.unit(w) if name.endswith("unit") else w
    make, sparsity = OBJECTIVES[name]
    model = Autoencoder(make(w).train(), Dictionary(w["W_dec"], w["b_dec"]), learns_atoms=True)
    slots = model.encode(w["x"])
    loss = (model.decode(slots.values, slots.indices) - w["x"]).square().sum() / (len(w["x"]) * VARIANCE)
    pressure = sparsity.loss(slots, model, w["x"], 1.0)
    loss = loss if pressure is None else loss + pressure
    close(VARIANCE * loss, theirs["loss"], name)
    gradients = {name: gradient for name, gradient in model.gradients(loss).items() if gradient is not None}
    assert len(gradients) >= 4
    for ours, gradient in gradients.items():
        key = "grad." + PEERS_NAMES.get(ours, ours.removeprefix("encoder."))
        if key in OTHER_BY_DESIGN.get(name, set()):
            continue
        found, wanted = VARIANCE * (gradient.T if key == "grad.W_enc" else gradient), theirs[key]
        if name.endswith("unit") and key == "grad.W_dec":  # a penalty on norms also pulls along the atom, where a unit atom is held
            found, wanted = (g - (g * w["W_dec"]).sum(1, keepdim=True) * w["W_dec"] for g in (found, wanted))
        close(found, wanted, name)


@seeds
def test_threshold_that_follows_training(seed: int) -> None:
    """BatchTopK's threshold moves towards the smallest activation that the batch kept, as SAELens moves it."""
    w, theirs = given("saelens.loss.batch_topk", seed)
    encoder = BatchTopK(w["W_enc"].T, w["b_enc"], w["b_dec"], w["scalar_threshold"], k=K).train()
    kept = encoder(w["x"])
    encoder.update_threshold(kept[kept > 0].min(), decay=0.99)
    close(encoder.threshold, theirs["threshold_after"])
    assert encoder.threshold != w["scalar_threshold"]
