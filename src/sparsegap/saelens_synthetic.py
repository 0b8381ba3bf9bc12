"""SAELens' SyntheticModel, as files: read without SAELens, and written so that SAELens opens it.

synthetic_model_config.json   sizes, and how large an active feature is: mean and deviation, numbers or rules over the features
synthetic_model.safetensors   feature_vectors (m, d), bias (d), firing_probabilities (m); correlation_factor (m, r), correlation_diag (m)
hierarchy.json                trees of features, where there are any

As SAELens samples it (6.54, `synthetic/`): feature j fires with its probability, or where factor_j·N(0, I) + √diag_j·N(0, 1) is above
Φ⁻¹(1 − p_j); its magnitude is relu(mean_j + deviation_j·N(0, 1)), and 0 is not active; then, from the roots down, a child whose parent
is not active goes out (or is multiplied by the parent's magnitude over its mean), and of active exclusive siblings one stays, any of them.
Chanin & Garriga-Alonso (2026), arXiv:2602.14687.
"""

from __future__ import annotations

import json
from collections import deque
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from sparsegap import weights
from sparsegap.dictionary import Dictionary
from sparsegap.errors import InputError

CONFIG, WEIGHTS, HIERARCHY = "synthetic_model_config.json", "synthetic_model.safetensors", "hierarchy.json"
RULES = {"constant": ("value",), "linear": ("start", "end"), "exponential": ("start", "end"), "folded_normal": ("mean", "std")}
SEED_OF = {"std_firing_magnitudes": 1, "mean_firing_magnitudes": 2}  # what SAELens adds to the seed of the model
LARGEST_MAGNITUDE = 1e30


class Firing(NamedTuple):
    """When features fire: probabilities (m,), as they are before parents and siblings put features out, and what else decides."""

    probabilities: NDArray[np.float64]
    factor: NDArray[np.float64] | None = None
    diagonal: NDArray[np.float64] | None = None
    hierarchy: dict[str, Any] | None = None
    rule: dict[str, Any] | None = None  # of the probabilities, where they are no one number


class Trees(NamedTuple):
    """(m,) each: the feature above, −1 for none; the number of the group of which at most one is active, −1 for none; whether it follows
    the magnitude of the one above."""

    parents: NDArray[np.int64]
    groups: NDArray[np.int64]
    follows: NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class SyntheticModel:
    """What the three files hold. factor (m, r) and diagonal (m,), hierarchy: None where there is none."""

    config: dict[str, Any]
    vectors: Tensor
    bias: Tensor
    probabilities: Tensor
    factor: Tensor | None = None
    diagonal: Tensor | None = None
    hierarchy: dict[str, Any] | None = None

    @property
    def n_features(self) -> int:
        """m."""
        return self.vectors.shape[0]

    @cached_property
    def dictionary(self) -> Dictionary:
        """Its feature vectors and bias."""
        return Dictionary(self.vectors, self.bias)

    @cached_property
    def means(self) -> NDArray[np.float64]:
        """(m,) of the magnitudes, before the relu. Raises InputError for a rule that is not SAELens' own."""
        return _magnitudes(self.config, "mean_firing_magnitudes", 1.0, self.n_features)

    @cached_property
    def deviations(self) -> NDArray[np.float64]:
        """(m,) standard deviations of the magnitudes, before the relu."""
        return _magnitudes(self.config, "std_firing_magnitudes", 0.0, self.n_features)

    @cached_property
    def trees(self) -> Trees:
        """The hierarchy by feature. Raises InputError where it is none."""
        return _trees(self.hierarchy or {"roots": []}, self.n_features)


def said(firing: Firing, dictionary: Dictionary, mean: float, deviation: float, importance: float, seed: int) -> SyntheticModel:
    """The model that fires like that, with magnitudes of one mean and deviation times factors that fall geometrically to `importance`."""
    def over_features(size: float) -> Any:
        return size if importance == 1 or size == 0 else {"generator_name": "exponential", "start": size, "end": size * importance}

    m, d = dictionary.atoms.shape
    config = {
        "num_features": m, "hidden_dim": d, "hierarchy": None, "orthogonalization": None, "correlation": None, "bias": False,
        "firing_probability": firing.rule or {"generator_name": "constant", "probability": float(firing.probabilities.mean())},
        "std_firing_magnitudes": over_features(deviation), "mean_firing_magnitudes": over_features(mean), "dtype": "float32", "seed": seed,
    }
    factor, diagonal = (None if array is None else torch.from_numpy(array).float() for array in (firing.factor, firing.diagonal))
    probabilities = torch.from_numpy(firing.probabilities).float()
    return SyntheticModel(config, dictionary.atoms, dictionary.bias, probabilities, factor, diagonal, firing.hierarchy)


def alone_of(chance: float, rivals: int) -> float:
    """Probability that each of some independent features fires, if one of them or more do with this chance: 1 − (1 − chance)^(1/rivals)."""
    return float(1 - (1 - chance) ** (1 / rivals))


def read(folder: Path) -> SyntheticModel:
    """Open a folder that `SyntheticModel.save` of SAELens wrote. Raises InputError for anything missing, damaged or of another shape."""
    config = _json(folder / CONFIG)
    m, d = (_size(config, name, folder) for name in ("num_features", "hidden_dim"))
    path = folder / WEIGHTS
    tensors = weights.read_weights(path)
    shapes: dict[str, tuple[int, ...]] = {"feature_vectors": (m, d), "bias": (d,), "firing_probabilities": (m,)}
    factor = tensors.get("correlation_factor")
    if factor is not None:
        shapes |= {"correlation_factor": (m, factor.shape[-1] if factor.ndim else 0), "correlation_diag": (m,)}
    weights.require(tensors, shapes, path)
    tensors = {name: tensor.to(weights.working_dtype(tensor)) for name, tensor in tensors.items() if name in shapes}
    if not bool(((tensors["firing_probabilities"] >= 0) & (tensors["firing_probabilities"] <= 1)).all()):
        raise InputError(f"{path}: firing_probabilities must all be between 0 and 1")
    if factor is not None and not bool((tensors["correlation_diag"] > 0).all()):
        raise InputError(f"{path}: correlation_diag must be above 0 everywhere")
    hierarchy = _json(folder / HIERARCHY) if (folder / HIERARCHY).exists() else None
    model = SyntheticModel(config, tensors["feature_vectors"], tensors["bias"], tensors["firing_probabilities"],
                           tensors.get("correlation_factor"), tensors.get("correlation_diag"), hierarchy)
    _check(model, folder)
    return model


def write(model: SyntheticModel, folder: Path) -> Path:
    """The three files, the configuration last. Raises InputError for a folder that holds something else."""
    from safetensors.torch import save

    from sparsegap.shards import write_atomically

    if folder.exists() and not folder.is_dir():
        raise InputError(f"{folder} is a file: a SyntheticModel is written into a folder")
    strangers = sorted(path.name for path in folder.iterdir() if path.name not in (CONFIG, WEIGHTS, HIERARCHY)) if folder.is_dir() else []
    if strangers:
        raise InputError(f"{folder} holds {strangers[0]}, which is no part of a SyntheticModel: choose another folder")
    trees = None if model.hierarchy is None else _dumped(model.hierarchy)
    folder.mkdir(parents=True, exist_ok=True)
    for name in (CONFIG, HIERARCHY):
        (folder / name).unlink(missing_ok=True)
    tensors = {"feature_vectors": model.vectors, "bias": model.bias, "firing_probabilities": model.probabilities,
               "correlation_factor": model.factor, "correlation_diag": model.diagonal}
    write_atomically(folder / WEIGHTS, save({name: t.detach().float().contiguous() for name, t in tensors.items() if t is not None}))
    if trees is not None:
        write_atomically(folder / HIERARCHY, trees)
    write_atomically(folder / CONFIG, json.dumps(model.config, indent=2).encode())
    return folder


def _dumped(hierarchy: dict[str, Any]) -> bytes:
    try:
        return json.dumps(hierarchy).encode()
    except RecursionError:
        raise InputError(f"the trees are too deep for {HIERARCHY}, which holds nodes inside nodes") from None


def _json(path: Path) -> dict[str, Any]:
    if not path.is_file():
        raise InputError(f"{path} is missing: {path.parent} is not a SyntheticModel that SAELens saved")
    try:
        found = json.loads(path.read_bytes())
    except (ValueError, RecursionError) as error:
        raise InputError(f"{path} is not valid JSON ({error})") from error
    if not isinstance(found, dict):
        raise InputError(f"{path} must hold a JSON object, not a {type(found).__name__}")
    return found


def _size(config: dict[str, Any], name: str, folder: Path) -> int:
    size = config.get(name)
    if isinstance(size, bool) or not isinstance(size, int) or size < 1:
        raise InputError(f"{folder / CONFIG}: {name} must be a positive integer, not {size!r}")
    return size


def _check(model: SyntheticModel, folder: Path) -> None:
    """What is only read when sampling begins, read now."""
    try:
        followed = np.unique(model.trees.parents[model.trees.follows])
        if (model.deviations < 0).any():
            raise InputError("std_firing_magnitudes must be at least 0")
        if (model.means[followed] <= 0).any():
            raise InputError("features whose children follow their magnitude need mean_firing_magnitudes above 0")
    except InputError as error:
        raise InputError(f"{folder}: {error}") from error


def _magnitudes(config: dict[str, Any], name: str, default: float, m: int) -> NDArray[np.float64]:
    """(m,) a number for all, or a rule of SAELens' over the features."""
    told = config.get(name, default)
    if not isinstance(told, dict):
        return np.full(m, _number({name: told}, name))
    rule = told.get("generator_name")
    if rule not in RULES:
        raise InputError(f"{name} are made by '{rule}', which is not in the files; known are {', '.join(RULES)}")
    first, *second = (_number(told, option) for option in RULES[rule])
    if rule == "constant":
        return np.full(m, first)
    if rule == "folded_normal":
        return _folded_normal(told, name, config.get("seed"), m)
    if first <= 0 or second[0] <= 0:
        raise InputError(f"{name} that are {rule} need start and end above 0, not {first:g} and {second[0]:g}")
    places = torch.linspace(0, 1, m) if m > 1 else torch.zeros(1)
    found = torch.linspace(first, second[0], m) if rule == "linear" and m > 1 else first * (second[0] / first) ** places
    return found.double().numpy()


def _folded_normal(told: dict[str, Any], name: str, seed: Any, m: int) -> NDArray[np.float64]:
    """|N(mean, std²)| of each feature, the numbers that SAELens draws from the model's seed."""
    if isinstance(seed, bool) or not isinstance(seed, int):
        raise InputError(f"{name} are drawn anew whenever SAELens opens this model, since it has no seed: save one that has")
    drawn = torch.randn(m, generator=torch.Generator().manual_seed(seed + SEED_OF[name]))
    sizes = (_number(told, "mean") + drawn * _number(told, "std")).abs()
    low, high = (None if told.get(end) is None else _number(told, end) for end in ("min_value", "max_value"))
    return (sizes if low is None and high is None else sizes.clamp(low, high)).double().numpy()


def _number(told: dict[str, Any], name: str) -> float:
    value = told.get(name)
    if isinstance(value, bool) or not isinstance(value, int | float) or not abs(value) <= LARGEST_MAGNITUDE:
        raise InputError(f"{name} must be a finite number, not {value!r}")
    return float(value)


def _trees(hierarchy: dict[str, Any], m: int) -> Trees:
    """Features by place; a node without a feature hands down what is above it."""
    parents, groups, follows = np.full(m, -1, np.int64), np.full(m, -1, np.int64), np.zeros(m, np.bool_)
    seen, n_groups = np.zeros(m, np.bool_), 0
    waiting = deque((node, -1, False) for node in _nodes(hierarchy, "roots"))
    while waiting:
        node, above, follow = waiting.popleft()
        feature = node.get("feature_index")
        if feature is not None:
            if isinstance(feature, bool) or not isinstance(feature, int) or not 0 <= feature < m or seen[feature]:
                raise InputError(f"{HIERARCHY} names feature {feature!r} where there are {m}, each at most once")
            seen[feature], parents[feature], follows[feature] = True, above, follow and above >= 0
            above = feature
        children = _nodes(node, "children")
        rivals = [child["feature_index"] for child in children if isinstance(child.get("feature_index"), int)]
        if node.get("mutually_exclusive_children") and len(rivals) > 1:
            groups[[rival for rival in rivals if 0 <= rival < m]] = n_groups
            n_groups += 1
        waiting.extend((child, above, bool(node.get("scale_children_by_parent"))) for child in children)
    return Trees(parents, groups, follows)


def _nodes(told: dict[str, Any], name: str) -> list[dict[str, Any]]:
    nodes = told.get(name) or []
    if not isinstance(nodes, list) or not all(isinstance(node, dict) for node in nodes):
        raise InputError(f"{HIERARCHY}: {name} must be a list of nodes, not {str(nodes)[:40]}")
    return nodes
