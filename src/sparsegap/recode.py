"""Codes for a whole recording: a solver or an encoder over activations, part by part, into a codes store that a killed run goes on with."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import torch
from pydantic import JsonValue
from torch import Tensor

from sparsegap.activations import Activations
from sparsegap.code_store import CodesStore, CodesWriter, Quality, codes_request
from sparsegap.codes import Codes
from sparsegap.cost import Clock
from sparsegap.dictionary import Dictionary
from sparsegap.encoder import Encoder
from sparsegap.errors import InputError
from sparsegap.problem import KSparse, Lasso, Problem
from sparsegap.solve import choose, solve


class Watched(NamedTuple):
    """Rows coded so far, of how many, and the seconds that these took in this run."""

    done: int
    total: int
    seconds: float


@dataclass(frozen=True, eq=False)
class Coding:
    """How a recording is to be coded.

    method: a solver, "auto", or "encoder" for the encoder's own codes. k, penalty: of the problem; with an encoder to start from and
    neither, each sample keeps the encoder's own number of atoms. start: begin from the encoder's codes. solving: precision, chunk,
    memory, tolerance of `solve`. options: of the method.
    """

    method: str = "auto"
    k: int | None = None
    penalty: float | None = None
    nonnegative: bool = True
    start: bool = False
    solving: dict[str, Any] = field(default_factory=dict)
    options: dict[str, Any] = field(default_factory=dict)

    def check(self, encoder: Encoder | None) -> None:
        """Raise InputError where no single problem is named, or an encoder is needed that is not there."""
        if (self.start or self.method == "encoder") and encoder is None:
            raise InputError("the dictionary comes without an encoder, so there is nothing to start from: give a trained SAE")
        if self.method == "encoder":
            return
        if self.k is not None and self.penalty is not None:
            raise InputError("give k (a number of atoms) or a penalty (a lasso), not both")
        if self.k is None and self.penalty is None and not self.start:
            raise InputError("say what is wanted: k (a number of atoms), a penalty (a lasso), or the encoder's codes to start from")

    def problem(self, dictionary: Dictionary, own: Codes | None) -> Problem:
        """The problem of a batch."""
        if self.penalty is not None:
            return Lasso(dictionary, self.penalty, self.nonnegative)
        if self.k is not None:
            return KSparse(dictionary, self.k, self.nonnegative)
        assert own is not None
        return KSparse(dictionary, own.l0(), self.nonnegative)

    def described(self) -> dict[str, JsonValue]:
        """The problem for the manifest."""
        if self.method == "encoder":
            return {"kind": "encoder"}
        if self.penalty is not None:
            return {"kind": "Lasso", "penalty": self.penalty, "nonnegative": self.nonnegative}
        return {"kind": "KSparse", "k": self.k if self.k is not None else "the encoder's own", "nonnegative": self.nonnegative}


def recode(
    dictionary: Dictionary,
    activations: Activations,
    out: str | Path,
    coding: Coding,
    *,
    encoder: Encoder | None = None,
    name: str = "dictionary",
    watch: Callable[[Watched], object] = lambda _: None,
) -> CodesStore:
    """Write the codes of every row. `out` is new, empty, or left unfinished by the same request: then it goes on at the first missing part.

    The manifest says by which method, for which problem, and for each part how many rows are proven, the mean objective, L0 and cost.
    Raises InputError for a request that makes no sense, a width that does not fit, a folder that holds something else.
    """
    coding.check(encoder)
    if activations.d != dictionary.width:
        raise InputError(f"the activations are {activations.d} wide, but the dictionary's atoms are {dictionary.width}")
    _coded(dictionary, dictionary.bias[None], coding, encoder)  # a request that makes no sense fails here, before a folder is claimed
    method = coding.method if coding.method != "auto" else choose(coding.problem(dictionary, Codes.empty(0, dictionary.n_atoms)))
    options: dict[str, JsonValue] = {**coding.solving, **coding.options, "start": "encoder" if coding.start else None}
    request = codes_request(dictionary, name, activations.description, coding.described(), method, options)
    writer = CodesWriter(out, request)
    if not writer.complete:
        _write(writer, dictionary, activations, coding, encoder, watch)
    return CodesStore.open(out)


def _write(
    writer: CodesWriter,
    dictionary: Dictionary,
    activations: Activations,
    coding: Coding,
    encoder: Encoder | None,
    watch: Callable[[Watched], object],
) -> None:
    there, spent = writer.rows_done, 0.0
    quality = (writer.manifest.quality or ())[: len(writer.manifest.parts)]
    for batch in activations.batches(writer.manifest.rows_per_part):
        if batch.first < there:
            continue
        codes, found = _coded(dictionary, batch.activations, coding, encoder)
        quality = (*quality, found)
        writer.update(quality=quality)
        writer.append(codes)
        spent += found.seconds
        watch(Watched(batch.first + len(batch), activations.rows, spent))
    writer.finish()


def _coded(dictionary: Dictionary, x: Tensor, coding: Coding, encoder: Encoder | None) -> tuple[Codes, Quality]:
    with Clock() as clock:
        own = encoder.encode(x, None) if encoder is not None and (coding.start or coding.method == "encoder") else None
        if coding.method == "encoder":
            assert own is not None
            error = 0.5 * (x - dictionary.decode(own)).double().square().sum(1)
            codes, value, gap, passes = own, error, torch.full_like(error, torch.inf), 1.0
        else:
            problem = coding.problem(dictionary, own)
            found = solve(problem, x, coding.method, start=own, **coding.solving, **coding.options)
            codes, value, passes = found.codes, found.certificate.value, found.cost.passes
            gap = found.certificate.relative_gap.masked_fill(found.certificate.reason == 0, torch.inf)
    worst = float(gap.max()) if len(gap) else 0.0
    proven = int((gap <= coding.solving.get("tolerance", 1e-4)).sum())
    return codes, Quality(
        rows=len(x),
        proven=proven,
        worst_gap=worst if math.isfinite(worst) else None,
        objective=float(value.sum()),
        active=int(codes.l0().sum()),
        seconds=round(clock.seconds + clock.setup_seconds, 4),
        passes=passes,
    )
