"""What a trial learns from a source with a known truth: nothing, an encoder for the true atoms, or atoms too; with what that cost."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Annotated, Any, Literal

from pydantic import AfterValidator

from sparsegap.cost import Counter
from sparsegap.dictionary import Dictionary
from sparsegap.encoder import Amortised
from sparsegap.errors import InputError, guess
from sparsegap.problem import Lasso
from sparsegap.registry import names as names_of
from sparsegap.source import Source, parse_source

Scenario = Literal["truth", "known", "distilled", "supervised", "learned"]
COUNTING = ("topk", "batch_topk")  # encoders whose codes are sparse by construction, so that a step needs few dense products
COUNTS = ("model_atoms", "steps", "batch", "iterations", "test")
CALIBRATION, FAR = 1024, 1 << 30  # rows by which penalties are set, and where in a source's samples they stand


@dataclass(frozen=True)
class Learned:
    """What a trial learned. flops, seconds: of all its training; samples: rows it learned from, each counted every time."""

    dictionary: Dictionary
    encoder: Amortised | None
    flops: float = 0.0
    seconds: float = 0.0
    samples: int = 0


@dataclass(frozen=True)
class Lesson:
    """How to learn, as the options of an experiment say it.

    learner: an encoder ("topk") or, where the dictionary is learned, a learner ("online"). k: active atoms. atoms: of the learned
    dictionary, None for as many as the truth. batch: rows of a step, None for what the learner prefers. rate: of learning, None for the
    learner's own. options: of the learner, name=value.
    """

    learner: str
    k: float
    atoms: int | None = None
    steps: int = 500
    batch: int | None = None
    rate: float | None = None
    options: Sequence[str] = ()

    def given(self, scenario: str) -> dict[str, Any]:
        """The options by name, read. Raises InputError for one that the learner does not have in this scenario."""
        from sparsegap.fit.request import Request, members_of, option_owner
        from sparsegap.options import parse_options

        of_learner, encoder = members_of(Request(self.learner, 1, dictionary=None, teacher=None), scenario == "supervised")
        of_learner = "distil" if scenario == "distilled" else of_learner
        read: dict[str, Any] = {}
        for text in [*self.options, *([] if self.rate is None else [f"rate={self.rate!r}"])]:
            name = text.partition("=")[0].strip().replace("-", "_")
            owner = option_owner(of_learner, encoder, name)
            if owner is None:
                raise InputError(f"{self.learner} in the scenario {scenario} has no option '{name}'")
            read |= parse_options(self.learner, owner, [text])
        return read


def learn(truth: Source, lesson: Lesson, scenario: Scenario, seed: int) -> Learned:
    """Learn from fresh samples of a source.

    scenario: "learned", atoms and encoder; "known", the encoder on the true atoms; "distilled", the same from OMP's codes; "supervised",
    from the true codes; "truth", nothing. Cost: the training, and one step more to count its operations.
    """
    from sparsegap.fit.request import Request
    from sparsegap.fit.session import Session, follow

    if scenario == "truth":
        return Learned(truth.dictionary, None)
    frozen = scenario in ("known", "distilled")
    atoms = None if frozen or scenario == "supervised" else lesson.atoms or truth.n_atoms
    request = Request(lesson.learner, max(1, round(lesson.k)), atoms, lesson.steps, seed, truth.dictionary if frozen else None,
                      "omp" if scenario == "distilled" else None, lesson.given(scenario))
    session = Session.of([request], truth, batch=lesson.batch, seed=seed, codes=scenario == "supervised")
    began = time.perf_counter()
    made = follow(session, None)[0]
    seconds = time.perf_counter() - began
    task = session.plans[0].task
    dictionary = truth.dictionary if scenario == "supervised" else made.dictionary
    encoder = made.encoder if is_encoder(lesson.learner) else None
    return Learned(dictionary, encoder, _step_flops(session) * task.steps, seconds, task.steps * task.batch)


def is_encoder(learner: str) -> bool:
    """Whether a name is that of an encoder, not of a learner without one."""
    return learner in names_of("encoders")


def of_seed(source: str, seed: int) -> Source:
    """The source that a text as `sparsegap fit --source` takes means, with the trial's seed."""
    return parse_source(f"{source}{',' if ':' in source else ':'}seed={seed}")


@lru_cache(maxsize=4096)
def size_of(source: str) -> tuple[int, int]:
    """Atoms and width of the source that a text means. Kept by the text: all trials of a study are priced before the first runs."""
    made = parse_source(source)
    return made.n_atoms, made.width


def _a_source(text: str) -> str:
    size_of(text)
    return text


def _a_learner(name: str) -> str:
    if name not in (known := [*names_of("encoders"), *names_of("learners")]):
        raise InputError(f"there is no encoder and no learner '{name}'; {guess(name, known, 'there are')}")
    return name


def _an_encoder(name: str) -> str:
    if not is_encoder(name):
        raise InputError(f"there is no encoder '{name}'; {guess(name, names_of('encoders'), 'there are')}")
    return name


# Options of experiments that a study file gives as words: what is wrong with one is told before anything runs.
SourceText = Annotated[str, AfterValidator(_a_source)]
LearnerName = Annotated[str, AfterValidator(_a_learner)]
EncoderName = Annotated[str, AfterValidator(_an_encoder)]


def require_sizes(atoms: int, options: Mapping[str, Any]) -> None:
    """Raise InputError unless k of so many atoms can be active, and of all that is counted there is at least one."""
    for name in COUNTS:
        number = options.get(name)
        if number is not None and number < 1:
            raise InputError(f"{name} must be at least 1, not {number}")
    k = options.get("k")
    if k is not None and not 0 < k <= atoms:
        raise InputError(f"k must be above 0 and at most the number of atoms, {atoms:,}, not {k:g}")


def active_of(source: Source, text: str, k: float | None) -> float:
    """k, or the source's own number of active atoms. Raises InputError where it has none."""
    active = k if k is not None else float(source.describe().get("active", 0))
    if not active:
        raise InputError(f"{text} has no one number of active atoms: say k")
    return active


def matched_lasso(truth: Source, k: float) -> Lasso:
    """The lasso on the true atoms at the penalty that leaves k of them active on average. Raises InputError where no penalty does.

    The penalty is set by samples that nobody learns from or is judged by.
    """
    from sparsegap.gap.pilot import matched_penalty

    penalty = matched_penalty(truth.dictionary, truth.batch(FAR // CALIBRATION, CALIBRATION).x, k, truth.nonnegative)
    if penalty is None:
        raise InputError(f"no penalty leaves {k:g} atoms active: the samples of this source are zero")
    return Lasso(truth.dictionary, penalty, truth.nonnegative)


def passes_of_a_step(learner: str) -> float:
    """About how many dense products with all atoms a training step makes a sample."""
    return 3.5 if not is_encoder(learner) else 1.5 if learner in COUNTING else 4.0


def _step_flops(session: Any) -> float:
    """Counted operations of a step in the middle of the run, by a learner of its own that is thrown away."""
    plan = session.plans[0]
    learner, number = plan.make(), max(1, plan.task.steps // 2)
    learner.begin(session.data.sample(learner.sample_rows))
    batch = session.data[0]
    with Counter(strict=False) as counter:
        learner.step(batch, number)
    return float(max(counter.flops, learner.flops()))
