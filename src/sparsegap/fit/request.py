"""What a person asks of one run, and what follows from it: the learner, the encoder, and which of the two each option is for."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, cast

from torch import Tensor

from sparsegap import registry
from sparsegap.dictionary import Dictionary
from sparsegap.encoder import Amortised
from sparsegap.errors import InputError
from sparsegap.learning.learner import Learner, Task

JOINT, REGRESSION, DISTIL = "joint", "regression", "distil"
# Keyword-only parameters of a learner or an encoder that the request itself decides.
DECIDED = ("encoder", "encoder_options", "teacher", "start", "k")


@dataclass(frozen=True)
class Request:
    """One run.

    name: an encoder ("topk") or a learner ("online"). k: active atoms of a sample. atoms, steps: None for what the data suggest.
    dictionary: atoms that are known and stay. teacher: a solver whose codes on that dictionary the encoder learns.
    start: an encoder, reading raw activations, whose codes that training begins at.
    options: of the learner and of the encoder, by name. label: what to call the run among others; its sub-folder.
    """

    name: str
    k: int
    atoms: int | None = None
    steps: int | None = None
    seed: int = 0
    dictionary: Dictionary | None = None
    teacher: str | None = None
    options: Mapping[str, Any] = field(default_factory=dict)
    label: str = ""
    start: Amortised | None = None


@dataclass(frozen=True)
class Progress:
    """Where a run stands: loss, fvu (unexplained share of the variance) and l0 are means over the last few batches, before each was learned
    from; dead is a share of the atoms. held_out: FVU on held-out rows when it was last measured, NaN before. resumed_at: its first step.
    """

    step: int
    steps: int
    fvu: float
    dead: float
    samples_per_second: float
    resumed_at: int
    loss: float = float("nan")
    l0: float = float("nan")
    held_out: float = float("nan")
    label: str = ""


@dataclass(frozen=True)
class Plan:
    """A request with everything decided. known: the dictionary as it was given; the task's is in the units of training."""

    label: str
    learner: str
    encoder: str | None
    task: Task
    teacher: str | None
    options: dict[str, Any]
    encoder_options: dict[str, Any]
    known: Dictionary | None = None
    start: Amortised | None = None

    def make(self) -> Learner:
        """A new learner, not begun. Raises InputError for options that make no sense."""
        made = registry.member("learners", self.learner)
        taken = registry.options(made)
        given = dict(self.options)
        if "encoder" in taken and self.encoder is not None:
            given["encoder"] = self.encoder
        if "encoder_options" in taken:
            given["encoder_options"] = self.encoder_options
        if "teacher" in taken and self.teacher is not None:
            given["teacher"] = self.teacher
        if self.start is not None:
            if "start" not in taken:
                raise InputError(f"{self.learner} has no use for a start: with a dictionary and a teacher the student begins there")
            given["start"] = self.start
        return cast(Learner, made(self.task, **given))

    def recipe(self) -> dict[str, Any]:
        """What decides the result besides the data: compared when a folder is gone on with."""
        task = self.task
        told: dict[str, Any] = {"learner": self.learner, "encoder": self.encoder, "atoms": task.atoms, "k": task.k, "steps": task.steps,
                                "batch": task.batch, "seed": task.seed, "width": task.width, "device": task.device}
        if task.dictionary is not None:
            told["dictionary"] = fingerprint(task.dictionary)
        if self.teacher is not None:
            told["teacher"] = self.teacher
        if self.start is not None:
            told["start"] = _hash(*self.start.state_dict().values())
        told |= {name: value for name, value in self._defaults().items() if name not in told}
        return cast(dict[str, Any], json.loads(json.dumps(told | self.options | self.encoder_options, default=repr)))

    def _defaults(self) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for folder, name in (("encoders", self.encoder), ("learners", self.learner)):
            if name is not None:
                parameters = registry.options(registry.member(folder, name))
                found |= {option: p.default for option, p in parameters.items() if p.default is not p.empty and option not in DECIDED}
        return found


def fingerprint(dictionary: Dictionary) -> str:
    """A short hash of the atoms and the bias."""
    return _hash(dictionary.atoms, dictionary.bias)


def _hash(*tensors: Tensor) -> str:
    digest = hashlib.sha256()
    for tensor in tensors:
        digest.update(tensor.detach().cpu().float().numpy().tobytes())
    return digest.hexdigest()[:16]


def members_of(request: Request, codes: bool) -> tuple[str, str | None]:
    """Names of the learner and of the encoder that a request means, codes: whether true codes come with the data. Raises InputError."""
    if request.name in registry.names("learners"):
        if request.teacher is not None and request.name != DISTIL:
            raise InputError(f"a teacher is for an encoder that learns a solver's codes, such as topk; {request.name} is a learner")
        parameter = registry.options(registry.member("learners", request.name)).get("encoder")
        default = None if parameter is None or parameter.default is parameter.empty else parameter.default
        return request.name, request.options.get("encoder", default)
    if request.name not in registry.names("encoders"):
        encoders, learners = (", ".join(registry.names(folder)) for folder in ("encoders", "learners"))
        raise InputError(f"there is no encoder '{request.name}'; there are: {encoders}; and the learners: {learners}")
    if request.teacher is not None:
        if request.dictionary is None:
            raise InputError(f"{request.teacher} teaches its codes on a dictionary that is known: give the dictionary")
        return DISTIL, request.name
    return (REGRESSION if codes else JOINT), request.name


def split_options(learner: str, encoder: str | None, given: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """The learner's options and the encoder's; one that both have goes to both. Raises InputError for one that neither has."""
    of_learner = _known("learners", learner)
    of_encoder = {} if encoder is None else _known("encoders", encoder)
    for option in given:
        if option not in of_learner and option not in of_encoder and option != "encoder":
            who = learner if encoder is None else f"{encoder} by {learner}"
            raise InputError(f"{who} has no option '{option}'. It has: {', '.join([*of_learner, *of_encoder]) or 'none'}.")
    return tuple({option: value for option, value in given.items() if option in known}  # type: ignore[return-value]
                 for known in (of_learner, of_encoder))


def option_owner(learner: str, encoder: str | None, option: str) -> Callable[..., Any] | None:
    """The class whose annotation says how a text becomes the value of an option."""
    for folder, name in (("learners", learner), ("encoders", encoder)):
        if name is not None and option in _known(folder, name):
            return cast(Callable[..., Any], registry.member(folder, name))
    return None


def _known(folder: str, name: str) -> dict[str, Any]:
    return {option: p for option, p in registry.options(registry.member(folder, name)).items() if option not in DECIDED}


def require_labels(requests: Sequence[Request]) -> None:
    """Raise InputError where runs could not be told apart."""
    if not requests:
        raise InputError("nothing to fit: give at least one request")
    labels = [request.label for request in requests]
    if len(set(labels)) < len(labels):
        raise InputError(f"the labels of several runs must differ, not {', '.join(map(repr, labels))}")
