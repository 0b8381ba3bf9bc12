"""The record of a finished measurement: its inputs, its machine, its figures and its words."""

from __future__ import annotations

import statistics
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

import torch

from sparsegap.code_store import dictionary_sha256
from sparsegap.gap.account import Account, latents_of
from sparsegap.gap.controls import components_for
from sparsegap.gap.features import feature_scores
from sparsegap.gap.pilot import DOMINATES, Pilot
from sparsegap.gap.question import Plan, Question
from sparsegap.gap.survey import Survey
from sparsegap.gap.words import answer, limits
from sparsegap.gap_record import DEFINITIONS, Dimension, GapRecord, Inputs, Machine, Settings, Variance
from sparsegap.screen import resolve_precision
from sparsegap.shards import package_versions

MATCHED = {"omp": "omp", "lasso, refit": "lasso-matched-refit"}


def summarise(question: Question, plan: Plan, found: Survey, pilot: Pilot, began: float) -> GapRecord:
    """Everything that `gap` found, as data."""
    generator = torch.Generator().manual_seed(plan.seed)
    account = Account(pilot.measurement, pilot.counted, plan.resamples, generator, plan.tolerance)
    rungs = account.rungs()
    by_name = {rung.name: rung for rung in rungs}
    shares = account.shares()
    matches = [m for series, at_own in MATCHED.items() if at_own in by_name for m in [account.match(series, at_own)] if m is not None]
    components = components_for(found.covariance, by_name["own"].fvu.value)
    return GapRecord(
        title=question.title,
        inputs=_inputs(question, plan, found, pilot, by_name["own"].contexts),
        settings=_settings(question, plan, pilot),
        machine=_machine(pilot, began),
        variance=_variance(found),
        rungs=rungs,
        shares=shares,
        matched=matches,
        latents=latents_of(pilot.measurement.latents, "best"),
        shrinkage=account.shrinkage(),
        features=feature_scores(question, pilot),
        says=answer(by_name, {s.name: s for s in shares}, {m.method: m for m in matches}, components),
        does_not_show=limits(
            by_name,
            held_out=question.held_out,
            truth=question.truth is not None or question.true_codes is not None,
            recorded=found.recorded,
            refit=pilot.refit is not None,
        ),
        warnings=_warnings(question, found, pilot),
        definitions=DEFINITIONS,
    )


def _inputs(question: Question, plan: Plan, found: Survey, pilot: Pilot, contexts: int) -> Inputs:
    d = question.dictionary
    source: Literal["recorded", "blocks of consecutive rows"] = "recorded" if found.recorded else "blocks of consecutive rows"
    return Inputs(
        dictionary=question.names[0],
        atoms_sha256=dictionary_sha256(d),
        n_atoms=d.n_atoms,
        width=d.width,
        zero_atoms=int((d.norms == 0).sum()),
        norm_median=float(d.norms.median()),
        encoder=question.names[1],
        nonnegative=pilot.measurement.frame.nonnegative,
        activations=question.activations.description,
        rows=int(found.sizes[pilot.chosen].sum()),
        rows_available=found.rows,
        contexts=int(pilot.chosen.sum()),
        context_source=source,
        held_out=question.held_out,
        train=None if question.train is None else question.train.description,
        train_rows=pilot.refit.rows if pilot.refit else 0,
        truth=question.truth is not None or question.true_codes is not None,
    )


def _settings(question: Question, plan: Plan, pilot: Pilot) -> Settings:
    precision = resolve_precision(plan.precision, torch.float32, question.dictionary.atoms.device)
    return Settings(
        seed=plan.seed,
        rows=plan.rows,
        lambdas=None if plan.lambdas is None else list(plan.lambdas),
        batch=plan.batch,
        precision=precision,
        tolerance=plan.tolerance,
        bootstrap=plan.resamples,
        quick=plan.quick,
    )


def _machine(pilot: Pilot, began: float) -> Machine:
    timings = pilot.measurement.tallies["own"].timings
    return Machine(
        versions=package_versions("numpy", "numba"),
        device=str(pilot.measurement.frame.dictionary.atoms.device),
        processor=_processor(),
        threads=torch.get_num_threads(),
        encoder_pass_seconds_per_1000=1000 * statistics.median(t.pass_seconds / t.rows for t in timings),
        started=datetime.fromtimestamp(began, UTC).isoformat(timespec="seconds"),
        seconds=round(time.time() - began, 2),
    )


def _processor() -> str:
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "unknown")


def _variance(found: Survey) -> Variance:
    shares = found.variance_shares
    order = [int(i) for i in shares.argsort(descending=True) if float(shares[i]) > DOMINATES]
    return Variance(
        total=float(found.covariance.diagonal().sum()),
        threshold=DOMINATES,
        dominating=[Dimension(dimension=i, share=float(shares[i])) for i in order],
    )


def _warnings(question: Question, found: Survey, pilot: Pilot) -> list[str]:
    own = pilot.measurement.tallies["own"]
    said = []
    silent = int(own.histogram[0])
    if silent:
        said.append(f"The encoder has no active atom in {silent:,} of {own.n:,} rows.")
    if len(pilot.measurement.frame.scopes["all"]) < 20:
        said.append(f"Only {int(pilot.chosen.sum())} contexts: intervals from so few are rough.")
    if not found.recorded:
        said.append("The recording does not name contexts; blocks of 128 consecutive rows stand in for them.")
    if question.train is not None and pilot.refit is not None and pilot.refit.pull is None:
        said.append("Refitting the atoms on the training rows did not lower the error on its validation rows, so no rung shows it.")
    return said
