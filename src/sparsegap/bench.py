"""Speed as ratios: our work and a reference in one process, turn about, and the median of the ratios.

Machines are shared and noisy, so seconds are never compared across runs: each repeat times the reference, the work and the reference again,
and the ratio takes the mean of the two references around it. The reference is the encoder pass (EPU) or a peer on the same samples.
"""

from __future__ import annotations

import importlib.util
import statistics
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from sparsegap.dictionary import Dictionary
from sparsegap.errors import InputError

if TYPE_CHECKING:
    from rich.table import Table

Work = Callable[[], Any]
WARM_UP = 1


@dataclass(frozen=True)
class Row:
    """One line of the benchmark.

    work: what was done, on which shape. measured: the ratio. unit: of the ratio.
    bar: what it is held against; at_most: whether lower is better.
    quality: what was checked of the answer itself. samples_per_second: of the work. skipped: why there is no figure.
    """

    work: str
    unit: str
    bar: float
    at_most: bool
    measured: float | None = None
    quality: str = ""
    samples_per_second: float | None = None
    skipped: str = ""

    @property
    def holds(self) -> bool | None:
        """Whether the bar is met; None where nothing was measured."""
        if self.measured is None:
            return None
        return self.measured <= self.bar if self.at_most else self.measured >= self.bar

    def to_json(self) -> dict[str, Any]:
        """All fields and the verdict."""
        return {**asdict(self), "holds": self.holds}


@dataclass(frozen=True)
class Timing:
    """Median ratio of a work to its reference, and the work's median seconds."""

    ratio: float
    seconds: float


def seconds_of(work: Work) -> float:
    """Wall-clock seconds of one call."""
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def interleaved(work: Work, reference: Work, repeats: int, scale: float = 1.0) -> Timing:
    """Time work and reference turn about. scale: samples of the work over samples of the reference."""
    for _ in range(WARM_UP):
        work()
        reference()
    before, ratios, seconds = seconds_of(reference), [], []
    for _ in range(repeats):
        took = seconds_of(work)
        after = seconds_of(reference)
        ratios.append(took / (0.5 * (before + after) * scale))
        seconds.append(took)
        before = after
    return Timing(statistics.median(ratios), statistics.median(seconds))


def encoder_pass(dictionary: Dictionary, x: Tensor) -> Work:
    """The unit: relu(x @ atoms.T) over all samples in float32, chunk by chunk into a reused buffer."""
    rows = min(len(x), 1024 if dictionary.n_atoms < 10_000 else 512)
    buffer = torch.empty(rows, dictionary.n_atoms)

    def run() -> None:
        for chunk in x.split(rows):
            torch.mm(chunk, dictionary.atoms.T, out=buffer[: len(chunk)]).relu_()

    return run


@dataclass(frozen=True)
class Planted:
    """Samples of k non-negative planted atoms with noise, and their dictionary."""

    dictionary: Dictionary
    x: Tensor
    k: int

    @property
    def shape(self) -> str:
        """d x m, k."""
        return f"{self.dictionary.width}x{self.dictionary.n_atoms}, k={self.k}, {len(self.x):,} samples"


def planted(width: int, atoms: int, k: int, n: int, *, coherence: float = 0.0, noise: float = 0.01, seed: int = 0) -> Planted:
    """Gaussian unit atoms, with a shared direction that makes their mean cosine `coherence`; |N(0,1)| amplitudes; relative noise."""
    generator = torch.Generator().manual_seed(seed)

    def normal(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=generator)

    rows = torch.nn.functional.normalize(normal(atoms, width), dim=1)
    if coherence > 0:
        shared = torch.nn.functional.normalize(normal(width), dim=0)
        rows = torch.nn.functional.normalize(rows + (coherence / (1 - coherence)) ** 0.5 * shared, dim=1)
    support = torch.stack([torch.randperm(atoms, generator=generator)[:k] for _ in range(n)]).int()
    x = torch.nn.functional.embedding_bag(support, rows, per_sample_weights=normal(n, k).abs(), mode="sum")
    error = torch.nn.functional.normalize(normal(n, width), dim=1) * x.norm(dim=1, keepdim=True) * noise
    return Planted(Dictionary(rows), x + error, k)


@dataclass
class Bench:
    """What a case needs: how often to repeat, real data if given, and the peers by name (a module each, or why it is missing)."""

    repeats: int
    real: Planted | None
    peers: dict[str, Any]
    missing: dict[str, str]

    def peer(self, name: str) -> Any | None:
        """The peer's adapter module, or None."""
        return self.peers.get(name)

    def in_passes(self, work: str, bar: float, run: Work, data: Planted, quality: Callable[[Any], str]) -> Row:
        """A row in encoder passes."""
        answer = run()
        timing = interleaved(run, encoder_pass(data.dictionary, data.x), self.repeats)
        return Row(f"{work}, {data.shape}", "EPU", bar, True, timing.ratio, quality(answer), len(data.x) / timing.seconds)

    def against(self, work: str, bar: float, run: Work, data: Planted, peer: str, call: Callable[[Any, Tensor], Work], rows: int) -> Row:
        """A row in times as fast as a peer; the peer runs on `rows` of the samples and is charged per sample."""
        title, unit = f"{work}, {data.shape}", f"times as fast as {peer}"
        adapter = self.peer(peer)
        if adapter is None:
            return Row(title, unit, bar, False, skipped=f"{peer} skipped: {self.missing.get(peer, 'no adapter')}")
        part = data.x[:rows]
        timing = interleaved(run, call(adapter, part), self.repeats, scale=len(data.x) / len(part))
        quality = f"{peer} timed on {len(part):,} samples" if len(part) < len(data.x) else ""
        return Row(title, unit, bar, False, 1 / timing.ratio, quality, len(data.x) / timing.seconds)


Case = Callable[[Bench], Iterator[Row]]


def load_peers(folder: Path) -> tuple[dict[str, Any], dict[str, str]]:
    """The adapters in a folder that can be imported, and for the others why not. Only code that the person names is run."""
    found, missing = {}, {}
    for file in sorted(folder.glob("*.py")):
        spec = importlib.util.spec_from_file_location(f"sparsegap_peer_{file.stem}", file)
        if spec is None or spec.loader is None:
            continue
        module = importlib.util.module_from_spec(spec)
        try:
            spec.loader.exec_module(module)
            found[file.stem] = module
        except ImportError as error:
            missing[file.stem] = f"not installed ({error.name})"
    return found, missing


def real_data(sae: Path | None, activations: Path | None, rows: int = 2048, k: int = 32) -> Planted | None:
    """A trained dictionary and real activations about its bias, or None where they are not given."""
    if sae is None and activations is None:
        return None
    if sae is None or activations is None:
        raise InputError("a real dictionary needs both --sae and --activations")
    from sparsegap.checkpoints import open_dictionary
    from sparsegap.recordings import open_activations

    dictionary = open_dictionary(sae)
    x = open_activations(activations).load(rows).activations
    return Planted(Dictionary(dictionary.atoms), x - dictionary.bias, k)


def table(rows: list[Row]) -> Table:
    """The rows for a terminal."""
    from rich.table import Table

    view = Table("work", "measured", "bar", "", "samples/s", "answer", box=None, header_style="bold", pad_edge=False)
    for row in rows:
        bar = f"{'≤' if row.at_most else '≥'} {row.bar:,g}"
        if row.measured is None:
            view.add_row(row.work, "–", bar, "–", "", row.skipped)
            continue
        verdict = "[green]holds[/]" if row.holds else "[red]missed[/]"
        rate = f"{row.samples_per_second:,.0f}" if row.samples_per_second else ""
        view.add_row(row.work, f"{row.measured:,.2f} {row.unit}", bar, verdict, rate, row.quality)
    return view
