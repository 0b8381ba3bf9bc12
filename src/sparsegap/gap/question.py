"""What `gap` is asked, and how it goes about it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

from sparsegap.codes import Codes
from sparsegap.dictionary import Dictionary
from sparsegap.encoder import Encoder
from sparsegap.errors import InputError

if TYPE_CHECKING:
    from sparsegap.activations import Activations


class Progress(NamedTuple):
    """Where a run is: what it does now, the fraction of it that is done, and the seconds to expect in all where they can be told."""

    stage: str
    fraction: float
    expected: float | None = None


Report = Callable[[Progress], object]


@dataclass(frozen=True, eq=False)
class Plan:
    """How `gap` runs.

    rows: evaluated, in whole contexts drawn at random until they are reached (None: all). frontier_rows, control_rows, train_rows: the same
    for the curves of error against atoms, for the controls, and for the refit of the atoms. batch: rows measured together.
    lambdas: of the lasso frontier (None: half, once and twice the λ whose mean L0 is the encoder's). resamples: of the bootstrap.
    precision: of the passes over all atoms. tolerance: of a lasso certificate. quick: fewer rows and points, for a first look.
    """

    rows: int | None = None
    frontier_rows: int = 4096
    control_rows: int = 2048
    train_rows: int = 12_288
    batch: int = 1024
    lambdas: Sequence[float] | None = None
    resamples: int = 1000
    precision: str = "auto"
    tolerance: float = 1e-4
    quick: bool = False
    seed: int = 0

    @classmethod
    def of(cls, given: dict[str, Any]) -> Plan:
        """A plan from keyword arguments. Raises InputError for one that does not exist, or a number out of range."""
        for name in given:
            if name not in cls.__dataclass_fields__:
                raise InputError(f"gap has no option '{name}'. It has: {', '.join(cls.__dataclass_fields__)}.")
        quick = {"frontier_rows": 1024, "control_rows": 1024, "train_rows": 6144, "resamples": 500} if given.get("quick") else {}
        plan = cls(**(quick | given))
        for name in ("rows", "frontier_rows", "control_rows", "train_rows", "batch"):
            value = getattr(plan, name)
            if value is not None and value < 1:
                raise InputError(f"{name} must be at least 1, not {value}")
        for penalty in plan.lambdas or ():
            if not 0 < penalty < float("inf"):
                raise InputError(f"every lambda must be a finite number > 0, not {penalty:g}")
        return plan


@dataclass(frozen=True, eq=False)
class Question:
    """What is asked: the encoder on the dictionary, judged on activations; what is known of training rows and of the truth."""

    dictionary: Dictionary
    encoder: Encoder
    activations: Activations
    train: Activations | None = None
    truth: Dictionary | None = None
    true_codes: Codes | None = None
    nonnegative: bool | None = None
    held_out: bool = False
    names: tuple[str, str] = ("dictionary", "encoder")
    title: str = "the amortisation gap"

    def check(self) -> None:
        """Raise InputError where the pieces do not fit together."""
        width = self.dictionary.width
        for what, recording in (("activations", self.activations), ("training activations", self.train)):
            if recording is not None and recording.d != width:
                raise InputError(f"the {what} are {recording.d} wide, but the dictionary's atoms are {width}")
        if self.truth is not None and self.truth.width != width:
            raise InputError(f"the true atoms are {self.truth.width} wide, but the dictionary's are {width}")
        if self.true_codes is not None and len(self.true_codes) != self.activations.rows:
            raise InputError(f"there are true codes of {len(self.true_codes)} samples, but {self.activations.rows} activations")
