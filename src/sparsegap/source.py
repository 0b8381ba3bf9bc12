"""Sources: activations made from a dictionary that is known, an endless numbered stream of them.

    source = parse_source("uniform:atoms=1000,width=200,active=20,seed=3")
    sample = source.batch(7, 2048)      # batch 7 of the stream, the same one whenever it is asked for: sample.x, sample.codes
    held_out = source.test(10_000)      # never part of the stream
"""

from __future__ import annotations

import inspect
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any, Literal, cast

from torch import Tensor

from sparsegap.codes import Codes
from sparsegap.dictionary import Dictionary
from sparsegap.errors import InputError
from sparsegap.options import parse_options
from sparsegap.registry import member, options

Split = Literal["in", "out"]


@dataclass(frozen=True, eq=False)
class Sample:
    """Activations and the codes that they were made from: x = dictionary.decode(codes) + noise. x: (n, d) float32."""

    x: Tensor
    codes: Codes

    def __len__(self) -> int:
        return self.x.shape[0]


class Source(ABC):
    """A stream of activations whose true dictionary and codes are known. width: d."""

    width: int

    @property
    @abstractmethod
    def dictionary(self) -> Dictionary:
        """The truth, (m, d)."""

    @property
    @abstractmethod
    def nonnegative(self) -> bool:
        """Whether every true code is ≥ 0."""

    @property
    def n_atoms(self) -> int:
        """m."""
        return self.dictionary.n_atoms

    @abstractmethod
    def batch(self, number: int, n: int) -> Sample:
        """Samples [number·n, (number + 1)·n) of the training stream; the same ones whenever they are asked for, in any order."""

    @abstractmethod
    def test(self, n: int, split: Split | None = None) -> Sample:
        """The first n held-out samples: the same ones every time, and none of the training stream.

        split: "in", distributed as the training stream; "out", shifted, where the source has a shift; None, what the source is about.
        """

    @abstractmethod
    def describe(self) -> dict[str, Any]:
        """Name and options, ready for JSON; `member("sources", name)(**rest)` makes the same source again."""


def parse_source(text: str) -> Source:
    """A source from `name:option=value,option=value`, as `sparsegap fit --source` takes it; `sparsegap list sources` shows the names.

    Raises InputError for an unknown name or option, a value that its type does not allow, or a required option that is missing.
    """
    name, _, rest = text.partition(":")
    name = name.strip().replace("-", "_")
    make = member("sources", name)
    given = parse_options(name, make, [item for item in rest.split(",") if item.strip()])
    required = [option for option, parameter in options(make).items() if parameter.default is inspect.Parameter.empty]
    missing = [option for option in required if option not in given]
    if missing:
        example = ",".join(f"{option}=..." for option in required)
        raise InputError(f"the source '{text}' lacks {', '.join(missing)}; write {name}:{example}")
    return cast(Source, make(**given))
