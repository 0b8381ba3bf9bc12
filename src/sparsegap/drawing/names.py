"""What the columns of study records are called for people: on axes, in tables, over panels."""

from __future__ import annotations

from sparsegap.charts import called
from sparsegap.number_formats import count, significant

TITLES = {
    "step": "training steps", "seconds": "seconds", "samples": "training samples", "epoch": "epochs",
    "flops": "FLOPs, counted", "flops_paper": "FLOPs, the paper's formulas", "flops_train": "FLOPs of training",
    "flops_inference": "FLOPs a sample at inference", "flops_total": "FLOPs in total",
    "latent_mcc": "latent MCC", "dictionary_mcc": "dictionary MCC, cosine", "dictionary_pearson": "dictionary MCC, the paper's Pearson",
    "l0": "active latents a sample (L0)", "l1": "l1 weight", "l1_norm": "L1 norm of a sample's latents",
    "fvu": "fraction of variance unexplained", "mse": "mean squared error",
    "loss": "loss", "support_f1": "support F1", "support_precision": "support precision", "support_recall": "support recall",
    "exact_support": "samples with the exact support", "dead": "dead latents", "objective_gap": "objective above the optimum",
    "atoms": "sources N", "width": "measurements M", "active": "active sources K", "hidden": "hidden units", "l1_weight": "l1 weight",
    "penalty": "penalty λ", "depth": "unrolled steps", "coherence": "coherence",
}  # fmt: skip
SYMBOLS = {"atoms": "N", "width": "M", "active": "K", "model_atoms": "model N", "hidden": "hidden units", "penalty": "λ", "coherence": "μ"}
SMALL_COUNT = 100_000  # larger numbers are written with a prefix


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
    if name == "method":
        return called(str(value))
    if value is None:
        return "" if name == "variant" else f"no {words}"
    return str(value)


def number_label(value: float) -> str:
    """A setting as people write it: 16, 1,024, 0.01."""
    return count(value) if float(value).is_integer() and abs(value) < SMALL_COUNT else significant(value, 3)


def as_list(names: str | list[str] | None) -> list[str]:
    """One name, several or none, as a list."""
    return [names] if isinstance(names, str) else list(names or [])
