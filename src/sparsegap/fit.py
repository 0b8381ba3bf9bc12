"""fit: train an encoder and its dictionary on recorded activations, and go on where a run was stopped.

A run with an `out` folder leaves its whole state there (`training.safetensors`, replaced at once or not at all) and a line per few steps in
`training.jsonl`. Killed and started again with the same request it goes on from the last state and ends with the same bits.
"""

from __future__ import annotations

import json
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from pydantic import BaseModel, ConfigDict, ValidationError
from torch import Tensor

from sparsegap import registry, weights
from sparsegap.activations import Activations, ActivationStore
from sparsegap.checkpoints import RECORD, Checkpoint, Metadata, open_checkpoint, save_checkpoint
from sparsegap.dictionary import Dictionary
from sparsegap.encoders.topk import TopK
from sparsegap.errors import InputError
from sparsegap.fit_batches import Batches
from sparsegap.fit_step import TopKState
from sparsegap.screen import multiplies_bf16
from sparsegap.shards import write_atomically

STATE, LOG = "training.safetensors", "training.jsonl"
LOG_EVERY = 10
SAMPLED_ROWS = 16_384
RATE = 8e-3
LEARNABLE = ("topk",)


class Recipe(BaseModel):
    """How to train. A recipe, the data and the machine decide every bit of the result.

    rate: Adam's peak learning rate, reached after `warmup` of the steps and falling linearly to 0 over the last `decay` of them.
    dead_after: samples without firing after which a latent is revived. half: find active latents in bfloat16.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)
    encoder: str = "topk"
    atoms: int
    k: int
    steps: int
    batch: int
    rate: float
    warmup: float = 0.05
    decay: float = 0.7
    dead_after: int
    seed: int
    half: bool
    rows: int
    width: int
    data: str

    def rate_at(self, number: int) -> float:
        """Learning rate of a step, counted from 1."""
        done = number / self.steps
        rising = min(1.0, done / self.warmup) if self.warmup > 0 else 1.0
        return self.rate * min(rising, (1 - done + 1 / self.steps) / self.decay if done > 1 - self.decay else 1.0)


@dataclass(frozen=True)
class Progress:
    """Where a run stands: fvu is the unexplained share of the variance over the last few batches, before each was learned from."""

    step: int
    steps: int
    fvu: float
    dead: float
    samples_per_second: float
    resumed_at: int


def fit(encoder: str, activations: Activations | Tensor, *, atoms: int, k: int, steps: int | None = None, batch: int = 1024,
        rate: float = RATE, seed: int = 0, out: str | Path | None = None, keep_every: int = 200,
        report: Callable[[Progress], None] | None = None) -> Checkpoint:
    """Train an encoder with `atoms` unit-norm atoms on activations (n, d).

    encoder: "topk" (the others come with a later release). steps: of `batch` rows each, by default `default_steps(n, batch)`. rate: peak
    learning rate of Adam. out: a folder for the checkpoint; a run stopped there goes on when called with the same request, and a finished
    one is opened. keep_every: steps between saved states. report: called every few steps.
    Cost a step: 2·batch·m·d FLOPs for the one dense product and 8·batch·k·d for the active atoms; memory: see `memory`.
    Raises InputError for a request that makes no sense, a batch with NaN, or a folder that holds something else; the last state stays.
    """
    source = Activations.of(activations) if isinstance(activations, Tensor) else activations
    recipe = make_recipe(encoder, source, atoms=atoms, k=k, steps=steps, batch=batch, rate=rate, seed=seed)
    folder = None if out is None else Path(out)
    if folder is not None and (done := finished(folder, recipe)) is not None:
        return done
    run = _Run(recipe, Batches(source, recipe.batch, seed), folder, keep_every, report)
    run.follow()
    return run.finish(source)


def make_recipe(encoder: str, source: Activations, *, atoms: int, k: int, steps: int | None = None, batch: int = 1024,
                rate: float = RATE, seed: int = 0) -> Recipe:
    """The whole recipe of a request, checked. Raises InputError."""
    if encoder not in LEARNABLE:
        registry.member("encoders", encoder)
        raise InputError(f"fit trains {' and '.join(LEARNABLE)} so far, not {encoder}: training the others comes with a later release")
    if atoms < 1:
        raise InputError(f"the number of atoms must be at least 1, not {atoms}")
    if not 1 <= k <= atoms:
        raise InputError(f"k must be between 1 and the number of atoms, {atoms}, not {k}")
    if steps is not None and steps < 1:
        raise InputError(f"the number of steps must be at least 1, not {steps}")
    if not 0 < rate < 1:
        raise InputError(f"the learning rate must be between 0 and 1, not {rate:g}")
    if batch < 1:
        raise InputError(f"a batch must have at least 1 row, not {batch}")
    rows = len(source)
    batch = min(batch, rows)
    return Recipe(encoder=encoder, atoms=atoms, k=k, steps=steps or default_steps(rows, batch), batch=batch, rate=rate, seed=seed,
                  dead_after=min(rows, 1_000_000), half=multiplies_bf16(torch.device("cpu")),
                  rows=rows, width=source.d, data=_fingerprint(source))


def default_steps(rows: int, batch: int) -> int:
    """Fourteen passes over the data, but at least 500 steps and at most 20 million samples."""
    return int(min(max(14 * rows / batch, 500), max(20e6 / batch, 1)))


def flops(recipe: Recipe) -> float:
    """Floating-point operations of a whole run."""
    return recipe.steps * recipe.batch * (2.0 * recipe.atoms * recipe.width + 8.0 * recipe.k * recipe.width)


def memory(recipe: Recipe) -> int:
    """Bytes that the state of a run takes."""
    return 26 * recipe.atoms * recipe.width


def seconds_per_step(recipe: Recipe, repeats: int = 4) -> float:
    """Measured seconds of a step on this machine, on random data of the recipe's shape; about a second in all."""
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(recipe.batch, recipe.width, generator=generator)
    state = TopKState.begin(x, recipe.atoms, generator, k=recipe.k, dead_after=recipe.dead_after, half=recipe.half)
    taken = []
    for number in range(1, repeats + 1):
        began = time.perf_counter()
        state.step(x, number, recipe.rate)
        taken.append(time.perf_counter() - began)
    return min(taken)


def finished(folder: Path, recipe: Recipe) -> Checkpoint | None:
    """The checkpoint in `folder` where this very request has already been carried out; None where it is still to do.

    Raises InputError where the folder holds a checkpoint of another request, or something else.
    """
    if not folder.is_dir():
        if folder.exists():
            raise InputError(f"{folder} is a file; give a new or empty folder")
        return None
    held = sorted(entry.name for entry in folder.iterdir() if not entry.name.startswith("."))
    if RECORD in held:
        checkpoint = open_checkpoint(folder)
        _same_request(folder, checkpoint.metadata.training.get("recipe"), recipe)
        return checkpoint
    if held and STATE not in held and held != [LOG]:
        raise InputError(f"{folder} already holds something else ({', '.join(held[:3])}); give a new or empty folder")
    return None


def _same_request(folder: Path, found: Any, recipe: Recipe) -> None:
    try:
        before = Recipe.model_validate(found).model_dump()
    except ValidationError as error:
        raise InputError(f"{folder} holds a checkpoint that fit did not write; give a new or empty folder") from error
    for name, asked in recipe.model_dump().items():
        if before[name] != asked:
            raise InputError(f"{folder} was begun with {name} = {before[name]}, and this asks for {asked}: "
                             "give another folder, or the same request")


def unexplained(made: Checkpoint, activations: Activations) -> float:
    """FVU of a checkpoint's own codes, Σ‖x − x̂‖² / Σ‖x − mean‖² over all rows, in one pass over the recording."""
    wrong, total, squares, n = 0.0, torch.zeros(activations.d, dtype=torch.float64), 0.0, 0
    for rows in activations.batches(4096):
        x = rows.activations
        wrong += float((x - made.dictionary.decode(made.encoder.encode(x))).double().square().sum())
        total, squares, n = total + x.double().sum(0), squares + float(x.double().square().sum()), n + len(x)
    return wrong / (squares - float(total.square().sum()) / n)


def _origin(source: Activations) -> tuple[dict[str, Any], str | None]:
    """What the recording says of itself, and the licences that travel with what is learned from it."""
    told = source.manifest.source if isinstance(source, ActivationStore) else None
    if told is None:
        return {"activations": source.description}, None
    licences = [f"model: {told.model_licence}" if told.model_licence else "", f"text: {told.text_licence}" if told.text_licence else ""]
    return {"activations": source.description, **told.model_dump(mode="json")}, "; ".join(filter(None, licences)) or None


def _fingerprint(source: Activations) -> str:
    """A few rows' hash: enough to tell other data of the same shape."""
    import hashlib

    return hashlib.sha256(source.load(64).activations.numpy().tobytes()).hexdigest()[:16]


class _Run:
    """One training run, from wherever it stands to its end."""

    def __init__(self, recipe: Recipe, batches: Batches, folder: Path | None, keep_every: int,
                 report: Callable[[Progress], None] | None) -> None:
        if keep_every < 1:
            raise InputError(f"states are kept every so many steps, at least 1, not {keep_every}")
        self.recipe, self.batches, self.folder, self.report = recipe, batches, folder, report
        self.keep_every = -(-keep_every // LOG_EVERY) * LOG_EVERY
        self.records: list[dict[str, Any]] = []
        self.done = 0
        self.state = self._resumed() or self._fresh()
        self.began_at = self.done

    def follow(self) -> None:
        """Take all remaining steps. Raises KeyboardInterrupt after saving where the person asks to stop."""
        began, window, recipe = time.perf_counter(), [], self.recipe
        with _stop_requests() as stopped:
            while self.done < recipe.steps:
                number = self.done + 1
                outcome = self.state.step(self._batch(self.done), number, recipe.rate_at(number))
                self.done = number
                window.append(outcome)
                if number % LOG_EVERY == 0 or number == recipe.steps:
                    speed = (number - self.began_at) * recipe.batch / (time.perf_counter() - began)
                    self._note(sum(o.fvu for o in window) / len(window), window[-1].dead, speed)
                    window = []
                    if stopped or number % self.keep_every == 0:
                        self._keep()
                    if stopped:
                        raise KeyboardInterrupt(self._where(number))

    def finish(self, source: Activations) -> Checkpoint:
        """The trained pair, saved where there is a folder."""
        t, recipe = self.state.tensors, self.recipe
        dictionary = Dictionary(t["atoms"].clone(), t["centre"].clone())
        encoder = TopK(t["weight"], t["bias"], t["centre"], k=recipe.k)
        told: dict[str, Any] = {"recipe": recipe.model_dump(), "samples": recipe.steps * recipe.batch, **self.records[-1]}
        origin, licence = _origin(source)
        metadata = Metadata(source=origin, training=told, licence=licence)
        if self.folder is not None:
            self._keep_log()
            save_checkpoint(self.folder, encoder, dictionary, metadata, centring=source.centring)
            (self.folder / STATE).unlink(missing_ok=True)
        return Checkpoint(encoder, dictionary, metadata, source.centring)

    def _batch(self, step: int) -> Tensor:
        try:
            return self.batches[step]
        except InputError as error:
            raise InputError(f"stopped before step {step + 1}: {error}; {self._safe()}") from error

    def _safe(self) -> str:
        if self.folder is None or not (self.folder / STATE).exists():
            return "no state was kept"
        return f"the last state kept in {self.folder} is good"

    def _where(self, number: int) -> str:
        kept = f", kept in {self.folder}: the same command goes on from there" if self.folder else ""
        return f"stopped at step {number} of {self.recipe.steps}{kept}"

    def _fresh(self) -> TopKState:
        recipe = self.recipe
        rows = self.batches.sample(max(recipe.atoms, SAMPLED_ROWS))
        generator = torch.Generator().manual_seed(recipe.seed)
        return TopKState.begin(rows, recipe.atoms, generator, k=recipe.k, dead_after=recipe.dead_after, half=recipe.half)

    def _resumed(self) -> TopKState | None:
        path = None if self.folder is None else self.folder / STATE
        if path is None or not path.exists():
            return None
        tensors = weights.read_weights(path)
        from safetensors import safe_open

        with safe_open(path, framework="pt") as file:
            told = json.loads((file.metadata() or {}).get("run", "{}"))
        _same_request(path.parent, told.get("recipe"), self.recipe)
        self.done, self.records = int(told["done"]), list(told["records"])
        return TopKState(tensors, k=self.recipe.k, dead_after=self.recipe.dead_after, half=self.recipe.half)

    def _note(self, fvu: float, dead: int, speed: float) -> None:
        recipe = self.recipe
        self.records.append({"step": self.done, "fvu": fvu, "dead": dead / recipe.atoms, "rate": recipe.rate_at(self.done)})
        if self.report is not None:
            self.report(Progress(self.done, recipe.steps, fvu, dead / recipe.atoms, speed, self.began_at))

    def _keep(self) -> None:
        from safetensors.torch import save

        if self.folder is None:
            return
        self.folder.mkdir(parents=True, exist_ok=True)
        told = {"recipe": self.recipe.model_dump(), "done": self.done, "records": self.records}
        write_atomically(self.folder / STATE, save(self.state.tensors, metadata={"run": json.dumps(told)}))
        self._keep_log()

    def _keep_log(self) -> None:
        assert self.folder is not None
        self.folder.mkdir(parents=True, exist_ok=True)
        write_atomically(self.folder / LOG, "".join(json.dumps(record) + "\n" for record in self.records).encode())


@contextmanager
def _stop_requests() -> Iterator[list[int]]:
    """Turns Ctrl-C into a request that is looked at between steps, where the state is whole; a second Ctrl-C interrupts at once."""
    asked: list[int] = []

    def note(number: int, frame: Any) -> None:
        if asked:
            signal.default_int_handler(number, frame)
        asked.append(number)

    try:
        before = signal.signal(signal.SIGINT, note)
    except ValueError:  # not the main thread, which alone hears signals
        yield asked
        return
    try:
        yield asked
    finally:
        signal.signal(signal.SIGINT, before)
