"""A server that indexes later: the old object goes when the new one is found."""

from __future__ import annotations

import time
from pathlib import Path

import polars as pl
import pytest

from semilayer_pipelines.errors import StoreRefused
from semilayer_pipelines.stores.protocol import VECTOR, Index
from semilayer_pipelines.stores.weaviate import queue
from tests.stores.objects import DIMENSION, ONE_FIELD, names, vector_of
from tests.stores.weaviate.doubled import changed, opened, write
from tests.weaviate_double.server import Double

ROWS = 120


@pytest.fixture
def index(double: Double, tmp_path: Path) -> Index:
    return opened(double, tmp_path).create("lens-g1", ONE_FIELD)


def of_one_text(text: str, seed: int) -> pl.DataFrame:
    vectors = [vector_of(seed).tolist()] * ROWS
    frame = changed(names(ROWS), text)
    dtype = pl.Array(pl.Float32, DIMENSION)
    return frame.with_columns(pl.Series(VECTOR, vectors, dtype=dtype))


def test_rows_of_one_text_are_not_waited_for_where_nobody_tells_of_queues(
    index: Index, monkeypatch: pytest.MonkeyPatch
) -> None:
    """More rows share the vector than one search shows, so not each is in it."""

    # given a role that may not read the nodes, and patience that a test can have
    def refused(*_: object) -> int:
        raise StoreRefused("insufficient permissions to read_nodes")

    monkeypatch.setattr(index, "_waiting", refused)
    monkeypatch.setattr(queue, "PATIENCE_S", 0.2)
    write(index, of_one_text("one", 1))

    # when all of them change to another text, the same for all
    started = time.monotonic()
    write(index, of_one_text("two", 2))

    # then it is written at once
    assert time.monotonic() - started < 20
    assert index.count() == ROWS
