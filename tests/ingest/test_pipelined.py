"""While a page is written the next is embedded, and nothing is committed out of order."""

import threading
import time
from collections.abc import Sequence
from pathlib import Path

import polars as pl
import pytest

from semilayer_pipelines.config.embedding import EmbeddingConfig
from semilayer_pipelines.control import lifecycle
from semilayer_pipelines.embedders.hash import HashEmbedder
from semilayer_pipelines.embedders.protocol import Embedded
from semilayer_pipelines.errors import ModelUnavailable
from semilayer_pipelines.ingest import lens_watch, page_size
from semilayer_pipelines.ingest.embed_aside import embedding_aside
from semilayer_pipelines.ingest.target import Target
from semilayer_pipelines.registry import shards
from semilayer_pipelines.stores.protocol import Index
from tests.lab import ENV, Lab
from tests.patience import PATIENCE_SECONDS

ROWS = 2_000  # four pages of 500, as the test paces them


@pytest.fixture
def lab(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Lab:
    monkeypatch.setattr(page_size, "next_page_rows", lambda *_, **__: 500)
    return Lab.at(tmp_path, rows=ROWS)


@pytest.fixture
def embedding(monkeypatch: pytest.MonkeyPatch) -> list[threading.Event]:
    """An event for each page, set when its embedding begins."""
    begun = [threading.Event() for _ in range(10)]
    calls = iter(begun)
    embed = HashEmbedder.embed

    def watched(self: HashEmbedder, texts: Sequence[str]) -> Embedded:
        if texts:
            next(calls).set()
        return embed(self, texts)

    monkeypatch.setattr(HashEmbedder, "embed", watched)
    return begun


def test_the_next_page_is_embedded_while_one_is_written(
    lab: Lab, embedding: list[threading.Event], monkeypatch: pytest.MonkeyPatch
) -> None:
    write = Target.write
    pages: list[bool] = []

    def waiting(self: Target, index: Index, objects: pl.DataFrame, actions: pl.Series) -> int:
        following = len(pages) + 1
        # The fourth page is the last: there is nothing to embed beside it.
        pages.append(following == 4 or embedding[following].wait(PATIENCE_SECONDS))
        return write(self, index, objects, actions)

    monkeypatch.setattr(Target, "write", waiting)

    done = lab.full()

    assert pages == [True] * 4
    assert done.counts.written == ROWS
    assert lab.audit().clean


def test_a_page_whose_embedding_fails_leaves_those_before_it_committed(
    lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    embed = HashEmbedder.embed
    calls = iter(range(100))

    def failing(self: HashEmbedder, texts: Sequence[str]) -> Embedded:
        if texts and next(calls) == 2:
            raise ModelUnavailable("The model is gone.")
        return embed(self, texts)

    with monkeypatch.context() as patch:
        patch.setattr(HashEmbedder, "embed", failing)
        with pytest.raises(ModelUnavailable):
            lab.full()

    building = lab.building()
    assert building is not None
    with lab.project.registry.read() as db:
        [shard] = shards.list_all(db, building.id)
    assert shard.counts.written == 1_000
    # And the next run embeds only what is left.
    done = lab.full()
    assert done.counts.embedded == ROWS - 1_000
    assert lab.audit().clean


def test_a_pause_writes_what_is_under_way_and_reads_no_more(
    lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lens_watch, "PAUSE_CHECK_SECONDS", 0.0)
    pages: list[int] = []

    def report(done: object) -> None:
        pages.append(1)
        if len(pages) == 1:
            lifecycle.pause(lab.project, ENV, "items")

    lab.full(report=report)

    building = lab.building()
    assert building is not None
    with lab.project.registry.read() as db:
        [shard] = shards.list_all(db, building.id)
    assert 500 < shard.counts.read <= 1_500
    assert shard.counts.read == 500 * len(pages)

    lab.full()
    assert lab.audit().clean


def test_a_page_begins_while_the_one_before_is_still_embedded() -> None:
    # given an embedder whose first page waits for the second one
    second = threading.Event()
    waited: list[bool] = []

    class Waiting(HashEmbedder):
        def embed(self, texts: Sequence[str]) -> Embedded:
            if texts[0] == "first":
                waited.append(second.wait(PATIENCE_SECONDS))
            else:
                second.set()
            return super().embed(texts)

    started = time.monotonic()
    with embedding_aside(Waiting(EmbeddingConfig(provider="hash"))) as embed:
        pages = [embed([name]) for name in ("first", "second")]
        done = [page.result(lambda: False) for page in pages]

    # then time that two pages share is counted once
    assert waited == [True]
    assert sum(page.seconds for page in done) <= time.monotonic() - started
