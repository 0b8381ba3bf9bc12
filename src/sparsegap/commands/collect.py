"""sparsegap collect: record the activations of a language model."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from sparsegap.activations import ActivationStore
    from sparsegap.harvest import Watch
    from sparsegap.language_model import LanguageModel

Model = Annotated[str, typer.Argument(metavar="MODEL", help="gemma3-270m, a Hugging Face id, a folder, a .gguf file.", show_default=False)]
More = Annotated[list[str] | None, typer.Argument(metavar="[FILE]...", help="More text files.", show_default=False)]
Layer = Annotated[int, typer.Option(help="Decoder layer, from 0; its output is recorded.", show_default=False)]
Out = Annotated[Path, typer.Option(help="Folder to write; a killed run goes on where it was.", show_default=False)]
Text = Annotated[
    list[str] | None, typer.Option(metavar="FILE...", help="UTF-8 text, one document a file; demo (the default) and demo-test come along.")]
Tokens = Annotated[int, typer.Option(help="Tokens to run, taken at random from all over the text.")]
Context = Annotated[int, typer.Option(help="Tokens the model sees at once, the beginning token included.")]
Batch = Annotated[int, typer.Option(help="Contexts in one forward.")]
Like = Annotated[
    Path | None, typer.Option(help="Use this store's mean, scale, threshold: held-out rows need the training rows'.", show_default=False)]
Dtype = Annotated[str, typer.Option(help="Arithmetic of the forward: float32, or bfloat16 (twice as fast, rounded to 8 bits).")]
Store = Annotated[str, typer.Option(help="How rows are stored: float16 or float32.")]
Massive = Annotated[float, typer.Option(help="Leave out tokens whose raw norm is above so many times the median.")]
Seed = Annotated[int, typer.Option(help="Which contexts are taken, and in which order.")]
Threads = Annotated[int | None, typer.Option(help="Threads of the forward; all cores by default.", show_default=False)]

DOMINANT = 0.1


def collect(
    model: Model, layer: Layer, out: Out, more: More = None, text: Text = None, tokens: Tokens = 60_000, context: Context = 128,
    batch: Batch = 8, like: Like = None, dtype: Dtype = "float32", store: Store = "float16", massive: Massive = 4.0, seed: Seed = 0,
    threads: Threads = None,
) -> None:
    """Run a language model over text and record the activations of one layer.

    What is stored is (raw − mean) / scale, with the beginning token and massive tokens left out; see the manifest in the folder.
    """
    import torch
    from rich.console import Console
    from rich.markup import escape

    from sparsegap import harvest
    from sparsegap.activations import ActivationStore
    from sparsegap.language_model import LanguageModel
    from sparsegap.shards import refuse_foreign
    from sparsegap.texts import read_texts

    if threads is not None:
        torch.set_num_threads(max(1, threads))
    texts = read_texts([*(text or []), *(more or [])] or ["demo"])
    given = None if like is None else ActivationStore.open(like)
    refuse_foreign(out)
    with Console(stderr=True).status(f"loading {escape(model)} (the first time may take a minute or two)"):
        loaded = LanguageModel.load(model, layer, dtype)
    with _Bar(f"{loaded.origin.name}, layer {layer}") as watch:
        recorded = harvest.collect(
            loaded, texts, out, tokens=tokens, context=context, batch=batch, dtype=store, massive=massive, seed=seed, like=given,
            watch=watch)
    _tell(recorded, loaded)


class _Bar:
    """A progress bar fed by a harvest; says what the run will cost as soon as its first batch is timed."""

    def __init__(self, title: str) -> None:
        from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

        columns = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.completed:,.0f}/{task.total:,.0f} tokens"),
                   TextColumn("{task.fields[speed]:,.0f} a second"), TimeRemainingColumn(compact=True))
        self.progress = Progress(*columns)
        self.title = title

    def __enter__(self) -> Watch:
        from sparsegap.harvest import Progress

        def watch(now: Progress) -> None:
            if not self.progress.tasks:
                self.progress.start()
                self.progress.console.print(
                    f"{now.total:,} tokens, {now.total - now.done:,} to go: about {now.seconds_left:,.0f} s "
                    f"at {now.tokens_per_second:,.0f} a second, {now.bytes / 1e6:,.0f} MB on disk", highlight=False)
                self.progress.add_task(self.title, total=now.total, speed=0)
            self.progress.update(self.progress.tasks[0].id, completed=now.done, speed=now.tokens_per_second)

        return watch

    def __exit__(self, *failure: object) -> None:
        self.progress.stop()


def _tell(store: ActivationStore, model: LanguageModel) -> None:
    from rich.console import Console

    console = Console(highlight=False, soft_wrap=True)
    massive = store.manifest.massive_tokens
    console.print(f"{store.rows:,} rows of width {store.d} in {store.folder}", markup=False)
    if massive:
        shown = ", ".join(f"{model.tokenizer.decode([token])!r} ({count})" for token, count in list(massive.items())[:5])
        console.print(f"left out {sum(massive.values()):,} massive tokens: {shown}", markup=False)
    space = store.manifest.space
    if space is not None and space.top_dimension_share > DOMINANT:
        share = f"{space.top_dimension_share:.0%} of the variance"
        console.print(f"dimension {space.top_dimension} holds {share}: look at errors without it too")
    if store.manifest.source is not None and store.manifest.source.model_licence:
        console.print(store.manifest.source.model_licence, markup=False)
