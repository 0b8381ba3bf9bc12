"""Harvest: run a language model over text and keep the activations of one layer. This is `sparsegap collect`.

Every document is cut into contexts of BOS + tokens; contexts are put in random order (so that each part is a fair sample) and the first
ones, up to the number of tokens asked for, are run. BOS is dropped. So are massive tokens, whose raw norm is several times the median:
they carry one huge dimension, and a dictionary trained on them learns nothing else. What is stored is (raw − mean) / scale, with mean and
scale measured on the first part and fixed, so that the mean norm is √d: residual streams lie around one large constant vector (95 % of
the energy in Gemma 3 270M), and raw values can overflow float16 and lose the signal in its rounding.
"""

from __future__ import annotations

import shutil
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from sparsegap.activations import ActivationManifest, ActivationStore, ActivationWriter, Centring, Source, SpaceFacts, require_finite
from sparsegap.errors import InputError
from sparsegap.language_model import LanguageModel
from sparsegap.shards import package_versions
from sparsegap.texts import Texts

TOKENS_PER_PART = 8192
STORED = {"float16": 2, "float32": 4}
OWN_SPACE = "measured on its first part"


@dataclass(frozen=True)
class Context:
    """A stretch of one document, without BOS."""

    number: int
    document: int
    tokens: Tensor


@dataclass(frozen=True)
class Progress:
    """How far a harvest is: tokens done and in all (earlier runs included), the speed of this run, and the bytes it will take on disk."""

    done: int
    total: int
    tokens_per_second: float
    bytes: int

    @property
    def seconds_left(self) -> float:
        """At the speed so far."""
        return (self.total - self.done) / self.tokens_per_second


Watch = Callable[[Progress], None]


def collect(
    model: LanguageModel, texts: Texts, out: str | Path, *, tokens: int = 60_000, context: int = 128, batch: int = 8,
    dtype: str = "float16", massive: float = 4.0, seed: int = 0, like: ActivationStore | None = None, watch: Watch | None = None,
) -> ActivationStore:
    """Run the model over texts and store its activations in the folder `out`; a killed run goes on where it was, with the same bits.

    tokens: how many to run (massive ones among them are dropped). context: length of a context, BOS included. dtype: float16 or float32,
    as stored. massive: tokens whose raw norm is above this many times the median are dropped. like: another store whose mean, scale and
    threshold are used instead of measured ones; held-out activations need the training store's. watch: called after every batch.
    Costs one forward up to the layer per token, d·2 or d·4 bytes of disk each. Raises InputError.
    """
    _check_request(tokens, context, batch, dtype, massive)
    if context > model.longest_context:
        raise InputError(f"{model.origin.name} sees at most {model.longest_context} tokens at once, not {context}")
    contexts = cut_contexts([model.tokenize(text) for text in texts.documents], context - 1, tokens, seed)
    source = Source(
        model=model.origin.name, revision=model.origin.revision, model_licence=model.origin.licence, hook=model.hook, layer=model.layer,
        arithmetic=model.arithmetic, bos=model.bos, text=texts.source, text_sha256=texts.sha256, text_licence=texts.licence, tokens=tokens,
        context=context, batch=batch, massive=massive, seed=seed, space=OWN_SPACE,
    )
    if like is not None:
        source = _in_the_space_of(like, source)
    versions = package_versions("transformers")
    writer = ActivationWriter(out, ActivationManifest(versions=versions, d=model.d, dtype=dtype, source=source))
    if not writer.complete:
        harvest = _Harvest(model, contexts, writer, like, watch)
        _require_space_on_disk(harvest.bytes_left, Path(out))
        harvest.run()
    return ActivationStore.open(out)


def _check_request(tokens: int, context: int, batch: int, dtype: str, massive: float) -> None:
    for name, value, least in (("tokens", tokens, 1), ("context", context, 2), ("batch", batch, 1)):
        if value < least:
            raise InputError(f"{name} must be at least {least}, not {value}")
    if dtype not in STORED:
        raise InputError(f"activations are stored as {' or '.join(STORED)}, not '{dtype}'")
    if not massive > 1:
        raise InputError(f"massive must be above 1 (times the median norm), not {massive}")


def _require_space_on_disk(needed: int, folder: Path) -> None:
    free = shutil.disk_usage(folder).free
    if needed > free:
        raise InputError(
            f"{folder} will take {needed / 1e6:,.0f} MB more, but its disk has {free / 1e6:,.0f} MB free: ask for fewer tokens"
        )


def cut_contexts(documents: Sequence[Sequence[int]], length: int, limit: int, seed: int) -> list[Context]:
    """Contexts of at most `length` tokens in random order, `limit` tokens in all (the last one is cut to fit)."""
    pieces = [(number, ids[start : start + length]) for number, ids in enumerate(documents) for start in range(0, len(ids), length)]
    order = torch.randperm(len(pieces), generator=torch.Generator().manual_seed(seed)).tolist()
    contexts: list[Context] = []
    left = limit
    for index in order:
        document, ids = pieces[index]
        contexts.append(Context(len(contexts), document, torch.tensor(ids[:left], dtype=torch.long)))
        left -= len(ids)
        if left <= 0:
            break
    return contexts


def _in_the_space_of(like: ActivationStore, source: Source) -> Source:
    theirs = like.manifest.source
    if theirs is None or like.manifest.space is None:
        raise InputError(f"{like.folder} does not say which model it comes from, so its mean and scale cannot be used")
    for name in ("model", "revision", "layer"):
        there, here = getattr(theirs, name), getattr(source, name)
        if there != here:
            raise InputError(f"{like.folder} was recorded at {name} {there}, not {here}: its mean and scale do not fit")
    return source.model_copy(update={"massive": theirs.massive, "space": f"{like.folder.name}, stats sha256 {like.manifest.space.sha256}"})


class _Harvest:
    """One run of `collect`: the parts that are still missing."""

    def __init__(
        self, model: LanguageModel, contexts: list[Context], writer: ActivationWriter, like: ActivationStore | None, watch: Watch | None,
    ) -> None:
        source = writer.manifest.source
        assert source is not None
        self.model = model
        self.writer = writer
        self.like = like
        self.watch = watch
        self.batch = source.batch
        self.massive = source.massive
        step = max(1, TOKENS_PER_PART // source.context // self.batch) * self.batch
        self.parts = [contexts[start : start + step] for start in range(0, len(contexts), step)]
        self.total = sum(len(context.tokens) for context in contexts)
        self.done = sum(len(context.tokens) for part in self.parts[: len(writer.manifest.parts)] for context in part)
        self.before = self.done
        self.started = time.perf_counter()

    @property
    def row_bytes(self) -> int:
        """Bytes on disk of one row and its four labels."""
        return self.model.d * STORED[self.writer.manifest.dtype] + 16

    @property
    def bytes_left(self) -> int:
        """Bytes that the missing parts will take, massive tokens counted in."""
        return (self.total - self.done) * self.row_bytes

    def run(self) -> None:
        """Forward, centre and store one part after the other."""
        for part in self.parts[len(self.writer.manifest.parts) :]:
            raw = self._forward(part)
            labels = _labels(part)
            require_finite(raw, f"{self.model.hook} of {self.model.origin.name}", self.writer.manifest.rows)
            if self.writer.manifest.space is None:
                self._fix_space(raw)
            self._store(raw, labels)
        self.writer.finish()

    def _forward(self, part: list[Context]) -> Tensor:
        """(tokens of the part, d) raw activations, BOS left out."""
        found = []
        for start in range(0, len(part), self.batch):
            contexts = part[start : start + self.batch]
            longest = max(len(context.tokens) for context in contexts)
            ids = torch.full((len(contexts), longest + 1), self.model.bos)
            for row, context in zip(ids, contexts, strict=True):
                row[1 : len(context.tokens) + 1] = context.tokens
            output = self.model.activations(ids)
            found += [row[1 : len(context.tokens) + 1] for row, context in zip(output, contexts, strict=True)]
            self._tell(sum(len(context.tokens) for context in contexts))
        return torch.cat(found)

    def _tell(self, tokens: int) -> None:
        self.done += tokens
        if self.watch is not None:
            speed = (self.done - self.before) / max(time.perf_counter() - self.started, 1e-9)
            self.watch(Progress(self.done, self.total, speed, self.total * self.row_bytes))

    def _fix_space(self, raw: Tensor) -> None:
        if self.like is not None and self.like.manifest.space is not None and self.like.centring is not None:
            self.writer.fix_space(self.like.centring, self.like.manifest.space)
        else:
            self.writer.fix_space(*measure_space(raw, self.massive))

    def _store(self, raw: Tensor, labels: dict[str, Tensor]) -> None:
        space, centring = self.writer.manifest.space, self.writer.centring
        if space is None or centring is None:
            raise RuntimeError("mean and scale must be fixed before the first part is stored")
        kept = raw.norm(dim=1) <= space.massive_threshold
        dropped = Counter(labels["tokens"][~kept].tolist())
        self.writer.add(centring.centred(raw[kept]), {name: label[kept] for name, label in labels.items()}, dropped)


def _labels(part: list[Context]) -> dict[str, Tensor]:
    sizes = torch.tensor([len(context.tokens) for context in part])
    return {
        "context": torch.tensor([context.number for context in part]).repeat_interleave(sizes),
        "document": torch.tensor([context.document for context in part]).repeat_interleave(sizes),
        "tokens": torch.cat([context.tokens for context in part]),
        "position": torch.cat([torch.arange(1, len(context.tokens) + 1) for context in part]),
    }


def measure_space(raw: Tensor, massive: float) -> tuple[Centring, SpaceFacts]:
    """mean, scale and the facts that go into the manifest, of raw activations (n, d): scale makes the stored mean norm √d.

    Sums are in float64 over the tokens whose norm is at most `massive` times the median. Raises InputError where all rows are equal.
    """
    norms = raw.norm(dim=1)
    median = float(norms.median())
    kept = raw[norms <= massive * median].double()
    mean = kept.mean(0)
    variance = kept.var(0, correction=0)
    scale = float((kept - mean).norm(dim=1).mean()) / raw.shape[1] ** 0.5
    if not scale > 0:
        raise InputError(f"all {len(raw)} activations of the first part are equal, so they have no scale: give more text")
    top = int(variance.argmax())
    energy = float(mean.square().sum())
    return Centring(mean.float(), scale), SpaceFacts(
        raw_norm_median=median,
        massive_threshold=massive * median,
        mean_energy_share=energy / (energy + float(variance.sum())),
        top_dimension=top,
        top_dimension_share=float(variance[top] / variance.sum()),
    )
