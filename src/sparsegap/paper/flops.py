"""What the paper's methods cost, in two ledgers side by side: the paper's own formulas, and the corrected count.

Both price the same things: one optimiser step (all its samples), and the codes of one new sample. A multiply-add is two operations.
Symbols: N atoms, M width, h hidden, B samples of a step, I iterations of inference. Formulas of the first ledger: O'Neill, Gumran & Klindt,
"Compute Optimal Inference and Provable Amortisation Gap in Sparse Autoencoders", arXiv 2411.13117v1, appendix G, equations 17-31.

What the paper's ledger gets wrong, with its size at N=16, M=8, B=1024:

1. Training of sparse coding is over-counted 66.7 times: the loss (2MB + NB) and the update (NB) are those of a batch, but are multiplied
   by the number of samples once more. 52,477,952 a step, of which the matrix products are 786,432: 0.60 of a step of the autoencoder.
2. Normalising the dictionary and updating the weights happen once a step but are charged to every sample (SAE, MLP): over-counted B times,
   whereas Adam, about 12 operations a parameter, is counted as 1 or 2.
3. The backward pass of SAE and MLP is too cheap: the decoder has a gradient of its weights and one of the codes, 4MN, of which 2MN are
   missing: 8MN of products a sample where there are 10MN.
4. Sparse coding pays for the normalisation three times over, as its backward pass is taken for twice its forward pass.
5. An iteration of inference-time optimisation forgets the exponential and its gradient (2N) and part of the loss: 704 where the operators
   of one iteration add up to 896.
6. With known codes no decoder runs. The published figure 2 has none (848 a sample and step of the SAE: `decodes=False` here), the later
   script charges one (1,360: `learn_dictionary=False`).
7. Whether the autoencoder's training belongs to SAE+ITO differs between text (no) and figure (yes); `training` is kept apart here.
8. Inference of SAE and MLP includes the decoder (528 for a sample), though the codes are the answer: the corrected count leaves it out, for
   every method alike. The paper's 7,040,144 of 10,000 iterations is 13,334 times its 528.
9. Nothing in the paper's ledger was measured; the corrected one agrees with `torch.utils.flop_counter` in its matrix products.

Totals of 40,000 steps and 1,024 test samples: see `counted_bill`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from sparsegap.errors import InputError

METHODS = ("sae", "mlp", "sc", "ito", "ista")
ADAM = 12  # operations a parameter and step: two moments, their bias corrections, root, quotient, update
NORMALISE = 3  # operations an entry of the dictionary and step: square, add, divide


@dataclass(frozen=True)
class Bill:
    """Floating-point operations of one method: `step`, one optimiser step over all its samples; `inference`, the codes of one new sample.

    setup: what new samples share, paid once (the Gram matrix). A method without training has step 0.
    """

    step: float
    inference: float
    setup: float = 0.0

    def training(self, steps: float) -> float:
        """Operations of `steps` optimiser steps."""
        return self.step * steps

    def total(self, steps: float, test_samples: float) -> float:
        """Training of `steps` steps and the codes of `test_samples` new samples: the axis of the paper's figure 4."""
        return self.training(steps) + self.setup + self.inference * test_samples


@dataclass(frozen=True)
class _Shape:
    """The sizes that both ledgers price, checked once."""

    method: str
    atoms: int
    width: int
    batch: int
    hidden: int | None
    iterations: int
    learn_dictionary: bool
    decodes: bool
    biases: bool = False
    gram: bool = False
    log_codes: bool = False

    def __post_init__(self) -> None:
        if self.method not in METHODS:
            raise InputError(f"method={self.method!r} has no price; those that have one are {', '.join(METHODS)}.")
        for name in ("atoms", "width", "batch"):
            if getattr(self, name) < 1:
                raise InputError(f"{name}={getattr(self, name)} must be at least 1.")
        if self.method == "mlp" and not self.hidden:
            raise InputError(f"method='mlp' needs hidden, its number of hidden units, at least 1, not {self.hidden}.")
        if self.method == "sc" and not self.decodes:
            raise InputError("method='sc' always decodes: with known codes (decodes=False) it has nothing to learn.")

    @property
    def entries(self) -> int:
        return self.atoms * self.width


def paper_bill(
    *,
    method: str,
    atoms: int,
    width: int,
    batch: int,
    hidden: int | None = None,
    iterations: int = 10_000,
    learn_dictionary: bool = True,
    decodes: bool = True,
) -> Bill:
    """The paper's formulas, equations 17-31, with their errors (see the top of this file).

    method: "sae", "mlp" (needs `hidden`), "sc", "ito" (the autoencoder's training, `iterations` of inference), "ista" (no training; priced
    as "sc" at inference, since the paper has no formula for a solver). batch: samples of one step; all of them where
    the step is full-batch. learn_dictionary=False: the dictionary is given (figure 3). decodes=False: the codes are given (figure 2).
    Raises InputError for an unknown method and impossible sizes.

    >>> paper_bill(method="sae", atoms=16, width=8, batch=1024).step
    1785856.0
    >>> paper_bill(method="sc", atoms=16, width=8, batch=1024).inference
    7040144.0
    """
    shape = _Shape(method, atoms, width, batch, hidden, iterations, learn_dictionary, decodes)
    training, inference = _PAPER[method]
    return Bill(float(training(shape) * batch), float(inference(shape)))


def counted_bill(
    *,
    method: str,
    atoms: int,
    width: int,
    batch: int,
    hidden: int | None = None,
    iterations: int = 10_000,
    learn_dictionary: bool = True,
    decodes: bool = True,
    biases: bool = False,
    log_codes: bool = False,
    gram: bool = False,
) -> Bill:
    """The corrected count: every matrix product forward and backward, Adam, normalising the dictionary, and nothing twice.

    Products of a sample and step: SAE 10MN, MLP 4Mh + 6hN + 6MN, sparse coding 6MN; without a decoder (`decodes=False`) 6MN fewer in the
    first two, with a given dictionary (`learn_dictionary=False`) 2MN fewer. Each step adds 12 for each parameter that Adam moves (the codes
    of the batch among them for "sc") and 3MN where the dictionary is learned. biases: encoder biases, 2 a unit and sample and 12 a step.
    Inference is the codes alone: SAE 2MN; MLP 2Mh + 2hN; "sc" and "ito" I(4MN + 12N), and 2N more an iteration with `log_codes` (codes
    that are exponentials), "ito" after the encoder's 2MN; "ista" I·4MN. gram=True: an iteration's 4MN becomes 2N², after 2MN a sample and
    2MN² once (`setup`).

    log_codes charges "sc" the same 2N a sample in training.

    Left out: element-wise work on codes and residuals (ReLU, loss), 15 % of the SAE's step at 16 atoms of width 8, less the wider the data.

    Totals of the paper's figure 4 (N=16, M=8, 40,000 full-batch steps of 1,024, then 1,024 test samples at 10,000 iterations): SAE 5.26e10,
    MLP of 32 2.00e11, MLP of 256 1.38e12, SC 4.66e10. The matrix products of training alone: 5.24e10, 1.99e11, 1.37e12 and 3.15e10 (3.87e10
    with test codes by equation 31). By the paper's formulas: 7.14e10, 2.35e11, 1.60e12, and SC 2.11e12.

    >>> counted_bill(method="sae", atoms=16, width=8, batch=1024).step - 12 * 256 - 3 * 128
    1310720.0
    """
    shape = _Shape(method, atoms, width, batch, hidden, iterations, learn_dictionary, decodes, biases, gram, log_codes)
    step = batch * (_products(shape) + 2 * _bias_units(shape) + _exponentials(shape)) + ADAM * _parameters(shape) + _normalising(shape)
    inference, setup = _counted_inference(shape)
    return Bill(float(step) if method != "ista" else 0.0, float(inference), float(setup))


# The paper, operations of one sample and step, then of one sample's inference.


def _paper_sae(s: _Shape) -> int:
    """Equations 23-25: an encoder, and a decoder where there is one."""
    forward = 2 * s.entries + s.atoms
    backward = s.atoms + (2 * s.entries + s.atoms) + 2 * (s.entries + s.atoms)
    return forward + backward + _paper_decoder(s)


def _paper_mlp(s: _Shape) -> int:
    """Equations 27-29."""
    h = s.hidden or 0
    first, second = s.width * h, h * s.atoms
    forward = 2 * first + h + 2 * second + s.atoms
    backward = s.atoms + (2 * second + s.atoms) + h + (2 * first + h) + 2 * (first + h + second + s.atoms)
    return forward + backward + _paper_decoder(s)


def _paper_decoder(s: _Shape) -> int:
    """2MN forward and 2MN backward, with MN and 2MN more a sample where the dictionary is learned."""
    return (4 * s.entries + 3 * s.entries * s.learn_dictionary) * s.decodes


def _paper_sc(s: _Shape) -> int:
    """Equations 18-22, the batch's loss and update inside one sample's share."""
    forward = s.atoms + 2 * s.entries + 3 * s.entries * s.learn_dictionary
    loss = 2 * s.width * s.batch + s.atoms * s.batch
    update = s.atoms * s.batch + s.entries * s.learn_dictionary
    return forward + loss + 2 * forward + update


def _paper_sae_inference(s: _Shape) -> int:
    """Equation 26."""
    return 2 * s.entries + s.atoms + 2 * s.entries * s.decodes


def _paper_mlp_inference(s: _Shape) -> int:
    """Equation 30."""
    h = s.hidden or 0
    return 2 * s.width * h + h + 2 * h * s.atoms + s.atoms + 2 * s.entries * s.decodes


def _paper_iterations(s: _Shape) -> int:
    """Equation 31."""
    return s.entries + s.atoms + s.iterations * (4 * s.entries + 2 * s.width + 11 * s.atoms)


_PAPER: dict[str, tuple[Callable[[_Shape], int], Callable[[_Shape], int]]] = {
    "sae": (_paper_sae, _paper_sae_inference),
    "mlp": (_paper_mlp, _paper_mlp_inference),
    "sc": (_paper_sc, _paper_iterations),
    "ito": (_paper_sae, _paper_iterations),
    "ista": (lambda _: 0, _paper_iterations),
}


# The corrected count.


def _products(s: _Shape) -> int:
    """Matrix products of one sample and step, forward and backward. The first layer needs no gradient of its input: 4MN or 4Mh."""
    decoder = (4 + 2 * s.learn_dictionary) * s.entries * s.decodes  # output, gradient of the codes, gradient of the atoms
    if s.method == "sc":
        return decoder
    if s.method == "mlp":
        h = s.hidden or 0
        return 4 * s.width * h + 6 * h * s.atoms + decoder
    return 4 * s.entries + decoder


def _bias_units(s: _Shape) -> int:
    """Units with a bias: one addition forward, one backward."""
    if not s.biases or s.method == "sc":
        return 0
    return s.atoms + (s.hidden or 0) * (s.method == "mlp")


def _parameters(s: _Shape) -> int:
    """Numbers that Adam moves in one step; a dictionary that is not learned, or not there, is none of them."""
    dictionary = s.entries * (s.learn_dictionary and s.decodes)
    if s.method == "sc":
        return s.batch * s.atoms + dictionary
    encoder = (s.hidden or 0) * (s.width + s.atoms) if s.method == "mlp" else s.entries
    return encoder + _bias_units(s) + dictionary


def _normalising(s: _Shape) -> int:
    return NORMALISE * s.entries * (s.learn_dictionary and s.decodes)


def _exponentials(s: _Shape) -> int:
    """Codes that are exponentials: one forward and one product backward, a code and step."""
    return 2 * s.atoms * s.log_codes * (s.method == "sc")


def _counted_inference(s: _Shape) -> tuple[int, int]:
    """Operations of one sample's codes, and of what all samples share."""
    if s.method == "mlp":
        return 2 * (s.hidden or 0) * (s.width + s.atoms) + _bias_units(s), 0
    if s.method == "sae":
        return 2 * s.entries + _bias_units(s), 0
    optimiser = 0 if s.method == "ista" else ADAM * s.atoms + 2 * s.atoms * s.log_codes
    start = 2 * s.entries + _bias_units(s) if s.method == "ito" else 0
    if s.gram:
        return start + 2 * s.entries + s.iterations * (2 * s.atoms**2 + optimiser), 2 * s.width * s.atoms**2
    return start + s.iterations * (4 * s.entries + optimiser), 0
