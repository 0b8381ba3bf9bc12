"""gap: how much of an encoder's error is the encoder's, how much the dictionary's, and what better codes cost.

activations → survey (contexts, mean, covariance) → pilot (sign, λ, FLOPs, time to expect) → atoms refit on training rows → every step
on every batch → sums by context → intervals, shares and words → GapRecord. Memory holds one batch, whatever the size of the recording.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from sparsegap.codes import Codes
from sparsegap.dictionary import Dictionary
from sparsegap.encoder import Encoder
from sparsegap.errors import InputError
from sparsegap.gap.question import Plan, Progress, Question, Report

if TYPE_CHECKING:
    from sparsegap.activations import Activations
    from sparsegap.gap_record import GapRecord


def gap(
    dictionary: Dictionary,
    encoder: Encoder,
    activations: Tensor | Activations,
    *,
    contexts: Tensor | None = None,
    train: Tensor | Activations | None = None,
    truth: Dictionary | None = None,
    true_codes: Codes | None = None,
    nonnegative: bool | None = None,
    held_out: bool = False,
    names: tuple[str, str] = ("dictionary", "encoder"),
    title: str = "the amortisation gap",
    progress: Report = lambda _: None,
    **plan: Any,
) -> GapRecord:
    """The gap between an encoder's codes and the best that can be found on the same dictionary: its size, its price, and whose the rest is.

    activations: (n, d), or recorded ones. contexts: (n,) integers, the context of each row of a tensor; the intervals resample contexts,
    because the rows of one text depend on each other. train: other activations to refit the atoms on, for the dictionary's own share.
    truth, true_codes: the true atoms and the true codes of each row, where they are known. nonnegative: of the codes (None: as the
    encoder's).
    held_out: whether the encoder never saw these activations. names: of dictionary and encoder. plan: fields of `Plan` (rows, seed,
    quick, ...).
    Costs about 60 encoder passes over the rows. Raises InputError for widths that do not fit, NaN or Inf rows, no rows.

        record = gap(dictionary, encoder, x, contexts=context, rows=8192)
        print(*record.says, sep="\\n")
    """
    from sparsegap.gap.pilot import prepare
    from sparsegap.gap.summary import summarise
    from sparsegap.gap.survey import batches, survey

    began = time.time()
    how = Plan.of(plan)
    question = Question(
        dictionary,
        encoder,
        _recorded(activations, contexts),
        None if train is None else _recorded(train, None),
        truth,
        true_codes,
        nonnegative,
        held_out,
        names,
        title,
    )
    question.check()
    progress(Progress("reading the activations", 0.0))
    found = survey(question.activations)
    generator = torch.Generator().manual_seed(how.seed)
    pilot = prepare(question, how, found, generator, progress)
    work, done = pilot.batches, 0
    for number, batch in enumerate(batches(question.activations, found, pilot.chosen, how.batch)):
        done = number + 1
        pilot.measurement.add(batch)
        progress(Progress("measuring", min(1.0, done / work), pilot.expected))
    return summarise(question, how, found, pilot, began)


def _recorded(activations: Tensor | Activations, contexts: Tensor | None) -> Activations:
    from sparsegap.activations import Activations

    if not isinstance(activations, Tensor):
        if contexts is not None:
            raise InputError("contexts belong to a tensor of activations; a recording brings its own")
        return activations
    if contexts is not None and contexts.shape != activations.shape[:1]:
        raise InputError(f"contexts have shape {tuple(contexts.shape)}, but there are {len(activations)} activations")
    return Activations.of(activations, contexts)
