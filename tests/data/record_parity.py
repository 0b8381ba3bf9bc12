"""What the libraries of the field compute from given weights: recorded once, so that agreement is tested where they are not installed.

    python -m tests.data.record_parity          # writes tests/data/parity.safetensors; needs sae-lens, dictionary-learning, eai-sparsify

A case is one class of one library with our random weights put into it: its codes and reconstruction of the same 16 samples, or its training
loss and the gradient of every parameter. Everything is float64 unless the library itself rounds to float32. Weights and data are hostile:
samples far from 0, a large decoder bias, atoms of norms 0.3 to 3, thresholds a hair above and below activations, and so few positive
pre-activations that negative ones are among the k largest.
"""

from __future__ import annotations

import contextlib
import importlib.metadata
import io
import json
import os
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor

PARITY = Path(__file__).with_name("parity.safetensors")
SEED, N, D, M, K = 7, 16, 6, 12, 5
L1, L0_COEFFICIENT, TARGET_L0, BANDWIDTH, TANH_SCALE, PRE_ACT = 0.3, 0.4, 3.0, 0.8, 0.7, 0.05
HAIR = 1e-6
DEAD = (1, 4, 7, 8, 11)
PREFIXES = (4, 9, 12)
PACKAGES = {"saelens": "sae-lens", "dictionary_learning": "dictionary-learning", "sparsify": "eai-sparsify"}
os.environ.setdefault("SPARSIFY_DISABLE_TRITON", "1")

Tensors = dict[str, Tensor]


def weights(seed: int = SEED) -> Tensors:
    """x (n, d), W_enc (d, m), W_dec (m, d), biases and thresholds, named as SAELens names them."""
    g = torch.Generator().manual_seed(seed)

    def normal(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=g).double()  # float32 numbers: a library that keeps one in float32 does not change it

    w = {"x": 2 * normal(N, D) + 3, "W_enc": normal(D, M), "b_enc": normal(M) - 3, "b_dec": 2 * normal(D) + 1,
         "b_gate": normal(M) - 2, "b_mag": normal(M) - 1, "r_mag": normal(M) / 2}
    w["W_dec"] = torch.nn.functional.normalize(normal(M, D), dim=1) * torch.logspace(-0.5, 0.5, M, dtype=torch.float64)[:, None]
    pre = (w["x"] - w["b_dec"]) @ w["W_enc"] + w["b_enc"]
    chosen = pre.clamp(min=0.1).median(0).values  # half of the samples each, and one of them by a hair
    w["threshold"] = (chosen + HAIR * (2 * (torch.arange(M) % 2) - 1)).float().double()
    w["scalar_threshold"] = pre.relu().flatten().quantile(0.7).float().double()
    return w


def tied(w: Tensors) -> Tensors:
    """The same in whole numbers, so that arithmetic is exact: pre-activations meet their thresholds, and gates open at 0, exactly."""
    whole = {name: tensor.round() for name, tensor in w.items()}
    pre = (whole["x"] - whole["b_dec"]) @ whole["W_enc"]
    whole["threshold"] = (pre + whole["b_enc"]).clamp(min=0).median(0).values
    positive = (pre + whole["b_enc"]).flatten()
    whole["scalar_threshold"] = positive[positive > 0].median()
    whole["b_gate"] = -pre.median(0).values
    return whole | {"r_mag": torch.zeros(M, dtype=torch.float64)}


def unit(w: Tensors) -> Tensors:
    """The same with atoms of norm 1."""
    return w | {"W_dec": torch.nn.functional.normalize(w["W_dec"], dim=1)}


def hostile(w: Tensors) -> bool:
    """Whether negative pre-activations are among the k largest of some samples, and others have more than k positive ones."""
    positive = ((w["x"] - w["b_dec"]) @ w["W_enc"] + w["b_enc"] > 0).sum(1)
    return bool((positive < K).any() and (positive > K).any())


Case = Callable[[Tensors], Tensors]
CASES: dict[str, Case] = {}


def case(name: str) -> Callable[[Case], Case]:
    """Record a case as `library.what`."""
    def keep(function: Case) -> Case:
        CASES[name] = function
        return function
    return keep


def fill(module: Any, w: Tensors, **names: str) -> Any:
    """A peer's module in float64 with our weights: parameter name = our name, `.T` where it is stored transposed."""
    module = module.double()
    stored = dict(module.named_parameters()) | dict(module.named_buffers())
    for name, ours in names.items():
        value = w[ours.removesuffix(".T")]
        stored[name.replace("__", ".")].data = (value.T if ours.endswith(".T") else value).clone().contiguous()
    return module


def passed(module: Any, x: Tensor, **how: Any) -> Tensors:
    """Codes and reconstruction."""
    with torch.no_grad():
        codes = module.encode(x, **how)
        return {"codes": codes, "decoded": module.decode(codes)}


def learned(module: Any, loss: Tensor, names: dict[str, str], **parts: Tensor) -> Tensors:
    """The loss, its named parts, and the gradient of every parameter under our names and in our shapes."""
    module.zero_grad()
    loss.backward()
    parameters = dict(module.named_parameters())
    found = {"loss": loss, **parts}
    for name, ours in names.items():
        gradient = parameters[name.replace("__", ".")].grad
        if gradient is not None:
            found["grad." + ours.removesuffix(".T")] = gradient.T if ours.endswith(".T") else gradient
    return {name: tensor.detach().double().clone().contiguous() for name, tensor in found.items()}


def cases_of(library: str) -> dict[str, Case]:
    """The cases of one library by name."""
    from tests.data import parity_dictionary_learning, parity_saelens  # noqa: F401  they fill CASES

    return {name: run for name, run in CASES.items() if name.startswith(library + ".")}


def run_all(library: str, w: Tensors) -> Tensors:
    """Every case of a library, as `library.case.tensor`. Raises ImportError where it is not installed."""
    with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
        warnings.simplefilter("ignore")
        return {f"{name}.{key}": tensor.detach().double().contiguous()
                for name, run in cases_of(library).items() for key, tensor in run(w).items()}


def main() -> None:
    """Record all."""
    w = weights()
    if not hostile(w):
        raise SystemExit(f"seed {SEED} gives weights under which the peers' differences do not show")
    tensors = {f"weights.{name}": tensor.contiguous() for name, tensor in w.items()}
    for library in PACKAGES:
        tensors |= run_all(library, w)
    versions = {package: importlib.metadata.version(package) for package in (*PACKAGES.values(), "torch")}
    save_file(tensors, PARITY, {"recorded": json.dumps({"seed": SEED, "versions": versions})})  # one key: the order of several is random
    print(f"{PARITY.name}: {len(tensors)} tensors, {PARITY.stat().st_size:,} bytes, {versions}")  # noqa: T201


if __name__ == "__main__":
    from tests.data.record_parity import main as recorder  # the module that the cases know, not __main__

    recorder()
