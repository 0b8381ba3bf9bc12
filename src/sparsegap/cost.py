"""What an answer costs: floating-point operations counted by operator, setup apart from inference, encoder passes, seconds.

Counting and timing never happen at once, because counting slows small problems several times. A `Counter` counts what runs inside it: every
torch operator by the price list in `flops`, and every kernel of ours by what it reports through `record`. Work inside `setup()`
(a Gram matrix, a step size, a sorted dictionary: what depends on the atoms only) is kept apart from the work that each sample costs.
The unit is the encoder pass (EPU): one `relu(x @ atoms.T)` over the same samples in float32.
"""

from __future__ import annotations

import statistics
import time
from collections import Counter as Tally
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

if TYPE_CHECKING:
    from sparsegap.dictionary import Dictionary


@dataclass(frozen=True)
class Cost:
    """What one answer cost. `None` means not counted, which is not zero.

    passes: dense products with the whole dictionary, per sample (the encoder makes one); flops, setup_flops: counted operations;
    seconds, setup_seconds: wall clock, measured while nothing was counted; bytes: read and written by the counted operators.
    """

    passes: float = 0.0
    flops: float | None = None
    setup_flops: float | None = None
    seconds: float = 0.0
    setup_seconds: float = 0.0
    bytes: float | None = None


@dataclass
class Ledger:
    """What was counted, operator by operator; one part for the inference and one for its setup."""

    flops: Tally[str] = field(default_factory=Tally)
    bytes: float = 0.0


_ledgers: ContextVar[tuple[Counter, ...]] = ContextVar("ledgers", default=())
_clocks: ContextVar[tuple[Clock, ...]] = ContextVar("clocks", default=())
_in_setup: ContextVar[bool] = ContextVar("in_setup", default=False)


def record(operator: str, flops: float, bytes: float = 0.0) -> None:
    """Add the work of a kernel that torch cannot see to every active counter; does nothing where none is active."""
    for counter in _ledgers.get():
        counter.add(operator, flops, bytes)


def counting() -> bool:
    """Whether a counter is active: lets a kernel skip the bookkeeping that its FLOP formula needs."""
    return bool(_ledgers.get())


@contextmanager
def setup() -> Iterator[None]:
    """Attribute what runs inside to setup: counted apart by `Counter`, timed apart by `Clock`. Nesting changes nothing."""
    if _in_setup.get():
        yield
        return
    token, began = _in_setup.set(True), time.perf_counter()
    try:
        yield
    finally:
        _in_setup.reset(token)
        for clock in _clocks.get():
            clock.setup_seconds += time.perf_counter() - began


class Clock:
    """Seconds of a block, those inside `setup()` apart: `with Clock() as clock: ...`, then `clock.seconds`, `clock.setup_seconds`."""

    def __init__(self) -> None:
        self.seconds = 0.0
        self.setup_seconds = 0.0

    def __enter__(self) -> Clock:
        self._token = _clocks.set((*_clocks.get(), self))
        self._began = time.perf_counter()
        return self

    def __exit__(self, *_: object) -> None:
        self.seconds = time.perf_counter() - self._began - self.setup_seconds
        _clocks.reset(self._token)


class Counter:
    """Floating-point operations of a block: `with Counter() as counter: ...`, then `counter.flops`, `counter.by_operator`.

    Raises `flops.UncountedOperator` for a torch operator that neither has a price nor is declared free; with strict=False such
    operators are listed in `uncounted` instead, with how often they ran.
    """

    def __init__(self, strict: bool = True) -> None:
        self.strict = strict
        self.inference, self.preparation = Ledger(), Ledger()
        self.uncounted: Tally[str] = Tally()

    def add(self, operator: str, flops: float, bytes: float = 0.0) -> None:
        """Enter work into the ledger that is open: setup inside `setup()`, inference elsewhere."""
        ledger = self.preparation if _in_setup.get() else self.inference
        ledger.flops[operator] += flops  # type: ignore[assignment]  # typeshed says int; sums of floats are as good
        ledger.bytes += bytes

    def __enter__(self) -> Counter:
        from sparsegap.flops import OperatorMode

        self._token = _ledgers.set((*_ledgers.get(), self))
        self._mode = OperatorMode(self)
        self._mode.__enter__()  # type: ignore[no-untyped-call]
        return self

    def __exit__(self, *exception: Any) -> None:
        self._mode.__exit__(*exception)  # type: ignore[no-untyped-call]
        _ledgers.reset(self._token)

    @property
    def flops(self) -> float:
        """Operations of the inference, without setup."""
        return float(sum(self.inference.flops.values()))

    @property
    def setup_flops(self) -> float:
        """Operations inside `setup()`."""
        return float(sum(self.preparation.flops.values()))

    @property
    def bytes(self) -> float:
        """Bytes read and written by the counted operators of the inference: an upper bound on memory traffic, as caches hide some."""
        return self.inference.bytes

    @property
    def by_operator(self) -> dict[str, float]:
        """Operations by operator, setup included, largest first."""
        return dict((self.inference.flops + self.preparation.flops).most_common())

    @property
    def matmul_flops(self) -> float:
        """The matrix products alone, as `torch.utils.flop_counter` would count them, setup included."""
        from sparsegap.flops import MATMULS

        return float(sum(flops for operator, flops in self.by_operator.items() if operator in MATMULS))


def measure(run: Callable[[], object], repeats: int = 5) -> float:
    """Median wall-clock seconds of `run()` over `repeats` calls after one that warms up caches and compiled kernels."""
    if counting():
        raise RuntimeError("measure() inside a Counter would time the counting, not the work.")
    run()
    return statistics.median(_seconds(run) for _ in range(repeats))


def _seconds(run: Callable[[], object]) -> float:
    began = time.perf_counter()
    run()
    return time.perf_counter() - began


def encoder_pass(dictionary: Dictionary, n: int) -> float:
    """FLOPs of one encoder pass over n samples, n(2dm + m): the product with the atoms and the ReLU. The unit of cost (EPU)."""
    m, d = dictionary.atoms.shape
    return float(n * (2 * d * m + m))


def epu_seconds(dictionary: Dictionary, n: int, repeats: int = 7) -> float:
    """Median seconds of one encoder pass over n samples: relu(x @ atoms.T) in float32 on the dictionary's device, its buffer reused."""
    atoms = dictionary.atoms.detach().float()
    x = torch.randn(n, atoms.shape[1], generator=torch.Generator().manual_seed(0)).to(atoms.device)
    scores = torch.empty(n, atoms.shape[0], device=atoms.device)
    with torch.inference_mode():
        return measure(lambda: _encode_into(scores, x, atoms), repeats)


def _encode_into(scores: Tensor, x: Tensor, atoms: Tensor) -> None:
    torch.mm(x, atoms.T, out=scores).relu_()
    if scores.is_cuda:
        torch.cuda.synchronize(scores.device)
