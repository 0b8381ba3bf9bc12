"""Rows that no step learns from, and how well a pair does on them."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from sparsegap.activations import Activations
from sparsegap.checkpoints import Checkpoint
from sparsegap.dictionary import Dictionary
from sparsegap.encoder import Encoder
from sparsegap.errors import InputError
from sparsegap.metrics.dead import firings
from sparsegap.metrics.explained_variance import ReconstructionSums

ROWS, BLOCK = 16_384, 4096
DENSER = 1.1


@dataclass(frozen=True)
class Verdict:
    """On held-out rows: unexplained share of the variance, mean active atoms, share of the atoms that no row used."""

    fvu: float
    l0: float
    dead: float

    def rank(self, k: int) -> tuple[float, float]:
        """Less is better: among states of at most 1.1·k active atoms FVU decides, of denser ones the sparser is better."""
        return max(self.l0, DENSER * k), self.fvu


@dataclass(frozen=True, eq=False)
class HeldOut:
    """x: (n, d) raw activations, at most 16,384 of what was given."""

    x: Tensor
    fingerprint: str

    def judge(self, encoder: Encoder, dictionary: Dictionary) -> Verdict:
        """Encode and decode all rows: the encoder's cost."""
        x = self.x.to(dictionary.atoms)
        sums, used, active = ReconstructionSums.none(x.shape[1], x.device), torch.zeros(dictionary.n_atoms, dtype=torch.int64), 0
        for block in x.split(BLOCK):
            codes = encoder.encode(block)
            sums = sums + ReconstructionSums.of(block, dictionary.decode(codes))
            used += firings(codes).cpu()
            active += int(codes.l0().sum())
        return Verdict(sums.fvu, active / len(x), float((used == 0).double().mean()))


def held_out(activations: Activations, width: int) -> HeldOut:
    """The first rows of a recording. Raises InputError for another width."""
    if activations.d != width:
        raise InputError(f"{activations.description} is {activations.d} wide, but the activations to learn from are {width}")
    import hashlib

    x = activations.load(ROWS).activations
    return HeldOut(x, hashlib.sha256(x[:64].numpy().tobytes()).hexdigest()[:16])


def unexplained(made: Checkpoint, activations: Activations, reader: Encoder | None = None) -> float:
    """FVU of a checkpoint's own codes, or a reader's, Σ‖x − x̂‖² / Σ‖x − mean‖² over all rows, in one pass over the recording."""
    reader = made.encoder if reader is None else reader
    sums = ReconstructionSums.none(activations.d)
    for rows in activations.batches(BLOCK):
        x = rows.activations
        sums = sums + ReconstructionSums.of(x, made.dictionary.decode(reader.encode(x)))
    return sums.fvu
