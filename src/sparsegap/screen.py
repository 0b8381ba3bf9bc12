"""Screen: the one pass over all atoms, the only work in the library that grows with their number.

A pass is the GEMM residual @ atoms.T over the samples that are still being solved, in float32, float64, or bfloat16 where the processor
multiplies it faster. The scores live in one reused buffer of a chunk's size. Every solver gets them here, so passes are counted once.
"""

from __future__ import annotations

from functools import cached_property
from pathlib import Path

import torch
from torch import Tensor

from sparsegap import cost
from sparsegap.dictionary import Dictionary
from sparsegap.errors import InputError

PRECISIONS = ("auto", "float32", "bf16", "float64")
DEFAULT_MEMORY = 1 << 30
SMALL_DICTIONARY = 1024


def multiplies_bf16(device: torch.device) -> bool:
    """Whether the device multiplies bfloat16 matrices faster than float32 ones."""
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported())
    flags = Path("/proc/cpuinfo")
    return device.type == "cpu" and flags.exists() and any(f in flags.read_text() for f in ("avx512_bf16", "amx_bf16", " bf16"))


def resolve_precision(precision: str, dtype: torch.dtype, device: torch.device) -> str:
    """The precision of the passes: what was asked for, or the fastest that still certifies in the given dtype."""
    if precision not in PRECISIONS:
        raise InputError(f"precision must be one of {', '.join(PRECISIONS)}, not '{precision}'")
    if precision != "auto":
        return precision
    if dtype == torch.float64:
        return "float64"
    return "bf16" if _bf16_on(device) else "float32"


_known: dict[str, bool] = {}


def _bf16_on(device: torch.device) -> bool:
    if device.type not in _known:
        _known[device.type] = multiplies_bf16(device)
    return _known[device.type]


class Screen:
    """Correlates residuals with all atoms of a dictionary and counts what it costs.

    dictionary: in the dtype the solver computes in. precision: "float32", "bf16" or "float64". chunk: samples per call at most.
    memory: bytes that setup such as a Gram matrix may take. tolerance, max_iterations: what the driver was asked for.
    """

    def __init__(
        self,
        dictionary: Dictionary,
        precision: str,
        chunk: int,
        *,
        memory: int = DEFAULT_MEMORY,
        tolerance: float = 1e-4,
        max_iterations: int = 1000,
    ) -> None:
        self.dictionary = dictionary
        self.precision = precision
        self.chunk = chunk
        self.memory = memory
        self.tolerance = tolerance
        self.max_iterations = max_iterations
        self.rows = 0
        self.seen = 0

    def __call__(self, residual: Tensor) -> Tensor:
        """(a, m) scores ⟨residual, atom⟩ of a ≤ chunk samples, float32, float64 or bfloat16. Overwritten by the next call."""
        self.rows += len(residual)
        out = self._buffer[: len(residual)]
        return torch.mm(residual.to(out.dtype), self._atoms.T, out=out)

    def exact(self, residual: Tensor) -> Tensor:
        """(a, m) scores in the precision of the dictionary, whatever that of the passes. A new tensor."""
        self.rows += len(residual)
        return residual @ self.dictionary.atoms.T

    def error(self) -> float:
        """c such that |score − exact| ≤ c·‖residual‖·‖atom‖ + `rounding`·|score|: rounding of both factors, and of the accumulation."""
        width = self.dictionary.width
        if self.precision == "bf16":
            return 2.0**-7 + width * 2.0**-24
        return (width + 2) * (2.0**-53 if self.precision == "float64" else 2.0**-24)

    @property
    def rounding(self) -> float:
        """Relative rounding of a stored score that `error` does not cover: that of bfloat16."""
        return 2.0**-8 if self.precision == "bf16" else 0.0

    @property
    def passes(self) -> float:
        """Passes over all atoms so far, per sample."""
        return self.rows / self.seen if self.seen else 0.0

    @property
    def small(self) -> bool:
        """Few enough atoms that a full Gram matrix in cache beats screening."""
        return self.dictionary.n_atoms <= SMALL_DICTIONARY

    @property
    def gram(self) -> Tensor | None:
        """(m, m) Gram matrix, or None where it would exceed the memory budget; computed once per dictionary, as setup."""
        atoms = self.dictionary.atoms
        if atoms.element_size() * len(atoms) ** 2 > self.memory:
            return None
        with cost.setup():
            return self.dictionary.gram

    @cached_property
    def _atoms(self) -> Tensor:
        with cost.setup():
            return self.dictionary.half if self.precision == "bf16" else self.dictionary.atoms

    @cached_property
    def _buffer(self) -> Tensor:
        return torch.empty(self.chunk, self.dictionary.n_atoms, dtype=self._atoms.dtype, device=self._atoms.device)
