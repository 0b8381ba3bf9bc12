"""Streams: batch t is the same whenever it is asked for, from memory, from disk and from a source."""

from __future__ import annotations

from collections.abc import Mapping

import pytest
import torch
from torch import Tensor

from fitting import SMALL, D, K, M, sparse_codes, sparse_data, truth
from sparsegap.activations import Activations, Chunk
from sparsegap.errors import InputError
from sparsegap.fit import Request, fit
from sparsegap.fit.expected import expected
from sparsegap.fit.session import Session
from sparsegap.fit.streams import Drawn, Recording
from sparsegap.learners.online import Online
from sparsegap.source import parse_source


class Streamed(Activations):
    """A recording in parts, the third of which may be damaged."""

    def __init__(self, x: Tensor, damaged: bool = False) -> None:
        def read(part: Tensor, spoil: bool) -> Mapping[str, Tensor]:
            return {"activations": part.index_fill(0, torch.tensor([5]), torch.nan) if spoil else part}

        parts = x.split(500)
        chunks = [Chunk(len(p), lambda p=p, i=i: read(p, damaged and i == 2)) for i, p in enumerate(parts)]  # type: ignore[misc]
        super().__init__(chunks, x.shape[1], "a stream")


@pytest.mark.parametrize("memory", [0, 1 << 30])
def test_a_recording_can_be_entered_anywhere(memory: int) -> None:
    stream = Recording(Streamed(sparse_data()), 64, 0, memory=memory)
    seen = [stream[t].x for t in range(2 * stream.per_epoch)]
    again = Recording(Streamed(sparse_data()), 64, 0, memory=memory)
    for t in (stream.per_epoch + 7, stream.per_epoch + 8, 3, 4, 0):
        assert torch.equal(again[t].x, seen[t])
    rows = torch.cat(seen[: stream.per_epoch])
    assert len(torch.unique(rows, dim=0)) == len(rows)
    assert not torch.equal(seen[0], seen[stream.per_epoch])
    assert not torch.equal(Recording(Streamed(sparse_data()), 64, 1, memory=memory)[0].x, seen[0])
    sample = stream.sample(1000)
    assert sample.shape == (1000, D)
    assert torch.equal(sample, stream.sample(1000))


def test_codes_stay_with_their_rows() -> None:
    stream = Recording(Activations.of(sparse_data()), 64, 0, codes=sparse_codes())
    for t in (0, stream.per_epoch + 3):
        batch = stream[t]
        assert batch.codes is not None
        torch.testing.assert_close(truth().decode(batch.codes), batch.x)
    with pytest.raises(InputError, match="does not fit in memory"):
        Recording(Streamed(sparse_data()), 64, 0, codes=sparse_codes(), memory=0)


def test_a_source_gives_fresh_rows_apart_from_its_sample() -> None:
    source = parse_source(f"uniform:atoms={M},width={D},active={K}")
    stream, blind = Drawn(source, 64, known=True), Drawn(source, 64)
    batch = stream[5]
    assert batch.codes is not None
    assert blind[5].codes is None
    assert torch.equal(batch.x, source.batch(5, 64).x)
    assert torch.equal(batch.x, blind[5].x)
    everything = torch.cat([*(stream[t].x for t in range(10)), stream.sample(640)])
    assert len(torch.unique(everything, dim=0)) == 1280
    assert stream.fingerprint() != blind.fingerprint()
    assert stream.fingerprint() != Drawn(parse_source(f"uniform:atoms={M},width={D},active={K},seed=1"), 64, known=True).fingerprint()


def test_damaged_data_is_refused_by_row() -> None:
    with pytest.raises(InputError, match="row 1005"):
        fit("topk", Streamed(sparse_data(), damaged=True), **SMALL)


def test_a_run_that_grows_dearer_is_not_priced_by_its_beginning(monkeypatch: pytest.MonkeyPatch) -> None:
    taken: list[int] = []
    step = Online.step
    monkeypatch.setattr(Online, "step", lambda self, batch, number: taken.append(self.target(number)) or step(self, batch, number))
    source = parse_source(f"uniform:atoms={M},width={D},active={K}")
    session = Session.of([Request("online", 8, atoms=M, steps=80)], source, batch=64)
    cost = expected(session)
    assert taken == [1, 2, 5, 8, 8]  # one to compile, and one from the middle of each quarter
    assert cost.rows == 80 * 64 and cost.seconds > 0
