"""SAELens' classes (MIT) with our weights in them."""

from __future__ import annotations

from typing import Any

import torch
from tests.data import record_parity as parity
from tests.data.record_parity import Tensors, case, fill, learned, passed, tied

WEIGHTS = {"W_enc": "W_enc", "b_enc": "b_enc", "W_dec": "W_dec", "b_dec": "b_dec"}
JUMPRELU = WEIGHTS | {"threshold": "threshold"}
GATED = {"W_enc": "W_enc", "W_dec": "W_dec", "b_dec": "b_dec", "b_gate": "b_gate", "b_mag": "b_mag", "r_mag": "r_mag"}


def inference(architecture: str, **config: Any) -> Any:
    """An inference SAE by SAELens' own name of it."""
    from sae_lens.registry import get_sae_class

    kind, config_kind = get_sae_class(architecture)
    return kind(config_kind(d_in=parity.D, d_sae=parity.M, dtype="float64", **config))


def training(architecture: str, **config: Any) -> Any:
    """A training SAE by SAELens' own name of it."""
    from sae_lens.registry import get_sae_training_class

    kind, config_kind = get_sae_training_class(architecture)
    return kind(config_kind(d_in=parity.D, d_sae=parity.M, dtype="float64", **config))


def loss_of(sae: Any, w: Tensors, names: dict[str, str], dead: bool = False) -> Tensors:
    """Its training loss on our samples, at the coefficients its trainer would use after warm-up."""
    from sae_lens.saes.sae import TrainStepInput

    mask = torch.zeros(parity.M, dtype=torch.bool)
    mask[list(parity.DEAD) if dead else []] = True
    coefficients = {name: float(getattr(value, "value", value)) for name, value in sae.get_coefficients().items()}
    out = sae.training_forward_pass(TrainStepInput(w["x"], coefficients, mask, n_training_steps=10, is_logging_step=False))
    return learned(sae, out.loss, names, codes=out.feature_acts, decoded=out.sae_out, **out.losses)


@case("saelens.standard")
def standard(w: Tensors) -> Tensors:
    """ReLU of centred samples."""
    return passed(fill(inference("standard"), w, **WEIGHTS), w["x"])


@case("saelens.standard_uncentred")
def standard_uncentred(w: Tensors) -> Tensors:
    """ReLU of samples from which nothing is subtracted."""
    return passed(fill(inference("standard", apply_b_dec_to_input=False), w, **WEIGHTS), w["x"])


@case("saelens.topk")
def topk(w: Tensors) -> Tensors:
    """The k largest raw pre-activations, then ReLU."""
    return passed(fill(inference("topk", k=parity.K), w, **WEIGHTS), w["x"])


@case("saelens.topk_rescaled")
def topk_rescaled(w: Tensors) -> Tensors:
    """The k largest after multiplying by the norms of the atoms; its codes are in those units."""
    return passed(fill(inference("topk", k=parity.K, rescale_acts_by_decoder_norm=True), w, **WEIGHTS), w["x"])


@case("saelens.jumprelu")
def jumprelu(w: Tensors) -> Tensors:
    """One threshold an atom."""
    return passed(fill(inference("jumprelu"), w, **JUMPRELU), w["x"])


@case("saelens.jumprelu_uncentred")
def jumprelu_uncentred(w: Tensors) -> Tensors:
    """As Gemma Scope's: nothing is subtracted."""
    return passed(fill(inference("jumprelu", apply_b_dec_to_input=False), w, **JUMPRELU), w["x"])


@case("saelens.gated")
def gated(w: Tensors) -> Tensors:
    """A gate and a magnitude that share one product."""
    return passed(fill(inference("gated"), w, **GATED), w["x"])


@case("saelens.jumprelu_tied")
def jumprelu_tied(w: Tensors) -> Tensors:
    """Where a pre-activation is its threshold."""
    return jumprelu(tied(w))


@case("saelens.gated_tied")
def gated_tied(w: Tensors) -> Tensors:
    """Where a gate's pre-activation is 0."""
    return gated(tied(w))


def _batch_topk(w: Tensors) -> Any:
    sae = training("batchtopk", k=float(parity.K), rescale_acts_by_decoder_norm=False)
    return fill(sae, w, **WEIGHTS, topk_threshold="scalar_threshold")


@case("saelens.batch_topk")
def batch_topk(w: Tensors) -> Tensors:
    """As it is saved for inference: jumprelu with the one learned threshold."""
    trained = _batch_topk(w)
    state = trained.state_dict()
    trained.process_state_dict_for_saving_inference(state)
    sae = inference("jumprelu")
    sae.load_state_dict(state)
    return passed(sae, w["x"])


@case("saelens.loss.standard")
def standard_loss(w: Tensors) -> Tensors:
    """Squared error + parity.L1 weighted by the norms of the atoms."""
    return loss_of(fill(training("standard", l1_coefficient=parity.L1), w, **WEIGHTS), w, WEIGHTS)


@case("saelens.loss.topk")
def topk_loss(w: Tensors) -> Tensors:
    """Squared error only, nobody dead."""
    return loss_of(fill(training("topk", k=parity.K, rescale_acts_by_decoder_norm=False), w, **WEIGHTS), w, WEIGHTS)


@case("saelens.loss.topk_aux")
def topk_aux_loss(w: Tensors) -> Tensors:
    """With five dead latents that learn the residual."""
    return loss_of(fill(training("topk", k=parity.K, rescale_acts_by_decoder_norm=False), w, **WEIGHTS), w, WEIGHTS, dead=True)


@case("saelens.loss.topk_rescaled_aux")
def topk_rescaled_aux_loss(w: Tensors) -> Tensors:
    """Its default: pre-activations times the norms of the atoms."""
    return loss_of(fill(training("topk", k=parity.K), w, **WEIGHTS), w, WEIGHTS, dead=True)


@case("saelens.loss.batch_topk")
def batch_topk_loss(w: Tensors) -> Tensors:
    """The k·n largest of the batch."""
    sae = _batch_topk(w)
    found = loss_of(sae, w, WEIGHTS)
    return found | {"threshold_after": sae.topk_threshold.clone()}


@case("saelens.loss.matryoshka")
def matryoshka_loss(w: Tensors) -> Tensors:
    """BatchTopK whose prefixes of 4 and 9 atoms reconstruct too."""
    sae = training("matryoshka_batchtopk", k=float(parity.K), rescale_acts_by_decoder_norm=False, matryoshka_widths=list(parity.PREFIXES))
    return loss_of(fill(sae, w, **WEIGHTS), w, WEIGHTS)


def _jumprelu_loss(w: Tensors, mode: str, dead: bool = False, **config: Any) -> Tensors:
    sae = training("jumprelu", jumprelu_sparsity_loss_mode=mode, l0_coefficient=parity.L0_COEFFICIENT,
                   jumprelu_bandwidth=parity.BANDWIDTH, **config)
    return loss_of(fill(sae, w, **JUMPRELU), w, JUMPRELU, dead)


@case("saelens.loss.jumprelu_step")
def jumprelu_step_loss(w: Tensors) -> Tensors:
    """L0 itself, straight through."""
    return _jumprelu_loss(w, "step")


@case("saelens.loss.jumprelu_quadratic")
def jumprelu_quadratic_loss(w: Tensors) -> Tensors:
    """Distance of each sample's L0 from a target, squared."""
    return _jumprelu_loss(w, "quadratic", target_l0=parity.TARGET_L0)


@case("saelens.loss.jumprelu_tanh")
def jumprelu_tanh_loss(w: Tensors) -> Tensors:
    """A soft count, straight through to the encoder too, and a push for dead latents."""
    return _jumprelu_loss(w, "tanh", dead=True, jumprelu_tanh_scale=parity.TANH_SCALE, jumprelu_ste_to_input=True,
                          pre_act_loss_coefficient=parity.PRE_ACT)


@case("saelens.loss.gated")
def gated_loss(w: Tensors) -> Tensors:
    """L1 of the gate weighted by the norms, and the gate's own reconstruction with the live decoder."""
    return loss_of(fill(training("gated", l1_coefficient=parity.L1), w, **GATED), w, GATED)
