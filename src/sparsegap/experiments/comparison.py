"""What encoders and solvers recover of a known truth, and what that costs: one dictionary a trial, read in several ways."""

from __future__ import annotations

from typing import Any

import torch

from sparsegap.cost import Counter, epu_seconds, measure
from sparsegap.encoder import Encoder
from sparsegap.recovery import recovery
from sparsegap.scenarios import (
    CALIBRATION,
    FAR,
    Learned,
    LearnerName,
    Lesson,
    Scenario,
    SourceText,
    active_of,
    is_encoder,
    learn,
    of_seed,
    passes_of_a_step,
    require_sizes,
    size_of,
)
from sparsegap.source import Source
from sparsegap.ways_to_read import ReadingName, known_reading, reading

VERSION = 1
Row = dict[str, Any]
PARTS = ("dictionary", "pearson", "codes", "features", "supports", "reconstruction")
COUNTED, TIMED = 128, 1024
SCORES = {
    "latent_mcc": "code_mcc", "latent_mcc_chance": "code_mcc_chance", "dictionary_mcc": "dictionary_mcc",
    "dictionary_mcc_chance": "dictionary_mcc_chance", "dictionary_pearson": "greedy_pearson",
    "dictionary_pearson_chance": "greedy_pearson_chance", "found": "recall_95", "found_80": "recall_80", "support_f1": "support_f1",
    "support_precision": "support_precision", "support_recall": "support_recall", "exact_support": "exact_support",
    "feature_f1": "feature_f1", "fvu": "fvu", "l0": "l0", "l0_truth": "l0_truth", "dead": "dead", "shrinkage": "shrinkage",
}
COLUMNS = ("method", "reader", "dictionary_is", "flops_train", "seconds_train", "flops_inference", "seconds_inference", "epu",
           "samples_seen", *SCORES)


def comparison(*, source: SourceText, learner: LearnerName = "topk", scenario: Scenario = "learned",
               readers: list[ReadingName] | None = None, k: float | None = None, model_atoms: int | None = None, steps: int = 500,
               batch: int | None = None, rate: float | None = None, options: list[str] | None = None, test: int = 4096,
               name: str | None = None, seeds: list[int]) -> list[Row]:
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
    ways = readers or (["own"] if scenario != "truth" and is_encoder(learner) else ["omp"])
    for way in ways:
        known_reading(way)
    rows: list[Row] = []
    for seed in seeds:
        truth = of_seed(source, seed)
        active = active_of(truth, source, k)
        made = learn(truth, Lesson(learner, active, model_atoms, steps, batch, rate, options or []), scenario, seed)
        calibration = truth.batch(FAR // CALIBRATION, CALIBRATION).x
        for way in ways:
            encoder = reading(way, made.encoder, made.dictionary, active, calibration)
            rows.append({"seed": seed, "reader": way, "method": _label(way, name or learner, scenario, learner)}
                        | _scores(truth, encoder, made, test) | _price(encoder, made, truth))
    return rows


def flops(**options: Any) -> float:
    """Training by the products of a step, sparse ones where the encoder counts; reading by four passes over the atoms."""
    atoms, width = size_of(options["source"])
    atoms, seeds = options["model_atoms"] or atoms, len(options["seeds"])
    require_sizes(atoms, options)
    steps = 0 if options["scenario"] == "truth" else options["steps"]
    passes = passes_of_a_step(options["learner"])
    reading_passes = 4.0 * options["test"] * len(options["readers"] or [""])
    return float(seeds * 2 * atoms * width * (passes * steps * (options["batch"] or 1024) + reading_passes))


def _label(reader: str, name: str, scenario: str, learner: str) -> str:
    if reader == "own":
        return name
    return reader if scenario == "truth" or not is_encoder(learner) else f"{name}+{reader}"


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
