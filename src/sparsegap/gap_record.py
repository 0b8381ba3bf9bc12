"""The schema of gap.json: what `gap` found, as data that a page or a script can read without this library.

Every number stands beside its interval and the number of rows behind it. FVU is a fraction of the variance about the mean; EPU is the
time of one encoder pass over the same rows in the same process. `docs/gap-json.md` explains the fields in prose.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from sparsegap.errors import InputError
from sparsegap.shards import write_atomically

FORMAT: Literal["sparsegap.gap/1"] = "sparsegap.gap/1"
GAP_FILE = "gap.json"


class Part(BaseModel):
    """A piece of the record. Unknown fields are refused, so that a typing mistake is not silently dropped."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Estimate(Part):
    """A figure and its 95 % bootstrap interval over contexts; `low` and `high` are null where fewer than two contexts were seen."""

    value: float
    low: float | None = None
    high: float | None = None


class Quantiles(Part):
    """A distribution over samples."""

    mean: float
    minimum: float
    q05: float
    q25: float
    median: float
    q75: float
    q95: float
    maximum: float


class L0(Part):
    """How many atoms a sample uses. `histogram[i]` counts the samples with exactly i active atoms."""

    quantiles: Quantiles
    histogram: list[int]


class Proof(Part):
    """What is proven about the codes of a rung, by the problem and not by the method.

    kind: "duality" (relative duality gap of a lasso), "kkt" (largest relative KKT violation of amplitudes on a fixed support), "exact"
    (proven best support), "not proven" (a pursuit: nothing says how far from the best support it is), "none" (no problem behind them).
    tolerance: within which a sample counts as proven. coverage: fraction of samples proven. median, worst: of the relative gap or
    violation.
    """

    kind: Literal["duality", "kkt", "exact", "not proven", "none"]
    sentence: str
    tolerance: float | None = None
    coverage: float | None = None
    median: float | None = None
    worst: float | None = None


class Price(Part):
    """What the codes of a rung cost, the encoder pass and every earlier rung they start from included.

    epu: median over batches of seconds / seconds of one relu(x @ atoms.T) over the same rows in float32, timed beside each other;
    epu_low, epu_high: quartiles over the batches. seconds_per_1000: median. flops_per_sample, encoder_flops: counted, not timed, apart from
    setup_flops and setup_seconds (what depends on the atoms only and is paid once). passes: dense products with all atoms, per sample.
    uncounted: operators that have no price in the counter, so that the FLOPs are a lower bound. Null: not measured.
    """

    epu: float | None = None
    epu_low: float | None = None
    epu_high: float | None = None
    seconds_per_1000: float | None = None
    flops_per_sample: float | None = None
    epu_flops: float | None = None
    setup_seconds: float | None = None
    setup_flops: float | None = None
    passes: float | None = None
    batches: int = 0
    rows_per_batch: int = 0
    uncounted: list[str] = []


class Overlap(Part):
    """Support of a rung against the encoder's, over all active pairs: precision = shared / this rung's, recall = shared / the encoder's."""

    precision: float
    recall: float
    jaccard: float


class Difference(Part):
    """Paired against the encoder's own codes on the same rows: fvu = own − this (positive: this rung is better), relative = fvu / own."""

    fvu: Estimate
    relative: Estimate


class Rung(Part):
    """One kind of codes on one dictionary, and everything measured about it.

    role: "ladder" (a step of the decomposition), "frontier" (a point of FVU against L0), "control" (what must be much worse, or the
    gain that meaningless atoms would show), "reference" (an outside yardstick such as PCA).
    series: points of one series belong on one line of a chart. penalty: λ of a lasso rung. rows, contexts: what this rung was measured on.
    """

    name: str
    label: str
    says: str
    role: Literal["ladder", "frontier", "control", "reference"]
    series: str
    dictionary: Literal["given", "refit", "random", "random covariance", "true", "none"]
    method: str
    options: dict[str, float | int | str | bool | None] = {}
    penalty: float | None = None
    rows: int
    contexts: int
    fvu: Estimate
    explained_variance: Estimate
    fvu_without_dominating: Estimate | None = None
    against_own: Difference | None = None
    other_metrics: dict[str, float] = {}
    l0: L0
    objective: float | None = Field(None, description="mean of ½‖x − b − zA‖² + λ‖z‖₁ for a lasso rung, ½‖x − b − zA‖² for the others")
    proof: Proof
    price: Price
    support_overlap: Overlap | None = None


class Share(Part):
    """A part of the encoder's error. amount: in FVU points; relative: of the encoder's FVU. The shares of one record add up to 1."""

    name: Literal["amplitude", "support", "dictionary", "rest"]
    label: str
    says: str
    amount: Estimate
    relative: Estimate
    from_rung: str
    to_rung: str


class Match(Part):
    """One method against the encoder at equal L0, and at equal FVU. atoms_at_own_fvu: mean L0 at which the method reaches that FVU.

    bracketed: false where the method was better (or worse) at every L0 that was tried, so that the figure is only a bound.
    """

    method: str
    own_l0: float
    own_fvu: float
    fvu_at_own_l0: Estimate
    atoms_at_own_fvu: Estimate
    bracketed: bool


class Latent(Part):
    """One latent under the encoder and under the pursuit. Rates: fraction of rows where it is active; means: over the rows where it is."""

    latent: int
    rate_own: float
    rate_pursuit: float
    mean_own: float
    mean_pursuit: float
    shared_rows: int
    amplitude_ratio: float | None = Field(
        None, description="Σ own·refit / Σ refit² over the rows where both are active: below 1 is shrinkage"
    )


class Latents(Part):
    """The latents that change most between the encoder's codes and the best pursuit's."""

    pursuit: str
    rows: int
    gained: list[Latent]
    lost: list[Latent]
    shrunk: list[Latent]
    never_active_own: int
    never_active_pursuit: int


class Shrinkage(Part):
    """Regression through the origin of the encoder's amplitudes on the refit ones, over active pairs: a slope below 1 is shrinkage."""

    slope: Estimate
    correlation: float


class Features(Part):
    """Against true codes or atoms, where they are known: mean correlation coefficient and support F1 of each rung."""

    mcc: dict[str, float] = {}
    support_f1: dict[str, float] = {}


class Dimension(Part):
    """An input dimension that carries more than the threshold of the variance."""

    dimension: int
    share: float


class Variance(Part):
    """Of the evaluated rows about their mean. FVU divides by `total`; the second FVU leaves `dominating` out of error and variance both."""

    total: float
    threshold: float
    dominating: list[Dimension]


class Inputs(Part):
    """What was measured. atoms_sha256: of the float32 atoms and bias as bytes, row by row."""

    dictionary: str
    atoms_sha256: str
    n_atoms: int
    width: int
    zero_atoms: int
    norm_median: float
    encoder: str
    nonnegative: bool
    activations: str
    rows: int
    rows_available: int
    contexts: int
    context_source: Literal["recorded", "given", "blocks of consecutive rows"]
    held_out: bool = Field(False, description="stated by whoever asked: the encoder never saw these activations")
    train: str | None = None
    train_rows: int = 0
    truth: bool = False


class Settings(Part):
    """How it was run. rows: asked for (null: all of them). lambdas: asked for (null: chosen around the encoder's mean L0)."""

    seed: int
    rows: int | None = None
    lambdas: list[float] | None = None
    batch: int
    precision: str
    tolerance: float
    bootstrap: int
    level: float = 0.95
    quick: bool = False


class Machine(Part):
    """Where it was run."""

    versions: dict[str, str]
    device: str
    processor: str
    threads: int
    encoder_pass_seconds_per_1000: float
    started: str
    seconds: float


class GapRecord(Part):
    """Everything that `gap` found."""

    format: Literal["sparsegap.gap/1"] = FORMAT
    title: str
    inputs: Inputs
    settings: Settings
    machine: Machine
    variance: Variance
    rungs: list[Rung]
    shares: list[Share]
    matched: list[Match]
    latents: Latents | None = None
    shrinkage: Shrinkage | None = None
    features: Features | None = None
    says: list[str] = Field(description="the answer in plain words, one sentence an item, computed from the figures")
    does_not_show: list[str] = Field(description="what these figures do not say")
    warnings: list[str] = []
    definitions: dict[str, str]

    def rung(self, name: str) -> Rung:
        """The rung of that name. Raises InputError where there is none."""
        for rung in self.rungs:
            if rung.name == name:
                return rung
        raise InputError(f"this record has no rung '{name}'; it has: {', '.join(r.name for r in self.rungs)}")

    def save(self, path: str | Path) -> Path:
        """Write as JSON, whole or not at all; a folder gets `gap.json` in it."""
        target = Path(path)
        target = target / GAP_FILE if target.is_dir() else target
        write_atomically(target, (self.model_dump_json(indent=1) + "\n").encode())
        return target

    @classmethod
    def load(cls, path: str | Path) -> GapRecord:
        """Read gap.json. Raises InputError for a missing file or one that does not follow the schema."""
        source = Path(path)
        source = source / GAP_FILE if source.is_dir() else source
        if not source.is_file():
            raise InputError(f"{source} is missing: a gap record is the {GAP_FILE} that `sparsegap gap` writes")
        try:
            return cls.model_validate_json(source.read_bytes())
        except ValidationError as error:
            first = error.errors()[0]
            where = ".".join(map(str, first["loc"])) or "the file"
            raise InputError(f"{source} is not a gap record: {where}: {first['msg'].lower()}") from error


def claim(folder: str | Path, wanted: Mapping[str, object], force: bool = False) -> GapRecord | None:
    """Whether a gap record may be written to a folder: new or empty (None), or holding the record of the same request, which is returned.

    wanted: what the request fixes, by names of fields of `Inputs` and `Settings`. force: replace whatever record is there.
    Raises InputError where the folder is a file, holds something else, or holds the record of another request.
    """
    target = Path(folder)
    if target.exists() and not target.is_dir():
        raise InputError(f"{target} is a file; give a new or empty folder")
    there = sorted(entry.name for entry in target.iterdir() if not entry.name.startswith(".")) if target.exists() else []
    if there and GAP_FILE not in there:
        raise InputError(f"{target} already holds something else ({', '.join(there[:3])}); give a new or empty folder")
    if not there or force:
        return None
    found = GapRecord.load(target)
    facts = found.inputs.model_dump() | found.settings.model_dump()
    for name, value in wanted.items():
        if facts[name] != value:
            raise InputError(
                f"{target} holds a gap record with {name} = {facts[name]}, and this asks for {value}: give another folder, or --force"
            )
    return found


DEFINITIONS: dict[str, str] = {
    "fvu": "fraction of variance unexplained: Σ‖x − x̂‖² / Σ‖x − mean‖², sums over all evaluated rows, mean over the same rows, float64",
    "explained_variance": "1 − FVU; equal to SAELens' streaming explained_variance (1 − E‖x − x̂‖² / (E‖x‖² − ‖E x‖²)) over the same rows",
    "explained_variance_legacy": "SAELens' older one: mean over rows of 1 − ‖x − x̂‖² / ‖x − mean‖²; rows near the mean weigh like others",
    "frac_variance_explained": "dictionary_learning: 1 − Σ var(x − x̂) / Σ var(x), which forgives an error of the mean",
    "normalized_mse": "OpenAI: mean over rows of ‖x − x̂‖² / ‖x‖², with the uncentred denominator",
    "l2_ratio": "mean over rows of ‖x̂‖ / ‖x‖, centred by the bias",
    "fvu_without_dominating": "FVU over the dimensions that carry at most `variance.threshold` of the variance each",
    "l0": "number of non-zero codes of a sample",
    "epu": "encoder-pass unit: the time of one relu(x @ atoms.T) in float32 over the same rows, timed in turn with the rungs",
    "interval": "95 % percentile bootstrap over contexts (not tokens), the same resamples for every rung, so that differences are paired",
}
