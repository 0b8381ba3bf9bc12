"""Trainers of the field behind one door: `step(x) -> loss` and `codes(x)`, each library's own trainer and defaults for CPU.

All begin at the same dictionary (unit atoms, encoder its transpose, decoder bias the mean of the first batch, JumpReLU thresholds at the
same place), so that curves are comparable and a step of JumpReLU runs at the L0 it is asked for. What each then does in a step is its own.
"""

from __future__ import annotations

import contextlib
import io
import os
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

os.environ.setdefault("SPARSIFY_DISABLE_TRITON", "1")  # its Triton kernels need a GPU
os.environ.setdefault("WANDB_MODE", "disabled")


@dataclass(frozen=True)
class Setting:
    """What all are asked for. lr: None for each library's defaults; given, there are no warm-ups and penalties on L0 weigh alike."""

    encoder: str
    d: int
    m: int
    k: int
    batch: int
    steps: int
    lr: float | None = None
    bandwidth: float | None = None


class Start(NamedTuple):
    """Where all begin. atoms: (m, d) unit rows. bias: (d,). threshold: at which k atoms a sample are active. sample: (n, d) of the data."""

    atoms: Tensor
    bias: Tensor
    threshold: float
    sample: Tensor

    @property
    def variance(self) -> float:
        """Mean squared distance of a sample from the bias."""
        return float((self.sample - self.bias).square().sum(1).mean())


class Trainer(NamedTuple):
    """step: one optimiser step on (n, d), gives the loss. codes: (n, m) dense. decode: codes to (n, d)."""

    step: Callable[[Tensor], float]
    codes: Callable[[Tensor], Tensor]
    decode: Callable[[Tensor], Tensor]


def saelens(setting: Setting, start: Start, *, sparse: bool = False, autocast: bool = False) -> Trainer:
    """SAELens' SAETrainer (MIT): Adam 3e-4, gradients clipped at 1, AuxK; jumprelu with the quadratic penalty around a target L0."""
    from sae_lens.config import SAETrainerConfig
    from sae_lens.training.sae_trainer import SAETrainer

    sae = _saelens_sae(setting, start, sparse)
    _put(sae.W_dec, start.atoms), _put(sae.W_enc, start.atoms.T), _put(sae.b_dec, start.bias)
    if setting.encoder == "jumprelu":
        sae.threshold.data.fill_(start.threshold)
    rate = SAETrainerConfig.lr if setting.lr is None else setting.lr
    config = SAETrainerConfig(setting.steps * setting.batch, setting.batch, lr=rate, lr_end=rate, autocast=autocast)
    trainer = SAETrainer(config, sae, _nothing())

    def step(x: Tensor) -> float:
        out = trainer.step(x)
        trainer.n_training_steps += 1
        return float(out.loss.detach())

    return Trainer(step, lambda x: sae.encode(x).to_dense(), sae.decode)


def saelens_sparse(setting: Setting, start: Start) -> Trainer:
    """The same with `use_sparse_activations`, offered for small k; on CPU its backward only runs without the decoder-norm rescaling."""
    return saelens(setting, start, sparse=True)


def saelens_autocast(setting: Setting, start: Start) -> Trainer:
    """The same with its `autocast`: products in bfloat16."""
    return saelens(setting, start, autocast=True)


def _saelens_sae(setting, start, sparse):
    from sae_lens.saes.jumprelu_sae import JumpReLUTrainingSAE, JumpReLUTrainingSAEConfig
    from sae_lens.saes.topk_sae import TopKTrainingSAE, TopKTrainingSAEConfig

    if setting.encoder == "topk":
        return TopKTrainingSAE(TopKTrainingSAEConfig(d_in=setting.d, d_sae=setting.m, k=setting.k, use_sparse_activations=sparse,
                                                     rescale_acts_by_decoder_norm=not sparse))
    width = {} if setting.bandwidth is None else {"jumprelu_bandwidth": setting.bandwidth}
    width |= {} if setting.lr is None else {"l0_coefficient": start.variance / (2 * setting.k)}
    return JumpReLUTrainingSAE(JumpReLUTrainingSAEConfig(
        d_in=setting.d, d_sae=setting.m, jumprelu_sparsity_loss_mode="quadratic", target_l0=float(setting.k), **width))


def dictionary_learning(setting: Setting, start: Start) -> Trainer:
    """dictionary_learning's trainers (MIT): Adam, unit decoder after every step, parallel gradients removed, clipped at 1."""
    with _quiet():
        from dictionary_learning.trainers import JumpReluTrainer, TopKTrainer

    common = {"steps": max(setting.steps, 2001) + 1, "activation_dim": setting.d, "dict_size": setting.m, "layer": 0, "lm_name": "none",
              "device": "cpu"}
    common |= {} if setting.lr is None else {"lr": setting.lr, "warmup_steps": 0}
    if setting.encoder == "topk":
        trainer = TopKTrainer(k=setting.k, **common)
        _put(trainer.ae.decoder.weight, start.atoms.T), _put(trainer.ae.encoder.weight, start.atoms)
    else:
        common |= {} if setting.lr is None else {"sparsity_warmup_steps": 0, "sparsity_penalty": start.variance}
        common |= {} if setting.bandwidth is None else {"bandwidth": setting.bandwidth}
        trainer = JumpReluTrainer(target_l0=float(setting.k), **common)
        _put(trainer.ae.W_dec, start.atoms), _put(trainer.ae.W_enc, start.atoms.T)
        trainer.ae.threshold.data.fill_(start.threshold)
        _put(trainer.ae.b_enc, -start.bias @ start.atoms.T)  # it subtracts no bias from its input: the same codes all the same
    _put(trainer.ae.b_dec, start.bias)
    done = iter(range(1, 10**9))  # its step 0 spends itself on a geometric median
    return Trainer(lambda x: trainer.update(next(done), x), trainer.ae.encode, trainer.ae.decode)


def sparsify(setting: Setting, start: Start) -> Trainer:
    """sparsify's SparseCoder (MIT) at its default optimiser, sign descent with momentum, schedule-free."""
    return _sparsify(setting, start, "signum")


def sparsify_adam(setting: Setting, start: Start) -> Trainer:
    """The same with its `adam`, which is torch's where bitsandbytes is missing."""
    return _sparsify(setting, start, "adam")


def _sparsify(setting, start, optimiser):
    with _quiet():
        from sparsify import SparseCoder, SparseCoderConfig
    coder = SparseCoder(setting.d, SparseCoderConfig(num_latents=setting.m, k=setting.k), dtype=torch.float32)
    _put(coder.W_dec, start.atoms), _put(coder.encoder.weight, start.atoms), _put(coder.b_dec, start.bias)
    optimizer = _sparsify_optimiser(coder, setting, optimiser)
    since_fired = torch.zeros(setting.m, dtype=torch.long)

    def resting(rest: bool) -> None:
        """A schedule-free optimiser is judged at its averaged weights."""
        if optimiser == "signum":
            optimizer.eval() if rest else optimizer.train()

    def step(x: Tensor) -> float:
        """What its Trainer.fit does with one batch of activations, the model's own pass left out."""
        resting(False)
        coder.set_decoder_norm_to_unit_norm()
        out = coder(x)
        fired = torch.zeros(setting.m, dtype=torch.bool)
        fired[out.latent_indices.flatten()] = True
        out.fvu.backward()
        coder.remove_gradient_parallel_to_decoder_directions()
        optimizer.step()
        optimizer.zero_grad()
        since_fired.add_(len(x))[fired] = 0
        return float(out.fvu.detach())

    def codes(x: Tensor) -> Tensor:
        resting(True)
        found = coder.encode(x)
        return x.new_zeros(len(x), setting.m).scatter_(1, found.top_indices, found.top_acts)

    return Trainer(step, codes, lambda z: z @ coder.W_dec + coder.b_dec)


def _sparsify_optimiser(coder, setting, name):
    scale = (setting.m / 2**14) ** 0.5
    if name == "adam":
        return torch.optim.Adam(coder.parameters(), lr=setting.lr or 2e-4 / scale)
    from schedulefree import ScheduleFreeWrapper
    from sparsify.sign_sgd import SignSGD

    optimizer = ScheduleFreeWrapper(SignSGD(coder.parameters(), lr=5e-3 / scale), momentum=0.95)
    optimizer.train()
    return optimizer


def sparsegap(setting: Setting, start: Start, *, half: bool = True, **options: object) -> Trainer:
    """Ours: the joint learner at its defaults; with a learning rate given, a constant one, and gradients clipped where the others clip."""
    from sparsegap.learners.joint import Joint
    from sparsegap.learning.learner import Batch, Task

    # Theirs is the squared error of a sample, ours its share of the variance: gradients are smaller by the variance.
    plain = {"warmup": 0.0, "decay": 0.0, "sparsity_warmup": 0.0, "cut_rate": 1.0, "clip": 1 / start.variance}
    options |= {} if setting.lr is None else {"rate": setting.lr, **plain}
    unit = (start.variance / setting.d) ** 0.5  # of the activations in training
    options |= {} if setting.bandwidth is None else {"encoder_options": {"bandwidth": setting.bandwidth / unit}}
    learner = Joint(Task(setting.m, setting.d, setting.k, setting.steps, setting.batch), encoder=setting.encoder, **options)
    learner.begin(start.sample)
    state = learner.state()
    _put(state["atoms"], start.atoms), _put(state["encoder.weight"], start.atoms), _put(state["centre"], start.bias / learner.scale)
    if setting.encoder == "jumprelu":
        state["encoder.threshold"].fill_(start.threshold / learner.scale)
    learner.restore(state)
    learner.model.half &= half
    if setting.lr is not None:
        learner.sparsity.observe = lambda l0, share: None  # the penalty on L0 as the others have it, its weight fixed
    done = iter(range(1, 10**9))

    def codes(x: Tensor) -> Tensor:
        return learner.result()[0].encode(x).dense()

    return Trainer(lambda x: float(learner.step(Batch(x), next(done)).loss), codes,
                   lambda z: z @ learner.result()[1].atoms + learner.result()[1].bias)


def sparsegap_free(setting: Setting, start: Start) -> Trainer:
    """The same with atoms of any norm, as SAELens trains."""
    return sparsegap(setting, start, norm="free")


def sparsegap_float32(setting: Setting, start: Start) -> Trainer:
    """The same with the one dense product in float32 too: by default it runs in bfloat16 where the processor multiplies that faster."""
    return sparsegap(setting, start, half=False)


OURS = "sparsegap"
TRAINERS: dict[str, dict[str, Callable[[Setting, Start], Trainer]]] = {
    "topk": {
        OURS: sparsegap, "sparsegap, float32": sparsegap_float32, "sparsegap, free": sparsegap_free,
        "SAELens": saelens, "SAELens, bf16": saelens_autocast, "SAELens, sparse": saelens_sparse,
        "dictionary_learning": dictionary_learning, "sparsify, signum": sparsify, "sparsify, adam": sparsify_adam,
    },
    "jumprelu": {
        OURS: sparsegap, "sparsegap, float32": sparsegap_float32, "sparsegap, free": sparsegap_free,
        "SAELens": saelens, "SAELens, bf16": saelens_autocast, "dictionary_learning": dictionary_learning,
    },
}


def available(setting: Setting, start: Start, wanted: dict[str, Callable[[Setting, Start], Trainer]]) -> Iterator[tuple[str, Trainer]]:
    """Each trainer that can be made here; those whose library is missing are named and left out."""
    for name, make in wanted.items():
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                yield name, make(setting, start)
        except ImportError as error:
            print(f"{name}: skipped, {error}")


def _put(parameter: Tensor, value: Tensor) -> None:
    with torch.no_grad():
        parameter.copy_(value)


def _quiet() -> contextlib.AbstractContextManager[object]:
    return contextlib.redirect_stdout(io.StringIO())


def _nothing() -> Iterator[Tensor]:
    return iter(())
