"""What encoders and solvers recover of a known truth, and what that costs: one dictionary a trial, read in several ways."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any, Literal

import torch

from sparsegap.cost import Counter, epu_seconds, measure
from sparsegap.dictionary import Dictionary
from sparsegap.encoder import Amortised, Encoder
from sparsegap.errors import InputError
from sparsegap.recovery import recovery
from sparsegap.registry import names as names_of
from sparsegap.source import Source, parse_source
from sparsegap.ways_to_read import READINGS, reading

VERSION = 1
Row = dict[str, Any]
Scenario = Literal["truth", "known", "distilled", "supervised", "learned"]
PARTS = ("dictionary", "pearson", "codes", "features", "supports", "reconstruction")
COUNTING = ("topk", "batch_topk")
COUNTED, TIMED, CALIBRATION, FAR = 128, 1024, 1024, 1 << 30
SCORES = {
    "latent_mcc": "code_mcc", "latent_mcc_chance": "code_mcc_chance", "dictionary_mcc": "dictionary_mcc",
    "dictionary_mcc_chance": "dictionary_mcc_chance", "dictionary_pearson": "greedy_pearson",
    "dictionary_pearson_chance": "greedy_pearson_chance", "found": "recall_95", "found_80": "recall_80", "support_f1": "support_f1",
    "support_precision": "support_precision", "support_recall": "support_recall", "exact_support": "exact_support",
    "feature_f1": "feature_f1", "fvu": "fvu", "l0": "l0", "l0_truth": "l0_truth", "dead": "dead", "shrinkage": "shrinkage",
}
COLUMNS = ("method", "reader", "dictionary_is", "flops_train", "seconds_train", "flops_inference", "seconds_inference", "epu",
           "samples_seen", *SCORES)


@dataclass(frozen=True)
class Learned:
    """What a trial learned. flops, seconds: of all its training; samples: rows it learned from, each counted every time."""

    dictionary: Dictionary
    encoder: Amortised | None
    flops: float = 0.0
    seconds: float = 0.0
    samples: int = 0


def comparison(*, source: str, learner: str = "topk", scenario: Scenario = "learned", readers: list[str] | None = None,
               k: float | None = None, model_atoms: int | None = None, steps: int = 500, batch: int | None = None,
               rate: float | None = None, options: list[str] | None = None, test: int = 4096, name: str | None = None,
               seeds: list[int]) -> list[Row]:
    """Codes and atoms that a learner recovers from a source with a known truth, with what training and reading cost.

    source: as `sparsegap fit --source` takes it, "uniform:atoms=1000,width=200,active=20"; its seed is the trial's.
    learner: an encoder ("topk") or, where the dictionary is learned, a learner ("online"). scenario: "learned", both unknown; "known", the
    encoder on the true atoms; "distilled", the same from OMP's codes; "supervised", from the true codes; "truth": true atoms and nothing
    learned. readers: ways to read the atoms, by default the encoder's own where there is one, else omp; see `sparsegap.ways_to_read`.
    k: active atoms, by default the source's. model_atoms: size of the learned dictionary, by default the source's. options: of the
    learner, name=value. test: held-out samples. name: what to call the learner in the column `method`. One row a seed and reader;
    flops_inference, seconds_inference: of one sample, operations counted and seconds measured apart; epu: seconds in units of a float32
    encoder pass.
    """
    ways = readers or (["own"] if scenario != "truth" and _is_encoder(learner) else ["omp"])
    unknown = [way for way in ways if way not in READINGS]
    if unknown:
        raise InputError(f"there is no way to read called '{unknown[0]}'; there are: {', '.join(READINGS)}")
    rows: list[Row] = []
    for seed in seeds:
        truth = parse_source(f"{source}{',' if ':' in source else ':'}seed={seed}")
        active = k if k is not None else float(truth.describe().get("active", 0))
        if not active:
            raise InputError(f"{source} has no one number of active atoms: say k")
        made = _learn(truth, learner, scenario, active, model_atoms, steps, batch, rate, options or [], seed)
        calibration = truth.batch(FAR // CALIBRATION, CALIBRATION).x
        for way in ways:
            encoder = reading(way, made.encoder, made.dictionary, active, calibration)
            rows.append({"seed": seed, "reader": way, "method": _label(way, name or learner, scenario, learner)}
                        | _scores(truth, encoder, made, test) | _price(encoder, made, truth))
    return rows


def flops(**options: Any) -> float:
    """Training by the products of a step, sparse ones where the encoder counts; reading by four passes over the atoms."""
    source = parse_source(options["source"])
    atoms, width, seeds = options["model_atoms"] or source.n_atoms, source.width, len(options["seeds"])
    steps = 0 if options["scenario"] == "truth" else options["steps"]
    passes = 3.5 if not _is_encoder(options["learner"]) else 1.5 if options["learner"] in COUNTING else 4.0
    reading_passes = 4.0 * options["test"] * len(options["readers"] or [""])
    return float(seeds * 2 * atoms * width * (passes * steps * (options["batch"] or 1024) + reading_passes))


def _is_encoder(learner: str) -> bool:
    return learner in names_of("encoders")


def _label(reader: str, name: str, scenario: str, learner: str) -> str:
    if reader == "own":
        return name
    return reader if scenario == "truth" or not _is_encoder(learner) else f"{name}+{reader}"


def _learn(truth: Source, learner: str, scenario: str, k: float, model_atoms: int | None, steps: int, batch: int | None,
           rate: float | None, options: list[str], seed: int) -> Learned:
    from sparsegap.fit.request import Request
    from sparsegap.fit.session import Session, follow

    if scenario == "truth":
        return Learned(truth.dictionary, None)
    frozen = scenario in ("known", "distilled")
    request = Request(learner, max(1, round(k)), None if frozen or scenario == "supervised" else model_atoms or truth.n_atoms, steps, seed,
                      truth.dictionary if frozen else None, "omp" if scenario == "distilled" else None,
                      _options(learner, scenario, options, rate))
    session = Session.of([request], truth, batch=batch, seed=seed, codes=scenario == "supervised")
    began = time.perf_counter()
    made = follow(session, None)[0]
    seconds = time.perf_counter() - began
    task = session.plans[0].task
    has_encoder = _is_encoder(learner)
    dictionary = truth.dictionary if scenario == "supervised" else made.dictionary
    return Learned(dictionary, made.encoder if has_encoder else None, _step_flops(session) * task.steps, seconds, task.steps * task.batch)


def _options(learner: str, scenario: str, texts: list[str], rate: float | None) -> dict[str, Any]:
    from sparsegap.fit.request import Request, members_of, option_owner
    from sparsegap.options import parse_options

    request = Request(learner, 1, dictionary=None, teacher=None)
    of_learner, encoder = members_of(request, scenario == "supervised")
    of_learner = "distil" if scenario == "distilled" else of_learner
    given = [*texts, *([] if rate is None else [f"rate={rate!r}"])]
    read: dict[str, Any] = {}
    for text in given:
        name = text.partition("=")[0].strip().replace("-", "_")
        owner = option_owner(of_learner, encoder, name)
        if owner is None:
            raise InputError(f"{learner} in the scenario {scenario} has no option '{name}'")
        read |= parse_options(learner, owner, [text])
    return read


def _step_flops(session: Any) -> float:
    """Counted operations of a step in the middle of the run, by a learner of its own that is thrown away."""
    plan = session.plans[0]
    learner, number = plan.make(), max(1, plan.task.steps // 2)
    learner.begin(session.data.sample(learner.sample_rows))
    batch = session.data[0]
    with Counter(strict=False) as counter:
        learner.step(batch, number)
    return float(max(counter.flops, learner.flops()))


def _scores(truth: Source, encoder: Encoder, made: Learned, test: int) -> Row:
    scores = recovery(truth, encoder, made.dictionary, n=test, parts=PARTS)
    return {name: scores[known] for name, known in SCORES.items() if known in scores}


def _price(encoder: Encoder, made: Learned, truth: Source) -> Row:
    x = truth.batch(FAR // TIMED + 1, TIMED).x
    encoder.encode(x[:COUNTED])
    with Counter(strict=False) as counter:
        encoder.encode(x[:COUNTED])
    with torch.inference_mode():
        seconds = measure(lambda: encoder.encode(x), 3)
    return {
        "flops_train": made.flops, "seconds_train": made.seconds, "samples_seen": made.samples, "flops_inference": counter.flops / COUNTED,
        "seconds_inference": seconds / TIMED, "epu": seconds / epu_seconds(made.dictionary, TIMED, 3),
        "dictionary_is": "known" if made.dictionary is truth.dictionary else "learned",
    }
