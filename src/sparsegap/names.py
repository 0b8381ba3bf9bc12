"""What columns, their values and methods are called for people: on axes, in tables, in the sentence of a claim."""

from __future__ import annotations

import re
from collections.abc import Iterable

from sparsegap.number_formats import count, quantity, significant

TITLES = {
    "step": "training steps", "seconds": "seconds", "samples": "training samples", "epoch": "epochs",
    "flops": "FLOPs, counted", "flops_paper": "FLOPs, the paper's formulas", "flops_train": "FLOPs of training",
    "flops_inference": "FLOPs a sample at inference", "flops_total": "FLOPs in total",
    "latent_mcc": "latent MCC", "dictionary_mcc": "dictionary MCC, cosine", "dictionary_pearson": "dictionary MCC, the paper's Pearson",
    "l0": "active latents a sample (L0)", "l1": "l1 weight", "l1_norm": "L1 norm of a sample's latents",
    "fvu": "fraction of variance unexplained", "mse": "mean squared error", "relative_mse": "squared error of the codes, as a share",
    "loss": "loss", "support_f1": "support F1", "support_precision": "support precision", "support_recall": "support recall",
    "exact_support": "samples with the exact support", "dead": "dead latents", "objective_gap": "objective above the optimum",
    "atoms": "sources N", "width": "measurements M", "active": "active sources K", "hidden": "hidden units", "l1_weight": "l1 weight",
    "iteration": "iterations of the solver", "iterations_to_1pct": "iterations, until 1 % above the optimum",
    "lost_latent_mcc": "latent MCC lost", "lost_support_f1": "support F1 lost", "share_latent_mcc": "share of the latent MCC lost",
    "added_fvu": "fraction of variance unexplained, added",
    "found": "share of true atoms found", "found_80": "share of true atoms found, cosine .8", "model_atoms": "learned atoms",
    "active_latents": "active latents a sample (L0)", "l0_1e-3": "L0 above 1e-3", "l0_1e-4": "L0 above 1e-4",
    "l0_1e-5": "L0 above 1e-5", "gram": "inner product of two atoms", "coherences": "cosine of two atoms, absolute value",
    "mean_coherence": "mean cosine of two atoms, absolute value", "largest_beside": "largest entry of a row beside the diagonal",
    "diagonal": "mean of the diagonal", "norm": "length of an atom", "read_penalty": "penalty λ of the codes",
    "k": "number k of active latents",
    "penalty": "penalty λ", "depth": "unrolled steps", "coherence": "coherence",
}  # fmt: skip
SYMBOLS = {
    "atoms": "N", "width": "M", "active": "K", "model_atoms": "model N", "hidden": "hidden units", "penalty": "λ", "coherence": "μ",
    "level": "L0",
}  # fmt: skip
SMALL_COUNT = 100_000  # larger numbers are written with a prefix
# Other spellings of a family.
FAMILIES = {"sae_ito": "sae+ito", "sae + ito": "sae+ito", "mlp_h": "mlp", "mlp h=": "mlp", "top_k": "topk"}
# How a method is called in a legend, where its name is not yet what a person would say.
CALLED = {
    "encoder": "the encoder", "refit": "amplitudes refit", "htp": "hard thresholding", "omp": "OMP", "warm": "OMP from there",
    "prune": "OMP, pruned", "cut": "OMP, cut", "debiased": "lasso, refit", "exhaustive": "all supports", "best": "best found",
    "lasso": "lasso, certified", "dictionary": "atoms refit", "true": "true atoms", "pca": "PCA",
    "sae": "SAE", "ito": "ITO", "sae+ito": "SAE + ITO", "sae_ito": "SAE + ITO", "sc": "sparse coding", "sparse_coding": "sparse coding",
    "mlp": "MLP", "topk": "TopK SAE", "batch_topk": "BatchTopK SAE", "relu": "ReLU SAE", "jumprelu": "JumpReLU SAE", "gated": "gated SAE",
    "prolu": "ProLU SAE",
    "lista": "LISTA", "ista": "ISTA", "fista": "FISTA", "lars": "LARS", "kmeans": "k-means",
    "lasso_dictionary": "lasso, alternating", "all": "lasso's codes", "pruned": "lasso's k largest", "optimised": "k optimised",
    "ksparse": "k by the solver", "truth": "the truth", "linear_nonlinear": "best linear-nonlinear", "matched_filter": "matched filter",
    "alista": "ALISTA", "online": "online dictionary learning", "mlp-256 counted": "MLP, top 20",
}
ABBREVIATIONS = {"SC": "sparse coding", "ITO": "codes optimised at inference time"}  # in the labels of the studies


PROBLEMS = {"ksparse": "codes with k active", "lasso": "codes of the lasso"}  # what a solver solved, in the column `problem`
WHO = ("method", "encoder", "learner")  # columns whose values are called as methods are
READINGS = {"refit": "refit", "own": "its own encoder"}  # a way to read atoms, after a "+"


def column_title(name: str) -> str:
    """A column as the title of an axis."""
    return TITLES.get(name, name.replace("_", " "))


def value_label(name: str, value: object) -> str:
    """A column's value where it stands alone: "corrected", "N = 16", "bias", "no bias"."""
    words = SYMBOLS.get(name, name.replace("_", " "))
    if isinstance(value, bool):
        return words if value else f"no {words}"
    if isinstance(value, int | float):
        return f"{words} = {number_label(value)}"
    if name in WHO and value is not None:
        return called(str(value))
    if name == "problem" and value in PROBLEMS:
        return PROBLEMS[str(value)]
    if name.endswith("_is") and value is not None:
        return f"{words.removesuffix(' is')} {value}"
    if value is None:
        return "" if name == "variant" else f"no {words}"
    return str(value)


def number_label(value: float) -> str:
    """A setting as people write it: 16, 1,024, 10 M, 0.01."""
    if abs(value) >= SMALL_COUNT:
        return quantity(value)
    return count(value) if float(value).is_integer() else significant(value, 3)


def called(method: str) -> str:
    """What a person calls a method: `mlp32` is "MLP 32", `topk+omp`, read with another, "TopK SAE + OMP"."""
    first, plus, reader = method.partition("+")
    if plus and method not in CALLED:
        return f"{called(first)} + {READINGS.get(reader) or called(reader)}"
    family, number = in_family(method)
    named = CALLED.get(method) or CALLED.get(family)
    return CALLED.get(method) or (f"{named} {number}" if named and number is not None else named) or method


def spelled_out(names: Iterable[str]) -> str:
    """What the abbreviations in some names stand for, as a sentence: "SC: sparse coding."; empty where there is none."""
    words = {word for name in names for word in re.findall(r"\w+", name)}
    found = [f"{short}: {long}" for short, long in ABBREVIATIONS.items() if short in words]
    return f"{'; '.join(found)}." if found else ""


def in_family(method: str) -> tuple[str, int | None]:
    """A method's family and the number at the end of its name: ("mlp", 32) for `mlp32`, `mlp_32` and `MLP 32`."""
    found = re.fullmatch(r"(.*?)[\s_\-]*(\d{1,9})?", method.lower(), re.DOTALL)
    family, number = found.groups() if found else (method, None)
    return FAMILIES.get(family, family), int(number) if number else None
