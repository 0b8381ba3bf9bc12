"""fit: data → stream → one plan a run → batches, each read once and given to every run → checkpoints.

A run with a folder leaves its whole state there (training.safetensors, replaced at once or not at all) and a line per few steps in
training.jsonl. Killed and started again with the same request it goes on from the last state and ends with the same bits.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from torch import Tensor

from sparsegap.codes import Codes
from sparsegap.dictionary import Dictionary
from sparsegap.encoder import Amortised
from sparsegap.fit.request import Progress, Request
from sparsegap.source import Source

if TYPE_CHECKING:
    from sparsegap.activations import Activations
    from sparsegap.checkpoints import Checkpoint

    Data = Activations | Tensor | Source | str | Path


def fit(name: str, data: Data, *, k: int, atoms: int | None = None, steps: int | None = None, batch: int | None = None, seed: int = 0,
        out: str | Path | None = None, dictionary: Dictionary | str | Path | None = None, codes: Codes | str | Path | bool | None = None,
        teacher: str | None = None, start: Amortised | str | Path | None = None, validate: Data | None = None,
        patience: int | None = None, normalise: str = "none", keep_every: int = 200, device: str = "cpu",
        report: Callable[[Progress], None] | None = None, tensorboard: bool = False, **options: Any) -> Checkpoint:
    """Train an encoder and a dictionary, or one of the two, on activations (n, d).

    name: an encoder ("topk") or a learner ("online"); `sparsegap list` shows both. What is known decides what is learned: nothing, an
    encoder and atoms; `dictionary` (a Dictionary or a path), an encoder for atoms that stay; `codes` (of every row; True for a source,
    which knows its own), an encoder and atoms that give these codes; `dictionary` and `teacher` (a solver, "omp"), an encoder that gives
    the solver's codes; with `codes` too, those are taken for the solver's, and need not be found again with every epoch. start: of the
    latter, an encoder for these atoms (or the path of its checkpoint) that the student begins as.
    data: activations, a tensor, a path, or a source. atoms: m; known with a dictionary or codes. steps: by default `default_steps`. batch:
    rows a step, by default what the learner prefers. out: a folder for the checkpoint; a run stopped there goes on when called with the
    same request, and a finished one is opened. validate: rows to judge by, twenty times over the run, with codes as the learner reads them;
    patience: end after so many verdicts without a better one, and save the best state. normalise: see `scale_for`; what is saved reads raw
    activations. keep_every: steps between saved states. report: called every few steps. options: of the learner and of the encoder.
    Cost: `expected` measures it beforehand. Raises InputError for a request that makes no sense, a batch with NaN (naming it; the last
    state stays), or a folder that holds something else.
    """
    request = Request(name, k, atoms, steps, seed, _dictionary(dictionary), teacher, options, start=_encoder(start))
    return fit_all([request], data, batch=batch, seed=seed, out=out, codes=codes, validate=validate, patience=patience, normalise=normalise,
                   keep_every=keep_every, device=device, report=report, tensorboard=tensorboard)[0]


def fit_all(requests: Sequence[Request], data: Data, *, batch: int | None = None, seed: int = 0, out: str | Path | None = None,
            codes: Codes | str | Path | bool | None = None, validate: Data | None = None, patience: int | None = None,
            normalise: str = "none", keep_every: int = 200, device: str = "cpu", report: Callable[[Progress], None] | None = None,
            tensorboard: bool = False) -> list[Checkpoint]:
    """Several runs over one stream: each batch is read once and given to every run. Each ends with the bits it would have alone.

    A request's label is its folder within `out`; labels must differ where there are several. batch: where it is not given, the largest that
    a run prefers. The rest as in `fit`.
    """
    from sparsegap.fit.session import Session, follow

    session = Session.of(requests, data, batch=batch, seed=seed, codes=codes, validate=validate, patience=patience, normalise=normalise,
                         device=device)
    return follow(session, None if out is None else Path(out), keep_every=keep_every, report=report, tensorboard=tensorboard)


def _dictionary(given: Dictionary | str | Path | None) -> Dictionary | None:
    if given is None or isinstance(given, Dictionary):
        return given
    from sparsegap.checkpoints import open_dictionary

    return open_dictionary(given)


def _encoder(given: Amortised | str | Path | None) -> Amortised | None:
    if given is None or isinstance(given, Amortised):
        return given
    from sparsegap.checkpoints import open_checkpoint

    return open_checkpoint(given).encoder
