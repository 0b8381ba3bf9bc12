"""Sources whose samples are numbered: the stream, the held-out samples, noise, and where the random numbers come from.

A sample is its number: its support, magnitudes and noise follow from (seed, stream, number), so a resumed run needs no state, a data set
that is used again holds the same samples with the same noise, and held-out samples are of another stream.
"""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import fields
from functools import cached_property
from math import log10
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np
import torch
from numpy.typing import NDArray

from sparsegap.codes import Codes
from sparsegap.errors import InputError
from sparsegap.saelens_synthetic import SyntheticModel, write
from sparsegap.source import Sample, Source, Split

Stream = Literal["train", "test", "out", "calibration"]
STREAMS: tuple[Stream, ...] = ("train", "test", "out", "calibration")
CALIBRATION = 4096
LARGEST_SNR = 600.0
WORD = (1 << 64) - 1
Ids = NDArray[np.int64]


def snr_db_of_noise(noise: float) -> float:
    """Signal-to-noise ratio in decibels of `noise`, the noise's share of the root mean square: −20·log₁₀(noise); ∞ for none."""
    if not 0 <= noise < float("inf"):
        raise InputError(f"noise must be a finite number of at least 0, not {noise}")
    return -20 * log10(noise) if noise else float("inf")


def noise_of_snr_db(snr_db: float) -> float:
    """`noise`, the noise's share of the root mean square, of a signal-to-noise ratio in decibels: 10^(−snr_db/20)."""
    if not -LARGEST_SNR <= snr_db <= LARGEST_SNR:
        raise InputError(f"snr_db must be between -{LARGEST_SNR:g} and {LARGEST_SNR:g} decibels, not {snr_db}")
    return float(10 ** (-snr_db / 20))


class Numbered(Source):
    """What a dataclass with these options needs to be a source: `codes` of numbered samples, and a dictionary.

    noise: standard deviation of Gaussian noise in every coordinate, as a share of the root mean square of a coordinate of z·atoms;
    snr_db: the same in decibels, noise = 10^(−snr_db/20). samples: none, or the size of a data set that is used again. seed: of everything.
    """

    noise: float
    snr_db: float | None
    samples: int | None
    seed: int
    shifted: ClassVar[str | None] = None  # what test(n, "out") shows, where it shows anything else than training

    @abstractmethod
    def codes(self, ids: Ids, stream: Stream) -> Codes:
        """True codes of the numbered samples of a stream."""

    @abstractmethod
    def as_saelens(self) -> SyntheticModel:
        """The SyntheticModel of SAELens whose samples have the same distribution. Raises InputError where there is none."""

    def export_saelens(self, folder: str | Path) -> Path:
        """Write that model as SAELens saves it: `SyntheticModel.load_from_disk(folder)` opens it there, saelens:path=folder here.

        Raises InputError for what SAELens' model cannot say (noise, a fixed number of active atoms or of samples, codes of both signs,
        other magnitudes than constant and some half-normal ones), and for a folder that holds something else.
        """
        if self.noise or self.snr_db is not None:
            raise InputError(f"SAELens' SyntheticModel has no noise: {self.name} can be written without it")
        if self.samples is not None:
            raise InputError(f"SAELens' SyntheticModel draws fresh samples for ever, not the same {self.samples} again: leave samples out")
        return write(self.as_saelens(), Path(folder))

    @property
    def name(self) -> str:
        """As `sparsegap list sources` shows it."""
        return type(self).__module__.rpartition(".")[2]

    def describe(self) -> dict[str, Any]:
        return {"name": self.name} | {field.name: getattr(self, field.name) for field in fields(self)}  # type: ignore[arg-type]

    def check_stream(self) -> None:
        """Raise InputError for noise, samples or a seed out of range."""
        snr_db_of_noise(self.noise)
        if self.snr_db is not None:
            noise_of_snr_db(self.snr_db)
            if self.noise:
                raise InputError(f"noise {self.noise} and snr_db {self.snr_db} say the same thing: give one of them")
        if self.samples is not None and self.samples < 1:
            raise InputError(f"samples must be at least 1, or none for fresh samples for ever, not {self.samples}")
        if not 0 <= self.seed < 1 << 63:
            raise InputError(f"seed must be at least 0 and below 2^63, not {self.seed}")
        self._kept: tuple[int, Ids] = (-1, np.empty(0, np.int64))

    def batch(self, number: int, n: int) -> Sample:
        if number < 0 or n < 1:
            raise InputError(f"a batch has a number from 0 and at least 1 sample, not number {number} and {n} samples")
        places = np.arange(number * n, (number + 1) * n, dtype=np.int64)
        return self.sample(self._numbers(places), "train")

    def test(self, n: int, split: Split | None = None) -> Sample:
        if split == "out" and self.shifted is None:
            raise InputError(f"{self.name} has no shifted test samples: split must be 'in', not 'out'")
        return self.sample(np.arange(n, dtype=np.int64), "out" if split == "out" else "test")

    def sample(self, ids: Ids, stream: Stream) -> Sample:
        """The numbered samples of a stream."""
        from sparsegap.kernels import draws

        codes = self.codes(ids, stream)
        x = self.dictionary.decode(codes)
        noise = self.noise if self.snr_db is None else noise_of_snr_db(self.snr_db)
        if noise:
            draws.add_noise(ids, self.key(stream, "noise"), noise * self._rms, x.numpy())
        return Sample(x, codes)

    def key(self, stream: Stream, purpose: str) -> np.uint64:
        """Where the random numbers of a stream for one purpose come from."""
        word = self.seed
        for part in (STREAMS.index(stream), *purpose.encode()):
            word = _mixed((word ^ part) + 0x9E3779B97F4A7C15 & WORD)
        return np.uint64(word)

    def generator(self, purpose: str) -> torch.Generator:
        """What is drawn once, such as the atoms, comes from here."""
        return torch.Generator().manual_seed(int(self.key("train", purpose)) >> 1)

    def _numbers(self, places: Ids) -> Ids:
        """The samples at these places of the training stream."""
        if self.samples is None:
            return places
        epochs, ranks = np.divmod(places, self.samples)
        numbers = np.empty_like(places)
        for epoch in np.unique(epochs):
            here = epochs == epoch
            numbers[here] = self._order(int(epoch))[ranks[here]]
        return numbers

    def _order(self, epoch: int) -> Ids:
        """The order of the data set in an epoch; the last one is kept."""
        if self._kept[0] != epoch:
            self._kept = (epoch, torch.randperm(self.samples or 0, generator=self.generator(f"epoch {epoch}")).numpy())
        return self._kept[1]

    @cached_property
    def _rms(self) -> float:
        """Root mean square of a coordinate of z·atoms, over a fixed sample of its own."""
        codes = self.codes(np.arange(CALIBRATION, dtype=np.int64), "calibration")
        return float(self.dictionary.synthesise(codes).double().square().mean().sqrt())


def _mixed(word: int) -> int:
    """The SplitMix64 finaliser, as the kernels have it."""
    word = (word ^ word >> 30) * 0xBF58476D1CE4E5B9 & WORD
    word = (word ^ word >> 27) * 0x94D049BB133111EB & WORD
    return word ^ word >> 31
