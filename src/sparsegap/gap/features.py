"""Codes against the truth, where it is known: not how well they reconstruct but whether they are the right ones."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from sparsegap.codes import Codes
from sparsegap.gap_record import Features
from sparsegap.metrics.mcc import mcc
from sparsegap.metrics.support import support

if TYPE_CHECKING:
    from sparsegap.gap.pilot import Pilot
    from sparsegap.gap.question import Question

SCORED = ("own", "refit", "htp", "warm", "omp", "prune", "best", "dictionary", "true")


def feature_scores(question: Question, pilot: Pilot) -> Features | None:
    """MCC of the rungs with the true codes, and support F1 of those whose atoms are the true ones. None without true codes."""
    if question.true_codes is None:
        return None
    kept = pilot.measurement.kept
    found = {name: Codes.concatenate(parts) for name, parts in kept.items() if parts}
    truth = question.true_codes[torch.cat(pilot.measurement.kept_rows)]
    same = question.dictionary if question.truth is None else question.truth
    aligned = same.atoms.shape == question.dictionary.atoms.shape and torch.equal(same.atoms, question.dictionary.atoms)
    comparable = {name for name in found if name == "true" or (aligned and name != "dictionary")}
    return Features(
        mcc={name: mcc(codes, truth) for name, codes in found.items()},
        support_f1={name: support(found[name], truth).f1 for name in found if name in comparable},
    )
