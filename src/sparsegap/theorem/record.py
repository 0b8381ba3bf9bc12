"""What the theorem comes to for one encoder and one dictionary, as data. No torch: figures and pages read it."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True)
class Singular:
    """Singular values of one matrix: whose it is, how many rows and columns, which count as rounding, and how many do not."""

    what: str
    rows: int
    columns: int
    rank: int
    effective: float
    tolerance: float
    values: list[float]


@dataclass(frozen=True)
class Signs:
    """Of the values that latents get from single sources of size 1.

    others: how many pairs of a latent and another source; positive: the share of them above 0. Exactness on single sources needs none;
    exactness on two at once then needs all of them 0, which rank forbids. largest, typical: of |Π| off the diagonal, the latter its root
    mean square. own_low, own, own_high: least, mean and largest of the diagonal, which must be 1.
    """

    others: int
    positive: float
    largest: float
    typical: float
    own_low: float
    own: float
    own_high: float


@dataclass(frozen=True)
class WorstInput:
    """See `worst.Input`. distinct: the least share of this input's energy that any other code of as many atoms leaves unexplained, so that
    above 0 the true code is the only one; None where so many pairs were not tried. encoder: what the encoder leaves unexplained.
    """

    sources: list[int]
    size: float
    latent: int
    should: float
    gives: float
    error: float
    relative: float
    active: int
    unexplained: float
    distinct: float | None


@dataclass(frozen=True)
class Answer:
    """What a solver gives on the worst input. error, relative: as of the encoder; gap: the certificate's; proof: what stands behind it."""

    method: str
    problem: str
    error: float
    relative: float
    gap: float
    proof: str


@dataclass(frozen=True)
class TheoremRecord:
    """Everything that `sparsegap theorem` says.

    size: σ of a source, and size_from where it is from. universal ≤ lower ≤ the worst error ≤ upper, as `worst.Worst`. exact: no input of
    one or two such sources is worse than the worst one here. judged: latents looked at, of `atoms`; of very many a sample, and then there
    is no universal. rank: of the atoms. escapes: None, or
    why the theorem does not speak of the encoder; then only `spectra` are there.
    """

    encoder: str
    name: str
    atoms: int
    width: int
    rank: int
    spectra: list[Singular]
    escapes: str | None = None
    size: float = 1.0
    size_from: str = ""
    judged: int = 0
    pairs: int = 0
    signs: Signs | None = None
    one: WorstInput | None = None
    two: WorstInput | None = None
    universal: float = 0.0
    lower: float = 0.0
    upper: float = 0.0
    exact: bool = False
    tried: int = 0
    answers: tuple[Answer, ...] = ()
    products: list[list[float]] | None = None
    seconds: float = 0.0

    @property
    def sampled(self) -> bool:
        """Whether only some of the latents that have a source were judged."""
        return self.signs is not None and self.signs.others > self.judged * (self.judged - 1)

    @property
    def worst(self) -> WorstInput | None:
        """The worse of the two inputs."""
        if self.one is None or self.two is None:
            return None
        return self.two if self.two.error >= self.one.error else self.one

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return asdict(self)
