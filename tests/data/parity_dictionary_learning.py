"""dictionary_learning's classes (MIT) and sparsify's (MIT) with our weights in them."""

from __future__ import annotations

from typing import Any

import torch
from tests.data import record_parity as parity
from tests.data.record_parity import Tensors, case, fill, learned, passed, tied

LINEAR = {"encoder__weight": "W_enc.T", "encoder__bias": "b_enc", "decoder__weight": "W_dec.T"}
STANDARD = LINEAR | {"bias": "b_dec"}
TOPK = LINEAR | {"b_dec": "b_dec"}
TENSORS = {"W_enc": "W_enc", "b_enc": "b_enc", "W_dec": "W_dec", "b_dec": "b_dec"}
JUMPRELU = TENSORS | {"threshold": "threshold"}
GATED = {"encoder__weight": "W_enc.T", "decoder__weight": "W_dec.T", "decoder_bias": "b_dec", "gate_bias": "b_gate",
         "mag_bias": "b_mag", "r_mag": "r_mag"}
SPARSIFY = {"encoder__weight": "W_enc.T", "encoder__bias": "b_enc", "W_dec": "W_dec", "b_dec": "b_dec"}
NO_WARM_UP = {"steps": 100, "activation_dim": parity.D, "dict_size": parity.M, "layer": 0, "lm_name": "none", "warmup_steps": 0,
              "device": "cpu"}


@case("dictionary_learning.standard")
def standard(w: Tensors) -> Tensors:
    """ReLU of centred samples."""
    from dictionary_learning.dictionary import AutoEncoder

    return passed(fill(AutoEncoder(parity.D, parity.M), w, **STANDARD), w["x"])


@case("dictionary_learning.standard_uncentred")
def standard_uncentred(w: Tensors) -> Tensors:
    """AutoEncoderNew: nothing is subtracted."""
    from dictionary_learning.dictionary import AutoEncoderNew

    return passed(fill(AutoEncoderNew(parity.D, parity.M), w, **LINEAR, decoder__bias="b_dec"), w["x"])


@case("dictionary_learning.topk")
def topk(w: Tensors) -> Tensors:
    """ReLU, then the k largest."""
    from dictionary_learning.trainers.top_k import AutoEncoderTopK

    return passed(fill(AutoEncoderTopK(parity.D, parity.M, parity.K), w, **TOPK), w["x"])


@case("dictionary_learning.batch_topk")
def batch_topk(w: Tensors) -> Tensors:
    """At inference: one threshold for all atoms."""
    from dictionary_learning.trainers.batch_top_k import BatchTopKSAE

    return passed(fill(BatchTopKSAE(parity.D, parity.M, parity.K), w, **TOPK, threshold="scalar_threshold"), w["x"])


@case("dictionary_learning.batch_topk_tied")
def batch_topk_tied(w: Tensors) -> Tensors:
    """Where a pre-activation is the threshold."""
    return batch_topk(tied(w))


@case("dictionary_learning.batch_topk_of_batch")
def batch_topk_of_batch(w: Tensors) -> Tensors:
    """In training: the k·n largest of the batch."""
    from dictionary_learning.trainers.batch_top_k import BatchTopKSAE

    return passed(fill(BatchTopKSAE(parity.D, parity.M, parity.K), w, **TOPK), w["x"], use_threshold=False)


@case("dictionary_learning.matryoshka")
def matryoshka(w: Tensors) -> Tensors:
    """At inference: as BatchTopK."""
    from dictionary_learning.trainers.matryoshka_batch_top_k import MatryoshkaBatchTopKSAE

    sae = MatryoshkaBatchTopKSAE(parity.D, parity.M, parity.K, group_sizes())
    return passed(fill(sae, w, **TENSORS, threshold="scalar_threshold"), w["x"])


@case("dictionary_learning.jumprelu")
def jumprelu(w: Tensors) -> Tensors:
    """Nothing is subtracted."""
    from dictionary_learning.dictionary import JumpReluAutoEncoder

    return passed(fill(JumpReluAutoEncoder(parity.D, parity.M), w, **JUMPRELU), w["x"])


@case("dictionary_learning.gated")
def gated(w: Tensors) -> Tensors:
    """A gate and a magnitude that share one product."""
    from dictionary_learning.dictionary import GatedAutoEncoder

    return passed(fill(GatedAutoEncoder(parity.D, parity.M), w, **GATED), w["x"])


def group_sizes() -> list[int]:
    """Sizes of the groups whose ends are our prefixes."""
    return [end - begin for begin, end in zip((0, *parity.PREFIXES), parity.PREFIXES, strict=False)]


def loss_of(trainer: Any, w: Tensors, names: dict[str, str], dead: bool = False, **buffers: str) -> Tensors:
    """Its training loss at its first step past the warm-ups."""
    fill(trainer.ae, w, **names, **buffers)
    if dead:
        trainer.num_tokens_since_fired[list(parity.DEAD)] = trainer.dead_feature_threshold
        trainer.num_tokens_since_fired = _Frozen(trainer.num_tokens_since_fired)
    return learned(trainer.ae, trainer.loss(w["x"], step=50), names)


class _Frozen(torch.Tensor):
    """Counts since firing that the step itself does not change: the same latents are dead, whatever fires on our samples."""

    @staticmethod
    def __new__(cls, counts: torch.Tensor) -> _Frozen:
        return counts.as_subclass(cls)

    def __iadd__(self, other: object) -> _Frozen:  # type: ignore[misc]
        return self

    def __setitem__(self, key: object, value: object) -> None:
        return


@case("dictionary_learning.loss.standard")
def standard_loss(w: Tensors) -> Tensors:
    """Squared error + plain parity.L1."""
    from dictionary_learning.trainers.standard import StandardTrainer

    return loss_of(StandardTrainer(**NO_WARM_UP, sparsity_warmup_steps=0, l1_penalty=parity.L1), w, STANDARD)


@case("dictionary_learning.loss.standard_weighted")
def standard_weighted_loss(w: Tensors) -> Tensors:
    """The April update: parity.L1 weighted by the norms of the atoms."""
    from dictionary_learning.trainers.standard import StandardTrainerAprilUpdate

    return loss_of(StandardTrainerAprilUpdate(**NO_WARM_UP, sparsity_warmup_steps=0, l1_penalty=parity.L1), w, STANDARD)


@case("dictionary_learning.loss.topk_aux")
def topk_aux_loss(w: Tensors) -> Tensors:
    """AuxK over the residual's variance, computed in float32."""
    from dictionary_learning.trainers.top_k import TopKTrainer

    return loss_of(TopKTrainer(**NO_WARM_UP, k=parity.K), w, TOPK, dead=True)


@case("dictionary_learning.loss.batch_topk_aux")
def batch_topk_aux_loss(w: Tensors) -> Tensors:
    """The same, with the k·n largest of the batch."""
    from dictionary_learning.trainers.batch_top_k import BatchTopKTrainer

    return loss_of(BatchTopKTrainer(**NO_WARM_UP, k=parity.K), w, TOPK, dead=True)


@case("dictionary_learning.loss.matryoshka")
def matryoshka_loss(w: Tensors) -> Tensors:
    """A mean over prefixes (each already weighted by one over their number), nobody dead."""
    from dictionary_learning.trainers.matryoshka_batch_top_k import MatryoshkaBatchTopKTrainer

    fractions = [size / parity.M for size in group_sizes()]
    return loss_of(MatryoshkaBatchTopKTrainer(**NO_WARM_UP, k=parity.K, group_fractions=fractions), w, TENSORS)


@case("dictionary_learning.loss.jumprelu")
def jumprelu_loss(w: Tensors) -> Tensors:
    """The batch's mean L0 over its target, less 1, squared. Its step function sees the codes, not the pre-activations."""
    from dictionary_learning.trainers.jumprelu import JumpReluTrainer

    trainer = JumpReluTrainer(**NO_WARM_UP, sparsity_warmup_steps=0, bandwidth=parity.BANDWIDTH, sparsity_penalty=parity.L0_COEFFICIENT,
                              target_l0=parity.TARGET_L0)
    return loss_of(trainer, w, JUMPRELU)


@case("dictionary_learning.loss.gated")
def gated_loss(w: Tensors) -> Tensors:
    """Plain parity.L1 of the gate, and the gate's reconstruction with the decoder held still."""
    from dictionary_learning.trainers.gdm import GatedSAETrainer

    return loss_of(GatedSAETrainer(**NO_WARM_UP, sparsity_warmup_steps=0, l1_penalty=parity.L1), w, GATED)


@case("dictionary_learning.loss.gated_unit")
def gated_unit_loss(w: Tensors) -> Tensors:
    """The same with atoms of norm 1, where a plain L1 and one weighted by norms are the same."""
    return gated_loss(parity.unit(w))


def coder(w: Tensors, **config: Any) -> Any:
    """sparsify's SparseCoder; it never normalises by itself."""
    from sparsify import SparseCoder, SparseCoderConfig

    return fill(SparseCoder(parity.D, SparseCoderConfig(num_latents=parity.M, k=parity.K, **config)), w, **SPARSIFY)


@case("sparsify.topk")
def sparsify_topk(w: Tensors) -> Tensors:
    """ReLU, then the k largest."""
    with torch.no_grad():
        found = coder(w).encode(w["x"])
        codes = torch.zeros(len(w["x"]), parity.M, dtype=torch.float64).scatter_(1, found.top_indices, found.top_acts)
        return {"codes": codes, "decoded": coder(w).decode(found.top_acts, found.top_indices)}


@case("sparsify.loss.topk_aux")
def sparsify_loss(w: Tensors) -> Tensors:
    """FVU of the batch and AuxK over the same variance."""
    sparse_coder = coder(w)
    mask = torch.zeros(parity.M, dtype=torch.bool)
    mask[list(parity.DEAD)] = True
    out = sparse_coder(w["x"], dead_mask=mask)
    return learned(sparse_coder, out.fvu + out.auxk_loss / 32, SPARSIFY, fvu=out.fvu, auxk_loss=out.auxk_loss)
