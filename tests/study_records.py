"""Made-up records of studies, and stores of them, for the tests of figures and pages."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from sparsegap.study.plan import PLAN, Plan, Trial, trial_key
from sparsegap.study.records import Records, Row
from sparsegap.study.store import TRIALS

FINAL = {"sae": 0.57, "sae+ito": 0.58, "sc": 0.69, "mlp32": 0.62}
PRICE = {"sae": 1.3e6, "sae+ito": 1.3e6, "sc": 0.8e6, "mlp32": 5e6}


def noise(*words: object) -> float:
    """A number between −1 and 1 that is the same wherever Python runs."""
    return math.sin(sum(ord(letter) * (place + 1) for place, letter in enumerate(repr(words))))


def trained(methods: Sequence[str] = tuple(FINAL), seeds: int = 3, steps: int = 6) -> Records:
    """Curves over steps, faithful and corrected, with chance, both kinds of FLOPs and the step that validation chose."""
    rows: list[Row] = []
    for variant in ("faithful", "corrected"):
        for method in methods:
            for seed in range(seeds):
                for number in range(1, steps + 1):
                    final = FINAL.get(method, 0.6) + 0.01 * (variant == "corrected")
                    mcc = 0.42 + (final - 0.42) * (1 - math.exp(-number)) + 0.004 * noise(variant, method, seed, number)
                    step = 1000 * number
                    rows.append({
                        "study": "figure4", "block": "main", "variant": variant, "experiment": "both_unknown", "method": method,
                        "seed": seed, "step": step, "latent_mcc": mcc, "latent_mcc_chance": 0.42, "flops": PRICE.get(method, 2e6) * step,
                        "flops_paper": (60 if method == "sc" else 1.3) * PRICE.get(method, 2e6) * step, "best": number == steps - 1,
                    })  # fmt: skip
    return Records(rows, "Both unknown", "What is learned when neither is known?", "figure4", "full")


def grid() -> Records:
    """Two methods over N, M and K, without steps."""
    rows = [
        {"variant": "faithful", "method": method, "atoms": n, "width": m, "active": k, "seed": seed,
         "latent_mcc": 0.5 + 0.01 * seed + (0.1 if method == "sc" and m > 2 * k * math.log(n / k) else -0.02 if method == "sc" else 0.0)}
        for k in (3, 9) for n in (16, 32, 64) for m in (8, 16, 32) for seed in range(2) for method in ("sae", "sc")
    ]  # fmt: skip
    return Records(rows, study="figure5", setting="quick")


def ladder() -> Records:
    """Four methods at two levels, with the dictionary known and learned, and what training and inference cost."""
    methods = {"sae": (0.6, 1.0), "topk": (0.55, 1.2), "omp": (0.9, 50.0), "sc": (0.95, 900.0)}
    rows = [
        {"variant": "corrected", "method": method, "atoms": atoms, "dictionary": dictionary, "seed": seed, "flops_train": 1e9,
         "latent_mcc": quality - 0.1 * (dictionary == "learned") + 0.01 * noise(method, seed), "flops_inference": atoms * 30 * cost}
        for atoms in (16, 1000) for dictionary in ("known", "learned") for method, (quality, cost) in methods.items() for seed in range(3)
    ]  # fmt: skip
    return Records(rows, study="ladder", setting="full")


def priced() -> Records:
    """Three methods of which each is the cheapest for some number of samples when counted: up to 20, up to 5,000, and beyond."""
    bills = {"sc": (1e4, 1e3), "sae": (2.9e4, 50.0), "mlp32": (2.29e5, 10.0)}
    rows = [
        {"variant": "faithful", "method": method, "seed": seed, "flops_train": train, "flops_inference": inference,
         "flops_train_paper": train * (67 if method == "sc" else 1), "flops_inference_paper": inference, "latent_mcc": FINAL[method]}
        for method, (train, inference) in bills.items() for seed in range(2)
    ]  # fmt: skip
    return Records(rows, study="figure4", setting="full")


def penalised() -> Records:
    """L0, L1 and error of two methods over penalties."""
    rows = [
        {"variant": "corrected", "method": method, "l1": l1, "seed": seed, "l0": 8 / (1 + l1), "latent_mcc": 0.7 + extra - 0.1 * l1,
         "mse": 0.01 * (1 + l1) + 0.001 * seed}
        for method, extra in (("sae", 0.0), ("sc", 0.1)) for l1 in (0.01, 0.1, 1.0) for seed in range(3)
    ]  # fmt: skip
    return Records(rows, study="figure6", setting="full")


def decoders() -> Records:
    """Gram matrices of learned atoms, and the coherences in them."""
    rows = []
    for method in ("sae", "sc"):
        gram = [[1.0 if i == j else round(0.5 * noise(method, min(i, j), max(i, j)), 3) for j in range(4)] for i in range(4)]
        rows.append(
            {
                "variant": "corrected",
                "method": method,
                "seed": 0,
                "gram": gram,
                "coherences": [abs(gram[i][j]) for i in range(4) for j in range(i)],
            }
        )
    return Records(rows, study="figure9", setting="full")


def stored(
    folder: Path, records: Records, toml: str, *, failing: Sequence[str] = (), left_out: Sequence[str] = (), error: str = "ValueError: no"
) -> Path:
    """A store of the records with one trial for each method and variant; the methods `failing` raised, those `left_out` were not run."""
    folder.mkdir(parents=True, exist_ok=True)
    trials, lines = [], []
    for variant in records.values("variant"):
        for method in records.values("method"):
            rows = [row for row in records.rows if row["method"] == method and row["variant"] == variant]
            seeds = sorted({row["seed"] for row in rows})
            options: dict[str, Any] = {"method": method, "l1": 0.01 if variant == "faithful" else 0.05, "steps": 6000}
            key = trial_key("both_unknown", 1, options, seeds)
            trials.append(
                Trial(
                    key=key,
                    block="main",
                    variant=variant,
                    labels={},
                    experiment="both_unknown",
                    version=1,
                    options=options,
                    seeds=seeds,
                    swept=["method"],
                )
            )
            bad = method in failing
            place = {"study": records.study, "block": "main", "variant": variant, "labels": {}, "experiment": "both_unknown"}
            lines.append(
                {
                    "key": key,
                    **place,
                    "options": options,
                    "seeds": seeds,
                    "rows": [] if bad else rows,
                    "error": error if bad else None,
                    "seconds": 30.0,
                    "versions": {"sparsegap": "0.1.0"},
                    "device": "a processor",
                    "threads": 1,
                    "when": "2026-11-21T12:00:00Z",
                }
            )
    plan = Plan(study=records.study, title=records.title, about=records.about, setting=records.setting, trials=trials)
    (folder / PLAN).write_text(plan.model_dump_json())
    (folder / TRIALS).write_text("".join(json.dumps(line) + "\n" for line in lines if line["options"]["method"] not in left_out))
    (folder / "study.toml").write_text(toml)
    return folder
